"""What the segments of a plan need: which qubits have amplitudes there, which bits will be read, what is reached from where.

Forwards: a qubit has amplitudes from its first use to its measurement or reset; between, and before, it is a basis state.
Backwards: a bit is needed where a condition may read it before it is written again.
"""

from __future__ import annotations

from collections.abc import Sequence

from .classical import bits_read
from .plan import AssignEnd, Branch, ChannelEnd, End, Jump, Loop, MeasureEnd, ResetEnd, Segment, Terminator

__all__ = ["joining", "least_amplitudes", "live_bits", "reachable", "registers_of", "successors"]


def successors(end: Terminator) -> tuple[int, ...]:
    """Return the segments that may come next."""
    match end:
        case End():
            return ()
        case Branch(_, then, otherwise):
            return then, otherwise
        case Loop(_, body, after, _):
            return body, after
    return (end.next,)


def joining(ends: Sequence[Terminator], branch: Branch) -> int | None:
    """Return where the arms of a branch meet if nothing is drawn or decided in them: then they need not part."""
    then, otherwise = ends[branch.then], ends[branch.otherwise]
    after = [end.next if isinstance(end, Jump) and not end.left else None for end in (then, otherwise)]
    if after[0] == branch.otherwise:
        return branch.otherwise
    if after[1] == branch.then:
        return branch.then
    return after[0] if after[0] == after[1] else None


def registers_of(
    ends: Sequence[Terminator], used: Sequence[int], channels: Sequence[tuple[int, ...]], entry: int, initial: int
) -> list[tuple[int, ...]]:
    """Return the register of every segment: the qubits that may hold amplitudes there.

    ``used`` are masks of the qubits that the operations of a segment touch, ``channels`` the qubits of every channel,
    ``initial`` a mask of those that are not |0⟩ at the entry.
    """
    active = [0] * len(ends)  # on arrival
    active[entry] = initial
    reached = {entry}
    pending = [entry]
    registers = list(used)  # what is never reached keeps these
    while pending:
        here = pending.pop()
        end = ends[here]
        registers[here] = active[here] | used[here]
        left = registers[here]
        match end:
            case MeasureEnd(targets) | ResetEnd(targets):
                left &= ~_mask(targets)
            case ChannelEnd(channel):
                left |= _mask(channels[channel])
                registers[here] = left
            case Branch(_, then, otherwise) if (meeting := joining(ends, end)) is not None:
                # What the arms use, and what is used where they meet: a measured qubit that comes back there need not leave.
                left |= used[then] | used[otherwise] | used[meeting]
                registers[here] = left
        for following in successors(end):
            if following not in reached or left & ~active[following]:
                reached.add(following)
                active[following] |= left
                pending.append(following)
    return [tuple(q for q in range(mask.bit_length()) if mask >> q & 1) for mask in registers]


def least_amplitudes(segments: Sequence[Segment], entry: int) -> int:
    """Return the amplitudes that a single history holds at most: where its register changes, those before and after."""
    most = 1 + (1 << len(segments[entry].register))
    for segment in segments:
        here = 1 << len(segment.register)
        for following in successors(segment.end):
            register = segments[following].register
            stays = register == segment.register and not isinstance(segment.end, ResetEnd)
            most = max(most, here if stays else here + (1 << len(register)))
    return most


def live_bits(ends: Sequence[Terminator]) -> list[frozenset[int]]:
    """Return for every segment the classical bits that an expression may read at its end or later, as they are on arrival."""
    live: list[frozenset[int]] = [frozenset()] * len(ends)
    changed = True
    while changed:
        changed = False
        for here, end in enumerate(ends):
            after: frozenset[int] = frozenset().union(*(live[following] for following in successors(end)))
            match end:
                case MeasureEnd(_, clbits):
                    after -= set(clbits)
                case AssignEnd(clbits, value):
                    after = (after - set(clbits)) | bits_read(value)
                case Branch(condition) | Loop(condition):
                    after |= bits_read(condition)
            if after != live[here]:
                live[here], changed = after, True
    return live


def reachable(ends: Sequence[Terminator]) -> list[int]:
    """Return for every segment the mask of the segments that a run may still come to, itself included."""
    reach = [1 << here for here in range(len(ends))]
    changed = True
    while changed:
        changed = False
        for here, end in enumerate(ends):
            mask = reach[here]
            for following in successors(end):
                mask |= reach[following]
            if mask != reach[here]:
                reach[here], changed = mask, True
    return reach


def _mask(qubits: Sequence[int]) -> int:
    return sum(1 << qubit for qubit in qubits)
