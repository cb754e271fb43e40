"""The tile engine of the C++ backend: many operations per pass, in tiles so small that every circuit needs several.

The law is fused = unfused, global phase included: whatever merges, moves through frames or waits for the next pass, the
amplitudes are those of the reference running the operations one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim import Circuit, Parameter
from qsim_core import testing
from qsim_core.cost_model import Work
from qsim_core.gates import GATES
from qsim_core.kernels.contract import Regrouping
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.plan import Coefficients, PassKind, Plan
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import Program, ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, ComplexArray, Precision

ISAS = NativeCpuBackend.isas()
REFERENCE = ReferenceBackend()
SETTINGS = settings(max_examples=25, deadline=None)
#: Fewest qubits in a tile that every instruction set takes as asked for (4 in the lanes of 16 floats and 3 more).
SMALL_TILE = 7
NUM_QUBITS = 9


def run(
    backend: NativeCpuBackend | ReferenceBackend, plan: Plan, values: Coefficients, amps: Amps, threads: int = 1
) -> Amps:
    result = amps.copy()
    for stage in plan.segments[plan.entry].stages:
        backend.run_stage(plan, stage, values, result, RunControl(threads=threads))
    return result


def run_in_both_precisions(program: Program, start: Amps) -> dict[Precision, Amps]:
    ends = {}
    for precision in Precision:
        plan = native_plan(program, precision=precision, initial="given")
        ends[precision] = run(NativeCpuBackend(), plan, plan.coefficients(program), start.astype(precision.dtype))
    return ends


def engine(isa: str = "", tile_qubits: int = SMALL_TILE) -> NativeCpuBackend:
    backend = NativeCpuBackend(isa or ISAS[0])
    backend.tile_qubits = tile_qubits
    return backend


def tiled_plan(program: Program, precision: Precision, tile_qubits: int = SMALL_TILE, low_qubits: int = 5) -> Plan:
    return native_plan(program, precision=precision, initial="given", tile=TileShape(tile_qubits, low_qubits))


def assert_fused_is_unfused(
    program: Program,
    precision: Precision,
    backend: NativeCpuBackend,
    *,
    plan: Plan | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Amps:
    """Run on a random state; compare with the reference running one operation at a time, in double precision."""
    rng = np.random.default_rng(seed)
    amps = testing.random_state(rng, program.num_qubits).reshape(1, -1).astype(precision.dtype)
    plan = plan or tiled_plan(program, precision)
    found = run(backend, plan, plan.coefficients(program), amps, threads)
    single = trivial_plan(program, precision=Precision.DOUBLE, initial="given")
    wanted = run(REFERENCE, single, single.coefficients(program), amps.astype(np.complex128))
    error = np.linalg.norm(found - wanted)
    bound = fused_bound(program, precision)
    assert error <= bound, (error, bound, plan.explain())
    return found


def fused_bound(program: Program, precision: Precision) -> float:
    """What the operations may do to the 2-norm, and as much again for the changes of basis around them.

    A controlled or many-letter operation becomes diagonals between up to two rotations of each of its targets; on two
    amplitudes each costs at most 9 ε (see :func:`qsim_core.testing.error_bound`).
    """
    turns = 2 * int(program.body.num_targets.sum())
    return testing.error_bound(program, precision) + 9 * precision.epsilon * turns


def random_layer(circuit: Circuit, rng: np.random.Generator) -> None:
    for q in range(circuit.num_qubits):
        circuit.u(*rng.uniform(-np.pi, np.pi, 3), q)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("num_controls", [0, 1, 2])
def test_dense_pairs_on_every_place(num_controls: int, precision: Precision, isa: str) -> None:
    """Both, one or none of the targets in the lanes of a vector, in either order; controls anywhere else."""
    rng = np.random.default_rng(num_controls)
    circuit = Circuit(NUM_QUBITS)
    for a in range(NUM_QUBITS):
        for b in range(NUM_QUBITS):
            others = rng.permutation([q for q in range(NUM_QUBITS) if q not in (a, b)]).tolist()
            if a != b:
                circuit.unitary(testing.random_unitary(rng, 2), [a, b], controls=others[:num_controls])
    assert_fused_is_unfused(circuit.to_program(), precision, engine(isa))


#: Fewest qubits of a state whose two-qubit matrices are split in one-qubit gates and a cheaper rest.
SPLIT_QUBITS = 13


def special_pairs(rng: np.random.Generator) -> list[ComplexArray]:
    """Two-qubit matrices whose local invariants are anywhere, and where a splitting might stumble."""
    cx, swap = np.eye(4)[[0, 3, 2, 1]], np.eye(4)[[0, 2, 1, 3]]
    flips = [np.fliplr(np.diag(signs)) for signs in ([1, 1, 1, 1], [-1, 1, 1, -1])]  # XX, YY
    zz = np.diag([1, -1, -1, 1])
    hadamards = np.kron([[1, 1], [1, -1]], [[1, 1], [1, -1]]) / 2
    inner = [np.eye(4), cx, swap, cx @ swap, hadamards, np.exp(0.5j * np.pi * np.outer(range(4), range(4))) / 2]
    for angles in ([0.3, 0, 0], [0.3, 0.3, 0], [0.3, 0.3, 0.3], [0.5, 0.4, -0.3], [1e-9, 0, 0], [1e-5, 3e-9, 0],
                   [np.pi / 4, np.pi / 4, 1e-6], [np.pi / 4, 1e-4, 1e-4], [np.pi / 4, np.pi / 4, np.pi / 4 - 1e-3]):  # fmt: skip
        generator = sum(angle * string for angle, string in zip(angles, [*flips, zz], strict=True))
        values, vectors = np.linalg.eigh(generator)
        inner.append(vectors @ np.diag(np.exp(1j * values)) @ vectors.conj().T)
    sides = [np.kron(*(testing.random_unitary(rng, 1) for _ in range(2))) for _ in range(2 * len(inner))]
    between = [a @ m @ b for a, m, b in zip(sides[::2], inner, sides[1::2], strict=True)]
    return [*inner, *between, *(testing.random_unitary(rng, 2) for _ in range(4))]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("tile", [SMALL_TILE, SPLIT_QUBITS])
def test_split_pairs_on_every_kind_of_place(tile: int, precision: Precision, isa: str) -> None:
    """In lanes, in one lane position, in none, in either order; what they leave meets gates, phases and moves."""
    rng = np.random.default_rng(13)
    circuit = Circuit(SPLIT_QUBITS)
    for matrix in special_pairs(rng):
        wires = rng.permutation(4).tolist()[:2] + (4 + rng.permutation(SPLIT_QUBITS - 4)).tolist()[:3]
        for a, b in ((0, 1), (1, 2), (3, 0), (2, 3), (4, 2)):
            circuit.unitary(matrix, [wires[a], wires[b]])
        circuit.u(*rng.normal(size=3), wires[0]).cz(wires[1], wires[2]).cx(wires[3], wires[4])
    program = circuit.to_program()
    assert_fused_is_unfused(program, precision, engine(isa, tile), plan=tiled_plan(program, precision, tile))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), isa=st.sampled_from(ISAS), precision=st.sampled_from(Precision), data=st.data())
def test_gates_wait_for_passes_in_which_their_qubit_is_local(
    seed: int, isa: str, precision: Precision, data: st.DataObject
) -> None:
    """Also those that a pair leaves, past passes without their qubit, unless something there looks at it."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(SPLIT_QUBITS)
    kinds = st.lists(st.sampled_from(["pair", "pair", "pair", "u", "cz", "x", "swap", "ccx", "wide"]), min_size=20)
    for kind in data.draw(kinds):
        a, b, *rest = rng.permutation(SPLIT_QUBITS).tolist()
        if kind == "pair":
            circuit.unitary(testing.random_unitary(rng, 2), [a, b])
        elif kind == "wide":  # what the engine refuses: everything must be in place before
            circuit.diagonal(testing.random_phases(rng, 5), [a, b, *rest[:3]])
        elif kind == "u":
            circuit.u(*rng.normal(size=3), a)
        elif kind == "ccx":
            circuit.ccx(a, b, rest[0])
        elif kind == "x":
            circuit.x(a)
        else:
            circuit.append(kind, [a, b])
    program = circuit.to_program()
    assert_fused_is_unfused(program, precision, engine(isa), plan=tiled_plan(program, precision))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32), num_gates=st.integers(20, 60), precision=st.sampled_from(Precision))
