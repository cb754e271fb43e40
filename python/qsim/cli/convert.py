"""``qsim convert``: OpenQASM 2, OpenQASM 3 and Program JSON into each other."""

from __future__ import annotations

from pathlib import Path

import click

from qsim_core.program import Program

from . import files, options
from .exits import EXIT_CODES
from .from_program import circuit_from_program

__all__ = ["convert"]

_HELP = f"""Write a circuit in another format.

OpenQASM keeps names of gates. A Program as JSON is structural (rotations, phases, matrices): the way back from it
gives an equal circuit, but not the same names.

\b
Examples:
  qsim convert old.qasm new.qasm --to qasm3
  qsim convert circuit.qasm circuit.json
  qsim convert circuit.qasm - --to qasm2       to standard output

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Write a circuit in another format.")
@click.argument("source", metavar="IN", type=files.CIRCUIT_FILE)
@click.argument("out", metavar="OUT", type=options.OutFile(allow_dash=True))
@click.option(
    "--to",
    "target",
    type=click.Choice(["qasm2", "qasm3", "json"]),
    help="Default: json where OUT ends so, else qasm3.",
)
@options.INCLUDE
def convert(source: str, out: str, target: str | None, allow_include: bool) -> None:
    """Read one, write the other."""
    circuit = files.load(source, allow_include)
    if (target or ("json" if out.endswith(".json") else "qasm3")) == "json":
        from qsim_core.serialization import program_to_json

        text = program_to_json(files.program_of(circuit)) + "\n"
    else:
        if isinstance(circuit, Program):
            circuit = circuit_from_program(circuit)
        text = circuit.to_qasm(2 if target == "qasm2" else 3)
    if out == "-":
        click.echo(text, nl=False)
    else:
        Path(out).write_text(text, encoding="utf-8")
