"""Results as text: bars for counts and probabilities, values, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from qsim_core.resources import format_seconds
from qsim_core.types import Precision

from ..result import Result
from .terminal import can_show

__all__ = ["counts_lines", "expectation_lines", "provenance_line", "result_lines", "state_lines"]

TOP = 16
_BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(fraction: float, width: int = _BAR) -> str:
    """Return a bar of up to ``width`` characters, in eighths where the terminal has them; whatever is above zero shows.

    >>> bar(0.5, 4)
    '██  '
    """
    if not can_show(_EIGHTHS):
        return ("#" * (max(1, round(width * fraction)) if fraction > 0 else 0)).ljust(width)
    eighths = max(1, round(8 * width * fraction)) if fraction > 0 else 0
    full, rest = divmod(min(eighths, 8 * width), 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def counts_lines(counts: Mapping[str, int], shots: int, top: int = TOP) -> Iterator[str]:
    """Yield one line per outcome, most frequent first, bars relative to the first."""
    shown = list(counts.items())[:top]
    most = max((count for _, count in shown), default=1)
    digits = len(str(most))
    for key, count in shown:
        yield f"  {key or '(no bits)'}  {bar(count / most)} {count:>{digits}}  {count / shots:7.2%}"
    if len(counts) > top:
        rest = sum(list(counts.values())[top:])
        yield f"  … {len(counts) - top} more outcomes, together {rest} ({rest / shots:.2%})"


def state_lines(result: Result, top: int = TOP) -> Iterator[str]:
    """Yield one line per basis state, largest amplitude first: probability, amplitude, phase."""
    rows, num_qubits = result.largest_amplitudes(top), result.num_qubits
    digits = 4 if result.state.precision is Precision.SINGLE else 6
    most = max((abs(value) ** 2 for _, value in rows), default=1.0)
    total = 0.0
    for index, value in rows:
        probability = abs(value) ** 2
        total += probability
        key = format(index, f"0{num_qubits}b") if num_qubits else ""
        phase = math.degrees(math.atan2(value.imag, value.real))
        amplitude = f"{value.real:+.{digits}f}{value.imag:+.{digits}f}i"
        yield f"  |{key}⟩  {bar(probability / most)} {probability:8.4%}  {amplitude}  {phase:+7.1f}°"
    if total < 1 - 1e-4:
        yield f"  … the rest together {1 - total:.2%}"


def expectation_lines(labels: Sequence[str], values: Iterable[float]) -> Iterator[str]:
    """Yield one line per observable."""
    width = max(map(len, labels), default=0)
    for label, value in zip(labels, values, strict=True):
        yield f"  ⟨{label}⟩{' ' * (width - len(label))} = {value:+.10g}"


def provenance_line(result: Result) -> str:
    """Return where the numbers come from, on one line."""
    p = result.provenance
    seconds = sum(p["seconds"].values())
    device = f" ({str(p['device']).split(',')[0]})" if p.get("device") else ""
    threads = f"{p['threads']} thread{'s' if p['threads'] != 1 else ''}"
    where = f"{p['backend']}{device}, {p['precision']} precision, {threads}"
    return f"{format_seconds(seconds)} on {where}, seed {p['seed']}"


def result_lines(result: Result) -> Iterator[str]:
    """Yield everything a result has to say, for people."""
    name = result.provenance.get("file", "")
    wires = f"{result.num_qubits} qubit{'s' if result.num_qubits != 1 else ''}"
    shots = f", {result.shots} shots" if result.shots is not None else ""
    yield f"{name + ': ' if name else ''}{wires}{shots}"
    if result.shots is not None:
        yield from counts_lines(result.counts, result.shots)
    elif result.has_state:
        yield from state_lines(result)
    if len(result.expectations):
        names = [f"H{k}" for k in range(len(result.expectations))]
        yield from expectation_lines(result.provenance.get("observables", names), result.expectations)
    yield provenance_line(result)
