"""StateVector: owns the amplitudes of a run, in the memory its backend allocated."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ParameterError, ShapeError, StatePoisonedError, expected
from .kernels.contract import Backend
from .types import Amps, Precision

__all__ = ["StateVector"]


class StateVector:
    """Amplitudes of one or more states of ``num_qubits`` qubits, shape (B, 2^n), and the backend they live on.

    The buffer is never reused while a view of it lives, and never shown half-run: an interrupted run poisons it.
    """

    def __init__(self, amps: Amps, backend: Backend) -> None:
        self._amps = amps
        self._is_zero = False
        self._poison: str | None = None
        self.backend = backend
        self.batch = len(amps)
        self.num_qubits = amps.shape[1].bit_length() - 1
        self.precision = Precision.of(amps.dtype)

    @classmethod
    def over(cls, buffer: Any, backend: Backend | str = "auto") -> StateVector:
        """Return a state vector whose memory is the caller's: runs on it change ``buffer``, nothing is copied.

        Args:
            buffer: complex64 or complex128, contiguous and writable, shape (2^n,) or (B, 2^n): a NumPy array, or anything
                on the CPU that exports its memory by DLPack.
            backend: what runs on it, by name or as an object; it has to work on arrays of NumPy.

        Raises:
            ShapeError: for another shape, dtype or layout.
            ParameterError: for memory that can't be written to or lies on another device.

        >>> memory = np.array([1, 0], dtype=np.complex128)
        >>> state = StateVector.over(memory, "reference")
        >>> state.amps[0, 1] = 1j
        >>> memory
        array([1.+0.j, 0.+1.j])
        """
        from .kernels import registry

        try:
            array: npt.NDArray[Any] = buffer if isinstance(buffer, np.ndarray) else np.from_dlpack(buffer)
        except (AttributeError, BufferError, TypeError, RuntimeError, ValueError) as error:
            allowed = "a NumPy array or a DLPack exporter on the CPU"
            raise ParameterError(expected("buffer of a state", allowed, f"{type(buffer).__name__}: {error}")) from None
        size = array.shape[-1] if array.ndim in (1, 2) else 0
        if array.dtype not in (np.complex64, np.complex128) or not array.size or size < 1 or size & (size - 1):
            allowed = "complex64 or complex128 of shape (2^n,) or (B, 2^n)"
            raise ShapeError(expected("buffer of a state", allowed, f"{array.dtype} of shape {array.shape}"))
        if not array.flags.c_contiguous or not array.flags.aligned or not array.dtype.isnative:
            remedy = "Use numpy.ascontiguousarray."
            raise ShapeError(expected("buffer of a state", "contiguous, aligned, in native order", "another", remedy))
        if not array.flags.writeable:
            raise ParameterError(expected("buffer of a state", "writable memory", "read-only memory", "Copy it first."))
        return cls(array.reshape(-1, size), registry.backend(backend) if isinstance(backend, str) else backend)

    @classmethod
    def zero(cls, backend: Backend, batch: int, num_qubits: int, precision: Precision) -> StateVector:
        """Return |0…0⟩ in new memory; pages nobody writes to are never filled."""
        state = cls(backend.zero_state(batch, num_qubits, precision), backend)
        state._is_zero = True
        return state

    def reset(self) -> None:
        """Make it |0…0⟩ again, in the memory it has; this also mends a state that an interrupted run left half-way.

        >>> state = StateVector.over(np.array([0, 1], dtype=np.complex128), "reference")
        >>> state.reset()
        >>> state.array
        array([1.+0.j, 0.+0.j])
        """
        self.backend.fill_zero_state(self._amps)
        self._poison, self._is_zero = None, True

    @property
    def is_zero(self) -> bool:
        """Whether this is certainly |0…0⟩: made so, and not run or given out since."""
        return self._is_zero

    @property
    def amps(self) -> Amps:
        """The amplitudes, writable, shape (B, 2^n), qubit q at bit q of the index.

        Raises:
            StatePoisonedError: after an interrupted run.
        """
        return self.handed_over()[1]

    def handed_over(self) -> tuple[bool, Amps]:
        """Return :attr:`is_zero` as it was, and :attr:`amps`."""
        if self._poison is not None:
            raise StatePoisonedError(f"state vector: {self._poison} left it half-way. Run again.")
        was_zero, self._is_zero = self._is_zero, False  # whoever holds it may write
        return was_zero, self._amps

    @property
    def array(self) -> Amps:
        """A read-only NumPy view, shape (2^n,), or (B, 2^n) for a batch: no copy, unless the state is on a GPU."""
        amps = np.asarray(self.amps)
        view = amps[0] if self.batch == 1 else amps.view()
        view.flags.writeable = False
        return view

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
        """Return :attr:`array`, copied only where ``dtype`` or ``copy`` asks for it."""
        return np.array(self.array, dtype=dtype, copy=copy)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """Export :attr:`array`, shape (2^n,) or (B, 2^n), without a copy and marked as read-only; on a GPU where it is, writable.

        A consumer older than DLPack 1.0 can't be told that memory is read-only: it gets a copy, or BufferError if it
        asks for none.
        """
        if not isinstance(self.amps, np.ndarray):
            amps: Any = self._amps if self.batch > 1 else self._amps[0]
            return amps.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)
        array = self.array
        if copy is None and (max_version is None or max_version < (1, 0)):
            copy = True
        if copy:
            array = array.copy()  # the consumer's own, so writable
        return array.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """The amplitudes without a copy for CuPy, PyTorch and Numba, where they are on a GPU.

        Raises:
            AttributeError: where they are not.
        """
        return self.amps.__cuda_array_interface__  # type: ignore[attr-defined]

    def __dlpack_device__(self) -> tuple[int, int]:
        """Return DLPack's type and number of the device the amplitudes are on."""
        return self.amps.__dlpack_device__()

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
    backend = registry.backend(name)
    return StateVector(backend.adopt(amps), backend)
