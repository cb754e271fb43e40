"""A CUDA driver made of Python functions: its table of addresses plays kernels on the PTX runner."""

from __future__ import annotations

import ctypes
import os
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.cuda.fake_streams import Event, Stream, Streams
from tests.cuda.ptx.runner import CHECKED, Memory, PtxFault, PtxModule, Traffic

__all__ = ["Card", "FakeDriver", "Launched"]

SUCCESS, INVALID_VALUE, OUT_OF_MEMORY, NO_DEVICE, INVALID_DEVICE, NOT_FOUND, LAUNCH_FAILED = 0, 1, 2, 100, 101, 500, 719
CAPTURE_UNSUPPORTED = 900
#: What a thread may call while it records launches.
_WHILE_CAPTURING = ("cuLaunchKernel", "cuStreamEndCapture", "cuCtxSetCurrent", "cuGetErrorName", "cuGetErrorString")
_NAMES = {
    INVALID_VALUE: (b"CUDA_ERROR_INVALID_VALUE", b"invalid argument"),
    OUT_OF_MEMORY: (b"CUDA_ERROR_OUT_OF_MEMORY", b"out of memory"),
    NO_DEVICE: (b"CUDA_ERROR_NO_DEVICE", b"no CUDA-capable device is detected"),
    INVALID_DEVICE: (b"CUDA_ERROR_INVALID_DEVICE", b"invalid device ordinal"),
    NOT_FOUND: (b"CUDA_ERROR_NOT_FOUND", b"named symbol not found"),
    CAPTURE_UNSUPPORTED: (b"CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", b"not permitted while a stream is capturing"),
    LAUNCH_FAILED: (b"CUDA_ERROR_LAUNCH_FAILED", b"unspecified launch failure"),
}
_p, _i, _u, _z, _a = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint, ctypes.c_size_t, ctypes.c_uint64


#: Callbacks must outlive whoever holds their addresses, also when both are collected together.
_alive: list[Any] = []


@dataclass(frozen=True)
class Launched:
    """A launch: its shape, the addresses of its first argument's allocation and where its second's begins, and what it
    asked memory for.
    """

    kernel: str
    threads: int
    shared_bytes: int
    state: range
    program: int
    traffic: list[Traffic]


@dataclass(frozen=True)
class Card:
    """One card of the machine, or with ``MIG-`` at the front of its id a slice of one."""

    name: str = "Fake H100"
    uuid: str = "GPU-00000000-0000-0000-0000-000000000000"
    memory_bytes: int = 0  # 0: what the driver was made with
    multiprocessors: int = 132


def visible(cards: Sequence[Card], wanted: str | None) -> list[Card]:
    """Return the cards CUDA_VISIBLE_DEVICES shows: numbers or beginnings of ids, in its order, up to the first that is none.

    Slices are seen where they are named, or where there is nothing else; only one is (CUDA C++ Programming Guide,
    "CUDA Environment Variables"; MIG User Guide, "Device Enumeration").
    """
    whole = [card for card in cards if not card.uuid.startswith("MIG-")]
    if wanted is None:
        return whole or list(cards[:1])
    found: list[Card] = []
    for text in wanted.split(",") if wanted else ():
        if text.isdigit() and int(text) < len(whole):
            chosen = [whole[int(text)]]
        else:
            chosen = [card for card in cards if text.startswith(("GPU-", "MIG-")) and card.uuid.startswith(text)]
        if len(chosen) != 1 or chosen[0] in found:
            break
        found += chosen
        if found[-1].uuid.startswith("MIG-"):
            return found[-1:]
    return found


