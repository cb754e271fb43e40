"""``python -m qsim``: the command line where the ``qsim`` script is not on the path."""

from .cli import main

main(prog_name="qsim")
