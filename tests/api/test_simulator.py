"""Simulator: states, shots and refusals, on every backend in both precisions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Parameter, Simulator
from qsim_core.errors import BackendUnavailableError, ParameterError, PrecisionError, QsimError, UnsupportedError
from qsim_core.types import ComplexArray, Precision

RandomPair = Callable[..., tuple[Circuit, Any]]


def qft(num_qubits: int) -> Circuit:
    circuit = Circuit(num_qubits)
    for k in reversed(range(num_qubits)):
        circuit.h(k)
        for j in range(k):
            circuit.cp(np.pi / 2 ** (k - j), j, k)
    for k in range(num_qubits // 2):
        circuit.swap(k, num_qubits - 1 - k)
    return circuit


# --- states -------------------------------------------------------------------------------------------------------


def test_closed_forms(simulator: Simulator, tolerance: float) -> None:
    ghz = simulator.run(Circuit(5).h(0).cx(0, 1).cx(1, 2).cx(2, 3).cx(3, 4)).state_vector
    expected = np.zeros(32)
    expected[[0, 31]] = 0.5**0.5
    np.testing.assert_allclose(ghz, expected, atol=tolerance)
    for x in (0, 3, 11):
        start = np.eye(16)[x]
        transform = simulator.run(qft(4), initial_state=start).state_vector
        np.testing.assert_allclose(transform, np.exp(2j * np.pi * x * np.arange(16) / 16) / 4, atol=tolerance)


@pytest.mark.parametrize("seed", range(4))
def test_random_circuits_equal_qiskit(
    seed: int, simulator: Simulator, tolerance: float, random_pair: RandomPair
) -> None:
    info = pytest.importorskip("qiskit.quantum_info")
    ours, theirs = random_pair(seed, 3 + seed, 20)
    np.testing.assert_allclose(simulator.run(ours).state_vector, info.Statevector(theirs).data, atol=10 * tolerance)


def test_initial_state_and_initialize(
    simulator: Simulator, tolerance: float, random_state: Callable[[int, int], ComplexArray]
) -> None:
    psi, chi = random_state(0, 3), random_state(1, 2)
    circuit = Circuit(3).h(1).cx(1, 2)
    result = simulator.run(circuit, initial_state=psi)
    np.testing.assert_allclose(result.state_vector, circuit.to_matrix() @ psi, atol=tolerance)
    prepared = simulator.run(Circuit(3).x(1).initialize(chi, [2, 0])).state_vector.reshape(2, 2, 2)
    np.testing.assert_allclose(prepared[:, 1, :], chi.reshape(2, 2).T, atol=tolerance)
    np.testing.assert_allclose(prepared[:, 0, :], 0, atol=tolerance)


def test_lists_programs_and_compiled_circuits_give_the_same(simulator: Simulator) -> None:
    circuits = [Circuit(2).h(0), Circuit(3).x(1)]
    several = simulator.run(circuits)
    assert [result.num_qubits for result in several] == [2, 3]
    for circuit, result in zip(circuits, several, strict=True):
        for other in (simulator.run(circuit.to_program()), simulator.compile(circuit).run()):
            np.testing.assert_array_equal(other.state_vector, result.state_vector)
    assert simulator.run([]) == []


@pytest.mark.parametrize("angle", [1e3, -123456.75, 1e8, 2.0**53, 1e16, -1e20, 1e100, 1e300])
def test_angles_of_any_size(angle: float, simulator: Simulator, tolerance: float) -> None:
    """A number is the angle it says, however large: nothing is taken for the nearest quarter turn."""
    rotated, phased = Circuit(1).rx(Parameter("a"), 0), Circuit(1).h(0).p(Parameter("a"), 0)
    turn = [math.cos(angle / 2), -1j * math.sin(angle / 2)]
    phase = np.array([1, complex(math.cos(angle), math.sin(angle))]) / 2**0.5
    for circuit, amplitudes in ((rotated, turn), (phased, phase)):
        fixed = simulator.run(circuit.bind({"a": angle})).state_vector
        bound = simulator.run(circuit, params=[angle]).state_vector
        batch = simulator.compile(circuit).run_batch([[0.1], [angle], [0.2]]).state_vectors[1]
        for found in (fixed, bound, batch):
            np.testing.assert_allclose(found, amplitudes, atol=tolerance)


def test_small_registers(simulator: Simulator) -> None:
    assert simulator.run(Circuit(0).global_phase(np.pi)).state_vector == pytest.approx([-1])
    assert simulator.run(Circuit(1)).state_vector.tolist() == [1, 0]


# --- shots --------------------------------------------------------------------------------------------------------


def test_shots_follow_the_distribution(simulator: Simulator, random_state: Callable[[int, int], ComplexArray]) -> None:
    stats = pytest.importorskip("scipy.stats")
    psi, shots = random_state(5, 4), 20_000
    result = simulator.run(Circuit(4).measure_all(), shots=shots, initial_state=psi)
    observed = [result.counts.get(format(k, "04b"), 0) for k in range(16)]
    assert stats.chisquare(observed, shots * np.abs(psi) ** 2).pvalue > 1e-3


def test_outcomes_of_probability_zero_are_never_drawn(simulator: Simulator) -> None:
    psi = np.zeros(64)
    psi[[0, 5, 9, 62]] = 0.5
    counts = simulator.run(Circuit(6).measure_all(), shots=4000, initial_state=psi).counts
    assert set(counts) == {format(k, "06b") for k in (0, 5, 9, 62)}


def test_measured_bits_go_where_they_were_told(simulator: Simulator) -> None:
    result = simulator.run(Circuit(3, 4).x(2).x(0).measure([2, 1], [0, 3]).measure(0, 2), shots=5)
    assert result.counts == {"0101": 5}
    assert result.samples.tolist() == [[1, 0, 1, 0]] * 5
    # A second measurement into the same bit wins; a second measurement of a qubit repeats its value.
    assert simulator.run(Circuit(2, 1).x(0).measure(0, 0).measure(1, 0), shots=3).counts == {"0": 3}
    counts = simulator.run(Circuit(1, 2).h(0).measure(0, 0).measure(0, 1), shots=64).counts
    assert set(counts) == {"00", "11"}


def test_more_than_64_classical_bits(simulator: Simulator) -> None:
    result = simulator.run(Circuit(2, 70).x(0).h(1).measure([0, 1], [69, 1]), shots=20)
    assert result.packed_samples is not None and result.packed_samples.shape == (20, 2)
    assert {key[0] for key in result.counts} == {"1"} and {key[-2] for key in result.counts} == {"0", "1"}
    assert all(len(key) == 70 and key.count("1") <= 2 for key in result.counts)
    assert result.samples[:, 69].all() and sum(result.counts.values()) == 20


def seeded(backend: str, seed: int = 11, **options: Any) -> list[list[list[int]]]:
    circuit = Circuit(5, 6).h(range(5)).ry(0.4, range(5))
    dynamic = circuit.copy().measure(0, 5).h(0).measure(range(5), range(5))
    simulator = Simulator(backend, seed=seed, **options)
    return [simulator.run(c, shots=30).samples.tolist() for c in (circuit.measure_all(), circuit, dynamic)]


def test_same_seed_same_shots_for_every_backend_and_thread_count(backend: Any) -> None:
    first, again, dynamic = seeded("reference")
    assert first != again  # the run index enters
    for options in ({}, {"threads": 1}, {"threads": 3}):
        assert seeded(backend.name, **options) == [first, again, dynamic]
    assert seeded(backend.name, seed=12)[0] != first


def test_a_fresh_seed_is_told_and_repeats_the_run() -> None:
    circuit = Circuit(6).h(range(6)).measure_all()
    result = Simulator("reference").run(circuit, shots=20)
    repeated = Simulator("reference", seed=result.provenance["seed"]).run(circuit, shots=20)
    assert repeated.samples.tolist() == result.samples.tolist()
    assert Simulator("reference").seed != Simulator("reference").seed


# --- refusals -----------------------------------------------------------------------------------------------------

_S, _H = "Simulator('reference')", "Circuit(2).h(0)"
REFUSALS: list[tuple[str, type[QsimError], str]] = [
    ("Simulator('cpu')", BackendUnavailableError, r"reference, got 'cpu'|expected auto"),
    ("Simulator('reference', 'half')", PrecisionError, r"'single' or 'double', got 'half'"),
    ("Simulator('reference', seed=-1)", ParameterError, r"0 to 2\^64-1, got -1"),
    ("Simulator('reference', seed=2**64)", ParameterError, r"got 18446744073709551616"),
    ("Simulator('reference', seed=1.5)", ParameterError, r"got 1\.5"),
    ("Simulator('reference', threads=0)", ParameterError, r"at least 1, got 0"),
    (f"{_S}.run('circuit')", ParameterError, r"a Circuit, a Program or a list of them, got 'circuit'"),
    (f"{_S}.run(3)", ParameterError, r"got 3"),
    (f"{_S}.run([{_H}, None])", ParameterError, r"got None"),
    (f"{_S}.run({_H}, shots=10)", ParameterError, r"a circuit that measures, got none\. Call measure_all"),
    (f"{_S}.run(Circuit(2, 2).h(0), shots=10)", ParameterError, r"a circuit that measures"),
    (f"{_S}.run({_H}.measure_all(), shots=0)", ParameterError, r"shots: expected a whole number, at least 1, got 0"),
    (f"{_S}.run({_H}.measure_all(), shots=1.5)", ParameterError, r"got 1\.5"),
    (
        f"{_S}.run({_H}.measure_all(), shots=2**41, outputs=['counts'])",
        ParameterError,
        r"shots: expected at most 2\^40",
    ),
    (f"{_S}.run({_H}, outputs=['density'])", ParameterError, r"'state' or 'samples' or 'counts', got 'density'"),
    (f"{_S}.run({_H}, outputs=['samples'])", ParameterError, r"a run with shots"),
    (f"{_S}.run({_H}, initial_state=[1, 0])", QsimError, r"shape \(4,\), got \(2,\)"),
    (f"{_S}.run({_H}, initial_state=[1, 0, 0, 1])", QsimError, r"norm 1\.414"),
    (f"{_S}.run({_H}, initial_state=[1, 0, 0, np.nan])", QsimError, r"finite entries, got .*nan"),
    (f"{_S}.run({_H}, seconds=-1)", ParameterError, r"seconds: expected a number, at least 0, got -1"),
    (f"{_S}.run({_H}, seconds=float('nan'))", ParameterError, r"got nan"),
    (f"{_S}.run({_H}, {{'a': 1}})", TypeError, r"positional"),
    (f"{_S}.run({_H}, params={{'a': 1}})", ParameterError, r"expected none, got unknown \['a'\]"),
    (f"{_S}.run({_H}.measure(0).h(0))", ParameterError, r"a number, got None.*before its end"),
    (
        f"{_S}.run({_H}.measure(0).h(0), shots=2, outputs='state')",
        UnsupportedError,
        r"one state per shot\), got shots=2",
    ),
    (f"{_S}.run({_H}.channel([np.eye(2)], 0).measure(0), shots=1)", UnsupportedError, r"a mixture of unitaries"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[call for call, _, _ in REFUSALS])
def test_refusals(call: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        eval(call)


def test_numpy_integers_are_numbers_too() -> None:
    simulator = Simulator("reference", seed=np.int64(3), threads=np.int64(1))  # type: ignore[arg-type]
    assert simulator.seed == 3 and type(simulator.seed) is int
    assert simulator.run(Circuit(np.int64(2)).h(np.int64(0)).measure_all(), shots=np.int64(5)).shots == 5


def test_repr_names_backend_precision_and_seed() -> None:
    simulator = Simulator("reference", "f32", threads=2, seed=5)
    assert repr(simulator) == "Simulator('reference', 'single', threads=2, seed=5)"
    assert simulator.backend == "reference" and simulator.precision is Precision.SINGLE
    assert "passes" in simulator.compile(Circuit(2).h(0)).explain()
