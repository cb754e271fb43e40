"""OpTable holds what was appended; AngleTable is the affine map it says it is."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.angles import AngleTable
from qsim_core.errors import ParameterError, QubitError
from qsim_core.operations import Angle
from qsim_core.optable import PAULI_CODE, PAULI_LETTER, OpTableBuilder

Row = tuple[int, int, list[int], list[int], list[int], list[int]]
NUMBERS = st.integers(-(2**31), 2**31 - 1)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    targets = draw(st.lists(NUMBERS, max_size=4))
    controls = draw(st.lists(NUMBERS, max_size=3))
    tags = draw(st.lists(NUMBERS, min_size=len(targets), max_size=len(targets)))
    values = draw(st.lists(st.integers(0, 1), min_size=len(controls), max_size=len(controls)))
    return draw(st.integers(1, 11)), draw(NUMBERS), targets, tags, controls, values


@given(st.lists(rows(), max_size=8))
@settings(max_examples=60, deadline=None)
def test_rows_come_back(appended: list[Row]) -> None:
    builder = OpTableBuilder()
    for kind, data, targets, tags, controls, values in appended:
        builder.append(kind, data, tuple(targets), tuple(tags), tuple(controls), tuple(values))
    table = builder.finish()
    assert len(table) == len(builder) == len(appended)
    for row, (kind, data, targets, tags, controls, values) in enumerate(appended):
        assert (table.kind[row], table.data[row], table.num_targets[row]) == (kind, data, len(targets))
        assert table.targets(row).tolist() == targets and table.target_tags(row).tolist() == tags
        assert table.controls(row).tolist() == controls and table.control_values(row).tolist() == values
        assert table.wires(row).tolist() == targets + controls


def test_columns_are_read_only() -> None:
    builder = OpTableBuilder()
    builder.append(1, 0, (0,), (1,))
    for column in builder.finish().columns:
        with pytest.raises(ValueError, match="read-only"):
            column[0] = 1


@pytest.mark.parametrize("wire", [0.5, "0", None, 2**31, -(2**31) - 1, 10**30])
def test_wires_are_32_bit_whole_numbers(wire: object) -> None:
    builder = OpTableBuilder()
    builder.append(1, 0, (wire,), (1,))  # type: ignore[arg-type]
    with pytest.raises(QubitError, match="expected"):
        builder.finish()


def test_numpy_integers_are_wires() -> None:
    builder = OpTableBuilder()
    builder.append(1, 0, tuple(np.arange(3)), (1, 1, 1))
    assert builder.finish().wires(0).tolist() == [0, 1, 2]


def test_pauli_codes() -> None:
    assert all(PAULI_LETTER[code] == letter for letter, code in PAULI_CODE.items())


FLOATS = st.floats(-1e6, 1e6)
ANGLES = st.builds(Angle, FLOATS, st.lists(st.tuples(st.integers(0, 3), FLOATS), max_size=4).map(tuple))


@given(st.lists(ANGLES, max_size=8), st.lists(st.lists(FLOATS, min_size=4, max_size=4), min_size=1, max_size=3))
@settings(max_examples=80, deadline=None)
def test_angle_table_evaluates_each_angle(angles: list[Angle], slots: list[list[float]]) -> None:
    table = AngleTable.of(angles)
    assert [table[k] for k in range(len(table))] == angles
    wanted = np.array([[angle.value(row) for angle in angles] for row in slots]).reshape(len(slots), len(angles))
    np.testing.assert_allclose(table.evaluate(slots), wanted, rtol=1e-12, atol=1e-2)


@given(st.lists(ANGLES, max_size=8), st.lists(st.lists(FLOATS, min_size=4, max_size=4), min_size=1, max_size=3))
@settings(max_examples=40, deadline=None)
def test_the_core_evaluates_to_the_bits_of_numpy(angles: list[Angle], slots: list[list[float]]) -> None:
    table, plain = AngleTable.of(angles), AngleTable.of(angles)
    plain.__dict__["_map"] = None
    np.testing.assert_array_equal(table.evaluate(slots), plain.evaluate(slots))
    again = pickle.loads(pickle.dumps(table))
    np.testing.assert_array_equal(again.evaluate(slots), table.evaluate(slots))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e308])
@pytest.mark.parametrize("in_core", [True, False])
def test_angles_are_finite(value: float, in_core: bool) -> None:
    table = AngleTable.of([Angle(0.5), Angle(0.0, ((1, 3.0),))])
    if not in_core:
        table.__dict__["_map"] = None
    with pytest.raises(ParameterError, match="finite"):
        table.evaluate([0.0, value])
    assert table.evaluate([value, 2.0]).tolist() == [[0.5, 6.0]]  # nobody looks at it


def test_rows_of_too_few_slots() -> None:
    with pytest.raises((ValueError, IndexError)):
        AngleTable.of([Angle(0.0, ((2, 1.0),))]).evaluate([[0.0, 1.0]])


@pytest.mark.parametrize(
    "angles",
    [
        [Angle(0.0, ((2, 1.0),)), Angle(0.5), Angle(0.0, ((0, 1.0),)), Angle(0.0, ((2, 1.0),))],
        [Angle(0.25, ((2, 1.0),)), Angle(0.5)],
        [Angle(0.0, ((2, 1.0), (0, 1.0))), Angle(0.5)],
        [Angle(0.0, ((1, 2.0),))],
    ],
)
def test_angles_that_are_slots_and_others(angles: list[Angle]) -> None:
    slots = np.array([3.0, 5.0, 7.0])
    wanted = [angle.constant + sum(factor * slots[slot] for slot, factor in angle.terms) for angle in angles]
    table = AngleTable.of(angles)
    for values in (slots, slots[None], np.stack([slots, slots])):
        np.testing.assert_array_equal(table.evaluate(values), np.tile(wanted, (len(np.atleast_2d(values)), 1)))


@given(st.lists(ANGLES, min_size=1, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pull_back_is_the_transpose(angles: list[Angle], seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = AngleTable.of(angles)
    slots, cotangent = rng.normal(size=(2, 4)), rng.normal(size=(2, len(angles)))
    linear = table.evaluate(slots) - table.evaluate(np.zeros((2, 4)))
    forward = (linear * cotangent).sum(axis=1)
    backward = (slots * table.pull_back(cotangent, 4)).sum(axis=1)
    scale = 1 + np.abs(table.coefficient).sum() + np.abs(table.constant).sum()
    np.testing.assert_allclose(forward, backward, atol=1e-13 * scale * 100)


@given(ANGLES, ANGLES, FLOATS)
@settings(max_examples=60, deadline=None)
def test_angle_arithmetic(first: Angle, second: Angle, factor: float) -> None:
    slots = [0.5, -2.0, 3.0, 0.0]
    near = pytest.approx
    assert first.scaled(factor, 1.0).value(slots) == near(factor * first.value(slots) + 1, rel=1e-9, abs=1e-3)
    assert first.plus(second).value(slots) == near(first.value(slots) + second.value(slots), rel=1e-9, abs=1e-3)
