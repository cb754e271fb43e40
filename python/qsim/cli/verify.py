"""``qsim verify``: does every backend of this machine compute what the reference says?"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import click

from qsim_core.kernels import registry
from qsim_core.resources import available_threads
from qsim_core.types import Precision

from ..circuit import Circuit
from ..result import Result
from . import files, options
from .exits import EXIT_CODES, Exit
from .random_circuits import deviation, exact, random_circuits, run_sampled

__all__ = ["verify"]

#: Qubits and gates of the random circuits: tiny ones, and one whose state spans several tiles and threads.
_SIZES = ((1, 12), (2, 20), (4, 60), (7, 120), (15, 40))

_HELP = f"""Compare every backend with the reference, in both precisions, with one thread and with all.

Random circuits over the whole gate table, with extra controls; amplitudes must agree to rounding, and in double
precision the shots of the same seed must be the same.

With --device cuda: everything that a GPU's backends promise, on the card that is here: conformance, verbs, random circuits,
closed forms at growing sizes, and itself again under compute-sanitizer where that is installed.

\b
Examples:
  qsim verify
  qsim verify --backend numba_cpu
  qsim verify --device cuda --json report.json

{EXIT_CODES}"""


class _Row(NamedTuple):
    backend: str
    precision: str
    threads: int
    circuits: int
    error: float
    allowed: float
    problem: str


@click.command(help=_HELP, short_help="Compare every backend with the reference.")
@click.option(
    "--backend",
    metavar="NAME",
    callback=options.known_backend,
    help="Check this one only. Default: all that are available.",
)
@click.option("--device", type=click.Choice(["cuda"]), help="Check the backends of this kind of device thoroughly.")
@click.option(
    "--largest", default=34, show_default=True, help="With --device: most qubits of closed forms, if they fit."
)
@click.option("--sanitizer/--no-sanitizer", default=True, help="With --device: use compute-sanitizer if it is there.")
@options.JSON_OUT
def verify(backend: str | None, device: str | None, largest: int, sanitizer: bool, json_out: str | None) -> int:
    """Print one line per backend, precision and number of threads; the exit code says whether all agree."""
    if device is not None:
        from .cuda_verification import verify_cuda  # brings the conformance kit

        return verify_cuda(backend, largest, sanitizer, json_out)
    if backend is not None:
        registry.backend(backend)  # raises with the reason
        names = [registry.backend(backend).name]
    else:
        names = [name for name in registry.names() if registry.availability(name) is None]
    cases = random_circuits(_SIZES)
    truths = [exact(circuit) for circuit in cases]
    rows = []
    quiet = json_out == "-"
    if not quiet:
        click.echo(_table_row("backend", "precision", "threads", "circuits", "largest error", "allowed", "verdict"))
    for name in names:
        for precision in Precision:
            for threads in sorted({1, available_threads()}):
                row = _check(name, precision, threads, cases, truths)
                rows.append(row)
                if not quiet:
                    figures = (f"{row.error:.2e}", f"{row.allowed:.1e}", row.problem or "ok")
                    click.echo(_table_row(row.backend, row.precision, row.threads, row.circuits, *figures))
    good = all(not row.problem for row in rows)
    if json_out:
        files.write_json({"ok": good, "checks": [_row_json(row) for row in rows]}, json_out)
    if not quiet:
        missing = [name for name in registry.names() if registry.availability(name) is not None]
        for name in missing if backend is None else ():
            click.echo(f"{name}: not available here ({registry.availability(name)})")
        click.echo("All agree." if good else "Something is wrong: do not trust these backends, and please report it.")
    return Exit.OK if good else Exit.FAILED


def _table_row(*cells: object) -> str:
    return "".join(f"{cell!s:<{width}}" for cell, width in zip(cells, (14, 11, 9, 10, 15, 11, 0), strict=True))


def _row_json(row: _Row) -> dict[str, Any]:
    return {**row._asdict(), "error": row.error if math.isfinite(row.error) else None}


def _check(name: str, precision: Precision, threads: int, cases: list[Circuit], truths: list[Result]) -> _Row:
    worst, allowed, problem = 0.0, 0.0, ""
    for circuit, truth in zip(cases, truths, strict=True):
        try:
            result = run_sampled(circuit, name, precision, threads)
        except Exception as failure:  # whatever a broken backend raises is a finding of this command
            problem = f"{type(failure).__name__}: {failure}"
            return _Row(name, precision.value, threads, len(cases), math.inf, allowed, problem)
        error, bound = deviation(result, truth, circuit.num_gates)
        worst, allowed = max(worst, error), max(allowed, bound)
        if error > bound:
            problem = f"WRONG at {circuit.num_qubits} qubits"
        elif precision is Precision.DOUBLE and result.counts != truth.counts:
            problem = f"OTHER SHOTS at {circuit.num_qubits} qubits"
    return _Row(name, precision.value, threads, len(cases), worst, allowed, problem)
