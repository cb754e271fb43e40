"""Adjoint gradients of a 5-layer hardware-efficient ansatz (10 n parameters) beside forward runs and other simulators.

    python -m benchmarks.bench_gradient [--qubits 8 12 16 20] [--terms 0 100] [--peers lightning qulacs] [--repeats 5]

``--terms 0`` is an Ising sum (n-1 ZZ and n X terms), 100 a sum of 100 random Pauli strings. Median wall times in double
precision, all measured in turn: a forward run that keeps its state, H applied to a state, the gradient; for the others
their gradient, called below their high-level interfaces where that is faster. Peers' gradients are compared with ours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from qsim import Circuit, Parameter, PauliSum, Simulator
from qsim_core import gradient
from qsim_core.kernels.control import RunControl
from qsim_core.types import FloatArray

LAYERS = 5
Terms = list[tuple[str, list[int], float]]


def ansatz(num_qubits: int) -> Circuit:
    """Return layers of RY, RZ on every qubit and a chain of CX."""
    circuit, number = Circuit(num_qubits), 0
    for _ in range(LAYERS):
        for qubit in range(num_qubits):
            circuit.ry(Parameter(f"p{number}"), qubit).rz(Parameter(f"p{number + 1}"), qubit)
            number += 2
        for qubit in range(num_qubits - 1):
            circuit.cx(qubit, qubit + 1)
    return circuit


def observable(num_qubits: int, terms: int) -> Terms:
    """Return (letters, qubits, coefficient) triples."""
    if terms == 0:
        bonds: Terms = [("ZZ", [q, q + 1], 1.0) for q in range(num_qubits - 1)]
        return bonds + [("X", [q], 0.7) for q in range(num_qubits)]
    rng = np.random.default_rng(2)
    return [
        ("".join(rng.choice(list("IXYZ"), num_qubits)), list(range(num_qubits)), float(rng.normal()))
        for _ in range(terms)
    ]


def ours(num_qubits: int, terms: Terms, threads: int, values: FloatArray) -> dict[str, Callable[[], Any]]:
    simulator = Simulator(threads=threads, seed=0)
    compiled, hamiltonian = simulator.compile(ansatz(num_qubits)), PauliSum(terms)
    result = compiled.run(values)
    control, one = RunControl(threads=threads), np.ones((1, 1))
    state = result.state
    return {
        "forward": lambda: compiled.run(values),
        "apply H": lambda: gradient.apply_observables(state, [hamiltonian.terms], one, control),
        "gradient": lambda: compiled.gradient(values, hamiltonian),
    }


def lightning(num_qubits: int, terms: Terms, values: FloatArray) -> Callable[[], FloatArray]:
    import pennylane as qml
    from pennylane.devices import ExecutionConfig

    letter = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}
    strings = [
        qml.prod(*(letter[c](q) for c, q in zip(letters, qubits, strict=True) if c != "I"))
        for letters, qubits, _ in terms
    ]
    gates, number = [], 0
    for _ in range(LAYERS):
        for qubit in range(num_qubits):
            gates += [qml.RY(values[number], qubit), qml.RZ(values[number + 1], qubit)]
            number += 2
        gates += [qml.CNOT([q, q + 1]) for q in range(num_qubits - 1)]
    energy = qml.expval(qml.Hamiltonian([c for _, _, c in terms], strings))
    tape = qml.tape.QuantumScript(gates, [energy], trainable_params=list(range(len(values))))
    device = qml.device("lightning.qubit", wires=num_qubits)
    config = ExecutionConfig(gradient_method="adjoint")
    return lambda: np.array(device.compute_derivatives(tape, config)).ravel()


def qulacs(num_qubits: int, terms: Terms, values: FloatArray) -> Callable[[], FloatArray]:
    import qulacs

    circuit, number = qulacs.ParametricQuantumCircuit(num_qubits), 0
    for _ in range(LAYERS):
        for qubit in range(num_qubits):
            circuit.add_parametric_RY_gate(qubit, -values[number])
            circuit.add_parametric_RZ_gate(qubit, -values[number + 1])
            number += 2
        for qubit in range(num_qubits - 1):
            circuit.add_CNOT_gate(qubit, qubit + 1)
    hamiltonian = qulacs.Observable(num_qubits)
    for letters, qubits, coefficient in terms:
        text = " ".join(f"{c} {q}" for c, q in zip(letters, qubits, strict=True) if c != "I")
        hamiltonian.add_operator(coefficient, text)
    return lambda: -np.array(circuit.backprop(hamiltonian))  # its rotations turn the other way


def medians(calls: dict[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return seconds; calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(0.02)  # threads of the one before may still be waiting actively
            started = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - started)
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, nargs="+", default=[8, 12, 16])
    parser.add_argument("--terms", type=int, nargs="+", default=[0, 100])
    parser.add_argument("--peers", nargs="*", choices=["lightning", "qulacs"], default=[])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for num_qubits in options.qubits:
        values = np.random.default_rng(1).normal(size=2 * LAYERS * num_qubits)
        for count in options.terms:
            terms = observable(num_qubits, count)
            calls = ours(num_qubits, terms, options.threads, values)
            exact = calls["gradient"]()
            for peer in options.peers:
                call = {"lightning": lightning, "qulacs": qulacs}[peer](num_qubits, terms, values)
                if options.repeats > 1 and not np.allclose(call(), exact, atol=1e-8):
                    raise AssertionError(f"{peer} has another gradient")
                calls[peer] = call
            seconds = medians(calls, options.repeats)
            bound = 4 * seconds["forward"] + seconds["apply H"]
            columns = [f"{name} {1e3 * s:9.3f} ms" for name, s in seconds.items()]
            columns += [f"{peer} / ours {seconds[peer] / seconds['gradient']:.1f}" for peer in options.peers]
            label = f"{count} strings" if count else "Ising"
            print(
                f"n={num_qubits:2} {label:11} " + "  ".join(columns) + f"  of bound {seconds['gradient'] / bound:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
