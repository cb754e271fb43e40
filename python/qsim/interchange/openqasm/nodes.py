"""The syntax tree. Every node ends with its position (see :class:`.errors.SourceMap`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "Alias",
    "Assign",
    "Barrier",
    "Block",
    "BracedList",
    "Call",
    "Cast",
    "Chain",
    "Declaration",
    "Delay",
    "Expression",
    "ExpressionStatement",
    "For",
    "GateCall",
    "GateDefinition",
    "If",
    "Index",
    "Jump",
    "Literal",
    "MeasureArrow",
    "MeasureValue",
    "Modifier",
    "Name",
    "Operator",
    "Power",
    "RangeNode",
    "Reset",
    "Return",
    "Statement",
    "Subroutine",
    "SubroutineParameter",
    "Switch",
    "Type",
    "Unary",
    "While",
]

# ---------------------------------------------------------------------------------------------------- expressions


@dataclass(slots=True)
class Literal:
    """A number, boolean or bit string (as its integer)."""

    value: int | float | bool
    position: int


@dataclass(slots=True)
class Name:
    """An identifier, or a physical qubit ``$k``."""

    name: str
    position: int


@dataclass(slots=True)
class Unary:
    """``-``, ``+``, ``!`` or ``~``."""

    op: str
    operand: Expression
    position: int


@dataclass(slots=True)
class Operator:
    """One link of a chain: an operator with its right operand."""

    op: str
    operand: Expression
    position: int


@dataclass(slots=True)
class Chain:
    """``first op a op b …``, left associative: long sums cost no depth."""

    first: Expression
    rest: list[Operator]
    position: int


@dataclass(slots=True)
class Power:
    """``base ** exponent``, right associative (``^`` in OpenQASM 2)."""

    base: Expression
    exponent: Expression
    position: int


@dataclass(slots=True)
class Call:
    """A built-in function or a subroutine."""

    name: str
    arguments: list[Expression]
    position: int


@dataclass(slots=True)
class Cast:
    """``type(value)``."""

    type: Type
    operand: Expression
    position: int


@dataclass(slots=True)
class RangeNode:
    """``start:step:stop``, both ends included, each part optional in an index."""

    start: Expression | None
    step: Expression | None
    stop: Expression | None
    position: int


@dataclass(slots=True)
class BracedList:
    """``{a, b, c}``: an index set, a set to loop over, or the value of an array."""

    items: list[Expression]
    position: int


@dataclass(slots=True)
class Index:
    """``operand[item]``."""

    operand: Expression
    item: Expression
    position: int


@dataclass(slots=True)
class MeasureValue:
    """``measure q`` on the right of an assignment, declaration or ``return``."""

    operand: Expression
    position: int


Expression: TypeAlias = (
    Literal | Name | Unary | Chain | Power | Call | Cast | RangeNode | BracedList | Index | MeasureValue
)


@dataclass(slots=True)
class Type:
    """``kind`` is bit, qubit, bool, int, uint, float, angle or array; ``width`` is the designator in brackets."""

    kind: str
    width: Expression | None
    position: int
    element: Type | None = None


# ----------------------------------------------------------------------------------------------------- statements


@dataclass(slots=True)
class Declaration:
    """A variable or register; ``storage`` is "", "const", "input" or "output"."""

    type: Type
    name: str
    value: Expression | None
    storage: str
    position: int


@dataclass(slots=True)
class Alias:
    """``let name = value;``."""

    name: str
    value: Expression
    position: int


@dataclass(slots=True)
class Modifier:
    """``ctrl``, ``negctrl``, ``inv`` or ``pow`` with its argument."""

    kind: str
    argument: Expression | None
    position: int


@dataclass(slots=True)
class GateCall:
    """A gate, its parameters and operands."""

    name: str
    params: list[Expression]
    operands: list[Expression]
    modifiers: list[Modifier]
    position: int


@dataclass(slots=True)
class GateDefinition:
    """``gate name(params) qubits { body }``; an ``opaque`` one has no body."""

    name: str
    params: list[str]
    qubits: list[str]
    body: list[Statement] | None
    position: int


@dataclass(slots=True)
class MeasureArrow:
    """``measure q -> c;``; without target the result is dropped."""

    operand: Expression
    target: Expression | None
    position: int


@dataclass(slots=True)
class Assign:
    """``target = value`` or a compound assignment such as ``+=``."""

    target: Expression
    op: str
    value: Expression
    position: int


@dataclass(slots=True)
class Reset:
    """``reset q;``."""

    operand: Expression
    position: int


@dataclass(slots=True)
class Barrier:
    """``barrier q, r;`` or ``barrier;``."""

    operands: list[Expression]
    position: int


@dataclass(slots=True)
class Delay:
    """``delay[t] q;``: operands are checked, time has no effect."""

    operands: list[Expression]
    position: int


@dataclass(slots=True)
class Block:
    """``{ … }`` with its own scope."""

    body: list[Statement]
    position: int


@dataclass(slots=True)
class If:
    """``if (condition) block else otherwise``."""

    condition: Expression
    block: list[Statement]
    otherwise: list[Statement]
    position: int


@dataclass(slots=True)
class While:
    """``while (condition) body``."""

    condition: Expression
    body: list[Statement]
    position: int


@dataclass(slots=True)
class For:
    """``for type name in values body``."""

    type: Type
    name: str
    values: Expression
    body: list[Statement]
    position: int


@dataclass(slots=True)
class Switch:
    """Cases in order; labels ``None`` is the default."""

    value: Expression
    cases: list[tuple[list[Expression] | None, list[Statement]]]
    position: int


@dataclass(slots=True)
class Jump:
    """``break``, ``continue`` or ``end``."""

    kind: str
    position: int


@dataclass(slots=True)
class SubroutineParameter:
    """One formal parameter of a subroutine."""

    type: Type
    name: str
    position: int


@dataclass(slots=True)
class Subroutine:
    """``def name(parameters) -> result { body }``."""

    name: str
    parameters: list[SubroutineParameter]
    result: Type | None
    body: list[Statement]
    position: int
    result_name: str | None = field(default=None)


@dataclass(slots=True)
class Return:
    """``return value;``."""

    value: Expression | None
    position: int


@dataclass(slots=True)
class ExpressionStatement:
    """A subroutine called for its effect."""

    value: Expression
    position: int


Statement: TypeAlias = (
    Declaration
    | Alias
    | GateCall
    | GateDefinition
    | MeasureArrow
    | Assign
    | Reset
    | Barrier
    | Delay
    | Block
    | If
    | While
    | For
    | Switch
    | Jump
    | Subroutine
    | Return
    | ExpressionStatement
)
