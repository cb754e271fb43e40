"""Runs a Plan: straight-line plans for a whole batch at once, all others shot by shot over their segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import classical
from .errors import InterruptedRunError, ParameterError, UnsupportedError, expected
from .kernels.contract import Backend, gather_bits
from .kernels.control import RunControl
from .plan import Branch, ChannelEnd, Coefficients, End, Jump, Loop, MeasureEnd, Plan, ResetEnd
from .random import RandomSource
from .state import StateVector

__all__ = ["Words", "execute", "run_shot", "sample_shots"]

#: Measured bits of all shots: (shots, ceil(num_clbits / 64)) unsigned words, bit c%64 of word c//64 is classical bit c.
Words = npt.NDArray[np.uint64]

#: A measurement of more qubits than this is done in groups, so that its distribution stays small.
_GROUP = 12
_Draw: TypeAlias = Callable[[int], float]


def execute(plan: Plan, coefficients: Coefficients, state: StateVector, control: RunControl | None = None) -> None:
    """Run a straight-line plan on all batch elements of ``state`` in place.

    Raises:
        UnsupportedError: for a plan that measures, resets or branches before its end (see :func:`run_shot`).
        InterruptedRunError, KeyboardInterrupt: the state is then poisoned.
    """
    if not plan.straight_line:
        raise UnsupportedError(expected("plan to execute", "straight-line", "one with measurements or branches in it"))
    if coefficients.batch not in (1, state.batch):
        raise ParameterError(expected("rows of coefficients", f"1 or {state.batch}", coefficients.batch))
    with _poisoning(state):
        _run_segment(plan, plan.entry, coefficients, state, control or RunControl())


def sample_shots(
    plan: Plan, state: StateVector, num_shots: int, source: RandomSource, control: RunControl | None = None
) -> Words:
    """Sample the measurements at the end of a straight-line plan from its final state (a single batch element)."""
    end = plan.segments[plan.entry].end
    assert isinstance(end, End)
    uniforms = source.uniforms(plan.entry, 0, 0, num_shots)
    index = state.backend.sample(state.amps, uniforms, control or RunControl())
    words = _no_bits(num_shots, plan.num_clbits)
    for qubit, clbit in end.measured:  # in order: a later measurement into the same bit wins
        word, bit = words[:, clbit // 64], np.uint64(clbit % 64)
        value = (index >> qubit & 1).astype(np.uint64)
        word &= ~(np.uint64(1) << bit)
        word |= value << bit
    return words


def run_shot(
    plan: Plan,
    coefficients: Coefficients,
    state: StateVector,
    shot: int,
    source: RandomSource,
    control: RunControl | None = None,
) -> Words:
    """Run one shot of any plan on a single batch element, from the state as it is; return its classical bits, (1, W).

    The driver that owns the classical bits: it walks segments, draws at measurements and resets, and follows branches.
    """
    control = control or RunControl()
    backend, clbits = state.backend, [0] * plan.num_clbits
    visits: Counter[int] = Counter()
    rounds: Counter[int] = Counter()

    def draw(site: int) -> float:
        visits[site] += 1
        return float(source.uniforms(site, visits[site] - 1, shot, 1)[0])

    here = plan.entry
    with _poisoning(state):
        while True:
            control.poll()
            _run_segment(plan, here, coefficients, state, control)
            match plan.segments[here].end:
                case End(measured):
                    qubits = [qubit for qubit, _ in measured]
                    if qubits:
                        index = backend.sample(state.amps, np.array([draw(here)]), control)
                        bits = gather_bits(index, qubits)
                        for k, (_, clbit) in enumerate(measured):
                            clbits[clbit] = int(bits[0] >> k & 1)
                    return _pack(clbits)
                case MeasureEnd(targets, bits_written, following):
                    values = _measure(backend, state, targets, here, draw, control)
                    for clbit, value in zip(bits_written, values, strict=True):
                        clbits[clbit] = value
                case ResetEnd(targets, following):
                    values = _measure(backend, state, targets, here, draw, control)
                    _flip(backend, state, [q for q, value in zip(targets, values, strict=True) if value])
                case Jump(following):
                    pass
                case Branch(condition, then, otherwise):
                    following = then if classical.evaluate(condition, clbits) else otherwise
                case Loop(condition, body, after, limit):
                    again = classical.evaluate(condition, clbits)
                    rounds[here] = rounds[here] + 1 if again else 0
                    if rounds[here] > limit:
                        raise InterruptedRunError(expected("rounds of a while loop", f"at most {limit}", "more"))
                    following = body if again else after
                case ChannelEnd(channel, _):
                    kind = "unitary mixture" if coefficients.channels[channel].probabilities else "Kraus channel"
                    raise UnsupportedError(expected("operation", "unitary, measure, reset, control flow", kind))
            here = following


def _run_segment(plan: Plan, index: int, coefficients: Coefficients, state: StateVector, control: RunControl) -> None:
    for stage in plan.segments[index].stages:
        state.backend.run_stage(plan, stage, coefficients, state.amps, control)


def _measure(
    backend: Backend, state: StateVector, targets: Sequence[int], site: int, draw: _Draw, control: RunControl
) -> list[int]:
    """Measure and collapse; one draw per group of qubits. An outcome of probability zero is never drawn."""
    values: list[int] = []
    for start in range(0, len(targets), _GROUP):
        group = targets[start : start + _GROUP]
        distribution = backend.probabilities(state.amps, group, control)[0]
        cumulative = np.cumsum(distribution)
        possible = np.flatnonzero(distribution)
        place = int(np.searchsorted(cumulative, draw(site) * cumulative[-1], side="right"))
        nearest = min(int(np.searchsorted(possible, place)), len(possible) - 1)
        outcome = int(possible[nearest])
        backend.collapse(state.amps, group, outcome, float(distribution[outcome]))
        values += [outcome >> k & 1 for k in range(len(group))]
    return values


def _flip(backend: Backend, state: StateVector, qubits: Sequence[int]) -> None:
    """Move each qubit found in |1⟩ to |0⟩: the amplitudes with bit 0 are zero, so the halves are exchanged."""
    for qubit in qubits:
        halves = state.amps.reshape(-1, 2, 2**qubit)
        halves[:, 0], halves[:, 1] = halves[:, 1], 0


def _no_bits(num_shots: int, num_clbits: int) -> Words:
    return np.zeros((num_shots, max(1, -(-num_clbits // 64))), dtype=np.uint64)


def _pack(clbits: Sequence[int]) -> Words:
    words = _no_bits(1, len(clbits))
    for bit, value in enumerate(clbits):
        words[0, bit // 64] |= np.uint64(value) << np.uint64(bit % 64)
    return words


@contextmanager
def _poisoning(state: StateVector) -> Iterator[None]:
    """Poison the state when what runs inside does not finish."""
    try:
        yield
    except BaseException as error:
        state.poison(f"a run stopped by {type(error).__name__}")
        raise
