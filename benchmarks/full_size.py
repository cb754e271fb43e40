"""Large runs from end to end: time, norm and peak memory beside the bytes of the state.

    python -m benchmarks.full_size --qubits 26

Every case runs in a process of its own. Peak memory is VmHWM during the run minus VmRSS before it (Linux); the state is
kept and one expectation value is read. No claim without its machine: the first line names CPU and instruction set.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import click

CASES = ("qft", "brickwork")


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    with open("/proc/self/status", encoding="ascii") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024


def measure(case: str, num_qubits: int, precision: str, threads: int, backend: str) -> dict[str, Any]:
    """Run one case in this process."""
    import qsim
    from benchmarks import circuits

    circuit = circuits.qft(num_qubits) if case == "qft" else circuits.brickwork(num_qubits, 20)
    circuit.lowered()
    simulator = qsim.Simulator(backend, precision, threads=threads, seed=1)
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")  # resets VmHWM
    before = _status("VmRSS")
    started = time.perf_counter()
    result = simulator.run(circuit, observables=["Z0 Z1"], outputs=["state"])
    seconds = time.perf_counter() - started
    used = _status("VmHWM") - before
    state = result.state.amps.nbytes
    return {
        "case": case,
        "num_qubits": num_qubits,
        "precision": precision,
        "backend": result.provenance["backend"],
        "device": result.provenance["device"],
        "gates": circuit.num_gates,
        "seconds": round(seconds, 3),
        "ns_per_amplitude": round(seconds * 1e9 / 2**num_qubits, 2),
        "norm_minus_1": result.norm - 1,
        "peak_over_state": round(used / state, 4),
    }


@click.command()
@click.option("--qubits", default=26, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--backend", default="auto", show_default=True)
@click.option("--child", hidden=True, nargs=2)
def main(qubits: int, threads: int, backend: str, child: tuple[str, str] | None) -> None:
    """Run all cases, one process each, and print one JSON object per line."""
    if child:
        print(json.dumps(measure(child[0], qubits, child[1], threads, backend)))
        return
    for case in CASES:
        for precision in ("single", "double"):
            options = ["--qubits", str(qubits), "--threads", str(threads), "--backend", backend]
            command = [sys.executable, "-m", "benchmarks.full_size", *options, "--child", case, precision]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
