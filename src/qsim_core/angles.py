"""All angles of a Program as one affine map from parameter slots to radians."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from . import validation
from .operations import Angle
from .types import FloatArray

try:
    from . import _native
except ImportError:  # the core was not built
    _native = None  # type: ignore[assignment]

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
        """Return the angles for a batch: slots of shape (B, P) give radians of shape (B, A).

        Raises:
            ParameterError: for an angle that is not finite.
        """
        values = np.asarray(slots, dtype=np.float64)
        values = values[None, :] if values.ndim < 2 else values
        angles = None if self._map is None else self._map(values)
        if angles is None:
            angles = np.repeat(self.constant[None, :], len(values), axis=0)
            with np.errstate(over="ignore", invalid="ignore"):  # of a large slot times a large coefficient
                np.add.at(angles.T, self.row, (values[:, self.slot] * self.coefficient).T)
            validation.check_angles(angles)
        return angles

    @cached_property
    def _map(self) -> Callable[[FloatArray], FloatArray | None] | None:
        """This map in the core, where it was built; it gives None for angles that are not finite."""
        columns = self.constant, self.row, self.slot, self.coefficient
        for column in columns:
            column.flags.writeable = False
        return None if _native is None else _native.AngleMap(columns, int(self.slot.max(initial=-1)) + 1)

    def __reduce__(self) -> tuple[Any, ...]:
        return AngleTable, (self.constant, self.row, self.slot, self.coefficient)

    def pull_back(self, cotangent: FloatArray, num_slots: int) -> FloatArray:
        """Return the derivative by slots, (B, P), of a function whose derivative by angles is ``cotangent`` (B, A)."""
        gradient = np.zeros((num_slots, len(cotangent)))
        np.add.at(gradient, self.slot, (cotangent[:, self.row] * self.coefficient).T)
        return gradient.T
