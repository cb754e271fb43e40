"""QsimBackend as Qiskit sees it: jobs, results in its bit order, options, transpiling, save instructions, control flow."""

from __future__ import annotations

import copy
import doctest
import importlib
import pickle
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister, qasm3, transpile
from qiskit.circuit import Parameter
from qiskit.circuit.classical import expr, types
from qiskit.exceptions import QiskitError
from qiskit.primitives import BackendEstimatorV2, BackendSamplerV2
from qiskit.providers import JobError, JobStatus
from qiskit.quantum_info import Operator, Pauli, SparsePauliOp, Statevector
from qiskit.transpiler.preset_passmanagers import generate_preset_pass_manager

from qsim.adapters.qiskit import QsimBackend, SamplerV2, control_flow

from .qiskit_circuits import distance, dynamic_circuits, unitary_circuits

qiskit_aer = pytest.importorskip("qiskit_aer")


def asymmetric() -> QuantumCircuit:
    """Return a circuit whose outcomes are 1 on qubit 0 and 2 of 4 only, in registers of different sizes."""
    circuit = QuantumCircuit(QuantumRegister(4), ClassicalRegister(3, "low"), ClassicalRegister(1, "high"))
    circuit.x([0, 2])
    circuit.measure([0, 1, 2, 3], [0, 1, 2, 3])
    return circuit


def both(circuit: QuantumCircuit, shots: int = 2000, **options: Any) -> tuple[Any, Any]:
    mine = QsimBackend(seed_simulator=1).run(circuit, shots=shots, **options).result()
    theirs = qiskit_aer.AerSimulator(seed_simulator=2).run(transpiled(circuit), shots=shots, **options).result()
    return mine, theirs


def transpiled(circuit: QuantumCircuit) -> QuantumCircuit:
    return transpile(circuit, qiskit_aer.AerSimulator(), optimization_level=0)


def test_counts_and_memory_are_printed_as_qiskit_prints_them() -> None:
    mine, theirs = both(asymmetric(), shots=3, memory=True)
    assert mine.get_counts() == theirs.get_counts() == {"0 101": 3}
    assert mine.get_memory() == theirs.get_memory() == ["0 101"] * 3
    assert mine.data()["counts"] == {"0x5": 3}


def test_a_bell_pair_in_shot_order() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.cx(0, 1)
    circuit.measure([0, 1], [1, 0])
    result = QsimBackend(seed_simulator=7).run(circuit, shots=200, memory=True).result()
    memory = result.get_memory()
    assert {bits: memory.count(bits) for bits in set(memory)} == result.get_counts()
    again = QsimBackend().run(circuit, shots=200, memory=True, seed_simulator=7).result()
    assert again.get_memory() == memory
    assert QsimBackend().run(circuit, shots=200, memory=True).result().get_memory() != memory


@settings(deadline=None, max_examples=15)
@given(unitary_circuits())
def test_counts_agree_with_aer(circuit: QuantumCircuit) -> None:
    circuit.measure_all()
    mine, theirs = both(circuit, shots=4000)
    assert distance(mine.get_counts(), theirs.get_counts()) < 8


@settings(deadline=None, max_examples=40)
@given(dynamic_circuits())
def test_control_flow_agrees_with_aer_through_backend_sampler(circuit: QuantumCircuit) -> None:
    ours = BackendSamplerV2(backend=QsimBackend(), options={"seed_simulator": 3}).run([circuit], shots=3000)
    aer = BackendSamplerV2(backend=qiskit_aer.AerSimulator(), options={"seed_simulator": 4})
    theirs = aer.run([transpiled(circuit)], shots=3000)
    mine, other = (job.result()[0].join_data(["a", "b", "c", "n"]).get_counts() for job in (ours, theirs))
    assert distance(mine, other) < 8, qasm3.dumps(circuit)


def counted(circuit: QuantumCircuit) -> dict[str, int]:
    return QsimBackend(seed_simulator=1).run(circuit, shots=4).result().get_counts()


