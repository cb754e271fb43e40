"""Whole files: header, includes, and the loop over statements."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from ...circuit import Circuit
from .builder import Builder, Stop
from .declarations import LIBRARIES
from .errors import QasmError, SourceMap, did_you_mean
from .expression_parser import describe
from .fastpath import FastPath
from .lexer import Lexer
from .limits import Limits
from .parser import Parser

__all__ = ["load_file", "load_text"]

_VERSIONS = {"2.0": 2, "2": 2, "3": 3, "3.0": 3, "3.1": 3}
_MAX_INCLUDE_DEPTH = 16


def load_file(path: str | Path, allow_include: bool, limits: Limits) -> Circuit:
    """Read a file; included files are looked for beside it."""
    place = Path(path)
    return load_text(_read(place, limits), place.name, place.parent, allow_include, limits)


def load_text(text: str, name: str, folder: Path, allow_include: bool, limits: Limits) -> Circuit:
    """Read a text; ``folder`` is where included files are looked for."""
    # A character is one byte at least; only texts near the limit are encoded to be measured.
    if len(text) > limits.file_bytes or (len(text) * 4 > limits.file_bytes and _size(text) > limits.file_bytes):
        raise QasmError(f"text is larger than {limits.file_bytes} bytes (Limits.file_bytes).", filename=name)
    try:
        return _Loader(text, name, folder, allow_include, limits).run()
    except RecursionError:
        raise QasmError("nested too deeply for the Python stack of this program.", filename=name) from None


def _size(text: str) -> int:
    return len(text.encode("utf-8", errors="surrogatepass"))


def _read(path: Path, limits: Limits) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(limits.file_bytes + 1)
    except OSError as problem:
        raise QasmError(f"file can't be read: {problem.strerror}.", filename=path.name) from None
    if len(data) > limits.file_bytes:
        raise QasmError(f"file is larger than {limits.file_bytes} bytes (Limits.file_bytes).", filename=path.name)
    try:
        return data.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as problem:
        before = data[: problem.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", errors="replace")) + 1
        message = f"byte 0x{data[problem.start]:02x} is not UTF-8 text."
        raise QasmError(message, line, column, path.name) from None


class _Loader:
    def __init__(self, text: str, name: str, folder: Path, allow_include: bool, limits: Limits) -> None:
        self._sources = SourceMap()
        self._folder = folder
        self._allow_include = allow_include
        self._limits = limits
        self._depth = 0
        self._included_bytes = 0
        self._lexer = Lexer(text, self._sources.add(name, text), self._sources)
        self._version = self._header()
        self._builder = Builder(self._sources, limits, self._version)

    def run(self) -> Circuit:
        with suppress(Stop):
            self._statements(self._lexer)
        return self._builder.circuit

    def _header(self) -> int:
        """Read the version; without one a file is OpenQASM 3, or 2 if it includes qelib1.inc first."""
        lexer = self._lexer
        if lexer.peek().text != "OPENQASM":
            old = lexer.peek().text == "include" and lexer.peek(1).text.strip("\"'") == "qelib1.inc"
            return 2 if old else 3
        lexer.next()
        token = lexer.next()
        version = _VERSIONS.get(token.text)
        if version is None or token.kind not in ("integer", "float"):
            allowed = "expected 2.0, 3, 3.0 or 3.1"
            raise self._sources.error(f"version of OpenQASM: {allowed}, got {describe(token)}.", token.position)
        end = lexer.next()
        if end.text != ";":
            raise self._sources.error(f"expected ';' after the version, got {describe(end)}.", end.position)
        return version

    def _statements(self, lexer: Lexer) -> None:
        parser = Parser(lexer, self._sources, self._limits, self._version)
        fast = FastPath(lexer, self._builder)
        while True:
            fast.run()
            token = lexer.peek()
            if token.kind == "end":
                return
            if token.kind == "ident" and token.text == "include":
                self._include(lexer)
                continue
            if token.kind == "ident" and token.text == "OPENQASM":
                raise self._sources.error("'OPENQASM' must be the first statement of a file.", token.position)
            statement = parser.statement()
            if statement is not None:
                self._builder.execute(statement)

    def _include(self, lexer: Lexer) -> None:
        lexer.next()
        token = lexer.next()
        if token.kind != "string":
            raise self._sources.error(f"expected a file name in quotes, got {describe(token)}.", token.position)
        end = lexer.next()
        if end.text != ";":
            raise self._sources.error(f"expected ';' after the file name, got {describe(end)}.", end.position)
        name = token.text[1:-1]
        if name in LIBRARIES:
            self._builder.include_library(name)
            return
        if not self._allow_include:
            hint = (
                did_you_mean(name, LIBRARIES) or " Standard libraries are built in; pass allow_include=True for others."
            )
            raise self._sources.error(f"including {name[:80]!r} is not allowed.{hint}", token.position)
        self._include_file(name, token.position)

    def _include_file(self, name: str, position: int) -> None:
        if self._depth >= _MAX_INCLUDE_DEPTH:
            raise self._sources.error(f"files included in one another more than {_MAX_INCLUDE_DEPTH} deep.", position)
        place = Path(name)
        if place.is_absolute() or ".." in place.parts or "\0" in name:
            message = f"{name[:80]!r} is outside the folder of the file that is read."
            raise self._sources.error(message, position)
        try:
            text = _read(self._folder / place, self._limits)
        except QasmError as problem:
            if problem.line:
                raise
            raise self._sources.error(f"including {name[:80]!r}: {problem.message}", position) from None
        self._included_bytes += len(text)
        if self._included_bytes > self._limits.file_bytes:
            limit = self._limits.file_bytes
            raise self._sources.error(f"included files have more than {limit} bytes (Limits.file_bytes).", position)
        self._depth += 1
        lexer = Lexer(text, self._sources.add(place.name, text), self._sources)
        if lexer.peek().text == "OPENQASM":
            for _ in range(3):
                lexer.next()
        self._statements(lexer)
        self._depth -= 1
