"""Adjoint differentiation: all derivatives of an expectation value from one backward walk of two states.

Jones and Gacon, "Efficient calculation of gradients in classical simulations of variational quantum algorithms"
(arXiv:2009.02823). With |ψ_k⟩ = U_k … U_1|0⟩ and ⟨λ_k| = ⟨ψ_N|H U_N … U_{k+1}, and U_k = exp(-i θ G):

    dE/dθ = 2 Re ⟨λ_k| dU_k |ψ_{k-1}⟩ = 2 Im ⟨λ_k| G |ψ_k⟩

where G = P/2 on the controlled subspace for a rotation and minus the projector on it for a phase. Any other bra gives
a vector-Jacobian product: with λ_N = v/2 the sum is the derivative of Re⟨v|ψ⟩.

A backend may walk in its own way (:meth:`~qsim_core.kernels.contract.Backend.run_adjoint`; the C++ one keeps tiles of
both states in the cache); where it can't, the walk is written here over ``execute``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from . import readout, validation
from .compiler import compile_program
from .errors import QubitError, UnsupportedError, expected
from .executor import execute
from .kernels.contract import Backend
from .kernels.control import RunControl
from .operations import Dense, Diagonal, Measure, Operation, OpKind, Permutation, Phase, Rotation
from .pauli import PauliTerms
from .program import Program, ProgramBuilder
from .state import StateVector
from .trivial_plan import trivial_plan
from .types import Amps, ComplexArray, FloatArray

__all__ = [
    "Adjoint",
    "MatrixTerm",
    "adjoint_gradient",
    "adjoint_of",
    "apply_observables",
    "check_differentiable",
    "inverse_program",
]


@dataclass(frozen=True, eq=False)
class MatrixTerm:
    """A matrix on some qubits as an observable, an array or of SciPy's sparse ones; ``qubits[0]`` is bit 0 of its index."""

    matrix: Any
    qubits: tuple[int, ...]


Term: TypeAlias = PauliTerms | MatrixTerm


def adjoint_gradient(
    program: Program, state: StateVector, terms: PauliTerms, slots: FloatArray, control: RunControl | None = None
) -> FloatArray:
    """Return d⟨H⟩/d slot, shape (B, P), given the final state of the program at ``slots``.

    ``state`` is left unchanged; two more states of its size are used.

    Raises:
        UnsupportedError: if the program initialises, resets, branches, or measures before its end.
    """
    control = control or RunControl()
    bra = apply_observables(state, [terms], np.ones((1, 1)), control)
    ket = state.copy()
    return adjoint_of(program).pull_back(ket, bra, slots, control)


class Adjoint:
    """The backward walk of one program, prepared once for all values of its slots.

    Raises:
        UnsupportedError: if the program initialises, resets, branches, or measures before its end.
    """

    def __init__(self, program: Program) -> None:
        check_differentiable(program)
        builder = ProgramBuilder(program.num_qubits, 0, program.slots)
        for operation in reversed(list(program.operations())):
            if not isinstance(operation, Measure):  # at the end of the circuit: ⟨H⟩ is taken before it
                _append(builder, _inverse(operation))
        #: The inverse of the program.
        self.inverse = builder.finish()
        self._wanted = np.zeros(len(self.inverse.angles), dtype=np.uint8)
        self._wanted[self.inverse.angles.row] = 1

    def pull_back(
        self, ket: StateVector, bra: StateVector, slots: FloatArray, control: RunControl, from_zero: bool = False
    ) -> FloatArray:
        """Return Σ 2 Im⟨λ|G|ψ⟩ dθ/d slot, shape (B, P), for the final state ``ket`` and a ``bra`` of any kind.

        Both states are used up. ``from_zero``: the program began in |0…0⟩, so that is where the ket comes back to, and
        parts of the register where it has gone need no work.
        """
        backend = ket.backend
        plan = compile_program(
            self.inverse, precision=ket.precision, target=backend.name, initial="given", backwards=True
        )
        coefficients = plan.coefficients(self.inverse, slots)
        slopes: FloatArray | None = np.zeros((ket.batch, len(self.inverse.angles)))
        if self._wanted.any():
            try:
                slopes = backend.run_adjoint(plan, coefficients, ket.amps, bra.amps, self._wanted, control, from_zero)
                if slopes is None:
                    slopes = self._walk(ket, bra, slots, control)
            finally:
                ket.poison("differentiation")
                bra.poison("differentiation")
        assert slopes is not None
        return self.inverse.angles.pull_back(-slopes, len(self.inverse.slots))

    def _walk(self, ket: StateVector, bra: StateVector, slots: FloatArray, control: RunControl) -> FloatArray:
        """One operation at a time, on any backend."""
        inverse, backend = self.inverse, ket.backend
        slopes = np.zeros((ket.batch, len(inverse.angles)))
        operations = list(inverse.operations())
        while operations and not _depends(operations[-1]):  # what comes before the first slot needn't be undone
            operations.pop()
        for row, operation in enumerate(operations):
            if _depends(operation):
                assert isinstance(operation, Rotation | Phase)
                slopes[:, inverse.body.data[row]] += _slope(backend, bra.amps, ket.amps, operation, control)
            builder = ProgramBuilder(inverse.num_qubits, 0, inverse.slots)
            _append(builder, operation)
            single = builder.finish()
            plan = trivial_plan(single, precision=ket.precision, initial="given")
            coefficients = plan.coefficients(single, slots)
            execute(plan, coefficients, ket, control)
            execute(plan, coefficients, bra, control)
        return slopes


