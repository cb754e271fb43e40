"""The statements that fill large files, read by one regular expression each.

``name(params) q[i],q[j];``, the same with physical qubits ``$i``, and ``measure q[i] -> c[j];`` at the top level are taken
straight from the text, without tokens or trees; everything else, and everything in doubt or in error, is left to the
parser, whose messages are exact.
"""

from __future__ import annotations

import re
from typing import Any

from .builder import Builder
from .errors import QasmError
from .expression_parser import ExpressionParser
from .lexer import Lexer
from .walk import names_in

__all__ = ["FastPath"]


def _operand(group: int) -> str:
    """``name[index]`` in groups ``group`` and ``group + 1``, or ``$index`` with an empty name."""
    return rf"[ \t]*(?:([A-Za-z_][A-Za-z0-9_]*)[ \t]*\[[ \t]*|\$)([0-9]{{1,6}})(?({group})[ \t]*\])[ \t]*"


_GATE = re.compile(
    r"\s*([A-Za-z_][A-Za-z0-9_]*)[ \t]*"
    r"(?:\(([^();\n]{1,300})\)|(?=[ \t]))"
    rf"{_operand(3)}(?:,{_operand(5)})?(?:,{_operand(7)})?;"
)
_MEASURE = re.compile(rf"\s*measure[ \t]{_operand(1)}->{_operand(3)};")
_NUMBER = re.compile(r"[ \t]*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)[ \t]*")
_MAX_CACHED = 100_000


class FastPath:
    """Reads the statements it knows from the lexer's text into the builder's circuit."""

    def __init__(self, lexer: Lexer, builder: Builder) -> None:
        self._lexer = lexer
        self._builder = builder
        self._params: dict[str, tuple[float, ...]] = {}
        self._values: dict[str, float] = {}

    def run(self) -> None:
        """Take statements until one is met that needs the parser."""
        lexer, builder = self._lexer, self._builder
        if not lexer.clean:
            return
        gates, qubits, bits = builder.plain_gates, builder.qubit_registers, builder.bit_registers
        text, params_of, append = lexer.text, self._params, builder.circuit.append
        spend, start = builder.spend, lexer.start
        offset = lexer.offset
        while True:
            match = _GATE.match(text, offset)
            if match is None:
                match = _MEASURE.match(text, offset)
                if match is None or not self._measure(match, qubits, bits):
                    break
                offset = match.end()
                continue
            name, arguments, *operands = match.groups("")
            found = gates.get(name)
            if found is None:
                break
            spec, num_params, num_qubits = found
            params: tuple[float, ...] = ()
            if arguments:
                values = params_of.get(arguments) or self._evaluate(arguments, match.start(2))
                if values is None:
                    break
                params = values
            try:
                register, index, second, second_index, third, third_index = operands
                wires: tuple[int, ...] = (qubits[register][int(index)],)
                if second_index:
                    wires += (qubits[second][int(second_index)],)
                    if third_index:
                        wires += (qubits[third][int(third_index)],)
            except (KeyError, IndexError):
                break
            if len(params) != num_params or len(wires) != num_qubits or len(set(wires)) < num_qubits:
                break
            spend(1, start + offset)
            append(spec, wires, params)
            offset = match.end()
        lexer.offset = offset

    def _measure(self, match: re.Match[str], qubits: dict[str, Any], bits: dict[str, Any]) -> bool:
        register, index, target, place = match.groups("")
        try:
            wire, bit = qubits[register][int(index)], bits[target][int(place)]
        except (KeyError, IndexError):
            return False
        self._builder.spend(1, self._lexer.start + match.start())
        self._builder.circuit.measure((wire,), (bit,))
        return True

    def _evaluate(self, arguments: str, offset: int) -> tuple[float, ...] | None:
        """Return the values of a parameter list that depends on no variable, and remember them."""
        values: list[float] = []
        for part in arguments.split(","):
            value = self._values.get(part)
            if value is None:
                number = _NUMBER.fullmatch(part)
                value = float(number.group(1)) if number else self._parsed(part, offset)
                if value is None or value - value != 0.0:
                    return None
                if not number:
                    if len(self._values) >= _MAX_CACHED:
                        self._values.clear()
                    self._values[part] = value
            values.append(value)
        found = tuple(values)
        if len(self._params) >= _MAX_CACHED:
            self._params.clear()
        self._params[arguments] = found
        return found

    def _parsed(self, part: str, offset: int) -> float | None:
        """Return the value of one expression, or None where the parser has to word an error or look up a variable."""
        builder, sources = self._builder, self._lexer.sources
        lexer = Lexer(part, self._lexer.start + offset, sources)
        parser = ExpressionParser(lexer, sources, builder.limits, builder.version)
        try:
            tree = parser.expression()
            if lexer.peek().kind != "end" or any(builder.scope.find(name.name) for name in names_in(tree)):
                return None
            value = builder.number(tree, "parameter")
        except QasmError:
            return None
        return value if isinstance(value, float) else None
