"""Classical expressions over measured bits: what ``If`` and ``While`` test.

An expression is a small frozen tree, plain data, and evaluates to a Python integer. Bits are numbered as in
the Program; ``Bits((b0, b1, …))`` is the unsigned integer with ``b0`` as its least significant bit.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from .errors import ParameterError, ProgramFormatError, expected

__all__ = ["Binary", "Bits", "Const", "Expression", "Unary", "bits_read", "evaluate", "from_json", "to_json"]

MAX_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Const:
    """An integer constant."""

    value: int


@dataclass(frozen=True, slots=True)
class Bits:
    """The unsigned integer held by classical bits, least significant first."""

    clbits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Unary:
    """``not`` (logical) or ``~`` restricted to ``width`` bits."""

    op: str
    operand: Expression
    width: int = 0


@dataclass(frozen=True, slots=True)
class Binary:
    """``== != < <= > >= and or & | ^ + - * // << >>`` on two integers."""

    op: str
    left: Expression
    right: Expression


Expression: TypeAlias = Const | Bits | Unary | Binary


def _shift_left(a: int, b: int) -> int:
    if not 0 <= b <= 4096:
        raise ParameterError(expected("shift count", "0 to 4096", b))
    return a << b


def _shift_right(a: int, b: int) -> int:
    if b < 0:
        raise ParameterError(expected("shift count", "0 or more", b))
    return a >> b


def _divide(a: int, b: int) -> int:
    if b == 0:
        raise ParameterError(expected("divisor in a classical expression", "a number other than 0", 0))
    return a // b


_BINARY: Mapping[str, Callable[[int, int], int]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "and": lambda a, b: bool(a) and bool(b),
    "or": lambda a, b: bool(a) or bool(b),
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": _divide,
    "<<": _shift_left,
    ">>": _shift_right,
}


def evaluate(expression: Expression, clbits: Sequence[int] | Mapping[int, int]) -> int:
    """Return the integer value of an expression given the value (0 or 1) of every classical bit.

    >>> evaluate(Binary("==", Bits((0, 1)), Const(2)), [0, 1])
    1
    """
    match expression:
        case Const(value):
            return value
        case Bits(bits):
            return sum(int(clbits[bit]) << k for k, bit in enumerate(bits))
        case Unary("not", operand):
            return int(not evaluate(operand, clbits))
        case Unary("~", operand, width):
            return ~evaluate(operand, clbits) & ((1 << width) - 1)
        case Binary(op, left, right) if op in _BINARY:
            return int(_BINARY[op](evaluate(left, clbits), evaluate(right, clbits)))
    raise ProgramFormatError(expected("classical operator", sorted(_BINARY), getattr(expression, "op", expression)))


def bits_read(expression: Expression) -> frozenset[int]:
    """Return the classical bits an expression depends on."""
    match expression:
        case Bits(bits):
            return frozenset(bits)
        case Unary(_, operand):
            return bits_read(operand)
        case Binary(_, left, right):
            return bits_read(left) | bits_read(right)
    return frozenset()


def to_json(expression: Expression) -> Any:
    """Return nested lists: ``["bits", 0, 1]``, ``["const", 2]``, ``["==", left, right]``."""
    match expression:
        case Const(value):
            return ["const", value]
        case Bits(bits):
            return ["bits", *bits]
        case Unary(op, operand, width):
            return [op, to_json(operand), width]
        case Binary(op, left, right):
            return [op, to_json(left), to_json(right)]


def from_json(data: Any, depth: int = 0) -> Expression:
    """Inverse of :func:`to_json`; refuses unknown operators and trees deeper than 64."""
    if depth > MAX_DEPTH:
        raise ProgramFormatError(expected("depth of a classical expression", f"at most {MAX_DEPTH}", "more"))
    match data:
        case ["const", value] if type(value) is int:
            return Const(value)
        case ["bits", *bits] if all(type(bit) is int for bit in bits):
            return Bits(tuple(bits))
        case [("not" | "~") as op, operand, width] if type(width) is int and 0 <= width <= 4096:
            return Unary(op, from_json(operand, depth + 1), width)
        case [str(op), left, right] if op in _BINARY:
            return Binary(op, from_json(left, depth + 1), from_json(right, depth + 1))
    raise ProgramFormatError(
        expected("classical expression", "const, bits, not, ~ or a binary operator", repr(data)[:80])
    )