def test_gates_wait_from_zero(seed: int, num_gates: int, precision: Precision) -> None:
    """Not an X on a qubit whose value is known, which tells the tiles that hold something."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(SPLIT_QUBITS)
    for _ in range(num_gates):
        a, b = rng.permutation(SPLIT_QUBITS)[:2].tolist()
        choice = rng.random()
        if choice < 0.5:
            circuit.rx(np.pi, a)
        elif choice < 0.8:
            circuit.rx(rng.normal(), a)
        else:
            circuit.unitary(testing.random_unitary(rng, 2), [a, b])
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, tile=TileShape(SMALL_TILE, 5))
    [stage] = plan.segments[plan.entry].stages
    backend = engine()
    found = backend.zero_state(1, SPLIT_QUBITS, precision)
    backend.run_from_zero(plan, stage, plan.coefficients(program), found, RunControl())
    single = trivial_plan(program, precision=Precision.DOUBLE)
    start = REFERENCE.zero_state(1, SPLIT_QUBITS, Precision.DOUBLE)
    wanted = run(REFERENCE, single, single.coefficients(program), start)
    assert np.linalg.norm(found - wanted) <= fused_bound(program, precision)


def test_pairs_take_ten_multiply_adds_and_leave_nothing_behind() -> None:
    """Layers of random pairs: 16 multiply-adds per amplitude as matrices. Gates wait past passes instead of being done."""
    num_qubits, layers = 20, 10
    rng = np.random.default_rng(2)
    circuit = Circuit(num_qubits)
    for _ in range(layers):
        order = rng.permutation(num_qubits).tolist()
        for k in range(0, num_qubits, 2):
            circuit.unitary(testing.random_unitary(rng, 2), order[k : k + 2])
    program = circuit.to_program()
    plan = native_plan(program, precision=Precision.SINGLE, initial="given", tile=TileShape(12, 5))
    [stage] = plan.segments[plan.entry].stages
    works = engine(tile_qubits=12).profile(plan, stage, plan.coefficients(program), None, RunControl()) or []
    gates = layers * num_qubits / 2
    amplitudes = 2**num_qubits
    assert len(works) > 5
    # Each qubit's last gate is done once: a rotation and its phases, a third of a sweep.
    assert sum(work.rotations for work in works) <= (11 * gates + 2 * num_qubits) * amplitudes
    assert sum(work.touched for work in works) <= (gates + num_qubits) * amplitudes


@pytest.mark.parametrize("repeated", [False, True])
def test_pairs_in_single_precision_after_ten_thousand(repeated: bool) -> None:
    """What is split is as precise as the matrix: rounding walks at random, or adds up where all gates are the same."""
    depth = 10_000
    rng = np.random.default_rng(5)
    matrices = [testing.random_unitary(rng, 2) for _ in range(2 if repeated else depth)]
    circuit = Circuit(SPLIT_QUBITS)
    for k in range(depth):
        circuit.unitary(matrices[k % len(matrices)], [[0, 7], [9, 3], [2, 1], [8, 5]][k % 4 if k % 8 < 4 else k % 2])
    program = circuit.to_program()
    start = testing.random_state(rng, SPLIT_QUBITS).reshape(1, -1).astype(np.complex64)
    ends = run_in_both_precisions(program, start)
    epsilon = Precision.SINGLE.epsilon
    bound = epsilon * (depth if repeated else 2 * np.sqrt(depth))
    assert np.linalg.norm(ends[Precision.SINGLE] - ends[Precision.DOUBLE]) <= bound
    drift = np.linalg.norm(ends[Precision.DOUBLE]) - np.linalg.norm(start.astype(np.complex128))
    assert abs(drift) <= Precision.DOUBLE.epsilon * depth


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_diagonals_too_wide_for_one_table(precision: Precision, isa: str) -> None:
    """Phases between any two qubits of a tile of 14, and of others: tables of two parts, with and without lanes."""
    num_qubits = 15
    rng = np.random.default_rng(14)
    circuit = Circuit(num_qubits)
    for density in (0.05, 0.2, 1.0):
        for target in rng.permutation(num_qubits).tolist():
            for other in range(num_qubits):
                if other != target and rng.random() < density:
                    circuit.cp(rng.uniform(-np.pi, np.pi), other, target)
            circuit.u(*rng.uniform(-np.pi, np.pi, 3), target)
    program = circuit.to_program()
    plan = tiled_plan(program, precision, tile_qubits=14)
    assert_fused_is_unfused(program, precision, engine(isa, 14), plan=plan, threads=2)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("name", GATES)
def test_every_gate_between_others(name: str, precision: Precision, isa: str) -> None:
    """On four random places, plain and with controls of both values, between rotations of all qubits."""
    spec = GATES[name]
    rng = np.random.default_rng(len(name))
    circuit = Circuit(NUM_QUBITS)
    for extra in (0, 0, 1, 2):
        random_layer(circuit, rng)
        wires = rng.permutation(NUM_QUBITS).tolist()
        params = rng.uniform(-np.pi, np.pi, len(spec.params)).tolist()
        controls = wires[spec.num_qubits : spec.num_qubits + extra]
        circuit.append(spec, wires[: spec.num_qubits], params, controls, rng.integers(2, size=extra).tolist())
    assert_fused_is_unfused(circuit.to_program(), precision, engine(isa))


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(1, 10), tile=st.integers(6, 9), data=st.data())
@SETTINGS
def test_random_programs(seed: int, num_qubits: int, tile: int, data: st.DataObject) -> None:
    """All kinds of operations, any widths, any controls, any plan."""
    rng = np.random.default_rng(seed)
    precision = data.draw(st.sampled_from(Precision))
    program = random_program(rng, num_qubits, 40)
    backend = engine(data.draw(st.sampled_from(ISAS)), tile)
    plan = None
    if data.draw(st.booleans()):
        plan = trivial_plan(program, precision=precision, initial="given")
    elif num_qubits > tile:
        plan = tiled_plan(program, precision, tile, data.draw(st.integers(0, 5)))
    assert_fused_is_unfused(program, precision, backend, plan=plan, seed=seed, threads=data.draw(st.integers(1, 2)))


def random_program(rng: np.random.Generator, num_qubits: int, length: int) -> Program:
    builder = ProgramBuilder(num_qubits)
    for _ in range(length):
        wires = rng.permutation(num_qubits).tolist()
        kind = rng.choice(["rotation", "phase", "dense", "diagonal", "permutation"], p=[0.35, 0.2, 0.2, 0.1, 0.15])
        width = int(rng.choice([1, 2, 3, 4], p=[0.5, 0.3, 0.1, 0.1]))
        targets = wires[: min(width, num_qubits)]
        controls = wires[len(targets) :][: int(rng.choice([0, 1, 2, 3], p=[0.6, 0.2, 0.1, 0.1]))]
        values = rng.integers(2, size=len(controls)).tolist()
        size = 2 ** len(targets)
        match kind:
            case "rotation":
                letters = "".join(rng.choice(list("XYZ"), len(targets)))
                builder.rotation(letters, float(rng.choice([0.3, np.pi / 2, np.pi, -7.0])), targets, controls, values)
            case "phase":
                builder.phase(
                    float(rng.normal()), targets + controls, [*rng.integers(2, size=len(targets)).tolist(), *values]
                )
            case "dense":
                builder.dense(testing.random_unitary(rng, len(targets)), targets, controls, values)
            case "diagonal":
                builder.diagonal(testing.random_phases(rng, len(targets)), targets, controls, values)
            case "permutation":
                builder.permutation(rng.permutation(size), targets, controls, values)
    return builder.finish()


def brickwork(num_qubits: int, depth: int) -> Circuit:
    rng = np.random.default_rng(1)
    circuit = Circuit(num_qubits)
    for layer in range(depth):
        random_layer(circuit, rng)
        for q in range(layer % 2, num_qubits - 1, 2):
            circuit.cz(q, q + 1)
    return circuit


def fourier(num_qubits: int) -> Circuit:
    circuit = Circuit(num_qubits)
    for q in reversed(range(num_qubits)):
        circuit.h(q)
        for other in range(q):
            circuit.cp(np.pi / 2 ** (q - other), other, q)
    for q in range(num_qubits // 2):
        circuit.swap(q, num_qubits - 1 - q)
    return circuit


def alternating(num_qubits: int) -> Circuit:
    """QAOA on a random graph: edges of every length in one diagonal."""
    rng = np.random.default_rng(2)
    circuit = Circuit(num_qubits)
    for q in range(num_qubits):
        circuit.h(q)
    for _ in range(3):
        for _ in range(2 * num_qubits):
            a, b = rng.choice(num_qubits, 2, replace=False).tolist()
            circuit.rzz(float(rng.normal()), a, b)
        for q in range(num_qubits):
            circuit.rx(0.7, q)
    return circuit


def entangling_chain(num_qubits: int) -> Circuit:
    circuit = Circuit(num_qubits)
    for layer in range(4):
        for q in range(num_qubits):
            circuit.ry(0.1 + q + layer, q)
            circuit.rz(0.2 - q, q)
        for q in range(num_qubits - 1):
            circuit.cx(q, q + 1)
    return circuit


FAMILIES: dict[str, Callable[[int], Circuit]] = {
    "brickwork": lambda n: brickwork(n, 12),
    "fourier": fourier,
    "alternating": alternating,
    "entangling_chain": entangling_chain,
}


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("num_qubits", "tile"), [(10, 7), (10, 8), (13, 13), (14, 12)])
def test_families(family: str, num_qubits: int, tile: int, precision: Precision, isa: str) -> None:
    program = FAMILIES[family](num_qubits).to_program()
    plan = tiled_plan(program, precision, tile)
    assert (plan.passes.kind == PassKind.TILE).all()
    assert (np.diff(plan.passes.op_offset) > 1).any()
    assert_fused_is_unfused(program, precision, engine(isa, tile), plan=plan)


@pytest.mark.parametrize("precision", Precision)
def test_scales_of_many_rotations_stay_in_range(precision: Precision) -> None:
    """Half-way rotations leave out a factor of √½ each: 2^-600 over this circuit, were it never put back."""
    circuit = Circuit(8)
    for layer in range(150):
        for q in range(8):
            circuit.ry(np.pi / 2 + 0.01 * (q + layer), q)
        for q in range(layer % 2, 7, 2):
            circuit.cz(q, q + 1)
    found = assert_fused_is_unfused(circuit.to_program(), precision, engine(tile_qubits=8))
    assert np.isfinite(found.view(found.real.dtype)).all()


@SETTINGS
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([8, 9, 11]),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 4)), min_size=1, max_size=3),
    st.integers(0, 6),
    st.sampled_from(Precision),
    st.sampled_from(ISAS),
)
def test_what_moves_before_and_after_rotations(
    seed: int, num_qubits: int, rounds: list[tuple[int, int]], after: int, precision: Precision, isa: str
) -> None:
    """The first rotations on a tile load from the state and the last ones store there, wherever X, CX and SWAP have
    brought a vector by then; one group of rotations alone does both, in place or not.
    """
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits)

    def move(number: int) -> None:
        for _ in range(number):
            a, b = rng.choice(np.arange(2, num_qubits), 2, replace=False).tolist()
            kind = rng.integers(4)
            if kind == 0:
                circuit.x(a)
            elif kind == 1:
                circuit.swap(a, b)
            else:
                circuit.cx(a, b)

    for num_moves, num_turns in rounds:
        move(num_moves)
        for q in rng.choice(num_qubits, num_turns, replace=False).tolist():
            if rng.random() < 0.5:
                circuit.h(q)
            else:
                circuit.u(*rng.uniform(-np.pi, np.pi, 3), q)
    move(after)
    program = circuit.to_program()
    plan = tiled_plan(program, precision, tile_qubits=9)
    assert_fused_is_unfused(program, precision, engine(isa, 9), plan=plan, seed=seed, threads=2)


@SETTINGS
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([10, 12, 13]), st.floats(0, 1), st.sampled_from(Precision),
    st.sampled_from(ISAS),
)  # fmt: skip
def test_ladders_of_stars(seed: int, num_qubits: int, density: float, precision: Precision, isa: str) -> None:
    """H and phases to qubits below, as in a Fourier transform, whose sweeps have a kernel of their own; some phases left
    out, some H others' gates or behind a Z.
    """
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits)
    for q in reversed(range(num_qubits)):
        if rng.random() < 0.1:
            circuit.u(*rng.uniform(-np.pi, np.pi, 3), q)
        else:
            circuit.h(q)
        if rng.random() < 0.1:
            circuit.z(q)
        for other in range(q):
            if rng.random() < max(density, 0.2):
                circuit.cp(rng.uniform(-np.pi, np.pi), other, q)
    program = circuit.to_program()
    plan = tiled_plan(program, precision, tile_qubits=11)
    assert_fused_is_unfused(program, precision, engine(isa, 11), plan=plan, seed=seed, threads=2)


@pytest.mark.parametrize("precision", Precision)
def test_thread_count_changes_no_bit(precision: Precision) -> None:
    program = brickwork(11, 8).to_program()
    plan = tiled_plan(program, precision)
    rng = np.random.default_rng(3)
    amps = testing.random_state(rng, 11).reshape(1, -1).astype(precision.dtype)
    values = plan.coefficients(program)
    one, two, three = (run(engine(), plan, values, amps, threads) for threads in (1, 2, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize(("num_qubits", "tile"), [(3, 7), (6, 7), (9, 7)])
@pytest.mark.parametrize("shared", [True, False])
def test_batch_is_its_elements(num_qubits: int, tile: int, shared: bool, precision: Precision) -> None:
    program = brickwork(num_qubits, 5).to_program()
    plan = tiled_plan(program, precision, max(tile, 6), 3)
    rng = np.random.default_rng(4)
    batch = 5
    amps = (
        np.stack([testing.random_state(rng, num_qubits) for _ in range(batch)])
        .reshape(batch, -1)
        .astype(precision.dtype)
    )
    rows = rng.normal(size=(1 if shared else batch, plan.coefficients(program).values.shape[1]))
    together = run(engine(tile_qubits=tile), plan, Coefficients(rows, program.operands), amps, threads=2)
    for b in range(batch):
        own = Coefficients(rows[0:1] if shared else rows[b : b + 1], program.operands)
        alone = run(engine(tile_qubits=tile), plan, own, amps[b : b + 1])
        np.testing.assert_array_equal(together[b : b + 1], alone)
        wanted = run(REFERENCE, plan, own, amps[b : b + 1].astype(np.complex128))
        assert np.linalg.norm(alone - wanted) <= fused_bound(program, precision)


def test_phases_outside_of_all_tiles() -> None:
    """Diagonals of which no qubit is local, and the global phase, are one factor per tile."""
    builder = ProgramBuilder(NUM_QUBITS)
    builder.phase(0.3)
    builder.rotation("Y", 0.4, [0])
    builder.phase(0.5, [7, 8], [0, 1])
    builder.rotation("ZZZ", 0.6, [6, 7, 8])
    builder.rotation("ZZZ", 0.7, [1, 7, 8])
    builder.diagonal(testing.random_phases(np.random.default_rng(5), 3), [8, 2, 7])
    builder.rotation("X", 0.8, [1])
    builder.rotation("XYZ", 0.9, [0, 1, 8])
    program = builder.finish()
    for precision in Precision:
        plan = tiled_plan(program, precision, SMALL_TILE, 5)
        assert_fused_is_unfused(program, precision, engine(), plan=plan)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("num_controls", [0, 1, 2, 3])
def test_reversible_circuits_only_move_amplitudes(num_controls: int, precision: Precision, isa: str) -> None:
    """X, CX, Toffoli and controlled SWAP on every kind of place, controls of both values: not a bit is rounded."""
    rng = np.random.default_rng(6)
    circuit = Circuit(NUM_QUBITS)
    for _ in range(100):
        a, b, *others = rng.permutation(NUM_QUBITS).tolist()
        controls = others[: int(rng.integers(num_controls + 1))]
        values = rng.integers(2, size=len(controls)).tolist()
        circuit.append("SWAP", [a, b], controls=controls[1:], control_values=values[1:])
        circuit.append("X", [b], controls=controls, control_values=values)
    program = circuit.to_program()
    amps = testing.random_state(rng, NUM_QUBITS, 1, precision)
    single = trivial_plan(program, precision=precision, initial="given")
    wanted = run(REFERENCE, single, single.coefficients(program), amps)
    for plan in (tiled_plan(program, precision), native_plan(program, precision=precision, initial="given")):
        np.testing.assert_array_equal(run(engine(isa), plan, plan.coefficients(program), amps), wanted)


def work_of(circuit: Circuit, isa: str = "") -> Work:
    """Return what a circuit takes in one tile."""
    program = circuit.to_program()
    plan = native_plan(program, precision=Precision.SINGLE, initial="given")
    [stage] = plan.segments[plan.entry].stages
    backend = engine(isa, circuit.num_qubits)
    [work] = backend.profile(plan, stage, plan.coefficients(program), None, RunControl()) or []
    return work


def multiply_adds(circuit: Circuit) -> tuple[float, float, float]:
    """Return rotations, lanes and diagonals per amplitude, of a circuit in one tile."""
    work = work_of(circuit)
    return work.rotations / work.moved, work.lanes / work.moved, work.diagonals / work.moved


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("num_swaps", [1, 2, 3, 4])
def test_labels_are_put_right_at_once(num_swaps: int, precision: Precision, isa: str) -> None:
    """What SWAPs leave in lanes goes home in one load and store, however many; phases on the way wait."""
    circuit = Circuit(NUM_QUBITS)
    random_layer(circuit, np.random.default_rng(9))
    for q in range(num_swaps):
        circuit.rzz(0.3 + q, q, q + 1)
        circuit.swap(q, 8 - q)
    builder = ProgramBuilder(NUM_QUBITS)
    builder.rotation("ZZZ", 0.3, [0, 4, 8])
    for q in range(num_swaps):
        builder.permutation(np.array([0, 2, 1, 3]), [q, 8 - q])
    builder.rotation("X", 0.2, [0])
    for program in (circuit.to_program(), builder.finish()):
        assert_fused_is_unfused(program, precision, engine(isa))
    swaps = Circuit(NUM_QUBITS)
    for q in range(num_swaps):
        swaps.swap(q, 8 - q)
    work = work_of(swaps, isa)
    assert work.steps == 1 and work.touched == work.moved


@pytest.mark.parametrize("precision", Precision)
def test_diagonals_of_small_tiles_are_small_tables(precision: Precision) -> None:
    """A run with new values fills them: 10 qubits in two tables of 32 entries or so instead of one of 1,024."""
    rng, circuit = np.random.default_rng(0), Circuit(10)
    for layer in range(6):
        for q in range(10):
            circuit.u(*rng.uniform(-3, 3, 3), q)
        for q in range(layer % 2, 9, 2):
            circuit.cz(q, q + 1)
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, initial="given")
    [stage] = plan.segments[plan.entry].stages
    [work] = engine(tile_qubits=10).profile(plan, stage, plan.coefficients(program), None, RunControl()) or []
    assert work.entries <= 7 * 2 * 64
    assert_fused_is_unfused(program, precision, engine())


@pytest.mark.parametrize("isa", ISAS)
def test_phases_of_any_angle(isa: str) -> None:
    """Sines of many angles at once: to the last bits, exact at multiples of a quarter turn, beyond a million turns too."""
    rng = np.random.default_rng(0)
    angles = [
        *rng.uniform(-10, 10, 40),
        *rng.uniform(-1e4, 1e4, 40),
        *(np.pi / 4 * np.arange(-17, 18)),
        0.0,
        1e-9,
        1e-300,
    ]
    angles += [9e5, 1.9e6, -2.1e6, 1e9, -1e15]
    names = [Parameter(name) for name in "abc"]
    program = Circuit(3).h([0, 1]).rz(names[0], 0).p(names[1], 1).ry(names[2], 2).to_program()
    plan, zero = native_plan(program, initial="given"), np.eye(1, 8, dtype=complex)
    for angle in angles:
        [found] = 2 * run(engine(isa), plan, plan.coefficients(program, [angle, angle, 2 * angle]), zero)
        cosine, sine = math.cos(angle), math.sin(angle)
        start = cosine * complex(math.cos(angle / 2), -math.sin(angle / 2))
        wanted = [start, start * complex(cosine, sine), start * complex(cosine, sine), start * sine / cosine]
        close = 1e-15 + 3e-16 * abs(angle)  # what is nearer to a multiple of a quarter turn is one
        assert np.abs(found[[0, 1, 2, 4]] - wanted).max() < close


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("layers", [0, 1, 2, 3])
def test_hadamards_have_no_phases(layers: int, precision: Precision) -> None:
    """H is a rotation and a Z, which waits for the next H, and at the end for a diagonal, of two tables at most."""
    circuit = Circuit(NUM_QUBITS).h(range(NUM_QUBITS))
    for _ in range(layers):
        circuit.append("Z", [0], controls=range(1, NUM_QUBITS)).h(range(NUM_QUBITS))
    _, _, diagonals = multiply_adds(circuit)
    of_controlled_z = 0.2 * layers  # one vector
    assert diagonals <= of_controlled_z + (8 if layers % 2 == 0 else 0)
    assert_fused_is_unfused(circuit.to_program(), precision, engine())


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(6, 10), data=st.data())
@settings(max_examples=60, deadline=None)
def test_hadamards_among_permutations(seed: int, num_qubits: int, data: st.DataObject) -> None:
    """The Z of an H on its way through moves, exchanges, Toffoli gates and the ends of passes."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits)
    for _ in range(60):
        a, b, c = rng.permutation(num_qubits)[:3].tolist()
        match rng.integers(9):
            case 0 | 1 | 2:
                circuit.h(a)
            case 3:
                circuit.cx(a, b)
            case 4:
                circuit.ccx(a, b, c)
            case 5:
                circuit.cz(a, b)
            case 6:
                circuit.swap(a, b)
            case 7:
                circuit.ry(0.3, a)
            case 8:
                circuit.append("SWAP", [a, b], controls=[c])
    program, precision = circuit.to_program(), data.draw(st.sampled_from(Precision))
    tile = data.draw(st.sampled_from([SMALL_TILE, 10]))
    plan = tiled_plan(program, precision, tile)
    assert_fused_is_unfused(program, precision, engine(data.draw(st.sampled_from(ISAS)), tile), plan=plan)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_the_z_of_an_h_behind_a_move(precision: Precision, isa: str) -> None:
    """The qubit of an H controls, so it is rotated, and is then the target of a CX: its Z comes out at both."""
    for a, b, c in ((8, 7, 6), (7, 8, 6), (6, 8, 7), (8, 6, 5)):
        for tail in (Circuit(NUM_QUBITS), Circuit(NUM_QUBITS).h(b), Circuit(NUM_QUBITS).ccx(b, c, a)):
            program = Circuit(NUM_QUBITS).h(a).ccx(a, b, c).cx(b, a).compose(tail).to_program()
            for tile in (SMALL_TILE, NUM_QUBITS):
                plan = tiled_plan(program, precision, tile)
                assert_fused_is_unfused(program, precision, engine(isa, tile), plan=plan)


