"""Circuit to Program: the last place where a gate's name is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core.errors import ParameterError, ShapeError, expected
from qsim_core.gates import GateSpec
from qsim_core.operations import Angle, OpKind, Rotation
from qsim_core.program import Program, ProgramBuilder
from qsim_core.stencil import Linear, gate_stencil, stamp, wide_stencil
from qsim_core.types import FloatArray

from .instructions import (
    Assignment,
    Barrier,
    DiagonalGate,
    Expectation,
    IfElse,
    Initialization,
    Instruction,
    Leaving,
    Measurement,
    NoiseChannel,
    PauliRotation,
    PermutationGate,
    Resetting,
    UnitaryGate,
    WhileLoop,
)
from .parameters import Atom, Derived, Parameter, ParameterExpression, ParameterValue

__all__ = ["Lowered", "Params", "chain_rule", "is_batch", "lower"]

_NO_SLOTS = np.zeros((1, 0))
Params = Mapping[str, Any] | Sequence[float] | npt.NDArray[np.float64] | None


@dataclass(frozen=True, eq=False)
class Lowered:
    """A Program and the meaning of its slots: ``atoms[k]`` is the parameter or derived expression of slot k."""

    program: Program
    atoms: tuple[Atom, ...]

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of their first appearance."""
        names: dict[str, None] = {}
        for atom in self.atoms:
            for name in [atom.name] if isinstance(atom, Parameter) else sorted(atom.names):
                names.setdefault(name)
        return tuple(names)

    def slots(self, params: Params = None) -> FloatArray:
        """Return slot values (B, P) for parameters given by name or in the order of :attr:`parameters`.

        A value may be a number or, for a batch, an array of shape (B,); an array of all values has shape (P,) or (B, P).

        Raises:
            ParameterError: for missing, unknown or non-finite values.
        """
        if params is None and not self.atoms:
            return _NO_SLOTS
        if params is not None and not isinstance(params, Mapping):
            values = self._array(params)
            if self._direct and values.size:
                return values if values.ndim == 2 else values[None]
        named = self._by_name(params)
        if not self.atoms:
            return _NO_SLOTS
        if self._direct and all(type(value) is float for value in named.values()):
            return np.array([[named[name] for name in self.parameters]])
        if any(np.size(value) == 0 for value in named.values()):
            raise ParameterError(expected("parameter batch", "at least one set of values", "none"))
        with np.errstate(all="ignore"):  # a domain error becomes a NaN, which the Program refuses with its value
            columns = [np.atleast_1d(np.asarray(atom.evaluate(named), dtype=np.float64)) for atom in self.atoms]
        try:
            return np.stack(np.broadcast_arrays(*columns), axis=-1)
        except ValueError:
            sizes = sorted({len(column) for column in columns})
            raise ShapeError(expected("parameter batch", "one length for all parameters", sizes)) from None

    @cached_property
    def _direct(self) -> bool:
        """Whether the slots are the parameters, in their order."""
        return all(isinstance(atom, Parameter) for atom in self.atoms)

    def _by_name(self, params: Params) -> Mapping[str, Any]:
        names = self.parameters
        if params is None:
            params = {}
        if not isinstance(params, Mapping):
            array = self._array(params)
            return {name: array[..., k] for k, name in enumerate(names)}
        given = {getattr(key, "name", key): value for key, value in params.items()}
        if given.keys() != set(names):
            missing, unknown = [n for n in names if n not in given], [n for n in given if n not in set(names)]
            problems = [f"no value for {missing[:5]}"] * bool(missing) + [f"unknown {unknown[:5]}"] * bool(unknown)
            raise ParameterError(expected("parameters", ", ".join(names) or "none", " and ".join(problems)))
        return {
            name: value if type(value) is float else _real(f"parameter {name!r}", value, 1)
            for name, value in given.items()
        }

    def _array(self, params: Any) -> FloatArray:
        array = _real("parameters", params, 2)
        names = self.parameters
        if array.ndim == 0 or array.shape[-1] != len(names):
            raise ParameterError(expected("parameter array", f"shape (…, {len(names)}) for {names}", array.shape))
        return array


def is_batch(params: Params) -> bool:
    """Return whether parameters are given as a batch, be it of one."""
    if isinstance(params, Mapping):
        return any(np.ndim(value) > 0 for value in params.values())
    return params is not None and np.ndim(params) == 2


def _real(what: str, value: Any, most_dimensions: int) -> FloatArray:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biuf":
            raise TypeError
    except (TypeError, ValueError):
        raise ParameterError(expected(what, "real numbers", repr(value)[:80])) from None
    if array.ndim > most_dimensions:
        raise ShapeError(expected(what, f"at most {most_dimensions} dimensions", f"shape {array.shape}"))
    return np.asarray(array, dtype=np.float64)


def lower(instructions: list[Instruction], num_qubits: int, num_clbits: int, atoms: Sequence[Atom] = ()) -> Lowered:
    """Return the Program of a list of instructions, whose first slots are ``atoms``; others follow as they appear.

    A front end whose angles have no names may give an instruction a range of slots as its parameters.
    """
    slots = _Slots.of(atoms)

    def angle_of(value: Any) -> Linear | None:
        return slots.linear(value) if isinstance(value, ParameterExpression) else None

    stamped = stamp(instructions, _stencil, num_qubits, num_clbits, angle_of, slots)
    return Lowered(stamped, tuple(slots)) if stamped is not None else built(instructions, num_qubits, num_clbits, atoms)


