"""Stages recorded once as CUDA graphs and played again with new numbers; off unless ``QSIM_CUDA_GRAPHS=1``.

A graph keeps its launches' arguments: addresses and offsets. What changes from run to run is the block of bytes they read, so
a stage that comes again on the same state (new angles, the same plan) is one copy beside the stream and one call per 64
launches. Nothing is compiled or recorded anew, and the host does not wait for the card before it prepares what comes next:
an error may show up at a later call, then without its operation's name.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import ParameterError, expected
from .cuda_device import Device, DeviceArray
from .launches import Launch, LaunchList

__all__ = ["StageGraphs", "graphs_wanted"]

#: Launches of a graph: the run control is looked at between two of them.
LAUNCHES_PER_GRAPH = 64
#: Stages that are kept, each with its program and second buffer on the card.
KEPT = 16


def graphs_wanted() -> bool:
    """Return whether QSIM_CUDA_GRAPHS asks for graphs.

    Raises:
        ParameterError: if it is neither 0 nor 1.
    """
    text = os.environ.get("QSIM_CUDA_GRAPHS", "0")
    if text not in ("0", "1"):
        raise ParameterError(expected("QSIM_CUDA_GRAPHS", "0 or 1", repr(text)))
    return text == "1"


@dataclass(frozen=True, eq=False)
class _Recorded:
    program: DeviceArray
    scratch: DeviceArray | None
    graphs: list[int]


class StageGraphs:
    """The recorded stages of one device that has a recorder."""

    def __init__(self, device: Device) -> None:
        assert device.recorder is not None
        self._device, self._recorder = device, device.recorder
        self._kept: OrderedDict[tuple[object, ...], _Recorded] = OrderedDict()
        self._lock = threading.Lock()  # between new numbers and the launches that read them

    def play(self, work: LaunchList, states: tuple[int, int], between: Callable[[float], None]) -> None:
        """Play a stage; ``between`` is called with the share that was started, before each graph."""
        if not work.launches:
            return
        key = (work.launches, len(work.program), work.scratch_bytes, states)
        with self._lock:
            stage = self._kept.pop(key, None) or self._record(work, states)
            self._kept[key] = stage
            # Launches of the run before may still read the old numbers.
            self._recorder.upload(stage.program.address, np.frombuffer(work.program, np.uint8), fresh=False)
            for number, graph in enumerate(stage.graphs):
                if number:
                    self._device.synchronize()
                between(number / len(stage.graphs))
                self._recorder.replay(graph)

    def _record(self, work: LaunchList, states: tuple[int, int]) -> _Recorded:
        while len(self._kept) >= KEPT:
            self._drop()
        program = self._device.array((len(work.program),), np.uint8)
        scratch = self._device.array((work.scratch_bytes,), np.uint8) if work.scratch_bytes else None
        second = 0 if scratch is None else scratch.address

        def launch(step: Launch) -> tuple[str, int, int, int, tuple[int, ...]]:
            arguments = (states[step.on_second], program.address, step.offset, second)
            return step.kernel, step.blocks, step.threads, step.shared_bytes, arguments

        stage = _Recorded(program, scratch, [])
        for first in range(0, len(work.launches), LAUNCHES_PER_GRAPH):
            chunk = work.launches[first : first + LAUNCHES_PER_GRAPH]
            stage.graphs.append(self._recorder.record([launch(step) for step in chunk]))
        return stage

    def _drop(self) -> None:
        """Forget the stage that was played longest ago."""
        _, stage = self._kept.popitem(last=False)
        self._device.synchronize()
        for graph in stage.graphs:
            self._recorder.forget(graph)

    def clear(self) -> None:
        """Forget all stages and free what they hold on the card."""
        with self._lock:
            while self._kept:
                self._drop()
