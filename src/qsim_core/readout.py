"""Numbers read from a state: probabilities, amplitudes, expectation values, reduced states and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from . import validation
from .errors import QubitError, ShapeError, expected
from .kernels.control import RunControl
from .pauli import PauliTerms
from .resources import check_memory
from .state import StateVector
from .types import ComplexArray, FloatArray, Precision

__all__ = [
    "amplitudes",
    "entropy",
    "expectation_matrix",
    "expectation_pauli",
    "fidelity",
    "norms",
    "probabilities",
    "purity",
    "reduced_density_matrix",
    "variance_pauli",
]


def _control(control: RunControl | None) -> RunControl:
    if control is not None:
        return control
    from .resources import available_threads

    return RunControl(threads=available_threads())


def norms(state: StateVector, control: RunControl | None = None) -> FloatArray:
    """Return Σ|a|² of every batch element, shape (B,); 1 up to rounding."""
    return state.backend.norms(state.amps, _control(control))


def probabilities(
    state: StateVector, qubits: Sequence[int] | None = None, control: RunControl | None = None
) -> FloatArray:
    """Return the distribution of measuring ``qubits`` (default: all), shape (B, 2^m); qubits[0] is bit 0 of the outcome.

    Normalised by the norm of the state, so that it sums to one in any precision.
    """
    chosen = range(state.num_qubits) if qubits is None else qubits
    validation.check_qubits("qubit of a marginal", chosen, state.num_qubits)
    check_memory(len(chosen), state.batch, Precision.SINGLE, what="probabilities")
    distribution = state.backend.probabilities(state.amps, chosen, _control(control))
    distribution /= distribution.sum(axis=1, keepdims=True)
    return distribution


def amplitudes(state: StateVector, basis_states: Sequence[int] | npt.NDArray[np.int64]) -> ComplexArray:
    """Return the amplitudes of chosen basis states, shape (B, len(basis_states))."""
    index = np.asarray(basis_states)
    if index.size and index.dtype.kind not in "iu":
        raise QubitError(expected("basis states", "whole numbers", f"{basis_states!r}"[:80]))
    index = index.astype(np.int64)
    if index.size and not 0 <= index.min() <= index.max() < 2**state.num_qubits:
        bad = index[(index < 0) | (index >= 2**state.num_qubits)][0]
        raise QubitError(expected("basis state", f"0 to 2^{state.num_qubits}-1", bad))
    return state.amps[:, index].astype(np.complex128)


def expectation_pauli(state: StateVector, terms: PauliTerms, control: RunControl | None = None) -> FloatArray:
    """Return ⟨ψ|H|ψ⟩ / ⟨ψ|ψ⟩ for a sum of Pauli strings, shape (B,); one read of the state per string."""
    if terms.num_qubits > state.num_qubits:
        raise QubitError(expected("qubits of the observable", f"at most {state.num_qubits}", terms.num_qubits))
    control = _control(control)
    norm = norms(state, control)
    total = np.zeros(state.batch)
    for x_mask, z_mask, coefficient in zip(terms.x_masks, terms.z_masks, terms.coefficients, strict=True):
        if x_mask == z_mask == 0:
            total += coefficient * norm
        else:
            total += coefficient * state.backend.expectation_pauli(state.amps, int(x_mask), int(z_mask), control)
    return total / norm


def variance_pauli(state: StateVector, terms: PauliTerms, control: RunControl | None = None) -> FloatArray:
    """Return ⟨H²⟩ - ⟨H⟩², shape (B,), with H² expanded into Pauli strings."""
    mean = expectation_pauli(state, terms, control)
    return np.maximum(expectation_pauli(state, square(terms), control) - mean**2, 0.0)


def square(terms: PauliTerms) -> PauliTerms:
    """Return H². Products of anticommuting strings cancel in pairs, so its coefficients are real again."""
    products = []
    rows = list(zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True))
    for x1, z1, c1 in rows:
        for x2, z2, c2 in rows:
            if ((x1 & z2).bit_count() + (z1 & x2).bit_count()) % 2 == 0:
                x, z = x1 ^ x2, z1 ^ z2
                # W(x,z) = i^|x&z| X^x Z^z; moving Z^z1 past X^x2 gives (-1)^|z1&x2|.
                power = (x1 & z1).bit_count() + (x2 & z2).bit_count() - (x & z).bit_count() + 2 * (z1 & x2).bit_count()
                products.append((x, z, c1 * c2 * (1.0 if power % 4 == 0 else -1.0)))
    return PauliTerms.of(products)


def expectation_matrix(
    state: StateVector, matrix: npt.ArrayLike, qubits: Sequence[int], control: RunControl | None = None
) -> FloatArray:
    """Return ⟨ψ|M|ψ⟩ / ⟨ψ|ψ⟩ of a Hermitian matrix on up to 12 qubits, shape (B,): Tr(ρ M) with the reduced state."""
    observable = validation.check_hermitian(matrix, len(qubits))
    rho = reduced_density_matrix(state, qubits, control)
    return np.einsum("bij,ji->b", rho, observable).real


def reduced_density_matrix(
    state: StateVector, qubits: Sequence[int], control: RunControl | None = None
) -> ComplexArray:
    """Return the state of ``qubits`` with the rest traced out, trace one, shape (B, 2^m, 2^m), m up to 12."""
    validation.check_qubits("qubit of a reduced state", qubits, state.num_qubits)
    if len(qubits) > 12:
        raise ShapeError(expected("qubits of a density matrix", "at most 12", len(qubits), "Trace out more of them."))
    rho = state.backend.reduced_density_matrix(state.amps, qubits, _control(control))
    return rho / np.einsum("bii->b", rho).real[:, None, None]


def purity(state: StateVector, qubits: Sequence[int], control: RunControl | None = None) -> FloatArray:
    """Return Tr ρ² of the reduced state of ``qubits``, shape (B,): 1 if unentangled, at least 2^-m."""
    rho = reduced_density_matrix(state, _smaller_side(state, qubits), control)
    return np.einsum("bij,bji->b", rho, rho).real


def entropy(state: StateVector, qubits: Sequence[int], control: RunControl | None = None) -> FloatArray:
    """Return the entanglement entropy -Tr ρ log2 ρ of ``qubits`` with the rest, in bits, shape (B,)."""
    values = np.linalg.eigvalsh(reduced_density_matrix(state, _smaller_side(state, qubits), control))
    positive = np.where(values > 0, values, 1.0)
    return np.maximum(-(positive * np.log2(positive)).sum(axis=1), 0.0)


def fidelity(first: StateVector, second: StateVector, control: RunControl | None = None) -> FloatArray:
    """Return |⟨first|second⟩|² / (norms), shape (B,)."""
    if first.num_qubits != second.num_qubits:
        raise ShapeError(expected("states to compare", f"{first.num_qubits} qubits each", second.num_qubits))
    control = _control(control)
    overlap = first.backend.inner_product(first.amps, second.amps, control)
    return np.abs(overlap) ** 2 / (norms(first, control) * norms(second, control))


def _smaller_side(state: StateVector, qubits: Sequence[int]) -> Sequence[int]:
    """Both sides of a pure state have the same spectrum: take the one with fewer qubits."""
    validation.check_qubits("qubit of a reduced state", qubits, state.num_qubits)
    rest = [qubit for qubit in range(state.num_qubits) if qubit not in set(qubits)]
    return qubits if len(qubits) <= len(rest) else rest


def basis_state_of(bits: str, num_qubits: int) -> int:
    """Return the index of a bit string, highest qubit first, such as ``"011"`` for qubits 1 and 0 set."""
    if len(bits) != num_qubits or bits.strip("01"):
        raise ShapeError(expected("bit string", f"{num_qubits} characters 0 or 1", repr(bits)))
    return int(bits, 2) if bits else 0
