"""Runs from |0…0⟩ that leave out what can't hold anything: equal to plain runs, and they do leave it out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim import Circuit
from qsim_core import _native
from qsim_core.executor import execute
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend, parity
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.planner import TileShape, native_plan
from qsim_core.state import StateVector
from qsim_core.testing import error_bound
from qsim_core.types import Amps, Precision

QUBITS = 11


def small_tiles(precision: Precision) -> Backend:
    backend = NativeCpuBackend()
    backend.tile_qubits = 7 if precision is Precision.SINGLE else 6
    return backend


def run(circuit: Circuit, precision: Precision, *, tracked: bool, amps: Amps | None = None) -> Amps:
    backend = small_tiles(precision)
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, tile=TileShape(7, 4))
    stage = plan.segments[plan.entry].stages[0]
    state = backend.zero_state(1, circuit.num_qubits, precision) if amps is None else amps
    step = backend.run_from_zero if tracked else backend.run_stage
    step(plan, stage, plan.coefficients(program), state, RunControl(2))
    return state[0]


NAMES = ("h", "x", "y", "z", "s", "sdg", "sx", "t", "cx", "cy", "cz", "ch", "swap", "iswap", "ccx", "ccz", "cswap", "rx",
         "ry", "rz", "rxx", "rzz", "cp", "crx", "u", "ecr")  # fmt: skip
CLIFFORD = (*NAMES[:7], "cx", "cy", "cz", "swap", "rx", "ry", "rxx", "rzz", "cp")
BEYOND = {"t", "ch", "iswap", "ccx", "ccz", "cswap", "u", "crx", "ecr"}  # or not followed exactly
#: Few superpositions, so that much stays known.
CLASSICAL = ("x", "y", "cx", "cx", "cy", "swap", "ccx", "cz", "s", "h", "sx", "ry", "rxx")


def append(circuit: Circuit, name: str, rng: np.random.Generator, quarter: bool) -> None:
    from qsim_core.gates import gate

    spec = gate(name)
    wires = rng.permutation(circuit.num_qubits).tolist()
    angles = rng.integers(-4, 5, spec.num_params) * math.pi / 2 if quarter else rng.normal(size=spec.num_params)
    extra = int(rng.integers(0, 2)) if rng.random() < 0.2 else 0
    rest = wires[spec.num_qubits :]
    circuit.append(spec, wires[: spec.num_qubits], angles.tolist(), rest[:extra], rng.integers(0, 2, extra).tolist())


@pytest.mark.parametrize("angle", [1e6, 1e14, 1.2e15, 1e16, 1e300])
@pytest.mark.parametrize("precision", list(Precision))
def test_large_angles_are_no_quarter_turns(angle: float, precision: Precision) -> None:
    """What rounding of the angle allows grows with it: beyond 1e14 every angle would pass for a multiple of pi / 2."""
    circuit = Circuit(QUBITS)
    for qubit in range(QUBITS):
        circuit.rx(angle, qubit).cx(qubit, (qubit + 5) % QUBITS)
    expected = run(circuit, precision, tracked=False)
    np.testing.assert_allclose(run(circuit, precision, tracked=True), expected, atol=100 * precision.epsilon)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    gates=st.sampled_from([NAMES, CLIFFORD, CLASSICAL]).flatmap(
        lambda names: st.lists(st.sampled_from(names), min_size=1, max_size=80)
    ),
    special=st.sampled_from(["", "unitary", "diagonal", "permutation", "pauli", "initialize"]),
    quarter=st.booleans(),
    precision=st.sampled_from(Precision),
)
def test_tracked_equals_plain(seed: int, gates: list[str], special: str, quarter: bool, precision: Precision) -> None:
    rng = np.random.default_rng(seed)
    circuit = Circuit(QUBITS)
    a, b, c, d = rng.permutation(QUBITS)[:4].tolist()
    if special == "initialize":
        circuit.initialize([0.6, 0, 0, -0.8j], [a, b])
    for place, name in enumerate(gates):
        if place == len(gates) // 2:
            match special:
                case "unitary":
                    circuit.unitary(np.linalg.qr(rng.normal(size=(4, 4)))[0], [a, b], controls=[c])
                case "diagonal":
                    circuit.diagonal(np.exp(0.5j * np.pi * rng.integers(0, 4, 8)), [a, b, c], controls=[d])
                case "permutation":
                    circuit.permutation(rng.permutation(8), [a, b, c])
                case "pauli":
                    circuit.pauli_rotation("XYZ", np.pi / 2, [a, b, c])
        append(circuit, name, rng, quarter)
    plain, tracked = (run(circuit, precision, tracked=which) for which in (False, True))
    bound = error_bound(circuit.to_program(), precision)
    assert np.abs(plain - tracked).max() <= 2 * bound


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    gates=st.sampled_from([NAMES, CLIFFORD, CLASSICAL]).flatmap(
        lambda names: st.lists(st.sampled_from(names), min_size=1, max_size=40)
    ),
    quarter=st.booleans(),
)
def test_parities_hold_and_say_all_of_clifford_circuits(seed: int, gates: list[str], quarter: bool) -> None:
    rng = np.random.default_rng(seed)
    circuit = Circuit(6)
    for name in gates:
        append(circuit, name, rng, quarter)
    program = circuit.to_program()
    rows = _native.parities(program.body.columns, program.bind(), program.operands, 6)
    amps = run(circuit, Precision.DOUBLE, tracked=False)
    held = np.ones(64, dtype=bool)
    for mask, odd in rows:
        held &= parity(np.arange(64) & mask) == odd
    assert np.abs(amps[~held]).max(initial=0) < 1e-13
    exact = quarter and not any(i.controls or i.name in BEYOND for i in circuit)
    if exact:
        assert (np.abs(amps) > 1e-6).sum() == 2 ** (6 - len(rows)) == held.sum()


def test_classical_controls_do_nothing_or_always_act() -> None:
    circuit = Circuit(QUBITS).x(0).ccx(0, 1, 9).ccx(0, 10, 9).cx(0, 8).cswap(0, 8, 7).h(2).cx(2, 3).ccx(0, 2, 4).t(2)
    expected = np.zeros(2**QUBITS, dtype=complex)
    expected[1 << 0 | 1 << 7] = math.sqrt(0.5)
    expected[1 << 0 | 1 << 7 | 1 << 2 | 1 << 3 | 1 << 4] = math.sqrt(0.5) * np.exp(0.25j * np.pi)
    amps = small_tiles(Precision.DOUBLE).zero_state(1, QUBITS, Precision.DOUBLE)
    amps.reshape(2, -1)[1] = np.nan  # qubit 10 stays |0⟩
    got = run(circuit, Precision.DOUBLE, tracked=True, amps=amps).reshape(2, -1)
    assert np.abs(got[0] - expected[: 2 ** (QUBITS - 1)]).max() < 1e-15
    assert np.isnan(got[1]).all()


def test_states_know_whether_they_are_zero() -> None:
    backend = registry.backend("native_cpu")
    state = StateVector.zero(backend, 2, 3, Precision.SINGLE)
    assert state.is_zero and np.array_equal(state.amps, np.eye(1, 8).repeat(2, axis=0))
    assert not state.is_zero  # amps are out of hand
    large = StateVector.zero(backend, 1, 20, Precision.SINGLE)
    program = Circuit(20).h(0).cx(0, 19).to_program()
    plan = native_plan(program, precision=Precision.SINGLE)
    execute(plan, plan.coefficients(program), large)
    assert not large.is_zero
    assert np.flatnonzero(large.array).tolist() == [0, 2**19 + 1]
    execute(plan, plan.coefficients(program), large)  # from what it is now
    assert np.flatnonzero(np.abs(large.array) > 1e-6).tolist() == [0, 1, 2**19, 2**19 + 1]


def test_a_batch_from_zero() -> None:
    from qsim import Parameter, Simulator

    circuit = Circuit(18).ry(Parameter("a"), 0)
    for q in range(17):
        circuit.cx(q, q + 1)
    angles = np.array([[0.0], [np.pi], [0.3]])
    results = Simulator(precision="single").compile(circuit).run_batch(angles)
    for (angle,), result in zip(angles, results, strict=True):
        nonzero = result.state_vector[[0, -1]]
        assert np.abs(nonzero - [math.cos(angle / 2), math.sin(angle / 2)]).max() < 1e-6
        assert abs(result.norm - 1) < 1e-5
