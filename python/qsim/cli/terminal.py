"""What the terminal can show: characters beyond ASCII, and a progress bar where somebody looks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

__all__ = ["can_show", "progress_bar"]

_PATIENCE_S = 1.0


def can_show(characters: str) -> bool:
    """Say whether standard output can encode these characters."""
    try:
        characters.encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[float], None] | None]:
    """Yield a callback for fractions of 0 to 1, or None where stderr is not a terminal.

    The bar appears on stderr once the run has taken a second.
    """
    if not sys.stderr.isatty():
        yield None
        return
    started, shown = time.monotonic(), 0
    bar = click.progressbar(length=1000, label=label, file=sys.stderr)
    entered = False

    def report(fraction: float) -> None:
        nonlocal entered, shown
        if not entered and time.monotonic() - started > _PATIENCE_S:
            bar.__enter__()
            entered = True
        if entered:
            reached = min(1000, int(1000 * fraction))
            bar.update(max(0, reached - shown))
            shown = max(shown, reached)

    try:
        yield report
    finally:
        if entered:
            bar.__exit__(None, None, None)
