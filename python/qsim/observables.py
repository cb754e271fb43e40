"""Observables: sums of Pauli strings, and Hermitian matrices on a few qubits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from qsim_core import readout, validation
from qsim_core.errors import ParameterError, QubitError, ShapeError, expected
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.rows import Rows
from qsim_core.state import StateVector
from qsim_core.types import MAX_QUBITS, FloatArray

__all__ = [
    "Hermitian",
    "Observable",
    "ObservableLike",
    "PauliSum",
    "as_observable",
    "as_observables",
    "check_width",
    "expectations",
]

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_STRING = r"[IXYZ]\d*(?:(?:\s*[*@]\s*|\s*)[IXYZ]\d*)*"
_TERM = re.compile(rf"\s*([+-]?)\s*(?:({_NUMBER})(?:\s*\*?\s*({_STRING}))?|({_STRING}))\s*")
_FACTOR = re.compile(r"([IXYZ])(\d+)")


class PauliSum:
    """Σ coefficient · Pauli string, with real coefficients.

    Text names each letter's qubit, ``"0.5*Z0 Z1 - X2"``, or, without numbers, writes one letter per qubit with the
    highest qubit first, as bit strings do: ``"ZIX"`` is Z on qubit 2 and X on qubit 0. Also accepted: a mapping from such
    strings to coefficients, and (letters, qubits, coefficient) triples.

    >>> PauliSum("0.5*Z0 Z1 - X2") == PauliSum({"IZZ": 0.5, "XII": -1.0})
    True
    >>> PauliSum([("ZX", [3, 0], 2.0), ("Z", 1, 0.5)])
    PauliSum('2.0*X0 Z3 + 0.5*Z1')
    """

    def __init__(
        self,
        terms: str | Mapping[str, float] | Iterable[tuple[str, Sequence[int] | int, float]] | PauliTerms,
    ) -> None:
        if isinstance(terms, PauliTerms):
            self.terms = terms
            return
        if isinstance(terms, str):
            rows = list(_parse(terms))
        elif isinstance(terms, Mapping):
            rows = [(x, z, c * _check_coefficient(k)) for text, k in terms.items() for x, z, c in _parse(text)]
        else:
            try:
                triples = [(letters, qubits, coefficient) for letters, qubits, coefficient in terms]
            except (TypeError, ValueError):
                allowed = "text, a mapping or (letters, qubits, coefficient) triples"
                raise ParameterError(expected("Pauli sum", allowed, repr(terms)[:80])) from None
            rows = [_masks(*triple) for triple in triples]
        self.terms = PauliTerms.of(rows)

    @classmethod
    def from_masks(cls, x_masks: npt.ArrayLike, z_masks: npt.ArrayLike, coefficients: npt.ArrayLike) -> PauliSum:
        """Return Σ_j coefficients[j] P_j with X on the bits of ``x_masks[j]``, Z on ``z_masks[j]``, Y on both.

        >>> PauliSum.from_masks([0b01, 0b11], [0b01, 0], [0.5, -1.0])
        PauliSum('0.5*Y0 - 1.0*X0 X1')
        """
        masks = [np.asarray(m) for m in (x_masks, z_masks)]
        values = np.asarray(coefficients)
        if any(m.ndim != 1 or m.shape != values.shape or (m.size and m.dtype.kind not in "iu") for m in masks):
            given = f"shapes {[m.shape for m in (*masks, values)]} of {[str(m.dtype) for m in masks]}"
            raise ParameterError(expected("masks of a Pauli sum", "whole numbers, one for each coefficient", given))
        if any(m.size and not 0 <= int(m.min()) <= int(m.max()) < 2**MAX_QUBITS for m in masks):
            raise QubitError(expected("masks of a Pauli sum", f"0 to 2^{MAX_QUBITS}-1", "others"))
        if values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            raise ParameterError(expected("coefficients of a Pauli sum", "finite real numbers", str(values.dtype)))
        rows = np.stack([m.astype(np.int64) for m in masks], axis=1)
        different, place = np.unique(rows, axis=0, return_inverse=True)
        total = np.zeros(len(different))
        np.add.at(total, place.ravel(), values.astype(np.float64))
        first = np.full(len(different), len(rows))
        np.minimum.at(first, place.ravel(), np.arange(len(rows)))
        order = np.argsort(first)  # in the order given
        x, z = np.ascontiguousarray(different[order].T)
        return cls(PauliTerms(x, z, total[order]))

    @classmethod
    def from_symplectic(cls, x: npt.ArrayLike, z: npt.ArrayLike, coefficients: npt.ArrayLike) -> PauliSum:
        """Return the sum of the strings with X where ``x[j, q]`` is 1, Z where ``z[j, q]`` is 1, Y where both are.

        >>> PauliSum.from_symplectic([[1, 0], [1, 1]], [[1, 0], [0, 0]], [0.5, -1.0])
        PauliSum('0.5*Y0 - 1.0*X0 X1')
        """
        bits = [np.asarray(b) for b in (x, z)]
        if any(b.ndim != 2 or b.shape != bits[0].shape or not np.isin(b, (0, 1)).all() for b in bits):
            raise ParameterError(expected("bits of a Pauli sum", "two arrays (terms, qubits) of 0 and 1", "others"))
        validation.check_num_qubits(bits[0].shape[1])
        weights = np.array([1 << q for q in range(bits[0].shape[1])], dtype=np.int64)
        x_masks, z_masks = (b.astype(np.int64) @ weights for b in bits)
        return cls.from_masks(x_masks, z_masks, coefficients)

    @property
    def num_qubits(self) -> int:
        """The least register the sum fits on."""
        return self.terms.num_qubits

    def support(self) -> set[int]:
        """Return the qubits it acts on."""
        used = int(np.bitwise_or.reduce(self.terms.x_masks | self.terms.z_masks, initial=0))
        return {q for q in range(used.bit_length()) if used >> q & 1}

    def relabelled(self, place: Mapping[int, int]) -> PauliSum:
        """Return the same sum with qubit q renamed to ``place[q]``."""
        x, z = (
            sum(((column >> q & 1) << k for q, k in place.items()), np.zeros_like(column))
            for column in (self.terms.x_masks, self.terms.z_masks)
        )
        return PauliSum(PauliTerms(x, z, self.terms.coefficients))

    def expectation(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨H⟩, shape (B,)."""
        return readout.expectation_pauli(state, self.terms, control)

    def expectation_of_rows(self, rows: Rows, control: RunControl | None = None) -> FloatArray:
        """Return ⟨H⟩ of every row."""
        return rows.expectation_pauli(self.terms, control)

    def variance(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨H²⟩ - ⟨H⟩², shape (B,)."""
        return readout.variance_pauli(state, self.terms, control)

    def __len__(self) -> int:
        return len(self.terms)

    def __add__(self, other: PauliSum | float) -> PauliSum:
        """Return the sum; a number is a multiple of the identity."""
        if isinstance(other, PauliSum):
            return PauliSum(PauliTerms.of([*_rows(self.terms), *_rows(other.terms)]))
        if not isinstance(other, Real):
            return NotImplemented
        return self + PauliSum([("", (), float(other))])

    __radd__ = __add__

    def __neg__(self) -> PauliSum:
        return self * -1.0

    def __sub__(self, other: PauliSum | float) -> PauliSum:
        if not isinstance(other, PauliSum | Real):
            return NotImplemented
        return self + (-other if isinstance(other, PauliSum) else -float(other))

    def __rsub__(self, other: float) -> PauliSum:
        return -self + other

    def __mul__(self, factor: float) -> PauliSum:
        if not isinstance(factor, Real):
            return NotImplemented
        _check_coefficient(factor)
        return PauliSum(PauliTerms(self.terms.x_masks, self.terms.z_masks, self.terms.coefficients * float(factor)))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> PauliSum:
        if not isinstance(divisor, Real):
            return NotImplemented
        if divisor == 0:
            raise ParameterError(expected("divisor of a Pauli sum", "a number other than 0", divisor))
        return self * (1.0 / float(divisor))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PauliSum) and set(_rows(self.terms)) == set(_rows(other.terms))

    def __hash__(self) -> int:
        return hash(frozenset(_rows(self.terms)))

    def __repr__(self) -> str:
        return f"PauliSum('{self}')"

    def __str__(self) -> str:
        parts = []
        for x, z, coefficient in _rows(self.terms):
            used = [q for q in range((x | z).bit_length()) if (x | z) >> q & 1]
            letters = " ".join(f"{'IXZY'[(x >> q & 1) | (z >> q & 1) << 1]}{q}" for q in used)
            parts.append(f"{coefficient!r}*{letters or 'I'}")
        return " + ".join(parts).replace("+ -", "- ") or "0*I"


@dataclass(frozen=True, eq=False)
class Hermitian:
    """A Hermitian matrix; ``qubits[0]`` is bit 0 of its index.

    An array on up to 12 qubits, read from their reduced state, or a SciPy sparse matrix (or array) on any number of
    them, which is multiplied with the state.

    >>> from qsim import Circuit, Simulator
    >>> lowering = np.array([[0, 1], [0, 0]])
    >>> Simulator().run(Circuit(2).h(1)).expectation(Hermitian(lowering + lowering.T, (1,)))
    1.0

    Raises:
        ShapeError: for a matrix that is not Hermitian or does not fit its qubits.
        ParameterError: for entries that are not finite.
    """

    matrix: Any
    qubits: tuple[int, ...]

    def __post_init__(self) -> None:
        qubits = tuple(self.qubits)
        validation.check_qubits("qubit of an observable", qubits, MAX_QUBITS)
        if validation.is_sparse(self.matrix):
            matrix = _check_sparse(self.matrix, len(qubits))
        elif len(qubits) > 12:
            remedy = "Use a PauliSum or a scipy.sparse matrix."
            raise ShapeError(expected("qubits of a Hermitian array", "at most 12", len(qubits), remedy))
        else:
            matrix = validation.check_hermitian(self.matrix, len(qubits))
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "qubits", qubits)

    @property
    def num_qubits(self) -> int:
        """The least register the matrix fits on."""
        return max(self.qubits, default=-1) + 1

    def support(self) -> set[int]:
        """Return the qubits it acts on."""
        return set(self.qubits)

    def relabelled(self, place: Mapping[int, int]) -> Hermitian:
        """Return the same matrix with qubit q renamed to ``place[q]``."""
        return Hermitian(self.matrix, tuple(place[q] for q in self.qubits))

    def expectation(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M⟩, shape (B,)."""
        if validation.is_sparse(self.matrix):
            return readout.moments_sparse(state, self.matrix, self.qubits, control)[0]
        return readout.expectation_matrix(state, self.matrix, self.qubits, control)

    def expectation_of_rows(self, rows: Rows, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M⟩ of every row."""
        return np.array([self.expectation(rows.whole(r), control)[0] for r in range(len(rows.amps))])

    def variance(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M²⟩ - ⟨M⟩², shape (B,)."""
        if validation.is_sparse(self.matrix):
            mean, second = readout.moments_sparse(state, self.matrix, self.qubits, control)
        else:
            mean = self.expectation(state, control)
            second = readout.expectation_matrix(state, self.matrix @ self.matrix, self.qubits, control)
        return np.maximum(second - mean**2, 0.0)


Observable: TypeAlias = PauliSum | Hermitian
ObservableLike: TypeAlias = Observable | str | Mapping[str, float] | npt.NDArray[Any]


def as_observable(value: ObservableLike) -> Observable:
    """Return an observable from what users write: text, a mapping, or a matrix on the lowest qubits."""
    if isinstance(value, PauliSum | Hermitian):
        return value
    if isinstance(value, str | Mapping):
        return PauliSum(value)
    if not (isinstance(value, np.ndarray) or validation.is_sparse(value)) or value.ndim != 2:
        allowed = "a PauliSum, its text, a mapping, a Hermitian or a square matrix"
        raise ParameterError(expected("observable", allowed, repr(value)[:80]))
    return Hermitian(value, tuple(range(int(value.shape[0]).bit_length() - 1)))


def as_observables(observables: Iterable[ObservableLike] | ObservableLike | None) -> list[Observable]:
    """Return one observable or several as a list; none where there are none."""
    if observables is None:
        return []
    if validation.is_sparse(observables):
        return [as_observable(cast(Any, observables))]
    if isinstance(observables, str | Mapping | np.ndarray):
        return [as_observable(observables)]
    if isinstance(observables, Iterable):
        return [as_observable(observable) for observable in observables]
    return [as_observable(observables)]


def expectations(
    observables: Sequence[Observable], state: StateVector, control: RunControl | None = None
) -> FloatArray:
    """Return ⟨O_k⟩ of several observables, shape (B, K); all Pauli sums among them share the reads of the state."""
    result = np.empty((state.batch, len(observables)))
    if not observables:
        return result
    sums = [k for k, observable in enumerate(observables) if isinstance(observable, PauliSum)]
    if sums:
        terms = [observable.terms for observable in observables if isinstance(observable, PauliSum)]
        result[:, sums] = readout.expectation_paulis(state, terms, control)
    for k, observable in enumerate(observables):
        if not isinstance(observable, PauliSum):
            result[:, k] = observable.expectation(state, control)
    return result


def _check_sparse(matrix: Any, num_qubits: int) -> Any:
    """Return a Hermitian sparse matrix as complex CSR."""
    if matrix.shape != (2**num_qubits, 2**num_qubits):
        shape = (2**num_qubits, 2**num_qubits)
        raise ShapeError(expected(f"observable on {num_qubits} qubits", f"shape {shape}", matrix.shape))
    rows = matrix.tocsr().astype(np.complex128)
    if not np.isfinite(rows.data).all():
        raise ParameterError(expected("observable", "finite entries", "others"))
    deviation = float(abs(rows - rows.conj().T).max()) if rows.nnz else 0.0
    if deviation > 1e-8 * max(1.0, float(abs(rows).max()) if rows.nnz else 0.0):
        raise ShapeError(expected("observable", "a Hermitian matrix", f"max |M - M†| = {deviation:.3g}"))
    return rows


def check_width(observable: Observable, num_qubits: int) -> None:
    """Refuse an observable on more qubits than a circuit has."""
    if observable.num_qubits > num_qubits:
        allowed = f"at most {num_qubits}, those of the circuit"
        raise QubitError(expected("qubits of the observable", allowed, observable.num_qubits))


def _parse(text: str) -> Iterable[tuple[int, int, float]]:
    """Yield (x_mask, z_mask, coefficient) of every term."""
    place = 0
    if not text.strip():
        raise ParameterError(expected("Pauli sum", "text such as '0.5*Z0 Z1 - X2' or 'ZIX'", repr(text)))
    first = True
    while place < len(text.rstrip()):
        match = _TERM.match(text, place)
        if match is None or not (first or match[1]):
            problem = f"{text!r}, at character {place + 1}"
            raise ParameterError(expected("Pauli sum", "terms such as '0.5*Z0 Z1' or 'ZIX' joined by + or -", problem))
        coefficient = float(match[2] or 1.0) * (-1.0 if match[1] == "-" else 1.0)
        yield _term(match[3] or match[4] or "", coefficient)
        place, first = match.end(), False


def _term(letters: str, coefficient: float) -> tuple[int, int, float]:
    compact = re.sub(r"[\s*@]", "", letters)
    factors = _FACTOR.findall(compact)
    if "".join(letter + number for letter, number in factors) == compact and factors:
        return _masks("".join(f[0] for f in factors), [int(f[1]) for f in factors], coefficient)
    if any(character.isdigit() for character in compact):
        raise ParameterError(
            expected("Pauli string", "a qubit number after every letter, or after none", repr(letters))
        )
    return _masks(compact[::-1], range(len(compact)), coefficient)


def _masks(letters: str, qubits: Sequence[int] | int, coefficient: float) -> tuple[int, int, float]:
    if isinstance(qubits, int | np.integer):
        qubits = (int(qubits),)
    if len(letters) != len(qubits) or letters.strip("IXYZ"):
        raise ParameterError(expected("Pauli string", f"{len(qubits)} letters of I, X, Y, Z", repr(letters)))
    validation.check_qubits("qubit of a Pauli string", qubits, MAX_QUBITS)
    x_mask = sum(1 << q for q, letter in zip(qubits, letters, strict=True) if letter in "XY")
    z_mask = sum(1 << q for q, letter in zip(qubits, letters, strict=True) if letter in "YZ")
    return x_mask, z_mask, _check_coefficient(coefficient)


def _check_coefficient(value: Any) -> float:
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ParameterError(expected("coefficient of a Pauli string", "a finite real number", repr(value)))
    return float(value)


def _rows(terms: PauliTerms) -> list[tuple[int, int, float]]:
    return list(zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True))
