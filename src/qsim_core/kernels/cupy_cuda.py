"""CUDA through CuPy: kernels compiled by NVRTC from the text this package carries, memory from CuPy's pool.

For GPU nodes without a toolkit: ``pip install qsim-core[cuda13]`` (or ``[cuda12]``). The C++ core is not needed, but it is
what puts many operations in one launch; without it each is a sweep of its own. State vectors are CuPy arrays'
neighbours: both read each other's memory without a copy.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, DeviceError, MemoryBudgetError, expected
from .cuda_backend import CudaBackend
from .cuda_device import Device, DeviceProperties
from .cuda_graphs import graphs_wanted
from .cuda_image import OPTIONS, source_text

__all__ = ["CupyCudaBackend", "CupyDevice"]

_DEFAULT_SHARED = 48 << 10
#: Numbers of device attributes; from CUDA 13 on the clocks are no longer among the properties.
CLOCK, MEMORY_CLOCK = 13, 36


class CupyDevice(Device):
    """The current device of CuPy; tests give a stand-in for the module."""

    def __init__(self, module: Any = None) -> None:
        if graphs_wanted():
            remedy = "Use native_cuda, or leave it out."
            raise BackendUnavailableError(expected("QSIM_CUDA_GRAPHS with cupy_cuda", "0", 1, remedy))
        try:
            cupy = module or importlib.import_module("cupy")
        except ImportError as error:
            remedy = "pip install qsim-core[cuda13] (or [cuda12] for older drivers)"
            raise BackendUnavailableError(expected("CuPy", "an installed one", error, remedy)) from None
        self._cupy = cupy
        try:
            count = cupy.cuda.runtime.getDeviceCount()
            if count == 0:
                raise BackendUnavailableError(expected("CUDA devices", "at least one", 0))
            number = cupy.cuda.runtime.getDevice()
            found = cupy.cuda.runtime.getDeviceProperties(number)
            clocks = [cupy.cuda.runtime.deviceGetAttribute(which, number) for which in (CLOCK, MEMORY_CLOCK)]
        except cupy.cuda.runtime.CUDARuntimeError as error:
            remedy = "Install NVIDIA's driver; `qsim info` shows what is here"
            raise BackendUnavailableError(expected("CUDA device", "a GPU and its driver", error, remedy)) from None
        self.properties = DeviceProperties(
            name=found["name"].decode(),
            compute_capability=(found["major"], found["minor"]),
            multiprocessors=found["multiProcessorCount"],
            shared_bytes_per_block=found["sharedMemPerBlockOptin"],
            shared_bytes_per_multiprocessor=found["sharedMemPerMultiprocessor"],
            memory_bytes=found["totalGlobalMem"],
            clock_khz=clocks[0],
            memory_clock_khz=clocks[1],
            memory_bus_bits=found["memoryBusWidth"],
            integrated=bool(found["integrated"]),
        )
        self.number = int(number)
        self._failures = (cupy.cuda.runtime.CUDARuntimeError, cupy.cuda.driver.CUDADriverError)
        self._module = cupy.RawModule(code=source_text(), options=OPTIONS, backend="nvrtc")
        self._functions: dict[str, Any] = {}
        self._held: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        try:
            memory = self._cupy.cuda.alloc(size)
        except self._failures as error:
            raise self._device_error(error) from None
        except self._cupy.cuda.memory.OutOfMemoryError as error:
            remedy = "Use single precision or fewer qubits, or free memory on the device."
            given = f"{size / 2**30:.6g} GiB: {error}"
            raise MemoryBudgetError(
                expected("device memory", f"{self.memory_free() / 2**30:.6g} GiB free", given, remedy)
            ) from None
        self._held[int(memory.ptr)] = memory
        return int(memory.ptr)

    def free(self, address: int) -> None:
        del self._held[address]

    def upload(self, address: int, source: npt.NDArray[Any]) -> None:
        runtime = self._cupy.cuda.runtime
        contiguous = np.ascontiguousarray(source)
        self._check(runtime.memcpy, address, contiguous.ctypes.data, contiguous.nbytes, runtime.memcpyHostToDevice)

    def download(self, address: int, target: npt.NDArray[Any]) -> None:
        runtime = self._cupy.cuda.runtime
        self._check(runtime.memcpy, target.ctypes.data, address, target.nbytes, runtime.memcpyDeviceToHost)

    def copy(self, target: int, source: int, size: int) -> None:
        runtime = self._cupy.cuda.runtime
        self._check(runtime.memcpy, target, source, size, runtime.memcpyDeviceToDevice)

    def launch(self, kernel: str, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[int]) -> None:
        function = self._functions.get(kernel)
        if function is None:
            function = self._functions[kernel] = self._check(self._module.get_function, kernel)
        if shared_bytes > _DEFAULT_SHARED and function.max_dynamic_shared_size_bytes < shared_bytes:
            function.max_dynamic_shared_size_bytes = shared_bytes
        values = tuple(np.uint64(argument) for argument in arguments)
        self._check(function, (blocks,), (threads,), values, shared_mem=shared_bytes)

    def synchronize(self) -> None:
        self._check(self._cupy.cuda.runtime.deviceSynchronize)

    def memory_free(self) -> int:
        free, _ = self._check(self._cupy.cuda.runtime.memGetInfo)
        return int(free) + int(self._cupy.get_default_memory_pool().free_bytes())

    def _check(self, call: Any, *arguments: Any, **options: Any) -> Any:
        try:
            return call(*arguments, **options)
        except self._failures as error:
            raise self._device_error(error) from None

    def _device_error(self, error: Exception) -> DeviceError:
        return DeviceError(f"{self.properties.name}: {error}")


class CupyCudaBackend(CudaBackend):
    """CUDA through CuPy."""

    name = "cupy_cuda"

    def __init__(self, device: Device | None = None) -> None:
        super().__init__(device or CupyDevice())
