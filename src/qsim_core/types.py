"""Precision and the array types everything else is written in."""

from __future__ import annotations

import enum
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import PrecisionError, expected

__all__ = [
    "Amps",
    "ComplexArray",
    "FloatArray",
    "IndexArray",
    "MAX_QUBITS",
    "Precision",
]

Amps: TypeAlias = npt.NDArray[np.complexfloating[Any, Any]]
ComplexArray: TypeAlias = npt.NDArray[np.complex128]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IndexArray: TypeAlias = npt.NDArray[np.int64]

#: Amplitude indices are signed 64-bit integers, so a register has at most 62 qubits.
MAX_QUBITS = 62


class Precision(enum.Enum):
    """How an amplitude is stored: ``single`` is complex64, ``double`` is complex128.

    >>> Precision.of("double").bytes_per_amplitude
    16
    """

    SINGLE = "single"
    DOUBLE = "double"

    @classmethod
    def of(cls, value: Precision | str | npt.DTypeLike) -> Precision:
        """Return the precision named by a string, a NumPy dtype or a ``Precision``.

        Raises:
            PrecisionError: for anything but single/complex64/float32 and double/complex128/float64.
        """
        try:
            found = _KNOWN.get(value)
            if found is None and not isinstance(value, str):
                found = _KNOWN.get(np.dtype(value).name)
        except TypeError:
            found = None
        if found is not None:
            return found
        raise PrecisionError(expected("precision", "'single' or 'double'", repr(value)))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The NumPy dtype of one amplitude."""
        return _SINGLE if self is Precision.SINGLE else _DOUBLE

    @property
    def bytes_per_amplitude(self) -> int:
        return 8 if self is Precision.SINGLE else 16

    @property
    def epsilon(self) -> float:
        """Unit round-off of the real type: 2^-24 or 2^-53."""
        return 2.0**-24 if self is Precision.SINGLE else 2.0**-53


_SINGLE, _DOUBLE = np.dtype(np.complex64), np.dtype(np.complex128)
#: Names, and what a state vector is asked for on every run: NumPy takes microseconds to name a dtype.
_KNOWN: dict[object, Precision] = {
    **dict.fromkeys((Precision.SINGLE, _SINGLE, "single", "complex64", "float32", "f32"), Precision.SINGLE),
    **dict.fromkeys((Precision.DOUBLE, _DOUBLE, "double", "complex128", "float64", "f64"), Precision.DOUBLE),
}
