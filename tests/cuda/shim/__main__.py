"""Every exercise on a library made of ``shim.cpp``; results are compared with the CPU core's."""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.cuda import exercises
from tests.cuda.fake_driver import FakeDriver
from tests.cuda.ptx.runner import Memory

from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice


class ExactMemory(Memory):
    """Allocations of the C library, to the byte: a sanitizer knows where they end."""

    def __init__(self) -> None:
        super().__init__()
        self._library = ctypes.CDLL(None)

    def allocate(self, size: int) -> int:
        place = ctypes.c_void_p()
        assert self._library.posix_memalign(ctypes.byref(place), ctypes.c_size_t(256), ctypes.c_size_t(size)) == 0
        buffer = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(place.value or 0))
        buffer[:] = 0xFF
        self._buffers[place.value or 0] = buffer
        return place.value or 0

    def free(self, address: int) -> None:
        super().free(address)
        self._library.free(ctypes.c_void_p(address))


class ShimModule:
    """Stands where the module of translated PTX does."""

    def __init__(self, path: str, short_by: int) -> None:
        self._library, self._short_by = ctypes.CDLL(path), short_by
        self.entries = {name: SimpleNamespace(param_bytes=32) for name, _, _ in exercises.kernel_names()}

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        params: bytes,
        memory: Memory,
        *,
        dynamic_shared: int,
        **unused: Any,
    ) -> list[Any]:
        shared = max(dynamic_shared - self._short_by, 0)
        kernel, size = getattr(self._library, name), ctypes.c_size_t(shared)
        stuck = self._library.shim_launch(kernel, grid[0], block[0], size, ctypes.c_char_p(params))
        assert not stuck, f"{name}: not all threads come to a barrier"
        return []


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("library")
    parser.add_argument("--short-by", type=int, default=0)
    parser.add_argument("--without-barriers", action="store_true", help="of blocks: races, for ThreadSanitizer to see")
    parser.add_argument("--only", nargs="+", help="names of exercises; all of them where left out")
    arguments = parser.parse_args()
    module: Any = ShimModule(arguments.library, arguments.short_by)
    if arguments.without_barriers:
        module._library.shim_leave_barriers_out()
    card = FakeDriver(lambda image: module)
    card.memory = ExactMemory()
    exercises.REFERENCE = NativeCpuBackend()
    backend = NativeCudaBackend(NativeDevice(card.table, image=b"text"))
    for name, kernel, precision in exercises.kernel_names():
        if arguments.only and kernel not in arguments.only:
            continue
        exercises.exercise(kernel, backend, precision)
        assert card.launched[name], name
        print(name, flush=True)


main()
