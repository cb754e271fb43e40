"""QuEST 3 through pyquest, in double precision: gate by gate and in place, the only way it has."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from pyquest import Circuit, Register, unitaries
from pyquest.initialisations import ZeroState

from .job import Gate, Job, read_out

__all__ = ["build", "settings", "versions"]

_NATIVE: dict[str, Callable[..., Any]] = {
    "h": unitaries.H,
    "x": unitaries.X,
    "y": unitaries.Y,
    "z": unitaries.Z,
    "s": unitaries.S,
    "t": unitaries.T,
    "rx": unitaries.Rx,
    "ry": unitaries.Ry,
    "rz": unitaries.Rz,
    "p": unitaries.Phase,
}
_PAULIS = {"rxx": unitaries.X, "ryy": unitaries.Y, "rzz": unitaries.Z}
#: How many controls its own operators take; a matrix takes any number.
_CONTROLLED = {"x": 1, "z": 99, "rx": 99, "ry": 99, "rz": 99, "p": 99}


def versions() -> dict[str, str]:
    return {"pyquest": importlib.metadata.version("pyquest")}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}]


def _operator(gate: Gate) -> Any:
    controls = list(gate.controls)
    if gate.name in _NATIVE and len(controls) <= _CONTROLLED.get(gate.name, 0):
        more = {"controls": controls} if controls else {}
        return _NATIVE[gate.name](*gate.targets, *gate.params, **more)
    if gate.name in _PAULIS and not controls:
        return unitaries.R([_PAULIS[gate.name](q) for q in gate.targets], *gate.params)
    if gate.name == "swap" and not controls:
        return unitaries.Swap(list(gate.targets))
    return unitaries.U(list(gate.targets), gate.matrix, controls=controls)


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        self._register, self._initial = Register(job.num_qubits), job.initial
        self._circuit = Circuit([_operator(gate) for gate in job.gates])
        self._rng = np.random.default_rng(1)

    def prepare(self) -> None:
        if self._initial is not None:
            self._register[:] = self._initial

    def state(self) -> Register:
        if self._initial is None:
            self._register.apply_operator(ZeroState())
        self._register.apply_circuit(self._circuit)
        return self._register

    def amplitudes(self, state: Register) -> npt.NDArray[Any]:
        return np.asarray(state[:])

    def readout(self) -> float:
        return read_out(self.amplitudes(self.state()), self._rng)


build = _Running
