"""Channels drawn ahead: which unitaries of mixtures every shot takes, along whole chains of channels.

The weights of a mixture do not depend on the state. So the draws of all shots are made before there is a state, with the
numbers they would have had one by one, and what is drawn most, the identity, is left out: a shot is a short list of
errors. Shots with equal lists are one history, lists with equal beginnings share it, and between errors gates of
many segments share passes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .executor import pick
from .kernels.control import RunControl
from .liveness import successors
from .mixtures import identity_of, mixture_weights
from .operations import Channel
from .plan import ChannelEnd, Plan
from .random import RandomSource
from .types import IndexArray

__all__ = ["Chain", "Drawn", "Presampled"]

#: Errors of all shots that are held for one chain, on average: longer chains are cut.
_ERRORS = 2**22
#: Chains whose draws are kept, those used last.
_KEPT = 8
#: What it costs to compute the numbers of some shots by themselves, per call and per shot; one of all numbers costs 1.
CALL_COST, SHOT_COST = 1500, 8


@dataclass(frozen=True, slots=True)
class Chain:
    """Segments on one register that end in channels and follow each other; only the first is come to from elsewhere."""

    segments: tuple[int, ...]
    after: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """The errors of all shots along a chain: draws other than the identity.

    Those of shot s are number ``first[s]`` and following, by their place in the chain; then comes one at the place after
    the last.
    """

    length: int
    first: IndexArray
    place: npt.NDArray[np.int32]
    choice: npt.NDArray[np.int32]

    def seek(self, shots: IndexArray, place: int) -> IndexArray:
        """Return for every shot the number of its first error at a place of the chain or after it."""
        if place == 0:
            return self.first[shots]
        return np.searchsorted(self._order, shots * (self.length + 1) + place)

    @cached_property
    def _order(self) -> IndexArray:
        shot = np.repeat(np.arange(len(self.first)), np.diff(self.first, append=len(self.place)))
        return shot * (self.length + 1) + self.place


class Presampled:
    """The draws of all chains of a plan, made when they are first needed."""

    def __init__(self, plan: Plan, channels: Sequence[Channel], source: RandomSource, num_shots: int) -> None:
        self.plan, self.channels, self.source, self.num_shots = plan, channels, source, num_shots
        self.places: dict[int, tuple[Chain, int]] = {}  # of the segments in chains
        for chain in self._chains():
            self.places.update({segment: (chain, k) for k, segment in enumerate(chain.segments)})
        self._kept: OrderedDict[tuple[int, int], Drawn] = OrderedDict()
        self._spent: Counter[tuple[int, int]] = Counter()

    def drawn(self, chain: Chain, visit: int, num_shots: int, num_amps: int, control: RunControl) -> Drawn | None:
        """Return what all shots draw at a visit of a chain; None while it is cheaper for ``num_shots`` to draw alone."""
        if len(chain.segments) == 1:
            return None
        key = chain.segments[0], visit
        if key not in self._kept:
            self._spent[key] += CALL_COST + SHOT_COST * num_shots + num_amps
            if self._spent[key] < self.num_shots:
                return None
            if len(self._kept) >= _KEPT:
                self._kept.popitem(last=False)
            self._kept[key] = self._draw(chain, visit, control)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _draw(self, chain: Chain, visit: int, control: RunControl) -> Drawn:
        none = np.zeros(0, dtype=np.int64)
        shots, places, choices = [none], [none], [none]
        for place, segment in enumerate(chain.segments):
            control.poll()
            channel = self._channel(segment)
            weights = mixture_weights(channel)
            cumulative = np.cumsum(weights)
            uniforms = self.source.uniforms(segment, visit, 0, self.num_shots, control.threads)
            wanted = uniforms * cumulative[-1]
            idle = identity_of(channel)
            errs = np.ones(self.num_shots, dtype=np.bool_)
            if idle is not None:
                errs = wanted >= cumulative[idle] if idle < len(weights) - 1 else ~errs
                if idle > 0:
                    errs |= wanted < cumulative[idle - 1]
            erring = np.flatnonzero(errs)
            shots.append(erring)
            places.append(np.full(len(erring), place))
            choices.append(pick(weights[None], np.zeros(len(erring), np.int64), uniforms[erring]))
        shot, length = np.concatenate(shots), len(chain.segments)
        order = np.argsort(shot, kind="stable")
        every = np.arange(self.num_shots)
        counts = np.bincount(shot, minlength=self.num_shots)
        where = np.arange(len(shot)) + shot[order]  # every shot before has one entry more, its end
        filled = np.full(len(shot) + self.num_shots, length, dtype=np.int32)
        choice = np.zeros(len(filled), dtype=np.int32)
        filled[where] = np.concatenate(places)[order]
        choice[where] = np.concatenate(choices)[order]
        return Drawn(length, np.cumsum(counts) - counts + every, filled, choice)

    def _chains(self) -> list[Chain]:
        """Return all segments that end in channels as chains, as long as they may be."""
        segments = self.plan.segments
        arrivals = Counter(following for segment in segments for following in successors(segment.end))
        arrivals[self.plan.entry] += 1
        chains: list[Chain] = []
        begun: set[int] = set()
        for here in range(len(segments) - 1, -1, -1):  # numbered from the end: the first of a chain is come to first
            if here in begun or not isinstance(segments[here].end, ChannelEnd):
                continue
            members, errors = [here], self._errors(here)
            while True:
                following = self._channel_end(members[-1]).next
                segment = segments[following]
                if not isinstance(segment.end, ChannelEnd) or segment.register != segments[here].register:
                    break
                errors += self._errors(following)
                if arrivals[following] > 1 or following in begun or errors > _ERRORS:
                    break
                members.append(following)
            begun.update(members)
            chains.append(Chain(tuple(members), following))
        return chains

    def _errors(self, segment: int) -> float:
        """Return how many shots draw more than the identity, on average."""
        channel = self._channel(segment)
        weights, idle = mixture_weights(channel), identity_of(channel)
        return self.num_shots * (1.0 if idle is None else 1.0 - float(weights[idle] / weights.sum()))

    def _channel_end(self, segment: int) -> ChannelEnd:
        end = self.plan.segments[segment].end
        assert isinstance(end, ChannelEnd)
        return end

    def _channel(self, segment: int) -> Channel:
        return self.channels[self._channel_end(segment).channel]
