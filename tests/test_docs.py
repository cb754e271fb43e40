"""The documentation does what it says: Python blocks run in order, command lines succeed, drawings are true."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import qsim
from qsim.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the examples in it."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples/bell.qasm", tmp_path / "program.qasm")  # the name of "your file" in the pages
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run(page: Path, folder: Path) -> None:
    source = page.read_text(encoding="utf-8")
    if "plot" in source:
        pytest.importorskip("matplotlib")
    for framework in re.findall(r"^import (torch|jax|qibo)$", source, re.MULTILINE):
        pytest.importorskip(framework)
    namespace: dict[str, Any] = {"__name__": page.stem}
    for match in _BLOCK.finditer(source):
        language, text = match.groups()
        line = source.count("\n", 0, match.start()) + 2  # for tracebacks
        if language == "python":
            exec(compile("\n" * (line - 1) + text, str(page), "exec"), namespace)
        elif language == "console":
            for command in re.findall(r"^\$ qsim (.*)$", text, re.MULTILINE):
                outcome = CliRunner().invoke(main, shlex.split(command))
                assert outcome.exit_code == 0, f"{page.name}: $ qsim {command}\n{outcome.output}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([\w./-]+\.\w+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_drawing_of_the_tour_is_what_draw_gives() -> None:
    blocks = _BLOCK.findall((ROOT / "docs/tour.md").read_text(encoding="utf-8"))
    drawing = next(text for language, text in blocks if language == "text")
    assert drawing.rstrip("\n") == str(qsim.Circuit(2).h(0).cx(0, 1).measure_all().draw())


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.qasm")), ids=lambda path: path.name)
def test_examples_say_what_they_do(example: Path) -> None:
    assert example.read_text(encoding="utf-8").startswith("// ")
