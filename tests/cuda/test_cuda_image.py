"""The text of the kernels and what compiles it."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from qsim_core.errors import BackendUnavailableError
from qsim_core.kernels import cuda_image

SOURCES = Path(__file__).parents[2] / "cpp" / "cuda"


def test_the_text_is_one_piece_without_includes() -> None:
    """NVRTC knows no include path: what users compile is this string."""
    text = cuda_image.source_text()
    assert "#include" not in text and "#pragma once" not in text
    for path in SOURCES.glob("*.cuh"):
        for part in re.split(r'#include "\w+\.cuh"\n|#pragma once\n', path.read_text()):
            assert part in text, path


def test_nothing_depends_on_values_of_angles() -> None:
    """Numbers come from the program in memory: no template and no macro takes one."""
    assert "__constant__" not in cuda_image.source_text()
    assert not re.search(r"template <[^>]*(float|double) \w", cuda_image.source_text())


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that carries the text, and machine code of it."""
    for path in SOURCES.glob("*.cuh"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(cuda_image, "_INSTALLED", tmp_path)
    monkeypatch.setattr(cuda_image, "_BUILD_INFO", tmp_path / "_build_info.json")  # not of the core that is installed
    monkeypatch.setattr(cuda_image, "compile_with_nvrtc", lambda architecture: architecture.encode())
    (tmp_path / "kernels.fatbin").write_bytes(b"qsim " + cuda_image.stamp().encode() + b"\nco\nde\0")
    return tmp_path


def test_machine_code_of_the_build_comes_first(installed: Path) -> None:
    assert list(cuda_image.images_for((9, 0))) == [b"co\nde\0", b"sm_90"]
    (installed / "kernels.fatbin").unlink()
    assert list(cuda_image.images_for((12, 0))) == [b"sm_120"]


@pytest.mark.parametrize("changed", ["program.cuh", "kernels.cuh"])
def test_machine_code_of_another_text_is_refused(installed: Path, changed: str) -> None:
    """What an update left behind: it would run, and read structs of another layout."""
    with (installed / changed).open("a") as text:
        text.write("// another version\n")
    with pytest.raises(BackendUnavailableError, match=r"CUDA machine code.*qsim [0-9a-f]{16}.*Install qsim-core again"):
        next(cuda_image.images_for((9, 0)))
    (installed / "kernels.fatbin").write_bytes(b"\x50\xed\x55\xba without a stamp")
    with pytest.raises(BackendUnavailableError, match=r"CUDA machine code.*Install qsim-core again"):
        next(cuda_image.images_for((9, 0)))


def test_the_build_writes_the_same_stamp() -> None:
    """setup.py can't import the package it builds."""
    text = (SOURCES.parents[1] / "setup.py").read_text(encoding="utf-8")
    body = text[text.index("def stamp()") : text.index("def _note_path")]
    scope: dict[str, object] = {"hashlib": hashlib, "ROOT": SOURCES.parents[1]}
    exec(body, scope)
    assert scope["stamp"]() == cuda_image.stamp()  # type: ignore[operator]


def test_kernels_of_another_version_than_the_core_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "_build_info.json"
    monkeypatch.setattr(cuda_image, "_BUILD_INFO", note)
    cuda_image.check_version()  # nothing is known of this core
    here = cuda_image.stamp()
    for built in ({"native": True}, {"cuda": here}):
        note.write_text(json.dumps(built))
        assert cuda_image.source_text()
    note.write_text(json.dumps({"cuda": "0123"}))
    for use in (cuda_image.source_text, lambda: next(cuda_image.images_for((9, 0)))):
        with pytest.raises(BackendUnavailableError, match=f"version 0123, the core's.*{here}.*Install qsim-core again"):
            use()


def test_without_nvrtc_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_image, "_nvrtc_candidates", lambda: iter(["/nowhere/libnvrtc.so.13"]))
    with pytest.raises(BackendUnavailableError, match=r"NVRTC.*pip install qsim-core\[cuda13\]"):
        cuda_image.compile_with_nvrtc("sm_90")


def test_what_nvrtc_made_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        cuda_image._nvrtc()
    except BackendUnavailableError as error:
        pytest.skip(str(error))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = 'extern "C" __global__ void k(int* a) { *a = 1; }'
    image = cuda_image.compile_with_nvrtc("compute_90", text)
    assert b".entry k" in image
    monkeypatch.setattr(cuda_image, "_compile", lambda *arguments: pytest.fail("compiled twice"))
    assert cuda_image.compile_with_nvrtc("compute_90", text) == image
    monkeypatch.undo()
    with pytest.raises(BackendUnavailableError, match=r"undeclared|undefined"):
        cuda_image.compile_with_nvrtc("compute_90", 'extern "C" __global__ void k() { nothing; }')
