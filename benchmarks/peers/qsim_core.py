"""This package: the public API, a compiled circuit, the best backend of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import qsim
from qsim import Circuit, CompiledCircuit, Simulator
from qsim_core.gates import GATES

from .job import SHOTS, Job

__all__ = ["build", "settings", "versions"]


def versions() -> dict[str, str]:
    return {"qsim-core": qsim.__version__}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}]


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        circuit = Circuit(job.num_qubits)
        for gate in job.gates:
            if gate.name in GATES:
                circuit.append(GATES[gate.name], gate.targets, gate.params, gate.controls)
            else:
                circuit.unitary(gate.matrix, gate.targets, gate.controls)
        simulator = Simulator(setting.get("backend", "auto"), job.precision, threads=job.threads, seed=1)
        self._initial = job.initial
        self._compiled = CompiledCircuit(circuit, simulator)
        self._measured = CompiledCircuit(circuit.copy().measure_all(), simulator)

    def state(self) -> npt.NDArray[Any]:
        return np.asarray(self._compiled.run(outputs=["state"], initial_state=self._initial).state.amps)[0]

    amplitudes = state

    def readout(self) -> float:
        result = self._measured.run(shots=SHOTS, observables="Z0", outputs=["samples"], initial_state=self._initial)
        return float(result.expectations[0])


build = _Running
