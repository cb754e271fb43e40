"""Real linear combinations of Pauli strings as arrays of masks: what executors read of an observable."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .types import FloatArray, IndexArray

__all__ = ["PauliTerms"]


@dataclass(frozen=True, eq=False)
class PauliTerms:
    """Σ_j coefficients[j] P_j, where P_j has X on the bits of ``x_masks[j]``, Z on ``z_masks[j]``, Y on both."""

    x_masks: IndexArray
    z_masks: IndexArray
    coefficients: FloatArray

    @classmethod
    def of(cls, terms: Iterable[tuple[int, int, float]]) -> PauliTerms:
        """Build from (x_mask, z_mask, coefficient) triples; equal strings are added up."""
        merged: dict[tuple[int, int], float] = {}
        for x_mask, z_mask, coefficient in terms:
            merged[x_mask, z_mask] = merged.get((x_mask, z_mask), 0.0) + coefficient
        masks = np.array(list(merged), dtype=np.int64).reshape(-1, 2)
        return cls(masks[:, 0], masks[:, 1], np.array(list(merged.values()), dtype=np.float64))

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def num_qubits(self) -> int:
        """The least register these terms fit on."""
        return int(np.bitwise_or.reduce(self.x_masks | self.z_masks, initial=0)).bit_length()
