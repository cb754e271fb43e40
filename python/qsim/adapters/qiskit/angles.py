"""Qiskit's parameters as slots of a Program: affine expressions natively, all others evaluated on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit.circuit import Parameter, ParameterExpression

from qsim_core.errors import ParameterError, expected
from qsim_core.operations import Angle
from qsim_core.types import FloatArray

__all__ = ["Angles", "number", "slot_values"]


class Angles:
    """Gives every gate parameter its angle; slots are the circuit's parameters, then the derived expressions."""

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        self.parameters = tuple(parameters)
        self.derived: list[ParameterExpression] = []
        #: Numbers that stand for parameters of the for loops around.
        self.fixed: dict[Parameter, float] = {}
        self._known: dict[Parameter, Angle] = {p: _slot(k) for k, p in enumerate(self.parameters)}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all slots."""
        return (*(p.name for p in self.parameters), *(f"{k}: {e}" for k, e in enumerate(self.derived)))

    def __call__(self, value: Any) -> Angle | float:
        """Return a number, or an affine expression of slots."""
        if isinstance(value, Parameter) and value in self._known:
            return self._known[value]
        if not isinstance(value, ParameterExpression):
            return number(value)
        known = {p: self.fixed[p] for p in value.parameters if p in self.fixed}
        if known:
            value = value.bind(known)
        if not value.parameters:
            return number(value)
        affine = self._affine(value)
        if affine is None:
            self.derived.append(value)
            affine = _slot(len(self.parameters) + len(self.derived) - 1)
        return affine

    def _affine(self, value: ParameterExpression) -> Angle | None:
        parameters = value.parameters
        if not parameters <= self._known.keys():
            raise ParameterError(expected("parameter", "one of the circuit", sorted(p.name for p in parameters)))
        try:
            slopes = [value.gradient(p) for p in parameters]
            if any(isinstance(slope, ParameterExpression) and slope.parameters for slope in slopes):
                return None
            constant = number(value.bind(dict.fromkeys(parameters, 0.0)))
            factors = [number(slope) for slope in slopes]
        except (ParameterError, RuntimeError, ZeroDivisionError, TypeError):  # not differentiable, or not at 0
            return None
        return Angle(constant, tuple((self._known[p].terms[0][0], f) for p, f in zip(parameters, factors, strict=True)))


def slot_values(
    parameters: Sequence[Parameter], derived: Sequence[ParameterExpression], values: npt.ArrayLike
) -> FloatArray:
    """Return slot values (B, P + D) for values (B, P) of the parameters."""
    given = np.asarray(values, dtype=np.float64)
    if not derived:
        return given
    columns = np.empty((len(given), len(derived)))
    for row, numbers in enumerate(given.tolist()):
        bound = dict(zip(parameters, numbers, strict=True))
        columns[row] = [number(e.bind({p: bound[p] for p in e.parameters})) for e in derived]
    return np.hstack([given, columns])


def number(value: Any) -> float:
    """Return a real number, also of a bound expression or a complex without imaginary part."""
    try:
        result = value.numeric() if isinstance(value, ParameterExpression) else value
        if isinstance(result, complex | np.complexfloating):
            if result.imag != 0:
                raise TypeError
            result = result.real
        return float(result)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(expected("gate parameter", "a real number or a Parameter", repr(value))) from None


def _slot(index: int) -> Angle:
    return Angle(0.0, ((index, 1.0),))
