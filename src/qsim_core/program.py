"""Program: a circuit as frozen plain data, after gate names are gone. The open contract other tools target.

>>> builder = ProgramBuilder(num_qubits=2, num_clbits=2)
>>> builder.rotation("Y", math.pi / 2, (0,))
>>> builder.permutation([1, 0], (1,), controls=(0,))
>>> builder.measure((0, 1), (0, 1))
>>> program = builder.finish()
>>> len(program), program.num_qubits
(3, 2)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import classical, validation
from .angles import AngleTable
from .classical import Expression
from .errors import ParameterError, ProgramFormatError, QubitError, ShapeError, expected
from .operations import (
    Angle,
    Assign,
    Channel,
    Dense,
    Diagonal,
    Expect,
    If,
    Initialize,
    Leave,
    Measure,
    Operation,
    OpKind,
    Permutation,
    Phase,
    Reset,
    Rotation,
    While,
)
from .optable import PAULI_CODE, PAULI_LETTER, OpTable, OpTableBuilder
from .pauli import PauliTerms
from .types import FloatArray

__all__ = ["Flow", "Program", "ProgramBuilder", "Readout", "VERSION", "check_written"]

#: Version of the data format; a reader refuses any other.
VERSION = 1
#: P(read 1 | is 0) and P(read 0 | is 1) for every target of a measurement.
Readout: TypeAlias = tuple[tuple[float, float], ...]
MAX_BLOCK_DEPTH = 64


@dataclass(frozen=True, slots=True)
class Flow:
    """What an IF, WHILE or ASSIGN row points at: its expression, the indices of its blocks (-1: no such block), its bits."""

    condition: Expression
    block: int = -1
    otherwise: int = -1
    limit: int = 0
    clbits: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Program:
    """Frozen operations on ``num_qubits`` qubits and ``num_clbits`` classical bits.

    ``blocks[0]`` is the body; the other blocks are bodies of control flow. ``slots`` names the parameter slots that
    angles refer to. Arrays are read-only. Build one with :class:`ProgramBuilder`, or read one with
    :func:`qsim_core.serialization.program_from_json`.
    """

    num_qubits: int
    num_clbits: int
    slots: tuple[str, ...]
    blocks: tuple[OpTable, ...]
    angles: AngleTable
    operands: tuple[npt.NDArray[np.generic], ...]
    channels: tuple[Channel, ...]
    flows: tuple[Flow, ...]
    observables: tuple[tuple[str, PauliTerms], ...] = ()
    readouts: tuple[Readout, ...] = ()
    version: int = VERSION

    @property
    def body(self) -> OpTable:
        return self.blocks[0]

    def __len__(self) -> int:
        """Number of operations in the body (a control-flow operation counts once)."""
        return len(self.body)

    def __repr__(self) -> str:
        return (
            f"Program(num_qubits={self.num_qubits}, num_clbits={self.num_clbits}, "
            f"operations={len(self)}, slots={len(self.slots)})"
        )

    def operations(self, block: int = 0) -> Iterator[Operation]:
        """Yield the operations of a block as dataclasses, nested blocks included."""
        table = self.blocks[block]
        for row in range(len(table)):
            yield self.operation(table, row)

    def operation(self, table: OpTable, row: int) -> Operation:
        """Return one row of a table of this program as a dataclass."""
        kind = OpKind(int(table.kind[row]))
        data = int(table.data[row])
        targets = tuple(table.targets(row).tolist())
        controls = tuple(table.controls(row).tolist())
        values = tuple(table.control_values(row).tolist())
        match kind:
            case OpKind.ROTATION:
                letters = "".join(PAULI_LETTER[code] for code in table.target_tags(row))
                return Rotation(letters, self.angles[data], targets, controls, values)
            case OpKind.PHASE:
                return Phase(self.angles[data], controls, values)
            case OpKind.DENSE:
                return Dense(self.operands[data], targets, controls, values)  # type: ignore[arg-type]
            case OpKind.DIAGONAL:
                return Diagonal(self.operands[data], targets, controls, values)  # type: ignore[arg-type]
            case OpKind.PERMUTATION:
                return Permutation(self.operands[data], targets, controls, values)  # type: ignore[arg-type]
            case OpKind.INITIALIZE:
                return Initialize(self.operands[data], targets)  # type: ignore[arg-type]
            case OpKind.MEASURE:
                return Measure(
                    targets, tuple(table.target_tags(row).tolist()), self.readouts[data] if data >= 0 else ()
                )
            case OpKind.RESET:
                return Reset(targets)
            case OpKind.CHANNEL:
                return self.channels[data]
            case OpKind.ASSIGN:
                flow = self.flows[data]
                return Assign(flow.clbits, flow.condition)
            case OpKind.IF:
                flow = self.flows[data]
                otherwise = tuple(self.operations(flow.otherwise)) if flow.otherwise >= 0 else ()
                return If(flow.condition, tuple(self.operations(flow.block)), otherwise)
            case OpKind.WHILE:
                flow = self.flows[data]
                return While(flow.condition, tuple(self.operations(flow.block)), flow.limit)
            case OpKind.LEAVE:
                return Leave(data)
            case OpKind.EXPECT:
                return Expect(*self.observables[data])

    @cached_property
    def operand_classes(self) -> tuple[str, ...]:
        """The class of each operand, see :func:`operand_classes`."""
        return tuple(operand_classes(self.operands))

    @cached_property
    def structure(self) -> bytes:
        """Digest of everything but angles and the values of operands: programs with equal digests share a Plan.

        Dense matrices and vectors enter by shape and class, permutations by value.
        """
        parts = [repr((self.version, self.num_qubits, self.num_clbits, self.flows)).encode()]
        for table in self.blocks:
            parts.append(repr([len(column) for column in table.columns]).encode())
            parts += [column.tobytes() for column in table.columns]
        for operand, name in zip(self.operands, self.operand_classes, strict=True):
            parts += operand.tobytes() if operand.dtype.kind == "i" else name.encode(), repr(operand.shape).encode()
        for channel in self.channels:
            parts.append(repr((channel.targets, len(channel.matrices), channel.probabilities is None)).encode())
        parts.append(repr(len(self.observables)).encode())
        return _digest(parts)

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal digest of the whole program, values included: the circuit hash of a Result."""
        angles = self.angles
        parts = [self.structure]
        for column in (angles.constant, angles.row, angles.slot, angles.coefficient, *self.operands):
            parts.append(column.tobytes())
        for channel in self.channels:
            parts.append(repr(channel.probabilities).encode())
            parts += [matrix.tobytes() for matrix in channel.matrices]
        for label, terms in self.observables:
            parts += [column.tobytes() for column in (terms.x_masks, terms.z_masks, terms.coefficients)]
            parts.append(repr(label).encode())
        parts.append(repr((self.slots, self.readouts)).encode())
        return _digest(parts).hex()

    def bind(self, slots: npt.ArrayLike = ()) -> FloatArray:
        """Return all angles in radians, shape (B, A), for slot values of shape (P,) or (B, P).

        Raises:
            ParameterError: if the number of values is not the number of slots, or a value is not finite.
        """
        values = self._rows_of_slots(slots)
        if not self.slots:  # checked when they were written
            return self._constants if len(values) == 1 else self.angles.evaluate(values)
        angles = self.angles.evaluate(values)
        if not self._slots_all_used:
            validation.check_angles(values)
        return angles

    def check_slots(self, slots: npt.ArrayLike) -> FloatArray:
        """Return slot values as contiguous rows, shape (B, P), for a backend that binds them itself.

        Raises:
            ParameterError: as :meth:`bind`, without computing every angle.
        """
        values = np.ascontiguousarray(self._rows_of_slots(slots))
        if self.slots and len(values):
            # NaN if there is one; a column at a time takes tenfold.
            largest = max(float(values.max()), -float(values.min()))
            if not math.isfinite(largest * self._steepest):
                self.bind(values)
        return values

    @cached_property
    def _steepest(self) -> float:
        """At least 1, and no angle without its constant is more than this times the largest slot value."""
        angles = self.angles
        return float(np.bincount(angles.row, np.abs(angles.coefficient), 1).max(initial=1.0))

    @cached_property
    def _constants(self) -> FloatArray:
        """The angles of a program without slots, read-only."""
        angles = self.angles.constant[None]
        angles.flags.writeable = False
        return angles

    @cached_property
    def _slots_all_used(self) -> bool:
        """Whether every slot is in an angle, which then tells whether its value was finite."""
        return len(set(self.angles.slot.tolist())) == len(self.slots)

    def _rows_of_slots(self, slots: npt.ArrayLike) -> FloatArray:
        values = np.asarray(slots, dtype=np.float64)
        values = values.reshape(1, -1) if values.ndim < 2 else values
        if values.shape[1:] != (len(self.slots),):
            names = ", ".join(self.slots[:8]) + (", …" if len(self.slots) > 8 else "")
            raise ParameterError(
                expected("parameter values", f"{len(self.slots)} ({names or 'no parameters'})", values.shape[-1])
            )
        return values


