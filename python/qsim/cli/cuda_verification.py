"""``qsim verify --device cuda``: everything a CUDA backend promises, tried on the card that is here."""

from __future__ import annotations

import dataclasses
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import click
import numpy as np

from qsim_core import __version__, testing
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.resources import format_bytes
from qsim_core.types import Precision

from ..circuit import Circuit
from ..result import Result
from . import files
from .closed_forms import checks as closed_forms
from .exits import Exit
from .random_circuits import deviation, exact, random_circuits, run_sampled

__all__ = ["BACKENDS", "verify_cuda"]

BACKENDS = ("native_cuda", "cupy_cuda")
#: Qubits and gates of the random circuits: one chunk, one tile, several tiles.
SIZES = ((1, 12), (2, 20), (5, 60), (11, 80), (14, 80))
#: Below, at and above the chunk that a block of a reduction reads.
VERB_QUBITS = (1, 4, 12, 14)
#: Closed forms are checked at these sizes and, above, at each that fits.
_FIRST_SIZES = (4, 8, 12, 16, 20, 24, 26, 28)
_UNDER_SANITIZER = "QSIM_VERIFY_SANITIZER"
_TOOLS = ("memcheck", "racecheck", "synccheck", "initcheck")


def conforms(backend: Backend, precision: Precision) -> None:
    """Run the kit that every backend has to pass."""
    testing.assert_backend_conforms(backend, [precision], [1])


def verify_cuda(backend: str | None, largest: int, sanitizer: bool, json_out: str | None) -> int:
    """Check every CUDA backend that works here, or one; print a line for each check and return the exit code."""
    quiet = json_out == "-"
    say: Callable[[str], None] = (lambda text: None) if quiet else click.echo
    if backend is not None and backend not in BACKENDS:
        raise click.UsageError(f"--device cuda goes with --backend {' or '.join(BACKENDS)}, not {backend}")
    names = [backend] if backend else list(BACKENDS)
    reasons = {name: registry.availability(name) for name in names}
    usable = [name for name, reason in reasons.items() if reason is None]
    for name in (n for n in names if n not in usable):
        say(f"{name}: not available here ({reasons[name]})")
    checks: list[dict[str, Any]] = []
    for name in usable:
        say(f"{name}: {registry.backend(name).description}")
        for check in _checks(name, largest):
            checks.append({"backend": name, **check, "ok": not check["problem"]})
            place = f"{check['qubits']} qubits" if check["qubits"] else ""
            say(f"  {check['name']:<36}{check['precision']:<8}{place:<11}{check['problem'] or 'ok'}")
    if usable and sanitizer and not os.environ.get(_UNDER_SANITIZER):
        checks += _sanitized(usable[0], say)
    good = bool(usable) and all(check["ok"] for check in checks)
    if json_out:
        report = {
            "ok": good,
            "version": __version__,
            "devices": {n: _device(n) for n in usable},
            "unavailable": reasons,
        }
        files.write_json({**report, "checks": [_finite(check) for check in checks]}, json_out)
    if not usable:
        say(
            "Nothing was checked: no GPU can be used here. It takes an NVIDIA card and its driver; `qsim info` shows more."
        )
    else:
        say(
            "All hold." if good else "Something is wrong: do not trust this card's results, and please send the report."
        )
    return Exit.OK if good else Exit.FAILED


def _checks(name: str, largest: int) -> Iterator[dict[str, Any]]:
    backend = registry.backend(name)
    for precision in Precision:
        yield _outcome("conformance", 0, precision, partial(conforms, backend, precision))
        for n in VERB_QUBITS:
            yield _outcome("verbs", n, precision, partial(testing.assert_verbs_like_definition, backend, n, precision))
    for circuit in random_circuits(SIZES):
        truth = exact(circuit)
        for precision in Precision:
            yield _outcome(
                "random circuits", circuit.num_qubits, precision, partial(_deviation, circuit, truth, name, precision)
            )
    for precision in Precision:
        for n in _sizes(largest):
            needed = 2 * (precision.bytes_per_amplitude << n)  # the state, and what sampling and sums take beside it
            if needed > _free(backend):
                text = f"from {n} qubits on left out: {format_bytes(needed)} do not fit on the device"
                click.echo(f"  closed forms, {precision.value}: {text}", err=True)
                break
            yield from closed_forms(name, n, precision)


def _deviation(circuit: Circuit, truth: Result, backend: str, precision: Precision) -> tuple[float, float]:
    return deviation(run_sampled(circuit, backend, precision), truth, circuit.num_gates)


def _sizes(largest: int) -> Sequence[int]:
    return [*(n for n in _FIRST_SIZES if n <= largest), *range(_FIRST_SIZES[-1] + 1, largest + 1)]


def _free(backend: Any) -> int:
    return int(backend.device.memory_free())


def _outcome(name: str, qubits: int, precision: Precision, work: Callable[[], Any]) -> dict[str, Any]:
    """Run a check that raises where something is wrong, or returns (error, allowed)."""
    record = {"name": name, "qubits": qubits, "precision": precision.value, "problem": ""}
    try:
        found = work()
    except Exception as error:  # whatever a broken backend raises is a finding of this command
        return {**record, "problem": f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"}
    if found is not None:
        record |= {"error": found[0], "allowed": found[1]}
        if not found[0] <= found[1]:
            record["problem"] = f"WRONG by {found[0]:.2e}, allowed {found[1]:.1e}"
    return record


def _device(name: str) -> dict[str, Any]:
    backend: Any = registry.backend(name)
    return {field: np.asarray(value).tolist() for field, value in dataclasses.asdict(backend.device.properties).items()}


def _finite(check: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in check.items()}


def _sanitized(backend: str, say: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Run this command again, small, under each tool of compute-sanitizer; nothing where it is not installed."""
    program = shutil.which("compute-sanitizer")
    if program is None:
        say("compute-sanitizer: not found, left out (it comes with the CUDA toolkit)")
        return
    again = [sys.executable, "-m", "qsim", "verify", "--device", "cuda", "--backend", backend, "--largest", "8"]
    for tool in _TOOLS:
        done = subprocess.run(
            [program, "--tool", tool, "--error-exitcode", "86", *again],
            env={**os.environ, _UNDER_SANITIZER: tool}, capture_output=True, text=True,
        )  # fmt: skip
        problem = (
            "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stdout[-2000:]}{done.stderr[-500:]}"
        )
        say(f"  compute-sanitizer {tool:<18}{'ok' if not problem else 'FAILED'}")
        yield {"backend": backend, "name": f"compute-sanitizer {tool}", "qubits": 0, "precision": "", "problem": problem,
               "ok": not problem}  # fmt: skip
