"""The whole API on both CUDA drivers, beside a CPU backend; and what a user sees when something goes wrong on the card."""

from __future__ import annotations

import gc
import itertools
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import qsim
from qsim import Circuit, Parameter, Result, Simulator, noise
from qsim_core import executor, testing
from qsim_core.compiler import compile_program
from qsim_core.errors import (
    BackendUnavailableError,
    DeviceError,
    InterruptedRunError,
    MemoryBudgetError,
    StatePoisonedError,
)
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.state import StateVector
from qsim_core.types import Precision

from .conftest import Emulated

ATOL = 1e-12


@pytest.fixture(autouse=True)
def nothing_is_left(registered: Emulated) -> Iterator[None]:
    """After every test all memory of the card is free again and no launch broke a rule."""
    yield
    gc.collect()
    assert registered.card.memory.in_use == 0
    registered.card.fail.clear()


def ansatz(num_qubits: int) -> Circuit:
    theta = Parameter("theta")
    circuit = Circuit(num_qubits).h(range(num_qubits))
    for q in range(num_qubits - 1):
        circuit.rzz(theta * (q + 1), q, q + 1)
    circuit.rx(2 * theta, range(num_qubits)).cx(0, num_qubits - 1).ry(theta, 1).cp(theta, 0, 2).swap(1, 3)
    return circuit


def both(registered: Emulated, **options: object) -> tuple[Simulator, Simulator]:
    return Simulator(registered.backend.name, seed=5, **options), Simulator("reference", seed=5, **options)  # type: ignore[arg-type]


def test_results(registered: Emulated, tmp_path: Path) -> None:
    circuit = ansatz(5).bind({"theta": 0.37})
    card, host = (s.run(circuit) for s in both(registered))
    np.testing.assert_allclose(card.state_vector, host.state_vector, rtol=0, atol=ATOL)
    assert not card.state_vector.flags.writeable
    np.testing.assert_allclose(card.amplitudes(["00101", "11111"]), host.amplitudes(["00101", "11111"]), atol=ATOL)
    np.testing.assert_allclose(card.marginal([3, 0]), host.marginal([3, 0]), atol=ATOL)
    np.testing.assert_allclose(card.reduced_density_matrix([2, 4]), host.reduced_density_matrix([2, 4]), atol=ATOL)
    assert card.largest_amplitudes(3)[0][0] == host.largest_amplitudes(3)[0][0]
    for value in ("Z0 Z1 - 0.5*X2 Y3", "X0"):
        assert card.expectation(value) == pytest.approx(host.expectation(value), abs=ATOL)
        assert card.variance(value) == pytest.approx(host.variance(value), abs=ATOL)
    assert card.entropy([0, 1]) == pytest.approx(host.entropy([0, 1]), abs=ATOL)
    assert card.fidelity(host.state_vector) == pytest.approx(1, abs=ATOL)
    again = pickle.loads(pickle.dumps(card.state))
    np.testing.assert_array_equal(again.array, card.state_vector)
    assert again.backend.name == registered.backend.name
    card.save(tmp_path / "result.json")
    np.testing.assert_array_equal(Result.load(tmp_path / "result.json").state_vector, card.state_vector)
    assert card.state.copy().__cuda_array_interface__["shape"] == (1, 32)
    assert not hasattr(host.state, "__cuda_array_interface__")


def test_shots_and_batches(registered: Emulated) -> None:
    circuit = ansatz(4).measure_all()
    card, host = (s.compile(circuit) for s in both(registered))
    values = [[0.1], [0.7], [1.9]]
    for shots in (None, 300):
        mine = card.run_batch(values, shots=shots, observables=["Z0", "X1 Y2"])
        theirs = host.run_batch(values, shots=shots, observables=["Z0", "X1 Y2"])
        np.testing.assert_allclose(mine.expectations, theirs.expectations, rtol=0, atol=ATOL)
        if shots:
            assert [mine[k].counts for k in range(3)] == [theirs[k].counts for k in range(3)]
    start = testing.random_state(np.random.default_rng(1), 4, 3)
    states = [c.run_batch(values, initial_state=start, outputs=["state"]).states.array for c in (card, host)]
    np.testing.assert_allclose(*states, rtol=0, atol=ATOL)


