"""Checks on user input: what passes is frozen and unchanged, what does not is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import validation
from qsim_core.errors import NotUnitaryError, ParameterError, QsimError, QubitError, ShapeError


def unitary(seed: int, size: int) -> Any:
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size)))[0]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), width=st.integers(0, 4), size=st.floats(1e-6, 1e-1))
def test_unitaries_pass_and_perturbed_ones_do_not(seed: int, width: int, size: float) -> None:
    matrix = unitary(seed, 2**width)
    checked = validation.check_unitary(matrix, width)
    np.testing.assert_array_equal(checked, matrix)
    assert not checked.flags.writeable and not np.shares_memory(checked, matrix)
    np.testing.assert_array_equal(
        validation.check_unitary(matrix.astype(np.complex64), width), matrix.astype(np.complex64)
    )
    for entry in ((0, 0), (-1, 0)):
        other = matrix.copy()
        other[entry] += size * (1 + 1j)
        with pytest.raises(NotUnitaryError, match="max"):
            validation.check_unitary(other, width)


def test_wide_unitaries_are_probed() -> None:
    matrix = np.exp(2j * np.pi * np.outer(range(512), range(512)) / 512) / 512**0.5
    validation.check_unitary(matrix, 9)
    matrix[3, 4] += 1e-5
    with pytest.raises(NotUnitaryError, match="unitary within 1e-08"):
        validation.check_unitary(matrix, 9)


@settings(max_examples=25, deadline=None)
@given(table=st.permutations(range(8)))
def test_permutations(table: list[int]) -> None:
    checked = validation.check_permutation(table, 3)
    assert checked.tolist() == table and checked.dtype == np.int64 and not checked.flags.writeable
    with pytest.raises(NotUnitaryError):
        validation.check_permutation([*table[:-1], table[0]], 3)


def test_a_frozen_array_is_not_copied_again() -> None:
    once = validation.check_unitary(np.eye(2), 1)
    assert validation.check_unitary(once, 1) is once


def test_large_states_may_be_given() -> None:
    """An initial state may be as large as memory allows; only tables have a limit."""
    with pytest.raises(ShapeError, match=r"shape \(1073741824,\), got \(2,\)"):
        validation.check_state([1, 0], 30)
    with pytest.raises(ShapeError, match="at most 26, got 30"):
        validation.check_diagonal([1, 1], 30)


HUGE = [[1e200, 1e200j], [1e200j, 1e200]]
REFUSALS: list[tuple[str, tuple[Any, ...], type[QsimError], str]] = [
    ("check_num_qubits", (63,), QubitError, r"0 to 62 .*got 63"),
    ("check_num_qubits", (2.0,), ParameterError, r"got 2\.0"),
    ("check_count", ("shots", True), ParameterError, r"shots: .*got True"),
    ("check_count", ("shots", 0, 1), ParameterError, r"at least 1, got 0"),
    ("check_qubits", ("target", [0, 3], 3), QubitError, r"target: expected 0 to 2, got 3"),
    ("check_qubits", ("target", [0, 0], 3), QubitError, r"0 twice in \(0, 0\)"),
    ("check_qubits", ("target", [0], 0), QubitError, r"none, there are no such wires"),
    ("check_qubits", ("target", [True], 3), QubitError, r"whole number, got True"),
    ("check_control_values", ([1], []), ShapeError, r"1, one per control, got 0"),
    ("check_control_values", ([1], [2]), ParameterError, r"0 or 1, got 2"),
    ("check_angles", (np.array([0.0, np.inf]),), ParameterError, r"got inf"),
    ("check_unitary", (HUGE, 1), NotUnitaryError, r"finite entries, got .*1e\+200"),
    ("check_unitary", (np.full((2, 2), np.nan), 1), NotUnitaryError, r"finite entries, got .*nan"),
    ("check_unitary", (np.eye(2), 13), ShapeError, r"at most 12, got 13.*smaller gates"),
    ("check_unitary", (np.zeros((2, 2, 1)), 1), ShapeError, r"shape \(2, 2\), got \(2, 2, 1\)"),
    ("check_unitary", ([["1", "0"], ["0", "1"]], 1), ShapeError, r"array of numbers"),
    ("check_diagonal", ([1, 2], 1), NotUnitaryError, r"deviation of 1"),
    ("check_diagonal", ([1, 1, 1], 1), ShapeError, r"shape \(2,\), got \(3,\)"),
    ("check_state", ([0, 0], 1), NotUnitaryError, r"norm 0\."),
    ("check_state", ([np.inf, 0], 1), NotUnitaryError, r"finite entries"),
    ("check_permutation", ([1, 2], 1), NotUnitaryError, r"0 to 1 once, got \[1 2\]"),
    ("check_permutation", ([[0], [1, 0]], 1), ShapeError, r"whole numbers"),
    ("check_permutation", ([-1, 0], 1), NotUnitaryError, r"\[-1 +0\]"),
    ("check_channel", ([np.eye(2), HUGE], 1, None), NotUnitaryError, r"finite entries"),
    ("check_channel", ([np.eye(2), np.eye(2)], 1, None), NotUnitaryError, r"deviation of 1"),
    ("check_channel", ([np.eye(2)], 2, None), ShapeError, r"shape \(4, 4\)"),
    ("check_channel", ([np.eye(2)], 1, [-1.0]), ParameterError, r"got \[-1\.0\]"),
    ("check_channel", ([np.eye(2)] * 2, 1, [0.5, np.nan]), ParameterError, r"nan"),
    ("check_hermitian", ([[0, 1], [2, 0]], 1), ShapeError, r"Hermitian matrix"),
    ("check_hermitian", ([[np.inf, 0], [0, 0]], 1), ParameterError, r"finite entries"),
    ("check_hermitian", ("Z", 1), ShapeError, r"got 'Z'"),
]


@pytest.mark.parametrize(("check", "args", "error", "message"), REFUSALS)
def test_refusals(check: str, args: tuple[Any, ...], error: type[QsimError], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(validation, check)(*args)
