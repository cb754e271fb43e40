"""SamplerV2 and EstimatorV2 beside Qiskit's reference primitives."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Parameter, ParameterVector
from qiskit.exceptions import QiskitError
from qiskit.primitives import BaseEstimatorV2, BaseSamplerV2, BitArray, StatevectorEstimator, StatevectorSampler
from qiskit.quantum_info import SparsePauliOp

from qsim.adapters.qiskit import EstimatorV2, SamplerV2
from qsim.simulator import Simulator
from qsim_core.compiler import clear_plan_cache, plan_cache_info

from .qiskit_circuits import distance, unitary_circuits

A, B = Parameter("a"), Parameter("b")


def values_for(circuit: QuantumCircuit, shape: tuple[int, ...], seed: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).uniform(0.1, 2, (*shape, circuit.num_parameters))


def rotations() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for qubit, parameter in enumerate(ParameterVector("t", 3)):
        circuit.ry(parameter, qubit)
    circuit.cx(0, 1)
    circuit.s(2)
    return circuit


# --- sampler ------------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(unitary_circuits(parameters=(A, B)), st.sampled_from([(), (2,), (2, 1)]), st.integers(0, 99))
def test_sampler_agrees_with_the_reference(circuit: QuantumCircuit, shape: tuple[int, ...], seed: int) -> None:
    low, high = ClassicalRegister(3, "low"), ClassicalRegister(2, "high")
    circuit.add_register(low, high)
    circuit.measure([3, 1, 0], [low[2], low[0], high[1]])
    pub = (circuit, values_for(circuit, shape, seed))
    mine = SamplerV2(seed=seed).run([pub], shots=2000).result()[0]
    theirs = StatevectorSampler(seed=seed + 1).run([pub], shots=2000).result()[0]
    for name, size in (("low", 3), ("high", 2)):
        ours, reference = getattr(mine.data, name), getattr(theirs.data, name)
        assert isinstance(ours, BitArray)
        assert ours.shape == reference.shape == shape and ours.num_bits == size and ours.num_shots == 2000
        assert ours.array.dtype == reference.array.dtype and ours.array.shape == reference.array.shape
    joined = [r.join_data(["low", "high"]) for r in (mine, theirs)]
    for index in np.ndindex(shape):
        assert distance(*(one.get_counts(index or None) for one in joined)) < 8


def test_sampler_bit_order() -> None:
    circuit = QuantumCircuit(QuantumRegister(11), ClassicalRegister(9, "a"), ClassicalRegister(2, "b"))
    circuit.x([0, 8, 9])
    circuit.measure(range(11), range(11))
    data = SamplerV2().run([circuit], shots=4).result()[0].data
    assert data.a.get_counts() == {"100000001": 4} and data.b.get_counts() == {"01": 4}
    assert data.a.array.tolist() == [[1, 1]] * 4


def test_sampler_registers_share_bits_out_of_order() -> None:
    first = ClassicalRegister(3, "first")
    second = ClassicalRegister(name="second", bits=[first[2], first[0]])
    circuit = QuantumCircuit(QuantumRegister(3), first, second)
    circuit.x(0)
    circuit.measure(range(3), first)
    data = SamplerV2().run([circuit], shots=2).result()[0].data
    assert data.first.get_bitstrings() == ["001"] * 2 and data.second.get_bitstrings() == ["10"] * 2


def test_sampler_of_more_than_64_bits() -> None:
    circuit = QuantumCircuit(2, 130)
    circuit.x(1)
    for clbit in range(130):
        circuit.measure(clbit % 2, clbit)
    (bits,) = SamplerV2().run([circuit], shots=1).result()[0].data.c.get_bitstrings()
    assert bits == "10" * 65


def test_sampler_control_flow_and_variables_of_shots() -> None:
    circuit = QuantumCircuit(2, 2)
    circuit.h(0)
    circuit.measure(0, 0)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(1)
    circuit.measure(1, 1)
    counts = SamplerV2(seed=1).run([(circuit, [], 500)]).result()[0].data.c.get_counts()
    assert counts.keys() == {"00", "11"} and sum(counts.values()) == 500


def test_sampler_seeds() -> None:
    circuit = QuantumCircuit(8)
    circuit.h(range(8))
    circuit.measure_all()
    sampler = SamplerV2(seed=5)
    one, two = (sampler.run([circuit], shots=20).result()[0].data.meas for _ in range(2))
    assert one == two
    drawn = SamplerV2(seed=np.random.default_rng(5))
    one, two = (drawn.run([circuit], shots=20).result()[0].data.meas for _ in range(2))
    assert one != two
    assert SamplerV2().run([circuit], shots=20).result()[0].data.meas != one
    pair = sampler.run([circuit, circuit], shots=20).result()
    assert pair[0].data.meas != pair[1].data.meas


def test_sampler_defaults_and_empty_results() -> None:
    circuit = QuantumCircuit(1, 2, metadata={"name": "x"})
    result = SamplerV2(default_shots=12).run([circuit]).result()
    assert result[0].data.c.get_counts() == {"00": 12}
    assert result[0].metadata == {"shots": 12, "circuit_metadata": {"name": "x"}}
    with pytest.warns(UserWarning, match="classical register"):
        SamplerV2().run([QuantumCircuit(1)]).result()
    rotated = rotations()
    rotated.measure_all()
    empty = SamplerV2().run([(rotated, np.zeros((0, 3)))], shots=3).result()[0].data.meas
    assert empty.shape == (0,) and empty.num_shots == 3


# --- estimator ----------------------------------------------------------------------------------------------------------

LABELS = ["ZIII", "IXYZ", "YYXI", "IIII", "0I+1", "rZIX"]


@settings(deadline=None, max_examples=20)
@given(
    unitary_circuits(parameters=(A, B)),
    st.sampled_from([((), ()), ((2,), (2,)), ((2, 1), (3,)), ((3,), ()), ((), (2,)), ((2, 3), (3,))]),
    st.integers(0, 99),
)
def test_exact_estimates_are_those_of_the_reference(
    circuit: QuantumCircuit, shapes: tuple[tuple[int, ...], tuple[int, ...]], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pauli = [SparsePauliOp(["ZIXY", "IIZX", "YIII"], rng.normal(size=3)) for _ in range(4)]
    pool = [*pauli, *LABELS[:4]]
    observables = np.empty(shapes[1], dtype=object)
    for index in np.ndindex(shapes[1]):
        observables[index] = pool[rng.integers(len(pool))]
    pub = (circuit, observables.tolist() if shapes[1] else observables[()], values_for(circuit, shapes[0], seed))
    mine = EstimatorV2().run([pub]).result()[0]
    theirs = StatevectorEstimator().run([pub]).result()[0]
    assert mine.data.evs.shape == theirs.data.evs.shape
    assert np.allclose(mine.data.evs, theirs.data.evs, atol=1e-9)
    assert not np.any(mine.data.stds)


def test_projectors_are_observables() -> None:
    circuit = QuantumCircuit(4)
    circuit.x(0)
    circuit.h(1)
    found = EstimatorV2().run([(circuit, ["0I+1", "0I-1", "1III", {"IIIr": 2.0, "III1": 1.0}])]).result()[0].data.evs
    assert np.allclose(found, [1, 0, 0, 2.0])


@settings(deadline=None, max_examples=8)
@given(unitary_circuits(parameters=(A, B)), st.integers(0, 99))
def test_estimates_with_shots_have_the_precision_asked_for(circuit: QuantumCircuit, seed: int) -> None:
    pub = (circuit, [["ZIXY"], [{"IIZX": 0.5, "IIIZ": -1.0, "YYYY": 0.3}], ["IIII"]], values_for(circuit, (2,), seed))
    exact = EstimatorV2().run([pub]).result()[0].data.evs
    found = EstimatorV2(seed=seed).run([pub], precision=0.02).result()[0]
    assert np.all(np.abs(found.data.evs - exact) < 6 * 0.02 * 1.8)
    assert np.all(found.data.stds[0] <= 0.0201) and not np.any(found.data.stds[2])
    assert np.all(np.abs(found.data.evs - exact) <= 6.5 * found.data.stds + 1e-3)
    assert found.metadata["shots"] == 2500 and found.metadata["target_precision"] == 0.02


def test_standard_errors_are_those_of_repeated_runs() -> None:
    circuit = rotations()
    pub = (circuit, [{"IIZ": 1.0, "IZZ": 0.7, "XII": -0.4}], [0.6, 1.1, 0.5], 0.05)
    data = [EstimatorV2(seed=seed).run([pub]).result()[0].data for seed in range(200)]
    spread = np.std([d.evs[0] for d in data])
    assert 0.8 < spread / np.mean([d.stds[0] for d in data]) < 1.25


def test_one_plan_serves_all_sets_of_values() -> None:
    clear_plan_cache()
    values = values_for(rotations(), (50,), 1)
    EstimatorV2().run([(rotations(), [["ZZI"], ["IXX"]], values)]).result()
    assert plan_cache_info()["misses"] == 1


def test_all_sets_of_values_are_one_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    from qsim.compiled import CompiledCircuit

    sizes = []
    original = CompiledCircuit.run_batch

    def counting(self: Any, params: Any, **options: Any) -> Any:
        sizes.append(len(params))
        return original(self, params, **options)

    monkeypatch.setattr(CompiledCircuit, "run_batch", counting)
    EstimatorV2().run([(rotations(), [["ZZI"], ["IXX"]], values_for(rotations(), (40,), 1))]).result()
    assert sizes == [40]


def test_measurements_and_observables() -> None:
    circuit = rotations().assign_parameters([0.5, 0.6, 0.7])
    circuit.measure_all()
    assert np.isclose(EstimatorV2().run([(circuit, "IIZ")]).result()[0].data.evs, np.cos(0.5))
    with pytest.raises(QiskitError, match="Remove the measurements"):
        EstimatorV2().run([(circuit, "IIX")]).result()
    assert abs(EstimatorV2(seed=1).run([(circuit, "IIX")], precision=0.05).result()[0].data.evs) < 0.3
    dynamic = QuantumCircuit(1, 1)
    dynamic.h(0)
    dynamic.measure(0, 0)
    with dynamic.if_test((dynamic.clbits[0], 1)):
        dynamic.x(0)
    with pytest.raises(QiskitError, match="precision"):
        EstimatorV2().run([(dynamic, "Z")]).result()
    assert EstimatorV2().run([(dynamic, "Z", [], 0.1)]).result()[0].data.evs == 1.0


@pytest.mark.parametrize("clbits", [1, 63, 70])
def test_observables_behind_measurements(clbits: int) -> None:
    circuit = QuantumCircuit(3, clbits)
    circuit.h(0)
    circuit.measure(0, clbits - 1)
    circuit.h(1)
    circuit.s(1)  # Y is certain
    with circuit.if_test((circuit.clbits[clbits - 1], 1)):
        circuit.z(1)
        circuit.x(2)
    pub = (circuit, ["IYZ", "ZIZ", "ZYI", {"IYZ": 1.0, "ZIZ": 0.5, "III": 2.0}, "IYI"], [], 0.05)
    found = EstimatorV2(seed=3).run([pub]).result()[0].data
    assert np.allclose(found.evs[:4], [1, 1, 1, 3.5]) and not found.stds[:4].any()
    assert abs(found.evs[4]) < 0.3 and found.stds[4] > 0.04


def test_the_groups_of_a_circuit_of_gates_share_one_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    from qsim_core import batch

    rows: list[int] = []
    original = batch.run_batch

    def counting(program: Any, plan: Any, slots: Any, *args: Any, **options: Any) -> Any:
        rows.append(len(slots))
        return original(program, plan, slots, *args, **options)

    monkeypatch.setattr(batch, "run_batch", counting)
    pub = (rotations(), [["ZZI"], ["IXX"], ["IYY"]], values_for(rotations(), (40,), 1))
    EstimatorV2(seed=1).run([pub], precision=0.1).result()
    assert rows == [40]


def test_estimator_seeds_and_defaults() -> None:
    pub = (rotations(), ["ZZZ"], [0.4, 0.5, 0.6])
    noisy = EstimatorV2(default_precision=0.1, seed=3)
    first, second = (noisy.run([pub]).result()[0].data.evs for _ in range(2))
    assert first == second
    assert EstimatorV2(default_precision=0.1, seed=4).run([pub]).result()[0].data.evs != first
    assert noisy.default_precision == 0.1 and noisy.seed == 3


def test_primitives_are_qiskits_and_picklable() -> None:
    for primitive, base in ((SamplerV2(seed=1), BaseSamplerV2), (EstimatorV2(seed=1), BaseEstimatorV2)):
        assert isinstance(primitive, base)
        assert pickle.loads(pickle.dumps(primitive)).seed == 1


def test_single_precision() -> None:
    pub = (rotations(), ["ZZI", "IXY"], [0.4, 0.5, 0.6])
    single, double = (EstimatorV2(precision=p).run([pub]).result()[0].data.evs for p in ("single", "double"))
    assert np.allclose(single, double, atol=1e-5) and not np.array_equal(single, double)
    with pytest.raises(QiskitError, match="precision"):
        EstimatorV2(precision="half").run([pub]).result()
    assert Simulator().precision.value == "double"
