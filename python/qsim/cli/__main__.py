"""``python -m qsim.cli``: the command line where the ``qsim`` script is not on the path."""

from . import main

main(prog_name="qsim")
