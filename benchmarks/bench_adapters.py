"""Speed through a framework, end to end, beside the framework's own simulator.

    python -m benchmarks.bench_adapters pennylane [--qubits 4 12 20 24] [--memory 26]

One function per framework, which needs that framework and its fastest simulator. Both run alternately in one process
on the same circuits; times are medians in milliseconds. ``--memory`` measures the peak instead, each in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[], Any]


def compare(title: str, runs: Mapping[str, Run], seconds: float = 2.0) -> None:
    """Run all alternately for some seconds, after one round to warm up, and print the medians."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(times.values()))) < 3:
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    medians = {name: 1e3 * statistics.median(values) for name, values in times.items()}
    ours, *theirs = medians.values()
    print(
        f"{title:<44}",
        *(f"{name} {value:10.2f} ms" for name, value in medians.items()),
        f"ratio {theirs[0] / ours:6.2f}",
    )


def added_peak(run: Run) -> int:
    """Return the bytes by which a run raises the peak of this process's resident memory above what it holds now (Linux)."""

    def peak_now() -> int:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.split("VmHWM:")[1].split()[0])

    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = peak_now()
    run()
    return peak_now() - before


def peak(framework: str, simulator: str, num_qubits: int) -> int:
    """Return the bytes a run adds to the peak memory of a process of its own that has run a small circuit before."""
    command = [sys.executable, __file__, framework, "--child", simulator, "--qubits", str(num_qubits)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return int(done.stdout.split()[-1])


def pennylane(options: argparse.Namespace) -> None:
    """The device qsim.qubit beside lightning.qubit."""
    import pennylane as qml

    from qsim.adapters.pennylane import QubitDevice

    def device(name: str, wires: int) -> Any:
        return QubitDevice(wires) if name == "qsim.qubit" else qml.device(name, wires=wires)

    def circuit(weights: Any) -> Any:
        qml.StronglyEntanglingLayers(weights, wires=range(weights.shape[1]))
        return qml.expval(qml.Z(0) @ qml.Z(1))

    def weights(wires: int, layers: int) -> Any:
        return np.random.default_rng(0).uniform(0, 6, (layers, wires, 3))

    names = ("qsim.qubit", "lightning.qubit")
    if options.child:
        node = qml.QNode(circuit, device(options.child, 4), diff_method=None)
        node(weights(4, 2))
        (wires,) = options.qubits
        print(added_peak(lambda: qml.QNode(circuit, device(options.child, wires), diff_method=None)(weights(wires, 1))))
        return
    if options.memory:
        for name in names:
            state = 16 << options.memory
            print(
                f"{name:<16} {options.memory} qubits: peak {peak('pennylane', name, options.memory) / state:.3f} states"
            )
        return
    for wires in options.qubits:
        nodes = {name: qml.QNode(circuit, device(name, wires), diff_method=None) for name in names}
        values = weights(wires, 2)
        compare(
            f"expectation value, {wires} qubits, 2 layers",
            {name: partial(node, values) for name, node in nodes.items()},
            options.seconds,
        )
    if options.training:
        compare(
            "100 training steps, 12 qubits, 5 layers",
            {name: _training(qml, circuit, device(name, 12)) for name in names},
            0,
        )


def _training(qml: Any, circuit: Callable[[Any], Any], device: Any) -> Run:
    start = qml.numpy.array(np.random.default_rng(0).uniform(0, 6, (5, 12, 3)), requires_grad=True)
    node = qml.QNode(circuit, device)

    def run() -> None:
        optimiser, values = qml.GradientDescentOptimizer(0.1), start
        for _ in range(100):
            values = optimiser.step(node, values)

    return run


def qiskit(options: argparse.Namespace) -> None:
    """QsimBackend and EstimatorV2 beside Aer's, in both precisions."""
    import qiskit_aer
    from qiskit import QuantumCircuit
    from qiskit.circuit.library import efficient_su2
    from qiskit.quantum_info import SparsePauliOp
    from qiskit_aer.primitives import EstimatorV2 as AerEstimator

    from qsim.adapters.qiskit import EstimatorV2, QsimBackend

    def backend(name: str, precision: str) -> Any:
        if name == "qsim":
            return QsimBackend(precision=precision)
        return qiskit_aer.AerSimulator(method="statevector", precision=precision)

    def circuit(wires: int, layers: int) -> QuantumCircuit:
        ansatz = efficient_su2(wires, reps=layers)
        bound = ansatz.assign_parameters(np.random.default_rng(0).uniform(0, 6, ansatz.num_parameters))
        bound.save_statevector()
        return bound

    def run(name: str, precision: str, wires: int, layers: int = 2) -> Run:
        device, bound = backend(name, precision), circuit(wires, layers)
        return lambda: device.run(bound).result().get_statevector()

    names = ("qsim", "Aer")
    if options.child:
        run(options.child, "double", 4)()
        (wires,) = options.qubits
        again = run(options.child, "double", wires, 1)
        print(added_peak(again))
        return
    if options.memory:
        for name in names:
            bytes_ = peak("qiskit", name, options.memory)
            print(f"{name:<16} {options.memory} qubits: peak {bytes_ / (16 << options.memory):.3f} states")
        return
    for precision in options.precision:
        for wires in options.qubits:
            title = f"state, {wires} qubits, 2 layers, {precision}"
            compare(title, {name: run(name, precision, wires) for name in names}, options.seconds)
    if options.training:
        ansatz = efficient_su2(8, reps=3)
        sets = np.random.default_rng(0).uniform(0, 6, (1000, ansatz.num_parameters))
        pub = (ansatz, [SparsePauliOp.from_sparse_list([("ZZ", [k, k + 1], 1.0) for k in range(7)], 8)], sets)
        estimators = {"qsim": EstimatorV2(), "Aer": AerEstimator()}
        runs = {
            name: lambda estimator=estimator: estimator.run([pub]).result() for name, estimator in estimators.items()
        }
        compare("EstimatorV2, 8 qubits, 1,000 parameter sets", runs, options.seconds)


def qibo(options: argparse.Namespace) -> None:
    """The backend qsim beside qibojit: rotations and CNOTs in layers, the state or 1,000 shots."""
    from qibo import Circuit, gates
    from qibo.backends import construct_backend

    def circuit(wires: int, layers: int, measured: bool) -> Any:
        angles = np.random.default_rng(0).uniform(0, 6, (layers, wires, 2))
        made = Circuit(wires)
        for layer in angles:
            for q, (first, second) in enumerate(layer.tolist()):
                made.add([gates.RY(q, first), gates.RZ(q, second)])
            made.add(gates.CNOT(q, (q + 1) % wires) for q in range(wires))
        if measured:
            made.add(gates.M(*range(wires)))
        return made

    def run(name: str, wires: int, layers: int, measured: bool) -> Run:
        backend, made = construct_backend(name), circuit(wires, layers, measured)

        def once() -> None:
            result = backend.execute_circuit(made, nshots=1000)
            if measured:
                result.frequencies()

        return once

    names = ("qsim", "qibojit")
    if options.child:
        run(options.child, 4, 2, measured=False)()
        (wires,) = options.qubits
        whole = run(options.child, wires, 1, measured=False)
        print(added_peak(whole))
        return
    if options.memory:
        for name in names:
            share = peak("qibo", name, options.memory) / (16 << options.memory)
            print(f"{name:<16} {options.memory} qubits: peak {share:.3f} states")
        return
    for wires in options.qubits:
        for measured in (False, True):
            title = f"{'1,000 shots' if measured else 'state'}, {wires} qubits, 2 layers"
            compare(title, {name: run(name, wires, 2, measured) for name in names}, options.seconds)


def cirq(options: argparse.Namespace) -> None:
    """QsimSimulator beside qsimcirq, which computes in single precision only."""
    import cirq
    import qsimcirq
    import sympy

    from qsim.adapters.cirq import QsimSimulator
    from qsim_core.resources import available_threads

    threads = available_threads()

    def simulator(name: str) -> Any:
        if name == "qsimcirq":
            return qsimcirq.QSimSimulator({"t": threads, "f": 4 if max(options.qubits) > 16 else 2})
        return QsimSimulator(dtype=np.complex128 if name == "qsim f64" else np.complex64)

    def circuit(wires: int, layers: int, free: bool = False) -> Any:
        generator, qubits = np.random.default_rng(0), cirq.LineQubit.range(wires)
        made = cirq.Circuit()
        for layer in range(layers):
            for k, qubit in enumerate(qubits):
                angle = sympy.Symbol(f"a{layer}_{k}") if free else generator.uniform()
                made.append([cirq.X(qubit) ** angle, cirq.PhasedXPowGate(phase_exponent=0.3, exponent=0.2)(qubit)])
            made.append(cirq.FSimGate(0.4, 0.3)(p, q) for p, q in pairwise(qubits))
        return made

    names = ("qsim f32", "qsimcirq", "qsim f64")
    if options.child:
        simulator(options.child).simulate(circuit(4, 2))
        (wires,) = options.qubits
        made, chosen = circuit(wires, 1), simulator(options.child)
        print(added_peak(lambda: chosen.simulate(made).final_state_vector))
        return
    if options.memory:
        for name in names:
            state = (16 if name == "qsim f64" else 8) << options.memory
            print(f"{name:<16} {options.memory} qubits: peak {peak('cirq', name, options.memory) / state:.3f} states")
        return
    for wires in options.qubits:
        made = circuit(wires, 4)
        compare(
            f"state, {wires} qubits, 4 layers",
            {name: partial(simulator(name).simulate, made) for name in names},
            options.seconds,
        )
    if options.training:
        made, generator = circuit(8, 3, free=True), np.random.default_rng(1)
        symbols = sorted(cirq.parameter_names(made))
        sweep = [dict(zip(symbols, row, strict=True)) for row in generator.uniform(0, 1, (1000, len(symbols))).tolist()]
        observable = cirq.Z(cirq.LineQubit(0)) * cirq.Z(cirq.LineQubit(1))
        compare(
            "sweep of 1,000, 8 qubits, expectation value",
            {
                name: partial(simulator(name).simulate_expectation_values_sweep, made, observable, sweep)
                for name in names
            },
            0,
        )


def main() -> None:
    """Read the command line."""
    frameworks = {"pennylane": pennylane, "qiskit": qiskit, "qibo": qibo, "cirq": cirq}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=frameworks)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 12, 20, 24])
    parser.add_argument("--seconds", type=float, default=2.0, help="per comparison")
    parser.add_argument("--precision", nargs="+", default=["double", "single"], help="of Qiskit's comparisons")
    parser.add_argument("--training", action="store_true", help="also the training loop or the sweep")
    parser.add_argument("--memory", type=int, default=0, metavar="QUBITS", help="peak memory instead of times")
    parser.add_argument("--child", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    frameworks[options.framework](options)


if __name__ == "__main__":
    main()
