"""Circuits to OpenQASM text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from qsim_core import classical
from qsim_core.errors import ParameterError, UnsupportedError, expected
from qsim_core.gates import QASM2_GATES, QASM3_GATES, GateSpec

from ...circuit import Circuit
from ...instructions import (
    Assignment,
    Barrier,
    Block,
    Delay,
    DiagonalGate,
    Expectation,
    IfElse,
    Initialization,
    Instruction,
    Leaving,
    Measurement,
    PauliRotation,
    PermutationGate,
    Resetting,
    UnitaryGate,
    WhileLoop,
)
from ...parameters import Parameter
from .structure import Statements, modifiers
from .writing import Conditions, Registers, angle_text, safe_name, usable_name

__all__ = ["export"]

_HEADER = {2: ["OPENQASM 2.0;", 'include "qelib1.inc";'], 3: ["OPENQASM 3.0;", 'include "stdgates.inc";']}
_NAMES = {
    version: {spec.name: name for name, spec in reversed(list(table.items()))}
    for version, table in ((2, QASM2_GATES), (3, QASM3_GATES))
}
#: What the original qelib1.inc lacks and readers other than Qiskit's may not know is defined in the file.
_QELIB1 = frozenset(
    [
        "u3",
        "u2",
        "u1",
        "cx",
        "id",
        "u0",
        "x",
        "y",
        "z",
        "h",
        "s",
        "sdg",
        "t",
        "tdg",
        "rx",
        "ry",
        "rz",
        "cz",
        "cy",
        "ch",
        "ccx",
        "crz",
        "cu1",
        "cu3",
    ]
)
_NAMES[2] = {name: text for name, text in _NAMES[2].items() if text in _QELIB1}
_LIBRARY = {2: _QELIB1, 3: frozenset(QASM3_GATES)}


def export(circuit: Circuit, version: int) -> str:
    """Return the text of a circuit."""
    if version not in (2, 3):
        raise ParameterError(expected("OpenQASM version", "2 or 3", version))
    return _Exporter(circuit, version).text()


class _Exporter:
    def __init__(self, circuit: Circuit, version: int) -> None:
        self._circuit = circuit
        self._version = version
        self._definitions: dict[str, tuple[str, list[str]]] = {}  # name and text
        self._taken: set[str] = set()
        parameters = circuit.parameters
        if parameters and version == 2:
            remedy = "Bind it (circuit.bind) or write version 3."
            raise UnsupportedError(expected("parameters in OpenQASM 2", "numbers", f"free {parameters[0]!r}", remedy))
        #: The name of every parameter in the text; names that can stay are given away first.
        self._inputs = {name: name for name in parameters if usable_name(name, self._taken)}
        renamed = {name: safe_name(name, self._taken) for name in parameters if name not in self._inputs}
        if renamed:
            self._inputs = {name: renamed.get(name, name) for name in parameters}
            self._circuit = circuit.bind({name: Parameter(written) for name, written in renamed.items()})
        self._qubits = Registers(circuit.qubit_registers, circuit.num_qubits, "q", self._taken)
        self._clbits = Registers(circuit.clbit_registers, circuit.num_clbits, "c", self._taken)
        self._conditions = Conditions(self._clbits, self._taken)
        self._once = safe_name("once", self._taken)
        self._enclosing: list[str] = []  # arms, loops, and rounds of a while loop, around what is being written

    def text(self) -> str:
        body = [line for instruction in self._circuit.instructions for line in self._instruction(instruction)]
        lines = list(_HEADER[self._version])
        for name, written in self._inputs.items():
            remark = "" if name == written else f"  // parameter {_printable(name)}"
            lines.append(f"input float[64] {written};{remark}")
        lines += [line for _, definition in self._definitions.values() for line in definition]
        words = ("qreg {name}[{size}];", "creg {name}[{size}];")
        if self._version == 3:
            words = ("qubit[{size}] {name};", "bit[{size}] {name};")
        for word, registers in zip(words, (self._qubits, self._clbits), strict=True):
            lines += [word.format(name=name, size=len(wires)) for name, wires in registers.ranges.items()]
        return "\n".join(lines + self._conditions.declarations() + body) + "\n"

    def _instruction(self, instruction: Instruction) -> list[str]:
        op = instruction.op
        match op:
            case GateSpec():
                return self._gate(instruction)
            case Measurement():
                if op.errors:
                    remedy = "OpenQASM has no noise; add it after reading."
                    raise UnsupportedError(expected("measurement in OpenQASM", "no readout error", "one", remedy))
                return self._measure(instruction)
            case Assignment(value):
                return self._assign(value, instruction.clbits)
            case Resetting():
                return self._parts("reset {};", instruction.qubits)
            case Delay(seconds=seconds):
                waiting = ", ".join(map(self._qubits.one, instruction.qubits))
                self._version_3_only("delay")
                return [f"delay[{seconds * 1e9!r}ns] {waiting};"] if waiting else []
            case Barrier():
                between = ", ".join(map(self._qubits.one, instruction.qubits))
                return [f"barrier {between};"] if between else []
            case Block():
                return self._once_or_rounds(op)
            case IfElse():
                return self._if(op)
            case Leaving():
                return [self._leave(op)]
            case Expectation():
                what = "gates, measurements, resets and control flow"
                raise UnsupportedError(expected("instruction in OpenQASM", what, "the reading of an expectation value"))
            case WhileLoop():
                return self._while(op)
            case Initialization(vector):
                return self._parts("reset {};", instruction.qubits) + self._state(vector, instruction)
        statements = Statements(self._version)
        wires = [self._qubits.one(wire) for wire in instruction.qubits]
        controls = self._controls(instruction)
        match op:
            case UnitaryGate(matrix):
                statements.dense(matrix, wires, controls)
            case DiagonalGate(vector):
                statements.diagonal(vector, wires, controls)
            case PermutationGate(table):
                statements.permutation(table, wires, controls)
            case PauliRotation(pauli):
                statements.rotation(pauli, instruction.params[0], wires, controls)
            case _:
                raise UnsupportedError(
                    expected("instruction in OpenQASM", "gates, measurement, reset", instruction.name)
                )
        return statements.lines

    def _controls(self, instruction: Instruction) -> list[tuple[str, int]]:
        names = map(self._qubits.one, instruction.controls)
        return list(zip(names, instruction.control_values, strict=True))

    # ---------------------------------------------------------------------------------------------------------- gates

    def _gate(self, instruction: Instruction) -> list[str]:
        spec: GateSpec = instruction.op
        wires = [self._qubits.one(wire) for wire in instruction.qubits]
        controls = self._controls(instruction)
        if not wires and not controls and self._version == 2:
            return []  # OpenQASM 2 has no global phase
        if controls and self._version == 2:
            statements = Statements(2)
            for position, term in enumerate(spec.terms):
                framed = len(spec.frame) <= position < len(spec.frame) + len(spec.body)
                statements.term(term, instruction.params, wires, controls if framed else ())
            return statements.lines
        name = _NAMES[self._version].get(spec.name) or self._defined(spec)
        arguments = f"({', '.join(map(angle_text, instruction.params))})" if instruction.params else ""
        operands = ", ".join([wire for wire, _ in reversed(controls)] + wires)
        prefix = modifiers([value for _, value in controls])
        return [f"{prefix}{name}{arguments} {operands};" if operands else f"{prefix}{name}{arguments};"]

    def _defined(self, spec: GateSpec) -> str:
        """Return the name of a gate the standard library lacks, defined by its structure."""
        if spec.name not in self._definitions:
            params = [Parameter(f"p{k}") for k in range(spec.num_params)]
            wires = [f"q{k}" for k in range(spec.num_qubits)]
            statements = Statements(self._version)
            for term in spec.terms:
                statements.term(term, params, wires)
            arguments = f"({', '.join(param.name for param in params)})" if params else ""
            # u2 and u3 of version 3 are other gates than those of version 2, and may not be defined again.
            name = safe_name(spec.name, self._taken) if spec.name in _LIBRARY[self._version] else spec.name
            head = f"gate {name}{arguments} {', '.join(wires)} {{"
            self._definitions[spec.name] = name, [head, *(f"  {line}" for line in statements.lines), "}"]
        return self._definitions[spec.name][0]

    def _state(self, vector: np.ndarray[tuple[int], np.dtype[np.complex128]], instruction: Instruction) -> list[str]:
        """Prepare a state from |0…0⟩ by a unitary whose first column it is."""
        size = len(vector)
        columns = np.column_stack([vector, np.eye(size)[:, : size - 1]])
        if abs(vector[-1]) < 1e-6:  # the identity columns must span the rest
            columns = np.column_stack([vector, np.delete(np.eye(size), int(np.argmax(np.abs(vector))), axis=1)])
        unitary, triangle = np.linalg.qr(columns)
        unitary = unitary.astype(np.complex128)
        unitary[:, 0] *= triangle[0, 0]
        statements = Statements(self._version)
        statements.dense(unitary, [self._qubits.one(wire) for wire in instruction.qubits], ())
        return statements.lines

    # --------------------------------------------------------------------------------------- measurement and blocks

    def _parts(self, pattern: str, wires: Sequence[int]) -> list[str]:
        whole = self._qubits.part(wires) if self._version == 3 else self._qubits.whole(wires)
        if whole:
            return [pattern.format(whole)]
        return [pattern.format(self._qubits.one(wire)) for wire in wires]

    def _measure(self, instruction: Instruction) -> list[str]:
        pattern = "measure {0} -> {1};" if self._version == 2 else "{1} = measure {0};"
        if not instruction.qubits:
            return []
        if self._version == 3:
            sides = self._qubits.part(instruction.qubits), self._clbits.part(instruction.clbits)
        else:
            sides = self._qubits.whole(instruction.qubits), self._clbits.whole(instruction.clbits)
        if sides[0] and sides[1]:
            return [pattern.format(*sides)]
        pairs = zip(instruction.qubits, instruction.clbits, strict=True)
        return [pattern.format(self._qubits.one(wire), self._clbits.one(bit)) for wire, bit in pairs]

    def _assign(self, value: classical.Expression, bits: tuple[int, ...]) -> list[str]:
        self._version_3_only("assignment of classical bits")
        if not bits:
            return []
        size = len(bits)
        match value:
            case classical.Const(number):
                text = str(number & (1 << size) - 1)
            case classical.Bits(read) if len(read) == size:
                text = self._conditions.text(value)
            case _:
                text = f"bit[{size}](uint[{size}]({self._conditions.text(value)}))"
        return [f"{self._conditions.text(classical.Bits(bits))} = {text};"]

    def _block(self, block: Sequence[Instruction], *around: str) -> list[str]:
        self._enclosing += around
        lines = [f"  {line}" for instruction in block for line in self._instruction(instruction)]
        del self._enclosing[len(self._enclosing) - len(around) :]
        return lines

    def _leave(self, op: Leaving) -> str:
        """Write a jump to the end of an enclosing loop or of its round: OpenQASM leaves the innermost loop only."""
        crossed = self._enclosing[-op.levels :]
        target, between = crossed[0], crossed[1:]
        if target == "while" and between[:1] == ["round"]:
            between = between[1:]
        if target == "arm" or {*between} - {"arm"}:
            remedy = (
                "Rounds of a for_ that differ can't be left; use while_, or put the rest of the rounds into an if_."
            )
            raise UnsupportedError(
                expected("break in OpenQASM", "one that leaves the innermost loop", "another", remedy)
            )
        return "continue;" if target == "round" else "break;"

    def _once_or_rounds(self, op: Block) -> list[str]:
        """Write a block as a loop of one round, or, where it holds equal blocks only, as a loop over these."""
        self._version_3_only("block")
        if len(op.block) > 1 and all(isinstance(instruction.op, Block) for instruction in op.block):
            rounds = [instruction.op.block for instruction in op.block]
            if all(body == rounds[0] for body in rounds):
                return [
                    f"for uint {self._once} in [0:{len(rounds) - 1}] {{",
                    *self._block(rounds[0], "while", "round"),
                    "}",
                ]
        return [f"for uint {self._once} in [0:0] {{", *self._block(op.block, "loop"), "}"]

    def _version_3_only(self, what: str) -> None:
        if self._version == 2:
            raise UnsupportedError(expected("instruction in OpenQASM 2", f"no {what}", what, "Write version 3."))

    def _if(self, op: IfElse) -> list[str]:
        if self._version == 2:
            return self._if_2(op)
        lines = [f"if ({self._conditions.text(op.condition)}) {{", *self._block(op.block, "arm")]
        if op.otherwise:
            lines += ["} else {", *self._block(op.otherwise, "arm")]
        return [*lines, "}"]

    def _while(self, op: WhileLoop) -> list[str]:
        if self._version == 2:
            raise UnsupportedError(expected("instruction in OpenQASM 2", "no loops", "while", "Write version 3."))
        body, around = op.block, ["while"]
        if len(body) == 1 and isinstance(body[0].op, Block):  # what ``continue`` leaves
            body, around = body[0].op.block, ["while", "round"]
        return [f"while ({self._conditions.text(op.condition)}) {{", *self._block(body, *around), "}"]

    def _if_2(self, op: IfElse) -> list[str]:
        """Write ``if(c==n)`` before every statement of the block, which must not change c before the last one."""
        match op.condition:
            case classical.Binary("==", classical.Bits(bits), classical.Const(value)) if value >= 0:
                register = self._clbits.whole(bits) if bits else None
                if register is not None and not op.otherwise:
                    lines = [line for instruction in op.block for line in self._instruction(instruction)]
                    written = {bit for instruction in op.block[:-1] for bit in instruction.clbits}
                    last = op.block[-1].clbits if op.block else ()
                    split = set(last) & set(bits) and len(lines) > len(op.block)
                    nested = any(isinstance(instruction.op, IfElse) for instruction in op.block)
                    if not nested and not written & set(bits) and not split:
                        return [f"if({register}=={value}) {line}" for line in lines if not line.startswith("barrier")]
        what = "a register compared with a number, no else, and a block that does not change it"
        raise UnsupportedError(expected("condition in OpenQASM 2", what, "another one", "Write version 3."))


def _printable(name: str) -> str:
    """Return a name on one line, whatever is in it."""
    return ascii(name) if len(name) <= 80 else ascii(name[:80]) + "..."
