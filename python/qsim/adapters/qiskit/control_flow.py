"""Qiskit's control flow and classical variables as instructions of a Circuit.

A switch is a chain of if and else; the rounds of a for loop are written out, its parameter a number in each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial, reduce
from itertools import chain
from typing import TYPE_CHECKING, Any

from qiskit import QuantumCircuit
from qiskit.circuit import (
    CASE_DEFAULT,
    BoxOp,
    BreakLoopOp,
    ContinueLoopOp,
    ForLoopOp,
    IfElseOp,
    Parameter,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)

from qsim.instructions import Assignment, IfElse, Instruction, Leaving, WhileLoop, block
from qsim_core.classical import Binary, Const, Expression
from qsim_core.errors import UnsupportedError, expected

from .expressions import bits_of, condition, expression

if TYPE_CHECKING:
    from .translate import Scope, Walker

__all__ = ["HANDLERS", "Loop", "walk_block"]

_Wires = tuple[int, ...]
_Block = tuple[Instruction, ...]

#: Rounds of all for loops together, which are written out.
MAX_ROUNDS = 100_000
#: Rounds of a while loop.
MAX_REPEATS = 1_000_000


class Loop:
    """A loop that is being walked over: how many blocks are open around its body, whether it is left early."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.jumps = False


def walk_block(walker: Walker, body: QuantumCircuit, wires: _Wires, clbits: _Wires, scope: Scope) -> _Block:
    """Return the body of a block."""
    walker.branches = True
    with walker.block() as inside:
        walker.walk(body, scope.inside(body, wires, clbits))
    return tuple(inside)


def _in_place(walker: Walker, body: QuantumCircuit, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    walker.branches = True
    walker.walk(body, scope.inside(body, wires, clbits))


def _put(walker: Walker, op: Any) -> None:
    walker.here.append(Instruction(op, ()))


def _if(walker: Walker, op: IfElseOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    then, otherwise = (walk_block(walker, b, wires, clbits, scope) if b is not None else () for b in op.params)
    _put(walker, IfElse(condition(op.condition, scope.places), then, otherwise))


def _switch(walker: Walker, op: SwitchCaseOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    target = expression(op.target, scope.places)
    cases: list[tuple[Expression, _Block]] = []
    otherwise: _Block = ()
    outside = walker.depth
    for labels, body in op.cases_specifier():
        default = CASE_DEFAULT in labels
        if default and not cases:
            _in_place(walker, body, wires, clbits, scope)
            return
        # Each case is in the else of the one before: what leaves blocks from inside counts those arms.
        walker.depth = outside + len(cases) - default
        inside = walk_block(walker, body, wires, clbits, scope)
        if default:
            otherwise = inside
            break
        tests = [Binary("==", target, Const(int(label))) for label in labels]
        cases.append((reduce(partial(Binary, "or"), tests), inside))
    walker.depth = outside
    for test, inside in reversed(cases):
        otherwise = (Instruction(IfElse(test, inside, otherwise), ()),)
    walker.here.extend(otherwise)


@contextmanager
def _looping(walker: Walker) -> Iterator[Loop]:
    walker.loops.append(Loop(walker.depth))
    yield walker.loops[-1]
    walker.loops.pop()


def _while(walker: Walker, op: WhileLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    with _looping(walker) as loop:
        body = walk_block(walker, op.params[0], wires, clbits, scope)
    once = (block(body),) if loop.jumps else body
    _put(walker, WhileLoop(condition(op.condition, scope.places), once, MAX_REPEATS))


def _for(walker: Walker, op: ForLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    indices, variable, body = op.params
    if variable is not None and not isinstance(variable, Parameter):
        raise UnsupportedError(expected("variable of a for loop", "a Parameter", repr(variable)))
    rounds: list[_Block] = []
    with _looping(walker) as loop:
        for index in _within_limit(walker, indices):
            if variable is not None:
                walker.angles.fixed[variable] = float(index)
            rounds.append(walk_block(walker, body, wires, clbits, scope))
    walker.angles.fixed.pop(variable, None)
    walker.here.extend([block(map(block, rounds))] if loop.jumps else chain.from_iterable(rounds))


def _within_limit(walker: Walker, indices: Iterable[int]) -> Iterable[int]:
    for index in indices:
        walker.rounds += 1
        if walker.rounds > MAX_ROUNDS:
            remedy = "Write a while loop that counts in a classical variable."
            raise UnsupportedError(expected("rounds of for loops", f"at most {MAX_ROUNDS} in all", "more", remedy))
        yield index


def _leave(walker: Walker, levels: int) -> None:
    loop = walker.loops[-1]
    loop.jumps = True
    every = tuple(range(walker.num_qubits))
    walker.here.append(Instruction(Leaving(walker.depth - loop.depth + levels), every))


def _break(walker: Walker, op: BreakLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _leave(walker, 1)


def _continue(walker: Walker, op: ContinueLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _leave(walker, 0)


def _box(walker: Walker, op: BoxOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _in_place(walker, op.blocks[0], wires, clbits, scope)


def _store(walker: Walker, op: Store, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    walker.measures = True
    value = Assignment(expression(op.rvalue, scope.places))
    walker.here.append(Instruction(value, (), clbits=bits_of(op.lvalue, scope.places)))


#: How each class is appended.
HANDLERS: dict[type, Callable[[Any, Any, _Wires, _Wires, Any], None]] = {
    IfElseOp: _if,
    SwitchCaseOp: _switch,
    WhileLoopOp: _while,
    ForLoopOp: _for,
    BreakLoopOp: _break,
    ContinueLoopOp: _continue,
    BoxOp: _box,
    Store: _store,
}
