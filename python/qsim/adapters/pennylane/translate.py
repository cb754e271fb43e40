"""PennyLane's operations to a Program: the last place where their names are read.

PennyLane writes the first wire first, in labels of matrices and in indices of states. Its wire k of n becomes qubit
n - 1 - k here, so that an index means the same basis state on both sides and no array is ever reordered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError
from pennylane.ops import Conditional, MidMeasure

from qsim_core import Angle, Program, ProgramBuilder
from qsim_core.classical import Binary, Bits, Const, Expression
from qsim_core.gates import GateSpec, gate
from qsim_core.gradient import Adjoint
from qsim_core.types import FloatArray

__all__ = ["GATES", "MAX_MATRIX_WIRES", "Circuit", "Structure", "Translator", "is_differentiable", "is_native"]

#: Operations that are one gate of the table: PennyLane's name to our record, parameters and wires in the same order.
GATES: Mapping[str, GateSpec] = {
    **{
        name: gate(name)
        for name in (
            "PauliX", "PauliY", "PauliZ", "Hadamard", "S", "T", "SX", "PhaseShift", "U1", "U2", "U3", "Rot", "RX", "RY",
            "RZ", "CPhaseShift00", "CPhaseShift01", "CPhaseShift10", "SWAP", "ISWAP", "SISWAP", "SQISW", "ECR", "PSWAP",
            "IsingXX", "IsingYY", "IsingZZ", "IsingXY", "SingleExcitation", "SingleExcitationPlus",
            "SingleExcitationMinus", "DoubleExcitation", "DoubleExcitationPlus", "DoubleExcitationMinus",
            "OrbitalRotation", "FermionicSWAP", "CNOT", "CY", "CZ", "CH", "ControlledPhaseShift", "CRX", "CRY", "CRZ",
            "CRot", "CSWAP", "Toffoli", "CCZ",
        )
    },
    "Adjoint(S)": gate("sdg"),
    "Adjoint(T)": gate("tdg"),
    "Adjoint(SX)": gate("sxdg"),
    "Adjoint(ISWAP)": gate("iswapdg"),
    "Adjoint(SISWAP)": gate("siswapdg"),
}  # fmt: skip

#: Those that PennyLane makes of a base and controls; asking one for its wires puts them together every time.
_CONTROLLED = frozenset(
    ("CNOT", "CY", "CZ", "CH", "CCZ", "ControlledPhaseShift", "CRX", "CRY", "CRZ", "CRot", "CSWAP", "Toffoli")
)
#: Operations with a translation of their own, angles first; the last three are given by numbers that are no angles.
_SPECIAL = frozenset({"Identity", "GlobalPhase", "MultiRZ", "PauliRot", "BasisState"})
_MATRICES = frozenset({"QubitUnitary", "DiagonalQubitUnitary", "BlockEncode"})
_CONTROLLABLE = frozenset(GATES) | {"GlobalPhase", "MultiRZ", "PauliRot", "QubitUnitary", "DiagonalQubitUnitary"}
MAX_MATRIX_WIRES = 12
_STRUCTURES = 128  # circuits remembered
_LARGEST_KEY = 2**16  # bytes of matrices in a key; circuits with more are translated every time


def is_native(op: Any) -> bool:
    """Return whether an operation is translated as it is; all others PennyLane decomposes.

    Mid-circuit measurements are native too; where they may stand is up to the device.
    """
    name = op.name
    if name in GATES or name in _SPECIAL or isinstance(op, MidMeasure):
        return True
    if isinstance(op, Conditional | qml.ops.Adjoint):
        return is_native(op.base)
    if isinstance(op, qml.ops.Controlled):
        base = op.base
        return (base.name in _CONTROLLABLE or _adjoint_of_gate(base)) and is_native(base)
    return name in _MATRICES and len(op.wires) <= MAX_MATRIX_WIRES


def is_differentiable(op: Any) -> bool:
    """Return whether every parameter of an operation is an angle."""
    base = op
    while isinstance(base, qml.ops.Controlled | qml.ops.Adjoint):
        base = base.base
    return is_native(op) and base.name not in _MATRICES and not isinstance(base, MidMeasure | Conditional)


def _adjoint_of_gate(op: Any) -> bool:
    return isinstance(op, qml.ops.Adjoint) and op.base.name in GATES


@dataclass(frozen=True, eq=False)
class Structure:
    """What circuits that differ in their angles only have in common.

    Attributes:
        program: operations on qubits, with one slot per angle; a mid-circuit measurement writes the classical bit of its
            number.
        slot_of: for every parameter of the operations in PennyLane's order its slot, or -1 for matrices and states.
        measured: number of mid-circuit measurements.
    """

    program: Program
    slot_of: tuple[int, ...]
    measured: int = 0

    @cached_property
    def adjoint(self) -> Adjoint:
        """The backward walk of the program, for derivatives."""
        return Adjoint(self.program)


@dataclass(frozen=True, eq=False)
class Circuit:
    """One circuit: its structure, the angles (B, P) and, if it prepares one, its initial amplitudes with their wires."""

    structure: Structure
    angles: FloatArray
    batched: bool
    initial: tuple[Any, tuple[int, ...]] | None = None


class Translator:
    """Turns lists of operations into circuits; structures are remembered, so that a training loop rebinds angles only."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[Any, ...], Structure] = OrderedDict()

    def __call__(self, operations: Sequence[Any], qubit_of: Mapping[Any, int], *, measure_all: bool = False) -> Circuit:
        """Translate operations on wires with these qubits.

        With ``measure_all`` all qubits are measured at the end, into the bits after those of the mid-circuit measurements.

        Raises:
            DeviceError: for an operation without a translation.
        """
        initial = None
        if operations and isinstance(operations[0], qml.operation.StatePrepBase) and operations[0].name != "BasisState":
            first, operations = operations[0], operations[1:]
            initial = _amplitudes(first), tuple(qubit_of[wire] for wire in reversed(first.wires))
        key, values = self._describe(operations, qubit_of)
        key = (measure_all, initial is not None and len(first.data), *key)
        structure = self._known.get(key)
        if structure is None:
            structure = _build(operations, qubit_of, 0 if initial is None else len(first.data), measure_all)
            if sum(len(part) for part in key if type(part) is bytes) <= _LARGEST_KEY:
                self._known[key] = structure
                if len(self._known) > _STRUCTURES:
                    self._known.popitem(last=False)
        angles, batched = _table(values)
        if initial is not None and initial[0].ndim == 2:
            batched = True
        return Circuit(structure, angles, batched, initial)

    @staticmethod
    def _describe(operations: Sequence[Any], qubit_of: Mapping[Any, int]) -> tuple[tuple[Any, ...], list[Any]]:
        """Return what makes the structure, and the angles."""
        key: list[Any] = [tuple(qubit_of.items())]
        values: list[Any] = []
        put, gates, numbers = key.append, GATES, _Numbers()
        for op in operations:
            name = op.name
            put(name)
            if name in _CONTROLLED:
                put(op.control_wires.labels)
                put(op.base.wires.labels)
                values += op.data
                continue
            put(op.wires.labels)
            if name in gates:
                values += op.data
            else:
                _describe_special(op, key, values, numbers)
        return tuple(key), values


