"""Circuits as text and as pictures. ``layout`` decides what stands where; ``text`` and ``figure`` only paint it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qsim_core.errors import ParameterError, expected

from ..circuit import Circuit
from .text import TextDrawing, draw_text

__all__ = ["TextDrawing", "draw", "draw_text"]

_PICTURES = (".svg", ".png", ".pdf")


def draw(circuit: Circuit, path: str | Path | None = None, *, width: int | None = None, ascii: bool = False) -> Any:
    """Return a text drawing, or write one to a .txt file or a picture to .svg, .png or .pdf.

    Raises:
        ParameterError: for another file name.
        UnsupportedError: for a picture where matplotlib is not installed, or of a circuit too long for one.
    """
    suffix = "" if path is None else Path(path).suffix.lower()
    if path is None or suffix == ".txt":
        text = draw_text(circuit, width=width, ascii=ascii)
        if path is not None:
            Path(path).write_text(f"{text}\n", encoding="utf-8")
        return text
    if suffix not in _PICTURES:
        allowed = f"one ending in .txt, {', '.join(_PICTURES)}"
        raise ParameterError(expected("file name of a drawing", allowed, repr(str(path))))
    from .figure import draw_figure

    figure = draw_figure(circuit)
    figure.savefig(path)
    return figure
