"""All angles of a Program as one affine map from parameter slots to radians."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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
        values = np.asarray(slots, dtype=np.float64)
        values = values[None, :] if values.ndim < 2 else values
        if not len(self.row):
            return np.repeat(self.constant[None, :], len(values), axis=0)
        if len(values) == 1 and self.picks is not None:
            return np.concatenate((self.constant, values[0])).take(self.picks)[None]
        terms = values.take(self.slot, axis=1)
        if not self._plain:
            terms *= self.coefficient
        if self._starts is not None:
            terms = np.add.reduceat(terms, self._starts, axis=1)
        angles = np.empty((len(values), len(self.constant)))
        angles[:] = self.constant
        angles[:, self._rows] += terms
        return angles

    @cached_property
    def picks(self) -> npt.NDArray[np.int64] | None:
        """Where each row is one of the constants and, after them, the slots: its place among these; else None."""
        if not self._plain or self._starts is not None or self.constant[self.row].any():
            return None
        places = np.arange(len(self.constant))
        places[self.row] = len(self.constant) + self.slot
        return places

    @cached_property
    def _plain(self) -> bool:
        """Whether all coefficients are one."""
        return bool((self.coefficient == 1).all())

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64] | None:
        """The first term of every row that has some; None where each has one at most."""
        starts = np.flatnonzero(np.diff(self.row, prepend=-1))
        return None if len(starts) == len(self.row) else starts

    @cached_property
    def _rows(self) -> npt.NDArray[np.int64] | slice:
        """The rows that have terms."""
        rows = self.row if self._starts is None else self.row[self._starts]
        return slice(None) if len(rows) == len(self.constant) else rows

    def pull_back(self, cotangent: FloatArray, num_slots: int) -> FloatArray:
        """Return the derivative by slots, (B, P), of a function whose derivative by angles is ``cotangent`` (B, A)."""
        gradient = np.zeros((num_slots, len(cotangent)))
        np.add.at(gradient, self.slot, (cotangent[:, self.row] * self.coefficient).T)
        return gradient.T
