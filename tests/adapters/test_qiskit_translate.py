"""Circuits of Qiskit through the adapter are Qiskit's operators, global phase included."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit, QuantumRegister
from qiskit.circuit import (
    AnnotatedOperation,
    ControlledGate,
    ControlModifier,
    Gate,
    Instruction,
    InverseModifier,
    Parameter,
    PowerModifier,
)
from qiskit.circuit import library as lib
from qiskit.circuit.classical import expr, types
from qiskit.exceptions import QiskitError
from qiskit.quantum_info import Clifford, Operator, SparsePauliOp, Statevector, random_clifford, random_unitary

from qsim import Simulator
from qsim.adapters.qiskit import translate

from .qiskit_circuits import STANDARD, standard_gate, unitary_circuits

PARAMS = [0.37, -1.21, 2.05, 0.83]


def matrix_of(circuit: QuantumCircuit) -> Any:
    return translate(circuit).circuit.to_matrix()


def on_its_own(gate: Any, spare: int = 1) -> QuantumCircuit:
    """Return a circuit of one operation whose wires are not in order, beside idle ones."""
    circuit = QuantumCircuit(gate.num_qubits + spare)
    circuit.append(gate, [*range(spare, circuit.num_qubits)][::-1])
    return circuit


@pytest.mark.parametrize("name", sorted(STANDARD))
def test_every_gate_of_the_standard_library(name: str) -> None:
    circuit = on_its_own(standard_gate(name, PARAMS))
    assert np.allclose(matrix_of(circuit), Operator(circuit).data, atol=1e-12)


@pytest.mark.parametrize("name", sorted(name for name, g in STANDARD.items() if 0 < g.num_qubits < 4))
def test_every_gate_under_controls_of_either_value(name: str) -> None:
    for annotated in (False, True):
        circuit = on_its_own(standard_gate(name, PARAMS).control(2, ctrl_state=1, annotated=annotated), spare=0)
        assert np.allclose(matrix_of(circuit), Operator(circuit).data, atol=1e-9)


@pytest.mark.parametrize("name", sorted(name for name, g in STANDARD.items() if isinstance(g, ControlledGate)))
def test_controlled_gates_with_open_controls(name: str) -> None:
    gate = standard_gate(name, PARAMS).to_mutable()
    gate.ctrl_state = 0
    circuit = on_its_own(gate)
    assert np.allclose(matrix_of(circuit), Operator(circuit).data, atol=1e-12)


class ByMatrix(Gate):
    """A gate that only knows its matrix."""

    def __init__(self) -> None:
        super().__init__("h", 2, [])  # the name of another gate, on purpose

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(random_unitary(4, seed=3).data, dtype=dtype)


def composite(**options: Any) -> QuantumCircuit:
    inner = QuantumCircuit(3, global_phase=0.4, **options)
    inner.h(2)
    inner.cp(0.3, 0, 1)
    inner.append(lib.RYGate(0.2).control(2, annotated=False), [2, 1, 0])
    return inner


OTHERS = {
    "by matrix": ByMatrix,
    "by definition": lambda: composite(name="cx").to_gate(),
    "controlled definition": lambda: composite().to_gate().control(1, ctrl_state=0, annotated=False),
    "instruction": lambda: composite().to_instruction(),
    "unitary": lambda: lib.UnitaryGate(random_unitary(8, seed=1)),
    "diagonal": lambda: lib.DiagonalGate(np.exp(1j * np.arange(8)).tolist()),
    "permutation": lambda: lib.PermutationGate([2, 0, 3, 1]),
    "mcx": lambda: lib.MCXGate(4, ctrl_state=5),
    "mcphase": lambda: lib.MCPhaseGate(0.7, 3),
    "c3x": lib.C3XGate,
    "c4x": lib.C4XGate,
    "pauli": lambda: lib.PauliGate("XYZ"),
    "evolution": lambda: lib.PauliEvolutionGate(SparsePauliOp(["XYI"], [0.8]), 0.3),
    "qft": lambda: lib.QFTGate(3),
    "state preparation": lambda: lib.StatePreparation([0.6, 0, 0, 0.8j]),
    "ucry": lambda: lib.UCRYGate([0.1, 0.2, 0.3, 0.4]),
    "isometry": lambda: lib.Isometry(np.eye(4)[:, :2], 0, 0),
    "linear function": lambda: lib.LinearFunction([[1, 1, 0], [0, 1, 0], [1, 0, 1]]),
    "ms": lambda: lib.MSGate(3, 0.4),
    "rv": lambda: lib.RVGate(0.1, 0.2, 0.3),
    "inverse": lambda: AnnotatedOperation(composite().to_gate(), InverseModifier()),
    "annotated": lambda: AnnotatedOperation(
        lib.RXGate(0.3), [PowerModifier(2), ControlModifier(2, 1), InverseModifier(), ControlModifier(1, 0)]
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::scipy.sparse.SparseEfficiencyWarning")  # inside Qiskit's exact evolution
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_gates_beyond_the_standard_library(name: str) -> None:
    circuit = on_its_own(OTHERS[name]())
    assert np.allclose(matrix_of(circuit), Operator(circuit).data, atol=1e-9)


def test_a_clifford() -> None:
    clifford: Clifford = random_clifford(3, seed=2)
    circuit = QuantumCircuit(3)
    circuit.append(clifford, [2, 0, 1])
    mine, theirs = matrix_of(circuit), Operator(circuit).data
    assert np.isclose(abs(np.vdot(mine, theirs)), 8)


@settings(deadline=None, max_examples=40)
@given(unitary_circuits())
def test_random_circuits_with_global_phase(circuit: QuantumCircuit) -> None:
    state = Simulator().run(translate(circuit).circuit).state_vector
    assert np.allclose(state, Statevector(circuit).data, atol=1e-10)


A, B = Parameter("a"), Parameter("b")


@settings(deadline=None, max_examples=25)
@given(unitary_circuits(parameters=(A, B)), st.lists(st.tuples(*[st.floats(0.1, 2)] * 2), min_size=1, max_size=3))
def test_parameters_are_bound_in_one_batch(circuit: QuantumCircuit, rows: list[tuple[float, float]]) -> None:
    translated = translate(circuit)
    given_values = [[dict(zip((A, B), row, strict=True))[p] for p in translated.parameters] for row in rows]
    results = Simulator().compile(translated.circuit).run_batch(translated.values(given_values))
    for values, result in zip(given_values, results, strict=True):
        assert np.allclose(result.state_vector, Statevector(circuit.assign_parameters(values)).data, atol=1e-9)


def test_affine_expressions_stay_symbolic_and_others_are_evaluated() -> None:
    circuit = QuantumCircuit(1, global_phase=A)
    circuit.rx(2 * A - B / 4 + 1, 0)
    circuit.rz(A * B, 0)
    translated = translate(circuit)
    assert [str(e) for e in translated.derived] == [str(A * B)]
    assert translated.parameters == tuple(circuit.parameters)


INITIAL = {
    "vector": [0.6, 0, 0.8j, 0],
    "label": "r1",
    "number": 2,
}


@pytest.mark.parametrize("what", sorted(INITIAL))
def test_initialize_resets_first(what: str) -> None:
    register = QuantumRegister(3)
    circuit = QuantumCircuit(register)
    circuit.ry(0.4, 0)
    circuit.initialize(INITIAL[what], [2, 1])
    circuit.cx(1, 0)
    state = Simulator().run(translate(circuit).circuit).state_vector
    assert np.allclose(state, Statevector(circuit).data, atol=1e-12)


def test_delays_barriers_and_boxes_do_nothing_of_their_own() -> None:
    circuit = QuantumCircuit(2)
    circuit.h(0)
    circuit.delay(100, 0, unit="ns")
    circuit.barrier()
    with circuit.box():
        circuit.cx(0, 1)
    state = Simulator().run(translate(circuit).circuit).state_vector
    assert np.allclose(state, [math.sqrt(0.5), 0, 0, math.sqrt(0.5)])


def test_what_cannot_run_is_qiskits_error() -> None:
    circuit = QuantumCircuit(1)
    circuit.append(Instruction("opaque", 1, 0, []), [0])
    with pytest.raises(QiskitError, match="opaque"):
        translate(circuit)
    circuit = QuantumCircuit(1)
    circuit.rx(float("inf"), 0)
    with pytest.raises(QiskitError, match="finite"):
        translate(circuit)


def test_input_variables_and_floats_are_refused() -> None:
    circuit = QuantumCircuit(1)
    circuit.add_input("n", types.Uint(4))
    with pytest.raises(QiskitError, match="input"):
        translate(circuit)
    circuit = QuantumCircuit(1)
    circuit.add_uninitialized_var(expr.Var.new("x", types.Float()))
    with pytest.raises(QiskitError, match="Bool or Uint"):
        translate(circuit)
