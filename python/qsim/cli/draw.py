"""``qsim draw``: a circuit as text or as a picture."""

from __future__ import annotations

import click

from qsim_core.program import Program

from ..drawing import draw as paint
from . import files, options
from .exits import EXIT_CODES
from .from_program import circuit_from_program
from .terminal import can_show

__all__ = ["draw"]

_HELP = f"""Draw a circuit, qubit 0 on top, wrapped to the terminal.

● and ○ are controls on 1 and 0, ⊕ is X under controls, × one end of a swap, ░ a barrier, M→c0 a measurement into c0.

\b
Examples:
  qsim draw teleportation.qasm
  qsim draw teleportation.qasm -o teleportation.svg
  qsim draw teleportation.qasm --ascii --width 72

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Draw a circuit as text or as a picture.")
@click.argument("name", metavar="FILE", type=files.CIRCUIT_FILE)
@click.option("--format", "format_", type=click.Choice(["text", "svg", "png", "pdf"]), help="Default: the end of OUT.")
@click.option(
    "-o",
    "--out",
    metavar="OUT",
    type=options.OutFile(".txt", ".svg", ".png", ".pdf"),
    help="File to write (.txt, .svg, .png, .pdf).",
)
@click.option("--width", type=click.IntRange(min=30), metavar="N", help="Characters per line. Default: the terminal's.")
@click.option("--ascii", is_flag=True, help="Use ASCII characters only (the default where the terminal has no others).")
@options.INCLUDE
def draw(name: str, format_: str | None, out: str | None, width: int | None, ascii: bool, allow_include: bool) -> None:
    """Print or write the drawing."""
    if format_ not in (None, "text") and out is None:
        raise click.UsageError(f"--format {format_} needs a file: add -o circuit.{format_}")
    circuit = files.load(name, allow_include)
    if isinstance(circuit, Program):
        circuit = circuit_from_program(circuit)
    if out is None:
        plain = ascii or not can_show("┤●⊕×░→")
        click.echo(paint(circuit, width=width, ascii=plain))
        return
    if format_ is not None:
        suffix = ".txt" if format_ == "text" else f".{format_}"
        if not out.lower().endswith(suffix):
            raise click.UsageError(f"--format {format_} writes a file that ends in {suffix}, got {out!r}.")
    paint(circuit, out, width=width, ascii=ascii)