@pytest.mark.parametrize(
    ("make", "value"),
    [
        (lambda n: expr.add(n, 13), (11 + 13) % 16),
        (lambda n: expr.sub(n, 12), (11 - 12) % 16),
        (lambda n: expr.mul(n, 3), 33 % 16),
        (lambda n: expr.div(n, 2), 5),
        (lambda n: expr.shift_left(n, 2), 44 % 16),
        (lambda n: expr.shift_right(n, 1), 5),
        (lambda n: expr.bit_not(n), 4),
        (lambda n: expr.bit_and(n, 6), 2),
        (lambda n: expr.cast(expr.index(n, 1), types.Uint(4)), 1),
        (lambda n: expr.cast(expr.cast(n, types.Uint(2)), types.Uint(4)), 3),
        (lambda n: expr.cast(expr.less(n, 12), types.Uint(4)), 1),
    ],
)
def test_expressions_have_qiskits_widths(make: Any, value: int) -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(4, "out"))
    n = circuit.add_var("n", expr.lift(11, types.Uint(4)))
    circuit.store(circuit.cregs[0], make(n))
    sampler = SamplerV2().run([circuit], shots=2).result()[0].data.out
    assert sampler.get_int_counts() == {value: 2}


def test_variables_count_and_loops_are_left_from_inside() -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(4, "out"))
    n, total = circuit.add_var("n", expr.lift(0, types.Uint(4))), circuit.add_var("t", expr.lift(0, types.Uint(4)))
    with circuit.while_loop(expr.less(n, 9)):
        circuit.store(n, expr.add(n, 1))
        with circuit.if_test(expr.equal(n, 2)):
            circuit.continue_loop()
        with circuit.for_loop(range(3)):
            with circuit.if_test(expr.equal(n, 4)):
                circuit.break_loop()
            circuit.store(total, expr.add(total, 1))
        with circuit.if_test(expr.equal(n, 5)), circuit.if_test(expr.greater(total, 3)):
            circuit.break_loop()
        circuit.x(0)
    circuit.store(circuit.cregs[0], total)
    wanted, k = 0, 0
    while k < 9:
        k += 1
        if k == 2:
            continue
        for _ in range(3):
            if k == 4:
                break
            wanted += 1
        if k == 5 and wanted > 3:
            break
    assert SamplerV2().run([circuit], shots=1).result()[0].data.out.get_int_counts() == {wanted % 16: 1}


def test_a_store_in_a_branch_not_taken_does_nothing() -> None:
    circuit = QuantumCircuit(QuantumRegister(1), ClassicalRegister(2, "a"), ClassicalRegister(2, "n"))
    a, n = circuit.cregs
    circuit.x(0)
    with circuit.if_test((a[0], 0)) as otherwise:
        circuit.measure(0, 0)
    with otherwise, circuit.if_test((a, 0)):
        circuit.store(n, expr.bit_not(n))
    assert counted(circuit) == {"00 01": 4}


def test_a_list_of_circuits_keeps_its_order_and_names() -> None:
    circuits = []
    for k in range(3):
        circuit = QuantumCircuit(2, 2, name=f"number {k}", metadata={"k": k})
        if k & 1:
            circuit.x(0)
        circuit.measure(0, 1)
        circuits.append(circuit)
    result = QsimBackend().run(circuits, shots=5).result()
    assert result.get_counts() == [{"00": 5}, {"10": 5}, {"00": 5}]
    assert result.get_counts("number 1") == {"10": 5}
    assert [one.header["metadata"]["k"] for one in result.results] == [0, 1, 2]


def test_a_circuit_without_measurements_has_no_counts() -> None:
    with pytest.raises(QiskitError, match="No counts"):
        QsimBackend().run(QuantumCircuit(1)).result().get_counts()


# --- the job ------------------------------------------------------------------------------------------------------------


def test_a_job_goes_through_its_states() -> None:
    job = QsimBackend().run(asymmetric())
    assert job.result().success and job.result().job_id == job.job_id()
    assert job.status() == JobStatus.DONE and job.done() and job.in_final_state()
    assert job.cancel() is False
    with pytest.raises(JobError, match="already"):
        job.submit()


