"""Random circuits over the whole gate table, and how far a backend is from the reference on them."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np

from qsim_core.gates import GATES
from qsim_core.types import Precision

from ..circuit import Circuit
from ..result import Result
from ..simulator import Simulator

__all__ = ["deviation", "exact", "random_circuits", "run_sampled"]

_SHOTS = 200
_SEED = 2024


def random_circuits(sizes: Sequence[tuple[int, int]]) -> list[Circuit]:
    """Return one circuit for each (qubits, gates), always the same."""
    return [_circuit(n, gates, random.Random(_SEED + k)) for k, (n, gates) in enumerate(sizes)]


def exact(circuit: Circuit) -> Result:
    """Return the reference's result, in double precision."""
    return run_sampled(circuit, "reference", Precision.DOUBLE, 1)


def run_sampled(circuit: Circuit, backend: str, precision: Precision, threads: int | None = None) -> Result:
    """Run with shots, and keep the state."""
    result = Simulator(backend, precision, threads, _SEED).run(circuit, shots=_SHOTS, outputs=["state"])
    assert isinstance(result, Result)
    return result


def deviation(result: Result, truth: Result, num_gates: int) -> tuple[float, float]:
    """Return the largest deviation of an amplitude, infinite where one is no number, and what rounding allows."""
    found = float(np.abs(result.state_vector - truth.state_vector).max())
    allowed = 16 * Precision.of(result.state_vector.dtype).epsilon * math.sqrt(num_gates + 1)
    return (found if math.isfinite(found) else math.inf), allowed


def _circuit(num_qubits: int, num_gates: int, rng: random.Random) -> Circuit:
    """Return a random circuit that starts with every gate of the table that fits, measured at its end."""
    circuit = Circuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(rng.uniform(0, math.pi), qubit)
    fitting = [spec for spec in GATES.values() if spec.num_qubits <= num_qubits]
    for spec in fitting + rng.choices(fitting, k=num_gates):
        extra = rng.randint(0, min(2, num_qubits - spec.num_qubits)) if rng.random() < 0.3 else 0
        wires = rng.sample(range(num_qubits), spec.num_qubits + extra)
        params = [rng.uniform(-math.pi, math.pi) for _ in spec.params]
        values = [rng.randint(0, 1) for _ in range(extra)]
        circuit.append(spec, wires[extra:], params, wires[:extra], values)
    return circuit.measure_all()
