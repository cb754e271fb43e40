"""Expression trees to values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from qsim_core import classical
from qsim_core.errors import QsimError

from ...parameters import ParameterExpression
from . import nodes
from .errors import QasmError, SourceMap, did_you_mean
from .limits import Limits
from .scope import Scope, Variable
from .values import (
    CONSTANTS,
    FUNCTIONS,
    Bits,
    Measured,
    Qubits,
    RunTime,
    Scalar,
    Value,
    ValueProblem,
    binary,
    check_number,
    describe_value,
    function,
    mask,
    power,
    run_time,
    unary,
)

__all__ = ["Evaluator"]

_Item = TypeVar("_Item")


class Evaluator:
    """Evaluates expressions in ``scope``; every error carries the place of the node it belongs to."""

    def __init__(self, sources: SourceMap, limits: Limits, version: int) -> None:
        self.sources = sources
        self.limits = limits
        self.version = version
        self.scope = Scope()
        self._handlers: dict[type[Any], Callable[[Any], Value]] = {
            nodes.Literal: lambda node: node.value,
            nodes.Name: self._name,
            nodes.Unary: lambda node: unary(node.op, self.value(node.operand)),
            nodes.Chain: self._chain,
            nodes.Power: lambda node: power(
                self.value(node.base), self.value(node.exponent), self.limits.integer_bits, self.version == 2
            ),
            nodes.Call: self._call,
            nodes.Cast: self._cast,
            nodes.Index: self._index,
            nodes.BracedList: lambda node: tuple(self.value(item) for item in node.items),
            nodes.RangeNode: lambda node: tuple(self.range(node)),
            nodes.MeasureValue: lambda node: Measured(self.qubits(node.operand)),
        }

    def error(self, message: str, position: int) -> QasmError:
        """Return the error for a position."""
        return self.sources.error(message, position)

    def value(self, node: nodes.Expression) -> Value:
        """Return the value of any expression."""
        try:
            return self._handlers[type(node)](node)
        except ValueProblem as problem:
            raise self.error(str(problem), node.position) from None
        except QasmError:
            raise
        except (QsimError, OverflowError) as problem:
            raise self.error(str(problem), node.position) from None

    # ---------------------------------------------------------------------------------------------- typed accessors

    def number(self, node: nodes.Expression, what: str) -> float | ParameterExpression:
        """Return a finite real number or a parameter expression."""
        value = self.value(node)
        if isinstance(value, ParameterExpression):
            return value
        if not isinstance(value, bool | int | float):
            raise self.error(f"{what}: expected a number, got {describe_value(value)}.", node.position)
        try:
            return float(check_number(float(value), self.limits.integer_bits))
        except (ValueProblem, OverflowError):
            raise self.error(f"{what}: expected a finite number, got {value!r}.", node.position) from None

    def integer(self, node: nodes.Expression, what: str) -> int:
        """Return an integer known while reading."""
        value = self.value(node)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self.error(f"{what}: expected an integer, got {describe_value(value)}.", node.position)
        return value

    def qubits(self, node: nodes.Expression) -> Qubits:
        """Return a qubit or register of qubits."""
        value = self.value(node)
        if not isinstance(value, Qubits):
            raise self.error(f"expected qubits, got {describe_value(value)}.", node.position)
        return value

    def bits(self, node: nodes.Expression) -> Bits:
        """Return a classical bit or register."""
        value = self.value(node)
        if not isinstance(value, Bits):
            raise self.error(f"expected classical bits, got {describe_value(value)}.", node.position)
        return value

    def condition(self, node: nodes.Expression) -> bool | classical.Expression:
        """Return a truth value, or an expression of measured bits."""
        value = self.value(node)
        if isinstance(value, Bits | RunTime):
            return run_time(value).expression
        if isinstance(value, bool | int | float):
            return bool(value)
        hint = " Measure first and test the bit." if isinstance(value, Qubits | Measured) else ""
        raise self.error(f"expected a condition, got {describe_value(value)}.{hint}", node.position)

    def range(self, node: nodes.RangeNode, size: int | None = None) -> range:
        """Return ``start:step:stop``, both ends included; ``size`` completes and wraps the range of an index."""
        step = self.integer(node.step, "step of a range") if node.step is not None else 1
        if step == 0:
            raise self.error("step of a range: expected a number other than 0.", node.position)
        if size is None and (node.start is None or node.stop is None):
            raise self.error("a range needs both ends here.", node.position)
        last = (size or 0) - 1
        start = self.integer(node.start, "start of a range") if node.start else (0 if step > 0 else last)
        stop = self.integer(node.stop, "end of a range") if node.stop else (last if step > 0 else 0)
        if size is not None:
            start, stop = (end + size if end < 0 else end for end in (start, stop))
        found = range(start, stop + (1 if step > 0 else -1), step)
        limit = self.limits.loop_iterations
        # len() of a range overflows where its bounds do not
        length = max(0, (found.stop - found.start + step - (1 if step > 0 else -1)) // step)
        if length > limit:
            raise self.error(f"range of {length} numbers: at most {limit} (Limits.loop_iterations).", node.position)
        return found

    # ----------------------------------------------------------------------------------------------------- handlers

    def _name(self, node: nodes.Name) -> Value:
        entry = self.scope.find(node.name)
        if isinstance(entry, Variable):
            if entry.value is None:
                raise self.error(f"'{node.name}' has no value yet.", node.position)
            return entry.value
        constant = CONSTANTS.get(node.name)
        if constant is not None and (self.version == 3 or node.name == "pi"):
            return constant
        if entry is not None:
            raise self.error(f"'{node.name}' is a gate or subroutine, expected a value.", node.position)
        if node.name.startswith("$"):
            return self.physical(node)
        if self.scope.hidden(node.name):
            hint = "Pass it as a parameter or make it 'const'."
            raise self.error(f"'{node.name}' is not visible inside a gate or subroutine. {hint}", node.position)
        raise self.error(f"'{node.name}' is not defined.{self._values_known(node.name)}", node.position)

    def _values_known(self, name: str) -> str:
        """Return a close name, or the names there are, as the end of a message."""
        known = [word for word in self.scope.known() if isinstance(self.scope.find(word), Variable)]
        if hint := did_you_mean(name, [*known, *CONSTANTS]):
            return hint
        shown = ", ".join(known[:6]) + (", …" if len(known) > 6 else "")
        return f" Defined here: {shown}." if known and len(shown) < 100 else ""

    def _chain(self, node: nodes.Chain) -> Value:
        result = self.value(node.first)
        bits, real = self.limits.integer_bits, self.version == 2
        for link in node.rest:
            if isinstance(result, bool) and (link.op, result) in (("&&", False), ("||", True)):
                continue
            right = self.value(link.operand)
            try:
                result = binary(link.op, result, right, bits, real)
            except (ValueProblem, QsimError, OverflowError) as problem:
                if isinstance(problem, QasmError):
                    raise
                raise self.error(str(problem), link.position) from None
            if isinstance(result, Qubits | Bits):
                self._check_register(result, link.position)
        return result

    def _check_register(self, value: Qubits | Bits, position: int) -> None:
        wires = value.wires if isinstance(value, Qubits) else value.bits
        if len(wires) > max(self.limits.qubits, self.limits.clbits):
            raise self.error("concatenated register is larger than all registers together.", position)

    def _call(self, node: nodes.Call) -> Value:
        entry = self.scope.find(node.name)
        if entry is None and node.name in FUNCTIONS[self.version]:
            arguments = [self.value(argument) for argument in node.arguments]
            return function(node.name, arguments, self.limits.integer_bits, self.version)
        return self.call(node)

    def physical(self, node: nodes.Name) -> Qubits:
        """Return the physical qubit ``$k``; given by the builder, which numbers qubits."""
        raise NotImplementedError

    def call(self, node: nodes.Call) -> Value:
        """Call a subroutine; the builder, which can, overrides this."""
        known = [*FUNCTIONS[self.version], *self.scope.known()]
        raise self.error(f"function '{node.name}' is not defined.{did_you_mean(node.name, known)}", node.position)

    def _cast(self, node: nodes.Cast) -> Value:
        width = self.integer(node.type.width, f"size of {node.type.kind}") if node.type.width is not None else None
        return self.convert(self.value(node.operand), node.type.kind, width, node.position, explicit=True)

    def convert(self, value: Value, kind: str, width: int | None, position: int, explicit: bool = False) -> Value:
        """Return ``value`` as a scalar of the type ``kind[width]``; only a cast (``explicit``) may round."""
        if isinstance(value, Bits | RunTime):
            return self._convert_run_time(value, kind, width, position, explicit)
        if not isinstance(value, bool | int | float | ParameterExpression):
            raise self.error(f"expected a value of type {kind}, got {describe_value(value)}.", position)
        if kind in ("float", "angle"):
            if isinstance(value, ParameterExpression):
                return value
            try:
                return float(value)
            except OverflowError:
                raise self.error(f"{value} does not fit into {kind}.", position) from None
        if isinstance(value, ParameterExpression):
            raise self.error(f"an input parameter can't become {kind}: its value is not known yet.", position)
        if kind == "bool":
            return bool(value)
        if isinstance(value, float):
            if not explicit and not value.is_integer():
                raise self.error(f"{value!r} is not an integer. Write {kind}({value!r}) to round it.", position)
            value = int(value)
        return self._integer_of_width(int(value), kind, width, position)

    def _integer_of_width(self, value: int, kind: str, width: int | None, position: int) -> Scalar:
        if kind == "bit":
            low, high = 0, (1 << (1 if width is None else min(width, 4096))) - 1
        else:
            size = min(self.limits.integer_bits if width is None else width, 4096)
            low, high = (
                (0, (1 << size) - 1) if kind == "uint" else (-(1 << max(size - 1, 0)), (1 << max(size - 1, 0)) - 1)
            )
        if not low <= value <= high:
            name = kind if width is None else f"{kind}[{width}]"
            raise self.error(f"{value} does not fit into {name}.", position)
        return value

    def _convert_run_time(
        self, value: Bits | RunTime, kind: str, width: int | None, position: int, explicit: bool
    ) -> Value:
        if not explicit:
            raise self.error(
                f"a variable of type {kind} can't hold measured bits. Use the bit register itself in conditions.",
                position,
            )
        try:
            converted = run_time(value)
            if kind == "bool":
                return binary("!=", converted, 0, self.limits.integer_bits, False)
            known = len(value.bits) if isinstance(value, Bits) else value.width
            if kind == "uint" or (kind == "int" and known and (width is None or width > known)):
                if width is None or (known and known <= width):
                    return RunTime(converted.expression, width or 0, converted.depth, converted.size)
                return mask(converted, width)
            if kind == "bit" and isinstance(value, Bits) and (width or 1) == known:
                return value
            if kind == "bit" and isinstance(value, RunTime):
                return mask(converted, width or 1)
        except ValueProblem as problem:
            raise self.error(str(problem), position) from None
        raise self.error(f"measured bits can't be cast to {kind}; uint and bool are supported.", position)

    # ------------------------------------------------------------------------------------------------------- indices

    def _index(self, node: nodes.Index) -> Value:
        operand = self.value(node.operand)
        match operand:
            case Qubits(wires, False):
                picked, scalar = self._pick(node, wires)
                return Qubits(picked, scalar)
            case Bits(places, False):
                picked, scalar = self._pick(node, places)
                return Bits(picked, scalar)
            case tuple():
                items, scalar = self._pick(node, operand)
                return items[0] if scalar else items
            case bool() | float():
                pass
            case int():
                where = self.integer(node.item, "index")
                if not 0 <= where < self.limits.integer_bits:
                    raise self.error(
                        f"bit {where} of an integer: expected 0 to {self.limits.integer_bits - 1}.", node.position
                    )
                return (operand >> where) & 1
        raise self.error(f"{describe_value(operand)} can't be indexed.", node.position)

    def _pick(self, node: nodes.Index, wires: Sequence[_Item]) -> tuple[tuple[_Item, ...], bool]:
        item, size = node.item, len(wires)
        if isinstance(item, nodes.RangeNode):
            return tuple(wires[k] for k in self._inside(self.range(item, size), size, node)), False
        if isinstance(item, nodes.BracedList):
            places = [self.integer(part, "index") for part in item.items]
            return tuple(wires[k] for k in self._inside(places, size, node)), False
        place = self.integer(item, "index")
        return tuple(wires[k] for k in self._inside([place], size, node)), True

    def _inside(self, places: Sequence[int], size: int, node: nodes.Index) -> Iterator[int]:
        for place in places:
            if not -size <= place < size or (self.version == 2 and place < 0):
                allowed = f"0 to {size - 1}" if size else "none, it is empty"
                of = f" of '{node.operand.name}'" if isinstance(node.operand, nodes.Name) else ""
                raise self.error(f"index{of}: expected {allowed}, got {place}.", node.item.position)
            yield place % size
