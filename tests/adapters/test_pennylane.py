"""The PennyLane device against default.qubit, and PennyLane's own device tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

qml = pytest.importorskip("pennylane")

from pennylane.exceptions import DeviceError, WireError  # noqa: E402
from pennylane.tape import QuantumScript  # noqa: E402

from qsim.adapters.pennylane import QubitDevice  # noqa: E402
from qsim.adapters.pennylane.engine import Engine, Register, expanded  # noqa: E402
from qsim.adapters.pennylane.translate import GATES, is_native  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")  # autograd's

ROOT = Path(__file__).parents[2]
PLAIN = sorted(name for name in GATES if not name.startswith("Adjoint"))
LABELS = ["b", 7, "a", 3]
RNG = np.random.default_rng(5)


def operation(name: str, wires: list[Any], angles: list[float]) -> Any:
    kind = getattr(qml, name)
    return kind(*angles[: kind.num_params], wires=wires[: kind.num_wires])


def state_of(operations: list[Any], wires: list[Any], **options: Any) -> Any:
    return QubitDevice(wires, **options).execute(QuantumScript(operations, [qml.state()]))


def reference(operations: list[Any], measurements: list[Any], wires: list[Any]) -> Any:
    qnode = qml.QNode(lambda: (list(map(qml.apply, operations)), [qml.apply(m) for m in measurements])[1],
                      qml.device("default.qubit", wires=wires), diff_method=None)  # fmt: skip
    return qnode()


def asymmetric(wires: list[Any]) -> list[Any]:
    """A circuit that any mistake of order, sign or phase changes."""
    a, b, c = wires[:3]
    return [
        qml.Hadamard(a), qml.RX(0.3, a), qml.RY(-0.8, b), qml.CRX(0.7, [a, c]), qml.Rot(0.1, 0.9, -0.4, c),
        qml.PauliRot(0.6, "XYZ", [c, a, b]), qml.GlobalPhase(0.25), qml.SingleExcitation(0.5, [b, c]),
        qml.ctrl(qml.RY(1.1, b), [a, c], control_values=[0, 1]), qml.IsingXY(0.35, [c, a]), qml.adjoint(qml.T(b)),
    ]  # fmt: skip


# --- operations ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("form", ["plain", "adjoint", "controlled"])
def test_every_gate_is_pennylanes_gate(name: str, form: str) -> None:
    angles = RNG.uniform(-3, 3, 3).tolist()
    wires = [3, 0, 2, 1, 4]
    op = operation(name, wires, angles)
    if form == "adjoint":
        op = qml.adjoint(op, lazy=True)
    elif form == "controlled":
        op = qml.ctrl(op, [w for w in range(6) if w not in op.wires][:1], control_values=[0])
    start = [qml.RY(0.3 + 0.2 * k, k) for k in range(6)] + [qml.RZ(0.4 - 0.3 * k, k) for k in range(6)]
    operations = [*start, op]
    expected = reference(operations, [qml.state()], list(range(6)))[0]
    assert np.allclose(state_of(expanded(operations), list(range(6))), expected, atol=1e-12)


@pytest.mark.parametrize(
    "op",
    [
        qml.GlobalPhase(0.7),
        qml.ctrl(qml.GlobalPhase(0.7), control=[1, 3], control_values=[1, 0]),
        qml.MultiRZ(0.4, [0, 2, 3]),
        qml.adjoint(qml.MultiRZ(0.4, [0, 2, 3])),
        qml.ctrl(qml.PauliRot(0.4, "XIY", [0, 2, 3]), control=1),
        qml.MultiControlledX([3, 0, 2], control_values=[False, True]),
        qml.QubitUnitary(qml.matrix(qml.CRX(0.3, [0, 1]) @ qml.RY(0.2, 0)), [3, 1]),
        qml.adjoint(qml.QubitUnitary(qml.matrix(qml.CRX(0.3, [0, 1]) @ qml.RY(0.2, 0)), [3, 1])),
        qml.ctrl(qml.QubitUnitary(qml.matrix(qml.Rot(0.3, 0.2, 0.1, 0)), [3]), control=[1, 0], control_values=[0, 1]),
        qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), [2, 0]),
        qml.adjoint(qml.DiagonalQubitUnitary(np.exp(1j * np.arange(4)), [2, 0])),
        qml.BlockEncode(np.array([[0.3, 0.1], [0.2, 0.4]]), [2, 0]),
        qml.Identity([0, 1]),
        qml.QFT([2, 0, 3]),
        qml.GroverOperator([1, 3, 0]),
        qml.pow(qml.RX(0.3, 1), 2.5),
        qml.Select([qml.X(2), qml.RY(0.3, 2)], control=[1]),
    ],
    ids=lambda op: op.name,
)
def test_other_operations(op: Any) -> None:
    operations = [*asymmetric([0, 1, 2, 3]), qml.RY(0.4, 3), op]
    expected = reference(operations, [qml.state()], [0, 1, 2, 3])[0]
    assert np.allclose(state_of(expanded(operations), [0, 1, 2, 3]), expected, atol=1e-12)


@st.composite
def circuits(draw: Any) -> list[Any]:
    steps = []
    for _ in range(draw(st.integers(1, 14))):
        name = draw(st.sampled_from(PLAIN))
        wires = draw(st.permutations(LABELS))
        op = operation(name, wires, [draw(st.floats(-4, 4)) for _ in range(3)])
        if draw(st.booleans()):
            op = qml.adjoint(op)
        free = [wire for wire in LABELS if wire not in op.wires]
        if free and draw(st.booleans()):
            op = qml.ctrl(op, free[:1], control_values=[draw(st.booleans())])
        steps.append(op)
    return steps


@settings(deadline=None, max_examples=40)
@given(circuits(), st.permutations(LABELS))
def test_random_circuits_with_labels_agree_with_default_qubit(operations: list[Any], wires: list[Any]) -> None:
    expected = reference(operations, [qml.state()], wires)[0]
    assert np.allclose(state_of(expanded(operations), wires), expected, atol=1e-10)


def test_single_precision_and_options() -> None:
    state = state_of(expanded(asymmetric([0, 1, 2])), [0, 1, 2], c_dtype=np.complex64)
    assert state.dtype == np.complex64
    assert np.allclose(state, state_of(expanded(asymmetric([0, 1, 2])), [0, 1, 2], backend="reference"), atol=1e-6)
    with pytest.raises(DeviceError, match="c_dtype"):
        QubitDevice(2, c_dtype="half")
    with pytest.raises(DeviceError, match="backend"):
        QubitDevice(2, backend="abacus")


@pytest.mark.parametrize(
    "prepare",
    [
        qml.StatePrep(np.arange(1, 9) / np.sqrt(204), ["c", "a", "b"]),
        qml.StatePrep(np.array([0.6, 0.8j]), ["b"]),
        qml.BasisState([1, 0, 1], ["b", "c", "a"]),
    ],
    ids=["all wires", "one wire", "basis state"],
)
def test_initial_states(prepare: Any) -> None:
    operations = [prepare, *asymmetric(["a", "b", "c"])]
    expected = reference(operations, [qml.state()], ["a", "b", "c"])[0]
    assert np.allclose(state_of([prepare, *expanded(operations[1:])], ["a", "b", "c"]), expected)


def test_wires_can_be_allocated_on_the_way() -> None:
    def circuit() -> Any:
        qml.RY(0.7, 0)
        with qml.allocate(1) as work:
            qml.CNOT([0, work[0]])
            qml.CRX(0.4, [work[0], 1])
            qml.CNOT([0, work[0]])
        return qml.expval(qml.Z(1))

    assert np.isclose(qml.QNode(circuit, QubitDevice(3))(), qml.QNode(circuit, qml.device("default.qubit", wires=3))())


def test_wires_are_optional() -> None:
    @qml.qnode(QubitDevice())
    def ours() -> Any:
        qml.RX(0.3, "x")
        qml.CNOT(["x", 2])
        return qml.expval(qml.Z(2) @ qml.Y("x")), qml.probs([2, "x"])

    theirs = qml.QNode(ours.func, qml.device("default.qubit"))
    assert all(np.allclose(a, b) for a, b in zip(ours(), theirs(), strict=True))


# --- measurements -------------------------------------------------------------------------------------------------------

HERMITIAN = np.array([[0.3, 0.2 - 0.1j], [0.2 + 0.1j, -0.7]])
OBSERVABLES: dict[str, Callable[[], Any]] = {
    "Y": lambda: qml.Y("b"),
    "identity": lambda: qml.Identity("a"),
    "word": lambda: qml.X("a") @ qml.Y("b") @ qml.Z("c"),
    "Hadamard": lambda: qml.Hadamard("c"),
    "Hermitian": lambda: qml.Hermitian(HERMITIAN, ["b"]),
    "Hermitian of two": lambda: qml.Hermitian(np.kron(HERMITIAN, np.diag([1.0, 2.0])), ["c", "a"]),
    "Projector": lambda: qml.Projector([1, 0], ["c", "a"]),
    "state projector": lambda: qml.Projector(np.array([0.6, 0.8j]), ["b"]),
    "product": lambda: qml.prod(qml.Hadamard("a"), qml.Y("c")),
    "Hamiltonian": lambda: qml.Hamiltonian([0.3, -1.2, 0.5], [qml.X("a") @ qml.Y("b"), qml.Z("c"), qml.X("a")]),
    "sum": lambda: 0.3 * qml.Hermitian(HERMITIAN, ["b"]) + qml.s_prod(0.4, qml.prod(qml.X("a"), qml.Z("b"))) - qml.Y("c"),
    "scaled": lambda: qml.s_prod(-0.7, qml.Y("c")),
    "sparse": lambda: qml.SparseHamiltonian(SPARSE, ["a", "b", "c"]),
}  # fmt: skip
SPARSE = qml.Hamiltonian([0.3, -1.2], [qml.X("a") @ qml.Y("b"), qml.Z("c")]).sparse_matrix(["a", "b", "c"])


def both(measurements: Callable[[], Any], shots: Any = None, **options: Any) -> tuple[Any, Any]:
    def circuit() -> Any:
        asymmetric(["a", "b", "c"])  # made here, so it is recorded
        return measurements()

    results = []
    for device in (
        QubitDevice(["c", "a", "b"], seed=3, **options),
        qml.device("default.qubit", ["c", "a", "b"], seed=4),
    ):
        results.append(qml.set_shots(qml.QNode(circuit, device), shots)())
    return results[0], results[1]


@pytest.mark.parametrize("name", OBSERVABLES)
def test_exact_expectation_and_variance(name: str) -> None:
    ours, theirs = both(lambda: qml.expval(OBSERVABLES[name]()))
    assert np.allclose(ours, theirs, atol=1e-12)
    if name != "sparse":  # default.qubit refuses its variance
        ours, theirs = both(lambda: qml.var(OBSERVABLES[name]()))
        assert np.allclose(ours, theirs, atol=1e-12)


def test_variance_of_a_sparse_hamiltonian() -> None:
    dense = SPARSE.toarray()
    state = both(qml.state)[0].reshape(2, 2, 2).transpose(1, 2, 0).reshape(-1)  # wires c, a, b to a, b, c
    operations = expanded(asymmetric(["a", "b", "c"]))
    ours = QubitDevice(["c", "a", "b"]).execute(QuantumScript(operations, [qml.var(OBSERVABLES["sparse"]())]))
    mean = np.vdot(state, dense @ state).real
    assert np.isclose(ours, np.vdot(state, dense @ dense @ state).real - mean**2)


@pytest.mark.parametrize(
    "measurement",
    [
        qml.state,
        lambda: qml.probs(),
        lambda: qml.probs(["b", "c"]),
        lambda: qml.probs(op=qml.Y("b") @ qml.X("a")),
        lambda: qml.probs(op=qml.Hadamard("b")),
        lambda: qml.density_matrix(["b", "c"]),
        lambda: qml.purity(["a"]),
        lambda: qml.vn_entropy(["a", "b"]),
        lambda: qml.vn_entropy(["c"], log_base=2),
        lambda: qml.mutual_info(["a"], ["c"]),
    ],
)
def test_exact_measurements(measurement: Callable[[], Any]) -> None:
    ours, theirs = both(measurement)
    assert np.allclose(ours, theirs, atol=1e-12)
    assert np.shape(ours) == np.shape(theirs)


def test_several_measurements_keep_their_order() -> None:
    ours, theirs = both(lambda: (qml.probs(["c"]), qml.expval(qml.X("a")), qml.var(qml.Y("b")), qml.purity(["b"])))
    assert isinstance(ours, tuple) and len(ours) == 4
    assert all(np.allclose(a, b) for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", [name for name in OBSERVABLES if name != "sparse"])
def test_expectation_values_of_shots_converge(name: str) -> None:
    exact = both(lambda: (qml.expval(OBSERVABLES[name]()), qml.var(OBSERVABLES[name]())))[0]
    mean, spread = both(lambda: (qml.expval(OBSERVABLES[name]()), qml.var(OBSERVABLES[name]())), shots=40_000)[0]
    assert np.isclose(mean, exact[0], atol=0.05)
    assert np.isclose(spread, exact[1], atol=0.1)


@pytest.mark.parametrize("shots", [50, (20, 20, 10), 1], ids=str)
@pytest.mark.parametrize(
    "measurement",
    [
        lambda: qml.sample(),
        lambda: qml.sample(wires=["b", "c"]),
        lambda: qml.sample(wires=["b"]),
        lambda: qml.sample(qml.Y("b")),
        lambda: qml.sample(qml.Hermitian(HERMITIAN, ["b"])),
        lambda: qml.counts(all_outcomes=True),
        lambda: qml.counts(qml.Z("b") @ qml.X("a"), all_outcomes=True),
        lambda: qml.probs(["b", "c"]),
        lambda: qml.probs(op=qml.Y("b")),
        lambda: (qml.expval(qml.X("a")), qml.expval(qml.Y("a")), qml.sample(wires=["a"])),
        lambda: qml.expval(qml.Hamiltonian([1.0, 2.0], [qml.X("a"), qml.Z("a")])),
        lambda: qml.classical_shadow(["a", "c"]),
    ],
)
def test_results_of_shots_have_pennylanes_shape(measurement: Callable[[], Any], shots: Any) -> None:
    ours, theirs = both(measurement, shots)

    def shape(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key) for key in value}
        return [shape(part) for part in value] if isinstance(value, tuple | list) else np.shape(value)

    assert shape(ours) == shape(theirs)


def test_shadow_expectation_values_converge() -> None:
    value = both(lambda: qml.expval(qml.Z("a") @ qml.X("b")))[0]
    script = QuantumScript(
        expanded(asymmetric(["a", "b", "c"])), [qml.shadow_expval(qml.Z("a") @ qml.X("b"))], shots=20_000
    )
    assert np.isclose(QubitDevice(["c", "a", "b"], seed=1).execute(script), value, atol=0.15)


def test_counts_are_distributed_as_the_state_says() -> None:
    counts = both(lambda: qml.counts(), shots=100_000)[0]
    probabilities = both(lambda: qml.probs())[0]
    seen = np.array([counts.get(format(k, "03b"), 0) for k in range(8)])
    expected = 100_000 * probabilities
    assert ((seen - expected) ** 2 / np.maximum(expected, 1)).sum() < 40  # 7 degrees of freedom
    assert sum(counts.values()) == 100_000


def test_the_seed_decides_the_samples() -> None:
    script = QuantumScript(expanded(asymmetric([0, 1, 2])), [qml.sample()], shots=30)
    first, second = QubitDevice(3, seed=8), QubitDevice(3, seed=8)
    a, b = first.execute(script), first.execute(script)
    assert np.array_equal(a, second.execute(script)) and not np.array_equal(a, b)


def test_the_tracker_counts() -> None:
    device = QubitDevice(3)
    with device.tracker:
        device.execute([QuantumScript([qml.Hadamard(0)], [qml.expval(qml.Z(0))], shots=10)] * 2)
    assert device.tracker.totals["executions"] == 2 and device.tracker.totals["shots"] == 20


# --- batches ------------------------------------------------------------------------------------------------------------


def test_broadcasting_is_one_native_run(monkeypatch: pytest.MonkeyPatch) -> None:
    batches: list[int] = []
    run = Engine.run
    monkeypatch.setattr(
        Engine, "run", lambda self, circuit, angles: batches.append(len(angles)) or run(self, circuit, angles)
    )

    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        qml.CRY(0.3, [0, 1])
        qml.RY(2 * x, 1)
        return qml.expval(qml.Z(0) @ qml.X(1)), qml.probs([1]), qml.state()

    x = np.linspace(0, 2, 7)
    ours = qml.QNode(circuit, QubitDevice(2), diff_method=None)(x)
    theirs = qml.QNode(circuit, qml.device("default.qubit", wires=2), diff_method=None)(x)
    assert batches == [7]
    assert all(np.allclose(a, b) for a, b in zip(ours, theirs, strict=True))
    sampled = QubitDevice(2).execute(QuantumScript([qml.RX(x, 0)], [qml.sample(wires=[0]), qml.counts()], shots=5))
    assert np.shape(sampled[0]) == (7, 5, 1) and [sum(counts.values()) for counts in sampled[1]] == [5] * 7

    batches.clear()
    shifted = [QuantumScript([qml.RX(a, 0), qml.RY(0.1, 1)], [qml.expval(qml.Z(0))]) for a in x]
    shared = [script.copy(measurements=shifted[0].measurements) for script in shifted]
    assert np.allclose(QubitDevice(2).execute(shared), np.cos(x)) and batches == [7]


def test_batches_of_matrices_and_states_are_expanded_or_loaded() -> None:
    matrices = np.stack([qml.matrix(qml.RX(a, 0)) for a in (0.1, 0.2, 0.3)])
    vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]])

    def circuit() -> Any:
        qml.StatePrep(vectors, [1])
        qml.QubitUnitary(matrices, [0])
        return qml.expval(qml.Z(0)), qml.expval(qml.Z(1))

    ours = qml.QNode(circuit, QubitDevice(2))()
    assert np.allclose(ours, [np.cos([0.1, 0.2, 0.3]), [1, -1, 0.36 - 0.64]])


# --- derivatives --------------------------------------------------------------------------------------------------------


def trainable(x: Any) -> Any:
    qml.RX(0.4, 0)  # a constant before and between
    qml.Rot(x[0], x[1], 0.2, wires=1)
    qml.CRot(x[1], x[2], 0.1, wires=[1, 2])
    qml.ctrl(qml.RY(x[2], 0), control=[1, 2], control_values=[0, 1])
    qml.adjoint(qml.IsingXY(x[0], [2, 0]))
    qml.PauliRot(x[1], "XIY", [0, 1, 2])
    qml.GlobalPhase(x[0])
    qml.QubitUnitary(HADAMARD, wires=[1])
    qml.DoubleExcitation(x[2], [0, 1, 2, 3])
    return (
        qml.expval(qml.Hamiltonian([0.3, -0.7], [qml.X(0) @ qml.Y(2), qml.Z(1)])),
        qml.expval(qml.Hermitian(HERMITIAN, [1]) + qml.Projector([1], [2])),
    )


HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
POINT = [0.3, -0.8, 1.2]


def jacobian_of(device: Any, method: str, **options: Any) -> Any:
    qnode = qml.QNode(trainable, device, diff_method=method, **options)
    return qml.jacobian(lambda x: qml.math.stack(qnode(x)))(qml.numpy.array(POINT, requires_grad=True))


@pytest.mark.parametrize("method", ["best", "adjoint", "parameter-shift"])
@pytest.mark.parametrize("product", [None, True, False], ids=["default", "vjp", "jacobian"])
def test_gradients_agree_with_backpropagation(method: str, product: bool | None) -> None:
    if method == "parameter-shift" and product:
        pytest.skip("PennyLane's own rule has no device product")
    expected = jacobian_of(qml.device("default.qubit", wires=4), "backprop")
    assert np.allclose(jacobian_of(QubitDevice(4), method, device_vjp=product), expected, atol=1e-10)


def test_the_adjoint_method_is_chosen_where_it_works() -> None:
    device = QubitDevice(2)
    config = qml.devices.ExecutionConfig(gradient_method="best")
    exact = QuantumScript([qml.RX(0.3, 0)], [qml.expval(qml.Z(0))])
    assert device.supports_derivatives(config, exact)
    assert device.setup_execution_config(config, exact).gradient_method == "adjoint"
    assert not device.supports_derivatives(config, exact.copy(shots=10))
    assert not device.supports_derivatives(config, exact.copy(measurements=[qml.probs([0])]))
    assert not device.supports_derivatives(qml.devices.ExecutionConfig(gradient_method="backprop"))


def test_products_with_jacobians() -> None:
    script = QuantumScript([qml.RX(0.3, 0), qml.RY(0.5, 0)], [qml.expval(qml.Z(0)), qml.expval(qml.X(0))])
    script.trainable_params = [0, 1]
    device = QubitDevice(1)
    (results,), (jacobian,) = device.execute_and_compute_derivatives([script])
    table = np.array(jacobian)
    a, b = 0.3, 0.5
    assert np.allclose(table, [[-np.sin(a) * np.cos(b), -np.cos(a) * np.sin(b)],
                               [-np.sin(a) * np.sin(b), np.cos(a) * np.cos(b)]])  # fmt: skip
    assert np.allclose(results, [np.cos(a) * np.cos(b), np.cos(a) * np.sin(b)])
    assert np.allclose(device.compute_jvp([script], [(0.2, -0.5)])[0], table @ [0.2, -0.5])
    assert np.allclose(device.compute_vjp([script], [(0.2, -0.5)])[0], [0.2, -0.5] @ table)
    batched = device.compute_vjp([script], [(np.array([1.0, 0.0]), np.array([0.0, 2.0]))])[0]
    assert np.allclose(batched, (np.diag([1.0, 2.0]) @ table).T)


def test_hamiltonian_coefficients_are_differentiated_by_the_framework() -> None:
    def circuit(c: Any) -> Any:
        qml.RX(0.3, 0)
        return qml.expval(qml.Hamiltonian(c, [qml.Z(0), qml.Y(0)]))

    gradient = qml.grad(qml.QNode(circuit, QubitDevice(1)))(qml.numpy.array([0.5, 0.2], requires_grad=True))
    assert np.allclose(gradient, [np.cos(0.3), -np.sin(0.3)])


def test_torch() -> None:
    torch = pytest.importorskip("torch")
    x = torch.tensor(POINT, dtype=torch.float64, requires_grad=True)
    qnode = qml.QNode(trainable, QubitDevice(4), interface="torch")
    sum(k * value for k, value in enumerate(qnode(x), 1)).backward()
    expected = np.array([1, 2]) @ jacobian_of(qml.device("default.qubit", wires=4), "backprop")
    assert np.allclose(x.grad.numpy(), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PennyLane's use of jax
@pytest.mark.parametrize("jit", [False, True])
def test_jax(jit: bool) -> None:
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    qnode = qml.QNode(trainable, QubitDevice(4, seed=jax.random.PRNGKey(0)), interface="jax")

    def cost(x: Any) -> Any:
        return sum(k * value for k, value in enumerate(qnode(x), 1))

    gradient = jax.grad(cost)
    result = (jax.jit(gradient) if jit else gradient)(jax.numpy.array(POINT))
    assert np.allclose(result, np.array([1, 2]) @ jacobian_of(qml.device("default.qubit", wires=4), "backprop"))


# --- mid-circuit measurements -------------------------------------------------------------------------------------------


def dynamic(reset: bool, postselect: int | None = None) -> Callable[[], Any]:
    def circuit() -> Any:
        qml.StatePrep(np.array([0.6, 0.0, 0.0, 0.8j]), ["c", "b"])
        qml.RY(1.1, "a")
        qml.CRX(0.9, ["a", "b"])
        first = qml.measure("a", reset=reset)
        qml.cond(first, qml.RX, qml.RY)(0.7, "b")
        qml.RX(0.4, "a")
        second = qml.measure("b", postselect=postselect)
        qml.cond(first & ~second, qml.ctrl(qml.RY, control="a"))(1.3, "c")
        qml.cond(second == 1, qml.Hadamard)("a")
        qml.RY(0.2, "c")
        return (
            qml.expval(qml.Z("c") @ qml.X("a")), qml.var(qml.Y("a")), qml.probs(["c", "a"]),
            qml.expval(first), qml.probs(op=[first, second]), qml.expval(2 * first + second), qml.var(first),
        )  # fmt: skip

    return circuit


def run_dynamic(circuit: Callable[[], Any], device: Any, shots: Any = None, **options: Any) -> Any:
    return qml.set_shots(qml.QNode(circuit, device, diff_method=None, **options), shots)()


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("postselect", [None, 1])
@pytest.mark.parametrize("method", ["device", "tree-traversal"])
def test_exact_dynamic_circuits(method: str, reset: bool, postselect: int | None) -> None:
    circuit = dynamic(reset, postselect)
    expected = run_dynamic(circuit, qml.device("default.qubit"), mcm_method="deferred")
    ours = run_dynamic(circuit, QubitDevice(["c", "a", "b"]), mcm_method=method)
    assert all(np.allclose(a, b, atol=1e-10) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize(
    ("method", "mode", "postselect"),
    [
        ("device", None, None),
        ("tree-traversal", None, None),
        ("one-shot", None, None),
        ("deferred", None, None),
        (None, None, None),
        ("device", "hw-like", 1),
        ("device", "fill-shots", 1),
        ("one-shot", "hw-like", 1),
    ],
)
def test_sampled_dynamic_circuits(method: str | None, mode: str | None, postselect: int | None) -> None:
    shots = 2_000 if method == "one-shot" else 20_000
    circuit = dynamic(True, postselect)
    expected = run_dynamic(circuit, qml.device("default.qubit"), mcm_method="deferred")
    wires = None if method == "deferred" else ["c", "a", "b"]
    ours = run_dynamic(circuit, QubitDevice(wires, seed=2), shots, mcm_method=method, postselect_mode=mode)
    tolerance = 6 / np.sqrt(shots * (1.0 if postselect is None else 0.3))
    assert all(np.allclose(a, b, atol=tolerance * 3) for a, b in zip(ours, expected, strict=True))


@pytest.mark.parametrize("mode", ["hw-like", "fill-shots"])
def test_postselection_drops_or_fills_shots(mode: str) -> None:
    def circuit() -> Any:
        qml.Hadamard(0)
        bit = qml.measure(0, postselect=1)
        qml.CNOT([0, 1])
        return qml.sample(wires=[0, 1]), qml.sample(bit), qml.counts(wires=[1])

    samples, bits, counts = run_dynamic(circuit, QubitDevice(2, seed=1), 400, mcm_method="device", postselect_mode=mode)
    assert (samples == 1).all() and (bits == 1).all()
    kept = 400 if mode == "fill-shots" else len(samples)
    assert len(samples) == kept == sum(counts.values()) and kept > 120
    assert mode == "fill-shots" or kept < 280


def test_a_postselected_outcome_that_cannot_happen() -> None:
    def circuit() -> Any:
        qml.measure(0, postselect=1)
        return qml.expval(qml.Z(0)), qml.probs([0])

    for shots in (None, 10):
        value, probabilities = run_dynamic(circuit, QubitDevice(1), shots, mcm_method="device")
        assert np.isnan(value) and np.isnan(probabilities).all()
    with pytest.raises(DeviceError, match="improbable"):
        run_dynamic(circuit, QubitDevice(1), 10, mcm_method="device", postselect_mode="fill-shots")


def test_dynamic_circuits_with_shot_vectors_batches_and_gradients() -> None:
    def circuit(x: Any) -> Any:
        qml.RX(x, 0)
        bit = qml.measure(0)
        qml.cond(bit, qml.RY)(x, 1)
        return qml.expval(qml.Z(1)), qml.expval(bit)

    device = QubitDevice(2, seed=7)
    vector = qml.set_shots(qml.QNode(circuit, device), (10, 20, 20))(0.3)
    assert len(vector) == 3 and all(len(entry) == 2 for entry in vector)
    x = np.array([0.1, 0.5, 2.0])
    batch = qml.set_shots(qml.QNode(circuit, device), 20_000)(x)
    p = np.sin(x / 2) ** 2
    assert np.allclose(batch, [1 - p + p * np.cos(x), p], atol=0.05)
    assert np.allclose(qml.QNode(circuit, device, mcm_method="device", diff_method=None)(x)[0], 1 - p + p * np.cos(x))
    qnode = qml.QNode(circuit, QubitDevice())
    gradient = qml.grad(lambda x: qnode(x)[0])(qml.numpy.array(0.5, requires_grad=True))
    step = 1e-6
    exact = [1 - np.sin(y / 2) ** 2 + np.sin(y / 2) ** 2 * np.cos(y) for y in (0.5 - step, 0.5 + step)]
    assert np.isclose(gradient, (exact[1] - exact[0]) / (2 * step), atol=1e-6)


# --- what is refused ----------------------------------------------------------------------------------------------------


def test_errors_are_the_frameworks() -> None:
    def node(circuit: Callable[[], Any], shots: Any = None, **options: Any) -> Any:
        return qml.set_shots(qml.QNode(circuit, QubitDevice(2), **options), shots)()

    with pytest.raises(DeviceError, match="BitFlip"):
        node(lambda: (qml.BitFlip(0.1, 0), qml.expval(qml.Z(0)))[1])
    with pytest.raises(WireError):
        node(lambda: (qml.X(5), qml.expval(qml.Z(0)))[1])
    with pytest.raises(DeviceError, match="finite shots"):
        node(qml.state, shots=10)
    with pytest.raises(DeviceError, match="analytic"):
        node(lambda: qml.sample(wires=[0]))
    with pytest.raises(DeviceError, match="mcm_method"):
        mcm = qml.devices.MCMConfig(mcm_method="single-branch-statistics")
        QubitDevice(2).setup_execution_config(qml.devices.ExecutionConfig(mcm_config=mcm))
    with pytest.raises(DeviceError, match="frobnicate"):
        QubitDevice(2).setup_execution_config(qml.devices.ExecutionConfig(device_options={"frobnicate": 1}))
    with pytest.raises(DeviceError, match="deferred"):
        node(lambda: (qml.measure(0), qml.purity([1]))[1], mcm_method="device")
    with pytest.raises(DeviceError, match="not Hermitian"):
        QubitDevice(1).execute(QuantumScript([], [qml.expval(1j * qml.Z(0))]))
    with pytest.raises(DeviceError, match="unitary"):
        QubitDevice(1).execute(QuantumScript([qml.QubitUnitary(np.ones((2, 2)), 0)], [qml.expval(qml.Z(0))]))


# --- the contract -------------------------------------------------------------------------------------------------------


def test_capabilities_are_those_of_the_translation() -> None:
    capabilities = QubitDevice.capabilities
    for name in PLAIN:
        assert capabilities.supports_operation(name)
    named = {"MultiRZ", "PauliRot", "GlobalPhase", "Identity", "MultiControlledX", "QubitUnitary"}
    more = {"DiagonalQubitUnitary", "ControlledQubitUnitary", "BlockEncode"}
    assert set(capabilities.operations) == set(PLAIN) | named | more
    assert all(is_native(operation(name, list(range(6)), [0.1, 0.2, 0.3])) for name in PLAIN)
    assert not capabilities.qjit_compatible


def test_structures_are_remembered_not_angles(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, register = Engine(), Register(qml.wires.Wires(range(3)))
    first = engine.translate([qml.RX(0.1, 0), qml.CRot(1, 2, 3, [0, 1])], register.qubit_of)
    second = engine.translate([qml.RX(0.7, 0), qml.CRot(4, 5, 6, [0, 1])], register.qubit_of)
    other = engine.translate([qml.RX(0.7, 1), qml.CRot(4, 5, 6, [0, 1])], register.qubit_of)
    assert first.structure is second.structure and other.structure is not first.structure
    assert second.angles.tolist() == [[0.7, 4, 5, 6]]


@pytest.mark.parametrize(("shots", "least_passed"), [(None, 380), (100_000, 365)], ids=["analytic", "100000 shots"])
def test_pennylanes_own_device_tests(shots: int | None, least_passed: int, tmp_path: Path) -> None:
    """``pl-device-test --device qsim.qubit``: floors are the marks of lightning.qubit 0.45."""
    pytest.importorskip("flaky")
    pytest.importorskip("pytest_mock")
    tomllib = pytest.importorskip("tomllib")
    # The entry point as pyproject.toml declares it, whether the package is installed or on the path only.
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pennylane.plugins"]
    metadata = tmp_path / "qsim_core-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: qsim-core\nVersion: 0\n")
    lines = "\n".join(f"{name} = {place}" for name, place in declared.items())
    (metadata / "entry_points.txt").write_text(f"[pennylane.plugins]\n{lines}\n")
    path = [*(entry for entry in sys.path if entry), str(tmp_path)]
    from pennylane.devices.tests import get_device_tests

    command = [
        sys.executable,
        "-m",
        "pytest",
        get_device_tests(),
        "--device=qsim.qubit",
        f"--shots={shots}",
        "--skip-ops",
    ]
    options = ["--no-flaky-report", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore", "--tb=short"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(command + options, capture_output=True, text=True, timeout=300, env=environment, cwd=tmp_path)
    tally = {kind: int(count) for count, kind in re.findall(r"(\d+) (passed|failed|xfailed|errors?)\b", done.stdout)}
    assert tally.get("passed", 0) >= least_passed, done.stdout[-3000:]
    assert not tally.get("failed") and not tally.get("error") and not tally.get("errors"), done.stdout[-3000:]
    assert tally.get("xfailed", 0) <= 9
