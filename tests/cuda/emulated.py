"""The kernels' PTX as nvcc and NVRTC emit it, ready to run on the CPU."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.cuda.ptx.runner import PtxModule, cached

from qsim_core.errors import BackendUnavailableError
from qsim_core.kernels.cuda_image import compile_with_nvrtc, source_text


def nvcc() -> str | None:
    """Return the compiler of NVIDIA's wheels in this environment, else that of a toolkit."""
    spec = importlib.util.find_spec("nvidia")
    for folder in spec.submodule_search_locations or () if spec else ():
        candidate = Path(folder, "cu13", "bin", "nvcc")
        if candidate.exists():
            return str(candidate)
    return shutil.which("nvcc")


@cache
def release() -> str:
    """Return the version of nvcc, as "13.0"."""
    said = subprocess.run([str(nvcc()), "--version"], check=True, capture_output=True, text=True).stdout
    return said.partition("release ")[2].partition(",")[0]


@cache
def toolkit() -> Path:
    """Return the folder nvcc takes its tools and headers from."""
    said = subprocess.run(
        [str(nvcc()), "-dryrun", "-c", "-x", "cu", "/dev/null"], capture_output=True, text=True
    ).stderr
    return Path(said.partition("TOP=")[2].partition("\n")[0])


@cache
def ptx(arch: str = "compute_90") -> str:
    """Return the PTX of all kernels as nvcc emits it."""
    text = source_text()

    def compile(target: Path) -> None:
        source = target.with_suffix(".cu")
        source.write_text(text)
        command = [str(nvcc()), "-std=c++17", f"-arch={arch}", "-ptx", str(source), "-o", str(target)]
        subprocess.run(command, check=True, capture_output=True)

    return cached(f"{release()} {arch}\n{text}", ".ptx", compile).read_text()


@cache
def module(arch: str = "compute_90") -> PtxModule:
    """Return the kernels of nvcc's PTX."""
    found = PtxModule(ptx(arch), split=True)
    found.build()
    return found


def module_of_text(text: str) -> PtxModule:
    """Return the kernels of NVRTC's PTX of a text, or nvcc's of the same text where there is no NVRTC."""
    try:
        image = compile_with_nvrtc("compute_90", text)
    except BackendUnavailableError:
        return module()
    found = PtxModule(image.rstrip(b"\0").decode(), split=True)
    found.build()
    return found
