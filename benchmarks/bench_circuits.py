"""Whole circuits, beside peers that are installed: qsimcirq in single precision, Qulacs in double.

    python -m benchmarks.bench_circuits --qubits 24 --family brickwork --family qft

Ours is the run of a plan on a dense random state in place, again and again; planning is timed apart. The peers get the
same gates (their own types where they have them, matrices elsewhere), the same number of threads and a dense input too:
Qulacs keeps its state in place; qsimcirq starts every run from the amplitudes it is given, and the time of a run of one
identity gate from the same amplitudes is taken off. qsimcirq runs with each fusion width from 2 to 4 and the best counts.
Repetitions are interleaved, minima and medians of wall time are shown.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import click
import numpy as np

from qsim import Circuit
from qsim.instructions import Instruction
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.planner import native_plan
from qsim_core.types import Amps, Precision

from .bench_kernels import cpu_name
from .circuits import CIRCUITS

DEFAULT = ("brickwork", "qft", "qaoa", "grid", "grid_fsim", "hardware_efficient", "ising", "quantum_volume", "ghz")
Run = Callable[[], None]


def dense_input(num_qubits: int, precision: Precision) -> Amps:
    """Return a random state of norm one."""
    rng = np.random.default_rng(0)
    amps = rng.standard_normal(2 << num_qubits, dtype=np.float32).view(np.complex64)
    return (amps / np.linalg.norm(amps)).astype(precision.dtype).reshape(1, -1)


def ours(circuit: Circuit, precision: Precision, threads: int) -> tuple[Run, str]:
    """Return a run of the circuit and what its plan looks like."""
    backend = NativeCpuBackend()
    program = circuit.to_program()
    started = time.perf_counter()
    plan = native_plan(program, precision=precision, initial="given")
    planned = time.perf_counter() - started
    values = plan.coefficients(program)
    amps = backend.allocate(1, circuit.num_qubits, precision)
    amps[...] = dense_input(circuit.num_qubits, precision)

    def run() -> None:
        for stage in plan.segments[plan.entry].stages:
            backend.run_stage(plan, stage, values, amps, RunControl(threads=threads))

    return run, f"{len(plan.passes)} passes, planned in {planned * 1e3:.1f} ms"


def unitary_of(instruction: Instruction) -> np.ndarray:
    """Return the matrix of a gate, qubits[0] the least significant."""
    params = [float(p) for p in instruction.params]
    gate: Any = instruction.op
    return np.asarray(gate.matrix(*params) if callable(gate.matrix) else gate.matrix)


def qsimcirq_runs(circuit: Circuit, threads: int) -> list[Run]:
    """Return runs with fusion widths 2, 3, 4 and one of an identity."""
    import cirq
    import qsimcirq

    qubits = cirq.LineQubit.range(
        circuit.num_qubits
    )  # cirq's first qubit is the most significant: the order is mirrored
    native: dict[str, Callable[..., Any]] = {
        "h": lambda: cirq.H,
        "cx": lambda: cirq.CNOT,
        "cz": lambda: cirq.CZ,
        "x": lambda: cirq.X,
        "rx": cirq.rx,
        "ry": cirq.ry,
        "rz": cirq.rz,
        "cp": lambda a: cirq.CZPowGate(exponent=a / np.pi),
        "rzz": lambda a: cirq.ZZPowGate(exponent=a / np.pi, global_shift=-0.5),
        "fsim": cirq.FSimGate,
    }
    operations = []
    for instruction in circuit.instructions:
        name, wires = instruction.op.name, [qubits[-1 - q] for q in instruction.qubits]
        if name in native:
            operations.append(native[name](*(float(p) for p in instruction.params))(*wires))
        else:
            operations.append(cirq.MatrixGate(unitary_of(instruction)).on(*reversed(wires)))
    whole = cirq.Circuit(operations)
    initial = dense_input(circuit.num_qubits, Precision.SINGLE)[0]

    def run_of(subject: Any, width: int) -> Run:
        options = qsimcirq.QSimOptions(max_fused_gate_size=width, cpu_threads=threads)
        simulator = qsimcirq.QSimSimulator(options)

        def run() -> None:
            simulator.simulate(subject, initial_state=initial, qubit_order=qubits)

        return run

    idle = cirq.Circuit(cirq.I(qubits[0]))
    return [*(run_of(whole, width) for width in (2, 3, 4)), run_of(idle, 2)]


def qulacs_run(circuit: Circuit) -> Run:
    """Return a run in place (threads come from OMP_NUM_THREADS)."""
    import qulacs

    native: dict[str, Callable[..., Any]] = {
        "h": qulacs.gate.H,
        "x": qulacs.gate.X,
        "cx": qulacs.gate.CNOT,
        "cz": qulacs.gate.CZ,
        "rx": lambda q, a: qulacs.gate.RX(q, -a),
        "ry": lambda q, a: qulacs.gate.RY(q, -a),
        "rz": lambda q, a: qulacs.gate.RZ(q, -a),
        "u3": lambda q, t, p, m: qulacs.gate.U3(q, t, p, m),
    }
    subject = qulacs.QuantumCircuit(circuit.num_qubits)
    for instruction in circuit.instructions:
        name, wires = instruction.op.name, list(instruction.qubits)
        if name in native:
            subject.add_gate(native[name](*wires, *(float(p) for p in instruction.params)))
            continue
        matrix = unitary_of(instruction)
        if np.count_nonzero(matrix - np.diag(np.diag(matrix))) == 0:
            subject.add_gate(qulacs.gate.DiagonalMatrix(wires, np.diag(matrix)))
        else:
            subject.add_gate(qulacs.gate.DenseMatrix(wires, matrix))
    state = qulacs.QuantumState(circuit.num_qubits)
    state.load(dense_input(circuit.num_qubits, Precision.DOUBLE)[0])
    return lambda: subject.update_quantum_state(state)


def interleaved(runs: Sequence[Run], repeat: int) -> list[list[float]]:
    """Return the times of each run, taken in turn."""
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(repeat):
        for run, taken in zip(runs, times, strict=True):
            started = time.perf_counter()
            run()
            taken.append(time.perf_counter() - started)
    return times


def report(name: str, times: Sequence[float], num_qubits: int, note: str = "") -> None:
    least = min(times)
    click.echo(
        f"  {name:22} min {least * 1e3:9.2f} ms  median {median(times) * 1e3:9.2f} ms  "
        f"{least / 2**num_qubits * 1e9:8.3f} ns/amplitude  {note}"
    )


@click.command()
@click.option("--qubits", default=24, show_default=True)
@click.option("--family", "families", multiple=True, type=click.Choice(list(CIRCUITS)), default=DEFAULT)
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--repeat", default=3, show_default=True)
@click.option("--precision", "names", default=("single", "double"), multiple=True, show_default=True)
@click.option("--peers/--no-peers", default=True, show_default=True)
def main(
    qubits: int, families: tuple[str, ...], threads: int, repeat: int, names: tuple[str, ...], peers: bool
) -> None:
    click.echo(f"{cpu_name()}, {NativeCpuBackend().description}, n = {qubits}, {threads} threads")
    for precision in map(Precision.of, names):
        for family in families:
            circuit = CIRCUITS[family](qubits)
            run, note = ours(circuit, precision, threads)
            run()  # tables and pages are warm
            runs = [run]
            labels = ["qsim-core"]
            if peers and precision is Precision.SINGLE:
                runs += qsimcirq_runs(circuit, threads)
                labels += ["qsimcirq, fusion 2", "qsimcirq, fusion 3", "qsimcirq, fusion 4", "idle"]
            elif peers:
                runs.append(qulacs_run(circuit))
                labels.append("qulacs")
            times = interleaved(runs, repeat)
            click.echo(f"{family}, {circuit.num_gates} gates, {precision.value}")
            report(labels[0], times[0], qubits, note)
            if labels[-1] == "idle":
                idle = min(times.pop())
                times[1:] = [[t - idle for t in each] for each in times[1:]]
            for label, each in zip(labels[1:], times[1:], strict=False):
                report(label, each, qubits)
            if len(times) > 1:
                best, own = min(map(min, times[1:])), min(times[0])
                click.echo(f"  {'best peer / ours':22} {best / own:.2f}")


if __name__ == "__main__":
    main()
