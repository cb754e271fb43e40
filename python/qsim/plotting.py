"""Pictures of results, with matplotlib: counts as bars, states as probabilities and phases.

Colours are those of Okabe and Ito (2008), which people with any colour vision tell apart; nothing is said by colour
alone.
matplotlib is imported on the first picture, without pyplot: no window, no global state, safe in threads and servers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim_core.errors import ParameterError, UnsupportedError, expected

if TYPE_CHECKING:
    from .result import Result

__all__ = ["INK", "PALETTE", "histogram", "new_figure", "plot_result", "state_plot"]

INK = "#222222"
BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#999999"
PALETTE = {"gate": "#D6EAF5", "rotation": "#FBEBCB", "measure": "#E6E6E6", "control": BLUE}


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of this size in inches.

    Raises:
        UnsupportedError: where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnsupportedError(
            expected("picture", "matplotlib", "no such package", "Install it: pip install matplotlib")
        ) from error
    return Figure(figsize=(width, height), dpi=150, facecolor="white")


def plot_result(result: Result, path: str | Path | None = None, *, top: int = 16) -> Any:
    """Return a figure of the counts, or without shots of the state, and write it to ``path``."""
    if result.shots is not None:
        figure = histogram(result.counts, top=top)
    else:
        figure = state_plot(result.largest_amplitudes(top), result.num_qubits)
    if path is not None:
        suffix = Path(path).suffix.lower()
        if suffix not in (".png", ".svg", ".pdf"):
            raise ParameterError(expected("file name of a plot", "one ending in .png, .svg or .pdf", repr(str(path))))
        figure.savefig(path)
    return figure


def histogram(counts: Mapping[str, int], *, top: int = 16, title: str = "") -> Any:
    """Return a figure of the ``top`` most frequent outcomes, sorted; the rest is one grey bar.

    Horizontal, so that long bit strings stay readable; every bar carries its share.
    """
    shots = sum(counts.values())
    rows = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shown, hidden = rows[:top], rows[top:]
    labels = [key or "(no bits)" for key, _ in shown]
    values = [count / shots for _, count in shown]
    figure, axes = _bars(labels, values, [BLUE] * len(shown), extra=bool(hidden))
    if hidden:
        rest = sum(count for _, count in hidden) / shots
        _add_rest(axes, len(shown), rest, max(values), f"{len(hidden)} others")
    axes.set_xlabel("share of shots")
    outcomes = f"{len(rows):,} outcome{'s' if len(rows) != 1 else ''}"
    axes.set_title(title or f"{shots:,} shots, {outcomes}", size=11, loc="left")
    return figure


def state_plot(rows: Sequence[tuple[int, complex]], num_qubits: int) -> Any:
    """Return a figure of basis states (index, amplitude): bars are probabilities, their colour is the phase."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    labels = [f"|{index:0{num_qubits}b}⟩" if num_qubits else "| ⟩" for index, _ in rows]
    values = [abs(value) ** 2 for _, value in rows]
    phases = np.angle([value for _, value in rows]) if rows else np.zeros(0)
    colours = ScalarMappable(Normalize(-np.pi, np.pi), _phase_colours())
    notes = [_degrees(float(phase)) for phase in phases]
    rest = 1 - sum(values)
    figure, axes = _bars(labels, values, [tuple(row) for row in colours.to_rgba(phases)], notes, extra=rest > 1e-4)
    if rest > 1e-4:
        _add_rest(axes, len(rows), rest, max(values), "all others")
    axes.set_xlabel("probability")
    axes.set_title(f"{num_qubits} qubit{'s' if num_qubits != 1 else ''}: largest amplitudes", size=11, loc="left")
    bar = figure.colorbar(colours, ax=axes, pad=0.02, fraction=0.035, aspect=25)
    bar.set_ticks([-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi], labels=["−180°", "−90°", "0°", "90°", "180°"])
    bar.ax.tick_params(labelsize=8, length=0, labelfontfamily="sans-serif")
    bar.outline.set_visible(False)
    bar.set_label("phase", size=9)
    return figure


def _degrees(phase: float) -> str:
    """Return whole degrees with a true minus sign; -180° is written 180°."""
    whole = round(np.degrees(phase))
    return f"{180 if whole == -180 else whole:+d}°".replace("+0", "0").replace("-", "−")


def _percent(value: float) -> str:
    """Return a share with three digits.

    >>> _percent(1.0), _percent(0.0625), _percent(0.00577)
    ('100%', '6.25%', '0.577%')
    """
    return f"{100 * value:#.3g}".rstrip(".") + "%"


def _phase_colours() -> Any:
    """Return a circular colour map through four colours of the palette: phases near ±180° look alike."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("phase", ["#CC79A7", BLUE, "#009E73", ORANGE, "#CC79A7"])


def _bars(
    labels: Sequence[str], values: Sequence[float], colours: Sequence[Any], notes: Sequence[str] | None = None,
    *, extra: bool = False,
) -> tuple[Any, Any]:  # fmt: skip
    """Return figure and axes with horizontal bars, the first on top, each with its value written beside it."""
    num_bars = len(labels) + extra
    longest = max((len(label) for label in labels), default=1)
    figure = new_figure(min(14.0, 5.6 + 0.09 * longest), 1.3 + 0.32 * max(2, num_bars))
    figure.set_layout_engine("constrained")
    axes = figure.add_subplot()
    places = np.arange(len(labels))
    axes.barh(places, values, height=0.72, color=colours)
    most = max(values, default=1.0) or 1.0
    for place, value in enumerate(values):
        note = _percent(value) + (f"  {notes[place]}" if notes else "")
        axes.text(value + 0.012 * most, place, note, va="center", size=9, color=INK)
    axes.set_yticks(places, labels, family="monospace", size=10 if longest <= 24 else 8)
    axes.set_ylim(num_bars - 0.4, -0.6)
    axes.set_xlim(0, most * (1.28 if notes else 1.16))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
    axes.tick_params(axis="both", length=0, colors=INK)
    axes.grid(axis="x", color="#e5e5e5", lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "bottom"):
        axes.spines[side].set_visible(False)
    axes.spines["left"].set_color(GREY)
    return figure, axes


def _add_rest(axes: Any, place: int, rest: float, most: float, label: str) -> None:
    """Add the grey bar of everything not shown, cut where it would dwarf the others."""
    cut = rest > most
    axes.barh([place], [min(rest, most)], height=0.72, color="#d0d0d0", hatch="///" if cut else None, edgecolor="white")
    axes.text(min(rest, most) * 1.0 + 0.012 * most, place, _percent(rest), va="center", size=9, color=INK)
    ticks, names = list(axes.get_yticks()), [text.get_text() for text in axes.get_yticklabels()]
    axes.set_yticks([*ticks, place], [*names, label])
