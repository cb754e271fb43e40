"""The Cirq simulator against cirq.Simulator: states with their phase, counts, sweeps, values, noise, conditions."""

# ruff: noqa: RUF005  (a circuit plus a list is a circuit)
from __future__ import annotations

import inspect
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

cirq = pytest.importorskip("cirq")
import sympy  # noqa: E402

from qsim.adapters.cirq import QsimSimulator  # noqa: E402
from qsim.adapters.cirq.translate import NotNative, Walker  # noqa: E402

QUBITS = cirq.LineQubit.range(4)
A, B, C, D = QUBITS
DOUBLE = np.complex128


def ours(**options: Any) -> QsimSimulator:
    return QsimSimulator(**{"dtype": DOUBLE, "seed": 3, **options})


def theirs(**options: Any) -> Any:
    return cirq.Simulator(**{"dtype": DOUBLE, "seed": 3, **options})


def state(circuit: Any, order: Any = QUBITS, **options: Any) -> Any:
    """Return the final state, which has to come from the engine."""
    simulator = ours()
    found = simulator.simulate(circuit, qubit_order=order, **options).final_state_vector
    assert simulator.native_runs > 0
    return found


def spread(order: Any) -> Any:
    """A product state that every wrong bit, sign or phase changes, then joined."""
    yield from (cirq.PhasedXPowGate(exponent=0.3 + 0.17 * k, phase_exponent=0.1 * k)(q) for k, q in enumerate(order))
    yield from (cirq.CZ(p, q) ** 0.4 for p, q in pairwise(order))


def instances() -> list[Any]:
    """Every unitary gate of Cirq's namespace, at asymmetric parameters."""
    parameters: dict[Any, Any] = {
        cirq.PhasedXPowGate: {"phase_exponent": 0.2, "exponent": 0.7, "global_shift": 0.3},
        cirq.PhasedXZGate: {"x_exponent": 0.2, "z_exponent": 0.5, "axis_phase_exponent": 0.3},
        cirq.PhasedISwapPowGate: {"phase_exponent": 0.2, "exponent": 0.7},
        cirq.FSimGate: {"theta": 0.3, "phi": 0.8},
        cirq.PhasedFSimGate: {"theta": 0.3, "zeta": 0.2, "chi": 0.5, "gamma": 0.7, "phi": 0.8},
        cirq.Rx: {"rads": 0.4}, cirq.Ry: {"rads": 0.4}, cirq.Rz: {"rads": 0.4}, cirq.MSGate: {"rads": 0.4},
        cirq.MatrixGate: {"matrix": cirq.testing.random_unitary(4, random_state=1)},
        cirq.DiagonalGate: {"diag_angles_radians": [0.1, 0.2, 0.4, 0.8]},
        cirq.TwoQubitDiagonalGate: {"diag_angles_radians": [0.1, 0.2, 0.4, 0.8]},
        cirq.ThreeQubitDiagonalGate: {"diag_angles_radians": [0.1 * k * k for k in range(8)]},
        cirq.DensePauliString: {"pauli_mask": "XYZ", "coefficient": 1j},
        cirq.MutableDensePauliString: {"pauli_mask": "XIZ", "coefficient": -1},
        cirq.PauliStringPhasorGate: {
            "dense_pauli_string": cirq.DensePauliString("XIY"), "exponent_neg": 0.3, "exponent_pos": 0.1},
        cirq.QubitPermutationGate: {"permutation": [1, 2, 0]},
        cirq.GlobalPhaseGate: {"coefficient": np.exp(0.7j)},
        cirq.IdentityGate: {"num_qubits": 2},
        cirq.WaitGate: {"duration": cirq.Duration(nanos=3)},
        cirq.ControlledGate: {"sub_gate": cirq.Ry(rads=0.3), "control_values": [0]},
        cirq.ParallelGate: {"sub_gate": cirq.Rx(rads=0.3), "num_copies": 3},
        cirq.PauliInteractionGate: {
            "pauli0": cirq.X, "invert0": True, "pauli1": cirq.Y, "invert1": False, "exponent": 0.3},
        cirq.QuantumFourierTransformGate: {"num_qubits": 3},
        cirq.PhaseGradientGate: {"num_qubits": 3, "exponent": 0.3},
        cirq.BooleanHamiltonianGate: {"parameter_names": ["x", "y"], "boolean_strs": ["x & y", "x"], "theta": 0.3},
        cirq.UniformSuperpositionGate: {"m_value": 3, "num_qubits": 2},
    }  # fmt: skip
    found = []
    for name, kind in vars(cirq).items():
        if not (inspect.isclass(kind) and issubclass(kind, cirq.Gate)) or kind in ELSEWHERE:
            continue
        if kind in parameters:
            found.append(kind(**parameters[kind]))
        elif issubclass(kind, cirq.EigenGate):
            shifts = [(0.3, 0.0), (1.0, 0.0), (0.7, 0.2), (1.7, -0.5)]
            found += [kind(exponent=exponent, global_shift=shift) for exponent, shift in shifts]
        else:
            raise AssertionError(f"cirq.{name} is neither tested nor known to be no gate")
    found += [gate for gate in vars(cirq).values() if isinstance(gate, cirq.Gate) and cirq.has_unitary(gate)]
    found += [cirq.CliffordGate.CNOT, cirq.SingleQubitCliffordGate.X_sqrt, Counting(), cirq.CSWAP]
    return [gate for gate in found if cirq.num_qubits(gate) <= len(QUBITS)]


