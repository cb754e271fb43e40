"""PennyLane's operations to a Program: the last place where their names are read.

PennyLane writes the first wire first, in labels of matrices and in indices of states. Its wire k of n becomes qubit
n - 1 - k here, so that an index means the same basis state on both sides and no array is ever reordered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import pennylane as qml
from pennylane.exceptions import DeviceError
from pennylane.ops import Conditional, MidMeasure

from qsim.instructions import DiagonalGate, IfElse, Instruction, Measurement, PauliRotation, UnitaryGate
from qsim.lowering import lower
from qsim.parameters import Parameter
from qsim_core import Program
from qsim_core.classical import Binary, Bits, Const, Expression
from qsim_core.gates import GateSpec, gate
from qsim_core.gradient import Adjoint
from qsim_core.types import FloatArray
from qsim_core.validation import check_diagonal, check_unitary

__all__ = [
    "GATES",
    "MAX_MATRIX_WIRES",
    "Circuit",
    "Structure",
    "Translator",
    "is_differentiable",
    "is_native",
    "measures",
]

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
_PHASE, _X, _MEASUREMENT = gate("gphase"), gate("x"), Measurement()
_Bits: TypeAlias = tuple[int, ...]
_WRAPPED = qml.ops.Controlled | qml.ops.Adjoint | Conditional
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
    return _is_matrix(op) and len(op.wires) <= MAX_MATRIX_WIRES


def _is_matrix(op: Any) -> bool:
    """Return whether a matrix stands for an operation: it is given by one, or has no decomposition."""
    if op.name in _MATRICES:
        return True
    if op.name in GATES or op.name in _SPECIAL or isinstance(op, _WRAPPED | MidMeasure):
        return False
    return bool(op.has_matrix) and not op.has_decomposition and op.batch_size is None


def is_differentiable(op: Any) -> bool:
    """Return whether every parameter of an operation is an angle."""
    base = op
    while isinstance(base, qml.ops.Controlled | qml.ops.Adjoint):
        base = base.base
    return is_native(op) and not _is_matrix(base) and not isinstance(base, MidMeasure | Conditional)


def measures(operations: Sequence[Any]) -> bool:
    """Return whether operations measure in their middle; a look at every class that occurs."""
    return any(issubclass(kind, MidMeasure) for kind in set(map(type, operations)))


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
        read = _Read.of(operations)
        key = (measure_all, initial is not None and len(first.data), tuple(qubit_of.items()), *read.key)
        structure = self._known.get(key)
        if structure is None:
            structure = _build(operations, read, qubit_of, 0 if initial is None else len(first.data), measure_all)
            if sum(len(part) for part in read.others if type(part) is bytes) <= _LARGEST_KEY:
                self._known[key] = structure
                if len(self._known) > _STRUCTURES:
                    self._known.popitem(last=False)
        angles, batched = _table(read.angles)
        if initial is not None and initial[0].ndim == 2:
            batched = True
        return Circuit(structure, angles, batched, initial)


@dataclass(frozen=True, eq=False)
class _Read:
    """What is read of operations: name and wires of each, what else makes the structure, and the angles."""

    names: list[str]
    wires: list[tuple[Any, ...]]
    others: list[Any]
    angles: list[Any]

    @property
    def key(self) -> tuple[tuple[Any, ...], ...]:
        return tuple(self.names), tuple(self.wires), tuple(self.others)

    @classmethod
    def of(cls, operations: Sequence[Any]) -> _Read:
        names = [op.name for op in operations]
        wires: list[tuple[Any, ...]] = []
        others: list[Any] = []
        angles: list[Any] = []
        put, gates, numbers = wires.append, GATES, _Numbers()
        for op, name in zip(operations, names, strict=True):
            if name in _CONTROLLED:
                put(op.control_wires.labels + op.base.wires.labels)
                angles += op.data
                continue
            put(op.wires.labels)
            if name in gates:
                angles += op.data
            else:
                _describe_special(op, others, angles, numbers)
        return cls(names, wires, others, angles)


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
        case _ if _is_matrix(op):
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


def _build(
    operations: Sequence[Any], read: _Read, qubit_of: Mapping[Any, int], skipped: int, measure_all: bool
) -> Structure:
    writer = _Writer(qubit_of, skipped)
    writer.walk(operations, read)
    measured, num_qubits = len(writer.numbers), len(qubit_of)
    if measure_all:
        bits = tuple(range(measured, measured + num_qubits))
        writer.here.append(Instruction(_MEASUREMENT, tuple(range(num_qubits)), clbits=bits))
    lowered = lower(writer.here, num_qubits, measured + num_qubits * measure_all, _parameters(writer.num_angles))
    return Structure(lowered.program, tuple(writer.slot_of), measured)


_PARAMETERS: list[Parameter] = []


def _parameters(count: int) -> list[Parameter]:
    """Return the parameters that stand for so many angles, in PennyLane's order."""
    _PARAMETERS.extend(Parameter(f"p{k}") for k in range(len(_PARAMETERS), count))
    return _PARAMETERS[:count]


