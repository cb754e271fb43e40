"""Whole circuits to Programs in one call of the core: the operations of a gate are a stencil, stamped on its wires.

:class:`~qsim_core.program.ProgramBuilder` takes some microseconds per gate and defines what comes out; the stamped
Program is the same to the last bit. What is not plain (control flow, an initial state, a wrong wire) is left to the
builder, and so is everything where the core was not built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .angles import AngleTable
from .operations import Dense, Diagonal, OpKind, Permutation, Phase, Rotation
from .optable import PAULI_CODE, OpTable
from .program import Program, remember_class

if TYPE_CHECKING:
    from ._native import Stencil

try:
    from . import _native
except ImportError:  # the core was not built
    _native = None  # type: ignore[assignment]

__all__ = ["Call", "Linear", "gate_stencil", "stamp", "wide_stencil"]

#: What to stamp: any object that names a stencil, its wires, parameters, further controls, their values, classical bits.
Call: TypeAlias = tuple[
    Any, tuple[int, ...], tuple[Any, ...] | range, tuple[int, ...], tuple[int, ...], tuple[int, ...]
]
#: A constant in radians and terms (slot, coefficient).
Linear: TypeAlias = tuple[float, tuple[tuple[int, float], ...]]
_Term: TypeAlias = Rotation | Phase | Dense | Diagonal | Permutation


def gate_stencil(
    num_wires: int, num_params: int, frame: Sequence[_Term], body: Sequence[_Term], undo: Sequence[_Term]
) -> Stencil:
    """Return the stencil of frame, body, undone frame: operations on wires 0, 1, …, angles affine in the parameters.

    Further controls act on the body alone.
    """
    rows = [_row(term, framed) for terms, framed in ((frame, True), (body, False), (undo, True)) for term in terms]
    for *_, operand in rows:
        if operand is not None:
            remember_class(operand)
    return _native.Stencil(num_wires, num_params, rows)


def wide_stencil(kind: OpKind | None, operand: Any = None) -> Stencil:
    """Return the stencil of one operation without angle on all wires of its call; of none for None."""
    return _native.Stencil(-1, 0, [] if kind is None else [(kind, False, None, (), (), (), None, operand)])


def stamp(
    calls: list[Any],
    stencil_of: Callable[[Any], Stencil | None],
    num_qubits: int,
    num_clbits: int,
    angle_of: Callable[[Any], Linear | None] = lambda _: None,
    slots: Collection[object] = (),
) -> Program | None:
    """Return the Program of a list of :data:`Call`, or None where :class:`~qsim_core.program.ProgramBuilder` must do it.

    A parameter of a call is a float, or anything that ``angle_of`` knows as constant and terms (slot, coefficient). A
    range in place of a call's parameters are those slots. ``slots`` names them; ``angle_of`` may add to it.
    """
    made = None if _native is None else _native.stamp(calls, stencil_of, angle_of, len(slots), num_qubits, num_clbits)
    if made is None:
        return None
    columns, angles, operands = made
    names = tuple(map(str, slots))
    return Program(num_qubits, num_clbits, names, (OpTable(*columns),), AngleTable(*angles), operands, (), ())


def _row(term: _Term, framed: bool) -> tuple[Any, ...]:
    on = (term.controls, term.control_values)
    match term:
        case Phase(angle):
            return (OpKind.PHASE, framed, (), (), *on, (angle.constant, angle.terms), None)
        case Rotation(pauli, angle, targets):
            kept = [(wire, PAULI_CODE[letter]) for wire, letter in zip(targets, pauli, strict=True) if letter != "I"]
            if not kept:
                return _row(Phase(angle.scaled(-0.5), *on), framed)
            wires, tags = zip(*kept, strict=True)
            return (OpKind.ROTATION, framed, wires, tags, *on, (angle.constant, angle.terms), None)
        case Dense(operand, targets):
            kind = OpKind.DENSE
        case Diagonal(operand, targets):
            kind = OpKind.DIAGONAL
        case Permutation(operand, targets):
            kind = OpKind.PERMUTATION
    return (kind, framed, targets, (0,) * len(targets), *on, None, operand)
