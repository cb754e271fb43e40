"""Promises: too large is refused at once, runs stop when told to, and simulators work from threads and processes."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Parameter, Program, Simulator
from qsim_core import executor, readout
from qsim_core.errors import InterruptedRunError, MemoryBudgetError, StatePoisonedError
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.state import StateVector


def layers(num_qubits: int, depth: int) -> Circuit:
    circuit = Circuit(num_qubits)
    for _ in range(depth):
        circuit.ry(0.3, range(num_qubits))
        for qubit in range(num_qubits - 1):
            circuit.cz(qubit, qubit + 1)
    return circuit


# --- a slower backend is taken, and said so -------------------------------------------------------------------------


def test_auto_says_once_that_the_core_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_loaded", {"numba_cpu": registry.backend("numba_cpu")})
    monkeypatch.setattr(registry, "_reasons", {"native_cpu": "no compiler"})
    monkeypatch.setattr(registry, "_told", set())
    assert Simulator("numba_cpu").backend == "numba_cpu"  # asked for: nothing to say
    with pytest.warns(RuntimeWarning, match=r"slower one \(numba_cpu, reference.* than native_cpu: no compiler"):
        assert Simulator().backend == "numba_cpu"
    assert Simulator().backend == "numba_cpu"  # a second warning would be an error


# --- memory is known before anything is allocated -------------------------------------------------------------------

PATHS: dict[str, Callable[[Simulator, Circuit], Any]] = {
    "run": lambda s, c: s.run(c, params=[0.1]),
    "shots": lambda s, c: s.run(c.measure_all(), params=[0.1], shots=10),
    "dynamic": lambda s, c: s.run(c.measure(0).h(0).measure(0), params=[0.1], shots=10),
    "expectation": lambda s, c: s.run(c, params=[0.1], observables="Z59", outputs=[]),
    "compile": lambda s, c: s.compile(c).run([0.1]),
    "batch": lambda s, c: s.compile(c).run_batch([[0.1], [0.2]]),
    "gradient": lambda s, c: s.compile(c).gradient([0.1], "Z0"),
}


@pytest.mark.parametrize("path", PATHS)
def test_sixty_qubits_are_refused_at_once_and_without_allocation(path: str, simulator: Simulator) -> None:
    circuit = Circuit(60).rx(Parameter("a"), 0).cx(0, 59)
    circuit.to_program()
    tracemalloc.start()
    started = time.perf_counter()
    with pytest.raises(MemoryBudgetError, match=r"60 qubits in (single|double) precision needs .*iB.*qubits fit"):
        PATHS[path](simulator, circuit)
    used, (_, peak) = time.perf_counter() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 0.05 * 4  # tracing makes Python several times slower
    assert peak < 2**20


def test_a_budget_error_names_what_would_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qsim_core.resources.available_memory", lambda: 2**20)
    with pytest.raises(MemoryBudgetError, match=r"needs 2\.0 MiB, 1\.0 MiB are free\. .*16 qubits fit in double"):
        Simulator("reference").run(Circuit(15))


# --- stopping -----------------------------------------------------------------------------------------------------


def test_a_deadline_stops_the_run(simulator: Simulator) -> None:
    started = time.perf_counter()
    with pytest.raises(InterruptedRunError, match="deadline"):
        simulator.run(layers(20, 300), seconds=0.1)
    assert time.perf_counter() - started < 5  # planning comes first
    with pytest.raises(InterruptedRunError, match="deadline"):
        simulator.run(layers(2, 1), seconds=0)
    with pytest.raises(InterruptedRunError, match="deadline"):
        simulator.compile(Circuit(2).rx(Parameter("a"), 0)).gradient([0.1], "Z0", seconds=0)
    assert simulator.run(Circuit(1)).norm == 1


def test_a_cancel_event_stops_the_run_from_another_thread(simulator: Simulator) -> None:
    cancel, circuit = threading.Event(), Circuit(1, 1)
    for _ in range(51):  # seconds, if nobody stopped it
        circuit.x(0).measure(0)
    compiled = simulator.compile(circuit)
    timer = threading.Timer(0.1, cancel.set)
    timer.start()
    with pytest.raises(InterruptedRunError, match="cancel"):
        compiled.run(shots=10**7, cancel=cancel)
    timer.join()
    assert compiled.run(shots=2).counts == {"1": 2}


def test_progress_goes_from_zero_to_one(simulator: Simulator) -> None:
    for circuit, shots in ((layers(3, 5), None), (Circuit(1, 1).h(0).measure(0).h(0).measure(0), 10)):
        ticks: list[float] = []
        simulator.run(circuit, shots=shots, progress=ticks.append)
        assert ticks == sorted(ticks) and ticks[0] >= 0 and ticks[-1] == 1.0


def test_an_interrupted_run_poisons_its_state(backend: Any, precision: Any) -> None:
    simulator = Simulator(backend.name, precision)
    compiled = simulator.compile(layers(3, 2))
    plan = compiled.plan()
    state = StateVector(backend.allocate(1, 3, precision), backend)
    backend.fill_zero_state(state.amps)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(InterruptedRunError):
        executor.execute(plan, plan.coefficients(compiled.program), state, RunControl(cancel=cancel))
    for read in (lambda: state.array, lambda: state.amps, lambda: readout.norms(state), lambda: np.asarray(state)):
        with pytest.raises(StatePoisonedError, match="InterruptedRunError left it half-way"):
            read()


def test_an_error_in_the_progress_callback_is_passed_on(simulator: Simulator) -> None:
    def fail(_: float) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        simulator.run(layers(3, 2), progress=fail)
    assert simulator.run(Circuit(1)).norm == 1


CTRL_C = """
    import os, signal, threading, time
    import qsim
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
    simulator = qsim.Simulator({backend!r})
    small = qsim.Circuit(2).h(0).cx(0, 1)
    simulator.run(small)
    big = qsim.Circuit(18)
    for _ in range(400):
        big.ry(0.3, range(18))
    compiled = simulator.compile(big)
    compiled.plan()
    sent = []
    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)
    threading.Timer(0.3, send).start()
    try:
        for _ in range(1000):
            compiled.run()
    except KeyboardInterrupt:
        late = time.perf_counter() - sent[0]
        assert late < {limit}, late
        assert abs(simulator.run(small).norm - 1) < 1e-12
        print("stopped")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["reference", "numba_cpu", "native_cpu"])
