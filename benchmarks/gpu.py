"""A GPU measured: copy bandwidth, kernels, circuit families beside other simulators and the cost model, large checks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

from qsim import Circuit
from qsim.cli.closed_forms import checks
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.cuda_backend import CudaBackend
from qsim_core.kernels.cuda_cost import Card, count_work, predict_seconds
from qsim_core.planner import TileShape, native_plan
from qsim_core.types import Precision

from . import machine
from .circuits import CIRCUITS
from .compare import REFERENCE, compare
from .peers import PEERS, qsim_core
from .peers.environments import PeerError, Player, start
from .peers.worker import Played
from .report import table
from .timing import median_seconds

__all__ = ["available", "copy_bandwidth", "families", "kernels", "measure", "reasons", "write"]

NAMES = ("native_cuda", "cupy_cuda")
#: NVIDIA's library behind our contract, one call an operation: a peer like any other.
CUSTATEVEC = "custatevec"
COPY_BYTES = 1 << 30


def available() -> dict[str, CudaBackend]:
    """Return the CUDA backends that work here."""
    found = {name: registry.backend(name) for name in NAMES if registry.availability(name) is None}
    return {name: backend for name, backend in found.items() if isinstance(backend, CudaBackend)}


def reasons() -> dict[str, str | None]:
    """Return why the others do not."""
    return {name: registry.availability(name) for name in NAMES}


def copy_bandwidth(backend: CudaBackend, repeat: int = 5) -> float:
    """Return bytes read and written per second by a copy inside the device."""
    device = backend.device
    size = min(COPY_BYTES, device.memory_free() // 4)
    source, target = device.allocate(size), device.allocate(size)
    try:
        taken = median_seconds(lambda: (device.copy(target, source, size), device.synchronize()), repeat)
    finally:
        device.free(source)
        device.free(target)
    return 2 * size / taken


def _run(backend: CudaBackend, circuit: Circuit, precision: Precision, bandwidth: float, repeat: int) -> dict[str, Any]:
    """Return the time of a plan on a state that is there already, beside the model's and a copy's."""
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, tile=TileShape.of_gpu(precision))
    work = count_work(plan, program)
    values = plan.coefficients(program)
    amps = backend.allocate(1, circuit.num_qubits, precision)
    backend.fill_zero_state(amps)

    def run() -> None:
        for stage in plan.segments[plan.entry].stages:
            backend.run_stage(plan, stage, values, amps, RunControl())

    seconds = median_seconds(run, repeat)
    return {
        "circuit": circuit.name, "qubits": circuit.num_qubits, "precision": precision.value, "backend": backend.name,
        "gates": circuit.num_gates, "sweeps": work.sweeps, "seconds": seconds, "bytes": sum(work.bytes),
        "predicted": predict_seconds(work, Card.of(backend.device.properties)),
        "of_copy_bandwidth": sum(work.bytes) / seconds / bandwidth,
    }  # fmt: skip


def kernels(num_qubits: int) -> list[Circuit]:
    """Return circuits of one gate each: every kind of kernel, at low, middle and high qubits."""
    result = []
    for place, q in (("low", 0), ("middle", num_qubits // 2), ("high", num_qubits - 2)):
        for name, build in {
            "h": lambda c, q: c.h(q),
            "u3": lambda c, q: c.u3(0.1, 0.2, 0.3, q),
            "cx": lambda c, q: c.cx(q, q + 1),
            "cp": lambda c, q: c.cp(0.3, q, q + 1),
            "swap": lambda c, q: c.swap(q, q + 1),
            "fsim": lambda c, q: c.fsim(0.1, 0.2, q, q + 1),
        }.items():
            circuit = Circuit(num_qubits, name=f"{name}, {place}")
            build(circuit, q)
            result.append(circuit)
    return result


def families(
    backend: CudaBackend, names: Sequence[str], num_qubits: int, bandwidth: float, repeat: int
) -> list[dict[str, Any]]:
    """Return one record for each family and precision."""
    return [
        _run(backend, CIRCUITS[name](num_qubits), precision, bandwidth, repeat)
        for precision in Precision
        for name in names
    ]


class _OnCard:
    """Ourselves beside the peers, in this process: a card is opened once."""

    def __init__(self, backend: str) -> None:
        settings = [{"backend": backend}]
        adapter = SimpleNamespace(
            versions=qsim_core.versions, settings=lambda precision: settings, build=qsim_core.build
        )
        self._played = Played(adapter)

    def ask(self, **request: Any) -> Any:
        return self._played.answer(request)

    def close(self) -> None:
        pass


def _players(say: Callable[[str], None]) -> tuple[dict[str, Player], dict[str, str]]:
    """Return other simulators on GPUs that start here, and for the others why they do not."""
    players: dict[str, Player] = {}
    absent = {}
    for name in (name for name, peer in PEERS.items() if peer.gpu):
        try:
            players[name] = start(name, 1)
        except PeerError as error:
            absent[name] = str(error)
            say(f"{name} is left out: {error}")
    reason = registry.availability(CUSTATEVEC)
    if reason is None:
        players[CUSTATEVEC] = _OnCard(CUSTATEVEC)
    else:
        absent[CUSTATEVEC] = reason
        say(f"{CUSTATEVEC} is left out: {reason}")
    return players, absent


def measure(
    backends: Mapping[str, CudaBackend], qubits: Sequence[int], largest: int, repeat: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Return everything about the card, for JSON."""
    results: dict[str, Any] = {"machine": machine.describe(1), "devices": {}, "runs": [], "checks": [], "peers": []}
    for name, backend in backends.items():
        properties = backend.device.properties
        bandwidth = copy_bandwidth(backend, repeat=repeat)
        facts = {key: getattr(properties, key) for key in properties.__dataclass_fields__}
        results["devices"][name] = {**facts, "copy_bytes_per_second": bandwidth, "peak": properties.bandwidth}
        say(f"{name}: {properties.name}, copies {bandwidth / 1e9:.0f} GB/s")
        for n in qubits:
            for precision in Precision:
                results["runs"] += [_run(backend, c, precision, bandwidth, repeat) for c in kernels(n)]
            results["runs"] += families(backend, tuple(CIRCUITS), n, bandwidth, repeat)
        for precision in Precision:
            for n in range(4, largest + 1):
                if 2.2 * (precision.bytes_per_amplitude << n) > backend.device.memory_free():
                    say(f"{name}: {n} qubits in {precision.value} precision do not fit")
                    break
                results["checks"] += [{**check, "backend": name} for check in checks(name, n, precision)]
    players, results["absent"] = _players(say)
    players[REFERENCE] = _OnCard(next(iter(backends)))
    try:
        results["peers"] = list(compare(players, tuple(CIRCUITS), qubits, ("single", "double"), 1, repeat, {}, say=say))
    finally:
        for player in players.values():
            player.close()
    return results


