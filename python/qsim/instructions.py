"""What a circuit is a list of: one :class:`Instruction` per gate, measurement or block."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from qsim_core.classical import Const, Expression
from qsim_core.gates import GateSpec
from qsim_core.types import ComplexArray

from .observables import PauliSum
from .parameters import ParameterValue

__all__ = [
    "Assignment",
    "Barrier",
    "Block",
    "Delay",
    "DiagonalGate",
    "Expectation",
    "IfElse",
    "Initialization",
    "Instruction",
    "Leaving",
    "Measurement",
    "NoiseChannel",
    "PauliRotation",
    "PermutationGate",
    "Resetting",
    "UnitaryGate",
    "WhileLoop",
    "block",
]


class _Arrays:
    """Equality of records whose fields are arrays."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_same(getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)

    def __hash__(self) -> int:
        return hash(type(self))


def _same(left: Any, right: Any) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return np.array_equal(left, right) if isinstance(left, np.ndarray) else bool(left == right)


@dataclass(frozen=True, slots=True, eq=False)
class UnitaryGate(_Arrays):
    """Any unitary matrix on k qubits."""

    matrix: ComplexArray
    name: str = "unitary"


@dataclass(frozen=True, slots=True, eq=False)
class DiagonalGate(_Arrays):
    """Any diagonal unitary on k qubits, given by its diagonal."""

    vector: ComplexArray
    name: str = "diagonal"


@dataclass(frozen=True, slots=True, eq=False)
class PermutationGate(_Arrays):
    """|x⟩ → |table[x]⟩ on k qubits."""

    table: npt.NDArray[np.int64]
    name: str = "permutation"


@dataclass(frozen=True, slots=True)
class PauliRotation:
    """exp(-i angle/2 P); the angle is the instruction's only parameter."""

    pauli: str
    name: str = "pauli_rotation"


@dataclass(frozen=True, slots=True, eq=False)
class Initialization(_Arrays):
    """Reset the qubits and prepare a state vector on them."""

    vector: ComplexArray
    name: str = "initialize"


@dataclass(frozen=True, slots=True, eq=False)
class NoiseChannel(_Arrays):
    """Kraus matrices, or, with probabilities, a mixture of unitaries."""

    matrices: tuple[ComplexArray, ...]
    probabilities: tuple[float, ...] | None = None
    name: str = "channel"


@dataclass(frozen=True, slots=True)
class Measurement:
    """Measure in the computational basis; ``errors[k]`` are P(read 1 | is 0) and P(read 0 | is 1) of qubit k, if given."""

    errors: tuple[tuple[float, float], ...] = ()
    name: str = "measure"


@dataclass(frozen=True, slots=True)
class Resetting:
    """Bring to |0⟩."""

    name: str = "reset"


@dataclass(frozen=True, slots=True)
class Barrier:
    """No effect on the state; keeps depth and drawings in order."""

    name: str = "barrier"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Set the classical bits of the instruction to the lowest bits of a value, least significant first."""

    value: Expression
    name: str = "assign"


@dataclass(frozen=True, slots=True)
class Delay(Barrier):
    """Wait for a time in seconds. Qubits are ideal here: no effect on the state."""

    seconds: float = 0.0
    name: str = "delay"


@dataclass(frozen=True, slots=True, eq=False)
class Expectation:
    """Read the expectation value of a Pauli sum here, under a label."""

    label: str
    observable: PauliSum
    name: str = "expectation"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expectation) and (self.label, self.observable) == (other.label, other.observable)

    def __hash__(self) -> int:
        return hash(self.label)


@dataclass(frozen=True, slots=True)
class Leaving:
    """Go on after the ``levels``-th enclosing block, 1 being the innermost: arms of ``if``, bodies of ``while``, blocks."""

    levels: int
    name: str = "leave"


@dataclass(frozen=True, slots=True)
class IfElse:
    """Run ``block`` where the condition is not zero, else ``otherwise``."""

    condition: Expression
    block: tuple[Instruction, ...]
    otherwise: tuple[Instruction, ...] = ()
    name: str = "if"


@dataclass(frozen=True, slots=True)
class Block(IfElse):
    """A block that always runs, once: what ``break`` and ``continue`` leave. Made by :func:`block`."""

    name: str = "block"


def block(instructions: Iterable[Instruction]) -> Instruction:
    """Return instructions as a block."""
    return Instruction(Block(Const(1), tuple(instructions)), ())


@dataclass(frozen=True, slots=True)
class WhileLoop:
    """Repeat ``block`` while the condition is not zero."""

    condition: Expression
    block: tuple[Instruction, ...]
    limit: int
    name: str = "while"


InstructionKind: TypeAlias = (
    GateSpec
    | UnitaryGate
    | DiagonalGate
    | PermutationGate
    | PauliRotation
    | Initialization
    | NoiseChannel
    | Measurement
    | Resetting
    | Barrier
    | Assignment
    | Expectation
    | Leaving
    | IfElse
    | WhileLoop
)


class Instruction(NamedTuple):
    """One step of a circuit.

    ``qubits`` are the wires of ``op`` in its own order (for a gate record such as cx: its controls, then its
    targets); ``controls`` are further controls put on it.
    """

    op: Any  # an InstructionKind; Any keeps construction cheap for type checkers and readers alike
    qubits: tuple[int, ...]
    params: tuple[ParameterValue, ...] = ()
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()
    clbits: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The gate's name, or measure, reset, barrier, if, while, …"""
        return str(self.op.name)

    @property
    def inner(self) -> tuple[Instruction, ...]:
        """The instructions in its blocks, none where it has no blocks."""
        match self.op:
            case IfElse(_, block, otherwise):
                return block + otherwise
            case WhileLoop(_, block):
                return block
        return ()

    @property
    def wires(self) -> tuple[int, ...]:
        """All qubits touched, blocks included, each once."""
        if isinstance(self.op, IfElse | WhileLoop):
            return tuple(dict.fromkeys(wire for instruction in self.inner for wire in instruction.wires))
        return self.qubits + self.controls
