"""Shot branching: many shots of a dynamic plan, every distinct history simulated once, histories side by side in batches.

Shots whose measurements, resets and channels have gone the same way so far are in the same state: one *row* of a batch. All
rows of a batch are at the same place of the plan and run its stages together. A measured qubit is a basis state, so it
leaves the amplitudes and becomes a bit of the row: both outcomes together take the memory, and the time, of the state
before. A qubit used again comes back. The random numbers are those of :func:`qsim_core.executor.run_shot`, by position.

What rows part into is only noted (:mod:`qsim_core.selection`): amplitudes are copied when their batch goes on, once, onto
the qubits of its next segment, and the last of the histories that part takes the memory of the state before.

Batches wait at places of the plan. The one furthest behind goes first, so that rows that parted at a condition are one
batch again where its arms meet. Where qubits coming back make a batch large, its rows go on in portions, those with fewer
shots first, one portion to its end before the next: a portion has at most half of the shots, so portions nest at most
log2(shots) deep.

Where memory is missing even so, the largest batches that wait are given up. When all others are done, their shots run as
*trajectories*: from the start, in batches that never hold more histories than fit. Shots whose histories are too many
for a batch wait, without a state, for a later one.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from . import classical, validation
from .classical import Expression
from .errors import InterruptedRunError, expected
from .executor import GROUP, Words, no_bits, pick, readout_site
from .kernels.contract import Backend, Regrouping
from .kernels.control import RunControl
from .liveness import joining, live_bits, reachable
from .mixtures import apply_choice, identity_of, is_identity, mixture_weights
from .operations import Channel
from .plan import AssignEnd, Branch, ChannelEnd, Coefficients, End, ExpectEnd, Jump, Loop, MeasureEnd, Plan, ResetEnd
from .presampling import CALL_COST, SHOT_COST, Presampled
from .random import RandomSource
from .rows import Rows
from .selection import Selection
from .stretches import Stretches
from .types import Amps, FloatArray, IndexArray

__all__ = ["Branched", "Reading", "run_shots"]

#: Amplitudes of a batch from which on it goes in portions: they stay in the last cache.
_PORTION = 2**20
#: Rows with so many amplitudes together are searched for equal ones.
_COMPARED = 2**12
#: Bytes of random numbers kept for batches that draw at the same place.
_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """An expectation value read under way: ``values[h]`` in state h, and the state each shot was in, -1 if it did not come by.

    Of a shot that comes by several times it is the last one.
    """

    label: str
    values: FloatArray
    state: npt.NDArray[np.int32]

    @property
    def per_shot(self) -> FloatArray:
        """The values of the shots that came by, in order."""
        return self.values[self.state[self.state >= 0]]

    @property
    def mean(self) -> float:
        """Average over the shots that came by; NaN if none did."""
        values = self.per_shot
        return float(values.mean()) if len(values) else math.nan

    @property
    def standard_error(self) -> float:
        """Standard error of the mean: standard deviation over the root of the number of shots, s/√N; NaN without shots."""
        values = self.per_shot
        return float(values.std() / math.sqrt(len(values))) if len(values) else math.nan


@dataclass(frozen=True, slots=True, eq=False)
class Branched:
    """What all shots gave, and what it took.

    ``branches`` states reached an end, ``amplitudes`` were held at most. ``trajectories`` shots had no room as branches and ran
    again from the start, in ``reruns`` batches of at most ``side_by_side`` histories.
    """

    words: Words
    readings: tuple[Reading, ...]
    branches: int
    amplitudes: int
    trajectories: int
    reruns: int
    side_by_side: int

    @property
    def provenance(self) -> dict[str, Any]:
        """Who ran the shots and why, for results."""
        executor, why = "branches", "the states of all histories fit in memory"
        if self.trajectories:
            executor = "branches, then trajectories"
            why = f"{self.trajectories} shots had no room as branches: at most {self.side_by_side} histories at a time"
        facts = {"branches": self.branches, "amplitudes": self.amplitudes, "reruns": self.reruns}
        return {"executor": executor, "why": why, **facts}


def run_shots(
    plan: Plan,
    coefficients: Coefficients,
    backend: Backend,
    num_shots: int,
    source: RandomSource,
    control: RunControl | None = None,
    *,
    start: Amps | None = None,
    max_states: int | None = None,
    read: Callable[[Rows], None] | None = None,
) -> Branched:
    """Run shots 0 to ``num_shots`` - 1 of any plan.

    Args:
        plan: straight-line or not.
        coefficients: its values, one row.
        backend: runs it.
        num_shots: how many shots.
        source: of the random numbers.
        control: watched between and inside segments; told the fraction of shots done.
        start: amplitudes to start from, shape (1, 2^n), for a plan of an initial state that is given; else |0…0⟩.
        max_states: how many states of all qubits may be held at once; None: as many as fit in memory. What one history
            takes (:func:`qsim_core.liveness.least_amplitudes`) is used whatever this says.
        read: called with the states at the end, some rows at a time; their memory is used again when it returns.

    Raises:
        UnsupportedError: for channels other than mixtures of unitaries, before anything runs.
        InterruptedRunError, KeyboardInterrupt: when the run is stopped.
    """
    control = control or RunControl()
    if max_states is not None:
        validation.check_count("max_states", max_states, least=1)
    for channel in coefficients.channels:
        mixture_weights(channel)
    capacity = backend.memory_free() // plan.precision.bytes_per_amplitude
    if max_states is not None:
        capacity = min(capacity, max_states << plan.num_qubits)
    tree = _Tree(plan, coefficients, backend, _Numbers(source, num_shots, control.threads), control, capacity, read)
    tree.run(start)
    return Branched(
        tree.words, tree.readings(), tree.branches, tree.most, tree.given_up, tree.reruns, tree.side_by_side
    )


@dataclass(slots=True)
class _Batch:
    """Rows that are on their way to segment ``here``. Their bits: those that conditions read, then one for every qubit."""

    here: int
    selection: Selection
    bits: npt.NDArray[np.uint8]
    shots: IndexArray
    row: IndexArray
    visits: dict[int, int]  # draws so far, by segment, where there may be more
    rounds: dict[int, int]  # of the loops it is in
    depth: int = 0  # portions it is in
    onto: tuple[int, ...] | None = (
        None  # the register its rows are on, or to be moved onto, once it has come to a segment
    )
    path: tuple[int, ...] = ()  # segments there that it has come through and whose stages have not run on its rows yet
    ahead: IndexArray | None = None  # inside a chain of channels: the next error of every shot
    due: tuple[Channel, IndexArray] | None = None  # unitaries of a mixture that its rows have drawn

    @property
    def amps(self) -> Amps:
        """The amplitudes of a batch that is settled."""
        assert self.selection.is_on(self.register) and not self.path
        return self.selection.source

    @property
    def register(self) -> tuple[int, ...]:
        return self.selection.register if self.onto is None else self.onto

    @property
    def amplitudes(self) -> int:
        return len(self.bits) << len(self.register)

    def key(self) -> tuple[object, ...]:
        return self.here, sorted(self.visits.items()), sorted(self.rounds.items())


class _Tree:
    """Walks all histories."""

    def __init__(
        self,
        plan: Plan,
        coefficients: Coefficients,
        backend: Backend,
        numbers: _Numbers,
        control: RunControl,
        capacity: int,
        read: Callable[[Rows], None] | None,
    ) -> None:
        self.plan, self.coefficients, self.backend = plan, coefficients, backend
        self.numbers, self.read, self.capacity = numbers, read, capacity
        self.outer = control
        self.control = RunControl(control.threads, control.cancel, control.deadline)  # progress is told at the ends
        self.stretches = Stretches(plan, coefficients, backend)
        self.presampled = Presampled(plan, coefficients.channels, numbers.source, numbers.num_shots)
        self.words = no_bits(numbers.num_shots, plan.num_clbits)
        self.every = numbers.every
        self.waiting: list[_Batch] = []
        self.moving: list[_Batch] = []  # those that go on now
        self.again: list[IndexArray] = []  # shots that run as trajectories
        self.side_by_side = max(
            1, capacity >> plan.num_qubits + 1
        )  # of them: beside each state there is room for a copy
        ends = [segment.end for segment in plan.segments]
        self.reach, live = reachable(ends), live_bits(ends)
        self.column = {clbit: k for k, clbit in enumerate(sorted(frozenset().union(*live)))}
        self.stale = [[k for bit, k in self.column.items() if bit not in wanted] for wanted in live]
        observables = range(len(coefficients.observables))
        self.read_values: list[list[float]] = [[] for _ in observables]
        self.read_state = [np.full(numbers.num_shots, -1, dtype=np.int32) for _ in observables]
        self.spare: list[Amps] = []  # memory of batches that have come to their end
        self.branches = self.done = self.most = self.given_up = self.reruns = 0

    def run(self, start: Amps | None) -> None:
        """Run all shots."""
        self._run(start, self.every)
        self.given_up = sum(map(len, self.again))
        while self.again:
            self.reruns += 1
            self._run(start, self.again.pop())

    def _run(self, start: Amps | None, shots: IndexArray) -> None:
        """Run some shots from the start, as far as there is room for their histories; the others are to run again."""
        plan, backend = self.plan, self.backend
        if start is None:
            register: tuple[int, ...] = ()
            amps = backend.allocate(1, 0, plan.precision)
            amps[...] = 1
        else:
            register = tuple(range(plan.num_qubits))
            amps = backend.regroup(backend.adopt(start), Regrouping.of(np.zeros(1, np.int64)), self.control)
        bits = np.zeros((1, len(self.column) + plan.num_qubits), dtype=np.uint8)
        row = np.zeros(len(shots), np.int64)
        self.waiting = [_Batch(plan.entry, Selection(amps, register), bits, shots, row, {}, {})]
        while self.waiting:
            if self.reruns:
                self._thin()
            self._step(self._next())

    def _thin(self) -> None:
        """Keep as many trajectories as run side by side, those with most shots of the batch that has just parted."""
        excess = sum(len(batch.bits) for batch in self.waiting) - self.side_by_side
        if excess > 0:
            batch = self.waiting.pop()
            order = np.argsort(np.bincount(batch.row, minlength=len(batch.bits)), kind="stable")
            self.waiting.append(_part(batch, np.sort(order[excess:])))
            self.again.append(np.sort(batch.shots[np.isin(batch.row, order[:excess])]))

    def readings(self) -> tuple[Reading, ...]:
        """Return what was read under way."""
        labels = [label for label, _ in self.coefficients.observables]
        triples = zip(labels, self.read_values, self.read_state, strict=True)
        return tuple(Reading(label, np.array(values), state) for label, values, state in triples)

    # --- which batch goes on ------------------------------------------------------------------------------------

    def _next(self) -> _Batch:
        """Take the batch furthest behind in the innermost portion, joined with those at the same place; a part if large."""
        first = max(self.waiting, key=lambda batch: (batch.depth, batch.here))  # segments are numbered from the end
        key = first.key()
        same = [b for b in self.waiting if b.depth == first.depth and b.here == first.here and b.key() == key]
        same.sort(key=lambda batch: len(batch.shots))
        size = len(self.plan.segments[first.here].register)
        most = max(1, min(_PORTION, self.capacity // 4) >> size)
        rows = np.cumsum([len(batch.bits) for batch in same])
        fitting = max(1, int(np.searchsorted(rows, most, side="right")))
        taken = same[:fitting]
        self.waiting = [batch for batch in self.waiting if not any(batch is other for other in taken)]
        depth = first.depth + (fitting < len(same))
        if rows[0] > most:
            (batch,) = self.moving = taken
            self._catch_up(batch)
            order = np.argsort(np.bincount(batch.row, minlength=len(batch.bits)), kind="stable")
            portion = min(most, len(order) // 2)
            self.waiting.append(_part(batch, np.sort(order[portion:])))
            taken, depth = [_part(batch, np.sort(order[:portion]))], first.depth + 1
        self.moving = taken
        batch = self._arrived(taken)
        self.moving = [batch]
        batch.depth = depth
        return batch

    def _room(self, amplitudes: int) -> None:
        """Give up batches that wait, the largest first, until there is memory for more amplitudes."""
        held = self._held() + amplitudes
        while held > self.capacity and self.waiting:
            victim = max(range(len(self.waiting)), key=lambda k: self.waiting[k].selection.source.size)
            self.again.append(np.sort(self.waiting.pop(victim).shots))
            held = self._held() + amplitudes
        self.most = max(self.most, held)
        self._trim(held)

    def _trim(self, held: int) -> None:
        """Give spare memory back, so that never more is taken than has been held at once."""
        while self.spare and held + sum(memory.size for memory in self.spare) > self.most:
            self.spare.pop(0)

    def _held(self) -> int:
        """Return the amplitudes of all batches; those of rows of one array share it."""
        arrays = [_memory(batch.selection.source) for batch in (*self.moving, *self.waiting)]
        sources = {id(array): array.size for array in arrays}
        return sum(sources.values())

    def _onto(self, batch: _Batch, register: tuple[int, ...]) -> None:
        """Note that a batch goes on on a register; on the one it came to before, if that is another, it settles first."""
        if batch.register != register and (batch.onto is not None or batch.path):
            self._settle(batch)
        batch.onto = register

    def _catch_up(self, batch: _Batch) -> None:
        """Run the segments that a batch has come through: from here its rows do not go on together."""
        if batch.path:
            self._settle(batch)

    def _settle(self, batch: _Batch, read: Sequence[int] = ()) -> FloatArray:
        """Do what is due: move the rows, run the segments they have come through; return the distribution of qubits.

        ``read`` are places in the register; for none, the weights are ones. With segments to run it is one verb of the
        backend, which moves amplitudes and weighs outcomes while passes have them in cache.
        """
        chosen, register, values = batch.selection, batch.register, batch.bits[:, len(self.column) :]
        stay, amps, move, out, weights = chosen.register, chosen.source, None, None, None
        if not chosen.is_on(register):
            move = chosen.move(register, values)
            out = self._place_for(batch, move)
            if out is amps and not move.leaving:
                move = out = None
        if batch.path:
            amps, weights = self.stretches.run(batch.path, amps, self.control, move=move, out=out, read=read)
        elif move is not None:
            amps = self.backend.moved(amps, move, self.control, out)
        if weights is None and read:
            weights = self.backend.probabilities(amps, read, self.control)
        batch.bits[:, [len(self.column) + q for q in register if q not in stay]] = 0
        batch.selection, batch.onto, batch.path = Selection(amps, register), None, ()
        if amps is not chosen.source:
            self._release(chosen.source)
        return np.ones((len(amps), 1)) if weights is None else weights

    def _place_for(self, batch: _Batch, move: Regrouping) -> Amps | None:
        """Return memory for what a move gives: that of its source where no other batch needs it, what was kept, or None."""
        source = batch.selection.source
        stays = move.in_place and len(source) == 1
        if stays and self._last(batch):
            return source
        size = batch.amplitudes
        fitting = next((k for k, memory in enumerate(self.spare) if memory.size == size), None)
        spare = None if fitting is None else self.spare.pop(fitting)
        self._room(size)
        if stays and self._last(batch):  # it may be the last now
            return source
        return None if spare is None else spare.reshape(len(batch.bits), -1)

    def _release(self, amps: Amps) -> None:
        """Keep memory that no batch needs any more for the next copy."""
        memory = _memory(amps)
        batches = (*self.moving, *self.waiting)
        if memory.size == amps.size and all(_memory(batch.selection.source) is not memory for batch in batches):
            self.spare.append(memory)
            self._trim(self._held())

    def _last(self, batch: _Batch) -> bool:
        """Return True when no other batch needs the amplitudes of this one."""
        others = (*self.moving, *self.waiting)
        return all(other is batch or other.selection.source is not batch.selection.source for other in others)

    def _arrived(self, batches: list[_Batch]) -> _Batch:
        """Return batches at one place as one, with amplitudes for all qubits of the segment."""
        first = batches[0]
        register = self.plan.segments[first.here].register
        for batch in batches:
            self._onto(batch, register)
            if batch.due is not None or len(batches) > 1:
                self._settle(batch)
                self._apply_due(batch)
        if len(batches) == 1:
            return first
        starts = np.cumsum([0, *(len(batch.bits) for batch in batches)])
        shots = np.concatenate([batch.shots for batch in batches])
        row = np.concatenate([batch.row + start for batch, start in zip(batches, starts[:-1], strict=True)])
        if len(shots) == len(self.every):  # all of them: in order again, so that their numbers need not be looked up
            ordered = np.empty_like(row)
            ordered[shots] = row
            shots, row = self.every, ordered
        amps = self.backend.join([batch.amps for batch in batches])
        bits = np.concatenate([batch.bits for batch in batches])
        return replace(first, selection=Selection(amps, register), bits=bits, shots=shots, row=row, path=(), ahead=None)

    # --- what a batch does at a segment -----------------------------------------------------------------------------

    def _step(self, batch: _Batch) -> None:
        """Run a segment and what ends it; leave what comes of the batch waiting at the next segments."""
        here = batch.here
        self.control.poll()
        if self.plan.segments[here].stages:
            batch.path += (here,)
        match self.plan.segments[here].end:
            case End(measured):
                self._end(batch, measured)
            case MeasureEnd(targets, clbits, following, readout):
                visit = batch.visits.get(here, 0)
                self._measure(batch, targets)
                for k, (qubit, clbit) in enumerate(zip(targets, clbits, strict=True)):
                    errors = self.coefficients.readouts[readout][k] if readout >= 0 else (0.0, 0.0)
                    self._note(batch, qubit, clbit, errors, (readout_site(here, k), visit))
                self._leave(self._merged(batch, following), following)
            case ResetEnd(targets, following):
                self._measure(batch, targets)
                batch.bits[:, [len(self.column) + q for q in targets]] = 0
                self._leave(self._merged(batch, following), following)
            case ChannelEnd():
                self._mix(batch)
            case AssignEnd(clbits, value, following):
                numbers, of_row = self._values(batch, value)
                for k, clbit in enumerate(clbits):
                    bits = np.array([number >> k & 1 for number in numbers], dtype=np.uint8)[of_row]
                    self._record(batch, clbit, bits)
                self._leave(batch, following)
            case ExpectEnd(observable, following):
                self._settle(batch)
                self._expect(batch, observable)
                self._leave(batch, following)
            case Jump(following, left):
                for loop in left:
                    batch.rounds.pop(loop, None)
                self._leave(batch, following)
            case Branch() as end:
                self._branch(batch, self._holds(batch, end.condition), end)
            case Loop(condition, body, after, limit):
                holds = self._holds(batch, condition)
                for again, part in self._split(batch, holds):
                    part.rounds[here] = part.rounds.get(here, 0) + 1 if again else 0
                    if part.rounds[here] > limit:
                        raise InterruptedRunError(expected("rounds of a while loop", f"at most {limit}", "more"))
                    self._leave(part, body if again else after)

    def _leave(self, batch: _Batch, following: int) -> None:
        """Let a batch wait at its next segment, without the counts that no longer matter there."""
        reach = self.reach[following]
        batch.visits = {site: count for site, count in batch.visits.items() if reach >> site & 1}
        batch.rounds = {site: count for site, count in batch.rounds.items() if count and reach >> site & 1}
        batch.here = following
        self.waiting.append(batch)

    def _record(self, batch: _Batch, clbit: int, value: npt.NDArray[np.uint8]) -> None:
        """Write a classical bit, one value per row, for the shots and for the expressions that may read it."""
        _write(self.words, self._chosen(batch), clbit, value[batch.row])
        if clbit in self.column:
            batch.bits[:, self.column[clbit]] = value

    def _values(self, batch: _Batch, expression: Expression) -> tuple[list[int], IndexArray]:
        """Return the values of an expression, once for every combination of its bits, and for every row which is its own."""
        read = sorted(classical.bits_read(expression))
        found, place = np.unique(batch.bits[:, [self.column[bit] for bit in read]], axis=0, return_inverse=True)
        values = [classical.evaluate(expression, dict(zip(read, bits, strict=True))) for bits in found.tolist()]
        return values, place.reshape(-1)

    def _holds(self, batch: _Batch, condition: Expression) -> npt.NDArray[np.bool_]:
        """Return for every row whether a condition holds."""
        values, of_row = self._values(batch, condition)
        return np.array([bool(value) for value in values])[of_row]

    def _branch(self, batch: _Batch, holds: npt.NDArray[np.bool_], end: Branch) -> None:
        meeting = joining([segment.end for segment in self.plan.segments], end)
        if meeting is None or holds.all() or not holds.any():
            for taken, part in self._split(batch, holds):
                self._leave(part, end.then if taken else end.otherwise)
            return
        self._settle(batch)
        for arm, rows in ((end.then, np.flatnonzero(holds)), (end.otherwise, np.flatnonzero(~holds))):
            if arm != meeting:
                self._run_rows(batch, arm, rows)
        self._leave(batch, meeting)

    def _split(self, batch: _Batch, holds: npt.NDArray[np.bool_]) -> list[tuple[bool, _Batch]]:
        """Return the rows where a condition holds and those where it does not, if there are any."""
        if holds.all() or not holds.any():
            return [(bool(holds[0]), batch)]
        self._catch_up(batch)
        return [(side, _part(batch, np.flatnonzero(holds == side))) for side in (True, False)]

    def _run_rows(self, batch: _Batch, segment: int, rows: IndexArray) -> None:
        """Run the stages of a segment on some rows, in place."""
        if rows[-1] - rows[0] == len(rows) - 1:
            self.stretches.run((segment,), batch.amps[rows[0] : rows[-1] + 1], self.control)
        else:
            amps = self.backend.regroup(batch.amps, Regrouping.of(rows), self.control)
            self.stretches.run((segment,), amps, self.control)
            self.backend.put(amps, rows, batch.amps)

    # --- where shots part ---------------------------------------------------------------------------------------------

    def _visit(self, batch: _Batch) -> int:
        """Count a draw of a batch where it is; return how many came before."""
        visit = batch.visits.get(batch.here, 0)
        batch.visits[batch.here] = visit + 1
        return visit

    def _measure(self, batch: _Batch, targets: tuple[int, ...]) -> None:
        """Measure qubits: they leave the register, and their bits are those of the rows."""
        for start in range(0, len(targets), GROUP):
            qubits = [q for q in targets[start : start + GROUP] if q in batch.register]
            visit = self._visit(batch)
            if not qubits:
                continue
            weights = self._settle(batch, [batch.register.index(q) for q in qubits])
            if (np.count_nonzero(weights, axis=1) == 1).all():
                rows, outcomes = np.arange(len(weights)), weights.argmax(axis=1)
            else:
                uniforms = self.numbers.at(batch.here, visit, batch.shots)
                drawn = pick(weights, batch.row, uniforms)
                rows, outcomes = self._regroup(batch, drawn, weights.shape[1])
            scales = 1.0 / np.sqrt(weights[rows, outcomes])
            batch.selection = Selection(batch.amps, batch.register, rows, tuple(qubits), outcomes, scales)
            for k, qubit in enumerate(qubits):
                batch.bits[:, len(self.column) + qubit] = outcomes >> k & 1
        self._catch_up(batch)

    def _note(self, batch: _Batch, qubit: int, clbit: int, errors: tuple[float, float], place: tuple[int, int]) -> None:
        """Write a measured qubit into a classical bit, as it is read; rows part only where a condition needs the bit."""
        value = batch.bits[:, len(self.column) + qubit]
        read = value[batch.row]
        if any(errors):
            read = read ^ (self.numbers.at(*place, batch.shots) < np.array(errors)[read])
        _write(self.words, self._chosen(batch), clbit, read)
        if clbit in self.column:
            if any(errors):
                rows, found = self._regroup(batch, read.astype(np.int64), 2)
                value = found.astype(np.uint8)
                batch.selection = batch.selection.taken(rows)
            batch.bits[:, self.column[clbit]] = value

    def _mix(self, batch: _Batch) -> None:
        """Take a batch along a chain of channels, to the first where a shot draws more than the identity, and part it there."""
        chain, place = self.presampled.places[batch.here]
        length = len(chain.segments)
        visit = batch.visits.get(chain.segments[0], 0)
        drawn = self.presampled.drawn(chain, visit, len(batch.shots), batch.amplitudes, self.control)
        if drawn is None:
            batch.ahead, stop = None, place
            uniforms = self.numbers.at(batch.here, visit, batch.shots)
            choices = pick(mixture_weights(self._mixture(batch.here))[None], np.zeros_like(batch.row), uniforms)
        else:
            ahead = drawn.seek(batch.shots, place) if batch.ahead is None else batch.ahead
            places = drawn.place[ahead]
            stop = int(places.min())
            on_the_way = chain.segments[place + 1 : stop + 1]
            batch.path += tuple(here for here in on_the_way if self.plan.segments[here].stages)
            erring = places == stop
            batch.ahead = ahead + erring
            if stop < length:
                choices = np.full(len(erring), identity_of(self._mixture(chain.segments[stop])) or 0)
                choices[erring] = drawn.choice[ahead[erring]]
        if stop < length:
            batch.here = chain.segments[stop]
            self._choose(batch, choices)
            stop += 1
        if stop < length:
            self._leave(batch, chain.segments[stop])
            return
        batch.visits[chain.segments[0]] = visit + 1
        batch.ahead = None
        self._leave(batch, chain.after)

    def _mixture(self, segment: int) -> Channel:
        end = self.plan.segments[segment].end
        assert isinstance(end, ChannelEnd)
        return self.coefficients.channels[end.channel]

    def _choose(self, batch: _Batch, choices: IndexArray) -> None:
        """Part rows by the unitaries of a mixture that their shots draw; they are due when the rows go on."""
        mixture = self._mixture(batch.here)
        first = int(choices[0])
        if is_identity(mixture, first) and (choices == first).all():
            return
        self._catch_up(batch)
        rows, found = self._regroup(batch, choices, len(mixture.matrices))
        batch.selection = batch.selection.taken(rows)
        batch.due = (mixture, found)

    def _apply_due(self, batch: _Batch) -> None:
        """Apply the unitaries that rows have drawn; equal ones stand together."""
        if batch.due is None:
            return
        mixture, choices = batch.due
        batch.due = None
        places = tuple(batch.register.index(q) for q in mixture.targets)
        ends = [*(np.flatnonzero(np.diff(choices)) + 1).tolist(), len(choices)]
        for start, stop in zip([0, *ends], ends, strict=False):
            amps = batch.amps[start:stop]
            apply_choice(mixture, places, int(choices[start]), self.backend, amps, self.control)

    def _regroup(self, batch: _Batch, drawn: IndexArray, kinds: int) -> tuple[IndexArray, IndexArray]:
        """Give every (row, outcome) that was drawn a row, ordered by outcome; return them. Shots and bits follow."""
        rows = len(batch.bits)
        code = drawn * rows + batch.row if rows > 1 else drawn
        if rows * kinds <= 4 * len(code) + 1024:
            found = np.flatnonzero(np.bincount(code, minlength=rows * kinds))
            place = np.zeros(rows * kinds, dtype=np.int64)
            place[found] = np.arange(len(found))
            batch.row = place[code]
        else:
            found, batch.row = np.unique(code, return_inverse=True)
        outcomes, parents = np.divmod(found, rows)
        batch.bits = batch.bits[parents]
        return parents, outcomes

    def _merged(self, batch: _Batch, following: int) -> _Batch:
        """Make one row of rows with equal amplitudes and equal bits, as far as they will be read again."""
        rows = len(batch.bits)
        if rows == 1 or batch.amplitudes > _COMPARED:
            return batch
        self._settle(batch)
        batch.bits[:, self.stale[following]] = 0
        if not batch.register:
            batch.amps[...] = 1  # a global phase
        bytes_of = np.concatenate(
            [np.ascontiguousarray(batch.amps).view(np.uint8).reshape(rows, -1), batch.bits], axis=1
        )
        keys = np.ascontiguousarray(bytes_of).view(np.dtype((np.void, bytes_of.shape[1]))).reshape(-1)
        _, kept, place = np.unique(keys, return_index=True, return_inverse=True)
        if len(kept) == rows:
            return batch
        order = np.argsort(kept)
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        chosen = kept[order]
        amps = self.backend.regroup(batch.amps, Regrouping.of(chosen), self.control)
        batch.selection = Selection(amps, batch.register)
        batch.bits = batch.bits[chosen]
        batch.row = rank[place.reshape(-1)][batch.row]
        return batch

    # --- the end --------------------------------------------------------------------------------------------------

    def _end(self, batch: _Batch, measured: tuple[tuple[int, int], ...]) -> None:
        qubits = sorted({qubit for qubit, _ in measured})
        inside = [q for q in qubits if q in batch.register]
        places = [batch.register.index(q) for q in inside]
        weights = self._settle(batch, places if len(qubits) <= GROUP else ())
        values = batch.bits[:, len(self.column) :]
        if measured:
            drawn = np.zeros(0, dtype=np.int64)
            if inside:
                uniforms = self.numbers.at(batch.here, batch.visits.get(batch.here, 0), batch.shots)
                if len(qubits) > GROUP:
                    drawn = self._sample(batch, uniforms)
                else:
                    drawn = pick(weights, batch.row, uniforms)
                    places = list(range(len(inside)))
            chosen = self._chosen(batch)
            words = self.words[chosen]
            for qubit, clbit in measured:
                outside = qubit not in inside
                bit = values[batch.row, qubit] if outside else drawn >> places[inside.index(qubit)] & 1
                _write(words, slice(None), clbit, bit)
            self.words[chosen] = words
        self.branches += len(batch.bits)
        self.done += len(batch.shots)
        if self.read is not None:
            self.read(self._rows(batch))
        self.outer.report(self.done / len(self.words))
        self.moving = []
        self._release(batch.amps)

    def _chosen(self, batch: _Batch) -> IndexArray | slice:
        """Return the shots of a batch as an index that copies nothing where it is all of them."""
        return slice(None) if batch.shots is self.every else batch.shots

    def _expect(self, batch: _Batch, observable: int) -> None:
        """Note the expectation value of every row, and which shots are in it."""
        rows = self._rows(batch)
        known = self.read_values[observable]
        self.read_state[observable][self._chosen(batch)] = batch.row + len(known)
        known += rows.expectation_pauli(self.coefficients.observables[observable][1], self.control).tolist()

    def _rows(self, batch: _Batch) -> Rows:
        values = batch.bits[:, len(self.column) :]
        return Rows(self.backend, batch.register, batch.amps, values, batch.shots, batch.row)

    def _sample(self, batch: _Batch, uniforms: FloatArray) -> IndexArray:
        """Return a basis state of the register for every shot."""
        drawn = np.empty(len(uniforms), dtype=np.int64)
        order = np.argsort(batch.row, kind="stable")
        ends = np.cumsum(np.bincount(batch.row, minlength=len(batch.bits)))
        for row, members in enumerate(np.split(order, ends[:-1])):
            drawn[members] = self.backend.sample(batch.amps[row : row + 1], uniforms[None, members], self.control)[0]
        return drawn


def _part(batch: _Batch, rows: IndexArray) -> _Batch:
    """Return some rows of a batch, ascending, with their shots."""
    place = np.full(len(batch.bits), -1)
    place[rows] = np.arange(len(rows))
    row = place[batch.row]
    keep = row >= 0
    return replace(
        batch,
        selection=batch.selection.taken(rows),
        bits=batch.bits[rows],
        shots=batch.shots[keep],
        row=row[keep],
        ahead=None if batch.ahead is None else batch.ahead[keep],
        due=None if batch.due is None else (batch.due[0], batch.due[1][rows]),
        visits={**batch.visits},
        rounds={**batch.rounds},
    )


def _memory(amps: Amps) -> Amps:
    """Return the array that owns the memory of amplitudes: a view of some rows keeps all of them."""
    base = getattr(amps, "base", None)
    return _memory(base) if isinstance(base, type(amps)) else amps


def _write(words: Words, shots: IndexArray | slice, clbit: int, values: npt.NDArray[Any]) -> None:
    """Write a classical bit of some shots."""
    word, bit = words[:, clbit // 64], np.uint64(clbit % 64)
    word[shots] = (word[shots] & ~(np.uint64(1) << bit)) | values.astype(np.uint64) << bit


class _Numbers:
    """The random numbers of groups of shots.

    Where groups are large, or many have asked at one place, those of all shots are generated and kept; else a group's own
    are computed. What this costs is at most twice the cheaper of the two.
    """

    def __init__(self, source: RandomSource, num_shots: int, threads: int = 1) -> None:
        self.source, self.num_shots, self.threads = source, num_shots, threads
        self.every = np.arange(num_shots)
        self.kept: OrderedDict[tuple[int, int], FloatArray] = OrderedDict()
        self.spent: dict[tuple[int, int], int] = {}
        self.capacity = max(1, _KEPT_BYTES // (8 * num_shots))

    def at(self, site: int, visit: int, shots: IndexArray) -> FloatArray:
        """Return the numbers of some shots at one visit of a site."""
        place = site, visit
        if place not in self.kept:
            spent = self.spent.get(place, 0) + CALL_COST + SHOT_COST * len(shots)
            if spent < self.num_shots:
                self.spent[place] = spent
                return self.source.uniforms_at(site, visit, shots)
            if len(self.kept) >= self.capacity:
                self.kept.popitem(last=False)
            self.kept[place] = self.source.uniforms(site, visit, 0, self.num_shots, self.threads)
            self.spent.pop(place, None)
        self.kept.move_to_end(place)
        uniforms = self.kept[place]
        return uniforms if shots is self.every else uniforms[shots]
