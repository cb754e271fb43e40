"""PennyLane's operators to observables: sums of Pauli strings where they are some, else Hermitian matrices."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError

from qsim_core.pauli import PauliTerms

__all__ = ["MAX_MATRIX_WIRES", "ObservableTable", "has_observable", "pauli_terms"]

MAX_MATRIX_WIRES = 10
_REMEMBERED = 64


def has_observable(obs: Any) -> bool:
    """Return whether an operator can be measured."""
    if obs.pauli_rep is not None or isinstance(obs, qml.SparseHamiltonian | qml.Projector):
        return True
    if isinstance(obs, qml.ops.Sum):
        return all(map(has_observable, obs.operands))
    if isinstance(obs, qml.ops.SProd):
        return has_observable(obs.base)
    return bool(obs.has_matrix or obs.has_diagonalizing_gates)


def pauli_terms(obs: Any, qubit_of: Mapping[Any, int]) -> PauliTerms | None:
    """Return an operator as a sum of Pauli strings, or None where it is not written as one."""
    sentence = obs.pauli_rep
    if sentence is None:
        return None
    rows = []
    for word, coefficient in sentence.items():
        x_mask = z_mask = 0
        for wire, letter in word.items():
            bit = 1 << qubit_of[wire]
            if letter != "Z":
                x_mask |= bit
            if letter != "X":
                z_mask |= bit
        value = complex(coefficient)
        if abs(value.imag) > 1e-12 * max(1.0, abs(value)):
            raise DeviceError(f"Observable {obs} is not Hermitian: the coefficient of {word} is {value}.")
        rows.append((x_mask, z_mask, value.real))
    return PauliTerms.of(rows)


class ObservableTable:
    """Pauli sums of the operators met last: the Hamiltonian of a training loop is read once.

    An entry is found by the identity of the operator and the wires, and holds the operator, so that no other can take its
    place.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[int, tuple[Any, ...]], tuple[Any, PauliTerms | None]] = OrderedDict()

    def __call__(self, obs: Any, qubit_of: Mapping[Any, int]) -> PauliTerms | None:
        """Return :func:`pauli_terms` of an operator."""
        key = (id(obs), tuple(qubit_of))
        entry = self._known.get(key)
        if entry is None:
            entry = self._known[key] = (obs, pauli_terms(obs, qubit_of))
            if len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return entry[1]


def matrix_of(obs: Any) -> np.ndarray[Any, Any]:
    """Return the matrix of an operator on its own wires, the first one most significant."""
    return np.asarray(qml.matrix(obs, wire_order=obs.wires), dtype=np.complex128)
