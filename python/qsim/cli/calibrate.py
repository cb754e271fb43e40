"""``qsim calibrate``: measure the constants that time is predicted with."""

from __future__ import annotations

import time
from dataclasses import fields
from typing import Any

import click

from qsim_core import calibration
from qsim_core.cost_model import CostModel, Rates
from qsim_core.kernels import registry

from . import files, options
from .exits import EXIT_CODES

__all__ = ["calibrate"]

_HELP = f"""Measure this machine for a second or two, for the times that `qsim plan` predicts, and keep the figures.

Without it, defaults for the processor and its instruction set are used. Best done while nothing else runs. The figures are
kept in the user's cache, or in the folder QSIM_CACHE_DIR.

\b
Examples:
  qsim calibrate
  qsim calibrate --show                  the figures in use
  qsim calibrate --forget                back to the defaults

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Measure how fast this machine is, for predicted times.")
@click.option("--show", is_flag=True, help="Measure nothing: show the figures in use.")
@click.option("--forget", is_flag=True, help="Measure nothing: remove what was kept.")
@options.JSON_OUT
def calibrate(show: bool, forget: bool, json_out: str | None) -> None:
    """Print the constants, and where they are kept."""
    if show and forget:
        raise click.UsageError("--show and --forget exclude each other.")
    backend = registry.backend("native_cpu")
    path = calibration.stored_path()
    if forget:
        calibration.forget()
    started = time.perf_counter()
    model = calibration.cost_model(backend) if show or forget else calibration.calibrate(backend)
    taken = time.perf_counter() - started
    if json_out:
        files.write_json({"file": str(path), "backend": backend.name, **model.to_json()}, json_out)
    if json_out != "-":
        click.echo("\n".join(_lines(model)))
        if not show and not forget:
            click.echo(f"Measured in {taken:.1f} s, kept in {path}.")


def _lines(model: CostModel) -> list[str]:
    rows: list[list[Any]] = [["nanoseconds of one core for", "single", "double"]]
    for field in fields(Rates):
        single, double = getattr(model.single, field.name), getattr(model.double, field.name)
        rows.append([_MEANINGS[field.name], f"{single:.3g}", f"{double:.3g}"])
    lines = [f"{row[0]:44}{row[1]:>10}{row[2]:>10}" for row in rows]
    return [
        f"constants: {model.source}",
        *(f"  {line}" for line in lines),
        f"  memory, all threads {model.bandwidth / 1e9:.3g} GB/s read and written; new memory {1e-9 / model.fresh:.3g} GB/s; "
        f"a run starts in {model.start * 1e6:.3g} µs",
    ]


_MEANINGS = {
    "steps": "a call of a kernel",
    "moved": "an amplitude into a tile and back",
    "touched": "an amplitude loaded and stored in cache",
    "rotations": "a multiply-add of a rotation or matrix",
    "lanes": "one within vectors",
    "diagonals": "one of a diagonal",
    "entries": "an entry of a table",
    "copies": "an entry copied for one tile",
    "operations": "an operation bound",
}
