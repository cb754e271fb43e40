"""Circuits in, documents out: ``-`` is standard input or output, and the content decides the format, not the name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from qsim_core.compiler import compile_program
from qsim_core.errors import ProgramFormatError, QsimError, expected
from qsim_core.operations import OpKind
from qsim_core.program import Program, ProgramBuilder

from ..circuit import Circuit
from .exits import InputError

__all__ = [
    "CIRCUIT_FILE",
    "DEFAULT_SHOTS",
    "load",
    "parameters",
    "program_of",
    "with_shots",
    "write_json",
    "write_json_lines",
]

#: Read at most so much from standard input, as the parser does from files.
_MAX_STDIN = 64 * 2**20

#: Shots of a circuit that measures, where nobody says how many.
DEFAULT_SHOTS = 1024

CIRCUIT_FILE = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)


def load(name: str, allow_include: bool = False) -> Circuit | Program:
    """Read an OpenQASM file as a Circuit, or a Program from its JSON.

    Raises:
        InputError: for whatever is wrong with the text, with its place.
    """
    try:
        return _load(name, allow_include)
    except UnicodeDecodeError as error:
        raise InputError(f"{_shown(name)}: not a text file (byte {error.start} is not UTF-8).") from error
    except ProgramFormatError as error:
        text = str(error)
        if not text.startswith(_shown(name)):
            text = f"{_shown(name)}: {text}"
        raise InputError(f"{text}{_hint(error, allow_include)}") from error
    except QsimError as error:
        raise InputError(f"{_shown(name)}: {error}") from error


def _hint(error: ProgramFormatError, allow_include: bool) -> str:
    """Return what the command line can add to a message of the parser."""
    if "including" in str(error) and not allow_include:
        return " Use --allow-include if you trust the file."
    if isinstance(error, _NotQasm):
        return "\nIs this a circuit? OpenQASM starts with 'OPENQASM 3.0;' or 'OPENQASM 2.0;', a Program with '{'."
    return ""


class _NotQasm(ProgramFormatError):
    """The text is refused and does not say that it is OpenQASM."""


def _load(name: str, allow_include: bool) -> Circuit | Program:
    from ..interchange import openqasm

    if name == "-":
        data = sys.stdin.buffer.read(_MAX_STDIN + 1)
        if len(data) > _MAX_STDIN:
            raise ProgramFormatError(expected("standard input", f"at most {_MAX_STDIN // 2**20} MiB", "more"))
        text = data.decode("utf-8-sig")
        if _is_json(text):
            return _from_json(text)
        _not_empty(name, text)
        with _suspecting(text):
            return openqasm.loads(text, filename="<stdin>", allow_include=allow_include)
    path = Path(name)
    with path.open("rb") as file:
        head = file.read(4096).decode("utf-8-sig", errors="replace")
    if _is_json(head):
        return _from_json(path.read_bytes())
    _not_empty(name, head)
    with _suspecting(head):
        return openqasm.load(path, allow_include=allow_include)


@contextmanager
def _suspecting(head: str) -> Iterator[None]:
    try:
        yield
    except ProgramFormatError as error:
        if "OPENQASM" in head:
            raise
        raise _NotQasm(str(error)) from error


def _not_empty(name: str, head: str) -> None:
    if not head.strip():
        raise ProgramFormatError(expected(_shown(name), "an OpenQASM 2 or 3 circuit or a Program as JSON", "no text"))


def _is_json(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _from_json(text: str | bytes) -> Program:
    from qsim_core.serialization import program_from_json

    return program_from_json(text)


def _shown(name: str) -> str:
    return "<stdin>" if name == "-" else name


def program_of(circuit: Circuit | Program) -> Program:
    """Return the structural form."""
    return circuit if isinstance(circuit, Program) else circuit.lowered().program


def parameters(circuit: Circuit | Program) -> tuple[str, ...]:
    """Return the names of the free parameters."""
    return circuit.slots if isinstance(circuit, Program) else circuit.parameters


def with_shots(circuit: Circuit | Program, shots: int | None) -> tuple[Circuit | Program, int | None]:
    """Return what to run and how often.

    A circuit that measures is sampled. One that measures nothing is not, unless shots are asked for or its end is
    random (it resets, branches or has noise); then every qubit is measured at its end.
    """
    program = program_of(circuit)
    if any((block.kind == OpKind.MEASURE).any() for block in program.blocks):
        return circuit, shots or DEFAULT_SHOTS
    if shots is None and compile_program(program).straight_line:
        return circuit, None
    return _measure_all(circuit), shots or DEFAULT_SHOTS


def _measure_all(circuit: Circuit | Program) -> Circuit | Program:
    if isinstance(circuit, Circuit):
        return circuit.copy().measure_all()
    wires = range(circuit.num_qubits)
    builder = ProgramBuilder(circuit.num_qubits, max(circuit.num_qubits, circuit.num_clbits), circuit.slots)
    builder.extend(circuit.operations())
    builder.measure(wires, wires)
    return builder.finish()


def write_json(document: Any, out: str) -> None:
    """Write a JSON document to a file (indented), or to standard output on one line."""
    if out == "-":
        click.echo(json.dumps(document, ensure_ascii=False, allow_nan=False))
    else:
        text = json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)
        Path(out).write_text(text + "\n", encoding="utf-8")


def write_json_lines(documents: list[Any], out: str) -> None:
    """Write one document as :func:`write_json` does, several one per line (JSON Lines)."""
    if len(documents) == 1:
        write_json(documents[0], out)
    else:
        lines = [json.dumps(document, ensure_ascii=False, allow_nan=False) for document in documents]
        Path(out).write_text("\n".join(lines) + "\n", encoding="utf-8")
