"""Channels drawn ahead: the numbers, and so the choices, are those drawn one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import presampling
from qsim_core.classical import Bits
from qsim_core.executor import pick
from qsim_core.kernels.control import RunControl
from qsim_core.mixtures import identity_of, mixture_weights
from qsim_core.plan import ChannelEnd, Plan
from qsim_core.presampling import Presampled
from qsim_core.program import Program, ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.trivial_plan import trivial_plan

X, Z, ID = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)
MIXTURES = st.sampled_from(
    [((ID, X, Z), (0.9, 0.07, 0.03)), ((X, ID), (0.2, 0.8)), ((X, ID, Z), (0.1, 0.8, 0.1)), ((X, Z), (0.5, 0.5)),
     ((X, Z, ID), (0.3, 0.3, 0.4)), ((X,), (1.0,)), ((ID,), (1.0,)), ((ID, X), (0.0, 1.0))]
)  # fmt: skip


def in_a_row(mixtures: list[tuple[tuple[np.ndarray, ...], tuple[float, ...]]]) -> tuple[Program, Plan]:
    builder = ProgramBuilder(1)
    for matrices, weights in mixtures:
        builder.rotation("X", 0.1, (0,))
        builder.channel(list(matrices), (0,), weights)
    program = builder.finish()
    return program, trivial_plan(program, shrink=True)


@given(st.lists(MIXTURES, min_size=2, max_size=6), st.integers(0, 1000), st.integers(0, 3), st.data())
@settings(max_examples=50, deadline=None)
def test_draws_ahead_are_draws(mixtures: list, seed: int, visit: int, data: st.DataObject) -> None:  # type: ignore[type-arg]
    program, plan = in_a_row(mixtures)
    source, shots = RandomSource(seed), 40
    ahead = Presampled(plan, program.channels, source, shots)
    chain, place = ahead.places[plan.entry]
    assert place == 0 and len(chain.segments) == len(mixtures)
    drawn = ahead.drawn(chain, visit, shots, 1, RunControl())
    assert drawn is not None and drawn is ahead.drawn(chain, visit, 1, 1, RunControl())
    at, asked = data.draw(st.integers(0, len(mixtures))), np.array(data.draw(st.permutations(range(shots))))
    found = drawn.seek(asked, at)
    every = np.zeros(shots, dtype=np.int64)
    for k, segment in enumerate(chain.segments):
        end = plan.segments[segment].end
        assert isinstance(end, ChannelEnd)
        channel = program.channels[end.channel]
        wanted = pick(mixture_weights(channel)[None], every, source.uniforms(segment, visit, 0, shots))[asked]
        if k < at:
            continue
        here = drawn.place[found] == k
        assert (here == (wanted != identity_of(channel))).all()
        np.testing.assert_array_equal(drawn.choice[found[here]], wanted[here])
        found += here
    assert (drawn.place[found] == len(mixtures)).all()


def test_what_makes_a_chain() -> None:
    """One register, nothing that leads into its middle, and not too many errors."""
    builder = ProgramBuilder(2, 1)
    builder.rotation("X", 0.1, (0,))
    for qubit in (0, 0, 1, 1):  # another register from the third on
        builder.channel([ID, X], (qubit,), (0.5, 0.5))
    builder.measure((0,), (0,))
    builder.begin_if(Bits((0,)))
    builder.channel([ID, Z], (1,), (0.5, 0.5))
    builder.end_block()
    for _ in range(2):  # the first is come to from both sides of the condition
        builder.channel([ID, X], (1,), (0.5, 0.5))
    program = builder.finish()
    plan = trivial_plan(program, shrink=True, defer=False)
    ahead = Presampled(plan, program.channels, RandomSource(1), 10)
    lengths = {len(chain.segments) for chain, _ in ahead.places.values()}
    assert sorted(place for _, place in ahead.places.values()) == [0, 0, 0, 0, 1, 1, 1] and lengths == {1, 2}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(presampling, "_ERRORS", 6)
        cut = Presampled(plan, program.channels, RandomSource(1), 10)
    assert {len(chain.segments) for chain, _ in cut.places.values()} == {1}


def test_few_shots_draw_alone_until_all_are_cheaper() -> None:
    program, plan = in_a_row([((ID, X), (0.9, 0.1))] * 3)
    shots = 10 * (presampling.CALL_COST + 10 * presampling.SHOT_COST)
    ahead = Presampled(plan, program.channels, RandomSource(1), shots)
    chain, _ = ahead.places[plan.entry]
    asked = [ahead.drawn(chain, 0, 10, 0, RunControl()) is not None for _ in range(12)]
    assert asked == [False] * 9 + [True] * 3
    assert (
        ahead.drawn(chain, 1, 1, shots, RunControl()) is not None
    )  # a large state: passes are worth more than numbers
