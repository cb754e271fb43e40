"""Plans as kernel launches, one operation each, where the C++ core was not built to fuse them.

The same bytes as ``cpp/cuda/lowering.cpp`` writes, for the same kernels: the structs below are those of
``cpp/cuda/program.cuh``, field by field. An operation that mixes few qubits runs in a tile (its qubits and the lowest
others); what mixes more sweeps the state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import UnsupportedError, expected
from ..operations import OpKind
from ..optable import PAULI_CODE, OpTable
from ..plan import Coefficients, Plan, Stage
from ..types import Precision

__all__ = ["TILE_OP", "TILE_PASS", "TILE_STAGE", "plain_launches"]

Step = tuple[str, int, int, int, int, int, int]
Record = npt.NDArray[np.void]

#: Bits of a tile, of a thread's registers and of the shared memory's banks; of a warp's lanes; threads of a sweep.
_SHAPES = {Precision.SINGLE: (12, 4, 4), Precision.DOUBLE: (11, 3, 3)}
LANE_BITS, THREADS = 5, 256
#: Targets of what a block does in shared memory.
MAX_GROUP_TARGETS = 12
MAX_BLOCKS = 2**31 - 1

STAGE_REGISTERS, STAGE_PAULI, STAGE_PERMUTE = range(3)
OP_DENSE = 2  # plus the number of targets
OP_PHASE, OP_ROTATE_Z, OP_DIAGONAL = 7, 8, 9

TILE_OP = np.dtype(
    [("kind", "i4"), ("bit", "i4"), ("register_controls", "u4"), ("register_values", "u4"), ("register_z", "u4"),
     ("num_places", "u4"), ("controls", "u8"), ("values", "u8"), ("z", "u8"), ("numbers", "u8"), ("table", "u8"),
     ("places", "u8")]
)  # fmt: skip
TILE_STAGE = np.dtype(
    [("kind", "i4"), ("num_ops", "i4"), ("ops", "u8"), ("num_entries", "i4"), ("num_angles", "i4"), ("matrices", "u8"),
     ("angles", "u8"), ("register_address", "u4", 4), ("thread_address", "u4", 8),
     ("register_index", "u8", 4), ("thread_index", "u8", 8), ("register_tile", "u4", 4), ("thread_tile", "u4", 8)]
)  # fmt: skip
TILE_PASS = np.dtype(
    [("num_items", "u8"), ("num_amplitudes", "u8"), ("fixed", "u8"), ("count_bits", "i4"), ("tile_bits", "i4"),
     ("num_stages", "i4"), ("num_parities", "i4"), ("stages", "u8"), ("numbers", "u8"), ("stride", "u8"), ("index", "u8", 12),
     ("constants", "u8"), ("num_constants", "i4"), ("num_slopes", "i4"), ("second", "u8"), ("slopes", "u8"),
     ("slope_columns", "u8"), ("num_columns", "u8"), ("slice_bits", "i4"), ("max_slice_bits", "i4"),
     ("parities", "u8"), ("staged", "u8")]
)  # fmt: skip
_PAULI_SWEEP = np.dtype(
    [("num_items", "u8"), ("num_amplitudes", "u8"), ("pivot", "u8"), ("x", "u8"), ("z", "u8"), ("controls", "u8"),
     ("values", "u8"), ("numbers", "u8"), ("stride", "u8"), ("column", "u8"), ("num_y", "i4"), ("count_bits", "i4")]
)  # fmt: skip
_TABLE_SWEEP = np.dtype(
    [("num_items", "u8"), ("num_amplitudes", "u8"), ("fixed", "u8"), ("controls", "u8"), ("values", "u8"),
     ("table", "u8"), ("num_targets", "i4"), ("count_bits", "i4"), ("targets", "i4", 32)]
)  # fmt: skip


def plain_launches(plan: Plan, stage: Stage, coefficients: Coefficients, batch: int) -> tuple[list[Step], bytes, int]:
    """Return the launches of a stage in the order of :class:`~qsim_core.kernels.launches.Launch`'s fields, the bytes they
    read, and those of the second buffer.
    """
    writer = _Writer(plan, coefficients, batch)
    offsets = plan.passes.op_offset
    for row in range(int(offsets[stage.passes.start]), int(offsets[stage.passes.stop])):
        writer.add(plan.ops, row)
    return writer.steps, bytes(writer.program), writer.scratch_bytes


class _Writer:
    def __init__(self, plan: Plan, coefficients: Coefficients, batch: int) -> None:
        self.steps: list[Step] = []
        self.program = bytearray()
        self.scratch_bytes = 0
        self._num_qubits, self._batch, self._coefficients = plan.num_qubits, batch, coefficients
        self._tile_bits, self._registers, self._bank_bits = _SHAPES[plan.precision]
        self._amp = np.dtype(plan.precision.dtype)
        self._suffix = "f32" if plan.precision is Precision.SINGLE else "f64"

    def add(self, ops: OpTable, row: int) -> None:
        """Append the launch of one operation."""
        kind, data = OpKind(int(ops.kind[row])), int(ops.data[row])
        targets, letters = ops.targets(row).tolist(), ops.target_tags(row).tolist()
        pairs = list(zip(ops.controls(row).tolist(), ops.control_values(row).tolist(), strict=True))
        fields: dict[str, Any] = {"controls": _mask(q for q, _ in pairs), "values": _mask(q for q, v in pairs if v)}
        if kind is OpKind.ROTATION:
            flips = [q for q, letter in zip(targets, letters, strict=True) if letter != PAULI_CODE["Z"]]
            signs = _mask(q for q, letter in zip(targets, letters, strict=True) if letter != PAULI_CODE["X"])
            num_y = letters.count(PAULI_CODE["Y"])
            fields |= {"z": signs}
            if not flips:
                return self._tile(row, [], OP_ROTATE_Z, fields | self._angle(data, 0.5))
            if len(flips) == 1:
                fields |= self._angle(data, 0.5) | {"register_z": num_y}
                return self._tile(row, flips, 0, fields, STAGE_PAULI)
            return self._pauli(row, _mask(flips), num_y, fields | self._angle(data, 0.5))
        if kind is OpKind.PHASE:
            return self._tile(row, [], OP_PHASE, fields | self._angle(data, 1.0))
        operand = self._coefficients.operands[data]
        if kind is OpKind.DIAGONAL:
            table, places = self._put(np.asarray(operand, self._amp)), self._put(np.array(targets, np.int32))
            return self._tile(
                row, [], OP_DIAGONAL, fields | {"table": table, "places": places, "num_places": len(targets)}
            )
        if kind is OpKind.DENSE and len(targets) <= self._registers:
            fields |= {"matrices": self._put(np.asarray(operand, self._amp)), "num_entries": operand.size}
            return self._tile(row, targets, OP_DENSE + len(targets), fields)
        if kind is OpKind.PERMUTATION:
            sources = np.argsort(np.asarray(operand)).astype(np.int32)
            if len(targets) <= self._tile_bits - 4:
                fields |= {"table": self._put(sources), "num_places": len(targets)}
                return self._tile(row, targets, 0, fields, STAGE_PERMUTE)
            return self._groups("permute", row, targets, sources, fields)
        name = {OpKind.DENSE: "wide_dense", OpKind.INITIALIZE: "initialize"}.get(kind)
        if name is None:
            raise UnsupportedError(expected("operation of a stage", "one on amplitudes", kind.name.lower()))
        return self._groups(name, row, targets, np.asarray(operand, self._amp), fields)

    # --- launches --------------------------------------------------------------------------------------------------

    def _tile(
        self, row: int, targets: Sequence[int], kind: int, fields: dict[str, Any], stage_kind: int = STAGE_REGISTERS
    ) -> None:
        """One operation in tiles of its targets and the lowest other qubits."""
        n = self._num_qubits
        others = [q for q in range(n) if q not in targets]
        qubits = sorted([*targets, *others[: max(min(n, self._tile_bits) - len(targets), 0)]])
        local = _mask(qubits)
        qubits += range(n, n + self._registers + LANE_BITS - len(qubits))  # what a small register does not have is zero
        place = {q: k for k, q in enumerate(qubits)}
        # Registers hold a matrix's targets, in its order, then the highest bits; threads the others from the lowest on.
        held = [place[q] for q in targets] if kind > OP_DENSE and kind < OP_PHASE else []
        free = [k for k in range(len(qubits)) if k not in held]
        missing = self._registers - len(held)
        registers, threads = held + free[len(free) - missing :], free[: len(free) - missing]
        op, stage = np.zeros(1, TILE_OP), np.zeros(1, TILE_STAGE)
        if stage_kind == STAGE_PAULI:
            fields = fields | {"register_controls": sum(1 << place[q] for q in targets)}
        elif stage_kind == STAGE_PERMUTE:
            fields = fields | {"places": self._put(np.array([place[q] for q in targets], np.int32))}
        else:  # what is asked of bits in registers has masks of its own
            for field, inside in (
                ("controls", "register_controls"),
                ("values", "register_values"),
                ("z", "register_z"),
            ):
                asked = [1 << p for p, k in enumerate(registers) if fields.get(field, 0) >> qubits[k] & 1]
                fields = fields | {
                    inside: sum(asked),
                    field: fields.get(field, 0) & ~_mask(qubits[k] for k in registers),
                }
        fields = {"kind": kind, **fields}
        numbers, stride = fields.pop("row_numbers", 0), fields.pop("stride", 0)
        _fill(op, fields)
        staged = {name: fields.get(name, 0) for name in ("num_entries", "num_angles", "matrices")}
        stage_fields: dict[str, Any] = {"kind": stage_kind, "num_ops": 1, "ops": self._put(op), **staged}
        for name, bits, width in (("register", registers, 4), ("thread", threads, 8)):
            padding = [0] * (width - len(bits))
            stage_fields |= {
                f"{name}_address": [self._swizzled(1 << k) for k in bits] + padding,
                f"{name}_index": [1 << qubits[k] for k in bits] + padding,
                f"{name}_tile": [1 << k for k in bits] + padding,
            }
        _fill(stage, stage_fields)
        outside = n - local.bit_count()
        room = (staged["num_entries"] + staged["num_angles"] + 1) // 2 * 2
        whole = np.zeros(1, TILE_PASS)
        _fill(whole, {
            "num_items": self._batch << outside, "num_amplitudes": 1 << n, "fixed": local, "count_bits": outside,
            "tile_bits": len(qubits), "num_stages": 1, "stages": self._put(stage), "numbers": numbers, "stride": stride,
            "index": [1 << q for q in qubits] + [0] * (12 - len(qubits)), "staged": room,
        })  # fmt: skip
        shared = (self._amp.itemsize << len(qubits)) + 2 * room * self._amp.itemsize
        self._launch("tile", self._batch << outside, 1 << len(threads), shared, self._put(whole), row, stages=1)

    def _pauli(self, row: int, x: int, num_y: int, fields: dict[str, Any]) -> None:
        """A rotation that flips several bits: pairs of amplitudes, two pairs at a time in f32."""
        count_bits = self._num_qubits - 1 - (self._suffix == "f32")
        sweep = np.zeros(1, _PAULI_SWEEP)
        _fill(sweep, {
            **fields, "column": 0, "numbers": fields["row_numbers"], "num_items": self._batch << count_bits,
            "num_amplitudes": 1 << self._num_qubits, "pivot": 1 << x.bit_length() - 1, "x": x, "num_y": num_y,
            "count_bits": count_bits,
        })  # fmt: skip
        self._launch("pauli", -(-(self._batch << count_bits) // THREADS), THREADS, 0, self._put(sweep), row)

    def _groups(
        self, name: str, row: int, targets: Sequence[int], table: npt.NDArray[Any], fields: dict[str, Any]
    ) -> None:
        """Groups of 2^k amplitudes: a block for each, or threads; a wide permutation goes through a second buffer."""
        pairs = int(self._suffix == "f32")  # threads take two amplitudes, neighbours
        if pairs and (fields["controls"] & 1 or (name == "permute" and 0 not in targets)):
            table = _with_qubit_zero(table, fields["controls"] & 1, fields["values"] & 1)
            targets, fields = [*targets, 0], fields | {key: fields[key] & ~1 for key in ("controls", "values")}
        if name == "wide_dense" and 0 in targets:  # then it comes first
            targets, table = _first_target(targets, table, targets.index(0))
        beside = int(pairs and 0 not in targets)  # two groups side by side
        fields = fields | {"table": self._put(table)}
        fixed = _mask(targets) | fields["controls"]
        count_bits = self._num_qubits - fixed.bit_count()
        items = self._batch << count_bits
        sweep = np.zeros(1, _TABLE_SWEEP)
        _fill(sweep, {
            **fields, "num_items": items, "num_amplitudes": 1 << self._num_qubits, "fixed": fixed, "count_bits": count_bits,
            "num_targets": len(targets), "targets": [*targets, *[0] * (32 - len(targets))],
        })  # fmt: skip
        offset = self._put(sweep)
        if name == "initialize":
            self._launch(name, -(-(items >> beside) // THREADS), THREADS, 0, offset, row)
        elif len(targets) <= MAX_GROUP_TARGETS + pairs:
            threads = min(max(1 << len(targets), 32), THREADS)
            self._launch(name, items >> beside, threads, self._amp.itemsize << len(targets) + beside, offset, row)
        else:
            amplitudes = self._batch << self._num_qubits
            self.scratch_bytes = max(self.scratch_bytes, amplitudes * self._amp.itemsize)
            self._launch("copy_out", -(-(amplitudes >> pairs) // THREADS), THREADS, 0, offset, row)
            self._launch("permute_back", -(-(items << len(targets) - pairs) // THREADS), THREADS, 0, offset, row)

    def _launch(
        self, name: str, blocks: int, threads: int, shared: int, offset: int, row: int, stages: int = 0
    ) -> None:
        self.steps.append(
            (f"qsim_{name}_{self._suffix}", min(blocks, MAX_BLOCKS), threads, shared, offset, row, stages)
        )

    # --- bytes -----------------------------------------------------------------------------------------------------

    def _angle(self, data: int, scale: float) -> dict[str, Any]:
        """Return fields that lead to cos and sin of an angle, for each row of the coefficients."""
        angles = scale * self._coefficients.values[:, data]
        numbers = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(self._amp.type(0).real.dtype)
        return {"row_numbers": self._put(numbers), "stride": int(len(numbers) > 1), "num_angles": 1}

    def _put(self, values: npt.NDArray[Any]) -> int:
        """Append an array at a multiple of 16 bytes; return where it begins."""
        self.program += bytes(-len(self.program) % 16)
        start = len(self.program)
        self.program += np.ascontiguousarray(values).tobytes()
        return start

    def _swizzled(self, index: int) -> int:
        bits, low = self._bank_bits, (1 << self._bank_bits) - 1
        return index ^ (index >> bits & low) ^ (index >> 2 * bits & low) ^ (index >> 3 * bits & low)


def _mask(qubits: Iterator[int] | Sequence[int] | Any) -> int:
    return sum(1 << q for q in qubits)


def _with_qubit_zero(table: npt.NDArray[Any], controlled: int, value: int) -> npt.NDArray[Any]:
    """Return the sources or the matrix on one target more, the last: they hold for both its values, or as a control says."""
    size = len(table)
    if table.ndim == 2:
        parts = [table if side == value or not controlled else np.eye(size, dtype=table.dtype) for side in (0, 1)]
        return np.block([[parts[0], np.zeros_like(table)], [np.zeros_like(table), parts[1]]])
    halves = [table if side == value or not controlled else np.arange(size, dtype=table.dtype) for side in (0, 1)]
    return np.concatenate([halves[0], halves[1] + size]).astype(table.dtype)


def _first_target(targets: Sequence[int], matrix: npt.NDArray[Any], place: int) -> tuple[list[int], npt.NDArray[Any]]:
    """Return targets and their matrix with the target at ``place`` moved to the front."""
    order = [place, *(k for k in range(len(targets)) if k != place)]
    entries = np.arange(len(matrix))
    moved = np.zeros_like(entries)
    for k, old in enumerate(order):
        moved |= (entries >> k & 1) << old
    return [targets[k] for k in order], matrix[np.ix_(moved, moved)]


def _fill(record: Record, fields: dict[str, Any]) -> None:
    for name, value in fields.items():
        if name in (record.dtype.names or ()):
            record[name] = value
