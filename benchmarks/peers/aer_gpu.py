"""Qiskit Aer on a GPU, with its own kernels and with cuStateVec."""

from __future__ import annotations

from typing import Any

from .aer import build, versions

__all__ = ["build", "settings", "versions"]


def settings(precision: str) -> list[dict[str, Any]]:
    return [{"device": "GPU", "cuStateVec_enable": enabled} for enabled in (False, True)]
