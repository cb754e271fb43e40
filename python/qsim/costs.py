"""What a run takes: passes, bytes, arithmetic, predicted and measured time; the data behind ``explain`` and ``qsim plan``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core import calibration
from qsim_core.cost_model import CostModel, Work
from qsim_core.errors import UnsupportedError, expected
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.plan import Plan
from qsim_core.program import Program
from qsim_core.resources import check_memory, format_bytes, format_seconds
from qsim_core.types import Amps

__all__ = ["Costs", "costs_of"]

_SHOWN = 24


@dataclass(frozen=True)
class Costs:
    """The work of a plan, group by group of passes that run together, and the model that predicts its time.

    A backend that doesn't count its work has no model: there is one group per pass then, with its bytes.
    Of a circuit that measures in its middle every segment is counted once.
    """

    plan: Plan
    works: tuple[Work, ...]
    model: CostModel | None
    threads: int
    #: Seconds of a whole run; None where none was made.
    measured_seconds: float | None = None

    @property
    def bytes(self) -> float:
        """Bytes of the state read and written."""
        return sum(work.bytes(self.plan.precision) for work in self.works)

    @property
    def flops(self) -> float:
        """Floating-point operations on amplitudes."""
        return sum(work.flops for work in self.works)

    @cached_property
    def group_seconds(self) -> Sequence[float | None]:
        """Predicted time of each group, None without a model."""
        if self.model is None:
            return [None] * len(self.works)
        return self.model.seconds(self.works, self.plan.precision, self.threads)

    @property
    def predicted_seconds(self) -> float | None:
        """Predicted time from a planned circuit until its state is in memory, None without a model."""
        if self.model is None:
            return None
        state = self.plan.precision.bytes_per_amplitude << self.plan.num_qubits
        return self.model.run_seconds(self.works, self.plan.precision, self.threads, state)

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain data; seconds of groups are None where they were not measured."""
        return {
            "threads": self.threads,
            "constants": self.model and self.model.source,
            "bytes_moved": self.bytes,
            "flops": self.flops,
            "predicted_seconds": self.predicted_seconds,
            "measured_seconds": self.measured_seconds,
            "groups": [
                {
                    "local": list(work.local),
                    "operations": work.operations,
                    "bytes_moved": work.bytes(self.plan.precision),
                    "flops": work.flops,
                    "predicted_seconds": predicted,
                    "measured_seconds": work.seconds or None,
                }
                for work, predicted in zip(self.works, self.group_seconds, strict=True)
            ],
        }

    def lines(self) -> list[str]:
        """Return the table of groups as text, and the sum."""
        precision = self.plan.precision
        head = ["operations", "bytes", "GFLOP", "predicted", "measured", "local qubits"]
        rows = [head]
        for work, predicted in [*zip(self.works, self.group_seconds, strict=True)][:_SHOWN]:
            cells = _row(work.operations, work.bytes(precision), work.flops, predicted, work.seconds or None)
            rows.append([*cells, ranges(work.local) or "none: swept one by one"])
        if len(self.works) > _SHOWN:
            rows.append([f"… {len(self.works) - _SHOWN} more"] + [""] * (len(head) - 1))
        total = _row(sum(work.operations for work in self.works), self.bytes, self.flops, self.predicted_seconds,
                     self.measured_seconds)  # fmt: skip
        source = "this backend's time is not predicted" if self.model is None else f"constants: {self.model.source}"
        rows.append([*total, f"whole run, {self.threads} threads; {source}"])
        shown = [k for k in range(len(head)) if any(row[k] for row in rows[1:])]
        rows = [[row[k] for k in shown] for row in rows]
        widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]) - 1)]
        return ["  ".join([*(cell.rjust(w) for cell, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]


def _row(operations: int, moved: float, flops: float, predicted: float | None, measured: float | None) -> list[str]:
    return [
        str(operations),
        format_bytes(round(moved)),
        f"{flops / 1e9:.3g}" if flops else "",
        "" if predicted is None else format_seconds(predicted),
        "" if measured is None else format_seconds(measured),
    ]


def ranges(qubits: Sequence[int]) -> str:
    """Return ascending numbers in short.

    >>> ranges((0, 1, 2, 5, 7, 8))
    '0-2 5 7-8'
    """
    parts: list[list[int]] = []
    for q in qubits:
        if parts and parts[-1][-1] == q - 1:
            parts[-1] = [parts[-1][0], q]
        else:
            parts.append([q])
    return " ".join("-".join(map(str, part)) for part in parts)


def costs_of(
    program: Program,
    plan: Plan,
    backend: Backend,
    threads: int,
    slots: npt.ArrayLike | None = None,
    measure: bool = False,
) -> Costs:
    """Return what a run from |0…0⟩ takes.

    Args:
        program: what is run; parameters without ``slots`` get values of no special meaning (a rotation by π is free).
        plan: of the program, for the backend.
        backend: counts, predicts and, with ``measure``, runs.
        threads: of the run.
        slots: values of the program's slots, shape (P,).
        measure: run it, once.

    Raises:
        UnsupportedError: to measure a circuit that measures, resets or branches before its end, or on a backend that
            doesn't count its work.
        MemoryBudgetError: to measure what does not fit.
    """
    values = 0.3 + 0.01 * np.arange(len(program.slots)) if slots is None else slots
    coefficients, control = plan.coefficients(program, values), RunControl(threads=threads)
    works = calibration.profile(backend, plan, coefficients, control)
    if works is None:
        if measure:
            raise UnsupportedError(expected("backend to measure passes on", "one that counts its work", backend.name))
        return Costs(plan, tuple(_passes(plan)), None, threads)
    model = calibration.cost_model(backend)
    if not measure:
        return Costs(plan, tuple(works), model, threads)
    if not plan.straight_line:
        allowed = "a circuit without measurements, resets and branches before its end"
        raise UnsupportedError(expected("circuit to measure", allowed, repr(plan)))
    check_memory(plan.num_qubits, 1, plan.precision, backend.scratch_bytes(plan), memory_free=backend.memory_free)
    started = time.perf_counter()
    amps: Amps = backend.zero_state(1, plan.num_qubits, plan.precision)
    timed = calibration.profile(backend, plan, coefficients, control, amps) or []
    return Costs(plan, tuple(timed), model, threads, measured_seconds=time.perf_counter() - started)


def _passes(plan: Plan) -> list[Work]:
    """Return what is known of passes without counting."""
    result = []
    for segment in plan.segments:
        for stage in segment.stages:
            for p in stage.passes:
                row = plan.pass_(p)
                moved = 2.0 ** len(segment.register)
                result.append(Work(row.local, len(row.ops), 1, 0, moved, 0, 0, 0, 0, 0, 0))
    return result
