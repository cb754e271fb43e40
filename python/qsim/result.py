"""Result: what a run gives back, and what can be read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core import readout, validation
from qsim_core.branching import Reading
from qsim_core.errors import ParameterError, QubitError, UnsupportedError, expected
from qsim_core.executor import Words, merged
from qsim_core.state import StateVector
from qsim_core.types import Amps, ComplexArray, FloatArray, IndexArray

from .observables import ObservableLike, as_observable

__all__ = ["Result"]

#: Amplitudes looked at together when the largest are searched.
_SCAN = 2**20


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
    standard_errors: FloatArray = field(default_factory=lambda: np.zeros(0))
    _tally: tuple[Words, IndexArray] | None = None
    readings: tuple[Reading, ...] = ()

    # --- shots --------------------------------------------------------------------------------------------------

    def _words(self) -> Words:
        if self.packed_samples is None:
            raise UnsupportedError(expected("samples", "a run with shots", "none", "Pass shots=1000 to run()."))
        return self.packed_samples

    def count_arrays(self) -> tuple[Words, IndexArray]:
        """Return the different outcomes, packed as ``packed_samples``, shape (U, W), and how often each, shape (U,).

        For many outcomes: :attr:`counts` makes a Python string for each. Runs with ``outputs=["counts"]`` have these
        arrays without ever having the list of shots. Outcomes ascend as numbers.

        >>> from qsim import Circuit, Simulator
        >>> result = Simulator(seed=1).run(Circuit(2).x(1).measure_all(), shots=50, outputs=["counts"])
        >>> words, counts = result.count_arrays()
        >>> words.tolist(), counts.tolist()
        ([[2]], [50])
        """
        if self._tally is not None:
            return self._tally
        words = self._words()
        return merged(words, np.ones(len(words), dtype=np.int64))

    @cached_property
    def counts(self) -> dict[str, int]:
        """How often each bit string was seen, most frequent first; the last classical bit is written first."""
        words, counts = self.count_arrays()
        if words.shape[1] == 1:
            keys = [format(int(value), f"0{self.num_clbits}b") for value in words[:, 0]]
        else:
            keys = ["".join(format(int(word), "064b") for word in row[::-1])[-self.num_clbits :] for row in words]
        order = np.argsort(-counts, kind="stable")
        return {keys[k] if self.num_clbits else "": int(counts[k]) for k in order}

    @property
    def samples(self) -> npt.NDArray[np.uint8]:
        """Classical bits of every shot in shot order, shape (shots, num_clbits); unpacked from ``packed_samples``.

        ``packed_samples`` holds the same in uint64 words: bit c % 64 of word c // 64 is classical bit c.
        """
        octets = self._words().astype("<u8", copy=False).view(np.uint8)
        return np.unpackbits(octets, axis=1, bitorder="little", count=self.num_clbits)

    def postselect(self, bits: Mapping[int, int]) -> Result:
        """Return the result of the shots whose classical bits have these values: ``{clbit: 0 or 1, …}``.

        Its counts and samples are conditional on them. It has no state and no expectation values, which belong to all
        shots, but :meth:`reading` follows; ``provenance["postselected"]`` says what was asked for and out of how many shots.

        >>> from qsim import Circuit, Simulator
        >>> result = Simulator(seed=1).run(Circuit(2).h(0).cx(0, 1).measure_all(), shots=50)
        >>> set(result.postselect({0: 1}).counts)
        {'11'}
        """
        words = self._words()
        keep = np.ones(len(words), dtype=bool)
        for clbit, value in bits.items():
            if isinstance(clbit, bool) or not isinstance(clbit, int | np.integer) or not 0 <= clbit < self.num_clbits:
                raise QubitError(expected("classical bit", f"0 to {self.num_clbits - 1}", repr(clbit)))
            if value not in (0, 1):
                raise ParameterError(expected(f"value of classical bit {clbit}", "0 or 1", repr(value)))
            keep &= (words[:, clbit // 64] >> np.uint64(clbit % 64) & np.uint64(1)) == value
        asked = {str(clbit): int(value) for clbit, value in bits.items()}
        provenance = {**self.provenance, "postselected": {"bits": asked, "of_shots": len(words)}}
        chosen = words[keep]
        return replace(
            self,
            shots=len(chosen),
            provenance=provenance,
            expectations=np.zeros(0),
            standard_errors=np.zeros(0),
            readings=tuple(replace(reading, state=reading.state[keep]) for reading in self.readings),
            packed_samples=chosen,
            _state=None,
            _tally=None,
        )

    def reading(self, label: str) -> Reading:
        """Return what :meth:`Circuit.expectation` read under a label.

        It has ``mean`` and ``standard_error`` over the shots that came by, ``values`` of every distinct state there, and
        ``state``, the index into them of each shot (-1 if it did not come by). After :meth:`postselect` it is that of the
        shots that are left.

        Raises:
            ParameterError: for a label the circuit does not have.
        """
        for reading in self.readings:
            if reading.label == label:
                return reading
        raise ParameterError(
            expected("label of a reading", sorted(r.label for r in self.readings) or "none", repr(label))
        )

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
        index = [readout.basis_state_of(b, self.num_qubits) if isinstance(b, str) else b for b in bits]
        return readout.amplitudes(self.state, index)[0]

    def largest_amplitudes(self, count: int = 16) -> list[tuple[int, complex]]:
        """Basis-state index and amplitude of the ``count`` most probable basis states, most probable first.

        Probabilities that differ by rounding only count as equal and come in the order of their index; what rounding
        leaves of an exact zero is not listed. One pass over the state with bounded scratch.
        """
        if validation.check_count("number of amplitudes", count) == 0:
            return []
        epsilon = self.state.precision.epsilon
        steps = 2.0 ** round(-np.log2(256 * epsilon))  # a probability is rounded to one of so many
        amps, index, weight = self.state_vector, np.zeros(0, dtype=np.int64), np.zeros(0)
        for start in range(0, len(amps), _SCAN):
            part = amps[start : start + _SCAN]
            weights = part.real.astype(np.float64) ** 2 + part.imag.astype(np.float64) ** 2
            mantissa, exponent = np.frexp(weights)
            weights = np.ldexp(np.round(mantissa * steps) / steps, exponent)
            least = np.partition(weights, -count)[-count] if len(weights) > count else 0.0
            best = np.concatenate([np.flatnonzero(weights > least), np.flatnonzero(weights == least)[:count]])
            index, weight = np.concatenate([index, best + start]), np.concatenate([weight, weights[best]])
            order = np.lexsort((index, -weight))[:count]
            index, weight = index[order], weight[order]
        floor = epsilon**2 * 1e4
        return [(int(i), complex(amps[i])) for i, w in zip(index, weight, strict=True) if w > floor]

    def expectation(self, observable: ObservableLike) -> float:
        """⟨ψ|H|ψ⟩ of a Pauli sum or Hermitian matrix, exact (no shots)."""
        return float(as_observable(observable).expectation(self.state)[0])

    def variance(self, observable: ObservableLike) -> float:
        """⟨H²⟩ - ⟨H⟩², exact."""
        return float(as_observable(observable).variance(self.state)[0])

    def reduced_density_matrix(self, qubits: Sequence[int]) -> ComplexArray:
        """State of ``qubits`` with the rest traced out, shape (2^m, 2^m), up to 12 qubits."""
        return readout.reduced_density_matrix(self.state, qubits)[0]

    def partial_trace(self, qubits: Sequence[int]) -> ComplexArray:
        """State of the other qubits once ``qubits`` are traced out."""
        validation.check_qubits("qubit to trace out", qubits, self.num_qubits)
        keep = [qubit for qubit in range(self.num_qubits) if qubit not in set(qubits)]
        return self.reduced_density_matrix(keep)

    def purity(self, qubits: Sequence[int]) -> float:
        """Tr ρ² of the reduced state of ``qubits``."""
        return float(readout.purity(self.state, qubits)[0])

    def entropy(self, qubits: Sequence[int]) -> float:
        """Entanglement entropy of ``qubits`` with the rest, in bits."""
        return float(readout.entropy(self.state, qubits)[0])

    def fidelity(self, other: Result | StateVector | Amps) -> float:
        """|⟨ψ|φ⟩|² with another state of the same number of qubits, taken in the precision of this one."""
        if isinstance(other, Result):
            other = other.state
        if not isinstance(other, StateVector) or other.precision is not self.state.precision:
            array = np.ascontiguousarray(other, dtype=self.state.precision.dtype).reshape(1, -1)
            if array.shape[1] != 2**self.num_qubits:
                raise ParameterError(expected("state to compare", f"{2**self.num_qubits} amplitudes", array.shape[1]))
            other = StateVector(self.state.backend.adopt(array), self.state.backend)
        return float(readout.fidelity(self.state, other)[0])

    # --- files and pictures -------------------------------------------------------------------------------------

    @property
    def has_state(self) -> bool:
        """Whether the final state was kept."""
        return self._state is not None

    def save(self, path: str | Path, *, samples: bool = False) -> Path:
        """Write a JSON document, and the state and (if asked for) the shots in order as ``.npy`` files beside it.

        ``docs/result_format.md`` describes the format; nothing is pickled.
        """
        from .result_file import save

        return save(self, path, samples=samples)

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Read what :meth:`save` wrote, checking every size and checksum.

        Raises:
            ProgramFormatError: for anything else, with the key that is wrong.
        """
        from .result_file import load

        return load(path)

    def plot(self, path: str | Path | None = None, *, top: int = 16) -> Any:
        """Return a matplotlib figure: counts as bars, or without shots probabilities and phases; written to ``path``."""
        from .plotting import plot_result

        return plot_result(self, path, top=top)

    def __repr__(self) -> str:
        shots = f", shots={self.shots}" if self.shots is not None else ""
        p = self.provenance
        return f"Result(num_qubits={self.num_qubits}{shots}, {p['backend']}, {p['precision']}, seed={p['seed']})"
