"""A CUDA device as the backends use it, and arrays in its memory.

Two drivers implement :class:`Device`; everything else of the CUDA path is written once, on top of it. One in-order
stream: a launch starts when the one before it has ended, and reading memory waits for all of them.
"""

from __future__ import annotations

import abc
import contextlib
import math
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DeviceError
from . import cuda_dlpack

__all__ = ["Device", "DeviceArray", "DeviceProperties", "Recorder"]


@dataclass(frozen=True, slots=True)
class DeviceProperties:
    """What the planner, the cost model and messages need to know of a card. Sizes in bytes."""

    name: str
    compute_capability: tuple[int, int]
    multiprocessors: int
    shared_bytes_per_block: int  # with opting in
    shared_bytes_per_multiprocessor: int
    memory_bytes: int
    clock_khz: int
    memory_clock_khz: int
    memory_bus_bits: int
    integrated: bool = False

    @property
    def double_rate(self) -> float:
        """f64 operations per f32 operation: 1/2 on data-centre cards, 1/64 (1/32 on some) on the others."""
        return {(6, 0): 0.5, (7, 0): 0.5, (8, 0): 0.5, (9, 0): 0.5, (10, 0): 0.5, (10, 3): 1 / 64}.get(
            self.compute_capability, 1 / 64 if self.compute_capability >= (8, 0) else 1 / 32
        )

    @property
    def bandwidth(self) -> float:
        """Peak bytes per second of the memory: two transfers per clock; 0 where the driver does not tell."""
        return 2 * self.memory_clock_khz * 1e3 * self.memory_bus_bits / 8


class Recorder(abc.ABC):
    """What a device can do beyond one stream in order: copies beside launches, and launches recorded and played again."""

    @abc.abstractmethod
    def upload(self, address: int, source: npt.NDArray[Any], *, fresh: bool) -> None:
        """Copy a contiguous host array while launches go on; those that follow find it done.

        The copy waits for earlier launches, unless none of them can touch the target: then it is ``fresh``. ``source`` can
        be changed at once.
        """

    @abc.abstractmethod
    def record(self, launches: Sequence[tuple[str, int, int, int, Sequence[int]]]) -> int:
        """Return the handle of a graph of launches (as for :meth:`Device.launch`), one after the other."""

    @abc.abstractmethod
    def replay(self, graph: int) -> None:
        """Start a graph: its kernels see what memory holds then."""

    @abc.abstractmethod
    def forget(self, graph: int) -> None:
        """Free a graph."""


