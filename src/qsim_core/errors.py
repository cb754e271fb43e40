"""Error types, one per cause, and the one way their text is put together.

Every message answers three questions: what was given, what is allowed, what to do about it.
"""

from __future__ import annotations

__all__ = [
    "BackendUnavailableError",
    "DeviceError",
    "InterruptedRunError",
    "MemoryBudgetError",
    "NotUnitaryError",
    "ParameterError",
    "PrecisionError",
    "ProgramFormatError",
    "QsimError",
    "QubitError",
    "ShapeError",
    "StatePoisonedError",
    "UnsupportedError",
    "expected",
]


class QsimError(Exception):
    """Base of every error raised on purpose by qsim."""


class QubitError(QsimError, ValueError):
    """A qubit or classical bit is out of range, repeated, or used twice by one operation."""


class ShapeError(QsimError, ValueError):
    """An array has the wrong shape, length or number of dimensions."""


class ParameterError(QsimError, ValueError):
    """A parameter is missing, unknown, repeated, or not a finite real number."""


class NotUnitaryError(QsimError, ValueError):
    """A matrix, diagonal or state that must be normalised is not."""


class PrecisionError(QsimError, ValueError):
    """An unknown precision, or a data type that does not belong to the precision in use."""


class UnsupportedError(QsimError, NotImplementedError):
    """A valid request that this backend, plan or version does not implement."""


class ProgramFormatError(QsimError, ValueError):
    """Serialised data (JSON, OpenQASM) that is malformed, too large, or of another version."""


class MemoryBudgetError(QsimError, MemoryError):
    """A run needs more memory than this machine or container has free."""


class BackendUnavailableError(QsimError, RuntimeError):
    """A backend was asked for by name and can't be used here; the message says why."""


class DeviceError(QsimError, RuntimeError):
    """A driver call failed; the message names the call, the device and what the driver says."""


class StatePoisonedError(QsimError, RuntimeError):
    """A state vector whose run was interrupted; its amplitudes are not a quantum state."""


class InterruptedRunError(QsimError, RuntimeError):
    """A run was stopped by its deadline or by its cancel token."""


def expected(what: str, allowed: object, given: object, remedy: str = "") -> str:
    """Return the one sentence all errors share.

    >>> expected("target qubit", "0 to 3", 5, "Circuit(6) has room for it.")
    'target qubit: expected 0 to 3, got 5. Circuit(6) has room for it.'
    """
    sentence = f"{what}: expected {allowed}, got {given}."
    return f"{sentence} {remedy}" if remedy else sentence
