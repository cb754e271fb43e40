"""The C++ planner: the same meaning as the program, few passes, and every pass inside its tiles."""

from __future__ import annotations

import importlib.util
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.compiler import clear_plan_cache, compile_program
from qsim_core.gates import GATES
from qsim_core.gradient import inverse_program
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.operations import OpKind
from qsim_core.plan import PassKind, Plan
from qsim_core.planner import TileShape, native_plan, planner_available
from qsim_core.program import Program, ProgramBuilder, operand_classes
from qsim_core.testing import error_bound, programs, random_state, random_unitary, run
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision

pytestmark = pytest.mark.skipif(not planner_available(), reason="the C++ core is not built here")

SHAPES = [(3, 1), (4, 2), (5, 2), (6, 0)]


def _circuits() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "circuits.py"
    spec = importlib.util.spec_from_file_location("benchmark_circuits", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


circuits = _circuits()


def mixed_qubits(program: Program, plan: Plan, row: int) -> set[int]:
    """Written out again from the definition: the targets an operation is not diagonal on."""
    targets, tags = plan.ops.targets(row).tolist(), plan.ops.target_tags(row).tolist()
    kind = plan.ops.kind[row]
    if kind == OpKind.ROTATION:
        return {q for q, tag in zip(targets, tags, strict=True) if tag != 3}
    if kind == OpKind.DIAGONAL or kind == OpKind.PHASE:
        return set()
    operand = program.operands[plan.ops.data[row]]
    if kind == OpKind.DENSE and len(operand) <= 64 and not (operand - np.diag(np.diag(operand))).any():
        return set()
    return set(targets)


def rows_of(table: object, rows: range) -> list[tuple[object, ...]]:
    columns = (table.kind, table.data, table.num_targets)  # type: ignore[attr-defined]
    return [
        (*(int(c[r]) for c in columns), *table.wires(r).tolist(), *table.tags[slice(*table.offset[r : r + 2])].tolist())  # type: ignore[attr-defined]
        for r in rows
    ]


def assert_well_formed(program: Program, plan: Plan, tile: TileShape) -> None:
    """Every operation runs once, in its slice; tiles have their size and hold what is mixed."""
    reference = trivial_plan(program)
    assert [s.end for s in plan.segments] == [s.end for s in reference.segments]
    for segment, other in zip(plan.segments, reference.segments, strict=True):
        for stage, other_stage in zip(segment.stages, other.stages, strict=True):
            rows, other_rows = plan.op_range(stage), reference.op_range(other_stage)
            assert sorted(rows_of(plan.ops, rows)) == sorted(rows_of(reference.ops, other_rows))
            if program.num_qubits <= tile.tile_qubits and len(rows):
                kinds = plan.passes.kind[stage.passes.start : stage.passes.stop]
                assert (kinds == PassKind.GLOBAL).any() or len(stage.passes) == 1
    for index in range(len(plan.passes)):
        row = plan.pass_(index)
        if row.kind == PassKind.GLOBAL:
            assert len(row.ops) == 1
            continue
        assert len(row.local) == min(tile.tile_qubits, program.num_qubits)
        assert set(range(min(tile.low_qubits, program.num_qubits))) <= set(row.local)
        assert all(mixed_qubits(program, plan, r) <= set(row.local) for r in row.ops)


def assert_same_meaning(program: Program, plan: Plan, seed: int = 0) -> None:
    amps = random_state(np.random.default_rng(seed), program.num_qubits)
    slots = np.linspace(0.3, 1.1, len(program.slots))
    wanted = run(ReferenceBackend(), trivial_plan(program), program, amps, slots)
    actual = run(ReferenceBackend(), plan, program, amps, slots)
    assert np.linalg.norm(actual - wanted) <= 2 * error_bound(program, Precision.DOUBLE)


@settings(max_examples=150, deadline=None)
@given(programs(4, 8, max_operations=24), st.sampled_from(SHAPES), st.booleans())
def test_planned_program_means_the_same(program: Program, shape: tuple[int, int], backwards: bool) -> None:
    tile = TileShape(*shape, dense_targets=2, permutation_targets=3)
    plan = native_plan(program, tile=tile, backwards=backwards)
    assert_well_formed(program, plan, tile)
    assert_same_meaning(program, plan)


@st.composite
def commuting_programs(draw: st.DrawFn) -> Program:
    """Many operations on few qubits with few letters: long runs that commute on a qubit, broken in every way."""
    num_qubits = draw(st.integers(5, 7))
    builder = ProgramBuilder(num_qubits)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hadamard = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
    for kind in draw(st.lists(st.sampled_from("xyzpcnhsdg"), min_size=10, max_size=50)):
        a, b, c = (int(q) for q in rng.permutation(num_qubits)[:3])
        angle = float(rng.uniform(-3, 3))
        match kind:
            case "x" | "y" | "z":
                second = str(rng.choice(list(" XYZ"))).strip()
                builder.rotation(kind.upper() + second, angle, (a, b)[: 1 + len(second)])
            case "p":
                builder.phase(angle, (a, b), (int(rng.integers(2)), 1))
            case "c":
                builder.permutation([1, 0], (a,), (b,), (int(rng.integers(2)),))
            case "n":
                builder.permutation([1, 0], (a,))
            case "h":
                builder.dense(hadamard, (a,), (b,) if rng.random() < 0.3 else ())
            case "s":
                builder.permutation([0, 2, 1, 3], (a, b), (c,) if rng.random() < 0.3 else ())
            case "d":
                builder.dense(np.diag(np.exp(1j * rng.normal(size=4))), (a, b))
            case "g":
                builder.phase(angle)
    return builder.finish()


@settings(max_examples=150, deadline=None)
@given(commuting_programs(), st.sampled_from(SHAPES), st.booleans())
def test_commuting_runs_mean_the_same(program: Program, shape: tuple[int, int], backwards: bool) -> None:
    plan = native_plan(program, tile=TileShape(*shape), backwards=backwards)
    assert_well_formed(program, plan, TileShape(*shape))
    assert_same_meaning(program, plan)


@settings(max_examples=60, deadline=None)
@given(programs(3, 6, max_operations=12, dynamic=True), st.sampled_from(SHAPES), st.booleans())
def test_segments_are_those_of_the_trivial_plan(program: Program, shape: tuple[int, int], backwards: bool) -> None:
    plan = native_plan(program, tile=TileShape(*shape), backwards=backwards)
    assert_well_formed(program, plan, TileShape(*shape))


@pytest.mark.parametrize("name", circuits.CIRCUITS)
def test_the_way_back_has_the_passes_of_the_way_forth(name: str) -> None:
    program = circuits.CIRCUITS[name](8).to_program()
    forth = native_plan(program, tile=TileShape(5, 2))
    back = native_plan(inverse_program(program), tile=TileShape(5, 2), backwards=True)
    assert back.passes.local.tolist() == forth.passes.local[::-1].tolist()
    assert np.diff(back.passes.op_offset).tolist() == np.diff(forth.passes.op_offset)[::-1].tolist()


@pytest.mark.parametrize("spec", GATES.values(), ids=lambda spec: spec.name)
def test_every_gate_between_others(spec: object) -> None:
    """Each gate of the table twice among Hadamards, CX and CZ, on 7 qubits in tiles of 4."""
    rng = np.random.default_rng(7)
    circuit = circuits.Circuit(7).h(range(7))
    for _ in range(2):
        wires = rng.permutation(7).tolist()
        circuit.append(spec, wires[: spec.num_qubits], rng.normal(size=len(spec.params)).tolist())  # type: ignore[attr-defined]
        circuit.cx(*wires[-2:]).cz(wires[0], wires[-1]).rx(0.4, wires[0])
    program = circuit.to_program()
    assert_same_meaning(program, native_plan(program, tile=TileShape(4, 1)))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shape", SHAPES)
def test_random_circuits_over_the_gate_table(seed: int, shape: tuple[int, int]) -> None:
    program = circuits.random_gates(9, 60, seed).to_program()
    assert_same_meaning(program, native_plan(program, tile=TileShape(*shape)), seed)


@pytest.mark.parametrize("name", circuits.CIRCUITS)
def test_benchmark_circuits_mean_the_same(name: str) -> None:
    program = circuits.CIRCUITS[name](8).to_program()
    plan = native_plan(program, tile=TileShape(5, 2))
    assert_same_meaning(program, plan)
    assert len(plan.passes) < len(plan.ops) / 2


def test_initialisation_stays_before_its_users() -> None:
    rng = np.random.default_rng(3)
    builder = ProgramBuilder(6)
    builder.rotation("X", 0.3, (5,))
    builder.initialize(random_state(rng, 2)[0], (0, 4))
    builder.dense(random_unitary(rng, 2), (4, 5))
    program = builder.finish()
    plan = native_plan(program, tile=TileShape(3, 1))
    kinds = plan.ops.kind.tolist()
    assert kinds.index(OpKind.INITIALIZE) < kinds.index(OpKind.DENSE)


#: Passes allowed for n = 28 with tiles of 16 qubits (6 always local) and of 12 (4): the aims are those of the design.
PASSES = {
    "qft": (3, 3),
    "brickwork": (8, 12),
    "grid": (10, 13),
    "grid_fsim": (14, 22),
    "qaoa": (5, 8),
    "ising": (5, 8),
    "quantum_volume": (25, 41),
    "hardware_efficient": (3, 5),
    "ghz": (3, 3),
    "hidden_shift": (3, 3),
    "bernstein_vazirani": (3, 4),
    "adder": (5, 6),
}


@pytest.mark.parametrize("name", PASSES)
def test_few_passes(name: str) -> None:
    program = circuits.CIRCUITS[name](28).to_program()
    for tile, most in zip((TileShape(16, 6), TileShape(12, 4)), PASSES[name], strict=True):
        plan = native_plan(program, tile=tile)
        assert len(plan.passes) <= most, plan.explain()
        assert_well_formed(program, plan, tile)


@pytest.mark.parametrize("name", ["qft", "ghz", "hidden_shift", "grover", "hardware_efficient", "adder"])
def test_longer_pieces_cost_no_pass(name: str) -> None:
    """Two passes stay two in longer pieces, as long as wished for or one qubit less; other plans stay as they are."""
    program = circuits.CIRCUITS[name](24).to_program()
    short = native_plan(program, tile=TileShape(16, 6))
    plan = native_plan(program, tile=TileShape(16, 6, wished_low_qubits=8))
    assert len(plan.passes) == len(short.passes)
    if len(short.passes) == 2:
        low = min(count_trailing_ones(int(local)) for local in plan.passes.local)
        assert low >= 8
        assert_well_formed(program, plan, TileShape(16, 8))
    else:
        assert np.array_equal(plan.passes.local, short.passes.local)


def count_trailing_ones(mask: int) -> int:
    return (~mask & (mask + 1)).bit_length() - 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("wished", [2, 3, 4, 9])
def test_longer_pieces_change_no_meaning(seed: int, wished: int) -> None:
    program = circuits.random_gates(9, 40, seed).to_program()
    assert_same_meaning(program, native_plan(program, tile=TileShape(4, 1, wished_low_qubits=wished)), seed)


def test_operations_come_in_layers() -> None:
    """Within a pass diagonals stand together: a brickwork layer is one run of CZ, phases and one run of rotations."""
    program = circuits.brickwork(10, depth=6).to_program()
    plan = native_plan(program, tile=TileShape(10, 4))
    mixing = [bool(mixed_qubits(program, plan, row)) for row in range(len(plan.ops))]
    changes = np.flatnonzero(np.diff(mixing))
    assert len(plan.passes) == 1
    assert len(changes) + 1 == 2 * 6 + 1  # phases, then per layer rotations and diagonals


def test_diagonals_wait_for_the_pass_that_needs_them() -> None:
    """The CP between two passes' qubits run in the second, beside the others its Hadamards wait for."""
    program = circuits.qft(8).to_program()
    plan = native_plan(program, tile=TileShape(5, 1))
    first = plan.pass_(0)
    assert plan.ops.kind[first.ops[-1]] != OpKind.PHASE


def test_wide_operations_sweep_outside_tiles() -> None:
    builder = ProgramBuilder(8)
    for q in range(8):
        builder.rotation("X", 0.1 * q, (q,))
    builder.rotation("XYXYXYXY", 0.7, tuple(range(8)))
    builder.rotation("ZZZZZZZX", 0.7, tuple(range(8)))
    builder.permutation(np.roll(np.arange(64), 1), tuple(range(6)), (7,))
    program = builder.finish()
    plan = native_plan(program, tile=TileShape(5, 2))
    wide = [plan.pass_(p) for p in range(len(plan.passes)) if plan.passes.kind[p] == PassKind.GLOBAL]
    assert [row.local for row in wide] == [tuple(range(8)), tuple(range(6))]
    assert_same_meaning(program, plan)


def test_plan_depends_on_structure_only() -> None:
    def program(seed: int) -> Program:
        return circuits.grid(20, depth=4, seed=seed).to_program()

    plans = [native_plan(program(seed), tile=TileShape(9, 3)) for seed in (1, 1, 2)]
    for plan in plans[1:]:
        for column, other in zip(
            (*plan.ops.columns, plan.passes.local), (*plans[0].ops.columns, plans[0].passes.local), strict=True
        ):
            assert np.array_equal(column, other)


def test_compile_uses_it_for_the_native_backend() -> None:
    clear_plan_cache()
    program = circuits.ghz(5).to_program()
    assert compile_program(program, target="native_cpu").planner == "native"
    assert compile_program(program, target="native_cpu") is compile_program(program, target="native_cpu")
    assert compile_program(program, target="reference").planner == "trivial"


def test_empty_program() -> None:
    plan = native_plan(ProgramBuilder(3).finish())
    assert len(plan.passes) == len(plan.ops) == 0
    zero_qubits = ProgramBuilder(0)
    zero_qubits.phase(0.5)
    assert_same_meaning(zero_qubits.finish(), native_plan(zero_qubits.finish()))


def test_planning_is_linear() -> None:
    """Allowed in operation counts, not seconds: 64 times the operations take less than 250 times the time."""

    def seconds(depth: int) -> float:
        program = circuits.brickwork(20, depth).to_program()
        start = time.process_time()
        native_plan(program, tile=TileShape(12, 4))
        return time.process_time() - start

    short = min(seconds(8) for _ in range(3))
    assert seconds(512) < 250 * max(short, 1e-3)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
def test_interrupt_stops_planning() -> None:
    program = circuits.brickwork(28, 1500).to_program()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    try:
        with pytest.raises(KeyboardInterrupt):
            for _ in range(100):
                native_plan(program, tile=TileShape(12, 4))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tile_qubits": 1, "low_qubits": 2}, "low_qubits <= tile_qubits"),
        ({"num_qubits": 1}, "qubits from 0 to 0"),
        ({"num_qubits": 63}, "0 to 62 qubits"),
        ({"slices": np.array([0, 5])}, "rows from 0 to"),
        ({"operand_classes": np.zeros(0, dtype=np.uint8)}, "an operand with a class"),
        ({"slices": np.array([0, 2], dtype=np.int32)}, "slices"),
    ],
)
def test_bad_columns_are_refused(change: dict[str, object], message: str) -> None:
    from qsim_core import _native

    program = circuits.ghz(2).to_program()
    arguments = {
        "slices": np.array([0, 2]), "operand_classes": np.zeros(2, dtype=np.uint8), "num_qubits": 2, "tile_qubits": 2,
        "low_qubits": 1, "wished_low_qubits": 0, "dense_targets": 6, "permutation_targets": 6,
    }  # fmt: skip
    _native.partition(program.body.columns, **arguments)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        _native.partition(program.body.columns, **(arguments | change))  # type: ignore[arg-type]


def test_operand_classes_together_as_one_by_one() -> None:
    rng = np.random.default_rng(5)
    matrices = [np.eye(4), np.eye(4)[[1, 0, 3, 2]], random_unitary(rng, 2), np.linalg.qr(rng.normal(size=(4, 4)))[0]]
    wanted = ["diagonal", "permutation", "general", "real"]
    assert operand_classes([*matrices, np.ones(4), np.eye(128)]) == [*wanted, "vector", "general"]
    assert [operand_classes([matrix])[0] for matrix in matrices] == wanted
