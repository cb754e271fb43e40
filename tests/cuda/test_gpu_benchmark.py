"""`python -m benchmarks gpu` from end to end on the emulated drivers: every part runs, the report holds what it found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from benchmarks import gpu
from benchmarks.__main__ import main
from benchmarks.circuits import CIRCUITS
from benchmarks.peers import PEERS
from click.testing import CliRunner

from qsim.cli import closed_forms
from qsim_core.kernels.cuda_backend import CudaBackend

from .conftest import Emulated


@pytest.fixture
def small(registered: Emulated, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulated:
    """Sizes an emulator manages; no peers in any environment."""
    monkeypatch.setenv("QSIM_BENCHMARK_CACHE", str(tmp_path / "none"))
    monkeypatch.setattr(gpu, "available", lambda: {registered.backend.name: registered.backend})
    few = {name: CIRCUITS[name] for name in ("ghz", "qft")}
    monkeypatch.setattr(gpu, "CIRCUITS", few)
    monkeypatch.setattr(gpu, "COPY_BYTES", 1 << 16)
    return registered


def run(folder: Path) -> tuple[Any, Any]:
    outcome = CliRunner().invoke(main, ["gpu", "-n", "5", "--largest", "5", "--repeat", "1", "-o", str(folder)])
    assert (folder / "results.json").exists(), outcome.output
    return outcome, json.loads((folder / "results.json").read_text())


def test_everything_is_measured_and_reported(small: Emulated, tmp_path: Path) -> None:
    outcome, found = run(tmp_path)
    assert outcome.exit_code == 0, outcome.output
    name = small.backend.name
    device = found["devices"][name]
    assert device["name"] == "Fake H100" and device["copy_bytes_per_second"] > 0
    circuits = {(r["circuit"], r["precision"]) for r in found["runs"]}
    assert len(circuits) == 2 * (2 + 18) and {("ghz", "single"), ("cp, middle", "double")} <= circuits
    for r in found["runs"]:
        assert r["seconds"] > 0 and r["predicted"] > 0 and r["of_copy_bandwidth"] > 0
        assert r["bytes"] == r["sweeps"] * 2 * (8 if r["precision"] == "single" else 16) << 5
    forms = {(c["name"], c["qubits"]) for c in found["checks"]}
    assert forms == {(form, n) for form in closed_forms.FORMS for n in (4, 5)} and all(c["ok"] for c in found["checks"])
    assert set(found["absent"]) == {*(peer for peer in PEERS if PEERS[peer].gpu), "custatevec"}
    for record in found["peers"]:
        assert record["simulators"]["qsim-core"]["setting"] == {"backend": name}
    report = (tmp_path / "report.md").read_text()
    for line in ("Fake H100", "cp, middle", "All hold.", "lightning-gpu is not installed", f"up to {5} qubits"):
        assert line in report
    assert small.card.memory.in_use == 0


def test_a_wrong_card_is_reported_as_such(small: Emulated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    correct = CudaBackend.run_stage

    def wrong(self: CudaBackend, plan: Any, stage: Any, coefficients: Any, amps: Any, control: Any) -> None:
        correct(self, plan, stage, coefficients, amps, control)
        amps[:, -1] = amps[:, -1] * -1  # the last amplitude's sign

    for verb in ("run_stage", "run_from_zero"):
        monkeypatch.setattr(CudaBackend, verb, wrong)
    outcome, found = run(tmp_path)
    assert outcome.exit_code != 0 and "a check failed" in outcome.output
    assert "WRONG" in (tmp_path / "report.md").read_text() and not all(c["ok"] for c in found["checks"])
