"""Qibo's backend ``qsim`` beside Qibo's own NumPy backend, on circuits whose qubits all differ."""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

qibo = pytest.importorskip("qibo")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from qibo import Circuit, callbacks, gates, hamiltonians  # noqa: E402
from qibo.backends import NumpyBackend, construct_backend  # noqa: E402
from qibo.result import load_result  # noqa: E402
from qibo.symbols import X, Y, Z  # noqa: E402

from qsim.adapters.qibo import MetaBackend, QsimBackend  # noqa: E402
from qsim_core.testing import random_state, random_unitary  # noqa: E402

THEIRS = NumpyBackend()
N = 4


@pytest.fixture(autouse=True)
def ours() -> Iterator[QsimBackend]:
    """Select our backend for one test, with a fixed seed."""
    qibo.set_backend("qsim")
    backend = qibo.get_backend()
    backend.set_seed(7)
    yield backend
    qibo.set_backend("numpy")


def asymmetric(*more: Any) -> Circuit:
    """Return a circuit that begins with another rotation on every qubit."""
    circuit = Circuit(N)
    for qubit in range(N):
        circuit.add(gates.RY(qubit, 0.3 + 0.5 * qubit))
        circuit.add(gates.RZ(qubit, 0.2 - 0.3 * qubit))
    circuit.add(more)
    return circuit


def unitary(qubits: int, seed: int = 0) -> Any:
    return random_unitary(np.random.default_rng(seed), qubits)


def assert_same_state(circuit: Circuit, initial_state: Any = None, atol: float = 1e-12) -> None:
    """Compare amplitudes, global phase included."""
    wanted = THEIRS.execute_circuit(circuit.copy(deep=True), initial_state).state()
    np.testing.assert_allclose(circuit(initial_state).state(), wanted, rtol=0, atol=atol)


def assert_same_distribution(found: Any, wanted: Any) -> None:
    """Compare two counters of as many shots, both random: five standard deviations of every outcome."""
    shots = sum(wanted.values())
    assert sum(found.values()) == shots
    for key in found.keys() | wanted.keys():
        a, b = found.get(key, 0), wanted.get(key, 0)
        assert abs(a - b) < 5 * np.sqrt(a + b + 1) + 1, f"{key}: {a} and {b} of {shots}"


# --- gates ----------------------------------------------------------------------------------------------------------

_SPECIAL: dict[str, Any] = {
    "I": lambda: gates.I(2, 0),
    "Align": lambda: gates.Align(1, 3),
    "MS": lambda: gates.MS(2, 0, 0.3, 0.5, 0.7),
    "GeneralizedfSim": lambda: gates.GeneralizedfSim(3, 1, unitary(1), 0.4),
    "Unitary": lambda: gates.Unitary(unitary(3), 3, 0, 1),
    "FanOut": lambda: gates.FanOut(2, 0, 3),
    "GeneralizedRBS": lambda: gates.GeneralizedRBS((3,), (0, 1), 0.3, 0.4),
    "Multiplexor": lambda: gates.Multiplexor([2, 0], 3, angles=[0.1, 0.4, -0.8, 1.3], axis="y"),
}


def gate_names() -> list[str]:
    module = importlib.import_module("qibo.gates.gates")  # the attribute of that name is another

    return [
        name
        for name, kind in vars(module).items()
        if inspect.isclass(kind) and issubclass(kind, gates.Gate) and kind.__module__ == module.__name__
        if not name.startswith("_")
    ]


def make(name: str, *, order: tuple[int, ...] = (2, 0, 3, 1)) -> Any:
    if name in _SPECIAL:
        return _SPECIAL[name]()
    kind = getattr(gates, name)
    parameters = inspect.signature(kind).parameters
    wires = [p for p in parameters if p.startswith("q")]
    angles = [p for p in parameters if p not in wires and p != "trainable"]
    return kind(*order[: len(wires)], *(0.37 + 0.61 * k for k in range(len(angles))))


@pytest.mark.parametrize("name", gate_names())
def test_every_gate_of_qibo(name: str) -> None:
    assert_same_state(asymmetric(make(name)))
    # Backwards, so that a gate is met that is not symmetric in its wires.
    if name not in _SPECIAL:
        assert_same_state(asymmetric(make(name, order=(1, 3, 0, 2))))


@pytest.mark.parametrize("name", gate_names())
def test_every_gate_controlled(name: str) -> None:
    gate = make(name)
    free = [q for q in range(N) if q not in gate.qubits]
    if gate.control_qubits or not free or name in ("I", "Align"):
        pytest.skip("has controls already, or no qubit is left")
    assert_same_state(asymmetric(gate.controlled_by(*free)))


