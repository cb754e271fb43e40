"""What the machine can do at best, measured with the run it is compared to: memory sweeps, tile passes, multiply-adds.

A tile pass takes rows of 512 bytes that lie far apart into a buffer of 512 KiB, and puts them back.

The loops are Numba's, compiled for this CPU. On CPUs where LLVM prefers 256-bit vectors the multiply-add figure is that of
256-bit vectors, half the peak of cores with two 512-bit units.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from .timing import median_seconds

__all__ = ["fractions", "measure"]

_ROUNDS = 2000
_ROW, _TILE = 64, 2**16  # doubles


@numba.njit(parallel=True, fastmath=True, cache=True)
def _sweep(data: npt.NDArray[Any]) -> None:  # pragma: no cover
    factor = data.dtype.type(1.0000001)
    for k in numba.prange(data.size):
        data[k] *= factor


@numba.njit(parallel=True, cache=True)
def _copy(source: npt.NDArray[Any], target: npt.NDArray[Any]) -> None:  # pragma: no cover
    for k in numba.prange(source.size):
        target[k] = source[k]


@numba.njit(parallel=True, cache=True)
def _tile_pass(data: npt.NDArray[Any], tiles: npt.NDArray[Any]) -> None:  # pragma: no cover
    rows = tiles.shape[1] // _ROW
    count = data.size // tiles.shape[1]
    for t in numba.prange(count):
        tile = tiles[numba.get_thread_id()]
        for r in range(rows):
            start = (r * count + t) * _ROW
            tile[r * _ROW : (r + 1) * _ROW] = data[start : start + _ROW]
        for r in range(rows):
            start = (r * count + t) * _ROW
            data[start : start + _ROW] = tile[r * _ROW : (r + 1) * _ROW]


@numba.njit(parallel=True, fastmath={"contract"}, cache=True)
def _multiply_add(lanes: npt.NDArray[Any], a: Any, b: Any, rounds: int) -> None:  # pragma: no cover
    """Sixteen dependent multiply-adds per entry and round: the entries of a row are independent, and stay in L1."""
    for row in numba.prange(lanes.shape[0]):
        mine = lanes[row]
        for _ in range(rounds):
            for k in range(mine.size):
                x = mine[k]
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                x = x * a + b
                mine[k] = x


def measure(threads: int, megabytes: int = 512, repeat: int = 5, rounds: int = _ROUNDS) -> dict[str, float]:
    """Return bytes per second of a sweep, a copy and a tile pass (read and written counted), and multiply-adds per second."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    try:
        data = np.ones(megabytes * 2**17)
        sweep = 2 * data.nbytes / median_seconds(lambda: _sweep(data), repeat)
        target = np.empty_like(data)
        copy = 2 * data.nbytes / median_seconds(lambda: _copy(data, target), repeat)
        tiles = np.empty((threads, min(_TILE, data.size)))
        tile_pass = 2 * data.nbytes / median_seconds(lambda: _tile_pass(data, tiles), repeat)
        rates = {}
        for name, dtype in (("single", np.float32), ("double", np.float64)):
            lanes = np.ones((threads, 2048), dtype)
            a, b = dtype(0.999), dtype(0.001)
            taken = median_seconds(lambda lanes=lanes, a=a, b=b: _multiply_add(lanes, a, b, rounds), repeat)
            rates[f"multiply_adds_{name}"] = lanes.size * rounds * 16 / taken
        return {"sweep_bytes": sweep, "copy_bytes": copy, "tile_pass_bytes": tile_pass, **rates}
    finally:
        numba.set_num_threads(before)


def fractions(
    ceilings: dict[str, float], num_qubits: int, precision: str, rotations: int | None, seconds: float
) -> dict[str, float]:
    """Return which part of a time two floors are: one sweep over the state, and 2.5 multiply-adds per amplitude and rotation.

    ``rotations`` counts one-qubit gates that mix; None where a circuit mixes by anything else, which has another floor.
    """
    state = (8 if precision == "single" else 16) << num_qubits
    result = {"of_one_sweep": 2 * state / ceilings["sweep_bytes"] / seconds}
    if rotations is not None:
        floor = 2.5 * rotations * 2.0**num_qubits / ceilings[f"multiply_adds_{precision}"]
        result["of_arithmetic_floor"] = floor / seconds
    return result
