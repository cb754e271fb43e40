"""Finite shots: measurements that can share a basis share their shots; the state is rotated in place, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DeviceError

from qsim_core import StateVector
from qsim_core.kernels.contract import gather_bits
from qsim_core.types import IndexArray

from .engine import Engine, Register

__all__ = ["Group", "Reading", "group_measurements", "is_shadow", "sample_measurements", "values_of"]

#: From the basis states seen in some shots to a value; shots come as indices of basis states.
_Read = Callable[[IndexArray], Any]
_ROTATIONS = {"X": lambda wire: [qml.Hadamard(wire)], "Y": lambda wire: [qml.adjoint(qml.S(wire)), qml.Hadamard(wire)]}


@dataclass
class Group:
    """Readings that share a basis: a Pauli letter per wire, or the operations of one observable (``letters`` None)."""

    letters: dict[Any, str] | None = field(default_factory=dict)
    own_operations: Sequence[Any] = ()
    readings: list[Reading] = field(default_factory=list)

    @property
    def operations(self) -> list[Any]:
        """What turns the common basis into the computational one."""
        if self.letters is None:
            return list(self.own_operations)
        return [op for wire, letter in self.letters.items() if letter != "Z" for op in _ROTATIONS[letter](wire)]

    def admits(self, letters: dict[Any, str]) -> bool:
        return self.letters is not None and all(self.letters.get(w, letter) == letter for w, letter in letters.items())


@dataclass(frozen=True)
class Reading:
    """A part of one measurement: its value is added to the values of the other parts."""

    measurement: int
    read: _Read


def is_shadow(process: Any) -> bool:
    """Return whether a measurement takes another basis in every shot."""
    return isinstance(process, qml.measurements.ClassicalShadowMP | qml.measurements.ShadowExpvalMP)


def group_measurements(processes: Sequence[Any], register: Register, leave: Collection[int] = ()) -> list[Group]:
    """Return groups that read every measurement but shadows and those to ``leave`` out, first fit."""
    groups: list[Group] = []

    def put(letters: dict[Any, str], reading: Reading) -> None:
        group = next((group for group in groups if group.admits(letters)), None)
        if group is None:
            group = Group()
            groups.append(group)
        assert group.letters is not None
        group.letters.update(letters)
        group.readings.append(reading)

    def put_terms(index: int, obs: Any, factor: float) -> None:
        if obs.pauli_rep is not None:
            for word, coefficient in obs.pauli_rep.items():
                read = _expectation_of_word(register.qubits(word), factor * float(np.real(coefficient)))
                put(dict(word), Reading(index, read))
        elif isinstance(obs, qml.ops.SProd):
            put_terms(index, obs.base, factor * float(np.real(obs.scalar)))
        elif isinstance(obs, qml.ops.Sum):
            for operand in obs.operands:
                put_terms(index, operand, factor)
        else:
            part = qml.expval(obs)
            read = _scaled(_generic(part, register), factor)
            groups.append(Group(None, part.diagonalizing_gates(), [Reading(index, read)]))

    for index, process in enumerate(processes):
        if is_shadow(process) or index in leave:
            continue
        _check_samples(process)
        obs = process.obs
        if isinstance(process, qml.measurements.ExpectationMP) and obs is not None:
            put_terms(index, obs, 1.0)
            continue
        word = _word(obs)
        if obs is None:
            letters = dict.fromkeys(process.wires or register.wires, "Z")
            put(letters, Reading(index, _native(process, register) or _generic(process, register)))
        elif word is not None:
            put(word, Reading(index, _generic(process, register)))
        else:
            read = _generic(process, register)
            groups.append(Group(None, process.diagonalizing_gates(), [Reading(index, read)]))
    return groups


def sample_measurements(
    processes: Sequence[Any],
    state: StateVector,
    shots: Any,
    register: Register,
    engine: Engine,
    rng: np.random.Generator,
) -> list[tuple[Any, ...]]:
    """Return for every entry of a shot vector the values of all measurements; ``state`` holds one state."""
    columns: list[list[Any]] = [[None] * len(processes) for _ in range(shots.num_copies)]
    bins = [slice(*edges) for edges in shots.bins()]
    for group in group_measurements(processes, register):
        with engine.rotated(state, group.operations, register):
            uniforms = rng.random((1, shots.total_shots))
            [index] = state.backend.sample(state.amps, uniforms, engine.control())
        for row, part in zip(columns, bins, strict=True):
            for place, value in values_of(group, index[part]):
                row[place] = value if row[place] is None else row[place] + value
    for place, process in enumerate(processes):
        if is_shadow(process):
            tensor = np.asarray(state.amps).reshape((2,) * register.num_qubits)
            for row, part in zip(columns, bins, strict=True):
                count = part.stop - part.start
                row[place] = process.process_state_with_shots(tensor, register.wires, count, rng=rng)
    for place, process in enumerate(processes):
        if isinstance(process, qml.measurements.ExpectationMP):
            for row in columns:  # an observable without terms
                row[place] = np.float64(0.0) if row[place] is None else row[place]
    return [tuple(row) for row in columns]


def values_of(group: Group, index: IndexArray) -> list[tuple[int, Any]]:
    """Return measurement and value of every reading of a group, for the basis states of some shots."""
    return [(reading.measurement, reading.read(index)) for reading in group.readings]


# --- readings -----------------------------------------------------------------------------------------------------------


def _expectation_of_word(qubits: Sequence[int], coefficient: float) -> _Read:
    mask = sum(1 << qubit for qubit in qubits)

    def read(index: IndexArray) -> Any:
        odd = np.count_nonzero(np.bitwise_count(index & mask) & 1)
        return np.float64(coefficient * (1.0 - 2.0 * odd / len(index)))

    return read


def _scaled(read: _Read, factor: float) -> _Read:
    return lambda index: factor * read(index)


def _generic(process: Any, register: Register) -> _Read:
    """PennyLane's own reading of bits, those of the wires of the measurement."""
    wires = process.wires or register.wires
    qubits = np.array([register.qubit_of[wire] for wire in wires])
    return lambda index: process.process_samples(index[:, None] >> qubits & 1, wire_order=wires)


