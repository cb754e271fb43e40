"""What a plan asks of a GPU, and how long a given card should take: sweeps, bytes, arithmetic, shared memory.

A roofline: a launch takes as long as the slowest of its memory traffic (at 85 % of the card's peak, what a copy reaches),
its multiply-adds and its trips through shared memory, plus a launch's latency. Never measured on hardware yet: the
figures say which of the three a kernel should be bound by, and by how much a plan beats another.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from ..operations import OpKind
from ..plan import Plan
from ..program import Program
from ..types import Precision
from .cuda_device import DeviceProperties
from .launches import LaunchList, lower

__all__ = ["CARDS", "Card", "Work", "count_work", "predict_seconds"]

#: Share of the peak bandwidth that a device-to-device copy reaches.
COPY_SHARE = 0.85
LAUNCH_SECONDS = 3e-6


@dataclass(frozen=True, slots=True)
class Card:
    """Peaks of a card, per second: bytes of its memory, multiply-adds in f32 and f64, bytes of shared memory."""

    bandwidth: float
    single: float
    double: float
    shared: float
    memory_bytes: int

    @classmethod
    def of(cls, device: DeviceProperties) -> Card:
        """Return the peaks of a device from what its driver says of it."""
        clock = device.clock_khz * 1e3
        lanes = 64 if device.compute_capability == (8, 0) else 128  # f32 lanes of a multiprocessor
        single = device.multiprocessors * lanes * clock
        return cls(
            device.bandwidth,
            single,
            single * device.double_rate,
            device.multiprocessors * 128 * clock,
            device.memory_bytes,
        )


#: Data-sheet peaks of cards people have.
CARDS = {
    "A100 80GB": Card(2.04e12, 9.75e12, 4.85e12, 108 * 128 * 1.41e9, 80 << 30),
    "H100 SXM": Card(3.35e12, 33.5e12, 17e12, 132 * 128 * 1.83e9, 80 << 30),
    "H200": Card(4.8e12, 33.5e12, 17e12, 132 * 128 * 1.83e9, 141 << 30),
    "B200": Card(8.0e12, 40e12, 20e12, 148 * 128 * 1.9e9, 180 << 30),
    "RTX 4090": Card(1.01e12, 41.3e12, 0.645e12, 128 * 128 * 2.52e9, 24 << 30),
    "RTX 5090": Card(1.79e12, 52.4e12, 0.82e12, 170 * 128 * 2.41e9, 32 << 30),
}


@dataclass(frozen=True, slots=True)
class Work:
    """What the launches of a straight-line plan ask for, one entry per launch."""

    num_qubits: int
    precision: Precision
    bytes: tuple[int, ...]
    multiply_adds: tuple[float, ...]
    shared_bytes: tuple[int, ...]

    @property
    def sweeps(self) -> int:
        """Times the state is read and written."""
        return len(self.bytes)


def count_work(plan: Plan, program: Program) -> Work:
    """Return the work of the straight-line part of a plan, from its launches. Nothing of the size of a state is allocated."""
    launches: list[LaunchList] = []
    coefficients = plan.coefficients(program, np.zeros((1, len(program.slots))))
    for stage in plan.segments[plan.entry].stages:
        launches.append(lower(plan, stage, coefficients))
    steps = [step for found in launches for step in found.launches]
    state = plan.precision.bytes_per_amplitude << plan.num_qubits
    rows = [step.op for step in steps] + [len(plan.ops)]
    cost = _multiply_adds(plan)
    return Work(
        plan.num_qubits,
        plan.precision,
        tuple(2 * state for _ in steps),
        tuple(float(cost[first:last].sum()) * 2.0**plan.num_qubits for first, last in itertools.pairwise(rows)),
        # A stage reads and writes the tile once; filling and emptying it does so once more.
        tuple(2 * state * (step.stages + 1) if step.stages else 0 for step in steps),
    )


def _multiply_adds(plan: Plan) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return multiply-adds per amplitude of every row; a controlled operation leaves the others alone."""
    ops = plan.ops
    wires = np.diff(ops.offset)
    active = 0.5 ** (wires - ops.num_targets)
    dense = 4.0 * 2.0**ops.num_targets
    return np.select(
        [ops.kind == OpKind.DENSE, ops.kind == OpKind.PERMUTATION, ops.kind == OpKind.INITIALIZE], [dense, 0.0, 4.0], 4.0
    ) * active  # fmt: skip


def predict_seconds(work: Work, card: Card) -> float:
    """Return the roofline time of the launches on a card; what its driver does not tell (a rate of 0) takes no time."""
    rate = card.single if work.precision is Precision.SINGLE else card.double

    def seconds(amount: float, rate: float) -> float:
        return amount / rate if rate else 0.0

    return sum(
        LAUNCH_SECONDS
        + max(seconds(moved, COPY_SHARE * card.bandwidth), seconds(math, rate), seconds(shared, card.shared))
        for moved, math, shared in zip(work.bytes, work.multiply_adds, work.shared_bytes, strict=True)
    )
