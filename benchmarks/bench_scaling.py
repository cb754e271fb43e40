"""One thread against several, by circuit family: how many times faster.

    python -m benchmarks.bench_scaling -n 20 -n 22 --precision single --threads 2

Runs on a random state, in place; the numbers of threads take turns, medians over rounds.
"""

from __future__ import annotations

import os
import statistics
import time

import click
import numpy as np

from qsim import Simulator, StateVector

from .circuits import CIRCUITS
from .peers.job import dense_state

#: Families with enough arithmetic per byte that memory does not limit them.
COMPUTE_BOUND = (
    "brickwork",
    "grid",
    "grid_fsim",
    "quantum_volume",
    "su4_brickwork",
    "hardware_efficient",
    "heisenberg",
)


@click.command()
@click.option("--family", "families", multiple=True, type=click.Choice(list(CIRCUITS)), default=COMPUTE_BOUND)
@click.option("--qubits", "-n", multiple=True, type=int, default=(20, 22), show_default=True)
@click.option("--precision", "precisions", multiple=True, default=("single", "double"), show_default=True)
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--repeat", default=3, show_default=True)
def main(
    families: tuple[str, ...], qubits: tuple[int, ...], precisions: tuple[str, ...], threads: int, repeat: int
) -> None:
    """Print a Markdown table."""
    click.echo(f"| family | n | precision | 1 thread, ms | {threads} threads, ms | times faster |")
    click.echo("| --- | --- | --- | --- | --- | --- |")
    for precision in precisions:
        for n in qubits:
            initial = dense_state(n, np.complex64 if precision == "single" else np.complex128)
            for family in families:
                times: dict[int, list[float]] = {1: [], threads: []}
                for turn in range(repeat + 1):
                    for count, taken in times.items():
                        compiled = Simulator("native_cpu", precision, threads=count).compile(CIRCUITS[family](n))
                        state = StateVector.over(initial, "native_cpu")
                        compiled.plan("given")
                        started = time.perf_counter()
                        compiled.apply(state)
                        if turn:  # the first one warms up
                            taken.append(time.perf_counter() - started)
                one, several = (statistics.median(taken) for taken in times.values())
                cells = f"{one * 1e3:.3g} | {several * 1e3:.3g} | {one / several:.2f}"
                click.echo(f"| {family} | {n} | {precision} | {cells} |")


if __name__ == "__main__":
    main()
