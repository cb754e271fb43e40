"""How a running kernel is watched: threads to use, progress, deadline, cancel. One object per run, nothing global."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Real

from ..errors import InterruptedRunError, ParameterError, expected

__all__ = ["RunControl"]


@dataclass(slots=True)
class RunControl:
    """Polled by every backend at least every 50 ms of work.

    Ctrl-C needs nothing from here on Python paths: Python raises KeyboardInterrupt in the main thread between two polls.
    The native core calls back into Python every 100 ms so that the same happens there.
    """

    threads: int = 1
    cancel: threading.Event | None = None
    deadline: float | None = None
    progress: Callable[[float], None] | None = None
    _started: float = field(default_factory=time.monotonic)
    #: Whether anybody could stop the run or hears how far it is.
    watched: bool = field(init=False)

    def __post_init__(self) -> None:
        self.watched = self.cancel is not None or self.deadline is not None or self.progress is not None

    @classmethod
    def within(
        cls,
        threads: int,
        cancel: threading.Event | None = None,
        seconds: float | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> RunControl:
        """Return a control whose deadline is ``seconds`` from now.

        Raises:
            ParameterError: unless seconds is None or a number of at least 0.
        """
        if cancel is None and seconds is None and progress is None:
            return _unwatched(threads)
        if seconds is not None and (not isinstance(seconds, Real) or not 0 <= seconds < float("inf")):
            raise ParameterError(expected("seconds", "a number, at least 0", repr(seconds)))
        deadline = None if seconds is None else time.monotonic() + float(seconds)
        return cls(threads, cancel, deadline, progress)

    def poll(self) -> None:
        """Raise InterruptedRunError when the run was cancelled or its deadline (time.monotonic) has passed."""
        if self.cancel is not None and self.cancel.is_set():
            raise InterruptedRunError("run: cancelled by its cancel token.")
        if self.deadline is not None and time.monotonic() > self.deadline:
            used = time.monotonic() - self._started
            raise InterruptedRunError(f"run: deadline passed after {used:.1f} s. Allow more time or fewer qubits.")

    def report(self, fraction: float) -> None:
        """Tell the progress callback how much of the run is done, 0 to 1."""
        if self.progress is not None:
            self.progress(fraction)


@lru_cache(maxsize=16)
def _unwatched(threads: int) -> RunControl:
    """Return the control of runs that nobody stops or watches; nothing in it changes, so they share it."""
    return RunControl(threads)
