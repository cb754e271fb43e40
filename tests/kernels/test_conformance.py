"""Every backend means the same: one suite over all backends, precisions and numbers of threads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import testing
from qsim_core.errors import NotUnitaryError
from qsim_core.kernels import registry
from qsim_core.kernels.contract import CHUNK, Backend, Regrouping
from qsim_core.kernels.control import RunControl
from qsim_core.operations import Angle, Dense, Diagonal, Operation, Permutation, Phase, Rotation
from qsim_core.program import Program, ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, ComplexArray, Precision

SETTINGS = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module", params=registry.names())
def backend(request: pytest.FixtureRequest) -> Backend:
    reason = registry.availability(request.param)
    if reason is not None:
        pytest.skip(f"{request.param}: {reason}")
    return registry.backend(request.param)


@pytest.fixture(scope="module", params=list(Precision), ids=lambda p: p.value)
def precision(request: pytest.FixtureRequest) -> Precision:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module", params=[1, 2], ids=["1thread", "2threads"])
def threads(request: pytest.FixtureRequest) -> int:
    return request.param  # type: ignore[no-any-return]


def program_of(num_qubits: int, operations: Sequence[Operation]) -> Program:
    builder = ProgramBuilder(num_qubits)
    builder.extend(operations)
    return builder.finish()


def apply(backend: Backend, operations: Sequence[Operation], amps: Amps) -> ComplexArray:
    program = program_of(amps.shape[1].bit_length() - 1, operations)
    plan = trivial_plan(program, precision=Precision.of(amps.dtype))
    return testing.run(backend, plan, program, amps).astype(np.complex128)


def test_table(backend: Backend, precision: Precision, threads: int) -> None:
    if backend.name == "reference" and threads > 1:
        pytest.skip("the reference has one thread and is what the others are compared with")
    testing.assert_backend_conforms(backend, [precision], [threads])


@given(data=st.data())
@SETTINGS
def test_random_programs(backend: Backend, precision: Precision, data: st.DataObject) -> None:
    program = data.draw(testing.programs(0, 7, max_operations=15))
    batch, rows = data.draw(st.sampled_from([(1, 1), (3, 1), (3, 3)]))
    amps = data.draw(testing.states(program.num_qubits, batch, precision))
    slots = np.array(data.draw(st.lists(st.floats(-4, 4), min_size=2 * rows, max_size=2 * rows))).reshape(rows, 2)
    testing.assert_runs_like_reference(backend, program, amps=amps, slots=slots, threads=data.draw(st.integers(1, 3)))


def large_program(num_qubits: int, rng: np.random.Generator) -> Program:
    """One operation of each kind, low and high, on a state above every threading threshold."""
    builder = ProgramBuilder(num_qubits, slots=["t"])
    top = num_qubits - 1
    angle = Angle(0.4, ((0, 1.1),))
    builder.rotation("Y", angle, (0,))
    builder.rotation("X", angle, (top,), (1,))
    builder.rotation("XYZ" * (num_qubits // 3), angle, rng.permutation(num_qubits)[: num_qubits // 3 * 3].tolist())
    builder.rotation("ZZZ", angle, (2, top, 7))
    builder.phase(angle, (0, top), (1, 0))
    builder.dense(testing.random_unitary(rng, 3), (top, 0, 8), (4,), (0,))
    builder.dense(testing.random_unitary(rng, 6), (5, 3, top, 9, 1, 0))
    builder.diagonal(testing.random_phases(rng, 10), rng.permutation(num_qubits)[:10].tolist())
    builder.permutation(testing.random_permutation(rng, 5), (0, top, 3, 9, 6), (1, 8))
    wide = rng.permutation(num_qubits)
    builder.permutation(testing.random_permutation(rng, num_qubits), wide.tolist())
    builder.permutation(np.roll(np.arange(2 ** (num_qubits - 1)), 5), wide[1:].tolist(), wide[:1].tolist(), (0,))
    return builder.finish()


def test_above_threading_thresholds(backend: Backend, precision: Precision) -> None:
    """Seventeen qubits: right, and the same bits for any number of threads."""
    rng = np.random.default_rng(5)
    program = large_program(17, rng)
    amps = testing.random_state(rng, 17, 1, precision)
    results = [
        testing.assert_runs_like_reference(backend, program, amps=amps, slots=[0.3], threads=count)
        for count in (1, 2, 3)
    ]
    assert all(result.tobytes() == results[0].tobytes() for result in results)
    state = backend.allocate(1, 17, precision)
    state[...] = results[0]
    answers = []
    for count in (1, 2, 3):
        control = RunControl(threads=count)
        verbs = (
            backend.norms(state, control),
            backend.probabilities(state, (16, 2), control),
            backend.pauli_overlap(state, state, 0x10203, 0x00A01, control),
            backend.sample(state, np.array([[0.1, 0.5, 0.9]]), control),
        )
        answers.append(b"".join(answer.tobytes() for answer in verbs))
    assert answers[0] == answers[1] == answers[2]


@given(data=st.data())
@SETTINGS
def test_norm_and_inverse(backend: Backend, precision: Precision, data: st.DataObject) -> None:
    operations = data.draw(st.lists(testing.operations(5), max_size=8))
    amps = data.draw(testing.states(5, 1, precision))
    forth = program_of(5, operations)
    bound = 2 * testing.error_bound(forth, precision)
    there = apply(backend, operations, amps)
    assert abs(np.linalg.norm(there) - np.linalg.norm(amps)) <= bound
    back = apply(backend, [inverse(operation) for operation in reversed(operations)], there.astype(precision.dtype))
    assert np.linalg.norm(back - amps) <= 2 * bound


@given(data=st.data())
@SETTINGS
def test_linearity(backend: Backend, data: st.DataObject) -> None:
    operations = data.draw(st.lists(testing.operations(4), max_size=6))
    first, second = data.draw(testing.states(4)), data.draw(testing.states(4))
    factor = 0.3 - 0.8j
    together = apply(backend, operations, first + factor * second)
    apart = apply(backend, operations, first) + factor * apply(backend, operations, second)
    assert np.linalg.norm(together - apart) <= 4 * testing.error_bound(program_of(4, operations), Precision.DOUBLE)


@given(data=st.data())
@SETTINGS
def test_relabelling(backend: Backend, precision: Precision, data: st.DataObject) -> None:
    """Renaming the qubits of operations and state alike changes nothing."""
    operations = data.draw(st.lists(testing.operations(5), max_size=6))
    amps = data.draw(testing.states(5, 1, precision))
    names = data.draw(st.permutations(range(5)))
    index = sum(((np.arange(32) >> q & 1) << names[q] for q in range(5)), np.zeros(32, dtype=np.int64))
    renamed = np.empty_like(amps)
    renamed[:, index] = amps
    result = apply(backend, [relabelled(operation, names) for operation in operations], renamed)
    bound = 2 * testing.error_bound(program_of(5, operations), precision)
    assert np.linalg.norm(result[:, index] - apply(backend, operations, amps)) <= bound


@given(data=st.data())
@SETTINGS
def test_disjoint_operations_commute(backend: Backend, precision: Precision, data: st.DataObject) -> None:
    names = data.draw(st.permutations(range(6)))
    first = relabelled(data.draw(testing.operations(3)), names[:3])
    second = relabelled(data.draw(testing.operations(3)), names[3:])
    amps = data.draw(testing.states(6, 1, precision))
    one, other = apply(backend, [first, second], amps), apply(backend, [second, first], amps)
    assert np.linalg.norm(one - other) <= 2 * testing.error_bound(program_of(6, [first, second]), precision)


@given(data=st.data())
@SETTINGS
def test_other_control_values_stay_untouched(backend: Backend, precision: Precision, data: st.DataObject) -> None:
    """Where the controls have other values not one bit changes."""
    operation = data.draw(testing.operations(6))
    amps = data.draw(testing.states(6, 1, precision))
    index = np.arange(64)
    active = np.ones(64, dtype=bool)
    for control, value in zip(operation.controls, operation.control_values, strict=True):  # type: ignore[union-attr]
        active &= index >> control & 1 == value
    result = apply(backend, [operation], amps)
    assert (result[:, ~active] == amps[:, ~active]).all()


def test_samples_across_chunks(backend: Backend) -> None:
    """Rounding at the borders of chunks never lands on a state of probability zero."""
    size = 4 * CHUNK
    rng = np.random.default_rng(2)
    state = backend.allocate(1, size.bit_length() - 1, Precision.DOUBLE)
    state[...] = 0
    for start in range(0, size, CHUNK):  # holes at both ends of every chunk
        state[0, start + 5 : start + CHUNK - 5 : 7] = rng.normal()
    ends = np.cumsum([np.sum(np.abs(np.asarray(state[0, s : s + CHUNK])) ** 2) for s in range(0, size, CHUNK)])
    borders = ends[:-1] / ends[-1]
    near = [np.nextafter(borders, 0), borders, np.nextafter(borders, 1), np.nextafter(np.nextafter(borders, 1), 1)]
    uniforms = np.concatenate([*near, rng.random(500), [0.0, np.nextafter(1.0, 0.0)]])
    [drawn] = backend.sample(state, uniforms[None], RunControl())
    assert (np.asarray(state[0])[drawn] != 0).all()
    assert (np.diff(drawn[np.argsort(uniforms)]) >= 0).all()


def test_nothing_to_sample_is_an_error(backend: Backend) -> None:
    state = backend.allocate(1, 3, Precision.DOUBLE)
    state[...] = 0
    with pytest.raises(NotUnitaryError, match="norm of a state to sample"):
        backend.sample(state, np.array([[0.5]]), RunControl())


def inverse(operation: Operation) -> Operation:
    match operation:
        case Rotation(pauli, angle, targets, controls, values):
            return Rotation(pauli, angle.scaled(-1), targets, controls, values)
        case Phase(angle, controls, values):
            return Phase(angle.scaled(-1), controls, values)
        case Dense(matrix, targets, controls, values):
            return Dense(matrix.conj().T, targets, controls, values)
        case Diagonal(vector, targets, controls, values):
            return Diagonal(vector.conj(), targets, controls, values)
        case Permutation(table, targets, controls, values):
            return Permutation(np.argsort(table), targets, controls, values)
    raise AssertionError(operation)


def relabelled(operation: Operation, names: Sequence[int]) -> Operation:
    def new(qubits: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(names[q] for q in qubits)

    match operation:
        case Rotation(pauli, angle, targets, controls, values):
            return Rotation(pauli, angle, new(targets), new(controls), values)
        case Phase(angle, controls, values):
            return Phase(angle, new(controls), values)
        case Dense(operand, targets, controls, values):
            return Dense(operand, new(targets), new(controls), values)
        case Diagonal(operand, targets, controls, values):
            return Diagonal(operand, new(targets), new(controls), values)
        case Permutation(table, targets, controls, values):
            return Permutation(table, new(targets), new(controls), values)
    raise AssertionError(operation)


@pytest.mark.parametrize(("bits", "values"), [((1, 2), (1, 2)), ((3, 0), (1, 1)), ((2,), (2,))])
def test_between_two_measurements(
    backend: Backend, precision: Precision, threads: int, bits: tuple[int, ...], values: tuple[int, ...]
) -> None:
    """Moved, run and read by one verb: as one after the other; in place where a single row keeps its qubits."""
    rng, size = np.random.default_rng(8), len(bits)
    operations = [Rotation("Y", Angle(0.3 + q), (q,)) for q in range(5)] + [Phase(Angle(0.7), (1, 4))]
    program = program_of(5, operations)
    plan = trivial_plan(program, precision=precision)
    coefficients, (stage,) = plan.coefficients(program), plan.segments[plan.entry].stages
    host = testing.random_state(rng, 5, size, precision)
    move = Regrouping(
        np.arange(size)[::-1].copy(), (3, 1), np.array(bits), rng.uniform(1, 2, size), (3, 1), np.array(values)
    )
    reference, control = testing.ReferenceBackend(), RunControl(threads=threads)
    wanted, weights = reference.run_between(plan, stage, coefficients, host, control, move=move, read=(4, 1))
    assert weights is not None
    np.testing.assert_allclose(weights, reference.probabilities(wanted, (4, 1), control), rtol=1e-6)
    for in_place in (False, True)[: 1 + move.in_place]:
        amps = backend.adopt(host.copy())
        out = amps if in_place else None
        found, read = backend.run_between(plan, stage, coefficients, amps, control, move=move, out=out, read=(4, 1))
        assert (found is amps) == in_place
        np.testing.assert_allclose(np.asarray(found), wanted, rtol=0, atol=40 * precision.epsilon)
        np.testing.assert_allclose(read, weights, rtol=0, atol=80 * precision.epsilon)
        if not in_place:
            np.testing.assert_array_equal(np.asarray(amps), host)
            again, nothing = backend.run_between(plan, stage, coefficients, amps, control)
            assert again is amps and nothing is None


def test_shots_after_a_run_that_leaves_weights(backend: Backend, precision: Precision, threads: int) -> None:
    """The state of a plain run; the shots and counts that are drawn from it without them."""
    program = program_of(13, [Rotation("Y", Angle(0.3 + q), (q,)) for q in range(13)] + [Phase(Angle(0.7), (1, 4))])
    plan, control = trivial_plan(program, precision=precision), RunControl(threads=threads)
    coefficients, (stage,) = plan.coefficients(program), plan.segments[plan.entry].stages
    amps, plain = (backend.zero_state(1, 13, precision) for _ in range(2))
    weights = backend.repeated(plan, stage)(coefficients, amps, control, True, True)
    backend.run_from_zero(plan, stage, coefficients, plain, control)
    np.testing.assert_array_equal(np.asarray(amps), np.asarray(plain))
    numbers = np.random.default_rng(0).random((1, 1000))
    drawn = backend.sample(amps, numbers, control, weights)
    np.testing.assert_array_equal(np.asarray(drawn), np.asarray(backend.sample(amps, numbers, control)))
    counts = [backend.sample_counts(amps, 1000, RandomSource(2), 0, control, found) for found in (weights, None)]
    for one, other in zip(*counts, strict=True):
        np.testing.assert_array_equal(one, other)
