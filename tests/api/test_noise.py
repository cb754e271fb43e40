"""Noise: the records are the channels they say they are, and shots follow closed forms and Qiskit Aer."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Simulator, noise
from qsim.noise import Mixture, add_noise, bit_flip, bit_phase_flip, depolarizing, pauli_mixture, phase_flip
from qsim_core.errors import ParameterError, QsimError, ShapeError, UnsupportedError
from qsim_core.kernels.reference import PAULI_MATRICES
from qsim_core.types import ComplexArray


def channel(mixture: Mixture, rho: ComplexArray) -> ComplexArray:
    terms = zip(mixture.matrices, mixture.probabilities, strict=True)
    return np.sum([p * u @ rho @ u.conj().T for u, p in terms], axis=0)  # type: ignore[no-any-return]


def random_density_matrix(num_qubits: int) -> ComplexArray:
    rng = np.random.default_rng(num_qubits)
    root = rng.normal(size=(2**num_qubits,) * 2) + 1j * rng.normal(size=(2**num_qubits,) * 2)
    rho = root @ root.conj().T
    return rho / np.trace(rho)  # type: ignore[no-any-return]


@pytest.mark.parametrize("num_qubits", [1, 2, 3])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_depolarizing_forgets(num_qubits: int, p: float) -> None:
    rho, mixture = random_density_matrix(num_qubits), depolarizing(p, num_qubits)
    assert sum(mixture.probabilities) == pytest.approx(1) and mixture.num_qubits == num_qubits
    wanted = (1 - p) * rho + p * np.eye(2**num_qubits) / 2**num_qubits
    np.testing.assert_allclose(channel(mixture, rho), wanted, atol=1e-12)


@pytest.mark.parametrize(("make", "letter"), [(bit_flip, "X"), (phase_flip, "Z"), (bit_phase_flip, "Y")])
def test_flips(make: Any, letter: str) -> None:
    rho, pauli = random_density_matrix(1), PAULI_MATRICES[letter]
    np.testing.assert_allclose(channel(make(0.2), rho), 0.8 * rho + 0.2 * pauli @ rho @ pauli, atol=1e-14)
    assert make(0).probabilities == (1.0, 0.0) and make(1).probabilities == (0.0, 1.0)


def test_letter_k_acts_on_qubit_k() -> None:
    circuit = Circuit(3).channel(pauli_mixture({"XI": 1.0}), [2, 0]).measure_all()
    assert Simulator("reference").run(circuit, shots=3).counts == {"100": 3}
    mixture = pauli_mixture({"II": 0.25, "IY": 0.5})
    assert mixture.probabilities == (0.5, 0.5)
    np.testing.assert_array_equal(mixture.matrices[1], np.kron(PAULI_MATRICES["Y"], np.eye(2)))


@pytest.mark.parametrize("p", [0.02, 0.2])
def test_parity_of_a_depolarised_ghz_state(p: float, simulator: Simulator) -> None:
    """⟨XXXX⟩ of a GHZ state is 1; depolarizing on k qubits multiplies it by (1-p)^k."""
    n, shots = 4, 3000
    circuit = Circuit(n).h(0)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(n):
        circuit.channel(depolarizing(p), qubit)
    result = simulator.run(circuit, shots=shots, observables=["X0 X1 X2 X3", "Z0 Z1", "Z3"])
    wanted, allowed = np.array([(1 - p) ** n, (1 - p) ** 2, 0]), 5 / np.sqrt(shots)
    np.testing.assert_allclose(result.expectations, wanted, atol=allowed)
    measured = simulator.run(circuit.h(range(n)).measure_all(), shots=shots).samples
    assert 1 - 2 * np.mean(measured.sum(axis=1) % 2) == pytest.approx((1 - p) ** n, abs=allowed)


def test_noise_that_is_never_drawn_changes_nothing(simulator: Simulator) -> None:
    clean = Circuit(3).h(0).cx(0, 1).ry(1.0, 2).cx(2, 1)
    noisy = add_noise(clean, depolarizing(0.0, 2), ["cx"])
    result = simulator.run(noisy, shots=1, outputs="state")
    np.testing.assert_allclose(result.state_vector, simulator.run(clean).state_vector, atol=1e-6)


def test_noise_is_added_where_names_are() -> None:
    circuit = Circuit(3, 1).h(0).cx(0, 1).x(2, controls=[0, 1]).measure(0)
    with circuit.if_(0):
        circuit.h(1)
    with circuit.else_(), circuit.while_(0):
        circuit.h([0, 1])
    noisy = add_noise(circuit, bit_flip(0.1), ["h", "cx", "x"])
    counts = noisy.count_gates()
    assert counts["channel"] == counts["h"] + 2 * counts["cx"] + 3 * counts["x"] == 4 + 2 + 3
    assert [i.qubits for i in noisy if i.name == "channel"] == [(0,), (0,), (1,), (0,), (1,), (2,)]
    assert circuit.count_gates()["channel"] == 0


def test_a_noisy_circuit_against_aer() -> None:
    """Counts of both come from one distribution: contingency test, p above 1e-4."""
    qiskit, aer = pytest.importorskip("qiskit"), pytest.importorskip("qiskit_aer")
    errors = pytest.importorskip("qiskit_aer.noise.errors")
    stats, shots = pytest.importorskip("scipy.stats"), 8000
    ours, theirs = Circuit(3, 3), qiskit.QuantumCircuit(3, 3)
    for layer in range(3):
        for qubit in range(3):
            angle = 0.5 + 0.7 * layer + 0.4 * qubit
            ours.ry(angle, qubit)
            theirs.ry(angle, qubit)
        a, b = layer, (layer + 1) % 3
        ours.cx(a, b).channel(depolarizing(0.2, 2), [a, b]).channel(pauli_mixture({"Y": 0.1, "Z": 0.2}), b)
        theirs.cx(a, b)
        theirs.append(errors.depolarizing_error(0.2, 2).to_instruction(), [a, b])
        theirs.append(errors.pauli_error([("I", 0.7), ("Y", 0.1), ("Z", 0.2)]).to_instruction(), [b])
    theirs.measure(range(3), range(3))
    found = Simulator("reference", seed=3).run(ours.measure_all(), shots=shots).counts
    backend = aer.AerSimulator(seed_simulator=5, method="density_matrix")
    expected = backend.run(theirs, shots=shots, optimization_level=0).result().get_counts()
    keys = ["".join(bits) for bits in itertools.product("01", repeat=3)]
    table = [[counts.get(key, 0) for key in keys] for counts in (found, expected)]
    assert stats.chi2_contingency(table).pvalue > 1e-4


REFUSED: list[tuple[str, type[QsimError], str]] = [
    ("bit_flip(1.5)", ParameterError, r"probability of X: expected a number from 0 to 1, got 1\.5"),
    ("phase_flip(float('nan'))", ParameterError, "got nan"),
    ("bit_flip(True)", ParameterError, "got True"),
    ("bit_flip('a')", ParameterError, "got 'a'"),
    ("depolarizing(-0.1)", ParameterError, r"depolarizing probability: .* got -0\.1"),
    ("depolarizing(0.1, 5)", ParameterError, "1 to 4, got 5"),
    ("pauli_mixture({})", ParameterError, "at least one"),
    ("pauli_mixture({'XA': 0.1})", ParameterError, "letters I, X, Y, Z, got 'XA'"),
    ("pauli_mixture({'': 0.1})", ParameterError, "letters I, X, Y, Z"),
    ("pauli_mixture({'X': 0.1, 'XX': 0.1})", ShapeError, "1 letters, as the first, got 'XX'"),
    ("pauli_mixture({'X': 0.6, 'Y': 0.6})", ParameterError, r"at most 1, got 1\.2"),
    ("Circuit(2).channel(bit_flip(0.1), [0, 1])", QsimError, "2 qubits|shape"),
    ("Circuit(2).channel(bit_flip(0.1), 0, [1.0])", ParameterError, "those of the mixture"),
    ("add_noise(Circuit(2).h(0), bit_flip(0.1), 'h')", ParameterError, "a list of names"),
    ("add_noise(Circuit(3).ccx(0, 1, 2), depolarizing(0.1, 2), ['ccx'])", ShapeError, "ccx: .* 2 qubits.* got 3"),
    (
        "Simulator('reference').run(Circuit(1).channel([np.diag([1, 0.6]), [[0, 0.8], [0, 0]]], 0), shots=2)",
        UnsupportedError,
        r"a mixture of unitaries, got Kraus matrices\. Give unitaries",
    ),
    ("Simulator('reference').run(Circuit(1).channel(bit_flip(0.1), 0))", ParameterError, "shots: expected a number"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[call for call, _, _ in REFUSED])
def test_refusals(call: str, error: type[QsimError], message: str) -> None:
    with pytest.raises(error, match=message):
        eval(call, {**vars(noise), "Circuit": Circuit, "Simulator": Simulator, "np": np})
