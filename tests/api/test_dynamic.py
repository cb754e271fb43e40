"""Circuits that measure and go on: protocols with known outcomes, and equal distributions however they are run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from qsim import Circuit, Simulator
from qsim.noise import bit_flip
from qsim_core import executor
from qsim_core.classical import Binary, Bits, Unary
from qsim_core.errors import InterruptedRunError, ParameterError, QsimError, UnsupportedError
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
    seen: set[str] = set()
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


# --- many shots: closed forms, Qiskit Aer, postselection ------------------------------------------------------------


def assert_follows(counts: dict[str, int], expected: dict[str, float]) -> None:
    """Chi-square of counts against exact probabilities, p above 1e-4; nothing impossible was seen."""
    stats = pytest.importorskip("scipy.stats")
    possible = {key: p for key, p in expected.items() if p > 1e-12}
    assert set(counts) <= set(possible)
    shots = sum(counts.values())
    if len(possible) > 1:
        observed = [counts.get(key, 0) for key in possible]
        assert stats.chisquare(observed, [shots * p for p in possible.values()]).pvalue > 1e-4


def test_teleported_statistics(simulator: Simulator) -> None:
    circuit = Circuit(3, 3).ry(1.2, 0)
    circuit.h(1).cx(1, 2).cx(0, 1).h(0).measure(0, 0).measure(1, 1)
    with circuit.if_(1):
        circuit.x(2)
    with circuit.if_(0):
        circuit.z(2)
    result = simulator.run(circuit.measure(2, 2), shots=4000)
    one = np.sin(0.6) ** 2
    expected = {f"{q}{k:02b}": (one if q else 1 - one) / 4 for q in (0, 1) for k in range(4)}
    assert_follows(result.counts, expected)
    facts = {"executor": "branches", "why": "the states of all histories fit in memory"}
    assert result.provenance["branching"] == {**facts, "branches": 4, "amplitudes": 16, "reruns": 0}


def test_swapped_entanglement_is_seen(simulator: Simulator) -> None:
    circuit = Circuit(4, 4).h(0).cx(0, 1).h(2).cx(2, 3).cx(1, 2).h(1).measure([1, 2], [0, 1])
    with circuit.if_(1):
        circuit.x(3)
    with circuit.if_(0):
        circuit.z(3)
    circuit.h([0, 3]).measure([0, 3], [2, 3])
    expected = {f"{bell}{k:02b}": 1 / 8 for bell in ("00", "11") for k in range(4)}
    assert_follows(simulator.run(circuit, shots=2000).counts, expected)


def test_rounds_of_repeat_until_success_are_geometric(simulator: Simulator) -> None:
    """Success with sin²(0.5) per round; bits 1 to 3 record the results of the first three rounds."""
    circuit = Circuit(1, 4).measure(0, 0)
    for k in range(1, 4):
        with circuit.if_(([0], 0)):
            circuit.reset(0).rx(1.0, 0).measure(0, k).measure(0, 0)
    with circuit.while_(([0], 0), limit=2000):
        circuit.reset(0).rx(1.0, 0).measure(0, 0)
    p = np.sin(0.5) ** 2
    expected = {"0011": p, "0101": (1 - p) * p, "1001": (1 - p) ** 2 * p, "0001": (1 - p) ** 3}
    assert_follows(simulator.run(circuit, shots=300).counts, expected)


def test_phase_estimation_between_two_values(simulator: Simulator) -> None:
    """A phase off the grid: outcome m has probability |1/N Σ exp(2πi k (φ - m/N))|²."""
    phase, bits = 0.3, 3
    circuit = Circuit(2, bits).x(1)
    for k in range(bits):
        circuit.reset(0).h(0).cp(2 * np.pi * phase * 2 ** (bits - 1 - k), 0, 1)
        for j in range(k):
            with circuit.if_(j):
                circuit.p(-np.pi / 2 ** (k - j), 0)
        circuit.h(0).measure(0, k)
    grid = np.arange(2**bits)
    exact = np.abs(np.exp(2j * np.pi * np.outer(phase - grid / 2**bits, grid)).mean(axis=1)) ** 2
    expected = {format(outcome, f"0{bits}b"): float(p) for outcome, p in enumerate(exact)}
    assert_follows(simulator.run(circuit, shots=3000).counts, expected)


def test_bit_flip_code_fails_when_two_flip(simulator: Simulator) -> None:
    p, shots = 0.2, 4000
    circuit = Circuit(5, 3).cx(0, 1).cx(0, 2)
    for qubit in range(3):
        circuit.channel(bit_flip(p), qubit)
    circuit.cx(0, 3).cx(1, 3).cx(1, 4).cx(2, 4).measure([3, 4], [0, 1])
    for qubit, syndrome in ((0, 0b01), (1, 0b11), (2, 0b10)):
        with circuit.if_(([0, 1], syndrome)):
            circuit.x(qubit)
    result = simulator.run(circuit.cx(0, 2).cx(0, 1).measure(0, 2), shots=shots)
    ones = float(result.samples[:, 2].mean())
    wanted = 3 * p**2 * (1 - p) + p**3
    assert ones == pytest.approx(wanted, abs=5 * np.sqrt(wanted * (1 - wanted) / shots))


@pytest.mark.parametrize("seed", range(4))
def test_random_dynamic_circuits_against_aer(seed: int) -> None:
    """The counts of both come from one distribution: contingency test, p above 1e-4 for each of four circuits."""
    qiskit, aer = pytest.importorskip("qiskit"), pytest.importorskip("qiskit_aer")
    stats = pytest.importorskip("scipy.stats")
    rng, shots, n = np.random.default_rng(seed), 6000, 3
    ours, theirs = Circuit(n, 4), qiskit.QuantumCircuit(n, 4)
    for bit in (0, 1, 2):
        for qubit in range(n):
            angles = rng.uniform(-3, 3, 3).tolist()
            ours.u(*angles, qubit)
            theirs.u(*angles, qubit)
        a, b, c = rng.permutation(n).tolist()
        ours.cx(a, b).measure(a, bit)
        theirs.cx(a, b)
        theirs.measure(a, bit)
        angle = float(rng.uniform(0.5, 2.5))
        with ours.if_(bit):
            ours.ry(angle, b).cx(b, c)
        with ours.else_():
            ours.reset(c)
        with theirs.if_test((theirs.clbits[bit], 1)) as otherwise:
            theirs.ry(angle, b)
            theirs.cx(b, c)
        with otherwise:
            theirs.reset(c)
    ours.measure(2, 3)
    theirs.measure(2, 3)
    found = Simulator("reference", seed=seed).run(ours, shots=shots).counts
    simulated = aer.AerSimulator(seed_simulator=seed).run(theirs, shots=shots).result().get_counts()
    keys = sorted(key for key in {*found, *simulated} if found.get(key, 0) + simulated.get(key, 0) >= 10)
    table = [[counts.get(key, 0) for key in keys] for counts in (found, simulated)]
    assert sum(map(sum, table)) > 2 * shots - 100
    assert stats.chi2_contingency(table).pvalue > 1e-4


def test_fewer_states_give_the_same_result(simulator: Simulator) -> None:
    circuit = Circuit(2, 5)
    for bit in range(5):
        circuit.h(0).cx(0, 1).measure(1, bit)
        with circuit.if_(bit):
            circuit.ry(0.4, 1)
    results = [
        Simulator(simulator.backend, simulator.precision, seed=2).run(
            circuit, shots=100, max_states=m, observables="Z0"
        )
        for m in (None, 1, 2)
    ]
    for result in results[1:]:
        np.testing.assert_array_equal(result.samples, results[0].samples)
        np.testing.assert_allclose(result.expectations, results[0].expectations, atol=1e-12)
    work = [result.provenance["branching"] for result in results]
    assert work[0]["reruns"] == 0 < work[1]["reruns"]
    assert [facts["executor"] for facts in work[:2]] == ["branches", "branches, then trajectories"]
    assert re.fullmatch(r"\d+ shots had no room as branches: at most 1 histories at a time", work[1]["why"])
    assert "trajectories" in simulator.compile(circuit).explain()
    assert "trajectories" not in simulator.compile(Circuit(2).h(0).measure_all()).explain()
    with pytest.raises(ParameterError, match=r"max_states: expected .*got 0"):
        simulator.run(circuit, shots=1, max_states=0)


def test_postselection(simulator: Simulator) -> None:
    circuit = Circuit(2, 70).h(0).cx(0, 1).measure(0, 0).h(1).measure(1, 69).measure(0, 2)
    result = simulator.run(circuit, shots=400)
    chosen = result.postselect({0: 1, 69: 0})
    rows = result.samples
    wanted = rows[(rows[:, 0] == 1) & (rows[:, 69] == 0)]
    np.testing.assert_array_equal(chosen.samples, wanted)
    assert chosen.shots == len(wanted) == sum(chosen.counts.values())
    assert list(chosen.counts) == [format(0b101, "070b")]
    assert chosen.provenance["postselected"] == {"bits": {"0": 1, "69": 0}, "of_shots": 400}
    none = result.postselect({0: 1, 2: 0})
    assert none.shots == 0 and none.counts == {} and none.samples.shape == (0, 70)
    assert result.postselect({}).counts == result.counts
    for bit, value, message in ((70, 1, "0 to 69, got 70"), (0, 2, "0 or 1, got 2"), (True, 1, "got True")):
        with pytest.raises(QsimError, match=message):
            result.postselect({bit: value})
    with pytest.raises(UnsupportedError, match="a run with shots"):
        simulator.run(Circuit(1)).postselect({0: 1})


def test_bits_not_yet_written_are_zero(simulator: Simulator) -> None:
    circuit = Circuit(2, 3).h(0).measure(0, 0).h(0)
    with circuit.if_(([0, 2], 1)):
        circuit.x(1)
    assert set(simulator.run(circuit.measure(1, 1), shots=30).counts) == {"000", "011"}


def test_deadline_and_progress_of_a_dynamic_run(simulator: Simulator) -> None:
    circuit = Circuit(1, 1)
    with circuit.while_(([0], 0)):  # a coin that never falls on 1
        circuit.reset(0).measure(0, 0)
    with pytest.raises(InterruptedRunError, match="deadline"):
        simulator.run(circuit, shots=5, seconds=0.05)
    told: list[float] = []
    simulator.run(Circuit(2, 2).h(0).measure(0, 0).h(0).measure(0, 1), shots=40, progress=told.append)
    assert told == sorted(told) and told[-1] == 1.0
