"""PennyLane Lightning: lightning.kokkos with its defaults."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from typing import Any

from .job import Job
from .lightning import Tape, settings

__all__ = ["build", "settings", "versions"]

DEVICE = "lightning.kokkos"


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("pennylane-lightning-kokkos", "pennylane")}


def build(job: Job, setting: Mapping[str, Any]) -> Tape:
    return Tape(job, setting, DEVICE)
