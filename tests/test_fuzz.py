"""The fuzzer of the OpenQASM reader runs clean for two minutes (an hour by hand, see tools/fuzz_openqasm.py)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).resolve().parent.parent / "tools" / "fuzz_openqasm.py"


@pytest.mark.slow
def test_the_reader_survives_mutated_programs() -> None:
    outcome = subprocess.run(
        [sys.executable, TOOL, "--seconds", "120", "--seed", "3"], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr[-2000:]
