"""Runs a Plan: straight-line plans for a whole batch at once, all others shot by shot over their segments.

:func:`run_shot` is the definition of a dynamic run; :mod:`qsim_core.branching` runs many shots at once, with equal results.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from . import classical
from .errors import InterruptedRunError, NotUnitaryError, ParameterError, UnsupportedError, expected
from .kernels.contract import SHOT_CHUNK, Backend, check_sampled_norms, spread_bits
from .kernels.control import RunControl
from .mixtures import apply_choice, mixture_weights
from .plan import AssignEnd, Branch, ChannelEnd, Coefficients, End, ExpectEnd, Jump, Loop, MeasureEnd, Plan, ResetEnd
from .random import RandomSource
from .resources import check_bytes
from .state import StateVector
from .types import Amps, FloatArray, IndexArray

__all__ = [
    "GROUP",
    "Execution",
    "Words",
    "count_rows",
    "count_shots",
    "execute",
    "merged",
    "run_shot",
    "sample_rows",
    "sample_shots",
]

#: Measured bits of all shots: (shots, ceil(num_clbits / 64)) unsigned words, bit c%64 of word c//64 is classical bit c.
Words = npt.NDArray[np.uint64]

#: A measurement of more qubits than this is done in groups, so that its distribution stays small.
GROUP = 12
_Draw: TypeAlias = Callable[[int], float]
_ROW = np.zeros(1, dtype=np.int64)  # the only row of a distribution


def execute(
    plan: Plan,
    coefficients: Coefficients,
    state: StateVector,
    control: RunControl | None = None,
    *,
    to_sample: bool = False,
) -> FloatArray | None:
    """Run a straight-line plan on all batch elements of ``state`` in place.

    With ``to_sample`` backends that can leave behind what drawing shots of its measurements would read the state for: the
    ``weights`` of :func:`sample_shots` and :func:`count_shots`, good for as long as the state stays as it is.

    Raises:
        UnsupportedError: for a plan that measures, resets or branches before its end (see :func:`run_shot`).
        InterruptedRunError, KeyboardInterrupt: the state is then poisoned.
    """
    return Execution(plan, state.backend)(coefficients, state, control or RunControl(), to_sample)


class Execution:
    """A straight-line plan on one backend: looked at once, to be called again and again.

    Raises:
        UnsupportedError: for a plan that measures, resets or branches before its end.
    """

    __slots__ = ("_plan", "_runs")

    def __init__(self, plan: Plan, backend: Backend) -> None:
        if not plan.straight_line:
            found = "one with measurements or branches in it"
            raise UnsupportedError(expected("plan to execute", "straight-line", found))
        segment = plan.segments[plan.entry]
        seen = plan.on_register(segment)
        self._runs = [backend.repeated(seen, stage) for stage in segment.stages]
        self._plan = plan

    def __call__(
        self, coefficients: Coefficients, state: StateVector, control: RunControl, to_sample: bool = False
    ) -> FloatArray | None:
        """Run on all batch elements of ``state`` in place, as :func:`execute` does; one that does not finish poisons it."""
        rows = len(coefficients.values)
        if rows != 1 and rows != state.batch:
            raise ParameterError(expected("rows of coefficients", f"1 or {state.batch}", rows))
        weigh = to_sample and len({qubit for qubit, _ in _measured(self._plan)}) > GROUP
        runs, weights = self._runs, None
        from_zero, amps = state.handed_over()
        try:
            for run in runs:
                weights = run(coefficients, amps, control, from_zero, weigh and run is runs[-1])
                from_zero = False
        except BaseException as error:
            state.poison(_stopped_by(type(error)))
            raise
        return weights


def sample_shots(
    plan: Plan,
    state: StateVector,
    num_shots: int,
    source: RandomSource,
    control: RunControl | None = None,
    weights: FloatArray | None = None,
) -> Words:
    """Sample the measurements at the end of a straight-line plan from its final state (a single batch element).

    Shots are independent and in order: the first k of them are those of a run of k shots. At most 2^22 are drawn at a
    time: beside the result, 8 bytes for every 64 classical bits of a shot, that takes 113 MiB whatever their number, and words of
    a part where qubits are not all measured into the bits of their numbers. ``weights``: what :func:`execute` left, if it did.

    Raises:
        MemoryBudgetError: if there is no room for the samples.
    """
    check_bytes(8 * num_shots * _num_words(plan.num_clbits), f"{num_shots} packed samples", "Use outputs=['counts'].")
    measured = _measured(plan)
    words = no_bits(0 if num_shots <= SHOT_CHUNK else num_shots, plan.num_clbits)
    for first in range(0, num_shots, SHOT_CHUNK):
        last = min(first + SHOT_CHUNK, num_shots)
        uniforms = source.uniforms(plan.entry, 0, first, last - first, 1 if control is None else control.threads)
        index = sample_end(state.backend, state.amps, measured, uniforms[None], control, weights)
        part = _words(plan, measured, index[0])
        if last - first == num_shots:
            return part
        words[first:last] = part
    return words


def sample_rows(
    plan: Plan, state: StateVector, num_shots: int, source: RandomSource, control: RunControl | None = None
) -> Words:
    """Sample every batch element, shape (B, shots, W): row b as :func:`sample_shots` with element ``source.batch`` + b.

    Many rows are drawn at once, 2^22 shots at most.
    """
    measured, control = _measured(plan), control or RunControl()
    if num_shots > SHOT_CHUNK:
        sources = [replace(source, batch=source.batch + b) for b in range(state.batch)]
        return np.stack([sample_shots(plan, state.row(b), num_shots, one, control) for b, one in enumerate(sources)])
    words = np.empty((state.batch, num_shots, _num_words(plan.num_clbits)), dtype=np.uint64)
    together = max(1, SHOT_CHUNK // num_shots)
    for first in range(0, state.batch, together):
        amps = state.amps[first : first + together]
        numbers = replace(source, batch=source.batch + first).uniforms_of_rows(
            plan.entry, num_shots, len(amps), control.threads
        )
        index = sample_end(state.backend, amps, measured, numbers, control)
        words[first : first + together] = _words(plan, measured, index.reshape(-1)).reshape(*index.shape, -1)
    return words


def count_rows(
    plan: Plan,
    state: StateVector,
    num_shots: int,
    source: RandomSource,
    control: RunControl | None = None,
    weights: FloatArray | None = None,
) -> list[tuple[Words, IndexArray]]:
    """Return for every batch element the different bits seen in so many shots, ascending, (U, W), and how often, (U,).

    Counts have the distribution that those of :func:`sample_shots` have, a multinomial one, but are drawn as such: the
    list of shots is never made, and they are others than those of the samples of the same source. Time and memory go
    with the different outcomes: 16 bytes for each, and where they have to be sorted 32 more.

    Raises:
        MemoryBudgetError: if there is no room for the outcomes.
    """
    measured, backend, control = _measured(plan), state.backend, control or RunControl()
    qubits, as_is = sorted({qubit for qubit, _ in measured}), _as_is(plan, measured)
    most = state.batch * min(num_shots, state.amps.shape[1] if len(qubits) > GROUP else 2 ** len(qubits))
    check_bytes((16 if as_is else 48) * most, f"counts of {num_shots} shots", "Take fewer shots.")
    if len(qubits) > GROUP:
        starts, outcomes, counts = backend.sample_counts(state.amps, num_shots, source, plan.entry, control, weights)
    else:
        distribution = backend.probabilities(state.amps, qubits, control)
        check_sampled_norms(distribution.sum(axis=1))
        table = source.multinomial(plan.entry, distribution, num_shots)
        rows, places = np.nonzero(table)
        starts = np.searchsorted(rows, np.arange(state.batch + 1))
        outcomes, counts = spread_bits(places, qubits), table[rows, places]
    found = []
    for first, last in itertools.pairwise(starts.tolist()):
        words = _words(plan, measured, outcomes[first:last])
        found.append((words, counts[first:last]) if as_is else merged(words, counts[first:last]))
    return found


def count_shots(
    plan: Plan,
    state: StateVector,
    num_shots: int,
    source: RandomSource,
    control: RunControl | None = None,
    weights: FloatArray | None = None,
) -> tuple[Words, IndexArray]:
    """Return :func:`count_rows` of a single batch element."""
    [found] = count_rows(plan, state, num_shots, source, control, weights)
    return found


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
    Expectation values on the way are not read.

    Raises:
        UnsupportedError: for a plan with segments on fewer qubits than all; make it with ``shrink=False``.
    """
    control = control or RunControl()
    if any(len(segment.register) < plan.num_qubits for segment in plan.segments):
        raise UnsupportedError(expected("plan of a single shot", "every segment on all qubits", "one on fewer"))
    backend, clbits = state.backend, [0] * plan.num_clbits
    visits: Counter[int] = Counter()
    rounds: Counter[int] = Counter()

    def draw(site: int) -> float:
        visits[site] += 1
        return float(source.uniforms(site, visits[site] - 1, shot, 1)[0])

    here = plan.entry
    with poisoning(state):
        while True:
            control.poll()
            run_segment(plan, here, coefficients, backend, state.amps, control)
            match plan.segments[here].end:
                case End(measured):
                    words = pack(clbits)
                    if measured:
                        uniforms = np.array([[draw(here)]])
                        write_measured(words, measured, sample_end(backend, state.amps, measured, uniforms, control)[0])
                    return words
                case MeasureEnd(targets, bits_written, following, readout):
                    visit = visits[here]
                    values = _measure(backend, state.amps, targets, here, draw, control)
                    if readout >= 0:
                        for k, errors in enumerate(coefficients.readouts[readout]):
                            values[k] ^= int(
                                source.uniforms(readout_site(here, k), visit, shot, 1)[0] < errors[values[k]]
                            )
                    for clbit, value in zip(bits_written, values, strict=True):
                        clbits[clbit] = value
                case ResetEnd(targets, following):
                    values = _measure(backend, state.amps, targets, here, draw, control)
                    backend.flip_down(state.amps, [q for q, value in zip(targets, values, strict=True) if value])
                case AssignEnd(bits_written, value, following):
                    number = classical.evaluate(value, clbits)
                    for k, clbit in enumerate(bits_written):
                        clbits[clbit] = number >> k & 1
                case ExpectEnd(_, following):
                    pass
                case Jump(following, left):
                    for loop in left:
                        rounds[loop] = 0
                case Branch(condition, then, otherwise):
                    following = then if classical.evaluate(condition, clbits) else otherwise
                case Loop(condition, body, after, limit):
                    again = classical.evaluate(condition, clbits)
                    rounds[here] = rounds[here] + 1 if again else 0
                    if rounds[here] > limit:
                        raise InterruptedRunError(expected("rounds of a while loop", f"at most {limit}", "more"))
                    following = body if again else after
                case ChannelEnd(channel, following):
                    mixture = coefficients.channels[channel]
                    (choice,) = pick(mixture_weights(mixture)[None], _ROW, np.array([draw(here)]))
                    apply_choice(mixture, mixture.targets, int(choice), backend, state.amps, control)
            here = following


