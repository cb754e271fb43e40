"""Qulacs: double precision; gate by gate, and through its circuit optimizer, light and with blocks of 2 to 4 qubits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import qulacs
from qulacs.circuit import QuantumCircuitOptimizer

from .job import SHOTS, Job

__all__ = ["build", "settings", "versions"]

_NATIVE: dict[str, Callable[..., Any]] = {
    "h": qulacs.gate.H,
    "x": qulacs.gate.X,
    "y": qulacs.gate.Y,
    "z": qulacs.gate.Z,
    "s": qulacs.gate.S,
    "sdg": qulacs.gate.Sdag,
    "t": qulacs.gate.T,
    "tdg": qulacs.gate.Tdag,
    "rx": lambda q, a: qulacs.gate.RX(q, -a),
    "ry": lambda q, a: qulacs.gate.RY(q, -a),
    "rz": lambda q, a: qulacs.gate.RZ(q, -a),
    "p": qulacs.gate.U1,
    "u3": qulacs.gate.U3,
    "swap": qulacs.gate.SWAP,
    "rzz": lambda a, b, angle: qulacs.gate.PauliRotation([a, b], [3, 3], -angle),
    "rxx": lambda a, b, angle: qulacs.gate.PauliRotation([a, b], [1, 1], -angle),
    "ryy": lambda a, b, angle: qulacs.gate.PauliRotation([a, b], [2, 2], -angle),
}
_CONTROLLED: dict[str, Callable[..., Any]] = {"x": qulacs.gate.CNOT, "z": qulacs.gate.CZ}


def versions() -> dict[str, str]:
    return {"qulacs": qulacs.__version__}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{"optimizer": 2}, {}, {"optimizer": "light"}, {"optimizer": 3}, {"optimizer": 4}]  # the likely ones first


def _gate(name: str, targets: tuple[int, ...], controls: tuple[int, ...], params: Any, matrix: Any) -> Any:
    if len(controls) == 1 and name in _CONTROLLED:
        return _CONTROLLED[name](*controls, *targets)
    if not controls and name in _NATIVE:
        return _NATIVE[name](*targets, *params)
    diagonal = not (matrix - np.diag(np.diag(matrix))).any()
    if diagonal and len(controls) <= 2:  # tables of few entries: the library has no controlled diagonal
        table = np.ones(len(matrix) << len(controls), complex)
        table[-len(matrix) :] = np.diag(matrix)
        return qulacs.gate.DiagonalMatrix([*targets, *controls], table)
    made = qulacs.gate.DenseMatrix(list(targets), matrix)
    for control in controls:
        made.add_control_qubit(control, 1)
    return made


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        circuit = qulacs.QuantumCircuit(job.num_qubits)
        for gate in job.gates:
            circuit.add_gate(_gate(*gate))
        match setting.get("optimizer"):
            case "light":
                if max(len(gate.targets) + len(gate.controls) for gate in job.gates) > 6:
                    raise NotImplementedError("its light optimizer writes gates of many qubits out as matrices")
                QuantumCircuitOptimizer().optimize_light(circuit)
            case int(block):
                QuantumCircuitOptimizer().optimize(circuit, block)
        self._circuit, self._state, self._initial = circuit, qulacs.QuantumState(job.num_qubits), job.initial

    def prepare(self) -> None:
        if self._initial is not None:
            self._state.load(self._initial)

    def state(self) -> qulacs.QuantumState:
        if self._initial is None:
            self._state.set_zero_state()
        self._circuit.update_quantum_state(self._state)
        return self._state

    def amplitudes(self, state: qulacs.QuantumState) -> npt.NDArray[Any]:
        return state.get_vector()

    def readout(self) -> float:
        self.state()
        self._state.sampling(SHOTS, 1)
        return 2 * float(self._state.get_zero_probability(0)) - 1


build = _Running
