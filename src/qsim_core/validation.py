"""Every check on user input, and its wording. Checked once, at the border, before anything is allocated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import NotUnitaryError, ParameterError, QubitError, ShapeError, expected
from .types import MAX_QUBITS, Amps, ComplexArray

__all__ = [
    "check_angles",
    "check_channel",
    "check_control_values",
    "check_count",
    "check_diagonal",
    "check_hermitian",
    "check_num_qubits",
    "check_permutation",
    "check_qubits",
    "check_shots",
    "check_state",
    "check_states",
    "check_unitary",
    "is_sparse",
]

#: Largest deviation from unitarity or unit norm accepted, by the precision in which the input was given.
TOLERANCE = {"complex64": 1e-5, "complex128": 1e-8}

#: Widest table or vector of a Permutation or Diagonal, and widest Dense matrix (2^24 entries, 256 MiB).
MAX_TABLE_QUBITS = 26
MAX_DENSE_QUBITS = 12

#: Most shots of a run.
MAX_SHOTS = 2**40

_PART = 2**16


def check_num_qubits(num_qubits: int) -> int:
    """Return ``num_qubits`` as an int; 0 to 62 are allowed (memory is checked by the run, not here)."""
    value = check_count("number of qubits", num_qubits)
    if value > MAX_QUBITS:
        raise QubitError(expected("number of qubits", f"0 to {MAX_QUBITS} (64-bit indices)", value))
    return value


def check_count(what: str, value: object, least: int = 0) -> int:
    """Return a whole number of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ParameterError(expected(what, f"a whole number, at least {least}", repr(value)))
    return int(value)


def check_shots(shots: object) -> int:
    """Return a number of shots, 1 to 2^40: beyond, rounding would show in counts that are drawn as counts."""
    number = check_count("shots", shots, least=1)
    if number > MAX_SHOTS:
        raise ParameterError(expected("shots", f"at most 2^{MAX_SHOTS.bit_length() - 1}", number))
    return number


def check_qubits(what: str, qubits: Sequence[int], size: int) -> None:
    """Refuse indices out of 0..size-1 and repeated ones; ``what`` names the role, such as "target qubit"."""
    if not isinstance(qubits, Iterable):
        raise QubitError(expected(what, f"a sequence, such as [{qubits!r}]", repr(qubits)))
    seen: set[int] = set()
    for qubit in qubits:
        if isinstance(qubit, bool) or not isinstance(qubit, int | np.integer):
            raise QubitError(expected(what, "a whole number", repr(qubit)))
        if not 0 <= qubit < size:
            allowed = f"0 to {size - 1}" if size else "none, there are no such wires"
            raise QubitError(expected(what, allowed, qubit))
        if qubit in seen:
            raise QubitError(expected(what, "each wire once per operation", f"{qubit} twice in {tuple(qubits)}"))
        seen.add(int(qubit))


def check_control_values(controls: Sequence[int], control_values: Sequence[int]) -> None:
    """Refuse control values that are not one bit per control."""
    if len(control_values) != len(controls):
        raise ShapeError(expected("control values", f"{len(controls)}, one per control", len(control_values)))
    for value in control_values:
        if value not in (0, 1):
            raise ParameterError(expected("control value", "0 or 1", repr(value)))


def check_angles(angles: npt.NDArray[np.float64]) -> None:
    """Refuse NaN and infinite angles."""
    finite = np.isfinite(angles)
    if np.count_nonzero(finite) < finite.size:  # five times faster than all() on few numbers
        bad = angles[~finite].ravel()[0]
        raise ParameterError(expected("angle", "a finite number of radians", bad))


