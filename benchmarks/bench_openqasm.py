"""A long OpenQASM file from text to state: load, lower, plan, run.

python -m benchmarks.bench_openqasm --gates 100000 --qubits 10
"""

from __future__ import annotations

import importlib.util
import random
import time

import click

import qsim
from qsim.interchange import openqasm
from qsim_core.compiler import clear_plan_cache

GATES = (
    "h",
    "x",
    "t",
    "sdg",
    "sx",
    "rx({})",
    "ry({})",
    "rz({})",
    "p({})",
    "u3({},{},{})",
    "cx",
    "cz",
    "cp({})",
    "swap",
    "ccx",
)


def text(gates: int, qubits: int, seed: int = 1) -> str:
    """Return an OpenQASM 2 program of random qelib1 gates, a third of the angles written as fractions of pi."""
    rng = random.Random(seed)
    lines = ['OPENQASM 2.0;\ninclude "qelib1.inc";', f"qreg q[{qubits}];\ncreg c[{qubits}];"]
    for _ in range(gates):
        name = rng.choice(GATES)
        angles = [
            rng.choice((f"{rng.uniform(-3, 3):.12g}", f"{rng.randint(-7, 7)}*pi/8")) for _ in range(name.count("{}"))
        ]
        width = 3 if name == "ccx" else 2 if name[0] == "c" or name == "swap" else 1
        wires = ",".join(f"q[{q}]" for q in rng.sample(range(qubits), width))
        lines.append(f"{name.format(*angles)} {wires};")
    return "\n".join([*lines, "measure q -> c;", ""])


@click.command()
@click.option("--gates", default=100_000, show_default=True)
@click.option("--qubits", default=10, show_default=True)
@click.option("--repeat", default=3, show_default=True)
def main(gates: int, qubits: int, repeat: int) -> None:
    """Print the best time of every step, and of qiskit.qasm2's reader where it is installed."""
    source = text(gates, qubits)
    simulator = qsim.Simulator(seed=1)
    best: dict[str, float] = {}

    def step(name: str, started: float) -> None:
        best[name] = min(best.get(name, float("inf")), time.perf_counter() - started)

    for _ in range(repeat):
        started = time.perf_counter()
        circuit = openqasm.loads(source)
        step("load", started)
        started = time.perf_counter()
        circuit.lowered()
        step("lower to a Program", started)
        clear_plan_cache()
        started = time.perf_counter()
        plan = simulator.compile(circuit).plan()
        step("plan", started)
        started = time.perf_counter()
        result = simulator.run(circuit, shots=1000)
        step("run with 1000 shots, plan cached", started)
        if importlib.util.find_spec("qiskit"):
            from qiskit import qasm2

            started = time.perf_counter()
            qasm2.loads(source, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
            step("(qiskit.qasm2 load)", started)
    print(f"{gates} gates, {qubits} qubits, {len(source) / 2**20:.2f} MiB, {plan}, {result.provenance['device']}")
    for name, seconds in best.items():
        print(f"{name:34} {seconds:8.3f} s  {seconds / gates * 1e6:7.2f} µs per gate")


if __name__ == "__main__":
    main()
