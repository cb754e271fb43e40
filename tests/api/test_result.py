"""Result: what is read from a state and from shots, against NumPy on random states."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest

from qsim import Circuit, Result, Simulator
from qsim_core.errors import ParameterError, QsimError, QubitError, ShapeError, UnsupportedError
from qsim_core.types import ComplexArray, Precision

Random = Callable[[int, int], ComplexArray]
N = 5


@pytest.fixture
def psi(random_state: Random) -> ComplexArray:
    return random_state(17, N)


@pytest.fixture
def result(simulator: Simulator, psi: ComplexArray) -> Result:
    return simulator.run(Circuit(N), initial_state=psi)


def reduced(psi: ComplexArray, qubits: list[int]) -> ComplexArray:
    """Partial trace, element by element."""
    rho = np.zeros((2 ** len(qubits),) * 2, dtype=np.complex128)
    place = [sum((k >> q & 1) << b for b, q in enumerate(qubits)) for k in range(len(psi))]
    rest = [k & ~sum(1 << q for q in qubits) for k in range(len(psi))]
    for i in range(len(psi)):
        for j in range(len(psi)):
            if rest[i] == rest[j]:
                rho[place[i], place[j]] += psi[i] * psi[j].conj()
    return rho


@pytest.mark.parametrize("qubits", [[0], [4], [1, 3], [3, 1], [4, 0, 2], [0, 1, 2, 3, 4], [2, 4, 1, 0, 3], []])
def test_reduced_states_and_marginals(qubits: list[int], result: Result, psi: ComplexArray, tolerance: float) -> None:
    rho = reduced(psi, qubits)
    close = {"atol": 10 * tolerance}
    np.testing.assert_allclose(result.reduced_density_matrix(qubits), rho, **close)
    np.testing.assert_allclose(result.marginal(qubits), rho.diagonal().real, **close)
    assert result.purity(qubits) == pytest.approx(np.trace(rho @ rho).real, abs=10 * tolerance)
    values = np.linalg.eigvalsh(rho)
    values = values[values > 1e-12]
    assert result.entropy(qubits) == pytest.approx(-(values * np.log2(values)).sum(), abs=1000 * tolerance)
    keep = [q for q in range(N) if q not in qubits]
    np.testing.assert_allclose(result.partial_trace(qubits), reduced(psi, keep), **close)


def test_amplitudes_probabilities_and_norm(result: Result, psi: ComplexArray, tolerance: float) -> None:
    np.testing.assert_allclose(result.amplitudes(["00000", "10011", "00001"]), psi[[0, 19, 1]], atol=tolerance)
    np.testing.assert_allclose(result.amplitudes([31, np.int64(4)]), psi[[31, 4]], atol=tolerance)
    np.testing.assert_allclose(result.probabilities, np.abs(psi) ** 2, atol=tolerance)
    assert result.probabilities.sum() == pytest.approx(1, abs=1e-12)
    assert result.norm == pytest.approx(1, abs=10 * tolerance)
    assert result.amplitudes([]).shape == (0,)


def test_fidelity(
    result: Result, simulator: Simulator, psi: ComplexArray, random_state: Random, tolerance: float
) -> None:
    chi = random_state(18, N)
    exact = abs(np.vdot(psi, chi)) ** 2
    other = simulator.run(Circuit(N), initial_state=chi)
    for target in (other, other.state, chi, other.state_vector):
        assert result.fidelity(target) == pytest.approx(exact, abs=100 * tolerance)
    assert result.fidelity(result) == pytest.approx(1, abs=100 * tolerance)
    for precision in Precision:
        same = Simulator("reference", precision).run(Circuit(N), initial_state=psi)
        assert result.fidelity(same) == pytest.approx(1, abs=1e-5)
    with pytest.raises(ParameterError, match="32 amplitudes, got 4"):
        result.fidelity(np.ones(4) / 2)
    with pytest.raises(ShapeError, match="5 qubits each"):
        result.fidelity(simulator.run(Circuit(2)))


def test_the_state_is_a_read_only_view(result: Result, precision: Precision) -> None:
    view = result.state_vector
    assert view.dtype == precision.dtype and view.shape == (2**N,)
    assert np.shares_memory(view, result.state.amps) and np.shares_memory(np.asarray(result.state), view)
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 0
    assert not np.shares_memory(np.array(result.state), view)
    assert np.shares_memory(np.from_dlpack(result.state), view)  # type: ignore[arg-type]


def test_the_view_outlives_the_result(simulator: Simulator) -> None:
    view = simulator.run(Circuit(3).x(0)).state_vector
    for _ in range(20):
        simulator.run(Circuit(3))
    assert view.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]


def test_counts_are_ordered_and_agree_with_samples(simulator: Simulator) -> None:
    result = simulator.run(Circuit(3).ry(1.0, range(3)).measure_all(), shots=500)
    assert list(result.counts.values()) == sorted(result.counts.values(), reverse=True)
    rows = ["".join(map(str, row[::-1])) for row in result.samples.tolist()]
    assert {key: rows.count(key) for key in set(rows)} == result.counts
    assert result.samples.shape == (500, 3) and result.samples.dtype == np.uint8


def test_precision_is_told(simulator: Simulator, result: Result, precision: Precision) -> None:
    assert result.provenance["precision"] == precision.value
    assert precision.value in repr(result) and simulator.backend in repr(result) and "seed=7" in repr(result)
    keys = {"qsim", "numpy", "backend", "device", "precision", "threads", "seed", "run", "circuit", "plan", "seconds"}
    assert keys <= set(result.provenance)


def test_the_circuit_hash_depends_on_values(simulator: Simulator) -> None:
    one, same, other = (simulator.run(Circuit(1).rx(x, 0)).provenance["circuit"] for x in (0.1, 0.1, 0.2))
    assert one == same != other


def test_results_can_be_pickled(simulator: Simulator) -> None:
    result = simulator.run(Circuit(2).h(0).measure_all(), shots=10, outputs=["state", "samples"], observables=["X0"])
    copy = pickle.loads(pickle.dumps(result))
    np.testing.assert_array_equal(copy.state_vector, result.state_vector)
    assert copy.counts == result.counts and copy.provenance == result.provenance
    assert copy.state_vector.dtype == result.state_vector.dtype and copy.expectation("X0") == result.expectation("X0")


def test_what_was_not_kept_is_refused(simulator: Simulator) -> None:
    shots = simulator.run(Circuit(2).measure_all(), shots=5)
    with pytest.raises(UnsupportedError, match=r"outputs=\[\"state\"\]"):
        _ = shots.state_vector
    exact = simulator.run(Circuit(2))
    for name in ("counts", "samples"):
        with pytest.raises(UnsupportedError, match="shots=1000"):
            getattr(exact, name)


REFUSALS: list[tuple[str, type[QsimError], str]] = [
    ("result.marginal([5])", QubitError, r"0 to 4, got 5"),
    ("result.marginal([1, 1])", QubitError, r"1 twice"),
    ("result.marginal(1)", QubitError, r"a sequence, such as \[1\], got 1"),
    ("result.entropy([-1])", QubitError, r"0 to 4, got -1"),
    ("result.partial_trace([0, 7])", QubitError, r"0 to 4, got 7"),
    ("result.largest_amplitudes(-1)", ParameterError, r"at least 0, got -1"),
    ("result.reduced_density_matrix([0.5])", QubitError, r"whole number, got 0\.5"),
    ("result.amplitudes(['0000'])", ShapeError, r"5 characters 0 or 1, got '0000'"),
    ("result.amplitudes(['0000x'])", ShapeError, r"got '0000x'"),
    ("result.amplitudes([32])", QubitError, r"0 to 2\^5-1, got 32"),
    ("result.amplitudes([0.5])", QubitError, r"whole numbers, got \[0\.5\]"),
    ("result.expectation('Z5')", QubitError, r"at most 5, got 6"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[call for call, _, _ in REFUSALS])
def test_refusals(call: str, error: type[QsimError], message: str) -> None:
    result = Simulator("reference").run(Circuit(N))
    with pytest.raises(error, match=message):
        eval(call, {"result": result})
