"""Files of results: written after every record, so that a run can be stopped and go on; read, and several made one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from qsim_core.errors import ParameterError, expected

__all__ = ["NAME", "Key", "done", "key_of", "load", "merge", "save"]

NAME = "results.json"

Results: TypeAlias = dict[str, Any]
#: Family, qubits, precision, dense.
Key: TypeAlias = tuple[str, int, str, bool]


def save(results: Mapping[str, Any], folder: Path) -> Path:
    """Write results into a folder; a reader sees the old file or the new one."""
    folder.mkdir(parents=True, exist_ok=True)
    path, written = folder / NAME, folder / f"{NAME}.new"
    written.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    os.replace(written, path)
    return path


def load(path: Path) -> Results:
    """Read a file of results, or that of a folder."""
    found: Results = json.loads((path / NAME if path.is_dir() else path).read_text(encoding="utf-8"))
    return found


def key_of(record: Mapping[str, Any]) -> Key:
    """Return which circuit a record is about."""
    return record["family"], record["qubits"], record["precision"], record["dense"]


def done(records: Sequence[Mapping[str, Any]], names: Mapping[str, Sequence[str]]) -> set[Key]:
    """Return which circuits all the simulators of their precision have run; ``names`` are those by precision."""
    return {key_of(record) for record in records if {*names[record["precision"]]} <= {*record["simulators"]}}


def merge(several: Sequence[Results]) -> Results:
    """Return results of one machine as one: of every simulator and circuit the latest.

    A simulator's ratio stays that of its own run, since it holds what stood beside it there.

    Raises:
        ParameterError: if they are of several machines or numbers of threads.
    """
    last = several[-1]
    owners = [{key: results["machine"].get(key) for key in ("cpu", "threads")} for results in several]
    if any(owner != owners[-1] for owner in owners):
        raise ParameterError(expected("results to put together", "of one machine and number of threads", owners))
    records: dict[Key, dict[str, Any]] = {}
    for results in several:
        for record in results["records"]:
            earlier = records.get(key_of(record), {"simulators": {}})
            records[key_of(record)] = {**record, "simulators": earlier["simulators"] | record["simulators"]}
    commits = dict.fromkeys(c for results in several for c in results["machine"].get("commit", "").split(", ") if c)
    return {
        "command": last.get("command", []),
        "machine": {**last["machine"], "commit": ", ".join(commits)},
        "ceilings": next((results["ceilings"] for results in reversed(several) if results["ceilings"]), {}),
        "simulators": {name: found for results in several for name, found in results["simulators"].items()},
        "records": list(records.values()),
    }
