"""The backward walk of the C++ core against the definition, one operation at a time over the reference.

Tiles are so small that circuits need several passes: slopes wait between passes, move through frames and relabellings,
and are read inside and outside of lanes.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim import Circuit, Parameter
from qsim_core.executor import execute
from qsim_core.gates import GATES
from qsim_core.gradient import Adjoint
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.pauli import PauliTerms
from qsim_core.plan import Plan
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import Program
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, FloatArray, Precision

ISAS = NativeCpuBackend.isas()
SETTINGS = settings(max_examples=25, deadline=None)
SMALL_TILE, NUM_QUBITS = 7, 9
PARAMETRISED = sorted(name for name, spec in GATES.items() if spec.num_params)


def engine(isa: str = "", tile_qubits: int = SMALL_TILE) -> NativeCpuBackend:
    backend = NativeCpuBackend(isa or ISAS[0])
    backend.tile_qubits = tile_qubits
    return backend


def random_states(program: Program, precision: Precision, seed: int, batch: int = 1) -> tuple[Amps, Amps]:
    """A normalised ket and a bra that has nothing to do with it."""
    rng = np.random.default_rng(seed)
    shape = (2, batch, 2**program.num_qubits)
    pair = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    pair /= np.linalg.norm(pair, axis=2, keepdims=True)
    ket, bra = pair.astype(precision.dtype)
    return ket, bra


def slopes(
    adjoint: Adjoint,
    plan: Plan,
    backend: NativeCpuBackend,
    pair: tuple[Amps, Amps],
    slots: FloatArray,
    threads: int = 1,
    to_zero: bool = False,
) -> FloatArray | None:
    ket, bra = (amps.copy() for amps in pair)
    coefficients = plan.coefficients(adjoint.inverse, slots)
    return backend.run_adjoint(plan, coefficients, ket, bra, adjoint._wanted, RunControl(threads=threads), to_zero)


def definition(adjoint: Adjoint, pair: tuple[Amps, Amps], slots: FloatArray) -> FloatArray:
    backend: Backend = ReferenceBackend()
    ket, bra = (StateVector(amps.astype(np.complex128), backend) for amps in pair)
    return adjoint._walk(ket, bra, slots, RunControl())


def tiled(adjoint: Adjoint, precision: Precision, low_qubits: int = 5, backwards: bool = False) -> Plan:
    shape = TileShape(SMALL_TILE, low_qubits)
    return native_plan(adjoint.inverse, precision=precision, initial="given", tile=shape, backwards=backwards)


def random_circuit(seed: int, num_qubits: int = NUM_QUBITS, length: int = 25) -> Circuit:
    """Gates with and without parameters, controls of both values, Pauli rotations, matrices and permutations."""
    rng = np.random.default_rng(seed)
    names, circuit = [Parameter(f"p{k}") for k in range(3)], Circuit(num_qubits)
    for _ in range(length):
        wires = rng.permutation(num_qubits).tolist()
        angle = float(rng.normal()) * names[rng.integers(3)] + float(rng.normal())
        match rng.integers(0, 8):
            case 0:
                matrix = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
                circuit.unitary(matrix, wires[:2])
            case 1:
                width = int(rng.integers(1, 5))
                circuit.pauli_rotation("".join(rng.choice(list("XYZ"), width)), angle, wires[:width])
            case 2:
                circuit.h(wires[0]).cx(wires[0], wires[1]).swap(wires[1], wires[2]).cz(wires[0], wires[2])
            case _:
                spec = GATES[str(rng.choice(PARAMETRISED if rng.random() < 0.7 else sorted(GATES)))]
                if spec.num_qubits + 2 > num_qubits:
                    continue
                params = [angle if k == 0 else float(rng.normal()) for k in range(spec.num_params)]
                qubits, rest = wires[: spec.num_qubits], wires[spec.num_qubits :]
                controls = rest[: int(rng.integers(0, 3)) if rng.random() < 0.4 else 0]
                circuit.append(spec, qubits, params, controls, rng.integers(0, 2, len(controls)).tolist())
    return circuit.rx(names[0], 0).ry(names[1], 1).rz(names[2], 2)


@SETTINGS
@given(seed=st.integers(0, 99999), low_qubits=st.sampled_from((4, 5, 6)))
def test_slopes_are_those_of_the_definition(seed: int, low_qubits: int) -> None:
    adjoint = Adjoint(random_circuit(seed).lowered().program)
    slots = np.random.default_rng(seed).normal(size=(1, len(adjoint.inverse.slots)))
    pair = random_states(adjoint.inverse, Precision.DOUBLE, seed)
    found = slopes(adjoint, tiled(adjoint, Precision.DOUBLE, low_qubits), engine(), pair, slots)
    if found is None:  # three letters with controls: the definition serves
        return
    np.testing.assert_allclose(found, definition(adjoint, pair, slots), atol=1e-12)


def sparse_circuit(seed: int, num_qubits: int) -> Circuit:
    """Few gates on |0…0⟩, most of them Clifford: amplitudes fill a part of the register, and leave it again."""
    rng = np.random.default_rng(seed)
    names, circuit = [Parameter(f"p{k}") for k in range(3)], Circuit(num_qubits)
    for _ in range(int(rng.integers(6, 20))):
        a, b = (int(q) for q in rng.permutation(num_qubits)[:2])
        match rng.integers(0, 9):
            case 0:
                circuit.ry(names[rng.integers(3)], a)
            case 1:
                circuit.rzz(names[rng.integers(3)], a, b)
            case 2:
                circuit.crx(names[rng.integers(3)], a, b)
            case 3:
                circuit.h(a)
            case 4:
                circuit.x(a)
            case 5:
                circuit.swap(a, b)
            case 6:
                circuit.unitary(np.array([[0, 1j], [1, 0]]), [a])
            case _:
                circuit.cx(a, b)
    undone = [gate for gate in range(num_qubits) if rng.random() < 0.3]
    for qubit in undone:
        circuit.h(qubit).s(qubit).sdg(qubit).h(qubit)
    return circuit.rx(names[0], int(rng.integers(num_qubits)))


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 99999), low_qubits=st.sampled_from((4, 5, 6)), backwards=st.booleans())
def test_tiles_that_the_ket_has_left_need_no_work(seed: int, low_qubits: int, backwards: bool) -> None:
    """From |0…0⟩ and back: the same slopes, though tiles are left alone, for a bra that is nowhere zero."""
    num_qubits = 11
    program = sparse_circuit(seed, num_qubits).lowered().program
    adjoint = Adjoint(program)
    slots = np.random.default_rng(seed).choice([0.0, 0.7, np.pi / 2, np.pi, -1.9], (1, len(program.slots)))
    state = StateVector.zero(ReferenceBackend(), 1, num_qubits, Precision.DOUBLE)
    plan = trivial_plan(program)
    execute(plan, plan.coefficients(program, slots), state)
    pair = (state.amps, random_states(program, Precision.DOUBLE, seed)[1])
    way_back = tiled(adjoint, Precision.DOUBLE, low_qubits, backwards)
    found = slopes(adjoint, way_back, engine(), pair, slots, threads=2, to_zero=True)
    assert found is not None
    np.testing.assert_allclose(found, definition(adjoint, pair, slots), atol=1e-12)


def test_the_tile_that_is_left_is_the_right_one() -> None:
    """Qubit 10 is in |1⟩ when the slope is read; turned the other way it would be in |0⟩."""
    circuit = Circuit(11).ry(-np.pi / 2, 10).h(10).ry(Parameter("a"), 8)
    adjoint = Adjoint(circuit.lowered().program)
    slots, state = np.array([[0.7]]), StateVector.zero(ReferenceBackend(), 1, 11, Precision.DOUBLE)
    plan = trivial_plan(circuit.lowered().program)
    execute(plan, plan.coefficients(circuit.lowered().program, slots), state)
    pair = (state.amps, random_states(adjoint.inverse, Precision.DOUBLE, 4)[1])
    way_back = tiled(adjoint, Precision.DOUBLE, 6, backwards=True)
    assert len(way_back.passes) == 2
    found, wanted = slopes(adjoint, way_back, engine(), pair, slots, to_zero=True), definition(adjoint, pair, slots)
    assert found is not None and np.abs(wanted).max() > 1e-6
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", list(Precision), ids=lambda precision: precision.value)
@pytest.mark.parametrize("num_qubits", [2, 3, 4, 6, NUM_QUBITS])
def test_slopes_on_every_instruction_set(isa: str, precision: Precision, num_qubits: int) -> None:
    circuit, names = Circuit(num_qubits), [Parameter(f"p{k}") for k in range(4 * num_qubits)]
    for qubit in range(num_qubits):  # RX next to RY: X, Y and Z of every position are read
        circuit.ry(names[4 * qubit], qubit).rx(names[4 * qubit + 1], qubit).rz(names[4 * qubit + 2], qubit)
        circuit.cx(qubit, (qubit + 1) % num_qubits).rzz(names[4 * qubit + 3], 0, 1)
    adjoint = Adjoint(circuit.lowered().program)
    slots = np.random.default_rng(3).normal(size=(1, len(names)))
    pair = random_states(adjoint.inverse, precision, 5)
    found = slopes(adjoint, tiled(adjoint, precision), engine(isa), pair, slots)
    assert found is not None
    np.testing.assert_allclose(
        found, definition(adjoint, pair, slots), atol=1e-12 if precision is Precision.DOUBLE else 2e-6
    )


@pytest.mark.parametrize("name", PARAMETRISED)
@pytest.mark.parametrize("num_controls", [0, 1])
def test_every_gate_has_its_slope(name: str, num_controls: int) -> None:
    spec, num_qubits = GATES[name], 8
    rng = np.random.default_rng(len(name))
    names = [Parameter(f"p{k}") for k in range(spec.num_params)]
    for wires in (list(range(num_qubits)), list(reversed(range(num_qubits)))):  # in the lanes, outside of the tile
        circuit = Circuit(num_qubits)
        for qubit in range(num_qubits):
            circuit.u(*rng.normal(size=3), qubit)
        qubits, controls = wires[: spec.num_qubits], wires[spec.num_qubits : spec.num_qubits + num_controls]
        circuit.append(spec, qubits, names, controls, [0] * num_controls)
        adjoint = Adjoint(circuit.lowered().program)
        if not adjoint._wanted.any():  # u0 does nothing
            continue
        slots = rng.normal(size=(1, len(names)))
        pair = random_states(adjoint.inverse, Precision.DOUBLE, 1)
        found = slopes(adjoint, tiled(adjoint, Precision.DOUBLE), engine(), pair, slots)
        if found is not None:
            np.testing.assert_allclose(found, definition(adjoint, pair, slots), atol=1e-12)


def test_threads_and_rows_of_a_batch_change_no_bit() -> None:
    adjoint = Adjoint(random_circuit(1).lowered().program)
    slots = np.random.default_rng(2).normal(size=(3, len(adjoint.inverse.slots)))
    pair = random_states(adjoint.inverse, Precision.DOUBLE, 7, batch=3)
    plan = tiled(adjoint, Precision.DOUBLE)
    for tile_qubits in (SMALL_TILE, 12):
        backend = engine(tile_qubits=tile_qubits)
        whole = slopes(adjoint, plan, backend, pair, slots)
        assert whole is not None
        for threads in (2, 3):
            np.testing.assert_array_equal(slopes(adjoint, plan, backend, pair, slots, threads), whole)
        for b in range(3):
            row = (pair[0][b : b + 1], pair[1][b : b + 1])
            np.testing.assert_array_equal(slopes(adjoint, plan, backend, row, slots[b : b + 1]), whole[b : b + 1])


def test_what_tiles_cannot_give_is_left_to_the_definition() -> None:
    circuit = Circuit(8).h(0)
    circuit.append(GATES["rx"], [7], [Parameter("a")], list(range(7)), [1] * 7)
    adjoint = Adjoint(circuit.lowered().program)
    pair = random_states(adjoint.inverse, Precision.DOUBLE, 7)
    assert slopes(adjoint, tiled(adjoint, Precision.DOUBLE), engine(), pair, np.ones((1, 1))) is None


@SETTINGS
@given(seed=st.integers(0, 99999), num_qubits=st.integers(0, 17), precision=st.sampled_from(list(Precision)))
def test_pauli_sums_act_as_their_definition(seed: int, num_qubits: int, precision: Precision) -> None:
    rng = np.random.default_rng(seed)
    size, count = 2**num_qubits, int(rng.integers(0, 12))
    x_masks = rng.choice(rng.integers(0, size, 4), count)  # strings that share their X
    terms = PauliTerms(x_masks, rng.integers(0, size, count), rng.normal(size=count))
    batch = 2 if num_qubits < 8 else 1
    weights = rng.normal(size=(batch, count))
    amps = (rng.normal(size=(batch, size)) + 1j * rng.normal(size=(batch, size))).astype(precision.dtype)
    found, wanted = np.full_like(amps, np.nan), np.empty_like(amps)
    Backend.apply_pauli_sum(ReferenceBackend(), amps, terms, weights, wanted, RunControl())
    NativeCpuBackend().apply_pauli_sum(amps, terms, weights, found, RunControl(threads=2))
    np.testing.assert_allclose(found, wanted, atol=1e-12 if precision is Precision.DOUBLE else 2e-5)


def test_a_pauli_sum_is_its_matrix() -> None:
    terms, matrix = PauliTerms.of([(0b11, 0b01, 0.5), (0, 0b10, -2.0)]), np.zeros((4, 4), dtype=np.complex128)
    y_x = np.kron([[0, 1], [1, 0]], [[0, -1j], [1j, 0]])  # Y on qubit 0, X on qubit 1
    matrix = 0.5 * y_x - 2 * np.diag([1, 1, -1, -1])
    found = np.empty((4, 4), dtype=np.complex128)
    NativeCpuBackend().apply_pauli_sum(
        np.eye(4, dtype=np.complex128), terms, terms.coefficients[None], found, RunControl()
    )
    np.testing.assert_allclose(found.T, matrix, atol=1e-15)


def test_trivial_plans_have_slopes_too() -> None:
    """One operation per pass, some of them sweeps outside tiles."""
    adjoint = Adjoint(random_circuit(2).lowered().program)
    slots = np.random.default_rng(2).normal(size=(1, len(adjoint.inverse.slots)))
    pair = random_states(adjoint.inverse, Precision.DOUBLE, 7)
    found = slopes(adjoint, trivial_plan(adjoint.inverse, initial="given"), engine(), pair, slots)
    if found is not None:
        np.testing.assert_allclose(found, definition(adjoint, pair, slots), atol=1e-12)