def check_written(program: Program) -> None:
    """Refuse a condition none of whose bits can have been measured before it: it would always be the same.

    Raises:
        QubitError: with the bits it reads.
    """
    kinds = (OpKind.MEASURE, OpKind.ASSIGN, OpKind.IF, OpKind.WHILE)

    def walk(table: OpTable, before: frozenset[int], checking: bool) -> frozenset[int]:
        written = before
        for row in np.flatnonzero(np.isin(table.kind, kinds)).tolist():
            if table.kind[row] == OpKind.MEASURE:
                written |= frozenset(table.target_tags(row).tolist())
                continue
            flow = program.flows[int(table.data[row])]
            if table.kind[row] == OpKind.ASSIGN:
                written |= frozenset(flow.clbits)
                continue
            blocks = [program.blocks[block] for block in (flow.block, flow.otherwise) if block >= 0]
            if table.kind[row] == OpKind.WHILE:
                written = walk(blocks[0], written, False)
            reads = classical.bits_read(flow.condition)
            if checking and reads and not reads & written:
                name = OpKind(int(table.kind[row])).name.lower()
                allowed = "at least one that is measured before it"
                raise QubitError(expected(f"classical bits of the condition of {name}", allowed, sorted(reads)))
            written = written.union(*(walk(block, written, checking) for block in blocks))
        return written

    if program.flows:
        walk(program.body, frozenset(), True)


