"""Cirq's operations to instructions: one walk over the operations of a circuit.

Cirq writes the first qubit first: it is the highest bit of an index. Qubit k of n becomes our qubit n - 1 - k, so that an
index means the same basis state on both sides and no array is ever reordered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cirq
import numpy as np

from qsim import instructions as ours
from qsim.instructions import Instruction
from qsim.lowering import Lowered, lower
from qsim.parameters import ParameterValue
from qsim_core import validation
from qsim_core.classical import Binary, Bits, Const, Expression
from qsim_core.errors import QsimError

from .conditions import expression
from .formulas import Formulas
from .gates import GATES, Scope

__all__ = ["Measured", "NotNative", "Walker"]

#: Gates without a record become matrices up to so many qubits; wider ones are decomposed, and if they can't be, become
#: matrices up to the second number.
_MATRIX, _LARGEST_MATRIX = 4, 10
_FREE: Scope = ((), ())
_new = tuple.__new__
_MEASUREMENT, _RESETTING = ours.Measurement(), ours.Resetting()


class NotNative(Exception):
    """An operation or a circuit that stays on Cirq's own path; the text says why."""


@dataclass(frozen=True)
class Measured:
    """One measurement: its key, the classical bits in the order of its qubits, and what Cirq does to what it read."""

    key: str
    clbits: tuple[int, ...]
    inverted: tuple[bool, ...]
    confusion: Mapping[tuple[int, ...], Any]


