"""The C++ core under AddressSanitizer and UndefinedBehaviorSanitizer: built apart, run through the kernel tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/kernels/test_native_cpu.py",
    "tests/kernels/test_tile_engine.py",
    "tests/kernels/test_kept_passes.py",
    "tests/kernels/test_weights_left.py",
    "tests/kernels/test_adjoint.py",
    "tests/core/test_sampling.py",
    "tests/core/test_planner.py",
)


@pytest.mark.slow
def test_kernel_tests_are_clean_under_sanitizers(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++")
    pybind11 = pytest.importorskip("pybind11")
    tools = {
        name: shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for name in ("cmake", "ninja")
    }
    if None in tools.values():
        pytest.skip("needs cmake and ninja")
    build = tmp_path / "build"
    options = {
        "CMAKE_BUILD_TYPE": "RelWithDebInfo",
        "QSIM_SANITIZE": "ON",
        "CMAKE_MAKE_PROGRAM": tools["ninja"],
        "Python_EXECUTABLE": sys.executable,
        "pybind11_DIR": pybind11.get_cmake_dir(),
    }
    defines = [f"-D{name}={value}" for name, value in options.items()]
    subprocess.run([tools["cmake"], "-S", ROOT, "-B", build, "-G", "Ninja", *defines], check=True)
    subprocess.run([tools["ninja"], "-C", build, "_native"], check=True)
    for package in ("src/qsim_core", "python/qsim"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(ROOT / package, tmp_path / Path(package).name, ignore=ignored)
    [library] = build.glob("_native*.so")
    shutil.copy(library, tmp_path / "qsim_core")
    runtime = [
        subprocess.run(
            [compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    # CPython and NumPy keep memory until exit, so leaks are not counted.
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
        "LD_PRELOAD": " ".join(runtime),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    left_out = "not ctrl_c and not fork and not bytes_that_are_stated"  # the last counts memory, of which sanitizers take a lot
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", left_out, *TESTS]
    outcome = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr[-3000:]