def write(results: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write results.json and report.md."""
    folder.mkdir(parents=True, exist_ok=True)
    data, text = folder / "results.json", folder / "report.md"
    data.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    text.write_text(_report(results), encoding="utf-8")
    return [data, text]


def _report(results: Mapping[str, Any]) -> str:
    devices = [
        [name, str(d["name"]), f"{d['copy_bytes_per_second'] / 1e9:.0f}", f"{d['peak'] / 1e9:.0f}"]
        for name, d in results["devices"].items()
    ]
    runs = [
        [r["backend"], r["circuit"], str(r["qubits"]), r["precision"], str(r["sweeps"]), f"{r['seconds'] * 1e3:.4g}",
         f"{r['predicted'] * 1e3:.4g}", f"{r['of_copy_bandwidth']:.0%}"]
        for r in results["runs"]
    ]  # fmt: skip
    failed = [
        [c["backend"], c["name"], str(c["qubits"]), c["precision"], f"{c['error']:.2e}", c["problem"]]
        for c in results["checks"]
        if not c["ok"]
    ]
    most = max((c["qubits"] for c in results["checks"]), default=0)
    peers = [
        [record["family"], str(record["qubits"]), record["precision"], name,
         f"{median(entry['state']) * 1e3:.4g}" if entry.get("state") else entry.get("error", "")]
        for record in results["peers"]
        for name, entry in record["simulators"].items()
    ]  # fmt: skip
    absent = [f"* {name}: {reason}" for name, reason in results["absent"].items()]
    parts = [
        "# A GPU measured",
        table(["what", "value"], [[key, str(value)] for key, value in results["machine"].items()]),
        table(["backend", "device", "copy, GB/s", "peak, GB/s"], devices),
        "## Circuits: time on a state that is there, in milliseconds",
        table(["backend", "circuit", "n", "precision", "sweeps", "measured", "predicted", "of copy bandwidth"], runs),
        f"## Closed forms, up to {most} qubits",
        table(["backend", "circuit", "n", "precision", "error", "problem"], failed) if failed else "All hold.",
        "## Beside other simulators, milliseconds until the state is in the host's memory",
        table(["family", "n", "precision", "simulator", "time"], peers),
        *(["Left out:\n\n" + "\n".join(absent)] if absent else []),
    ]
    return "\n\n".join(parts) + "\n"
