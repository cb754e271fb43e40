"""Every adapter through the public kit: all gates of the table and random circuits, in the framework's bit order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from qsim.testing import Gate, assert_adapter_conforms


def test_qibo() -> None:
    qibo = pytest.importorskip("qibo")
    from qsim.adapters.qibo import QsimBackend

    backend = QsimBackend()

    def run(num_qubits: int, gates: Sequence[Gate]) -> Any:
        circuit = qibo.Circuit(num_qubits)
        for gate in gates:
            if gate.qubits:
                circuit.add(qibo.gates.Unitary(gate.matrix, *gate.qubits[::-1]))
        phase = [complex(gate.matrix[0, 0]) for gate in gates if not gate.qubits]  # Qibo has no gate on no qubit
        state = backend.execute_circuit(circuit).state()
        for factor in phase:
            state = factor * state
        return state

    assert_adapter_conforms(run, big_endian=True)


def test_pennylane() -> None:
    qml = pytest.importorskip("pennylane")
    from qsim.adapters.pennylane import QubitDevice

    device = QubitDevice(wires=5)

    @qml.qnode(device, diff_method=None)
    def run(num_qubits: int, gates: Sequence[Gate]) -> Any:
        for gate in gates:
            if gate.qubits:
                qml.QubitUnitary(gate.matrix, wires=gate.qubits[::-1])
            else:
                qml.GlobalPhase(-gate.params[0])
        return qml.state()

    assert_adapter_conforms(run, big_endian=True)


def test_qiskit() -> None:
    qiskit = pytest.importorskip("qiskit")
    pytest.importorskip("qiskit_aer")
    from qsim.adapters.qiskit import QsimBackend

    backend = QsimBackend()

    def run(num_qubits: int, gates: Sequence[Gate]) -> Any:
        circuit = qiskit.QuantumCircuit(num_qubits)
        for gate in gates:
            if gate.qubits:
                circuit.unitary(gate.matrix, gate.qubits)
            else:
                circuit.global_phase += gate.params[0]
        circuit.save_statevector()
        return backend.run(circuit).result().get_statevector()

    assert_adapter_conforms(run)


def test_cirq() -> None:
    cirq = pytest.importorskip("cirq")
    from qsim.adapters.cirq import QsimSimulator

    simulator = QsimSimulator(dtype=np.complex128)

    def run(num_qubits: int, gates: Sequence[Gate]) -> Any:
        qubits = cirq.LineQubit.range(num_qubits)
        circuit = cirq.Circuit(
            cirq.MatrixGate(gate.matrix, qid_shape=(2,) * len(gate.qubits))(*(qubits[q] for q in gate.qubits[::-1]))
            if gate.qubits
            else cirq.global_phase_operation(complex(gate.matrix[0, 0]))
            for gate in gates
        )
        return simulator.simulate(circuit, qubit_order=qubits).final_state_vector

    assert_adapter_conforms(run, big_endian=True)
