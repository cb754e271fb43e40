"""Qiskit's parameters as parameters of a Circuit: affine expressions natively, all others evaluated on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import qiskit.circuit as qk

from qsim.parameters import Parameter, ParameterExpression, ParameterValue
from qsim_core.errors import ParameterError, expected
from qsim_core.types import FloatArray

__all__ = ["Angles", "number", "slot_values"]


class Angles:
    """Gives every gate parameter its value; free are the circuit's parameters and the derived expressions."""

    def __init__(self, parameters: Sequence[qk.Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.derived: list[qk.ParameterExpression] = []
        #: Numbers that stand for parameters of the for loops around.
        self.fixed: dict[qk.Parameter, float] = {}
        self._known = {p: Parameter(p.name) for p in self.parameters}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all free parameters."""
        return (*(p.name for p in self.parameters), *map(_name, range(len(self.derived))))

    def __call__(self, value: Any) -> ParameterValue:
        """Return a number, or an affine expression of free parameters."""
        if isinstance(value, qk.Parameter) and value in self._known:
            return self._known[value]
        if not isinstance(value, qk.ParameterExpression):
            return number(value)
        known = {p: self.fixed[p] for p in value.parameters if p in self.fixed}
        if known:
            value = value.bind(known)
        if not value.parameters:
            return number(value)
        affine = self._affine(value)
        if affine is None:
            affine = Parameter(_name(len(self.derived)))
            self.derived.append(value)
        return affine

    def _affine(self, value: qk.ParameterExpression) -> ParameterExpression | None:
        parameters = value.parameters
        if not parameters <= self._known.keys():
            raise ParameterError(expected("parameter", "one of the circuit", sorted(p.name for p in parameters)))
        try:
            slopes = {p: value.gradient(p) for p in parameters}
            if any(isinstance(slope, qk.ParameterExpression) and slope.parameters for slope in slopes.values()):
                return None
            constant = number(value.bind(dict.fromkeys(parameters, 0.0)))
            return ParameterExpression(constant, {self._known[p]: number(slope) for p, slope in slopes.items()})
        except (ParameterError, RuntimeError, ZeroDivisionError, TypeError):  # not differentiable, or not at 0
            return None


def slot_values(
    parameters: Sequence[qk.Parameter], derived: Sequence[qk.ParameterExpression], values: npt.ArrayLike
) -> FloatArray:
    """Return values (B, P + D) of parameters and derived expressions for values (B, P) of the parameters."""
    given = np.asarray(values, dtype=np.float64)
    if not derived:
        return given
    columns = np.empty((len(given), len(derived)))
    for row, numbers in enumerate(given.tolist()):
        bound = dict(zip(parameters, numbers, strict=True))
        columns[row] = [number(e.bind({p: bound[p] for p in e.parameters})) for e in derived]
    return np.hstack([given, columns])


def number(value: Any) -> float:
    """Return a finite real number, also of a bound expression or a complex without imaginary part."""
    try:
        result = value.numeric() if isinstance(value, qk.ParameterExpression) else value
        if isinstance(result, complex | np.complexfloating):
            if result.imag != 0:
                raise TypeError
            result = result.real
        result = float(result)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(expected("gate parameter", "a real number or a Parameter", repr(value))) from None
    if result - result != 0:
        raise ParameterError(expected("gate parameter", "a finite number", result))
    return result


def _name(index: int) -> str:
    return f"expression {index}"
