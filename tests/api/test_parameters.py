"""Parameters: arithmetic, derivatives, substitution, and binding by name, by order and in batches."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Parameter
from qsim.parameters import ParameterExpression
from qsim_core.errors import ParameterError, QsimError, ShapeError

A, B = Parameter("a"), Parameter("b")

#: The same formula on parameters and on numbers.
FORMULAS: list[Any] = [
    lambda a, b: 2 * a - b / 4 + 1,
    lambda a, b: -(a - 3) + (+b),
    lambda a, b: a * b,
    lambda a, b: a / b + 1 / (b * b),
    lambda a, b: (a + b) ** 2 + b**a + 2**b,
    lambda a, b: np.sin(a * b) + np.cos(a) - np.tan(b / 4),
    lambda a, b: np.arcsin(a / 4) + np.arccos(b / 4) * np.arctan(a),
    lambda a, b: np.exp(-a) + np.log(b) * np.sqrt(a) + abs(a - b),
    lambda a, b: 3 - a,
    lambda a, b: np.float64(2) * a + np.int64(3),
]


@pytest.mark.parametrize("formula", FORMULAS)
@settings(max_examples=15, deadline=None)
@given(a=st.floats(0.1, 1.4), b=st.floats(1.5, 3.0))
def test_expressions_are_the_formula_and_its_derivative(formula: Any, a: float, b: float) -> None:
    expression, values = formula(A, B), {"a": a, "b": b}
    assert isinstance(expression, ParameterExpression)
    assert expression.evaluate(values) == pytest.approx(formula(a, b), rel=1e-12)
    assert float(expression.substitute(values)) == pytest.approx(formula(a, b), rel=1e-12)
    assert (0 * B + expression.substitute({"a": a})).evaluate({"b": b}) == pytest.approx(formula(a, b), rel=1e-12)
    slopes, h = expression.derivatives(values), 1e-6
    assert slopes.get("a", 0) == pytest.approx((formula(a + h, b) - formula(a - h, b)) / (2 * h), rel=1e-6, abs=1e-7)
    assert slopes.get("b", 0) == pytest.approx((formula(a, b + h) - formula(a, b - h)) / (2 * h), rel=1e-6, abs=1e-7)


def test_identity_and_text() -> None:
    assert Parameter("a") == A != B
    assert {A: 1}[Parameter("a")] == 1
    assert A + B == B + A and A - A == 0 and hash(A + B) == hash(B + A)
    assert 2 * A + 1 == 1 + A * 2 != A
    assert repr(A) == "Parameter('a')" and str(2 * A - 1) == "2*a - 1" and str(np.sin(A)) == "sin(a)"
    assert (A * B).names == {"a", "b"}
    for value in (A, 2 * A + B, np.sin(A * B)):
        assert pickle.loads(pickle.dumps(value)) == value


def test_slots_of_the_program_are_parameters_and_derived_expressions() -> None:
    circuit = Circuit(1).rx(A + 2 * B, 0).ry(np.sin(A * B), 0).rz(3 * np.sin(A * B), 0)
    assert circuit.to_program().slots == ("a", "b", "sin((a) * (b))")
    assert circuit.parameters == ("a", "b")


def test_binding_by_name_order_and_batch() -> None:
    lowered = Circuit(1).rx(A, 0).ry(A * B, 0).lowered()
    expected = [[2, 6]]
    for params in ({"a": 2, "b": 3}, {A: 2, B: 3}, [2, 3], (2.0, 3.0), np.array([2, 3]), np.array([[2, 3]])):
        np.testing.assert_array_equal(lowered.slots(params), expected)
    batch = [[1, 3], [2, 6], [4, 12]]
    for params in ({"a": [1, 2, 4], "b": 3}, np.array([[1, 3], [2, 3], [4, 3]])):
        np.testing.assert_array_equal(lowered.slots(params), batch)


def test_integer_values_divide_and_have_powers() -> None:
    lowered = Circuit(1).rx(A**B, 0).ry(A / B, 0).lowered()
    np.testing.assert_allclose(lowered.slots({"a": 2, "b": -1}), [[0.5, -2.0]])


REFUSALS: list[tuple[Any, type[QsimError], str]] = [
    (None, ParameterError, r"expected a, b, got no value for \['a', 'b'\]"),
    ({"a": 1}, ParameterError, r"no value for \['b'\]"),
    ({"a": 1, "beta": 2}, ParameterError, r"no value for \['b'\] and unknown \['beta'\]"),
    ({"a": 1, "b": 2, "c": 3}, ParameterError, r"unknown \['c'\]"),
    ([1], ParameterError, r"shape .* got \(1,\)"),
    (1.0, ParameterError, r"got \(\)"),
    (np.zeros((2, 2, 2)), ShapeError, r"at most 2 dimensions, got shape \(2, 2, 2\)"),
    ({"a": np.zeros((2, 2)), "b": 1}, ShapeError, r"'a'.*at most 1 dimensions"),
    ({"a": [1, 2], "b": [1, 2, 3]}, ShapeError, r"one length for all parameters, got \[2, 3\]"),
    ({"a": "1", "b": 2}, ParameterError, r"'a': expected real numbers, got '1'"),
    ({"a": 1j, "b": 2}, ParameterError, r"real numbers, got 1j"),
    ({"a": float("nan"), "b": 2}, ParameterError, r"finite number of radians, got nan"),
    ({"a": [], "b": 2}, ParameterError, r"at least one set"),
    ({"a": 1e308, "b": 1}, ParameterError, r"finite number of radians, got inf"),
]


@pytest.mark.parametrize(("params", "error", "message"), REFUSALS, ids=[message for _, _, message in REFUSALS])
def test_refused_values(params: Any, error: type[QsimError], message: str) -> None:
    circuit = Circuit(1).rx(100 * A, 0).ry(B, 0)
    with pytest.raises(error, match=message):
        circuit.to_program().bind(circuit.lowered().slots(params))


def test_a_domain_error_is_refused_with_its_value() -> None:
    circuit = Circuit(1).rx(np.log(A), 0)
    with pytest.raises(ParameterError, match="nan"):
        circuit.to_matrix({"a": -1.0})
    with pytest.raises(ParameterError, match="inf"):
        Circuit(1).rx(1 / A, 0).to_matrix({"a": 0})


def test_refused_expressions() -> None:
    for name in ("", 3, None):
        with pytest.raises(ParameterError, match="non-empty string"):
            Parameter(name)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="other than 0"):
        A / 0
    with pytest.raises(ParameterError, match=r"without parameters, got a \+ b \(free: a, b\)"):
        float(A + B)
    with pytest.raises(TypeError):
        A + "b"  # type: ignore[operator]
    with pytest.raises(ParameterError, match=r"'b'.*a value"):
        (A + B).evaluate({"a": 1})
