"""Small circuits, where a call costs more than its gates: ``python -m benchmarks.bench_small [--qubits 4 8 12]``.

Layers of U3 on every qubit and CZ between neighbours, depth 20: compiled once and run with new angles, a circuit that was just
built with angles of its own, the same circuit again, and what building one takes. Qulacs gets new angles in a parametric
circuit (RZ RY RZ for a U3), qsimcirq (single precision) runs the same circuit again. Everybody's amplitudes are compared first.
Turns of six calls each, the first of which is not counted: whoever comes after a peer whose threads still spin would pay
for it. Medians.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import count
from statistics import median
from typing import Any

import numpy as np

from qsim import Circuit, Parameter, Simulator
from qsim_core.types import ComplexArray, FloatArray

Way = tuple[Callable[[], Any], Callable[[Any], Any]]  # what comes before a call, and the call on what that gave


def layered(num_qubits: int, depth: int, angle: Callable[[int], object]) -> Circuit:
    """U3 on all qubits and CZ on every second pair, ``angle(k)`` being the k-th angle."""
    circuit, number = Circuit(num_qubits), count()
    for layer in range(depth):
        for q in range(num_qubits):
            circuit.u(angle(next(number)), angle(next(number)), angle(next(number)), q)
        for q in range(layer % 2, num_qubits - 1, 2):
            circuit.cz(q, q + 1)
    return circuit


def ours(num_qubits: int, depth: int, values: FloatArray, threads: int) -> dict[str, Way]:
    simulator = Simulator(threads=threads)
    compiled = simulator.compile(layered(num_qubits, depth, lambda k: Parameter(f"p{k}")))
    shifts = count()

    def other_values() -> FloatArray:
        return values + 1e-3 * next(shifts)

    def build(angles: list[float]) -> Circuit:
        return layered(num_qubits, depth, angles.__getitem__)

    again, narrow = build(values.tolist()), Simulator(precision="single", threads=threads)
    return {
        "qsim, compiled, new angles": (other_values, lambda angles: compiled.run(angles).state_vector),
        "qsim, circuit built just now": (
            lambda: build(other_values().tolist()),
            lambda circuit: simulator.run(circuit).state_vector,
        ),
        "qsim, same circuit": (lambda: again, lambda circuit: simulator.run(circuit).state_vector),
        "qsim, same circuit, single": (lambda: again, lambda circuit: narrow.run(circuit).state_vector),
        "qsim, building it": (lambda: other_values().tolist(), build),
    }


def qulacs(num_qubits: int, depth: int, values: FloatArray) -> dict[str, Way]:
    from qulacs import ParametricQuantumCircuit, QuantumState

    circuit, state, order = ParametricQuantumCircuit(num_qubits), QuantumState(num_qubits), []
    number = count()
    for layer in range(depth):
        for q in range(num_qubits):
            theta, phi, lam = next(number), next(number), next(number)
            circuit.add_parametric_RZ_gate(q, 0.0)
            circuit.add_parametric_RY_gate(q, 0.0)
            circuit.add_parametric_RZ_gate(q, 0.0)
            order += [lam, theta, phi]
        for q in range(layer % 2, num_qubits - 1, 2):
            circuit.add_CZ_gate(q, q + 1)

    def new_angles(angles: list[float]) -> ComplexArray:
        for k, place in enumerate(order):
            circuit.set_parameter(k, -angles[place])  # Qulacs rotates the other way
        state.set_zero_state()
        circuit.update_quantum_state(state)
        return np.asarray(state.get_vector())

    return {"qulacs, new angles": (values.tolist, new_angles)}


def qsimcirq(num_qubits: int, depth: int, values: FloatArray, threads: int) -> dict[str, Way]:
    import cirq
    import qsimcirq as peer

    qubits, number, moments = cirq.LineQubit.range(num_qubits)[::-1], count(), []
    for layer in range(depth):
        for q in range(num_qubits):
            theta, phi, lam = (float(values[next(number)]) for _ in range(3))
            moments += [cirq.rz(lam)(qubits[q]), cirq.ry(theta)(qubits[q]), cirq.rz(phi)(qubits[q])]
        moments += [cirq.CZ(qubits[q], qubits[q + 1]) for q in range(layer % 2, num_qubits - 1, 2)]
    circuit = cirq.Circuit(moments)
    options = peer.QSimOptions(cpu_threads=threads, max_fused_gate_size=2)
    simulator = peer.QSimSimulator(options, circuit_memoization_size=2)  # keeps the translated circuit
    order = qubits[::-1]
    translated, _ = peer.QSimCircuit(circuit).translate_cirq_to_qsim(order)
    below = {**simulator.qsim_options, "c": translated, "s": 1}

    def again(_: None) -> ComplexArray:
        return np.asarray(simulator.simulate(circuit, qubit_order=order).final_state_vector)

    def core(_: None) -> ComplexArray:
        return np.asarray(simulator._sim_module.qsim_simulate_fullstate(below, 0)).view(np.complex64)

    return {"qsimcirq, same circuit": (lambda: None, again), "qsimcirq, its core alone": (lambda: None, core)}


def timed(ways: dict[str, Way], seconds: float, calls: int = 6) -> dict[str, float]:
    """Return the median seconds of each way, in turns until the time is over."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, (before, call) in ways.items():
            for k in range(calls):
                given = before()
                started = time.perf_counter()
                call(given)
                if k:
                    taken[name].append(time.perf_counter() - started)
    return {name: median(times) for name, times in taken.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, nargs="+", default=[4, 8, 12])
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=3.0, help="For each size.")
    parser.add_argument("--peers", nargs="*", default=["qulacs", "qsimcirq"], choices=["qulacs", "qsimcirq"])
    options = parser.parse_args()
    for n in options.qubits:
        values = np.random.default_rng(n).uniform(-3, 3, 3 * n * options.depth)
        ways = ours(n, options.depth, values, options.threads)
        for name in options.peers:
            try:
                ways |= (
                    qulacs(n, options.depth, values)
                    if name == "qulacs"
                    else qsimcirq(n, options.depth, values, options.threads)
                )
            except ImportError as error:
                print(f"  without {name}: {error}")
        circuit = layered(n, options.depth, values.tolist().__getitem__)
        wanted = Simulator().run(circuit).state_vector
        for name, (_, call) in ways.items():
            if not name.startswith("qsim,"):
                overlap = abs(np.vdot(call(values.tolist()), wanted))
                assert abs(overlap - 1) < 1e-4, f"{name} disagrees: {overlap}"
        print(f"{n} qubits, {circuit.num_gates} gates, {options.threads} threads")
        for name, seconds in timed(ways, options.seconds).items():
            print(f"  {name:30} {seconds * 1e6:9.1f} us  {seconds * 1e6 / circuit.num_gates:6.2f} per gate")


if __name__ == "__main__":
    main()
