"""Numbers, parameter expressions, names and conditions as OpenQASM text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from qsim_core import classical
from qsim_core.errors import UnsupportedError, expected

from ...parameters import Atom, Parameter, ParameterExpression, ParameterValue
from .declarations import LIBRARIES
from .gate_builder import NAMES
from .parser import RESERVED
from .values import CONSTANTS, FUNCTIONS

__all__ = ["Registers", "angle_text", "number_text", "safe_name", "usable_name"]

_IDENTIFIER = re.compile(r"[a-z_][A-Za-z0-9_]*")
_TAKEN = RESERVED | FUNCTIONS[2] | FUNCTIONS[3] | frozenset(CONSTANTS) | frozenset({"U", "CX", "gphase"})
_TAKEN_BY_GATES = frozenset(NAMES) | frozenset(name for library in LIBRARIES.values() for name in library)
_FUNCTIONS = frozenset({"sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "sqrt"})


def number_text(value: float) -> str:
    """Return a number that reads back to the same float, as a fraction of pi where that is exact.

    >>> number_text(3 * math.pi / 4), number_text(0.1)
    ('3*pi/4', '0.1')
    """
    sign, size = ("-", -value) if value < 0 else ("", value)
    for denominator in (1, 2, 3, 4, 6, 8, 16, 32):
        numerator = round(size * denominator / math.pi) if size < 1e3 else 0
        if numerator and numerator * math.pi / denominator == size:
            factor = "pi" if numerator == 1 else f"{numerator}*pi"
            return sign + (factor if denominator == 1 else f"{factor}/{denominator}")
    return repr(float(value))


def angle_text(value: ParameterValue) -> str:
    """Return an angle: a number or an expression of input parameters."""
    if not isinstance(value, ParameterExpression):
        return number_text(float(value))
    if isinstance(value, Parameter):
        return value.name
    terms = list(value.terms.items())
    if not terms:
        return number_text(value.constant)
    parts = [_scaled(_atom_text(atom), factor) for atom, factor in terms]
    if value.constant:
        parts.append(number_text(value.constant))
    return " + ".join(parts).replace("+ -", "- ")


def _scaled(atom: str, factor: float) -> str:
    if factor == 1:
        return atom
    return f"-{atom}" if factor == -1 else f"{number_text(factor)}*{atom}"


def _atom_text(atom: Atom) -> str:
    if isinstance(atom, Parameter):
        return atom.name
    arguments = [angle_text(argument) for argument in atom.arguments]
    if atom.function in ("*", "/", "**"):
        return f"(({arguments[0]}){atom.function}({arguments[1]}))"
    if atom.function not in _FUNCTIONS:
        raise UnsupportedError(expected("function of a parameter", sorted(_FUNCTIONS), atom.function))
    return f"{atom.function}({arguments[0]})"


def usable_name(name: str, taken: set[str]) -> bool:
    """Whether OpenQASM 3 allows a name as it is; if so it is taken."""
    if not name.isidentifier() or name in taken | _TAKEN | _TAKEN_BY_GATES:
        return False
    taken.add(name)
    return True


def safe_name(name: str, taken: set[str]) -> str:
    """Return a name the language allows and nobody has, close to the wish, and take it."""
    cleaned = re.sub(r"[^A-Za-z0-9_]", "_", name)
    if not _IDENTIFIER.fullmatch(cleaned):
        cleaned = f"r_{cleaned}"
    wish, number = cleaned, 0
    while cleaned in taken or cleaned in _TAKEN or cleaned in _TAKEN_BY_GATES:
        number += 1
        cleaned = f"{wish}_{number}"
    taken.add(cleaned)
    return cleaned


class Registers:
    """Wires of one kind under the names of their registers; wires without a register get one."""

    def __init__(self, registers: Mapping[str, range], size: int, spare: str, taken: set[str]) -> None:
        self.ranges: dict[str, range] = {}
        self._place: dict[int, tuple[str, int]] = {}
        position = 0
        for name, wires in sorted(registers.items(), key=lambda item: item[1].start):
            if wires.start > position:
                self._add(safe_name(spare, taken), range(position, wires.start))
            if len(wires):
                self._add(safe_name(name, taken), wires)
                position = wires.stop
        if position < size:
            self._add(safe_name(spare, taken), range(position, size))

    def _add(self, name: str, wires: range) -> None:
        self.ranges[name] = wires
        for index, wire in enumerate(wires):
            self._place[wire] = (name, index)

    def one(self, wire: int) -> str:
        """Return ``name[index]``."""
        name, index = self._place[wire]
        return f"{name}[{index}]"

    def whole(self, wires: Sequence[int]) -> str | None:
        """Return the name of the register that is exactly these wires."""
        name, index = self._place[wires[0]]
        return name if index == 0 and tuple(self.ranges[name]) == tuple(wires) else None

    def part(self, wires: Sequence[int]) -> str | None:
        """Return these wires of one register as ``name``, ``name[i]``, ``name[i:j]`` or ``name[{i, j}]``."""
        if len(wires) == 1:
            return self.one(wires[0])
        name = self._place[wires[0]][0]
        places = [self._place[wire] for wire in wires]
        if any(other != name for other, _ in places):
            return None
        indices = [index for _, index in places]
        if self.whole(wires):
            return name
        if indices == list(range(indices[0], indices[0] + len(indices))):
            return f"{name}[{indices[0]}:{indices[-1]}]"
        return f"{name}[{{{', '.join(map(str, indices))}}}]"


class Conditions:
    """Expressions of classical bits as text; bits of several registers become aliases."""

    def __init__(self, registers: Registers, taken: set[str]) -> None:
        self._registers = registers
        self._taken = taken
        self.aliases: dict[tuple[int, ...], str] = {}

    def text(self, expression: classical.Expression, inside: bool = False) -> str:
        """Return an expression, in parentheses when it stands ``inside`` another."""
        match expression:
            case classical.Const(value):
                return str(value)
            case classical.Bits(bits):
                return self._bits(bits)
            case classical.Unary("not", operand):
                return f"!{self.text(operand, True)}"
            case classical.Unary("~", operand, width):
                if isinstance(operand, classical.Bits) and len(operand.clbits) == width:
                    return f"~{self.text(operand)}"
                return f"~uint[{width}]({self.text(operand)})"
            case classical.Binary(op, left, right):
                word = {"and": "&&", "or": "||", "//": "/"}.get(op, op)
                sides = [
                    self._arithmetic(side) if op in ("+", "-", "*", "//", "<<", ">>") else self.text(side, True)
                    for side in (left, right)
                ]
                joined = f"{sides[0]} {word} {sides[1]}"
                return f"({joined})" if inside else joined
        raise UnsupportedError(expected("condition", "bits, constants and operators", repr(expression)[:80]))

    def _arithmetic(self, expression: classical.Expression) -> str:
        text = self.text(expression, True)
        return f"uint({text})" if isinstance(expression, classical.Bits) else text

    def _bits(self, bits: tuple[int, ...]) -> str:
        if not bits:
            return "0"
        if bits not in self.aliases:
            part = self._registers.part(bits)
            if part is not None:
                return part
            self.aliases[bits] = safe_name(f"bits_{len(self.aliases)}", self._taken)
        return self.aliases[bits]

    def declarations(self) -> list[str]:
        """Return the aliases that the texts so far refer to."""
        return [
            f"let {name} = {' ++ '.join(self._registers.part((bit,)) or '' for bit in bits)};"
            for bits, name in self.aliases.items()
        ]
