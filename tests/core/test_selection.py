"""Selections: rows noted, qubits measured out of them, and copied only when they are needed."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.selection import Selection, apart
from qsim_core.types import Amps, Precision


def states(backend: Backend, rows: int, num_qubits: int) -> Amps:
    amps = backend.allocate(rows, num_qubits, Precision.DOUBLE)
    amps[...] = testing.random_state(np.random.default_rng(1), num_qubits, rows, Precision.DOUBLE)
    return amps


def test_a_selection_of_a_selection_is_one(backend: Backend) -> None:
    """Copied in two steps or in one: the same amplitudes."""
    rng, control = np.random.default_rng(3), RunControl()
    five = rng.integers(0, 2, (5, 5)).astype(np.uint8)
    values = five[[1, 2, 4, 4]]
    whole = Selection(states(backend, 3, 3), (0, 2, 3))
    measured = Selection(
        whole.source, whole.held, np.array([0, 2, 1, 0, 2]), (2,), np.array([0, 1, 1, 0, 0]), rng.uniform(1, 2, 5)
    )
    assert measured.register == (0, 3) and len(measured) == 5
    some = measured.taken(np.array([1, 2, 4, 4]))
    once = backend.regroup(some.source, some.move((0, 1, 2, 3), values), control)
    all_five = backend.regroup(measured.source, measured.move((0, 3), five), control)
    first = Selection(all_five, (0, 3)).taken(np.array([1, 2, 4, 4]))
    np.testing.assert_array_equal(once, backend.regroup(all_five, first.move((0, 1, 2, 3), values), control))
    for k, row in enumerate((1, 2, 4, 4)):
        assert measured.rows is not None and measured.outcomes is not None and measured.scales is not None
        source = np.asarray(whole.source).reshape(3, 2, 2, 2)[measured.rows[row], :, measured.outcomes[row]]
        wanted = np.zeros((2, 2, 2, 2), dtype=complex)
        wanted[:, values[k, 2], values[k, 1]] = measured.scales[row] * source
        np.testing.assert_allclose(once[k], wanted.reshape(-1), atol=1e-15)


def test_rows_in_a_row_share_memory() -> None:
    backend = testing.ReferenceBackend()
    whole = Selection(states(backend, 4, 1), (7,))
    assert whole.taken(np.arange(4)) is whole
    part = whole.taken(np.array([1, 2]))
    assert part.is_on((7,)) and np.shares_memory(part.source, whole.source) and len(part) == 2
    assert not whole.taken(np.array([0, 2])).is_on((7,))


@pytest.mark.parametrize(("bit", "stays"), [(1, True), (0, False)])
def test_a_measured_row_may_stay_where_it_is(bit: int, stays: bool) -> None:
    """Unless its bit was changed, by a reset."""
    whole = Selection(states(testing.ReferenceBackend(), 1, 2), (0, 1))
    row, one = np.zeros(1, dtype=np.int64), np.ones(1, dtype=np.int64)
    chosen = Selection(whole.source, whole.held, row, (1,), one, np.array([1.5]))
    values = np.array([[0, bit]], dtype=np.uint8)
    assert chosen.move((0, 1), values).in_place == stays
    assert not chosen.move((0,), values).in_place and not chosen.is_on((0, 1))


def test_bits_of_qubits_apart() -> None:
    values = np.array([[0, 1, 1], [1, 0, 0]], dtype=np.uint8)
    assert apart(values, (2, 0)).tolist() == [1, 2] and apart(values, ()).tolist() == [0, 0]
