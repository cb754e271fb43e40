"""Writes docs/gates.md from the gate table: ``python -m qsim_core.gates.document [path]``.

>>> angle_text(affine(0.5, -1, constant=math.pi / 4), ("theta", "phi"))
'theta/2 - phi + pi/4'
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path

from ..operations import Angle, Dense, Diagonal, Permutation, Phase, Rotation
from .spec import GateSpec, Term, affine
from .table import FAMILIES, GATES

__all__ = ["angle_text", "document", "main"]

_TITLES = {
    "pauli": "Pauli gates",
    "hadamard": "Hadamard",
    "phase": "Phases",
    "rotations": "Rotations",
    "euler": "Euler angles",
    "swap": "Swaps",
    "interaction": "Interactions",
    "fermionic": "Excitations",
    "multi": "Controlled gates",
}

_INTRODUCTION = f"""\
# Gates

Generated from the gate table by `python -m qsim_core.gates.document`; do not edit. The table holds {len(GATES)} gates.

* Wires of a gate count from 0: its controls first, then its targets. Wire 0 is bit 0, the least significant, of the
  matrix index. Kets such as |01⟩ list wire 0 first, and so do Pauli strings.
* Parameters are radians, except the exponents of Cirq's powers, which count half turns. A Cirq gate with
  `global_shift` s is the gate listed here times the global phase e^(i pi s exponent).
* *Operations* is what a gate becomes in a program, in order: `R[XY](a)` = exp(-i a/2 X⊗Y); `phase(a)` = e^(i a) on the
  states in which the controls have their values; `matrix` and `permutation` are constant. `@ 0, 1` names the wires
  acted on and `if 0, !1` the controls: wire 0 is 1, wire 1 is 0.
* *Frame* runs before the operations and is undone after them; a control on the gate leaves it alone.
* More controls, of either value, can be put on every gate; its global phase is then controlled too.
"""


def document() -> str:
    """Return the page."""
    parts = [_INTRODUCTION]
    for family, records in FAMILIES.items():
        names = ", ".join(f"[{spec.name}](#{spec.name})" for spec in records)
        parts.append(f"## {_TITLES[family]}\n\n{names}\n")
        parts.extend(_section(spec) for spec in records)
    return "\n".join(parts)


def main(path: str = "docs/gates.md") -> None:
    """Write the page."""
    Path(path).write_text(document(), encoding="utf-8")


def _section(spec: GateSpec) -> str:
    title = f"{spec.name}({', '.join(spec.params)})" if spec.params else spec.name
    lines = [f'### <a id="{spec.name}"></a>`{title}`', "", spec.doc, ""]
    lines.append(f"* Wires: {_wires_text(spec)}")
    if spec.frame:
        lines.append(f"* Frame: {'; '.join(_term_text(term, spec.params) for term in spec.frame)}")
    lines.append(f"* Operations: {'; '.join(_term_text(term, spec.params) for term in spec.body) or 'none'}")
    lines.append(f"* Inverse: {_inverse_text(spec)}")
    for label, names in (("Aliases", spec.aliases), ("OpenQASM 2", spec.qasm2), ("OpenQASM 3", spec.qasm3)):
        if names:
            lines.append(f"* {label}: {', '.join(f'`{name}`' for name in names)}")
    if spec.reference:
        lines.append(f"* Defined in: {spec.reference}")
    return "\n".join([*lines, ""])


def _wires_text(spec: GateSpec) -> str:
    def counted(number: int, noun: str) -> str:
        return f"{number} {noun}" + ("" if number == 1 else "s")

    targets = counted(spec.num_targets, "target")
    return f"{counted(spec.num_controls, 'control')}, {targets}" if spec.num_controls else targets


def _inverse_text(spec: GateSpec) -> str:
    symbols = tuple(affine(*(0.0,) * k, 1.0) for k in range(spec.num_params))
    other, params = spec.inverse(symbols)
    arguments = ", ".join(angle_text(angle, spec.params) for angle in params)
    return f"`{other.name}({arguments})`" if params else f"`{other.name}`"


def _term_text(term: Term, names: tuple[str, ...]) -> str:
    match term:
        case Rotation(pauli, angle):
            text = f"R[{pauli}]({angle_text(angle, names)})"
        case Phase(angle):
            text = f"phase({angle_text(angle, names)})"
        case Dense():
            text = "matrix"
        case Diagonal():
            text = "diagonal"
        case Permutation(table):
            text = f"permutation({', '.join(map(str, table))})"
    if not isinstance(term, Phase):
        text += f" @ {', '.join(map(str, term.targets))}"
    if term.controls:
        bits = zip(term.controls, term.control_values, strict=True)
        text += f" if {', '.join(f'{wire}' if value else f'!{wire}' for wire, value in bits)}"
    return f"`{text}`"


def angle_text(angle: Angle, names: tuple[str, ...]) -> str:
    """Return an affine expression as people write it, with fractions and multiples of pi."""
    pieces = [(coefficient, names[position]) for position, coefficient in angle.terms]
    if angle.constant or not pieces:
        pieces.append((angle.constant, ""))
    text = ""
    for factor, name in pieces:
        sign = ("-" if factor < 0 else "") if not text else (" - " if factor < 0 else " + ")
        text += sign + _product_text(abs(factor), name)
    return text


def _product_text(factor: float, name: str) -> str:
    """Return ``factor · name`` for a factor that is a simple fraction, perhaps of pi."""
    for unit, symbol in ((1.0, ""), (math.pi, "pi")):
        fraction = Fraction(factor / unit).limit_denominator(16)
        if math.isclose(fraction * unit, factor, rel_tol=1e-14):
            words = [str(fraction.numerator)] if fraction.numerator != 1 or not (symbol or name) else []
            product = " ".join(words + [word for word in (symbol, name) if word])
            return product if fraction.denominator == 1 else f"{product}/{fraction.denominator}"
    return f"{factor!r} {name}".rstrip()


if __name__ == "__main__":
    main(*sys.argv[1:])
