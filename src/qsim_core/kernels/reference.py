"""The meaning of every operation, in NumPy: short, slow, obvious. Every other backend is compared with it.

The state is a tensor with one axis of length 2 per qubit; qubit q is axis n-1-q (the index's bit q). An operation
picks the slice where its controls hold, brings its targets to the front, and acts there in double precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedError, expected
from ..operations import OpKind
from ..optable import PAULI_LETTER
from ..plan import Coefficients, Plan, Stage
from ..types import Amps, ComplexArray, Precision
from .contract import Backend
from .control import RunControl

__all__ = ["PAULI_MATRICES", "ReferenceBackend", "operation_matrix"]

PAULI_MATRICES: dict[str, ComplexArray] = {
    "I": np.eye(2, dtype=np.complex128),
    "X": np.array([[0, 1], [1, 0]], dtype=np.complex128),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    "Z": np.array([[1, 0], [0, -1]], dtype=np.complex128),
}


class ReferenceBackend(Backend):
    """NumPy on one thread."""

    name = "reference"
    description = f"NumPy {np.__version__}"

    def allocate(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        return np.empty((batch, 2**num_qubits), dtype=precision.dtype)

    def scratch_bytes(self, plan: Plan) -> int:
        return 3 * 16 << plan.num_qubits

    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        rows = plan.op_range(stage)
        for done, row in enumerate(rows):
            control.poll()
            control.report(done / len(rows))
            for b, state in enumerate(amps):
                values = coefficients.values[b if coefficients.batch > 1 else 0]
                _apply(plan, row, values, coefficients.operands, state)


def _apply(
    plan: Plan, row: int, values: npt.NDArray[np.float64], operands: Sequence[npt.NDArray[Any]], state: Amps
) -> None:
    """Apply one operation to one state in place."""
    ops = plan.ops
    kind, data = OpKind(int(ops.kind[row])), int(ops.data[row])
    targets = ops.targets(row).tolist()
    tensor = state.reshape((2,) * plan.num_qubits)  # a view: state is contiguous
    subspace: list[Any] = [slice(None)] * plan.num_qubits
    for qubit, value in zip(ops.controls(row), ops.control_values(row), strict=True):
        subspace[plan.num_qubits - 1 - qubit] = slice(value, value + 1)
    selected = tensor[(*subspace, ...)]  # the ellipsis keeps it a view even without any qubit
    # After this, index 0 of the flattened front axes has targets[0] as its least significant bit.
    axes = [plan.num_qubits - 1 - q for q in reversed(targets)]
    front = np.moveaxis(selected, axes, range(len(axes)))
    block = front.reshape(2 ** len(targets), -1).astype(np.complex128)
    match kind:
        case OpKind.ROTATION:
            letters = "".join(PAULI_LETTER[tag] for tag in ops.target_tags(row))
            half = values[data] / 2
            block = np.cos(half) * block - 1j * np.sin(half) * _apply_pauli(letters, block)
        case OpKind.PHASE:
            block = np.exp(1j * values[data]) * block
        case OpKind.DENSE:
            block = operands[data] @ block
        case OpKind.DIAGONAL:
            block = operands[data][:, None] * block
        case OpKind.PERMUTATION:
            moved = np.empty_like(block)
            moved[operands[data]] = block
            block = moved
        case OpKind.INITIALIZE:
            block = operands[data][:, None] * block[:1]
        case _:
            raise UnsupportedError(expected("operation inside a pass", "a unitary or an initialisation", kind.name))
    front[...] = block.reshape(front.shape)


def _apply_pauli(letters: str, block: ComplexArray) -> ComplexArray:
    """Return P block, letter k on bit k of the row index."""
    index = np.arange(len(block))
    flipped = index.copy()
    phase = np.ones(len(block), dtype=np.complex128)
    for k, letter in enumerate(letters):
        bit = index >> k & 1
        if letter in "XY":
            flipped ^= 1 << k
        if letter == "Y":
            phase *= np.where(bit, 1j, -1j)  # row bit 1 comes from |0⟩: ⟨1|Y|0⟩ = i
        elif letter == "Z":
            phase *= 1 - 2 * bit
    return phase[:, None] * block[flipped]


def operation_matrix(num_qubits: int, plan: Plan, coefficients: Coefficients) -> ComplexArray:
    """Return the 2^n × 2^n matrix of a straight-line plan, column by column. For tests and small registers."""
    columns = np.eye(2**num_qubits, dtype=np.complex128)
    backend = ReferenceBackend()
    for stage in plan.segments[plan.entry].stages:
        shared = Coefficients(coefficients.values[:1], coefficients.operands)
        backend.run_stage(plan, stage, shared, columns, RunControl())
    return columns.T
