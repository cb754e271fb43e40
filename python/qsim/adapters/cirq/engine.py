"""What runs translated circuits: a backend with its precision and threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim.instructions import Instruction
from qsim.lowering import Lowered, lower
from qsim.observables import PauliSum
from qsim_core import StateVector, batch, compile_program, execute
from qsim_core.branching import run_shots
from qsim_core.executor import Words, sample_end, sample_shots
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.plan import Plan
from qsim_core.readout import probabilities
from qsim_core.resources import available_threads, check_memory
from qsim_core.types import Amps, ComplexArray, FloatArray, IndexArray, Precision
from qsim_core.validation import check_count

from .draws import Draws

__all__ = ["Engine", "Start"]

#: An initial state: the number of a basis state, or amplitudes.
Start = int | npt.NDArray[Any]


class Engine:
    """Runs circuits on a backend; ``runs`` counts how often, ``total_runs`` those of all engines."""

    total_runs = 0

    def __init__(self, backend: str, dtype: Any, threads: int | None) -> None:
        self.backend = registry.backend(backend)
        self.precision = Precision.of(dtype)
        self.threads = available_threads() if threads is None else check_count("threads", threads, least=1)
        self.runs = 0
        self._on_host = isinstance(self.backend.allocate(1, 1, self.precision), np.ndarray)

    def _count(self) -> None:
        self.runs += 1
        Engine.total_runs += 1

    def control(self) -> RunControl:
        """Return how a run is watched."""
        return RunControl(self.threads)

    def apply(self, instructions: list[Instruction], amps: Amps) -> None:
        """Run gates in place on the amplitudes (2^n,) of a state of Cirq's."""
        rows = amps.reshape(1, -1)
        if self._on_host:
            state = StateVector(rows, self.backend)
        else:
            state = StateVector(self.backend.allocate(1, rows.shape[1].bit_length() - 1, self.precision), self.backend)
            state.amps[...] = rows
        program = lower(instructions, state.num_qubits, 0).program
        plan = compile_program(program, precision=self.precision, target=self.backend.name, initial="given")
        execute(plan, plan.coefficients(program), state, self.control())
        self._count()
        if not self._on_host:
            rows[...] = np.asarray(state)

    def states(self, circuit: Lowered, columns: Mapping[str, FloatArray], start: Start = 0) -> Iterator[StateVector]:
        """Yield the final state of each row of values, several of which share their memory."""
        program, slots = circuit.program, self._slots(circuit, columns)
        plan = self._plan(circuit, start)
        size = batch.part_rows(plan, len(slots))
        for first in range(0, len(slots), size):
            part = slots[first : first + size]
            check_memory(program.num_qubits, len(part), self.precision, self.backend.scratch_bytes(plan))
            amps = self.backend.allocate(len(part), program.num_qubits, self.precision)
            state = StateVector(amps, self.backend)
            if len(part) == 1:
                self._load(state, start)
                execute(plan, plan.coefficients(program, part), state, self.control())
            else:
                given = self._rows(start, program.num_qubits)
                batch.run_batch(program, plan, part, self.backend, self.control(), start=given, states=amps)
            self._count()
            for row in range(len(part)):
                yield state.row(row)

    def expectations(
        self, circuit: Lowered, columns: Mapping[str, FloatArray], sums: Sequence[PauliSum], start: Start = 0
    ) -> FloatArray:
        """Return the values (B, K) of Pauli sums on the final state of each row of values."""
        program, slots = circuit.program, self._slots(circuit, columns)
        plan = self._plan(circuit, start)
        self._check(plan, len(slots))
        self._count()
        terms = [observable.terms for observable in sums]
        given = self._rows(start, program.num_qubits)
        return batch.run_batch(program, plan, slots, self.backend, self.control(), start=given, terms=terms)

    def samples(
        self, circuit: Lowered, columns: Mapping[str, FloatArray], shots: int, prng: np.random.RandomState
    ) -> list[Words]:
        """Return the classical bits of all shots for each row of values."""
        program, slots = circuit.program, self._slots(circuit, columns)
        plan = self._plan(circuit)
        self._check(plan, len(slots))
        self._count()
        found: list[Words] = []
        if plan.straight_line:

            def visit(_: int, state: StateVector) -> None:
                for row in range(state.batch):
                    draws = Draws.of(prng, plan, shots)
                    found.append(sample_shots(plan, state.row(row), shots, draws, self.control()))

            batch.run_batch(program, plan, slots, self.backend, self.control(), visit=visit)
            return found
        coefficients = plan.coefficients(program, slots)
        for row in coefficients.rows():
            draws = Draws.of(prng, plan, shots)
            found.append(run_shots(plan, row, self.backend, shots, draws, self.control()).words)
        return found

    def distribution(self, amps: Amps, qubits: Sequence[int]) -> FloatArray:
        """Return the distribution of some qubits of a state of Cirq's; ``qubits[0]`` is bit 0 of the outcome."""
        return probabilities(self._view(amps), qubits, self.control())[0]

    def outcomes(self, amps: Amps, qubits: Sequence[int], uniforms: FloatArray) -> IndexArray:
        """Return a basis state for each number, of which these qubits count."""
        state = self._view(amps)
        return sample_end(self.backend, state.amps, [(q, q) for q in qubits], uniforms[None], self.control())[0]

    def _view(self, amps: Amps) -> StateVector:
        rows = amps.reshape(1, -1)
        if self._on_host:
            return StateVector(rows, self.backend)
        state = StateVector(self.backend.allocate(1, rows.shape[1].bit_length() - 1, self.precision), self.backend)
        state.amps[...] = rows
        return state

    def _plan(self, circuit: Lowered, start: Start = 0) -> Plan:
        initial = "zero" if isinstance(start, int) and start == 0 else "given"
        return compile_program(circuit.program, precision=self.precision, target=self.backend.name, initial=initial)

    def _check(self, plan: Plan, rows: int) -> None:
        held = batch.part_rows(plan, rows)
        check_memory(plan.num_qubits, held, self.precision, self.backend.scratch_bytes(plan))

    @staticmethod
    def _slots(circuit: Lowered, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return the values of the slots, (B, P); a circuit without parameters has one row."""
        if circuit.atoms:
            return np.ascontiguousarray(circuit.slots({name: columns[name] for name in circuit.parameters}))
        return np.zeros((1, 0))

    def _load(self, state: StateVector, start: Start) -> None:
        if isinstance(start, int):
            self.backend.fill_zero_state(state.amps)
            if start:
                state.amps[0, 0] = 0
                state.amps[0, start] = 1
        else:
            state.amps[...] = start.reshape(1, -1)

    @staticmethod
    def _rows(start: Start, num_qubits: int) -> ComplexArray | None:
        if isinstance(start, int):
            if start == 0:
                return None
            rows = np.zeros((1, 2**num_qubits), dtype=np.complex128)
            rows[0, start] = 1
            return rows
        return np.ascontiguousarray(start, dtype=np.complex128).reshape(1, -1)
