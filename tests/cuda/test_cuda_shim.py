"""The kernels' text compiled by g++ with AddressSanitizer and UndefinedBehaviorSanitizer: every kernel, beside the CPU core."""

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
FLAGS = ("-std=c++20", "-O1", "-g1", "-w", "-shared", "-fPIC", "-fsanitize=address,undefined",
         "-fno-sanitize-recover=undefined", "-fno-sanitize=vptr")  # fmt: skip


def library() -> Path:
    text = "".join(path.read_text() for path in [SHIM, *sorted((ROOT / "cpp" / "cuda").glob("*.cuh"))])

    def compile(target: Path) -> None:
        subprocess.run(["g++", *FLAGS, f"-I{ROOT / 'cpp' / 'cuda'}", str(SHIM), "-o", str(target)], check=True)

    return cached(" ".join(FLAGS) + text, ".so", compile)


def play(*options: str) -> subprocess.CompletedProcess[str]:
    names = ("libasan.so", "libubsan.so", "libstdc++.so")
    found = [subprocess.check_output(["g++", f"-print-file-name={name}"], text=True).strip() for name in names]
    # CPython and NumPy keep memory until exit, so leaks are not counted.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "LD_PRELOAD": " ".join(found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    command = [sys.executable, "-m", "tests.cuda.shim", str(library()), *options]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=500)


def test_every_kernel_is_clean_and_right() -> None:
    outcome = play()
    assert outcome.returncode == 0, outcome.stdout[-2000:] + outcome.stderr[-4000:]
    assert outcome.stdout.split() == [name for name, _, _ in kernel_names()]


def test_an_access_outside_of_shared_memory_is_seen() -> None:
    outcome = play("--short-by", "16", "--only", "dense5")
    assert outcome.returncode != 0
    assert "heap-buffer-overflow" in outcome.stderr
    assert "kernels.cuh" in outcome.stderr
