"""Batches and Gram matrices beside a loop over Qulacs and Lightning: ``python -m benchmarks.bench_batch``.

Each case is measured in turns (ours, theirs, ours, …) and given as medians; all of them run on the same circuits, layers of
RY and RZ on every qubit and a line of CX, and return the same numbers, which is checked first. Peers that aren't installed are
left out. A loop over a peer includes what it takes to bind its values, as a user would write it. Before every turn there is
a pause, in which threads that another one has left spinning go to sleep.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from qsim import Circuit, Parameter, Simulator
from qsim_core.types import ComplexArray, FloatArray

#: Seconds between two turns: OpenMP's threads look for work for some milliseconds after a loop.
PAUSE = 0.03

Run = Callable[[FloatArray], FloatArray | ComplexArray]


def layered(num_qubits: int, layers: int) -> Circuit:
    """RY and RZ by parameters of their own on every qubit, then a line of CX, several times."""
    circuit, number = Circuit(num_qubits), 0
    for _ in range(layers):
        for q in range(num_qubits):
            circuit.ry(Parameter(f"p{number}"), q).rz(Parameter(f"p{number + 1}"), q)
            number += 2
        for q in range(num_qubits - 1):
            circuit.cx(q, q + 1)
    return circuit


def qulacs(num_qubits: int, layers: int, measured: int) -> Run:
    """Return ⟨Z⟩ of the first qubits, or states for ``measured=0``."""
    from qulacs import Observable, ParametricQuantumCircuit, QuantumState

    circuit, signs = ParametricQuantumCircuit(num_qubits), 2 * num_qubits * layers
    for _ in range(layers):
        for q in range(num_qubits):
            circuit.add_parametric_RY_gate(q, 0.0)
            circuit.add_parametric_RZ_gate(q, 0.0)
        for q in range(num_qubits - 1):
            circuit.add_CNOT_gate(q, q + 1)
    state, observables = QuantumState(num_qubits), []
    for q in range(measured):
        observables.append(Observable(num_qubits))
        observables[-1].add_operator(1.0, f"Z {q}")

    def run(values: FloatArray) -> FloatArray | ComplexArray:
        rows = []
        for row in -values:  # Qulacs rotates the other way
            for k in range(signs):
                circuit.set_parameter(k, row[k])
            state.set_zero_state()
            circuit.update_quantum_state(state)
            rows.append([o.get_expectation_value(state) for o in observables] if measured else state.get_vector())
        return np.array(rows)

    return run


def lightning(num_qubits: int, layers: int, measured: int) -> Run:
    """As :func:`qulacs`, one QNode call per row."""
    import pennylane as qml

    device = qml.device("lightning.qubit", wires=num_qubits)

    @qml.qnode(device, diff_method=None)
    def node(row: FloatArray) -> object:
        k = 0
        for _ in range(layers):
            for q in range(num_qubits):
                qml.RY(row[k], q)
                qml.RZ(row[k + 1], q)
                k += 2
            for q in range(num_qubits - 1):
                qml.CNOT([q, q + 1])
        return [qml.expval(qml.Z(q)) for q in range(measured)] if measured else qml.state()

    def run(values: FloatArray) -> FloatArray | ComplexArray:
        rows = np.array([node(row) for row in values])
        if measured:
            return rows
        return rows.reshape(-1, *(2,) * num_qubits).transpose(0, *range(num_qubits, 0, -1)).reshape(len(values), -1)

    return run


PEERS = {"qulacs": qulacs, "lightning": lightning}


def median_times(runs: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the median time of each, measured in turns until the time is over, at least three times."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    start = time.perf_counter()
    while time.perf_counter() - start < seconds or len(next(iter(times.values()))) < 3:
        for name, run in runs.items():
            time.sleep(PAUSE)
            began = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def peers(num_qubits: int, layers: int, measured: int, names: list[str]) -> dict[str, Run]:
    found = {}
    for name in names:
        try:
            found[name] = PEERS[name](num_qubits, layers, measured)
        except ImportError as error:
            print(f"  without {name}: {error}")
    return found


def expectations(num_qubits: int, layers: int, batch: int, sample: int, threads: int, names: list[str]) -> None:
    """Four ⟨Z⟩ of a batch; peers run ``sample`` rows and are scaled."""
    compiled = Simulator(threads=threads).compile(layered(num_qubits, layers))
    values = np.random.default_rng(0).uniform(-3, 3, (batch, len(compiled.parameters)))
    observables = [f"Z{q}" for q in range(4)]

    def ours() -> FloatArray:
        return compiled.run_batch(values, observables=observables).expectations

    runs: dict[str, Callable[[], object]] = {"qsim": ours}
    for name, run in peers(num_qubits, layers, 4, names).items():
        np.testing.assert_allclose(run(values[:3]), ours()[:3], atol=1e-10)
        runs[name] = lambda run=run: run(values[:sample])  # type: ignore[misc]
    times = {name: t * (1 if name == "qsim" else batch / sample) for name, t in median_times(runs, 4).items()}
    report(f"{batch} circuits, {num_qubits} qubits, {values.shape[1]} parameters, four <Z>", times)


def gram(num_qubits: int, layers: int, count: int, threads: int, names: list[str]) -> None:
    """Gram matrix; peers make N states and one NumPy product."""
    compiled = Simulator(threads=threads).compile(layered(num_qubits, layers))
    values = np.random.default_rng(1).uniform(-3, 3, (count, len(compiled.parameters)))
    runs: dict[str, Callable[[], object]] = {"qsim": lambda: compiled.gram(values)}

    def product(run: Run) -> FloatArray:
        states = run(values)
        return np.abs(states.conj() @ states.T) ** 2

    for name, run in peers(num_qubits, layers, 0, names).items():
        np.testing.assert_allclose(product(run), compiled.gram(values), atol=1e-10)
        runs[name] = lambda run=run: product(run)  # type: ignore[misc]
    report(f"Gram matrix {count} x {count}, {num_qubits} qubits, {layers} layers", median_times(runs, 4))


def report(title: str, times: dict[str, float]) -> None:
    print(title)
    for name, seconds in times.items():
        print(f"  {name:10} {seconds * 1e3:9.2f} ms  {seconds / times['qsim']:7.1f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=list(PEERS))
    options = parser.parse_args()
    expectations(4, 4, 10_000, 500, options.threads, options.peers)
    expectations(10, 3, 1_000, 200, options.threads, options.peers)
    gram(10, 3, 500, options.threads, options.peers)


if __name__ == "__main__":
    main()