def test_gradients(registered: Emulated) -> None:
    card, host = (s.compile(ansatz(4)) for s in both(registered))
    params = [[0.3], [1.1]]
    for compute in ("gradient", "parameter_shift"):
        mine, theirs = (getattr(c, compute)(params, "Z0 Z1 + X2") for c in (card, host))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=ATOL)
    hermitian = qsim.Hermitian(np.array([[0.5, 1], [1, 0]]), (1,))
    mine, theirs = (c.jacobian(params, ["Z0", hermitian]) for c in (card, host))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=ATOL)
    mine, theirs = (c.state_vjp(params, np.arange(16) * 1j) for c in (card, host))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-10)


def dynamic() -> Circuit:
    """Measures, feeds forward, resets, loops; rows of histories part and meet again."""
    circuit = Circuit(4, 4).h(range(4)).cx(0, 1).measure(0, 0).measure(2, 1)
    with circuit.if_(0):
        circuit.x(3).h(1)
    circuit.reset(0).h(0).channel(noise.bit_flip(0.2), 1).measure(1, 2).ry(0.4, 2).cx(2, 3)
    return circuit.measure(3, 3).measure(0, 0)


def test_dynamic_circuits(registered: Emulated) -> None:
    card, host = (s.run(dynamic(), shots=400, observables=["Z2", "X0 Z1"]) for s in both(registered))
    assert card.counts == host.counts and len(card.counts) > 4
    np.testing.assert_allclose(card.expectations, host.expectations, rtol=0, atol=ATOL)


def test_kernel_matrices(registered: Emulated) -> None:
    card, host = (s.compile(ansatz(4)) for s in both(registered))
    values = np.linspace(0, 1, 4)[:, None]
    from qsim_core.ensembles import gram

    mine, theirs = (gram(c.run_batch(values).states.amps) for c in (card, host))
    np.testing.assert_allclose(mine, theirs, rtol=0, atol=ATOL)


# --- when something goes wrong ------------------------------------------------------------------------------------------


def prepared(registered: Emulated) -> tuple[StateVector, object, object]:
    program = ansatz(5).bind({"theta": 0.2}).to_program()
    plan = compile_program(program, target=registered.backend.name)
    state = StateVector(registered.backend.allocate(1, 5, Precision.DOUBLE), registered.backend)
    registered.backend.fill_zero_state(state.amps)
    return state, plan, plan.coefficients(program)


@pytest.mark.parametrize("how", ["cancel", "deadline", "ctrl-c"])
def test_a_stopped_run_poisons_its_state(registered: Emulated, how: str) -> None:
    state, plan, coefficients = prepared(registered)
    token = threading.Event()
    token.set()

    def interrupt(fraction: float) -> None:
        raise KeyboardInterrupt

    control = {
        "cancel": RunControl(cancel=token),
        "deadline": RunControl.within(1, seconds=0.0),
        "ctrl-c": RunControl(progress=interrupt),
    }[how]
    with pytest.raises(KeyboardInterrupt if how == "ctrl-c" else InterruptedRunError):
        executor.execute(plan, coefficients, state, control)  # type: ignore[arg-type]
    with pytest.raises(StatePoisonedError, match="Run again"):
        _ = state.amps
    del state


def test_no_memory(registered: Emulated) -> None:
    """Refused before anything is allocated, by what is free on the card and not on the host."""
    big = 27  # 2 GiB in double precision on a card of 1 GiB
    before = registered.card.memory.in_use
    with pytest.raises(MemoryBudgetError, match=r"2[56] qubits fit") as caught:
        Simulator(registered.backend.name).run(Circuit(big).h(0))
    assert "GiB are free" in str(caught.value) and registered.card.memory.in_use == before
    with pytest.raises(MemoryBudgetError, match="GiB free"):
        registered.backend.allocate(1, big, Precision.DOUBLE)


