"""Estimates from shots: mean and variance are those of measurements, and certain outcomes have no noise."""

from __future__ import annotations

import numpy as np

from qsim_core import readout
from qsim_core.gradient import MatrixTerm
from qsim_core.kernels import registry
from qsim_core.pauli import PauliTerms
from qsim_core.shot_noise import estimate
from qsim_core.state import StateVector


def states(batch: int) -> StateVector:
    backend = registry.backend("reference")
    rng = np.random.default_rng(3)
    amps = np.repeat((rng.normal(size=4) + 1j * rng.normal(size=4))[None], batch, axis=0)
    return StateVector(amps, backend)  # not normalised: estimates are those of the normalised state


def test_mean_and_variance_are_those_of_measurements() -> None:
    state, shots, generator = states(20000), 50, np.random.default_rng(1)
    matrix = np.array([[1, 2j], [-2j, 0.5]])
    for term in (PauliTerms.of([(1, 2, 0.7)]), MatrixTerm(matrix, (1,))):
        one = state.row(0)
        if isinstance(term, PauliTerms):
            exact, variance = readout.expectation_pauli(one, term)[0], readout.variance_pauli(one, term)[0]
        else:
            exact = readout.expectation_matrix(one, matrix, (1,))[0]
            variance = readout.expectation_matrix(one, matrix @ matrix, (1,))[0] - exact**2
        found = estimate(state, term, shots, generator)
        assert abs(found.mean() - exact) < 4.5 * np.sqrt(variance / shots / len(found))
        np.testing.assert_allclose(found.var(), variance / shots, rtol=0.06)


def test_certain_outcomes_have_no_noise() -> None:
    backend = registry.backend("reference")
    zero = StateVector(np.array([[1.0, 0, 0, 0]], dtype=np.complex128), backend)
    found = estimate(zero, PauliTerms.of([(0, 3, 2.0), (0, 0, 0.5)]), 3, np.random.default_rng(0))
    np.testing.assert_array_equal(found, [2.5])
