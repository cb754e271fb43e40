"""What all planners share: slices come back in the order a partitioner says, segments keep their ends."""

from __future__ import annotations

import itertools

import numpy as np

from qsim_core.classical import Bits
from qsim_core.operations import OpKind
from qsim_core.optable import OpTable
from qsim_core.plan import End, MeasureEnd, Partition, PassKind, PassTable, ResetEnd
from qsim_core.program import ProgramBuilder
from qsim_core.segments import segmented_plan
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import IndexArray, Precision


def one_pass_backwards(ops: OpTable, cuts: IndexArray, num_qubits: int) -> Partition:
    """Every slice in one pass, its rows in reverse: fine for operations that commute."""
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in itertools.pairwise(cuts.tolist())])
    count = len(cuts) - 1
    passes = PassTable(np.full(count, PassKind.TILE, dtype=np.uint8), np.zeros(count, dtype=np.uint64), cuts)
    return Partition(order, passes, np.arange(count + 1))


def test_slices_follow_the_partition() -> None:
    builder = ProgramBuilder(3, 1)
    builder.phase(0.1, (0,))
    builder.phase(0.2, (0, 1), (0, 1))
    builder.phase(0.3)
    builder.measure((2,), (0,))
    builder.rotation("X", 0.4, (2,))
    builder.rotation("ZZ", 0.5, (0, 1), (2,), (0,))
    plan = segmented_plan("test", builder.finish(), one_pass_backwards, precision=Precision.DOUBLE, initial="zero")
    first = plan.segments[plan.entry]
    assert isinstance(first.end, MeasureEnd)
    last = plan.segments[first.end.next]
    assert isinstance(last.end, End)
    before, after = (plan.op_range(segment.stages[0]) for segment in (first, last))
    assert plan.ops.data[before.start : before.stop].tolist() == [2, 1, 0]
    assert [plan.ops.wires(row).tolist() for row in before] == [[], [0, 1], [0]]
    assert plan.ops.kind[after.start : after.stop].tolist() == [OpKind.ROTATION] * 2
    assert plan.ops.wires(after.start).tolist() == [0, 1, 2]
    assert plan.ops.control_values(after.start).tolist() == [0]
    assert plan.ops.target_tags(after.start + 1).tolist() == [1]


def test_resets_of_fresh_qubits_cost_nothing() -> None:
    builder = ProgramBuilder(2, 1)
    builder.reset((0, 1))
    builder.rotation("X", 0.4, (0,))
    builder.reset((1,))
    builder.rotation("X", 0.4, (1,))
    builder.measure((1,), (0,))
    program = builder.finish()
    assert trivial_plan(program).straight_line
    given = trivial_plan(program, initial="given")
    assert given.segments[given.entry].end.targets == (0, 1)  # type: ignore[union-attr]


def test_resets_of_used_qubits_stay() -> None:
    for use in range(4):
        builder = ProgramBuilder(2, 1)
        if use == 0:
            builder.rotation("X", 0.4, (1,))
        elif use == 1:
            builder.permutation([1, 0], (0,), (1,))
        elif use == 2:
            builder.begin_if(Bits((0,)))
            builder.rotation("X", 0.4, (1,))
            builder.end_block()
        else:
            builder.channel([np.array([[0, 1], [1, 0]])], (1,), (1.0,))
        builder.reset((0, 1))
        plan = trivial_plan(builder.finish())
        assert any(isinstance(segment.end, ResetEnd) for segment in plan.segments), use
