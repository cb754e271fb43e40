"""The kernels' text compiled by g++ with sanitizers of addresses, undefined behaviour and threads, beside the CPU core."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qsim_core.planner import planner_available

if shutil.which("g++") is None or platform.system() != "Linux" or not planner_available():
    pytest.skip("needs g++ on Linux, and the core", allow_module_level=True)

from .exercises import kernel_names
from .ptx.runner import cached

ROOT = Path(__file__).parents[2]
SHIM = Path(__file__).parent / "shim" / "shim.cpp"
FLAGS = {
    "address": ("-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-sanitize=vptr"),
    "thread": ("-fsanitize=thread",),
}
RUNTIMES = {"address": ("libasan.so", "libubsan.so"), "thread": ("libtsan.so",)}


def library(sanitizer: str) -> Path:
    text = "".join(path.read_text() for path in [SHIM, *sorted((ROOT / "cpp" / "cuda").glob("*.cuh"))])
    flags = ("-std=c++20", "-O1", "-g1", "-w", "-shared", "-fPIC", *FLAGS[sanitizer])

    def compile(target: Path) -> None:
        subprocess.run(["g++", *flags, f"-I{ROOT / 'cpp' / 'cuda'}", str(SHIM), "-o", str(target)], check=True)

    return cached(" ".join(flags) + text, ".so", compile)


def play(*options: str, sanitizer: str = "address") -> subprocess.CompletedProcess[str]:
    names = (*RUNTIMES[sanitizer], "libstdc++.so")
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in names]
    if "/" not in "".join(found[:1]):
        pytest.skip(f"g++ is here without {found[0]}")
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",  # CPython and NumPy keep memory until exit
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1 ignore_noninstrumented_modules=1",
    }
    command = [sys.executable, "-m", "tests.cuda.shim", str(library(sanitizer)), *options]
    if sanitizer == "thread" and (setarch := shutil.which("setarch")):
        command = [setarch, "-R", *command]  # where addresses are too random for its map of memory
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)


@pytest.mark.parametrize("sanitizer", ["address", pytest.param("thread", marks=pytest.mark.slow)])
def test_every_kernel_is_clean_and_right(sanitizer: str) -> None:
    outcome = play(sanitizer=sanitizer)
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-4000:]
    assert outcome.stdout.split() == [name for name, _, _ in kernel_names()]


def test_an_access_outside_of_shared_memory_is_seen() -> None:
    outcome = play("--short-by", "16", "--only", "dense5")
    assert outcome.returncode != 0
    assert "heap-buffer-overflow" in outcome.stderr
    assert "kernels.cuh" in outcome.stderr


@pytest.mark.slow
def test_a_race_is_seen() -> None:
    outcome = play("--without-barriers", "--only", "permute", sanitizer="thread")
    assert outcome.returncode != 0
    assert "data race" in outcome.stderr
    assert "permute_sweep" in outcome.stderr
