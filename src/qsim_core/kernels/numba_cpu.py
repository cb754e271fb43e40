"""The portable fast path: numba kernels on a few Python threads, where the C++ core was not built.

Importing this module imports numba; where that fails the registry notes the reason and "auto" goes on to the reference.
Kernels are compiled at their first use with each precision and kept on disk.
"""

from __future__ import annotations

import cmath
import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from ..errors import ShapeError, UnsupportedError, expected
from ..operations import OpKind
from ..plan import Coefficients, Plan, Stage
from ..types import Amps, ComplexArray, FloatArray, IndexArray, Precision
from . import numba_kernels as kernels
from .contract import Backend, spread_bits
from .control import RunControl

__all__ = ["NumbaCpuBackend"]

#: Work (multiply-adds, about) below which one thread is faster than several.
THREADING_THRESHOLD = 2**16
#: What a thread works before it looks up, in seconds and, at first, in multiply-adds.
CHUNK_SECONDS = 0.02
FIRST_CHUNK = 2**16
#: Longest part of a permutation's cycle that is followed in one go.
SEGMENT_MOVES = 2**15

_Array = npt.NDArray[Any]
_Kernel = Callable[..., None]

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()


def _threads() -> ThreadPoolExecutor:
    """Return the helpers shared by all runs of this process."""
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(2, os.cpu_count() or 1), thread_name_prefix="qsim-numba")
        return _pool


def _drop_threads() -> None:
    """A forked child has none of its parent's threads, and perhaps a lock one of them held."""
    global _pool, _pool_lock
    _pool, _pool_lock = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_drop_threads)


class _Sweep:
    """Items 0 to ``size`` of one kernel call, handed out in chunks of about ``CHUNK_SECONDS``."""

    def __init__(self, run: Callable[[int, int], None], size: int, chunk: int) -> None:
        self._run = run
        self._size = size
        self._chunk = chunk
        self._next = 0
        self._lock = threading.Lock()

    def stop(self) -> None:
        with self._lock:
            self._next = self._size

    def drain(self, control: RunControl | None = None) -> None:
        """Work until nothing is left; only the caller of the run passes its control and polls it."""
        while True:
            if control is not None:
                control.poll()
            with self._lock:
                begin = self._next
                end = self._next = min(begin + self._chunk, self._size)
            if begin >= end:
                return
            started = time.perf_counter()
            self._run(begin, end)
            used = time.perf_counter() - started
            if used < CHUNK_SECONDS / 4:
                self._chunk = max(self._chunk, 2 * (end - begin))
            elif used > CHUNK_SECONDS:
                self._chunk = max(1, min(self._chunk, int((end - begin) * CHUNK_SECONDS / used)))


