"""Circuits that measure and go on: protocols with known outcomes, and equal distributions however they are run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from qsim import Circuit, Simulator
from qsim_core import executor
from qsim_core.classical import Binary, Bits, Unary
from qsim_core.errors import InterruptedRunError
from qsim_core.kernels import registry
from qsim_core.program import Program
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import ComplexArray, Precision

Random = Callable[[int, int], ComplexArray]


def prepare(psi: ComplexArray, qubits: list[int], num_qubits: int) -> ComplexArray:
    """Return psi on the given qubits and |0⟩ on the others, as one vector."""
    index = [sum((k >> b & 1) << q for b, q in enumerate(qubits)) for k in range(len(psi))]
    state = np.zeros(2**num_qubits, dtype=np.complex128)
    state[index] = psi
    return state


def teleport() -> Circuit:
    circuit = Circuit(3, 2).h(1).cx(1, 2).cx(0, 1).h(0).measure(0, 0).measure(1, 1)
    with circuit.if_(1):
        circuit.x(2)
    with circuit.if_(0):
        circuit.z(2)
    return circuit


@pytest.mark.parametrize("seed", range(4))
def test_teleportation(seed: int, simulator: Simulator, tolerance: float, random_state: Random) -> None:
    psi = random_state(seed, 1)
    seen = set()
    for _ in range(6):
        result = simulator.run(teleport(), shots=1, initial_state=prepare(psi, [0], 3), outputs=["state", "samples"])
        arrived = result.reduced_density_matrix([2])
        np.testing.assert_allclose(arrived, np.outer(psi, psi.conj()), atol=10 * tolerance)
        assert result.norm == pytest.approx(1, abs=10 * tolerance)
        seen.update(result.counts)
    assert len(seen) > 1


def test_expectation_values_of_a_dynamic_circuit_are_averaged(simulator: Simulator, random_state: Random) -> None:
    psi = random_state(9, 1)
    start = prepare(psi, [0], 3)
    result = simulator.run(teleport(), shots=8, initial_state=start, observables=["X2", "Z2", "I"])
    expected = [2 * (psi[0].conj() * psi[1]).real, abs(psi[0]) ** 2 - abs(psi[1]) ** 2, 1]
    np.testing.assert_allclose(result.expectations, expected, atol=2e-6)


def test_entanglement_swapping(simulator: Simulator, tolerance: float) -> None:
    circuit = Circuit(4, 2).h(0).cx(0, 1).h(2).cx(2, 3).cx(1, 2).h(1).measure([1, 2], [0, 1])
    with circuit.if_(1):
        circuit.x(3)
    with circuit.if_(0):
        circuit.z(3)
    for _ in range(4):
        result = simulator.run(circuit, shots=1, outputs="state")
        bell = np.array([1, 0, 0, 1]) / 2**0.5
        np.testing.assert_allclose(result.reduced_density_matrix([0, 3]), np.outer(bell, bell), atol=10 * tolerance)


def test_repeat_until_success(simulator: Simulator) -> None:
    circuit = Circuit(1, 1).h(0).measure(0, 0)
    with circuit.while_(Unary("not", Bits((0,))), limit=200):
        circuit.h(0).measure(0, 0)
    assert simulator.run(circuit, shots=60).counts == {"1": 60}


def test_a_loop_over_its_limit_is_an_error(simulator: Simulator) -> None:
    circuit = Circuit(1, 1).x(0).measure(0, 0)
    with circuit.while_(0, limit=5):
        circuit.x(0).x(0)
    with pytest.raises(InterruptedRunError, match="at most 5"):
        simulator.run(circuit, shots=1)


@pytest.mark.parametrize("flipped", [None, 0, 1, 2])
def test_bit_flip_code_with_feedback(
    flipped: int | None, simulator: Simulator, tolerance: float, random_state: Random
) -> None:
    psi = random_state(2, 1)
    circuit = Circuit(5, 2).cx(0, 1).cx(0, 2)
    if flipped is not None:
        circuit.x(flipped)
    circuit.cx(0, 3).cx(1, 3).cx(1, 4).cx(2, 4).measure([3, 4], [0, 1])
    for qubit, syndrome in ((0, 0b01), (1, 0b11), (2, 0b10)):
        with circuit.if_(("c", syndrome)):
            circuit.x(qubit)
    circuit.reset([3, 4]).cx(0, 2).cx(0, 1)
    result = simulator.run(circuit, shots=1, initial_state=prepare(psi, [0], 5), outputs="state")
    np.testing.assert_allclose(result.state_vector, prepare(psi, [0], 5), atol=10 * tolerance)


@pytest.mark.parametrize("phase", [0, 3, 5, 14])
def test_iterative_phase_estimation(phase: int, simulator: Simulator) -> None:
    """One ancilla, reused; bits from the least significant on, corrections controlled by earlier results."""
    circuit = Circuit(2, 4).x(1)
    for k in range(4):
        circuit.reset(0).h(0).cp(2 * np.pi * phase / 16 * 2 ** (3 - k), 0, 1)
        for j in range(k):
            with circuit.if_(j):
                circuit.p(-np.pi / 2 ** (k - j), 0)
        circuit.h(0).measure(0, k)
    assert simulator.run(circuit, shots=5).counts == {format(phase, "04b"): 5}


def test_else_nested_blocks_and_expressions(simulator: Simulator) -> None:
    for value in range(4):
        circuit = Circuit(2, 6)
        for bit in range(2):
            if value >> bit & 1:
                circuit.x(bit)
        circuit.measure([0, 1], [0, 1]).reset([0, 1])
        with circuit.if_(Binary("<", Bits((0, 1)), Bits((1, 0)))):
            circuit.x(0)
            with circuit.if_(([0, 1], 2)):
                circuit.x(1)
            with circuit.else_():
                circuit.x([0, 1])
        with circuit.else_(), circuit.if_(("c", 3)):
            circuit.x(1)
        circuit.measure([0, 1], [2, 3])
        expected = {0: 0, 1: 2, 2: 0, 3: 2}[value]
        assert simulator.run(circuit, shots=1).counts == {f"00{expected:02b}{value:02b}": 1}


def test_reset_and_reuse(simulator: Simulator, tolerance: float) -> None:
    circuit = Circuit(2, 2).h(0).cx(0, 1).measure(0, 0).reset(0).cx(1, 0).measure(0, 1)
    assert set(simulator.run(circuit, shots=40).counts) == {"00", "11"}
    result = simulator.run(Circuit(2).h(range(2)).cz(0, 1).reset(1).measure(0), shots=1, outputs="state")
    assert result.marginal([1])[0] == pytest.approx(1, abs=tolerance)
    assert result.norm == pytest.approx(1, abs=10 * tolerance)


def test_a_measurement_repeats_itself(simulator: Simulator) -> None:
    circuit = (
        Circuit(3, 4).ry(1.0, range(3)).cx(0, 2).measure([0, 2], [0, 1]).barrier().z(range(3)).measure([2, 0], [2, 3])
    )
    samples = simulator.run(circuit, shots=40).samples
    np.testing.assert_array_equal(samples[:, [0, 1]], samples[:, [3, 2]])
    assert len(np.unique(samples, axis=0)) > 2


def histogram(program: Program, shots: int, *, defer: bool) -> Counter[int]:
    backend, plan = registry.backend("reference"), trivial_plan(program, defer=defer)
    coefficients, source = plan.coefficients(program), RandomSource(3)
    state = StateVector(backend.allocate(1, program.num_qubits, Precision.DOUBLE), backend)
    counts: Counter[int] = Counter()
    if plan.straight_line:
        backend.fill_zero_state(state.amps)
        executor.execute(plan, coefficients, state)
        counts.update(executor.sample_shots(plan, state, shots, source)[:, 0].tolist())
    else:
        for shot in range(shots):
            backend.fill_zero_state(state.amps)
            counts.update(executor.run_shot(plan, coefficients, state, shot, source)[:, 0].tolist())
    return counts


def test_deferred_measurements_have_the_same_distribution() -> None:
    stats = pytest.importorskip("scipy.stats")
    circuit = Circuit(3, 4).h(0).cx(0, 1).measure(0, 0).ry(1.0, 2).cx(1, 2).measure([1, 2], [1, 3]).measure(2, 2)
    program, shots = circuit.to_program(), 500
    assert trivial_plan(program).straight_line and not trivial_plan(program, defer=False).straight_line
    deferred, direct = histogram(program, shots, defer=True), histogram(program, shots, defer=False)
    keys = sorted(deferred | direct)
    assert len(keys) == 4
    assert stats.chi2_contingency([[c[k] for k in keys] for c in (deferred, direct)]).pvalue > 1e-3
    amplitudes = circuit[:0].h(0).cx(0, 1).ry(1.0, 2).cx(1, 2).to_matrix()[:, 0]
    exact = {(k & 3) | (k >> 2) * 0b1100: p for k, p in enumerate(np.abs(amplitudes) ** 2) if p > 1e-12}
    assert sorted(exact) == keys
    for counts in (deferred, direct):
        assert stats.chisquare([counts[k] for k in keys], [shots * exact[k] for k in keys]).pvalue > 1e-3


def test_shots_do_not_depend_on_how_many_are_run(simulator: Simulator) -> None:
    circuit = Circuit(2, 2).h(0).measure(0, 0).h(0).h(1).measure([0, 1], [0, 1])
    options = {"precision": simulator.precision, "seed": 4}
    few, many = (Simulator(simulator.backend, **options).run(circuit, shots=n).samples for n in (5, 20))  # type: ignore[arg-type]
    np.testing.assert_array_equal(few, many[:5])


def test_loops_draw_new_numbers_on_every_visit() -> None:
    """A loop that measures a fresh |+⟩ until it finds 1: its length is geometric, not always 1 or for ever."""
    circuit = Circuit(4, 4).h(0).measure(0, 0)
    with circuit.while_(([0, 3], 0), limit=20):  # counts its rounds on qubits 1 to 3, up to 7
        circuit.h(0).measure(0, 0).ccx(1, 2, 3).cx(1, 2).x(1).measure(3, 3)
    rounds = Counter(simulated_rounds(circuit, 400))
    assert rounds[0] == pytest.approx(200, abs=50) and rounds[1] == pytest.approx(100, abs=40)
    assert rounds[2] == pytest.approx(50, abs=30) and rounds[3] == pytest.approx(25, abs=20)


def simulated_rounds(circuit: Circuit, shots: int) -> list[int]:
    counted = circuit.copy().measure([1, 2], [1, 2])
    samples = Simulator("reference", seed=8).run(counted, shots=shots).samples
    return [int(row[1] + 2 * row[2] + 4 * row[3]) for row in samples]
