"""Classical expressions evaluate as Python does, and survive JSON."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.classical import (
    MAX_DEPTH,
    Binary,
    Bits,
    Const,
    Expression,
    Unary,
    bits_read,
    evaluate,
    from_json,
    to_json,
)
from qsim_core.errors import ParameterError, ProgramFormatError

OPERATORS = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "and": lambda a, b: a != 0 and b != 0, "or": lambda a, b: a != 0 or b != 0,
    "&": operator.and_, "|": operator.or_, "^": operator.xor, "+": operator.add, "-": operator.sub,
    "<<": lambda a, b: a * 2**b, ">>": lambda a, b: a // 2**b,
}  # fmt: skip

LEAVES = st.one_of(
    st.builds(Const, st.integers(-100, 100)), st.builds(Bits, st.lists(st.integers(0, 5), max_size=4).map(tuple))
)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Binary, st.sampled_from([op for op in OPERATORS if op not in ("<<", ">>")]), inner, inner),
        st.builds(Unary, st.just("not"), inner),
        st.builds(Unary, st.just("~"), inner, st.integers(0, 8)),
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_on_a_table(op: str) -> None:
    for a in range(-3, 6):
        for b in range(0 if op in ("<<", ">>") else -3, 6):
            assert evaluate(Binary(op, Const(a), Const(b)), ()) == int(OPERATORS[op](a, b)), (a, op, b)


def test_bits_are_little_endian() -> None:
    assert evaluate(Bits((2, 0)), [0, 1, 1]) == 1
    assert evaluate(Bits((1, 2)), [0, 1, 1]) == 3
    assert evaluate(Bits(()), []) == 0


def test_unary() -> None:
    assert [evaluate(Unary("not", Const(v)), ()) for v in (0, 1, 7)] == [1, 0, 0]
    assert evaluate(Unary("~", Const(0b101), 4), ()) == 0b1010


@given(EXPRESSIONS, st.lists(st.integers(0, 1), min_size=6, max_size=6))
@settings(max_examples=100, deadline=None)
def test_json_round_trip(expression: Expression, clbits: list[int]) -> None:
    again = from_json(json.loads(json.dumps(to_json(expression))))
    assert again == expression
    assert evaluate(again, clbits) == evaluate(expression, clbits)


@given(EXPRESSIONS, st.lists(st.integers(0, 1), min_size=6, max_size=6), st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_only_the_bits_read_matter(expression: Expression, clbits: list[int], bit: int) -> None:
    changed = [value ^ (k == bit) for k, value in enumerate(clbits)]
    if bit not in bits_read(expression):
        assert evaluate(expression, changed) == evaluate(expression, clbits)


@pytest.mark.parametrize(
    "data",
    [None, 1, "bits", [], ["const"], ["const", 1.5], ["const", True], ["bits", "0"], ["bits", 0.0],
     ["not", ["const", 1]], ["not", ["const", 1], -1], ["~", ["const", 1], 10**6],
     ["**", ["const", 2], ["const", 9]], ["==", ["const", 1]],
     ["==", ["const", 1], ["const", 1], ["const", 1]], {"const": 1}],
)  # fmt: skip
def test_refused(data: Any) -> None:
    with pytest.raises(ProgramFormatError):
        from_json(data)


def test_depth_is_limited() -> None:
    data: Any = ["const", 1]
    for _ in range(MAX_DEPTH):
        data = ["not", data, 0]
    assert evaluate(from_json(data), ()) in (0, 1)
    for _ in range(100_000):
        data = ["not", data, 0]
    with pytest.raises(ProgramFormatError, match="depth"):
        from_json(data)


def test_shifts_are_limited() -> None:
    for op, count in (("<<", -1), ("<<", 5000), (">>", -1)):
        with pytest.raises(ParameterError, match="shift count"):
            evaluate(Binary(op, Const(1), Const(count)), ())


def test_unknown_operator() -> None:
    with pytest.raises(ProgramFormatError, match="operator"):
        evaluate(Binary("**", Const(1), Const(1)), ())
