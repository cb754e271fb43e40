"""Exact measurements: PennyLane's measurement processes read from the states of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from math import e, log
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DeviceError

from qsim_core import StateVector, readout
from qsim_core.types import FloatArray

from .engine import Engine, Register
from .observables import MAX_MATRIX_WIRES, matrix_of

__all__ = ["measure"]

_LN2 = log(2.0)


def measure(process: Any, state: StateVector, register: Register, engine: Engine) -> npt.NDArray[Any]:
    """Return the values of one measurement process, one row per batch element.

    Raises:
        DeviceError: for a process or an observable without an exact value.
    """
    match process:
        case qml.measurements.ExpectationMP() if process.obs is not None:
            return expectation(process.obs, state, register, engine)
        case qml.measurements.VarianceMP() if process.obs is not None:
            return _variance(process.obs, state, register, engine)
        case qml.measurements.ExpectationMP() | qml.measurements.VarianceMP():
            return _of_eigenvalues(process, _probabilities(process, state, register, engine))
        case qml.measurements.ProbabilityMP():
            return _probabilities(process, state, register, engine)
        case qml.measurements.DensityMatrixMP():
            return readout.reduced_density_matrix(state, register.qubits(process.wires), engine.control())
        case qml.measurements.StateMP() if process.wires in (register.wires, qml.wires.Wires([])):
            return np.asarray(state.amps)
        case qml.measurements.PurityMP():
            return readout.purity(state, register.qubits(process.wires), engine.control())
        case qml.measurements.VnEntropyMP():
            return _entropy(process.wires, process, state, register, engine)
        case qml.measurements.MutualInfoMP():
            first, second = process.raw_wires
            both = _entropy([*first, *second], process, state, register, engine)
            return sum(_entropy(part, process, state, register, engine) for part in (first, second)) - both
        case qml.measurements.StateMeasurement():
            rows = (process.process_state(row, wire_order=register.wires) for row in np.asarray(state.amps))
            return np.stack([np.asarray(row) for row in rows])
    raise DeviceError(f"Measurement {process} is not accepted for analytic simulation on qsim.qubit.")


def expectation(obs: Any, state: StateVector, register: Register, engine: Engine) -> FloatArray:
    """Return ⟨O⟩, shape (B,); sums are taken apart, anything else is a matrix or is diagonalised."""
    terms = engine.pauli_terms(obs, register.qubit_of)
    if terms is not None:
        return readout.expectation_pauli(state, terms, engine.control())
    match obs:
        case qml.ops.SProd():
            return float(np.real(obs.scalar)) * expectation(obs.base, state, register, engine)
        case qml.ops.Sum():  # Hamiltonians and LinearCombinations included
            total = np.zeros(state.batch)
            for operand in obs.operands:
                total += expectation(operand, state, register, engine)
            return total
        case qml.SparseHamiltonian():
            return _sparse_moments(obs, state, register, engine)[0]
    if len(obs.wires) <= MAX_MATRIX_WIRES and obs.has_matrix:
        return readout.expectation_matrix(state, matrix_of(obs), register.qubits(obs.wires), engine.control())
    process = qml.expval(obs)
    return _of_eigenvalues(process, _probabilities(process, state, register, engine))


def _variance(obs: Any, state: StateVector, register: Register, engine: Engine) -> FloatArray:
    terms = engine.pauli_terms(obs, register.qubit_of)
    if terms is not None:
        return readout.variance_pauli(state, terms, engine.control())
    if isinstance(obs, qml.SparseHamiltonian):
        mean, second = _sparse_moments(obs, state, register, engine)
        return second - mean**2
    if len(obs.wires) <= MAX_MATRIX_WIRES and obs.has_matrix:
        matrix, qubits, control = matrix_of(obs), register.qubits(obs.wires), engine.control()
        mean = readout.expectation_matrix(state, matrix, qubits, control)
        return readout.expectation_matrix(state, matrix @ matrix, qubits, control) - mean**2
    process = qml.var(obs)
    return _of_eigenvalues(process, _probabilities(process, state, register, engine))


def _sparse_moments(obs: Any, state: StateVector, register: Register, engine: Engine) -> tuple[FloatArray, FloatArray]:
    matrix = obs.sparse_matrix(wire_order=obs.wires)
    return readout.moments_sparse(state, matrix, register.qubits(obs.wires), engine.control())


def _probabilities(process: Any, state: StateVector, register: Register, engine: Engine) -> FloatArray:
    wires = process.wires or register.wires
    with engine.rotated(state, process.diagonalizing_gates(), register):
        return readout.probabilities(state, register.qubits(wires), engine.control())


def _of_eigenvalues(process: Any, probabilities: FloatArray) -> FloatArray:
    values = np.asarray(process.eigvals(), dtype=np.float64)
    mean = probabilities @ values
    return mean if isinstance(process, qml.measurements.ExpectationMP) else probabilities @ values**2 - mean**2


def _entropy(wires: Sequence[Any], process: Any, state: StateVector, register: Register, engine: Engine) -> FloatArray:
    bits = readout.entropy(state, register.qubits(wires), engine.control())
    return bits * (_LN2 / log(process.log_base or e))
