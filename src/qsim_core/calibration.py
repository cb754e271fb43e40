"""Constants of the cost model measured on this machine, in a second or two, and kept in the user's cache.

Small programs of one kind each (rotations, dense matrices, diagonals, gates within vectors, passes over memory) run on
all threads. Their counted work times the default constants is compared with their times, and the constants are changed as
little as explains these: ridge regression of the relative error around the defaults.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np

from .compiler import compile_program
from .cost_model import CostModel, Rates, Work, default_model
from .errors import ParameterError, UnsupportedError, expected
from .kernels.contract import Backend
from .kernels.control import RunControl
from .plan import Coefficients, Plan
from .program import Program, ProgramBuilder
from .resources import available_threads, cpu_model
from .types import Amps, FloatArray, Precision

__all__ = ["calibrate", "cost_model", "forget", "profile", "stored_path"]

#: Qubits of the probes: tables and operations, work in cache, memory (64 MiB).
_TINY, _CACHED, _LARGE = 8, 19, {Precision.SINGLE: 23, Precision.DOUBLE: 22}
_LARGEST_FILE = 2**18
_STIFFNESS = 0.05  # how much a relative change of a constant weighs beside a relative error


def stored_path() -> Path:
    """Return the file that keeps calibrations: in QSIM_CACHE_DIR, or else where this system keeps caches of users."""
    chosen = os.environ.get("QSIM_CACHE_DIR")
    if chosen:
        return Path(chosen) / "calibration.json"
    if os.name == "nt":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "qsim" / "calibration.json"


def cost_model(backend: Backend) -> CostModel:
    """Return what was calibrated for this machine and backend, else the defaults. A file that makes no sense is left aside."""
    try:
        data = _read(stored_path()).get(_key(backend))
        if data is not None:
            return CostModel.from_json(data)
    except ParameterError as error:
        warnings.warn(f"{stored_path()}: {error} Defaults are used; `qsim calibrate` repairs it.", stacklevel=2)
    return default_model(_isa(backend), cpu_model())


def forget() -> None:
    """Remove all calibrations."""
    stored_path().unlink(missing_ok=True)


def calibrate(backend: Backend, store: bool = True) -> CostModel:
    """Measure the constants of a backend on this machine; takes a second or two and 130 MiB. Nothing else should run.

    Args:
        backend: one that counts its work: native_cpu.
        store: keep them for :func:`cost_model`.

    Raises:
        UnsupportedError: for a backend that doesn't count.
        OSError: where the cache can't be written.
    """
    defaults = default_model(_isa(backend), cpu_model())
    rates = {precision: _fitted(backend, defaults.rates(precision), precision) for precision in Precision}
    threads = available_threads()
    size, fresh_seconds = _fresh(backend)
    model = CostModel(
        f"measured with {threads} threads, {time.strftime('%Y-%m-%d')}",
        rates[Precision.SINGLE],
        rates[Precision.DOUBLE],
        bandwidth=_bandwidth(backend, threads),
        fresh=max(fresh_seconds / size, 1e-13),
        start=_start(backend),
    )
    if store:
        _write(stored_path(), {**_usable(stored_path()), _key(backend): model.to_json()})
    return model


def profile(
    backend: Backend, plan: Plan, coefficients: Coefficients, control: RunControl, amps: Amps | None = None
) -> list[Work] | None:
    """Return the work of all segments of a plan, each counted once; with amplitudes it is done on them, and timed.

    None from a backend that doesn't count.
    """
    works: list[Work] = []
    for segment in plan.segments:
        on_register = plan.on_register(segment)
        from_zero = segment is plan.segments[plan.entry]
        for stage in segment.stages:
            found = backend.profile(on_register, stage, coefficients, amps, control, from_zero=from_zero)
            if found is None:
                return None
            works += found
            from_zero = False
    return works


# --- probes -----------------------------------------------------------------------------------------------------------


def _probes(precision: Precision) -> Iterator[tuple[int, Program]]:
    """Yield sizes and programs in which one kind of work after the other is most of it."""
    rng = np.random.default_rng(0)
    matrices = np.linalg.qr(rng.normal(size=(64, 2, 2)) + 1j * rng.normal(size=(64, 2, 2)))[0]
    blocks = np.linalg.qr(rng.normal(size=(16, 4, 4)) + 1j * rng.normal(size=(16, 4, 4)))[0]

    def program(num_qubits: int, add: Callable[[ProgramBuilder], None]) -> tuple[int, Program]:
        builder = ProgramBuilder(num_qubits)
        add(builder)
        return num_qubits, builder.finish()

    def brickwork(qubits: range, layers: int) -> Callable[[ProgramBuilder], None]:
        def add(builder: ProgramBuilder) -> None:
            for layer in range(layers):
                for q in qubits:
                    builder.dense(matrices[(layer * 5 + q) % 64], [q])
                for q in qubits[layer % 2 : -1 : 2]:
                    builder.phase(np.pi, [q, q + 1])

        return add

    def dense(builder: ProgramBuilder) -> None:
        for layer in range(4):
            for q in range(6 + layer % 2, _CACHED - 1, 2):
                builder.dense(blocks[(3 * layer + q) % 16], [q, q + 1])

    def diagonals(builder: ProgramBuilder) -> None:
        for q in reversed(range(_CACHED)):
            builder.dense(matrices[q], [q])
            for other in range(q):
                builder.phase(0.1 + q - other, [other, q])

    def ising(num_qubits: int, steps: int) -> Callable[[ProgramBuilder], None]:
        def add(builder: ProgramBuilder) -> None:
            for _ in range(steps):
                for q in range(num_qubits - 1):
                    builder.rotation("ZZ", 0.3, [q, q + 1])
                for q in range(num_qubits):
                    builder.rotation("X", 0.4, [q])

        return add

    yield program(_TINY, brickwork(range(_TINY), 40))
    yield program(_CACHED, brickwork(range(6, _CACHED), 12))
    yield program(_CACHED, brickwork(range(_CACHED), 12))
    yield program(_CACHED, brickwork(range(5), 12))
    yield program(_CACHED, dense)
    yield program(_CACHED, diagonals)
    yield program(_CACHED, ising(_CACHED, 6))
    large = _LARGE[precision]
    yield program(large, ising(large, 1))


def _prepared(backend: Backend, program: Program, precision: Precision) -> tuple[Plan, Coefficients]:
    plan = compile_program(program, precision=precision, target=backend.name, initial="given")
    return plan, plan.coefficients(program)


def _timed(backend: Backend, program: Program, precision: Precision, amps: Amps, repeat: int) -> Work:
    """Return a core's part of a program's work with the median of its times, all threads at work."""
    plan, coefficients = _prepared(backend, program, precision)
    found, threads = [], available_threads()
    for _ in range(repeat):
        works = profile(backend, plan, coefficients, RunControl(threads=threads), amps)
        if works is None:
            raise UnsupportedError(expected("backend to calibrate", "one that counts its work", backend.name))
        found.append(_of_one_core(works, threads))
    return sorted(found, key=lambda work: work.seconds)[len(found) // 2]  # a fast moment is no promise


def _of_one_core(works: list[Work], threads: int) -> Work:
    once = ("operations", "entries", "seconds")
    sums = {
        field.name: sum(getattr(w, field.name) / (1 if field.name in once else w.shares(threads)) for w in works)
        for field in fields(Work)
        if field.name != "local"
    }
    return Work(local=(), **sums)


def _fitted(backend: Backend, start: Rates, precision: Precision) -> Rates:
    names = [field.name for field in fields(Rates)]
    rows = []
    for num_qubits, program in _probes(precision):
        amps = backend.allocate(1, num_qubits, precision)
        backend.fill_zero_state(amps)
        rows.append(_timed(backend, program, precision, amps, 3 if num_qubits >= _CACHED else 11))
    shares = np.array([[1e-9 * getattr(start, n) * getattr(work, n) / work.seconds for n in names] for work in rows])
    return start.scaled(dict(zip(names, _factors(shares).tolist(), strict=True)))


def _factors(shares: FloatArray) -> FloatArray:
    """Return factors x for the constants such that ``shares @ x`` is near one, and x near a common factor.

    ``shares[i, j]`` is the part of probe i's time that constant j explains as it is.
    """
    common = 1 / float(np.median(shares.sum(axis=1)))
    size = shares.shape[1]
    matrix = np.vstack([shares * common, np.sqrt(_STIFFNESS) * np.eye(size)])
    wanted = np.concatenate([np.ones(len(shares)), np.full(size, np.sqrt(_STIFFNESS))])
    relative = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    return common * np.clip(relative, 0.2, 5.0)


def _bandwidth(backend: Backend, threads: int) -> float:
    """Return bytes per second, read and written, of sweeps by all threads."""
    precision = Precision.DOUBLE
    num_qubits = _LARGE[precision]
    builder = ProgramBuilder(num_qubits)
    builder.phase(0.1)
    plan, coefficients = _prepared(backend, builder.finish(), precision)
    amps = backend.allocate(1, num_qubits, precision)
    backend.fill_zero_state(amps)
    [stage] = plan.segments[plan.entry].stages
    control = RunControl(threads=threads)
    return 2 * amps.nbytes / _shortest(lambda: backend.run_stage(plan, stage, coefficients, amps, control), 5)


def _fresh(backend: Backend) -> tuple[int, float]:
    """Return bytes of new memory, and the seconds more that writing to them takes the first time."""
    num_qubits = _LARGE[Precision.DOUBLE]
    amps = backend.allocate(1, num_qubits, Precision.DOUBLE)
    first = _shortest(lambda: backend.fill_zero_state(amps), 1)
    return amps.nbytes, first - _shortest(lambda: backend.fill_zero_state(amps), 3)


def _start(backend: Backend) -> float:
    """Return the seconds of a run that does next to nothing."""
    builder = ProgramBuilder(2)
    builder.phase(0.1, [0])
    program = builder.finish()
    plan, coefficients = _prepared(backend, program, Precision.DOUBLE)
    [stage] = plan.segments[plan.entry].stages

    def run() -> None:
        amps = backend.allocate(1, 2, Precision.DOUBLE)
        backend.fill_zero_state(amps)
        backend.run_stage(plan, stage, coefficients, amps, RunControl())

    return _shortest(run, 50)


def _shortest(work: Callable[[], object], repeat: int) -> float:
    taken = []
    for _ in range(repeat):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return min(taken)


# --- the file ---------------------------------------------------------------------------------------------------------


def _isa(backend: Backend) -> str:
    return str(getattr(backend, "isa", ""))


def _key(backend: Backend) -> str:
    """Return what a calibration is for; a home directory may serve several machines."""
    return f"{backend.name} {_isa(backend)}, {available_threads()} threads, {cpu_model()}"


def _read(path: Path) -> dict[str, object]:
    """Return the entries of the file, none if there is none.

    Raises:
        ParameterError: if it can't be read or is no JSON object of reasonable size.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ParameterError(f"calibration: {error.strerror}.") from None
    try:
        data = json.loads(text) if len(text) <= _LARGEST_FILE else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise ParameterError(expected("calibration", f"a JSON object of at most {_LARGEST_FILE} bytes", "another file"))
    return data


def _usable(path: Path) -> dict[str, object]:
    try:
        return dict(list(_read(path).items())[-15:])
    except ParameterError:
        return {}


def _write(path: Path, data: dict[str, object]) -> None:
    """Replace the file at once: a reader sees the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
