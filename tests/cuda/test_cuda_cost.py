"""Sweeps of the circuit families on a GPU: the best single number there is without one. Lowering needs no state."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from benchmarks import gpu_model
from benchmarks.circuits import CIRCUITS

from qsim_core.kernels.cuda_cost import CARDS, Card, count_work, predict_seconds
from qsim_core.kernels.cuda_device import DeviceProperties
from qsim_core.kernels.launches import lower
from qsim_core.kernels.plain_launches import TILE_OP, TILE_PASS, TILE_STAGE
from qsim_core.planner import TileShape, native_plan, planner_available
from qsim_core.program import ProgramBuilder
from qsim_core.testing import random_unitary
from qsim_core.types import Precision

if not planner_available():
    pytest.skip("needs the built core", allow_module_level=True)

#: Bytes of a stage's numbers; two of these, the tile, constants and slopes are 48 KiB.
STAGED = 3072

PAGE = Path(__file__).parents[2] / "docs" / "gpu_model.md"

#: Most sweeps at 28 qubits in single precision: what a tile of 2^12 amplitudes allows, from a study of the families.
SWEEPS = {"qft": 3, "brickwork": 12, "grid": 13, "qaoa": 8, "ising": 8, "ghz": 3}


def work(name: str, num_qubits: int, precision: Precision):  # type: ignore[no-untyped-def]
    program = CIRCUITS[name](num_qubits).to_program()
    return count_work(native_plan(program, precision=precision, tile=TileShape.of_gpu(precision)), program)


@pytest.mark.parametrize("name", SWEEPS)
def test_sweeps_at_28_qubits(name: str) -> None:
    counted = work(name, 28, Precision.SINGLE)
    assert counted.sweeps <= SWEEPS[name]
    assert set(counted.bytes) == {2 * 8 << 28}


@pytest.mark.parametrize("num_qubits", [30, 33])
@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_sweeps_grow_slowly(precision: Precision, num_qubits: int) -> None:
    for name in ("qft", "ghz"):
        assert work(name, num_qubits, precision).sweeps <= 5


def test_a_consumer_card_is_bound_by_arithmetic_in_double_precision() -> None:
    quantum_volume = work("quantum_volume", 28, Precision.DOUBLE)
    fast, slow = (predict_seconds(quantum_volume, CARDS[name]) for name in ("H100 SXM", "RTX 4090"))
    assert slow > 3 * fast
    assert predict_seconds(work("quantum_volume", 28, Precision.SINGLE), CARDS["RTX 4090"]) < slow / 4


def test_peaks_from_properties() -> None:
    h100 = DeviceProperties("H100", (9, 0), 132, 227 << 10, 228 << 10, 80 << 30, 1_980_000, 2_619_000, 5120)
    card = Card.of(h100)
    assert card.bandwidth == pytest.approx(CARDS["H100 SXM"].bandwidth, rel=0.02)
    assert card.single == pytest.approx(CARDS["H100 SXM"].single, rel=0.02)
    assert card.double == card.single / 2


def test_phases_of_a_stage_are_one_operation() -> None:
    """A Fourier transform's phases: what a tile does on amplitudes, and the terms beside them, from the lowered bytes."""
    program = CIRCUITS["qft"](28).to_program()
    plan = native_plan(program, precision=Precision.SINGLE, tile=TileShape.of_gpu(Precision.SINGLE))
    [stage] = plan.segments[plan.entry].stages
    work = lower(plan, stage, plan.coefficients(program))
    done = merged = terms = 0
    for step in work.launches:
        whole = np.frombuffer(work.program, TILE_PASS, 1, step.offset)[0]
        stages = np.frombuffer(work.program, TILE_STAGE, whole["num_stages"], int(whole["stages"]))
        for trip in stages:
            ops = np.frombuffer(work.program, TILE_OP, trip["num_ops"], int(trip["ops"]))
            done += len(ops)
            merged += int((ops["kind"] == 11).sum())
            terms += int(ops["num_places"][ops["kind"] == 11].sum())
        constants = np.frombuffer(work.program, np.int32, 4 * whole["num_constants"], int(whole["constants"]))
        terms += int(constants.reshape(-1, 4)[:, 2].sum())
    assert done - merged + terms == len(plan.ops)  # nothing is lost
    assert done < 0.3 * len(plan.ops)


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_numbers_of_a_stage_have_a_bound(precision: Precision) -> None:
    """Matrices and angles lie in shared memory beside the tile, twice: what does not fit waits for the next stage."""
    builder = ProgramBuilder(2)
    for k in range(900):
        builder.rotation("XY"[k % 2], 0.01 * k, (0,))
        if k % 30 == 0:
            builder.dense(random_unitary(np.random.default_rng(k), 2), (0, 1))
    program = builder.finish()
    plan = native_plan(program, precision=precision, tile=TileShape.of_gpu(precision))
    [stage] = plan.segments[plan.entry].stages
    work = lower(plan, stage, plan.coefficients(program))
    [step] = work.launches
    whole = np.frombuffer(work.program, TILE_PASS, 1, step.offset)[0]
    stages = np.frombuffer(work.program, TILE_STAGE, whole["num_stages"], int(whole["stages"]))
    numbers = stages["num_entries"] + stages["num_angles"]
    assert stages["num_angles"].sum() == 900 and stages["num_entries"].sum() == 30 * 16
    assert numbers.max() <= whole["staged"] <= STAGED // precision.bytes_per_amplitude
    assert len(stages) <= -(-numbers.sum() * precision.bytes_per_amplitude // STAGED) + 1  # they are filled
    tile = precision.bytes_per_amplitude << whole["tile_bits"]
    assert step.shared_bytes == tile + 2 * whole["staged"] * precision.bytes_per_amplitude


@pytest.mark.parametrize("name", SWEEPS)
def test_the_page_of_predictions_is_current(name: str) -> None:
    """docs/gpu_model.md: sweeps at 28, 30 and 33 qubits, beside one gate per sweep and gates fused to five qubits."""
    found: dict[Precision, list[list[int]]] = {}
    for part in PAGE.read_text(encoding="utf-8").split("### ")[1:]:
        rows = [line.split("|")[2:6] for line in part.splitlines() if line.startswith(f"| {name} |")]
        found[Precision.of(part.split()[0].lower())] = [[int(cell) for cell in row] for row in rows]
    for precision, rows in found.items():
        assert [row[0] for row in rows] == list(gpu_model.SIZES)
        for num_qubits, sweeps, one_gate, fused in rows:
            circuit = CIRCUITS[name](num_qubits)
            assert (one_gate, fused) == (circuit.num_gates, gpu_model.fused_groups(circuit))
            assert sweeps == work(name, num_qubits, precision).sweeps, "python -m benchmarks gpu --model"
            assert sweeps <= fused <= one_gate
