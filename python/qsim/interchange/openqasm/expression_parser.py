"""Expressions to trees: precedence climbing over one table of operators per language version."""

from __future__ import annotations

from . import nodes
from .errors import QasmError, SourceMap
from .lexer import Lexer, Token
from .limits import Limits

__all__ = ["TYPES", "ExpressionParser"]

# Binding powers; higher binds tighter. Comparisons exist in version 2 for the condition of ``if``.
_COMMON = {
    "==": 6, "!=": 6, "<": 7, "<=": 7, ">": 7, ">=": 7, "+": 9, "-": 9, "*": 10, "/": 10,
}  # fmt: skip
_BINARY = {
    2: _COMMON,
    3: _COMMON | {"++": 0, "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "<<": 8, ">>": 8, "%": 10},
}
_UNARY = {2: "-+", 3: "-+!~"}
_POWER = {2: "^", 3: "**"}
_UNARY_BINDING = 11

TYPES = frozenset({"bit", "bool", "int", "uint", "float", "angle", "complex", "duration", "stretch"})


class ExpressionParser:
    """Parses expressions from a lexer and guards the depth of everything that nests."""

    def __init__(self, lexer: Lexer, sources: SourceMap, limits: Limits, version: int) -> None:
        self.lexer = lexer
        self.sources = sources
        self.limits = limits
        self.version = version
        self._depth = 0

    def error(self, message: str, position: int) -> QasmError:
        """Return the error for a position."""
        return self.sources.error(message, position)

    def enter(self, position: int) -> None:
        """Count one level of nesting; who enters says ``leave`` (an error ends the whole parse, so no ``finally``)."""
        if self._depth >= self.limits.nesting:
            raise self.error(f"nested more than {self.limits.nesting} levels deep (Limits.nesting).", position)
        self._depth += 1

    def leave(self) -> None:
        """Go back up one level."""
        self._depth -= 1

    def accept(self, text: str) -> Token | None:
        """Take the next token if it reads ``text``."""
        token = self.lexer.peek()
        if token.text == text and (token.kind == "op" or token.kind == "ident"):
            return self.lexer.next()
        return None

    def expect(self, text: str, after: str) -> Token:
        """Take the next token, which must read ``text``."""
        token = self.lexer.next()
        if token.text != text or token.kind not in ("op", "ident"):
            raise self.error(f"expected '{text}' {after}, got {describe(token)}.", token.position)
        return token

    def identifier(self, what: str) -> Token:
        """Take an identifier; ``what`` names its role."""
        token = self.lexer.next()
        if token.kind != "ident":
            raise self.error(f"expected {what}, got {describe(token)}.", token.position)
        return token

    def separated(self, closing: str) -> list[nodes.Expression]:
        """Parse expressions between commas up to and including ``closing``; a trailing comma is allowed."""
        items: list[nodes.Expression] = []
        limit = self.limits.clbits
        while not self.accept(closing):
            items.append(self.expression())
            if len(items) > limit:
                raise self.error(f"list of more than {limit} items (Limits.clbits).", items[-1].position)
            if not self.accept(","):
                self.expect(closing, "or ',' in a list")
                break
        return items

    def expression(self, least: int = 0) -> nodes.Expression:
        """Parse operators that bind at least as tightly as ``least``."""
        position = self.lexer.peek().position
        self.enter(position)
        left = self._prefix()
        table = _BINARY[self.version]
        while True:
            token = self.lexer.peek()
            binding = table.get(token.text, -1) if token.kind == "op" else -1
            if binding < least:
                break
            self.lexer.next()
            link = nodes.Operator(token.text, self.expression(binding + 1), token.position)
            # A chain is a fold from the left, so a chain of tighter operators goes on as the looser one.
            if isinstance(left, nodes.Chain):
                left.rest.append(link)
            else:
                left = nodes.Chain(left, [link], position)
        self.leave()
        return left

    def range_or_expression(self) -> nodes.Expression:
        """Parse ``a``, ``a:b``, ``a:step:b``, or any of them with the ends left out."""
        position = self.lexer.peek().position
        parts: list[nodes.Expression | None] = [self._range_part()]
        while len(parts) < 3 and self.accept(":"):
            parts.append(self._range_part())
        if len(parts) == 1:
            if parts[0] is None:
                token = self.lexer.peek()
                raise self.error(f"expected an index, got {describe(token)}.", token.position)
            return parts[0]
        start, step, stop = (parts[0], None, parts[1]) if len(parts) == 2 else parts
        return nodes.RangeNode(start, step, stop, position)

    def _range_part(self) -> nodes.Expression | None:
        return None if self.lexer.peek().text in (":", "]") else self.expression()

    def _prefix(self) -> nodes.Expression:
        token = self.lexer.peek()
        if token.kind == "op" and token.text in _UNARY[self.version]:
            self.lexer.next()
            return nodes.Unary(token.text, self.expression(_UNARY_BINDING), token.position)
        base = self._postfix()
        power = self.lexer.peek()
        if power.kind == "op" and power.text == _POWER[self.version]:
            self.lexer.next()
            return nodes.Power(base, self.expression(_UNARY_BINDING), power.position)
        return base

    def _postfix(self) -> nodes.Expression:
        value = self._primary()
        while (token := self.lexer.peek()).text == "[" and token.kind == "op":
            position = self.lexer.next().position
            if _index_depth(value) >= 8:
                raise self.error("more than 8 indices in a row.", position)
            value = nodes.Index(value, self._index_item(), position)
        return value

    def _index_item(self) -> nodes.Expression:
        if self.lexer.peek().text == "{":
            position = self.lexer.next().position
            items = nodes.BracedList(self.separated("}"), position)
            self.expect("]", "after the index set")
            return items
        item = self.range_or_expression()
        if self.lexer.peek().text == ",":
            raise self.error(
                "several indices in one bracket are not supported. Write a[i][j].", self.lexer.peek().position
            )
        self.expect("]", "after the index")
        return item

    def _primary(self) -> nodes.Expression:
        token = self.lexer.next()
        position = token.position
        match token.kind:
            case "integer":
                return nodes.Literal(self._integer(token), position)
            case "float":
                return nodes.Literal(float(token.text.replace("_", "")), position)
            case "string":
                return self._bit_string(token)
            case "physical":
                if self.version == 2:
                    raise self.error(f"physical qubit '{token.text[:40]}' belongs to OpenQASM 3.", position)
                return nodes.Name(token.text, position)
            case "ident":
                return self._word(token)
            case "duration":
                raise self.error(f"duration {token.text!r} is only supported in 'delay' and 'box'.", position)
        if token.text == "(":
            inner = self.expression()
            self.expect(")", "to close the parenthesis")
            return inner
        if token.text == "{" and self.version == 3:
            return nodes.BracedList(self.separated("}"), position)
        raise self.error(f"expected an expression, got {describe(token)}.", position)

    def _integer(self, token: Token) -> int:
        if len(token.text) < 10 and token.text.isdecimal():
            return int(token.text)
        base = {"0x": 16, "0o": 8, "0b": 2}.get(token.text[:2].lower(), 10)
        digits = token.text[2 * (base != 10) :].replace("_", "")
        value = int(digits, base) if digits else 0
        if value.bit_length() > self.limits.integer_bits:
            limit = self.limits.integer_bits
            raise self.error(
                f"integer of {value.bit_length()} bits: at most {limit} (Limits.integer_bits).", token.position
            )
        return value

    def _word(self, token: Token) -> nodes.Expression:
        if self.version == 3:
            if token.text in ("true", "false"):
                return nodes.Literal(token.text == "true", token.position)
            if token.text == "measure":
                return nodes.MeasureValue(self.expression(_UNARY_BINDING), token.position)
            if token.text in TYPES:
                kind = self.type_after(token)
                self.expect("(", f"after the type {token.text!r} in an expression")
                operand = self.expression()
                self.expect(")", "to close the cast")
                return nodes.Cast(kind, operand, token.position)
        following = self.lexer.peek()
        if following.kind == "op" and following.text == "(":
            self.lexer.next()
            return nodes.Call(token.text, self.separated(")"), token.position)
        return nodes.Name(token.text, token.position)

    def type_after(self, token: Token) -> nodes.Type:
        """Parse the designator of a type whose keyword has been taken."""
        if token.text in ("complex", "duration", "stretch"):
            raise self.error(f"type {token.text!r} is not supported.", token.position)
        width = None
        if self.accept("["):
            width = self.expression()
            self.expect("]", f"after the size of {token.text!r}")
        return nodes.Type(token.text, width, token.position)

    def _bit_string(self, token: Token) -> nodes.Expression:
        digits = token.text[1:-1].replace("_", "")
        if self.version == 2 or not digits or digits.strip("01"):
            raise self.error(
                f"string {token.text[:40]} has no place here; only bit strings are values.", token.position
            )
        if len(digits) > self.limits.integer_bits:
            limit = self.limits.integer_bits
            raise self.error(
                f"bit string of {len(digits)} bits: at most {limit} (Limits.integer_bits).", token.position
            )
        return nodes.Literal(int(digits, 2), token.position)


def _index_depth(node: nodes.Expression) -> int:
    depth = 0
    while isinstance(node, nodes.Index):
        node, depth = node.operand, depth + 1
    return depth


def describe(token: Token) -> str:
    """Return a token as it is named in messages."""
    if token.kind == "end":
        return "the end of the file"
    shown = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    return shown if token.kind == "string" else f"'{shown}'"
