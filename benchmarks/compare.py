"""Circuit families timed on several simulators, interleaved, their answers checked against each other.

Of every simulator each setting runs once to warm up (that time is the cold one) and once to be judged; the fastest
setting is then timed in rounds that take all simulators in turn. Two times: until the amplitudes are in memory, and of a
run that ends with one ⟨Z⟩ and 1,024 shots. Nobody leaves out gates: all amplitudes are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from . import ceilings
from .circuits import FROM_ZERO
from .circuits import family as maker_of
from .exchange import job_of
from .peers import peer_of
from .peers.environments import PeerError, Player
from .peers.job import Job
from .results import Key

__all__ = ["REFERENCE", "beside", "compare", "difference", "settings_of"]

REFERENCE = "qsim-core"
_WHAT = ("state", "readout")
_SPEND = 0.01  # seconds of a turn: a small circuit runs more than once in it

Say = Callable[[str], None]
Setting: TypeAlias = dict[str, Any]
#: By family, qubits, precision and player.
Settings: TypeAlias = Mapping[tuple[str, int, str, str], Setting]


def compare(
    players: Mapping[str, Player],
    families: Sequence[str],
    qubits: Sequence[int],
    precisions: Sequence[str],
    threads: int,
    repeat: int,
    measured: dict[str, float],
    *,
    dense: bool = False,
    budget: float = 60.0,
    tuned: Settings | None = None,
    done: Collection[Key] = (),
    say: Say = print,
) -> Iterator[dict[str, Any]]:
    """Yield one record for each family, size and precision, as soon as it is measured.

    Args:
        players: simulators by name, "qsim-core" among them.
        families: names for :func:`.circuits.family`.
        qubits: sizes.
        precisions: "single", "double".
        threads: of everybody.
        repeat: rounds.
        measured: of :func:`.ceilings.measure`.
        dense: start from a random state instead of |0…0⟩.
        budget: seconds for one simulator and circuit: once they are spent it gets no further settings or rounds. What
            runs longer than that runs once, and this first run is its time.
        tuned: settings of an earlier report, not to be searched again; see :func:`settings_of`.
        done: records not to be measured again.
        say: told each record in one line.
    """
    for n in qubits:
        for precision in precisions:
            for family in families:
                if (family, n, precision, dense) in done:
                    continue
                job = job_of(maker_of(family)(n), precision, threads, dense)
                known = {name: _known(tuned or {}, family, n, precision, name) for name in players}
                entries = _times(players, job, repeat, budget, known)
                record = {
                    "family": family, "qubits": n, "precision": precision, "dense": dense, "gates": len(job.gates),
                    "tracked": not dense and family in FROM_ZERO,
                    "simulators": entries, **_against_ceilings(measured, job, entries),
                }  # fmt: skip
                say(_line(record))
                yield record


def settings_of(records: Sequence[Mapping[str, Any]]) -> Settings:
    """Return the fastest settings that the records of a report found."""
    return {
        (record["family"].partition(":")[0], record["qubits"], record["precision"], name): entry["setting"]
        for record in records
        for name, entry in record["simulators"].items()
        if "setting" in entry
    }


def _known(tuned: Settings, family: str, n: int, precision: str, name: str) -> Setting | None:
    """Return the setting found at this size, else at the largest below it: searching takes longest where runs do.

    Of any depth: what one layer likes, many do.
    """
    family = family.partition(":")[0]
    sizes = [q for f, q, p, player in tuned if (f, p, player) == (family, precision, name) and q <= n]
    return tuned[family, max(sizes), precision, name] if sizes else None


def beside(name: str, entries: Collection[str]) -> str:
    """Return whom of ours a simulator stands beside: of its own instruction set, where that one is forced and was run."""
    _, at, isa = name.partition("@")
    mine = f"{REFERENCE}{at}{isa}"
    return mine if mine in entries and mine != name else REFERENCE


def _times(
    players: Mapping[str, Player], job: Job, repeat: int, budget: float, known: Mapping[str, Setting | None]
) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    left: dict[str, float] = {}
    data = job.to_json()
    for name, player in players.items():
        if job.precision in peer_of(name).precisions:
            started = time.perf_counter()
            try:
                entries[name], answers[name] = _best_setting(player, data, budget, known.get(name))
            except PeerError as error:
                entries[name] = {"error": str(error)}
            left[name] = budget - (time.perf_counter() - started)
    running = {name: entry for name, entry in entries.items() if "error" not in entry}
    for _ in range(repeat):
        for name, entry in running.items():
            started = time.perf_counter()
            for what in _WHAT if left[name] > 0 else ():
                entry[what].append(players[name].ask(do="time", key="best", what=what, spend=_SPEND))
            left[name] -= time.perf_counter() - started
    for entry in running.values():
        entry["state"] = entry["state"] or [min(trial["warm"] for trial in entry["tried"])]
    ours = {name: float(np.median(entry["state"])) for name, entry in running.items()}
    for name, answer in answers.items():
        entries[name]["beside"] = ours.get(beside(name, ours))
        entries[name]["difference"] = difference(answer, answers.get(REFERENCE, answer))
        entries[name]["agrees"] = bool(entries[name]["difference"] <= allowed(job))
        players[name].ask(do="forget", key="best")
    return entries


def _best_setting(
    player: Player, job: dict[str, Any], budget: float, known: Setting | None
) -> tuple[dict[str, Any], Any]:
    """Build with every setting, keep the fastest under the key "best"; return its cold time, what was tried, and its answer.

    A known setting is not searched for.
    """
    tried: list[dict[str, Any]] = []
    until = time.perf_counter() + budget
    failure: PeerError | None = None
    ready: Setting | None = None  # what the player holds
    for setting in player.ask(do="settings", precision=job["precision"]) if known is None else [known]:
        player.ask(do="forget", key="best")
        ready = None
        try:
            player.ask(do="build", key="best", job=job, setting=setting)
            cold = warm = player.ask(do="time", key="best", what="state")
        except PeerError as error:  # another setting may do it
            failure = error
            continue
        if time.perf_counter() < until:
            warm = player.ask(do="time", key="best", what="state", spend=_SPEND)
        tried.append({"setting": setting, "cold": cold, "warm": warm})
        ready = setting
        if time.perf_counter() > until:
            break
    if not tried:
        raise failure or PeerError("it offers no setting")
    best = min(tried, key=lambda trial: trial["warm"])
    if best["setting"] != ready:
        player.ask(do="forget", key="best")
        player.ask(do="build", key="best", job=job, setting=best["setting"])
        player.ask(do="time", key="best", what="state")
    answer = player.ask(do="answer", key="best")
    found = {"setting": best["setting"], "cold": best["cold"], "tried": tried, "state": [], "readout": []}
    return found, answer


def difference(answer: Mapping[str, Any], truth: Mapping[str, Any]) -> float:
    """Return the largest deviation between two fingerprints: norm, ⟨Z⟩ of every qubit, sampled amplitudes."""
    pairs = ((np.array(answer[key], float), np.array(truth[key], float)) for key in ("norm", "z", "amplitudes"))
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def allowed(job: Job) -> float:
    """Return the rounding that several hundred gates may leave, in the precision of the job."""
    return (1e-7 if job.precision == "single" else 1e-15) * 30 * np.sqrt(len(job.gates) + 1) + 1e-12


def _against_ceilings(measured: dict[str, float], job: Job, entries: dict[str, Any]) -> dict[str, Any]:
    mixing = [gate for gate in job.gates if (gate.matrix - np.diag(np.diag(gate.matrix))).any()]
    plain = all(len(gate.targets) == 1 and not gate.controls for gate in mixing)
    rotations = len(mixing) if plain else None
    ours = entries.get(REFERENCE, {}).get("state")
    if not ours or not measured:
        return {"ceilings": {}}
    return {"ceilings": ceilings.fractions(measured, job.num_qubits, job.precision, rotations, float(np.median(ours)))}


def _line(record: Mapping[str, Any]) -> str:
    cells = []
    for name, entry in record["simulators"].items():
        if "error" in entry:
            cells.append(f"{name}: {entry['error'][:60]}")
        elif entry["state"]:
            wrong = "" if entry["agrees"] else f" WRONG by {entry['difference']:.1e}"
            cells.append(f"{name} {np.median(entry['state']) * 1e3:.3g} ms{wrong}")
    return f"{record['family']:20} n = {record['qubits']:2} {record['precision']}: " + ", ".join(cells)
