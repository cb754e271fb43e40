"""The trivial plan means what the Program means: compared with Kronecker products, branch by branch."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import classical, testing
from qsim_core.classical import Binary, Bits, Const
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.reference import ReferenceBackend, operation_matrix
from qsim_core.operations import (
    Angle,
    Assign,
    Channel,
    Dense,
    Diagonal,
    If,
    Initialize,
    Measure,
    Operation,
    Permutation,
    Phase,
    Reset,
    Rotation,
    While,
)
from qsim_core.plan import AssignEnd, Branch, ChannelEnd, End, Jump, Loop, MeasureEnd, Plan, ResetEnd
from qsim_core.program import Program, ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision

Matrix = npt.NDArray[np.complex128]
Outcomes = dict[tuple[int, ...] | str, float]
PAULI = {"X": np.array([[0, 1], [1, 0]]), "Y": np.array([[0, -1j], [1j, 0]]), "Z": np.diag([1, -1])}


# --- an evaluation of Programs that shares nothing with the reference ---------------------------------------------


def kron_of(factors: Sequence[Matrix]) -> Matrix:
    """Factor q acts on qubit q; qubit 0 is the last of a Kronecker product."""
    return reduce(np.kron, reversed(list(factors)), np.eye(1))


def embedded(num_qubits: int, matrix: Matrix, targets: Sequence[int]) -> Matrix:
    """Σ_ij M_ij ⊗_k |i_k⟩⟨j_k| on the targets, the identity elsewhere."""
    total = np.zeros((2**num_qubits, 2**num_qubits), dtype=np.complex128)
    for i, j in np.argwhere(matrix != 0):
        factors = [np.eye(2, dtype=np.complex128)] * num_qubits
        for k, target in enumerate(targets):
            unit = np.zeros((2, 2), dtype=np.complex128)
            unit[i >> k & 1, j >> k & 1] = 1
            factors[target] = unit
        total += matrix[i, j] * kron_of(factors)
    return total


def unitary(num_qubits: int, operation: Operation, slots: Sequence[float]) -> Matrix:
    match operation:
        case Rotation(pauli, angle, targets):
            factors = [np.eye(2, dtype=np.complex128)] * num_qubits
            for letter, target in zip(pauli, targets, strict=True):
                factors[target] = PAULI[letter]
            half = angle.value(slots) / 2
            matrix = math.cos(half) * np.eye(2**num_qubits) - 1j * math.sin(half) * kron_of(factors)
        case Phase(angle):
            matrix = np.exp(1j * angle.value(slots)) * np.eye(2**num_qubits)
        case Dense(operand, targets):
            matrix = embedded(num_qubits, operand, targets)
        case Diagonal(vector, targets):
            matrix = embedded(num_qubits, np.diag(vector), targets)
        case Permutation(table, targets):
            moved = np.zeros((len(table), len(table)), dtype=np.complex128)
            for x, image in enumerate(table):
                moved[image, x] = 1
            matrix = embedded(num_qubits, moved, targets)
        case _:
            raise AssertionError(operation)
    factors = [np.eye(2)] * num_qubits
    for control, value in zip(operation.controls, operation.control_values, strict=True):
        factors[control] = np.diag([1 - value, value])
    held = kron_of(factors)
    return held @ matrix + np.eye(2**num_qubits) - held


Branch_ = tuple[Matrix, tuple[int, ...]]  # an unnormalised state, whose norm is its probability, and the bits


def projections(num_qubits: int, state: Matrix, targets: Sequence[int]) -> list[tuple[int, Matrix]]:
    projectors = [np.diag(row).astype(complex) for row in np.eye(2 ** len(targets))]
    parts = [embedded(num_qubits, projector, targets) @ state for projector in projectors]
    return [(x, part) for x, part in enumerate(parts) if np.linalg.norm(part) > 1e-9]


def written(bits: tuple[int, ...], clbits: Sequence[int], outcome: int) -> tuple[int, ...]:
    new = list(bits)
    for k, clbit in enumerate(clbits):
        new[clbit] = outcome >> k & 1
    return tuple(new)


def flipped(num_qubits: int, state: Matrix, targets: Sequence[int], outcome: int) -> Matrix:
    size = 2 ** len(targets)
    return embedded(num_qubits, np.eye(size)[np.arange(size) ^ outcome].astype(complex), targets) @ state


def step(n: int, operation: Operation, state: Matrix, bits: tuple[int, ...], lost: list[float]) -> list[Branch_]:
    match operation:
        case Measure(targets, clbits):
            return [(part, written(bits, clbits, x)) for x, part in projections(n, state, targets)]
        case Reset(targets):
            return [(flipped(n, part, targets, x), bits) for x, part in projections(n, state, targets)]
        case Initialize(vector, targets):
            column = np.zeros((len(vector), len(vector)), dtype=np.complex128)
            column[:, 0] = vector
            return [
                (embedded(n, column, targets) @ flipped(n, part, targets, x), bits)
                for x, part in projections(n, state, targets)
            ]
        case Channel(matrices, targets, probabilities):
            weights = probabilities or (1.0,) * len(matrices)
            scaled = [math.sqrt(weight) * matrix for weight, matrix in zip(weights, matrices, strict=True)]
            return [(embedded(n, matrix, targets) @ state, bits) for matrix in scaled]
        case Assign(clbits, value):
            return [(state, written(bits, clbits, classical.evaluate(value, bits)))]
        case If(condition, block, otherwise):
            return follow(n, block if classical.evaluate(condition, bits) else otherwise, [(state, bits)], lost)
        case While(condition, block, limit):
            active, done = [(state, bits)], []
            for completed in range(limit + 1):
                done += [b for b in active if not classical.evaluate(condition, b[1])]
                active = [b for b in active if classical.evaluate(condition, b[1])]
                if completed < limit:
                    active = follow(n, block, active, lost)
            lost += [float(np.linalg.norm(s) ** 2) for s, _ in active]
            return done
    return [(unitary(n, operation, ()) @ state, bits)]


def follow(n: int, operations: Sequence[Operation], branches: list[Branch_], lost: list[float]) -> list[Branch_]:
    for operation in operations:
        branches = [new for state, bits in branches for new in step(n, operation, state, bits, lost)]
    return branches


def outcomes_of_program(program: Program) -> Outcomes:
    """Return the exact distribution of the classical bits; "lost" is where a loop passed its limit."""
    zero = np.eye(1, 2**program.num_qubits, dtype=np.complex128)[0]
    lost: list[float] = []
    result: Outcomes = defaultdict(float)
    start = [(zero, (0,) * program.num_clbits)]
    for state, bits in follow(program.num_qubits, tuple(program.operations()), start, lost):
        result[bits] += float(np.linalg.norm(state) ** 2)
    result["lost"] = sum(lost)
    return result


def outcomes_of_plan(plan: Plan, program: Program) -> Outcomes:
    """Walk the segments of a plan, every branch of it."""
    n, backend, coefficients = plan.num_qubits, ReferenceBackend(), plan.coefficients(program)
    zero = np.eye(1, 2**n, dtype=np.complex128)[0]
    result: Outcomes = defaultdict(float)
    todo = [(plan.entry, zero, (0,) * plan.num_clbits, dict[int, int]())]
    while todo:
        index, state, bits, rounds = todo.pop()
        segment = plan.segments[index]
        amps = state[None].copy()
        for stage in segment.stages:
            assert stage.permutation == tuple(range(n))
            backend.run_stage(plan, stage, coefficients, amps, RunControl())
        state = amps[0]
        match segment.end:
            case End(measured):
                branches = [(state, bits)]
                for qubit, clbit in measured:
                    branches = [(p, written(b, [clbit], x)) for s, b in branches for x, p in projections(n, s, [qubit])]
                for state, bits in branches:
                    result[bits] += float(np.linalg.norm(state) ** 2)
            case MeasureEnd(targets, clbits, following):
                todo += [(following, p, written(bits, clbits, x), rounds) for x, p in projections(n, state, targets)]
            case ResetEnd(targets, following):
                parts = projections(n, state, targets)
                todo += [(following, flipped(n, part, targets, x), bits, rounds) for x, part in parts]
            case ChannelEnd(channel, following):
                noise = coefficients.channels[channel]
                todo += [(following, s, b, rounds) for s, b in step(n, noise, state, bits, [])]
            case AssignEnd(clbits, value, following):
                todo.append((following, state, written(bits, clbits, classical.evaluate(value, bits)), rounds))
            case Jump(following):
                todo.append((following, state, bits, rounds))
            case Branch(condition, then, otherwise):
                todo.append((then if classical.evaluate(condition, bits) else otherwise, state, bits, rounds))
            case Loop(condition, body, after, limit):
                count = rounds.get(index, 0)
                if not classical.evaluate(condition, bits):
                    todo.append((after, state, bits, {**rounds, index: 0}))
                elif count == limit:
                    result["lost"] += float(np.linalg.norm(state) ** 2)
                else:
                    todo.append((body, state, bits, {**rounds, index: count + 1}))
    return result


def assert_same_outcomes(program: Program) -> None:
    wanted = outcomes_of_program(program)
    for defer in (True, False):
        actual = outcomes_of_plan(trivial_plan(program, defer=defer), program)
        for bits in set(wanted) | set(actual):
            assert actual.get(bits, 0) == pytest.approx(wanted.get(bits, 0), abs=1e-9), (bits, defer)


# --- laws -----------------------------------------------------------------------------------------------------------


@given(program=testing.programs(0, 4, max_operations=6), slots=st.lists(st.floats(-4, 4), min_size=2, max_size=2))
@settings(max_examples=60, deadline=None)
def test_straight_line_programs_are_products_of_kronecker_products(program: Program, slots: list[float]) -> None:
    wanted = np.eye(2**program.num_qubits)
    for operation in program.operations():
        wanted = unitary(program.num_qubits, operation, slots) @ wanted
    plan = trivial_plan(program)
    assert plan.straight_line
    np.testing.assert_allclose(
        operation_matrix(program.num_qubits, plan, plan.coefficients(program, slots)), wanted, atol=1e-12
    )


@st.composite
def dynamic_programs(draw: Callable[..., object]) -> Program:
    """Two qubits and two bits, with everything that can happen between measurements."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def operations(depth: int) -> list[Operation]:
        return [operation(depth) for _ in range(draw(st.integers(0 if depth else 1, 5 if depth == 0 else 2)))]  # type: ignore[call-overload]

    def operation(depth: int) -> Operation:
        kinds = ["dense", "dense", "measure", "measure", "both", "reset", "initialize", "channel", "assign"]
        kind = draw(st.sampled_from(kinds + ["if", "while"] * (depth < 2)))
        qubit, clbit = int(rng.integers(2)), int(rng.integers(2))
        condition = Binary("==", Bits((clbit,)), Const(int(rng.integers(2))))
        match kind:
            case "dense":
                return Dense(testing.random_unitary(rng, 1), (qubit,))
            case "measure":
                return Measure((qubit,), (clbit,))
            case "both":
                return Measure((qubit, 1 - qubit), (0, 1))
            case "reset":
                return Reset((qubit,))
            case "initialize":
                return Initialize(testing.random_state(rng, 1)[0], (qubit,))
            case "channel":
                return Channel((np.diag([1, 0.6]) + 0j, np.array([[0, 0.8], [0, 0]]) + 0j), (qubit,))
            case "assign":
                value = Binary(str(rng.choice(["+", "*", "^"])), Bits((0, 1)), Const(int(rng.integers(1, 4))))
                return Assign((0, 1), value)
            case "while":
                return While(condition, tuple(operations(depth + 1)), 2)
        return If(condition, tuple(operations(depth + 1)), tuple(operations(depth + 1)))

    builder = ProgramBuilder(2, 2)
    builder.extend(operations(0))
    return builder.finish()


