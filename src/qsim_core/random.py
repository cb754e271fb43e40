"""Random numbers by position, not by order: a counter-based generator keyed by what is drawn.

The number for (seed, run, batch, site, visit, shot) is a pure function of those six, so shots do not depend on thread
count, batch split, backend, or on which other shots were run. The generator is Philox 4x64-10 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC'11), as provided by NumPy; its four words are those of four shots.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .errors import ParameterError, expected
from .types import FloatArray, IndexArray

try:
    from . import _native as _core
except ImportError:  # the C++ core was not built: NumPy's generator gives the same numbers, on one thread
    _core = None  # type: ignore[assignment]

__all__ = ["RandomSource", "fresh_seed"]

_WORD = 2**64 - 1
#: Numbers of one step of the counter.
_WIDTH = 4
#: Below so many shots it is faster to position the generator for each of them than to compute its rounds here.
_FEW = 8
#: Multipliers of the first and third word of the counter, and what is added to the two words of the key every round.
_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10

_Raw: TypeAlias = npt.NDArray[np.uint64]


def fresh_seed() -> int:
    """Return a new seed from the operating system, small enough to be typed back: 0 to 2^53-1."""
    return int.from_bytes(os.urandom(8), "little") >> 11


@dataclass(frozen=True, slots=True)
class RandomSource:
    """All random numbers of one batch element of one run."""

    seed: int
    run: int = 0
    batch: int = 0

    def __post_init__(self) -> None:
        whole = isinstance(self.seed, int | np.integer) and not isinstance(self.seed, bool)
        if not whole or not 0 <= self.seed <= _WORD:
            raise ParameterError(expected("seed", "a whole number from 0 to 2^64-1", repr(self.seed)))
        object.__setattr__(self, "seed", int(self.seed))

    def uniforms(self, site: int, visit: int, first_shot: int, num_shots: int, threads: int = 1) -> FloatArray:
        """Return the numbers in [0, 1) of consecutive shots at one site of a program, at its visit-th draw.

        >>> source = RandomSource(seed=7)
        >>> bool(source.uniforms(0, 0, 0, 10)[4] == source.uniforms(0, 0, 4, 1)[0])
        True
        """
        result = np.empty(num_shots)
        if _core is not None:
            _core.uniforms(*self.key, site & _WORD, visit & _WORD, first_shot, result, threads)
            return result
        block, before = divmod(first_shot, _WIDTH)
        generator = self._philox(block | (site & _WORD) << 64 | (visit & _WORD) << 128)
        result[:] = _unit(generator.random_raw(before + num_shots)[before:])
        return result

    def uniforms_of_rows(self, site: int, num_shots: int, rows: int, threads: int = 1) -> FloatArray:
        """Return the numbers of the first draw of shots 0, 1, … of this batch element and those that follow it, (rows, shots).

        >>> found = RandomSource(seed=7).uniforms_of_rows(0, 3, rows=2)
        >>> bool((found[1] == RandomSource(seed=7, batch=1).uniforms(0, 0, 0, 3)).all())
        True
        """
        result = np.empty((rows, num_shots))
        if _core is not None:
            _core.uniforms(*self.key, site & _WORD, 0, 0, result.reshape(-1), threads, max(rows, 1))
            return result
        for row in range(rows):
            result[row] = replace(self, batch=self.batch + row).uniforms(site, 0, 0, num_shots)
        return result

    def uniforms_at(self, site: int, visit: int, shots: IndexArray) -> FloatArray:
        """Return the numbers of any shots, the same that :meth:`uniforms` gives them.

        >>> source = RandomSource(seed=7)
        >>> bool((source.uniforms_at(0, 0, np.array([8, 3])) == source.uniforms(0, 0, 0, 10)[[8, 3]]).all())
        True
        """
        if len(shots) <= _FEW:
            return np.array([self.uniforms(site, visit, shot, 1)[0] for shot in shots.tolist()])
        place = shots.astype(np.uint64)
        counter = [
            place // np.uint64(_WIDTH) + np.uint64(1),  # NumPy's generator counts up before it generates
            *(np.array([word & _WORD], dtype=np.uint64) for word in (site, visit, 0)),
        ]
        key = self.key
        for _ in range(_ROUNDS):
            high0, low0 = _wide_product(counter[0], _MULTIPLIERS[0])
            high1, low1 = _wide_product(counter[2], _MULTIPLIERS[1])
            counter = [high1 ^ counter[1] ^ np.uint64(key[0]), low1, high0 ^ counter[3] ^ np.uint64(key[1]), low0]
            key = (key[0] + _WEYL[0]) & _WORD, (key[1] + _WEYL[1]) & _WORD
        return _unit(np.choose(shots % _WIDTH, counter))

    def multinomial(self, site: int, weights: FloatArray, num_shots: int) -> IndexArray:
        """Return how many of ``num_shots`` shots fall to each outcome, in proportion to ``weights``, shape (B, K) as they.

        Row b is drawn for this batch element and b more. The sums of the rows are positive and finite; an outcome of
        weight zero gets none. Where the C++ core was not built NumPy draws: the same distribution, other counts.

        >>> RandomSource(seed=7).multinomial(0, np.array([[1.0, 0.0, 3.0]]), 10**6).round(-4)
        array([[250000,      0, 750000]])
        """
        rows, size = weights.shape
        if _core is not None:
            return _core.multinomial(weights.reshape(-1), rows, num_shots, *self.key, site & _WORD)
        result = np.zeros((rows, size), dtype=np.int64)
        for row, (part, counts) in enumerate(zip(weights, result, strict=True)):
            own = replace(self, batch=self.batch + row)
            generator = np.random.Generator(own._philox((site & _WORD) << 64 | 1 << 192))
            possible = np.flatnonzero(part)
            counts[possible] = generator.multinomial(num_shots, part[possible] / part.sum())
        return result

    def generator(self) -> np.random.Generator:
        """Return NumPy's generator of these numbers, for distributions other than the uniform one."""
        return np.random.Generator(self._philox(0))

    @property
    def key(self) -> tuple[int, int]:
        """The key of the generator: the seed; run and batch element."""
        return self.seed, (self.run << 32 | self.batch) & _WORD

    def _philox(self, counter: int) -> np.random.Philox:
        return np.random.Philox(key=np.array(self.key, dtype=np.uint64), counter=counter)


def _unit(raw: _Raw) -> FloatArray:
    """Return the upper 53 bits of every word as a number in [0, 1)."""
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _wide_product(words: _Raw, factor: int) -> tuple[_Raw, _Raw]:
    """Return the upper and the lower 64 bits of every word times ``factor``, from products of their halves."""
    half, mask = np.uint64(32), np.uint64(2**32 - 1)
    a1, a0 = words >> half, words & mask
    b1, b0 = np.uint64(factor >> 32), np.uint64(factor & (2**32 - 1))
    middle = a1 * b0 + (a0 * b0 >> half)
    cross = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (cross >> half), words * np.uint64(factor)
