"""Smoke: the PTX of other architectures than the one everything else runs on compiles, and every kernel of it is right."""

from __future__ import annotations

import pytest

from .conftest import _missing
from .exercises import exercise, kernel_names

if reason := _missing():
    pytest.skip(reason, allow_module_level=True)

from . import emulated
from .fake_driver import FakeDriver


@pytest.mark.parametrize("arch", ["compute_80", "compute_100", "compute_120"])
def test_every_kernel(arch: str) -> None:
    from qsim_core.kernels.native_cuda import NativeCudaBackend, NativeDevice

    card = FakeDriver(lambda image: emulated.module(arch))
    backend = NativeCudaBackend(NativeDevice(card.table, image=b"PTX"))
    for name, kernel, precision in kernel_names():
        exercise(kernel, backend, precision)
        assert card.launched[name], name
    assert not card.faults
