"""CUDA streams as queues whose work is done as late as the rules allow, or copies as early: what is not ordered goes wrong.

A missing wait of launches for a copy shows where everything is late; a missing wait of a copy for launches, where copies
are early; pinned memory that is filled too soon, where everything is late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Event", "Stream", "Streams"]


@dataclass
class Stream:
    """Work in order, of which ``done`` pieces were done; ``blocking``: in order with the default stream."""

    blocking: bool
    work: list[Callable[[], None]] = field(default_factory=list)
    done: int = 0


@dataclass
class Event:
    """A place in a stream's order: after ``place`` pieces; at first none."""

    stream: Stream | None = None
    place: int = 0


class Streams:
    """All streams of a device but the default one, whose work is done at once."""

    def __init__(self, early_copies: bool = False) -> None:
        self.early_copies = early_copies
        self.all: list[Stream] = []

    def create(self, blocking: bool) -> Stream:
        self.all.append(Stream(blocking))
        return self.all[-1]

    def add(self, stream: Stream, work: Callable[[], None]) -> None:
        stream.work.append(work)
        if self.early_copies and not stream.blocking:
            self.run(stream)

    def run(self, stream: Stream, upto: int | None = None) -> None:
        """Do a stream's work up to a place, all of it if none is given."""
        while stream.done < (len(stream.work) if upto is None else upto):
            stream.done += 1
            stream.work[stream.done - 1]()

    def record(self, event: Event, stream: Stream) -> None:
        event.stream, event.place = stream, len(stream.work)

    def wait(self, stream: Stream, event: Event) -> None:
        """Let what comes next in a stream wait for an event as it is now."""
        other, place = event.stream, event.place
        if other is not None:
            self.add(stream, lambda: self.run(other, place))

    def before_default(self) -> None:
        """What the default stream waits for."""
        for stream in self.all:
            if stream.blocking:
                self.run(stream)

    def everything(self) -> None:
        for stream in self.all:
            self.run(stream)
