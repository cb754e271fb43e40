"""A circuit as a picture, with matplotlib; imported only when somebody asks for one."""

from __future__ import annotations

from typing import Any

from qsim_core.errors import UnsupportedError, expected

from ..circuit import Circuit
from ..plotting import INK, PALETTE, new_figure
from .layout import BARRIER, BOX, CONTROL, EDGE, NOT, OPEN_CONTROL, SWAP, Cell, Column, lay_out

__all__ = ["draw_figure"]

#: In drawing units: one is the distance of two wires.
_CHARACTER = 0.15
_GAP = 0.35
_ROW_WIDTH = 22.0
_HALF = 0.32
_MAX_ROWS = 60
_INCHES = 0.5


def draw_figure(circuit: Circuit) -> Any:
    """Return a matplotlib figure of the circuit, wrapped into rows; qubit 0 is on top.

    Raises:
        UnsupportedError: where matplotlib is missing, or for a circuit of more rows than a picture holds.
    """
    layout = lay_out(circuit)
    rows = _rows(layout.columns)
    num_wires = max(1, len(layout.wires))
    if len(rows) > _MAX_ROWS or len(rows) * num_wires > 2000:
        raise UnsupportedError(
            expected("circuit in a picture", f"at most {_MAX_ROWS} rows", f"{len(rows)}", "Draw a part, or draw text.")
        )
    margin = _CHARACTER * max((len(name) for name in layout.wires), default=1) + 0.3
    width = margin + max((sum(map(_width, row)) for row in rows), default=0.0) + 0.4
    height = len(rows) * (num_wires + 0.6) - 1.0 + 0.5 * bool(layout.header) + 0.5 * bool(layout.footer)
    figure = new_figure(width * _INCHES + 0.3, height * _INCHES + 0.2)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.3, width), ylim=(height, -0.6), aspect="equal")
    axes.axis("off")
    top = 0.0
    for note in layout.header:
        axes.text(0, top, note, color=INK, size=10, va="center")
        top += 0.6
    for row in rows:
        _paint_row(axes, layout.wires, row, top, margin)
        top += num_wires + 0.6
    for note in layout.footer:
        axes.text(0, top - 0.3, note, color=INK, size=10, va="center")
    return figure


def _width(column: Column) -> float:
    return max(_box_width(cell.label) for cell in column.cells.values()) + _GAP


def _box_width(label: str) -> float:
    return max(2 * _HALF, _CHARACTER * len(label) + 0.42)


def _rows(columns: list[Column]) -> list[list[Column]]:
    rows: list[list[Column]] = [[]]
    used = 0.0
    for column in columns:
        if rows[-1] and used + _width(column) > _ROW_WIDTH:
            rows.append([])
            used = 0.0
        rows[-1].append(column)
        used += _width(column)
    return rows


def _paint_row(axes: Any, wires: list[str], row: list[Column], top: float, margin: float) -> None:
    end = margin + sum(map(_width, row)) + 0.2
    for wire, name in enumerate(wires):
        axes.plot([margin - 0.1, end], [top + wire] * 2, color=INK, lw=0.9, zorder=1)
        axes.text(margin - 0.25, top + wire, name, color=INK, size=10, ha="right", va="center")
    left = margin
    for column in row:
        width = _width(column)
        x = left + width / 2
        for low, high in column.links:
            kind = column.cells[low].kind
            if kind not in (BARRIER, EDGE):
                axes.plot([x, x], [top + low, top + high], color=PALETTE["control"], lw=1.4, zorder=2)
            elif kind == EDGE:
                axes.plot([x, x], [top + low - 0.4, top + high + 0.4], color=INK, lw=1, ls=(0, (2, 2)), zorder=2)
        for wire, cell in column.cells.items():
            _paint_cell(axes, cell, x, top + wire)
        left += width


def _paint_cell(axes: Any, cell: Cell, x: float, y: float) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

    dark = PALETTE["control"]
    match cell.kind:
        case kind if kind in (CONTROL, OPEN_CONTROL):
            fill = dark if kind == CONTROL else "white"
            axes.add_patch(Circle((x, y), 0.1, facecolor=fill, edgecolor=dark, lw=1.4, zorder=4))
        case kind if kind == NOT:
            axes.add_patch(Circle((x, y), 0.24, facecolor="white", edgecolor=dark, lw=1.4, zorder=3))
            axes.plot([x, x], [y - 0.24, y + 0.24], color=dark, lw=1.4, zorder=4)
            axes.plot([x - 0.24, x + 0.24], [y, y], color=dark, lw=1.4, zorder=4)
        case kind if kind == SWAP:
            for sign in (1, -1):
                axes.plot([x - 0.13, x + 0.13], [y - 0.13 * sign, y + 0.13 * sign], color=dark, lw=1.6, zorder=4)
        case kind if kind == BARRIER:
            axes.add_patch(Rectangle((x - 0.12, y - 0.5), 0.24, 1.0, facecolor="#d9d9d9", lw=0, zorder=0))
        case kind if kind == EDGE:
            if cell.label:
                dashes = (0, (2, 2))
                box = {"facecolor": "white", "edgecolor": INK, "lw": 0.8, "ls": dashes, "boxstyle": "round,pad=0.25"}
                axes.text(x, y, cell.label, color=INK, size=9, ha="center", va="center", zorder=5, bbox=box)
        case kind if kind == BOX:
            fill, width = _colour(cell.label), _box_width(cell.label)
            shape = FancyBboxPatch(
                (x - width / 2, y - _HALF), width, 2 * _HALF, boxstyle="round,pad=0,rounding_size=0.08",
                facecolor=fill, edgecolor=INK, lw=0.9, zorder=3,
            )  # fmt: skip
            axes.add_patch(shape)
            axes.text(x, y, cell.label, color=INK, size=9.5, ha="center", va="center", zorder=4)


def _colour(label: str) -> str:
    """Return the fill of a box: measurement and reset differ from gates by colour as well as by text."""
    if label.startswith(("M→", "|")):
        return PALETTE["measure"]
    return PALETTE["rotation"] if "(" in label else PALETTE["gate"]
