"""Which machine and which versions a figure belongs to."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

import qsim
from qsim_core.kernels import registry
from qsim_core.resources import cpu_model

__all__ = ["describe", "instruction_sets"]


def describe(threads: int) -> dict[str, Any]:
    """Return everything a reader of the report has to know."""
    return {
        "cpu": cpu_model(),
        "instruction_sets": instruction_sets(),
        "backend": registry.backend("auto").description,
        "cores": os.cpu_count(),
        "threads": threads,
        "platform": platform.platform(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "qsim-core": qsim.__version__,
        "commit": commit(),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def instruction_sets() -> list[str]:
    """Return those that matter for vector arithmetic."""
    try:
        line = next(x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return []
    return [name for name in ("sse4_2", "avx2", "fma", "avx512f", "asimd", "sve") if name in line.split()]


def commit() -> str:
    """Return the commit of the working tree, with + where it is changed; empty outside of one."""
    call = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(call, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
