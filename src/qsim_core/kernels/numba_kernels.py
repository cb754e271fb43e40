"""The loops of the numba backend: one sweep over part of the amplitudes each, without the GIL.

``state`` is the whole batch as one flat array; a batch element is just more high bits of the index. An operation fixes
some bits of the index: those of its controls to ``value``, those of its targets to every combination. What remains is
numbered: item i of a sweep is the i-th index whose ``fixed`` bits are all zero. A kernel works through the items
``begin`` to ``end`` and writes nothing else, so any split of the items gives the same bits.

Items are visited in runs of neighbouring indices, up to the lowest fixed bit, so that inner loops are plain loops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

__all__ = [
    "SPREAD_BITS",
    "apply_dense",
    "apply_diagonal",
    "apply_matrix",
    "apply_phase",
    "apply_rotation",
    "cut_cycles",
    "follow_cycles",
    "histogram",
    "overlap",
    "prepare",
]

#: Table indices of a permutation are turned into offsets by two look-ups of this many bits.
SPREAD_BITS = 13

_NO_FIXED_BIT = 1 << 62

_Array = npt.NDArray[Any]
_Function = TypeVar("_Function", bound=Callable[..., Any])


def _kernel(function: _Function) -> _Function:
    """Compile at the first call with each precision; no fastmath, so that a split never changes a bit."""
    compiler: Any = numba.njit
    try:
        compiled = compiler(nogil=True, error_model="numpy", cache=True)(function)
    except RuntimeError:  # there is no folder that machine code could be kept in
        compiled = compiler(nogil=True, error_model="numpy")(function)
    return compiled


@_kernel
def _expand(item: int, fixed: int) -> int:
    """Return the item-th index whose fixed bits are zero."""
    index, bit = 0, 1
    while item:
        if not fixed & bit:
            if item & 1:
                index |= bit
            item >>= 1
        bit <<= 1
    return index


@_kernel
def _run_limit(fixed: int) -> int:
    """Return the lowest fixed bit: where a run of neighbouring indices must end."""
    return fixed & -fixed if fixed else _NO_FIXED_BIT


@_kernel
def _parity(bits: int) -> int:
    bits ^= bits >> 32
    bits ^= bits >> 16
    bits ^= bits >> 8
    bits ^= bits >> 4
    bits ^= bits >> 2
    bits ^= bits >> 1
    return bits & 1


@_kernel
def _gather(index: int, runs: _Array) -> int:
    """Return the bits of an index that ``runs`` names, side by side; a row is (first bit, mask, place)."""
    value = 0
    for r in range(runs.shape[0]):
        value |= ((index >> runs[r, 0]) & runs[r, 1]) << runs[r, 2]
    return value


@_kernel
def apply_matrix(
    state: _Array, begin: int, end: int, fixed: int, value: int, bit: int, m00: Any, m01: Any, m10: Any, m11: Any
) -> None:
    """Apply a matrix of shape (2, 2) to the qubit ``bit``."""
    limit = _run_limit(fixed)
    base = _expand(begin, fixed)
    while begin < end:
        run = min(end - begin, limit - (base & (limit - 1)))
        first = base | value
        second = first | bit
        for j in range(run):
            x, y = state[first + j], state[second + j]
            state[first + j] = m00 * x + m01 * y
            state[second + j] = m10 * x + m11 * y
        begin += run
        base = (((base + run - 1) | fixed) + 1) & ~fixed


@_kernel
def apply_dense(state: _Array, begin: int, end: int, fixed: int, value: int, offsets: _Array, columns: _Array) -> None:
    """Apply the matrix ``columns.T``; ``offsets[x]`` places the x-th amplitude of an item."""
    size = len(offsets)
    old = np.empty(size, state.dtype)
    new = np.empty(size, state.dtype)
    base = _expand(begin, fixed)
    for _ in range(begin, end):
        first = base | value
        for x in range(size):
            old[x] = state[first | offsets[x]]
            new[x] = 0
        for column in range(size):
            amplitude = old[column]
            for x in range(size):
                new[x] += columns[column, x] * amplitude
        for x in range(size):
            state[first | offsets[x]] = new[x]
        base = ((base | fixed) + 1) & ~fixed


@_kernel
def apply_rotation(
    state: _Array, begin: int, end: int, fixed: int, value: int, x_mask: int, z_mask: int, cosine: Any, even: Any,
    flip: Any,
) -> None:  # fmt: skip
    """Mix each pair (i, i ^ x_mask) of a Pauli rotation; the highest bit of ``x_mask`` is fixed and clear in i.

    ``even`` is what carries amplitude i to i ^ x_mask where i & z_mask has even parity; ``flip`` = ±1 is its ratio
    to the factor of the way back.
    """
    limit = _run_limit(fixed)
    base = _expand(begin, fixed)
    while begin < end:
        run = min(end - begin, limit - (base & (limit - 1)))
        first = base | value
        for i in range(first, first + run):
            partner = i ^ x_mask
            factor = -even if _parity(i & z_mask) else even
            x, y = state[i], state[partner]
            state[i] = cosine * x + (flip * factor) * y
            state[partner] = cosine * y + factor * x
        begin += run
        base = (((base + run - 1) | fixed) + 1) & ~fixed


@_kernel
def apply_phase(state: _Array, begin: int, end: int, fixed: int, value: int, z_mask: int, even: Any, odd: Any) -> None:
    """Multiply by ``even`` or ``odd``, the parity of the index on ``z_mask``."""
    limit = _run_limit(fixed)
    base = _expand(begin, fixed)
    while begin < end:
        run = min(end - begin, limit - (base & (limit - 1)))
        first = base | value
        if z_mask == 0:
            for i in range(first, first + run):
                state[i] = state[i] * even
        else:
            for i in range(first, first + run):
                state[i] = state[i] * (odd if _parity(i & z_mask) else even)
        begin += run
        base = (((base + run - 1) | fixed) + 1) & ~fixed


@_kernel
def apply_diagonal(state: _Array, begin: int, end: int, fixed: int, value: int, runs: _Array, vector: _Array) -> None:
    """Multiply by the entry of ``vector`` that the target bits name; only controls are fixed."""
    limit = _run_limit(fixed)
    base = _expand(begin, fixed)
    while begin < end:
        run = min(end - begin, limit - (base & (limit - 1)))
        first = base | value
        for i in range(first, first + run):
            state[i] = state[i] * vector[_gather(i, runs)]
        begin += run
        base = (((base + run - 1) | fixed) + 1) & ~fixed


@_kernel
def prepare(state: _Array, begin: int, end: int, mask: int, runs: _Array, vector: _Array) -> None:
    """Fill all amplitudes with target bits other than zero from those with zeros, times the entry of ``vector``."""
    for i in range(begin, end):
        source = i & ~mask
        if source != i:
            state[i] = vector[_gather(i, runs)] * state[source]


@_kernel
def cut_cycles(
    table: _Array, seen: _Array, starts: _Array, lengths: _Array, is_cut: _Array, cursor: _Array, limit: int,
    budget: int,
) -> None:  # fmt: skip
    """Write a permutation's cycles as segments of at most ``limit`` moves; resumes from ``cursor`` after ``budget``.

    ``cursor`` holds the next leader, the element reached, the moves since the last cut, the number of segments and
    whether the cycle was cut. Fixed points make no segment.
    """
    leader, x, moves, count, was_cut = cursor[0], cursor[1], cursor[2], cursor[3], cursor[4]
    for _ in range(budget):
        if leader == len(table):
            break
        if moves == 0 and not was_cut:
            if seen[leader] or table[leader] == leader:
                leader += 1
                continue
            x = leader
            starts[count] = leader
        x = table[x]
        seen[x] = 1
        moves += 1
        closed = x == leader
        if closed or moves == limit:
            was_cut |= not closed
            lengths[count] = moves
            is_cut[count] = was_cut
            count += 1
            moves = 0
            if closed:
                leader += 1
                was_cut = 0
            else:
                starts[count] = x
    cursor[0], cursor[1], cursor[2], cursor[3], cursor[4] = leader, x, moves, count, was_cut


@_kernel
def follow_cycles(
    state: _Array, begin: int, end: int, fixed: int, value: int, table: _Array, low: _Array, high: _Array,
    starts: _Array, lengths: _Array, saved: _Array,
) -> None:  # fmt: skip
    """Move amplitudes along the segments of a permutation's cycles; item i is segment i % S of index i // S.

    The first ``saved.shape[1]`` segments are parts of long cycles. What they carry away was put aside in ``saved``,
    because the segment before them overwrites it; so all items are independent.
    """
    digit = (1 << SPREAD_BITS) - 1
    count = len(starts)
    index, segment = begin // count, begin % count
    base = _expand(index, fixed)
    for _ in range(begin, end):
        first = base | value
        x = starts[segment]
        if segment < saved.shape[1]:
            carried = saved[index, segment]
        else:
            carried = state[first | low[x & digit] | high[x >> SPREAD_BITS]]
        for _ in range(lengths[segment]):
            x = table[x]
            place = first | low[x & digit] | high[x >> SPREAD_BITS]
            here = state[place]
            state[place] = carried
            carried = here
        segment += 1
        if segment == count:
            segment = 0
            index += 1
            base = ((base | fixed) + 1) & ~fixed


@_kernel
def histogram(state: _Array, begin: int, end: int, size: int, runs: _Array, out: _Array) -> None:
    """Add up |a|² of the parts ``begin`` to ``end``, ``size`` amplitudes each, by the bits that ``runs`` names.

    Part p adds to row p of ``out``, or all to the only row there is.
    """
    for part in range(begin, end):
        row = part if len(out) > 1 else 0
        for i in range(part * size, (part + 1) * size):
            real, imag = np.float64(state[i].real), np.float64(state[i].imag)
            out[row, _gather(i, runs)] += real * real + imag * imag


@_kernel
def overlap(ket: _Array, begin: int, end: int, bra: _Array, size: int, x_mask: int, z_mask: int, out: _Array) -> None:
    """Add up conj(bra[i ^ x_mask]) ket[i] with the sign of parity(i & z_mask), part by part."""
    for part in range(begin, end):
        real, imag = 0.0, 0.0
        for i in range(part * size, (part + 1) * size):
            left, right = np.complex128(bra[i ^ x_mask]), np.complex128(ket[i])
            sign = 1.0 - 2.0 * _parity(i & z_mask)
            real += sign * (left.real * right.real + left.imag * right.imag)
            imag += sign * (left.real * right.imag - left.imag * right.real)
        out[part] = complex(real, imag)
