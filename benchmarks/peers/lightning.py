"""PennyLane Lightning: lightning.qubit with its defaults; shots give ⟨Z⟩ too, as its tapes do not mix both."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml

from .job import SHOTS, Job

__all__ = ["DEVICE", "Tape", "build", "settings", "versions"]

DEVICE = "lightning.qubit"

_NATIVE: dict[str, Callable[..., Any]] = {
    "h": qml.Hadamard,
    "x": qml.PauliX,
    "y": qml.PauliY,
    "z": qml.PauliZ,
    "s": qml.S,
    "t": qml.T,
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "p": qml.PhaseShift,
    "u3": lambda theta, phi, lam, wires: qml.Rot(lam, theta, phi, wires),  # but for a global phase
    "swap": qml.SWAP,
    "rzz": qml.IsingZZ,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
}


def versions() -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in ("pennylane-lightning", "pennylane")}


def settings(precision: str) -> list[dict[str, Any]]:
    return [{}]


class Tape:
    """A tape on a device of Lightning's."""

    def __init__(self, job: Job, setting: Mapping[str, Any], device: str = DEVICE) -> None:
        last = job.num_qubits - 1  # the first wire is the most significant: the order is mirrored
        self._device = qml.device(device, wires=job.num_qubits, c_dtype=job.dtype, **setting)
        operations = [] if job.initial is None else [qml.StatePrep(job.initial, range(job.num_qubits))]
        with qml.QueuingManager.stop_recording():
            for gate in job.gates:
                wires = [last - q for q in gate.targets]
                if (gate.name == "u3" and gate.controls) or gate.name not in _NATIVE:
                    made = qml.QubitUnitary(gate.matrix, wires[::-1])
                else:
                    made = _NATIVE[gate.name](*gate.params, wires=wires)
                operations.append(qml.ctrl(made, [last - q for q in gate.controls]) if gate.controls else made)
        z = qml.PauliZ(last)
        self._whole = self._prepared(qml.tape.QuantumScript(operations, [qml.state()]))
        sampled = qml.tape.QuantumScript(operations, [qml.expval(z), qml.sample()], shots=SHOTS)
        self._sampled = self._prepared(sampled)

    def _prepared(self, tape: Any) -> tuple[Any, Any, Any]:
        config = self._device.setup_execution_config()
        program = self._device.preprocess_transforms(config)
        tapes, process = program([tape])
        return tapes, config, process

    def prepare(self) -> None:
        """Nothing: an initial state is an operation of its tapes, and copied in."""

    def state(self) -> npt.NDArray[Any]:
        return np.asarray(self._execute(self._whole)).ravel()

    def amplitudes(self, state: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return state

    def readout(self) -> float:
        return float(self._execute(self._sampled)[0])

    def _execute(self, prepared: tuple[Any, Any, Any]) -> Any:
        tapes, config, process = prepared
        return process(self._device.execute(tapes, config))[0]


build = Tape
