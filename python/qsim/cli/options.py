"""Options that several commands share, and the values they take."""

from __future__ import annotations

import ast
import math
import operator
import os
from collections.abc import Callable
from typing import Any

import click
from click.shell_completion import CompletionItem

__all__ = [
    "BACKEND",
    "INCLUDE",
    "JSON_OUT",
    "PARAM",
    "PRECISION",
    "THREADS",
    "Assignment",
    "OutFile",
    "known_backend",
    "number",
]

_BINARY: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
_NAMES = {"pi": math.pi, "tau": math.tau, "π": math.pi}


def number(text: str) -> float:
    """Return the value of a number or of arithmetic with pi.

    >>> number("-3*pi/4") == -3 * math.pi / 4
    True

    Raises:
        ValueError: for anything else, division by zero and values that are not finite included.
    """
    if len(text) > 200:
        raise ValueError("too long")
    try:
        value = _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ZeroDivisionError, OverflowError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not math.isfinite(value):
        raise ValueError("not finite")
    return value


def _value(node: ast.expr) -> float:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            return float(value)
        case ast.Name(id=name) if name in _NAMES:
            return _NAMES[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return _BINARY[type(op)](_value(left), _value(right))
    raise ValueError("not arithmetic")


class Assignment(click.ParamType):  # type: ignore[type-arg]  # generic in newer versions of click only
    """``name=value`` with arithmetic in pi on the right."""

    name = "NAME=VALUE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Return name and value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"expected NAME=VALUE such as theta=0.5, got {value!r}.", param, ctx)
        try:
            return name.strip(), number(text)
        except ValueError:
            given = f"{name.strip()}={text.strip()}"
            self.fail(f"expected a finite number such as 0.5 or pi/4 after =, got {given!r}.", param, ctx)


class OutFile(click.Path):
    """A file to write: its folder must exist and its name end as it should, before anything runs."""

    def __init__(self, *suffixes: str, allow_dash: bool = False) -> None:
        super().__init__(dir_okay=False, writable=True, allow_dash=allow_dash)
        self.suffixes = suffixes

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the checked name."""
        name = str(super().convert(value, param, ctx))
        if name == "-" and self.allow_dash:
            return name
        if self.suffixes and not name.lower().endswith(self.suffixes):
            self.fail(f"expected a name ending in {' or '.join(self.suffixes)}, got {name!r}.", param, ctx)
        folder = os.path.dirname(name) or "."
        if not os.path.isdir(folder):
            self.fail(f"folder {folder!r} does not exist.", param, ctx)
        return name


def known_backend(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """Check a backend's name as an option is read."""
    from qsim_core.kernels import registry

    names = ("auto", *registry.names())
    if value is not None and value not in names:
        raise click.BadParameter(f"expected {', '.join(names)}, got {value!r}. `qsim info` explains them.")
    return value


def _backends(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    from qsim_core.kernels import registry

    return [CompletionItem(name) for name in ("auto", *registry.names()) if name.startswith(incomplete)]


PRECISION = click.option(
    "--precision",
    type=click.Choice(["double", "single"]),
    default="double",
    show_default=True,
    help="16 or 8 bytes per amplitude.",
)
BACKEND = click.option(
    "--backend",
    default="auto",
    show_default=True,
    metavar="NAME",
    callback=known_backend,
    shell_complete=_backends,
    help="Who runs it; `qsim info` lists the names.",
)
THREADS = click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="At most so many threads (default: all we may use)."
)
PARAM = click.option(
    "--param",
    "params",
    type=Assignment(),
    multiple=True,
    metavar="NAME=VALUE",
    help="Value of a circuit parameter, such as theta=pi/4. May be repeated.",
)
JSON_OUT = click.option(
    "--json", "json_out", metavar="OUT", type=OutFile(allow_dash=True), help="Write JSON; - is standard output."
)
INCLUDE = click.option(
    "--allow-include",
    is_flag=True,
    help="Let the file include other files of its folder (standard libraries are built in).",
)
