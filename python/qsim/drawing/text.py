"""A circuit as text: one line per wire, one between two wires for what connects them, wrapped to the terminal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass

from qsim_core.errors import ParameterError, expected

from ..circuit import Circuit
from .layout import BARRIER, BOX, CONTROL, EDGE, NOT, OPEN_CONTROL, SWAP, Cell, Column, Layout, lay_out

__all__ = ["TextDrawing", "draw_text"]

_LEAST_WIDTH = 30


class TextDrawing(str):
    """Text that a prompt or notebook shows as it is, without quotes and escapes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@dataclass(frozen=True, slots=True)
class _Style:
    wire: str
    link: str
    crossing: str
    left: str
    right: str
    symbols: dict[str, str]
    barrier: str
    edge: str


_UNICODE = _Style("─", "│", "┼", "┤ ", " ├", {CONTROL: "●", OPEN_CONTROL: "○", NOT: "⊕", SWAP: "×"}, "░", "╎")
_ASCII = _Style("-", "|", "+", "[ ", " ]", {CONTROL: "@", OPEN_CONTROL: "o", NOT: "X", SWAP: "x"}, ":", "!")
_PLAIN = str.maketrans({"π": "pi", "→": "->", "⟩": ">", "†": "dg", "…": "...", "ψ": "psi"})


def draw_text(circuit: Circuit, *, width: int | None = None, ascii: bool = False) -> TextDrawing:
    """Return the drawing, wrapped into blocks of at most ``width`` characters (default: the terminal's).

    Qubit 0 is on top. ● and ○ are controls on 1 and 0, ⊕ is X under controls, × is one end of a swap; a gate on several
    targets has a box on each, numbered in the order of its qubits.

    >>> draw_text(Circuit(2).h(0).cx(0, 1), ascii=True)
    q0: -[ H ]--@--
                |
    q1: --------X--
    """
    if width is None:
        width = shutil.get_terminal_size((100, 24)).columns
    if width < _LEAST_WIDTH:
        raise ParameterError(expected("width of a drawing", f"at least {_LEAST_WIDTH}", width))
    layout = lay_out(circuit)
    style = _ASCII if ascii else _UNICODE
    if not layout.wires:
        return TextDrawing("(no qubits)")
    groups = _wrapped(layout, style, width)
    blocks = ["\n".join(_block(layout, columns, style)) for columns in groups]
    text = "\n".join([*layout.header, "\n\n".join(blocks), *layout.footer])
    return TextDrawing(text.translate(_PLAIN) if ascii else text)


def _label(cell: Cell, style: _Style) -> str:
    """Return what stands on the wire for a cell."""
    if cell.kind == BOX:
        return f"{style.left}{_plain(cell.label, style)}{style.right}"
    if cell.kind == EDGE:
        return f"{style.edge} {_plain(cell.label, style)} {style.edge}" if cell.label else style.edge
    return style.barrier if cell.kind == BARRIER else style.symbols[cell.kind]


def _plain(text: str, style: _Style) -> str:
    return text.translate(_PLAIN) if style is _ASCII else text


def _width(column: Column, style: _Style) -> int:
    """Return the columns of text needed, odd so that lines between boxes have a middle."""
    widest = max(len(_label(cell, style)) for cell in column.cells.values())
    return widest if widest % 2 else widest + 1


def _wrapped(layout: Layout, style: _Style, width: int) -> list[list[Column]]:
    """Return the columns in groups that fit in ``width``; a column wider than that stands alone."""
    room = width - max(map(len, layout.wires)) - 4
    groups: list[list[Column]] = [[]]
    used = 0
    for column in layout.columns:
        needed = _width(column, style) + 2
        if groups[-1] and used + needed > room:
            groups.append([])
            used = 0
        groups[-1].append(column)
        used += needed
    return groups


def _block(layout: Layout, columns: list[Column], style: _Style) -> list[str]:
    margin = max(map(len, layout.wires)) + 2
    wires = [f"{name}:".ljust(margin) + style.wire for name in layout.wires]
    gaps = [" " * (margin + 1)] * len(wires)
    for column in columns:
        size = _width(column, style)
        linked = {wire for low, high in column.links for wire in range(low, high)}  # to the wire below
        for wire in range(len(wires)):
            cell = column.cells.get(wire)
            bare = style.crossing if {wire - 1, wire} <= linked else style.wire
            label = bare if cell is None else _label(cell, style)
            wires[wire] += _centred(label, size, style.wire) + style.wire * 2
            mark = _link(column, wire, style) if wire in linked else " "
            gaps[wire] += _centred(mark, size, " ") + "  "
    return [line.rstrip() for pair in zip(wires, gaps, strict=True) for line in pair][:-1]


def _link(column: Column, wire: int, style: _Style) -> str:
    """Return what joins a wire with the one below: barriers and blocks have their own line."""
    low = next(low for low, high in column.links if low <= wire < high)
    kind = column.cells[low].kind
    return {EDGE: style.edge, BARRIER: style.barrier}.get(kind, style.link)


def _centred(text: str, size: int, fill: str) -> str:
    """str.center would put the odd character now left, now right."""
    left = (size - len(text)) // 2
    return fill * left + text + fill * (size - len(text) - left)
