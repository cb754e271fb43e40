"""Predicted beside measured time of circuit families.

    python -m benchmarks.bench_cost_model -n 20 -n 22 --precision single --calibrate

A run starts from |0…0⟩ with a plan at hand and ends with the amplitudes in memory; the prediction is that of
``CompiledCircuit.costs``. Clocks and other users of the same cores change a machine's speed within seconds, so one small
circuit (brickwork of 18 qubits) is run before and after every run, and the last column divides by how well that one
was predicted: what is left is what the model gets wrong.
"""

from __future__ import annotations

import os
import statistics
import time

import click

from qsim import CompiledCircuit, Simulator
from qsim_core import calibration
from qsim_core.cost_model import CostModel
from qsim_core.kernels import registry

from .circuits import CIRCUITS


@click.command()
@click.option("--family", "families", multiple=True, type=click.Choice(list(CIRCUITS)), help="Repeat. [all]")
@click.option("--qubits", "-n", multiple=True, type=int, default=(20, 22), show_default=True)
@click.option("--precision", "precisions", multiple=True, default=("single", "double"), show_default=True)
@click.option("--threads", default=os.cpu_count() or 1, show_default=True)
@click.option("--repeat", default=3, show_default=True)
@click.option("--calibrate", is_flag=True, help="Measure the constants first, and do not keep them.")
def main(
    families: tuple[str, ...], qubits: tuple[int, ...], precisions: tuple[str, ...], threads: int, repeat: int,
    calibrate: bool,
) -> None:  # fmt: skip
    """Print a Markdown table and the largest factor by which a prediction is wrong."""
    backend = registry.backend("native_cpu")
    model = calibration.calibrate(backend, store=False) if calibrate else calibration.cost_model(backend)
    click.echo(f"{backend.description}, {threads} threads, constants: {model.source}\n")
    click.echo(
        "| family | n | precision | predicted, ms | measured, ms | predicted / measured | at the speed of the moment |"
    )
    click.echo("| --- | --- | --- | --- | --- | --- | --- |")
    plain, corrected = [], []
    for precision in precisions:
        simulator = Simulator("native_cpu", precision, threads=threads)
        probe = _Timed(simulator.compile(CIRCUITS["brickwork"](18)), model)
        for n in qubits:
            for family in families or tuple(CIRCUITS):
                circuit = _Timed(simulator.compile(CIRCUITS[family](n)), model)
                taken, speeds = [], [probe.run()]
                for _ in range(repeat):
                    taken.append(circuit.run())
                    speeds.append(probe.run())
                measured = statistics.median(taken)
                plain.append(circuit.predicted / measured)
                corrected.append(plain[-1] * statistics.median(speeds) / probe.predicted)
                cells = f"{circuit.predicted * 1e3:.3g} | {measured * 1e3:.3g} | {plain[-1]:.2f} | {corrected[-1]:.2f}"
                click.echo(f"| {family} | {n} | {precision} | {cells} |")
    for name, ratios in (("as measured", plain), ("at the speed of the moment", corrected)):
        within = sum(2 / 3 <= ratio <= 1.5 for ratio in ratios)
        click.echo(f"\n{name}: {within} of {len(ratios)} within a factor 1.5; {min(ratios):.2f} to {max(ratios):.2f}")


class _Timed:
    """A circuit, its predicted time, and its time now."""

    def __init__(self, compiled: CompiledCircuit, model: CostModel) -> None:
        costs = compiled.costs()
        precision, state = costs.plan.precision, costs.plan.precision.bytes_per_amplitude << costs.plan.num_qubits
        self.predicted = model.run_seconds(costs.works, precision, costs.threads, state)
        self._compiled = compiled
        self.run()

    def run(self) -> float:
        started = time.perf_counter()
        kept = self._compiled.run(outputs=["state"])
        seconds = time.perf_counter() - started
        del kept  # giving memory back is not in the time
        return seconds


if __name__ == "__main__":
    main()
