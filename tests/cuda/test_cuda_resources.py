"""What ptxas makes of every kernel: no spills, no local memory, on all architectures; the page of occupancies is current."""

from __future__ import annotations

import pytest

from . import occupancy
from .conftest import _missing
from .occupancy import ARCHITECTURES, PAGE, blocks_per_multiprocessor, resources

if reason := _missing():
    pytest.skip(reason, allow_module_level=True)

from . import emulated


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_kernel_spills(architecture: str) -> None:
    found = resources(architecture)
    assert set(found) == set(emulated.module().entries)
    wrong = {name: needs for name, needs in found.items() if needs.stack_bytes or needs.spilled_bytes}
    assert not wrong
    for name, needs in found.items():
        assert needs.registers <= 255, name
        assert blocks_per_multiprocessor(architecture, name) >= 1, f"{name} can't be launched"
    assert ".local" not in emulated.ptx(f"compute_{architecture}")


def test_the_page_is_current() -> None:
    if emulated.release() not in PAGE.read_text():
        pytest.skip(f"the page was made by another ptxas than {emulated.release()}")
    assert PAGE.read_text() == occupancy.document(), "python -m tests.cuda.occupancy"
