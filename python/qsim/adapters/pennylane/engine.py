"""What runs a translated circuit: a backend with its precision and threads, and the wires of a device as qubits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pennylane.exceptions import DeviceError
from pennylane.wires import Wires

from qsim_core import Program, StateVector, compile_program, execute
from qsim_core.gradient import inverse_program
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend, spread_bits
from qsim_core.kernels.control import RunControl
from qsim_core.resources import available_threads, check_memory
from qsim_core.types import FloatArray, Precision
from qsim_core.validation import check_count

from .observables import ObservableTable
from .translate import Circuit, Translator

__all__ = ["Engine", "Register"]

#: Amplitudes of one native batch call; more are run in parts.
_BATCH_AMPLITUDES = 2**26
_NO_ANGLES = np.zeros((1, 0))


@dataclass(frozen=True)
class Register:
    """Wires in the order of the device; the first one is the highest qubit."""

    wires: Wires

    @cached_property
    def qubit_of(self) -> dict[Any, int]:
        last = len(self.wires) - 1
        return {wire: last - place for place, wire in enumerate(self.wires)}

    @property
    def num_qubits(self) -> int:
        return len(self.wires)

    def qubits(self, wires: Sequence[Any]) -> list[int]:
        """Return the qubits of wires so that the last wire is bit 0 of an outcome, as PennyLane writes outcomes."""
        return [self.qubit_of[wire] for wire in reversed(wires)]


@dataclass
class Engine:
    """Runs circuits on a backend."""

    backend_name: str = "auto"
    precision: Precision = Precision.DOUBLE
    threads: int | None = None
    translate: Translator = field(default_factory=Translator)
    pauli_terms: ObservableTable = field(default_factory=ObservableTable)

    def __post_init__(self) -> None:
        self.backend: Backend = registry.backend(self.backend_name)
        if self.threads is None:
            self.threads = available_threads()
        check_count("threads", self.threads, least=1)

    @staticmethod
    def most_rows(num_qubits: int) -> int:
        """Return how many states of so many qubits are run as one batch."""
        return max(1, _BATCH_AMPLITUDES >> num_qubits)

    def control(self) -> RunControl:
        """Return how a run is watched."""
        assert self.threads is not None
        return RunControl(self.threads)

    def allocate(self, batch: int, num_qubits: int) -> StateVector:
        """Return states with memory of their own, not yet filled."""
        check_memory(num_qubits, batch, self.precision)
        return StateVector(self.backend.allocate(batch, num_qubits, self.precision), self.backend)

    def run(self, circuit: Circuit, angles: FloatArray) -> StateVector:
        """Return the final states of a circuit without measurements at these angles, one row each."""
        program = circuit.structure.program
        batch = len(angles)
        if circuit.initial is not None and circuit.initial[0].ndim == 2 and len(circuit.initial[0]) != batch:
            if batch != 1:
                raise DeviceError(f"A batch of {len(circuit.initial[0])} states with a batch of {batch} parameters.")
            batch = len(circuit.initial[0])
        state = self.allocate(batch, program.num_qubits)
        self.load(circuit, state)
        self.apply(program, state, angles, "zero" if circuit.initial is None else "given")
        return state

    def load(self, circuit: Circuit, state: StateVector) -> None:
        """Fill states with the initial state of a circuit."""
        if circuit.initial is None:
            self.backend.fill_zero_state(state.amps)
            return
        vector, qubits = circuit.initial
        if qubits == tuple(range(state.num_qubits)):
            state.amps[...] = vector
        else:
            state.amps[...] = 0
            state.amps[:, spread_bits(np.arange(2 ** len(qubits)), qubits)] = vector

    def apply(
        self, program: Program, state: StateVector, angles: FloatArray = _NO_ANGLES, initial: str = "given"
    ) -> None:
        """Run a program of gates on states in place."""
        plan = compile_program(program, precision=self.precision, target=self.backend.name, initial=initial)
        execute(plan, plan.coefficients(program, angles), state, self.control())

    @contextmanager
    def rotated(self, state: StateVector, operations: Sequence[Any], register: Register) -> Iterator[StateVector]:
        """Apply operations to states and undo them afterwards: a change of basis without a copy."""
        if not operations:
            yield state
            return
        circuit = self.translate(expanded(operations), register.qubit_of)
        program = circuit.structure.program
        self.apply(program, state, circuit.angles)
        yield state
        self.apply(inverse_program(program), state, circuit.angles)


def expanded(operations: Sequence[Any]) -> list[Any]:
    """Return operations with those decomposed that are not native."""
    from .translate import is_native

    result: list[Any] = []
    for op in operations:
        result += [op] if is_native(op) else expanded(op.decomposition())
    return result
