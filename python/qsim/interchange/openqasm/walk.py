"""What is inside a tree: the names of an expression, the statements of a body."""

from __future__ import annotations

from collections.abc import Iterator

from . import nodes

__all__ = ["names_in", "statements_in"]


def names_in(node: nodes.Expression | None) -> Iterator[nodes.Name]:
    """Yield every name an expression refers to, functions left out."""
    waiting: list[nodes.Expression | None] = [node]
    while waiting:
        node = waiting.pop()
        match node:
            case nodes.Name():
                yield node
            case nodes.Unary() | nodes.Cast() | nodes.MeasureValue():
                waiting.append(node.operand)
            case nodes.Chain():
                waiting += [node.first, *(link.operand for link in node.rest)]
            case nodes.Power():
                waiting += [node.base, node.exponent]
            case nodes.Call():
                waiting += node.arguments
            case nodes.BracedList():
                waiting += node.items
            case nodes.RangeNode():
                waiting += [node.start, node.step, node.stop]
            case nodes.Index():
                waiting += [node.operand, node.item]


def statements_in(body: list[nodes.Statement]) -> list[nodes.Statement]:
    """Return all statements of a body, those of inner blocks included."""
    found: list[nodes.Statement] = []
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        found.append(node)
        match node:
            case nodes.Block() | nodes.While() | nodes.For():
                waiting += node.body
            case nodes.If():
                waiting += node.block + node.otherwise
            case nodes.Switch():
                waiting += [inner for _, body in node.cases for inner in body]
    return found