# --- what a dynamic run is made of, one shot at a time or many ----------------------------------------------------------


def run_segment(
    plan: Plan,
    index: int,
    coefficients: Coefficients,
    backend: Backend,
    amps: Amps,
    control: RunControl,
) -> None:
    """Run the straight-line part of a segment."""
    segment = plan.segments[index]
    seen = plan.on_register(segment)
    for stage in segment.stages:
        backend.run_stage(seen, stage, coefficients, amps, control)


def pick(weights: FloatArray, rows: IndexArray, uniforms: FloatArray) -> IndexArray:
    """Return one outcome per uniform number in [0, 1) by inverting distribution ``weights[rows[s]]``, up to a factor.

    Where there is one distribution, ``rows`` is not read.
    Never one of weight zero: u·total < total in floating point too, and the first cumulative weight above it is taken.

    >>> weights = np.array([[0.0, 1.0, 0.0, 3.0]])
    >>> pick(weights, np.zeros(4, int), np.array([0.0, 0.2, 0.25, 0.99])).tolist()
    [1, 1, 3, 3]
    """
    cumulative = np.cumsum(weights, axis=1)
    total = cumulative[:, -1]
    if not ((total > 0) & (total < np.inf)).all():
        raise NotUnitaryError(expected("sum of probabilities", "a positive number", total.min()))
    single = len(weights) == 1
    wanted = uniforms * (total[0] if single else total[rows])
    if weights.shape[1] == 2:
        return (wanted >= (cumulative[0, 0] if single else cumulative[rows, 0])).astype(np.int64)
    if single:
        return np.searchsorted(cumulative[0], wanted, side="right")
    outcome = np.zeros(len(rows), dtype=np.int64)
    step = 1 << (weights.shape[1] - 1).bit_length()
    padded = np.full((len(weights), step), np.inf)
    padded[:, : weights.shape[1]] = cumulative
    while step > 1:  # binary search: how many are at most what is wanted
        step //= 2
        outcome += step * (padded[rows, outcome + (step - 1)] <= wanted)
    return outcome


