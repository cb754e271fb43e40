"""The C++ core on an NVIDIA GPU, through the CUDA driver alone: no CUDA runtime, no toolkit.

``QSIM_CUDA_DEVICE`` chooses a device by number; ``CUDA_VISIBLE_DEVICES`` decides which are seen. ``QSIM_CUDA_GRAPHS=1`` lets it
record launches and copy beside them (:mod:`qsim_core.kernels.cuda_graphs`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy.typing as npt

from ..errors import BackendUnavailableError, DeviceError, MemoryBudgetError, expected
from .cuda_backend import CudaBackend
from .cuda_device import Device, DeviceProperties, Recorder
from .cuda_graphs import graphs_wanted
from .cuda_image import images_for

try:
    from .. import _native
except ImportError as error:
    raise ImportError(f"native_cuda needs the C++ core, which is not usable here: {error}") from error

__all__ = ["NativeCudaBackend", "NativeDevice", "chosen_device"]

_T = TypeVar("_T")

#: Numbers of device attributes, as the driver's reference lists them.
MULTIPROCESSORS, CLOCK, INTEGRATED = 16, 13, 18
MEMORY_CLOCK, BUS_WIDTH = 36, 37
MAJOR, MINOR = 75, 76
SHARED_PER_MULTIPROCESSOR, SHARED_PER_BLOCK = 81, 97

#: The oldest driver the kernels' PTX can be given to (CUDA 12.0).
OLDEST_DRIVER = 12000


def chosen_device() -> int:
    """Return the device number of QSIM_CUDA_DEVICE, 0 if it is not set."""
    text = os.environ.get("QSIM_CUDA_DEVICE", "0")
    if not text.isdigit():
        raise BackendUnavailableError(expected("QSIM_CUDA_DEVICE", "the number of a device", repr(text)))
    return int(text)


class NativeDevice(Device):
    """One device through the driver's functions.

    ``source`` is the driver's library, or a table of its functions' addresses; ``image`` are the kernels' PTX or cubin,
    by default those of this package; ``graphs`` as QSIM_CUDA_GRAPHS says where it is None.
    """

    def __init__(
        self,
        source: str | Mapping[str, int] = "libcuda.so.1",
        device: int | None = None,
        image: bytes | None = None,
        graphs: bool | None = None,
    ) -> None:
        wanted = graphs_wanted() if graphs is None else graphs
        self.number = chosen_device() if device is None else device
        try:
            self._driver = _native.CudaDriver(source, self.number)
        except RuntimeError as error:
            shown = os.environ.get("CUDA_VISIBLE_DEVICES")
            remedy = "`qsim info` shows what is here" + (
                "" if shown is None else f"; CUDA_VISIBLE_DEVICES={shown!r} decides which cards are seen"
            )
            raise BackendUnavailableError(
                expected("CUDA device", "an NVIDIA GPU and its driver", error, remedy)
            ) from None
        version = self._call(self._driver.driver_version)
        if version < OLDEST_DRIVER:
            text = f"CUDA {version // 1000}.{version % 1000 // 10}"
            raise BackendUnavailableError(expected("CUDA driver", "one for CUDA 12.0 or newer", text, "Update it."))

        def attribute(which: int) -> int:
            return self._call(lambda: self._driver.attribute(which))

        self.properties = DeviceProperties(
            name=self._call(self._driver.name),
            compute_capability=(attribute(MAJOR), attribute(MINOR)),
            multiprocessors=attribute(MULTIPROCESSORS),
            shared_bytes_per_block=attribute(SHARED_PER_BLOCK),
            shared_bytes_per_multiprocessor=attribute(SHARED_PER_MULTIPROCESSOR),
            memory_bytes=self._call(self._driver.total_memory),
            clock_khz=attribute(CLOCK),
            memory_clock_khz=attribute(MEMORY_CLOCK),
            memory_bus_bits=attribute(BUS_WIDTH),
            integrated=bool(attribute(INTEGRATED)),
        )
        self._load(image)
        if wanted:
            self._call(self._driver.use_streams)
            self.recorder = _NativeRecorder(self._driver, self._call)

    def _load(self, image: bytes | None) -> None:
        refused = ""
        try:
            for candidate in images_for(self.properties.compute_capability) if image is None else (image,):
                try:
                    return self._call(lambda code=candidate: self._driver.load(code))  # type: ignore[misc]
                except DeviceError as error:
                    refused = str(error)
        except BackendUnavailableError as error:
            raise BackendUnavailableError(f"{refused} {error}".strip()) from None
        raise DeviceError(refused)

    def _call(self, work: Callable[[], _T]) -> _T:
        """Run a driver call; its failure becomes one of our errors."""
        try:
            return work()
        except RuntimeError as error:
            if "CUDA_ERROR_OUT_OF_MEMORY" in str(error):
                free = self.memory_free() / 2**30
                remedy = "Use single precision or fewer qubits, or free memory on the device."
                raise MemoryBudgetError(expected("device memory", f"{free:.6g} GiB free", error, remedy)) from None
            name = self.properties.name if hasattr(self, "properties") else "CUDA device"
            raise DeviceError(f"{name}: {error}") from None

    def allocate(self, size: int) -> int:
        return self._call(lambda: self._driver.allocate(size))

    def free(self, address: int) -> None:
        self._call(lambda: self._driver.free(address))

    def upload(self, address: int, source: npt.NDArray[Any]) -> None:
        self._call(lambda: self._driver.upload(address, source))

    def download(self, address: int, target: npt.NDArray[Any]) -> None:
        self._call(lambda: self._driver.download(target, address))

    def copy(self, target: int, source: int, size: int) -> None:
        self._call(lambda: self._driver.copy(target, source, size))

    def launch(self, kernel: str, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[int]) -> None:
        self._call(lambda: self._driver.launch((kernel, blocks, threads, shared_bytes, arguments)))

    def synchronize(self) -> None:
        self._call(self._driver.synchronize)

    def memory_free(self) -> int:
        return self._call(self._driver.free_memory)


class _NativeRecorder(Recorder):
    """A stream for launches, one for copies through pinned memory, and graphs."""

    def __init__(self, driver: Any, call: Callable[[Callable[[], Any]], Any]) -> None:
        self._driver, self._call = driver, call

    def upload(self, address: int, source: npt.NDArray[Any], *, fresh: bool) -> None:
        self._call(lambda: self._driver.upload_beside(address, source, fresh))

    def record(self, launches: Sequence[tuple[str, int, int, int, Sequence[int]]]) -> int:
        return int(self._call(lambda: self._driver.record(launches)))

    def replay(self, graph: int) -> None:
        self._call(lambda: self._driver.replay(graph))

    def forget(self, graph: int) -> None:
        self._call(lambda: self._driver.forget(graph))


class NativeCudaBackend(CudaBackend):
    """CUDA through the driver."""

    name = "native_cuda"

    def __init__(self, device: Device | None = None) -> None:
        super().__init__(device or NativeDevice())
