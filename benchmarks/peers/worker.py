"""A simulator in a process of its own: JSON requests in, one a line, JSON answers out.

    python -m benchmarks.peers.worker qulacs

Requests: ``versions``, ``settings``, ``build``, ``time``, ``answer``, ``forget``; an error is answered, not raised.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from statistics import median
from typing import Any

from .job import Job, fingerprint

__all__ = ["Played", "main"]


class Played:
    """An adapter's answers to requests; tests use it without a process."""

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter
        self._running: dict[str, Any] = {}
        self._last: Any = None  # what the last request's runs left behind, for an answer without another run

    def answer(self, request: dict[str, Any]) -> Any:
        """Return the answer to one request."""
        if request["do"] != "answer":
            self._last = None
        match request:
            case {"do": "versions"}:
                return self.adapter.versions()
            case {"do": "settings", "precision": precision}:
                return self.adapter.settings(precision)
            case {"do": "build", "key": key, "job": job, "setting": setting}:
                self._running[key] = self.adapter.build(Job.from_json(job), setting)
                return None
            case {"do": "time", "key": key, "what": "state" | "readout" as what}:
                return self._time(self._running[key], what, request.get("spend", 0.0))
            case {"do": "answer", "key": key}:
                running = self._running[key]
                if self._last is None:
                    running.prepare()
                    self._last = running.state()
                return fingerprint(running.amplitudes(self._last))
            case {"do": "forget", "key": key}:
                self._running.pop(key, None)
                return None
        raise ValueError(f"unknown request {request.get('do')!r}")

    def _time(self, running: Any, what: str, spend: float) -> float:
        """Return the median of as many runs as take ``spend`` seconds, one at least.

        A single run of a small circuit would be timed with the caches that the request before it left.
        """
        work, taken = getattr(running, what), []
        while not taken or sum(taken) < spend:
            self._last = None  # giving memory back is not in the time, neither ours nor theirs
            running.prepare()
            started = time.perf_counter()
            self._last = work()
            taken.append(time.perf_counter() - started)
        if what != "state":
            self._last = None
        return median(taken)


def main() -> None:
    """Answer until the input ends. What libraries print goes to stderr: stdout is for answers alone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        played = Played(importlib.import_module(f"{__package__}.{sys.argv[1]}"))
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers, flush=True)
        return
    print(json.dumps({"ok": True}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            reply = {"ok": played.answer(json.loads(line))}
        except Exception as error:  # whatever a peer raises belongs in the report
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=answers, flush=True)


if __name__ == "__main__":
    main()
