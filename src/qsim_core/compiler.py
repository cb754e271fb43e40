"""compile: Program to Plan, cached by structure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from .errors import ParameterError, UnsupportedError, expected
from .plan import Plan
from .planner import TileShape, native_plan, planner_available
from .program import Program
from .relabelling import without_swaps
from .trivial_plan import trivial_plan
from .types import Precision

__all__ = ["clear_plan_cache", "compile_program", "plan_cache_info"]

#: Identifies the constants the planner decided by; a calibrated cost model gets another one.
COST_MODEL = "default-1"
_CACHE_SIZE = 256
#: Tiles of the backends that run passes of many operations; all others get the trivial plan.
_TILES: dict[str, Callable[[Precision, int], TileShape]] = {
    "native_cpu": TileShape.of,
    "native_cuda": lambda precision, _: TileShape.of_gpu(precision),
    "cupy_cuda": lambda precision, _: TileShape.of_gpu(precision),
}

_cache: OrderedDict[tuple[object, ...], Plan] = OrderedDict()
_lock = threading.Lock()
_counts = {"hits": 0, "misses": 0}


def compile_program(
    program: Program,
    *,
    outputs: tuple[str, ...] = ("state",),
    precision: Precision | str = Precision.DOUBLE,
    target: str = "reference",
    initial: str = "zero",
    permutation: tuple[int, ...] | None = None,
    backwards: bool = False,
) -> Plan:
    """Return a plan for the program: what to run, without the values.

    Plans are cached by the structure of the program (kinds, targets, controls, operand classes; never angles), the other
    arguments and the cost model, so a circuit rebuilt with new angles is not planned again.

    Args:
        program: what to run.
        outputs: what will be read: "state", "samples", "expectation"; a planner may leave out what nobody reads.
        precision: of the amplitudes.
        target: name of the backend.
        initial: "zero" when the run starts from |0…0⟩, "given" when it starts from any state.
        permutation: physical place of every logical qubit at entry; None is the identity.
        backwards: for the inverse of a circuit that is undone on two states side by side (adjoint differentiation): its
            passes are those of the circuit, in tiles of which two share the cache, unless wider ones halve their number.
    """
    precision = Precision.of(precision)
    if initial not in ("zero", "given"):
        raise ParameterError(expected("initial state of a plan", "'zero' or 'given'", repr(initial)))
    if permutation is not None and permutation != tuple(range(program.num_qubits)):
        raise UnsupportedError(expected("entry permutation of a plan", "None, the identity", permutation))
    key = (program.structure, outputs, precision, target, initial, permutation, backwards, COST_MODEL)
    with _lock:
        plan = _cache.get(key)
        if plan is not None:
            _cache.move_to_end(key)
            _counts["hits"] += 1
            return plan
        _counts["misses"] += 1
    if target in _TILES and planner_available():
        if initial == "zero":
            program = without_swaps(program)
        tile = _TILES[target](precision, program.num_qubits)
        plan = native_plan(program, precision=precision, initial=initial, tile=tile, shrink=True, backwards=backwards)
        if backwards:
            small = native_plan(
                program, precision=precision, initial=initial, tile=tile.shared(2), shrink=True, backwards=True
            )
            if 2 * len(plan.passes) > len(small.passes):
                plan = small
    else:
        plan = trivial_plan(program, precision=precision, initial=initial, shrink=True)
    with _lock:
        _cache[key] = plan
        while len(_cache) > _CACHE_SIZE:
            _cache.popitem(last=False)
    return plan


def plan_cache_info() -> dict[str, int]:
    """Return the number of hits, misses and plans held."""
    with _lock:
        return {**_counts, "size": len(_cache)}


def clear_plan_cache() -> None:
    """Forget all plans."""
    with _lock:
        _cache.clear()
        _counts.update(hits=0, misses=0)
