"""The command line: ``qsim run circuit.qasm`` and its neighbours, one file per command.

Nothing but click and the package itself is imported to show help; numba, matplotlib and backends load when needed.
"""

from __future__ import annotations

import click

from qsim_core import __version__

from .calibrate import calibrate
from .convert import convert
from .draw import draw
from .exits import EXIT_CODES, Group
from .info import info
from .plan import plan
from .run import run
from .show import show
from .verify import verify

__all__ = ["main"]

_EXAMPLES = """\
\b
Examples:
  qsim run bell.qasm                         counts of 1024 shots
  qsim run bell.qasm --shots 100000 --seed 7 --json result.json
  qsim run ansatz.qasm --param theta=pi/4 --observable "Z0 Z1"
  qsim draw bell.qasm                        the circuit as text
  qsim plan big.qasm                         memory and time, before anything is allocated
  qsim calibrate                             how fast this machine is, for predicted times
  qsim info                                  what this machine offers
  cat bell.qasm | qsim run - --json -        as one part of a pipeline
"""


@click.group(
    cls=Group,
    help=f"Simulate quantum circuits: OpenQASM 2 and 3 files, or Programs as JSON.\n\n{_EXAMPLES}",
    epilog=f"{EXIT_CODES}\n\nqsim COMMAND --help explains each command.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(__version__, prog_name="qsim")
@click.option("--debug", is_flag=True, help="Show the whole traceback of an error.")
def main(debug: bool) -> None:
    """Simulate quantum circuits."""  # the text above is what --help shows


for _command in (run, draw, plan, calibrate, info, verify, convert, show):
    main.add_command(_command)
