"""``qsim show``: a result that was saved, as text again."""

from __future__ import annotations

import click

from . import options
from .exits import EXIT_CODES
from .report import result_lines

__all__ = ["show"]

_HELP = f"""Print results saved by `qsim run --json` or Result.save, after checking them.

\b
Examples:
  qsim run bell.qasm --json bell.json
  qsim show bell.json --plot bell.png

{EXIT_CODES}"""


@click.command(help=_HELP, short_help="Print saved results.")
@click.argument("name", metavar="RESULT.json", type=click.Path(exists=True, dir_okay=False))
@click.option("--plot", metavar="OUT", type=options.OutFile(".png", ".svg", ".pdf"), help="Draw it too.")
def show(name: str, plot: str | None) -> None:
    """Print every result of the file."""
    from ..result_file import load_all

    results = load_all(name)
    if plot and len(results) != 1:
        raise click.UsageError(f"--plot takes a file with one result, {name} has {len(results)}.")
    for result in results:
        click.echo("\n".join(result_lines(result)))
        if plot:
            result.plot(plot)
