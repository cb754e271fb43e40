"""As much of CuPy as the CUDA backend uses, on the PTX runner; stricter than CuPy where CuPy does not check.

Kernel text goes through the real NVRTC (or nvcc) to PTX. Arguments must be 64-bit NumPy scalars, as the kernels declare them;
dynamic shared memory above 48 KiB needs opting in.
"""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.cuda.ptx.runner import CHECKED, Memory, PtxModule

__all__ = ["FakeCupy"]


class CUDARuntimeError(RuntimeError):
    pass


class CUDADriverError(RuntimeError):
    pass


class OutOfMemoryError(MemoryError):
    pass


class _Allocation:
    """Memory that goes back when nobody holds it."""

    def __init__(self, memory: Memory, size: int) -> None:
        self._memory, self.ptr = memory, memory.allocate(size)

    def __del__(self) -> None:
        self._memory.free(self.ptr)


class _Kernel:
    def __init__(self, module: PtxModule, name: str, cupy: FakeCupy) -> None:
        self._module, self._name, self._cupy = module, name, cupy
        self.max_dynamic_shared_size_bytes = 48 << 10

    def __call__(self, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], *, shared_mem: int = 0) -> None:
        for argument in args:
            if not isinstance(argument, np.uint64):
                raise TypeError(f"{self._name}: argument {argument!r} is not 64 bits wide")
        if shared_mem > self.max_dynamic_shared_size_bytes:
            raise CUDADriverError("CUDA_ERROR_INVALID_VALUE: shared memory without opting in")
        self._cupy.called("launch")
        packed = struct.pack(f"<{len(args)}Q", *map(int, args))
        one = (1, 1)
        self._module.launch(self._name, (*grid, *one)[:3], (*block, *one)[:3], packed, self._cupy.memory,
                            dynamic_shared=shared_mem, checks=CHECKED, reverse=self._cupy.reverse)  # fmt: skip


class FakeCupy:
    """Stands where the module ``cupy`` would; ``compile`` makes a module of kernel text."""

    def __init__(self, compile: Callable[[str], PtxModule], devices: int = 1, memory_bytes: int = 1 << 30) -> None:
        self.memory, self._compile, self._bytes = Memory(), compile, memory_bytes
        self.reverse = False
        self.calls: Counter[str] = Counter()
        self.fail_in = 0  # n: the n-th call from now on fails; 0: none
        self.failed = ""  # its name
        self.fail: dict[str, str] = {}  # name of a function to the error it raises next, once
        properties = {
            "name": b"Fake H100", "major": 9, "minor": 0, "multiProcessorCount": 132, "sharedMemPerBlockOptin": 227 << 10,
            "sharedMemPerMultiprocessor": 228 << 10, "totalGlobalMem": memory_bytes,
            "memoryBusWidth": 5120, "integrated": 0,
        }  # fmt: skip
        attributes = {13: 1_700_000, 36: 2_600_000}  # clocks, which CUDA 13 took out of the properties
        runtime = SimpleNamespace(
            CUDARuntimeError=CUDARuntimeError,
            memcpyHostToDevice=1,
            memcpyDeviceToHost=2,
            memcpyDeviceToDevice=3,
            getDeviceCount=lambda: devices,
            getDevice=lambda: 0,
            getDeviceProperties=lambda number: properties,
            deviceGetAttribute=lambda which, number: attributes[which],
            deviceSynchronize=lambda: self.called("deviceSynchronize"),
            memGetInfo=self._memory,
            memcpy=self._memcpy,
        )
        self.cuda = SimpleNamespace(
            runtime=runtime,
            driver=SimpleNamespace(CUDADriverError=CUDADriverError),
            memory=SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
            alloc=self._alloc,
        )

    def RawModule(self, *, code: str, options: tuple[str, ...], backend: str) -> Any:
        assert backend == "nvrtc" and "--std=c++17" in options
        module = self._compile(code)
        return SimpleNamespace(get_function=lambda name: _Kernel(module, name, self))

    def get_default_memory_pool(self) -> Any:
        return SimpleNamespace(free_bytes=lambda: 0)

    def called(self, name: str) -> None:
        """Count a call, or let it fail."""
        self.calls[name] += 1
        self.fail_in -= 1
        if self.fail_in == 0:
            self.failed = name
            raise CUDARuntimeError("cudaErrorLaunchFailure: unspecified launch failure")
        if name in self.fail:
            raise CUDARuntimeError(self.fail.pop(name))

    def _memory(self) -> tuple[int, int]:
        self.called("memGetInfo")
        return self._bytes - self.memory.in_use, self._bytes

    def _alloc(self, size: int) -> _Allocation:
        self.called("alloc")
        if size > self._bytes - self.memory.in_use:
            raise OutOfMemoryError(f"Out of memory allocating {size} bytes")
        return _Allocation(self.memory, size)

    def _memcpy(self, target: int, source: int, size: int, kind: int) -> None:
        self.called("memcpy")
        if not size:
            return
        if kind in (1, 3):
            self.memory.view(target, size)
        if kind in (2, 3):
            self.memory.view(source, size)
        ctypes.memmove(target, source, size)
