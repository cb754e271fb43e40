"""Expectation values as estimated from shots: exact statistics, no sampling of states.

Each Pauli string is measured on its own, ``shots`` times. Its outcomes are ±1 with probabilities (1 ± ⟨P⟩)/2, so the mean
of the shots is known once their number of +1 is, and that has a binomial distribution. A matrix is measured in its
eigenbasis: a multinomial one.
"""

from __future__ import annotations

import numpy as np

from . import readout
from .gradient import MatrixTerm
from .kernels.control import RunControl
from .pauli import PauliTerms
from .state import StateVector
from .types import FloatArray

__all__ = ["estimate"]


def estimate(
    state: StateVector,
    term: PauliTerms | MatrixTerm,
    shots: int,
    generator: np.random.Generator,
    control: RunControl | None = None,
) -> FloatArray:
    """Return an estimate of ⟨H⟩ from ``shots`` shots per Pauli string, or of a matrix, shape (B,). It has no bias."""
    control = control or RunControl()
    total = np.zeros(state.batch)
    if isinstance(term, MatrixTerm):
        rho = readout.reduced_density_matrix(state, term.qubits, control)
        values, vectors = np.linalg.eigh(term.matrix)
        weights = np.maximum(np.einsum("ji,bjk,ki->bi", vectors.conj(), rho, vectors).real, 0.0)
        for b, row in enumerate(weights):
            total[b] = generator.multinomial(shots, row / row.sum()) @ values / shots
        return total
    norms = readout.norms(state, control)
    values = state.backend.expectation_paulis(state.amps, term.x_masks, term.z_masks, control) / norms[:, None]
    for exact, coefficient in zip(values.T, term.coefficients, strict=True):
        ups = generator.binomial(shots, np.clip((1 + exact) / 2, 0.0, 1.0))
        total += coefficient * (2 * ups / shots - 1)
    return total
