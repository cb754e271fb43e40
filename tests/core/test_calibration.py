"""Calibration: counts that agree with arithmetic, a fit that finds constants, and a file that can't do harm."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from qsim_core import calibration
from qsim_core.compiler import compile_program
from qsim_core.cost_model import Work, default_model
from qsim_core.errors import UnsupportedError
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.program import Program, ProgramBuilder
from qsim_core.types import Precision

if registry.availability("native_cpu") is not None:
    pytest.skip("the core was not built here", allow_module_level=True)

BACKEND = registry.backend("native_cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QSIM_CACHE_DIR", str(tmp_path / "new"))
    return tmp_path / "new" / "calibration.json"


def works(program: Program, precision: Precision = Precision.DOUBLE, initial: str = "given") -> list[Work]:
    plan = compile_program(program, precision=precision, target="native_cpu", initial=initial)
    found = []
    for stage in plan.segments[plan.entry].stages:
        part = BACKEND.profile(plan, stage, plan.coefficients(program), None, RunControl(), from_zero=initial == "zero")
        assert part is not None
        found += part
    return found


def program_of(num_qubits: int, *targets: int) -> Program:
    builder = ProgramBuilder(num_qubits)
    for q in targets:
        builder.rotation("Y", 0.3, [q])
    return builder.finish()


def brickwork(num_qubits: int) -> Program:
    builder, rng = ProgramBuilder(num_qubits), np.random.default_rng(2)
    for layer in range(10):
        for q in range(num_qubits):
            builder.dense(np.linalg.qr(rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2)))[0], [q])
        for q in range(layer % 2, num_qubits - 1, 2):
            builder.phase(np.pi, [q, q + 1])
    return builder.finish()


def ghz(num_qubits: int) -> Program:
    builder = ProgramBuilder(num_qubits)
    builder.dense(np.array([[1, 1], [1, -1]]) / np.sqrt(2), [0])
    for q in range(num_qubits - 1):
        builder.permutation([1, 0], [q + 1], [q])
    return builder.finish()


def test_rotations_are_counted() -> None:
    # Real rotations: two multiply-adds per amplitude each, of vectors or within them; one load and store per three.
    [work] = works(program_of(12, *range(12)))
    assert work.local == tuple(range(12)) and work.operations == 12 and work.tiles == 1
    assert work.rotations + work.lanes == 2 * 12 * 2**12
    assert work.moved == 2**12 and work.touched in (3 * 2**12, 4 * 2**12, 5 * 2**12, 6 * 2**12)


def test_a_single_operation_is_a_sweep() -> None:
    [work] = works(program_of(12, 5))
    assert work.local == () and work.moved == 2**12 and work.rotations > 0


@pytest.mark.parametrize("precision", list(Precision))
def test_every_pass_moves_the_state_once(precision: Precision) -> None:
    program = brickwork(19)
    found = works(program, precision)
    assert len(found) > 1
    assert all(work.moved == 2**19 and work.tiles * 2 ** len(work.local) == 2**19 for work in found)
    assert sum(work.operations for work in found) == len(program)


def test_from_zero_only_tiles_that_hold_something_count() -> None:
    program = ghz(20)
    assert sum(w.moved for w in works(program, initial="zero")) < 2**18
    assert sum(w.moved for w in works(program)) >= 2**20


def test_measured_work_is_done(cache: Path) -> None:
    program = brickwork(12)
    plan = compile_program(program, target="native_cpu", initial="given")
    coefficients, control = plan.coefficients(program), RunControl(threads=2)
    amps, expected = (BACKEND.zero_state(1, 12, Precision.DOUBLE) for _ in range(2))
    timed = calibration.profile(BACKEND, plan, coefficients, control, amps)
    assert timed and all(work.seconds > 0 for work in timed)
    [stage] = plan.segments[plan.entry].stages
    BACKEND.run_stage(plan, stage, coefficients, expected, control)
    assert np.array_equal(amps, expected)


def test_large_registers_are_counted_without_memory() -> None:
    program = program_of(50, *range(50))
    assert sum(work.rotations + work.lanes for work in works(program)) == 2 * 50 * 2.0**50


def test_the_fit_finds_constants() -> None:
    # Times made of other constants: where probes tell constants apart, the fit finds them to the stiffness of the defaults.
    rng = np.random.default_rng(5)
    truth = np.array([1.0, 2.0, 0.5, 1.3])
    counts = np.vstack([np.eye(4) + 0.05 * rng.random((4, 4)) for _ in range(6)])
    factors = calibration._factors(counts / (counts @ truth)[:, None])
    assert factors == pytest.approx(truth, rel=0.1)
    uniform = calibration._factors(counts / (3 * counts.sum(axis=1))[:, None])
    assert uniform == pytest.approx(np.full(4, 3.0), rel=0.02)


def test_calibrated_constants_are_kept_and_used(cache: Path) -> None:
    model = calibration.calibrate(BACKEND)
    assert model == calibration.cost_model(BACKEND) and model.source.startswith("measured")
    assert os.listdir(cache.parent) == ["calibration.json"]
    calibration.forget()
    assert calibration.cost_model(BACKEND).source.startswith("defaults")
    calibration.forget()


def test_a_backend_that_does_not_count_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="counts its work"):
        calibration.calibrate(registry.backend("reference"))


def hostile() -> list[bytes]:
    key = calibration._key(BACKEND)
    endless = default_model("").to_json() | {"start": float("inf")}
    return [
        b"", b"\xff\x00", b"[" * 100_000, b"[1]", b"{" + b" " * 300_000 + b"}", json.dumps({key: 3}).encode(),
        json.dumps({key: endless}).encode(), json.dumps({key: {"single": {"moved": -1}}}).encode(),
    ]  # fmt: skip


@pytest.mark.parametrize("content", hostile(), ids=range(len(hostile())))
def test_a_hostile_file_is_left_aside(content: bytes, cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_bytes(content)
    with pytest.warns(UserWarning, match="Defaults are used"):
        assert calibration.cost_model(BACKEND).source.startswith("defaults")


def test_a_file_of_another_machine_says_nothing(cache: Path) -> None:
    cache.parent.mkdir()
    cache.write_text(json.dumps({"another machine": 3}))
    assert calibration.cost_model(BACKEND).source.startswith("defaults")