class Counting(cirq.ArithmeticGate):
    """|x⟩ → |x + 3 mod 8⟩."""

    def registers(self) -> Any:
        return ([2] * 3, 3)

    def with_registers(self, *new_registers: Any) -> Any:
        raise NotImplementedError

    def apply(self, *register_values: int) -> int:
        return register_values[0] + register_values[1]


#: Classes of Cirq's that are no unitary gates, or abstract, or made in :func:`instances` by other means.
ELSEWHERE = {
    cirq.Gate, cirq.EigenGate, cirq.ArithmeticGate, cirq.BaseDensePauliString, cirq.CliffordGate, cirq.Pauli,
    cirq.SingleQubitCliffordGate, cirq.CSwapGate, cirq.MeasurementGate, cirq.PauliMeasurementGate, cirq.ResetChannel,
    cirq.KrausChannel, cirq.MixedUnitaryChannel, cirq.RandomGateChannel, cirq.StatePreparationChannel,
    cirq.AmplitudeDampingChannel, cirq.AsymmetricDepolarizingChannel, cirq.BitFlipChannel, cirq.DepolarizingChannel,
    cirq.GeneralizedAmplitudeDampingChannel, cirq.PhaseDampingChannel, cirq.PhaseFlipChannel,
}  # fmt: skip


@pytest.mark.parametrize("gate", instances(), ids=lambda gate: type(gate).__name__)
def test_every_unitary_gate_of_the_namespace(gate: Any) -> None:
    order = [C, A, D, B]
    op = gate(*order[: cirq.num_qubits(gate)])
    circuit = cirq.Circuit(spread(QUBITS), op)
    assert np.allclose(state(circuit), theirs().simulate(circuit, qubit_order=QUBITS).final_state_vector, atol=1e-9)
    if cirq.num_qubits(gate) < 4:
        controlled = op.controlled_by(B, control_values=[0])
        circuit = cirq.Circuit(spread(QUBITS), controlled)
        expected = circuit.final_state_vector(qubit_order=QUBITS, dtype=DOUBLE)
        assert np.allclose(state(circuit), expected, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.permutations(QUBITS), st.sampled_from([True, False]))
def test_random_circuits_give_cirqs_states(seed: int, order: list[Any], split: bool) -> None:
    circuit = cirq.Circuit(spread(QUBITS), cirq.testing.random_circuit(QUBITS, 8, 0.7, random_state=seed))
    vector = ours(split_untangled_states=split).simulate(circuit, qubit_order=order).final_state_vector
    expected = theirs().simulate(circuit, qubit_order=order).final_state_vector
    assert np.allclose(vector, expected, atol=1e-9)


def same_distribution(first: Any, second: Any, shots: int) -> bool:
    """Return whether two samples of readings may come from one distribution, bin by bin at five standard deviations."""
    counts = []
    for result in (first, second):
        rows = np.hstack([result.records[key].reshape(shots, -1) for key in sorted(result.records)])
        counts.append(Counter(map(bytes, rows.astype(np.uint8))))
    return all(
        abs(counts[0][key] - counts[1][key]) <= 5 * np.sqrt(counts[0][key] + counts[1][key] + 1)
        for key in counts[0] | counts[1]
    )


