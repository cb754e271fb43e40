"""Time of a call through an adapter, and how much of it is spent inside our files.

    python -m benchmarks.bench_adapters_overhead pennylane|qiskit|cirq|qibo

What is timed is from where the framework enters our files to where we return: ``QubitDevice.execute``,
``QsimBackend.run(…).result()``, ``QsimSimulator.simulate``, ``QsimBackend.execute_circuit``. Circuits are of random gates on
four qubits, built just before the call. ``plan``: the structure was never met; ``first``: the device translates it for the
first time, its plan is known; ``again``: the same device, other angles. Times are lower deciles over structures, since what
takes longer was disturbed by the machine's other work: microseconds for each operation (the slope between 100 and 1,000) and
for a whole call with one gate.

``all`` counts everything; of it, ``ours`` are the Python files of qsim and qsim_core, ``engine`` is the C++ core and
``framework`` what we call of the framework: see :mod:`benchmarks.owners`, whose shares of profiled calls are applied to the
times of calls without a profiler. As for :mod:`timeit`, the garbage collector is off. The first line tells what 1,000 calls of
an empty function took in between: the same machine can be half as fast a minute later.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .owners import OWNERS, Profiler

QUBITS = 4
SIZES = 1, 100, 1000
#: Structures per size, for each repeat asked for.
TIMES = {1: 20, 100: 4, 1000: 1}

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
    # One gate leaves qubits alone; to split them off is Cirq's work, in Cirq's files.
    simulator = QsimSimulator(dtype=np.complex128, split_untangled_states=False)
    qubits = cirq.LineQubit.range(QUBITS)

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


def _undisturbed(times: list[float]) -> float:
    """Return the lower decile."""
    return sorted(times)[len(times) // 10]


def _yardstick() -> float:
    """Return the seconds of 1,000 calls of an empty function."""
    started = time.perf_counter()
    for _ in range(1000):
        _nothing()
    return time.perf_counter() - started


def _nothing() -> None:
    pass


def measure(
    name: str, framework: Callable[[], Prepare], repeats: int
) -> tuple[float, dict[str, dict[int, dict[str, float]]]]:
    """Return the yardstick, and the seconds of each kind of call and the part of each owner, by size."""
    kinds = "plan", "first", "again"
    found: dict[str, dict[int, dict[str, float]]] = {kind: {} for kind in kinds}
    yardsticks = []
    planning, known = framework(), framework()
    for k in range(20):
        for prepare in (planning, known):
            prepare(random_gates(20, k, 0))()
    gc.collect()
    gc.freeze()
    gc.disable()
    for size in SIZES:
        times: dict[str, list[float]] = {kind: [] for kind in kinds}
        profilers = {kind: Profiler(name) for kind in kinds}
        structures = range(repeats * TIMES[size])
        for profiled in (False, True):
            for structure in structures:
                yardsticks.append(_yardstick())
                for angles, kind in enumerate(("plan", "first", "again", "again")):
                    prepare = planning if kind == "plan" else known
                    call = prepare(random_gates(size, structure + profiled * len(structures), angles))
                    if profiled:
                        profilers[kind](call)
                        continue
                    started = time.perf_counter()
                    call()
                    times[kind].append(time.perf_counter() - started)
            gc.collect()
        for kind in kinds:
            total = _undisturbed(times[kind])
            found[kind][size] = {"all": total, **{o: total * part for o, part in profilers[kind].shares().items()}}
    return _undisturbed(yardsticks), found


def main() -> None:
    """Read the command line."""
    frameworks = {"pennylane": pennylane, "qiskit": qiskit, "cirq": cirq, "qibo": qibo}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("framework", choices=frameworks)
    parser.add_argument("--repeats", type=int, default=6, help="structures of 1,000 gates; more of smaller ones")
    options = parser.parse_args()
    one, small, large = SIZES
    columns = "all", *OWNERS
    yardstick, found = measure(options.framework, frameworks[options.framework], options.repeats)
    print(f"1,000 empty calls {1e6 * yardstick:.1f} µs")
    print(f"{'µs per operation + µs of one gate':<34}", *(f"{column:>18}" for column in columns))
    for kind, times in found.items():
        cells = []
        for column in columns:
            slope = (times[large][column] - times[small][column]) / (large - small)
            cells.append(f"{1e6 * slope:8.2f} + {1e6 * times[one][column]:7.1f}")
        print(f"{options.framework:<24} {kind:<9}", *(f"{cell:>18}" for cell in cells))


if __name__ == "__main__":
    main()
