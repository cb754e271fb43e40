"""The skeleton every planner shares: segments and what ends them. What differs is how straight-line slices become passes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from . import classical
from .liveness import registers_of
from .operations import OpKind
from .optable import OpTable, concatenated
from .plan import (
    AssignEnd,
    Branch,
    ChannelEnd,
    End,
    ExpectEnd,
    Jump,
    Loop,
    MeasureEnd,
    Partition,
    Partitioner,
    PassTable,
    Plan,
    ResetEnd,
    Segment,
    Stage,
    Terminator,
)
from .program import Program
from .types import IndexArray, Precision

__all__ = ["segmented_plan"]

_BOUNDARY = (
    OpKind.MEASURE, OpKind.RESET, OpKind.CHANNEL, OpKind.IF, OpKind.WHILE, OpKind.ASSIGN, OpKind.LEAVE, OpKind.EXPECT
)  # fmt: skip
_FLOWS = (OpKind.IF, OpKind.WHILE, OpKind.ASSIGN)


def segmented_plan(
    planner: str,
    program: Program,
    partition: Partitioner,
    *,
    precision: Precision,
    initial: str,
    defer: bool = True,
    shrink: bool = False,
) -> Plan:
    """Return the plan of a program whose straight-line slices are planned by ``partition``.

    Measurements whose qubits are not used again and whose bits nobody reads are moved to the end, where any number
    of shots is sampled from one run (``defer=False`` keeps them in place). With ``shrink`` the segments of a plan that is
    not a straight line run on the qubits they need (see :mod:`qsim_core.liveness`), else on all.
    """
    emitter = _Emitter(program, initial)
    entry = emitter.emit(defer)
    every = tuple(range(program.num_qubits))
    registers = [every] * len(emitter.segments)
    if shrink and not isinstance(emitter.segments[entry][1], End):
        used = [0 if piece is None else _mask(emitter.slices[piece].qubits) for piece, _ in emitter.segments]
        ends = [end for _, end in emitter.segments]
        channels = [channel.targets for channel in program.channels]
        registers = registers_of(ends, used, channels, entry, 0 if initial == "zero" else _mask(every))
    by_size: dict[int, list[int]] = {}
    for index, (piece, _) in enumerate(emitter.segments):
        if piece is not None:
            by_size.setdefault(len(registers[index]), []).append(index)
    stages: list[tuple[Stage, ...]] = [()] * len(registers)
    tables: list[OpTable] = []
    parts: list[Partition] = []
    for size, members in by_size.items():
        slices = [_renumbered(emitter.slices[emitter.segments[k][0] or 0], registers[k]) for k in members]
        ops = concatenated(slices)
        part = partition(ops, np.cumsum([0, *map(len, slices)], dtype=np.int64), size)
        first = sum([len(other.passes) for other in parts])
        for place, index in enumerate(members):
            start, stop = (first + part.pass_offset[place : place + 2]).tolist()
            stages[index] = (Stage(range(start, stop), tuple(range(size))),)
        tables.append(ops if part.order is None else ops.taken(part.order))
        parts.append(part)
    return Plan(
        planner,
        program.num_qubits,
        program.num_clbits,
        precision,
        concatenated(tables),
        _all_passes([part.passes for part in parts]),
        tuple(
            Segment(stage, end, register)
            for stage, (_, end), register in zip(stages, emitter.segments, registers, strict=True)
        ),
        entry,
        partition=partition,
    )


class _Emitter:
    """Emits segments from the last to the first, so that every segment knows its successor."""

    def __init__(self, program: Program, initial: str) -> None:
        self.program = program
        self.initial = initial
        self.slices: list[OpTable] = []
        self.segments: list[tuple[int | None, Terminator]] = []  # its slice, if it has one, and what ends it
        self.exits: list[tuple[int, tuple[int, ...]]] = []  # of the open blocks: what follows, the loop that ends there

    def emit(self, defer: bool) -> int:
        """Emit the whole program; return the index of its first segment."""
        body = self.program.body
        deferred = _deferrable(self.program) if defer else []
        resets = np.flatnonzero(body.kind == OpKind.RESET).tolist() if self.initial == "zero" else []
        if resets:
            first_use = _first_use(self.program)
            resets = [row for row in resets if (first_use[body.targets(row)] > row).all()]  # of |0⟩, still
        measured = [
            (int(q), int(c)) for row in deferred for q, c in zip(body.targets(row), body.target_tags(row), strict=True)
        ]
        return self._block(_without(body, sorted(deferred + resets)), End(tuple(measured)), top=True)

    def _block(self, table: OpTable, last: Terminator, *, top: bool = False) -> int:
        """Emit a block that ends in ``last``; return the index of its first segment."""
        if len(table) and table.kind.max() < OpKind.INITIALIZE:  # unitary
            return self._segment(table, 0, len(table), last)
        leaving = np.flatnonzero(table.kind == OpKind.LEAVE)
        end, stop = last, int(leaving[0]) + 1 if len(leaving) else len(table)  # nothing after it is reached
        cuts = np.flatnonzero(np.isin(table.kind[:stop], (*_BOUNDARY, OpKind.INITIALIZE))).tolist()
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
                return MeasureEnd(targets, tuple(table.target_tags(row).tolist()), following, data)
            case OpKind.RESET:
                return ResetEnd(targets, following)
            case OpKind.CHANNEL:
                return ChannelEnd(data, following)
            case OpKind.ASSIGN:
                flow = self.program.flows[data]
                return AssignEnd(flow.clbits, flow.condition, following)
            case OpKind.EXPECT:
                return ExpectEnd(data, following)
            case OpKind.LEAVE:
                left = sum((loops for _, loops in self.exits[-data:]), ())
                return Jump(self.exits[-data][0], left)
            case OpKind.IF:
                flow = self.program.flows[data]
                self.exits.append((following, ()))
                then = self._block(self.program.blocks[flow.block], Jump(following))
                otherwise = following
                if flow.otherwise >= 0:
                    otherwise = self._block(self.program.blocks[flow.otherwise], Jump(following))
                self.exits.pop()
                return Branch(flow.condition, then, otherwise)
        flow = self.program.flows[data]
        header = self._place(None, Jump(following))
        self.exits.append((following, (header,)))
        body = self._block(self.program.blocks[flow.block], Jump(header))
        self.exits.pop()
        self.segments[header] = (None, Loop(flow.condition, body, following, flow.limit))
        return Jump(header)

    def _segment(self, table: OpTable, start: int, stop: int, end: Terminator) -> int:
        if start == stop and isinstance(end, Jump) and not end.left:
            return end.next
        if start == stop:
            return self._place(None, end)
        self.slices.append(table.rows(start, stop))
        return self._place(len(self.slices) - 1, end)

    def _place(self, piece: int | None, end: Terminator) -> int:
        self.segments.append((piece, end))
        return len(self.segments) - 1


def _first_use(program: Program) -> IndexArray:
    """Return for every qubit the first row of the body that may move it away from |0⟩; len(body) if none does."""
    table = program.body
    flows = np.flatnonzero(np.isin(table.kind, (OpKind.IF, OpKind.WHILE)))
    first = np.full(program.num_qubits, flows[0] if len(flows) else len(table), dtype=np.int64)
    owner = np.repeat(np.arange(len(table)), np.diff(table.offset))
    uses = table.kind[owner] != OpKind.RESET
    np.minimum.at(first, table.qubits[uses], owner[uses])
    return first


def _touched(table: OpTable, row: int) -> bool:
    """True when a target of this row is used by an earlier row, or an earlier row branches."""
    earlier = table.qubits[: table.offset[row]]
    branches = np.isin(table.kind[:row], (OpKind.IF, OpKind.WHILE)).any()
    return bool(branches or np.isin(table.targets(row), earlier).any())


def _deferrable(program: Program) -> list[int]:
    """Return the rows of the body that measure qubits never used again into bits never read or written again."""
    table = program.body
    if not (table.kind == OpKind.MEASURE).any():
        return []
    owner = np.repeat(np.arange(len(table)), np.diff(table.offset))
    last_use = np.full(program.num_qubits, -1)
    unitary = table.kind[owner] != OpKind.MEASURE
    np.maximum.at(last_use, table.qubits[unitary], owner[unitary])
    read_later: set[int] = set()
    written_later: set[int] = set()
    blocks = program.blocks
    expects = np.flatnonzero(table.kind == OpKind.EXPECT).tolist()
    inner = any((block.kind == OpKind.EXPECT).any() for block in blocks[1:])
    last_read = len(table) if inner else max(expects, default=-1)  # what is read is read given the outcomes so far
    rows: list[int] = []
    for row in reversed(np.flatnonzero(np.isin(table.kind, (OpKind.MEASURE, *_FLOWS))).tolist()):
        if table.kind[row] != OpKind.MEASURE:
            qubits, reads, writes = _effects(program, int(table.data[row]))
            for qubit in qubits:
                last_use[qubit] = max(last_use[qubit], row)
            read_later |= reads
            written_later |= writes
            continue
        clbits = set(table.target_tags(row).tolist())
        exact = table.data[row] < 0
        if (
            exact
            and row > last_read
            and (last_use[table.targets(row)] < row).all()
            and not clbits & (read_later | written_later)
        ):
            rows.append(row)
        else:
            written_later |= clbits
    return rows[::-1]


def _effects(program: Program, flow_index: int) -> tuple[set[int], set[int], set[int]]:
    """Return the qubits touched and the classical bits read and written by a control-flow operation."""
    flow = program.flows[flow_index]
    qubits: set[int] = set()
    reads, writes = set(classical.bits_read(flow.condition)), set(flow.clbits)
    for block in (flow.block, flow.otherwise):
        if block < 0:
            continue
        table = program.blocks[block]
        qubits.update(table.qubits.tolist())
        for row, kind in enumerate(table.kind.tolist()):
            if kind == OpKind.MEASURE:
                writes.update(table.target_tags(row).tolist())
            elif kind in _FLOWS:
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


def _mask(qubits: Iterable[int]) -> int:
    """Return the set of qubits as a mask."""
    return sum(1 << qubit for qubit in {*map(int, qubits)})


def _renumbered(table: OpTable, register: tuple[int, ...]) -> OpTable:
    """Return the table with every qubit named by its place in a register."""
    if not register or register[-1] == len(register) - 1:
        return table
    place = np.zeros(register[-1] + 1, dtype=np.int32)
    place[list(register)] = np.arange(len(register))
    return OpTable(table.kind, table.num_targets, table.data, table.offset, place[table.qubits], table.tags)


def _all_passes(tables: Sequence[PassTable]) -> PassTable:
    if len(tables) == 1:
        return tables[0]
    ends = np.cumsum([0, *(int(table.op_offset[-1]) for table in tables)])
    offset = [np.zeros(1, np.int64), *(t.op_offset[1:] + end for t, end in zip(tables, ends[:-1], strict=True))]
    return PassTable(
        np.concatenate([np.zeros(0, np.uint8), *(t.kind for t in tables)]),
        np.concatenate([np.zeros(0, np.uint64), *(t.local for t in tables)]),
        np.concatenate(offset),
    )
