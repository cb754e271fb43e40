"""Instructions to other instructions: inverted, on other wires, with parameters filled in; what is in their blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core.classical import Binary, Bits, Const, Expression, bits_read
from qsim_core.errors import UnsupportedError, expected
from qsim_core.gates import GateSpec

from .instructions import (
    Assignment,
    Barrier,
    DiagonalGate,
    Expectation,
    IfElse,
    Instruction,
    PauliRotation,
    PermutationGate,
    UnitaryGate,
    WhileLoop,
)
from .parameters import ParameterExpression, ParameterValue, check_parameter

__all__ = ["clbits_of", "inverted", "relabelled", "substituted", "walk"]


def walk(instructions: Iterable[Instruction]) -> Iterator[Instruction]:
    """Yield instructions, and after each those in its blocks."""
    for instruction in instructions:
        yield instruction
        yield from walk(instruction.inner)


def clbits_of(instruction: Instruction) -> frozenset[int]:
    """Return the classical bits an instruction reads or writes, blocks included."""
    bits = frozenset(instruction.clbits).union(*map(clbits_of, instruction.inner))
    match instruction.op:
        case Assignment(value):
            return bits | bits_read(value)
        case IfElse(condition) | WhileLoop(condition):
            return bits | bits_read(condition)
    return bits


def inverted(instruction: Instruction) -> Instruction:
    """Return what undoes a gate.

    Raises:
        UnsupportedError: for anything but gates and barriers.
    """
    op, params = instruction.op, instruction.params
    match op:
        case GateSpec():
            op, params = op.inverse(params)
        case UnitaryGate(matrix, name):
            undone = name.removesuffix("_dg") if name.endswith("_dg") else f"{name}_dg"
            op = UnitaryGate(_frozen(matrix.conj().T), undone)
        case DiagonalGate(vector):
            op = DiagonalGate(_frozen(vector.conj()))
        case PermutationGate(table):
            op = PermutationGate(_frozen(np.argsort(table)))
        case PauliRotation():
            params = (-params[0],)
        case Barrier():
            pass
        case _:
            raise UnsupportedError(expected("inverse", "gates only", instruction.name))
    return instruction._replace(op=op, params=tuple(params))


def relabelled(instruction: Instruction, qubits: Sequence[int], clbits: Sequence[int]) -> Instruction:
    """Return the instruction with qubit q renamed to ``qubits[q]`` and classical bit c to ``clbits[c]``."""
    op = instruction.op
    match op:
        case IfElse(condition) | WhileLoop(condition):
            op = _in_blocks(op, partial(relabelled, qubits=qubits, clbits=clbits))
            op = replace(op, condition=_relabelled_bits(condition, clbits))
        case Assignment(value):
            op = Assignment(_relabelled_bits(value, clbits))
        case Expectation(label, observable):
            op = Expectation(label, observable.relabelled(dict(enumerate(qubits))))
    return instruction._replace(
        op=op,
        qubits=tuple(qubits[q] for q in instruction.qubits),
        controls=tuple(qubits[q] for q in instruction.controls),
        clbits=tuple(clbits[c] for c in instruction.clbits),
    )


def substituted(instruction: Instruction, params: Mapping[str, ParameterValue]) -> Instruction:
    """Return the instruction with parameters, by name, replaced by numbers or expressions."""
    if isinstance(instruction.op, IfElse | WhileLoop):
        return instruction._replace(op=_in_blocks(instruction.op, partial(substituted, params=params)))
    bound = (p.substitute(params) if isinstance(p, ParameterExpression) else p for p in instruction.params)
    return instruction._replace(params=tuple(map(check_parameter, bound)))


def _in_blocks(op: Any, change: Callable[[Instruction], Instruction]) -> Any:
    """Return an ``IfElse`` or ``WhileLoop`` with every instruction in its blocks changed."""
    names = ("block", "otherwise") if isinstance(op, IfElse) else ("block",)
    return replace(op, **{name: tuple(map(change, getattr(op, name))) for name in names})


def _relabelled_bits(expression: Expression, clbits: Sequence[int]) -> Expression:
    match expression:
        case Bits(bits):
            return Bits(tuple(clbits[bit] for bit in bits))
        case Binary(_, left, right):
            return replace(expression, left=_relabelled_bits(left, clbits), right=_relabelled_bits(right, clbits))
        case Const():
            return expression
    return replace(expression, operand=_relabelled_bits(expression.operand, clbits))


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    result = np.ascontiguousarray(array)
    result.flags.writeable = False
    return result