def _digest(parts: list[bytes]) -> bytes:
    import hashlib  # brings OpenSSL with it: only when a digest is wanted

    # Processors have instructions for it: twice as fast as BLAKE2.
    return hashlib.sha256(b"".join(parts)).digest()[:16]


#: Operands of the gate table, which never change, with their classes, by identity.
_lasting: dict[int, tuple[npt.NDArray[np.generic], str]] = {}


def remember_class(operand: npt.NDArray[np.generic]) -> None:
    """Look at an operand once for all programs; it is kept for ever."""
    _lasting[id(operand)] = operand, operand_classes([operand])[0]


def operand_classes(operands: Sequence[npt.NDArray[np.generic]]) -> list[str]:
    """Return the class each operand enters the plan cache by: vector, diagonal, permutation, real or general.

    Matrices of one shape are looked at together: circuits of thousands of small ones are common.

    >>> operand_classes([np.array([[0, 1j], [1j, 0]]), np.array([1, -1])])
    ['permutation', 'vector']
    """
    classes = ["vector" if operand.ndim == 1 else "general" for operand in operands]
    groups: dict[int, list[int]] = {}
    for index, operand in enumerate(operands):
        if id(operand) in _lasting:
            classes[index] = _lasting[id(operand)][1]
        elif operand.ndim == 2 and len(operand) <= 64:
            groups.setdefault(len(operand), []).append(index)
    for size, group in groups.items():
        matrices = np.stack([operands[index] for index in group])
        nonzero = matrices != 0
        diagonal = ~(nonzero & ~np.eye(size, dtype=bool)).any(axis=(1, 2))
        permutation = (nonzero.sum(axis=1) == 1).all(axis=1) & (nonzero.sum(axis=2) == 1).all(axis=1)
        real = ~np.imag(matrices).any(axis=(1, 2))
        names = np.select([diagonal, permutation, real], ["diagonal", "permutation", "real"], "general")
        for index, name in zip(group, names.tolist(), strict=True):
            classes[index] = name
    return classes


