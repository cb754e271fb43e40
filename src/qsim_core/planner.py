"""The C++ planner: few passes over the state instead of one per operation.

Operations are only reordered, where they commute, and grouped into passes; the meaning of every row stays that of
:mod:`qsim_core.kernels.reference`. ``docs/adr/0002-planner.md`` has the reasons.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .errors import BackendUnavailableError, expected
from .optable import OpTable
from .plan import Partition, PassTable, Plan
from .program import Program
from .segments import segmented_plan
from .types import IndexArray, Precision

try:
    from . import _native
except ImportError:  # the core was not built here
    _native = None  # type: ignore[assignment]

__all__ = ["OperandClass", "TileShape", "native_plan", "planner_available"]


class OperandClass(enum.IntEnum):
    """What the planner knows of a dense matrix or a permutation beside its size. The same numbers in C++."""

    GENERAL = 0
    DIAGONAL = 1
    FLIP = 2


@dataclass(frozen=True, slots=True)
class TileShape:
    """What fits a tile, the 2^``tile_qubits`` amplitudes a pass works on at a time.

    Qubits 0 to ``low_qubits`` - 1 are local to every tile, so that memory is read in pieces of 2^``low_qubits``
    amplitudes; in plans of two passes in longer ones, up to ``wished_low_qubits``, where it takes no third one. Dense
    matrices on more than ``dense_targets`` qubits, permutations and initialisations on more than ``permutation_targets``, and
    whatever mixes more qubits than a tile can hold, sweep the state outside tiles.
    """

    tile_qubits: int
    low_qubits: int
    dense_targets: int = 6
    permutation_targets: int = 6
    wished_low_qubits: int = 0

    @classmethod
    def of(cls, precision: Precision, num_qubits: int) -> TileShape:
        """Return the shape for CPUs with 1 MiB of L2 per core: half of it, in pieces of 512 bytes to 2 KiB.

        A state of one or two such tiles is cut in four, so that threads can share it: about 1.45 times faster on two
        threads, up to a sixth slower on one. Smaller states are not worth waking a thread.
        """
        widest, low = (16, 6) if precision is Precision.SINGLE else (15, 5)
        tile_qubits = min(widest, num_qubits - 2) if num_qubits >= widest else widest
        return cls(tile_qubits, low, wished_low_qubits=low + 2 if num_qubits >= 20 else 0)

    @classmethod
    def of_gpu(cls, precision: Precision) -> TileShape:
        """Return the shape of the CUDA kernels: 32 KiB of shared memory, rows of 128 bytes or more, and dense matrices
        of as many targets as a thread has register bits. The same numbers as in cpp/cuda/program.cuh.
        """
        return cls(12, 4, 4, 8) if precision is Precision.SINGLE else cls(11, 4, 3, 7)

    def shared(self, states: int) -> TileShape:
        """Return the shape of tiles of which ``states`` fit where one of this shape does."""
        return replace(self, tile_qubits=self.tile_qubits - (states - 1).bit_length())


def planner_available() -> bool:
    """Return True where the core was built."""
    return _native is not None and hasattr(_native, "partition")


def native_plan(
    program: Program,
    *,
    precision: Precision = Precision.DOUBLE,
    initial: str = "zero",
    defer: bool = True,
    shrink: bool = False,
    tile: TileShape | None = None,
    backwards: bool = False,
) -> Plan:
    """Return a plan of ``program`` with few passes, made by the C++ planner.

    It depends on the structure of the program (kinds, wires, classes of operands) and the tile shape, never on
    angles, threads or time. Takes a few microseconds per operation; Ctrl-C stops it.

    Passes take what they can from the first operation on; ``backwards`` from the last one. So the passes of an inverse
    are those of its circuit, in which the first one is cheap from |0…0⟩.

    Raises:
        BackendUnavailableError: where the core was not built.
    """
    if not planner_available():
        remedy = "Reinstall with a C++ compiler, or use trivial_plan"
        raise BackendUnavailableError(expected("C++ planner", "a built core", "none", remedy))
    shape = tile or TileShape.of(precision, program.num_qubits)
    classes = _classes(program)

    def partition(ops: OpTable, cuts: IndexArray, num_qubits: int) -> Partition:
        order, kind, local, op_offset, pass_offset = _native.partition(
            ops.mirrored().columns if backwards else ops.columns,
            cuts[-1] - cuts[::-1] if backwards else cuts,
            classes,
            num_qubits=num_qubits,
            tile_qubits=shape.tile_qubits,
            low_qubits=shape.low_qubits,
            wished_low_qubits=shape.wished_low_qubits,
            dense_targets=shape.dense_targets,
            permutation_targets=shape.permutation_targets,
        )
        if backwards:
            order, kind, local = len(ops) - 1 - order[::-1], kind[::-1].copy(), local[::-1].copy()
            op_offset, pass_offset = (column[-1] - column[::-1] for column in (op_offset, pass_offset))
        return Partition(order, PassTable(kind, local, op_offset), pass_offset)

    return segmented_plan(
        "native", program, partition, precision=precision, initial=initial, defer=defer, shrink=shrink
    )


def _classes(program: Program) -> npt.NDArray[np.uint8]:
    classes = np.zeros(len(program.operands), dtype=np.uint8)
    for index, (name, operand) in enumerate(zip(program.operand_classes, program.operands, strict=True)):
        if name == "diagonal":
            classes[index] = OperandClass.DIAGONAL
        elif operand.dtype.kind == "i" and operand.size == 2 and operand[0] == 1:
            classes[index] = OperandClass.FLIP
    return classes
