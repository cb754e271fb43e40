"""Whose time a call takes: shares of its functions, told apart by the files they are written in.

* ``ours``: functions in the files of ``qsim`` and ``qsim_core``;
* ``engine``: compiled functions of ``qsim_core._native``;
* ``framework``: functions in files of any other installed package but NumPy, and the framework's compiled functions;
* what is left (built-in functions, the standard library, NumPy) belongs to whoever called it, in the proportion in which
  the callers' calls took its time.

CPython's own profiler counts calls and their times. What it adds to every call, to the function called and to the one that
calls, is measured first on functions that do nothing, and taken off. What makes no call, such as reading an attribute that
a framework's compiled class computes, counts for the function that does it: mostly ours.
"""

from __future__ import annotations

import cProfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import qsim
import qsim_core

__all__ = ["OWNERS", "Profiler"]

OWNERS = "ours", "engine", "framework"

_OURS = tuple(str(Path(package.__file__).parent) for package in (qsim, qsim_core) if package.__file__)
_NUMPY = str(Path(np.__file__).parent)
_DEPTH = 30  # to which time is handed on from caller to caller
_LOOPS = 50_000

_Shares = npt.NDArray[np.float64]


class Profiler:
    """Collects calls; :meth:`shares` are those of all of them together."""

    def __init__(self, framework: str) -> None:
        self._framework = framework
        self._profile = cProfile.Profile()
        self._added = {False: _added_by_profiler(_nothing), True: _added_by_profiler([].clear)}

    def __call__(self, call: Callable[[], Any]) -> None:
        """Run a call."""
        self._profile.enable()
        try:
            call()
        finally:
            self._profile.disable()

    def shares(self) -> dict[str, float]:
        """Return the part of the time of each owner; what made the calls has none."""
        entries: list[Any] = self._profile.getstats()  # type: ignore[no-untyped-call]
        own: dict[Any, float] = {}
        callers: dict[Any, dict[Any, float]] = defaultdict(dict)
        for entry in entries:
            called, _ = self._added[isinstance(entry.code, str)]
            spent = entry.inlinetime - entry.callcount * called
            for callee in entry.calls or ():
                called, calling = self._added[isinstance(callee.code, str)]
                spent -= callee.callcount * calling
                callers[callee.code][entry.code] = max(0.0, callee.inlinetime - callee.callcount * called)
            own[entry.code] = max(0.0, spent)
        known = {code: self._owner(code) for code in own}
        shares = dict(known)
        for _ in range(_DEPTH):
            shares = {code: one if one.any() else _handed_on(callers[code], shares) for code, one in known.items()}
        total = sum((own[code] * share for code, share in shares.items()), np.zeros(len(OWNERS)))
        return dict(zip(OWNERS, (total / total.sum()).tolist(), strict=True))

    def _owner(self, code: Any) -> _Shares:
        """Return a unit vector, or zeros for what belongs to its callers."""
        if isinstance(code, str):
            owner = "engine" if "qsim_core._native" in code else "framework" if self._framework in code else ""
        elif code.co_filename.startswith(_OURS):
            owner = "ours"
        else:
            installed = "site-packages" in code.co_filename and not code.co_filename.startswith(_NUMPY)
            owner = "framework" if installed else ""
        return np.array([owner == name for name in OWNERS], dtype=np.float64)


def _handed_on(callers: dict[Any, float], shares: dict[Any, _Shares]) -> _Shares:
    total = sum(callers.values())
    if not total:
        return np.zeros(len(OWNERS))
    return sum((seconds * shares[caller] for caller, seconds in callers.items()), np.zeros(len(OWNERS))) / total


def _nothing() -> None:
    pass


def _added_by_profiler(function: Callable[[], Any]) -> tuple[float, float]:
    """Return the seconds that a profiled call adds to the function called, and to the one that calls."""

    def loop() -> None:
        for _ in range(_LOOPS):
            function()

    best = (np.inf, np.inf)
    for _ in range(5):
        started = time.perf_counter()
        loop()
        plain = time.perf_counter() - started
        profile = cProfile.Profile()
        profile.runcall(loop)
        spent = {entry.code: entry.inlinetime for entry in profile.getstats()}  # type: ignore[no-untyped-call]
        calling = spent.pop(loop.__code__)
        called = max(seconds for code, seconds in spent.items() if "disable" not in str(code))
        best = min(best, (called / _LOOPS, (calling - plain) / _LOOPS))
    return best
