"""Result: what a run gives back, and what can be read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core import readout
from qsim_core.errors import ParameterError, UnsupportedError, expected
from qsim_core.executor import Words
from qsim_core.state import StateVector
from qsim_core.types import Amps, ComplexArray, FloatArray

from .observables import Observable, as_observable

__all__ = ["Result"]


@dataclass(eq=False)
class Result:
    """Counts, samples, state and numbers of one run, with its provenance.

    Qubit 0 is the least significant bit of every index; bit strings are written with the last classical bit first.
    ``provenance`` holds circuit hash, seed, run index, versions, backend, device, precision, threads, plan and timings (s).
    """

    num_qubits: int
    num_clbits: int
    shots: int | None
    provenance: Mapping[str, Any]
    expectations: FloatArray = field(default_factory=lambda: np.zeros(0))
    packed_samples: Words | None = None
    _state: StateVector | None = None

    # --- shots --------------------------------------------------------------------------------------------------

    def _words(self) -> Words:
        if self.packed_samples is None:
            raise UnsupportedError(expected("samples", "a run with shots", "none", "Pass shots=1000 to run()."))
        return self.packed_samples

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each bit string was seen, most frequent first; the last classical bit is written first."""
        words = self._words()
        if words.shape[1] == 1:
            values, counts = np.unique(words[:, 0], return_counts=True)
            keys = [format(int(value), f"0{self.num_clbits}b") for value in values]
        else:
            rows, counts = np.unique(words, axis=0, return_counts=True)
            keys = ["".join(format(int(word), "064b") for word in row[::-1])[-self.num_clbits :] for row in rows]
        order = np.argsort(-counts, kind="stable")
        return {keys[k] if self.num_clbits else "": int(counts[k]) for k in order}

    @property
    def samples(self) -> npt.NDArray[np.uint8]:
        """Classical bits of every shot in shot order, shape (shots, num_clbits); unpacked from ``packed_samples``.

        ``packed_samples`` holds the same in uint64 words: bit c % 64 of word c // 64 is classical bit c.
        """
        octets = self._words().astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(octets, axis=1, bitorder="little", count=self.num_clbits)

    # --- state --------------------------------------------------------------------------------------------------

    @property
    def state(self) -> StateVector:
        """The final state, before the measurements at the end of the circuit.

        Raises:
            UnsupportedError: if it was not kept (runs with shots keep it only with ``outputs=["state"]``).
        """
        if self._state is None:
            raise UnsupportedError(
                expected("state", "a run that keeps it", "a run of shots only", 'Pass outputs=["state"] to run().')
            )
        return self._state

    @property
    def state_vector(self) -> Amps:
        """The amplitudes as a read-only array of shape (2^n,), a view without a copy."""
        return self.state.array

    @property
    def norm(self) -> float:
        """Σ|a|² of the final state: its distance from 1 is the rounding of the run."""
        return float(readout.norms(self.state)[0])

    @property
    def probabilities(self) -> FloatArray:
        """Distribution over all 2^n basis states, f64."""
        return readout.probabilities(self.state)[0]

    def marginal(self, qubits: Sequence[int]) -> FloatArray:
        """Distribution of some qubits, shape (2^m,); ``qubits[0]`` is bit 0 of the outcome."""
        return readout.probabilities(self.state, qubits)[0]

    def amplitudes(self, bits: Sequence[str] | Sequence[int]) -> ComplexArray:
        """Amplitudes of chosen basis states, given as bit strings (highest qubit first) or indices."""
        index = [readout.basis_state_of(b, self.num_qubits) if isinstance(b, str) else int(b) for b in bits]
        return readout.amplitudes(self.state, index)[0]

    def expectation(self, observable: Observable | str | Mapping[str, float]) -> float:
        """⟨ψ|H|ψ⟩ of a Pauli sum or Hermitian matrix, exact (no shots)."""
        return float(as_observable(observable).expectation(self.state)[0])

    def variance(self, observable: Observable | str | Mapping[str, float]) -> float:
        """⟨H²⟩ - ⟨H⟩², exact."""
        return float(as_observable(observable).variance(self.state)[0])

    def reduced_density_matrix(self, qubits: Sequence[int]) -> ComplexArray:
        """State of ``qubits`` with the rest traced out, shape (2^m, 2^m), up to 12 qubits."""
        return readout.reduced_density_matrix(self.state, qubits)[0]

    def partial_trace(self, qubits: Sequence[int]) -> ComplexArray:
        """State of the other qubits once ``qubits`` are traced out."""
        keep = [qubit for qubit in range(self.num_qubits) if qubit not in set(qubits)]
        return self.reduced_density_matrix(keep)

    def purity(self, qubits: Sequence[int]) -> float:
        """Tr ρ² of the reduced state of ``qubits``."""
        return float(readout.purity(self.state, qubits)[0])

    def entropy(self, qubits: Sequence[int]) -> float:
        """Entanglement entropy of ``qubits`` with the rest, in bits."""
        return float(readout.entropy(self.state, qubits)[0])

    def fidelity(self, other: Result | StateVector | Amps) -> float:
        """|⟨ψ|φ⟩|² with another state of the same number of qubits."""
        if isinstance(other, Result):
            other = other.state
        if not isinstance(other, StateVector):
            array = np.ascontiguousarray(other, dtype=self.state.precision.dtype).reshape(1, -1)
            if array.shape[1] != 2**self.num_qubits:
                raise ParameterError(expected("state to compare", f"{2**self.num_qubits} amplitudes", array.shape[1]))
            other = StateVector(array, self.state.backend)
        return float(readout.fidelity(self.state, other)[0])

    def __repr__(self) -> str:
        shots = f", shots={self.shots}" if self.shots is not None else ""
        p = self.provenance
        return f"Result(num_qubits={self.num_qubits}{shots}, {p['backend']}, {p['precision']}, seed={p['seed']})"
