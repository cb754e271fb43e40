"""The plan every backend can run and the oracle for all others: one operation per pass, no fusion, pure Python."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from . import classical
from .operations import OpKind
from .optable import OpTable
from .plan import (
    Branch,
    ChannelEnd,
    End,
    Jump,
    Loop,
    MeasureEnd,
    PassKind,
    PassTable,
    Plan,
    ResetEnd,
    Segment,
    Stage,
    Terminator,
)
from .program import Program
from .types import Precision

__all__ = ["trivial_plan"]

#: A tile of the trivial plan has at most this many qubits; wider operations sweep the whole state.
TILE_QUBITS = 16
_BOUNDARY = (OpKind.MEASURE, OpKind.RESET, OpKind.CHANNEL, OpKind.IF, OpKind.WHILE)


def trivial_plan(
    program: Program, *, precision: Precision = Precision.DOUBLE, initial: str = "zero", defer: bool = True
) -> Plan:
    """Return the plan that runs the operations of ``program`` one by one, in order.

    Measurements whose qubits are not used again and whose bits nobody reads are moved to the end, where any number
    of shots is sampled from one run (``defer=False`` keeps them in place).
    """
    return _Emitter(program, precision, initial, defer).plan()


class _Emitter:
    """Emits segments from the last to the first, so that every segment knows its successor."""

    def __init__(self, program: Program, precision: Precision, initial: str, defer: bool) -> None:
        self.program = program
        self.precision = precision
        self.initial = initial
        self.defer = defer
        self.slices: list[OpTable] = []
        self.num_ops = 0
        self.segments: list[Segment] = []

    def plan(self) -> Plan:
        body = self.program.body
        deferred = _deferrable(self.program) if self.defer else []
        measured = [
            (int(q), int(c)) for row in deferred for q, c in zip(body.targets(row), body.target_tags(row), strict=True)
        ]
        entry = self._block(_without(body, deferred), End(tuple(measured)), top=True)
        ops = _concatenate(self.slices)
        return Plan(
            "trivial",
            self.program.num_qubits,
            self.program.num_clbits,
            self.precision,
            ops,
            _one_op_passes(ops),
            tuple(self.segments),
            entry,
        )

    def _block(self, table: OpTable, last: Terminator, *, top: bool = False) -> int:
        """Emit a block that ends in ``last``; return the index of its first segment."""
        cuts = np.flatnonzero(np.isin(table.kind, (*_BOUNDARY, OpKind.INITIALIZE))).tolist()
        end, stop = last, len(table)
        for row in reversed(cuts):
            if table.kind[row] == OpKind.INITIALIZE:
                if not top or self.initial != "zero" or _touched(table, row):
                    following = self._segment(table, row, stop, end)
                    end, stop = ResetEnd(tuple(table.targets(row).tolist()), following), row
            else:
                end, stop = self._boundary(table, row, self._segment(table, row + 1, stop, end)), row
        return self._segment(table, 0, stop, end)

    def _boundary(self, table: OpTable, row: int, following: int) -> Terminator:
        targets = tuple(table.targets(row).tolist())
        data = int(table.data[row])
        match table.kind[row]:
            case OpKind.MEASURE:
                return MeasureEnd(targets, tuple(table.target_tags(row).tolist()), following)
            case OpKind.RESET:
                return ResetEnd(targets, following)
            case OpKind.CHANNEL:
                return ChannelEnd(data, following)
            case OpKind.IF:
                flow = self.program.flows[data]
                then = self._block(self.program.blocks[flow.block], Jump(following))
                otherwise = following
                if flow.otherwise >= 0:
                    otherwise = self._block(self.program.blocks[flow.otherwise], Jump(following))
                return Branch(flow.condition, then, otherwise)
        flow = self.program.flows[data]
        header = self._place(Segment((), Jump(following)))
        body = self._block(self.program.blocks[flow.block], Jump(header))
        self.segments[header] = Segment((), Loop(flow.condition, body, following, flow.limit))
        return Jump(header)

    def _segment(self, table: OpTable, start: int, stop: int, end: Terminator) -> int:
        if start == stop and isinstance(end, Jump):
            return end.next
        if start == stop:
            return self._place(Segment((), end))
        passes = range(self.num_ops, self.num_ops + stop - start)
        self.slices.append(_rows(table, start, stop))
        self.num_ops = passes.stop
        return self._place(Segment((Stage(passes, tuple(range(self.program.num_qubits))),), end))

    def _place(self, segment: Segment) -> int:
        self.segments.append(segment)
        return len(self.segments) - 1


def _touched(table: OpTable, row: int) -> bool:
    """True when a target of this row is used by an earlier row, or an earlier row branches."""
    earlier = table.qubits[: table.offset[row]]
    branches = np.isin(table.kind[:row], (OpKind.IF, OpKind.WHILE)).any()
    return bool(branches or np.isin(table.targets(row), earlier).any())


def _deferrable(program: Program) -> list[int]:
    """Return the rows of the body that measure qubits never used again into bits never read or written again."""
    table = program.body
    owner = np.repeat(np.arange(len(table)), np.diff(table.offset))
    last_use = np.full(program.num_qubits, -1)
    unitary = table.kind[owner] != OpKind.MEASURE
    np.maximum.at(last_use, table.qubits[unitary], owner[unitary])
    read_later: set[int] = set()
    written_later: set[int] = set()
    rows: list[int] = []
    for row in reversed(np.flatnonzero(np.isin(table.kind, (OpKind.MEASURE, OpKind.IF, OpKind.WHILE))).tolist()):
        if table.kind[row] != OpKind.MEASURE:
            qubits, reads, writes = _effects(program, int(table.data[row]))
            for qubit in qubits:
                last_use[qubit] = max(last_use[qubit], row)
            read_later |= reads
            written_later |= writes
            continue
        clbits = set(table.target_tags(row).tolist())
        if (last_use[table.targets(row)] < row).all() and not clbits & (read_later | written_later):
            rows.append(row)
        else:
            written_later |= clbits
    return rows[::-1]


def _effects(program: Program, flow_index: int) -> tuple[set[int], set[int], set[int]]:
    """Return the qubits touched and the classical bits read and written by a control-flow operation."""
    flow = program.flows[flow_index]
    qubits: set[int] = set()
    reads, writes = set(classical.bits_read(flow.condition)), set[int]()
    for block in (flow.block, flow.otherwise):
        if block < 0:
            continue
        table = program.blocks[block]
        qubits.update(table.qubits.tolist())
        for row, kind in enumerate(table.kind.tolist()):
            if kind == OpKind.MEASURE:
                writes.update(table.target_tags(row).tolist())
            elif kind in (OpKind.IF, OpKind.WHILE):
                inner = _effects(program, int(table.data[row]))
                qubits, reads, writes = qubits | inner[0], reads | inner[1], writes | inner[2]
    return qubits, reads, writes


def _without(table: OpTable, rows: list[int]) -> OpTable:
    """Return the table without the given rows."""
    if not rows:
        return table
    keep = np.ones(len(table), dtype=bool)
    keep[rows] = False
    sizes = np.diff(table.offset)
    wires = np.repeat(keep, sizes)
    offset = np.concatenate([[0], np.cumsum(sizes[keep])]).astype(np.int64)
    return OpTable(
        table.kind[keep], table.num_targets[keep], table.data[keep], offset, table.qubits[wires], table.tags[wires]
    )


def _rows(table: OpTable, start: int, stop: int) -> OpTable:
    first, last = table.offset[start], table.offset[stop]
    return OpTable(
        table.kind[start:stop],
        table.num_targets[start:stop],
        table.data[start:stop],
        table.offset[start : stop + 1] - first,
        table.qubits[first:last],
        table.tags[first:last],
    )


def _concatenate(tables: Sequence[OpTable]) -> OpTable:
    ends = np.cumsum([0, *(int(table.offset[-1]) for table in tables)])
    offset = [np.zeros(1, np.int64), *(t.offset[1:] + end for t, end in zip(tables, ends[:-1], strict=True))]
    empty = OpTable(*(np.zeros(0, t) for t in (np.uint8, np.int32, np.int32, np.int64, np.int32, np.int32)))
    joined = [np.concatenate([empty.columns[k], *(t.columns[k] for t in tables)]) for k in (0, 1, 2, 4, 5)]
    return OpTable(*joined[:3], np.concatenate(offset), *joined[3:])


def _one_op_passes(ops: OpTable) -> PassTable:
    """One pass per operation; its local qubits are the targets it mixes (all but the Z letters and diagonals)."""
    owner = np.repeat(np.arange(len(ops)), np.diff(ops.offset))
    is_target = np.arange(len(ops.qubits)) - ops.offset[owner] < ops.num_targets[owner]
    z_letter = (ops.kind[owner] == OpKind.ROTATION) & (ops.tags == 3)
    mixes = is_target & ~z_letter & (ops.kind[owner] != OpKind.DIAGONAL)
    local = np.zeros(len(ops), dtype=np.uint64)
    np.bitwise_or.at(local, owner[mixes], np.uint64(1) << ops.qubits[mixes].astype(np.uint64))
    width = np.bincount(owner[mixes], minlength=len(ops))
    none = np.full(len(ops), -1, dtype=np.int32)
    kind = np.where(width <= TILE_QUBITS, PassKind.TILE, PassKind.GLOBAL).astype(np.uint8)
    return PassTable(kind, local, np.arange(len(ops) + 1, dtype=np.int64), none, none)
