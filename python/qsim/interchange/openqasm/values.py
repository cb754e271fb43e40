"""Values of expressions, and arithmetic on them.

A value known while the file is read is a Python bool, int, float, tuple (array) or a parameter expression. What is only
known when the program runs is :class:`Bits` (a reference to classical bits) or :class:`RunTime` (an expression of
them). Quantum operands are :class:`Qubits`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from qsim_core import classical

from ...parameters import Derived, ParameterExpression

__all__ = [
    "CONSTANTS",
    "Bits",
    "Measured",
    "Qubits",
    "RunTime",
    "Scalar",
    "Value",
    "ValueProblem",
    "binary",
    "check_number",
    "describe_value",
    "function",
    "num_bits",
    "power",
    "run_time",
    "unary",
]

CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}
_MAX_ATOMS = 1024
_MAX_DEPTH = classical.MAX_DEPTH - 2
_MAX_NODES = 4096
_MAX_SHIFT = 1024
_SIMPLER = "Compare whole registers with numbers, or nest 'if'."


class ValueProblem(Exception):
    """A value that can't be computed; the evaluator adds the place."""


@dataclass(frozen=True, slots=True)
class Qubits:
    """Qubits by number; a single qubit broadcasts over registers."""

    wires: tuple[int, ...]
    scalar: bool


@dataclass(frozen=True, slots=True)
class Bits:
    """Classical bits by number, least significant first."""

    bits: tuple[int, ...]
    scalar: bool


@dataclass(frozen=True, slots=True)
class Measured:
    """``measure q``, to be carried out by the statement it stands in."""

    qubits: Qubits


@dataclass(frozen=True, slots=True)
class RunTime:
    """An expression of classical bits; ``width`` > 0 wraps arithmetic modulo 2^width."""

    expression: classical.Expression
    width: int
    depth: int
    size: int = 1


Scalar: TypeAlias = bool | int | float | ParameterExpression
Value: TypeAlias = Scalar | Qubits | Bits | RunTime | Measured | tuple["Value", ...]

_ARITHMETIC: dict[str, Callable[[Scalar, Scalar], Scalar]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
}
_COMPARISON: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BITWISE: dict[str, Callable[[int, int], int]] = {"&": operator.and_, "|": operator.or_, "^": operator.xor}
_LOGICAL = {"&&": "and", "||": "or"}


def binary(op: str, left: Value, right: Value, bits: int, real_division: bool) -> Value:
    """Return ``left op right``; integers may have ``bits`` bits."""
    if op == "++":
        return _concatenate(left, right)
    if isinstance(left, Bits | RunTime) or isinstance(right, Bits | RunTime):
        result = _run_time_binary(op, run_time(left), run_time(right))
        # a shifted register keeps its size; a cast to uint says otherwise
        return mask(result, len(left.bits)) if op == "<<" and isinstance(left, Bits) else result
    for side in (left, right):
        if not isinstance(side, bool | int | float | ParameterExpression):
            raise ValueProblem(f"operator '{op}' is not defined on {describe_value(side)}.")
    assert isinstance(left, bool | int | float | ParameterExpression)
    assert isinstance(right, bool | int | float | ParameterExpression)
    symbolic = isinstance(left, ParameterExpression) or isinstance(right, ParameterExpression)
    if symbolic:
        _check_size(left, right)
    if op in _ARITHMETIC:
        return check_number(_ARITHMETIC[op](left, right), bits)
    if op == "/":
        return _divide(left, right, bits, real_division)
    if symbolic:
        raise ValueProblem(f"operator '{op}' is not defined on an input parameter, its value is not known yet.")
    assert not isinstance(left, ParameterExpression) and not isinstance(right, ParameterExpression)
    if op in _COMPARISON:
        return _COMPARISON[op](left, right)
    if op in _LOGICAL:
        return (bool(left) and bool(right)) if op == "&&" else (bool(left) or bool(right))
    if not isinstance(left, int) or not isinstance(right, int):
        raise ValueProblem(f"operator '{op}' needs integers, got {left!r} and {right!r}.")
    if op in _BITWISE:
        return _BITWISE[op](left, right)
    if op == "%":
        if right == 0:
            raise ValueProblem("division by zero.")
        return int(math.copysign(1, left)) * (abs(left) % abs(right))
    if not 0 <= right <= bits:
        raise ValueProblem(f"shift by {right}: expected 0 to {bits}.")
    return check_number(left << right if op == "<<" else left >> right, bits)


