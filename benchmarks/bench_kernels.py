"""Every kernel against one streaming sweep of the same state, over target positions.

    python benchmarks/bench_kernels.py --qubits 24 --threads 1 2

A sweep multiplies the state by a global phase: it reads and writes every amplitude once with next to no arithmetic,
so its bandwidth is the ceiling of this machine. It is timed again beside every operation, and ratios (time of the
operation over time of the sweep, medians over repetitions) are taken pair by pair: other load hits both alike.
An operation whose controls select half of the state may be faster than a sweep.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np

from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.plan import Coefficients, Plan
from qsim_core.program import ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, Precision

Append = Callable[[ProgramBuilder, int, int], None]  # (builder, target, num_qubits)

RNG = np.random.default_rng(0)


def unitary(width: int) -> np.ndarray:
    """Return a random unitary on ``width`` qubits."""
    size = 2**width
    return np.linalg.qr(RNG.normal(size=(size, size)) + 1j * RNG.normal(size=(size, size)))[0]


def spread(target: int, width: int, num_qubits: int) -> list[int]:
    """Return ``width`` different qubits, the first is ``target``, the others far from it and from each other."""
    step = max(1, num_qubits // width)
    found = [target]
    while len(found) < width:
        q = (found[-1] + step) % num_qubits
        while q in found:
            q = (q + 1) % num_qubits
        found.append(q)
    return found


UNITARY = {width: unitary(width) for width in (1, 2, 3, 4, 5, 6)}
HADAMARD = np.array([[1, 1], [1, -1]]) / np.sqrt(2)
PHASES = {width: np.exp(1j * RNG.normal(size=2**width)) for width in (1, 2, 5, 12)}

OPERATIONS: dict[str, Append] = {
    "U1 dense": lambda b, t, n: b.dense(UNITARY[1], [t]),
    "H": lambda b, t, n: b.dense(HADAMARD, [t]),
    "U1 controlled": lambda b, t, n: b.dense(UNITARY[1], [t], [(t + 1) % n]),
    "RX": lambda b, t, n: b.rotation("X", 0.3, [t]),
    "RY": lambda b, t, n: b.rotation("Y", 0.3, [t]),
    "RZ": lambda b, t, n: b.rotation("Z", 0.3, [t]),
    "RXX": lambda b, t, n: b.rotation("XX", 0.3, spread(t, 2, n)),
    "RZZ": lambda b, t, n: b.rotation("ZZ", 0.3, spread(t, 2, n)),
    "RXYZXYZ": lambda b, t, n: b.rotation("XYZXYZ", 0.3, spread(t, 6, n)),
    "P": lambda b, t, n: b.phase(0.3, [t]),
    "CZ": lambda b, t, n: b.phase(np.pi, [t, (t + 1) % n]),
    "X": lambda b, t, n: b.permutation([1, 0], [t]),
    "CX up": lambda b, t, n: b.permutation([1, 0], [t], [(t + 1) % n]),
    "CX down": lambda b, t, n: b.permutation([1, 0], [t], [(t - 1) % n]),
    "CX far": lambda b, t, n: b.permutation([1, 0], [t], [(t + n // 2) % n]),
    "SWAP": lambda b, t, n: b.permutation([0, 2, 1, 3], [t, (t + 1) % n]),
    "SWAP far": lambda b, t, n: b.permutation([0, 2, 1, 3], [t, (t + n // 2) % n]),
    "CX table": lambda b, t, n: b.permutation([0, 3, 2, 1], [t, (t + n // 2) % n]),
    "CSWAP": lambda b, t, n: b.permutation([0, 2, 1, 3], [t, (t + 1) % n], [(t + 2) % n]),
    "D1": lambda b, t, n: b.diagonal(PHASES[1], [t]),
    "D2": lambda b, t, n: b.diagonal(PHASES[2], spread(t, 2, n)),
    "D5": lambda b, t, n: b.diagonal(PHASES[5], spread(t, 5, n)),
    "D12": lambda b, t, n: b.diagonal(PHASES[12], spread(t, 12, n)),
    "U2 near": lambda b, t, n: b.dense(UNITARY[2], [t, (t + 1) % n]),
    "U2 far": lambda b, t, n: b.dense(UNITARY[2], spread(t, 2, n)),
    "U3": lambda b, t, n: b.dense(UNITARY[3], spread(t, 3, n)),
    "U4": lambda b, t, n: b.dense(UNITARY[4], spread(t, 4, n)),
    "U5": lambda b, t, n: b.dense(UNITARY[5], spread(t, 5, n)),
    "U6": lambda b, t, n: b.dense(UNITARY[6], spread(t, 6, n)),
}
VERBS: dict[str, Callable[[NativeCpuBackend, Amps, int, RunControl], object]] = {
    "norm": lambda b, a, t, c: b.norms(a, c),
    "<X>": lambda b, a, t, c: b.expectation_paulis(a, np.array([1 << t]), np.array([0]), c),
    "<ZZ>": lambda b, a, t, c: b.expectation_paulis(a, np.array([0]), np.array([1 | 1 << t]), c),
    "p(1)": lambda b, a, t, c: b.probabilities(a, [t], c),
    "p(8)": lambda b, a, t, c: b.probabilities(a, spread(t, 8, a.shape[1].bit_length() - 1), c),
}


def prepared(
    num_qubits: int, precision: Precision, append: Callable[[ProgramBuilder], None]
) -> tuple[Plan, Coefficients]:
    """Return the plan of a program of one operation."""
    builder = ProgramBuilder(num_qubits)
    append(builder)
    program = builder.finish()
    plan = trivial_plan(program, precision=precision)
    return plan, plan.coefficients(program)


def seconds(call: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def statistic(samples: list[tuple[float, float]]) -> float:
    """Return the median of the ratios, or the ratio of the best times if it is lower (other load came and went)."""
    median = statistics.median(op / base for op, base in samples)
    return min(median, min(op for op, _ in samples) / min(base for _, base in samples))


def cpu_name() -> str:
    """Return the model of this CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


