"""The border between our errors and Qibo's, which are Python's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from qibo.config import raise_error

from qsim_core.errors import QsimError, expected

__all__ = ["qibo_errors", "unsupported"]


@contextmanager
def qibo_errors() -> Iterator[None]:
    """Raise what goes wrong inside as Qibo does: the built-in type that our error is, with the same text."""
    try:
        yield
    except MemoryError as error:
        raise RuntimeError(str(error)) from error
    except QsimError as error:
        kind = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
        raise kind(str(error)) from error


def unsupported(what: str, allowed: str, given: object, remedy: str = "") -> NoReturn:
    """Refuse what can't be run, by Qibo's own way of raising."""
    raise_error(NotImplementedError, expected(what, allowed, given, remedy))
    raise AssertionError
