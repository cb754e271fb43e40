"""CompiledCircuit: batches, expectation values and gradients, on every backend in both precisions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import qsim
from qsim import Circuit, Parameter, PauliSum, Simulator
from qsim_core.errors import QsimError, UnsupportedError
from qsim_core.types import ComplexArray

RandomPair = Callable[..., tuple[Circuit, Any]]

# --- batches ------------------------------------------------------------------------------------------------------


def test_batches_equal_single_runs(simulator: Simulator, tolerance: float) -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = Circuit(2).rx(a, 0).cry(a * b, 0, 1).rz(0.3, 1).measure_all()
    values = np.random.default_rng(0).uniform(-3, 3, (5, 2))
    compiled = simulator.compile(circuit)
    observables: list[Any] = ["Z0", {"XX": 2.0}]
    batch = compiled.run_batch(values, shots=50, outputs=["state", "samples"], observables=observables)
    assert len(batch) == 5
    for row, result in zip(values, batch, strict=True):
        single = compiled.run(row, observables=observables)
        np.testing.assert_allclose(result.state_vector, single.state_vector, atol=tolerance)
        np.testing.assert_allclose(result.expectations, single.expectations, atol=10 * tolerance)
        assert sum(result.counts.values()) == 50
    assert not np.array_equal(compiled.run_batch(values[[0, 0]], shots=50)[0].samples, batch[1].samples)
    by_name = compiled.run_batch({"a": values[:, 0], "b": 0.5})
    single = compiled.run({"a": values[2, 0], "b": 0.5})
    np.testing.assert_allclose(by_name[2].state_vector, single.state_vector, atol=tolerance)
    with pytest.raises(QsimError, match=r"run_batch\(\)"):
        compiled.run(values)


def test_identical_batch_elements_draw_different_shots() -> None:
    circuit = Circuit(4).rx(Parameter("a"), range(4)).measure_all()
    first, second = Simulator("reference", seed=1).compile(circuit).run_batch({"a": [1.5, 1.5]}, shots=40)
    assert not np.array_equal(first.samples, second.samples)


def test_batches_of_initial_states(simulator: Simulator, tolerance: float) -> None:
    rng = np.random.default_rng(4)
    states = rng.normal(size=(3, 4)) + 1j * rng.normal(size=(3, 4))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    circuit = Circuit(2).rx(Parameter("a"), 0).cx(0, 1)
    compiled = simulator.compile(circuit)
    for values in ([0.3], [[0.3], [0.7], [-2.0]]):
        batch = compiled.run_batch(values, initial_state=states)
        for b, psi in enumerate(states):
            angle = np.broadcast_to(np.reshape(values, (-1, 1)), (3, 1))[b]
            single = compiled.run(angle, initial_state=psi)
            np.testing.assert_allclose(batch.state_vectors[b], single.state_vector, atol=tolerance)
    with pytest.raises(QsimError, match="1 or 2, one per set of parameters, got 3"):
        compiled.run_batch([[0.3], [0.7]], initial_state=states)
    with pytest.raises(QsimError, match="norm 2 in row 1"):
        compiled.run_batch([0.3], initial_state=[[1, 0, 0, 0], [2, 0, 0, 0]])
    with pytest.raises(QsimError, match=r"shape \(B, 4\), got \(2, 2\)"):
        compiled.run_batch([0.3], initial_state=np.eye(2))


def test_every_observable_of_a_batch(simulator: Simulator, tolerance: float) -> None:
    matrix = np.array([[1.0, 2j], [-2j, -1.0]])
    circuit = Circuit(2).ry(Parameter("a"), 0).rx(Parameter("b"), 0).cx(0, 1)
    values = np.random.default_rng(5).uniform(-3, 3, (4, 2))
    compiled = simulator.compile(circuit)
    observables: list[Any] = ["Z0", matrix, "X0 X1 - Y1"]
    batch = compiled.run_batch(values, observables=observables)
    assert batch.expectations.shape == (4, 3)
    for row, result in zip(values, batch, strict=True):
        single = compiled.run(row, observables=observables)
        np.testing.assert_allclose(result.expectations, single.expectations, atol=10 * tolerance)


def test_gram_matrices(simulator: Simulator, tolerance: float) -> None:
    circuit = Circuit(3).h(range(3)).rz(Parameter("x"), range(3)).ry(Parameter("y"), range(3)).cx(0, 1).cx(1, 2)
    compiled, rng = simulator.compile(circuit), np.random.default_rng(7)
    x, y = rng.uniform(-3, 3, (5, 2)), rng.uniform(-3, 3, (4, 2))
    one, two = compiled.run_batch(x), compiled.run_batch(y)
    pairs = [[a.fidelity(b) for b in two] for a in one]
    told: list[float] = []
    np.testing.assert_allclose(compiled.gram(x, y, progress=told.append), pairs, atol=20 * tolerance)
    assert told == sorted(told) and told[-1] == 1
    np.testing.assert_allclose(one.fidelities(two), pairs, atol=20 * tolerance)
    np.testing.assert_allclose(np.abs(one.overlaps(two)) ** 2, pairs, atol=20 * tolerance)
    np.testing.assert_array_equal(compiled.gram(x), one.fidelities())
    np.testing.assert_allclose(np.diag(compiled.gram(x)), 1, atol=20 * tolerance)


def test_rebinding_plans_nothing_again(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    circuit = Circuit(4)
    for k in range(1000):
        getattr(circuit, ("rx", "ry", "rz")[k % 3])(Parameter(f"p{k}"), k % 4).cx(k % 4, (k + 1) % 4)
    compiled = simulator.compile(circuit)
    values = np.random.default_rng(6).uniform(-3, 3, (3, 1000))
    compiled.run(values[0])
    calls: list[str] = []
    for name in ("native_plan", "trivial_plan"):

        def count(*args: Any, name: str = name, **options: Any) -> Any:
            calls.append(name)
            raise AssertionError("planned again")

        monkeypatch.setattr(f"qsim_core.compiler.{name}", count)
    program = compiled.program
    states = [compiled.run(row).state_vector for row in values]
    batch = compiled.run_batch(values)
    assert calls == [] and compiled.program is program
    np.testing.assert_allclose(
        batch.state_vectors, states, atol=1e-4 if simulator.precision.value == "single" else 1e-12
    )


@pytest.mark.parametrize("seed", range(3))
def test_expectation_values_equal_dense_matrices(
    seed: int, simulator: Simulator, tolerance: float, random_pair: RandomPair, dense_pauli: Callable[..., ComplexArray]
) -> None:
    circuit, _ = random_pair(seed, 4, 15)
    psi = circuit.to_matrix()[:, 0]
    rng = np.random.default_rng(seed)
    triples = [
        ("".join(rng.choice(list("IXYZ"), 4)), rng.permutation(4).tolist(), float(rng.normal())) for _ in range(6)
    ]
    dense = sum(c * dense_pauli(4, letters, qubits) for letters, qubits, c in triples)
    result = simulator.run(circuit, observables=[PauliSum(triples), "I"])
    assert result.expectations == pytest.approx([np.vdot(psi, dense @ psi).real, 1], abs=30 * tolerance)


# --- gradients ----------------------------------------------------------------------------------------------------


def ansatz() -> Circuit:
    """Every way a parameter reaches an angle: shared, scaled, derived, controlled, with values, in a phase."""
    a, b, c = (Parameter(name) for name in "abc")
    circuit = Circuit(3).h(0).rx(a, 0).ry(2 * b - a, 1).u(a, b, c, 2).rzz(c, 0, 2).crx(b, 0, 1).cp(c, 1, 2)
    circuit.rz(np.sin(a * b), 0, controls=[1, 2], control_values=[0, 1]).pauli_rotation("XYZ", c / 2, [2, 0, 1])
    circuit.global_phase(a, controls=[0]).permutation([1, 2, 3, 0], [2, 1]).diagonal([1, 1j], 0).sx(1).iswap(0, 2)
    return circuit.pauli_rotation("XY", a * a, [0, 1], controls=2, control_values=0).crot(a, b, c, 2, 0)


HAMILTONIAN = "0.7*X0 Y1 - 1.3*Z2 + 0.4*Y0 Z1 X2 + 2"


def energies(values: ComplexArray) -> ComplexArray:
    results = Simulator("reference").compile(ansatz()).run_batch(values, observables=HAMILTONIAN, outputs=[])
    return np.array([result.expectations[0] for result in results])


def test_adjoint_gradient_equals_finite_differences(simulator: Simulator, tolerance: float) -> None:
    values = np.random.default_rng(1).uniform(-2, 2, (3, 3))
    step = 1e-5 * np.eye(3)
    slopes = np.stack([(energies(values + d) - energies(values - d)) / 2e-5 for d in step], axis=1)
    compiled = simulator.compile(ansatz())
    batch = compiled.gradient(values, HAMILTONIAN)
    np.testing.assert_allclose(batch, slopes, atol=max(1e-8, 20 * tolerance))
    np.testing.assert_allclose(compiled.gradient(values[0], HAMILTONIAN), batch[0], atol=20 * tolerance)
    named = {name: values[:, k] for k, name in enumerate("abc")}
    np.testing.assert_allclose(compiled.gradient(named, HAMILTONIAN), batch, atol=20 * tolerance)
    assert compiled.gradient(values[:1], HAMILTONIAN).shape == (1, 3)
    assert compiled.gradient(values[0], HAMILTONIAN).shape == (3,)


def test_adjoint_gradient_equals_parameter_shift(simulator: Simulator, tolerance: float) -> None:
    circuit = Circuit(3)
    for k in range(9):
        getattr(circuit, ("rx", "ry", "rz")[k % 3])(Parameter(f"t{k}"), k // 3).cx(k // 3, (k // 3 + 1) % 3)
    values = np.random.default_rng(2).uniform(-3, 3, 9)
    compiled = simulator.compile(circuit)
    shifted = np.concatenate([values + np.pi / 2 * np.eye(9), values - np.pi / 2 * np.eye(9)])
    up, down = np.split(np.array([r.expectations[0] for r in compiled.run_batch(shifted, observables=HAMILTONIAN)]), 2)
    np.testing.assert_allclose(compiled.gradient(values, HAMILTONIAN), (up - down) / 2, atol=50 * tolerance)


def test_gradient_of_what_is_measured_at_the_end() -> None:
    compiled = qsim.compile(Circuit(1).rx(Parameter("a"), 0).measure_all(), backend="reference")
    assert compiled.gradient([0.3], "Z0") == pytest.approx([-np.sin(0.3)])


@pytest.mark.parametrize("kind", ["reset", "initialize", "measure", "if"])
def test_gradient_of_other_circuits_is_refused_before_the_run(kind: str) -> None:
    circuit = Circuit(1, 1)
    if kind == "reset":
        circuit.reset(0)
    elif kind == "initialize":
        circuit.initialize([0.6, 0.8])
    elif kind == "measure":
        circuit.measure(0)
    else:
        with circuit.if_(0):
            circuit.x(0)
    with pytest.raises(UnsupportedError, match=f"gates, then measurements, got one with {kind}"):
        qsim.compile(circuit.rx(Parameter("a"), 0), backend="reference").gradient([0.1], "Z0")