@click.command()
@click.option("--qubits", default=24, show_default=True)
@click.option("--threads", default=[1, 2], multiple=True, show_default=True)
@click.option("--repeat", default=5, show_default=True)
@click.option("--isa", default=None, help="generic, avx2 or avx512; the best by default")
@click.option("--only", default="", help="run operations whose name contains this")
@click.option("--precision", default=["single", "double"], multiple=True, show_default=True)
def main(
    qubits: int, threads: tuple[int, ...], repeat: int, isa: str | None, only: str, precision: tuple[str, ...]
) -> None:
    """Print GB/s of a sweep, and per operation the median, worst and best ratio over targets."""
    backend = NativeCpuBackend(isa)
    click.echo(f"{cpu_name()}, {backend.description}, n = {qubits}")
    targets = sorted({*range(0, 6), qubits // 2, qubits - 2, qubits - 1})
    for kind in precision:
        for count in threads:
            table(backend, Precision(kind), qubits, count, repeat, targets, only)


def table(
    backend: NativeCpuBackend,
    precision: Precision,
    qubits: int,
    threads: int,
    repeat: int,
    targets: list[int],
    only: str,
) -> None:
    """Print one table."""
    control = RunControl(threads=threads)
    amps = backend.allocate(1, qubits, precision)
    backend.fill_zero_state(amps)
    plan, values = prepared(qubits, precision, lambda b: b.phase(0.1))
    stage = plan.segments[plan.entry].stages[0]

    def sweep() -> None:
        backend.run_stage(plan, stage, values, amps, control)

    best = min(seconds(sweep) for _ in range(5))
    click.echo(
        f"{precision.value}, {threads} threads: sweep {2 * amps.nbytes / best / 1e9:.1f} GB/s ({best * 1e3:.1f} ms)"
    )
    click.echo(f"{'':15} median  worst (at)    best")
    calls: dict[str, list[tuple[int, Callable[[], object]]]] = {}
    for name, append in OPERATIONS.items():
        for target in targets:
            run = prepared(qubits, precision, lambda b, append=append, target=target: append(b, target, qubits))  # type: ignore[misc]
            first = run[0].segments[run[0].entry].stages[0]
            calls.setdefault(name, []).append(
                (target, lambda run=run, first=first: backend.run_stage(run[0], first, run[1], amps, control))  # type: ignore[misc]
            )
    for name, verb in VERBS.items():
        calls[name] = [(t, lambda verb=verb, t=t: verb(backend, amps, t, control)) for t in targets]  # type: ignore[misc]
    for name, positions in calls.items():
        if only not in name:
            continue
        ratios = []
        for target, call in positions:
            samples = [(seconds(call), seconds(sweep)) for _ in range(repeat)]
            ratios.append((statistic(samples), target))
        worst, at = max(ratios)
        click.echo(
            f"{name:15} {statistics.median(r for r, _ in ratios):6.2f} {worst:6.2f} ({at:2}) {min(ratios)[0]:8.2f}"
        )


if __name__ == "__main__":
    main()