def dynamic() -> list[Any]:
    """Circuits with measurements in their middle, each asymmetric in its qubits."""
    a, b = sympy.symbols("a b")
    bits = sympy.IndexedBase("ab")
    start = cirq.Circuit(spread([A, B, C]))
    both = cirq.measure(A, B, key="ab", invert_mask=(True, False))
    tail = [cirq.X(C) ** 0.4, cirq.measure(C, key="c")]
    return [
        start + [cirq.measure(A, key="a"), cirq.X(B).with_classical_controls("a"), cirq.measure(B, C, key="bc")],
        start + [both, cirq.X(C).with_classical_controls(cirq.SympyCondition(sympy.Eq(sympy.Symbol("ab"), 2))), *tail],
        start + [both, cirq.X(C).with_classical_controls(cirq.SympyCondition(sympy.Xor(bits[0], bits[1]))), *tail],
        start + [cirq.measure(A, key="a"), cirq.measure(B, key="b"),
                 cirq.X(C).with_classical_controls(cirq.SympyCondition(a + 2 * b > 1)), *tail],
        start + [both, cirq.X(C).with_classical_controls(cirq.BitMaskKeyCondition("ab", bitmask=2)), *tail],
        start + [cirq.measure(A, key="m"), cirq.H(A), cirq.measure(A, key="m"), cirq.measure(C, key="m")],
        start + [cirq.reset(A), cirq.H(A), cirq.measure(A, B, C, key="m")],
        start + [cirq.depolarize(0.3)(A), cirq.asymmetric_depolarize(0.1, 0.2, 0.3)(B), cirq.measure(A, B, C, key="m")],
        start + [cirq.measure(A, B, key="m", confusion_map={(0,): np.array([[0.8, 0.2], [0.3, 0.7]])})],
        start + [cirq.measure(A, B, key="m", invert_mask=(False, True), confusion_map={
            (1, 0): np.array([[0.7, 0.1, 0.2, 0], [0, 0.9, 0, 0.1], [0.3, 0, 0.7, 0], [0, 0, 0, 1]])})],
        start + [cirq.PauliMeasurementGate([cirq.X, cirq.Z], key="p")(A, C), cirq.measure(A, C, key="m")],
        start + [cirq.CircuitOperation(cirq.FrozenCircuit(cirq.H(A), cirq.measure(A, key="m")), repetitions=2,
                                       use_repetition_ids=False)],
        start + [cirq.measure(A, key="a"), cirq.measure(B, key="b"), cirq.Y(C).with_classical_controls("a", "b"), *tail],
    ]  # fmt: skip


@pytest.mark.parametrize("circuit", dynamic(), ids=range(13))
def test_counts_are_those_of_cirq_and_come_from_the_engine(circuit: Any) -> None:
    shots, simulator = 800, ours()
    found = simulator.run(circuit, repetitions=shots)
    assert simulator.native_runs == 1
    expected = theirs(seed=8).run(circuit, repetitions=shots)
    assert {k: v.shape for k, v in found.records.items()} == {k: v.shape for k, v in expected.records.items()}
    assert same_distribution(found, expected, shots)


def test_the_same_seed_gives_cirqs_shots() -> None:
    circuit = dynamic()[0]
    assert ours(seed=11).run(circuit, repetitions=40) == theirs(seed=11).run(circuit, repetitions=40)
    wide = cirq.Circuit(spread(QUBITS), cirq.measure(*QUBITS, key="m"))
    options = {"split_untangled_states": False}
    assert ours(seed=5, **options).run(wide, repetitions=50) == theirs(seed=5, **options).run(wide, repetitions=50)


def test_what_only_cirq_can_do_runs_there() -> None:
    loop = cirq.FrozenCircuit(cirq.H(A), cirq.measure(A, key="m"))
    until = cirq.CircuitOperation(
        loop, use_repetition_ids=False, repeat_until=cirq.KeyCondition(cirq.MeasurementKey("m"))
    )
    assert (ours().run(cirq.Circuit(until), repetitions=5).records["m"].sum(axis=1) == 1).all()
    damped = cirq.Circuit(cirq.X(A), cirq.amplitude_damp(0.25)(A), cirq.measure(A, key="m"))
    found = ours().run(damped, repetitions=800).measurements["m"].mean()
    assert abs(found - 0.75) < 0.08
    levels = cirq.LineQid(0, 3)
    shift = cirq.Circuit(cirq.XPowGate(dimension=3)(levels), cirq.measure(levels, key="m"))
    assert ours().run(shift).measurements["m"].tolist() == [[1]]


def test_noise_models() -> None:
    circuit = cirq.Circuit(spread([A, B]), cirq.measure(A, B, key="m"))
    noise, shots = cirq.ConstantQubitNoiseModel(cirq.depolarize(0.1)), 600
    simulator = ours(noise=noise)
    found = simulator.run(circuit, repetitions=shots)
    assert simulator.native_runs == 1
    assert same_distribution(found, theirs(noise=noise, seed=8).run(circuit, repetitions=shots), shots)


def parametrised() -> Any:
    s, t = sympy.symbols("s t")
    return cirq.Circuit(
        spread(QUBITS), cirq.X(A) ** s, cirq.rx(2 * t - s)(B), cirq.FSimGate(s * t, t)(C, A), cirq.ZZ(B, D) ** (t / 3),
        cirq.PhasedXPowGate(phase_exponent=t, exponent=s)(C), cirq.CZPowGate(exponent=s, global_shift=0.3)(D, A),
    )  # fmt: skip


SWEEP = [{"s": 0.1 * k, "t": 0.7 - 0.05 * k * k} for k in range(1, 7)]


