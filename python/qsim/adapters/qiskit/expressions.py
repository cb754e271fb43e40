"""Qiskit's classical expressions as expressions over the classical bits of a Program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from qiskit.circuit import ClassicalRegister, Clbit
from qiskit.circuit.classical import expr, types

from qsim_core.classical import Binary, Bits, Const, Expression, Unary
from qsim_core.errors import UnsupportedError, expected

__all__ = ["Places", "bits_of", "condition", "expression"]

#: Numbers of the classical bits that hold a Clbit or a variable.
Places: TypeAlias = Mapping[Any, tuple[int, ...]]

_BINARY = {
    expr.Binary.Op.BIT_AND: "&",
    expr.Binary.Op.BIT_OR: "|",
    expr.Binary.Op.BIT_XOR: "^",
    expr.Binary.Op.LOGIC_AND: "and",
    expr.Binary.Op.LOGIC_OR: "or",
    expr.Binary.Op.EQUAL: "==",
    expr.Binary.Op.NOT_EQUAL: "!=",
    expr.Binary.Op.LESS: "<",
    expr.Binary.Op.LESS_EQUAL: "<=",
    expr.Binary.Op.GREATER: ">",
    expr.Binary.Op.GREATER_EQUAL: ">=",
    expr.Binary.Op.SHIFT_LEFT: "<<",
    expr.Binary.Op.SHIFT_RIGHT: ">>",
    expr.Binary.Op.ADD: "+",
    expr.Binary.Op.SUB: "-",
    expr.Binary.Op.MUL: "*",
    expr.Binary.Op.DIV: "//",
}
#: Operators whose result may leave the range of an unsigned integer, and wraps around.
_WRAPPING = {"<<", "+", "-", "*"}


def width_of(type_: types.Type) -> int:
    """Return the number of bits of a value; Qiskit's floats and durations have no place in classical bits."""
    if isinstance(type_, types.Bool):
        return 1
    if isinstance(type_, types.Uint):
        return int(type_.width)
    raise UnsupportedError(expected("type of a classical expression", "Bool or Uint", type_))


def bits_of(target: Any, places: Places) -> tuple[int, ...]:
    """Return the numbers of the classical bits of a Clbit, a ClassicalRegister or a variable."""
    if isinstance(target, expr.Var) and not target.standalone:
        target = target.var
    if isinstance(target, ClassicalRegister):
        return tuple(places[bit][0] for bit in target)
    return places[target]


def condition(test: Any, places: Places) -> Expression:
    """Return the condition of an if or while: (bit or register, value) or an expression."""
    if isinstance(test, expr.Expr):
        return expression(test, places)
    target, value = test
    return Binary("==", Bits(bits_of(target, places)), Const(int(value)))


def expression(node: expr.Expr | Clbit | ClassicalRegister, places: Places) -> Expression:
    """Return an expression tree over classical bits.

    Raises:
        UnsupportedError: for floats, durations and operators without a meaning on bits.
    """
    if isinstance(node, Clbit | ClassicalRegister):
        return Bits(bits_of(node, places))
    translate = _NODES.get(type(node))
    if translate is None:
        raise UnsupportedError(expected("classical expression", "one of bits and unsigned integers", repr(node)))
    return translate(node, places)


def _value(node: expr.Value, places: Places) -> Expression:
    width_of(node.type)
    return Const(int(node.value))


def _cast(node: expr.Cast, places: Places) -> Expression:
    inner = expression(node.operand, places)
    if isinstance(node.type, types.Bool):
        return Binary("!=", inner, Const(0))
    return inner if width_of(node.type) >= width_of(node.operand.type) else _wrapped(inner, width_of(node.type))


def _unary(node: expr.Unary, places: Places) -> Expression:
    inner, width = expression(node.operand, places), width_of(node.type)
    if node.op == expr.Unary.Op.NEGATE:
        return _wrapped(Binary("-", Const(0), inner), width)
    if node.op == expr.Unary.Op.BIT_NOT and isinstance(node.type, types.Uint):
        return Unary("~", inner, width)
    return Unary("not", inner)


def _binary(node: expr.Binary, places: Places) -> Expression:
    op = _BINARY[node.op]
    result = Binary(op, expression(node.left, places), expression(node.right, places))
    return _wrapped(result, width_of(node.type)) if op in _WRAPPING else result


def _index(node: expr.Index, places: Places) -> Expression:
    shifted = Binary(">>", expression(node.target, places), expression(node.index, places))
    return Binary("&", shifted, Const(1))


def _wrapped(inner: Expression, width: int) -> Expression:
    return Binary("&", inner, Const((1 << width) - 1))


_NODES: dict[type, Callable[[Any, Places], Expression]] = {
    expr.Var: lambda node, places: Bits(bits_of(node, places)),
    expr.Value: _value,
    expr.Cast: _cast,
    expr.Unary: _unary,
    expr.Binary: _binary,
    expr.Index: _index,
}
