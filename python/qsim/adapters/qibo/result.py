"""What Qibo samples from: the state itself, read where it lies, instead of a list of all its probabilities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from qibo.result import CircuitResult, MeasurementOutcomes, QuantumState

from qsim_core import ProgramBuilder, StateVector, compile_program
from qsim_core.executor import count_shots, sample_shots
from qsim_core.kernels.control import RunControl
from qsim_core.random import RandomSource
from qsim_core.readout import probabilities
from qsim_core.types import FloatArray, IndexArray

__all__ = ["Distribution", "StateResult"]


class Distribution:
    """The distribution of measuring some qubits of a state; the list of its 2^m numbers is made only when asked for.

    Args:
        state: of one row.
        qubits: ours; the first is the highest bit of an outcome, as Qibo writes them.
        threads: to read the state with.
    """

    def __init__(self, state: StateVector, qubits: Sequence[int], threads: int) -> None:
        self.state = state
        self.qubits = tuple(qubits)
        self.control = RunControl(threads)

    def __len__(self) -> int:
        return 2 ** len(self.qubits)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> FloatArray:
        return np.asarray(probabilities(self.state, self.qubits[::-1], self.control)[0], dtype=dtype)

    def tolist(self) -> list[float]:
        """Return the numbers, as Qibo asks for them to write a result to a file."""
        return np.asarray(self).tolist()

    def shots(self, count: int, seed: int) -> IndexArray:
        """Return one outcome for every shot."""
        if not count:
            return np.zeros(0, dtype=np.int64)
        words = sample_shots(self._plan(), self.state, count, RandomSource(seed), self.control)
        return words[:, 0].astype(np.int64)

    def counts(self, count: int, seed: int) -> Counter[int]:
        """Return how often each outcome is seen; the list of shots is never made."""
        if not count:
            return Counter()
        words, counts = count_shots(self._plan(), self.state, count, RandomSource(seed), self.control)
        return Counter(dict(zip(words[:, 0].tolist(), counts.tolist(), strict=True)))

    def _plan(self) -> Any:
        size = len(self.qubits)
        builder = ProgramBuilder(self.state.num_qubits, size)
        builder.measure(self.qubits, range(size - 1, -1, -1))
        return compile_program(builder.finish(), precision=self.state.precision, target=self.state.backend.name)


class StateResult(CircuitResult):
    """A final state with measurements at its end, sampled when samples or frequencies are asked for."""

    def __init__(
        self, state: StateVector, measurements: Any, backend: Any, nshots: int, distribution: Distribution
    ) -> None:
        QuantumState.__init__(self, np.asarray(state), backend)
        MeasurementOutcomes.__init__(
            self, measurements, backend=backend, probabilities=distribution, nshots=nshots, nqubits=self.nqubits
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what is written to a file, to be read as Qibo's own kind of result."""
        return {**super().to_dict(), "dtype": CircuitResult.__name__}
