"""What of a program matters to an observable: walking backwards, the operations that touch qubits it depends on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from .errors import UnsupportedError, expected
from .operations import Dense, Diagonal, Initialize, Measure, Operation, Permutation, Phase, Rotation
from .program import Program, ProgramBuilder
from .trivial_plan import trivial_plan

__all__ = ["light_cone"]


def light_cone(program: Program, qubits: Iterable[int]) -> tuple[Program, tuple[int, ...]]:
    """Return the operations that the state of ``qubits`` depends on, and the qubits they act on, ascending.

    ⟨U† O U⟩ keeps its value when gates of U outside of the light cone of O are left out: they cancel with their inverse.
    Qubit k of the program returned is the k-th of the qubits returned; those of ``qubits`` are among them. Parameters
    keep their slots; measurements at the end are left out.

    >>> builder = ProgramBuilder(3)
    >>> builder.rotation("X", 0.1, [0])
    >>> builder.rotation("ZZ", 0.2, [1, 2])
    >>> builder.rotation("ZZ", 0.3, [0, 1])
    >>> part, wires = light_cone(builder.finish(), [2])
    >>> len(part), wires
    (1, (1, 2))

    Raises:
        UnsupportedError: for a program that measures, resets or branches before its end.
    """
    if not trivial_plan(program).straight_line:
        raise UnsupportedError(expected("program to prune", "straight-line", "one with measurements or branches in it"))
    cone, kept = set(qubits), list[Operation]()
    for operation in reversed(list(program.operations())):
        if isinstance(operation, Measure):
            continue
        wires = _wires(operation)
        if wires & cone:
            cone |= wires
            kept.append(operation)
    order = tuple(sorted(cone))
    place = {qubit: k for k, qubit in enumerate(order)}
    builder = ProgramBuilder(len(order), 0, program.slots)
    builder.extend(_moved(operation, place) for operation in reversed(kept))
    return builder.finish(), order


def _wires(operation: Operation) -> set[int]:
    return {*getattr(operation, "targets", ()), *getattr(operation, "controls", ())}


def _moved(operation: Operation, place: dict[int, int]) -> Operation:
    match operation:
        case Phase():
            return replace(operation, controls=tuple(place[q] for q in operation.controls))
        case Rotation() | Dense() | Diagonal() | Permutation():
            controls = tuple(place[q] for q in operation.controls)
            return replace(operation, targets=tuple(place[q] for q in operation.targets), controls=controls)
        case Initialize():
            return replace(operation, targets=tuple(place[q] for q in operation.targets))
    raise UnsupportedError(expected("operation of a light cone", "a gate", type(operation).__name__))
