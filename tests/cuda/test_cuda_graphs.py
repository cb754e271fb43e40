"""Recorded stages and copies beside launches: right in every order the streams allow, and wrong where a wait is left out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Parameter, Simulator
from qsim_core import testing
from qsim_core.compiler import compile_program
from qsim_core.errors import BackendUnavailableError, DeviceError, ParameterError, QsimError
from qsim_core.kernels import cuda_backend, cuda_graphs, registry
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.cuda_graphs import graphs_wanted
from qsim_core.types import ComplexArray, Precision

from .conftest import Emulated
from .fake_driver import FakeDriver

BOTH = [False, True]
THETAS = (0.3, 1.1, -0.4)


def opened(early_copies: bool) -> Emulated:
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    from . import emulated

    card = FakeDriver(lambda image: emulated.module(), early_copies=early_copies)
    return Emulated(NativeCudaBackend(NativeDevice(card.table, image=b"PTX", graphs=True)), card)


@pytest.fixture(params=BOTH, ids=["late", "early copies"])
def graphs(native_cuda: Emulated, request: pytest.FixtureRequest) -> Iterator[Emulated]:
    """A device whose streams do their work as late as they may, or copies at once; nothing of it is left at the end."""
    found = opened(request.param)
    yield found
    card = found.card
    found.backend.graphs.clear()  # type: ignore[attr-defined]
    assert card.memory.in_use == 0 and not card.faults
    del found
    gc.collect()


def ansatz() -> Circuit:
    theta = Parameter("theta")
    circuit = Circuit(5).h(range(5)).rzz(theta, 0, 4)
    for q in range(4):
        circuit.rx(theta * (q + 1), q).cx(q, q + 1).cp(theta, 0, q + 1)
    return circuit


def played(backend: Any) -> ComplexArray:
    """The state after the ansatz at several values, one after the other, with nothing that waits between them."""
    program = ansatz().to_program()
    plan = compile_program(program, target="native_cuda", initial="given")
    amps = backend.zero_state(1, 5, Precision.DOUBLE)
    for theta in THETAS:
        for stage in plan.segments[plan.entry].stages:
            backend.run_stage(plan, stage, plan.coefficients(program, np.array([[theta]])), amps, RunControl())
    return np.asarray(amps)


def wanted() -> ComplexArray:
    program, state = ansatz().to_program(), testing.ReferenceBackend().zero_state(1, 5, Precision.DOUBLE)
    plan = compile_program(program, target="reference", initial="given")
    for theta in THETAS:
        for stage in plan.segments[plan.entry].stages:
            coefficients = plan.coefficients(program, np.array([[theta]]))
            testing.ReferenceBackend().run_stage(plan, stage, coefficients, state, RunControl())
    return state


@pytest.mark.parametrize("early_copies", BOTH, ids=["late", "early copies"])
def test_conformance(native_cuda: Emulated, early_copies: bool) -> None:
    found = opened(early_copies)
    testing.assert_backend_conforms(found.backend, [Precision.DOUBLE if early_copies else Precision.SINGLE], [1])
    assert found.card.calls["cuGraphLaunch"] > 100 and not found.card.faults


def test_new_numbers_record_nothing(graphs: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "LAUNCHES_PER_GRAPH", 3)
    actual, calls = played(graphs.backend), graphs.card.calls
    np.testing.assert_allclose(actual, wanted(), rtol=0, atol=1e-12)
    assert calls["cuGraphLaunch"] == len(THETAS) * calls["cuGraphInstantiateWithFlags"] > 0
    assert calls["cuModuleLoadData"] == 1 and calls["cuMemcpyHtoDAsync_v2"] == len(THETAS)


def test_the_api(graphs: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results, gradients and shots of a device with graphs are those of any other."""
    monkeypatch.setitem(registry._loaded, "native_cuda", graphs.backend)
    card, host = (Simulator(name, seed=3).compile(ansatz().measure_all()) for name in ("native_cuda", "reference"))
    for values in ([[0.2], [0.9]], [[0.5], [-1.0]]):
        mine, theirs = (c.run_batch(values, shots=50, observables=["Z0", "X1 Y2"]) for c in (card, host))
        np.testing.assert_allclose(mine.expectations, theirs.expectations, rtol=0, atol=1e-12)
        assert [mine[k].counts for k in range(2)] == [theirs[k].counts for k in range(2)]
        np.testing.assert_allclose(card.gradient(values, "Z0 Z1"), host.gradient(values, "Z0 Z1"), rtol=0, atol=1e-12)


def costs_turned(backend: Any) -> ComplexArray:
    costs, host = np.random.default_rng(5).normal(size=64), testing.random_state(np.random.default_rng(6), 6, 1)
    amps = backend.adopt(host)
    for _ in range(2):
        backend.turn(amps, costs, np.array([0.7]), RunControl())
    return np.asarray(amps) / (host * np.exp(-1.4j * costs))