@given(program=dynamic_programs())
@settings(max_examples=80, deadline=None)
def test_plans_have_the_outcomes_of_their_programs(program: Program) -> None:
    assert_same_outcomes(program)


# --- deferral, by table -----------------------------------------------------------------------------------------------

H = np.array([[1, 1], [1, -1]]) / math.sqrt(2)
HADAMARD = (Dense(H, (0,)), Dense(H, (1,)))
READ = If(Bits((0,)), (Dense(H, (1,)),))

DEFERRAL = {
    "at the end": ([Measure((0, 1), (0, 1))], ((0, 0), (1, 1))),
    "two, same bit": ([Measure((0,), (0,)), Measure((1,), (0,))], ((0, 0), (1, 0))),
    "two, same qubit": ([Measure((0,), (0,)), Measure((0,), (1,))], ((0, 0), (0, 1))),
    "qubit used again": ([Measure((0,), (0,)), Dense(H, (0,))], ()),
    "qubit is a control later": ([Measure((0,), (0,)), Phase(Angle(1.0), (0,), (1,))], ()),
    "qubit reset": ([Measure((0,), (0,)), Reset((0,))], ()),
    "qubit initialised": ([Measure((0,), (0,)), Initialize(H[0].astype(complex), (0,))], ()),
    "other qubit goes on": ([Measure((0,), (0,)), Dense(H, (1,))], ((0, 0),)),
    "bit read": ([Measure((0,), (0,)), READ], ()),
    "bit read before": ([READ, Measure((0,), (0,))], ((0, 0),)),
    "bit read in a block": ([Measure((0,), (0,)), If(Bits((1,)), (READ,))], ()),
    "qubit used in a block": ([Measure((0,), (0,)), If(Bits((1,)), (Dense(H, (0,)),))], ()),
    "bit written in a block": ([Measure((0,), (0,)), If(Bits((1,)), (Measure((1,), (0,)),))], ()),
    "overwritten by one that stays": ([Measure((0,), (0,)), Measure((1,), (0,)), Dense(H, (1,))], ()),
    "overwrites one that stays": ([Measure((1,), (0,)), Dense(H, (1,)), Measure((0,), (0,))], ((0, 0),)),
    "half of it used again": ([Measure((0, 1), (0, 1)), Dense(H, (1,))], ()),
}


