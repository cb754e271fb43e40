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


def test_machine_code_of_the_build_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernels.fatbin").write_bytes(b"code\0")
    monkeypatch.setattr(cuda_image, "_INSTALLED", tmp_path)
    monkeypatch.setattr(cuda_image, "compile_with_nvrtc", lambda architecture: architecture.encode())
    assert list(cuda_image.images_for((9, 0))) == [b"code\0", b"sm_90"]
    (tmp_path / "kernels.fatbin").unlink()
    assert list(cuda_image.images_for((12, 0))) == [b"sm_120"]


def test_kernels_of_another_version_than_the_core_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    note = tmp_path / "_build_info.json"
    monkeypatch.setattr(cuda_image, "_BUILD_INFO", note)
    cuda_image.check_version()  # nothing is known of this core
    shared = hashlib.sha256((SOURCES / "program.cuh").read_bytes()).hexdigest()[:16]
    for built in ({"native": True}, {"cuda": shared}):
        note.write_text(json.dumps(built))
        assert cuda_image.source_text()
    note.write_text(json.dumps({"cuda": "0123"}))
    for use in (cuda_image.source_text, lambda: next(cuda_image.images_for((9, 0)))):
        with pytest.raises(
            BackendUnavailableError, match=f"version 0123, the core's.*{shared}.*Install qsim-core again"
        ):
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