RUN_CALLS = {
    "native_cuda": ["cuMemAlloc_v2", "cuMemcpyHtoD_v2", "cuMemcpyDtoH_v2", "cuLaunchKernel", "cuCtxSynchronize",
                    "cuCtxSetCurrent", "cuMemFree_v2"],
    "cupy_cuda": ["alloc", "memcpy", "launch", "deviceSynchronize"],
}  # fmt: skip


def test_a_call_that_fails_is_an_error_of_ours(registered: Emulated) -> None:
    name, card = registered.backend.name, registered.card
    circuit = ansatz(4).bind({"theta": 0.2})
    for call in RUN_CALLS[name]:
        card.fail[call] = 719 if name == "native_cuda" else "cudaErrorLaunchFailure: unspecified launch failure"
        if call == "cuMemFree_v2":  # nothing to tell: the memory is gone with the device
            np.asarray(Simulator(name).run(circuit).state)
            assert call not in card.fail
            card.memory._buffers.clear()
            continue
        with pytest.raises(DeviceError, match=r"Fake H100: .*(CUDA_ERROR_LAUNCH_FAILED|cudaErrorLaunchFailure)"):
            np.asarray(Simulator(name).run(circuit).state)
        assert call not in card.fail, "was not called"
        gc.collect()
        assert card.memory.in_use == 0, call


def test_every_call_in_turn_may_fail(registered: Emulated) -> None:
    """Each call of a run, of its readout and of a gradient: one error of ours, nothing left behind, the next run right."""
    card, theta = registered.card, Parameter("theta")
    compiled = Simulator(registered.backend.name, seed=1).compile(Circuit(2).h(0).rx(theta, 1).cx(0, 1))

    def work() -> list[float]:
        result = compiled.run([0.4], observables=["Z1", "X0"])
        density = result.reduced_density_matrix([1])
        slope = compiled.gradient([0.4], "Z1")
        return [*np.ravel(result.expectations), *np.ravel(density).real, *np.ravel(slope), *np.abs(result.state_vector)]

    wanted = work()
    seen: set[str] = set()
    for turn in itertools.count(1):
        card.fail_in, card.failed = turn, ""
        try:
            found = work()
        except DeviceError as error:
            assert "Fake H100: " in str(error)
        else:
            np.testing.assert_array_equal(found, wanted)  # no call failed, or one that only gives memory back
        card.fail_in = 0
        gc.collect()
        if not card.failed:
            break
        seen.add(card.failed)
        if card.failed in ("cuMemFree_v2", "cuCtxSetCurrent"):  # a device that can't give back has lost it all
            card.memory._buffers.clear()
        assert card.memory.in_use == 0, (turn, card.failed)
    np.testing.assert_array_equal(work(), wanted)
    assert seen >= set(RUN_CALLS[registered.backend.name])


def test_a_failed_launch_names_operation_and_qubits(registered: Emulated) -> None:
    state, plan, coefficients = prepared(registered)
    call = "cuLaunchKernel" if registered.backend.name == "native_cuda" else "launch"
    registered.card.fail[call] = 719 if call == "cuLaunchKernel" else "cudaErrorLaunchFailure"
    with pytest.raises(DeviceError, match=r"\(operation 0, \w+ on qubits \([\d, ]+\), 5 qubits\)"):
        executor.execute(plan, coefficients, state)  # type: ignore[arg-type]
    with pytest.raises(StatePoisonedError):
        _ = state.amps
    del state