def _divide(left: Scalar, right: Scalar, bits: int, real_division: bool) -> Scalar:
    if not isinstance(right, ParameterExpression) and right == 0:
        raise ValueProblem("division by zero.")
    if isinstance(left, int) and isinstance(right, int) and not real_division:
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return check_number(left / right, bits)


def power(base: Value, exponent: Value, bits: int, real: bool) -> Value:
    """Return ``base ** exponent``; an integer result is bounded before it is computed."""
    for side in (base, exponent):
        if not isinstance(side, bool | int | float | ParameterExpression):
            raise ValueProblem(f"power is not defined on {describe_value(side)}.")
    assert isinstance(base, bool | int | float | ParameterExpression)
    assert isinstance(exponent, bool | int | float | ParameterExpression)
    if isinstance(base, ParameterExpression) or isinstance(exponent, ParameterExpression):
        _check_size(base, exponent)
        return base**exponent
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0 and not real:
        if exponent * max(abs(base).bit_length(), 1) > bits and abs(base) > 1:
            raise ValueProblem(f"integer power {base} ** {exponent} has more than {bits} bits (Limits.integer_bits).")
        return int(base**exponent) if abs(base) > 1 else int(base ** (exponent % 2 if base < 0 else min(exponent, 1)))
    try:
        result = math.pow(base, exponent)
    except (ValueError, OverflowError):
        raise ValueProblem(f"power of {base!r} and {exponent!r} is not a finite real number.") from None
    return check_number(result, bits)


def unary(op: str, operand: Value) -> Value:
    """Return ``op operand``."""
    if isinstance(operand, Bits | RunTime):
        return _run_time_unary(op, operand)
    if not isinstance(operand, bool | int | float | ParameterExpression):
        raise ValueProblem(f"operator '{op}' is not defined on {describe_value(operand)}.")
    if op == "-":
        return -operand
    if op == "+":
        return +operand
    if isinstance(operand, ParameterExpression):
        raise ValueProblem(f"operator '{op}' is not defined on an input parameter, its value is not known yet.")
    if op == "!":
        return not operand
    raise ValueProblem("operator '~' is only supported on classical bits, whose width is known.")


def check_number(value: Scalar, bits: int) -> Scalar:
    """Refuse infinities, NaN and integers of more than ``bits`` bits."""
    if isinstance(value, int) and value.bit_length() > bits:
        raise ValueProblem(f"integer of {value.bit_length()} bits: at most {bits} (Limits.integer_bits).")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueProblem(f"number is {value}: expected a finite one.")
    return value


def _check_size(*values: Scalar) -> None:
    """Bound the tree of a parameter expression: x = x*x doubles it every time."""
    waiting = [value for value in values if isinstance(value, ParameterExpression)]
    count = 0
    while waiting:
        expression = waiting.pop()
        count += 1
        if count > _MAX_ATOMS:
            raise ValueProblem(f"expression of input parameters of more than {_MAX_ATOMS} parts.")
        for atom in expression.terms:
            if isinstance(atom, Derived):
                waiting.extend(atom.arguments)
            else:
                count += 1


# ------------------------------------------------------------------------------------------------ built-in functions


_REAL: dict[str, tuple[Callable[[float], float], str]] = {
    "sin": (math.sin, "sin"),
    "cos": (math.cos, "cos"),
    "tan": (math.tan, "tan"),
    "exp": (math.exp, "exp"),
    "ln": (math.log, "log"),
    "sqrt": (math.sqrt, "sqrt"),
    "asin": (math.asin, "arcsin"),
    "acos": (math.acos, "arccos"),
    "atan": (math.atan, "arctan"),
}
_REAL_3 = {name: entry for name, entry in _REAL.items() if not name.startswith(("a", "ln"))} | {
    "arcsin": _REAL["asin"],
    "arccos": _REAL["acos"],
    "arctan": _REAL["atan"],
    "log": _REAL["ln"],
}
FUNCTIONS = {
    2: frozenset(_REAL),
    3: frozenset(_REAL_3) | {"floor", "ceiling", "mod", "pow", "popcount", "sizeof"},
}


