"""A run through an adapter needs the memory of one state and 5 %: nowhere is a copy of it made."""

from __future__ import annotations

import sys

import pytest
from benchmarks.bench_adapters import peak

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")


@pytest.mark.parametrize(
    ("framework", "needs", "simulator", "bytes_per_amplitude"),
    [
        ("pennylane", "pennylane", "qsim.qubit", 16),
        ("qiskit", "qiskit_aer", "qsim", 16),
        ("cirq", "qsimcirq", "qsim f32", 8),
        ("qibo", "qibo", "qsim", 16),
    ],
)
def test_a_run_holds_one_state(framework: str, needs: str, simulator: str, bytes_per_amplitude: int) -> None:
    pytest.importorskip(needs)
    state = bytes_per_amplitude << 22
    small = 2**22  # what Python itself takes meanwhile
    assert 0.9 * state < peak(framework, simulator, 22) < 1.05 * state + small