def sample_end(
    backend: Backend,
    amps: Amps,
    measured: Sequence[tuple[int, int]],
    uniforms: FloatArray,
    control: RunControl | None = None,
    weights: FloatArray | None = None,
) -> IndexArray:
    """Return one basis state per number, (B, S) as the numbers, of which only the measured qubits count.

    Few qubits are drawn from their own distribution, so that the others cost one read of the state and no more.
    """
    control = control or RunControl()
    qubits = sorted({qubit for qubit, _ in measured})
    if len(qubits) > GROUP:
        return backend.sample(amps, uniforms, control, weights)
    rows = np.repeat(np.arange(len(amps)), uniforms.shape[1]) if len(amps) > 1 else _ROW
    outcomes = pick(backend.probabilities(amps, qubits, control), rows, uniforms.reshape(-1)).reshape(uniforms.shape)
    if qubits == list(range(len(qubits))):
        return outcomes
    return spread_bits(np.arange(2 ** len(qubits)), qubits)[outcomes]


def _measured(plan: Plan) -> tuple[tuple[int, int], ...]:
    end = plan.segments[plan.entry].end
    assert isinstance(end, End)
    return tuple(end.measured)


def _as_is(plan: Plan, measured: Sequence[tuple[int, int]]) -> bool:
    """Return whether every qubit is measured into the bit of its number, so that a basis state is its own word."""
    return plan.num_clbits <= 64 and sorted(measured) == [(qubit, qubit) for qubit in range(plan.num_qubits)]