class Device(abc.ABC):
    """Memory and launches on one card. Every method raises :class:`qsim_core.errors.DeviceError` when the driver fails."""

    properties: DeviceProperties
    #: Number among the cards that are seen.
    number: int = 0
    #: Where somebody asked for it: see :mod:`qsim_core.kernels.cuda_graphs`.
    recorder: Recorder | None = None

    @abc.abstractmethod
    def allocate(self, size: int) -> int:
        """Return the address of ``size`` bytes (at least one), aligned to 256.

        Raises:
            MemoryBudgetError: if the card has no room.
        """

    @abc.abstractmethod
    def free(self, address: int) -> None:
        """Give memory back when all launches so far have ended."""

    @abc.abstractmethod
    def upload(self, address: int, source: npt.NDArray[Any]) -> None:
        """Copy a contiguous host array to the device."""

    @abc.abstractmethod
    def download(self, address: int, target: npt.NDArray[Any]) -> None:
        """Copy from the device into a contiguous host array; waits for all launches."""

    @abc.abstractmethod
    def copy(self, target: int, source: int, size: int) -> None:
        """Copy inside the device."""

    @abc.abstractmethod
    def launch(self, kernel: str, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[int]) -> None:
        """Start a kernel of ``cpp/cuda/entries.cuh``; every argument is 64 bits wide."""

    @abc.abstractmethod
    def synchronize(self) -> None:
        """Wait until all launches have ended."""

    @abc.abstractmethod
    def memory_free(self) -> int:
        """Return the bytes that can be allocated now."""

    def array(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> DeviceArray:
        """Return an uninitialised array on this device that owns its memory."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        address = self.allocate(max(size, 1))
        result = DeviceArray(self, address, shape, np.dtype(dtype), None)
        weakref.finalize(result, _give_back, self, address)
        return result

    def array_of(self, values: npt.NDArray[Any]) -> DeviceArray:
        """Return a copy of a host array."""
        result = self.array(values.shape, values.dtype)
        self.upload(result.address, np.ascontiguousarray(values))
        return result

    def array_ahead(self, values: npt.NDArray[Any]) -> DeviceArray:
        """Return a copy of a host array that may still be on its way while launches go on; those that follow wait for it."""
        if self.recorder is None:
            return self.array_of(values)
        result = self.array(values.shape, values.dtype)
        self.recorder.upload(result.address, np.ascontiguousarray(values), fresh=True)
        return result


def _give_back(device: Device, address: int) -> None:
    """Free memory when its array goes. A device that failed has nothing to give back, and said so before."""
    with contextlib.suppress(DeviceError):
        device.free(address)


class DeviceArray:
    """A contiguous array in device memory, as far as the core treats amplitudes like a NumPy array.

    Neighbouring entries of the first axis, and one of them, are views. Any other index reads through the host, and
    writing to it writes through the host: always right, and slow; the verbs of the CUDA backend do not depend on it.
    """

    def __init__(
        self, device: Device, address: int, shape: tuple[int, ...], dtype: np.dtype[Any], base: object
    ) -> None:
        self.device, self.address, self.shape, self.dtype = device, address, shape, dtype
        self.base = base  # keeps the memory alive

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Zero-copy access for CuPy, Numba, PyTorch and others."""
        return {"shape": self.shape, "typestr": self.dtype.str, "data": (self.address, False), "version": 3}

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's numbers of CUDA and of the device."""
        return cuda_dlpack.CUDA, self.device.number

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Return a capsule of this memory, writable and without a copy; all launches so far have ended.

        Raises:
            BufferError: if a copy or another device is asked for.
        """
        here = self.__dlpack_device__()
        if copy or dl_device not in (None, here):
            raise BufferError(f"amplitudes on a card are exported where they are, on {here}, and without a copy")
        self.device.synchronize()
        return cuda_dlpack.capsule(self, self.address, self.shape, self.dtype, here)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[Any]:
        return (self[k] for k in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        if copy is False:
            raise ValueError("amplitudes on a device can't be read without a copy; ask for one, or use CuPy")
        host: npt.NDArray[Any] = np.empty(self.shape, self.dtype)
        self.device.download(self.address, host)
        return host if dtype is None else host.astype(dtype)

    def _rows(self, index: Any) -> tuple[int, int] | None:
        """Return (first, count) when an index takes neighbouring entries of the first axis."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return (start, max(stop - start, 0)) if step == 1 else None
        return None

    def __getitem__(self, index: Any) -> Any:
        stride = self.nbytes // max(len(self), 1)
        if (rows := self._rows(index)) is not None:
            first, count = rows
            return DeviceArray(self.device, self.address + first * stride, (count, *self.shape[1:]), self.dtype, self)
        if isinstance(index, int | np.integer) and self.ndim > 1:
            address = self.address + range(len(self))[index] * stride
            return DeviceArray(self.device, address, self.shape[1:], self.dtype, self)
        return np.asarray(self)[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        whole = index is Ellipsis or self._rows(index) == (0, len(self))
        if not whole and (self._rows(index) is not None or (isinstance(index, int | np.integer) and self.ndim > 1)):
            self[index][...] = value
            return
        if whole and isinstance(value, DeviceArray) and value.shape == self.shape and value.dtype == self.dtype:
            self.device.copy(self.address, value.address, self.nbytes)
            return
        host: npt.NDArray[Any] = np.empty(self.shape, self.dtype) if whole else np.asarray(self)
        host[index] = np.asarray(value)
        self.device.upload(self.address, host)

    def reshape(self, *shape: int) -> DeviceArray:
        """Return the same memory in another shape."""
        missing = -math.prod(shape)
        filled = tuple(self.size // missing if size == -1 else size for size in shape)
        if math.prod(filled) != self.size:
            raise ValueError(f"cannot reshape {self.shape} to {shape}")
        return DeviceArray(self.device, self.address, filled, self.dtype, self)

    def fill(self, value: complex) -> None:
        """Set every entry."""
        self[...] = np.full(self.shape, value, self.dtype)
