"""SWAPs that cost nothing: |0…0⟩ is the same whatever its qubits are called, so from there a SWAP is a change of names."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .operations import OpKind
from .optable import OpTable
from .program import Program
from .types import IndexArray

__all__ = ["without_swaps"]

_SWAP = [0, 2, 1, 3]


def without_swaps(program: Program) -> Program:
    """Return a program that does the same to |0…0⟩ without the SWAPs before its first measurement or other break.

    S U |0…0⟩ = (S U S⁻¹) |0…0⟩: what comes before a SWAP acts on the other qubit instead. Qubits keep their names from
    there on, so whatever is read in the end is read where it was. Controlled SWAPs stay.

    >>> from qsim_core.program import ProgramBuilder
    >>> builder = ProgramBuilder(2)
    >>> builder.rotation("X", 0.3, [0])
    >>> builder.permutation([0, 2, 1, 3], [0, 1])
    >>> [operation.targets for operation in without_swaps(builder.finish()).operations()]
    [(1,)]
    """
    table = program.body
    broken = np.flatnonzero(table.kind >= OpKind.INITIALIZE)
    stop = int(broken[0]) if len(broken) else len(table)
    swaps = _swaps(program, stop)
    if not len(swaps):
        return program
    qubits, place = table.qubits.copy(), np.arange(program.num_qubits, dtype=np.int32)
    for row, after in zip(swaps[::-1].tolist(), [stop, *swaps[:0:-1].tolist()], strict=True):
        wires = slice(table.offset[row + 1], table.offset[after])
        qubits[wires] = place[qubits[wires]]
        a, b = table.targets(row).tolist()
        place[a], place[b] = place[b], place[a]
    wires = slice(0, table.offset[swaps[0]])
    qubits[wires] = place[qubits[wires]]
    named = OpTable(table.kind, table.num_targets, table.data, table.offset, qubits, table.tags)
    body = named.taken(np.delete(np.arange(len(table)), swaps))
    return replace(program, blocks=(body, *program.blocks[1:]))


def _swaps(program: Program, stop: int) -> IndexArray:
    """Return the rows before ``stop`` that exchange two qubits, whatever others are."""
    table = program.body
    pairs = (table.kind[:stop] == OpKind.PERMUTATION) & (np.diff(table.offset[: stop + 1]) == 2)
    rows = np.flatnonzero(pairs & (table.num_targets[:stop] == 2))
    kinds = {data: program.operands[data].tolist() == _SWAP for data in set(table.data[rows].tolist())}
    return rows[[kinds[data] for data in table.data[rows].tolist()]] if len(rows) else rows