class _Numbers(dict[Any, int]):
    """Numbers of mid-circuit measurements, in the order of the circuit."""

    def of(self, op: Any) -> int:
        return self.setdefault(op, len(self))


def _describe_special(op: Any, key: list[Any], values: list[Any], numbers: _Numbers) -> None:
    match op:
        case Conditional():
            bits = tuple(numbers.of(measured) for measured in op.meas_val.measurements)
            key += [bits, _outcomes(op.meas_val), op.base.name, op.base.wires.labels]
            if op.base.name in GATES:
                values += op.base.data
            else:
                _describe_special(op.base, key, values, numbers)
        case MidMeasure():
            key += [numbers.of(op), op.reset]
        case qml.ops.Controlled() | qml.ops.Adjoint():
            if isinstance(op, qml.ops.Controlled):
                key += [op.control_wires.labels, tuple(map(bool, op.control_values))]
            key += [op.base.name, op.base.wires.labels]
            if op.base.name in GATES:
                values += op.base.data
            else:
                _describe_special(op.base, key, values, numbers)
        case qml.PauliRot():
            key.append(op.hyperparameters["pauli_word"])
            values += op.data
        case qml.GlobalPhase() | qml.MultiRZ():
            values += op.data
        case qml.Identity():
            pass
        case qml.BasisState():
            key.append(tuple(map(int, op.data[0])))
        case _ if op.name in _MATRICES:
            array = np.asarray(_array(op))
            key += [array.shape, array.tobytes()]
        case _:
            raise DeviceError(f"Operation {op} is not supported on qsim.qubit and was not decomposed.")


def _array(op: Any) -> Any:
    return op.data[0] if op.name == "DiagonalQubitUnitary" else qml.matrix(op, wire_order=op.wires)


def _amplitudes(op: Any) -> Any:
    vector = np.asarray(op.state_vector(wire_order=op.wires))
    batch = vector.shape[: vector.ndim - len(op.wires)]
    return vector.reshape(*batch, -1)


