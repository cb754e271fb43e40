"""Executor: the driver of segments, its random sites, collapse and reset, and what it does when a run fails."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from qsim_core import ProgramBuilder, executor
from qsim_core.classical import Binary, Bits, Const
from qsim_core.errors import InterruptedRunError, ParameterError, StatePoisonedError, UnsupportedError
from qsim_core.kernels.contract import Backend, StageRun
from qsim_core.kernels.control import RunControl
from qsim_core.plan import Coefficients, Plan, Stage
from qsim_core.program import Program
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, Precision


def zero(backend: Backend, num_qubits: int, precision: Precision = Precision.DOUBLE, batch: int = 1) -> StateVector:
    state = StateVector(backend.allocate(batch, num_qubits, precision), backend)
    backend.fill_zero_state(state.amps)
    return state


def shot(program: Program, state: StateVector, index: int = 0, seed: int = 1) -> str:
    plan = trivial_plan(program, precision=state.precision, defer=False)
    words = executor.run_shot(plan, plan.coefficients(program), state, index, RandomSource(seed))
    return format(int(words[0, 0]), f"0{program.num_clbits}b")


def test_measurement_collapses_and_renormalises(backend: Backend, precision: Precision) -> None:
    builder = ProgramBuilder(3, 2)
    builder.rotation("Y", 1.5, (0,))
    builder.rotation("Y", 1.7, (2,))
    builder.permutation([1, 0], (1,), controls=(0,))
    builder.measure((2, 0), (0, 1))
    program = builder.finish()
    seen = set()
    for index in range(80):
        state = zero(backend, 3, precision)
        bits = shot(program, state, index)
        found = int(bits[0]) * 0b011 + int(bits[1]) * 0b100
        assert abs(state.amps[0, found]) == pytest.approx(1, abs=1e-6)
        seen.add(bits)
    assert seen == {"00", "01", "10", "11"}


def test_impossible_outcomes_are_not_drawn_even_at_the_ends(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    builder = ProgramBuilder(2, 2)
    builder.permutation([1, 0], (0,))
    builder.measure((0, 1), (0, 1))
    for number in (0.0, 0.5, 1 - 2.0**-53):
        monkeypatch.setattr(RandomSource, "uniforms", lambda *_, number=number: np.array([number]))
        assert shot(builder.finish(), zero(backend, 2)) == "01"


def test_more_qubits_than_one_group(backend: Backend) -> None:
    builder = ProgramBuilder(14, 14)
    for qubit in range(0, 14, 3):
        builder.permutation([1, 0], (qubit,))
    order = tuple(reversed(range(14)))
    builder.measure(order, range(14))
    bits = shot(builder.finish(), zero(backend, 14))
    assert [int(bit) for bit in bits] == [int(q % 3 == 0) for q in range(14)]


def test_reset_flips_what_it_finds(backend: Backend, precision: Precision) -> None:
    builder = ProgramBuilder(3, 1)
    for qubit in range(3):
        builder.permutation([1, 0], (qubit,))
    builder.reset((0, 2))
    state = zero(backend, 3, precision)
    shot(builder.finish(), state)
    assert np.abs(state.amps[0]).tolist() == [0, 0, 1, 0, 0, 0, 0, 0]


def test_loops_count_their_rounds_afresh(backend: Backend) -> None:
    """An inner loop of limit 2 entered twice does not add up its rounds."""
    builder = ProgramBuilder(1, 3)
    builder.begin_while(Binary("==", Bits((2,)), Const(0)), 5)
    builder.begin_while(Binary("==", Bits((0,)), Const(0)), 2)
    builder.permutation([1, 0], (0,))
    builder.measure((0,), (0,))
    builder.end_block()
    builder.measure((0,), (2,))
    builder.end_block()
    assert shot(builder.finish(), zero(backend, 1)) == "101"


def test_batches_run_with_their_own_rows(backend: Backend) -> None:
    builder = ProgramBuilder(1, 0, ("a",))
    from qsim_core import Angle

    builder.rotation("X", Angle(0.0, ((0, 1.0),)), (0,))
    program, angles = builder.finish(), np.array([[0.0], [1.0], [np.pi]])
    plan = trivial_plan(program)
    state = zero(backend, 1, batch=3)
    executor.execute(plan, plan.coefficients(program, angles), state)
    np.testing.assert_allclose(state.array[:, 0], np.cos(angles[:, 0] / 2), atol=1e-14)
    one = zero(backend, 1, batch=2)
    executor.execute(plan, plan.coefficients(program, [1.0]), one)  # one row serves all
    np.testing.assert_allclose(one.array[:, 0], np.cos(0.5), atol=1e-14)
    with pytest.raises(ParameterError, match="1 or 2, got 3"):
        executor.execute(plan, plan.coefficients(program, angles), one)


def test_sampling_writes_each_bit_in_order(backend: Backend) -> None:
    builder = ProgramBuilder(2, 66)
    builder.permutation([1, 0], (1,))
    builder.measure((0, 1), (0, 65))
    builder.measure((1,), (0,))
    builder.measure((0,), (65,))
    program = builder.finish()
    plan = trivial_plan(program)
    state = zero(backend, 2)
    executor.execute(plan, plan.coefficients(program), state)
    words = executor.sample_shots(plan, state, 4, RandomSource(0))
    assert words.tolist() == [[1, 0]] * 4 and words.dtype == np.uint64


def test_only_the_first_stage_is_told_that_a_state_is_zero(backend: Backend) -> None:
    builder = ProgramBuilder(1)
    for _ in range(2):
        builder.rotation("X", 0.1, (0,))
    program = builder.finish()
    plan, told = trivial_plan(program), []
    [segment] = plan.segments
    first, second = (replace(segment.stages[0], passes=range(k, k + 1)) for k in range(2))
    plan = replace(plan, segments=(replace(segment, stages=(first, second)),))

    class Listening(type(backend)):  # type: ignore[misc]
        def repeated(self, plan: Plan, stage: Stage) -> StageRun:
            run = super().repeated(plan, stage)

            def listen(values: Coefficients, amps: Amps, control: RunControl, from_zero: bool, to_sample: bool) -> Any:
                told.append(from_zero)
                return run(values, amps, control, from_zero, to_sample)

            return listen

    state = StateVector.zero(Listening(), 1, 1, Precision.DOUBLE)
    executor.execute(plan, plan.coefficients(program), state)
    assert told == [True, False]
    np.testing.assert_allclose(state.array, [np.cos(0.1), -1j * np.sin(0.1)], atol=1e-15)


def test_straight_line_is_needed_to_execute(backend: Backend) -> None:
    builder = ProgramBuilder(1, 1)
    builder.rotation("X", 0.1, (0,))
    builder.reset((0,))
    program = builder.finish()
    plan = trivial_plan(program)
    with pytest.raises(UnsupportedError, match="straight-line"):
        executor.execute(plan, plan.coefficients(program), zero(backend, 1))


@pytest.mark.parametrize("error", [KeyboardInterrupt, InterruptedRunError, ValueError])
def test_whatever_stops_a_run_poisons_the_state(error: type[BaseException], backend: Backend) -> None:
    builder = ProgramBuilder(1)
    builder.rotation("X", 0.1, (0,))
    program = builder.finish()
    plan, state = trivial_plan(program), zero(backend, 1)

    class Broken(Plan):
        @property
        def segments(self) -> Any:
            raise error("stopped")

    broken = object.__new__(Broken)
    with pytest.raises(error), executor.poisoning(state):
        _ = broken.segments
    with pytest.raises(StatePoisonedError, match=f"stopped by {error.__name__}"):
        _ = state.amps
    with pytest.raises(StatePoisonedError):
        executor.execute(plan, Coefficients(np.zeros((1, 1))), state)
