"""Aer's save instructions, read from the state where they stand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from qiskit.quantum_info import DensityMatrix, Statevector

from qsim.observables import PauliSum
from qsim.result import Result
from qsim_core import readout
from qsim_core.errors import UnsupportedError, expected

from .translate import Save

__all__ = ["read_saves"]


def read_saves(saves: list[Save], result: Result) -> dict[str, Any]:
    """Return what these instructions save of a state, by label.

    Raises:
        UnsupportedError: for a save per shot or by condition, and for what a state vector can't give.
    """
    data: dict[str, Any] = {}
    for save in saves:
        op = save.operation
        read = _READERS.get(op.name)
        if read is None:
            raise UnsupportedError(expected("save instruction", ", ".join(_READERS), op.name))
        if op._subtype not in ("single", "average"):
            remedy = "Leave out pershot, conditional and unnormalized."
            raise UnsupportedError(expected(f"kind of {op.name}", "single or average", op._subtype, remedy))
        data[op._label] = read(save, result)
    return data


def _in_order(save: Save, result: Result, what: str) -> None:
    if save.qubits != tuple(range(result.num_qubits)):
        raise UnsupportedError(expected(f"qubits of {what}", "all of the circuit, in order", save.qubits))


def _statevector(save: Save, result: Result) -> Statevector:
    _in_order(save, result, save.operation.name)
    return Statevector(result.state_vector)  # of complex128 amplitudes: without a copy


def _statevector_dict(save: Save, result: Result) -> dict[str, complex]:
    _in_order(save, result, save.operation.name)
    amps = result.state_vector
    return {hex(k): complex(amps[k]) for k in np.flatnonzero(np.abs(amps) > 1e-15).tolist()}


def _amplitudes(save: Save, result: Result) -> Any:
    _in_order(save, result, save.operation.name)
    return result.amplitudes([int(k) for k in save.operation.params])


def _probabilities(save: Save, result: Result) -> Any:
    return result.marginal(save.qubits)


def _probabilities_dict(save: Save, result: Result) -> dict[int, float]:
    marginal = result.marginal(save.qubits)
    return {k: float(marginal[k]) for k in np.flatnonzero(marginal > 1e-15).tolist()}


def _expectation(save: Save, result: Result) -> float:
    return result.expectation(_observable(save, 0))


def _expectation_and_variance(save: Save, result: Result) -> list[float]:
    mean, second = (result.expectation(_observable(save, k)) for k in (0, 1))
    return [mean, second - mean**2]


def _observable(save: Save, power: int) -> PauliSum:
    """Return H or H² on the qubits of the instruction, whose labels have the last qubit first."""
    return PauliSum([(label[::-1], save.qubits, factors[power]) for label, factors in save.operation.params])


def _density_matrix(save: Save, result: Result) -> DensityMatrix:
    return DensityMatrix(readout.reduced_density_matrix(result.state, save.qubits)[0])


_READERS: dict[str, Callable[[Save, Result], Any]] = {
    "save_statevector": _statevector,
    "save_state": _statevector,
    "save_statevector_dict": _statevector_dict,
    "save_amplitudes": _amplitudes,
    "save_amplitudes_sq": lambda save, result: np.abs(_amplitudes(save, result)) ** 2,
    "save_probabilities": _probabilities,
    "save_probabilities_dict": _probabilities_dict,
    "save_expval": _expectation,
    "save_expval_var": _expectation_and_variance,
    "save_density_matrix": _density_matrix,
}
