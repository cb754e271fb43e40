"""Plan: what an executor runs, and nothing else. Data only.

::

    Plan     segments, entry                       one driver walks segments and owns the classical bits
    Segment  register, stages, end                 straight-line, then Measure | Reset | Channel | Branch | Loop | Jump | End
    Stage    permutation, passes                   what runs without moving amplitudes between memories
    Pass     kind, local, ops                      one read and write of each amplitude (tile), or a sweep outside tiles (global)

Operations refer to their values by index: ``data`` of a ROTATION or PHASE row is a column of
``Coefficients.values`` (B, C), ``data`` of the others an index into ``Coefficients.operands``. So one Plan serves every
program of the same structure, whatever its angles and matrices.

A segment runs on a *register*, the qubits whose state it needs: qubits measured or reset before, and not used since, are
basis states that the driver remembers as bits, and take no amplitudes. The operations of a segment number qubits by
their place in its register, and a backend is given a plan of that many qubits.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .classical import Expression
from .errors import ShapeError, expected
from .operations import Channel
from .optable import OpTable
from .pauli import PauliTerms
from .program import Program, Readout
from .types import FloatArray, IndexArray, Precision

__all__ = [
    "Branch",
    "ChannelEnd",
    "Coefficients",
    "End",
    "ExpectEnd",
    "Jump",
    "Loop",
    "MeasureEnd",
    "Partition",
    "Partitioner",
    "Pass",
    "PassKind",
    "PassTable",
    "Plan",
    "ResetEnd",
    "Segment",
    "Stage",
    "Terminator",
]


class PassKind(enum.IntEnum):
    """TILE: non-diagonal targets are local to a tile. GLOBAL: sweeps the state outside tiles."""

    TILE = 1
    GLOBAL = 2


@dataclass(frozen=True, eq=False)
class PassTable:
    """All passes of a Plan as columns. Pass p runs ``ops[op_offset[p]:op_offset[p+1]]``; bit q of ``local[p]`` is
    set when physical qubit q is local to the tile.
    """

    kind: npt.NDArray[np.uint8]
    local: npt.NDArray[np.uint64]
    op_offset: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.kind)


@dataclass(frozen=True, slots=True)
class Pass:
    """One row of a :class:`PassTable`, for readers."""

    kind: PassKind
    local: tuple[int, ...]
    ops: range


@dataclass(frozen=True, slots=True)
class Stage:
    """Passes ``passes.start`` to ``passes.stop``; ``permutation[q]`` is the physical place of logical qubit q."""

    passes: range
    permutation: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The run is over; ``measured`` pairs (qubit, classical bit) are sampled from the final state, in this order."""

    measured: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class MeasureEnd:
    """Measure into classical bits; ``readout`` is the index of the errors they are read with, -1 for none."""

    targets: tuple[int, ...]
    clbits: tuple[int, ...]
    next: int
    readout: int = -1


@dataclass(frozen=True, slots=True)
class ResetEnd:
    targets: tuple[int, ...]
    next: int


@dataclass(frozen=True, slots=True)
class ChannelEnd:
    channel: int
    next: int


@dataclass(frozen=True, slots=True)
class ExpectEnd:
    """Read the expectation value of an observable."""

    observable: int
    next: int


@dataclass(frozen=True, slots=True)
class Jump:
    """Go on elsewhere; the rounds of the loops ``left`` (their LOOP segments) are over."""

    next: int
    left: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Branch:
    condition: Expression
    then: int
    otherwise: int


@dataclass(frozen=True, slots=True)
class Loop:
    """Go to ``body`` while the condition holds, then to ``after``; more than ``limit`` rounds is an error."""

    condition: Expression
    body: int
    after: int
    limit: int


@dataclass(frozen=True, slots=True)
class AssignEnd:
    """Set classical bits to the lowest bits of a value."""

    clbits: tuple[int, ...]
    value: Expression
    next: int


Terminator: TypeAlias = End | MeasureEnd | ResetEnd | ChannelEnd | AssignEnd | ExpectEnd | Jump | Branch | Loop


@dataclass(frozen=True, slots=True)
class Segment:
    """Straight-line stages, then what ends them. Its index in ``Plan.segments`` is its random-number site.

    ``register`` lists, ascending, the qubits that have amplitudes during the stages; qubit ``register[k]`` is number k to
    their operations. Qubits of ``end`` are those of the circuit.
    """

    stages: tuple[Stage, ...]
    end: Terminator
    register: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Coefficients:
    """The values of one run: ``values[b, c]`` in f64 for batch element b, and the arrays ops refer to, shared by the batch.

    Made anew in every run; treat it as frozen, which takes longer to make.
    """

    values: FloatArray
    operands: tuple[npt.NDArray[np.generic], ...] = ()
    channels: tuple[Channel, ...] = ()
    observables: tuple[tuple[str, PauliTerms], ...] = ()
    readouts: tuple[Readout, ...] = ()

    @property
    def batch(self) -> int:
        return len(self.values)

    def rows(self) -> list[Coefficients]:
        """Return the coefficients of every batch element by themselves."""
        return [replace(self, values=self.values[b : b + 1]) for b in range(self.batch)]