def test_a_driver_that_does_not_start_says_why(native_cuda: Emulated) -> None:
    from qsim_core.kernels.native_cuda import NativeDevice

    from .fake_driver import FakeDriver

    for call in ["cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDevicePrimaryCtxRetain"]:
        card = FakeDriver(lambda image: native_cuda.card.load(image))
        card.fail[call] = 719
        with pytest.raises(BackendUnavailableError, match=r"CUDA_ERROR_LAUNCH_FAILED.*qsim info"):
            NativeDevice(card.table, image=b"PTX")
    for call in [
        "cuDriverGetVersion",
        "cuDeviceGetName",
        "cuDeviceGetAttribute",
        "cuDeviceTotalMem_v2",
        "cuModuleLoadData",
    ]:
        card.fail[call] = 719
        with pytest.raises(DeviceError, match="CUDA_ERROR_LAUNCH_FAILED"):
            NativeDevice(card.table, image=b"PTX")
        assert call not in card.fail
    card.version = 11080
    with pytest.raises(BackendUnavailableError, match=r"CUDA 12\.0 or newer.*CUDA 11\.8"):
        NativeDevice(card.table, image=b"PTX")
    with pytest.raises(BackendUnavailableError, match="CUDA_VISIBLE_DEVICES"):
        NativeDevice(card.table, device=3, image=b"PTX")
    with pytest.raises(BackendUnavailableError, match="no function cuInit"):
        NativeDevice({}, image=b"PTX")