def test_adders_only_move_amplitudes_in_their_second_half() -> None:
    """The Z of the H that made the superposition is settled before: counted for 24 qubits, from zero, one vector width."""
    num_qubits, size = 24, 11
    a, b = range(1, size + 1), range(size + 1, 2 * size + 1)
    circuit = Circuit(num_qubits).x(a).h(b)
    chain = [0, *a]
    for i in range(size):
        circuit.cx(a[i], b[i]).cx(a[i], chain[i]).ccx(chain[i], b[i], a[i])
    circuit.cx(a[-1], num_qubits - 1)
    for i in reversed(range(size)):
        circuit.ccx(chain[i], b[i], a[i]).cx(a[i], chain[i]).cx(chain[i], b[i])
    program = circuit.to_program()
    plan = native_plan(program, precision=Precision.SINGLE, initial="zero")
    [stage] = plan.segments[plan.entry].stages
    works = (
        NativeCpuBackend().profile(plan, stage, plan.coefficients(program), None, RunControl(), from_zero=True) or []
    )
    assert len(works) == 3 and works[0].tiles == 1
    assert works[2].rotations == works[2].diagonals == 0
    assert works[1].diagonals <= 4 * works[1].moved


def test_fourier_transform_turns_the_vectors_with_the_bit_of_its_hub() -> None:
    """2 multiply-adds per rotation where what it turns by fits one table and 4 where it takes two, not 4 and 8."""
    num_qubits = 16
    circuit = Circuit(num_qubits)
    for q in reversed(range(num_qubits)):
        circuit.h(q)
        for other in range(q):
            circuit.cp(np.pi / 2 ** (q - other), other, q)
    rotations, lanes, diagonals = multiply_adds(circuit)
    assert rotations + lanes == 2 * num_qubits
    assert diagonals <= 3 * num_qubits


