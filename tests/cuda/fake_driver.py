"""A CUDA driver made of Python functions: its table of addresses plays kernels on the PTX runner."""

from __future__ import annotations

import ctypes
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.cuda.ptx.runner import CHECKED, Memory, PtxFault, PtxModule, Traffic

__all__ = ["FakeDriver", "Launched"]

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, INVALID_DEVICE, NOT_FOUND, LAUNCH_FAILED = 0, 1, 2, 101, 500, 719
_NAMES = {
    INVALID_VALUE: (b"CUDA_ERROR_INVALID_VALUE", b"invalid argument"),
    OUT_OF_MEMORY: (b"CUDA_ERROR_OUT_OF_MEMORY", b"out of memory"),
    INVALID_DEVICE: (b"CUDA_ERROR_INVALID_DEVICE", b"invalid device ordinal"),
    NOT_FOUND: (b"CUDA_ERROR_NOT_FOUND", b"named symbol not found"),
    LAUNCH_FAILED: (b"CUDA_ERROR_LAUNCH_FAILED", b"unspecified launch failure"),
}
_p, _i, _u, _z, _a = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_uint64


#: Callbacks must outlive whoever holds their addresses, also when both are collected together.
_alive: list[Any] = []


@dataclass(frozen=True)
class Launched:
    """A launch: its shape, the addresses of its first argument's allocation, and what it asked memory for."""

    kernel: str
    threads: int
    shared_bytes: int
    state: range
    traffic: list[Traffic]


