"""Exact derivatives of expectation values by the adjoint method, one row per batch element."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError

from qsim_core import StateVector
from qsim_core.gradient import apply_observables
from qsim_core.pauli import PauliTerms
from qsim_core.types import FloatArray

from .engine import Engine, Register
from .observables import matrix_of
from .translate import Circuit

__all__ = ["has_gradient", "jacobian", "observable_terms", "vjp"]

#: A matrix on more wires has too many Pauli strings: parameter-shift is the way then.
_MAX_WIRES = 4


def has_gradient(obs: Any) -> bool:
    """Return whether the adjoint method takes an observable."""
    if obs.pauli_rep is not None:
        return True
    if isinstance(obs, qml.ops.Sum):
        return all(map(has_gradient, obs.operands))
    if isinstance(obs, qml.ops.SProd):
        return has_gradient(obs.base)
    return not isinstance(obs, qml.SparseHamiltonian) and bool(obs.has_matrix) and len(obs.wires) <= _MAX_WIRES


def observable_terms(obs: Any, register: Register, engine: Engine) -> PauliTerms:
    """Return any observable with a gradient as a sum of Pauli strings."""
    terms = engine.pauli_terms(obs, register.qubit_of)
    if terms is not None:
        return terms
    if isinstance(obs, qml.ops.SProd):
        return weighted_sum([float(np.real(obs.scalar))], [observable_terms(obs.base, register, engine)])
    if isinstance(obs, qml.ops.Sum):
        return weighted_sum([1.0] * len(obs.operands), [observable_terms(o, register, engine) for o in obs.operands])
    if not has_gradient(obs):
        raise DeviceError(f"Observable {obs} is not supported by adjoint differentiation on qsim.qubit.")
    strings = qml.pauli_decompose(matrix_of(obs), wire_order=obs.wires, pauli=True, check_hermitian=False)
    terms = engine.pauli_terms(strings.operation(wire_order=obs.wires), register.qubit_of)
    assert terms is not None
    return terms


def weighted_sum(weights: Sequence[float], sums: Sequence[PauliTerms]) -> PauliTerms:
    """Return Σ weight · sum."""
    return PauliTerms.of(
        (x, z, weight * c)
        for weight, terms in zip(weights, sums, strict=True)
        for x, z, c in zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True)
    )


def jacobian(circuit: Circuit, state: StateVector, observables: Sequence[PauliTerms], engine: Engine) -> FloatArray:
    """Return d⟨O_k⟩/d slot of one circuit, shape (K, P), from its final state, which is left as it is.

    All observables are walked back side by side as the rows of one batch, as many at a time as a batch may hold.
    """
    most = engine.most_rows(state.num_qubits)
    return np.concatenate(
        [_rows(circuit, state, observables[k : k + most], engine) for k in range(0, len(observables), most)]
    )


def vjp(
    circuit: Circuit,
    state: StateVector,
    observables: Sequence[PauliTerms],
    cotangents: Sequence[float],
    engine: Engine,
) -> FloatArray:
    """Return Σ_k cotangents[k] d⟨O_k⟩/d slot, shape (P,): one backward walk, whatever the number of observables.

    ``state`` is used up.
    """
    bra = apply_observables(state, observables, np.array([cotangents]), engine.control())
    return circuit.structure.adjoint.pull_back(
        state, bra, circuit.angles, engine.control(), from_zero=circuit.initial is None
    )[0]


def _rows(circuit: Circuit, state: StateVector, observables: Sequence[PauliTerms], engine: Engine) -> FloatArray:
    count = len(observables)
    kets, bras = (engine.allocate(count, state.num_qubits) for _ in range(2))
    kets.amps[...] = state.amps
    for row, terms in zip(bras.amps, observables, strict=True):
        row[...] = apply_observables(state, [terms], np.ones((1, 1)), engine.control()).amps[0]
    angles = np.repeat(circuit.angles, count, axis=0)
    return circuit.structure.adjoint.pull_back(kets, bras, angles, engine.control(), from_zero=circuit.initial is None)


def of_parameters(circuit: Circuit, trainable: Sequence[int], by_slot: FloatArray) -> FloatArray:
    """Pick the derivatives by PennyLane's trainable parameters from those by slots, last axis; others are zero."""
    slot_of = circuit.structure.slot_of
    slots = np.array([slot_of[k] if k < len(slot_of) else -1 for k in trainable], dtype=np.int64)
    padded = np.concatenate([by_slot, np.zeros((*by_slot.shape[:-1], 1))], axis=-1)
    return padded[..., slots]
