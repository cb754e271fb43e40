"""What ptxas gives every kernel on every architecture, and how many blocks of it a multiprocessor holds.

``python -m tests.cuda.occupancy`` writes docs/gpu_kernels.md.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.cuda import emulated
from tests.cuda.ptx.runner import cached

__all__ = ["ARCHITECTURES", "Resources", "blocks_per_multiprocessor", "document", "largest_launch", "resources"]

PAGE = Path(__file__).parents[2] / "docs" / "gpu_kernels.md"


@dataclass(frozen=True)
class Architecture:
    """Per multiprocessor: threads, blocks, bytes of shared memory; and the most a block may take of them."""

    name: str
    threads: int
    shared_bytes: int
    shared_bytes_per_block: int


#: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
ARCHITECTURES = {
    "80": Architecture("A100", 2048, 164 << 10, 163 << 10),
    "90": Architecture("H100", 2048, 228 << 10, 227 << 10),
    "100": Architecture("B200", 2048, 228 << 10, 227 << 10),
    "120": Architecture("RTX 50", 1536, 100 << 10, 99 << 10),
}


@dataclass(frozen=True)
class Resources:
    """Of one kernel on one architecture; bytes per thread but for shared_bytes, which a block declares."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


def largest_launch(kernel: str) -> tuple[int, int]:
    """Return the threads and the most dynamic shared bytes a kernel is launched with."""
    name, suffix = kernel.removeprefix("qsim_").rsplit("_", 1)
    amplitude = 8 if suffix == "f32" else 16
    if match := re.match(r"dense(\d)", name):
        return 128, amplitude * 4 ** int(match.group(1))
    chunk = 8 << 12
    shared = {
        "tile": (32 << 10)
        + 2 * 3072
        + 128 * (amplitude + 64),  # with as many numbers, constants and slopes as it takes
        "slope": 64,
        "weigh_costs": 64,
        "permute": 16 << 12,  # 12 targets and, in single precision, qubit 0 beside them
        "wide_dense": 16 << 12,
        "marginal": chunk,
        "overlap": 64,
        "reduce_density": 64,
        "sample": chunk + 8 * 256,
    }
    return 256, shared.get(name, 0)


@cache
def resources(architecture: str) -> dict[str, Resources]:
    """Return what ptxas reports of all kernels."""
    text = emulated.ptx(f"compute_{architecture}")

    def assemble(target: Path) -> None:
        source = target.with_suffix(".ptx")
        source.write_text(text)
        command = [emulated.toolkit() / "bin" / "ptxas", "-v", f"-arch=sm_{architecture}", source, "-o", "/dev/null"]
        target.write_text(subprocess.run(command, check=True, capture_output=True, text=True).stderr)

    log = cached(f"ptxas {emulated.release()} {architecture}\n{text}", ".log", assemble).read_text()
    found = {}
    for name, part in re.findall(r"entry function '(\w+)'(.*?)(?=Compiling|\Z)", log, re.S):
        words = ("registers", "bytes stack frame", "bytes spill", "bytes smem")
        found[name] = Resources(*(sum(map(int, re.findall(rf"(\d+) {word}", part))) for word in words))
    return found


@cache
def _calculator() -> ctypes.CDLL:
    """NVIDIA's occupancy calculator, a header of the toolkit, compiled for the host."""
    text = """#include <cstddef>
#include <cuda_occupancy.h>
extern "C" int blocks(int major, int threads, int shared_sm, int shared_block, int registers, int shared, int block,
                      int limit, int dynamic) {
  cudaOccDeviceProp device{};
  device.computeMajor = major;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = threads;
  device.regsPerBlock = device.regsPerMultiprocessor = 65536;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = shared_sm;
  device.numSms = 1;
  device.sharedMemPerBlockOptin = shared_block;
  device.reservedSharedMemPerBlock = 1024;
  cudaOccFuncAttributes kernel{};
  kernel.maxThreadsPerBlock = limit;
  kernel.numRegs = registers;
  kernel.sharedSizeBytes = shared;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  kernel.maxDynamicSharedSizeBytes = shared_block;
  kernel.numBlockBarriers = 1;
  cudaOccDeviceState state{};
  cudaOccResult result;
  const auto code = cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, block, dynamic);
  return code ? -code : result.activeBlocksPerMultiprocessor;
}
"""

    def compile(target: Path) -> None:
        source = target.with_suffix(".cpp")
        source.write_text(text)
        include = f"-I{emulated.toolkit() / 'include'}"
        subprocess.run(["g++", "-w", "-shared", "-fPIC", include, source, "-o", target], check=True)

    return ctypes.CDLL(str(cached(f"{emulated.release()}\n{text}", ".so", compile)))


def blocks_per_multiprocessor(architecture: str, kernel: str) -> int:
    """Return how many blocks of a kernel's largest launch a multiprocessor holds at once."""
    card, needs = ARCHITECTURES[architecture], resources(architecture)[kernel]
    threads, dynamic = largest_launch(kernel)
    major = int(architecture) // 10
    limit = int(emulated.module().entries[kernel].max_threads)
    return int(
        _calculator().blocks(
            major,
            card.threads,
            card.shared_bytes,
            card.shared_bytes_per_block,
            needs.registers,
            needs.shared_bytes,
            threads,
            limit,
            dynamic,
        )
    )


def document() -> str:
    """Return the page of all kernels."""
    heads = [f"{card.name} (sm_{number})" for number, card in ARCHITECTURES.items()]
    lines = [
        "# Resources of the CUDA kernels",
        "",
        f"From ptxas ({emulated.release()}) and NVIDIA's occupancy calculator; a test keeps this page up to date "
        "(`python -m tests.cuda.occupancy` writes it).",
        "**Nothing here was measured on a GPU.** No kernel spills or uses local memory on any of these architectures.",
        "",
        "*threads* and *shared*: of the largest launch of a kernel. For each architecture: registers per thread, blocks a",
        "multiprocessor holds at once, and the share of its threads they are.",
        "",
        f"| kernel | threads | shared, bytes | {' | '.join(heads)} |",
        f"| --- | --- | --- |{' --- |' * len(heads)}",
    ]
    for kernel in sorted(resources("90")):
        threads, shared = largest_launch(kernel)
        cells = []
        for number, card in ARCHITECTURES.items():
            blocks = blocks_per_multiprocessor(number, kernel)
            share = blocks * threads / card.threads
            cells.append(f"{resources(number)[kernel].registers}, {blocks}, {share:.0%}")
        lines.append(f"| `{kernel.removeprefix('qsim_')}` | {threads} | {shared} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(document())
