"""On a machine with a card: `pytest -m gpu`. Everything else in this folder runs where there is none."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from qsim.cli import main
from qsim.cli.exits import Exit


@pytest.mark.gpu
def test_the_card_of_this_machine_passes() -> None:
    """Conformance, closed forms as large as fit, and itself under compute-sanitizer where that is installed."""
    outcome = CliRunner().invoke(main, ["verify", "--device", "cuda"])
    assert outcome.exit_code == Exit.OK, outcome.output
