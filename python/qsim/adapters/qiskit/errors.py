"""The border between our errors and Qiskit's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from qiskit.exceptions import QiskitError

from qsim_core.errors import QsimError

__all__ = ["qiskit_errors"]


@contextmanager
def qiskit_errors() -> Iterator[None]:
    """Raise what goes wrong inside as QiskitError, with the same text; the cause keeps our type."""
    try:
        yield
    except QsimError as error:
        raise QiskitError(str(error)) from error
