"""State vectors in and out without a copy: NumPy, DLPack, buffers of the caller."""

from __future__ import annotations

import threading
import tracemalloc
from typing import Any

import numpy as np
import pytest

import qsim
from qsim_core import StateVector
from qsim_core.errors import (
    InterruptedRunError,
    NotUnitaryError,
    ParameterError,
    PrecisionError,
    ShapeError,
    StatePoisonedError,
    UnsupportedError,
)
from qsim_core.kernels.registry import backend
from qsim_core.testing import random_state
from qsim_core.types import Precision

N = 4


def circuit() -> qsim.Circuit:
    """Return one whose qubits all differ."""
    made = qsim.Circuit(N)
    for qubit in range(N):
        made.ry(0.3 + 0.4 * qubit, qubit)
    return made.cx(0, 3).rzz(0.7, 1, 2).t(3)


def shares(first: Any, second: Any) -> bool:
    return np.shares_memory(np.asarray(first), np.asarray(second))


class OnlyDlpack:
    """What exports its memory by DLPack and in no other way."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


# --- out ------------------------------------------------------------------------------------------------------------


def test_views_alias_live_memory_and_are_read_only() -> None:
    state = qsim.Simulator().run(circuit()).state
    for view in (state.array, np.asarray(state), np.array(state, copy=None), np.from_dlpack(state)):
        assert view.shape == (2**N,) and shares(view, state.amps) and not view.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
    assert state.__dlpack_device__() == (1, 0)


def test_copies_are_the_callers_own() -> None:
    state = qsim.Simulator().run(circuit()).state
    copies = (
        np.array(state),
        np.array(state, copy=True),
        np.from_dlpack(state, copy=True),
        np.array(state, np.complex64),
    )
    for copy in copies:
        assert not shares(copy, state.amps) and copy.flags.writeable
        np.testing.assert_allclose(copy, state.array, atol=1e-7)
    with pytest.raises(ValueError, match="copy"):
        np.array(state, dtype=np.complex64, copy=False)


def test_consumers_older_than_dlpack_1_get_a_copy_or_a_refusal() -> None:
    state = qsim.Simulator().run(circuit()).state

    class Old(OnlyDlpack):
        def __dlpack__(self, **options: Any) -> Any:
            options.pop("max_version", None)
            return state.__dlpack__(**options)

    copy = np.from_dlpack(Old(state))
    assert not shares(copy, state.amps)
    np.testing.assert_array_equal(copy, state.array)
    with pytest.raises(BufferError):
        state.__dlpack__(copy=False)


def test_batches_are_two_dimensional() -> None:
    state = qsim.Simulator().compile(qsim.Circuit(N).rx(qsim.Parameter("a"), 0)).run_batch([[0.1], [0.2]]).states
    assert np.asarray(state).shape == np.from_dlpack(state).shape == (2, 2**N)


def test_pytorch_reads_the_same_memory() -> None:
    torch = pytest.importorskip("torch")
    state = qsim.Simulator().run(circuit()).state
    tensor = torch.from_dlpack(state)
    assert tensor.data_ptr() == state.array.ctypes.data or not shares(tensor.numpy(), state.amps)
    np.testing.assert_array_equal(tensor.numpy(), state.array)


def test_a_poisoned_state_is_never_handed_out() -> None:
    state = qsim.Simulator().run(circuit()).state
    state.poison("a test")
    for read in (lambda: np.asarray(state), lambda: np.from_dlpack(state), lambda: state.array):
        with pytest.raises(StatePoisonedError):
            read()


# --- in -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_qubits", [1, 5, 17])
def test_a_reset_state_runs_as_a_new_one(num_qubits: int) -> None:
    """In the memory it has, also after what it was or an interrupted run."""
    simulator = qsim.Simulator(threads=2)
    circuit = qsim.Circuit(num_qubits).h(range(num_qubits)).t(0).ry(0.4, 0)
    compiled = simulator.compile(circuit)
    state = StateVector.over(np.full(2**num_qubits, np.nan, dtype=np.complex128), simulator.backend)
    memory = state.array
    state.poison("a test")
    for _ in range(2):
        state.reset()
        assert state.is_zero and state.array[0] == 1 and not state.array[1:].any()
        state.reset()
        compiled.apply(state)
        assert np.shares_memory(state.array, memory)
        np.testing.assert_array_equal(state.array, compiled.run().state_vector)
    state.amps[0] = np.eye(1, 2**num_qubits, 2**num_qubits - 1)
    compiled.apply(state)
    flipped = qsim.Circuit(num_qubits).x(range(num_qubits)).compose(circuit)
    np.testing.assert_allclose(state.array, simulator.run(flipped).state_vector, atol=1e-15)


def test_initial_states_of_every_kind_give_the_same_and_are_left_alone() -> None:
    vector = random_state(np.random.default_rng(5), N)[0]
    wanted = qsim.Simulator().run(circuit(), initial_state=vector).state_vector
    kept = vector.copy()
    kinds: list[Any] = [vector.tolist(), OnlyDlpack(vector), StateVector.over(vector.copy()), vector[None]]
    strided = np.zeros((2**N, 2), dtype=complex)
    strided[:, 0] = vector
    frozen = vector.copy()
    frozen.flags.writeable = False
    for kind in [*kinds, strided[:, 0], frozen]:
        np.testing.assert_array_equal(qsim.Simulator().run(circuit(), initial_state=kind).state_vector, wanted)
    np.testing.assert_array_equal(vector, kept)
    dynamic = circuit().measure(0).h(0).measure(1)
    qsim.Simulator(seed=1).run(dynamic, initial_state=vector, shots=20)
    qsim.Simulator(seed=1).compile(circuit()).run_batch(initial_state=vector)
    np.testing.assert_array_equal(vector, kept)


@pytest.mark.parametrize("precision", Precision)
def test_an_initial_state_is_copied_once(precision: Precision) -> None:
    n = 18
    vector = random_state(np.random.default_rng(1), n, precision=precision)[0]
    simulator = qsim.Simulator("reference", precision)  # allocates with NumPy, which tracemalloc sees
    compiled = simulator.compile(qsim.Circuit(n))
    compiled.run()
    tracemalloc.start()
    result = compiled.run(initial_state=vector)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < vector.nbytes + 0.25 * (16 << n)  # the state, and pieces of 2^16 amplitudes
    np.testing.assert_array_equal(result.state_vector, vector)


def test_reading_out_takes_no_memory() -> None:
    state = qsim.Simulator().run(qsim.Circuit(18).h(range(18))).state
    tracemalloc.start()
    for _ in range(3):
        np.asarray(state), np.from_dlpack(state), state.array, StateVector.over(state.amps)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**16


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        (np.ones(2**N), NotUnitaryError),
        (np.full(2**N, np.nan), NotUnitaryError),
        (np.full(2**N, 1e200), NotUnitaryError),
        (np.eye(1, 2 ** (N + 1))[0], ShapeError),
        (np.eye(2, 2**N), ShapeError),
        (np.zeros((0, 2**N)), ShapeError),
        ("0000", ShapeError),
        (OnlyDlpack("0"), AttributeError),
        (3.0, ShapeError),
    ],
)  # fmt: skip
def test_hostile_initial_states_are_refused(vector: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        qsim.Simulator().run(circuit(), initial_state=vector)


# --- in place -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["native_cpu", "numba_cpu", "reference"])
@pytest.mark.parametrize("precision", Precision)
def test_circuits_run_in_place_on_the_callers_memory(name: str, precision: Precision) -> None:
    simulator = qsim.Simulator(name, precision)
    vector = random_state(np.random.default_rng(2), N, precision=precision)[0]
    wanted = simulator.run(circuit(), initial_state=vector).state_vector
    raw = np.zeros(vector.nbytes + 64, dtype=np.uint8)
    for shift in (0, 16, 40):  # aligned to nothing but a number
        memory = raw[shift : shift + vector.nbytes].view(vector.dtype)
        memory[...] = vector
        simulator.compile(circuit()).apply(StateVector.over(memory, name))
        np.testing.assert_allclose(memory, wanted, atol=1e-6 if precision is Precision.SINGLE else 1e-14)


def test_parameters_act_on_rows_in_place() -> None:
    memory = np.zeros((2, 2), dtype=np.complex128)
    memory[:, 0] = [1, 2]  # not normalised: a circuit is linear
    compiled = qsim.compile(qsim.Circuit(1).ry(qsim.Parameter("a"), 0))
    compiled.apply(StateVector.over(memory), [[0.0], [np.pi]])
    np.testing.assert_allclose(memory, [[1, 0], [0, 2]], atol=1e-15)


def test_pytorch_lends_its_memory() -> None:
    torch = pytest.importorskip("torch")
    tensor = torch.zeros(2**N, dtype=torch.complex128)
    tensor[0] = 1
    try:
        state = StateVector.over(tensor)
    except ParameterError:
        state = StateVector.over(tensor.numpy())
    qsim.compile(circuit()).apply(state)
    np.testing.assert_allclose(tensor.numpy(), qsim.Simulator().run(circuit()).state_vector, atol=1e-14)


@pytest.mark.parametrize(
    ("buffer", "error"),
    [
        (np.zeros(3, dtype=complex), ShapeError),
        (np.zeros(0, dtype=complex), ShapeError),
        (np.zeros((), dtype=complex), ShapeError),
        (np.zeros((1, 2, 2), dtype=complex), ShapeError),
        (np.zeros(4), ShapeError),
        (np.zeros(4, dtype=">c16"), ShapeError),
        (np.zeros((2**N, 2), dtype=complex)[:, 0], ShapeError),
        (np.zeros(129, dtype=np.uint8)[1:].view(complex)[:4], ShapeError),
        (np.broadcast_to(np.zeros(2, dtype=complex), (1, 2)), ParameterError),
        ([1, 0], ParameterError),
        (None, ParameterError),
    ],
)  # fmt: skip
def test_hostile_buffers_are_refused(buffer: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="buffer of a state"):
        StateVector.over(buffer)


def test_what_does_not_fit_is_refused_before_anything_runs() -> None:
    memory = np.eye(1, 2**N, dtype=complex)[0]
    apply = qsim.compile(circuit()).apply
    with pytest.raises(ShapeError, match="qubits"):
        apply(StateVector.over(memory[:4]))
    with pytest.raises(PrecisionError):
        apply(StateVector.over(memory.astype(np.complex64)))
    with pytest.raises(ParameterError, match="backend"):
        apply(StateVector.over(memory, "reference"))
    with pytest.raises(UnsupportedError):
        qsim.compile(circuit().measure(0).h(0)).apply(StateVector.over(memory))
    with pytest.raises(ParameterError, match="rows"):
        two = qsim.compile(qsim.Circuit(N).rx(qsim.Parameter("a"), 0))
        two.apply(StateVector.over(memory), [[0.1], [0.2]])
    np.testing.assert_array_equal(memory, np.eye(1, 2**N)[0])
    assert backend("reference").name == "reference"


def test_every_run_of_many_in_place_looks_at_its_state() -> None:
    """What was checked of the circuit is known from the run before; the state, the simulator and the watch are not."""
    simulator, memory = qsim.Simulator(), np.eye(1, 2**N, dtype=complex)[0]
    compiled, state = simulator.compile(circuit()), StateVector.over(memory)
    for _ in range(2):
        compiled.apply(state)
        state.reset()
        compiled.apply(state)
    before = memory.copy()
    with pytest.raises(ShapeError, match="qubits"):
        compiled.apply(StateVector.over(memory[:4]))
    with pytest.raises(PrecisionError):
        compiled.apply(StateVector.over(memory.astype(np.complex64)))
    with pytest.raises(ParameterError, match="backend"):
        compiled.apply(StateVector.over(memory, "reference"))
    with pytest.raises(ParameterError, match="seconds"):
        compiled.apply(state, seconds=-1)
    with pytest.raises(ParameterError, match="parameter"):
        compiled.apply(state, {"a": 1.0})
    np.testing.assert_array_equal(memory, before)
    (stop := threading.Event()).set()
    with pytest.raises(InterruptedRunError):
        compiled.apply(state, cancel=stop)
    with pytest.raises(StatePoisonedError):
        compiled.apply(state)
    state.reset()
    turned = simulator.compile(qsim.Circuit(N).rx(qsim.Parameter("a"), 0))
    turned.apply(state, [0.0])
    state.reset()
    with pytest.raises(ParameterError, match="'a'"):
        turned.apply(state)
    state.reset()
    prepared = simulator.compile(qsim.Circuit(N).reset(0).x(0).x(0))
    prepared.apply(state)
    with pytest.raises(UnsupportedError):  # the reset does something to what is not zero
        prepared.apply(state)
    state.reset()
    simulator.precision = Precision.SINGLE
    with pytest.raises(PrecisionError):
        compiled.apply(state)
    np.testing.assert_array_equal(memory, np.eye(1, 2**N)[0])


def test_runs_in_place_are_what_they_are_whatever_came_between() -> None:
    """From zero and from any state, of one row and of more, with so many other circuits between that none is kept."""
    simulator, rng = qsim.Simulator(), np.random.default_rng(3)
    compiled, wanted = simulator.compile(circuit()), circuit().to_matrix()
    state = StateVector.zero(backend(simulator.backend), 1, N, simulator.precision)
    compiled.apply(state)
    for k in range(40):
        np.testing.assert_allclose(state.amps[0], wanted[:, 0], atol=1e-14)
        compiled.apply(state)
        np.testing.assert_allclose(state.amps[0], wanted @ wanted[:, 0], atol=1e-13)
        rows = random_state(rng, N, batch=2)
        many = StateVector.over(rows.copy())
        compiled.apply(many)
        np.testing.assert_allclose(many.amps, rows @ wanted.T, atol=1e-13)
        other = qsim.Circuit(N).h(0)
        for q in range(k):
            other.x(q % N)
        simulator.compile(other).apply(state)
        state.reset()
        compiled.apply(state)
