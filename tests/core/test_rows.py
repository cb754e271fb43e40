"""Rows of amplitudes: taking qubits out, bringing them back, and reading states whose measured qubits are bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsim_core import readout, testing
from qsim_core.kernels.contract import Backend, Regrouping
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.rows import Rows
from qsim_core.types import Amps, Precision


def states(backend: Backend, precision: Precision, rows: int, num_qubits: int) -> Amps:
    amps = backend.allocate(rows, num_qubits, precision)
    amps[...] = testing.random_state(np.random.default_rng(1), num_qubits, rows, precision)
    return amps


@pytest.mark.parametrize("qubits", [(0,), (3,), (2, 0), (1, 2, 3), (0, 1, 2, 3), ()])
def test_selected_parts(backend: Backend, precision: Precision, qubits: tuple[int, ...]) -> None:
    amps, rng = states(backend, precision, 3, 4), np.random.default_rng(2)
    rows, outcomes = rng.integers(0, 3, 9), rng.integers(0, 2 ** len(qubits), 9)
    scales = rng.uniform(1, 2, 9)
    nothing = np.zeros(9, dtype=np.int64)
    found = backend.regroup(amps, Regrouping(rows, qubits, outcomes, scales, (), nothing), RunControl())
    index = np.arange(16)
    for k in range(9):
        wanted = [all(i >> q & 1 == outcomes[k] >> b & 1 for b, q in enumerate(qubits)) for i in index]
        np.testing.assert_allclose(found[k], scales[k] * amps[rows[k]][wanted], atol=4 * precision.epsilon)


@pytest.mark.parametrize("qubits", [(0,), (2,), (2, 0), (1, 2, 4), ()])
def test_embedding_is_undone_by_selecting(backend: Backend, precision: Precision, qubits: tuple[int, ...]) -> None:
    amps, rng = states(backend, precision, 3, 2), np.random.default_rng(2)
    for rows in (rng.integers(0, 3, 7), np.array([1, 2])):
        values = rng.integers(0, 2 ** len(qubits), len(rows))
        grown = backend.regroup(amps, Regrouping.of(rows, qubits, values), RunControl())
        assert grown.shape == (len(rows), 4 << len(qubits))
        np.testing.assert_allclose(np.linalg.norm(grown, axis=1), 1, atol=8 * precision.epsilon)
        every, ones, nothing = np.arange(len(rows)), np.ones(len(rows)), np.zeros(len(rows), dtype=np.int64)
        back = backend.regroup(grown, Regrouping(every, qubits, values, ones, (), nothing), RunControl(threads=2))
        np.testing.assert_array_equal(back, amps[rows])


def test_expectation_values_without_the_whole_state(backend: Backend, precision: Precision, dense_pauli: Any) -> None:
    values = np.array([[0, 1, 0, 1], [0, 0, 0, 1], [0, 1, 0, 0]], dtype=np.uint8)
    amps = states(backend, precision, 3, 2)
    rows = Rows(backend, (0, 2), amps, values, np.arange(5), np.array([0, 1, 1, 2, 1]))
    assert rows.weights.tolist() == [1, 3, 1]
    terms = PauliTerms.of([(0b0001, 0b0100, 0.5), (0, 0b1011, -1.0), (0b0010, 0, 2.0), (0, 0, 0.25)])
    found = rows.expectation_pauli(terms)
    for k in range(3):
        whole = rows.whole(k)
        assert whole.num_qubits == 4
        np.testing.assert_allclose(found[k], readout.expectation_pauli(whole, terms)[0], atol=50 * precision.epsilon)
        probabilities = readout.probabilities(whole, (1, 3))[0]
        assert probabilities[values[k, 1] + 2 * values[k, 3]] == pytest.approx(1)
