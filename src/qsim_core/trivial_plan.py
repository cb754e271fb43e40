"""The plan every backend can run and the oracle for all others: one operation per pass, no fusion, pure Python."""

from __future__ import annotations

import numpy as np

from .operations import OpKind
from .optable import OpTable
from .plan import Partition, PassKind, PassTable, Plan
from .program import Program
from .segments import segmented_plan
from .types import IndexArray, Precision

__all__ = ["trivial_plan"]

#: A tile of the trivial plan has at most this many qubits; wider operations sweep the whole state.
TILE_QUBITS = 16


def trivial_plan(
    program: Program,
    *,
    precision: Precision = Precision.DOUBLE,
    initial: str = "zero",
    defer: bool = True,
    shrink: bool = False,
) -> Plan:
    """Return the plan that runs the operations of ``program`` one by one, in order.

    Measurements whose qubits are not used again and whose bits nobody reads are moved to the end, where any number
    of shots is sampled from one run (``defer=False`` keeps them in place). ``shrink``: segments after a measurement
    run on the qubits they need.
    """
    return segmented_plan(
        "trivial", program, _one_op_passes, precision=precision, initial=initial, defer=defer, shrink=shrink
    )


def _one_op_passes(ops: OpTable, cuts: IndexArray, num_qubits: int) -> Partition:
    """One pass per operation; its local qubits are the targets it mixes (all but the Z letters and diagonals)."""
    owner = np.repeat(np.arange(len(ops)), np.diff(ops.offset))
    is_target = np.arange(len(ops.qubits)) - ops.offset[owner] < ops.num_targets[owner]
    z_letter = (ops.kind[owner] == OpKind.ROTATION) & (ops.tags == 3)
    mixes = is_target & ~z_letter & (ops.kind[owner] != OpKind.DIAGONAL)
    local = np.zeros(len(ops), dtype=np.uint64)
    np.bitwise_or.at(local, owner[mixes], np.uint64(1) << ops.qubits[mixes].astype(np.uint64))
    width = np.bincount(owner[mixes], minlength=len(ops))
    kind = np.where(width <= TILE_QUBITS, PassKind.TILE, PassKind.GLOBAL).astype(np.uint8)
    passes = PassTable(kind, local, np.arange(len(ops) + 1, dtype=np.int64))
    return Partition(None, passes, cuts)
