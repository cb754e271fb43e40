"""Shot branching gives what running the shots one by one gives, bit for bit, with fewer simulations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import ProgramBuilder, branching, executor, presampling, stretches, testing
from qsim_core.branching import Branched, run_shots
from qsim_core.classical import Binary, Bits, Const, Unary
from qsim_core.errors import (
    InterruptedRunError,
    NotUnitaryError,
    ParameterError,
    UnsupportedError,
)
from qsim_core.executor import Words
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.liveness import least_amplitudes
from qsim_core.program import Program
from qsim_core.random import RandomSource
from qsim_core.rows import Rows
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision

LIMIT = 4


def branched(
    backend: Backend,
    program: Program,
    shots: int,
    seed: int = 1,
    *,
    precision: Precision = Precision.DOUBLE,
    defer: bool = True,
    shrink: bool = True,
    max_states: int | None = None,
) -> Branched:
    plan = trivial_plan(program, precision=precision, defer=defer, shrink=shrink)
    return run_shots(plan, plan.coefficients(program), backend, shots, RandomSource(seed), max_states=max_states)


def one_by_one(
    backend: Backend, program: Program, shots: int, seed: int = 1, *, precision: Precision, defer: bool
) -> Words:
    plan = trivial_plan(program, precision=precision, defer=defer)
    coefficients, rows = plan.coefficients(program), []
    state = StateVector(backend.allocate(1, program.num_qubits, precision), backend)
    for shot in range(shots):
        backend.fill_zero_state(state.amps)
        rows.append(executor.run_shot(plan, coefficients, state, shot, RandomSource(seed)))
    return np.concatenate(rows)


@st.composite
def dynamic_programs(draw: st.DrawFn) -> Program:
    """Random programs that measure, reset, branch, loop and have mixtures, on 3 qubits and 66 classical bits."""
    num_qubits, clbits = 3, (0, 1, 65)
    builder = ProgramBuilder(num_qubits, 66)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def block(depth: int, length: int) -> None:
        for _ in range(length):
            wires = rng.permutation(num_qubits).tolist()
            bit = int(rng.choice(clbits))
            match draw(st.sampled_from(["gates", "measure", "reset", "mixture", "assign", "if", "while"])):
                case "gates":
                    builder.rotation("Y", float(rng.uniform(0, 3)), wires[:1])
                    builder.permutation([1, 0], wires[1:2], wires[:1])
                case "measure":
                    width = int(rng.integers(1, 4))
                    builder.measure(wires[:width], rng.permutation(clbits)[:width].tolist())
                case "reset":
                    builder.reset(wires[: int(rng.integers(1, 3))])
                case "mixture":
                    for qubit in wires:  # a chain of up to three, the identity first, last or nowhere
                        unitaries = [testing.random_unitary(rng, 1), np.diag([1, -1])]
                        if place := int(rng.integers(4)):
                            unitaries.insert(place - 1, np.eye(2))
                        weights = rng.dirichlet(np.ones(len(unitaries)))
                        builder.channel(unitaries, (qubit,), (weights / weights.sum()).tolist())
                        if rng.random() < 0.3:
                            break
                        builder.rotation("X", 0.3, wires[:1])
                case "assign":
                    value = Binary("+", Bits(clbits[:2]), Unary("not", Bits((bit,))))
                    builder.assign(rng.permutation(clbits)[:2].tolist(), value)
                case "if" if depth < 2:
                    builder.begin_if(Binary("==", Bits((bit,)), Const(1)))
                    block(depth + 1, 2)
                    if rng.random() < 0.5:
                        builder.begin_else()
                        block(depth + 1, 1)
                    builder.end_block()
                case "while" if depth < 2:
                    builder.begin_while(Binary("==", Bits((bit,)), Const(1)), 1000)
                    block(depth + 1, 1)
                    builder.rotation("X", 1.0, (0,))  # so that it ends
                    builder.measure((0,), (bit,))
                    builder.end_block()
                case _:
                    builder.measure(wires[:1], (bit,))

    for qubit in range(num_qubits):
        builder.rotation("Y", 1.1, (qubit,))
    block(0, draw(st.integers(1, 7)))
    builder.measure((2, 0), (0, 65))
    return builder.finish()


@given(dynamic_programs(), st.integers(0, 100), st.booleans(), st.booleans(), st.sampled_from([None, 1, 2, 3]))
@settings(max_examples=60, deadline=None)
def test_branching_is_running_one_by_one(
    program: Program, seed: int, defer: bool, shrink: bool, max_states: int | None
) -> None:
    """Bit for bit: a probability differs by rounding at most, and 12 numbers don't fall into so small a gap."""
    backend = registry.backend("reference")
    wanted = one_by_one(backend, program, 12, seed, precision=Precision.DOUBLE, defer=defer)
    found = branched(backend, program, 12, seed, defer=defer, shrink=shrink, max_states=max_states)
    np.testing.assert_array_equal(found.words, wanted)


