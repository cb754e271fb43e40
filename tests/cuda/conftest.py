"""Both drivers on a GPU that is not there: the kernels' PTX runs on the CPU with every check."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.planner import planner_available


@dataclass(frozen=True)
class Emulated:
    """A CUDA backend and the stand-in below it: ``card.memory``, ``card.reverse``."""

    backend: Backend
    card: Any


def _missing() -> str | None:
    from . import emulated

    if platform.machine() != "x86_64" or shutil.which("g++") is None:
        return "the PTX runner needs g++ on x86-64"
    if emulated.nvcc() is None:
        return "needs nvcc: pip install qsim-core[test-cuda]"
    return None if planner_available() else "needs the built core"


@pytest.fixture(scope="session")
def native_cuda() -> Emulated:
    if reason := _missing():
        pytest.skip(reason)
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    from . import emulated
    from .fake_driver import FakeDriver

    card = FakeDriver(lambda image: emulated.module())
    return Emulated(NativeCudaBackend(NativeDevice(card.table, image=b"PTX")), card)


@pytest.fixture(scope="session")
def cupy_cuda() -> Emulated:
    if reason := _missing():
        pytest.skip(reason)
    from qsim_core.kernels.cupy_cuda import CupyCudaBackend, CupyDevice

    from . import emulated
    from .fake_cupy import FakeCupy

    card = FakeCupy(emulated.module_of_text)
    return Emulated(CupyCudaBackend(CupyDevice(card)), card)


@pytest.fixture(params=["native_cuda", "cupy_cuda"])
def cuda(request: pytest.FixtureRequest) -> Emulated:
    """Each driver in turn."""
    result: Emulated = request.getfixturevalue(request.param)
    result.card.reverse = False
    return result


@pytest.fixture
def registered(cuda: Emulated, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulated]:
    """The driver under its name, as Simulator(backend=…) finds it."""
    monkeypatch.setitem(registry._loaded, cuda.backend.name, cuda.backend)
    monkeypatch.delitem(registry._reasons, cuda.backend.name, raising=False)
    yield cuda
