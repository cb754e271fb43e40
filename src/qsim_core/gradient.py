"""Adjoint differentiation, generic over backends: all derivatives of an expectation value from one backward walk.

Jones and Gacon, "Efficient calculation of gradients in classical simulations of variational quantum algorithms"
(arXiv:2009.02823). With |ψ_k⟩ = U_k … U_1|0⟩ and ⟨λ_k| = ⟨ψ_N|H U_N … U_{k+1}, and U_k = exp(-i θ G):

    dE/dθ = 2 Re ⟨λ_k| dU_k |ψ_{k-1}⟩ = 2 Im ⟨λ_k| G |ψ_k⟩

where G = P/2 on the controlled subspace for a rotation and minus the projector on it for a phase.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .errors import QubitError, UnsupportedError, expected
from .executor import execute
from .kernels.contract import CHUNK, Backend, parity
from .kernels.control import RunControl
from .operations import Dense, Diagonal, Measure, Operation, OpKind, Permutation, Phase, Rotation
from .pauli import PauliTerms
from .program import Program, ProgramBuilder
from .state import StateVector
from .trivial_plan import trivial_plan
from .types import Amps, ComplexArray, FloatArray

__all__ = ["adjoint_gradient", "check_differentiable", "inverse_program"]


def adjoint_gradient(
    program: Program, state: StateVector, terms: PauliTerms, slots: FloatArray, control: RunControl | None = None
) -> FloatArray:
    """Return d⟨H⟩/d slot, shape (B, P), given the final state of the program at ``slots``.

    ``state`` is left unchanged; two more states of its size are used.

    Raises:
        UnsupportedError: if the program initialises, resets, branches, or measures before its end.
    """
    if terms.num_qubits > state.num_qubits:
        raise QubitError(expected("qubits of the observable", f"at most {state.num_qubits}", terms.num_qubits))
    check_differentiable(program)
    control = control or RunControl()
    backend = state.backend
    ket = StateVector(_copy(backend, state.amps), backend)
    bra = StateVector(_apply_observable(backend, state.amps, terms, control), backend)
    angles = program.bind(slots)
    by_angle = np.zeros_like(angles) if len(angles) == state.batch else np.zeros((state.batch, angles.shape[1]))
    for row in reversed(range(len(program))):
        operation = program.operation(program.body, row)
        if isinstance(operation, Measure):
            continue  # at the end of the circuit: ⟨H⟩ is taken before it
        if isinstance(operation, Rotation | Phase) and operation.angle.terms:
            by_angle[:, program.body.data[row]] += _slope(backend, bra.amps, ket.amps, operation, control)
        single = _single(program, _inverse(operation))
        plan = trivial_plan(single, precision=state.precision, initial="given")
        coefficients = plan.coefficients(single, slots)
        execute(plan, coefficients, ket, control)
        execute(plan, coefficients, bra, control)
    return program.angles.pull_back(by_angle, len(program.slots))


def check_differentiable(program: Program) -> None:
    """Refuse a program that does more than gates and, after them, measurements."""
    kinds = program.body.kind[program.body.kind >= OpKind.INITIALIZE]
    if not trivial_plan(program).straight_line or np.isin(kinds, (OpKind.INITIALIZE, OpKind.RESET)).any():
        names = ", ".join(sorted({OpKind(int(kind)).name.lower() for kind in kinds}))
        raise UnsupportedError(expected("circuit to differentiate", "gates, then measurements", f"one with {names}"))


def inverse_program(program: Program) -> Program:
    """Return the program that undoes a program of unitary operations."""
    builder = ProgramBuilder(program.num_qubits, program.num_clbits, program.slots)
    builder.extend(_inverse(operation) for operation in reversed(list(program.operations())))
    return builder.finish()


def _inverse(operation: Operation) -> Operation:
    match operation:
        case Rotation() | Phase():
            return replace(operation, angle=operation.angle.scaled(-1.0))
        case Dense(matrix):
            return replace(operation, matrix=_read_only(matrix.conj().T))
        case Diagonal(vector):
            return replace(operation, vector=_read_only(vector.conj()))
        case Permutation(table):
            inverse = np.argsort(table)
            inverse.flags.writeable = False
            return replace(operation, table=inverse)
    raise UnsupportedError(expected("operation to undo", "a unitary one", type(operation).__name__))


def _read_only(array: ComplexArray) -> ComplexArray:
    result = np.ascontiguousarray(array)
    result.flags.writeable = False
    return result


def _single(program: Program, operation: Operation) -> Program:
    """A program of one operation already known to be valid."""
    builder = ProgramBuilder(program.num_qubits, 0, program.slots)
    match operation:
        case Dense(matrix, targets, controls, values):
            builder.dense(matrix, targets, controls, values, checked=True)
        case Diagonal(vector, targets, controls, values):
            builder.diagonal(vector, targets, controls, values, checked=True)
        case Permutation(table, targets, controls, values):
            builder.permutation(table, targets, controls, values, checked=True)
        case _:
            builder.add(operation)
    return builder.finish()


def _copy(backend: Backend, amps: Amps) -> Amps:
    copy = backend.allocate(len(amps), amps.shape[1].bit_length() - 1, StateVector(amps, backend).precision)
    copy[...] = amps
    return copy


def _apply_observable(backend: Backend, amps: Amps, terms: PauliTerms, control: RunControl) -> Amps:
    """Return H|ψ⟩."""
    result = _copy(backend, amps)
    result[...] = 0
    for start in range(0, amps.shape[1], CHUNK):
        control.poll()
        part = slice(start, min(start + CHUNK, amps.shape[1]))
        index = np.arange(part.start, part.stop)
        for x, z, coefficient in zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients, strict=True):
            phase = coefficient * 1j ** ((x & z).bit_count() % 4)
            result[:, index ^ x] += (phase * (1.0 - 2.0 * parity(index & z)) * amps[:, part]).astype(amps.dtype)
    return result


def _slope(backend: Backend, bra: Amps, ket: Amps, operation: Rotation | Phase, control: RunControl) -> FloatArray:
    """Return 2 Im ⟨bra|G|ket⟩ restricted to the controlled subspace."""
    letters, targets = (operation.pauli, operation.targets) if isinstance(operation, Rotation) else ("", ())
    x_mask = sum(1 << q for q, letter in zip(targets, letters, strict=True) if letter in "XY")
    z_mask = sum(1 << q for q, letter in zip(targets, letters, strict=True) if letter in "YZ")
    half = 0.5 if isinstance(operation, Rotation) else -1.0
    # The projector on a control value v is (1 + (-1)^v Z) / 2: a sum over subsets of controls, few in practice.
    total = np.zeros(len(ket), dtype=np.complex128)
    controls = list(zip(operation.controls, operation.control_values, strict=True))
    if len(controls) > 6:
        return 2 * half * _projected_overlap(backend, bra, ket, x_mask, z_mask, controls, control).imag
    for subset in range(2 ** len(controls)):
        chosen = [pair for k, pair in enumerate(controls) if subset >> k & 1]
        extra = sum(1 << qubit for qubit, _ in chosen)
        sign = (-1.0) ** sum(value for _, value in chosen)
        total += sign * backend.pauli_overlap(bra, ket, x_mask, z_mask | extra, control)
    return 2 * half * (total / 2 ** len(controls)).imag


def _projected_overlap(
    backend: Backend,
    bra: Amps,
    ket: Amps,
    x_mask: int,
    z_mask: int,
    controls: list[tuple[int, int]],
    control: RunControl,
) -> ComplexArray:
    """Return ⟨bra| P Π |ket⟩ with a projected copy of the ket."""
    projected = _copy(backend, ket)
    mask, wanted = sum(1 << q for q, _ in controls), sum(value << q for q, value in controls)
    projected[:, np.arange(ket.shape[1]) & mask != wanted] = 0
    return backend.pauli_overlap(bra, projected, x_mask, z_mask, control)