def test_toffoli_between_hadamards_is_a_phase() -> None:
    """Where an H waits on the target the other way is taken: diagonals merge, and nothing is rotated in between."""
    circuit = Circuit(12)
    for q in range(10):
        circuit.h(q)
    for q in range(10):
        circuit.ccx(10, 11, q)
    for q in range(10):
        circuit.h(q)
    rotations, lanes, _ = multiply_adds(circuit)
    assert rotations == lanes == 0


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_excitations_that_change_places(precision: Precision, isa: str) -> None:
    """iSWAP, fSim(π/2, φ) and XX + YY rotations by π/2 between all sorts of places: relabelled, with a diagonal."""
    rng = np.random.default_rng(7)
    circuit = Circuit(NUM_QUBITS)
    for _ in range(6):
        random_layer(circuit, rng)
        a, b, c, d, e, f = rng.permutation(NUM_QUBITS)[:6].tolist()
        circuit.fsim(np.pi / 2, float(rng.normal()), a, b)
        circuit.iswap(c, d)
        circuit.rxx(np.pi / 2, e, f).ryy(np.pi / 2, e, f)
        circuit.x(a)
        circuit.fsim(np.pi / 2, 0.3, b, c)
        circuit.fsim(0.4, 0.3, d, a)
    assert_fused_is_unfused(circuit.to_program(), precision, engine(isa))


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(2, NUM_QUBITS), data=st.data())
@SETTINGS
def test_zz_after_a_matrix(seed: int, num_qubits: int, data: st.DataObject) -> None:
    """ZZ rotations on the qubits of matrices and XX + YY rotations before them, with all sorts of gates in between."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits)
    random_layer(circuit, rng)
    for _ in range(12):
        a, b = rng.permutation(num_qubits)[:2].tolist()
        angle = float(rng.normal())
        match rng.integers(3):
            case 0:
                circuit.unitary(testing.random_unitary(rng, 2), [a, b])
            case 1:
                circuit.rxx(angle, a, b).ryy(angle, a, b)
            case 2:
                circuit.fsim(angle, float(rng.normal()), a, b)
        for gate in rng.choice(["x", "s", "h", "cz", "cx"], int(rng.integers(4))):
            match gate:
                case "cz" | "cx":
                    circuit.append(
                        gate[1].upper(), [int(rng.choice([q for q in range(num_qubits) if q != a]))], controls=[a]
                    )
                case name:
                    circuit.append(name.upper(), [int(rng.choice([a, b]))])
        circuit.rzz(float(rng.normal()), *((a, b) if rng.random() < 0.5 else (b, a)))
    precision = data.draw(st.sampled_from(Precision))
    assert_fused_is_unfused(circuit.to_program(), precision, engine(data.draw(st.sampled_from(ISAS))), seed=seed)


@pytest.mark.parametrize("precision", Precision)
def test_heisenberg_chains_have_no_diagonals(precision: Precision) -> None:
    """XX + YY + ZZ is one matrix that mixes two states, and a factor of all."""
    circuit = Circuit(NUM_QUBITS)
    for start in (0, 1, 0, 1):
        for q in range(start, NUM_QUBITS - 1, 2):
            circuit.rxx(0.3, q, q + 1).ryy(0.3, q, q + 1).rzz(0.5, q, q + 1)
    _, _, diagonals = multiply_adds(circuit)
    assert diagonals == 0
    assert_fused_is_unfused(circuit.to_program(), precision, engine())


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("num_qubits", range(1, 7))
def test_small_states_are_hardly_padded(num_qubits: int, precision: Precision, isa: str) -> None:
    """Two vectors are the smallest tile: 16 amplitudes in double precision, 32 in single, where vectors are widest."""
    rng, circuit = np.random.default_rng(num_qubits), Circuit(num_qubits)
    random_layer(circuit, rng)
    for a in range(num_qubits - 1):
        circuit.unitary(testing.random_unitary(rng, 2), [a, a + 1]).swap(0, a + 1).fsim(0.3, 0.2, a + 1, a)
        random_layer(circuit, rng)
    program, backend = circuit.to_program(), engine(isa)
    plan = native_plan(program, precision=precision, initial="given")
    [stage] = plan.segments[plan.entry].stages
    works = backend.profile(plan, stage, plan.coefficients(program), None, RunControl()) or []
    lanes = backend._cpu.vector_bytes // (precision.bytes_per_amplitude // 2)
    assert {work.moved for work in works} == {max(2 * lanes, 2**num_qubits)}
    assert_fused_is_unfused(program, precision, backend, plan=plan)


def flips_around_a_phase() -> Circuit:
    """Fused runs elsewhere lost the frame of the second X: amplitudes i/√2 and 1/√2 came out exchanged."""
    return Circuit(15).h(0).cx(1, 0).x(0).s(0).x(0)


def idle_qubits() -> Circuit:
    """A qubit with nothing but identities, and one without any gate: neither may vanish from the result."""
    return Circuit(9).ry(0.3, 0).id(1).sx(8)


def phase_before_flip() -> Circuit:
    """The opposite outcome of a one-qubit circuit: two half turns with phases between them."""
    return Circuit(8).sx(0).s(0).s(0).sx(0).h(3).z(3).h(3)


def controlled_pairs() -> Circuit:
    """Random two-qubit gates under two controls in changing order: results differed between versions."""
    rng = np.random.default_rng(1234)
    circuit = Circuit(9).h(range(9))
    for _ in range(4):
        wires = rng.permutation(9).tolist()
        circuit.unitary(testing.random_unitary(rng, 2), wires[:2], controls=wires[2:4])
    return circuit


def undone() -> Circuit:
    """Gates and their inverses with controls and swaps in between: half-fused neighbours left another state."""
    circuit = (
        Circuit(9).x(1).x(2).swap(0, 2).u(5.6631, 3.9488, 1.066, 2).rxx(4.836, 1, 2).ccx(2, 0, 1).fsim(0.3, 0.2, 2, 5)
    )
    return circuit.compose(circuit.inverse())


def wide_fan() -> Circuit:
    """One control and every other qubit as target, forth and back: a CX chain as long as the register."""
    circuit = Circuit(12).h(0)
    for q in range(1, 12):
        circuit.cx(0, q)
    for q in range(11, 0, -1):
        circuit.cx(q, q - 1)
    return circuit.rz(0.3, 5).ry(0.4, 0).cx(0, 11).cx(11, 5)


KNOWN_TRAPS = (flips_around_a_phase, idle_qubits, phase_before_flip, controlled_pairs, undone, wide_fan)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("make", KNOWN_TRAPS)
def test_circuits_that_fusion_got_wrong_elsewhere(make: Callable[[], Circuit], precision: Precision, isa: str) -> None:
    """Reported for other simulators: wrong with fusion, right without. In small tiles, then in one."""
    program = make().to_program()
    assert_fused_is_unfused(program, precision, engine(isa))
    one_tile = native_plan(program, precision=precision, initial="given")
    assert_fused_is_unfused(program, precision, engine(isa, 15), plan=one_tile)


def test_flips_around_a_phase_from_zero() -> None:
    program = flips_around_a_phase().to_program()
    amps = np.zeros((1, 2**15), dtype=np.complex128)
    amps[0, 0] = 1
    plan = tiled_plan(program, Precision.DOUBLE)
    found = run(engine(), plan, plan.coefficients(program), amps)
    np.testing.assert_allclose(found[0, :4], np.array([1j, 1, 0, 0]) / np.sqrt(2), atol=1e-15)


@pytest.mark.parametrize("repeated", [False, True])
def test_single_precision_after_ten_thousand_layers(repeated: bool) -> None:
    """Rounding walks at random, ε √gates, where angles differ; where all layers are the same it adds up, ε per layer."""
    num_qubits, depth = 6, 10_000
    rng = np.random.default_rng(8)
    angles = rng.uniform(-np.pi, np.pi, (1 if repeated else depth, num_qubits, 2))
    builder = ProgramBuilder(num_qubits)
    for layer in range(depth):
        for q, (theta, phi) in enumerate(angles[layer % len(angles)].tolist()):
            builder.rotation("Y", theta, [q])
            builder.rotation("Z", phi, [q])
        for q in range(layer % 2, num_qubits - 1, 2):
            builder.phase(np.pi, [q, q + 1])
    program = builder.finish()
    start = testing.random_state(rng, num_qubits).reshape(1, -1).astype(np.complex64)
    ends = run_in_both_precisions(program, start)
    epsilon = Precision.SINGLE.epsilon
    bound = epsilon * depth if repeated else 2 * epsilon * np.sqrt(num_qubits * depth)
    assert np.linalg.norm(ends[Precision.SINGLE] - ends[Precision.DOUBLE]) <= bound
    assert abs(np.linalg.norm(ends[Precision.SINGLE].astype(np.complex128)) - np.linalg.norm(start)) <= bound / 5


def drawn_move(data: st.DataObject, num_qubits: int, source_rows: int) -> tuple[Regrouping, int]:
    """Return a move onto ``num_qubits`` qubits, and the qubits of its source."""
    entering = data.draw(st.lists(st.integers(0, num_qubits - 1), max_size=3, unique=True))
    num_leaving = data.draw(st.integers(0, 3))
    source_qubits = num_qubits - len(entering) + num_leaving
    leaving = data.draw(st.permutations(range(source_qubits)))[:num_leaving]
    if len(entering) == num_leaving and data.draw(st.booleans()):
        leaving = entering  # measured and used again
    rows = np.array(data.draw(st.lists(st.integers(0, source_rows - 1), min_size=1, max_size=4)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    outcomes, values = (rng.integers(0, 2 ** len(qubits), len(rows)) for qubits in (leaving, entering))
    return Regrouping(
        rows, tuple(leaving), outcomes, rng.uniform(1, 2, len(rows)), tuple(entering), values
    ), source_qubits


@given(data=st.data())
@SETTINGS
def test_between_two_measurements(data: st.DataObject) -> None:
    """Tiles that come from other rows, and leave their weights: the bits of moving, running, and the sums of reading."""
    precision, isa = data.draw(st.sampled_from(list(Precision))), data.draw(st.sampled_from(ISAS))
    num_qubits, tile = data.draw(st.integers(3, 11)), data.draw(st.sampled_from([0, SMALL_TILE]))
    program = data.draw(testing.programs(num_qubits, num_qubits, max_operations=20))
    plan, backend = tiled_plan(program, precision), engine(isa, tile)
    assume(len(plan.ops) > 0)
    values, (stage,) = plan.coefficients(program, np.zeros(len(program.slots))), plan.segments[plan.entry].stages
    move, source_qubits = drawn_move(data, num_qubits, 3)
    read = data.draw(st.lists(st.integers(0, num_qubits - 1), max_size=5, unique=True))
    amps = testing.random_state(np.random.default_rng(5), source_qubits, 3, precision)
    before = amps.copy()
    apart = backend.regroup(amps, move, RunControl())
    backend.run_stage(plan, stage, values, apart, RunControl())
    seen = []
    for threads in (1, 2):
        found, weights = backend.run_between(
            plan, stage, values, amps, RunControl(threads=threads), move=move, read=read
        )
        np.testing.assert_array_equal(found, apart)  # a zero may have another sign
        np.testing.assert_array_equal(amps, before)
        seen.append(b"" if weights is None else weights.tobytes())
    assert seen[0] == seen[1]
    if read:
        wanted = REFERENCE.probabilities(apart.astype(np.complex128), read, RunControl())
        np.testing.assert_allclose(
            np.frombuffer(seen[0]).reshape(wanted.shape), wanted, rtol=0, atol=500 * precision.epsilon
        )
    else:
        assert weights is None


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("tile", [0, SMALL_TILE])
@pytest.mark.parametrize("swapped", [False, True])
def test_outcomes_are_read_behind_flips_and_moves(swapped: bool, tile: int, precision: Precision, isa: str) -> None:
    """Gates that only change what a position stands for: a lane, a vector of the tile, or which tile it is."""
    amps = testing.random_state(np.random.default_rng(3), 8, 1, precision)
    for qubit in range(8):
        builder = ProgramBuilder(8)
        for q in range(8):
            builder.rotation("Y", 0.3 + 0.2 * q, [q])
        builder.permutation(np.array([1, 0]), [qubit])
        if swapped:
            builder.permutation(np.array([0, 2, 1, 3]), [qubit, (qubit + 3) % 8])
        program = builder.finish()
        plan = tiled_plan(program, precision)
        [stage] = plan.segments[plan.entry].stages
        for read in [(q,) for q in range(8)] + [(qubit, (qubit + 3) % 8)]:
            found, weights = engine(isa, tile).run_between(
                plan, stage, plan.coefficients(program), amps.copy(), RunControl(), read=read
            )
            wanted = REFERENCE.probabilities(found.astype(np.complex128), read, RunControl())
            np.testing.assert_allclose(weights, wanted, rtol=0, atol=100 * precision.epsilon)


@given(data=st.data())
@SETTINGS
def test_a_row_that_stays_is_projected_on_its_way(data: st.DataObject) -> None:
    precision, num_qubits = data.draw(st.sampled_from(list(Precision))), data.draw(st.integers(3, 10))
    program = data.draw(testing.programs(num_qubits, num_qubits, max_operations=10))
    plan, backend = tiled_plan(program, precision), engine()
    assume(len(plan.ops) > 0)
    values, (stage,) = plan.coefficients(program, np.zeros(len(program.slots))), plan.segments[plan.entry].stages
    qubits = tuple(data.draw(st.lists(st.integers(0, num_qubits - 1), min_size=1, max_size=3, unique=True)))
    outcome, row = np.array([data.draw(st.integers(0, 2 ** len(qubits) - 1))]), np.zeros(1, dtype=np.int64)
    move = Regrouping(row, qubits, outcome, np.array([1.25]), qubits, outcome)
    amps = testing.random_state(np.random.default_rng(5), num_qubits, 1, precision)
    wanted, _ = backend.run_between(plan, stage, values, amps, RunControl(threads=2), move=move)
    found, _ = backend.run_between(plan, stage, values, amps, RunControl(threads=2), move=move, out=amps)
    assert found is amps and move.in_place
    np.testing.assert_allclose(found, wanted, rtol=0, atol=4 * precision.epsilon)
