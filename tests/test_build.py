"""Static checks of the build: symbols per instruction set, files kept out of the way, metadata."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPU = ROOT / "cpp" / "cpu"
FLAGS = {
    "generic": [],
    "avx2": ["-mavx2", "-mfma"],
    "avx512": ["-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"],
}
X86 = platform.machine() in ("x86_64", "AMD64")


@pytest.mark.skipif(not X86, reason="one instruction set only on this machine")
@pytest.mark.parametrize("isa", FLAGS)
def test_kernels_of_an_instruction_set_export_their_tables_and_nothing_weak(isa: str, tmp_path: Path) -> None:
    """A weak symbol could replace another file's and run on a CPU without these instructions. -O1 inlines least."""
    compiler, nm = shutil.which("g++") or shutil.which("clang++"), shutil.which("nm")
    if compiler is None or nm is None:
        pytest.skip("needs a C++ compiler and nm")
    built = tmp_path / "kernels.o"
    source = CPU / f"kernels_{isa}.cpp"
    options = ["-std=c++17", "-O1", "-w", "-fvisibility=hidden", f"-I{ROOT / 'cpp' / 'include'}", *FLAGS[isa]]
    subprocess.run([compiler, *options, "-c", source, "-o", built], check=True)
    listing = subprocess.run([nm, "-C", built], check=True, capture_output=True, text=True).stdout
    symbols = [line[17:].split(" ", 1) for line in listing.splitlines()]
    shared = [(kind, name) for kind, name in symbols if kind not in "tdrbU"]
    assert ("T", f"qsim::cpu::{isa}::kernel_table()") in shared
    for kind, name in shared:
        assert kind == "T" and re.fullmatch(rf"qsim::cpu::{isa}::\w*kernel_table\(\)", name), (kind, name)
    used = {name for kind, name in symbols if kind == "U"}
    assert all(re.fullmatch(r"__popcountdi2|memcpy|memset|_GLOBAL_OFFSET_TABLE_", name) for name in used), used


def test_kernel_files_include_structs_only() -> None:
    """Every header a kernel file reaches is one of kernels, or of plain structs and bits."""
    system = {"cstdint", "immintrin.h", "arm_neon.h"}
    waiting = [f"kernels_{isa}.cpp" for isa in FLAGS]
    reached: set[str] = set()
    while waiting:
        name = waiting.pop()
        reached.add(name)
        path = next(folder / name for folder in (CPU, ROOT / "cpp" / "include") if (folder / name).exists())
        found = set(re.findall(r"#include [<\"](.+)[>\"]", path.read_text()))
        waiting += found - system - reached
    for name in reached:
        assert "kernels" in name or name in ("qsim/bits.hpp", "qsim/types.hpp"), name


def test_pybind11_is_used_in_bindings_only() -> None:
    for path in (ROOT / "cpp").rglob("*.[ch]pp"):
        assert path.parent.name == "bindings" or "pybind11" not in path.read_text(), path


def test_no_flag_changes_arithmetic_or_ties_the_build_to_this_machine() -> None:
    text = re.sub(r"#.*", "", (ROOT / "CMakeLists.txt").read_text())
    for flag in ("-ffast-math", "-march=native", "-mtune=native", "-Ofast", "fopenmp"):
        assert flag not in text


def test_both_packages_are_typed() -> None:
    for package in ("src/qsim_core", "python/qsim"):
        assert (ROOT / package / "py.typed").exists()


@pytest.mark.slow
@pytest.mark.skipif(not X86, reason="emulates an old x86 CPU")
def test_the_extension_runs_on_a_cpu_without_avx(tmp_path: Path) -> None:
    """NumPy itself may refuse so old a CPU; the newest one without AVX it accepts is tried."""
    emulator = shutil.which("qemu-x86_64") or shutil.which("qemu-x86_64-static")
    if emulator is None:
        pytest.skip("qemu-x86_64 is not installed (apt-get install qemu-user)")
    code = (
        "import numpy as np; from qsim_core.kernels.native_cpu import NativeCpuBackend as N; b = N();"
        "a = np.zeros((1, 64), complex); b.fill_zero_state(a); print(b.isa, N.isas())"
    )
    path = os.pathsep.join([str(ROOT / "src"), *sys.path])
    python = Path(sys.executable).resolve()
    done = subprocess.run(
        [emulator, "-cpu", "Nehalem", str(python), "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
        timeout=300,
    )
    if "NumPy" in done.stderr and "baseline" in done.stderr:
        pytest.skip("this build of NumPy needs a newer CPU")
    assert done.stdout.split()[0] == "generic", done.stderr
