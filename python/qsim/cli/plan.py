"""``qsim plan``: what a run would need, before anything is allocated."""

from __future__ import annotations

import click

from qsim_core.resources import format_bytes
from qsim_core.types import Precision

from . import files, options
from .cost import Estimate, estimate
from .exits import EXIT_CODES, Exit

__all__ = ["plan"]

_HELP = f"""Say what a run would need in memory and time, and what to do if that is too much. Allocates nothing.

The time is predicted from the bytes and the arithmetic of every pass and from constants of the processor, those of
`qsim calibrate` if it was called. Shots and expectation values are not in it.

\b
Examples:
  qsim plan ghz.qasm
  qsim plan big.qasm --precision single --json -
  qsim plan ghz.qasm --measure                 run it too, and compare
  qsim plan big.qasm && qsim run big.qasm      runs only what fits: the exit code is 4 otherwise

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Say what a run would need, and whether it fits.")
@click.argument("name", metavar="FILE", type=files.CIRCUIT_FILE)
@click.option("--shots", type=click.IntRange(min=1), metavar="N", help="Default: 1024 if the circuit measures.")
@options.PRECISION
@options.BACKEND
@options.THREADS
@click.option("--measure", is_flag=True, help="Run it once, if it fits, and show the measured times beside.")
@options.INCLUDE
@options.JSON_OUT
def plan(
    name: str,
    shots: int | None,
    precision: str,
    backend: str,
    threads: int | None,
    measure: bool,
    allow_include: bool,
    json_out: str | None,
) -> int:
    """Print the estimate; the exit code says whether it fits."""
    circuit = files.load(name, allow_include)
    circuit, shots = files.with_shots(circuit, shots)
    costs = estimate(files.program_of(circuit), backend, Precision.of(precision), shots, threads, measure)
    if json_out:
        files.write_json({"file": name, **costs.to_json()}, json_out)
    if json_out != "-":
        click.echo("\n".join(_lines(name, costs)))
    return Exit.OK if costs.fits else Exit.NO_MEMORY


def _lines(name: str, costs: Estimate) -> list[str]:
    parts = ", ".join(f"{what} {format_bytes(count)}" for what, count in costs.memory.items() if count)
    # How many measurement histories there will be is not known before the run: the figures are those of one.
    times = " per measurement history" if costs.branching else ""
    lines = [
        f"{name}: {costs.num_qubits} qubits, {costs.operations} operations in {costs.passes} passes{times}, "
        f"on {costs.backend}",
        f"  memory  {format_bytes(costs.bytes)} in {costs.precision.value} precision ({parts})",
        f"  free    {format_bytes(costs.free_bytes)}",
        "  time",
        *(f"    {line}" for line in costs.costs.lines()),
    ]
    if costs.fits:
        return [*lines, "It fits."]
    return [*lines, "It does not fit. What would help:", *(f"  {k}. {r}" for k, r in enumerate(costs.remedies(), 1))]