def test_sweeps_are_one_run() -> None:
    circuit, simulator = parametrised(), ours()
    found = simulator.simulate_sweep(circuit, SWEEP, qubit_order=QUBITS)
    expected = theirs().simulate_sweep(circuit, SWEEP, qubit_order=QUBITS)
    assert simulator.native_runs == 1
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.final_state_vector, other.final_state_vector, atol=1e-9) and one.params == other.params
    observables = [2 * cirq.X(A) * cirq.Y(C) - 0.5 * cirq.Z(D), cirq.PauliSum.wrap(cirq.Z(B)) + 1.5]
    values = simulator.simulate_expectation_values_sweep(circuit, observables, SWEEP, qubit_order=QUBITS[::-1])
    assert simulator.native_runs == 2
    assert np.allclose(values, theirs().simulate_expectation_values_sweep(circuit, observables, SWEEP), atol=1e-9)
    bits = [3, 9, 14]
    amplitudes = simulator.compute_amplitudes_sweep(circuit, bits, SWEEP)
    assert np.allclose(amplitudes, theirs().compute_amplitudes_sweep(circuit, bits, SWEEP), atol=1e-9)


def test_sampled_sweeps_and_batches() -> None:
    circuit, shots, simulator = parametrised() + cirq.measure(*QUBITS, key="m"), 2000, ours()
    found = simulator.run_sweep(circuit, SWEEP, repetitions=shots)
    assert simulator.native_runs == 1
    expected = theirs(seed=9).run_sweep(circuit, SWEEP, repetitions=shots)
    assert all(same_distribution(*pair, shots) for pair in zip(found, expected, strict=True))
    batch = simulator.run_batch([circuit, circuit], [SWEEP[:2], SWEEP[2]], repetitions=10)
    assert [len(part) for part in batch] == [2, 1]


def test_steps_and_initial_states() -> None:
    circuit = cirq.Circuit(spread(QUBITS), cirq.measure(B, key="b"), cirq.Y(C) ** 0.3)
    vector = cirq.testing.random_superposition(16, random_state=2).astype(DOUBLE)
    for initial in (0, 6, vector, (0, 1, 1, 0)):
        pairs = zip(
            ours().simulate_moment_steps(circuit, qubit_order=QUBITS, initial_state=initial),
            theirs().simulate_moment_steps(circuit, qubit_order=QUBITS, initial_state=initial),
            strict=True,
        )
        for one, other in pairs:
            assert np.allclose(one.state_vector(), other.state_vector(), atol=1e-9)
            assert one.sample([C, A], 7, seed=4).shape == (7, 2)
    gates = cirq.Circuit(spread(QUBITS))
    kept = vector.copy()
    expected = theirs().simulate(gates, qubit_order=QUBITS, initial_state=vector).final_state_vector
    assert np.allclose(state(gates, initial_state=vector), expected) and np.array_equal(vector, kept)


def test_independent_qubits_keep_states_of_their_own() -> None:
    qubits = cirq.LineQubit.range(40)
    circuit = cirq.Circuit(cirq.H.on_each(*qubits), cirq.CX(qubits[0], qubits[1]), cirq.measure(qubits[39], key="m"))
    assert ours().run(circuit, repetitions=3).measurements["m"].shape == (3, 1)
    result = ours().simulate(cirq.Circuit(cirq.H(A), cirq.CX(A, B), cirq.X(C) ** 0.5))
    assert len(result.get_state_containing_qubit(A).qubits) == 2


def test_the_state_is_the_memory_of_the_run() -> None:
    result = ours(dtype=np.complex64).simulate(cirq.Circuit(spread(QUBITS)))
    assert result.final_state_vector.dtype == np.complex64
    assert np.shares_memory(result.final_state_vector, result.final_state_vector)
    assert np.shares_memory(result.final_state_vector, result.get_state_containing_qubit(A).target_tensor)


def test_errors_are_cirqs() -> None:
    with pytest.raises(ValueError, match="complex"):
        QsimSimulator(dtype=np.int32)
    with pytest.raises(ValueError, match="backend"):
        QsimSimulator(backend="none such")
    with pytest.raises(ValueError, match="no measurements"):
        ours().run(cirq.Circuit(cirq.X(A)))
    with pytest.raises(ValueError, match="symbols were not specified"):
        ours().simulate(parametrised())

    class Nothing(cirq.testing.SingleQubitGate):
        pass

    with pytest.raises(TypeError, match=r"doesn't support .*Nothing"):
        ours().simulate(cirq.Circuit(Nothing()(A)))


def test_a_refused_operation_leaves_nothing_behind() -> None:
    walker = Walker.over([A, B], unitary=True)
    with pytest.raises(NotNative):
        walker.record([cirq.PauliMeasurementGate([cirq.X, cirq.Z], key="p")(A, B)])
    assert not walker.instructions