@given(dynamic_programs(), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_portions_change_nothing(program: Program, seed: int) -> None:
    """How many rows go on together, whether equal rows are made one, which segments run as one, when channels are drawn:
    nothing of it shows in the bits of the shots.
    """
    backend = registry.backend("reference")
    wanted = branched(backend, program, 50, seed)
    for module, name, value in (
        (branching, "_PORTION", 8), (branching, "_PORTION", 1), (branching, "_COMPARED", 0),
        (stretches, "WORTHWHILE", 1), (presampling, "SHOT_COST", 0), (presampling, "_ERRORS", 10), (presampling, "_KEPT", 1),
    ):  # fmt: skip
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            found = branched(backend, program, 50, seed)
        np.testing.assert_array_equal(found.words, wanted.words)
        assert found.reruns == 0


def feedback(num_qubits: int = 5, rounds: int = 4) -> Program:
    """Random bits steer later gates: 2^rounds histories or more."""
    builder = ProgramBuilder(num_qubits, rounds + num_qubits)
    for k in range(rounds):
        for qubit in range(num_qubits):
            builder.rotation("Y", 0.4 + 0.3 * k + 0.2 * qubit, (qubit,))
            builder.permutation([1, 0], ((qubit + 1) % num_qubits,), (qubit,))
        builder.measure((k % num_qubits,), (k,))
        builder.begin_if(Bits((k,)))
        builder.rotation("X", 0.7, ((k + 1) % num_qubits,))
        builder.end_block()
        builder.reset(((k + 2) % num_qubits,))
    builder.channel([np.eye(2), np.diag([1, -1]), np.array([[0, 1], [1, 0]])], (0,), (0.5, 0.2, 0.3))
    builder.rotation("X", 0.3, (0,))
    builder.measure(range(num_qubits), range(rounds, rounds + num_qubits))
    return builder.finish()


def test_every_backend_branches_alike(backend: Backend, precision: Precision) -> None:
    program = feedback()
    wanted = one_by_one(backend, program, 60, precision=precision, defer=True)
    for max_states in (None, 1, 2):
        found = branched(backend, program, 60, precision=precision, max_states=max_states)
        np.testing.assert_array_equal(found.words, wanted)
        assert (found.reruns == 0) == (max_states is None)
        assert 16 <= found.branches <= 60


def test_histories_run_side_by_side() -> None:
    backend = registry.backend("reference")
    runs: list[tuple[int, ...]] = []

    class Counting(type(backend)):  # type: ignore[misc]
        def run_stage(self, *arguments: Any) -> None:
            runs.append(arguments[3].shape)
            super().run_stage(*arguments)

    builder = ProgramBuilder(4, 4)
    for clbit in range(3):
        for qubit in range(clbit, 4):
            builder.rotation("Y", 0.7 + 0.2 * qubit + 0.1 * clbit, (qubit,))
        builder.rotation("XX", 0.9, (clbit, 3))
        builder.measure((clbit,), (clbit,))
        builder.begin_if(Bits((clbit,)))
        builder.rotation("X", 0.5, (3,))
        builder.end_block()
    builder.measure((3,), (3,))
    found = branched(Counting(), builder.finish(), 4000)
    assert len(np.unique(found.words)) == 16 and found.branches == 8
    # Every measurement takes a qubit out: twice the rows, half the amplitudes each; then the arm, on the rows with a 1.
    assert runs == [(1, 16), (1, 8), (2, 8), (2, 4), (4, 4), (4, 2)]
    assert found.amplitudes <= 48 and found.reruns == 0


def test_memory_is_bounded_however_deep(monkeypatch: pytest.MonkeyPatch) -> None:
    """40 qubits-in-use random bits: portions of one state nest at most log2(shots) deep."""
    monkeypatch.setattr(branching, "_PORTION", 1)
    builder = ProgramBuilder(3, 40)
    for clbit in range(40):
        for qubit in range(3):
            builder.rotation("X", 1.0 + 0.1 * clbit, (qubit,))
            builder.permutation([1, 0], ((qubit + 1) % 3,), (qubit,))
        builder.measure((0,), (clbit,))
    found = branched(registry.backend("reference"), builder.finish(), 64, defer=False)
    assert found.branches == 64 and found.reruns == 0
    assert found.amplitudes <= 8 * (3 + math.log2(64))


def test_missing_memory_costs_reruns_not_results(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, program = registry.backend("reference"), feedback()
    wanted = branched(backend, program, 50)
    assert wanted.reruns == 0
    monkeypatch.setattr(backend, "memory_free", lambda: 2 * 16 * 32)
    found = branched(backend, program, 50)
    np.testing.assert_array_equal(found.words, wanted.words)
    assert found.reruns > 0 and found.branches == wanted.branches


@given(dynamic_programs(), st.integers(0, 100), st.integers(1, 9))
@settings(max_examples=25, deadline=None)
def test_trajectories_stay_within_memory(program: Program, seed: int, max_states: int) -> None:
    """Portions of one row: what is held never exceeds the limit, or what a single history needs; every shot runs."""
    backend = registry.backend("reference")
    wanted = branched(backend, program, 40, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branching, "_COMPARED", 0)
        found = branched(backend, program, 40, seed, max_states=max_states)
    np.testing.assert_array_equal(found.words, wanted.words)
    least = least_amplitudes(trivial_plan(program, shrink=True).segments, 0)
    assert found.amplitudes <= max(8 * max_states, 2 * least + 8)
    assert (found.reruns > 0) == (found.trajectories > 0) == (found.provenance["executor"] != "branches")


def test_the_rule_of_trajectories() -> None:
    """32 histories of 5 qubits: what has no room runs from the start, side by side, each batch as many as fit."""
    program, backend = feedback(rounds=5), registry.backend("reference")
    every = branched(backend, program, 400)
    assert every.provenance["why"] == "the states of all histories fit in memory"
    for max_states in (1, 2, 4):
        found = branched(backend, program, 400, max_states=max_states)
        np.testing.assert_array_equal(found.words, every.words)
        assert found.side_by_side == max(1, max_states // 2)
        assert 0 < found.reruns <= 1.05 * every.branches / found.side_by_side  # the last of a portion may be alone
        assert 0 < found.trajectories < 400
        assert f"{found.trajectories} shots had no room" in found.provenance["why"]


def test_equal_states_become_one() -> None:
    """Random bits from a qubit that is reset: two states at most, however many bits; unless a condition reads them."""
    for read in (False, True):
        builder = ProgramBuilder(2, 9)
        for clbit in range(8):
            builder.rotation("X", math.pi / 2, (0,))
            builder.measure((0,), (clbit,))
            builder.reset((0,))
        builder.begin_if(Binary("==", Bits(tuple(range(8))), Const(7)) if read else Const(1))
        builder.permutation([1, 0], (1,))
        builder.end_block()
        builder.measure((1,), (8,))
        found = branched(registry.backend("reference"), builder.finish(), 3000, defer=False)
        bits = found.words[:, 0]
        np.testing.assert_array_equal(bits >> np.uint64(8), (bits & np.uint64(255)) == 7 if read else 1)
        assert len(np.unique(bits & np.uint64(255))) == 256
        assert found.branches == (2 if read else 1)


def test_shots_do_not_depend_on_their_number() -> None:
    backend, program = registry.backend("reference"), feedback(4, 3)
    few, many = (branched(backend, program, shots).words for shots in (7, 3000))  # few: drawn one by one, many: picked
    np.testing.assert_array_equal(few, many[:7])


def test_numbers_are_the_same_picked_or_computed() -> None:
    source, shots = RandomSource(2), 20_000
    numbers = branching._Numbers(source, shots)
    numbers.capacity = 3
    rng = np.random.default_rng(1)
    for _ in range(60):
        site, visit = int(rng.integers(6)), int(rng.integers(2))
        group = np.flatnonzero(rng.random(shots) < rng.choice([1, 0.1, 0.001, 0.0001]))
        wanted = source.uniforms(site, visit, 0, shots)[group]
        np.testing.assert_array_equal(numbers.at(site, visit, group), wanted)
    assert len(numbers.kept) == 3 and numbers.spent


def test_a_single_shot_has_a_state(backend: Backend, precision: Precision) -> None:
    builder = ProgramBuilder(3, 2)
    builder.rotation("Y", 1.0, (0,))
    builder.permutation([1, 0], (1,), (0,))
    builder.rotation("Y", 1.0, (2,))
    builder.measure((0, 2), (0, 1))
    builder.rotation("X", 0.5, (0,))
    builder.begin_if(Bits((1,)))
    builder.rotation("X", 0.5, (0,))
    builder.end_block()
    program = builder.finish()
    plan, full = (trivial_plan(program, precision=precision, shrink=shrink) for shrink in (True, False))
    coefficients, finals = plan.coefficients(program), list[StateVector]()
    for seed in range(5):
        found = run_shots(
            plan, coefficients, backend, 1, RandomSource(seed), read=lambda rows: finals.append(rows.whole(0))
        )
        other = StateVector(backend.allocate(1, 3, precision), backend)
        backend.fill_zero_state(other.amps)
        words = executor.run_shot(full, coefficients, other, 0, RandomSource(seed))
        np.testing.assert_array_equal(found.words, words)
        np.testing.assert_allclose(finals[-1].array, other.array, atol=4 * precision.epsilon)


def test_ends_are_read_with_their_shots_and_progress_is_told() -> None:
    program, backend = feedback(3, 3), registry.backend("reference")
    plan = trivial_plan(program, shrink=True)
    weights: list[int] = []
    told: list[float] = []

    def read(rows: Rows) -> None:
        norms = np.linalg.norm(rows.amps, axis=1)
        np.testing.assert_allclose(norms, 1, atol=1e-12)
        weights.extend(rows.weights.tolist())

    control = RunControl(progress=told.append)
    found = run_shots(plan, plan.coefficients(program), backend, 200, RandomSource(1), control, read=read)
    assert sum(weights) == 200 and min(weights) > 0 and len(weights) == found.branches
    assert told == sorted(told) and told[-1] == 1.0


def test_a_given_state_is_not_touched(backend: Backend) -> None:
    program = feedback(3, 2)
    plan = trivial_plan(program, initial="given", shrink=True)
    start = testing.random_state(np.random.default_rng(1), 3, 1, Precision.DOUBLE)
    before = start.copy()
    found = run_shots(plan, plan.coefficients(program), backend, 30, RandomSource(1), start=start)
    np.testing.assert_array_equal(start, before)
    full, rows = trivial_plan(program, initial="given"), []
    for shot in range(30):
        state = StateVector(backend.allocate(1, 3, Precision.DOUBLE), backend)
        state.amps[...] = start
        rows.append(executor.run_shot(full, full.coefficients(program), state, shot, RandomSource(1)))
    np.testing.assert_array_equal(found.words, np.concatenate(rows))


def test_more_qubits_than_one_group_at_a_time() -> None:
    builder = ProgramBuilder(14, 15)
    for qubit in (0, 5, 12, 13):
        builder.rotation("Y", 1.0 + 0.1 * qubit, (qubit,))
    builder.measure(range(13, -1, -1), range(14))
    builder.permutation([1, 0], (0,), (13,))
    builder.measure((0,), (14,))
    program, backend = builder.finish(), registry.backend("reference")
    wanted = one_by_one(backend, program, 10, precision=Precision.DOUBLE, defer=False)
    np.testing.assert_array_equal(branched(backend, program, 10, defer=False).words, wanted)
    assert len(np.unique(wanted)) > 4


def test_rounds_of_a_loop_are_counted_by_history() -> None:
    """Shots that leave a loop don't take the count of those that stay with them."""
    builder = ProgramBuilder(1, 1)
    builder.begin_while(Binary("==", Bits((0,)), Const(0)), 6)
    builder.reset((0,))
    builder.rotation("Y", math.pi / 2, (0,))
    builder.measure((0,), (0,))
    builder.end_block()
    program = builder.finish()
    with pytest.raises(InterruptedRunError, match="at most 6"):
        branched(registry.backend("reference"), program, 2000)
    assert branched(registry.backend("reference"), program, 2).words.tolist() == [[1], [1]]


def rounds_of(hops: int, limit: int, times: int = 1) -> Program:
    """A token goes around a ring of qubits until it is at ``hops``: as many rounds of a loop, the loop ``times`` times."""
    builder = ProgramBuilder(hops + 1, 2)
    builder.permutation([1, 0], (0,))
    for _ in range(times):
        builder.assign((0,), Const(0))
        builder.begin_while(Binary("==", Bits((0,)), Const(0)), limit)
        for qubit in range(hops, 0, -1):
            builder.permutation([0, 2, 1, 3], (qubit, qubit - 1))
        builder.measure((hops,), (0,))
        builder.end_block()
        for qubit in range(hops, 0, -1):  # back to its start
            builder.permutation([0, 2, 1, 3], (qubit, qubit - 1))
    return builder.finish()


@given(st.integers(1, 5), st.integers(1, 3), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_loop_may_take_its_limit_and_no_more(hops: int, times: int, shrink: bool) -> None:
    """In both ways to run; a loop that is come to again starts to count anew."""
    backend = registry.backend("reference")
    exact = rounds_of(hops, hops, times)
    assert branched(backend, exact, 3, shrink=shrink).words.tolist() == [[1]] * 3
    assert one_by_one(backend, exact, 1, precision=Precision.DOUBLE, defer=True).tolist() == [[1]]
    if hops > 1:
        short = rounds_of(hops, hops - 1, times)
        with pytest.raises(InterruptedRunError, match=f"at most {hops - 1}, got more"):
            branched(backend, short, 3, shrink=shrink)
        with pytest.raises(InterruptedRunError, match=f"at most {hops - 1}, got more"):
            one_by_one(backend, short, 1, precision=Precision.DOUBLE, defer=True)


@given(st.integers(0, 1000), st.integers(1, 20))
@settings(max_examples=20, deadline=None)
def test_the_limit_that_the_longest_shot_needs(seed: int, shots: int) -> None:
    """Shots leave a random loop after different rounds: all shots pass at a limit exactly where each of them passes."""
    backend = registry.backend("reference")

    def tossing(limit: int) -> Program:
        builder = ProgramBuilder(1, 1)
        builder.begin_while(Binary("==", Bits((0,)), Const(0)), limit)
        builder.reset((0,))
        builder.rotation("Y", 1.3, (0,))
        builder.measure((0,), (0,))
        builder.end_block()
        return builder.finish()

    def passes(run: Any, limit: int) -> bool:
        try:
            run(backend, tossing(limit), shots, seed)
        except InterruptedRunError:
            return False
        return True

    alone = [passes(lambda *a: one_by_one(*a, precision=Precision.DOUBLE, defer=True), limit) for limit in range(1, 9)]
    assert [passes(branched, limit) for limit in range(1, 9)] == alone
    assert alone == sorted(alone)


def test_states_that_differ_in_one_byte_stay_apart() -> None:
    """Rows are merged where every byte is equal: amplitudes one rounding apart, or a live bit, keep them apart."""
    for angle, merged in ((0.0, True), (1e-15, False)):
        builder = ProgramBuilder(2, 2)
        builder.rotation("Y", 0.8, (1,))
        builder.dense(np.array([[1, 1], [1, -1]]) / math.sqrt(2), (0,))  # both outcomes leave the same bytes
        builder.measure((0,), (0,))
        builder.begin_if(Bits((0,)))
        builder.rotation("Y", angle, (1,))
        builder.end_block()
        builder.reset((0,))
        builder.measure((1,), (1,))
        found = branched(registry.backend("reference"), builder.finish(), 200, defer=True)
        assert found.branches == (1 if merged else 2), angle


@given(dynamic_programs(), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_one_history_fits_in_what_is_foretold(program: Program, seed: int) -> None:
    plan, backend = trivial_plan(program, shrink=True), registry.backend("reference")
    found = run_shots(plan, plan.coefficients(program), backend, 1, RandomSource(seed), max_states=1)
    assert found.amplitudes <= least_amplitudes(plan.segments, plan.entry) and found.reruns == 0


def test_the_last_history_takes_the_memory_of_the_state_before(backend: Backend) -> None:
    """A qubit that is measured and used again: one state waits per measurement, and nothing is copied for the last."""
    builder = ProgramBuilder(6, 3)
    for clbit in range(3):
        for qubit in range(6):
            builder.rotation("Y", 0.9 + 0.1 * qubit, (qubit,))
            builder.permutation([1, 0], ((qubit + 1) % 6,), (qubit,))
        builder.measure((clbit,), (clbit,))
    for qubit in range(6):
        builder.rotation("X", 0.4, (qubit,))
    program = builder.finish()
    wanted = branched(backend, program, 1, defer=False)
    assert wanted.amplitudes <= 2 * 64  # |⟩ before the first gate, then one state, measured in place
    one = branched(backend, program, 1, defer=False, max_states=1)
    np.testing.assert_array_equal(one.words, wanted.words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branching, "_PORTION", 1)
        found = branched(backend, program, 100, defer=False)
        few = branched(backend, program, 100, defer=False, max_states=1)
    assert found.branches == 8 and found.amplitudes <= 5 * 64
    np.testing.assert_array_equal(few.words, found.words)
    assert few.amplitudes <= 2 * 64 and few.reruns > 0


def test_a_straight_line_is_one_history() -> None:
    builder = ProgramBuilder(1, 1)
    builder.rotation("X", 1.0, (0,))
    builder.measure((0,), (0,))
    found = branched(registry.backend("reference"), builder.finish(), 500)
    assert found.branches == 1
    assert found.words.mean() == pytest.approx(math.sin(0.5) ** 2, abs=0.1)


def test_what_goes_wrong_is_said() -> None:
    backend = registry.backend("reference")
    builder = ProgramBuilder(1, 1)
    builder.rotation("X", math.pi / 2, (0,))
    builder.measure((0,), (0,))
    builder.begin_while(Bits((0,)), LIMIT)
    builder.phase(0.1)
    builder.end_block()
    loops = builder.finish()
    with pytest.raises(InterruptedRunError, match=f"at most {LIMIT}"):
        branched(backend, loops, 20)
    shrunk = trivial_plan(feedback(), shrink=True)
    state = StateVector(backend.allocate(1, 5, Precision.DOUBLE), backend)
    with pytest.raises(UnsupportedError, match="every segment on all qubits"):
        executor.run_shot(shrunk, shrunk.coefficients(feedback()), state, 0, RandomSource(1))
    with pytest.raises(ParameterError, match="max_states"):
        branched(backend, loops, 1, max_states=0)
    builder = ProgramBuilder(1, 1)
    builder.channel([np.diag([1, 0.6]), np.array([[0, 0.8], [0, 0]])], (0,))
    with pytest.raises(UnsupportedError, match="a mixture of unitaries, got Kraus"):
        branched(backend, builder.finish(), 1)
    with pytest.raises(NotUnitaryError, match="positive"):
        executor.pick(np.zeros((1, 2)), np.zeros(1, int), np.array([0.5]))