def _complex_array(what: str, value: npt.ArrayLike) -> tuple[npt.NDArray[np.complexfloating[Any, Any]], float]:
    """Return the array in complex form with the tolerance its own precision earns; refuse NaN and infinity.

    Entries that single precision holds exactly were rounded to it once, whatever the dtype they arrive in: so an
    operand that was accepted is accepted again when it is copied or read from a file.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "biufc":
            raise TypeError
        array = array.astype(np.complex128, copy=False)
    except (TypeError, ValueError):
        raise ShapeError(expected(what, "an array of numbers", repr(value)[:80])) from None
    ordinary = np.abs(array) < 1e100  # NaN is not; beyond, the sums of the checks below would overflow
    if not ordinary.all():
        raise NotUnitaryError(expected(what, "finite entries", array[~ordinary].ravel()[0]))
    with np.errstate(over="ignore"):
        narrow = np.array_equal(array.astype(np.complex64), array)
    return array, TOLERANCE["complex64" if narrow else "complex128"]


def _frozen(array: npt.NDArray[np.complexfloating[Any, Any]]) -> ComplexArray:
    """Return a read-only complex128 array nobody else can write to."""
    owned = array.dtype == np.complex128 and not array.flags.writeable and array.flags.c_contiguous
    frozen = array if owned else np.array(array, dtype=np.complex128, order="C")
    frozen.flags.writeable = False
    return frozen  # type: ignore[return-value]


def check_unitary(matrix: npt.ArrayLike, num_targets: int) -> ComplexArray:
    """Return a frozen complex128 copy of a unitary matrix of shape (2^k, 2^k).

    Up to k = 8 the whole of U†U is compared with the identity; above, U†(U x) with x for four random x.

    Raises:
        ShapeError: for another shape.
        NotUnitaryError: with the size of the deviation.
    """
    if num_targets > MAX_DENSE_QUBITS:
        raise ShapeError(
            expected(
                "qubits of a dense matrix",
                f"at most {MAX_DENSE_QUBITS}",
                num_targets,
                "Write it as a product of smaller gates, a diagonal or a permutation.",
            )
        )
    array, tolerance = _complex_array("matrix", matrix)
    size = 2**num_targets
    if array.shape != (size, size):
        raise ShapeError(expected(f"matrix on {num_targets} qubits", f"shape {(size, size)}", array.shape))
    if num_targets <= 8:
        deviation = float(np.abs(array.conj().T @ array - np.eye(size)).max())
    else:
        probe = np.random.default_rng(0).normal(size=(size, 4))
        deviation = float(np.abs(array.conj().T @ (array @ probe) - probe).max())
    if deviation > tolerance:
        raise NotUnitaryError(
            expected(
                "matrix",
                f"unitary within {tolerance:g}",
                f"max |U†U - 1| = {deviation:.3g}",
                "Orthonormalise its columns (scipy.linalg.polar).",
            )
        )
    return _frozen(array)


def check_diagonal(vector: npt.ArrayLike, num_targets: int) -> ComplexArray:
    """Return a frozen complex128 copy of 2^k entries of modulus one."""
    array, tolerance = _complex_array("diagonal", vector)
    _check_length("diagonal", array.shape, num_targets)
    deviation = float(np.abs(np.abs(array) - 1).max())
    if deviation > tolerance:
        raise NotUnitaryError(
            expected("diagonal", f"entries of modulus 1 within {tolerance:g}", f"a deviation of {deviation:.3g}")
        )
    return _frozen(array)


def check_state(vector: npt.ArrayLike, num_targets: int) -> ComplexArray:
    """Return a frozen complex128 copy of a normalised state vector of length 2^k."""
    array, tolerance = _complex_array("state vector", vector)
    if array.shape != (2**num_targets,):
        raise ShapeError(expected(f"state vector on {num_targets} qubits", f"shape {(2**num_targets,)}", array.shape))
    norm = float(np.linalg.norm(array))
    if abs(norm - 1) > tolerance:
        raise NotUnitaryError(
            expected("state vector", f"norm 1 within {tolerance:g}", f"norm {norm:.12g}", "Divide it by its norm.")
        )
    return _frozen(array)


def check_states(vectors: Any, num_targets: int) -> Amps:
    """Return normalised state vectors as rows, (1, 2^k) for one or (B, 2^k) for a batch: a view, where they are complex.

    Arrays, and what exports one by ``__array__`` or DLPack, are read where they lie. Nothing may write to what is returned.
    """
    rows = _rows_of(vectors)
    if rows.ndim != 2 or rows.shape[1] != 2**num_targets or not len(rows):
        given = np.shape(vectors)
        shape = f"shape (B, {2**num_targets})" if len(given) == 2 else f"shape {(2**num_targets,)}"
        raise ShapeError(expected(f"state vector on {num_targets} qubits", shape, given))
    with np.errstate(over="ignore", invalid="ignore"):
        norms = np.sqrt([sum(_weight(part) for part in _parts(row)) for row in rows])
    if not np.isfinite(norms).all():
        bad = next(
            (part[~np.isfinite(part)][0] for part in _parts(rows.ravel()) if not np.isfinite(part).all()), rows.max()
        )
        raise NotUnitaryError(expected("state vector", "finite entries", bad))
    worst = int(np.abs(norms - 1).argmax())
    deviation = abs(norms[worst] - 1)
    if deviation > TOLERANCE["complex128"]:
        narrow = all(np.array_equal(part.astype(np.complex64), part) for part in _parts(rows[worst]))
        tolerance = TOLERANCE["complex64" if narrow else "complex128"]
        if deviation > tolerance:
            problem = f"norm {norms[worst]:.12g}" + (f" in row {worst}" if len(rows) > 1 else "")
            raise NotUnitaryError(
                expected("state vector", f"norm 1 within {tolerance:g}", problem, "Divide it by its norm.")
            )
    return rows


def _rows_of(vectors: Any) -> Amps:
    """Return anything array-like as two-dimensional, complex, and without a copy if it can be."""
    try:
        if hasattr(vectors, "__dlpack__") and not hasattr(vectors, "__array__"):
            vectors = np.from_dlpack(vectors)
        array = np.asarray(vectors)
        if array.dtype.kind not in "biufc":
            raise TypeError
        if array.dtype not in (np.complex64, np.complex128):
            array = array.astype(np.complex128)
    except (TypeError, ValueError, BufferError):
        raise ShapeError(expected("state vector", "an array of numbers", repr(vectors)[:80])) from None
    return array[None] if array.ndim == 1 else array


def _parts(row: Amps) -> Iterator[Amps]:
    """Yield pieces small enough for their temporaries to stay in cache."""
    return (row[start : start + _PART] for start in range(0, len(row), _PART))


def _weight(part: Amps) -> float:
    return float(np.vdot(part, part).real) if part.dtype == np.complex128 else _weight(part.astype(np.complex128))


def is_sparse(matrix: Any) -> bool:
    """Whether a matrix is one of SciPy's sparse ones; SciPy is not imported to find out."""
    return hasattr(matrix, "tocsr") and hasattr(matrix, "nnz")


