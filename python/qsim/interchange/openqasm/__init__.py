"""OpenQASM 2 and 3, in and out: a small bounded reader and a writer, without other packages.

>>> circuit = loads('OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; h q[0]; cx q[0],q[1];')
>>> circuit.num_qubits, dict(circuit.count_gates())
(2, {'h': 1, 'cx': 1})

What is supported, the limits and the meaning of messages: ``docs/openqasm.md``.
"""

from __future__ import annotations

from pathlib import Path

from ...circuit import Circuit
from .errors import QasmError
from .exporter import export
from .limits import Limits
from .loader import load_file, load_text

__all__ = ["Limits", "QasmError", "dumps", "load", "loads"]


def loads(
    text: str, *, allow_include: bool = False, limits: Limits | None = None, filename: str = "<string>"
) -> Circuit:
    """Read OpenQASM 2 or 3 source text.

    Args:
        text: the program; its first statement says the version.
        allow_include: read other files named by ``include``, from the current folder and below. The standard
            libraries qelib1.inc and stdgates.inc are built in and need no file.
        limits: bounds on the text and on what it expands to.
        filename: the name used in messages.

    Raises:
        QasmError: for anything that is malformed, not supported or above a limit, with line and column.
    """
    return load_text(text, filename, Path(), allow_include, limits or Limits())


def load(path: str | Path, *, allow_include: bool = False, limits: Limits | None = None) -> Circuit:
    """Read an OpenQASM file; like :func:`loads`, with included files looked for in its folder and below."""
    return load_file(path, allow_include, limits or Limits())


def dumps(circuit: Circuit, version: int = 3) -> str:
    """Return OpenQASM source text of a circuit.

    Args:
        circuit: any circuit of gates, measurements, resets and, in version 3, blocks on measured bits.
        version: 3 or 2.

    Raises:
        UnsupportedError: naming the instruction that the language can't express.
    """
    return export(circuit, version)
