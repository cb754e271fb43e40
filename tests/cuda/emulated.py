"""The CUDA path on a machine without a GPU: a device that runs PTX on the CPU, every check on."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.cuda.ptx.runner import CHECKED, Memory, PtxModule

from qsim_core.kernels.cuda_device import Device, DeviceProperties

SOURCES = Path(__file__).parents[2] / "cpp" / "cuda"


def nvcc() -> str | None:
    """Return the compiler of a toolkit, or that of NVIDIA's wheels in this environment."""
    found = shutil.which("nvcc")
    if found is None:
        import importlib.util

        spec = importlib.util.find_spec("nvidia")
        for folder in spec.submodule_search_locations or () if spec else ():
            candidate = Path(folder, "cu13", "bin", "nvcc")
            if candidate.exists():
                return str(candidate)
    return found


@cache
def ptx(arch: str = "compute_90") -> str:
    """Return the PTX of all kernels as nvcc emits it."""
    compiler = nvcc()
    assert compiler is not None
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, "kernels.ptx")
        command = [compiler, "-std=c++17", "-x", "cu", f"-arch={arch}", "-ptx", str(SOURCES / "entries.cuh"), "-o"]
        subprocess.run([*command, str(target)], check=True, capture_output=True)
        return target.read_text()


class PtxDevice(Device):
    """Runs the kernels' PTX with bounds, race, initialisation and barrier checks."""

    def __init__(self, module: PtxModule, checks: int = CHECKED) -> None:
        self.module, self.memory, self.checks = module, Memory(), checks
        self.reverse = bool(int(os.environ.get("QSIM_PTX_REVERSE", "0")))
        self.launches: Counter[str] = Counter()
        self.properties = DeviceProperties("PTX on the CPU", (9, 0), 132, 227 << 10, 228 << 10, 80 << 30, 1, 1, 1)

    def allocate(self, size: int) -> int:
        return self.memory.allocate(size)

    def free(self, address: int) -> None:
        self.memory.free(address)

    def upload(self, address: int, source: npt.NDArray[Any]) -> None:
        self.memory.view(address, source.nbytes)[:] = np.frombuffer(source.tobytes(), np.uint8)

    def download(self, address: int, target: npt.NDArray[Any]) -> None:
        if target.size:
            target[...] = self.memory.view(address, target.nbytes).view(target.dtype).reshape(target.shape)

    def copy(self, target: int, source: int, size: int) -> None:
        self.memory.view(target, size)[:] = self.memory.view(source, size)

    def launch(self, kernel: str, blocks: int, threads: int, shared_bytes: int, arguments: Sequence[int]) -> None:
        self.launches[kernel] += 1
        params = struct.pack(f"<{len(arguments)}Q", *arguments)
        self.module.launch(kernel, (blocks, 1, 1), (threads, 1, 1), params, self.memory, dynamic_shared=shared_bytes,
                           checks=self.checks, reverse=self.reverse)  # fmt: skip

    def synchronize(self) -> None:
        pass

    def memory_free(self) -> int:
        return self.properties.memory_bytes - self.memory.in_use