def function(name: str, arguments: list[Value], bits: int, version: int) -> Value:
    """Return a built-in function of its arguments; the caller has looked the name up in ``FUNCTIONS``."""
    needed = 2 if name in ("mod", "pow") else 1
    if len(arguments) != needed:
        raise ValueProblem(f"function '{name}' takes {needed} argument{'s' * (needed > 1)}, got {len(arguments)}.")
    first = arguments[0]
    if name == "sizeof":
        match first:
            case Qubits(wires):
                return len(wires)
            case Bits(places):
                return len(places)
            case tuple():
                return len(first)
        raise ValueProblem(f"function 'sizeof' needs a register or an array, got {describe_value(first)}.")
    if name == "mod":
        return _modulo(arguments[0], arguments[1], bits)
    if name == "pow":
        return power(arguments[0], arguments[1], bits, False)
    if isinstance(first, ParameterExpression) and name not in ("floor", "ceiling", "popcount"):
        _check_size(first)
        entry = (_REAL if version == 2 else _REAL_3)[name]
        return getattr(np, entry[1])(first)
    if isinstance(first, Bits) and name == "popcount":
        total: Value = 0
        for bit in first.bits:
            total = binary("+", total, Bits((bit,), True), bits, False)
        return total
    if not isinstance(first, bool | int | float):
        raise ValueProblem(f"function '{name}' needs a number, got {describe_value(first)}.")
    if name == "popcount":
        if not isinstance(first, int) or first < 0:
            raise ValueProblem(f"function 'popcount' needs a non-negative integer, got {first!r}.")
        return first.bit_count()
    try:
        if name in ("floor", "ceiling"):
            return check_number(math.floor(first) if name == "floor" else math.ceil(first), bits)
        return check_number((_REAL if version == 2 else _REAL_3)[name][0](first), bits)
    except (ValueError, OverflowError):
        raise ValueProblem(f"{name}({first!r}) is not a finite real number.") from None


def _modulo(left: Value, right: Value, bits: int) -> Value:
    if isinstance(left, int) and isinstance(right, int):
        return binary("%", left, right, bits, False)
    if isinstance(left, int | float) and isinstance(right, int | float) and right != 0:
        return math.fmod(left, right)
    raise ValueProblem(f"mod of {describe_value(left)} and {describe_value(right)} is not defined.")


# ------------------------------------------------------------------------------------------------ bits at run time


def run_time(value: Value) -> RunTime:
    """Return a value as an expression of classical bits."""
    match value:
        case RunTime():
            return value
        case Bits(places):
            return RunTime(classical.Bits(places), 0, 1)
        case bool() | int():
            return RunTime(classical.Const(int(value)), 0, 1)
    raise ValueProblem(f"{describe_value(value)} can't be combined with measured bits; only integers can.")


def _node(expression: classical.Expression, width: int, *parts: RunTime) -> RunTime:
    depth, size = 1 + max(part.depth for part in parts), 1 + sum(part.size for part in parts)
    if depth > _MAX_DEPTH:
        raise ValueProblem(f"expression of measured bits is deeper than {_MAX_DEPTH} operations. {_SIMPLER}")
    if size > _MAX_NODES:
        raise ValueProblem(f"expression of measured bits has more than {_MAX_NODES} operations. {_SIMPLER}")
    return RunTime(expression, width, depth, size)