class FakeDriver:
    """One device unless there are more ``cards``. ``fail`` maps the name of a function to the code it returns next, once."""

    def __init__(
        self, load: Callable[[bytes], PtxModule], memory_bytes: int = 1 << 30, early_copies: bool = False
    ) -> None:
        self.streams = Streams(early_copies)
        self.cards: tuple[Card, ...] = (Card(),)
        self._visible = list(self.cards)
        self.capturing: list[Callable[[], None]] | None = None
        self.skip: Callable[[str, tuple[Any, ...]], bool] | None = None  # which calls do nothing and say they did
        self._handles: dict[int, Any] = {}  # streams, events, graphs, pinned memory
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
                self.capturing = None  # a capture that went wrong is over
                return self.fail.pop(name)
            if self.capturing is not None and name not in _WHILE_CAPTURING:
                return CAPTURE_UNSUPPORTED
            if self.skip is not None and self.skip(name, arguments):
                return SUCCESS
            try:
                if name in ("cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuMemcpyDtoD_v2"):
                    self.streams.before_default()
                if name in ("cuMemFree_v2", "cuCtxSynchronize", "cuModuleUnload"):
                    self.streams.everything()
                return int(work(*arguments) or SUCCESS)
            except PtxFault as fault:
                self.faults.append(str(fault))
                return INVALID_VALUE if name.startswith("cuMem") else LAUNCH_FAILED

        return ctypes.CFUNCTYPE(_i, *types)(call)

    # The driver's functions, in the order of the table.

    def cuInit(self, flags: int) -> int:
        self._visible = visible(self.cards, os.environ.get("CUDA_VISIBLE_DEVICES"))
        return SUCCESS if self._visible else NO_DEVICE

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
        _write(count, _i, len(self._visible))

    def cuDeviceGet(self, device: int, number: int) -> int:
        _write(device, _i, number)
        return SUCCESS if 0 <= number < len(self._visible) else INVALID_DEVICE

    def cuDeviceGetName(self, text: int, size: int, device: int) -> None:
        name = self._visible[device].name.encode() + b"\0"
        ctypes.memmove(text, name, min(size, len(name)))

    def cuDeviceGetAttribute(self, value: int, which: int, device: int) -> int:
        if which not in self.attributes:
            return INVALID_VALUE
        _write(value, _i, self._visible[device].multiprocessors if which == 16 else self.attributes[which])
        return SUCCESS

    def cuDeviceTotalMem_v2(self, size: int, device: int) -> None:
        _write(size, _z, self._visible[device].memory_bytes or self.memory_bytes)

    def cuDevicePrimaryCtxRetain(self, context: int, device: int) -> None:
        self.memory_bytes = self._visible[device].memory_bytes or self.memory_bytes
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
        size = module.entries[name].param_bytes
        pointers = (ctypes.c_void_p * (size // 8)).from_address(params)
        packed = b"".join(struct.pack("<Q", ctypes.c_uint64.from_address(pointer).value) for pointer in pointers)

        def run() -> None:
            self.launched[name] += 1
            traffic = module.launch(name, (gx, gy, gz), (bx, by, bz), packed, self.memory, dynamic_shared=shared,
                                    checks=CHECKED, reverse=self.reverse, traffic=self.seen is not None)  # fmt: skip
            if self.seen is not None:
                state, program = struct.unpack_from("<2Q", packed)
                home = self.memory.home(state)
                self.seen.append(Launched(name, bx, shared, home, self.memory.home(program).start, traffic))

        if not stream:
            self.streams.before_default()
            run()
        elif self.capturing is not None:
            self.capturing.append(run)
        else:
            self.streams.add(self._handles[stream], run)
        return SUCCESS

    # Streams, events, graphs and pinned memory.

    def _new(self, place: int, what: Any) -> None:
        handle = 0xB000 + len(_alive) * 2**32 + self.calls.total()
        self._handles[handle] = what
        _write(place, _p, handle)

    def _gone(self, handle: int) -> int:
        return INVALID_VALUE if self._handles.pop(handle, None) is None else SUCCESS

    @property
    def handles(self) -> int:
        """Streams, events, graphs and pieces of pinned memory that are there."""
        return len(self._handles)

    def cuMemHostAlloc(self, place: int, size: int, flags: int) -> None:
        buffer = ctypes.create_string_buffer(size)
        self._handles[ctypes.addressof(buffer)] = buffer
        _write(place, _p, ctypes.addressof(buffer))

    def cuMemFreeHost(self, address: int) -> int:
        return self._gone(address)

    def cuMemcpyHtoDAsync_v2(self, target: int, source: int, size: int, stream: int) -> int:
        buffer = self._handles.get(source)
        if not isinstance(buffer, ctypes.Array) or size > len(buffer):
            return INVALID_VALUE  # from memory that is not pinned a driver copies at once: nothing would be seen
        self.memory.view(target, size)
        self.streams.add(self._handles[stream], lambda: ctypes.memmove(target, source, size))  # type: ignore[arg-type]
        return SUCCESS

    def cuStreamCreate(self, place: int, flags: int) -> None:
        self._new(place, self.streams.create(blocking=flags == 0))

    def cuStreamDestroy_v2(self, stream: int) -> int:
        self.streams.run(self._handles[stream])
        return self._gone(stream)

    def cuStreamSynchronize(self, stream: int) -> None:
        self.streams.run(self._handles[stream])

    def cuStreamWaitEvent(self, stream: int, event: int, flags: int) -> None:
        self.streams.wait(self._handles[stream], self._handles[event])

    def cuEventCreate(self, place: int, flags: int) -> None:
        self._new(place, Event())

    def cuEventDestroy_v2(self, event: int) -> int:
        return self._gone(event)

    def cuEventRecord(self, event: int, stream: int) -> None:
        self.streams.record(self._handles[event], self._handles[stream])

    def cuEventSynchronize(self, event: int) -> None:
        found = self._handles[event]
        if found.stream is not None:
            self.streams.run(found.stream, found.place)

    def cuStreamBeginCapture_v2(self, stream: int, mode: int) -> int:
        if not isinstance(self._handles.get(stream), Stream) or self.capturing is not None:
            return INVALID_VALUE
        self.capturing = []
        return SUCCESS

    def cuStreamEndCapture(self, stream: int, graph: int) -> None:
        self._new(graph, self.capturing)
        self.capturing = None

    def cuGraphInstantiateWithFlags(self, place: int, graph: int, flags: int) -> None:
        self._new(place, tuple(self._handles[graph]))

    def cuGraphDestroy(self, graph: int) -> int:
        return self._gone(graph)

    def cuGraphLaunch(self, graph: int, stream: int) -> None:
        for run in self._handles[graph]:
            self.streams.add(self._handles[stream], run)

    def cuGraphExecDestroy(self, graph: int) -> int:
        return self._gone(graph)


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
    "cuMemHostAlloc": (_p, _z, _u),
    "cuMemFreeHost": (_p,),
    "cuMemcpyHtoDAsync_v2": (_a, _p, _z, _p),
    "cuStreamCreate": (_p, _u),
    "cuStreamDestroy_v2": (_p,),
    "cuStreamSynchronize": (_p,),
    "cuStreamWaitEvent": (_p, _p, _u),
    "cuEventCreate": (_p, _u),
    "cuEventDestroy_v2": (_p,),
    "cuEventRecord": (_p, _p),
    "cuEventSynchronize": (_p,),
    "cuStreamBeginCapture_v2": (_p, _i),
    "cuStreamEndCapture": (_p, _p),
    "cuGraphInstantiateWithFlags": (_p, _p, ctypes.c_ulonglong),
    "cuGraphDestroy": (_p,),
    "cuGraphLaunch": (_p, _p),
    "cuGraphExecDestroy": (_p,),
}
