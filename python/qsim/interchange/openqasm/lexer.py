"""Tokens on demand, from one compiled regular expression.

Tokens are made when the parser asks for them, so that the fast path (:mod:`.fastpath`) can take whole statements
from the same text in between.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .errors import SourceMap

__all__ = ["Lexer", "Token"]


class Token(NamedTuple):
    """``kind`` is ident, integer, float, duration, string, physical, op or end."""

    kind: str
    text: str
    position: int


# Alternatives are ordered so that a match never has to backtrack over more than one token.
_TOKEN = re.compile(
    r"""
    (?P<skip>(?:\s+|//[^\n]*|/\*(?s:.*?)\*/)+)
  | (?P<ident>[^\W\d]\w*)
  | (?P<number>0[xX][0-9a-fA-F_]+ | 0[oO][0-7_]+ | 0[bB][01_]+
      | (?:[0-9][0-9_]*(?:\.[0-9_]*)? | \.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)
  | (?P<op>\*\*= | <<= | >>= | -> | == | != | <= | >= | && | \|\| | << | >> | \+\+ | \*\*
      | \+= | -= | \*= | /= | %= | &= | \|= | \^=
      | (?!/\*)[-+*/%^&|~!<>=()\[\]{},;:@.\#])
  | (?P<string>"[^"\n]*" | '[^'\n]*')
  | (?P<physical>\$[0-9]+)
    """,
    re.VERBOSE,
)
_UNIT = re.compile(r"[ \t]*(dt|ns|us|µs|μs|ms|s)\b")
_UNIT_START = frozenset(" \tdnuµμms")
_AFTER_INTEGER = frozenset("[](){},;:+-*/")
_MAX_DIGITS = 400


class Lexer:
    """A cursor over one text; ``start`` is the position of its first character in the source map."""

    def __init__(self, text: str, start: int, sources: SourceMap) -> None:
        self.text = text
        self.start = start
        self.sources = sources
        self.offset = 0
        self._ahead: list[Token] = []

    @property
    def clean(self) -> bool:
        """True when no token has been read ahead, so ``offset`` is exactly where the next statement begins."""
        return not self._ahead

    def peek(self, distance: int = 0) -> Token:
        """Return a coming token without taking it."""
        ahead = self._ahead
        if ahead and not distance:
            return ahead[0]
        while len(ahead) <= distance:
            ahead.append(self._scan())
        return ahead[distance]

    def next(self) -> Token:
        """Take the next token."""
        return self._ahead.pop(0) if self._ahead else self._scan()

    def rest_of_line(self) -> None:
        """Skip to the end of the line of the next token (annotations and pragmas)."""
        position = self.peek().position - self.start
        self._ahead.clear()
        end = self.text.find("\n", position)
        self.offset = len(self.text) if end < 0 else end

    def _scan(self) -> Token:
        text, offset = self.text, self.offset
        match = _TOKEN.match(text, offset)
        if match and match.lastgroup == "skip":
            self.offset = offset = match.end()
            match = _TOKEN.match(text, offset)
        position = self.start + offset
        if match is None:
            return self._no_token(position)
        self.offset = match.end()
        kind = match.lastgroup or "op"
        return self._number(match.group(), position) if kind == "number" else Token(kind, match.group(), position)

    def _number(self, text: str, position: int) -> Token:
        if len(text) > _MAX_DIGITS:
            raise self.sources.error(f"number of {len(text)} characters: at most {_MAX_DIGITS} are read.", position)
        following = self.text[self.offset : self.offset + 1]
        if following in _AFTER_INTEGER and text.isdecimal():  # most numbers
            return Token("integer", text, position)
        unit = _UNIT.match(self.text, self.offset) if following in _UNIT_START else None
        if unit:
            self.offset = unit.end()
            return Token("duration", text + unit.group(1), position)
        if following.isalnum() or following == "_" or text.endswith("_"):
            hint = f" Write {text}*{following}… to multiply." if following.isalpha() else ""
            raise self.sources.error(f"number {text + following!r} is not well formed.{hint}", position)
        based = text[:2].lower() in ("0x", "0o", "0b")
        floating = not based and any(mark in text for mark in ".eE")
        return Token("float" if floating else "integer", text, position)

    def _no_token(self, position: int) -> Token:
        text, offset = self.text, self.offset
        if offset >= len(text):
            return Token("end", "", position)
        if text.startswith("/*", offset):
            raise self.sources.error("comment is not closed. Add '*/'.", position)
        if text[offset] in "\"'":
            raise self.sources.error("string is not closed on its line.", position)
        raise self.sources.error(f"character {text[offset]!r} has no place in OpenQASM.", position)
