"""Random numbers by position, not by order: a counter-based generator keyed by what is drawn.

The number for (seed, run, batch, site, visit, shot) is a pure function of those six, so shots do not depend on thread
count, batch split, backend, or on which other shots were run. The generator is Philox 4x64-10 (Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3", SC'11), as provided by NumPy.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np

from .errors import ParameterError, expected
from .types import FloatArray

__all__ = ["RandomSource", "fresh_seed"]

_WORD = 2**64 - 1


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

    def uniforms(self, site: int, visit: int, first_shot: int, num_shots: int) -> FloatArray:
        """Return the numbers in [0, 1) of consecutive shots at one site of a program, at its visit-th draw.

        >>> source = RandomSource(seed=7)
        >>> bool(source.uniforms(0, 0, 0, 10)[4] == source.uniforms(0, 0, 4, 1)[0])
        True
        """
        key = self.seed | ((self.run << 32 | self.batch) & _WORD) << 64
        counter = first_shot | (site & _WORD) << 64 | (visit & _WORD) << 128
        raw = np.random.Philox(key=key, counter=counter).random_raw(4 * num_shots)[::4]
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53
