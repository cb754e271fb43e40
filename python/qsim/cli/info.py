"""``qsim info``: what this machine offers and what is missing, with the line that repairs it."""

from __future__ import annotations

import os
import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click

from qsim_core import __version__, resources
from qsim_core.kernels import registry
from qsim_core.types import Precision

from . import files, options

__all__ = ["info"]

_PACKAGES = ("numpy", "numba", "click", "matplotlib", "qiskit", "pennylane", "cirq-core", "qibo")
_OURS = "qsim-core"


@click.command(short_help="Show what this machine offers and what is missing.")
@options.JSON_OUT
def info(json_out: str | None) -> None:
    r"""Show versions, processor, memory, backends, and what keeps one from working.

    Attach the output to a report of a problem.

    \b
    Examples:
      qsim info
      qsim info --json -
    """
    facts = collect()
    if json_out:
        files.write_json(facts, json_out)
    if json_out != "-":
        click.echo("\n".join(_lines(facts)))


def collect() -> dict[str, Any]:
    """Return everything as plain data."""
    backends = {}
    for name in registry.names():
        reason = registry.availability(name)
        backends[name] = {
            "available": reason is None,
            "description": registry.backend(name).description if reason is None else "",
            "reason": reason,
        }
    return {
        "qsim": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "cpu": {
            "model": resources.cpu_model(),
            "cores_in_machine": os.cpu_count(),
            "threads": resources.available_threads(),
        },
        "memory": {
            "free_bytes": resources.available_memory(),
            "largest_register": {p.value: resources.largest_register(p) for p in Precision},
        },
        "backends": backends,
        "default_backend": registry.backend("auto").name,
        "gpu": gpu(),
        "import": {"qsim": str(Path(sys.modules["qsim"].__file__ or "?").parent), "clashes": name_clashes()},
    }


def gpu() -> dict[str, Any]:
    """Return the GPUs that the driver shows and what keeps qsim from using them."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        try:
            model = [line for line in path.read_text().splitlines() if line.startswith("Model:")]
        except OSError:
            model = []
        found.append(model[0].partition(":")[2].strip() if model else path.parent.name)
    usable = [name for name in registry.names() if "cuda" in name and registry.availability(name) is None]
    known = any("cuda" in name for name in registry.names())
    note = "" if known else "no GPU backend in this version"
    return {"found": found, "backends": usable, "note": note}


def name_clashes() -> list[str]:
    """Return other installed distributions that own the import name qsim, as `pip install qsim` brings one."""
    owners: set[str] = set()
    for distribution in metadata.distributions():
        top = (distribution.read_text("top_level.txt") or "").split()
        if "qsim" in top or distribution.name.lower() == "qsim":
            owners.add(distribution.name)
    return sorted(owners - {_OURS})


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _lines(facts: dict[str, Any]) -> list[str]:
    cpu, memory, largest = facts["cpu"], facts["memory"], facts["memory"]["largest_register"]
    packages = [f"{name} {version}" for name, version in facts["packages"].items() if version]
    lines = [
        f"qsim      {facts['qsim']}, Python {facts['python']}, {facts['platform']}",
        f"packages  {', '.join(packages)}",
        f"cpu       {cpu['model']}; {cpu['threads']} of {cpu['cores_in_machine']} cores may be used",
        f"memory    {resources.format_bytes(memory['free_bytes'])} free: up to {largest['double']} qubits in double, "
        f"{largest['single']} in single precision",
        "backends",
    ]
    for name, entry in facts["backends"].items():
        default = "  (default)" if name == facts["default_backend"] else ""
        state = f"{entry['description']}{default}" if entry["available"] else f"not available: {entry['reason']}"
        lines.append(f"  {name:<12}{state}")
    graphics = facts["gpu"]
    found = ", ".join(graphics["found"]) or "none found"
    lines.append(f"gpu       {found}{'; ' if graphics['note'] else ''}{graphics['note']}")
    lines.append(f"imported  {facts['import']['qsim']}")
    for name in facts["import"]["clashes"]:
        lines.append(
            f"WARNING   the distribution {name!r} owns `import qsim` too. Repair: "
            f"pip uninstall {name} && pip install --force-reinstall --no-deps {_OURS}"
        )
    return lines
