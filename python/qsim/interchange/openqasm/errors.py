"""Where in which file: positions, and the one error type of this package."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Iterable

from qsim_core.errors import ProgramFormatError

__all__ = ["QasmError", "SourceMap", "did_you_mean"]

_LONGEST = 400


class QasmError(ProgramFormatError):
    """An OpenQASM file that is malformed, outside the limits, or uses something that is not supported.

    Attributes:
        line: 1-based line, or 0 if the error belongs to no place in the text.
        column: 1-based column, counted in characters.
        filename: the name the text was loaded under.
    """

    def __init__(self, message: str, line: int = 0, column: int = 0, filename: str = "<string>") -> None:
        if len(message) > _LONGEST:
            message = f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"
        place = f"{filename}:{line}:{column}" if line else filename
        super().__init__(f"{place}: {message}")
        self.message = message
        self.line = line
        self.column = column
        self.filename = filename

    def __reduce__(self) -> tuple[type[QasmError], tuple[str, int, int, str]]:
        return QasmError, (self.message, self.line, self.column, self.filename)


class SourceMap:
    """One number line for the characters of a file and of everything it includes.

    A position is the start of a file's piece plus the offset in it, so nodes of the syntax tree carry one integer.
    """

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._files: list[tuple[str, str]] = []
        self._end = 0

    def add(self, name: str, text: str) -> int:
        """Register a file and return the position of its first character."""
        start = self._end
        self._starts.append(start)
        self._files.append((name, text))
        self._end += len(text) + 1
        return start

    def error(self, message: str, position: int) -> QasmError:
        """Return the error for a position; lines are only counted here."""
        index = bisect.bisect_right(self._starts, position) - 1
        name, text = self._files[index]
        offset = position - self._starts[index]
        line = text.count("\n", 0, offset) + 1
        column = offset - text.rfind("\n", 0, offset)
        return QasmError(message, line, column, name)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'h'?``, or nothing when no known name is close.

    >>> did_you_mean("hh", ["h", "cx"])
    " Did you mean 'h'?"
    """
    if len(name) > 40:
        return ""
    close = difflib.get_close_matches(name, list(known)[:2000], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""
