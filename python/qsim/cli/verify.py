"""``qsim verify``: does every backend of this machine compute what the reference says?"""

from __future__ import annotations

import math
import random
from typing import Any, NamedTuple

import click
import numpy as np

from qsim_core.gates import GATES
from qsim_core.kernels import registry
from qsim_core.resources import available_threads
from qsim_core.types import Precision

from ..circuit import Circuit
from ..result import Result
from ..simulator import Simulator
from . import files, options
from .exits import EXIT_CODES, Exit

__all__ = ["verify"]

#: Qubits and gates of the random circuits: tiny ones, and one whose state spans several tiles and threads.
_SIZES = ((1, 12), (2, 20), (4, 60), (7, 120), (15, 40))
_SHOTS = 200
_SEED = 2024

_HELP = f"""Compare every backend with the reference, in both precisions, with one thread and with all.

Random circuits over the whole gate table, with extra controls; amplitudes must agree to rounding, and in double
precision the shots of the same seed must be the same.

\b
Examples:
  qsim verify
  qsim verify --backend numba_cpu

{EXIT_CODES}"""


class _Row(NamedTuple):
    backend: str
    precision: str
    threads: int
    circuits: int
    error: float
    allowed: float
    problem: str


@click.command(help=_HELP, short_help="Compare every backend with the reference.")
@click.option(
    "--backend",
    metavar="NAME",
    callback=options.known_backend,
    help="Check this one only. Default: all that are available.",
)
@options.JSON_OUT
def verify(backend: str | None, json_out: str | None) -> int:
    """Print one line per backend, precision and number of threads; the exit code says whether all agree."""
    if backend is not None:
        registry.backend(backend)  # raises with the reason
        names = [registry.backend(backend).name]
    else:
        names = [name for name in registry.names() if registry.availability(name) is None]
    cases = [_circuit(n, gates, random.Random(_SEED + k)) for k, (n, gates) in enumerate(_SIZES)]
    exact = [_run(circuit, "reference", Precision.DOUBLE, 1) for circuit in cases]
    rows = []
    quiet = json_out == "-"
    if not quiet:
        click.echo(_table_row("backend", "precision", "threads", "circuits", "largest error", "allowed", "verdict"))
    for name in names:
        for precision in Precision:
            for threads in sorted({1, available_threads()}):
                row = _check(name, precision, threads, cases, exact)
                rows.append(row)
                if not quiet:
                    figures = (f"{row.error:.2e}", f"{row.allowed:.1e}", row.problem or "ok")
                    click.echo(_table_row(row.backend, row.precision, row.threads, row.circuits, *figures))
    good = all(not row.problem for row in rows)
    if json_out:
        files.write_json({"ok": good, "checks": [_row_json(row) for row in rows]}, json_out)
    if not quiet:
        missing = [name for name in registry.names() if registry.availability(name) is not None]
        for name in missing if backend is None else ():
            click.echo(f"{name}: not available here ({registry.availability(name)})")
        click.echo("All agree." if good else "Something is wrong: do not trust these backends, and please report it.")
    return Exit.OK if good else Exit.FAILED


def _table_row(*cells: object) -> str:
    return "".join(f"{cell!s:<{width}}" for cell, width in zip(cells, (14, 11, 9, 10, 15, 11, 0), strict=True))


def _row_json(row: _Row) -> dict[str, Any]:
    return {**row._asdict(), "error": row.error if math.isfinite(row.error) else None}


def _check(name: str, precision: Precision, threads: int, cases: list[Circuit], exact: list[Result]) -> _Row:
    worst, allowed, problem = 0.0, 0.0, ""
    for circuit, truth in zip(cases, exact, strict=True):
        bound = 16 * precision.epsilon * math.sqrt(circuit.num_gates + 1)
        allowed = max(allowed, bound)
        try:
            result = _run(circuit, name, precision, threads)
        except Exception as error:  # whatever a broken backend raises is a finding of this command
            problem = f"{type(error).__name__}: {error}"
            return _Row(name, precision.value, threads, len(cases), math.inf, allowed, problem)
        deviation = float(np.abs(result.state_vector - truth.state_vector).max())
        worst = max(worst, deviation) if math.isfinite(deviation) else math.inf
        if not deviation <= bound:
            problem = f"WRONG at {circuit.num_qubits} qubits"
        elif precision is Precision.DOUBLE and result.counts != truth.counts:
            problem = f"OTHER SHOTS at {circuit.num_qubits} qubits"
    return _Row(name, precision.value, threads, len(cases), worst, allowed, problem)


def _run(circuit: Circuit, backend: str, precision: Precision, threads: int) -> Result:
    simulator = Simulator(backend, precision, threads, _SEED)
    result = simulator.run(circuit, shots=_SHOTS, outputs=["state"])
    assert isinstance(result, Result)
    return result


def _circuit(num_qubits: int, num_gates: int, rng: random.Random) -> Circuit:
    """Return a random circuit that starts with every gate of the table that fits, measured at its end."""
    circuit = Circuit(num_qubits)
    for qubit in range(num_qubits):
        circuit.ry(rng.uniform(0, math.pi), qubit)
    fitting = [spec for spec in GATES.values() if spec.num_qubits <= num_qubits]
    for spec in fitting + rng.choices(fitting, k=num_gates):
        extra = rng.randint(0, min(2, num_qubits - spec.num_qubits)) if rng.random() < 0.3 else 0
        wires = rng.sample(range(num_qubits), spec.num_qubits + extra)
        params = [rng.uniform(-math.pi, math.pi) for _ in spec.params]
        values = [rng.randint(0, 1) for _ in range(extra)]
        circuit.append(spec, wires[extra:], params, wires[:extra], values)
    return circuit.measure_all()
