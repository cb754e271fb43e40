"""Named circuit parameters and arithmetic on them.

Every expression is affine over *atoms*: ``constant + Σ coefficient · atom``, where an atom is a :class:`Parameter` or a
:class:`Derived` function of other expressions. That is the form a Program wants: parameters and derived atoms become its
slots, the affine part its angles, and only derived atoms are ever evaluated outside the core, with their chain rule.

>>> theta = Parameter("theta")
>>> expression = 2 * theta + 1
>>> expression.evaluate({"theta": 0.5})
2.0
>>> (theta * theta).derivatives({"theta": 3.0})
{'theta': 6.0}
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from qsim_core.errors import ParameterError, expected

__all__ = ["Atom", "Derived", "Parameter", "ParameterExpression", "ParameterValue", "check_parameter"]

Number: TypeAlias = int | float

#: Value and derivatives by each argument; values may be NumPy arrays (a batch).
_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[Callable[..., Any], ...]]] = {
    "*": (lambda a, b: a * b, (lambda a, b: b, lambda a, b: a)),
    "/": (lambda a, b: a / b, (lambda a, b: 1 / b, lambda a, b: -a / b**2)),
    "**": (
        lambda a, b: np.power(a, b),
        (lambda a, b: b * np.power(a, b - 1.0), lambda a, b: np.power(a, b) * np.log(np.where(a > 0, a, 1.0))),
    ),
    "sin": (np.sin, (np.cos,)),
    "cos": (np.cos, (lambda a: -np.sin(a),)),
    "tan": (np.tan, (lambda a: 1 / np.cos(a) ** 2,)),
    "arcsin": (np.arcsin, (lambda a: 1 / np.sqrt(1 - a**2),)),
    "arccos": (np.arccos, (lambda a: -1 / np.sqrt(1 - a**2),)),
    "arctan": (np.arctan, (lambda a: 1 / (1 + a**2),)),
    "exp": (np.exp, (np.exp,)),
    "log": (np.log, (lambda a: 1 / a,)),
    "sqrt": (np.sqrt, (lambda a: 0.5 / np.sqrt(a),)),
    "abs": (np.abs, (np.sign,)),
}


class ParameterExpression:
    """``constant + Σ terms[atom] · atom``; immutable. NumPy functions (``np.sin(theta)``) work on it."""

    __slots__ = ("constant", "terms")

    def __init__(self, constant: float, terms: Mapping[Atom, float]) -> None:
        self.constant = float(constant)
        self.terms: dict[Atom, float] = {atom: factor for atom, factor in terms.items() if factor != 0.0}

    def __add__(self, other: ParameterExpression | Number) -> ParameterExpression:
        right = _lift(other)
        if right is None:
            return NotImplemented
        terms = dict(self.terms)
        for atom, factor in right.terms.items():
            terms[atom] = terms.get(atom, 0.0) + factor
        return ParameterExpression(self.constant + right.constant, terms)

    __radd__ = __add__

    def __neg__(self) -> ParameterExpression:
        return self._scaled(-1.0)

    def __pos__(self) -> ParameterExpression:
        return self

    def __sub__(self, other: ParameterExpression | Number) -> ParameterExpression:
        right = _lift(other)
        return NotImplemented if right is None else self + -right

    def __rsub__(self, other: Number) -> ParameterExpression:
        return -self + other

    def __mul__(self, other: ParameterExpression | Number) -> ParameterExpression:
        right = _lift(other)
        if right is None:
            return NotImplemented
        if not right.terms:
            return self._scaled(right.constant)
        if not self.terms:
            return right._scaled(self.constant)
        return _derived("*", self, right)

    __rmul__ = __mul__

    def __truediv__(self, other: ParameterExpression | Number) -> ParameterExpression:
        right = _lift(other)
        if right is None:
            return NotImplemented
        if right.terms:
            return _derived("/", self, right)
        if right.constant == 0:
            raise ParameterError(expected("divisor of a parameter expression", "a number other than 0", 0))
        return self._scaled(1.0 / right.constant)

    def __rtruediv__(self, other: Number) -> ParameterExpression:
        return _derived("/", ParameterExpression(other, {}), self)

    def __pow__(self, other: ParameterExpression | Number) -> ParameterExpression:
        right = _lift(other)
        if right is None:
            return NotImplemented
        return self if not right.terms and right.constant == 1 else _derived("**", self, right)

    def __rpow__(self, other: Number) -> ParameterExpression:
        return _derived("**", ParameterExpression(other, {}), self)

    def __abs__(self) -> ParameterExpression:
        return _derived("abs", self)

    def __eq__(self, other: object) -> bool:
        right = _lift(other)
        return right is not None and self.constant == right.constant and self.terms == right.terms

    def __hash__(self) -> int:
        return hash((self.constant, frozenset(self.terms.items())))

    def __repr__(self) -> str:
        parts = [f"{factor:g}*{atom}" if factor != 1 else str(atom) for atom, factor in self.terms.items()]
        if self.constant or not parts:
            parts.append(f"{self.constant:g}")
        return " + ".join(parts).replace("+ -", "- ")

    def __float__(self) -> float:
        if self.terms:
            names = ", ".join(sorted(self.names))
            raise ParameterError(expected("number", "an expression without parameters", f"{self} (free: {names})"))
        return self.constant

    def _scaled(self, factor: float) -> ParameterExpression:
        return ParameterExpression(self.constant * factor, {atom: c * factor for atom, c in self.terms.items()})

    @property
    def names(self) -> frozenset[str]:
        """Names of all parameters the expression depends on."""
        return frozenset().union(*(atom.names for atom in self.terms)) if self.terms else frozenset()

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """Return the value for numbers or arrays given by name."""
        return self.constant + sum(factor * atom.evaluate(values) for atom, factor in self.terms.items())

    def derivatives(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the partial derivative by every parameter it depends on (chain rule)."""
        total: dict[str, Any] = {}
        for atom, factor in self.terms.items():
            for name, slope in atom.derivatives(values).items():
                total[name] = total.get(name, 0.0) + factor * slope
        return total

    def substitute(self, values: Mapping[str, ParameterValue]) -> ParameterValue:
        """Return the expression with some parameters replaced by numbers or expressions; a number if none is left."""
        result: ParameterValue = self.constant
        for atom, factor in self.terms.items():
            result = result + factor * atom.substitute(values)
        return result

    sin = lambda self: _derived("sin", self)  # noqa: E731
    cos = lambda self: _derived("cos", self)  # noqa: E731
    tan = lambda self: _derived("tan", self)  # noqa: E731
    arcsin = lambda self: _derived("arcsin", self)  # noqa: E731
    arccos = lambda self: _derived("arccos", self)  # noqa: E731
    arctan = lambda self: _derived("arctan", self)  # noqa: E731
    exp = lambda self: _derived("exp", self)  # noqa: E731
    log = lambda self: _derived("log", self)  # noqa: E731
    sqrt = lambda self: _derived("sqrt", self)  # noqa: E731