def _words(plan: Plan, measured: Sequence[tuple[int, int]], index: IndexArray) -> Words:
    """Return the words of measured basis states."""
    if _as_is(plan, measured):
        return index.view(np.uint64)[:, None]
    words = no_bits(len(index), plan.num_clbits)
    write_measured(words, measured, index)
    return words


def merged(words: Words, counts: IndexArray) -> tuple[Words, IndexArray]:
    """Return different rows in ascending order (last word first) and the sums of their counts."""
    order = np.lexsort(words.T) if words.shape[1] > 1 else np.argsort(words[:, 0])
    words, counts = words[order], counts[order]
    new = np.ones(len(words), dtype=bool)
    new[1:] = (words[1:] != words[:-1]).any(axis=1)
    starts = np.flatnonzero(new)
    return words[starts], np.add.reduceat(counts, starts) if len(starts) else counts


def readout_site(segment: int, target: int) -> int:
    """Return where the numbers of the readout error of a target are drawn: beside those of all segments."""
    return segment | (target + 1) << 32


def no_bits(num_shots: int, num_clbits: int) -> Words:
    """Return the words of shots whose classical bits are all 0."""
    return np.zeros((num_shots, _num_words(num_clbits)), dtype=np.uint64)


def _num_words(num_clbits: int) -> int:
    return max(1, -(-num_clbits // 64))


def pack(clbits: Sequence[int]) -> Words:
    """Return the classical bits of one shot as words, shape (1, W)."""
    octets = np.packbits(np.array(clbits, dtype=np.uint8), bitorder="little")
    padded = np.zeros((1, 8 * max(1, -(-len(clbits) // 64))), dtype=np.uint8)
    padded[0, : len(octets)] = octets
    return padded.view("<u8").astype(np.uint64)


def write_measured(words: Words, measured: Sequence[tuple[int, int]], index: IndexArray) -> None:
    """Write the bits of basis states into words: a later measurement into the same bit wins.

    Neighbouring qubits that go to neighbouring bits move together.
    """
    source = sorted({clbit: qubit for qubit, clbit in measured}.items())
    runs: list[list[int]] = []  # first qubit, first clbit, length
    for clbit, qubit in source:
        if runs and qubit == runs[-1][0] + runs[-1][2] and clbit == runs[-1][1] + runs[-1][2] and clbit % 64:
            runs[-1][2] += 1
        else:
            runs.append([qubit, clbit, 1])
    bits = index.view(np.uint64)
    for qubit, clbit, length in runs:
        word, place, mask = words[:, clbit // 64], np.uint64(clbit % 64), np.uint64(2**length - 1)
        word &= ~(mask << place)
        word |= (bits >> np.uint64(qubit) & mask) << place


def _measure(
    backend: Backend, amps: Amps, targets: Sequence[int], site: int, draw: _Draw, control: RunControl
) -> list[int]:
    """Measure and collapse; one draw per group of qubits."""
    values: list[int] = []
    for start in range(0, len(targets), GROUP):
        group = targets[start : start + GROUP]
        distribution = backend.probabilities(amps, group, control)
        outcome = int(pick(distribution, _ROW, np.array([draw(site)]))[0])
        backend.collapse(amps, group, outcome, float(distribution[0, outcome]))
        values += [outcome >> k & 1 for k in range(len(group))]
    return values


class poisoning:
    """Poison the state when what runs inside does not finish."""

    __slots__ = ("_state",)

    def __init__(self, state: StateVector) -> None:
        self._state = state

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._state.poison(_stopped_by(kind))


def _stopped_by(kind: type[BaseException]) -> str:
    return f"a run stopped by {kind.__name__}"
