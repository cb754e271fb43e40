"""A sequence of operations as columns: what executors and the planner read, with no Python object per gate.

Row i has kind ``kind[i]`` and the wires ``qubits[offset[i]:offset[i+1]]``, targets first (``num_targets[i]`` of them),
controls after. ``tags`` runs beside ``qubits`` and says what an operation must know about one wire:

=============  ==========================================================
wire           tag
=============  ==========================================================
target         Pauli letter (X 1, Y 2, Z 3) of a ROTATION,
               classical bit of a MEASURE, 0 for the rest
control        the control value, 0 or 1
=============  ==========================================================

``data[i]`` is an index: of an angle (ROTATION, PHASE), of an operand array (DENSE, DIAGONAL, PERMUTATION, INITIALIZE),
of a channel (CHANNEL), of a control-flow record (IF, WHILE, ASSIGN), of an observable (EXPECT), of readout
errors (MEASURE), the number of blocks to leave (LEAVE), or -1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import QubitError, expected

__all__ = ["OpTable", "OpTableBuilder", "PAULI_CODE", "PAULI_LETTER", "concatenated"]

PAULI_CODE = {"X": 1, "Y": 2, "Z": 3}
PAULI_LETTER = "IXYZ"


@dataclass(frozen=True, eq=False)
class OpTable:
    """Read-only columns; slicing shares memory."""

    kind: npt.NDArray[np.uint8]
    num_targets: npt.NDArray[np.int32]
    data: npt.NDArray[np.int32]
    offset: npt.NDArray[np.int64]
    qubits: npt.NDArray[np.int32]
    tags: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        for column in self.columns:
            column.flags.writeable = False

    @property
    def columns(self) -> tuple[npt.NDArray[Any], ...]:
        return (self.kind, self.num_targets, self.data, self.offset, self.qubits, self.tags)

    def __len__(self) -> int:
        return len(self.kind)

    def targets(self, row: int) -> npt.NDArray[np.int32]:
        start = self.offset[row]
        return self.qubits[start : start + self.num_targets[row]]

    def target_tags(self, row: int) -> npt.NDArray[np.int32]:
        start = self.offset[row]
        return self.tags[start : start + self.num_targets[row]]

    def controls(self, row: int) -> npt.NDArray[np.int32]:
        return self.qubits[self.offset[row] + self.num_targets[row] : self.offset[row + 1]]

    def control_values(self, row: int) -> npt.NDArray[np.int32]:
        return self.tags[self.offset[row] + self.num_targets[row] : self.offset[row + 1]]

    def wires(self, row: int) -> npt.NDArray[np.int32]:
        return self.qubits[self.offset[row] : self.offset[row + 1]]

    def rows(self, start: int, stop: int) -> OpTable:
        """Return neighbouring rows; wires share memory."""
        if start == 0 and stop == len(self):
            return self
        first, last = self.offset[start], self.offset[stop]
        return OpTable(
            self.kind[start:stop],
            self.num_targets[start:stop],
            self.data[start:stop],
            self.offset[start : stop + 1] - first,
            self.qubits[first:last],
            self.tags[first:last],
        )

    def taken(self, order: npt.NDArray[np.int64]) -> OpTable:
        """Return rows in another order."""
        starts = self.offset[order]
        sizes = self.offset[order + 1] - starts
        offset = np.zeros(len(order) + 1, dtype=np.int64)
        np.cumsum(sizes, out=offset[1:])
        wires = np.arange(offset[-1]) + np.repeat(starts - offset[:-1], sizes)
        return OpTable(
            self.kind[order], self.num_targets[order], self.data[order], offset, self.qubits[wires], self.tags[wires]
        )

    def mirrored(self) -> OpTable:
        """Return the rows from the last to the first."""
        return self.taken(np.arange(len(self) - 1, -1, -1))


class OpTableBuilder:
    """Collects rows in Python lists; one list append per number, frozen once by :meth:`finish`."""

    def __init__(self) -> None:
        self.kind: list[int] = []
        self.num_targets: list[int] = []
        self.data: list[int] = []
        self.offset: list[int] = [0]
        self.qubits: list[int] = []
        self.tags: list[int] = []

    def __len__(self) -> int:
        return len(self.kind)

    def append(
        self,
        kind: int,
        data: int,
        targets: tuple[int, ...],
        target_tags: tuple[int, ...],
        controls: tuple[int, ...] = (),
        control_values: tuple[int, ...] = (),
    ) -> None:
        self.kind.append(kind)
        self.data.append(data)
        self.num_targets.append(len(targets))
        self.qubits += targets
        self.qubits += controls
        self.tags += target_tags
        self.tags += control_values
        self.offset.append(len(self.qubits))

    def finish(self) -> OpTable:
        return OpTable(
            np.array(self.kind, dtype=np.uint8),
            np.array(self.num_targets, dtype=np.int32),
            np.array(self.data, dtype=np.int32),
            np.array(self.offset, dtype=np.int64),
            _whole_numbers("qubit", self.qubits),
            _whole_numbers("classical bit or control value", self.tags),
        )


def concatenated(tables: Sequence[OpTable]) -> OpTable:
    """Return the rows of all tables, one after the other."""
    if len(tables) < 2:
        return tables[0] if tables else OpTableBuilder().finish()
    ends = np.cumsum([0, *(int(table.offset[-1]) for table in tables)])
    offset = [np.zeros(1, np.int64), *(t.offset[1:] + end for t, end in zip(tables, ends[:-1], strict=True))]
    return OpTable(
        np.concatenate([t.kind for t in tables]),
        np.concatenate([t.num_targets for t in tables]),
        np.concatenate([t.data for t in tables]),
        np.concatenate(offset),
        np.concatenate([t.qubits for t in tables]),
        np.concatenate([t.tags for t in tables]),
    )


def _whole_numbers(what: str, values: list[int]) -> npt.NDArray[np.int32]:
    """Return a column; NumPy alone would cut 1.5 down to 1."""
    if set(map(type, values)) - {int}:
        for value in values:
            if not isinstance(value, int | np.integer):
                raise QubitError(expected(what, "a whole number", repr(value)))
    if values and not -(2**31) <= min(values) <= max(values) < 2**31:
        raise QubitError(expected(what, "a 32-bit number", max(values, key=abs)))
    return np.array(values, dtype=np.int32)
