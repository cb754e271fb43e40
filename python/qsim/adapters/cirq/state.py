"""A state that Cirq's own simulation loop acts on, step by step: gates wait until somebody looks, then run together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import cirq
import numpy as np

from qsim_core.readout import norms
from qsim_core.state import StateVector

from .engine import Engine
from .translate import NotNative, Walker

__all__ = ["QsimState", "TrialResult"]


class QsimState(cirq.StateVectorSimulationState):
    """A state vector of Cirq's whose gates run in the engine.

    Whatever reads or writes the amplitudes, in Cirq or here, goes through ``_state``, which first runs the gates that
    wait. Channels and custom operations act on the amplitudes as they do in ``cirq.Simulator``.
    """

    def __init__(self, engine: Engine, **options: Any) -> None:
        self._engine = engine
        self._held: Any = None
        self._waiting: Walker | None = None
        super().__init__(**options)

    @classmethod
    def holding(
        cls, tensor: Any, engine: Engine, qubits: Sequence[Any], prng: Any, classical_data: Any = None
    ) -> QsimState:
        """Return a state whose amplitudes are this array, one axis per qubit, without a copy or a check."""
        scalar = np.ones((), tensor.dtype)
        state = cls(
            engine, prng=prng, qubits=(), initial_state=scalar, dtype=tensor.dtype, classical_data=classical_data
        )
        state._state = type(state._held)(tensor)
        state._set_qubits(qubits)
        return state

    @property
    def _state(self) -> Any:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and waiting.instructions:
            held = self._held
            held._state_vector = np.ascontiguousarray(held._state_vector)
            self._engine.apply(waiting.instructions, held._state_vector.reshape(-1))
        return self._held

    @_state.setter
    def _state(self, state: Any) -> None:
        self._held, self._waiting = state, None

    def _set_qubits(self, qubits: Any) -> None:
        _ = self._state  # what waits was written for the old ones
        super()._set_qubits(qubits)

    def __copy__(self) -> QsimState:
        _ = self._state
        copy = type(self).__new__(type(self))
        copy.__dict__.update(self.__dict__)
        return copy

    def _act_on_fallback_(self, action: Any, qubits: Sequence[Any], allow_decompose: bool = True) -> bool:
        operation = action.on(*qubits) if isinstance(action, cirq.Gate) else action
        if self.qubits and isinstance(operation, cirq.Operation):
            try:
                if self._waiting is None:
                    self._waiting = Walker.over(self.qubits, unitary=True)
                self._waiting.record([operation])
                return True
            except NotNative:
                pass
        return super()._act_on_fallback_(action, qubits, allow_decompose)

    def _perform_measurement(self, qubits: Sequence[Any]) -> list[int]:
        if any(qubit.dimension != 2 for qubit in self.qubits) or not qubits or len(qubits) > 12:
            return super()._perform_measurement(qubits)
        axes = self.get_axes(qubits)
        amps = np.ascontiguousarray(self._state._state_vector)
        last = len(self.qubits) - 1
        weights = self._engine.distribution(amps, [last - axis for axis in reversed(axes)])
        outcome = int(self.prng.choice(len(weights), p=weights / weights.sum()))
        bits = [outcome >> k & 1 for k in reversed(range(len(axes)))]
        where: list[Any] = [slice(None)] * amps.ndim
        for axis, bit in zip(axes, bits, strict=True):
            where[axis] = bit
        kept = amps[tuple(where)] / np.sqrt(weights[outcome]).astype(amps.real.dtype)
        amps[...] = 0
        amps[tuple(where)] = kept
        self._held._state_vector = amps
        return bits

    def sample(self, qubits: Sequence[Any], repetitions: int = 1, seed: Any = None) -> Any:
        """Return the readings of qubits, (repetitions, qubits), without a change of the state."""
        if any(qubit.dimension != 2 for qubit in self.qubits) or not qubits or repetitions < 1:
            return super().sample(qubits, repetitions, seed)
        prng = cirq.value.parse_random_state(seed)
        last = len(self.qubits) - 1
        ours = [last - axis for axis in self.get_axes(qubits)]
        amps = np.ascontiguousarray(self._state._state_vector)
        index = self._engine.outcomes(amps, ours, prng.random_sample(repetitions))
        return (index[:, None] >> np.array(ours) & 1).astype(np.uint8)


class TrialResult(cirq.StateVectorTrialResult):
    """A result of Cirq's whose final state is the memory of the run, not a copy of it."""

    @cached_property
    def final_state_vector(self) -> Any:
        """The amplitudes (2^n,), the first qubit the highest bit of the index."""
        merged = self._get_merged_sim_state()
        vector = merged.target_tensor.reshape(-1)
        if not isinstance(merged, QsimState) or any(size != 2 for size in merged.target_tensor.shape):
            return super().final_state_vector
        norm = float(norms(StateVector(vector.reshape(1, -1), merged._engine.backend))[0])
        if abs(norm - 1) > 4 * np.finfo(vector.dtype).eps and abs(norm - 1) < 1e-3:
            vector *= 1 / np.sqrt(norm)
        return vector
