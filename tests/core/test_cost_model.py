"""The cost model: what it adds up, and constants that come from a file anybody may have written."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.cost_model import CostModel, Rates, Work, default_model
from qsim_core.errors import ParameterError
from qsim_core.types import Precision

MODEL = CostModel(
    "by hand",
    Rates(1, 2, 3, 4, 5, 6, 7, 8, 9),
    Rates(10, 20, 30, 40, 50, 60, 70, 80, 90),
    bandwidth=1e9,
    fresh=1e-9,
    start=1e-6,
)
WORK = Work((0, 1), 10, tiles=4, steps=1, moved=100, touched=1, rotations=1, lanes=1, diagonals=1, entries=1, copies=1)


def test_the_sum_by_hand() -> None:
    core = 1e-9 * (1 + 2 * 100 + 3 + 4 + 5 + 6 + 8)
    once = 1e-9 * (7 + 9 * 10)
    one, four, many = (MODEL.seconds([WORK], Precision.SINGLE, threads)[0] for threads in (1, 4, 64))
    assert one == pytest.approx(core + once)
    memory = 16 * 100 / 1e9  # more than a quarter of the work: the limit of several threads
    assert four == many == pytest.approx(memory + once)
    assert MODEL.run_seconds([WORK, WORK], Precision.SINGLE, 1, 1000) == pytest.approx(2e-6 + 2 * one)
    assert WORK.flops == 6 and WORK.bytes(Precision.DOUBLE) == 3200


def test_tiles_limit_threads() -> None:
    fast = CostModel("", MODEL.single, MODEL.double, bandwidth=1e15, fresh=1, start=1)
    times = [fast.seconds([WORK], Precision.DOUBLE, threads)[0] for threads in (1, 2, 4, 8)]
    assert times[0] > times[1] > times[2] == times[3]


@pytest.mark.parametrize("isa", ["avx512", "avx2", "generic", "", "sve"])
@pytest.mark.parametrize("cpu", ["", "AMD EPYC 9R14", "Intel(R) Xeon(R) Platinum", "Apple M3", "x" * 1000])
def test_defaults_for_whatever_machine(isa: str, cpu: str) -> None:
    model = default_model(isa, cpu)
    assert CostModel.from_json(json.loads(json.dumps(model.to_json()))) == model
    single, double = (model.seconds([WORK], precision, 1)[0] for precision in Precision)
    assert 0 < single < double


def test_wider_vectors_cost_less() -> None:
    work = replace(WORK, touched=1e9, rotations=5e9, diagonals=1e9)
    for precision in Precision:
        times = [default_model(isa).seconds([work], precision, 1)[0] for isa in ("avx512", "avx2", "generic")]
        assert times == sorted(times)


junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(data=junk, place=st.sampled_from(["", "bandwidth", "fresh", "start", "single", "double", "single.moved"]))
def test_hostile_constants_are_refused(data: object, place: str) -> None:
    good = MODEL.to_json()
    if place == "single.moved":
        good["single"]["moved"] = data
    elif place:
        good[place] = data
    try:
        model = CostModel.from_json(good if place else data)
    except ParameterError:
        return
    numbers = [model.bandwidth, model.fresh, model.start]
    numbers += [getattr(rates, field.name) for rates in (model.single, model.double) for field in fields(Rates)]
    assert all(1e-15 <= number <= 1e15 for number in numbers)