def test_wide_fan_outs_and_fused_circuits() -> None:
    circuit = Circuit(15)
    circuit.add([gates.H(3), gates.FanOut(3, *(q for q in range(15) if q != 3))])
    state = circuit().state()
    assert np.flatnonzero(np.abs(state) > 0.5).tolist() == [0, 2**15 - 1]
    plain = asymmetric(gates.CNOT(0, 2), gates.RX(2, 0.3), gates.CZ(3, 2), gates.H(1))
    np.testing.assert_allclose(plain.fuse(max_qubits=2)().state(), plain().state(), atol=1e-14)


@st.composite
def circuits(draw: Any) -> Circuit:
    """Random circuits of any gates of Qibo on any qubits."""
    circuit = asymmetric()
    names = [name for name in gate_names() if name not in _SPECIAL]
    for _ in range(draw(st.integers(1, 10))):
        order = tuple(draw(st.permutations(range(N))))
        gate = make(draw(st.sampled_from(names)), order=order)
        free = [q for q in order if q not in gate.qubits]
        if type(gate) is gates.U1q:  # Qibo 0.3.6 can't put one control on it
            free = []
        if not gate.control_qubits and free and draw(st.booleans()):
            gate = gate.controlled_by(*free[: draw(st.integers(1, len(free)))])
        circuit.add(gate)
    return circuit


@settings(max_examples=40, deadline=None)
@given(circuits(), st.integers(0, 2**32 - 1))
def test_random_circuits_and_initial_states(circuit: Circuit, seed: int) -> None:
    vector = random_state(np.random.default_rng(seed), N)[0]
    kept = vector.copy()
    assert_same_state(circuit, vector)
    np.testing.assert_array_equal(vector, kept)


def test_parameters_can_be_set_again() -> None:
    circuit = asymmetric(gates.RX(0, 0.0), gates.CU3(1, 2, 0.0, 0.0, 0.0))
    angles = np.linspace(0.1, 1.2, 2 * N + 4).tolist()
    circuit.set_parameters(angles)
    assert_same_state(circuit)
    circuit.set_parameters([np.float64(-a) for a in angles])
    assert_same_state(circuit)


def test_a_circuit_may_follow_another() -> None:
    first, second = asymmetric(gates.CNOT(0, 3)), asymmetric(gates.H(1))
    np.testing.assert_allclose(
        second.copy(deep=True)(first.copy(deep=True)).state(), (first + second)().state(), atol=1e-14
    )


# --- measurements ---------------------------------------------------------------------------------------------------


def test_frequencies_samples_and_registers() -> None:
    def measured() -> Circuit:
        return asymmetric(
            gates.CNOT(0, 2), gates.M(2, 0, register_name="first"), gates.M(3, register_name="second", basis=gates.X)
        )

    shots = 20_000
    found, wanted = measured()(nshots=shots), THEIRS.execute_circuit(measured(), nshots=shots)
    assert_same_distribution(found.frequencies(), wanted.frequencies())
    for name, counts in wanted.frequencies(registers=True).items():
        assert_same_distribution(found.frequencies(registers=True)[name], counts)
    np.testing.assert_allclose(found.probabilities([3, 0]), wanted.probabilities([3, 0]), atol=1e-12)
    np.testing.assert_allclose(found.state(), wanted.state(), atol=1e-12)
    samples = found.samples()
    assert samples.shape == (shots, 3)
    rows, repeats = np.unique(samples, axis=0, return_counts=True)
    counts = {"".join(map(str, row)): int(n) for row, n in zip(rows.tolist(), repeats, strict=True)}
    assert counts == dict(found.frequencies())  # samples respect the frequencies already told
    assert found.samples(registers=True)["first"].shape == (shots, 2)
    with pytest.raises(ValueError, match="read-only"):
        found.state()[0] = 1  # what samples are drawn from


def test_samples_come_first_too() -> None:
    result = asymmetric(gates.M(1), gates.M(3, 0))(nshots=500)
    assert result.samples(binary=False).shape == (500,)
    assert sum(result.frequencies(binary=False).values()) == 500


def test_seeds_fix_the_shots(ours: QsimBackend) -> None:
    def run() -> list[list[int]]:
        return asymmetric(gates.M(*range(N)))(nshots=50).samples().tolist()

    ours.set_seed(3)
    first = run()
    assert run() != first
    ours.set_seed(3)
    assert run() == first