def test_ctrl_c_stops_a_run_and_the_process_goes_on(name: str) -> None:
    if (reason := registry.availability(name)) is not None:
        pytest.skip(f"backend {name}: {reason}")
    code = textwrap.dedent(CTRL_C.format(backend=name, limit=2.0))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment())
    assert done.stdout.strip() == "stopped", done.stderr


def environment() -> dict[str, str]:
    """The environment of a child process that imports what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


# --- threads and processes ----------------------------------------------------------------------------------------


def test_threads_share_a_simulator(simulator: Simulator, tolerance: float) -> None:
    circuits = [layers(5, depth).measure_all() for depth in range(8)]
    expected = [circuit[:-1].to_matrix()[:, 0] for circuit in circuits]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda c: simulator.run(c, shots=10, outputs="state"), circuits * 4))
    for k, result in enumerate(results):
        np.testing.assert_allclose(result.state_vector, expected[k % 8], atol=10 * tolerance)
    assert sorted(result.provenance["run"] for result in results) == list(range(32))


def child(simulator: Simulator, circuit: Circuit) -> list[float]:
    return simulator.run(circuit).probabilities.tolist()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes(method: str, backend: Any) -> None:
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this platform")
    simulator, circuit = Simulator(backend.name, seed=1), layers(4, 2)
    expected = simulator.run(circuit).probabilities.tolist()  # the parent's threads are running now
    if method == "spawn":
        code = "import pickle, sys; simulator, circuit = pickle.load(sys.stdin.buffer); \
                print(simulator.run(circuit).probabilities.tolist())"
        done = subprocess.run(
            [sys.executable, "-c", code], input=pickle.dumps((simulator, circuit)), capture_output=True, timeout=60,
            env=environment(),
        )  # fmt: skip
        assert eval(done.stdout or "None") == expected, done.stderr.decode()
        return
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=lambda: queue.put(child(simulator, circuit)))
    process.start()
    process.join(30)
    assert process.exitcode == 0 and queue.get() == expected


def test_simulators_and_programs_can_be_pickled(simulator: Simulator) -> None:
    circuit = Circuit(3).h(range(3)).measure_all()
    copy = pickle.loads(pickle.dumps(simulator))
    assert repr(copy) == repr(simulator)
    np.testing.assert_array_equal(copy.run(circuit, shots=9).samples, simulator.run(circuit, shots=9).samples)
    program = pickle.loads(pickle.dumps(circuit.to_program()))
    assert isinstance(program, Program) and program.fingerprint == circuit.to_program().fingerprint


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="POSIX signals")
def test_a_signal_handler_s_error_stops_the_reference() -> None:
    def stop(*_: Any) -> None:
        raise TimeoutError("alarm")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.1)  # again: one that comes in a finalizer is lost
    try:
        with pytest.raises(TimeoutError, match="alarm"):
            for _ in range(1000):
                Simulator("reference").run(layers(12, 20))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
