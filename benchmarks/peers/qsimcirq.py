"""Google's qsim through Cirq: single precision; the width of fused gates is searched from 2 to 6."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import cirq
import numpy as np
import numpy.typing as npt

from .job import Job, read_out

_LEVELS = {"avx512": 0, "avx2": 1, "sse": 2, "generic": 3}
_ISA = os.environ.get("QSIM_BENCHMARK_ISA")
if _ISA:  # it asks this module which of its builds to load
    _choice = SimpleNamespace(
        detect_instructions=lambda: _LEVELS[_ISA], detect_gpu=lambda: 10, detect_custatevec=lambda: 10
    )
    sys.modules["qsimcirq.qsim_decide"] = _choice  # type: ignore[assignment]

import qsimcirq  # noqa: E402

__all__ = ["build", "settings", "versions"]

_NATIVE: dict[str, Callable[..., Any]] = {
    "h": lambda: cirq.H,
    "x": lambda: cirq.X,
    "y": lambda: cirq.Y,
    "z": lambda: cirq.Z,
    "s": lambda: cirq.S,
    "t": lambda: cirq.T,
    "rx": cirq.rx,
    "ry": cirq.ry,
    "rz": cirq.rz,
    "p": lambda a: cirq.ZPowGate(exponent=a / np.pi),
    "swap": lambda: cirq.SWAP,
    "rzz": lambda a: cirq.ZZPowGate(exponent=a / np.pi, global_shift=-0.5),
    "rxx": lambda a: cirq.XXPowGate(exponent=a / np.pi, global_shift=-0.5),
    "ryy": lambda a: cirq.YYPowGate(exponent=a / np.pi, global_shift=-0.5),
    "fsim": cirq.FSimGate,
}
_CONTROLLED: dict[str, Callable[..., Any]] = {
    "x": lambda: cirq.CNOT,
    "z": lambda: cirq.CZ,
    "p": lambda a: cirq.CZPowGate(exponent=a / np.pi),
}


def versions() -> dict[str, str]:
    return {"qsimcirq": qsimcirq.__version__, "cirq": cirq.__version__}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{"max_fused_gate_size": width} for width in (3, 4, 2, 5, 6)]  # the likely ones first


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        # Cirq's first qubit is the most significant: the order is mirrored.
        self._qubits = cirq.LineQubit.range(job.num_qubits)
        operations = []
        for gate in job.gates:
            if len(gate.controls) == 1 and gate.name in _CONTROLLED:
                made = _CONTROLLED[gate.name](*gate.params)
                wires = gate.controls + gate.targets
            else:
                native = gate.name in _NATIVE
                made = _NATIVE[gate.name](*gate.params) if native else cirq.MatrixGate(gate.matrix)
                made = made.controlled(len(gate.controls)) if gate.controls else made
                wires = gate.controls + (gate.targets if native else gate.targets[::-1])
            operations.append(made.on(*(self._qubits[-1 - q] for q in wires)))
        self._circuit = cirq.Circuit(operations)
        self._initial = job.initial
        self._simulator = qsimcirq.QSimSimulator(qsimcirq.QSimOptions(cpu_threads=job.threads, **setting))
        self._rng = np.random.default_rng(1)

    def prepare(self) -> None:
        """Nothing: it copies every initial state into memory of its own, there is no other way in."""

    def state(self) -> npt.NDArray[Any]:
        more = {} if self._initial is None else {"initial_state": self._initial}
        return self._simulator.simulate(self._circuit, qubit_order=self._qubits, **more).final_state_vector

    def amplitudes(self, state: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return state

    def readout(self) -> float:
        return read_out(self.state(), self._rng)


build = _Running
