"""Plans as kernel launches: made in C++ on any machine, played by a CUDA device, counted by the cost model.

Without the C++ core, :mod:`qsim_core.kernels.plain_launches` makes them, one operation at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, expected
from ..plan import Coefficients, Plan, Stage
from ..types import Precision
from .plain_launches import plain_launches

_native: Any
try:
    from .. import _native
except ImportError:
    _native = None

__all__ = ["Adjoint", "Launch", "LaunchList", "can_fuse", "lower"]

#: Blocks of a launch; kernels stride beyond.
MAX_BLOCKS = 2**31 - 1


class Launch(NamedTuple):
    """One kernel of ``cpp/cuda/entries.cuh``; ``offset`` is its place in the program, ``op`` the plan's first row it serves.

    ``stages`` counts trips between registers and shared memory inside a tile; 0 for sweeps. ``on_second``: it works on the
    second state of an adjoint walk.
    """

    kernel: str
    blocks: int
    threads: int
    shared_bytes: int
    offset: int
    op: int
    stages: int
    on_second: bool = False


@dataclass(frozen=True, eq=False)
class LaunchList:
    """What a device plays in order: the launches, the bytes they read, and the size of a second buffer some need."""

    launches: tuple[Launch, ...]
    program: bytes
    scratch_bytes: int


class Adjoint(NamedTuple):
    """A second state that walks along, and where slopes go: ``sums[B, 2^slice_bits, C]`` on the device, zero at first.

    ``to_zero``: the first state would come to |0…0⟩, so tiles where it is zero for good are left alone.
    """

    second: int
    sums: int
    wanted: npt.NDArray[np.uint8]
    slice_bits: int
    to_zero: bool = False


def can_fuse() -> bool:
    """Return True where the core was built: then a launch does what fits a tile, and adjoint walks can be lowered."""
    return _native is not None and hasattr(_native, "cuda_lower")


def lower(
    plan: Plan,
    stage: Stage,
    coefficients: Coefficients,
    batch: int = 1,
    adjoint: Adjoint | None = None,
    from_zero: bool = False,
) -> LaunchList:
    """Return the launches of a stage; where it begins ``from_zero``, in |0…0⟩, tiles that hold nothing yet are left out.

    Raises:
        BackendUnavailableError: for an adjoint walk where the core was not built.
    """
    if not can_fuse():
        if adjoint is not None:
            raise BackendUnavailableError(expected("C++ core to lower an adjoint walk", "a built one", "none"))
        steps, program, scratch_bytes = plain_launches(plan, stage, coefficients, batch)
        return LaunchList(tuple(Launch(*step) for step in steps), program, scratch_bytes)
    walk = {} if adjoint is None else {
        "wanted": adjoint.wanted, "second": adjoint.second, "slopes": adjoint.sums, "max_slice_bits": adjoint.slice_bits,
        "to_zero": adjoint.to_zero,
    }  # fmt: skip
    launches, program, scratch_bytes = _native.cuda_lower(
        plan.ops.columns, plan.passes.local, plan.passes.op_offset, stage.passes.start, stage.passes.stop,
        coefficients.values, coefficients.operands, batch=batch, num_qubits=plan.num_qubits,
        single=plan.precision is Precision.SINGLE, max_blocks=MAX_BLOCKS,
        from_zero=from_zero, **walk,
    )  # fmt: skip
    return LaunchList(tuple(Launch(*launch) for launch in launches), program, scratch_bytes)
