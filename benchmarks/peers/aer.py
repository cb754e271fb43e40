"""Qiskit Aer, method statevector, fusion on; the width of fused gates is its default (5) or 3 or 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import qiskit
import qiskit_aer
from qiskit import QuantumCircuit
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator

from .job import SHOTS, Job

__all__ = ["build", "settings", "versions"]

_NAMES = {"u3": "u"}
_NATIVE = {"h", "x", "y", "z", "s", "sdg", "t", "tdg", "sx", "rx", "ry", "rz", "p", "u", "swap", "rzz", "rxx", "ryy"}
_CONTROLLED = {("x", 1): "cx", ("y", 1): "cy", ("z", 1): "cz", ("p", 1): "cp", ("x", 2): "ccx", ("z", 2): "ccz"}


def versions() -> dict[str, str]:
    return {"qiskit-aer": qiskit_aer.__version__, "qiskit": qiskit.__version__}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}, {"fusion_max_qubit": 3}, {"fusion_max_qubit": 4}]


class _Running:
    def __init__(self, job: Job, setting: Mapping[str, Any]) -> None:
        options = {"fusion_enable": True, "max_parallel_threads": job.threads, **setting}
        self._simulator = AerSimulator(method="statevector", precision=job.precision, **options)
        circuit = QuantumCircuit(job.num_qubits)
        if job.initial is not None:
            circuit.set_statevector(job.initial)
        for gate in job.gates:
            name = _NAMES.get(gate.name, gate.name)
            controlled = _CONTROLLED.get((name, len(gate.controls)))
            if controlled:
                getattr(circuit, controlled)(*gate.params, *gate.controls, *gate.targets)
            elif not gate.controls and name in _NATIVE:
                getattr(circuit, name)(*gate.params, *gate.targets)
            elif not gate.controls:
                circuit.unitary(gate.matrix, gate.targets)
            elif name == "x":
                circuit.mcx(list(gate.controls), gate.targets[0])
            elif name in ("z", "p"):
                circuit.mcp(gate.params[0] if gate.params else 3.141592653589793, list(gate.controls), gate.targets[0])
            else:
                raise NotImplementedError(f"{gate.name} with {len(gate.controls)} controls")
        self._whole, self._measured = circuit.copy(), circuit
        self._whole.save_statevector()
        self._measured.save_expectation_value(SparsePauliOp("Z"), [0])
        self._measured.measure_all()

    def prepare(self) -> None:
        """Nothing: an initial state is an instruction of its circuits, and copied in."""

    def state(self) -> npt.NDArray[Any]:
        return self._simulator.run(self._whole).result().data()["statevector"].data

    def amplitudes(self, state: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return state

    def readout(self) -> float:
        result = self._simulator.run(self._measured, shots=SHOTS, seed_simulator=1).result()
        return float(result.data()["expectation_value"])


build = _Running
