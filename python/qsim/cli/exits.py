"""What the shell is told: exit codes, and errors as one or two lines without a traceback."""

from __future__ import annotations

import enum
import io
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from qsim_core.errors import MemoryBudgetError, ProgramFormatError, QsimError

__all__ = ["EXIT_CODES", "Exit", "Group", "InputError", "complain", "exit_code"]


class Exit(enum.IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    BAD_INPUT = 3
    NO_MEMORY = 4
    INTERRUPTED = 130


EXIT_CODES = """\
\b
Exit codes:
  0  done              3  the input file is malformed
  1  the run failed    4  it does not fit in memory
  2  wrong usage     130  interrupted (Ctrl-C)"""


class InputError(QsimError):
    """An input file that can't be read as what it should be; carries the cause's text."""


def exit_code(error: BaseException) -> Exit:
    """Return the exit code of an error, by its type."""
    match error:
        case click.UsageError():
            return Exit.USAGE
        case InputError() | ProgramFormatError():
            return Exit.BAD_INPUT
        case MemoryBudgetError() | MemoryError():
            return Exit.NO_MEMORY
        case click.Abort() | KeyboardInterrupt():
            return Exit.INTERRUPTED
    return Exit.FAILED


def complain(error: BaseException, *, debug: bool = False) -> Exit:
    """Print an error on stderr the way its reader needs it and return the exit code."""
    if debug:
        traceback.print_exception(error)
    match error:
        case click.UsageError():
            where = error.ctx.command_path if error.ctx else "qsim"
            click.echo(f"{where}: {error.format_message()}\nTry '{where} --help' for help.", err=True)
        case click.ClickException():
            click.echo(f"qsim: {error.format_message()}", err=True)
        case click.Abort() | KeyboardInterrupt():
            click.echo("qsim: interrupted.", err=True)
        case QsimError():
            click.echo(f"qsim: {error}", err=True)
        case MemoryError():
            click.echo("qsim: out of memory. `qsim plan FILE` says what the run needs.", err=True)
        case OSError():
            click.echo(f"qsim: {error.filename or 'input/output'}: {error.strerror or error}", err=True)
        case _:
            click.echo(
                f"qsim: internal error, {type(error).__name__}: {error}\n"
                "Please report it with the traceback that --debug shows.",
                err=True,
            )
    return exit_code(error)


class Group(click.Group):
    """A click group that lists its commands in the order they were added and ends with our exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, most used first."""
        return list(self.commands)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **options: Any,
    ) -> Any:
        """Run the command line and exit; with ``standalone_mode=False`` errors are raised instead."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **options)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a question mark is better than an error about one character
        given = sys.argv[1:] if args is None else list(args)
        debug = "--debug" in given
        if debug:  # also understood after the command's name, where one adds it to a line that failed
            given = ["--debug", *(word for word in given if word != "--debug")]
        try:
            code = super().main(given, prog_name, complete_var, standalone_mode=False, **options)
        except BaseException as error:
            if isinstance(error, SystemExit):
                raise
            code = complain(error, debug=debug)
        sys.exit(code if isinstance(code, int) else Exit.OK)
