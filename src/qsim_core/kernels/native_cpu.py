"""The C++ core on the CPU: vector kernels for the best instruction set of this machine, one pool of threads.

``QSIM_ISA=generic|avx2|avx512`` overrides the choice of instruction set. Results are bit-identical for any number of
threads; between instruction sets they differ by rounding.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from weakref import WeakKeyDictionary, ref

import numpy as np
import numpy.typing as npt

from ..cost_model import Work
from ..errors import MemoryBudgetError, UnsupportedError, expected
from ..operations import OpKind
from ..pauli import PauliTerms
from ..plan import Coefficients, Plan, Stage
from ..program import Program
from ..random import RandomSource
from ..types import Amps, ComplexArray, FloatArray, IndexArray, Precision
from .contract import Backend, Regrouping, StageRun, check_sampled_norms, spread_bits
from .control import RunControl

__all__ = ["NativeCpuBackend", "build_info"]

#: Stages of plans whose tables are kept, 2 MiB of each at most (cpp/cpu/tile_engine.cpp).
_KEPT = 32
BUILD_INFO = Path(__file__).parents[1] / "_build_info.json"


def build_info() -> dict[str, object]:
    """Return what the installation noted about the core: ``native`` (bool) and, where it is missing, ``reason``."""
    try:
        info = json.loads(BUILD_INFO.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"native": False, "reason": "this is a source tree that was never installed"}
    return info if isinstance(info, dict) else {}


try:
    from .. import _native
except ImportError as error:
    _reason = str(build_info().get("reason") or error)
    raise ImportError(
        f"the C++ core is not usable here: {_reason}. Install qsim-core again where there is a C++17 compiler (g++ or "
        "clang++), with QSIM_NATIVE=1 pip install --force-reinstall --no-deps, which says what fails."
    ) from error


class NativeCpuBackend(Backend):
    """Vector kernels in C++.

    ``isa`` names an instruction set this CPU has; the default is that of ``QSIM_ISA``, else the best one.
    """

    name = "native_cpu"
    #: Qubits in a tile where a pass leaves a choice; 0: what suits the second-level cache.
    tile_qubits = 0

    def __init__(self, isa: str | None = None) -> None:
        #: What was worked out and checked of plans, once.
        self._scratch: WeakKeyDictionary[Plan, int] = WeakKeyDictionary()
        self._passes = lru_cache(maxsize=_KEPT)(self._make_passes)
        self._cpu = _native.Cpu(os.environ.get("QSIM_ISA", "") if isa is None else isa)
        width = self._cpu.vector_bytes
        self.description = f"{self._cpu.isa}, {width // 16}/{width // 8} amplitudes per vector (double/single)"

    @staticmethod
    def isas() -> tuple[str, ...]:
        """Return the instruction sets this CPU can run, best first."""
        return tuple(_native.isas())

    @property
    def isa(self) -> str:
        """The instruction set in use."""
        return self._cpu.isa

    def allocate(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        return self._allocate(batch, num_qubits, precision, zero_state=False)

    def zero_state(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        return self._allocate(batch, num_qubits, precision, zero_state=True)

    def _allocate(self, batch: int, num_qubits: int, precision: Precision, zero_state: bool) -> Amps:
        try:
            return _native.allocate(batch, num_qubits, precision is Precision.SINGLE, zero_state)
        except MemoryError:
            size = batch * precision.bytes_per_amplitude << num_qubits
            raise MemoryBudgetError(
                expected("amplitudes", "memory this machine has", f"{size / 2**30:.6g} GiB for {num_qubits} qubits")
            ) from None

    def scratch_bytes(self, plan: Plan) -> int:
        """Return an upper bound on the tables of the widest operation and what a run leaves behind for shots."""
        known = self._scratch.get(plan)
        if known is None:
            known = self._scratch[plan] = self._tables(plan)
        return known

    def _tables(self, plan: Plan) -> int:
        entries = (1 << self._cpu.vector_bytes.bit_length()) // 16
        total = 0
        for kind, width in {*zip(plan.ops.kind.tolist(), plan.ops.num_targets.tolist(), strict=True)}:
            match kind:
                case OpKind.DENSE:
                    total = max(total, 16 * (entries if width <= 6 else 8) << 2 * width)
                case OpKind.DIAGONAL | OpKind.INITIALIZE:
                    total = max(total, 16 << width)
                case OpKind.PERMUTATION:
                    total = max(total, 5 << width)
        return total + (plan.precision.bytes_per_amplitude << plan.num_qubits) // 64  # weights left for shots

    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        self.repeated(plan, stage)(coefficients, amps, control, False, False)

    def run_from_zero(
        self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl
    ) -> None:
        self.repeated(plan, stage)(coefficients, amps, control, True, False)

    def repeated(self, plan: Plan, stage: Stage) -> StageRun:
        wanted = plan, stage.passes.start, stage.passes.stop, self.tile_qubits
        kept = ref(self._passes(*wanted))  # it stays as long as it is among the last ones

        def run(
            coefficients: Coefficients, amps: Amps, control: RunControl, from_zero: bool, to_sample: bool
        ) -> FloatArray | None:
            nonlocal kept
            passes = kept()
            if passes is None:
                passes = self._passes(*wanted)
                kept = ref(passes)
            return passes.run(
                coefficients.values,
                coefficients.operands,
                control.threads,
                _Watch(control) if control.watched else None,
                amps,
                from_zero,
                to_sample,
            )

        return run

    def _make_passes(self, plan: Plan, first: int, last: int, tile_qubits: int) -> _native.KeptPasses:
        table = plan.passes
        _check_passes(plan, first, last)
        columns = (table.kind, table.local, table.op_offset)
        for column in columns:
            column.flags.writeable = False
        return _native.KeptPasses(self._cpu, plan.ops.columns, columns, first, last, tile_qubits)

    def run_between(
        self,
        plan: Plan,
        stage: Stage,
        coefficients: Coefficients,
        amps: Amps,
        control: RunControl,
        *,
        move: Regrouping | None = None,
        out: Amps | None = None,
        read: Sequence[int] = (),
    ) -> tuple[Amps, FloatArray | None]:
        if move is None and not read:
            self.run_stage(plan, stage, coefficients, amps, control)
            return amps, None
        first, last, passes = stage.passes.start, stage.passes.stop, plan.passes
        _check_passes(plan, first, last)
        result = amps if move is None else self._room(amps, move) if out is None else out
        return result, self._cpu.run_passes(
            plan.ops.columns,
            (passes.kind, passes.local, passes.op_offset),
            first,
            last,
            coefficients.values,
            coefficients.operands,
            result,
            control.threads,
            self.tile_qubits,
            _Watch(control),
            False,
            None if move is None else np.ascontiguousarray(amps),
            () if move is None else _columns(move),
            read,
        )

    def profile(
        self,
        plan: Plan,
        stage: Stage,
        coefficients: Coefficients,
        amps: Amps | None,
        control: RunControl,
        *,
        from_zero: bool = False,
    ) -> list[Work] | None:
        _check_passes(plan, stage.passes.start, stage.passes.stop)
        groups = self._cpu.profile_passes(
            plan.ops.columns,
            (plan.passes.kind, plan.passes.local, plan.passes.op_offset),
            stage.passes.start,
            stage.passes.stop,
            coefficients.values,
            coefficients.operands,
            plan.num_qubits,
            plan.precision is Precision.SINGLE,
            amps,
            control.threads,
            self.tile_qubits,
            _Watch(control),
            from_zero,
        )
        qubits = range(plan.num_qubits)
        return [Work(tuple(q for q in qubits if local >> q & 1), *counts) for local, *counts in groups]

    def run_batch(
        self,
        program: Program,
        plan: Plan,
        slots: FloatArray,
        start: Amps | None,
        terms: Sequence[PauliTerms],
        states: Amps | None,
        control: RunControl,
    ) -> FloatArray | None:
        stages, angles = plan.segments[plan.entry].stages, program.angles
        rows = [plan.op_range(stage) for stage in stages if len(stage.passes)]
        columns = (
            np.concatenate([np.zeros(0, np.int64), *(part.x_masks for part in terms)]),
            np.concatenate([np.zeros(0, np.int64), *(part.z_masks for part in terms)]),
            np.concatenate([np.zeros(0), *(part.coefficients for part in terms)]),
            np.repeat(np.arange(len(terms)), [len(part) for part in terms]),
        )
        return self._cpu.run_batch(
            plan.ops.columns,
            rows[0].start if rows else 0,
            rows[-1].stop if rows else 0,
            program.operands,
            plan.num_qubits,
            plan.precision is Precision.SINGLE,
            slots,
            (angles.constant, angles.row, angles.slot, angles.coefficient),
            None if start is None else np.ascontiguousarray(start, dtype=np.complex128),
            columns,
            len(terms),
            states,
            control.threads,
            _Watch(control),
        )

    def turn(self, amps: Amps, costs: FloatArray, angles: FloatArray, control: RunControl) -> None:
        self._cpu.turn(amps, costs, angles, control.threads, _Watch(control))

    def fill_zero_state(self, amps: Amps) -> None:
        self._cpu.fill_zero_state(amps, _all_threads() if amps.size > 2**16 else 1)

    def norms(self, amps: Amps, control: RunControl) -> FloatArray:
        return self._cpu.norms(amps, control.threads, _Watch(control))

    def probabilities(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> FloatArray:
        return self._cpu.probabilities(amps, qubits, control.threads, _Watch(control))

    def inner_product(self, bra: Amps, ket: Amps, control: RunControl) -> ComplexArray:
        return self._cpu.pauli_overlap(bra, ket, 0, 0, control.threads, _Watch(control))

    def pauli_overlap(self, bra: Amps, ket: Amps, x_mask: int, z_mask: int, control: RunControl) -> ComplexArray:
        return self._cpu.pauli_overlap(bra, ket, x_mask, z_mask, control.threads, _Watch(control))

    def apply_pauli_sum(
        self, amps: Amps, terms: PauliTerms, weights: FloatArray, out: Amps, control: RunControl
    ) -> None:
        x_masks, z_masks = (np.ascontiguousarray(masks) for masks in (terms.x_masks, terms.z_masks))
        self._cpu.apply_pauli_sum(amps, x_masks, z_masks, weights, out, control.threads, _Watch(control))

    def run_adjoint(
        self,
        plan: Plan,
        coefficients: Coefficients,
        ket: Amps,
        bra: Amps,
        wanted: npt.NDArray[np.uint8],
        control: RunControl,
        to_zero: bool = False,
    ) -> FloatArray | None:
        [stage] = plan.segments[plan.entry].stages
        return self._cpu.run_adjoint(
            plan.ops.columns,
            (plan.passes.kind, plan.passes.local, plan.passes.op_offset),
            stage.passes.start,
            stage.passes.stop,
            coefficients.values,
            coefficients.operands,
            ket,
            bra,
            wanted,
            control.threads,
            self.tile_qubits,
            _Watch(control),
            to_zero,
        )

    def expectation_paulis(
        self, amps: Amps, x_masks: IndexArray, z_masks: IndexArray, control: RunControl
    ) -> FloatArray:
        x_masks, z_masks = np.ascontiguousarray(x_masks), np.ascontiguousarray(z_masks)
        return self._cpu.pauli_expectations(amps, x_masks, z_masks, control.threads, _Watch(control))

    def collapse(self, amps: Amps, qubits: Sequence[int], outcome: int, probability: float) -> None:
        mask = sum(1 << qubit for qubit in qubits)
        value = sum((outcome >> k & 1) << qubit for k, qubit in enumerate(qubits))
        self._cpu.collapse(amps, mask, value, 1.0 / math.sqrt(probability), _all_threads())

    def regroup(self, amps: Amps, move: Regrouping, control: RunControl, out: Amps | None = None) -> Amps:
        result = self._room(amps, move) if out is None else out
        self._cpu.regroup(np.ascontiguousarray(amps), _columns(move), result, control.threads, _Watch(control))
        return result

    def _room(self, amps: Amps, move: Regrouping) -> Amps:
        """Return memory for the result of a move."""
        num_qubits = amps.shape[1].bit_length() - 1 - len(move.leaving) + len(move.entering)
        return self.allocate(len(move.rows), num_qubits, Precision.of(amps.dtype))

    def sample(
        self, amps: Amps, uniforms: FloatArray, control: RunControl, weights: FloatArray | None = None
    ) -> IndexArray:
        numbers = np.ascontiguousarray(uniforms).reshape(-1)
        result, norms = self._cpu.sample(amps, numbers, control.threads, _Watch(control), weights)
        check_sampled_norms(norms)
        return result

    def sample_counts(
        self,
        amps: Amps,
        num_shots: int,
        source: RandomSource,
        site: int,
        control: RunControl,
        weights: FloatArray | None = None,
    ) -> tuple[IndexArray, IndexArray, IndexArray]:
        starts, outcomes, counts, norms = self._cpu.sample_counts(
            amps, num_shots, *source.key, site, control.threads, _Watch(control), weights
        )
        check_sampled_norms(norms)
        return starts, outcomes, counts


def _columns(move: Regrouping) -> tuple[int, int, IndexArray, IndexArray, IndexArray, FloatArray]:
    """Return a move with outcomes and values as bits of an index."""
    leaving, entering = (sum(1 << q for q in qubits) for qubits in (move.leaving, move.entering))
    outcomes, values = spread_bits(move.outcomes, move.leaving), spread_bits(move.values, move.entering)
    return leaving, entering, move.rows, outcomes, values, move.scales


def _check_passes(plan: Plan, first: int, last: int) -> None:
    """Refuse what no pass of this backend does."""
    passes = plan.passes
    kinds = plan.ops.kind[int(passes.op_offset[first]) : int(passes.op_offset[last])]
    if len(kinds) and kinds.max() > OpKind.INITIALIZE:
        allowed = "a unitary or an initialisation"
        raise UnsupportedError(expected("operation inside a pass", allowed, OpKind(int(kinds.max())).name))


class _Watch:
    """What the core calls back every 50 ms, with the fraction of the run that is done."""

    __slots__ = ("_control",)

    def __init__(self, control: RunControl) -> None:
        self._control = control

    def __call__(self, fraction: float) -> None:
        self._control.poll()
        self._control.report(fraction)


def _all_threads() -> int:
    """Return the number of CPUs this process may use, for verbs that bring no RunControl."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