def _table(values: list[Any]) -> tuple[FloatArray, bool]:
    """Return angles as (B, P), and whether they came as a batch."""
    try:
        array = np.array(values, dtype=np.float64)
    except ValueError:
        array = np.stack(np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in values)))
    if array.ndim > 2:
        raise DeviceError(f"Parameters with more than one batch dimension are not supported: shape {array.shape[1:]}.")
    return (array.reshape(1, -1), False) if array.ndim == 1 else (np.ascontiguousarray(array.T), True)


# --- building -----------------------------------------------------------------------------------------------------------


def _build(operations: Sequence[Any], qubit_of: Mapping[Any, int], skipped: int, measure_all: bool) -> Structure:
    num_angles = 0
    slot_of: list[int] = [-1] * skipped
    for op in operations:
        base = op
        while isinstance(base, qml.ops.Controlled | qml.ops.Adjoint | Conditional) and base.name not in GATES:
            base = base.base
        if base.name in _MATRICES or base.name == "BasisState":
            slot_of += [-1] * len(op.data)
        else:
            slot_of += range(num_angles, num_angles + len(op.data))
            num_angles += len(op.data)
    measured = sum(isinstance(op, MidMeasure) for op in operations)
    num_qubits = len(qubit_of)
    builder = ProgramBuilder(num_qubits, measured + num_qubits * measure_all, [f"p{k}" for k in range(num_angles)])
    slots = (Angle(0.0, ((k, 1.0),)) for k in range(num_angles))
    numbers = _Numbers()
    for op in operations:
        _emit(builder, op, qubit_of, slots, numbers)
    if measure_all:
        builder.measure(range(num_qubits), range(measured, measured + num_qubits))
    return Structure(builder.finish(), tuple(slot_of), measured)


def _emit(
    builder: ProgramBuilder,
    op: Any,
    qubit_of: Mapping[Any, int],
    slots: Iterator[Angle],
    numbers: _Numbers,
    controls: tuple[int, ...] = (),
    values: tuple[int, ...] = (),
    inverse: bool = False,
) -> None:
    """Append one operation, under further controls or undone."""
    qubits = tuple(qubit_of[wire] for wire in op.wires)
    sign = -1.0 if inverse else 1.0
    spec = GATES.get(op.name)
    if spec is not None:
        params: Any = [next(slots) for _ in spec.params]
        if inverse:
            spec, params = spec.inverse(params)
        spec.lower(builder, params, qubits, controls, values)
        return
    match op:
        case qml.ops.Adjoint():
            _emit(builder, op.base, qubit_of, slots, numbers, controls, values, not inverse)
        case qml.ops.Controlled():
            on = tuple(qubit_of[wire] for wire in op.control_wires)
            wanted = tuple(int(value) for value in op.control_values)
            _emit(builder, op.base, qubit_of, slots, numbers, controls + on, values + wanted, inverse)
        case Conditional():
            builder.begin_if(_condition(op.meas_val, numbers))
            _emit(builder, op.base, qubit_of, slots, numbers)
            builder.end_block()
        case MidMeasure():
            bit = numbers.of(op)
            builder.measure(qubits, (bit,))
            if op.reset:
                builder.begin_if(Bits((bit,)))
                gate("x").lower(builder, (), qubits)
                builder.end_block()
        case qml.GlobalPhase():  # PennyLane's phase is e^(-i phi)
            builder.phase(next(slots).scaled(-sign), controls, values)
        case qml.MultiRZ():
            builder.rotation("Z" * len(qubits), next(slots).scaled(sign), qubits, controls, values)
        case qml.PauliRot():
            word = op.hyperparameters["pauli_word"]
            builder.rotation(word, next(slots).scaled(sign), qubits, controls, values)
        case qml.Identity():
            pass
        case qml.BasisState():
            for qubit, bit in zip(qubits, op.data[0], strict=True):
                if bit:
                    gate("x").lower(builder, (), (qubit,))
        case qml.DiagonalQubitUnitary():
            vector = np.array(op.data[0], dtype=np.complex128)
            builder.diagonal(vector.conj() if inverse else vector, qubits[::-1], controls, values)
        case _ if op.name in _MATRICES:
            matrix = np.array(_array(op), dtype=np.complex128)
            builder.dense(matrix.conj().T if inverse else matrix, qubits[::-1], controls, values)
        case _:
            raise DeviceError(f"Operation {op} is not supported on qsim.qubit and was not decomposed.")


def _outcomes(value: Any) -> int:
    """Return a number whose bit k says whether outcome k makes a measurement value true; its first measurement is bit 0."""
    return sum(1 << sum(bit << k for k, bit in enumerate(branch)) for branch, result in value.items() if result)


def _condition(value: Any, numbers: _Numbers) -> Expression:
    outcome = Bits(tuple(numbers.of(measured) for measured in value.measurements))
    return Binary("&", Binary(">>", Const(_outcomes(value)), outcome), Const(1))
