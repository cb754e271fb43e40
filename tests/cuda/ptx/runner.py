"""Loads PTX modules as a driver would and launches their kernels on host memory.

    module = PtxModule(text)
    memory = Memory()
    amps = memory.allocate(8 << 10)
    module.launch("kernel", grid=(4, 1, 1), block=(256, 1, 1), params=struct.pack("<Q", amps), memory=memory)

A launch that breaks a rule raises :class:`PtxFault` with the kernel, block, thread and instruction.
"""

from __future__ import annotations

import ctypes
import fcntl
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from .translate import Entry, kernels, translate

__all__ = ["BOUNDS", "CHECKED", "INITIALISED", "RACES", "Memory", "PtxFault", "PtxModule", "Traffic", "cached"]

BOUNDS, RACES, INITIALISED, TRACE = 1, 2, 4, 8
#: Everything that costs little.
CHECKED = BOUNDS | RACES | INITIALISED

#: Instructions of a translation unit.
_UNIT = 2000
_HERE = Path(__file__).parent


class PtxFault(Exception):
    """A kernel did what a GPU would not forgive."""


class _Launch(ctypes.Structure):
    _fields_ = [
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("dynamic_shared", ctypes.c_uint32),
        ("checks", ctypes.c_uint32),
        ("reverse", ctypes.c_uint32),
        ("serial", ctypes.c_uint32),
        ("params", ctypes.c_void_p),
        ("allocations", ctypes.c_void_p),
        ("num_allocations", ctypes.c_uint64),
        ("chosen", ctypes.c_void_p),
        ("num_chosen", ctypes.c_uint64),
        ("message", ctypes.c_char_p),
        ("traffic", ctypes.c_void_p),
        ("skips", ctypes.c_void_p),
        ("skipped", ctypes.c_uint32),
    ]


class _Entry(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("body", ctypes.c_void_p),
        ("static_shared", ctypes.c_uint32),
        ("max_threads", ctypes.c_uint32),
        ("param_bytes", ctypes.c_uint32),
        ("num_instructions", ctypes.c_uint32),
        ("texts", ctypes.POINTER(ctypes.c_char_p)),
    ]


