"""This package: the public API, a compiled circuit, the best backend of the machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

import qsim
from qsim import Circuit, CompiledCircuit, Simulator, StateVector
from qsim_core.gates import GATES
from qsim_core.kernels import registry

from .job import SHOTS, Job

__all__ = ["build", "settings", "versions"]


def versions() -> dict[str, str]:
    return {"qsim-core": qsim.__version__, "instruction set": registry.backend("auto").description}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}, {"memory": "kept"}]  # a run in memory of its own, or again and again in the same


class _Running:
    _kept: StateVector | None = None

    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        circuit = Circuit(job.num_qubits)
        for gate in job.gates:
            if gate.name in GATES:
                circuit.append(GATES[gate.name], gate.targets, gate.params, gate.controls)
            else:
                circuit.unitary(gate.matrix, gate.targets, gate.controls)
        self._simulator = Simulator(setting.get("backend", "auto"), job.precision, threads=job.threads, seed=1)
        self._initial = job.initial
        self._compiled = CompiledCircuit(circuit, self._simulator)
        self._measured = CompiledCircuit(circuit.copy().measure_all(), self._simulator)
        if self._initial is not None or setting.get("memory") == "kept":  # of a state: aligned, as that of peers is
            backend = registry.backend(self._simulator.backend)
            memory = StateVector.zero(backend, 1, job.num_qubits, self._simulator.precision)
            self._memory = memory.amps[0]
            if self._initial is None:
                self._kept = StateVector.over(self._memory, self._simulator.backend)

    def prepare(self) -> None:
        if self._initial is not None:
            self._memory[...] = self._initial

    def state(self) -> npt.NDArray[Any]:
        if self._kept is not None:
            self._kept.reset()
            self._compiled.apply(self._kept)
            return self._memory
        if self._initial is None:
            return np.asarray(self._compiled.run(outputs=["state"]).state.amps)[0]
        self._compiled.apply(StateVector.over(self._memory, self._simulator.backend))
        return self._memory

    def amplitudes(self, state: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return state

    def readout(self) -> float:
        result = self._measured.run(shots=SHOTS, observables="Z0", outputs=["samples"], initial_state=self._initial)
        return float(result.expectations[0])


build = _Running
