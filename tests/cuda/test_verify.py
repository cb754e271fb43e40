"""`qsim verify --device cuda` on the emulated drivers: right kernels pass, wrong ones are found, no GPU is said clearly."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qsim.cli import closed_forms, cuda_verification, main
from qsim.cli.exits import Exit
from qsim_core.kernels import registry
from qsim_core.kernels.cuda_backend import CudaBackend
from qsim_core.kernels.cupy_cuda import CupyCudaBackend, CupyDevice
from qsim_core.types import Precision

from .conftest import _missing

if reason := _missing():
    pytest.skip(reason, allow_module_level=True)

from . import emulated
from .fake_cupy import FakeCupy
from .fake_driver import FakeDriver


@pytest.fixture
def drivers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, CudaBackend]]:
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    module = emulated.module()
    driver = FakeDriver(lambda image: module)
    found: dict[str, CudaBackend] = {
        "native_cuda": NativeCudaBackend(NativeDevice(driver.table, 0, b"kernels")),
        "cupy_cuda": CupyCudaBackend(CupyDevice(FakeCupy(lambda text: module))),
    }
    monkeypatch.setattr(registry, "_loaded", {**registry._loaded, **found})
    monkeypatch.setattr(registry, "_reasons", {})
    monkeypatch.setattr(cuda_verification, "SIZES", ((2, 6), (6, 10)))
    monkeypatch.setattr(cuda_verification, "VERB_QUBITS", (1, 4))
    monkeypatch.setattr(cuda_verification, "conforms", lambda backend, precision: None)  # test_cuda_backend.py runs it
    yield found


def call(*arguments: str) -> Any:
    return CliRunner().invoke(main, ["verify", "--device", "cuda", "--no-sanitizer", *arguments])


def test_both_drivers_pass(drivers: dict[str, CudaBackend], tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    outcome = call("--largest", "5", "--json", str(report))
    assert outcome.exit_code == Exit.OK, outcome.output
    found = json.loads(report.read_text())
    assert found["ok"] and {check["backend"] for check in found["checks"]} == set(drivers)
    kinds = {check["name"] for check in found["checks"]}
    assert set(closed_forms.FORMS) < kinds and {"conformance", "verbs", "random circuits"} <= kinds
    assert found["devices"]["native_cuda"]["name"] == "Fake H100"


def test_a_wrong_kernel_is_found(drivers: dict[str, CudaBackend], monkeypatch: pytest.MonkeyPatch) -> None:
    correct = CudaBackend.run_stage

    def wrong(self: CudaBackend, plan: Any, stage: Any, coefficients: Any, amps: Any, control: Any) -> None:
        correct(self, plan, stage, coefficients, amps, control)
        if plan.precision is Precision.SINGLE:
            amps[:, -1] = amps[:, -1] * -1  # the last amplitude's sign

    for verb in ("run_stage", "run_from_zero"):
        monkeypatch.setattr(CudaBackend, verb, wrong)
    outcome = call("--largest", "4", "--backend", "native_cuda", "--json", "-")
    assert outcome.exit_code == Exit.FAILED
    bad = [check for check in json.loads(outcome.stdout)["checks"] if not check["ok"]]
    assert {check["precision"] for check in bad} == {"single"}
    assert {"random circuits", "GHZ"} <= {check["name"] for check in bad}
