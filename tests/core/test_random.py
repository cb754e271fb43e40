"""Random numbers by position: the number for (seed, run, batch, site, visit, shot) never depends on how it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.errors import ParameterError
from qsim_core.random import RandomSource, fresh_seed


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**64 - 1), site=st.integers(0, 2**20), visit=st.integers(0, 2**20),
    first=st.integers(0, 2**40), count=st.integers(1, 20), skip=st.integers(0, 19),
)  # fmt: skip
def test_any_split_gives_the_same_numbers(seed: int, site: int, visit: int, first: int, count: int, skip: int) -> None:
    source = RandomSource(seed)
    numbers = source.uniforms(site, visit, first, count)
    rest = source.uniforms(site, visit, first + min(skip, count), count - min(skip, count))
    np.testing.assert_array_equal(numbers[min(skip, count) :], rest)
    assert ((numbers >= 0) & (numbers < 1)).all()


def test_every_part_of_the_position_matters() -> None:
    places = [
        (s, r, b, site, visit) for s in (0, 1) for r in (0, 1) for b in (0, 1) for site in (0, 1) for visit in (0, 1)
    ]
    places += [(2**63, 0, 0, 0, 0), (0, 2**31, 0, 0, 0), (0, 0, 2**31, 0, 0), (0, 0, 0, 2**31, 0), (0, 0, 0, 0, 2**31)]
    rows = {tuple(RandomSource(s, r, b).uniforms(site, visit, 0, 8)) for s, r, b, site, visit in places}
    assert len(rows) == len(places)
    assert len({x for row in rows for x in row}) == 8 * len(places)


def test_numbers_are_uniform_and_uncorrelated() -> None:
    stats = pytest.importorskip("scipy.stats")
    sites = np.array([RandomSource(3).uniforms(site, 0, 0, 500) for site in range(20)])
    assert stats.kstest(sites.ravel(), "uniform").pvalue > 1e-3
    assert np.abs(np.corrcoef(sites) - np.eye(20)).max() < 0.2
    assert np.abs(np.corrcoef(sites[:, :-1].ravel(), sites[:, 1:].ravel())[0, 1]) < 0.05


def test_these_numbers_never_change() -> None:
    """Philox 4x64-10, four shots to a step of the counter: a published seed must give the same shots in every version."""
    raw = np.random.Philox(key=5 | (2 << 32 | 1) << 64, counter=7 | 3 << 64 | 4 << 128).random_raw(4)
    wanted = (raw >> np.uint64(11)) / 2**53
    np.testing.assert_array_equal(RandomSource(5, 2, 1).uniforms(3, 4, 28, 4), wanted)
    np.testing.assert_array_equal(
        RandomSource(5, 2, 1).uniforms_at(3, 4, np.array([30, 28, 29, 31] * 3))[:2], wanted[[2, 0]]
    )


def test_the_core_and_numpy_generate_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    source = RandomSource(2**64 - 1, 3, 2**31)
    places = [(0, 0, 0, 40_000), (2**63 + 1, 2**64 - 1, 2**40, 5), (5, 6, 2**62, 3)]
    found = [[source.uniforms(*place, threads=threads) for place in places] for threads in (1, 3)]
    monkeypatch.setattr("qsim_core.random._core", None)
    for place, one, other in zip(places, *found, strict=True):
        np.testing.assert_array_equal(one, source.uniforms(*place))
        np.testing.assert_array_equal(one, other)


def test_rows_are_those_of_the_batch_elements(monkeypatch: pytest.MonkeyPatch) -> None:
    source = RandomSource(2**64 - 1, 3, 5)
    found = source.uniforms_of_rows(2**40, 9, rows=4, threads=2)
    monkeypatch.setattr("qsim_core.random._core", None)
    np.testing.assert_array_equal(found, source.uniforms_of_rows(2**40, 9, rows=4))
    for row in range(4):
        np.testing.assert_array_equal(found[row], RandomSource(2**64 - 1, 3, 5 + row).uniforms(2**40, 0, 0, 9))


@pytest.mark.parametrize("source", [RandomSource(2**64 - 1, 3, 2**31), RandomSource(0)])
def test_any_shots_have_their_numbers(source: RandomSource) -> None:
    for shots in ([5], [70_000, 3], range(0, 80_000, 7), [2**40 + k for k in range(20)]):
        index = np.array(shots)
        wanted = [source.uniforms(2**63 + 1, 2**64 - 1, int(shot), 1)[0] for shot in index[:50]]
        np.testing.assert_array_equal(source.uniforms_at(2**63 + 1, 2**64 - 1, index)[:50], wanted)
    whole = source.uniforms(4, 5, 10, 70_000)
    np.testing.assert_array_equal(source.uniforms_at(4, 5, np.arange(10, 70_010)), whole)


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True])
def test_refused_seeds(seed: Any) -> None:
    with pytest.raises(ParameterError, match=r"seed: expected a whole number from 0 to 2\^64-1, got"):
        RandomSource(seed)


def test_fresh_seeds_differ_and_can_be_typed() -> None:
    seeds = {fresh_seed() for _ in range(20)}
    assert len(seeds) == 20 and max(seeds) < 2**53
