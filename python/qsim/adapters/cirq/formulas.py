"""SymPy's formulas as parameters, and the values that a sweep gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import cirq
import numpy as np
import sympy

from qsim.parameters import Parameter, ParameterExpression, ParameterValue
from qsim_core.types import FloatArray

__all__ = ["Formulas"]


class Formulas:
    """Gives every gate parameter its value: a number, or a multiple of the parameter that stands for its formula."""

    def __init__(self) -> None:
        self.known: dict[Any, Parameter] = {}

    def __call__(self, value: Any, factor: float = 1.0) -> ParameterValue:
        """Return factor times a value.

        Raises:
            TypeError: for what is no real number and no formula.
        """
        if type(value) is float or type(value) is int:
            number = value
        elif isinstance(value, sympy.Basic) and value.free_symbols:
            parameter = self.known.get(value)
            if parameter is None:
                parameter = self.known[value] = Parameter(f"p{len(self.known)}")
            return parameter if factor == 1.0 else ParameterExpression(0.0, {parameter: factor})
        else:
            number = _real(value)
        result = number * factor
        if not math.isfinite(result):
            raise TypeError(f"the parameter {value}")
        return result

    def columns(self, resolvers: Sequence[cirq.ParamResolver]) -> dict[str, FloatArray]:
        """Return the value of each parameter under each resolver, shape (B,).

        Raises:
            TypeError: where a formula is left without a number.
        """
        symbols = {s for formula in self.known for s in formula.free_symbols}
        values = {s: np.array([_real(r.value_of(s)) for r in resolvers], dtype=np.float64) for s in symbols}
        columns = {}
        for formula, parameter in self.known.items():
            if formula in values:
                columns[parameter.name] = values[formula]
                continue
            used = sorted(formula.free_symbols, key=str)
            with np.errstate(all="ignore"):
                found = sympy.lambdify(used, formula, "numpy")(*(values[s] for s in used))
            column = np.broadcast_to(np.asarray(found), (len(resolvers),))
            if column.dtype.kind not in "iuf" or not np.isfinite(column).all():
                raise TypeError(f"the values of {formula}")
            columns[parameter.name] = column.astype(np.float64)
        return columns


def _real(value: Any) -> float:
    if type(value) is float:
        return value
    number = complex(value)  # of a symbol: TypeError
    if number.imag or not math.isfinite(number.real):
        raise TypeError(f"the parameter {value}")
    return number.real