def test_costs_are_copied_ahead(graphs: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_backend, "COSTS_AT_A_TIME", 8)
    before = graphs.card.calls["cuMemcpyHtoDAsync_v2"]
    np.testing.assert_allclose(costs_turned(graphs.backend), np.ones((1, 64)), rtol=0, atol=1e-12)
    assert graphs.card.calls["cuMemcpyHtoDAsync_v2"] - before == 16


def first_stream(card: FakeDriver) -> int:
    """The stream of launches is made first."""
    return next(handle for handle, what in card._handles.items() if what is card.streams.all[0])


ORDER: dict[str, Callable[[FakeDriver, str, tuple[Any, ...]], bool]] = {
    "launches wait for the copy": lambda card, name, given: (
        name == "cuStreamWaitEvent" and given[0] == first_stream(card)
    ),
    "the copy waits for launches": lambda card, name, given: (
        name == "cuStreamWaitEvent" and given[0] != first_stream(card)
    ),
    "pinned memory is read before it is filled again": lambda card, name, given: name == "cuEventSynchronize",
}


@pytest.mark.parametrize("rule", ORDER)
def test_a_wait_that_is_left_out_is_seen(native_cuda: Emulated, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test of the tests: in one of the two orders a result is wrong, or a check of the kernels speaks."""
    monkeypatch.setattr(cuda_backend, "COSTS_AT_A_TIME", 8)
    seen = []
    for early_copies in BOTH:
        found = opened(early_copies)
        found.card.skip = lambda name, given, card=found.card: ORDER[rule](card, name, given)
        try:
            np.testing.assert_allclose(played(found.backend), wanted(), rtol=0, atol=1e-12)
            np.testing.assert_allclose(costs_turned(found.backend), np.ones((1, 64)), rtol=0, atol=1e-12)
        except (AssertionError, QsimError):
            seen.append(early_copies)
        found.card.skip = None
    assert seen


def test_few_stages_are_kept(graphs: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "KEPT", 2)
    card, handles = graphs.card, []
    for n in range(2, 7):
        circuit = Circuit(n).h(range(n)).cx(0, n - 1)
        program = circuit.to_program()
        plan = compile_program(program, target="native_cuda", initial="given")
        amps = graphs.backend.zero_state(1, n, Precision.DOUBLE)
        for stage in plan.segments[plan.entry].stages:
            graphs.backend.run_stage(plan, stage, plan.coefficients(program), amps, RunControl())
        np.testing.assert_allclose(np.linalg.norm(np.asarray(amps)), 1, atol=1e-12)
        handles.append(card.handles)
    assert handles[-1] == handles[-2] == handles[1]


def test_everything_is_given_back() -> None:
    found = opened(False)
    played(found.backend)
    card = found.card
    assert card.handles > 6
    found.backend.graphs.clear()  # type: ignore[attr-defined]
    del found
    gc.collect()
    assert card.handles == 0 and card.memory.in_use == 0


@pytest.mark.parametrize(
    "call",
    ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch", "cuLaunchKernel",
     "cuMemHostAlloc", "cuMemcpyHtoDAsync_v2", "cuEventRecord", "cuStreamWaitEvent", "cuEventSynchronize"],
)  # fmt: skip
def test_a_call_that_fails_is_an_error_of_ours(graphs: Emulated, call: str) -> None:
    graphs.card.fail[call] = 719
    named = "" if call == "cuLaunchKernel" else r".*\(.*operation 0.*5 qubits\)"  # the first one fills the state
    with pytest.raises(DeviceError, match="Fake H100: CUDA_ERROR_LAUNCH_FAILED" + named):
        played(graphs.backend)
    assert call not in graphs.card.fail, "was not called"
    np.testing.assert_allclose(played(graphs.backend), wanted(), rtol=0, atol=1e-12)


def test_it_is_off_unless_asked_for(native_cuda: Emulated, monkeypatch: pytest.MonkeyPatch) -> None:
    from qsim_core.kernels.cupy_cuda import CupyDevice
    from qsim_core.kernels.native_cuda import NativeDevice

    assert not graphs_wanted() and native_cuda.backend.graphs is None  # type: ignore[attr-defined]
    assert not native_cuda.card.calls["cuStreamCreate"]
    monkeypatch.setenv("QSIM_CUDA_GRAPHS", "1")
    assert NativeDevice(native_cuda.card.table, image=b"PTX").recorder is not None
    with pytest.raises(BackendUnavailableError, match="QSIM_CUDA_GRAPHS with cupy_cuda"):
        CupyDevice()
    monkeypatch.setenv("QSIM_CUDA_GRAPHS", "yes")
    with pytest.raises(ParameterError, match="0 or 1"):
        NativeDevice(native_cuda.card.table, image=b"PTX")