def test_readout_errors() -> None:
    def noisy(*extra: Any) -> Circuit:
        return asymmetric(gates.M(1, 3, p0={1: 0.2, 3: 0.0}, p1={1: 0.1, 3: 0.4}), *extra)

    found, wanted = noisy()(nshots=20_000), THEIRS.execute_circuit(noisy(), nshots=20_000)
    assert_same_distribution(found.frequencies(), wanted.frequencies())


def test_results_can_be_written_and_read(tmp_path: Any) -> None:
    result = asymmetric(gates.M(0, 2))(nshots=100)
    result.frequencies()
    result.dump(tmp_path / "result.npy")
    again = load_result(tmp_path / "result.npy")
    np.testing.assert_allclose(again.state(), result.state())


# --- circuits that go on after measurements -------------------------------------------------------------------------


def test_collapse_and_gates_that_depend_on_outcomes() -> None:
    def run(backend: Any) -> tuple[Any, Any, Any]:
        circuit = asymmetric()
        early = circuit.add(gates.M(2, 0, collapse=True))
        circuit.add(gates.CNOT(0, 1))
        angle = 2.3 * early.symbols[0] + early.symbols[1] / 2 + 0.2
        circuit.add(gates.RX(3, theta=angle))
        circuit.add(gates.U3(1, 0.4, early.symbols[1] / 2, 0.1).controlled_by(0))
        circuit.add(gates.M(3, 1))
        result = backend.execute_circuit(circuit, nshots=4000)
        together = {}
        for row in np.concatenate([result.samples(), np.asarray(early.samples())], axis=1).astype(int).tolist():
            together["".join(map(str, row))] = together.get("".join(map(str, row)), 0) + 1
        return result.frequencies(), early.frequencies(), together

    for found, wanted in zip(run(qibo.get_backend()), run(THEIRS), strict=True):
        assert_same_distribution(found, wanted)


def test_teleportation() -> None:
    circuit = Circuit(3)
    circuit.add([gates.RY(0, 1.1), gates.H(1), gates.CNOT(1, 2), gates.CNOT(0, 1), gates.H(0)])
    early = circuit.add(gates.M(0, 1, collapse=True))
    circuit.add(gates.RX(2, theta=np.pi * early.symbols[1]))
    circuit.add(gates.RZ(2, theta=np.pi * early.symbols[0]))
    circuit.add(gates.M(2))
    counts = circuit(nshots=20_000).frequencies()
    assert abs(counts["1"] / 20_000 - np.sin(0.55) ** 2) < 5 * 0.5 / np.sqrt(20_000)


def test_mixtures_of_unitaries_are_sampled() -> None:
    def noisy() -> Circuit:
        return asymmetric(
            gates.PauliNoiseChannel(2, [("X", 0.05), ("Z", 0.8)]),
            gates.DepolarizingChannel((0, 3), 0.3),
            gates.UnitaryChannel([(1,), (3, 0)], [(0.3, unitary(1, 5)), (0.4, unitary(2, 6))]),
            gates.M(0, p0=0.1, p1=0.3),
            gates.M(3, 1, 2),
        )

    found = noisy()(nshots=10_000).frequencies()
    exact = Circuit(N, density_matrix=True)
    exact.add(noisy().queue)
    assert_same_distribution(found, THEIRS.execute_circuit(exact, nshots=10_000).frequencies())


# --- callbacks and Hamiltonians -------------------------------------------------------------------------------------


def test_callbacks_see_the_state_where_they_stand() -> None:
    target = random_state(np.random.default_rng(3), N)[0]

    @np.errstate(all="ignore")  # Qibo takes logarithms of eigenvalues that are zero but for rounding
    def run(backend: Any) -> list[Any]:
        entropy, states, norm, overlap = (
            callbacks.EntanglementEntropy([0, 2]), callbacks.State(), callbacks.Norm(), callbacks.Overlap(target)
        )  # fmt: skip
        every = [gates.CallbackGate(c) for c in (entropy, states, norm, overlap)]
        circuit = asymmetric(*every, gates.CNOT(0, 1), *every, gates.H(3), gates.CRX(3, 1, 0.4), *every)
        backend.execute_circuit(circuit)
        return [entropy[:], np.array(states[:]), norm[:], overlap[:]]

    for found, wanted in zip(run(qibo.get_backend()), run(THEIRS), strict=True):
        np.testing.assert_allclose(np.asarray(found, complex), np.asarray(wanted, complex), atol=1e-10)


def test_energies_by_callback(ours: QsimBackend) -> None:
    energy = callbacks.Energy(hamiltonians.TFIM(N, h=0.7))
    circuit = asymmetric(gates.CallbackGate(energy), gates.CNOT(0, 2), gates.CallbackGate(energy))
    circuit()
    state = circuit().state()
    matrix = hamiltonians.TFIM(N, h=0.7).matrix
    np.testing.assert_allclose(energy[1], (state.conj() @ matrix @ state).real, atol=1e-12)


