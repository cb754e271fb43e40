"""Many states against each other: overlaps and Gram matrices as blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .errors import ShapeError, expected
from .kernels.control import RunControl
from .types import Amps, ComplexArray, FloatArray

__all__ = ["fidelities", "gram", "overlaps"]

#: States of a block: its products run at the speed of a large matrix product, its copies stay small.
BLOCK = 64
#: States and amplitudes of a tile of a Gram matrix: copies of states in memory stay below 150 MB, whatever the register.
TILE = 512
TILE_AMPS = 2**12


def overlaps(bras: Amps, kets: Amps, control: RunControl | None = None) -> ComplexArray:
    """Return ⟨bra_i|ket_j⟩ for all i and j, shape (N, M), from states of shapes (N, 2^n) and (M, 2^n).

    Sums are in double precision. States that aren't in double precision are widened block by block.

    >>> overlaps(np.eye(2, 4), np.array([[0.6, 0.8j, 0, 0]])).ravel()
    array([0.6+0.j , 0. +0.8j])
    """
    _check_sizes(bras, kets)
    result = np.empty((len(bras), len(kets)), dtype=np.complex128)
    for rows, fraction in _blocks(len(bras), BLOCK):
        _tick(control, fraction)
        left = np.asarray(bras[rows]).astype(np.complex128).conj()
        for columns, _ in _column_blocks(kets):
            np.matmul(left, np.asarray(kets[columns]).astype(np.complex128, copy=False).T, out=result[rows, columns])
    return result


def fidelities(bras: Amps, kets: Amps, control: RunControl | None = None) -> FloatArray:
    """Return |⟨bra_i|ket_j⟩|² for all i and j, shape (N, M); see :func:`overlaps`."""
    return _squares(overlaps(bras, kets, control))


def gram(states: Amps, control: RunControl | None = None) -> FloatArray:
    """Return |⟨ψ_i|ψ_j⟩|² for all i and j, shape (N, N): half of the products of :func:`fidelities`, exactly symmetric.

    >>> gram(np.array([[1, 0], [0.6, 0.8]]))
    array([[1.  , 0.36],
           [0.36, 1.  ]])
    """
    count, size = states.shape
    result = np.empty((count, count))
    for rows, fraction in _blocks(count, TILE):
        bras = np.asarray(states[rows])
        for columns, _ in _blocks(count, TILE, rows.start):
            kets = bras if rows == columns else np.asarray(states[columns])
            real, imag = np.zeros((2, rows.stop - rows.start, columns.stop - columns.start))
            for amps, _ in _blocks(size, TILE_AMPS):
                _tick(control, fraction)
                left = np.ascontiguousarray(bras[:, amps], np.complex128)
                right = left if rows == columns else np.ascontiguousarray(kets[:, amps], np.complex128)
                _add_overlaps(left, right, real, imag)
            result[rows, columns] = real**2 + imag**2
            result[columns, rows] = result[rows, columns].T
    return result


def _add_overlaps(bras: ComplexArray, kets: ComplexArray, real: FloatArray, imag: FloatArray) -> None:
    """Add overlaps as products of real matrices; those of states with themselves take half of the arithmetic.

    The real part is then a matrix times its own transpose, which BLAS makes symmetric, the imaginary part is
    K - K^T with K = Re A (Im A)^T.
    """
    parts = kets.view(np.float64)
    if bras is kets:
        real += parts @ parts.T
        half = bras.real.copy() @ kets.imag.copy().T
        imag += half - half.T
    else:
        real += bras.view(np.float64) @ parts.T
        imag += bras.view(np.float64) @ (-1j * kets).view(np.float64).T


def _squares(values: ComplexArray) -> FloatArray:
    return values.real**2 + values.imag**2


def _blocks(count: int, size: int, first: int = 0) -> Iterator[tuple[slice, float]]:
    for start in range(first, count, size):
        yield slice(start, min(start + size, count)), start / count


def _column_blocks(states: Amps) -> Iterator[tuple[slice, float]]:
    """Yield all at once where nothing is copied."""
    if states.dtype == np.complex128:
        yield slice(0, len(states)), 0.0
        return
    yield from _blocks(len(states), BLOCK)


def _tick(control: RunControl | None, fraction: float) -> None:
    if control is not None:
        control.poll()
        control.report(fraction)


def _check_sizes(bras: Amps, kets: Amps) -> None:
    if bras.ndim != 2 or kets.ndim != 2 or bras.shape[1] != kets.shape[1]:
        raise ShapeError(expected("states to compare", "shapes (N, 2^n) and (M, 2^n)", f"{bras.shape}, {kets.shape}"))