def check_hermitian(matrix: npt.ArrayLike, num_targets: int) -> ComplexArray:
    """Return a frozen complex128 copy of a Hermitian matrix of shape (2^k, 2^k)."""
    try:
        array = np.array(matrix, dtype=np.complex128)
    except (TypeError, ValueError):
        raise ShapeError(expected("observable", "an array of numbers", repr(matrix)[:80])) from None
    size = 2**num_targets
    if array.shape != (size, size):
        raise ShapeError(expected(f"observable on {num_targets} qubits", f"shape {(size, size)}", array.shape))
    if not np.isfinite(array).all():
        raise ParameterError(expected("observable", "finite entries", array[~np.isfinite(array)].ravel()[0]))
    deviation = float(np.abs(array - array.conj().T).max())
    if deviation > 1e-8 * max(1.0, float(np.abs(array).max())):
        raise ShapeError(expected("observable", "a Hermitian matrix", f"max |M - M†| = {deviation:.3g}"))
    array.flags.writeable = False
    return array


def check_permutation(table: npt.ArrayLike, num_targets: int) -> npt.NDArray[np.int64]:
    """Return a frozen int64 copy of a permutation of 0..2^k-1."""
    try:
        array = np.asarray(table)
    except ValueError:
        raise ShapeError(expected("permutation", "a list of whole numbers", repr(table)[:80])) from None
    if array.dtype.kind not in "iu":
        raise ShapeError(expected("permutation", "whole numbers", f"dtype {array.dtype}"))
    _check_length("permutation", array.shape, num_targets)
    size = len(array)
    outside = array.min() < 0 or array.max() >= size
    if outside or (np.bincount(array.astype(np.int64), minlength=size) != 1).any():
        raise NotUnitaryError(expected("permutation", f"every number from 0 to {size - 1} once", str(array)[:60]))
    frozen = np.array(array, dtype=np.int64)
    frozen.flags.writeable = False
    return frozen


def _check_length(what: str, shape: tuple[int, ...], num_targets: int) -> None:
    if num_targets > MAX_TABLE_QUBITS:
        raise ShapeError(expected(f"qubits of a {what}", f"at most {MAX_TABLE_QUBITS}", num_targets))
    if shape != (2**num_targets,):
        raise ShapeError(expected(f"{what} on {num_targets} qubits", f"shape {(2**num_targets,)}", shape))


def check_readout(errors: Sequence[Sequence[float]], num_targets: int) -> tuple[tuple[float, float], ...]:
    """Return P(read 1 | is 0) and P(read 0 | is 1) of every target as numbers."""
    if len(errors) != num_targets:
        raise ShapeError(expected("readout errors", f"{num_targets}, one per target", len(errors)))
    for pair in errors:
        if len(pair) != 2 or not all(isinstance(p, Real) and not isinstance(p, bool) and 0 <= p <= 1 for p in pair):
            raise ParameterError(expected("readout error", "two probabilities from 0 to 1", repr(tuple(pair))))
    return tuple((float(first), float(second)) for first, second in errors)


def check_channel(
    matrices: Sequence[npt.ArrayLike], num_targets: int, probabilities: Sequence[float] | None
) -> tuple[ComplexArray, ...]:
    """Return frozen Kraus matrices with Σ K†K = 1, or, with probabilities, the unitaries of a mixture."""
    if not len(matrices):
        raise ShapeError(expected("channel", "at least one matrix", "none"))
    if probabilities is not None:
        weights = np.asarray(probabilities, dtype=np.float64)
        if weights.shape != (len(matrices),) or not (weights >= 0).all() or abs(weights.sum() - 1) > 1e-8:
            raise ParameterError(
                expected("probabilities of a mixture", f"{len(matrices)} numbers >= 0 of sum 1", list(probabilities))
            )
        return tuple(check_unitary(matrix, num_targets) for matrix in matrices)
    size = 2**num_targets
    arrays = [_complex_array("Kraus matrix", matrix) for matrix in matrices]
    for array, _ in arrays:
        if array.shape != (size, size):
            raise ShapeError(expected(f"Kraus matrix on {num_targets} qubits", f"shape {(size, size)}", array.shape))
    total = np.sum([array.conj().T @ array for array, _ in arrays], axis=0)
    deviation = float(np.abs(total - np.eye(size)).max())
    if deviation > max(tolerance for _, tolerance in arrays):
        raise NotUnitaryError(expected("Kraus matrices", "Σ K†K = 1", f"a deviation of {deviation:.3g}"))
    return tuple(_frozen(array) for array, _ in arrays)
