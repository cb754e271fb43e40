"""Registers, live bits and reachable segments of small plans, by hand."""

from __future__ import annotations

from qsim_core.classical import Bits
from qsim_core.liveness import joining, live_bits, reachable, registers_of, successors
from qsim_core.plan import Branch, ChannelEnd, End, Jump, Loop, MeasureEnd, ResetEnd, Terminator

# Segments are numbered from the end, as the emitter does.
LINE: list[Terminator] = [End(), ResetEnd((1,), 0), MeasureEnd((0, 2), (0, 1), 1)]
ARMS: list[Terminator] = [End(), Jump(0), Jump(0), Branch(Bits((3,)), 1, 2), MeasureEnd((0,), (3,), 3)]
LOOP: list[Terminator] = [End(), Loop(Bits((0,)), 2, 0, 9), MeasureEnd((1,), (0,), 1), Jump(1)]


def test_measured_qubits_leave_and_come_back_when_used() -> None:
    used = [0b001, 0, 0b111]
    assert registers_of(LINE, used, [], 2, 0) == [(0,), (1,), (0, 1, 2)]
    assert registers_of(LINE, [0, 0, 0b001], [], 2, 0) == [(), (), (0,)]  # idle qubits never come
    assert registers_of(LINE, [0, 0, 0b001], [], 2, 0b110) == [(), (1,), (0, 1, 2)]  # unless the state was given


def test_arms_that_do_not_part_bring_their_qubits_before() -> None:
    assert joining(ARMS, ARMS[3]) == 0  # type: ignore[arg-type]
    assert joining([End(), Jump(0), Branch(Bits((0,)), 1, 0)], Branch(Bits((0,)), 1, 0)) == 0
    assert joining(LINE, Branch(Bits((0,)), 1, 2)) is None
    used = [0, 0b0100, 0b1000, 0, 0b0011]
    assert registers_of(ARMS, used, [], 4, 0) == [(1, 2, 3), (1, 2, 3), (1, 2, 3), (1, 2, 3), (0, 1)]


def test_loops_come_to_rest() -> None:
    """What the body leaves active is active at its next round."""
    assert registers_of(LOOP, [0, 0, 0b11, 0b100], [], 3, 0) == [(0, 2), (0, 2), (0, 1, 2), (2,)]
    assert registers_of([End(), ChannelEnd(0, 0)], [0, 0], [(2, 1)], 1, 0) == [(1, 2), (1, 2)]


def test_bits_live_until_they_are_read_or_written() -> None:
    assert live_bits(ARMS) == [set(), set(), set(), {3}, set()]
    assert live_bits(LOOP) == [set(), {0}, set(), {0}]


def test_what_can_still_be_reached() -> None:
    assert reachable(LINE) == [0b001, 0b011, 0b111]
    assert reachable(LOOP) == [0b0001, 0b0111, 0b0111, 0b1111]
    assert successors(ARMS[3]) == (1, 2) and successors(End()) == ()