_adjoints: WeakKeyDictionary[Program, Adjoint] = WeakKeyDictionary()


def adjoint_of(program: Program) -> Adjoint:
    """Return the backward walk of a program, prepared at most once while the program lives."""
    if program not in _adjoints:
        _adjoints[program] = Adjoint(program)
    return _adjoints[program]


def apply_observables(
    state: StateVector, terms: Sequence[Term], weights: FloatArray, control: RunControl | None = None
) -> StateVector:
    """Return Σ_k weights[b, k] H_k |ψ_b⟩ as a new state, not normalised; one row of weights serves every state.

    All Pauli sums together are applied at once, so that strings with the same X share the work. A matrix needs one more
    state while it is applied, a sparse one copies of a state in double precision besides.

    Raises:
        QubitError: for an observable on more qubits than the state has.
    """
    control, backend = control or RunControl(), state.backend
    for term in terms:
        num_qubits = term.num_qubits if isinstance(term, PauliTerms) else max(term.qubits, default=-1) + 1
        if num_qubits > state.num_qubits:
            raise QubitError(expected("qubits of the observable", f"at most {state.num_qubits}", num_qubits))
    sums = [(k, term) for k, term in enumerate(terms) if isinstance(term, PauliTerms)]
    none = [np.zeros(0, dtype=np.int64)]
    strings = PauliTerms(
        np.concatenate([term.x_masks for _, term in sums] or none),
        np.concatenate([term.z_masks for _, term in sums] or none),
        np.concatenate([term.coefficients for _, term in sums] or none),
    )
    factors = np.repeat(weights[:, [k for k, _ in sums]], [len(term) for _, term in sums], axis=1)
    out = backend.allocate(state.batch, state.num_qubits, state.precision)
    backend.apply_pauli_sum(state.amps, strings, np.ascontiguousarray(factors * strings.coefficients), out, control)
    for k, term in enumerate(terms):
        if isinstance(term, MatrixTerm):
            applied = state.copy()
            if validation.is_sparse(term.matrix):
                for b in range(state.batch):
                    control.poll()
                    applied.amps[b] = readout.apply_sparse(state.amps[b], term.matrix, term.qubits)
            else:
                builder = ProgramBuilder(state.num_qubits)
                builder.dense(term.matrix, term.qubits, checked=True)
                program = builder.finish()
                plan = trivial_plan(program, precision=state.precision, initial="given")
                execute(plan, plan.coefficients(program), applied, control)
            backend.add(applied.amps, weights[:, k], out)
    return StateVector(out, backend)


def check_differentiable(program: Program) -> None:
    """Refuse a program that does more than gates and, after them, measurements."""
    kinds = program.body.kind[program.body.kind >= OpKind.INITIALIZE]
    if not trivial_plan(program).straight_line or np.isin(kinds, (OpKind.INITIALIZE, OpKind.RESET)).any():
        names = ", ".join(sorted({OpKind(int(kind)).name.lower() for kind in kinds}))
        raise UnsupportedError(expected("circuit to differentiate", "gates, then measurements", f"one with {names}"))


def inverse_program(program: Program) -> Program:
    """Return the program that undoes a program of unitary operations."""
    builder = ProgramBuilder(program.num_qubits, program.num_clbits, program.slots)
    for operation in reversed(list(program.operations())):
        _append(builder, _inverse(operation))
    return builder.finish()


def _depends(operation: Operation) -> bool:
    return isinstance(operation, Rotation | Phase) and bool(operation.angle.terms)


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


def _append(builder: ProgramBuilder, operation: Operation) -> None:
    """Append an operation already known to be valid."""
    match operation:
        case Dense(matrix, targets, controls, values):
            builder.dense(matrix, targets, controls, values, checked=True)
        case Diagonal(vector, targets, controls, values):
            builder.diagonal(vector, targets, controls, values, checked=True)
        case Permutation(table, targets, controls, values):
            builder.permutation(table, targets, controls, values, checked=True)
        case _:
            builder.add(operation)


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
    projected = StateVector(ket, backend).copy().amps
    mask, wanted = sum(1 << q for q, _ in controls), sum(value << q for q, value in controls)
    projected[:, np.arange(ket.shape[1]) & mask != wanted] = 0
    return backend.pauli_overlap(bra, projected, x_mask, z_mask, control)
