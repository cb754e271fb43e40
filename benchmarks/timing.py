"""How long a piece of work takes, for ceilings and cards alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

__all__ = ["median_seconds"]


def median_seconds(work: Callable[[], Any], repeat: int) -> float:
    """Return the median wall time of ``repeat`` runs in seconds, after one that may compile."""
    work()
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)