class _Writer:
    """Operations as instructions; every angle is a slot of its own."""

    def __init__(self, qubit_of: Mapping[Any, int], skipped: int) -> None:
        self.qubit_of = qubit_of
        self.here: list[Instruction] = []
        self.slot_of: list[int] = [-1] * skipped
        self.numbers = _Numbers()
        self.num_angles = 0

    def walk(self, operations: Sequence[Any], read: _Read) -> None:
        """Append operations; gates of the table without another look at them."""
        put, qubit_of, new, gates = self.here.append, self.qubit_of, tuple.__new__, GATES
        for op, name, wires in zip(operations, read.names, read.wires, strict=True):
            spec = gates.get(name)
            if spec is None:
                self.add(op)
                continue
            slots = self.slots(len(spec.params)) if spec.params else ()
            put(new(Instruction, (spec, tuple([qubit_of[wire] for wire in wires]), slots, (), (), ())))

    def slots(self, count: int) -> range:
        """Return the slots of the next angles."""
        slots = range(self.num_angles, self.num_angles + count)
        self.num_angles += count
        self.slot_of += slots
        return slots

    def add(self, op: Any, controls: _Bits = (), values: _Bits = (), inverse: bool = False) -> None:
        """Append one operation, under further controls or undone."""
        qubits = tuple([self.qubit_of[wire] for wire in op.wires])
        spec = GATES.get(op.name)
        if spec is None:
            self._special(op, qubits, controls, values, inverse)
            return
        params: Any = self.slots(len(spec.params))
        if inverse:
            spec, params = spec.inverse(_parameters(params.stop)[params.start :])
        self.here.append(Instruction(spec, qubits, params, controls, values))

    def _special(self, op: Any, qubits: _Bits, controls: _Bits, values: _Bits, inverse: bool) -> None:
        def put(gate: Any, wires: _Bits = qubits, params: Any = ()) -> None:
            self.here.append(Instruction(gate, wires, params, controls, values))

        def angle(sign: float) -> Any:
            slots = self.slots(1)
            return slots if sign == 1 else (-_parameters(slots.stop)[-1],)

        sign = -1.0 if inverse else 1.0
        match op:
            case qml.ops.Adjoint():
                self.add(op.base, controls, values, not inverse)
            case qml.ops.Controlled():
                on = tuple(self.qubit_of[wire] for wire in op.control_wires)
                wanted = tuple(int(value) for value in op.control_values)
                self.add(op.base, controls + on, values + wanted, inverse)
            case Conditional():
                self._under(_condition(op.meas_val, self.numbers), op.base)
            case MidMeasure():
                bit = (self.numbers.of(op),)
                self.here.append(Instruction(_MEASUREMENT, qubits, clbits=bit))
                if op.reset:
                    self.here.append(Instruction(IfElse(Bits(bit), (Instruction(_X, qubits),)), ()))
            case qml.GlobalPhase():  # PennyLane's phase is e^(-i phi)
                put(_PHASE, (), angle(-sign))
            case qml.MultiRZ():
                put(PauliRotation("Z" * len(qubits)), params=angle(sign))
            case qml.PauliRot():
                put(PauliRotation(op.hyperparameters["pauli_word"]), params=angle(sign))
            case qml.Identity():
                self.slot_of += [-1] * len(op.data)
            case qml.BasisState():
                self.slot_of += [-1] * len(op.data)
                for qubit, bit in zip(qubits, op.data[0], strict=True):
                    if bit:
                        put(_X, (qubit,))
            case qml.DiagonalQubitUnitary():
                self.slot_of += [-1] * len(op.data)
                vector = np.array(op.data[0], dtype=np.complex128)
                put(DiagonalGate(check_diagonal(vector.conj() if inverse else vector, len(qubits))), qubits[::-1])
            case _ if _is_matrix(op):
                self.slot_of += [-1] * len(op.data)
                matrix = np.array(_array(op), dtype=np.complex128)
                put(UnitaryGate(check_unitary(matrix.conj().T if inverse else matrix, len(qubits))), qubits[::-1])
            case _:
                raise DeviceError(f"Operation {op} is not supported on qsim.qubit and was not decomposed.")

    def _under(self, condition: Expression, op: Any) -> None:
        """Append an operation that depends on outcomes."""
        outer, self.here = self.here, []
        self.add(op)
        outer.append(Instruction(IfElse(condition, tuple(self.here)), ()))
        self.here = outer


def _outcomes(value: Any) -> int:
    """Return a number whose bit k says whether outcome k makes a measurement value true; its first measurement is bit 0."""
    return sum(1 << sum(bit << k for k, bit in enumerate(branch)) for branch, result in value.items() if result)


def _condition(value: Any, numbers: _Numbers) -> Expression:
    outcome = Bits(tuple(numbers.of(measured) for measured in value.measurements))
    return Binary("&", Binary(">>", Const(_outcomes(value)), outcome), Const(1))
