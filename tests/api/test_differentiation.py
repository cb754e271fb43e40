"""Derivatives of compiled circuits against finite differences, parameter shift, dense algebra and PennyLane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import qsim
from qsim import Circuit, Hermitian, Parameter, PauliSum, Simulator
from qsim.differentiation import Differentiable
from qsim_core.errors import ParameterError, QubitError, ShapeError, UnsupportedError
from qsim_core.gates import GATES
from qsim_core.types import ComplexArray, FloatArray

SETTINGS = settings(max_examples=12, deadline=None)
OBSERVABLE = "0.7*X0 Y1 - 1.3*Z2 + 0.4*Y0 Z1 X2 + 2"
NAMES = [Parameter(name) for name in "abc"]


def circuit_of(seed: int, num_qubits: int = 4, length: int = 14) -> Circuit:
    """Gates of the table whose angles are shared, affine or derived, some with controls, between entanglers."""
    rng = np.random.default_rng(seed)
    a, b, c = NAMES
    angles: list[Any] = [a, 2 * b - 0.3, c / 2 + a, np.sin(a * b), b * c, -c]
    circuit = Circuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.u(*rng.normal(size=3), qubit)
    while len(circuit) < length:
        spec = GATES[str(rng.choice(sorted(GATES)))]
        wires = rng.permutation(num_qubits).tolist()
        if spec.num_qubits > num_qubits:
            continue
        params = [angles[rng.integers(len(angles))] for _ in range(spec.num_params)]
        rest = wires[spec.num_qubits :]
        controls = rest[: int(rng.random() < 0.3)]
        circuit.append(spec, wires[: spec.num_qubits], params, controls, rng.integers(0, 2, len(controls)).tolist())
    return circuit.rx(a, 0).rzz(b, 0, 1).crz(c, 1, 2).pauli_rotation("XYZ", a - b, [2, 0, 1])


def differences(value: Callable[[FloatArray], Any], point: FloatArray, step: float = 1e-5) -> FloatArray:
    """Return central differences along the last axis."""
    columns = [(value(point + step * e) - value(point - step * e)) / (2 * step) for e in np.eye(point.shape[-1])]
    return np.stack(columns, axis=-1)


@SETTINGS
@given(seed=st.integers(0, 99999))
def test_gradient_equals_finite_differences_and_parameter_shift(seed: int) -> None:
    compiled = qsim.compile(circuit_of(seed), seed=1)
    point = np.random.default_rng(seed).uniform(-2, 2, 3)
    found = compiled.gradient(point, OBSERVABLE)
    values = lambda x: compiled.run(x, observables=OBSERVABLE).expectations[0]  # noqa: E731
    np.testing.assert_allclose(found, differences(values, point), atol=1e-7)
    np.testing.assert_allclose(compiled.parameter_shift(point, OBSERVABLE), found, atol=1e-10)


@pytest.mark.parametrize("name", sorted(name for name, spec in GATES.items() if spec.num_params))
def test_every_gate_by_both_ways(name: str) -> None:
    spec, rng = GATES[name], np.random.default_rng(len(name))
    for num_controls in (0, 1):
        circuit, width = Circuit(spec.num_qubits + num_controls), spec.num_qubits + num_controls
        for qubit in range(width):
            circuit.u(*rng.normal(size=3), qubit)
        params = [Parameter(f"p{k}") for k in range(spec.num_params)]
        circuit.append(spec, range(spec.num_qubits), params, range(spec.num_qubits, width))
        matrix = rng.normal(size=(2**width, 2**width))
        observable, point = Hermitian(matrix + matrix.T, tuple(range(width))), rng.normal(size=spec.num_params)
        compiled = qsim.compile(circuit, seed=1)
        found = compiled.gradient(point, observable)
        np.testing.assert_allclose(compiled.parameter_shift(point, observable), found, atol=1e-9)


def test_every_verb_on_every_backend(simulator: Simulator, tolerance: float) -> None:
    compiled = simulator.compile(circuit_of(3))
    rng = np.random.default_rng(0)
    points = rng.uniform(-2, 2, (3, 3))
    matrix = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    observables: list[Any] = [OBSERVABLE, Hermitian(matrix + matrix.conj().T, (3, 1)), "X3"]
    exact = qsim.compile(circuit_of(3), backend="reference")
    runs = exact.run_batch(points, observables=observables)
    close = {"atol": 200 * tolerance}
    jacobian = compiled.jacobian(points, observables)
    assert jacobian.shape == (3, 3, 3)
    np.testing.assert_allclose(compiled.jacobian(points[1], observables), jacobian[1], **close)
    for k, observable in enumerate(observables):
        np.testing.assert_allclose(compiled.gradient(points, observable), jacobian[:, k], **close)
        values, slopes = compiled.value_and_gradient(points, observable)
        np.testing.assert_allclose(values, [run.expectations[k] for run in runs], **close)
        np.testing.assert_allclose(slopes, jacobian[:, k], **close)
    value, slope = compiled.value_and_gradient(points[2], observables[0])
    assert value.shape == () and slope.shape == (3,)
    cotangents = rng.normal(size=(3, 3))
    np.testing.assert_allclose(
        compiled.vjp(points, observables, cotangents), np.einsum("bk,bkp->bp", cotangents, jacobian), **close
    )
    np.testing.assert_allclose(
        compiled.vjp(points[0], observables, cotangents[0]), cotangents[0] @ jacobian[0], **close
    )
    np.testing.assert_allclose(
        compiled.vjp(points, observables, cotangents[0]), np.einsum("k,bkp->bp", cotangents[0], jacobian), **close
    )


@pytest.mark.parametrize("qubits", [(2, 0), (1, 2, 3), (0, 3, 1, 2)])
def test_sparse_matrices_have_the_gradients_of_dense_ones(
    simulator: Simulator, tolerance: float, qubits: tuple[int, ...]
) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    rng, size = np.random.default_rng(8), 2 ** len(qubits)
    matrix = rng.normal(size=(size, size)) * (rng.random((size, size)) < 0.5) + 1j * rng.normal(size=(size, size))
    matrix += matrix.conj().T
    compiled = simulator.compile(circuit_of(3))
    points = rng.normal(size=(2, len(compiled.parameters)))
    dense, thin = Hermitian(matrix, qubits), Hermitian(sparse.csc_array(matrix), qubits)
    wanted = compiled.value_and_gradient(points, dense)
    for found, exact in zip(compiled.value_and_gradient(points, thin), wanted, strict=True):
        np.testing.assert_allclose(found, exact, rtol=0, atol=100 * tolerance)
    wanted_row = compiled.vjp(points[0], [dense, "X1"], [2.0, 1.0])
    np.testing.assert_allclose(compiled.vjp(points[0], [thin, "X1"], [2.0, 1.0]), wanted_row, atol=100 * tolerance)
    shifted = compiled.parameter_shift(points[0], thin)
    np.testing.assert_allclose(shifted, wanted[1][0], rtol=0, atol=100 * tolerance)
    with pytest.raises(UnsupportedError, match="sparse"):
        compiled.parameter_shift(points[0], thin, shots=10)


def test_the_jacobian_equals_finite_differences() -> None:
    compiled, point = qsim.compile(circuit_of(8), seed=0), np.array([0.3, -0.4, 1.1])
    matrix = np.random.default_rng(1).normal(size=(8, 8))
    observables = [Hermitian(matrix + matrix.T, (2, 0, 1)), PauliSum("Y3 + Z0")]
    wanted = differences(lambda x: compiled.run(x, observables=observables).expectations, point)
    np.testing.assert_allclose(compiled.jacobian(point, observables), wanted, atol=1e-7)
    assert compiled.jacobian(point, []).shape == (0, 3)
    one = "0.5*Z0 X1"  # text is one observable, not as many as it has letters
    np.testing.assert_array_equal(compiled.jacobian(point, one), compiled.jacobian(point, [one]))
    np.testing.assert_array_equal(compiled.vjp(point, one, [2.0]), compiled.vjp(point, [one], [2.0]))


def test_state_vjp_equals_finite_differences(simulator: Simulator, tolerance: float) -> None:
    circuit, rng = circuit_of(5), np.random.default_rng(4)
    vectors: ComplexArray = rng.normal(size=(2, 16)) + 1j * rng.normal(size=(2, 16))
    points = rng.uniform(-2, 2, (2, 3))
    exact = qsim.compile(circuit, backend="reference")
    wanted = [
        differences(lambda x, v=v: np.vdot(v, exact.run(x).state_vector).real, point)  # type: ignore[misc]
        for v, point in zip(vectors, points, strict=True)
    ]
    compiled = simulator.compile(circuit)
    np.testing.assert_allclose(compiled.state_vjp(points, vectors), wanted, atol=1e-7 + 200 * tolerance)
    np.testing.assert_allclose(compiled.state_vjp(points[1], vectors[1]), wanted[1], atol=1e-7 + 200 * tolerance)


def test_gradient_equals_pennylane() -> None:
    """Rotations used several times, controlled rotations, excitations and Pauli rotations, written for both by hand."""
    qml = pytest.importorskip("pennylane")
    a, b, c = NAMES
    circuit = Circuit(4).x(0).x(1)
    circuit.givens(a, 1, 2) if "givens" in GATES else circuit.rxx(a, 1, 2).ryy(a, 1, 2)
    circuit.crx(b, 0, 2).crot(a, b, c, 3, 1).pauli_rotation("XYZ", 2 * c, [0, 2, 3]).cp(b, 1, 3).rzz(a, 2, 3).ry(c, 0)

    def theirs(x: Any, y: Any, z: Any) -> Any:
        qml.X(0), qml.X(1)
        if "givens" in GATES:
            qml.SingleExcitation(2 * x, wires=[1, 2])
        else:
            qml.IsingXX(x, wires=[1, 2]), qml.IsingYY(x, wires=[1, 2])
        qml.CRX(y, wires=[0, 2]), qml.CRot(x, y, z, wires=[3, 1]), qml.PauliRot(2 * z, "XYZ", wires=[0, 2, 3])
        qml.ControlledPhaseShift(y, wires=[1, 3]), qml.IsingZZ(x, wires=[2, 3]), qml.RY(z, wires=0)
        return qml.expval(
            0.7 * qml.X(0) @ qml.Y(1) - 1.3 * qml.Z(2) + 0.4 * qml.Y(0) @ qml.Z(1) @ qml.X(2) + 0.2 * qml.Z(3)
        )

    node = qml.QNode(theirs, qml.device("default.qubit", wires=4), diff_method="backprop")
    point = [qml.numpy.array(x, requires_grad=True) for x in (0.3, -0.7, 1.9)]
    wanted = np.array(qml.grad(node)(*point))
    observable = "0.7*X0 Y1 - 1.3*Z2 + 0.4*Y0 Z1 X2 + 0.2*Z3"
    compiled = qsim.compile(circuit, seed=0)
    values = np.array([float(x) for x in point])
    found = compiled.gradient(values, observable)
    np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_allclose(compiled.parameter_shift(values, observable), wanted, atol=1e-10)


def test_parameter_shift_of_shots_has_no_bias_and_a_seed() -> None:
    circuit = Circuit(2).ry(NAMES[0], 0).crx(NAMES[1], 0, 1).rz(NAMES[0] + NAMES[2], 1)
    point, observable = np.array([0.7, 1.1, -0.4]), "X1 + 0.5*Z0 Z1"
    batch = qsim.compile(circuit, seed=5).parameter_shift(np.repeat(point[None], 400, axis=0), observable, shots=100)
    exact = qsim.compile(circuit, seed=5).gradient(point, observable)
    error = batch.std(axis=0) / np.sqrt(400)
    assert (np.abs(batch.mean(axis=0) - exact) < 4.5 * error).all()
    assert (batch.std(axis=0) < 0.2).all() and len(np.unique(batch[:, 0])) > 50
    again = qsim.compile(circuit, seed=5).parameter_shift(np.repeat(point[None], 400, axis=0), observable, shots=100)
    np.testing.assert_array_equal(again, batch)


def test_a_circuit_without_parameters_has_an_empty_gradient() -> None:
    compiled = qsim.compile(Circuit(2).h(0).cx(0, 1), seed=0)
    assert compiled.gradient(None, "Z0 Z1").shape == (0,)
    value, slope = compiled.value_and_gradient({}, "Z0 Z1")
    assert float(value) == pytest.approx(1) and slope.shape == (0,)
    assert compiled.parameter_shift(None, "Z0").shape == (0,)


def test_refusals() -> None:
    compiled: Differentiable = qsim.compile(Circuit(1).rx(NAMES[0], 0), backend="reference")
    with pytest.raises(QubitError, match="at most 1, those of the circuit, got 2"):
        compiled.gradient([0.1], "Z1")
    with pytest.raises(ShapeError, match=r"shape \(1,\) or \(B, 1\)"):
        compiled.vjp([0.1], ["Z0"], [1.0, 2.0])
    with pytest.raises(ShapeError, match="rows of cotangents: expected 1 or 2, got 3"):
        compiled.vjp([[0.1], [0.2]], ["Z0"], np.ones((3, 1)))
    with pytest.raises(ParameterError, match="finite real numbers"):
        compiled.vjp([0.1], ["Z0"], [np.nan])
    with pytest.raises(ShapeError, match=r"cotangent: expected shape \(2,\) or \(1, 2\)"):
        compiled.state_vjp([0.1], [1.0, 0, 0])
    with pytest.raises(ParameterError, match="cotangent: expected finite numbers"):
        compiled.state_vjp([0.1], [np.inf, 0])
    with pytest.raises(ParameterError, match="shots"):
        compiled.parameter_shift([0.1], "Z0", shots=0)