def _native(process: Any, register: Register) -> _Read | None:
    """Counts and probabilities of wires, without a table of bits."""
    wires = process.wires or register.wires
    if process.mv is not None or process.eigvals() is not None:
        return None
    qubits, size = register.qubits(wires), len(wires)
    if isinstance(process, qml.measurements.ProbabilityMP):
        return lambda index: np.bincount(gather_bits(index, qubits), minlength=2**size) / len(index)
    if isinstance(process, qml.measurements.CountsMP):

        def count(index: IndexArray) -> dict[str, int]:
            outcomes, counts = np.unique(gather_bits(index, qubits), return_counts=True)
            seen = dict(zip(outcomes.tolist(), counts.tolist(), strict=True))
            keys = range(2**size) if process.all_outcomes else seen
            return {format(key, f"0{size}b"): seen.get(key, 0) for key in keys}

        return count
    return None


def _word(obs: Any) -> dict[Any, str] | None:
    """Return the Pauli letters of an observable that is one Pauli string, in the eigenvalue order PennyLane gives it."""
    if obs is None or obs.pauli_rep is None or len(obs.pauli_rep) != 1 or isinstance(obs, qml.ops.LinearCombination):
        return None
    (word,) = obs.pauli_rep
    return dict(word) if len(word) == len(obs.wires) else None


def _check_samples(process: Any) -> None:
    obs = process.obs
    if isinstance(obs, qml.SparseHamiltonian) or not isinstance(process, qml.measurements.SampleMeasurement):
        raise DeviceError(f"Measurement {process} is not accepted with finite shots on qsim.qubit.")


def stacked(values: Sequence[Any]) -> npt.NDArray[Any] | list[Any]:
    """Return the values of a batch: one array, or a list of dictionaries."""
    return list(values) if isinstance(values[0], dict) else np.stack(values)
