"""Numbers read from a state: probabilities, amplitudes, expectation values, reduced states and what follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from . import validation
from .errors import QubitError, ShapeError, expected
from .kernels.control import RunControl
from .pauli import PauliTerms
from .resources import check_memory
from .state import StateVector
from .types import Amps, ComplexArray, FloatArray, Precision

__all__ = [
    "amplitudes",
    "apply_sparse",
    "entropy",
    "expectation_matrix",
    "expectation_pauli",
    "expectation_paulis",
    "fidelity",
    "moments_sparse",
    "norms",
    "probabilities",
    "purity",
    "reduced_density_matrix",
    "variance_pauli",
]

#: Copies of a state in double precision that the product with a sparse matrix holds at most.
SPARSE_COPIES = 4


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
    return state.backend.amplitudes(state.amps, index).astype(np.complex128)


def expectation_pauli(state: StateVector, terms: PauliTerms, control: RunControl | None = None) -> FloatArray:
    """Return ⟨ψ|H|ψ⟩ / ⟨ψ|ψ⟩ for a sum of Pauli strings, shape (B,)."""
    return expectation_paulis(state, [terms], control)[:, 0]


def expectation_paulis(state: StateVector, sums: Sequence[PauliTerms], control: RunControl | None = None) -> FloatArray:
    """Return ⟨ψ|H_k|ψ⟩ / ⟨ψ|ψ⟩ for several sums of Pauli strings at once, shape (B, K).

    A string in several sums is evaluated once, and the state is read for all strings of all sums together: a backend
    forms the products of amplitudes once for each different X mask, and all diagonal strings cost one read.

    >>> from qsim_core.kernels.registry import backend
    >>> state = StateVector(backend("reference").allocate(1, 2, Precision.DOUBLE), backend("reference"))
    >>> state.amps[...] = [[0.6, 0, 0, 0.8]]
    >>> z0, xx = PauliTerms.of([(0, 1, 1.0)]), PauliTerms.of([(3, 0, 1.0), (0, 1, 1.0)])
    >>> expectation_paulis(state, [z0, xx]).round(12)
    array([[-0.28,  0.68]])
    """
    if not sums:
        return np.zeros((state.batch, 0))
    widest = max((terms.num_qubits for terms in sums), default=0)
    if widest > state.num_qubits:
        raise QubitError(expected("qubits of the observable", f"at most {state.num_qubits}", widest))
    none = np.zeros(1, dtype=np.int64)  # the first string, I, gives the norm
    x_masks = np.concatenate([none, *(terms.x_masks for terms in sums)])
    z_masks = np.concatenate([none, *(terms.z_masks for terms in sums)])
    order = np.lexsort((z_masks, x_masks))
    x_masks, z_masks = x_masks[order], z_masks[order]
    new = np.append(True, (x_masks[1:] != x_masks[:-1]) | (z_masks[1:] != z_masks[:-1]))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.cumsum(new) - 1
    values = state.backend.expectation_paulis(state.amps, x_masks[new], z_masks[new], _control(control))
    result, first = np.empty((state.batch, len(sums))), 1
    for k, terms in enumerate(sums):
        result[:, k] = (values[:, place[first : first + len(terms)]] * terms.coefficients).sum(axis=1)
        first += len(terms)
    return result / values[:, place[:1]]


def variance_pauli(state: StateVector, terms: PauliTerms, control: RunControl | None = None) -> FloatArray:
    """Return ⟨H²⟩ - ⟨H⟩² = ‖(H - ⟨H⟩)ψ‖² / ‖ψ‖², shape (B,).

    One application of H to the state instead of the T² strings of H², and nothing cancels where the variance is
    small. The memory of one more state is used.

    Raises:
        MemoryBudgetError: if there is no room for it.
    """
    control = _control(control)
    mean = expectation_pauli(state, terms, control)
    check_memory(state.num_qubits, state.batch, state.precision, what="variance")
    image = state.backend.allocate(state.batch, state.num_qubits, state.precision)
    centred = PauliTerms(np.append(terms.x_masks, 0), np.append(terms.z_masks, 0), np.append(terms.coefficients, 0.0))
    weights = np.column_stack([np.broadcast_to(terms.coefficients, (state.batch, len(terms))), -mean])
    state.backend.apply_pauli_sum(state.amps, centred, np.ascontiguousarray(weights), image, control)
    return state.backend.norms(image, control) / norms(state, control)


def expectation_matrix(
    state: StateVector, matrix: npt.ArrayLike, qubits: Sequence[int], control: RunControl | None = None
) -> FloatArray:
    """Return ⟨ψ|M|ψ⟩ / ⟨ψ|ψ⟩ of a Hermitian matrix on up to 12 qubits, shape (B,): Tr(ρ M) with the reduced state."""
    observable = validation.check_hermitian(matrix, len(qubits))
    rho = reduced_density_matrix(state, qubits, control)
    return np.einsum("bij,ji->b", rho, observable).real


def apply_sparse(amps: Amps, matrix: Any, qubits: Sequence[int]) -> ComplexArray:
    """Return M |ψ⟩ in double precision for a SciPy sparse matrix on some qubits and one state, both of shape (2^n,).

    ``matrix`` has the products of a CSR matrix; the amplitudes are taken in columns, so that the state and its image
    are copied once each where ``qubits`` aren't the highest ones.
    """
    num_qubits = len(amps).bit_length() - 1
    axes, first = [num_qubits - 1 - q for q in reversed(qubits)], range(len(qubits))
    tensor = np.asarray(amps).astype(np.complex128, copy=False).reshape((2,) * num_qubits)
    columns = np.moveaxis(tensor, axes, first)
    image = (matrix @ columns.reshape(2 ** len(qubits), -1)).reshape(columns.shape)
    return np.moveaxis(image, first, axes).reshape(-1)


def moments_sparse(
    state: StateVector, matrix: Any, qubits: Sequence[int], control: RunControl | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return ⟨M⟩ and ⟨M²⟩ of a Hermitian SciPy sparse matrix on any number of qubits, each of shape (B,).

    Raises:
        MemoryBudgetError: if there is no room for copies of the state, see :func:`apply_sparse`.
    """
    validation.check_qubits("qubit of an observable", qubits, state.num_qubits)
    check_memory(state.num_qubits, SPARSE_COPIES, Precision.DOUBLE, what="sparse observable")
    control = _control(control)
    result = np.empty((2, state.batch))
    for b, norm in enumerate(norms(state, control)):
        control.poll()
        image = apply_sparse(state.amps[b], matrix, qubits)
        result[:, b] = np.vdot(np.asarray(state.amps[b]), image).real / norm, np.vdot(image, image).real / norm
    return result[0], result[1]


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
