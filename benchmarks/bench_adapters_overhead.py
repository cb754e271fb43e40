"""Time inside an adapter: microseconds for each operation and the fixed part of a call, by a line through two sizes.

    python -m benchmarks.bench_adapters_overhead pennylane|qiskit|cirq|qibo

What is timed is from where the framework enters our files to where we return: ``QubitDevice.execute``,
``QsimBackend.run(…).result()``, ``QsimSimulator.simulate``, ``QsimBackend.execute_circuit``; the framework's functions that run
inside count too, and so does the engine, on four qubits. Circuits are of random gates. ``plan``: the structure was never met;
``first``: a new device translates it for the first time, its plan is known; ``again``: the same device, other angles. The line
through the medians at both sizes has the time for each operation as its slope and the fixed part of a call at zero operations.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

QUBITS = 4
SIZES = 50, 550

#: From gates (name, qubits, angles) to a function that makes a call ready: what is timed is what that returns.
Prepare = Callable[[list[tuple[str, list[int], list[float]]]], Callable[[], Any]]

_GATES = {
    "rx": (1, 1),
    "rz": (1, 1),
    "h": (1, 0),
    "cx": (2, 0),
    "cz": (2, 0),
    "crx": (2, 1),
    "rzz": (2, 1),
    "swap": (2, 0),
}


def random_gates(size: int, structure: int, angles: int) -> list[tuple[str, list[int], list[float]]]:
    """Return gates of one structure at one set of angles."""
    shape, values = np.random.default_rng([size, structure]), np.random.default_rng([size, structure, angles])
    made = []
    for name in shape.choice(list(_GATES), size).tolist():
        wires, params = _GATES[name]
        made.append((name, shape.permutation(QUBITS)[:wires].tolist(), values.uniform(0, 6, params).tolist()))
    return made


def pennylane() -> Prepare:
    import pennylane as qml

    from qsim.adapters.pennylane import QubitDevice

    classes = {
        "rx": qml.RX, "rz": qml.RZ, "h": qml.H, "cx": qml.CNOT, "cz": qml.CZ, "crx": qml.CRX, "rzz": qml.IsingZZ, "swap": qml.SWAP
    }  # fmt: skip
    device = QubitDevice(QUBITS)
    config = device.setup_execution_config()

    def prepare(gates: list[tuple[str, list[int], list[float]]]) -> Callable[[], Any]:
        tape = qml.tape.QuantumScript([classes[n](*p, wires=w) for n, w, p in gates], [qml.expval(qml.Z(0))])
        return lambda: device.execute((tape,), config)

    return prepare


def qiskit() -> Prepare:
    from qiskit import QuantumCircuit

    from qsim.adapters.qiskit import QsimBackend

    backend = QsimBackend(seed_simulator=1)

    def prepare(gates: list[tuple[str, list[int], list[float]]]) -> Callable[[], Any]:
        circuit = QuantumCircuit(QUBITS)
        for name, wires, params in gates:
            getattr(circuit, name)(*params, *wires)
        circuit.measure_all()
        return lambda: backend.run(circuit, shots=100).result()

    return prepare


def cirq() -> Prepare:
    import cirq

    from qsim.adapters.cirq import QsimSimulator

    classes: dict[str, Callable[..., Any]] = {
        "rx": cirq.rx, "rz": cirq.rz, "crx": lambda t: cirq.ControlledGate(cirq.rx(t)), "rzz": lambda t: cirq.ZZ**t,
        "h": lambda: cirq.H, "cx": lambda: cirq.CX, "cz": lambda: cirq.CZ, "swap": lambda: cirq.SWAP,
    }  # fmt: skip
    simulator, qubits = QsimSimulator(dtype=np.complex128), cirq.LineQubit.range(QUBITS)

    def prepare(gates: list[tuple[str, list[int], list[float]]]) -> Callable[[], Any]:
        circuit = cirq.Circuit(classes[n](*p)(*(qubits[q] for q in w)) for n, w, p in gates)
        return lambda: simulator.simulate(circuit, qubit_order=qubits)

    return prepare


def qibo() -> Prepare:
    from qibo import Circuit, gates
    from qibo.backends import construct_backend

    names = {"rx": "RX", "rz": "RZ", "h": "H", "cx": "CNOT", "cz": "CZ", "crx": "CRX", "rzz": "RZZ", "swap": "SWAP"}
    backend = construct_backend("qsim")

    def prepare(given: list[tuple[str, list[int], list[float]]]) -> Callable[[], Any]:
        circuit = Circuit(QUBITS)
        circuit.add(getattr(gates, names[n])(*w, *p) for n, w, p in given)
        return lambda: backend.execute_circuit(circuit)

    return prepare


def measure(framework: Callable[[], Prepare], repeats: int) -> dict[str, dict[int, float]]:
    """Return the median seconds of each kind of call, by size."""
    found: dict[str, dict[int, float]] = {"plan": {}, "first": {}, "again": {}}
    known = framework()
    for k in range(20):
        known(random_gates(20, k, 0))()
    gc.collect()
    gc.freeze()  # what the framework's modules cost to collect is not ours
    for size in SIZES:
        times: dict[str, list[float]] = {name: [] for name in found}
        for structure in range(repeats):
            runs = [("plan", known), ("first", framework()), *[("again", known)] * 4]
            for angles, (name, prepare) in enumerate(runs):
                call = prepare(random_gates(size, structure, angles))
                gc.collect()
                started = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - started)
        for name, values in times.items():
            found[name][size] = median(values)
    return found


def main() -> None:
    """Read the command line."""
    frameworks = {"pennylane": pennylane, "qiskit": qiskit, "cirq": cirq, "qibo": qibo}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=frameworks)
    parser.add_argument("--repeats", type=int, default=15, help="structures of each size")
    options = parser.parse_args()
    small, large = SIZES
    for name, times in measure(frameworks[options.framework], options.repeats).items():
        slope = (times[large] - times[small]) / (large - small)
        fixed = 1e3 * (times[small] - small * slope)
        print(f"{options.framework:<10} {name:<6} {1e6 * slope:6.2f} µs per operation + {fixed:6.3f} ms")


if __name__ == "__main__":
    main()
