"""Builds qsim_core._native with CMake. Metadata is in pyproject.toml.

QSIM_NATIVE=auto (default) builds the C++ core where a compiler works and installs pure Python where not,
QSIM_NATIVE=1 insists on the core, QSIM_NATIVE=0 leaves it out. What happened is noted in qsim_core/_build_info.json.

Every wheel carries the text of the CUDA kernels. Where nvcc is on the PATH (or in CUDA_HOME) it carries machine code too;
QSIM_CUDA=1 insists on it, QSIM_CUDA=0 leaves it out.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Command, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.command.editable_wheel import editable_wheel

try:
    from setuptools.command.bdist_wheel import bdist_wheel
except ImportError:  # setuptools before 70.1
    from wheel.bdist_wheel import bdist_wheel

ROOT = Path(__file__).parent.resolve()
MODES = ("0", "1", "auto")
MODE = os.environ.get("QSIM_NATIVE", "auto")
if MODE not in MODES:
    raise SystemExit(f"QSIM_NATIVE: expected one of {', '.join(MODES)}, got {MODE!r}.")
CUDA = os.environ.get("QSIM_CUDA", "auto")
if CUDA not in MODES:
    raise SystemExit(f"QSIM_CUDA: expected one of {', '.join(MODES)}, got {CUDA!r}.")
#: Machine code for these cards (and later ones of the same generation), PTX for all others from the 75 on.
CUDA_CARDS = (80, 90, 100, 120)
CUDA_PTX = 75


def tool(name: str) -> str:
    """Return the program of a build requirement, else the one on the PATH."""
    try:
        folder = Path(
            importlib.import_module(name).__dict__.get("CMAKE_BIN_DIR") or importlib.import_module(name).BIN_DIR
        )
        found = shutil.which(name, path=str(folder))
    except (ImportError, AttributeError):
        found = None
    found = found or shutil.which(name)
    if found is None:
        raise RuntimeError(f"{name} was not found; pip install {name}")
    return found


class BuildNative(build_ext):
    """Runs CMake instead of compiling extensions one by one."""

    def run(self) -> None:
        if self.distribution.ext_modules:
            try:
                self._build()
            except (RuntimeError, OSError) as error:
                if MODE == "1":
                    raise SystemExit(f"QSIM_NATIVE=1: the C++ core could not be built.\n{error}") from error
                reason = str(error).strip()
                print(f"qsim: installing without the C++ core.\n{reason}", file=sys.stderr)
                self.note(False, _summary(reason))
                self.distribution.ext_modules = []
            else:
                self.note(True, "")
        elif not _has_note(self):
            self.note(False, "left out on request (QSIM_NATIVE=0)")

    def _build(self) -> None:
        import pybind11

        [extension] = self.distribution.ext_modules
        build = Path(self.build_temp).resolve() / "cmake"
        build.mkdir(parents=True, exist_ok=True)
        ninja = tool("ninja")
        arguments = {
            "CMAKE_BUILD_TYPE": "Release",
            "CMAKE_MAKE_PROGRAM": ninja,
            "Python_EXECUTABLE": sys.executable,
            "Python_ROOT_DIR": sys.base_prefix,
            "pybind11_DIR": pybind11.get_cmake_dir(),
        }
        # Build environments of pip live in temporary folders: paths of an earlier one must not be reused.
        (build / "CMakeCache.txt").unlink(missing_ok=True)
        _run(
            [tool("cmake"), "-S", str(ROOT), "-B", str(build), "-G", "Ninja"]
            + [f"-D{k}={v}" for k, v in arguments.items()]
        )
        _run([ninja, "-C", str(build), "_native", *([f"-j{self.parallel}"] if self.parallel else [])])
        [built] = build.glob("_native*.so")
        target = Path(self.get_ext_fullpath(extension.name)).resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        # A file in use by another process is replaced, not overwritten.
        target.unlink(missing_ok=True)
        shutil.copyfile(built, target)

    def note(self, native: bool, reason: str) -> None:
        """Write qsim_core/_build_info.json beside the package that is being built."""
        path = _note_path(self)
        path.parent.mkdir(parents=True, exist_ok=True)
        # The core lowers for these CUDA kernels: others are refused.
        path.write_text(json.dumps({"native": native, "reason": reason, "cuda": stamp()}) + "\n", encoding="utf-8")


def stamp() -> str:
    """Return what tells this text of the CUDA kernels from others, as qsim_core.kernels.cuda_image does."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "cpp" / "cuda").glob("*.cuh")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _note_path(command: build_ext) -> Path:
    if command.inplace:
        return ROOT / "src" / "qsim_core" / "_build_info.json"
    return Path(command.build_lib) / "qsim_core" / "_build_info.json"


