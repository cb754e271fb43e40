"""What the cost model says of circuit families on GPUs: sweeps, bytes and predicted seconds. Needs no GPU.

Beside our plans stand two counts that other simulators work by: one sweep per gate, and gates fused greedily, in the order
of the circuit, into groups of at most five qubits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from qsim import Circuit
from qsim_core.kernels.cuda_cost import CARDS, COPY_SHARE, LAUNCH_SECONDS, Card, count_work, predict_seconds
from qsim_core.planner import TileShape, native_plan
from qsim_core.types import Precision

from .circuits import CIRCUITS
from .report import table

__all__ = ["SIZES", "Row", "fused_groups", "markdown", "rows"]

SIZES = (28, 30, 33)


class Row(NamedTuple):
    """One family at one size: sweeps ours and others', bytes ours, seconds by card (None where the state does not fit)."""

    family: str
    num_qubits: int
    precision: Precision
    sweeps: int
    one_gate: int
    fused: int
    bytes: int
    seconds: dict[str, float | None]


def fused_groups(circuit: Circuit, width: int = 5) -> int:
    """Return how many groups of at most ``width`` qubits the gates fuse into; a wider gate is a group of its own.

    A gate joins the latest group that touches its qubits, if it fits there; groups keep their order.

    >>> fused_groups(Circuit(3).h(0).cx(0, 1).cx(1, 2), 2)
    2
    """
    groups: list[set[int]] = []
    latest: dict[int, int] = {}
    for instruction in circuit.instructions:
        wires = set(instruction.wires)
        place = max((latest.get(q, -1) for q in wires), default=-1)
        # A later group is as good, as it runs after everything the gate has to wait for.
        found = next((k for k in range(max(place, 0), len(groups)) if len(groups[k] | wires) <= width), len(groups))
        if found == len(groups):
            groups.append(set())
        groups[found] |= wires
        latest.update(dict.fromkeys(wires, found))
    return len(groups)


def sweeps_seconds(sweeps: int, state_bytes: int, card: Card) -> float:
    """Return the time of sweeps that are bound by memory alone, the best a sweep can do."""
    return sweeps * (LAUNCH_SECONDS + 2 * state_bytes / (COPY_SHARE * card.bandwidth))


def rows(families: Iterable[str] = tuple(CIRCUITS), sizes: Iterable[int] = SIZES) -> Iterator[Row]:
    """Yield the table, both precisions."""
    for family in families:
        for n in sizes:
            circuit = CIRCUITS[family](n)
            program = circuit.to_program()
            groups = fused_groups(circuit)
            for precision in Precision:
                plan = native_plan(program, precision=precision, tile=TileShape.of_gpu(precision))
                work = count_work(plan, program)
                state = precision.bytes_per_amplitude << n
                seconds = {
                    name: predict_seconds(work, card) if state <= 0.95 * card.memory_bytes else None
                    for name, card in CARDS.items()
                }
                yield Row(family, n, precision, work.sweeps, circuit.num_gates, groups, sum(work.bytes), seconds)


def markdown(families: Iterable[str] = tuple(CIRCUITS), sizes: Iterable[int] = SIZES) -> str:
    """Return the tables as Markdown, one for each precision."""
    found = list(rows(families, sizes))
    parts = []
    head = ["family", "n", "sweeps", "one gate each", "fused to 5", "bytes moved, GiB"]
    head += [f"{name}, s" for name in CARDS] + ["one gate each, H100, s", "fused to 5, H100, s"]
    for precision in Precision:
        lines = []
        for row in found:
            if row.precision is precision:
                state = precision.bytes_per_amplitude << row.num_qubits
                fits = row.seconds["H100 SXM"] is not None
                others = [
                    sweeps_seconds(k, state, CARDS["H100 SXM"]) if fits else None for k in (row.one_gate, row.fused)
                ]
                cells = [f"{s:.3g}" if s is not None else "" for s in (*row.seconds.values(), *others)]
                counts = [row.num_qubits, row.sweeps, row.one_gate, row.fused]
                lines.append([row.family, *map(str, counts), f"{row.bytes / 2**30:.0f}", *cells])
        parts += [f"### {precision.value.capitalize()} precision", table(head, lines)]
    return "\n\n".join(parts) + "\n"
