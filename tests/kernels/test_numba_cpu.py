"""What only the numba backend has: chunks, threads, cycles cut into segments, fork."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.errors import InterruptedRunError, ShapeError
from qsim_core.kernels.control import RunControl
from qsim_core.program import Program, ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision

numba_cpu = pytest.importorskip("qsim_core.kernels.numba_cpu")
BACKEND = numba_cpu.NumbaCpuBackend()


@pytest.fixture
def tiny_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several threads and many chunks even on a few qubits, and cycles cut after seven moves."""
    monkeypatch.setattr(numba_cpu, "THREADING_THRESHOLD", 0)
    monkeypatch.setattr(numba_cpu, "FIRST_CHUNK", 5)
    monkeypatch.setattr(numba_cpu, "CHUNK_SECONDS", 0.0)
    monkeypatch.setattr(numba_cpu, "SEGMENT_MOVES", 7)


@pytest.mark.usefixtures("tiny_chunks")
@pytest.mark.parametrize("threads", [1, 3])
def test_conforms_in_tiny_chunks(threads: int) -> None:
    testing.assert_backend_conforms(BACKEND, [Precision.DOUBLE], [threads], seed=7)


def mixed_program(num_qubits: int) -> Program:
    rng = np.random.default_rng(3)
    builder = ProgramBuilder(num_qubits)
    for _ in range(3):
        order = rng.permutation(num_qubits).tolist()
        builder.rotation("XYZX", 0.7, order[:4], order[4:5])
        builder.dense(testing.random_unitary(rng, 2), order[:2])
        builder.permutation(testing.random_permutation(rng, 6), order[:6])
        builder.diagonal(testing.random_phases(rng, 3), order[3:6])
    return builder.finish()


def test_chunks_and_threads_never_change_a_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    program = mixed_program(8)
    plan = trivial_plan(program, precision=Precision.SINGLE)
    amps = testing.random_state(np.random.default_rng(1), 8, 1, Precision.SINGLE)
    results = [testing.run(BACKEND, plan, program, amps)]
    monkeypatch.setattr(numba_cpu, "THREADING_THRESHOLD", 0)
    for chunk in (1, 3, 64):
        monkeypatch.setattr(numba_cpu, "FIRST_CHUNK", chunk)
        results.append(testing.run(BACKEND, plan, program, amps, threads=4))
    assert len({result.tobytes() for result in results}) == 1


@pytest.mark.parametrize("limit", [1, 2, 7, 1000])
def test_segments_cover_every_cycle_once(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(numba_cpu, "SEGMENT_MOVES", limit)
    rng = np.random.default_rng(4)
    tables = [np.arange(64), np.roll(np.arange(64), 1), np.arange(64) ^ 1, *(rng.permutation(64) for _ in range(20))]
    for table in tables:
        starts, lengths, num_cut = numba_cpu._segments(table, RunControl())
        visited = []
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            assert 1 <= length <= limit
            for _ in range(length):
                start = int(table[start])
                visited.append(start)
        assert sorted(visited) == np.flatnonzero(table != np.arange(64)).tolist()
        assert 0 <= num_cut <= len(starts)


def test_deadline_and_cancel_stop_a_run() -> None:
    program = mixed_program(8)
    plan = trivial_plan(program)
    amps = testing.random_state(np.random.default_rng(1), 8)
    stage, coefficients = plan.segments[plan.entry].stages[0], plan.coefficients(program)
    cancelled = threading.Event()
    cancelled.set()
    for control in (RunControl(deadline=time.monotonic() - 1), RunControl(cancel=cancelled, threads=2)):
        with pytest.raises(InterruptedRunError):
            BACKEND.run_stage(plan, stage, coefficients, amps, control)


def test_no_thread_writes_after_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numba_cpu, "THREADING_THRESHOLD", 0)
    monkeypatch.setattr(numba_cpu, "FIRST_CHUNK", 1)
    monkeypatch.setattr(numba_cpu, "CHUNK_SECONDS", 0.0)
    builder = ProgramBuilder(12)
    builder.dense(testing.random_unitary(np.random.default_rng(0), 6), tuple(range(6)))
    program = builder.finish()
    plan = trivial_plan(program)
    amps = testing.random_state(np.random.default_rng(1), 12)
    polls = iter(range(10**6))

    class Interrupting(RunControl):
        def poll(self) -> None:
            if next(polls) == 1:  # the first poll inside the sweep, when the helpers are at work
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        BACKEND.run_stage(plan, plan.segments[plan.entry].stages[0], plan.coefficients(program), amps, Interrupting(3))
    after = amps.copy()
    time.sleep(0.05)
    assert (amps == after).all()


def test_progress_is_reported() -> None:
    program = mixed_program(6)
    plan = trivial_plan(program)
    seen: list[float] = []
    amps = testing.random_state(np.random.default_rng(1), 6)
    stage = plan.segments[plan.entry].stages[0]
    BACKEND.run_stage(plan, stage, plan.coefficients(program), amps, RunControl(progress=seen.append))
    assert seen == sorted(seen) and len(seen) == len(program) and min(seen) >= 0 and max(seen) <= 1


def test_strided_amplitudes_are_refused() -> None:
    strided = np.zeros((2, 16), dtype=np.complex128)[:, ::2]
    with pytest.raises(ShapeError, match="C-contiguous"):
        BACKEND.norms(strided, RunControl())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.usefixtures("tiny_chunks")
def test_a_forked_child_makes_its_own_threads() -> None:
    program = mixed_program(8)
    plan = trivial_plan(program)
    amps = testing.random_state(np.random.default_rng(1), 8)
    wanted = testing.run(BACKEND, plan, program, amps, threads=3)
    assert numba_cpu._pool is not None
    child = os.fork()
    if child == 0:
        same = numba_cpu._pool is None and (testing.run(BACKEND, plan, program, amps, threads=3) == wanted).all()
        os._exit(0 if same else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_numba_is_not_imported_before_it_is_needed() -> None:
    code = (
        "import sys, qsim_core.program, qsim_core.trivial_plan, qsim_core.testing, qsim_core.kernels.registry\n"
        "sys.exit(any(name in sys.modules for name in ('numba', 'hypothesis')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
