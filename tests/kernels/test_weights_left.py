"""Weights of blocks that the last pass of a run leaves behind for sampling: those that a read of the state gives, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim import Circuit, Simulator
from qsim_core import executor, testing
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.registry import backend as named
from qsim_core.plan import Coefficients, Plan
from qsim_core.planner import TileShape, native_plan
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import FloatArray, Precision

CONTROL = RunControl(threads=2)


def mixed(num_qubits: int, seed: int, *, depth: int = 2, num_clbits: int = 0) -> Circuit:
    """Layers of random gates between random qubits, with qubits renamed, moved and flipped before the end."""
    rng, circuit = np.random.default_rng(seed), Circuit(num_qubits, num_clbits)
    for _ in range(depth):
        for q in rng.permutation(num_qubits).tolist():
            circuit.u(*rng.uniform(0, 3, 3).tolist(), q)
        for a, b in rng.permutation(num_qubits)[: num_qubits // 2 * 2].reshape(-1, 2).tolist():
            [circuit.cx, circuit.swap, circuit.cz, circuit.iswap][rng.integers(4)](a, b)
    for q in np.flatnonzero(rng.random(num_qubits) < 0.3).tolist():
        circuit.x(q)
    return circuit


def ghz(num_qubits: int) -> Circuit:
    circuit = Circuit(num_qubits).h(num_qubits - 1)
    for q in reversed(range(num_qubits - 1)):
        circuit.cx(q + 1, q)
    return circuit


def left_and_state(
    backend: Backend, plan: Plan, circuit: Circuit, *, from_zero: bool = True, control: RunControl = CONTROL
) -> tuple[FloatArray | None, StateVector]:
    """Run a plan from |0…0⟩, or from a random state, to be sampled."""
    state = StateVector.zero(backend, 1, plan.num_qubits, plan.precision)
    if not from_zero:
        state.amps[...] = testing.random_state(np.random.default_rng(1), plan.num_qubits, 1, plan.precision)
    [stage] = plan.segments[plan.entry].stages
    coefficients = plan.coefficients(circuit.to_program())
    return backend.repeated(plan, stage)(coefficients, state.amps, control, from_zero, True), state


def assert_as_read(backend: NativeCpuBackend, weights: FloatArray, state: StateVector) -> None:
    """Compare with the sums of NumPy, and what is drawn with what is drawn from the state alone."""
    blocks = np.abs(np.asarray(state.amps).astype(np.complex128)) ** 2
    wanted = blocks.reshape(weights.shape[1], -1).sum(axis=1)
    np.testing.assert_allclose(weights[0], wanted, rtol=1e-13, atol=1e-300)
    assert ((weights[0] == 0) == (wanted == 0)).all()
    # Numbers at the very borders of blocks: a weight that is off by one rounding gives another shot.
    ends = np.cumsum(weights[0])
    borders = np.concatenate([np.nextafter(ends / ends[-1], side) for side in (0.0, 1.0)])
    numbers = np.concatenate([borders[borders < 1], [0.0], np.random.default_rng(0).random(1000)])[None]
    given = backend.sample(state.amps, numbers, CONTROL, weights)
    np.testing.assert_array_equal(given, backend.sample(state.amps, numbers, CONTROL))
    for one, other in zip(
        backend.sample_counts(state.amps, 10_000, RandomSource(1), 0, CONTROL, weights),
        backend.sample_counts(state.amps, 10_000, RandomSource(1), 0, CONTROL),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("isa", NativeCpuBackend.isas())
def test_weights_are_those_that_are_read(isa: str, precision: Precision) -> None:
    """Blocks shorter and longer than rows of tiles, first runs and kept ones, tiles left alone, any number of threads."""
    backend = NativeCpuBackend(isa)
    for num_qubits, circuit, tile_qubits in (
        (13, mixed(13, 0), None), (13, ghz(13), 10), (14, mixed(14, 1), 11), (15, mixed(15, 2, depth=3), 10),
        (16, ghz(16), 12), (17, mixed(17, 3), None), (18, mixed(18, 4), 12),
    ):  # fmt: skip
        shape = None if tile_qubits is None else TileShape(tile_qubits, 6)
        plan = native_plan(circuit.to_program(), precision=precision, initial="given", tile=shape)
        backend.tile_qubits = tile_qubits or 0
        for from_zero in (True, True, False):
            weights, state = left_and_state(backend, plan, circuit, from_zero=from_zero)
            assert weights is not None and weights.shape[0] == 1, (num_qubits, tile_qubits)
            assert_as_read(backend, weights, state)
            alone, other = left_and_state(
                NativeCpuBackend(isa), plan, circuit, from_zero=from_zero, control=RunControl(threads=1)
            )
            if tile_qubits is None:
                np.testing.assert_array_equal(alone, weights)
                np.testing.assert_array_equal(np.asarray(other.amps), np.asarray(state.amps))


@settings(max_examples=15, deadline=None)
@given(st.integers(13, 16), st.integers(0, 10**6), st.integers(9, 13), st.booleans(), st.booleans())
def test_weights_of_any_circuit(num_qubits: int, seed: int, tile_qubits: int, single: bool, low: bool) -> None:
    """Rows of any length: tiles of the plan's own qubits, filled up from the lowest or from few of them."""
    circuit, backend = mixed(num_qubits, seed), NativeCpuBackend()
    backend.tile_qubits = tile_qubits
    precision = Precision.SINGLE if single else Precision.DOUBLE
    plan = native_plan(circuit.to_program(), precision=precision, tile=TileShape(tile_qubits, 6 if low else 3))
    weights, state = left_and_state(backend, plan, circuit)
    if weights is not None:
        assert_as_read(backend, weights, state)
    assert weights is not None or not low


