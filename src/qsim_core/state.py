"""StateVector: owns the amplitudes of a run, in the memory its backend allocated."""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import StatePoisonedError
from .kernels.contract import Backend
from .types import Amps, Precision

__all__ = ["StateVector"]


class StateVector:
    """Amplitudes of one or more states of ``num_qubits`` qubits, shape (B, 2^n), and the backend they live on.

    The buffer is never reused while a view of it lives, and never shown half-run: an interrupted run poisons it.
    """

    def __init__(self, amps: Amps, backend: Backend) -> None:
        self._amps = amps
        self._poison: str | None = None
        self.backend = backend
        self.batch = len(amps)
        self.num_qubits = amps.shape[1].bit_length() - 1
        self.precision = Precision.of(amps.dtype)

    @property
    def amps(self) -> Amps:
        """The amplitudes, writable, shape (B, 2^n), qubit q at bit q of the index.

        Raises:
            StatePoisonedError: after an interrupted run.
        """
        if self._poison is not None:
            raise StatePoisonedError(f"state vector: {self._poison} left it half-way. Run again.")
        return self._amps

    @property
    def array(self) -> Amps:
        """A read-only view without a copy: shape (2^n,), or (B, 2^n) for a batch."""
        view = self.amps.view()
        view.flags.writeable = False
        return view[0] if self.batch == 1 else view

    def poison(self, reason: str) -> None:
        """Refuse all further access."""
        self._poison = reason

    def copy(self) -> StateVector:
        """Return the same amplitudes in memory of their own."""
        copy = self.backend.allocate(self.batch, self.num_qubits, self.precision)
        copy[...] = self.amps
        return StateVector(copy, self.backend)

    def row(self, index: int) -> StateVector:
        """Return one batch element as a state vector that shares this one's memory."""
        return StateVector(self.amps[index : index + 1], self.backend)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Amps:
        return np.array(self.array, dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()

    def __len__(self) -> int:
        return self.amps.shape[1]

    def __repr__(self) -> str:
        batch = f", batch={self.batch}" if self.batch > 1 else ""
        return f"StateVector(num_qubits={self.num_qubits}, {self.precision.value}{batch}, {self.backend.name})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (np.array(self.amps), self.backend.name)


def _restore(amps: Amps, backend_name: str) -> StateVector:
    """Rebuild a pickled state; where its backend is missing, the reference reads it."""
    from .kernels import registry

    name = backend_name if registry.availability(backend_name) is None else "reference"
    return StateVector(amps, registry.backend(name))
