"""Each barrier of each kernel is left out in turn: the checks must see it, or it stands in the list of redundant ones."""

from __future__ import annotations

import pytest

from qsim_core.errors import QsimError
from qsim_core.types import Precision

from .conftest import Emulated
from .exercises import exercise, kernel_names

#: Barriers that may be left out, by kernel and place among its barriers, and why they stay.
REDUNDANT = {
    ("marginal_f64", 2): "a thread reads back the places it wrote itself, as long as both loops deal them out alike",
    (
        "overlap",
        0,
    ): "before the first sum of a block nobody reads its shared memory; before the next ones somebody does",
    ("reduce_density", 0): "as in overlap",
    ("slope", 0): "as in overlap",
    ("weigh_costs", 0): "as in overlap",
}


def test_the_exercises_are_of_all_kernels(native_cuda: Emulated) -> None:
    from . import emulated

    assert {name for name, _, _ in kernel_names()} == set(emulated.module().entries)


@pytest.mark.parametrize(("name", "kernel", "precision"), list(kernel_names()), ids=[n for n, _, _ in kernel_names()])
def test_a_missing_barrier_is_seen(native_cuda: Emulated, name: str, kernel: str, precision: Precision) -> None:
    from . import emulated

    card, module = native_cuda.card, emulated.module()
    before = card.launched[name]
    exercise(kernel, native_cuda.backend, precision, blocks=1)
    assert card.launched[name] > before, "the exercise does not use this kernel"
    unseen = []
    for place, instruction in enumerate(module.barriers(name)):
        module.skipped[name] = instruction
        try:
            # One order of threads is enough to see a race, the other to see a wrong number.
            seen, reached = False, module.skips
            for card.reverse in (False, True):
                try:
                    exercise(kernel, native_cuda.backend, precision, blocks=1)
                except (QsimError, AssertionError):
                    seen = True
                    break
        finally:
            module.skipped.clear()
            card.reverse = False
        assert module.skips > reached, f"the exercise does not come to barrier {place} of {name}"
        if not seen:
            unseen.append(place)
    assert unseen == [place for key, place in REDUNDANT if name.removeprefix("qsim_").startswith(key)]
