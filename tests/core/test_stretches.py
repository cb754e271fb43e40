"""Segments that run as one do what they do one after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import stretches, testing
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.plan import ChannelEnd, Plan
from qsim_core.planner import native_plan, planner_available
from qsim_core.program import Program, ProgramBuilder
from qsim_core.stretches import Stretches, stretch
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision


def layers(num_qubits: int, count: int, seed: int) -> Program:
    """Layers of gates with a channel after each, all qubits in use from the start."""
    builder, rng = ProgramBuilder(num_qubits), np.random.default_rng(seed)
    for _ in range(count):
        for qubit in range(num_qubits):
            builder.dense(testing.random_unitary(rng, 1), (qubit,))
            builder.phase(float(rng.uniform(0, 3)), (qubit, (qubit + 1) % num_qubits))
        builder.rotation("XY", float(rng.uniform(0, 3)), tuple(rng.permutation(num_qubits)[:2].tolist()))
        builder.channel([np.eye(2), np.diag([1, -1])], (0,), (0.9, 0.1))
    return builder.finish()


def path_of(plan: Plan) -> tuple[int, ...]:
    here, path = plan.entry, []
    while isinstance(end := plan.segments[here].end, ChannelEnd):
        path.append(here)
        here = end.next
    return tuple(path)


@given(st.integers(0, 1000), st.integers(2, 5), st.sampled_from(list(Precision)))
@settings(max_examples=20, deadline=None)
def test_a_stretch_is_its_segments(seed: int, count: int, precision: Precision) -> None:
    program = layers(5, count, seed)
    plans = [trivial_plan(program, precision=precision, shrink=True)]
    if planner_available():
        plans.append(native_plan(program, precision=precision, shrink=True))
    for plan in plans:
        for backend in [registry.backend("auto"), testing.ReferenceBackend()]:
            path, coefficients = path_of(plan), plan.coefficients(program)
            amps = backend.allocate(2, 5, precision)
            amps[...] = testing.random_state(np.random.default_rng(seed), 5, 2, precision)
            wanted = amps.copy()
            run = Stretches(plan, coefficients, backend)
            run.run(path, wanted, RunControl())
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(stretches, "WORTHWHILE", 1)
                run.run(path, amps, RunControl())
            np.testing.assert_allclose(amps, wanted, rtol=0, atol=40 * count * precision.epsilon)


@pytest.mark.skipif(not planner_available(), reason="the core is not built")
def test_a_stretch_takes_fewer_passes() -> None:
    plan = native_plan(layers(18, 6, 1), shrink=True)
    path = path_of(plan)
    one = stretch(plan, path)
    assert len(one.ops) == sum(len(plan.op_range(s)) for here in path for s in plan.segments[here].stages)
    assert len(one.passes) < sum(len(s.passes) for here in path for s in plan.segments[here].stages)
    assert one.straight_line and one.num_qubits == 18


def test_plans_are_kept_while_they_are_used(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stretches, "WORTHWHILE", 1)
    monkeypatch.setattr(stretches, "_KEPT", 2)
    made: list[tuple[int, ...]] = []
    monkeypatch.setattr(stretches, "stretch", lambda plan, path: made.append(path) or stretch(plan, path))
    program = layers(3, 5, 2)
    plan = trivial_plan(program, shrink=True)
    path, run = path_of(plan), Stretches(plan, plan.coefficients(program), backend)
    amps = backend.zero_state(1, 3, Precision.DOUBLE)
    for part in (path[:2], path[2:4], path[:2], path[1:4], path[:2], path[2:4]):
        run.run(part, amps, RunControl())
    assert made == [path[:2], path[2:4], path[1:4], path[2:4]]