class Walker:
    """Appends operations to a list of instructions.

    Args:
        qubit_of: our number of each of Cirq's qubits.
        unitary: refuse everything else: measurements, mixtures, resets, conditions.
    """

    def __init__(self, qubit_of: Mapping[Any, int], *, unitary: bool = False) -> None:
        self.qubit_of = qubit_of
        self.unitary = unitary
        self.instructions: list[Instruction] = []
        self.angle = Formulas()
        self.measured: list[Measured] = []
        self.num_clbits = 0
        #: Whether an operation other than gates came by.
        self.dynamic = False

    @classmethod
    def over(cls, qubits: Sequence[Any], *, unitary: bool = False) -> Walker:
        """Return a walker over qubits in Cirq's order."""
        last = len(qubits) - 1
        for qubit in qubits:
            if qubit.dimension != 2:
                raise NotNative(f"{qubit!r} has {qubit.dimension} levels")
        return cls({qubit: last - k for k, qubit in enumerate(qubits)}, unitary=unitary)

    def lowered(self) -> Lowered:
        """Return what was collected as a Program."""
        return lower(self.instructions, len(self.qubit_of), self.num_clbits)

    def connected(self) -> bool:
        """Return whether gates join all qubits."""
        parts = {q: q for q in range(len(self.qubit_of))}
        left = len(parts)

        def root(q: int) -> int:
            while parts[q] != q:
                parts[q] = q = parts[parts[q]]
            return q

        pending = [self.instructions]
        while pending:
            for instruction in pending.pop():
                if isinstance(instruction.op, ours.IfElse):
                    pending.append(list(instruction.op.block))
                wires = instruction.qubits + instruction.controls
                for q in wires[1:]:
                    first, second = root(wires[0]), root(q)
                    if first != second:
                        parts[second] = first
                        left -= 1
                if left <= 1:
                    return True
        return left <= 1

    def record(self, operations: Iterable[Any]) -> None:
        """Append operations.

        Raises:
            NotNative: for one that only Cirq can do; none of them has then been appended.
        """
        mark, op = len(self.instructions), None
        try:
            for op in operations:
                self.add(op)
        except (TypeError, ValueError, KeyError, QsimError) as error:
            del self.instructions[mark:]
            raise NotNative(f"{op!r}: {error}") from error
        except NotNative:
            del self.instructions[mark:]
            raise

    def put(
        self, op: Any, wires: tuple[int, ...], scope: Scope = _FREE, params: tuple[ParameterValue, ...] = ()
    ) -> None:
        """Append one instruction."""
        self.instructions.append(_new(Instruction, (op, wires, params, *scope, ())))

    def add(self, op: Any, scope: Scope = _FREE) -> None:
        """Append an operation of any kind."""
        if type(op) is cirq.ControlledOperation:  # which would make a gate of itself
            self._controlled(op, scope)
            return
        gate = op.gate
        handler = GATES.get(type(gate))
        if handler is not None:
            qubit_of = self.qubit_of
            handler(self, gate, tuple([qubit_of[qubit] for qubit in op.qubits]), scope)
        else:
            self._other(op.untagged, gate, scope)

    def _other(self, op: Any, gate: Any, scope: Scope) -> None:
        if isinstance(op, cirq.ClassicallyControlledOperation):
            self._conditional(op)
        elif isinstance(op, cirq.CircuitOperation):
            self._circuit(op, scope)
        elif isinstance(op, cirq.ControlledOperation):
            self._controlled(op, scope)
        elif isinstance(gate, cirq.MeasurementGate):
            self._measure(op, gate)
        elif isinstance(gate, cirq.ResetChannel):
            self._not_unitary(op)
            self.put(_RESETTING, self._wires(op))
        elif cirq.has_unitary(op) or cirq.is_parameterized(op):
            self._any_unitary(op, scope)
        elif (mixture := None if cirq.is_measurement(op) else cirq.mixture(op, None)) is not None:
            self._mixture(op, mixture)
        else:
            self._decomposed(op, scope)

    def _wires(self, op: Any) -> tuple[int, ...]:
        return tuple([self.qubit_of[qubit] for qubit in op.qubits])

    def _not_unitary(self, op: Any) -> None:
        if self.unitary:
            raise NotNative(f"{op!r} is not a gate")
        self.dynamic = True

    def _any_unitary(self, op: Any, scope: Scope) -> None:
        """By its matrix, as Cirq does, which keeps the global phase; a wide one by decomposition."""
        width = len(op.qubits)
        if width > _MATRIX or cirq.is_parameterized(op):
            parts = cirq.decompose_once(op, None)
            if parts is not None:
                for part in parts:
                    self.add(part, scope)
                return
        matrix = cirq.unitary(op, None) if width <= _LARGEST_MATRIX else None
        if matrix is None:
            raise NotNative(f"{op!r} has neither a decomposition nor a matrix of at most {_LARGEST_MATRIX} qubits")
        self.put(ours.UnitaryGate(validation.check_unitary(matrix, width)), self._wires(op)[::-1], scope)

    def _decomposed(self, op: Any, scope: Scope) -> None:
        parts = cirq.decompose_once(op, None)
        if parts is None:
            raise NotNative(f"{op!r} is neither a gate nor a mixture of gates")
        for part in parts:
            self.add(part, scope)

    def _circuit(self, op: Any, scope: Scope) -> None:
        if op.repeat_until is not None or cirq.is_parameterized(op.repetitions):
            raise NotNative(f"{op!r} repeats until a condition holds")
        self._decomposed(op, scope)

    def _controlled(self, op: Any, scope: Scope) -> None:
        """Alternatives of control values exclude each other: one controlled gate for each."""
        controls = tuple([self.qubit_of[qubit] for qubit in op.controls])
        wanted = op.control_values
        for values in [(1,) * len(controls)] if wanted.is_trivial else wanted.expand():
            self.add(op.sub_operation, (scope[0] + controls, scope[1] + tuple(values)))

    def _mixture(self, op: Any, mixture: Any) -> None:
        self._not_unitary(op)
        probabilities, matrices = zip(*mixture, strict=True)
        weights = tuple(float(p) for p in probabilities)
        channel = validation.check_channel([np.asarray(m) for m in matrices], len(op.qubits), weights)
        self.put(ours.NoiseChannel(channel, weights), self._wires(op)[::-1])

    # --- classical data ---------------------------------------------------------------------------------------------

    def _measure(self, op: Any, gate: Any) -> None:
        self._not_unitary(op)
        wires = self._wires(op)
        clbits = tuple(range(self.num_clbits, self.num_clbits + len(wires)))
        self.num_clbits += len(wires)
        self.instructions.append(Instruction(_MEASUREMENT, wires, (), (), (), clbits))
        self.measured.append(Measured(gate.key, clbits, gate.full_invert_mask(), gate.confusion_map))

    def _conditional(self, op: Any) -> None:
        self._not_unitary(op)
        inner = op.without_classical_controls()
        if cirq.is_measurement(inner):
            raise NotNative(f"{op!r} measures under a condition")
        tests = [expression(condition, self._read) for condition in op.classical_controls]
        test = tests[0]
        for other in tests[1:]:
            test = Binary("and", test, other)
        outer, self.instructions = self.instructions, []
        try:
            self.add(inner)
            body = tuple(self.instructions)
        finally:
            self.instructions = outer
        self.put(ours.IfElse(test, body), ())

    def _read(self, key: str, instance: int, bit: int | None) -> Expression:
        """Return a measurement's value, its first qubit the highest bit, or one of its bits, after Cirq's inversion."""
        found = [m for m in self.measured if m.key == key]
        if not found:
            raise NotNative(f"a condition on {key!r} before it is measured")
        measured = found[instance]
        if measured.confusion:
            raise NotNative(f"a condition on {key!r}, which is read with errors")
        bits, inverted = measured.clbits, measured.inverted
        if bit is not None:
            bits, inverted = bits[bit : bit + 1], inverted[bit : bit + 1]
            if bit < 0 or not bits:
                raise NotNative(f"a condition on bit {bit} of {key!r}")
        mask = sum(1 << k for k, flip in enumerate(reversed(inverted)) if flip)
        value = Bits(bits[::-1])
        return Binary("^", value, Const(mask)) if mask else value