def test_hamiltonians_symbolic_and_dense(ours: QsimBackend) -> None:
    circuit = asymmetric(gates.CNOT(0, 2), gates.CRX(3, 1, 0.4))
    state = THEIRS.execute_circuit(circuit.copy(deep=True)).state()
    form = 0.5 * Z(0) * X(1) - Y(2) * Y(3) * Z(0) + 1.5 * Z(3) + 2 - 0.25 * X(2)
    symbolic = hamiltonians.SymbolicHamiltonian(form, nqubits=N)
    wanted = (state.conj() @ symbolic.matrix @ state).real
    np.testing.assert_allclose(symbolic.expectation(circuit.copy(deep=True)), wanted, atol=1e-12)
    dense = hamiltonians.Hamiltonian(N, symbolic.matrix)
    np.testing.assert_allclose(dense.expectation(circuit.copy(deep=True)), wanted, atol=1e-12)


def test_hamiltonians_from_shots(ours: QsimBackend) -> None:
    circuit = asymmetric(gates.CNOT(0, 2), gates.CRX(3, 1, 0.4))
    symbolic = hamiltonians.SymbolicHamiltonian(1.5 * Z(3) + 2 - 0.25 * X(2) + 0.5 * Z(0) * Z(1), nqubits=N)
    exact = symbolic.expectation(circuit.copy(deep=True))
    assert abs(symbolic.expectation(circuit.copy(deep=True), nshots=40_000) - exact) < 0.05


# --- options, errors ------------------------------------------------------------------------------------------------


def test_the_backend_is_found_by_name_and_by_engine() -> None:
    assert isinstance(construct_backend("qsim"), QsimBackend)
    available = qibo.list_available_backends("qsim")["qsim"]
    assert available == MetaBackend().list_available() and available["reference"]
    assert repr(construct_backend("qsim", platform="reference")) == "qsim (reference)"
    copy = pickle.loads(pickle.dumps(construct_backend("qsim", platform="reference", dtype="complex64", threads=1)))
    assert (repr(copy), copy.dtype, copy.nthreads) == ("qsim (reference)", "complex64", 1)


def test_single_precision() -> None:
    qibo.set_backend("qsim", dtype="complex64")
    state = asymmetric(gates.CNOT(0, 1))().state()
    assert state.dtype == np.complex64
    qibo.get_backend().set_dtype("complex128")
    np.testing.assert_allclose(state, asymmetric(gates.CNOT(0, 1))().state(), atol=1e-6)


@pytest.mark.parametrize(
    ("break_it", "error", "text"),
    [
        (lambda: Circuit(1, density_matrix=True)(), NotImplementedError, "density_matrix"),
        (lambda: asymmetric(gates.AmplitudeDampingChannel(0, 0.1), gates.M(0))(), NotImplementedError, "mixture"),
        (lambda: asymmetric(gates.ResetChannel(0, [0.1, 0.1]))(), NotImplementedError, "ResetChannel"),
        (lambda: asymmetric(gates.PauliNoiseChannel(0, [("X", 0.1)]))(), RuntimeError, "measurement at its end"),
        (lambda: asymmetric(gates.M(0, collapse=True))(), RuntimeError, "measurement at its end"),
        (
            lambda: asymmetric(
                gates.M(0, collapse=True), gates.CallbackGate(callbacks.Norm()), gates.M(1)
            )(nshots=3),
            NotImplementedError,
            "callback",
        ),
        (lambda: asymmetric()(np.ones(3)), ValueError, "shape"),
        (lambda: asymmetric(gates.Unitary(np.ones((2, 2)), 0))(), ValueError, "unitary"),
        (lambda: asymmetric(gates.RX(0, np.nan))(), ValueError, "finite"),
        (lambda: asymmetric(gates.RX(0, "a"))(), ValueError, "real number"),
        (lambda: Circuit(50)(), RuntimeError, "qubits fit"),
        (lambda: asymmetric(gates.M(0))(nshots=-1).samples(), ValueError, "shots"),
        (lambda: qibo.get_backend().set_dtype("float64"), ValueError, "complex"),
        (lambda: qibo.get_backend().set_threads(0), ValueError, "threads"),
        (lambda: qibo.set_backend("qsim", platform="abacus"), RuntimeError, "abacus"),
        (lambda: qibo.get_backend().set_device("/GPU:7"), ValueError, "GPU"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_as_qibo_does(break_it: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        break_it()