class FakeDriver:
    """One device. ``fail`` maps the name of a function to the code it returns next, once."""

    def __init__(self, load: Callable[[bytes], PtxModule], memory_bytes: int = 1 << 30) -> None:
        self.load, self.memory, self.memory_bytes = load, Memory(), memory_bytes
        self.calls: Counter[str] = Counter()
        self.launched: Counter[str] = Counter()  # by kernel
        self.fail: dict[str, int] = {}
        self.fail_in = 0  # n: the n-th call from now on fails; 0: none
        self.failed = ""  # its name
        self.version = 13000
        self.faults: list[str] = []
        self.reverse = False  # order in which the threads of a block take turns
        self.seen: list[Launched] | None = None  # every launch, where somebody wants to know
        self.attributes = {
            75: 9,
            76: 0,
            16: 132,
            97: 227 << 10,
            81: 228 << 10,
            13: 1_700_000,
            36: 2_600_000,
            37: 5120,
            18: 0,
        }
        self._modules: dict[int, PtxModule] = {}
        self._functions: dict[int, tuple[PtxModule, str]] = {}
        self._allowed: dict[int, int] = {}
        _alive.append(self)
        self._callbacks = {name: self._wrapped(name, *types) for name, types in _SIGNATURES.items()}

    @property
    def table(self) -> dict[str, int]:
        """Addresses of all functions by name."""
        return {name: ctypes.cast(callback, _p).value or 0 for name, callback in self._callbacks.items()}

    def _wrapped(self, name: str, *types: Any) -> Any:
        work = getattr(self, name)

        def call(*arguments: Any) -> int:
            self.calls[name] += 1
            self.fail_in -= 1
            if self.fail_in == 0:
                self.failed = name
                return LAUNCH_FAILED
            if name in self.fail:
                return self.fail.pop(name)
            try:
                return int(work(*arguments) or SUCCESS)
            except PtxFault as fault:
                self.faults.append(str(fault))
                return LAUNCH_FAILED if name == "cuLaunchKernel" else INVALID_VALUE

        return ctypes.CFUNCTYPE(_i, *types)(call)

    # The driver's functions, in the order of the table.

    def cuInit(self, flags: int) -> None:
        pass

    def cuDriverGetVersion(self, version: int) -> None:
        _write(version, _i, self.version)

    def cuGetErrorName(self, code: int, text: int) -> int:
        return self._text(code, text, 0)

    def cuGetErrorString(self, code: int, text: int) -> int:
        return self._text(code, text, 1)

    def _text(self, code: int, text: int, which: int) -> int:
        if code not in _NAMES:
            return INVALID_VALUE
        _write(text, ctypes.c_char_p, _NAMES[code][which])
        return SUCCESS

    def cuDeviceGetCount(self, count: int) -> None:
        _write(count, _i, 1)

    def cuDeviceGet(self, device: int, number: int) -> int:
        _write(device, _i, number)
        return SUCCESS if number == 0 else INVALID_DEVICE

    def cuDeviceGetName(self, text: int, size: int, device: int) -> None:
        ctypes.memmove(text, b"Fake H100\0", 10)

    def cuDeviceGetAttribute(self, value: int, which: int, device: int) -> int:
        if which not in self.attributes:
            return INVALID_VALUE
        _write(value, _i, self.attributes[which])
        return SUCCESS

    def cuDeviceTotalMem_v2(self, size: int, device: int) -> None:
        _write(size, _z, self.memory_bytes)

    def cuDevicePrimaryCtxRetain(self, context: int, device: int) -> None:
        _write(context, _p, 0xC0)

    def cuDevicePrimaryCtxRelease_v2(self, device: int) -> None:
        pass

    def cuCtxSetCurrent(self, context: int) -> int:
        return SUCCESS if context == 0xC0 else INVALID_VALUE

    def cuCtxSynchronize(self) -> None:
        pass

    def cuMemGetInfo_v2(self, free: int, total: int) -> None:
        _write(free, _z, self.memory_bytes - self.memory.in_use)
        _write(total, _z, self.memory_bytes)

    def cuMemAlloc_v2(self, address: int, size: int) -> int:
        if size == 0:
            return INVALID_VALUE
        if size > self.memory_bytes - self.memory.in_use:
            return OUT_OF_MEMORY
        _write(address, _a, self.memory.allocate(size))
        return SUCCESS

    def cuMemFree_v2(self, address: int) -> None:
        self.memory.free(address)

    def cuMemcpyHtoD_v2(self, target: int, source: int, size: int) -> None:
        if size:
            self.memory.view(target, size)
            ctypes.memmove(target, source, size)

    def cuMemcpyDtoH_v2(self, target: int, source: int, size: int) -> None:
        if size:
            self.memory.view(source, size)
            ctypes.memmove(target, source, size)

    def cuMemcpyDtoD_v2(self, target: int, source: int, size: int) -> None:
        self.memory.view(target, size)[:] = self.memory.view(source, size).copy()

    def cuModuleLoadData(self, module: int, image: int) -> None:
        handle = 0xA000 + len(self._modules)
        self._modules[handle] = self.load(ctypes.string_at(image))
        _write(module, _p, handle)

    def cuModuleUnload(self, module: int) -> int:
        return SUCCESS if self._modules.pop(module, None) else INVALID_VALUE

    def cuModuleGetFunction(self, function: int, module: int, name: int) -> int:
        found = self._modules.get(module)
        text = ctypes.string_at(name).decode()
        if found is None or text not in found.entries:
            return NOT_FOUND
        handle = 0xF000 + len(self._functions)
        self._functions[handle] = (found, text)
        self._allowed[handle] = 48 << 10
        _write(function, _p, handle)
        return SUCCESS

    def cuFuncSetAttribute(self, function: int, which: int, value: int) -> int:
        if which != 8 or value > self.attributes[97]:
            return INVALID_VALUE
        self._allowed[function] = value
        return SUCCESS

    def cuLaunchKernel(self, function: int, gx: int, gy: int, gz: int, bx: int, by: int, bz: int, shared: int, stream: int,
                       params: int, extra: int) -> int:  # fmt: skip
        module, name = self._functions[function]
        if shared > self._allowed[function] or not 0 < gx < 2**31:
            return INVALID_VALUE
        self.launched[name] += 1
        size = module.entries[name].param_bytes
        pointers = (ctypes.c_void_p * (size // 8)).from_address(params)
        packed = b"".join(struct.pack("<Q", ctypes.c_uint64.from_address(pointer).value) for pointer in pointers)
        traffic = module.launch(name, (gx, gy, gz), (bx, by, bz), packed, self.memory, dynamic_shared=shared,
                                checks=CHECKED, reverse=self.reverse, traffic=self.seen is not None)  # fmt: skip
        if self.seen is not None:
            home = self.memory.home(struct.unpack_from("<Q", packed)[0])
            self.seen.append(Launched(name, bx, shared, home, traffic))
        return SUCCESS


def _write(address: int, kind: Any, value: Any) -> None:
    kind.from_address(address).value = value


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuInit": (_u,),
    "cuDriverGetVersion": (_p,),
    "cuGetErrorName": (_i, _p),
    "cuGetErrorString": (_i, _p),
    "cuDeviceGetCount": (_p,),
    "cuDeviceGet": (_p, _i),
    "cuDeviceGetName": (_p, _i, _i),
    "cuDeviceGetAttribute": (_p, _i, _i),
    "cuDeviceTotalMem_v2": (_p, _i),
    "cuDevicePrimaryCtxRetain": (_p, _i),
    "cuDevicePrimaryCtxRelease_v2": (_i,),
    "cuCtxSetCurrent": (_p,),
    "cuCtxSynchronize": (),
    "cuMemGetInfo_v2": (_p, _p),
    "cuMemAlloc_v2": (_p, _z),
    "cuMemFree_v2": (_a,),
    "cuMemcpyHtoD_v2": (_a, _p, _z),
    "cuMemcpyDtoH_v2": (_p, _a, _z),
    "cuMemcpyDtoD_v2": (_a, _a, _z),
    "cuModuleLoadData": (_p, _p),
    "cuModuleUnload": (_p,),
    "cuModuleGetFunction": (_p, _p, _p),
    "cuFuncSetAttribute": (_p, _i, _i),
    "cuLaunchKernel": (_p, _u, _u, _u, _u, _u, _u, _u, _p, _p, _p),
}
