"""The examples in every public docstring run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import qsim
import qsim_core

#: Not importable everywhere, or nothing but a command.
SKIPPED = ("__main__", "native_c", "numba_", "adapters")


def _modules() -> list[str]:
    found = [
        module.name
        for package in (qsim, qsim_core)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ]
    return ["qsim", "qsim_core", *(name for name in found if not any(part in name for part in SKIPPED))]


@pytest.mark.parametrize("name", _modules())
def test_examples(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.failed == 0
