"""Qibo with qibojit (compiled by Numba): gate by gate, and with its fusion of two qubits."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import qibo
from qibo import Circuit, gates

from .job import Job, read_out

__all__ = ["build", "settings", "versions"]

_NATIVE: dict[str, Callable[..., Any]] = {
    "h": gates.H,
    "x": gates.X,
    "y": gates.Y,
    "z": gates.Z,
    "s": gates.S,
    "sdg": gates.SDG,
    "t": gates.T,
    "tdg": gates.TDG,
    "rx": gates.RX,
    "ry": gates.RY,
    "rz": gates.RZ,
    "p": gates.U1,
    "u3": gates.U3,
    "swap": gates.SWAP,
    "rzz": gates.RZZ,
    "rxx": gates.RXX,
    "ryy": gates.RYY,
}
_CONTROLLED: dict[tuple[str, int], Callable[..., Any]] = {
    ("x", 1): gates.CNOT,
    ("z", 1): gates.CZ,
    ("p", 1): gates.CU1,
    ("x", 2): gates.TOFFOLI,
}


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("qibojit", "qibo")}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}, {"fuse": 2}]


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        qibo.set_backend("qibojit", platform="numba")
        qibo.set_dtype(np.dtype(job.dtype).name)
        qibo.set_threads(job.threads)
        last = job.num_qubits - 1  # qubit 0 is the most significant: the order is mirrored
        circuit = Circuit(job.num_qubits)
        for gate in job.gates:
            targets, controls = [last - q for q in gate.targets], [last - q for q in gate.controls]
            if (gate.name, len(controls)) in _CONTROLLED:
                made = _CONTROLLED[gate.name, len(controls)](*controls, *targets, *gate.params)
            else:
                native = gate.name in _NATIVE
                made = (
                    _NATIVE[gate.name](*targets, *gate.params) if native else gates.Unitary(gate.matrix, *targets[::-1])
                )
                made = made.controlled_by(*controls) if controls else made
            circuit.add(made)
        self._circuit = circuit.fuse(max_qubits=setting["fuse"]) if "fuse" in setting else circuit
        self._initial = job.initial
        self._start: npt.NDArray[Any] | None = None
        self._rng = np.random.default_rng(1)

    def prepare(self) -> None:
        # It runs in place: without a copy the next run would start from the result.
        self._start = None if self._initial is None else self._initial.copy()

    def state(self) -> npt.NDArray[Any]:
        return np.asarray(self._circuit(self._start).state()).ravel()

    def amplitudes(self, state: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return state

    def readout(self) -> float:
        return read_out(self.state(), self._rng)


build = _Running
