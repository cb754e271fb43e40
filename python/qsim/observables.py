"""Observables: sums of Pauli strings, and Hermitian matrices on a few qubits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsim_core import readout, validation
from qsim_core.errors import ParameterError, QubitError, ShapeError, expected
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.rows import Rows
from qsim_core.state import StateVector
from qsim_core.types import MAX_QUBITS, ComplexArray, FloatArray

__all__ = ["Hermitian", "Observable", "ObservableLike", "PauliSum", "as_observable", "check_width"]

_NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_TERM = re.compile(rf"\s*([+-]?)\s*(?:({_NUMBER})\s*\*?\s*)?((?:[IXYZ]\d*(?:\s*[*@]?\s*|\b))*)")
_FACTOR = re.compile(r"([IXYZ])(\d+)")


class PauliSum:
    """Σ coefficient · Pauli string, with real coefficients.

    Text names each letter's qubit, ``"0.5*Z0 Z1 - X2"``, or, without numbers, writes one letter per qubit with the
    highest qubit first, as bit strings do: ``"ZIX"`` is Z on qubit 2 and X on qubit 0. Also accepted: a mapping from such
    strings to coefficients, and (letters, qubits, coefficient) triples.

    >>> PauliSum("0.5*Z0 Z1 - X2") == PauliSum({"IZZ": 0.5, "XII": -1.0})
    True
    >>> PauliSum([("ZX", [3, 0], 2.0)])
    PauliSum('2.0*X0 Z3')
    """

    def __init__(
        self,
        terms: str | Mapping[str, float] | Iterable[tuple[str, Sequence[int], float]] | PauliTerms,
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

    @property
    def num_qubits(self) -> int:
        """The least register the sum fits on."""
        return self.terms.num_qubits

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
    """A Hermitian matrix on up to 12 qubits; ``qubits[0]`` is bit 0 of its index."""

    matrix: ComplexArray
    qubits: tuple[int, ...]

    def __post_init__(self) -> None:
        qubits = tuple(self.qubits)
        validation.check_qubits("qubit of an observable", qubits, MAX_QUBITS)
        if len(qubits) > 12:
            raise ShapeError(expected("qubits of a Hermitian matrix", "at most 12", len(qubits), "Use a PauliSum."))
        object.__setattr__(self, "matrix", validation.check_hermitian(self.matrix, len(qubits)))
        object.__setattr__(self, "qubits", qubits)

    @property
    def num_qubits(self) -> int:
        """The least register the matrix fits on."""
        return max(self.qubits, default=-1) + 1

    def expectation(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M⟩, shape (B,)."""
        return readout.expectation_matrix(state, self.matrix, self.qubits, control)

    def expectation_of_rows(self, rows: Rows, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M⟩ of every row."""
        return np.array([self.expectation(rows.whole(r), control)[0] for r in range(len(rows.amps))])

    def variance(self, state: StateVector, control: RunControl | None = None) -> FloatArray:
        """Return ⟨M²⟩ - ⟨M⟩², shape (B,)."""
        second = readout.expectation_matrix(state, self.matrix @ self.matrix, self.qubits, control)
        return np.maximum(second - self.expectation(state, control) ** 2, 0.0)


Observable: TypeAlias = PauliSum | Hermitian
ObservableLike: TypeAlias = Observable | str | Mapping[str, float] | npt.NDArray[Any]


def as_observable(value: ObservableLike) -> Observable:
    """Return an observable from what users write: text, a mapping, or a matrix on the lowest qubits."""
    if isinstance(value, PauliSum | Hermitian):
        return value
    if isinstance(value, str | Mapping):
        return PauliSum(value)
    if not isinstance(value, np.ndarray) or value.ndim != 2:
        allowed = "a PauliSum, its text, a mapping, a Hermitian or a square matrix"
        raise ParameterError(expected("observable", allowed, repr(value)[:80]))
    return Hermitian(value, tuple(range(len(value).bit_length() - 1)))


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
        sign, number, letters = match.groups() if match else ("", None, "")
        if match is None or match.end() == place or (number is None and not letters) or (not first and not sign):
            problem = f"{text!r}, at character {place + 1}"
            raise ParameterError(expected("Pauli sum", "terms such as '0.5*Z0 Z1' or 'ZIX' joined by + or -", problem))
        coefficient = float(number or 1.0) * (-1.0 if sign == "-" else 1.0)
        yield _term(letters, coefficient)
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


def _masks(letters: str, qubits: Sequence[int], coefficient: float) -> tuple[int, int, float]:
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