def test_a_running_job_can_be_cancelled() -> None:
    circuit = QuantumCircuit(22, 1)
    for _ in range(200):
        circuit.rx(0.1, range(22))
        circuit.cx(range(21), range(1, 22))
    circuit.measure(0, 0)
    backend = QsimBackend()
    jobs = [backend.run(circuit), backend.run(circuit)]
    assert all(job.cancel() for job in jobs)
    for job in jobs:
        with pytest.raises(QiskitError):
            job.result()
        assert job.status() == JobStatus.CANCELLED


def test_an_error_of_a_run_is_qiskits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_flow, "MAX_REPEATS", 50)
    circuit = QuantumCircuit(1, 1)
    with circuit.while_loop((circuit.clbits[0], 0)):
        circuit.measure(0, 0)
    job = QsimBackend().run(circuit, shots=1)
    with pytest.raises(QiskitError, match="rounds of a while loop"):
        job.result()
    assert job.status() == JobStatus.ERROR


# --- options ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("shots", 0),
        ("shots", 1.5),
        ("shots", True),
        ("memory", "yes"),
        ("seed_simulator", -1),
        ("seed_simulator", "x"),
        ("precision", "half"),
        ("threads", 0),
        ("backend", "nothing"),
        ("nonsense", 1),
    ],
)
def test_options_are_validated(option: str, value: Any) -> None:
    with pytest.raises(QiskitError):
        QsimBackend().run(asymmetric(), **{option: value})


def test_options_of_backend_and_run() -> None:
    backend = QsimBackend(shots=7)
    backend.set_options(memory=True)
    assert len(backend.run(asymmetric()).result().get_memory()) == 7
    assert len(backend.run(asymmetric(), shots=3).result().get_memory()) == 3
    assert backend.options.shots == 7


def test_what_is_no_bound_circuit_is_refused() -> None:
    circuit = QuantumCircuit(1, 1)
    circuit.rx(Parameter("angle"), 0)
    with pytest.raises(QiskitError, match="angle"):
        QsimBackend().run(circuit)
    with pytest.raises(QiskitError, match="QuantumCircuit"):
        QsimBackend().run(["circuit"])


# --- the backend --------------------------------------------------------------------------------------------------------


def test_backends_are_copied_and_pickled() -> None:
    backend = QsimBackend(shots=9, seed_simulator=5)
    counts = backend.run(asymmetric()).result().get_counts()
    for other in (copy.deepcopy(backend), copy.copy(backend), pickle.loads(pickle.dumps(backend))):
        assert other.target.operation_names == backend.target.operation_names
        assert other.run(asymmetric()).result().get_counts() == counts
    result = backend.run(asymmetric()).result()
    assert pickle.loads(pickle.dumps(result)).get_counts() == counts


@pytest.mark.parametrize("level", range(4))
@settings(deadline=None, max_examples=4)
@given(circuit=unitary_circuits(size=8))
def test_transpiling_changes_nothing_but_gates(level: int, circuit: QuantumCircuit) -> None:
    backend = QsimBackend()
    shorter = transpile(circuit, backend, optimization_level=level, seed_transpiler=1)
    assert shorter.num_qubits == circuit.num_qubits
    assert np.allclose(Operator.from_circuit(shorter).data, Operator(circuit).data, atol=1e-7)
    assert generate_preset_pass_manager(level, backend).run(circuit).num_qubits == circuit.num_qubits


def test_the_target_has_all_that_a_circuit_can_hold() -> None:
    backend = QsimBackend()
    names = set(backend.operation_names)
    assert {"if_else", "for_loop", "while_loop", "switch_case", "break_loop", "continue_loop", "store"} <= names
    assert {"cx", "ccx", "u", "unitary", "initialize", "reset", "delay", "measure", "barrier", "global_phase"} <= names
    assert backend.coupling_map is None and backend.max_circuits is None
    assert backend.num_qubits >= 30
    assert backend.run(transpile(asymmetric(), backend)).result().get_counts() == {"0 101": 1024}


def test_backend_estimator_of_qiskit_runs_on_it() -> None:
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.cx(0, 1)
    estimator = BackendEstimatorV2(backend=QsimBackend(), options={"seed_simulator": 1})
    found = estimator.run([(circuit, ["ZZ", "IZ", "XX"])], precision=0.02).result()[0].data.evs
    assert np.allclose(found, [1, np.cos(0.7), np.sin(0.7)], atol=0.1)


