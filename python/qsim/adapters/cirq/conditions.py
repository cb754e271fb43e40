"""Cirq's classical conditions as expressions of classical bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import cirq
import sympy
from sympy.logic import boolalg

from qsim_core.classical import Binary, Const, Expression, Unary

__all__ = ["expression"]

#: Returns the value of a measurement: of its key, its instance (-1: the last one) and one of its bits (None: all).
Read: TypeAlias = Callable[[str, int, int | None], Expression]

_RELATIONS: Mapping[type, str] = {
    sympy.Eq: "==", sympy.Ne: "!=", sympy.StrictLessThan: "<", sympy.LessThan: "<=", sympy.StrictGreaterThan: ">",
    sympy.GreaterThan: ">=",
}  # fmt: skip
_FOLDED: Mapping[type, str] = {boolalg.And: "and", boolalg.Or: "or", boolalg.Xor: "^", sympy.Add: "+", sympy.Mul: "*"}


def expression(condition: cirq.Condition, read: Read) -> Expression:
    """Return a condition as an expression that is not 0 where it holds.

    Raises:
        TypeError: for one that only Cirq can evaluate.
    """
    match condition:
        case cirq.KeyCondition():
            return Binary("!=", read(str(condition.key), condition.index, None), Const(0))
        case cirq.BitMaskKeyCondition():
            value = read(str(condition.key), condition.index, None)
            if condition.bitmask is not None:
                value = Binary("&", value, Const(condition.bitmask))
            return Binary("==" if condition.equal_target else "!=", value, Const(condition.target_value))
        case cirq.SympyCondition():
            return Binary("!=", _formula(condition.expr, read), Const(0))
    raise TypeError(f"a condition of type {type(condition).__name__}")


def _formula(formula: Any, read: Read) -> Expression:
    kind = type(formula)
    if isinstance(formula, sympy.Symbol):
        return read(formula.name, -1, None)
    if isinstance(formula, sympy.Indexed) and len(formula.indices) == 1 and formula.indices[0].is_Integer:
        return read(formula.base.name, -1, int(formula.indices[0]))
    if formula.is_Integer:
        return Const(int(formula))
    if formula in (sympy.true, sympy.false):
        return Const(int(bool(formula)))
    if kind in _RELATIONS:
        return Binary(_RELATIONS[kind], _formula(formula.lhs, read), _formula(formula.rhs, read))
    if kind is boolalg.Not:
        return Unary("not", _formula(formula.args[0], read))
    if kind in _FOLDED:
        parts = [_formula(part, read) for part in formula.args]
        if kind is boolalg.Xor:  # of truth values
            parts = [Binary("!=", part, Const(0)) for part in parts]
        result = parts[0]
        for part in parts[1:]:
            result = Binary(_FOLDED[kind], result, part)
        return result
    raise TypeError(f"the formula {formula} in a condition")