def test_code_an_old_driver_refuses_gives_way_to_the_next(
    native_cuda: Emulated, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qsim_core.kernels import native_cuda as module

    from .fake_driver import FakeDriver

    seen: list[bytes] = []

    def load(image: bytes) -> object:
        seen.append(image)
        return native_cuda.card.load(image)

    card = FakeDriver(load)  # type: ignore[arg-type]
    monkeypatch.setattr(module, "images_for", lambda capability: iter([b"carried", b"compiled here"]))
    card.fail["cuModuleLoadData"] = 719
    module.NativeDevice(card.table)
    assert seen == [b"compiled here"]

    def no_nvrtc(capability: tuple[int, int]) -> Iterator[bytes]:
        yield b"carried"
        raise BackendUnavailableError("NVRTC: missing")

    monkeypatch.setattr(module, "images_for", no_nvrtc)
    card.fail["cuModuleLoadData"] = 719
    with pytest.raises(BackendUnavailableError, match=r"CUDA_ERROR_LAUNCH_FAILED.*NVRTC: missing"):
        module.NativeDevice(card.table)


def test_memory_shared_with_the_host(native_cuda: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """An integrated device can take what the host's file cache gives up; a discrete one, or a MIG slice, what is its own."""
    from qsim_core import resources
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    from .fake_driver import FakeDriver

    monkeypatch.setattr(resources, "available_memory", lambda: 3 << 29)
    card = FakeDriver(lambda image: native_cuda.card.load(image))
    taken = card.memory.allocate(1 << 20)
    for integrated, free in ((0, (1 << 30) - (1 << 20)), (1, 1 << 30)):
        card.attributes[18] = integrated
        assert NativeCudaBackend(NativeDevice(card.table, image=b"PTX")).memory_free() == free
    card.memory.free(taken)


def test_without_the_core(cupy_cuda: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """CuPy plays trivial plans where nothing was compiled: the whole API, one operation per launch."""
    from qsim_core import compiler, planner
    from qsim_core.kernels import launches

    for module in (launches, planner):
        monkeypatch.setattr(module, "_native", None)
    compiler.clear_plan_cache()
    try:
        assert not planner.planner_available() and not launches.can_fuse()
        cupy_cuda.card.reverse = False
        monkeypatch.setitem(registry._loaded, "cupy_cuda", cupy_cuda.backend)
        card, host = (Simulator(name, seed=5).compile(ansatz(4).measure_all()) for name in ("cupy_cuda", "reference"))
        mine, theirs = (c.run_batch([[0.3], [1.1]], shots=50, observables=["Z0", "X1 Y2"]) for c in (card, host))
        np.testing.assert_allclose(mine.expectations, theirs.expectations, rtol=0, atol=ATOL)
        assert [mine[k].counts for k in range(2)] == [theirs[k].counts for k in range(2)]
        counts = [Simulator(name, seed=5).run(dynamic(), shots=100).counts for name in ("cupy_cuda", "reference")]
        assert counts[0] == counts[1]
        card, host = (Simulator(name).compile(ansatz(4)) for name in ("cupy_cuda", "reference"))
        mine, theirs = (c.gradient([[0.3]], "Z0 Z1 + X2") for c in (card, host))
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=ATOL)
    finally:
        compiler.clear_plan_cache()


A100, H100 = "GPU-a1000000-d72c-4106-c12f-20bd9faed9f6", "GPU-b1000000-1111-4106-c12f-20bd9faed9f6"
SLICE, OTHER_SLICE = "MIG-c7c0a3ce-1f1d-5b65-8f1a-6f1d4c3a2b10", "MIG-c8c0a3ce-1f1d-5b65-8f1a-6f1d4c3a2b11"


@pytest.mark.parametrize(
    ("shown", "names"),
    [
        (None, ["A100", "H100"]),
        ("1,0", ["H100", "A100"]),
        ("1", ["H100"]),
        ("0,7,1", ["A100"]),  # what follows a card that is not there is not seen
        ("0,0", ["A100"]),
        (f"{H100},{A100}", ["H100", "A100"]),
        ("GPU-b1", ["H100"]),
        ("GPU-b1,0", ["H100", "A100"]),
        (SLICE, ["H100 MIG 1g.10gb"]),
        (f"{SLICE},{OTHER_SLICE}", ["H100 MIG 1g.10gb"]),  # a process sees one slice
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("-1,0", []),
    ],
)
def test_cards_that_are_shown(
    native_cuda: Emulated, monkeypatch: pytest.MonkeyPatch, shown: str | None, names: list[str]
) -> None:
    """CUDA_VISIBLE_DEVICES in all its forms; a number of ours counts what it leaves, and nothing is an error with its value."""
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    from .fake_driver import Card, FakeDriver

    card = FakeDriver(lambda image: native_cuda.card.load(image))
    card.cards = (
        Card("A100", A100, 40 << 30, 108), Card("H100", H100, 80 << 30, 132),
        Card("H100 MIG 1g.10gb", SLICE, 10 << 30, 16), Card("H100 MIG 2g.20gb", OTHER_SLICE, 20 << 30, 32),
    )  # fmt: skip
    if shown is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
    for number, name in enumerate(names):
        monkeypatch.setenv("QSIM_CUDA_DEVICE", str(number))
        device = NativeDevice(card.table, image=b"PTX")
        facts = next(c for c in card.cards if c.name == name)
        assert device.properties.name == name and device.properties.multiprocessors == facts.multiprocessors
        assert device.properties.memory_bytes == facts.memory_bytes
        assert NativeCudaBackend(device).memory_free() == facts.memory_bytes  # of a slice its own, not the card's
    monkeypatch.setenv("QSIM_CUDA_DEVICE", str(len(names)))
    with pytest.raises(BackendUnavailableError) as caught:
        NativeDevice(card.table, image=b"PTX")
    assert "CUDA_VISIBLE_DEVICES" in str(caught.value)
    if shown is not None:
        assert repr(shown) in str(caught.value)
    if not names:
        assert "CUDA_ERROR_NO_DEVICE" in str(caught.value)


def test_the_device_is_chosen_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from qsim_core.kernels import native_cuda

    monkeypatch.setenv("QSIM_CUDA_DEVICE", "2")
    assert native_cuda.chosen_device() == 2
    monkeypatch.setenv("QSIM_CUDA_DEVICE", "first")
    with pytest.raises(BackendUnavailableError, match="QSIM_CUDA_DEVICE"):
        native_cuda.chosen_device()