class Memory:
    """Device memory: host buffers the kernels may touch, and nothing else. New memory holds NaN patterns."""

    def __init__(self) -> None:
        self._buffers: dict[int, npt.NDArray[np.uint8]] = {}

    def allocate(self, size: int) -> int:
        """Return the address of ``size`` bytes, aligned to 256 as a driver does."""
        buffer = np.full(size + 256, 0xFF, dtype=np.uint8)
        address = -(-buffer.ctypes.data // 256) * 256
        self._buffers[address] = buffer[address - buffer.ctypes.data :][:size]
        return address

    def reserve(self, buffer: npt.NDArray[np.uint8]) -> int:
        """Let kernels touch a buffer of the caller's."""
        self._buffers[buffer.ctypes.data] = buffer
        return int(buffer.ctypes.data)

    def free(self, address: int) -> None:
        """Forget an allocation.

        Raises:
            PtxFault: if there is none at this address.
        """
        if address not in self._buffers:
            raise PtxFault(f"free of {address:#x}, which was not allocated")
        del self._buffers[address]
        for module in _loaded:
            module.ptx_forget(ctypes.c_uint64(address))

    def view(self, address: int, size: int) -> npt.NDArray[np.uint8]:
        """Return the bytes at an address inside one allocation.

        Raises:
            PtxFault: if they are not all inside.
        """
        for base, buffer in self._buffers.items():
            if base <= address and address + size <= base + len(buffer):
                return buffer[address - base :][:size]
        raise PtxFault(f"{size} bytes at {address:#x} are outside every allocation")

    def home(self, address: int) -> range:
        """Return the addresses of the allocation that holds an address; empty if there is none."""
        return next((range(b, b + len(m)) for b, m in self._buffers.items() if b <= address < b + len(m)), range(0))

    def table(self) -> npt.NDArray[np.uint64]:
        """Return (address, size) rows in order of address."""
        rows = sorted((base, len(buffer)) for base, buffer in self._buffers.items())
        return np.array(rows, dtype=np.uint64).reshape(-1, 2)

    @property
    def in_use(self) -> int:
        """Bytes allocated."""
        return sum(len(buffer) for buffer in self._buffers.values())


@dataclass(frozen=True)
class Traffic:
    """What one memory instruction asked for in a launch, warp by warp.

    Global memory: 32-byte sectors and 128-byte segments of each request; shared memory: wavefronts, one per 32 banks.
    """

    instruction: str
    requests: int
    sectors: int
    wavefronts: int
    bytes: int
    segments: int
    address: int  # the lowest


_loaded: list[ctypes.CDLL] = []
_launches = 0


class PtxModule:
    """A module of kernels, translated and compiled; the compiled form is cached by content.

    With ``split`` a large module becomes several translation units, compiled when a kernel of theirs is first launched
    or, several at a time, by :meth:`build`.
    """

    def __init__(self, ptx: str, optimise: str = "-O1", *, split: bool = False) -> None:
        self._ptx, self._optimise = ptx, optimise
        self.entries = kernels(ptx)
        #: A barrier by kernel, as the number of its instruction, that launches leave out: a test of the checks.
        self.skipped: dict[str, int] = {}
        #: How often a thread came to a barrier that was left out.
        self.skips = 0
        self._units = _units(self.entries) if split else [tuple(self.entries)]
        self._built: dict[tuple[str, ...], tuple[ctypes.CDLL, dict[str, _Entry]]] = {}
        if not split:
            self._library(self._units[0])

    def barriers(self, name: str) -> list[int]:
        """Return the numbers of the barriers among a kernel's instructions."""
        _, entries = self._library(next(unit for unit in self._units if name in unit))
        entry = entries[name]
        return [k for k in range(entry.num_instructions) if entry.texts[k].startswith((b"bar.sync", b"barrier"))]

    def build(self, workers: int = 2) -> None:
        """Compile all units, the largest first."""
        sources = sorted((translate(self._ptx, unit) for unit in self._units), key=len, reverse=True)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(lambda source: _build(source, self._optimise), sources))

    def _library(self, unit: tuple[str, ...]) -> tuple[ctypes.CDLL, dict[str, _Entry]]:
        if unit not in self._built:
            library = _build(translate(self._ptx, unit), self._optimise)
            _loaded.append(library)
            table = ctypes.cast(library.ptx_entries, ctypes.POINTER(_Entry))
            entries: dict[str, _Entry] = {}
            while table[len(entries)].name:
                entries[table[len(entries)].name.decode()] = table[len(entries)]
            self._built[unit] = library, entries
        return self._built[unit]

    def launch(
        self,
        name: str,
        grid: Sequence[int],
        block: Sequence[int],
        params: bytes,
        memory: Memory,
        *,
        dynamic_shared: int = 0,
        checks: int = CHECKED,
        reverse: bool = False,
        blocks: Iterable[int] | None = None,
        traffic: bool = False,
    ) -> list[Traffic]:
        """Run a kernel, all its blocks or only the linear block numbers ``blocks``.

        Raises:
            PtxFault: for whatever the checks see, and for parameters of the wrong size.
        """
        global _launches
        if name not in self.entries:
            raise PtxFault(f"no kernel {name} in this module; there are {sorted(self.entries)}")
        library, entries = self._library(next(unit for unit in self._units if name in unit))
        entry = entries[name]
        if len(params) != entry.param_bytes:
            raise PtxFault(f"{name} takes {entry.param_bytes} bytes of parameters, got {len(params)}")
        _launches += 1
        message = ctypes.create_string_buffer(1024)
        table = memory.table()
        chosen = None if blocks is None else np.array(list(blocks), dtype=np.uint64)
        counters = np.zeros((entry.num_instructions, 6), dtype=np.uint64)
        skips = ctypes.c_uint64()
        launch = _Launch(
            (ctypes.c_uint32 * 3)(*grid),
            (ctypes.c_uint32 * 3)(*block),
            dynamic_shared,
            checks | (TRACE if traffic else 0),
            reverse,
            _launches,
            ctypes.cast(ctypes.create_string_buffer(params, len(params)), ctypes.c_void_p),
            table.ctypes.data,
            len(table),
            None if chosen is None else chosen.ctypes.data,
            0 if chosen is None else len(chosen),
            ctypes.cast(message, ctypes.c_char_p),
            counters.ctypes.data if traffic else None,
            ctypes.addressof(skips),
            self.skipped.get(name, 2**32 - 1),
        )
        failed = library.ptx_launch(ctypes.byref(entry), ctypes.byref(launch))
        self.skips += skips.value
        if failed:
            raise PtxFault(message.value.decode())
        if not traffic:
            return []
        rows = [(entry.texts[k].decode(), *map(int, row)) for k, row in enumerate(counters) if row[0]]
        return [Traffic(*row) for row in rows]


def _units(entries: dict[str, Entry]) -> list[tuple[str, ...]]:
    """Return kernels in groups of similar size, in order of name: a change of one leaves the other groups as they are."""
    units: list[tuple[str, ...]] = []
    held = _UNIT
    for name, entry in sorted(entries.items()):
        if held + len(entry.statements) > _UNIT:
            units.append(())
            held = 0
        units[-1] += (name,)
        held += len(entry.statements)
    return units


def _build(source: str, optimise: str) -> ctypes.CDLL:
    """Compile and load, from the cache when this text was compiled before."""
    runtime = (_HERE / "runtime.hpp").read_text()

    def compile(target: Path) -> None:
        text = target.with_suffix(".cpp")
        text.write_text(source)
        command = ["g++", "-std=c++17", optimise, "-w", "-shared", "-fPIC", "-fno-strict-aliasing", f"-I{_HERE}"]
        done = subprocess.run([*command, str(text), "-o", str(target)], capture_output=True, text=True)
        if done.returncode:
            raise PtxFault(f"the translation does not compile:\n{done.stderr[:4000]}")

    library = cached(f"{optimise}\n{runtime}\n{source}", ".so", compile)
    return ctypes.CDLL(str(library))


def cached(key: str, suffix: str, make: Callable[[Path], None]) -> Path:
    """Return a file that ``make`` writes once for this key; whoever asks at the same time waits for it."""
    folder = Path(os.environ.get("QSIM_PTX_CACHE", Path(tempfile.gettempdir()) / f"qsim-ptx-{os.getuid()}"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = folder / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}{suffix}"
    if not kept.exists():
        with kept.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                with tempfile.TemporaryDirectory(dir=folder) as work:
                    made = Path(work, f"made{suffix}")
                    make(made)
                    made.replace(kept)
    return kept
