"""Many states against each other: overlaps and Gram matrices as blocked matrix products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .errors import ShapeError, expected
from .kernels.control import RunControl
from .types import Amps, ComplexArray, FloatArray

__all__ = ["fidelities", "gram", "overlaps"]

#: States of a block: its products run at the speed of a large matrix product, its copies stay small.
BLOCK = 96


def overlaps(bras: Amps, kets: Amps, control: RunControl | None = None) -> ComplexArray:
    """Return ⟨bra_i|ket_j⟩ for all i and j, shape (N, M), from states of shapes (N, 2^n) and (M, 2^n).

    Sums are in double precision. States that aren't in double precision are widened block by block.

    >>> overlaps(np.eye(2, 4), np.array([[0.6, 0.8j, 0, 0]])).ravel()
    array([0.6+0.j , 0. +0.8j])
    """
    _check_sizes(bras, kets)
    result = np.empty((len(bras), len(kets)), dtype=np.complex128)
    for rows, fraction in _blocks(len(bras)):
        _tick(control, fraction)
        left = np.conjugate(np.asarray(bras[rows]), dtype=np.complex128)
        for columns, _ in _column_blocks(kets, 0):
            np.matmul(left, np.asarray(kets[columns]).astype(np.complex128, copy=False).T, out=result[rows, columns])
    return result


def fidelities(bras: Amps, kets: Amps, control: RunControl | None = None) -> FloatArray:
    """Return |⟨bra_i|ket_j⟩|² for all i and j, shape (N, M); see :func:`overlaps`."""
    values = overlaps(bras, kets, control)
    return values.real**2 + values.imag**2


def gram(states: Amps, control: RunControl | None = None) -> FloatArray:
    """Return |⟨ψ_i|ψ_j⟩|² for all i and j, shape (N, N): half of the products of :func:`fidelities`, exactly symmetric.

    >>> gram(np.array([[1, 0], [0.6, 0.8]]))
    array([[1.  , 0.36],
           [0.36, 1.  ]])
    """
    count = len(states)
    result = np.empty((count, count))
    # Of all blocks: new pages for each of them would cost as much as the squares.
    bras = np.empty((min(count, BLOCK), states.shape[1]), dtype=np.complex128)
    products = np.empty(len(bras) * count, dtype=np.complex128)
    for rows, fraction in _blocks(count):
        _tick(control, fraction)
        left = bras[: rows.stop - rows.start]
        np.conjugate(np.asarray(states[rows]), out=left)
        for columns, _ in _column_blocks(states, rows.start):
            shape = len(left), columns.stop - columns.start
            block = products[: shape[0] * shape[1]].reshape(shape)
            np.matmul(left, np.asarray(states[columns]).astype(np.complex128, copy=False).T, out=block)
            parts = block.view(np.float64).reshape(*shape, 2)
            np.square(parts, out=parts)
            np.add(parts[..., 0], parts[..., 1], out=result[rows, columns])
        result[rows.stop :, rows] = result[rows, rows.stop :].T
        square = result[rows, rows]
        result[rows, rows] = np.tril(square) + np.tril(square, -1).T
    return result


def _blocks(count: int) -> Iterator[tuple[slice, float]]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count)), start / count


def _column_blocks(states: Amps, first: int) -> Iterator[tuple[slice, float]]:
    """Yield all at once where nothing is copied."""
    if states.dtype == np.complex128:
        yield slice(first, len(states)), 0.0
        return
    for start in range(first, len(states), BLOCK):
        yield slice(start, min(start + BLOCK, len(states))), 0.0


def _tick(control: RunControl | None, fraction: float) -> None:
    if control is not None:
        control.poll()
        control.report(fraction)


def _check_sizes(bras: Amps, kets: Amps) -> None:
    if bras.ndim != 2 or kets.ndim != 2 or bras.shape[1] != kets.shape[1]:
        raise ShapeError(expected("states to compare", "shapes (N, 2^n) and (M, 2^n)", f"{bras.shape}, {kets.shape}"))
