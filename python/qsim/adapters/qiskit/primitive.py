"""What SamplerV2 and EstimatorV2 share: options, one Program per circuit, one batch of parameter sets per call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.primitives import BindingsArray, PrimitiveJob, PrimitiveResult, PubResult

from qsim.batch_result import BatchResult
from qsim.circuit import Circuit
from qsim.compiled import CompiledCircuit
from qsim.estimation import Group
from qsim.observables import PauliSum
from qsim.simulator import Simulator
from qsim_core.errors import UnsupportedError, expected
from qsim_core.plan import End
from qsim_core.random import fresh_seed
from qsim_core.types import FloatArray, IndexArray

from .errors import qiskit_errors
from .result import bits_from
from .translate import Translated, translate

__all__ = ["Engine", "Prepared", "Primitive"]

Pub = TypeVar("Pub")
Done = TypeVar("Done", bound=PubResult)


@dataclass(frozen=True)
class Engine:
    """How a primitive runs: the options of a Simulator. An int seed gives every call of ``run`` the same numbers."""

    backend: str = "auto"
    precision: str = "double"
    threads: int | None = None
    seed: int | np.random.Generator | None = None

    def simulator(self) -> Simulator:
        """Return a simulator for one call of ``run``."""
        seed = self.seed
        if isinstance(seed, np.random.Generator):
            seed = int(seed.integers(2**53))
        return Simulator(self.backend, self.precision, self.threads, fresh_seed() if seed is None else seed)


class Primitive:
    """What both primitives are: an engine, and a job for the pubs of a call of ``run``."""

    _engine: Engine

    @property
    def seed(self) -> np.random.Generator | int | None:
        """What the random numbers come from."""
        return self._engine.seed

    def _job(self, one: Callable[[Pub, Simulator], Done], pubs: list[Pub]) -> PrimitiveJob[PrimitiveResult[Done]]:
        """Return the running job that does one pub after the other."""

        def work() -> PrimitiveResult[Done]:
            with qiskit_errors():
                simulator = self._engine.simulator()
                return PrimitiveResult([one(pub, simulator) for pub in pubs], metadata={"version": 2})

        job: PrimitiveJob[PrimitiveResult[Done]] = PrimitiveJob(work)
        job._submit()
        return job


@dataclass(frozen=True)
class Prepared:
    """A circuit, compiled, and its sets of parameter values, one per row."""

    circuit: Circuit
    compiled: CompiledCircuit
    rows: FloatArray
    measures: bool

    @classmethod
    def of(cls, circuit: QuantumCircuit, values: BindingsArray, simulator: Simulator) -> Prepared:
        """Translate a circuit; all sets of values share its Program and its plan."""
        translated = translate(circuit)
        circuit = translated.circuit
        return cls(circuit, simulator.compile(circuit), _rows(translated, values), translated.measures)

    @property
    def is_unitary(self) -> bool:
        """Whether there are gates only."""
        return not self.measures and self.compiled.plan().straight_line

    def measured(self, group: Group, rows: Any, shots: int) -> Iterator[tuple[npt.NDArray[np.uint64], IndexArray]]:
        """Measure the qubits of a group of Pauli strings behind the circuit, in their basis, for every set of values.

        Yields different outcomes, bit q that of qubit q, and how often each was seen.
        """
        circuit, (x_mask, z_mask) = self.circuit.copy(), group.basis
        first = circuit.num_clbits
        circuit.add_clbits(" ", circuit.num_qubits)
        for qubit in group.support:
            if (x_mask & z_mask) >> qubit & 1:
                circuit.sdg(qubit)
            if x_mask >> qubit & 1:
                circuit.h(qubit)
            circuit.measure(qubit, first + qubit)
        behind = replace(self, compiled=self.compiled.simulator.compile(circuit))
        for result in behind.run(rows, shots=shots, outputs=["counts"]):
            words, counts = result.count_arrays()
            yield bits_from(words, first), counts

    def check_exact(self, observables: Sequence[PauliSum]) -> None:
        """Refuse what has no exact expectation value: outcomes of measurements, or states after them.

        Raises:
            UnsupportedError: for a measurement or reset in the middle, or an observable that a measurement disturbs.
        """
        plan = self.compiled.plan()
        end = plan.segments[plan.entry].end
        if not isinstance(end, End):
            raise UnsupportedError(
                expected("precision", "more than 0 for a circuit with measurements in its middle", 0)
            )
        measured = sum(1 << qubit for qubit in {qubit for qubit, _ in end.measured})
        if any((np.array(observable.terms.x_masks) & measured).any() for observable in observables):
            remedy = "Remove the measurements at the end, or ask for a precision of more than 0."
            raise UnsupportedError(expected("observable of a measured qubit", "I or Z", "X or Y", remedy))

    def run(self, rows: Any = slice(None), **options: Any) -> BatchResult:
        """Run the sets of these rows in one batch."""
        return self.compiled.run_batch(self.rows[rows], **options)


def _rows(translated: Translated, values: BindingsArray) -> FloatArray:
    """Return slot values, shape (B, S); a circuit without parameters has one row for all sets."""
    if not translated.parameters:
        return np.zeros((1, 0))
    array = values.as_array(translated.parameters)
    return translated.values(array.reshape(-1, len(translated.parameters)))
