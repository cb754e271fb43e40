"""Environments of their own for peers, and simulators played from them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from typing import IO, Any, Protocol, cast

from . import OURS, PEERS, Peer

__all__ = ["PeerError", "Player", "Process", "cache_folder", "install", "interpreter", "start"]

ROOT = Path(__file__).parents[2]


class PeerError(RuntimeError):
    """What a simulator answered instead of a result."""


class Player(Protocol):
    """Answers the requests of :mod:`.worker`."""

    def ask(self, **request: Any) -> Any: ...

    def close(self) -> None: ...


def cache_folder() -> Path:
    """Return where environments are kept: QSIM_BENCHMARK_CACHE, else a folder in the user's cache."""
    chosen = os.environ.get("QSIM_BENCHMARK_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(chosen) if chosen else Path(base).expanduser() / "qsim-benchmarks"


def _environment(name: str) -> Path:
    return cache_folder() / "-".join([name, *(r.replace("==", "-") for r in PEERS[name].requirements)])


def install(name: str) -> Path:
    """Make the environment of a peer, if it is not there; return its interpreter."""
    folder = _environment(name)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if not (folder / "complete").exists():
        venv.create(folder, with_pip=True, clear=True)
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, *PEERS[name].requirements], check=True)
        (folder / "complete").touch()
    return python


def interpreter(name: str) -> str | None:
    """Return what plays a peer: its own environment, or this interpreter where it has the peer; None for neither."""
    folder = _environment(name)
    if (folder / "complete").exists():
        return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
    module = PEERS[name].module
    return sys.executable if module and importlib.util.find_spec(module) else None


class Process:
    """A worker in another process; ``threads`` and ``isa`` are known to its libraries before they load."""

    def __init__(self, python: str, peer: Peer, threads: int, isa: str = "") -> None:
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # Numba: qibojit asks for all first
        ours = os.environ.get("PYTHONPATH", "") if peer is OURS else ""
        path = os.pathsep.join([str(ROOT), *filter(None, ours.split(os.pathsep))])
        environment = {**os.environ, **dict.fromkeys(names, str(threads)), "PYTHONPATH": path}
        if isa:
            environment |= {"QSIM_ISA": isa, "QSIM_BENCHMARK_ISA": isa}
        self._process = subprocess.Popen(
            [python, "-W", "ignore", "-m", "benchmarks.peers.worker", peer.adapter], cwd=ROOT, env=environment,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._started = False  # several load their libraries at the same time: the first request waits for that

    def ask(self, **request: Any) -> Any:
        """Return the answer to one request.

        Raises:
            PeerError: with what the simulator raised, or when it is gone.
        """
        if not self._started:
            self._read()
            self._started = True
        try:
            print(json.dumps(request), file=cast(IO[str], self._process.stdin), flush=True)
        except BrokenPipeError:
            raise PeerError("the simulator's process has ended") from None
        return self._read()

    def _read(self) -> Any:
        line = cast(IO[str], self._process.stdout).readline()
        if not line:
            raise PeerError(f"the simulator's process has ended with code {self._process.wait()}")
        reply = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"])
        return reply["ok"]

    def close(self) -> None:
        """End the process."""
        cast(IO[str], self._process.stdin).close()
        self._process.wait()
        cast(IO[str], self._process.stdout).close()


def start(name: str, threads: int) -> Process:
    """Start a peer, or "qsim-core"; with @ and an instruction set behind its name, forced to that one.

    Raises:
        PeerError: where it is not installed; where it does not start, its first answer says so.
    """
    name, _, isa = name.partition("@")
    if name == "qsim-core":
        return Process(sys.executable, OURS, threads, isa)
    python = interpreter(name)
    if python is None:
        raise PeerError(f"{name} is not installed: python -m benchmarks peers install {name}")
    return Process(python, PEERS[name], threads, isa)
