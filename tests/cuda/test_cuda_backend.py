"""The executor contract on both drivers, over the PTX that nvcc and NVRTC emit, with bounds, race and barrier checks."""

from __future__ import annotations

import gc
from types import SimpleNamespace

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.errors import ShapeError
from qsim_core.executor import execute
from qsim_core.kernels import cuda_backend, cuda_dlpack, launches
from qsim_core.kernels.contract import Regrouping
from qsim_core.kernels.control import RunControl
from qsim_core.planner import TileShape, native_plan
from qsim_core.state import StateVector
from qsim_core.types import Precision

from .conftest import Emulated

precisions = pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@precisions
def test_conformance(cuda: Emulated, precision: Precision, reverse: bool) -> None:
    cuda.card.reverse = reverse
    testing.assert_backend_conforms(cuda.backend, [precision], [1])
    assert cuda.card.memory.in_use == 0


@precisions
def test_conformance_without_the_core(
    cupy_cuda: Emulated, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Launches made in Python: the same contract."""
    monkeypatch.setattr(launches, "_native", None)
    cupy_cuda.card.reverse = False
    testing.assert_backend_conforms(cupy_cuda.backend, [precision], [1])
    assert cupy_cuda.card.memory.in_use == 0


@precisions
def test_verbs_beyond_one_chunk(native_cuda: Emulated, precision: Precision) -> None:
    testing.assert_verbs_like_definition(native_cuda.backend, 13, precision)


@precisions
@pytest.mark.parametrize("name", ["qft", "brickwork", "grid_fsim", "ghz", "quantum_volume", "random_gates"])
def test_planned_circuits(native_cuda: Emulated, name: str, precision: Precision) -> None:
    from benchmarks.circuits import CIRCUITS, random_gates

    circuit = random_gates(13, 120) if name == "random_gates" else CIRCUITS[name](13)
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, initial="given", tile=TileShape.of_gpu(precision))
    amps = testing.random_state(np.random.default_rng(1), 13, 1, precision)
    actual = testing.run(native_cuda.backend, plan, program, amps)
    wanted = testing.run(testing.ReferenceBackend(), plan, program, amps.astype(np.complex128))
    bound = testing.error_bound(program, precision) + testing.error_bound(program, Precision.DOUBLE)
    assert np.linalg.norm(actual - wanted) <= bound


@pytest.mark.slow
@precisions
@pytest.mark.parametrize("name", ["qft", "brickwork", "grid_fsim", "ghz", "quantum_volume"])
def test_planned_circuits_of_18_qubits(native_cuda: Emulated, name: str, precision: Precision) -> None:
    """From |0…0⟩, many tiles to a block, beside the CPU: amplitudes, and probabilities of three qubits."""
    from benchmarks.circuits import CIRCUITS

    from qsim import Simulator

    n = 18
    circuit = CIRCUITS[name](n)
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, tile=TileShape.of_gpu(precision))
    state = StateVector.zero(native_cuda.backend, 1, n, precision)
    execute(plan, plan.coefficients(program), state)
    wanted = Simulator("native_cpu").run(circuit).state_vector
    bound = testing.error_bound(program, precision) + testing.error_bound(program, Precision.DOUBLE)
    assert np.linalg.norm(np.asarray(state.amps)[0] - wanted) <= bound
    found = native_cuda.backend.probabilities(state.amps, (0, 5, 17), RunControl())
    weight = np.abs(np.asarray(state.amps)[0].astype(np.complex128)) ** 2
    split = weight.reshape(2, 2**11, 2, 2**4, 2).sum(axis=(1, 3)).ravel()
    np.testing.assert_allclose(found[0], split, rtol=0, atol=1e-13)


@precisions
def test_rows_move_as_on_the_host(cuda: Emulated, precision: Precision) -> None:
    """regroup, join, put, add, flip_down and amplitudes against the generic verbs."""
    backend, reference, rng = cuda.backend, testing.ReferenceBackend(), np.random.default_rng(3)
    host = testing.random_state(rng, 6, 4, precision)
    card = backend.adopt(host)
    rows, outcomes = np.array([3, 0, 0, 2]), np.array([1, 0, 1, 3])
    scales = rng.random(4)

    def same(actual: object, wanted: object) -> None:
        np.testing.assert_allclose(np.asarray(actual), np.asarray(wanted), rtol=0, atol=4 * precision.epsilon)

    for qubits in [(4, 1), (0, 5), ()]:
        picked = outcomes if qubits else np.zeros(4, np.int64)
        for entering in [(5, 2), (0, 1), ()]:
            values = outcomes[::-1].copy() if entering else np.zeros(4, np.int64)
            move = Regrouping(rows, qubits, picked, scales, entering, values)
            wanted = reference.regroup(host, move, RunControl())
            same(backend.regroup(card, move, RunControl()), wanted)
            room = backend.allocate(4, wanted.shape[1].bit_length() - 1, precision)
            assert backend.regroup(card, move, RunControl(), room) is room
            same(room, wanted)
    same(backend.join([card[:1], card]), np.concatenate([host[:1], host]))
    index = np.array([5, 63, 0, 5])
    same(backend.amplitudes(card, index), host[:, index])
    assert backend.amplitudes(card, index[:0]).shape == (4, 0)
    out, wanted = backend.adopt(host), host.copy()
    backend.put(card[1:3], np.array([3, 0]), out)
    wanted[[3, 0]] = host[1:3]
    same(out, wanted)
    weights = np.array([0.5, 1j, 0, -2])
    backend.add(card, weights, out)
    reference.add(host, weights, wanted)
    same(out, wanted)
    ones = np.where(np.arange(64) >> 2 & np.arange(64) >> 4 & 1, host, 0)
    low = backend.adopt(ones)
    backend.flip_down(low, (2, 4))
    reference.flip_down(ones, (2, 4))
    same(low, ones)


@precisions
def test_strings_of_one_x_mask_share_a_read(native_cuda: Emulated, precision: Precision) -> None:
    rng = np.random.default_rng(4)
    host = testing.random_state(rng, 7, 2, precision)
    x, z = rng.integers(0, 2, 40) * 21, rng.integers(0, 128, 40)
    before = native_cuda.card.calls["cuLaunchKernel"]
    actual = native_cuda.backend.expectation_paulis(native_cuda.backend.adopt(host), x, z, RunControl())
    launches = native_cuda.card.calls["cuLaunchKernel"] - before
    groups = sum(-(-int((x == mask).sum()) // 8) for mask in np.unique(x))
    assert launches == 2 * groups
    wanted = testing.ReferenceBackend().expectation_paulis(host.astype(np.complex128), x, z, RunControl())
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-14)


def test_arrays_on_the_device(cuda: Emulated) -> None:
    """Views share memory; what lives on the GPU already is taken without a copy; nothing is left allocated."""
    backend = cuda.backend
    amps = backend.allocate(3, 2, Precision.DOUBLE)
    amps[...] = np.arange(12).reshape(3, 4)
    amps[1][...] = 7
    amps[2:3] = amps[:1]
    assert np.asarray(amps).real.tolist() == [[0, 1, 2, 3], [7, 7, 7, 7], [0, 1, 2, 3]]
    view = amps[1:]
    again = backend.adopt(view)
    assert again.__cuda_array_interface__ == view.__cuda_array_interface__  # type: ignore[attr-defined]
    del amps, view
    assert np.asarray(again).real.tolist() == [[7, 7, 7, 7], [0, 1, 2, 3]]
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(again, copy=False)

    strided = SimpleNamespace(
        __cuda_array_interface__={**again.__cuda_array_interface__, "strides": (8, 8)}  # type: ignore[attr-defined]
    )
    with pytest.raises(ShapeError, match="contiguous"):
        backend.adopt(strided)
    del again
    assert cuda.card.memory.in_use == 0


@precisions
def test_dlpack(cuda: Emulated, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state on the card is exported where it is: NumPy, told that the card is a CPU, sees the same memory."""
    amps = cuda.backend.zero_state(2, 3, precision)
    state = StateVector(amps, cuda.backend)
    assert state.__dlpack_device__() == (2, 0) == state.row(1).__dlpack_device__()
    monkeypatch.setattr(cuda_dlpack, "CUDA", 1)
    view = np.from_dlpack(state)
    assert view.shape == (2, 8) and view.dtype == precision.dtype and view[1, 0] == 1
    cuda.backend.collapse(amps[1:], (0,), 0, 0.25)
    assert view[1, 0] == 2
    row = np.from_dlpack(state.row(1))
    assert row.shape == (8,) and row[0] == 2
    with pytest.raises(BufferError, match="without a copy"):
        state.__dlpack__(copy=True)
    state.__dlpack__()  # nobody takes it
    del amps, state
    gc.collect()
    assert view[1, 0] == 2 and cuda.card.memory.in_use > 0
    del view, row
    gc.collect()
    assert cuda.card.memory.in_use == 0 and not cuda_dlpack._held


def test_what_is_not_aligned_is_copied(cuda: Emulated) -> None:
    """Threads load 16 bytes: a view that begins between two packs would fault on a card."""
    whole = cuda.backend.adopt(np.arange(9, dtype=np.complex64).reshape(1, 9))
    interface = {**whole.__cuda_array_interface__, "shape": (1, 8)}  # type: ignore[attr-defined]
    for offset in (8, 0):  # the first is a copy, the second is not
        interface["data"] = (whole.address + offset, False)  # type: ignore[attr-defined]
        view = cuda.backend.adopt(SimpleNamespace(__cuda_array_interface__=interface, keep=whole))
        assert (view.address == whole.address) == (offset == 0)  # type: ignore[attr-defined]
        assert np.asarray(view).real.tolist() == [[*range(offset // 8, offset // 8 + 8)]]
        cuda.backend.collapse(view, (0,), 0, 1.0)
        np.asarray(whole)
    del whole, view


@precisions
def test_costs_of_basis_states(cuda: Emulated, precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    """Phases of costs, small and huge, and their mean; costs nobody can write to are copied to the card once."""
    monkeypatch.setattr(cuda_backend, "COSTS_AT_A_TIME", 24)
    backend, rng = cuda.backend, np.random.default_rng(6)
    host = testing.random_state(rng, 6, 2, precision)
    costs = rng.normal(size=64) * 10.0 ** rng.integers(-3, 7, 64)
    costs[:8] = np.arange(-4, 4) * np.pi / 4
    exact = host.astype(np.complex128)
    for writable in (True, False):
        costs.flags.writeable = writable
        card = backend.adopt(host)
        for _ in range(2):
            backend.turn(card, costs, np.array([1.0, -0.7]), RunControl())
        wanted = exact * np.exp(-2j * np.array([[1.0], [-0.7]]) * costs)
        # Twice an angle of 10^7, rounded, is off by its own 10^-9.
        np.testing.assert_allclose(np.asarray(card), wanted, rtol=0, atol=8 * precision.epsilon + 4e-9)
        small = np.abs(costs) < 10
        bound = 8 * precision.epsilon
        np.testing.assert_allclose(np.asarray(card)[:, small], wanted[:, small], rtol=0, atol=bound)
        mean = backend.expectation_costs(card, costs, RunControl())
        weight = np.abs(np.asarray(card).astype(np.complex128)) ** 2
        np.testing.assert_allclose(mean, weight @ costs, rtol=1e-13)
    held = cuda.card.memory.in_use
    del costs, card
    assert cuda.card.memory.in_use <= held - 64 * 8
