"""The circuits of :mod:`benchmarks.bench_dynamic` for Qiskit Aer and qsimcirq; both run a dynamic circuit once per shot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np

from qsim import Circuit
from qsim.instructions import Barrier, IfElse, Instruction, Measurement, NoiseChannel, Resetting
from qsim_core.classical import Bits, Expression

__all__ = ["PEERS", "Counts", "Peer", "difference"]

#: How often classical bits were read as a number, bit 0 the least significant.
Counts: TypeAlias = Counter[int]
#: A circuit, ready to run any number of shots with a seed.
Peer: TypeAlias = Callable[[int], Counts]


def aer(circuit: Circuit, threads: int) -> Peer:
    """Return the circuit for Aer's state-vector method, transpilation left out."""
    from qiskit import QuantumCircuit
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise.errors import mixed_unitary_error

    theirs = QuantumCircuit(circuit.num_qubits, circuit.num_clbits)

    def write(instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            match instruction.op:
                case Measurement():
                    theirs.measure(instruction.qubits, instruction.clbits)
                case Resetting():
                    theirs.reset(instruction.qubits)
                case Barrier():
                    pass
                case IfElse(condition, block):
                    with theirs.if_test((theirs.clbits[_bit(condition)], 1)):
                        write(block)
                case NoiseChannel() as channel:
                    error = mixed_unitary_error(list(zip(*_mixture(channel), strict=True)))
                    theirs.append(error.to_instruction(), instruction.qubits)
                case gate:
                    getattr(theirs, gate.name)(*instruction.params, *instruction.qubits)

    write(circuit.instructions)
    simulator = AerSimulator(method="statevector", max_parallel_threads=threads, seed_simulator=1)

    def run(shots: int) -> Counts:
        found = simulator.run(theirs, shots=shots).result().get_counts()
        return Counter({int(bits.replace(" ", ""), 2): count for bits, count in found.items()})

    return run


def qsimcirq(circuit: Circuit, threads: int) -> Peer:
    """Return the circuit for Google's qsim."""
    import cirq
    import qsimcirq as google

    wires = cirq.LineQubit.range(circuit.num_qubits)
    gates = {"h": cirq.H, "x": cirq.X, "z": cirq.Z, "cx": cirq.CX, "cz": cirq.CZ}

    def gate(instruction: Instruction) -> Iterable[Any]:
        on = [wires[q] for q in instruction.qubits]
        match instruction.op.name, instruction.params:
            case "rx", (angle,):
                yield cirq.rx(angle)(*on)
            case "ry", (angle,):
                yield cirq.ry(angle)(*on)
            case "u", (theta, phi, lam):
                yield from (cirq.rz(lam)(*on), cirq.ry(theta)(*on), cirq.rz(phi)(*on))
            case name, _:
                yield gates[name](*on)

    def write(instructions: Iterable[Instruction], keys: tuple[str, ...] = ()) -> Iterable[Any]:
        for instruction in instructions:
            on = [wires[q] for q in instruction.qubits]
            match instruction.op:
                case Measurement():
                    yield from (cirq.measure(q, key=str(bit)) for q, bit in zip(on, instruction.clbits, strict=True))
                case Resetting():
                    yield from map(cirq.reset, on)
                case Barrier():
                    pass
                case IfElse(condition, block):
                    yield from write(block, (*keys, str(_bit(condition))))
                case NoiseChannel() as channel:
                    matrices, weights = _mixture(channel)
                    parts = list(zip(weights, (m.astype(np.complex64) for m in matrices), strict=True))
                    yield cirq.MixedUnitaryChannel(parts)(*on[::-1])
                case _:
                    for one in gate(instruction):
                        yield one.with_classical_controls(*keys) if keys else one

    theirs = cirq.Circuit(write(circuit.instructions))
    simulator = google.QSimSimulator(qsim_options={"t": threads, "f": 4}, seed=1)

    def run(shots: int) -> Counts:
        found = simulator.run(theirs, repetitions=shots)
        bits = {int(key): values[:, 0].astype(object) for key, values in found.measurements.items()}
        numbers = sum(values << bit for bit, values in bits.items())
        return Counter(map(int, np.atleast_1d(numbers)))

    return run


PEERS: dict[str, Callable[[Circuit, int], Peer]] = {"Aer": aer, "qsimcirq": qsimcirq}


def difference(ours: Counts, theirs: Counts, bits: int) -> float:
    """Return the p value of a chi-square test that the lowest bits of both are drawn from one distribution."""
    from scipy.stats import chi2_contingency

    rows = [np.zeros(2**bits), np.zeros(2**bits)]
    for row, counts in zip(rows, (ours, theirs), strict=True):
        for number, count in counts.items():
            row[number % 2**bits] += count
    table = np.array(rows)
    rare = table.sum(axis=0) * table.sum(axis=1).min() / table.sum() < 5  # cells with too little expected in them
    joined = np.column_stack([table[:, ~rare], table[:, rare].sum(axis=1)])
    joined = joined[:, joined.sum(axis=0) > 0]
    return float(chi2_contingency(joined).pvalue) if joined.shape[1] > 1 else 1.0


def _bit(condition: Expression) -> int:
    assert isinstance(condition, Bits) and len(condition.clbits) == 1
    return condition.clbits[0]


def _mixture(channel: NoiseChannel) -> tuple[list[Any], list[float]]:
    assert channel.probabilities is not None
    return list(channel.matrices), list(channel.probabilities)
