"""Statement trees to a :class:`qsim.Circuit`: what is known while reading is computed, the rest is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from qsim_core import classical
from qsim_core.errors import QsimError
from qsim_core.gates import GateSpec

from . import nodes
from .declarations import Declarations
from .errors import QasmError, SourceMap
from .limits import Limits
from .scope import Scope, SubroutineEntry, UserGate, Variable
from .values import Bits, Measured, Qubits, RunTime, Value, ValueProblem, binary, describe_value

__all__ = ["Builder", "Stop"]

_MAX_RUN_TIME_BLOCKS = 60
_RUN_TIME = -1  # level of a loop whose rounds are counted when the circuit runs


class Stop(Exception):
    """``end`` was reached."""


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Return(Exception):
    def __init__(self, value: Value | None) -> None:
        super().__init__()
        self.value = value


class Builder(Declarations):
    """Carries out statements one after another."""

    def __init__(self, sources: SourceMap, limits: Limits, version: int) -> None:
        super().__init__(sources, limits, version)
        self._loop_levels: list[int] = []
        self._return_levels: list[int] = []
        self._rounds_left = limits.loop_iterations
        self._calls_left = limits.subroutine_calls
        self._statements: dict[type[Any], Callable[[Any], None]] = {
            nodes.Declaration: self._declaration,
            nodes.Alias: self._alias,
            nodes.GateCall: self.gate_call,
            nodes.GateDefinition: self._gate_definition,
            nodes.MeasureArrow: self._measure_arrow,
            nodes.Assign: self._assign,
            nodes.Reset: lambda node: self._plain(node, self.circuit.reset),
            nodes.Barrier: self._barrier,
            nodes.Delay: self._delay,
            nodes.Block: lambda node: self._block(node.body),
            nodes.If: self._if,
            nodes.While: self._while,
            nodes.For: self._for,
            nodes.Switch: self._switch,
            nodes.Jump: self._jump,
            nodes.Subroutine: self._subroutine,
            nodes.Return: self._return,
            nodes.ExpressionStatement: self._expression_statement,
        }

    def execute(self, statement: nodes.Statement) -> None:
        """Carry out one statement."""
        try:
            self._statements[type(statement)](statement)
        except ValueProblem as problem:
            raise self.error(str(problem), statement.position) from None
        except QasmError:
            raise
        except QsimError as problem:
            raise self.error(str(problem), statement.position) from None

    # ------------------------------------------------------------------------------------------- quantum statements

    def _measure_arrow(self, node: nodes.MeasureArrow) -> None:
        qubits = self.qubits(node.operand)
        if node.target is None:
            self.measure_and_drop(qubits, node.position)
            return
        bits = self.bits(node.target)
        root = node.target.operand if isinstance(node.target, nodes.Index) else node.target
        entry = self.scope.find(root.name) if isinstance(root, nodes.Name) else None
        if isinstance(entry, Variable) and entry.constant:
            raise self.error("a bit parameter of a subroutine is constant here.", node.position)
        self._measure(qubits, bits, node.position)

    def _plain(self, node: nodes.Reset, apply: Callable[[Sequence[int]], object]) -> None:
        wires = self.qubits(node.operand).wires
        self.spend(len(wires), node.position)
        apply(wires)

    def _barrier(self, node: nodes.Barrier) -> None:
        wires = self._all_wires(node.operands, node.position) if node.operands else range(self.circuit.num_qubits)
        self.circuit.barrier(wires)

    def _delay(self, node: nodes.Delay) -> None:
        self._all_wires(node.operands, node.position)

    def _all_wires(self, operands: list[nodes.Expression], position: int) -> list[int]:
        wires: dict[int, None] = {}
        for operand in operands:
            found = self.qubits(operand).wires
            self.spend(len(found), position)
            wires.update(dict.fromkeys(found))
        return list(wires)

    # ------------------------------------------------------------------------------------------------- control flow

    def _block(self, body: list[nodes.Statement], position: int = 0, scope: Scope | None = None) -> None:
        outside = self.scope
        self.scope = Scope(outside) if scope is None else scope
        try:
            for statement in body:
                self.execute(statement)
        finally:
            self.scope = outside

    @contextmanager
    def _run_time_block(self, position: int) -> Iterator[None]:
        if self._level >= _MAX_RUN_TIME_BLOCKS:
            raise self.error(f"more than {_MAX_RUN_TIME_BLOCKS} blocks on measured bits in one another.", position)
        self._level += 1
        try:
            yield
        finally:
            self._level -= 1

    def _branch(
        self, condition: bool | classical.Expression, node: nodes.Statement, then: Callable[[], None],
        otherwise: Callable[[], None] | None,
    ) -> None:  # fmt: skip
        if isinstance(condition, bool):
            if condition:
                then()
            elif otherwise:
                otherwise()
            return
        self.spend(1, node.position)
        with self._run_time_block(node.position):
            with self.circuit.if_(condition):
                then()
            if otherwise:
                with self.circuit.else_():
                    otherwise()

    def _if(self, node: nodes.If) -> None:
        otherwise = (lambda: self._block(node.otherwise)) if node.otherwise else None
        self._branch(self.condition(node.condition), node, lambda: self._block(node.block), otherwise)

    def _switch(self, node: nodes.Switch) -> None:
        value = self.value(node.value)
        if isinstance(value, bool) or not isinstance(value, int | Bits | RunTime):
            raise self.error(f"'switch' needs an integer, got {describe_value(value)}.", node.position)
        self._cases(node, value, 0)

    def _cases(self, node: nodes.Switch, value: Value, first: int) -> None:
        """Carry out the cases from ``first`` on as if and else."""
        for number in range(first, len(node.cases)):
            labels, body = node.cases[number]
            if labels is None:
                self._block(body)
                return
            test: Value = False
            for label in labels:
                equal = binary("==", value, self.integer(label, "label of 'case'"), self.limits.integer_bits, False)
                test = equal if test is False else binary("||", test, equal, self.limits.integer_bits, False)
            if isinstance(test, RunTime):
                rest = partial(self._cases, node, value, number + 1) if number + 1 < len(node.cases) else None
                self._branch(test.expression, node, partial(self._block, body), rest)
                return
            if test:
                self._block(body)
                return

    def _round(self, position: int) -> None:
        self._rounds_left -= 1
        if self._rounds_left < 0:
            limit = self.limits.loop_iterations
            raise self.error(f"loops of more than {limit} rounds together (Limits.loop_iterations).", position)

    def _while(self, node: nodes.While) -> None:
        condition = self.condition(node.condition)
        if not isinstance(condition, bool):
            self.spend(1, node.position)
            self._loop_levels.append(_RUN_TIME)
            with self._run_time_block(node.position), self.circuit.while_(condition, limit=self.limits.while_rounds):
                self._block(node.body)
            self._loop_levels.pop()
            return

        def rounds() -> Iterator[Scope | None]:
            going: bool | classical.Expression = True
            while going:
                yield None
                going = self.condition(node.condition)
                if not isinstance(going, bool):
                    raise self.error(
                        "condition of 'while' becomes a measured one after the first round.", node.position
                    )

        if condition:
            self._unrolled(node, rounds())

    def _for(self, node: nodes.For) -> None:
        values: Sequence[Value]
        if isinstance(node.values, nodes.RangeNode):
            values = self.range(node.values)
        else:
            found = self.value(node.values)
            if not isinstance(found, tuple):
                wires = found.wires if isinstance(found, Qubits) else found.bits if isinstance(found, Bits) else ()
                hint = f" Write for int i in [0:{len(wires) - 1}] and index it." if wires else ""
                what = "'for' runs over a range, a set or an array"
                raise self.error(f"{what}, got {describe_value(found)}.{hint}", node.position)
            values = found
        kind = node.type.kind
        width = self._width(node.type, self.limits.integer_bits, "Limits.integer_bits")

        def rounds() -> Iterator[Scope | None]:
            for item in values:
                scope = Scope(self.scope)
                value = self.convert(item, kind, width, node.position)
                scope.names[node.name] = Variable(value, kind, width, True, self._level)
                yield Scope(scope)

        self._unrolled(node, rounds())

    def _unrolled(self, node: nodes.While | nodes.For, rounds: Iterator[Scope | None]) -> None:
        """Carry out the rounds of a loop one after another.

        Jumps that are decided while reading end the round or the loop here; those in blocks on measured bits are written
        into the circuit, where the loop is a block and every round a block in it.
        """
        self._loop_levels.append(self._level)
        with self.circuit.unrolled_loop() as one_round:
            for scope in rounds:
                self._round(node.position)
                with one_round():
                    try:
                        self._block(node.body, scope=scope)
                    except _Continue:
                        continue
                    except _Break:
                        break
        self._loop_levels.pop()

    def _jump(self, node: nodes.Jump) -> None:
        if node.kind == "end":
            if self._level:
                why = "'end' inside a block on measured bits is not supported."
                raise self.error(f"{why} Put what follows the block into its 'else'.", node.position)
            raise Stop
        if not self._loop_levels:
            raise self.error(f"'{node.kind}' outside a loop.", node.position)
        if self._loop_levels[-1] != self._level:
            self.spend(1, node.position)
            if node.kind == "break":
                self.circuit.break_()
            else:
                self.circuit.continue_()
            return
        raise _Break if node.kind == "break" else _Continue

    # -------------------------------------------------------------------------------------------------- subroutines

    def _expression_statement(self, node: nodes.ExpressionStatement) -> None:
        value = self.value(node.value)
        if isinstance(value, Measured):
            self.measure_and_drop(value.qubits, node.position)

    def call(self, node: nodes.Call, target: Bits | None = None) -> Value:
        """Inline a subroutine and return its value; bits it returns by name are written to ``target`` directly."""
        entry = self.scope.find(node.name)
        if isinstance(entry, SubroutineEntry):
            return self._inline(entry.definition, node, target)
        if isinstance(entry, UserGate | GateSpec):
            example = f"{node.name}(…) q;" if entry.num_params else f"{node.name} q;"
            raise self.error(f"gate '{node.name}' needs qubits after the parentheses or none: {example}", node.position)
        return super().call(node)

    def _inline(self, subroutine: nodes.Subroutine, node: nodes.Call, target: Bits | None) -> Value:
        self._calls_left -= 1
        if self._calls_left < 0:
            limit = self.limits.subroutine_calls
            raise self.error(f"more than {limit} subroutine calls (Limits.subroutine_calls).", node.position)
        scope = Scope(self.globals, sealed=True)
        given, needed = len(node.arguments), len(subroutine.parameters)
        if given != needed:
            raise self.error(f"subroutine '{node.name}' takes {needed} arguments, got {given}.", node.position)
        for parameter, argument in zip(subroutine.parameters, node.arguments, strict=True):
            variable = self._argument(parameter, argument)
            value = variable.value
            if isinstance(value, Bits) and target is not None and set(value.bits) & set(target.bits):
                target = None
            scope.names[parameter.name] = variable
        outside = self._result, self._loop_levels
        self._result = (scope, subroutine.result_name, target) if subroutine.result_name and target else None
        self._loop_levels = []
        self._return_levels.append(self._level)
        self.enter(node.position)
        value = 0
        try:
            self._block(subroutine.body, scope=scope)
        except _Return as returned:
            value = self._returned(subroutine, returned.value, node)
        else:
            if subroutine.result is not None:
                raise self.error(f"subroutine '{node.name}' ends without 'return'.", node.position)
        self.depth -= 1
        self._return_levels.pop()
        self._result, self._loop_levels = outside
        return value

    def _argument(self, parameter: nodes.SubroutineParameter, argument: nodes.Expression) -> Variable:
        kind = parameter.type.kind
        limit = {"qubit": self.limits.qubits, "bit": self.limits.clbits}.get(kind, self.limits.integer_bits)
        outside, self.scope = self.scope, self.globals
        width = self._width(parameter.type, limit, "Limits")
        self.scope = outside
        value = self.value(argument)
        if kind == "array":
            raise self.error("array parameters of subroutines are not supported.", parameter.position)
        if kind in ("qubit", "bit") and isinstance(value, Qubits | Bits):
            size = len(value.wires) if isinstance(value, Qubits) else len(value.bits)
            if isinstance(value, Qubits) != (kind == "qubit") or size != (width or 1):
                shown = kind if width is None else f"{kind}[{width}]"
                message = f"argument '{parameter.name}': expected {shown}, got {describe_value(value)}."
                raise self.error(message, argument.position)
            value = replace(value, scalar=width is None)
            return Variable(value, kind, width, True, self._level)
        if kind == "qubit":
            raise self.error(
                f"argument '{parameter.name}': expected qubits, got {describe_value(value)}.", argument.position
            )
        converted = self.convert(value, kind, width, argument.position)
        return Variable(converted, kind, width, kind == "bit", self._level)

    def _returned(self, subroutine: nodes.Subroutine, value: Value | None, node: nodes.Call) -> Value:
        result = subroutine.result
        if (result is None) != (value is None):
            what = "returns no value" if result is None else "must return a value"
            raise self.error(f"subroutine '{node.name}' {what}.", node.position)
        if result is None or value is None:
            return 0
        if isinstance(value, Measured | Bits) and result.kind == "bit":
            return value
        width = self._width(result, self.limits.integer_bits, "Limits.integer_bits")
        return self.convert(value, result.kind, width, node.position)

    def _return(self, node: nodes.Return) -> None:
        if not self._return_levels:
            raise self.error("'return' outside a subroutine.", node.position)
        if self._return_levels[-1] != self._level:
            hint = "Put the rest of the subroutine into an 'if'."
            raise self.error(f"'return' that depends on measured bits is not supported. {hint}", node.position)
        raise _Return(None if node.value is None else self.value(node.value))