def _sweep(control: RunControl, size: int, cost: int, kernel: _Kernel, state: _Array, *arguments: Any) -> None:
    """Call ``kernel`` on all items of a sweep; ``cost`` is the work of one item."""
    work = _Sweep(lambda begin, end: kernel(state, begin, end, *arguments), size, max(1, FIRST_CHUNK // cost))
    helpers: list[Future[None]] = []
    try:
        if control.threads > 1 and size * cost > THREADING_THRESHOLD:
            helpers = [_threads().submit(work.drain) for _ in range(control.threads - 1)]
        work.drain(control)
    finally:  # also after Ctrl-C: nobody may write to the amplitudes once this call is over
        work.stop()
        running = [helper for helper in helpers if not helper.cancel()]
        errors = [helper.exception() for helper in running]
    for error in errors:
        if error is not None:
            raise error


class NumbaCpuBackend(Backend):
    """numba kernels; results do not depend on the number of threads, bit by bit."""

    name = "numba_cpu"
    description = f"numba {numba.__version__}"

    def allocate(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        return np.empty((batch, 2**num_qubits), dtype=precision.dtype)

    def scratch_bytes(self, plan: Plan) -> int:
        """Beside the amplitudes: the operand in the precision of the run, and the cycles of a permutation."""
        width = plan.precision.bytes_per_amplitude
        factor = {OpKind.DENSE: (2, width), OpKind.PERMUTATION: (1, 6), OpKind.DIAGONAL: (1, width),
                  OpKind.INITIALIZE: (1, width)}  # fmt: skip
        sizes = [
            times[1] << times[0] * int(plan.ops.num_targets[plan.ops.kind == kind].max(initial=0))
            for kind, times in factor.items()
        ]
        return max(sizes) + (width << max(0, plan.num_qubits - SEGMENT_MOVES.bit_length() + 1))

    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        _check(amps)
        rows = plan.op_range(stage)
        for done, row in enumerate(rows):
            control.poll()
            control.report(done / len(rows))
            _Step(plan, row, coefficients.operands, amps, control).run(coefficients.values)

    def norms(self, amps: Amps, control: RunControl) -> FloatArray:
        return self.probabilities(amps, (), control)[:, 0]

    def probabilities(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> FloatArray:
        """Sum in fixed parts: one row of partial sums per part where there is room, else part after part."""
        _check(amps)
        size = _part_size(amps.shape[1])
        parts, outcomes = amps.shape[1] // size, 2 ** len(qubits)
        apart = parts * outcomes <= 2**20
        alone = control if apart else RunControl(1, control.cancel, control.deadline)
        result = np.empty((len(amps), outcomes))
        for row, state in zip(result, amps, strict=True):
            sums = np.zeros((parts if apart else 1, outcomes))
            _sweep(alone, parts, size, kernels.histogram, state, size, _bit_runs(qubits), sums)
            row[:] = sums.sum(axis=0)
        return result

    def inner_product(self, bra: Amps, ket: Amps, control: RunControl) -> ComplexArray:
        return self.pauli_overlap(bra, ket, 0, 0, control)

    def pauli_overlap(self, bra: Amps, ket: Amps, x_mask: int, z_mask: int, control: RunControl) -> ComplexArray:
        _check(bra)
        _check(ket)
        size = _part_size(ket.shape[1])
        total = np.empty(len(ket), dtype=np.complex128)
        for b, (left, right) in enumerate(zip(bra, ket, strict=True)):
            sums = np.empty(len(right) // size, dtype=np.complex128)
            _sweep(control, len(sums), 2 * size, kernels.overlap, right, left, size, int(x_mask), int(z_mask), sums)
            total[b] = sums.sum()
        return total * 1j ** (int(x_mask & z_mask).bit_count() % 4)


class _Step:
    """One operation on a whole batch: its masks, and the kernel it becomes."""

    def __init__(self, plan: Plan, row: int, operands: Sequence[_Array], amps: Amps, control: RunControl) -> None:
        ops = plan.ops
        self.kind = OpKind(int(ops.kind[row]))
        self.data = int(ops.data[row])
        self.targets: list[int] = ops.targets(row).tolist()
        self.letters: list[int] = ops.target_tags(row).tolist()
        self.bits = [1 << target for target in self.targets]
        controls = ops.controls(row).tolist()
        self.held = sum(1 << qubit for qubit in controls)
        self.value = sum(1 << q for q, v in zip(controls, ops.control_values(row).tolist(), strict=True) if v)
        self.num_qubits = plan.num_qubits
        self.operands = operands
        self.amps = amps
        self.dtype = amps.dtype
        self.control = control

    def run(self, values: FloatArray) -> None:
        flat = self.amps.reshape(-1)
        match self.kind:
            case OpKind.ROTATION | OpKind.PHASE if len(values) == 1:
                self.angle(flat, float(values[0, self.data]))
            case OpKind.ROTATION | OpKind.PHASE:
                for state, angle in zip(self.amps, values[:, self.data].tolist(), strict=True):
                    self.angle(state, angle)
            case OpKind.DENSE if len(self.targets) == 0:
                self.phase(flat, 0, self.operands[self.data][0, 0])
            case OpKind.DIAGONAL | OpKind.INITIALIZE if len(self.targets) == 0:
                self.phase(flat, 0, self.operands[self.data][0])
            case OpKind.DENSE if len(self.targets) == 1:
                self.matrix(flat, self.operands[self.data])
            case OpKind.DENSE:
                self.dense(flat)
            case OpKind.DIAGONAL:
                vector = self.constant(self.operands[self.data])
                self.sweep(kernels.apply_diagonal, flat, self.held, 1, _bit_runs(self.targets), vector)
            case OpKind.PERMUTATION if len(self.targets) == 1:  # X, or nothing
                if self.operands[self.data][0] == 1:
                    self.matrix(flat, np.array([[0, 1], [1, 0]]))
            case OpKind.PERMUTATION:
                self.permutation(flat)
            case OpKind.INITIALIZE:
                vector, mask = self.constant(self.operands[self.data]), sum(self.bits)
                _sweep(self.control, len(flat), 1, kernels.prepare, flat, mask, _bit_runs(self.targets), vector)
                self.held = mask
                self.phase(flat, 0, vector[0])
            case _:
                raise UnsupportedError(
                    expected("operation inside a pass", "a unitary or an initialisation", self.kind.name)
                )

    def sweep(self, kernel: _Kernel, state: _Array, fixed: int, cost: int, *arguments: Any) -> None:
        """Run a kernel on the indices whose ``fixed`` bits are free of choice."""
        _sweep(self.control, len(state) >> fixed.bit_count(), cost, kernel, state, fixed, self.value, *arguments)

    def constant(self, operand: _Array) -> _Array:
        """Return an operand in the precision of the run, always read-only, so that one compiled kernel serves all."""
        array = np.ascontiguousarray(operand, dtype=self.dtype if operand.dtype.kind == "c" else np.int64).view()
        array.flags.writeable = False
        return array

    def angle(self, state: _Array, angle: float) -> None:
        """Rotation or Phase of one angle."""
        if self.kind == OpKind.PHASE:
            self.phase(state, 0, cmath.exp(1j * angle))
            return
        x_mask = sum(bit for bit, letter in zip(self.bits, self.letters, strict=True) if letter != 3)
        z_mask = sum(bit for bit, letter in zip(self.bits, self.letters, strict=True) if letter != 1)
        cosine, sine = math.cos(angle / 2), math.sin(angle / 2)
        if not x_mask:
            self.phase(state, z_mask, complex(cosine, -sine), complex(cosine, sine))
            return
        num_y = (x_mask & z_mask).bit_count()
        factor = -1j * sine * 1j ** (num_y % 4)
        back = -1 if num_y % 2 else 1
        if len(self.targets) == 1:
            self.matrix(state, np.array([[cosine, back * factor], [factor, cosine]]))
            return
        real = self.dtype.type(0).real.dtype.type
        pivot = 1 << x_mask.bit_length() - 1
        self.sweep(
            kernels.apply_rotation, state, self.held | pivot, 2, x_mask, z_mask, real(cosine),
            self.dtype.type(factor), real(back),
        )  # fmt: skip

    def phase(self, state: _Array, z_mask: int, even: complex, odd: complex = 1) -> None:
        number = self.dtype.type
        self.sweep(kernels.apply_phase, state, self.held, 1, z_mask, number(even), number(odd))

    def matrix(self, state: _Array, matrix: _Array) -> None:
        entries = matrix.astype(self.dtype).ravel()
        self.sweep(kernels.apply_matrix, state, self.held | self.bits[0], 4, self.bits[0], *entries)

    def dense(self, state: _Array) -> None:
        size = 2 ** len(self.targets)
        offsets = spread_bits(np.arange(size), self.targets)
        columns = self.constant(self.operands[self.data].T)
        self.sweep(kernels.apply_dense, state, self.held | sum(self.bits), size * size, offsets, columns)

    def permutation(self, state: _Array) -> None:
        table = self.constant(self.operands[self.data])
        starts, lengths, num_cut = _segments(table, self.control)
        if not len(starts):
            return
        width = len(self.targets)
        digits = min(width, kernels.SPREAD_BITS)
        low = spread_bits(np.arange(2**digits), self.targets[:digits])
        high = spread_bits(np.arange(2 ** (width - digits)), self.targets[digits:])
        fixed = self.held | sum(self.bits)
        bases = len(state) >> fixed.bit_count()
        saved = np.empty((bases, num_cut), dtype=self.dtype)
        if num_cut:
            free = [q for q in range(len(state).bit_length()) if not fixed >> q & 1]
            rows = spread_bits(np.arange(bases), free) | self.value
            saved[:] = state[rows[:, None] | spread_bits(starts[:num_cut].astype(np.int64), self.targets)]
        cost = max(1, len(table) // len(starts))
        _sweep(
            self.control, bases * len(starts), cost, kernels.follow_cycles, state, fixed, self.value, table, low, high,
            starts, lengths, saved,
        )  # fmt: skip


def _segments(table: _Array, control: RunControl) -> tuple[_Array, _Array, int]:
    """Return starts and lengths of the segments of a permutation's cycles, and how many belong to cut cycles.

    Those come first. Widest table: 26 bits, so 32-bit numbers do.
    """
    room = len(table) // 2 + len(table) // SEGMENT_MOVES + 2
    starts, lengths = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)
    is_cut = np.zeros(room, dtype=np.uint8)
    seen = np.zeros(len(table), dtype=np.uint8)
    cursor = np.zeros(5, dtype=np.int64)
    while cursor[0] < len(table):
        control.poll()
        kernels.cut_cycles(table, seen, starts, lengths, is_cut, cursor, SEGMENT_MOVES, 2**20)
    count = int(cursor[3])
    starts, lengths, is_cut = starts[:count], lengths[:count], is_cut[:count]
    num_cut = int(is_cut.sum())
    if num_cut:
        order = np.argsort(1 - is_cut, kind="stable")
        starts, lengths = starts[order], lengths[order]
    return starts, lengths, num_cut


def _bit_runs(qubits: Sequence[int]) -> IndexArray:
    """Return rows (first bit, mask, place) that gather qubits[k] to bit k, neighbours together.

    >>> _bit_runs((3, 4, 0)).tolist()
    [[3, 3, 0], [0, 1, 2]]
    """
    runs: list[list[int]] = []
    for place, qubit in enumerate(qubits):
        if runs and qubit == runs[-1][0] + runs[-1][1].bit_length():
            runs[-1][1] = 2 * runs[-1][1] + 1
        else:
            runs.append([qubit, 1, place])
    return np.array(runs, dtype=np.int64).reshape(-1, 3)


def _part_size(size: int) -> int:
    """Amplitudes per partial sum: depends on the size of the state and on nothing else."""
    return min(size, max(2**14, min(size // 64, 2**22)))


def _check(amps: Amps) -> None:
    if amps.ndim != 2 or not amps.flags.c_contiguous:
        raise ShapeError(expected("amps", "a C-contiguous array of shape (batch, 2^n)", f"strides {amps.strides}"))