@pytest.mark.parametrize("name", DEFERRAL)
def test_deferral(name: str) -> None:
    operations, measured = DEFERRAL[name]
    builder = ProgramBuilder(2, 2)
    builder.extend([*HADAMARD, *operations])
    program = builder.finish()
    plan = trivial_plan(program)
    ends = [segment.end for segment in plan.segments if isinstance(segment.end, End)]
    assert [end.measured for end in ends] == [measured]
    assert_same_outcomes(program)


def test_initialize_on_fresh_qubits_needs_no_reset() -> None:
    builder = ProgramBuilder(3)
    builder.dense(H, (0,))
    builder.initialize([0.6, 0.8j], (2,))
    fresh = builder.finish()
    assert trivial_plan(fresh).straight_line
    assert not trivial_plan(fresh, initial="given").straight_line
    builder.initialize([0.6, 0.8j], (0,))
    assert isinstance(trivial_plan(builder.finish()).segments[trivial_plan(builder.finish()).entry].end, ResetEnd)


def test_one_pass_per_operation() -> None:
    builder = ProgramBuilder(20)
    builder.rotation("XZ", 0.5, (3, 5))
    builder.diagonal(np.ones(4), (1, 2))
    builder.dense(np.eye(4), (7, 4), (0,))
    builder.rotation("X" * 20, 0.5, range(20))
    plan = trivial_plan(builder.finish(), precision=Precision.SINGLE)
    passes = [plan.pass_(p) for p in range(4)]
    assert [p.local for p in passes] == [(3,), (), (4, 7), tuple(range(20))]
    assert [p.kind.name for p in passes] == ["TILE", "TILE", "TILE", "GLOBAL"]
    assert plan.bytes_moved() == 4 * 2 * 8 * 2**20
    assert "4 passes" in plan.explain()


def test_an_empty_program_has_an_empty_plan() -> None:
    plan = trivial_plan(ProgramBuilder(3).finish())
    assert len(plan.passes) == 0 and plan.straight_line and plan.bytes_moved() == 0


def test_initialize_in_a_block_finds_used_qubits() -> None:
    """Nothing in the block touches the qubit before, but what came before the block did."""
    builder = ProgramBuilder(1, 2)
    builder.extend([Dense(H, (0,)), If(Binary("==", Bits((1,)), Const(0)), (Initialize(H[1].astype(complex), (0,)),))])
    builder.extend([Dense(H, (0,)), Measure((0,), (0,))])
    program = builder.finish()
    assert outcomes_of_program(program)[1, 0] == pytest.approx(1)
    assert_same_outcomes(program)
