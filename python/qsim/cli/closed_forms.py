"""Circuits whose outcome is known in closed form at every size, checked without reading the whole state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from qsim_core.types import Precision

from ..circuit import Circuit
from ..compiled import CompiledCircuit
from ..simulator import Simulator

__all__ = ["FORMS", "checks"]

_SHOTS = 64
_Form = tuple[Circuit, dict[str, float], Callable[[int], bool]]


def _ghz(n: int) -> _Form:
    """Z⊗Z of the ends is 1, X on all is 1, one Z is 0; shots are all zeros or all ones."""
    circuit = Circuit(n).h(0)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    known = {f"Z0 Z{n - 1}": 1.0, " ".join(f"X{q}" for q in range(n)): 1.0, f"Z{n // 2}": 0.0}
    return circuit, known, lambda shot: shot in (0, 2**n - 1)


def _fourier(n: int) -> _Form:
    """The Fourier transform of a basis state has ⟨X⟩ and ⟨Y⟩ of every qubit known, and is undone to the same state."""
    start = 0x5A5A5A5A5A & (2**n - 1)
    circuit = Circuit(n).x([q for q in range(n) if start >> q & 1])
    for q in reversed(range(n)):
        circuit.h(q)
        for other in reversed(range(q)):
            circuit.cp(math.pi / 2 ** (q - other), other, q)
    # Qubit q ends as |0⟩ + exp(2πi (start mod 2^(q+1)) / 2^(q+1))|1⟩.
    known: dict[str, float] = {}
    for q in {0, n // 2, n - 1}:
        angle = 2 * math.pi * (start % 2 ** (q + 1)) / 2 ** (q + 1)
        known |= {f"X{q}": math.cos(angle), f"Y{q}": math.sin(angle)}
    return circuit, known, lambda shot: True


def _hidden_string(n: int) -> _Form:
    """Bernstein and Vazirani: the shots are the hidden string, with the oracle's qubit back in |1⟩."""
    string = 0x2DB6DB6DB7 & (2 ** (n - 1) - 1)
    circuit = Circuit(n).x(n - 1).h(range(n))
    for q in range(n - 1):
        if string >> q & 1:
            circuit.cx(q, n - 1)
    circuit.h(range(n))
    known = {f"Z{q}": 1.0 - 2 * (string >> q & 1) for q in range(n - 1)} | {f"Z{n - 1}": -1.0}
    return circuit, known, lambda shot: shot == string | 1 << (n - 1)


FORMS: dict[str, Callable[[int], _Form]] = {
    "GHZ": _ghz,
    "Fourier transform of a basis state": _fourier,
    "Bernstein-Vazirani": _hidden_string,
}


def checks(backend: str, num_qubits: int, precision: Precision) -> list[dict[str, Any]]:
    """Return one record for each form, of expectation values and shots; ``problem`` is empty where all is as it must be.

    The state stays where the backend keeps it: only single numbers and some shots are read.
    """
    result = []
    for name, make in FORMS.items():
        circuit, known, possible = make(num_qubits)
        bound = 16 * precision.epsilon * math.sqrt(circuit.num_gates + 1)
        record = {"name": name, "qubits": num_qubits, "precision": precision.value, "allowed": bound}
        try:
            error, impossible = _deviation(circuit, known, possible, backend, precision)
            problem = f"WRONG: {impossible} shots are impossible" if impossible else "" if error <= bound else "WRONG"
        except Exception as failure:  # whatever a broken backend raises is a finding
            error, problem = math.inf, f"{type(failure).__name__}: {failure}"
        result.append({**record, "error": error, "problem": problem, "ok": not problem})
    return result


def _deviation(
    circuit: Circuit, known: dict[str, float], possible: Callable[[int], bool], backend: str, precision: Precision
) -> tuple[float, int]:
    simulator = Simulator(backend, precision, seed=1)
    measured = CompiledCircuit(circuit.measure_all(), simulator)
    run = measured.run(shots=_SHOTS, observables=list(known), outputs=["counts"])
    error = float(np.abs(np.asarray(run.expectations) - list(known.values())).max())
    return error, sum(count for bits, count in run.counts.items() if not possible(int(bits, 2)))
