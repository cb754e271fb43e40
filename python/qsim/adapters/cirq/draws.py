"""Random numbers from Cirq's generator, in the order in which Cirq draws them: a number per shot and place, shots first.

A simulator with the seed of a ``cirq.Simulator`` therefore gives the same shots wherever both draw the same things.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from qsim_core.plan import ChannelEnd, End, MeasureEnd, Plan, ResetEnd
from qsim_core.random import RandomSource
from qsim_core.types import FloatArray, IndexArray

__all__ = ["Draws"]

#: Tables of more numbers are not made: those of the core's own generator, by position, take their place.
_LARGEST = 2**24


@dataclass(frozen=True, slots=True)
class Draws(RandomSource):
    """A source that has its numbers in a table (shots, places)."""

    table: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    column: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, prng: np.random.RandomState, plan: Plan, shots: int) -> Draws:
        """Draw all numbers that a run of a plan without loops needs."""
        kinds = (MeasureEnd, ResetEnd, ChannelEnd)
        ends = [segment.end for segment in plan.segments]
        drawing = [isinstance(end, kinds) or (isinstance(end, End) and bool(end.measured)) for end in ends]
        places = [site for site in reversed(range(len(ends))) if drawing[site]]  # a plan is numbered from its end
        if shots * len(places) > _LARGEST:
            return cls(int(prng.randint(2**31 - 1)))
        table = prng.random_sample((shots, len(places)))
        return cls(0, table=table, column={site: k for k, site in enumerate(places)})

    def uniforms(self, site: int, visit: int, first_shot: int, num_shots: int, threads: int = 1) -> FloatArray:
        """Return the numbers of consecutive shots at one place."""
        column = self.column.get(site)
        if column is None:
            return RandomSource.uniforms(self, site, visit, first_shot, num_shots, threads)
        return np.ascontiguousarray(self.table[first_shot : first_shot + num_shots, column])

    def uniforms_at(self, site: int, visit: int, shots: IndexArray) -> FloatArray:
        """Return the numbers of any shots at one place."""
        column = self.column.get(site)
        if column is None:
            return RandomSource.uniforms_at(self, site, visit, shots)
        return self.table[shots, column]
