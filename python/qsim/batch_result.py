"""BatchResult: what a batch gives back, as arrays; row by row it is a sequence of Results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from qsim_core import ensembles
from qsim_core.errors import UnsupportedError, expected
from qsim_core.executor import Words
from qsim_core.state import StateVector
from qsim_core.types import Amps, ComplexArray, FloatArray, IndexArray

from .result import Result

__all__ = ["BatchResult"]


@dataclass(eq=False)
class BatchResult(Sequence[Result]):
    """Results of B circuits that differ in their values; ``batch[b]`` is the Result of row b, made when asked for.

    ``expectations`` has shape (B, K), one column per observable. ``provenance`` is that of the whole batch.

    >>> from qsim import Circuit, Parameter, compile
    >>> batch = compile(Circuit(1).rx(Parameter("a"), 0)).run_batch([[0.0], [np.pi]], observables=["Z0", "Y0"])
    >>> batch.expectations.round(12) + 0
    array([[ 1.,  0.],
           [-1.,  0.]])
    >>> len(batch), float(batch[1].expectations[0])
    (2, -1.0)
    """

    num_qubits: int
    num_clbits: int
    shots: int | None
    provenance: Mapping[str, Any]
    expectations: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    packed_samples: Words | None = None  # (B, shots, W), as Result.packed_samples
    _states: StateVector | None = None
    standard_errors: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))  # (B, K), as Result.standard_errors
    _tallies: Sequence[tuple[Words, IndexArray]] = ()  # of every row, where only counts were asked for
    _branching: Sequence[Mapping[str, Any]] = ()  # of every row, where circuits measure in their middle

    @classmethod
    def of(cls, results: Sequence[Result]) -> BatchResult:
        """Return Results of one circuit as a batch; there is at least one."""
        first = results[0]
        words = [result.packed_samples for result in results if result.packed_samples is not None]
        states = None
        if first.has_state:
            backend = first.state.backend
            states = StateVector(backend.join([result.state.amps for result in results]), backend)
        return cls(
            first.num_qubits,
            first.num_clbits,
            first.shots,
            {key: value for key, value in first.provenance.items() if key != "branching"},
            np.stack([result.expectations for result in results]),
            np.stack(words) if words else None,
            states,
            np.stack([result.standard_errors for result in results]),
            [result._tally for result in results if result._tally is not None],
            [result.provenance["branching"] for result in results if "branching" in result.provenance],
        )

    def __len__(self) -> int:
        return len(self.expectations)

    @overload
    def __getitem__(self, index: int) -> Result: ...
    @overload
    def __getitem__(self, index: slice) -> list[Result]: ...

    def __getitem__(self, index: int | slice) -> Result | list[Result]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        return Result(
            self.num_qubits,
            self.num_clbits,
            self.shots,
            {**self.provenance, "branching": self._branching[row]} if self._branching else self.provenance,
            self.expectations[row],
            None if self.packed_samples is None else self.packed_samples[row],
            None if self._states is None else self._states.row(row),
            self.standard_errors[row],
            self._tallies[row] if self._tallies else None,
        )

    @property
    def has_states(self) -> bool:
        """Whether the final states were kept."""
        return self._states is not None

    @property
    def states(self) -> StateVector:
        """All final states, before the measurements at the end of the circuit.

        Raises:
            UnsupportedError: if they were not kept (with shots or observables only ``outputs=["state"]`` keeps them).
        """
        if self._states is None:
            remedy = 'Pass outputs=["state"] to run_batch().'
            raise UnsupportedError(
                expected("states", "a batch that keeps them", "one of shots or observables only", remedy)
            )
        return self._states

    @property
    def state_vectors(self) -> Amps:
        """The amplitudes as a read-only array of shape (B, 2^n), a view without a copy."""
        view = self.states.amps.view()
        view.flags.writeable = False
        return view

    def overlaps(self, other: BatchResult | None = None) -> ComplexArray:
        """⟨ψ_i|φ_j⟩ with the states of another batch, or of this one, shape (B, M)."""
        return ensembles.overlaps(self.states.amps, (self if other is None else other).states.amps)

    def fidelities(self, other: BatchResult | None = None) -> FloatArray:
        """|⟨ψ_i|φ_j⟩|² with the states of another batch, or of this one, shape (B, M)."""
        if other is None:
            return ensembles.gram(self.states.amps)
        return ensembles.fidelities(self.states.amps, other.states.amps)

    @property
    def samples(self) -> npt.NDArray[np.uint8]:
        """Classical bits of every shot, shape (B, shots, num_clbits)."""
        if self.packed_samples is None:
            raise UnsupportedError(expected("samples", "a batch with shots", "none", "Pass shots=1000 to run_batch()."))
        octets = self.packed_samples.astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(octets, axis=2, bitorder="little", count=self.num_clbits)

    @cached_property
    def counts(self) -> list[dict[str, int]]:
        """Counts of every row, as :attr:`Result.counts`."""
        return [result.counts for result in self]

    def __repr__(self) -> str:
        shots = f", shots={self.shots}" if self.shots is not None else ""
        p = self.provenance
        return f"BatchResult({len(self)} × {self.num_qubits} qubits{shots}, {p['backend']}, {p['precision']})"