def test_a_state_is_the_same_weighed_or_not() -> None:
    for precision in Precision:
        circuit, backend = mixed(17, 5), NativeCpuBackend()
        plan = native_plan(circuit.to_program(), precision=precision)
        [stage] = plan.segments[plan.entry].stages
        amps = backend.zero_state(1, 17, precision)
        backend.run_from_zero(plan, stage, plan.coefficients(circuit.to_program()), amps, CONTROL)
        np.testing.assert_array_equal(amps, left_and_state(backend, plan, circuit)[1].amps)


def test_nothing_is_left_where_the_last_pass_can_not() -> None:
    """A sweep at the end, rows that are too short, a register smaller than a strip: sampling reads the state."""
    rng, backend = np.random.default_rng(0), NativeCpuBackend()
    circuit = mixed(14, 0).permutation(testing.random_permutation(rng, 13), range(13))
    weights, _ = left_and_state(backend, native_plan(circuit.to_program()), circuit)
    assert weights is None
    for num_qubits in (1, 3):
        small = mixed(num_qubits, 0)
        assert left_and_state(backend, trivial_plan(small.to_program()), small)[0] is None


def test_runs_draw_what_is_drawn_from_their_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples and counts of a run are the same, number for number, with weights left behind and without."""
    compiled = Simulator(seed=3).compile(mixed(16, 7).measure_all())
    run, left = executor.Execution.__call__, []

    def noted(self: executor.Execution, *given: Any) -> FloatArray | None:
        left.append(run(self, *given))
        return left[-1]

    def read_again(
        self: executor.Execution, values: Coefficients, state: StateVector, control: RunControl, _: bool
    ) -> FloatArray | None:
        return run(self, values, state, control)

    def both() -> tuple[object, ...]:
        compiled.simulator._next_run = 0
        samples = compiled.run(shots=5000, observables="Z0").packed_samples
        return samples, *compiled.run(shots=5000, outputs=["counts"]).count_arrays()

    monkeypatch.setattr(executor.Execution, "__call__", noted)
    found = both()
    assert len(left) == 2 and all(weights is not None for weights in left)
    monkeypatch.setattr(executor.Execution, "__call__", read_again)
    for one, other in zip(found, both(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_weights_are_asked_for_where_sampling_takes_them() -> None:
    """Few measured qubits are drawn from their own distribution, and the reference backend has nothing to leave."""
    program = mixed(14, 0).measure_all().to_program()
    few = mixed(14, 0, num_clbits=3).measure(range(3), range(3)).to_program()
    for name, measured, left in (
        ("native_cpu", program, True),
        ("native_cpu", few, False),
        ("reference", program, False),
    ):
        backend = named(name)
        plan = native_plan(measured) if name == "native_cpu" else trivial_plan(measured)
        state = StateVector.zero(backend, 1, 14, Precision.DOUBLE)
        weights = executor.execute(plan, plan.coefficients(measured), state, to_sample=True)
        assert (weights is not None) == left


def test_wrong_weights_are_refused() -> None:
    backend = NativeCpuBackend()
    amps = testing.random_state(np.random.default_rng(0), 13)
    numbers = np.zeros((1, 3))
    for weights in (np.ones((1, 7)), -np.ones((1, 8)), np.full((1, 8), np.nan), np.ones((1, 8), dtype=np.float32)):
        with pytest.raises(ValueError, match="weights of blocks"):
            backend.sample(amps, numbers, CONTROL, weights)
        with pytest.raises(ValueError, match="weights of blocks"):
            backend.sample_counts(amps, 10, RandomSource(0), 0, CONTROL, weights)