# --- save instructions --------------------------------------------------------------------------------------------------


def saving(name: str, **options: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(3, global_phase=0.3)
    for qubit in range(3):
        circuit.ry(0.4 + 0.5 * qubit, qubit)
    circuit.cx(0, 1)
    circuit.t(1)
    getattr(circuit, name)(**options)
    return circuit


H = SparsePauliOp(["XY", "ZI", "II"], [0.5, -1.0, 0.25])
SAVES: dict[str, dict[str, Any]] = {
    "save_statevector": {},
    "save_statevector_dict": {},
    "save_amplitudes": {"params": [1, 6]},
    "save_amplitudes_squared": {"params": [1, 6]},
    "save_probabilities": {"qubits": [2, 0]},
    "save_probabilities_dict": {"qubits": [0, 2]},
    "save_expectation_value": {"operator": H, "qubits": [2, 0]},
    "save_expectation_value_variance": {"operator": H, "qubits": [0, 1]},
    "save_density_matrix": {"qubits": [2, 1]},
}


@pytest.mark.parametrize("where", ["at the end", "in the middle", "before measurements"])
@pytest.mark.parametrize("name", sorted(SAVES))
def test_save_instructions_give_what_aer_gives(name: str, where: str) -> None:
    circuit = saving(name, **SAVES[name])
    if where == "in the middle":
        circuit.rx(0.7, range(3))
        circuit.save_statevector(label="later")
    if where == "before measurements":
        circuit.measure_all()
    method = "density_matrix" if name == "save_density_matrix" and where != "in the middle" else "statevector"
    mine = QsimBackend().run(circuit).result().data()
    theirs = qiskit_aer.AerSimulator(method=method).run(circuit).result().data()
    assert mine.keys() == theirs.keys()
    for key in mine.keys() - {"counts"}:
        assert close(mine[key], theirs[key]), key


def close(mine: Any, theirs: Any) -> bool:
    if isinstance(theirs, dict):
        return {k: v for k, v in theirs.items() if abs(v) > 1e-12}.keys() == mine.keys() and all(
            np.isclose(mine[key], theirs[key]) for key in mine
        )
    return np.allclose(np.asarray(mine), np.asarray(theirs), atol=1e-10)


def test_the_saved_state_is_not_a_copy() -> None:
    state = QsimBackend().run(saving("save_statevector")).result().get_statevector()
    assert isinstance(state, Statevector)
    assert not state.data.flags.owndata and not state.data.flags.writeable


@pytest.mark.parametrize(
    ("options", "text"),
    [({"pershot": True}, "pershot"), ({"conditional": True}, "conditional")],
)
def test_saves_per_shot_are_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(QiskitError, match=text):
        QsimBackend().run(saving("save_statevector", **options)).result()


def test_saves_after_measurements_are_refused() -> None:
    circuit = asymmetric()
    circuit.save_statevector()
    with pytest.raises(QiskitError, match="before any measurement"):
        QsimBackend().run(circuit)


def test_save_expectation_of_a_pauli_acts_on_its_qubits() -> None:
    circuit = QuantumCircuit(3)
    circuit.x(2)
    circuit.save_expectation_value(Pauli("IZ"), [2, 0])
    assert QsimBackend().run(circuit).result().data()["expectation_value"] == -1.0


@pytest.mark.parametrize("module", ["", ".translate", ".sampler", ".estimator"])
def test_examples_in_docstrings(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module("qsim.adapters.qiskit" + module))
    assert outcome.attempted and not outcome.failed


# --- imports ------------------------------------------------------------------------------------------------------------


def test_aer_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['qiskit_aer'] = None\n"
        "from qsim.adapters.qiskit import QsimBackend\n"
        "from qiskit import QuantumCircuit\n"
        "c = QuantumCircuit(1, 1); c.x(0); c.measure(0, 0)\n"
        "b = QsimBackend(); print(b.run(c, shots=2).result().get_counts(), 'save_statevector' in b.operation_names)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "{'1': 2} False", done.stderr