class Parameter(ParameterExpression):
    """A free parameter, identified by its name.

    >>> Parameter("a") == Parameter("a")
    True
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name:
            raise ParameterError(expected("parameter name", "a non-empty string", repr(name)))
        self.name = name
        self.constant = 0.0
        self.terms = {self: 1.0}

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Parameter):
            return self.name == other.name
        return ParameterExpression.__eq__(self, other) if isinstance(other, ParameterExpression) else False

    def __hash__(self) -> int:
        return hash(("Parameter", self.name))

    def __repr__(self) -> str:
        return f"Parameter({self.name!r})"

    def __str__(self) -> str:
        return self.name

    def __reduce__(self) -> tuple[Any, ...]:
        return Parameter, (self.name,)

    @property
    def names(self) -> frozenset[str]:
        return frozenset((self.name,))

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        if self.name not in values:
            raise ParameterError(expected(f"parameter {self.name!r}", "a value", "none"))
        return values[self.name]

    def derivatives(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return {self.name: 1.0}

    def substitute(self, values: Mapping[str, ParameterValue]) -> ParameterValue:
        return values.get(self.name, self)


@dataclass(frozen=True, slots=True)
class Derived:
    """A function of expressions that is not affine, such as ``sin(a*b)``: evaluated on the host into its own slot."""

    function: str
    arguments: tuple[ParameterExpression, ...]

    def __str__(self) -> str:
        if len(self.arguments) == 2:
            return f"({self.arguments[0]}) {self.function} ({self.arguments[1]})"
        return f"{self.function}({self.arguments[0]})"

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(argument.names for argument in self.arguments))

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        return _FUNCTIONS[self.function][0](*(argument.evaluate(values) for argument in self.arguments))

    def derivatives(self, values: Mapping[str, Any]) -> dict[str, Any]:
        points = [argument.evaluate(values) for argument in self.arguments]
        total: dict[str, Any] = {}
        for argument, slope in zip(self.arguments, _FUNCTIONS[self.function][1], strict=True):
            for name, inner in argument.derivatives(values).items():
                total[name] = total.get(name, 0.0) + slope(*points) * inner
        return total

    def substitute(self, values: Mapping[str, ParameterValue]) -> ParameterValue:
        arguments = [argument.substitute(values) for argument in self.arguments]
        if any(isinstance(argument, ParameterExpression) for argument in arguments):
            return _derived(self.function, *(_lift_known(argument) for argument in arguments))
        return float(_FUNCTIONS[self.function][0](*arguments))


Atom: TypeAlias = Parameter | Derived
ParameterValue: TypeAlias = int | float | ParameterExpression


def _derived(function: str, *arguments: ParameterExpression) -> ParameterExpression:
    if not any(argument.terms for argument in arguments):
        value = float(_FUNCTIONS[function][0](*(argument.constant for argument in arguments)))
        if not math.isfinite(value):
            raise ParameterError(expected(f"value of {function}", "a finite number", value))
        return ParameterExpression(value, {})
    return ParameterExpression(0.0, {Derived(function, arguments): 1.0})


def _lift(value: object) -> ParameterExpression | None:
    if isinstance(value, ParameterExpression):
        return value
    if isinstance(value, int | float | np.integer | np.floating):
        return ParameterExpression(float(value), {})
    return None


def _lift_known(value: ParameterValue) -> ParameterExpression:
    return value if isinstance(value, ParameterExpression) else ParameterExpression(float(value), {})


def check_parameter(value: Any) -> ParameterValue:
    """Return the parameter of a gate: a finite number, or an expression of parameters."""
    if type(value) is float and value - value == 0.0:
        return value
    if isinstance(value, ParameterExpression):
        return value
    try:
        if isinstance(value, str | bytes) or (isinstance(value, np.generic | np.ndarray) and value.dtype.kind == "c"):
            raise TypeError  # float() reads text, and of a complex number drops the imaginary part
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(expected("gate parameter", "a number or a Parameter", repr(value))) from None
    if number - number != 0.0:  # NaN and infinity
        raise ParameterError(expected("gate parameter", "a finite number", number))
    return number