def built(instructions: Iterable[Instruction], num_qubits: int, num_clbits: int, atoms: Sequence[Atom] = ()) -> Lowered:
    """Return what :func:`lower` returns, one operation at a time: with control flow and error messages."""
    lowering = _Lowering(num_qubits, num_clbits, atoms)
    lowering.extend(instructions)
    builder, slots = lowering.builder, lowering.slots
    builder.slots = tuple(map(str, slots))
    return Lowered(builder.finish(), tuple(slots))


@lru_cache(maxsize=1024)
def _gate_stencil(spec: GateSpec) -> Any:
    undo = spec.terms[len(spec.frame) + len(spec.body) :]
    return gate_stencil(spec.num_qubits, spec.num_params, spec.frame, spec.body, undo)


@lru_cache(maxsize=1024)
def _pauli_stencil(pauli: str) -> Any:
    rotation = Rotation(pauli, Angle(0.0, ((0, 1.0),)), tuple(range(len(pauli))))
    return gate_stencil(len(pauli), 1, (), (rotation,), ())


def _stencil(op: Any) -> Any:
    """Return the stencil of what an instruction does; None where only :func:`built` can do it."""
    match op:
        case GateSpec():
            return _gate_stencil(op)
        case UnitaryGate(matrix):
            return wide_stencil(OpKind.DENSE, matrix)
        case DiagonalGate(vector):
            return wide_stencil(OpKind.DIAGONAL, vector)
        case PermutationGate(table):
            return wide_stencil(OpKind.PERMUTATION, table)
        case PauliRotation(pauli):
            return _pauli_stencil(pauli)
        case Measurement(errors) if not errors:
            return wide_stencil(OpKind.MEASURE)
        case Resetting():
            return wide_stencil(OpKind.RESET)
        case Barrier():
            return wide_stencil(None)
    return None


class _Slots(dict[Atom, int]):
    """The slot of every parameter and derived expression."""

    @classmethod
    def of(cls, atoms: Sequence[Atom]) -> _Slots:
        return cls(zip(atoms, range(len(atoms)), strict=True))

    def linear(self, value: ParameterExpression) -> Linear:
        """Return constant and terms (slot, coefficient)."""
        return value.constant, tuple([(self.setdefault(atom, len(self)), c) for atom, c in value.terms.items()])


class _Lowering:
    def __init__(self, num_qubits: int, num_clbits: int, atoms: Sequence[Atom]) -> None:
        self.builder = ProgramBuilder(num_qubits, num_clbits)
        self.slots = _Slots.of(atoms)

    def extend(self, instructions: Iterable[Instruction]) -> None:
        for instruction in instructions:
            self.add(instruction)

    def angles(self, params: Iterable[ParameterValue]) -> list[Angle | float]:
        if isinstance(params, range):
            return [Angle(0.0, ((slot, 1.0),)) for slot in params]
        return [self.angle(value) for value in params]

    def angle(self, value: ParameterValue) -> Angle | float:
        if not isinstance(value, ParameterExpression):
            return float(value)
        return Angle(*self.slots.linear(value))

    def add(self, instruction: Instruction) -> None:
        op, qubits, params, controls, values, clbits = instruction
        builder = self.builder
        if isinstance(op, GateSpec):
            op.lower(builder, self.angles(params), qubits, controls, values)
            return
        match op:
            case UnitaryGate(matrix):
                builder.dense(matrix, qubits, controls, values, checked=True)
            case DiagonalGate(vector):
                builder.diagonal(vector, qubits, controls, values, checked=True)
            case PermutationGate(table):
                builder.permutation(table, qubits, controls, values, checked=True)
            case PauliRotation(pauli):
                builder.rotation(pauli, self.angles(params)[0], qubits, controls, values)
            case Initialization(vector):
                builder.initialize(vector, qubits)
            case NoiseChannel(matrices, probabilities):
                builder.channel(matrices, qubits, probabilities)
            case Measurement(errors):
                builder.measure(qubits, clbits, errors)
            case Resetting():
                builder.reset(qubits)
            case Barrier():
                pass
            case Assignment(value):
                builder.assign(clbits, value)
            case Expectation(label, observable):
                builder.expect(label, observable.terms)
            case Leaving(levels):
                builder.leave(levels)
            case IfElse(condition, block, otherwise):
                builder.begin_if(condition)
                self.extend(block)
                if otherwise:
                    builder.begin_else()
                    self.extend(otherwise)
                builder.end_block()
            case WhileLoop(condition, block, limit):
                builder.begin_while(condition, limit)
                self.extend(block)
                builder.end_block()


def chain_rule(lowered: Lowered, params: Params, slot_gradient: FloatArray) -> FloatArray:
    """Return derivatives by named parameters, shape (B, names), from derivatives by slots, shape (B, P)."""
    if lowered._direct:
        return slot_gradient
    values = lowered._by_name(params)
    column = {name: k for k, name in enumerate(lowered.parameters)}
    gradient = np.zeros((len(slot_gradient), len(column)))
    for slot, atom in enumerate(lowered.atoms):
        slopes = atom.derivatives(values) if isinstance(atom, Derived) else {atom.name: 1.0}
        for name, slope in slopes.items():
            gradient[:, column[name]] += slot_gradient[:, slot] * np.asarray(slope)
    return gradient