def _run_time_binary(op: str, left: RunTime, right: RunTime) -> RunTime:
    if op in _LOGICAL:
        return _balanced(_LOGICAL[op], left, right)
    if op in _COMPARISON:
        return _node(classical.Binary(op, left.expression, right.expression), 0, left, right)
    width = max(left.width, right.width)
    if op in ("<<", ">>") and not (
        isinstance(right.expression, classical.Const) and 0 <= right.expression.value <= _MAX_SHIFT
    ):
        raise ValueProblem(f"shift of measured bits: expected a constant from 0 to {_MAX_SHIFT}.")
    if op in _BITWISE:
        return _node(classical.Binary(op, left.expression, right.expression), width, left, right)
    if op not in ("+", "-", "<<", ">>"):
        raise ValueProblem(f"operator '{op}' is not supported on measured bits.")
    result = _node(classical.Binary(op, left.expression, right.expression), width, left, right)
    return mask(result, width) if width and op != ">>" else result


def mask(value: RunTime, width: int) -> RunTime:
    """Return the value modulo 2^width."""
    return _node(classical.Binary("&", value.expression, classical.Const((1 << width) - 1)), width, value)


def num_bits(expression: classical.Expression) -> int | None:
    """Return how many bits a value that can't be negative may have; None where there is no such number."""
    match expression:
        case classical.Bits(places):
            return len(places)
        case classical.Const(value):
            return int(value).bit_length() if value >= 0 else None
        case classical.Unary("not", _):
            return 1
        case classical.Unary(_, _, width):
            return width
        case classical.Binary(op, left, right):
            if op in _COMPARISON or op in ("and", "or"):
                return 1
            known = [size for size in (num_bits(left), num_bits(right)) if size is not None]
            if op == "&" and known:
                return min(known)
            return max(known) if op in _BITWISE and len(known) == 2 else None
    return None


def _balanced(op: str, left: RunTime, right: RunTime) -> RunTime:
    """Join with ``and`` or ``or``; a long chain, which comes as a fold from the left, becomes a balanced tree."""
    terms = [right.expression]
    node = left.expression
    while isinstance(node, classical.Binary) and node.op == op:
        terms.append(node.right)
        node = node.left
    if left.depth < _MAX_DEPTH // 2:
        return _node(classical.Binary(op, left.expression, right.expression), 0, left, right)
    terms.append(node)
    terms.reverse()
    while len(terms) > 1:
        pairs: list[classical.Expression] = [
            classical.Binary(op, terms[k], terms[k + 1]) for k in range(0, len(terms) - 1, 2)
        ]
        terms = pairs + terms[len(terms) - len(terms) % 2 :]
    size = left.size + right.size
    return _node(terms[0], 0, RunTime(terms[0], 0, _depth(terms[0]) - 1, size))


def _depth(expression: classical.Expression) -> int:
    deepest, waiting = 0, [(expression, 1)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        match node:
            case classical.Unary(_, operand):
                waiting.append((operand, depth + 1))
            case classical.Binary(_, left, right):
                waiting += [(left, depth + 1), (right, depth + 1)]
    return deepest


def _run_time_unary(op: str, operand: Bits | RunTime) -> RunTime:
    value = run_time(operand)
    if op == "!":
        return _node(classical.Unary("not", value.expression), 0, value)
    if op == "~":
        width = len(operand.bits) if isinstance(operand, Bits) else operand.width
        if width:
            return _node(classical.Unary("~", value.expression, width), width, value)
    raise ValueProblem(f"operator '{op}' is not supported on measured bits of unknown width.")


def _concatenate(left: Value, right: Value) -> Value:
    match left, right:
        case Qubits(first), Qubits(second):
            return Qubits(first + second, False)
        case Bits(first), Bits(second):
            return Bits(first + second, False)
        case tuple(), tuple():
            return left + right
    raise ValueProblem(f"'++' joins two registers, got {describe_value(left)} and {describe_value(right)}.")


def describe_value(value: Value) -> str:
    """Return what a value is, for messages."""
    match value:
        case Qubits(wires, scalar):
            return "a qubit" if scalar else f"a register of {len(wires)} qubits"
        case Bits(places, scalar):
            return "a bit" if scalar else f"a register of {len(places)} bits"
        case RunTime():
            return "a value known only after measurement"
        case Measured():
            return "a measurement"
        case tuple():
            return "a list of values"
        case ParameterExpression():
            return "an input parameter"
    return repr(value)
