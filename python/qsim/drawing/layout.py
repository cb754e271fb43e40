"""What stands where in a drawing: instructions packed to the left into columns of cells."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from qsim_core.classical import Binary, Bits, Const, Expression, Unary, bits_read
from qsim_core.gates import GateSpec

from ..circuit import Circuit
from ..instructions import (
    Assignment,
    Barrier,
    Block,
    IfElse,
    Initialization,
    Instruction,
    Leaving,
    Measurement,
    PauliRotation,
    Resetting,
    WhileLoop,
)
from ..parameters import ParameterExpression, ParameterValue

__all__ = ["Cell", "Column", "Layout", "lay_out", "wire_names"]

#: Cells: a box with text, a control, the target of an X, one end of a swap, a barrier, the edge of a block.
BOX, CONTROL, OPEN_CONTROL, NOT, SWAP, BARRIER, EDGE = "box", "control", "open", "not", "swap", "barrier", "edge"

#: More instructions than this are counted, not drawn.
MAX_INSTRUCTIONS = 5_000

_PARAMS_SHOWN = 4


class Cell(NamedTuple):
    """One thing on one wire."""

    kind: str
    label: str = ""


@dataclass(slots=True)
class Column:
    """Cells by qubit; each link is a vertical line from its first to its last qubit."""

    cells: dict[int, Cell] = field(default_factory=dict)
    links: list[tuple[int, int]] = field(default_factory=list)


@dataclass(slots=True)
class Layout:
    """A drawing before it is painted: wire names, columns, and notes to stand above and below."""

    wires: list[str]
    columns: list[Column]
    header: list[str]
    footer: list[str]


class _Step(NamedTuple):
    """One instruction as cells, with the classical bits that order it against others."""

    cells: dict[int, Cell]
    clbits: frozenset[int]
    linked: bool


def lay_out(circuit: Circuit) -> Layout:
    """Return the layout of a circuit; as in depth(), instructions without a common wire may share a column."""
    names = _ClbitNames.of(circuit)
    columns: list[Column] = []
    free = [0] * circuit.num_qubits
    free_clbit = [0] * circuit.num_clbits
    phase: ParameterValue = 0.0
    drawn = left_out = 0
    for instruction in circuit.instructions:
        if _is_global_phase(instruction):
            phase = phase + instruction.params[0]
            continue
        if drawn >= MAX_INSTRUCTIONS:
            left_out += 1
            continue
        for step in _steps(instruction, names):
            drawn += 1
            if not step.cells:
                continue
            low, high = min(step.cells), max(step.cells)
            taken = range(low, high + 1) if step.linked else step.cells.keys()
            at = max([*(free[wire] for wire in taken), *(free_clbit[bit] for bit in step.clbits)])
            if at == len(columns):
                columns.append(Column())
            columns[at].cells.update(step.cells)
            if step.linked and high > low:
                columns[at].links.append((low, high))
            for wire in taken:
                free[wire] = at + 1
            for bit in step.clbits:
                free_clbit[bit] = at + 1
    header = [] if _is_zero(phase) else [f"global phase {_number(phase)}"]
    footer = [f"… and {left_out} more instructions, not drawn"] if left_out else []
    return Layout(wire_names(circuit), columns, header, footer)


def wire_names(circuit: Circuit) -> list[str]:
    """Return the name of every qubit: q0, q1, … of register q, the bare name of a register of one."""
    return [name for register, wires in circuit.qubit_registers.items() for name in _numbered(register, len(wires))]


class _ClbitNames(NamedTuple):
    """Names of classical bits, and of the registers they form."""

    bits: list[str]
    registers: dict[tuple[int, ...], str]

    @classmethod
    def of(cls, circuit: Circuit) -> _ClbitNames:
        registers = circuit.clbit_registers.items()
        names = [name for register, bits in registers for name in _numbered(register, len(bits))]
        return cls(names, {tuple(bits): register for register, bits in registers})


def _numbered(name: str, size: int) -> list[str]:
    joint = "_" if name[-1:].isdigit() else ""
    return [name] if size == 1 else [f"{name}{joint}{k}" for k in range(size)]


def _is_global_phase(instruction: Instruction) -> bool:
    return not instruction.wires and isinstance(instruction.op, GateSpec) and bool(instruction.params)


def _is_zero(value: ParameterValue) -> bool:
    return bool(value == 0)


def _steps(
    instruction: Instruction, names: _ClbitNames, note: str = "", around: tuple[str, ...] = ()
) -> Iterator[_Step]:
    """Yield an instruction as steps: one for most, several for a block. ``around``: the blocks it is in."""
    op = instruction.op
    match op:
        case Measurement():
            pairs = zip(instruction.qubits, instruction.clbits, strict=True)
            cells = {qubit: Cell(BOX, f"M→{names.bits[bit]}{note}") for qubit, bit in pairs}
            yield _Step(cells, frozenset(instruction.clbits), False)
        case Resetting():
            yield _Step(dict.fromkeys(instruction.qubits, Cell(BOX, f"|0⟩{note}")), frozenset(), False)
        case Barrier():
            yield _Step(dict.fromkeys(instruction.qubits, Cell(BARRIER)), frozenset(), True)
        case Assignment(value):
            # Between classical bits, which have no wires of their own: written on the first one.
            written = names.registers.get(instruction.clbits) or ",".join(names.bits[bit] for bit in instruction.clbits)
            text = f"{written}={_condition(value, names)}{note}"
            yield _Step({0: Cell(BOX, text)}, frozenset(instruction.clbits) | bits_read(value), False)
        case Leaving(levels):
            text = ("continue" if around[-levels:][:1] == ("round",) else "break") + note
            wires = sorted(instruction.qubits)
            yield _Step({q: Cell(EDGE, text if q == wires[0] else "") for q in wires}, frozenset(), True)
        case IfElse() | WhileLoop():
            yield from _block(instruction, op, names, around)
        case _:
            yield _Step(_gate_cells(instruction, note), frozenset(), True)


def _block(
    instruction: Instruction, op: IfElse | WhileLoop, names: _ClbitNames, around: tuple[str, ...]
) -> Iterator[_Step]:
    read = bits_read(op.condition)
    condition = _condition(op.condition, names)
    otherwise = op.otherwise if isinstance(op, IfElse) else ()
    plain = isinstance(op, IfElse) and not isinstance(op, Block)
    if plain and len(op.block) == 1 and not otherwise and _is_simple(op.block[0]):
        for step in _steps(op.block[0], names, f" if {condition}", (*around, "arm")):
            yield step._replace(clbits=step.clbits | read)
        return
    wires = instruction.wires
    if not wires:
        return
    written = frozenset(bit for inner in (*op.block, *otherwise) for bit in inner.clbits)
    kind = "arm" if plain else "loop"
    if isinstance(op, Block) and around[-1:] == ("loop",):  # of a loop, or one of the rounds of a for
        kind = "round"

    def edge(text: str) -> _Step:
        marks = dict.fromkeys(sorted(wires), Cell(EDGE))
        marks[min(wires)] = Cell(EDGE, text)
        return _Step(marks, read | written, True)

    loop = "for" if isinstance(op, Block) else f"while {condition}"
    yield edge({"round": "round", "arm": f"if {condition}"}.get(kind, loop))
    for inner in op.block:
        yield from _steps(inner, names, around=(*around, kind))
    if otherwise:
        yield edge("else")
        for inner in otherwise:
            yield from _steps(inner, names, around=(*around, kind))
    yield edge("end")


def _is_simple(instruction: Instruction) -> bool:
    return not isinstance(instruction.op, IfElse | WhileLoop | Barrier)


def _gate_cells(instruction: Instruction, note: str) -> dict[int, Cell]:
    op, qubits = instruction.op, instruction.qubits
    own = op.num_controls if isinstance(op, GateSpec) else 0
    name = (op.base or op.name) if isinstance(op, GateSpec) else op.name
    targets = qubits[own:]
    cells = dict.fromkeys(qubits[:own], Cell(CONTROL))
    for qubit, value in zip(instruction.controls, instruction.control_values, strict=True):
        cells[qubit] = Cell(CONTROL if value else OPEN_CONTROL)
    if not targets and not cells:  # a global phase in a block has no wire to stand on
        return {}
    if not targets:  # a phase that only controls select: the last of them carries the box
        last = next(reversed(cells))
        label = _label("p", instruction.params) + ("" if cells[last].kind == CONTROL else " on 0")
        cells[last] = Cell(BOX, label + note)
    elif name == "x" and cells and not note:
        cells[targets[0]] = Cell(NOT)
    elif name == "swap" and not note:
        cells.update(dict.fromkeys(targets, Cell(SWAP)))
    else:
        if isinstance(op, PauliRotation):
            labels = [f"R{letter}{_arguments(instruction.params)}" for letter in op.pauli]
        elif isinstance(op, Initialization):
            labels = [f"|ψ⟩{'' if len(targets) == 1 else f' {k}'}" for k in range(len(targets))]
        else:
            label = _label(name, instruction.params)
            labels = [label] if len(targets) == 1 else [f"{label} {k}" for k in range(len(targets))]
        cells.update({qubit: Cell(BOX, label + note) for qubit, label in zip(targets, labels, strict=True)})
    return cells


def _label(name: str, params: Sequence[ParameterValue]) -> str:
    name = name.removeprefix("qasm3_")  # differs from its namesake by a global phase only
    shown = name if len(name) > 8 or "_" in name else name.upper()
    if name in ("sdg", "tdg", "sxdg"):
        shown = f"{name[:-2].upper()}†"
    return shown + _arguments(params)


def _arguments(params: Sequence[ParameterValue]) -> str:
    if not params:
        return ""
    more = ", …" if len(params) > _PARAMS_SHOWN else ""
    return f"({', '.join(map(_number, params[:_PARAMS_SHOWN]))}{more})"


def _number(value: ParameterValue) -> str:
    """Return a parameter, rounded to three digits; simple fractions of pi by name."""
    if isinstance(value, ParameterExpression):
        if value.terms:
            text = str(value)
            return text if len(text) <= 20 else f"{text[:19]}…"
        value = value.constant
    for denominator in (1, 2, 3, 4, 6, 8, 16, 32, 64):
        numerator = value * denominator / math.pi
        if value and abs(numerator) < 33 and abs(numerator - round(numerator)) < 1e-9 and round(numerator):
            whole = round(numerator)
            over = "" if denominator == 1 else f"/{denominator}"
            return f"{'-' if whole < 0 else ''}{'' if abs(whole) == 1 else abs(whole)}π{over}"
    return f"{value:.3g}"


def _condition(expression: Expression, names: _ClbitNames) -> str:
    match expression:
        case Bits((bit,)):
            return names.bits[bit]
        case Bits(bits):
            return names.registers.get(bits) or ",".join(names.bits[bit] for bit in bits)
        case Const(value):
            return str(value)
        case Unary(op, operand):
            return f"{op}{' ' if op == 'not' else ''}{_side(operand, names)}"
        case Binary(op, left, right):
            joint = f" {op} " if op in ("and", "or") else op
            return f"{_side(left, names)}{joint}{_side(right, names)}"


def _side(expression: Expression, names: _ClbitNames) -> str:
    text = _condition(expression, names)
    return f"({text})" if isinstance(expression, Binary) else text
