"""Classical bits of shots as the records Cirq gives: inverted, confused, by key and instance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core.executor import Words

from .translate import Measured

__all__ = ["records"]

_Bits = npt.NDArray[np.uint8]


def records(
    words: Words, measured: Sequence[Measured], num_clbits: int, prng: np.random.RandomState
) -> dict[str, _Bits]:
    """Return an array (shots, instances, qubits) for each key."""
    octets = np.ascontiguousarray(words.astype("<u8", copy=False)).view(np.uint8)
    bits = np.unpackbits(octets, axis=1, bitorder="little", count=num_clbits)
    found: dict[str, list[_Bits]] = {}
    for one in measured:
        first, last = one.clbits[0], one.clbits[-1]
        found.setdefault(one.key, []).append(_read(bits[:, first : last + 1], one, prng))
    return {key: np.stack(parts, axis=1) for key, parts in found.items()}


def _read(bits: _Bits, one: Measured, prng: np.random.RandomState) -> _Bits:
    if one.confusion:
        bits = _confused(bits, one.confusion, prng)
    return bits ^ np.array(one.inverted, dtype=np.uint8) if any(one.inverted) else bits


def _confused(bits: _Bits, confusion: Mapping[tuple[int, ...], Any], prng: np.random.RandomState) -> _Bits:
    """Draw what is read: row r of a matrix is the distribution of readings of the outcome r, its first qubit highest."""
    result = bits.copy()
    for places, matrix in confusion.items():
        columns = list(places)
        weights = 1 << np.arange(len(columns))[::-1]
        edges = np.cumsum(np.asarray(matrix, dtype=np.float64), axis=1)
        rows = edges[bits[:, columns] @ weights]
        drawn = (rows <= prng.random_sample(len(bits))[:, None] * rows[:, -1:]).sum(axis=1)
        result[:, columns] = drawn[:, None] >> np.arange(len(columns))[::-1] & 1
    return result
