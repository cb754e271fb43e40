"""All angles of a Program as one affine map from parameter slots to radians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .operations import Angle
from .types import FloatArray

__all__ = ["AngleTable"]


@dataclass(frozen=True, eq=False)
class AngleTable:
    """Row a is ``constant[a] + Σ_j coefficient[j] · slots[slot[j]]`` over the j with ``row[j] == a`` (``row`` ascending)."""

    constant: FloatArray
    row: npt.NDArray[np.int64]
    slot: npt.NDArray[np.int64]
    coefficient: FloatArray

    @classmethod
    def of(cls, angles: Sequence[Angle]) -> AngleTable:
        terms = [(row, slot, factor) for row, angle in enumerate(angles) for slot, factor in angle.terms]
        row, slot, factor = zip(*terms, strict=True) if terms else ((), (), ())
        return cls(
            np.array([angle.constant for angle in angles], dtype=np.float64),
            np.array(row, dtype=np.int64),
            np.array(slot, dtype=np.int64),
            np.array(factor, dtype=np.float64),
        )

    def __len__(self) -> int:
        return len(self.constant)

    def __getitem__(self, index: int) -> Angle:
        first, last = np.searchsorted(self.row, (index, index + 1))
        terms = tuple(
            (int(slot), float(factor))
            for slot, factor in zip(self.slot[first:last], self.coefficient[first:last], strict=True)
        )
        return Angle(float(self.constant[index]), terms)

    def evaluate(self, slots: npt.ArrayLike) -> FloatArray:
        """Return the angles for a batch: slots of shape (B, P) give radians of shape (B, A)."""
        values = np.atleast_2d(np.asarray(slots, dtype=np.float64))
        angles = np.repeat(self.constant[None, :], len(values), axis=0)
        if len(self.row):
            starts = np.flatnonzero(np.diff(self.row, prepend=-1))
            terms = values[:, self.slot] * self.coefficient
            angles[:, self.row[starts]] += np.add.reduceat(terms, starts, axis=1)
        return angles

    def pull_back(self, cotangent: FloatArray, num_slots: int) -> FloatArray:
        """Return the derivative by slots, (B, P), of a function whose derivative by angles is ``cotangent`` (B, A)."""
        gradient = np.zeros((num_slots, len(cotangent)))
        np.add.at(gradient, self.slot, (cotangent[:, self.row] * self.coefficient).T)
        return gradient.T
