"""QAOA on a cost vector against the same circuit gate by gate, and against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from qsim import Circuit, PauliSum, Qaoa, Simulator, cost_vector
from qsim_core.errors import ParameterError, ShapeError

EDGES = [(0, 1, 1.0), (1, 2, -0.5), (2, 3, 2.0), (3, 0, 0.7), (0, 2, 0.3)]
COST = PauliSum([("ZZ", [a, b], w) for a, b, w in EDGES] + [("ZZZ", [0, 1, 3], 0.4), ("", [], 1.5)])


def by_gates(gammas: np.ndarray, betas: np.ndarray) -> Circuit:
    circuit = Circuit(4).h(range(4))
    for gamma, beta in zip(gammas, betas, strict=True):
        for a, b, weight in EDGES:
            circuit.rzz(2 * gamma * weight, a, b)
        circuit.pauli_rotation("ZZZ", 2 * gamma * 0.4, [0, 1, 3]).global_phase(-1.5 * gamma).rx(2 * beta, range(4))
    return circuit


def test_layers_are_their_gates(simulator: Simulator, tolerance: float) -> None:
    rng = np.random.default_rng(0)
    gammas, betas = rng.uniform(-2, 2, (2, 3, 2))
    qaoa = Qaoa(cost_vector(COST, 4), simulator)
    energies = qaoa.energies(gammas, betas)
    for row in range(3):
        wanted = simulator.run(by_gates(gammas[row], betas[row]), observables=COST)
        np.testing.assert_allclose(qaoa.state(gammas[row], betas[row]), wanted.state_vector, atol=10 * tolerance)
        np.testing.assert_allclose(energies[row], wanted.expectations[0], atol=50 * tolerance)
    large = qaoa.state([1e8 * gammas[0, 0]], [0.0])  # beyond what the vector cosine takes
    np.testing.assert_allclose(large, np.exp(-1e8j * gammas[0, 0] * qaoa.costs) / 4, atol=1e-6)


def test_parts_change_nothing(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    gammas, betas = np.random.default_rng(1).uniform(-2, 2, (2, 7, 2))
    qaoa, told = Qaoa(cost_vector(COST, 4), simulator), list[float]()
    whole = qaoa.energies(gammas, betas)
    monkeypatch.setattr("qsim.qaoa.PART_BYTES", 3 * 16 * 16)
    np.testing.assert_array_equal(qaoa.energies(gammas, betas, progress=told.append), whole)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 1


@pytest.mark.parametrize("num_qubits", [0, 1, 2, 3, 11])
def test_one_layer_of_fields_has_a_closed_form(num_qubits: int, simulator: Simulator, tolerance: float) -> None:
    costs = cost_vector(PauliSum([("Z", [q], 1.0) for q in range(num_qubits)]), num_qubits)
    energy = Qaoa(costs, simulator).energies([0.3], [0.4])
    np.testing.assert_allclose(energy, num_qubits * np.sin(0.6) * np.sin(0.8), atol=100 * tolerance)


def test_refusals() -> None:
    with pytest.raises(ParameterError, match="a Pauli sum of Z on at most 2 qubits"):
        cost_vector("X0", 2)
    with pytest.raises(ParameterError, match="at most 2 qubits"):
        cost_vector("Z2", 2)
    with pytest.raises(ShapeError, match=r"2\^n numbers, got shape \(3,\)"):
        Qaoa([1.0, 2.0, 3.0])
    with pytest.raises(ParameterError, match="finite"):
        Qaoa([1.0, np.nan])
    with pytest.raises(ShapeError, match=r"the same shape \(B, layers\)"):
        Qaoa([0.0, 1.0]).energies([0.1, 0.2], [0.1])
    with pytest.raises(ShapeError, match="one, got 2"):
        Qaoa([0.0, 1.0]).state([[0.1], [0.2]], [[0.1], [0.2]])
