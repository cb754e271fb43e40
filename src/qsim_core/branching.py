"""Shot branching: many shots of a dynamic plan, each distinct history simulated once.

Shots whose measurements, resets and channels have gone the same way so far are in the same state: they travel as one
*branch*. Where their numbers tell them apart the branch forks, once per outcome that some shot drew. The numbers are those
of :func:`qsim_core.executor.run_shot`, by position, so the results are its results, bit for bit.

At a fork the smaller groups go first, each on a copy of the state, and the largest goes last, in the state itself. A branch
on a copy has at most half the shots of its parent, so at most 1 + log2(shots) states exist at once, however deep the plan.
Where memory for another copy is missing, the smaller groups wait and are run again from the start.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from . import classical, validation
from .errors import InterruptedRunError, MemoryBudgetError, expected
from .executor import (
    GROUP,
    Words,
    flip,
    no_bits,
    pack,
    pick,
    poisoning,
    run_segment,
    sample_end,
    write_measured,
)
from .kernels.control import RunControl
from .mixtures import apply_choice, mixture_weights
from .operations import Channel
from .plan import Branch, ChannelEnd, Coefficients, End, Jump, Loop, MeasureEnd, Plan, ResetEnd
from .random import RandomSource
from .resources import check_memory
from .state import StateVector
from .types import Amps, FloatArray, IndexArray

__all__ = ["Branched", "run_shots"]

#: Bytes of random numbers kept for branches that draw at the same place.
_KEPT_BYTES = 64 * 2**20
#: What it costs to compute the numbers of some shots by themselves, per call and per shot; one of all numbers costs 1.
_CALL_COST, _SHOT_COST = 1500, 8


@dataclass(frozen=True, slots=True, eq=False)
class Branched:
    """What all shots gave, and what it took: distinct histories, states held at once, groups run again from the start."""

    words: Words
    histories: int
    states: int
    reruns: int


def run_shots(
    plan: Plan,
    coefficients: Coefficients,
    state: StateVector,
    prepare: Callable[[StateVector], None],
    num_shots: int,
    source: RandomSource,
    control: RunControl | None = None,
    *,
    max_states: int | None = None,
    read: Callable[[StateVector, int], None] | None = None,
) -> Branched:
    """Run shots 0 to ``num_shots`` - 1 of any plan on a single batch element.

    Args:
        plan: straight-line or not.
        coefficients: its values, one row.
        state: holds the first branch; what it contains is overwritten. After a single shot it is that shot's final state.
        prepare: loads the initial state; called once for every run from the start.
        num_shots: how many shots.
        source: of the random numbers.
        control: watched between and inside segments; told the fraction of shots done.
        max_states: states to hold at once, ``state`` included; None: as many as needed and memory allows.
        read: called at the end of every history with its state and its number of shots.

    Raises:
        UnsupportedError: for channels other than mixtures of unitaries, before anything runs.
        InterruptedRunError, KeyboardInterrupt: the state is then poisoned.
    """
    if max_states is not None:
        validation.check_count("max_states", max_states, least=1)
    for channel in coefficients.channels:
        mixture_weights(channel)
    tree = _Tree(plan, coefficients, state, _Numbers(source, num_shots), control or RunControl(), max_states, read)
    with poisoning(state):
        while tree.waiting:
            shots = tree.waiting.pop()
            tree.reruns += 1
            prepare(state)
            tree.run(shots)
    return Branched(tree.words, tree.histories, tree.made, tree.reruns - 1)


@dataclass(slots=True)
class _Branch:
    """Shots that are in one state, at one place of the plan, with the same classical bits."""

    here: int
    measured: int  # targets of the end of segment ``here`` that are done
    amps: Amps
    shots: IndexArray  # ascending
    clbits: list[int]
    visits: dict[int, int]
    rounds: dict[int, int]

    def copy(self, amps: Amps) -> _Branch:
        amps[...] = self.amps
        return _Branch(self.here, self.measured, amps, self.shots, [*self.clbits], {**self.visits}, {**self.rounds})


@dataclass(slots=True)
class _Fork:
    """A branch before an outcome, the groups of its shots by outcome, largest last, and how to take an outcome."""

    branch: _Branch
    groups: list[tuple[int, IndexArray]]
    take: Callable[[_Branch, int], None]


class _Tree:
    """Walks all histories, depth first."""

    def __init__(
        self,
        plan: Plan,
        coefficients: Coefficients,
        state: StateVector,
        numbers: _Numbers,
        control: RunControl,
        max_states: int | None,
        read: Callable[[StateVector, int], None] | None,
    ) -> None:
        self.plan, self.coefficients, self.backend = plan, coefficients, state.backend
        self.numbers, self.read = numbers, read
        self.outer = control
        self.control = RunControl(control.threads, control.cancel, control.deadline)  # progress is told per history
        self.words = no_bits(numbers.num_shots, plan.num_clbits)
        self.waiting = [np.arange(numbers.num_shots)]
        self.root, self.precision = state.amps, state.precision
        self.spares: list[Amps] = []
        self.made, self.max_states = 1, max_states
        self.histories = self.reruns = self.done = 0

    def run(self, shots: IndexArray) -> None:
        """Run a group of shots from the start to all its ends, or leave parts of it waiting."""
        entry = self.plan.entry
        first = _Branch(entry, 0, self.root, shots, [0] * self.plan.num_clbits, {}, {})
        self._arrive(first, entry)
        branch: _Branch | None = first
        forks: list[_Fork] = []
        while branch is not None:
            fork = self._walk(branch)
            if fork is not None:
                forks.append(fork)
            elif branch.amps is not self.root:
                self.spares.append(branch.amps)
            branch = self._next(forks)

    def _next(self, forks: list[_Fork]) -> _Branch | None:
        """Return the branch of the next outcome of the innermost fork."""
        if not forks:
            return None
        fork = forks[-1]
        amps = self._spare() if len(fork.groups) > 1 else None
        if amps is None:
            self.waiting += [shots for _, shots in fork.groups[:-1]]
            del fork.groups[:-1]
            branch = forks.pop().branch
        else:
            branch = fork.branch.copy(amps)
        outcome, branch.shots = fork.groups.pop(0)
        fork.take(branch, outcome)
        return branch

    def _spare(self) -> Amps | None:
        """Return memory for another state, or None when there is none."""
        if self.spares:
            return self.spares.pop()
        if self.max_states is not None and self.made >= self.max_states:
            return None
        try:
            check_memory(self.plan.num_qubits, 1, self.precision, what="branch")
            amps = self.backend.allocate(1, self.plan.num_qubits, self.precision)
        except MemoryBudgetError:
            self.max_states = self.made
            return None
        self.made += 1
        return amps

    def _arrive(self, branch: _Branch, segment: int) -> None:
        self.control.poll()
        branch.here, branch.measured = segment, 0
        run_segment(self.plan, segment, self.coefficients, self.backend, branch.amps, self.control)

    def _walk(self, branch: _Branch) -> _Fork | None:
        """Run a branch until its shots part, or to its end."""
        while True:
            here = branch.here
            match self.plan.segments[here].end:
                case End(measured):
                    self._end(branch, measured)
                    return None
                case MeasureEnd(targets, _, following) | ResetEnd(targets, following):
                    if branch.measured < len(targets):
                        fork = self._measure(branch, targets[branch.measured : branch.measured + GROUP])
                        if len(fork.groups) > 1:
                            return fork
                        fork.take(branch, fork.groups[0][0])
                        continue
                case ChannelEnd(channel, following):
                    if not branch.measured:
                        fork = self._channel(branch, self.coefficients.channels[channel])
                        if len(fork.groups) > 1:
                            return fork
                        fork.take(branch, fork.groups[0][0])
                case Jump(following):
                    pass
                case Branch(condition, then, otherwise):
                    following = then if classical.evaluate(condition, branch.clbits) else otherwise
                case Loop(condition, body, after, limit):
                    again = classical.evaluate(condition, branch.clbits)
                    branch.rounds[here] = branch.rounds.get(here, 0) + 1 if again else 0
                    if branch.rounds[here] > limit:
                        raise InterruptedRunError(expected("rounds of a while loop", f"at most {limit}", "more"))
                    following = body if again else after
            self._arrive(branch, following)

    def _measure(self, branch: _Branch, qubits: tuple[int, ...]) -> _Fork:
        """Return the outcomes of measuring a few qubits at the end of the segment of a branch."""
        distribution = self.backend.probabilities(branch.amps, qubits, self.control)[0]
        return _Fork(branch, self._groups(branch, distribution), partial(self._collapse, qubits, distribution))

    def _collapse(self, qubits: tuple[int, ...], distribution: FloatArray, branch: _Branch, outcome: int) -> None:
        self.backend.collapse(branch.amps, qubits, outcome, float(distribution[outcome]))
        end = self.plan.segments[branch.here].end
        if isinstance(end, MeasureEnd):
            for k in range(len(qubits)):
                branch.clbits[end.clbits[branch.measured + k]] = outcome >> k & 1
        else:
            flip(branch.amps, [qubit for k, qubit in enumerate(qubits) if outcome >> k & 1])
        branch.measured += len(qubits)

    def _channel(self, branch: _Branch, channel: Channel) -> _Fork:
        """Return which unitaries of a mixture the shots of a branch drew."""
        return _Fork(branch, self._groups(branch, mixture_weights(channel)), partial(self._choose, channel))

    def _choose(self, channel: Channel, branch: _Branch, choice: int) -> None:
        apply_choice(channel, choice, self.backend, branch.amps, self.control)
        branch.measured = 1

    def _groups(self, branch: _Branch, weights: FloatArray) -> list[tuple[int, IndexArray]]:
        """Return (outcome, its shots) for every outcome that was drawn, most shots last."""
        visit = branch.visits.get(branch.here, 0)
        branch.visits[branch.here] = visit + 1
        if np.count_nonzero(weights) == 1:
            return [(int(weights.argmax()), branch.shots)]
        drawn = pick(weights, self.numbers.at(branch.here, visit, branch.shots))
        if len(drawn) == 1:
            return [(int(drawn[0]), branch.shots)]
        order = np.argsort(
            drawn.astype(np.min_scalar_type(len(weights))), kind="stable"
        )  # few bits: sorted in O(shots)
        outcomes = drawn[order]
        first = np.flatnonzero(np.diff(outcomes, prepend=-1))
        groups = zip(outcomes[first].tolist(), np.split(branch.shots[order], first[1:]), strict=True)
        return sorted(groups, key=lambda group: len(group[1]))

    def _end(self, branch: _Branch, measured: tuple[tuple[int, int], ...]) -> None:
        shots = branch.shots
        rows = np.repeat(pack(branch.clbits), len(shots), axis=0)
        if measured:
            uniforms = self.numbers.at(branch.here, branch.visits.get(branch.here, 0), shots)
            write_measured(rows, measured, sample_end(self.backend, branch.amps, measured, uniforms, self.control))
        self.words[shots] = rows
        self.histories += 1
        self.done += len(shots)
        if self.read is not None:
            self.read(StateVector(branch.amps, self.backend), len(shots))
        self.outer.report(self.done / len(self.words))


class _Numbers:
    """The random numbers of groups of shots.

    Where groups are large, or many have asked at one place, those of all shots are generated and kept; else a group's own
    are computed. What this costs is at most twice the cheaper of the two.
    """

    def __init__(self, source: RandomSource, num_shots: int) -> None:
        self.source, self.num_shots = source, num_shots
        self.kept: OrderedDict[tuple[int, int], FloatArray] = OrderedDict()
        self.spent: dict[tuple[int, int], int] = {}
        self.capacity = max(1, _KEPT_BYTES // (8 * num_shots))

    def at(self, site: int, visit: int, shots: IndexArray) -> FloatArray:
        """Return the numbers of some shots, ascending, at one visit of a site."""
        place = site, visit
        if place not in self.kept:
            spent = self.spent.get(place, 0) + _CALL_COST + _SHOT_COST * len(shots)
            if spent < self.num_shots:
                self.spent[place] = spent
                return self.source.uniforms_at(site, visit, shots)
            if len(self.kept) >= self.capacity:
                self.kept.popitem(last=False)
            self.kept[place] = self.source.uniforms(site, visit, 0, self.num_shots)
            self.spent.pop(place, None)
        self.kept.move_to_end(place)
        uniforms = self.kept[place]
        return uniforms if len(shots) == self.num_shots else uniforms[shots]
