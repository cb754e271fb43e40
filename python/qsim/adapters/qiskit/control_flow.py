"""Qiskit's control flow and classical variables as instructions of a Circuit.

A switch is a chain of if and else; the rounds of a for loop are written out, its parameter a number in each. Leaving a loop
early sets a classical bit of its own, which what follows in the loop depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
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

from qsim.instructions import Assignment, IfElse, Instruction, WhileLoop
from qsim_core.classical import Binary, Bits, Const, Expression
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

_EXITS = _BREAK, _CONTINUE = "break_loop", "continue_loop"


class Loop:
    """The bits that are 1 once a loop, or a round of it, has been left early."""

    def __init__(self, walker: Walker, body: QuantumCircuit) -> None:
        self.broken = walker.new_bits(1) if _leaves(body, _BREAK) else ()
        self.skipped = walker.new_bits(1) if _leaves(body, _CONTINUE) else ()

    @property
    def bits(self) -> _Wires:
        """All of them."""
        return self.broken + self.skipped


def walk_block(walker: Walker, body: QuantumCircuit, wires: _Wires, clbits: _Wires, scope: Scope) -> _Block:
    """Return the body of a block: what stands behind an instruction that may leave the loop depends on its bits."""
    walker.branches = True
    with walker.block() as block:
        scope = walker.enter(body, scope.inside(body, wires, clbits))
        _steps(walker, body.data, scope)
    return tuple(block)


def _steps(walker: Walker, items: Sequence[Any], scope: Scope) -> None:
    for k, item in enumerate(items):
        walker.step(item, scope)
        if item.name in _EXITS:
            return  # nothing behind it is ever reached
        if any(_leaves(block, name) for block in _own(item) for name in _EXITS):
            with walker.block() as rest:
                _steps(walker, items[k + 1 :], scope)
            _put(walker, IfElse(_still(walker.loops[-1].bits), tuple(rest)))
            return


def _put(walker: Walker, op: Any) -> None:
    walker.here.append(Instruction(op, ()))


def _still(bits: _Wires) -> Expression:
    return Binary("==", Bits(bits), Const(0))


def _own(item: Any) -> tuple[QuantumCircuit, ...]:
    """Return the blocks of an instruction from which the loop around can be left: inner loops catch their own exits."""
    if not item.is_control_flow() or isinstance(item.operation, WhileLoopOp | ForLoopOp):
        return ()
    return tuple(getattr(item.operation, "blocks", ()))


def _leaves(body: QuantumCircuit, name: str) -> bool:
    """Return whether a body has an exit of this name, in its inner blocks too."""
    return any(item.name == name or any(_leaves(block, name) for block in _own(item)) for item in body.data)


def _if(walker: Walker, op: IfElseOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    then, otherwise = (walk_block(walker, b, wires, clbits, scope) if b is not None else () for b in op.params)
    _put(walker, IfElse(condition(op.condition, scope.places), then, otherwise))


def _switch(walker: Walker, op: SwitchCaseOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    target = expression(op.target, scope.places)
    cases: list[tuple[Expression, _Block]] = []
    chain: _Block = ()
    for labels, body in op.cases_specifier():
        block = walk_block(walker, body, wires, clbits, scope)
        if CASE_DEFAULT in labels:
            chain = block
            break
        tests = [Binary("==", target, Const(int(label))) for label in labels]
        cases.append((reduce(partial(Binary, "or"), tests), block))
    for test, block in reversed(cases):
        chain = (Instruction(IfElse(test, block, chain), ()),)
    walker.here.extend(chain)


def _while(walker: Walker, op: WhileLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    loop, test = Loop(walker, op.params[0]), condition(op.condition, scope.places)
    _clear(walker, loop.broken)
    if loop.broken:
        test = Binary("and", _still(loop.broken), test)
    block = _round(walker, loop, op.params[0], wires, clbits, scope)
    _put(walker, WhileLoop(test, block, MAX_REPEATS))


def _for(walker: Walker, op: ForLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    indices, variable, body = op.params
    loop = Loop(walker, body)
    _clear(walker, loop.broken)
    for index in _within_limit(walker, indices):
        if isinstance(variable, Parameter):
            walker.angles.fixed[variable] = float(index)
        elif variable is not None:
            raise UnsupportedError(expected("variable of a for loop", "a Parameter", repr(variable)))
        block = _round(walker, loop, body, wires, clbits, scope)
        if loop.broken:
            _put(walker, IfElse(_still(loop.broken), block))
        else:
            walker.here.extend(block)
    walker.angles.fixed.pop(variable, None)


def _within_limit(walker: Walker, indices: Iterable[int]) -> Iterable[int]:
    for index in indices:
        walker.rounds += 1
        if walker.rounds > MAX_ROUNDS:
            remedy = "Write a while loop that counts in a classical variable."
            raise UnsupportedError(expected("rounds of for loops", f"at most {MAX_ROUNDS} in all", "more", remedy))
        yield index


def _round(walker: Walker, loop: Loop, body: QuantumCircuit, wires: _Wires, clbits: _Wires, scope: Scope) -> _Block:
    with walker.block() as block:
        _clear(walker, loop.skipped)
        walker.loops.append(loop)
        block += walk_block(walker, body, wires, clbits, scope)
        walker.loops.pop()
    return tuple(block)


def _clear(walker: Walker, bits: _Wires) -> None:
    if bits:
        _assign(walker, bits, Const(0))


def _assign(walker: Walker, bits: _Wires, value: Expression) -> None:
    walker.measures = True
    walker.here.append(Instruction(Assignment(value), (), clbits=bits))


def _break(walker: Walker, op: BreakLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _assign(walker, walker.loops[-1].broken, Const(1))


def _continue(walker: Walker, op: ContinueLoopOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _assign(walker, walker.loops[-1].skipped, Const(1))


def _box(walker: Walker, op: BoxOp, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    walker.here.extend(walk_block(walker, op.blocks[0], wires, clbits, scope))


def _store(walker: Walker, op: Store, wires: _Wires, clbits: _Wires, scope: Scope) -> None:
    _assign(walker, bits_of(op.lvalue, scope.places), expression(op.rvalue, scope.places))


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