def _has_note(command: build_ext) -> bool:
    """True when an earlier run in this process already said why there is no core."""
    return MODE != "0" and _note_path(command).exists()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"{Path(command[0]).name} failed:\n{done.stdout[-2000:]}")


def _summary(reason: str) -> str:
    if "CMAKE_CXX_COMPILER" in reason or "No CMAKE_CXX_COMPILER" in reason:
        return "built without a C++ compiler; install g++ or clang++"
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    first = next((k for k, line in enumerate(lines) if "rror" in line), 0)
    if lines and lines[first].startswith("CMake Error"):  # this line says where, the next ones what
        first += 1
    return "the C++ core failed to build: " + (" ".join(lines[first : first + 3]) or "unknown")[:300]


class BuildPython(build_py):
    """Leaves out what an in-place build left in the source tree: this build makes its own."""

    def find_data_files(self, package: str, src_dir: str) -> list[str]:
        found: list[str] = super().find_data_files(package, src_dir)
        return [name for name in found if not name.endswith((".so", "_build_info.json"))]

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the source tree has the text, and NVRTC compiles it
            return
        folder = Path(self.build_lib) / "qsim_core" / "kernels" / "cuda"
        folder.mkdir(parents=True, exist_ok=True)
        for path in (ROOT / "cpp" / "cuda").glob("*.cuh"):
            shutil.copyfile(path, folder / path.name)
        compile_kernels(folder)


def compile_kernels(folder: Path) -> None:
    """Write kernels.fatbin: a line with the stamp, and machine code of all kernels for all cards, where nvcc is found."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = shutil.which("nvcc", path=str(Path(home, "bin"))) if home else shutil.which("nvcc")
    if CUDA == "0" or (nvcc is None and CUDA == "auto"):
        return
    if nvcc is None:
        raise SystemExit("QSIM_CUDA=1: nvcc was not found on the PATH nor in CUDA_HOME.")
    cards = [f"-gencode=arch=compute_{card},code=sm_{card}" for card in CUDA_CARDS]
    options = [
        "-std=c++17",
        "-x",
        "cu",
        "-fatbin",
        "--threads=0",
        f"-gencode=arch=compute_{CUDA_PTX},code=compute_{CUDA_PTX}",
    ]
    target = folder / "kernels.fatbin"
    try:
        _run([nvcc, *options, *cards, str(ROOT / "cpp" / "cuda" / "entries.cuh"), "-o", str(target)])
        target.write_bytes(f"qsim {stamp()}\n".encode() + target.read_bytes())
    except (RuntimeError, OSError) as error:
        if CUDA == "1":
            raise SystemExit(f"QSIM_CUDA=1: {error}") from error
        print(
            f"qsim: no machine code for GPUs in this build; NVRTC can compile it at run time.\n{error}", file=sys.stderr
        )


class BuildWheel(bdist_wheel):
    """Builds the core first: whether it works decides the tag of the wheel."""

    def run(self) -> None:
        self.run_command("build_ext")
        self.root_is_pure = not self.distribution.ext_modules
        super().run()


class EditableWheel(editable_wheel):
    """One .pth file with both source roots, which interpreters and type checkers follow alike."""

    def _select_strategy(self, name: str, tag: str, build_lib: str) -> object:
        from setuptools.command.editable_wheel import _StaticPth

        roots = [ROOT / root for root in sorted({Path(path).parts[0] for path in self.package_dir.values()})]
        return _StaticPth(self.distribution, name, roots)


COMMANDS: dict[str, type[Command]] = {
    "build_ext": BuildNative,
    "build_py": BuildPython,
    "bdist_wheel": BuildWheel,
    "editable_wheel": EditableWheel,
}

setup(
    ext_modules=[Extension("qsim_core._native", sources=[])] if MODE != "0" else [],
    cmdclass=COMMANDS,
)
