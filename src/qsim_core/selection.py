"""Rows chosen from amplitudes, and qubits measured out of them: copied once, when a segment needs them, onto its register."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .kernels.contract import Regrouping
from .types import Amps, FloatArray, IndexArray

__all__ = ["Selection", "apart"]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Row i is scales[i] · ⟨outcomes[i]| row ``rows[i]`` of ``source``, on the qubits ``held`` but those that ``left``.

    ``rows`` None: ``source`` as it is.
    """

    source: Amps
    held: tuple[int, ...]
    rows: IndexArray | None = None
    left: tuple[int, ...] = ()
    outcomes: IndexArray | None = None
    scales: FloatArray | None = None

    @property
    def register(self) -> tuple[int, ...]:
        """The qubits that have amplitudes."""
        return tuple(q for q in self.held if q not in self.left) if self.left else self.held

    def __len__(self) -> int:
        return len(self.source) if self.rows is None else len(self.rows)

    def taken(self, rows: IndexArray) -> Selection:
        """Return some rows; consecutive ones of a source as it is share its memory."""
        if self.rows is None:
            if len(rows) == len(self.source) and (rows == np.arange(len(rows))).all():
                return self
            if len(rows) and (np.diff(rows) == 1).all():
                return replace(self, source=self.source[rows[0] : rows[-1] + 1])
            return replace(self, rows=rows)
        outcomes = None if self.outcomes is None else self.outcomes[rows]
        scales = None if self.scales is None else self.scales[rows]
        return replace(self, rows=self.rows[rows], outcomes=outcomes, scales=scales)

    def is_on(self, register: tuple[int, ...]) -> bool:
        """Return True when the source is the rows on this register, so that nothing needs to be copied."""
        return self.rows is None and self.held == register

    def move(self, register: tuple[int, ...], values: npt.NDArray[np.uint8]) -> Regrouping:
        """Return what brings the rows onto a register; a qubit that is new there is |values[i, q]⟩ in row i."""
        stay = self.register
        entering = [q for q in register if q not in stay]
        rows = np.arange(len(self.source)) if self.rows is None else self.rows
        return Regrouping(
            rows,
            tuple(self.held.index(q) for q in self.left),
            np.zeros(len(rows), dtype=np.int64) if self.outcomes is None else self.outcomes,
            np.ones(len(rows)) if self.scales is None else self.scales,
            tuple(register.index(q) for q in entering),
            apart(values, entering),
        )


def apart(values: npt.NDArray[np.uint8], qubits: tuple[int, ...] | list[int]) -> IndexArray:
    """Return Σ_k values[:, qubits[k]] 2^k."""
    return values[:, list(qubits)].astype(np.int64) @ (np.int64(1) << np.arange(len(qubits), dtype=np.int64))
