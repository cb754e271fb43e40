"""Matrices of structural operations on a few wires, exact where the angle is a multiple of pi/4."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..operations import Dense, Diagonal, Permutation, Phase, Rotation
from ..types import ComplexArray

__all__ = ["cis", "pauli_matrix", "term_matrix"]

_HALF = math.sqrt(0.5)
_OCTANT = (
    1,
    complex(_HALF, _HALF),
    1j,
    complex(-_HALF, _HALF),
    -1,
    complex(-_HALF, -_HALF),
    -1j,
    complex(_HALF, -_HALF),
)
_PAULI = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}


def cis(angle: float) -> complex:
    """Return e^(i angle), exactly rounded where the angle is the float nearest to a multiple of pi/4 (up to ±10 pi).

    >>> cis(math.pi)
    (-1+0j)
    """
    octants = round(angle * 4 / math.pi) if abs(angle) < 32 else 0
    if angle == octants * math.pi / 4:
        return complex(_OCTANT[octants % 8])
    return complex(math.cos(angle), math.sin(angle))


def pauli_matrix(letters: str) -> ComplexArray:
    """Return the Pauli string as a matrix; letter 0 acts on bit 0 of the index."""
    result: ComplexArray = np.ones((1, 1), dtype=np.complex128)
    for letter in letters:
        result = np.kron(_PAULI[letter], result).astype(np.complex128, copy=False)
    return result


def term_matrix(term: Rotation | Phase | Dense | Diagonal | Permutation, angle: float, num_qubits: int) -> ComplexArray:
    """Return one operation as a matrix on ``num_qubits`` wires; ``angle`` is that of a Rotation or Phase."""
    targets: Sequence[int] = () if isinstance(term, Phase) else term.targets
    block: ComplexArray
    match term:
        case Rotation(pauli):
            turn = cis(angle / 2)
            identity = pauli_matrix("I" * len(pauli))
            block = turn.real * identity - 1j * turn.imag * pauli_matrix(pauli)
        case Phase():
            block = np.array([[cis(angle)]])
        case Dense(matrix):
            block = matrix
        case Diagonal(vector):
            block = np.diag(vector)
        case Permutation(table):
            block = np.zeros((len(table), len(table)), dtype=np.complex128)
            block[table, np.arange(len(table))] = 1
    index = np.arange(2**num_qubits)
    local, rest = np.zeros_like(index), index.copy()
    for k, wire in enumerate(targets):
        local |= (index >> wire & 1) << k
        rest &= ~(1 << wire)
    active = np.ones(len(index), dtype=bool)
    for wire, value in zip(term.controls, term.control_values, strict=True):
        active &= (index >> wire & 1) == value
    same = (rest[:, None] == rest[None, :]) & active[:, None] & active[None, :]
    return np.where(same, block[np.ix_(local, local)], np.diag(~active).astype(np.complex128))