@dataclass(frozen=True, eq=False)
class Partition:
    """How straight-line slices run.

    ``passes`` hold the rows ``order`` (None: all, as they are); slice s runs the passes ``pass_offset[s]`` to
    ``pass_offset[s + 1]``.
    """

    order: IndexArray | None
    passes: PassTable
    pass_offset: IndexArray


#: Cuts the slices ``cuts[s]:cuts[s + 1]`` of straight-line operations on a number of qubits into passes.
Partitioner: TypeAlias = Callable[[OpTable, IndexArray, int], Partition]


@dataclass(frozen=True, eq=False)
class Plan:
    """Everything an executor needs but the values. ``planner`` names who made it."""

    planner: str
    num_qubits: int
    num_clbits: int
    precision: Precision
    ops: OpTable
    passes: PassTable
    segments: tuple[Segment, ...]
    entry: int
    partition: Partitioner | None = None  # cuts rows of ``ops`` into passes again, where segments run as one

    def __repr__(self) -> str:
        return (
            f"Plan({self.planner}, num_qubits={self.num_qubits}, segments={len(self.segments)}, "
            f"passes={len(self.passes)}, ops={len(self.ops)})"
        )

    @cached_property
    def straight_line(self) -> bool:
        """True when one run serves every shot: no measurement, reset, channel or branch before the end."""
        return isinstance(self.segments[self.entry].end, End)

    def coefficients(self, program: Program, slots: npt.ArrayLike = ()) -> Coefficients:
        """Return the values of ``program`` at slot values of shape (P,) or (B, P), in the layout of this plan.

        Only values are computed, nothing is planned again.
        """
        values = program.bind(slots)
        if program.num_qubits != self.num_qubits:
            raise ShapeError(expected("program for this plan", f"{self.num_qubits} qubits", program.num_qubits))
        return Coefficients(values, program.operands, program.channels, program.observables, program.readouts)

    def pass_(self, index: int) -> Pass:
        """Return one pass as a dataclass."""
        table = self.passes
        mask = int(table.local[index])
        return Pass(
            PassKind(int(table.kind[index])),
            tuple(q for q in range(self.num_qubits) if mask >> q & 1),
            range(int(table.op_offset[index]), int(table.op_offset[index + 1])),
        )

    def op_range(self, stage: Stage) -> range:
        """Return the rows of ``ops`` a stage runs, all its passes together."""
        return range(int(self.passes.op_offset[stage.passes.start]), int(self.passes.op_offset[stage.passes.stop]))

    def on_register(self, segment: Segment) -> Plan:
        """Return this plan as the backend is to see it for the stages of a segment: with as many qubits as its register."""
        return self._by_size[len(segment.register)]

    @cached_property
    def _by_size(self) -> dict[int, Plan]:
        sizes = {len(segment.register) for segment in self.segments}
        return {size: self if size == self.num_qubits else replace(self, num_qubits=size) for size in sizes}

    def bytes_moved(self) -> int:
        """Return the bytes read and written by the passes of all segments, each run once."""
        amplitudes = sum(len(stage.passes) << len(s.register) for s in self.segments for stage in s.stages)
        return amplitudes * 2 * self.precision.bytes_per_amplitude

    def explain(self) -> str:
        """Return a table of segments and passes: what runs, on which local qubits, how many bytes it moves."""
        moved = self.bytes_moved()
        lines = [f"{self!r}", f"  {len(self.passes)} passes, {moved / 2**20:.3g} MiB read and written"]
        for index, segment in enumerate(self.segments):
            passes = sum(len(stage.passes) for stage in segment.stages)
            mark = "  entry" if index == self.entry else ""
            on = "" if len(segment.register) == self.num_qubits else f" on qubits {segment.register}"
            lines.append(f"  segment {index}: {passes} passes{on}, then {segment.end}{mark}")
            for stage in segment.stages:
                for p in stage.passes[:12]:
                    row = self.pass_(p)
                    lines.append(f"    {row.kind.name.lower():6} local {row.local} ops {len(row.ops)}")
                if len(stage.passes) > 12:
                    lines.append(f"    … {len(stage.passes) - 12} more")
        return "\n".join(lines)
