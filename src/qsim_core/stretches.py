"""Several segments run as one: where nothing parts the histories between them, their operations share passes.

A plan cuts a circuit where a run may part: at measurements, channels and conditions. On its way a history often knows
what comes next (which arm of a condition, no error at a channel), and the segments on this way are planned again as one
straight line, the first time it is taken.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np

from .kernels.contract import Backend, Regrouping
from .kernels.control import RunControl
from .optable import concatenated
from .plan import Coefficients, End, Plan, Segment, Stage
from .types import Amps, FloatArray

__all__ = ["Stretches", "stretch"]

#: Amplitudes from which on a stretch is planned as one; below, planning takes longer than the passes it saves.
WORTHWHILE = 2**16
#: Plans kept, those used last.
_KEPT = 256


def stretch(plan: Plan, path: tuple[int, ...]) -> Plan:
    """Return the straight line that runs the stages of segments on one register, one after the other.

    It numbers qubits by their place in the register, and shares the coefficients of ``plan``.
    """
    assert plan.partition is not None
    register = plan.segments[path[0]].register
    ranges = [plan.op_range(stage) for here in path for stage in plan.segments[here].stages]
    ops = concatenated([plan.ops.rows(rows.start, rows.stop) for rows in ranges])
    part = plan.partition(ops, np.array([0, len(ops)]), len(register))
    places = tuple(range(len(register)))
    line = Segment((Stage(range(len(part.passes)), places),), End(), places)
    ordered = ops if part.order is None else ops.taken(part.order)
    return Plan(plan.planner, len(register), 0, plan.precision, ordered, part.passes, (line,), 0)


class Stretches:
    """Runs paths of segments; keeps the plans it made."""

    def __init__(self, plan: Plan, coefficients: Coefficients, backend: Backend) -> None:
        self.plan, self.coefficients, self.backend = plan, coefficients, backend
        self._kept: OrderedDict[tuple[int, ...], Plan] = OrderedDict()

    def run(
        self,
        path: tuple[int, ...],
        amps: Amps,
        control: RunControl,
        *,
        move: Regrouping | None = None,
        out: Amps | None = None,
        read: Sequence[int] = (),
    ) -> tuple[Amps, FloatArray | None]:
        """Run the stages of segments of one register, between two measurements (:meth:`Backend.run_between`).

        Without a move it is in place. Every segment of a path has a stage.
        """
        plans = self._plans(
            path, amps.size if move is None else len(move.rows) << len(self.plan.segments[path[0]].register)
        )
        stages = [(plan, stage) for plan, segment in plans for stage in segment.stages]
        weights: FloatArray | None = None
        for k, (plan, stage) in enumerate(stages, start=1):
            measured = read if k == len(stages) else ()
            amps, weights = self.backend.run_between(
                plan, stage, self.coefficients, amps, control, move=move, out=out, read=measured
            )
            move = out = None
        return amps, weights

    def _plans(self, path: tuple[int, ...], amplitudes: int) -> list[tuple[Plan, Segment]]:
        """Return the plans that run a path on so many amplitudes, each with its segment."""
        if len(path) == 1 or amplitudes < WORTHWHILE or self.plan.partition is None:
            segments = [self.plan.segments[here] for here in path]
            return [(self.plan.on_register(segment), segment) for segment in segments]
        if path not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[path] = stretch(self.plan, path)
        self._kept.move_to_end(path)
        plan = self._kept[path]
        return [(plan, plan.segments[0])]
