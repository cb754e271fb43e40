"""What somebody has after `pip install` on a machine without a GPU: without CUDA, with CuPy, and where nvcc was found.

Environments of their own, made from the index; the core is compiled once. Some minutes and one GB of disk.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from . import emulated

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LEFT = shutil.ignore_patterns("build", "*.so", "_build_info.json", "*.egg-info", ".*", "__pycache__")

RUN = """
from qsim import Circuit, Simulator
bell = Circuit(2).h(0).cx(0, 1)
print(Simulator(seed=1).run(bell).probabilities.round(3).tolist())
for backend in ("native_cuda", "cupy_cuda"):
    try:
        Simulator(backend).run(bell)
    except Exception as error:
        print(backend, type(error).__name__, error)
"""
IMAGES = """
from qsim_core.kernels import cuda_image
print(next(cuda_image.images_for((9, 0))).hex())
"""
ELF, FATBIN = "7f454c46", "50ed55ba"


def parts_of(fatbin: bytes) -> set[tuple[str, int]]:
    """Return (kind, architecture) of the parts: a header of 16 bytes, then one before each part that has both sizes."""
    place, found = struct.unpack_from("<H", fatbin, 6)[0], set()
    while place < len(fatbin):
        kind, _, header, size = struct.unpack_from("<HHIQ", fatbin, place)
        if not header:
            break
        found.add(({1: "PTX", 2: "ELF"}[kind], struct.unpack_from("<I", fatbin, place + 28)[0]))
        place += header + size
    return found


class Environment:
    """A fresh virtual environment with one wheel in it."""

    def __init__(self, folder: Path, requirement: str) -> None:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        self.bin = folder / "bin"
        self(self.bin / "python", "-m", "pip", "install", "--quiet", requirement)

    def __call__(self, *command: str | Path) -> str:
        """Run a command away from the source tree; return what it printed."""
        names = ("PYTHONPATH", "CUDA_HOME", "CUDA_PATH")
        environment = {key: value for key, value in os.environ.items() if key not in names}
        done = subprocess.run(
            list(map(str, command)), cwd=self.bin, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def python(self, text: str) -> str:
        return self(self.bin / "python", "-c", text)

    def reasons(self) -> dict[str, str]:
        """Return what `qsim info` says of each backend."""
        lines = self(self.bin / "qsim", "info").split("\nbackends\n")[1].splitlines()
        return dict(line.split(maxsplit=1) for line in lines if line.startswith("  "))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """The package built where there is no nvcc, and where there is one."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        pass
    else:
        pytest.skip("there is a driver here")
    tree = tmp_path_factory.mktemp("tree") / "qsim"
    shutil.copytree(ROOT, tree, ignore=LEFT)
    found = {}
    clean = [folder for folder in os.environ["PATH"].split(os.pathsep) if not Path(folder, "nvcc").exists()]
    kinds = {"plain": ("auto", clean)}
    if nvcc := emulated.nvcc():
        kinds["nvcc"] = ("1", [str(Path(nvcc).parent), *clean])
    for kind, (wanted, path) in kinds.items():
        environment = {k: v for k, v in os.environ.items() if k not in ("CUDA_HOME", "CUDA_PATH", "PYTHONPATH")}
        environment |= {"QSIM_NATIVE": "1", "QSIM_CUDA": wanted, "PATH": os.pathsep.join(path)}
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(tree / kind), str(tree)]
        subprocess.run(command, check=True, env=environment)
        [found[kind]] = (tree / kind).glob("*.whl")
    yield found
    shutil.rmtree(tree)


def test_no_cuda_at_all(wheels: dict[str, Path], tmp_path: Path) -> None:
    here = Environment(tmp_path / "venv", str(wheels["plain"]))
    said = here.python(RUN).splitlines()
    assert said[0] == "[0.5, 0.0, 0.0, 0.5]"
    assert said[1].startswith("native_cuda BackendUnavailableError") and "no CUDA driver" in said[1]
    assert said[2].startswith("cupy_cuda BackendUnavailableError") and "pip install qsim-core[cuda13]" in said[2]
    reasons = here.reasons()
    assert "(default)" in reasons["native_cpu"]
    assert "libcuda.so.1" in reasons["native_cuda"] and "pip install qsim-core[cuda13]" in reasons["cupy_cuda"]
    assert not list((tmp_path / "venv").rglob("kernels.fatbin"))


@pytest.mark.parametrize("extra", ["cuda12", "cuda13"])
def test_cupy_without_a_driver(wheels: dict[str, Path], tmp_path: Path, extra: str) -> None:
    here = Environment(tmp_path / "venv", f"{wheels['plain']}[{extra}]")
    said = here.python("import cupy\n" + RUN).splitlines()
    assert said[0] == "[0.5, 0.0, 0.0, 0.5]"
    for line, reason in zip(said[1:], ("no CUDA driver", "Install NVIDIA's driver"), strict=True):
        assert "BackendUnavailableError" in line and reason in line
    assert "Install NVIDIA's driver" in here.reasons()["cupy_cuda"]
    # NVRTC of the wheels makes machine code of the text in the package: only a card is missing.
    assert here.python(IMAGES).startswith(ELF)


def test_where_nvcc_was_found(wheels: dict[str, Path], tmp_path: Path) -> None:
    if "nvcc" not in wheels:
        pytest.skip("needs nvcc: pip install qsim-core[test-cuda]")
    here = Environment(tmp_path / "venv", str(wheels["nvcc"]))
    assert here.python(RUN).startswith("[0.5, 0.0, 0.0, 0.5]\nnative_cuda BackendUnavailableError")
    assert "no CUDA driver" in here.reasons()["native_cuda"]
    code = here.python(IMAGES)
    assert code.startswith(FATBIN)
    assert parts_of(bytes.fromhex(code)) == {("PTX", 75), ("ELF", 80), ("ELF", 90), ("ELF", 100), ("ELF", 120)}
