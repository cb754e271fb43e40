"""A Program as a Circuit: structural operations under the names that come closest, to draw and to export."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from qsim_core.errors import UnsupportedError, expected
from qsim_core.operations import (
    Angle,
    Assign,
    Channel,
    Dense,
    Diagonal,
    If,
    Initialize,
    Measure,
    Operation,
    Permutation,
    Phase,
    Reset,
    Rotation,
    While,
)
from qsim_core.program import Program

from ..circuit import Circuit
from ..parameters import Parameter, ParameterValue

__all__ = ["circuit_from_program"]


def circuit_from_program(program: Program) -> Circuit:
    """Return a circuit with the same effect, global phase included.

    >>> from qsim.circuit import Circuit
    >>> print(circuit_from_program(Circuit(2).x(0).rz(0.5, 1).lowered().program).draw())
    q0: ────┤ X ├─────
    <BLANKLINE>
    q1: ─┤ RZ(0.5) ├──
    """
    circuit = Circuit(program.num_qubits, program.num_clbits)
    _extend(circuit, program.operations(), program.slots)
    return circuit


def _extend(circuit: Circuit, operations: Iterable[Operation], slots: tuple[str, ...]) -> None:
    for operation in operations:
        _append(circuit, operation, slots)


def _append(circuit: Circuit, operation: Operation, slots: tuple[str, ...]) -> None:
    match operation:
        case Rotation(pauli, angle, targets, controls, values):
            value = _value(angle, slots)
            if len(pauli) == 1:
                circuit.append(f"r{pauli.lower()}", targets, (value,), controls, values)
            else:
                circuit.pauli_rotation(pauli, value, targets, controls, values)
        case Phase(angle, controls, values):
            value = _value(angle, slots)
            on = next((k for k, bit in enumerate(values) if bit), None)
            if on is None:
                circuit.global_phase(value, controls, values)
            else:  # any control on 1 may be the target of p
                rest = [k for k in range(len(controls)) if k != on]
                circuit.append("p", (controls[on],), (value,), [controls[k] for k in rest], [values[k] for k in rest])
        case Dense(matrix, targets, controls, values):
            circuit.unitary(matrix, targets, controls, values)
        case Diagonal(vector, targets, controls, values):
            circuit.diagonal(vector, targets, controls, values)
        case Permutation(table, targets, controls, values):
            if np.array_equal(table, [1, 0]):
                circuit.append("x", targets, (), controls, values)
            elif np.array_equal(table, [0, 2, 1, 3]):
                circuit.append("swap", targets, (), controls, values)
            else:
                circuit.permutation(table, targets, controls, values)
        case Initialize(vector, targets):
            circuit.initialize(vector, targets)
        case Measure(targets, clbits):
            circuit.measure(targets, clbits)
        case Reset(targets):
            circuit.reset(targets)
        case Channel(matrices, targets, probabilities):
            circuit.channel(matrices, targets, probabilities)
        case Assign(clbits, value):
            circuit.assign(clbits, value)
        case If(condition, block, otherwise):
            with circuit.if_(condition):
                _extend(circuit, block, slots)
            if otherwise:
                with circuit.else_():
                    _extend(circuit, otherwise, slots)
        case While(condition, block, limit):
            with circuit.while_(condition, limit):
                _extend(circuit, block, slots)
        case _:
            raise UnsupportedError(expected("operation", "one of the Program format", type(operation).__name__))


def _value(angle: Angle, slots: tuple[str, ...]) -> ParameterValue:
    value: ParameterValue = angle.constant
    for slot, coefficient in angle.terms:
        value = value + coefficient * Parameter(slots[slot])
    return value