class ProgramBuilder:
    """Appends operations and freezes them into a :class:`Program`.

    Matrices are checked when they are added, wires all at once by :meth:`finish` (a front end that wants an
    error at the offending line checks its own input first).
    """

    def __init__(self, num_qubits: int, num_clbits: int = 0, slots: Sequence[str] = ()) -> None:
        self.num_qubits = validation.check_num_qubits(num_qubits)
        self.num_clbits = validation.check_count("number of classical bits", num_clbits)
        self.slots = tuple(slots)
        self._blocks: list[OpTableBuilder] = [OpTableBuilder()]
        self._open: list[int] = [0]
        self._table = self._blocks[0]
        self._angles: list[Angle] = []
        self._operands: list[npt.NDArray[np.generic]] = []
        self._operand_index: dict[int, int] = {}
        self._channels: list[Channel] = []
        self._flows: list[Flow] = []
        self._readouts: list[Readout] = []
        self._observables: list[tuple[str, PauliTerms]] = []

    def rotation(
        self,
        pauli: str,
        angle: Angle | float,
        targets: Sequence[int],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
    ) -> None:
        """Append exp(-i angle/2 P); letters I are dropped together with their targets."""
        targets = tuple(targets)
        if len(pauli) != len(targets):
            raise ShapeError(expected("Pauli string", f"{len(targets)} letters, one per target", repr(pauli)))
        if pauli.strip("XYZI"):
            raise ParameterError(expected("Pauli string", "letters I, X, Y, Z", repr(pauli)))
        if "I" in pauli:
            kept = [k for k, letter in enumerate(pauli) if letter != "I"]
            targets, pauli = tuple(targets[k] for k in kept), "".join(pauli[k] for k in kept)
        if not pauli:
            self.phase(_angle(angle).scaled(-0.5), controls, control_values)
            return
        tags = tuple(PAULI_CODE[letter] for letter in pauli)
        self._append(OpKind.ROTATION, self._add_angle(angle), targets, controls, control_values, tags)

    def phase(
        self, angle: Angle | float, controls: Sequence[int] = (), control_values: Sequence[int] | None = None
    ) -> None:
        """Append e^(i angle) on the controlled subspace."""
        self._append(OpKind.PHASE, self._add_angle(angle), (), controls, control_values)

    def dense(
        self,
        matrix: npt.ArrayLike,
        targets: Sequence[int],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
        *,
        checked: bool = False,
    ) -> None:
        """Append a unitary matrix; ``checked=True`` is for read-only arrays already known to be unitary."""
        array = matrix if checked else validation.check_unitary(matrix, len(targets))
        self._append(OpKind.DENSE, self._add_operand(array), tuple(targets), controls, control_values)  # type: ignore[arg-type]

    def diagonal(
        self,
        vector: npt.ArrayLike,
        targets: Sequence[int],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
        *,
        checked: bool = False,
    ) -> None:
        """Append a diagonal unitary."""
        array = vector if checked else validation.check_diagonal(vector, len(targets))
        self._append(OpKind.DIAGONAL, self._add_operand(array), tuple(targets), controls, control_values)  # type: ignore[arg-type]

    def permutation(
        self,
        table: npt.ArrayLike,
        targets: Sequence[int],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
        *,
        checked: bool = False,
    ) -> None:
        """Append |x⟩ → |table[x]⟩."""
        array = table if checked else validation.check_permutation(table, len(targets))
        self._append(OpKind.PERMUTATION, self._add_operand(array), tuple(targets), controls, control_values)  # type: ignore[arg-type]

    def initialize(self, vector: npt.ArrayLike, targets: Sequence[int]) -> None:
        """Append the preparation of a normalised vector on freshly reset targets."""
        array = validation.check_state(vector, len(targets))
        self._append(OpKind.INITIALIZE, self._add_operand(array), tuple(targets))

    def measure(self, targets: Sequence[int], clbits: Sequence[int], errors: Readout = ()) -> None:
        """Append a measurement of ``targets[k]`` into ``clbits[k]``, read with ``errors[k]`` (see :class:`Measure`)."""
        if len(targets) != len(clbits):
            raise ShapeError(expected("classical bits of a measurement", f"{len(targets)}", len(clbits)))
        if errors:
            self._readouts.append(validation.check_readout(errors, len(targets)))
        self._append(OpKind.MEASURE, len(self._readouts) - 1 if errors else -1, tuple(targets), tags=tuple(clbits))

    def reset(self, targets: Sequence[int]) -> None:
        """Append a reset to |0⟩."""
        self._append(OpKind.RESET, -1, tuple(targets))

    def channel(
        self,
        matrices: Sequence[npt.ArrayLike],
        targets: Sequence[int],
        probabilities: Sequence[float] | None = None,
    ) -> None:
        """Append a noise channel."""
        frozen = validation.check_channel(matrices, len(targets), probabilities)
        weights = None if probabilities is None else tuple(float(p) for p in probabilities)
        self._channels.append(Channel(frozen, tuple(targets), weights))
        self._append(OpKind.CHANNEL, len(self._channels) - 1, tuple(targets))

    def assign(self, clbits: Sequence[int], value: Expression) -> None:
        """Append an assignment of the lowest bits of ``value`` to ``clbits``, the least significant to ``clbits[0]``."""
        self._append(OpKind.ASSIGN, len(self._flows), ())
        self._flows.append(Flow(value, clbits=tuple(clbits)))

    def leave(self, levels: int) -> None:
        """Append a jump to what follows the ``levels``-th block that is open here, 1 being the innermost."""
        if isinstance(levels, bool) or not isinstance(levels, int) or not 1 <= levels < len(self._open):
            allowed = f"1 to {len(self._open) - 1}" if len(self._open) > 1 else "an open if or while block"
            raise ProgramFormatError(expected("blocks to leave", allowed, levels))
        self._append(OpKind.LEAVE, levels, ())

    def expect(self, label: str, terms: PauliTerms) -> None:
        """Append the reading of an expectation value; a label may be used once."""
        if not isinstance(label, str) or not label or label in dict(self._observables):
            raise ParameterError(expected("label of an expectation value", "a new one, not empty", repr(label)))
        mask = int(np.bitwise_or.reduce(terms.x_masks | terms.z_masks, initial=0))
        self._observables.append((label, terms))
        targets = tuple(q for q in range(mask.bit_length()) if mask >> q & 1)
        self._append(OpKind.EXPECT, len(self._observables) - 1, targets)

    def begin_if(self, condition: Expression) -> None:
        """Open the block that runs where the condition holds; close it with :meth:`end_block`."""
        self._begin(OpKind.IF, condition, 0)

    def begin_while(self, condition: Expression, limit: int = 1_000_000) -> None:
        """Open the block that repeats while the condition holds, at most ``limit`` times."""
        self._begin(OpKind.WHILE, condition, validation.check_count("loop limit", limit, least=1))

    def begin_else(self) -> None:
        """Close the block of the innermost ``if`` and open its alternative."""
        parent = self._blocks[self._open[-2]] if len(self._open) > 1 else None
        if parent is None or parent.kind[-1] != OpKind.IF or self._flows[parent.data[-1]].otherwise >= 0:
            raise ProgramFormatError(expected("else", "inside an open if block", "none open"))
        self._open[-1] = self._new_block()
        flow = self._flows[parent.data[-1]]
        self._flows[parent.data[-1]] = Flow(flow.condition, flow.block, self._open[-1], flow.limit)

    def end_block(self) -> None:
        """Close the innermost open block."""
        if len(self._open) == 1:
            raise ProgramFormatError(expected("end of block", "an open if or while block", "none open"))
        self._open.pop()
        self._table = self._blocks[self._open[-1]]

    def add(self, operation: Operation) -> None:
        """Append an operation given as a dataclass, nested blocks included; controls without values have value 1."""
        match operation:
            case Rotation(pauli, angle, targets, controls, values):
                self.rotation(pauli, angle, targets, controls, values or None)
            case Phase(angle, controls, values):
                self.phase(angle, controls, values or None)
            case Dense(matrix, targets, controls, values):
                self.dense(matrix, targets, controls, values or None)
            case Diagonal(vector, targets, controls, values):
                self.diagonal(vector, targets, controls, values or None)
            case Permutation(table, targets, controls, values):
                self.permutation(table, targets, controls, values or None)
            case Initialize(vector, targets):
                self.initialize(vector, targets)
            case Measure(targets, clbits, errors):
                self.measure(targets, clbits, errors)
            case Reset(targets):
                self.reset(targets)
            case Channel(matrices, targets, probabilities):
                self.channel(matrices, targets, probabilities)
            case Assign(clbits, value):
                self.assign(clbits, value)
            case If(condition, block, otherwise):
                self.begin_if(condition)
                self.extend(block)
                if otherwise:
                    self.begin_else()
                    self.extend(otherwise)
                self.end_block()
            case While(condition, block, limit):
                self.begin_while(condition, limit)
                self.extend(block)
                self.end_block()
            case Leave(levels):
                self.leave(levels)
            case Expect(label, terms):
                self.expect(label, terms)

    def extend(self, operations: Iterable[Operation]) -> None:
        """Append many operations."""
        for operation in operations:
            self.add(operation)

    def finish(self) -> Program:
        """Check all wires and angles and return the frozen Program.

        Raises:
            QubitError: naming the first operation whose wires are out of range or repeated.
        """
        if len(self._open) > 1:
            raise ProgramFormatError(expected("program", "every if and while block closed", "an open one"))
        blocks = tuple(block.finish() for block in self._blocks)
        for block in blocks:
            self._check_wires(block)
        angles = AngleTable.of(self._angles)
        validation.check_angles(angles.constant)
        validation.check_angles(angles.coefficient)
        if len(angles.slot) and not 0 <= angles.slot.min() <= angles.slot.max() < len(self.slots):
            raise ParameterError(expected("parameter slot", f"0 to {len(self.slots) - 1}", int(angles.slot.max())))
        for flow in self._flows:
            bits = sorted(classical.bits_read(flow.condition))
            validation.check_qubits("classical bit of a condition", bits, self.num_clbits)
            validation.check_qubits("classical bit of an assignment", flow.clbits, self.num_clbits)
        return Program(
            self.num_qubits,
            self.num_clbits,
            self.slots,
            blocks,
            angles,
            tuple(self._operands),
            tuple(self._channels),
            tuple(self._flows),
            tuple(self._observables),
            tuple(self._readouts),
        )

    def _append(
        self,
        kind: OpKind,
        data: int,
        targets: tuple[int, ...],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
        tags: tuple[int, ...] | None = None,
    ) -> None:
        controls = tuple(controls)
        values = (1,) * len(controls) if control_values is None else tuple(control_values)
        if len(values) != len(controls):
            validation.check_control_values(controls, values)
        self._table.append(kind, data, targets, (0,) * len(targets) if tags is None else tags, controls, values)

    def _add_angle(self, angle: Angle | float) -> int:
        self._angles.append(_angle(angle))
        return len(self._angles) - 1

    def _add_operand(self, operand: npt.NDArray[np.generic]) -> int:
        """Return the index of an operand; the same array is stored once."""
        index = self._operand_index.get(id(operand))
        if index is None:
            index = len(self._operands)
            self._operands.append(operand)
            self._operand_index[id(operand)] = index
        return index

    def _begin(self, kind: OpKind, condition: Expression, limit: int) -> None:
        if len(self._open) > MAX_BLOCK_DEPTH:
            raise ProgramFormatError(expected("nested blocks", f"at most {MAX_BLOCK_DEPTH}", len(self._open)))
        self._append(kind, len(self._flows), ())
        index = self._new_block()
        self._flows.append(Flow(condition, index, -1, limit))
        self._open.append(index)

    def _new_block(self) -> int:
        self._blocks.append(OpTableBuilder())
        self._table = self._blocks[-1]
        return len(self._blocks) - 1

    def _check_wires(self, table: OpTable) -> None:
        """Vectorised; the scalar check words the message for the first offender."""
        if not len(table.qubits):
            return
        owner = np.repeat(np.arange(len(table)), np.diff(table.offset))
        order = np.lexsort((table.qubits, owner))
        repeated = (np.diff(table.qubits[order]) == 0) & (np.diff(owner[order]) == 0)
        outside = (table.qubits < 0) | (table.qubits >= self.num_qubits)
        position = np.arange(len(table.qubits)) - table.offset[owner]
        is_target = position < table.num_targets[owner]
        measured = table.kind[owner] == OpKind.MEASURE
        bad_value = ~is_target & (table.tags != 0) & (table.tags != 1)
        bad_clbit = measured & ((table.tags < 0) | (table.tags >= self.num_clbits))
        written, writer = table.tags[measured], owner[measured]
        by_clbit = np.lexsort((written, writer))
        twice = (np.diff(written[by_clbit]) == 0) & (np.diff(writer[by_clbit]) == 0)
        both = [owner[order[1:]][repeated], writer[by_clbit[1:]][twice]]
        bad = np.concatenate([owner[outside], *both, owner[bad_value], owner[bad_clbit]])
        if not len(bad):
            return
        row = int(bad.min())
        name = OpKind(int(table.kind[row])).name.lower()
        try:
            validation.check_qubits(f"qubit of operation {row} ({name})", table.wires(row).tolist(), self.num_qubits)
            validation.check_control_values(table.controls(row).tolist(), table.control_values(row).tolist())
            clbits = table.target_tags(row).tolist()
            validation.check_qubits(f"classical bit of operation {row} ({name})", clbits, self.num_clbits)
        except QubitError:
            raise
        except (ParameterError, ShapeError) as error:
            raise type(error)(f"operation {row} ({name}): {error}") from None


def _angle(angle: Angle | float) -> Angle:
    if isinstance(angle, Angle):
        return angle
    try:
        return Angle(float(angle))
    except (TypeError, ValueError, OverflowError):
        raise ParameterError(expected("angle", "a number of radians or an Angle", repr(angle))) from None
