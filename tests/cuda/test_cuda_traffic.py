"""What every kernel asks memory for, counted warp by warp on the PTX: wide accesses, whole segments, few bank conflicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest

from qsim_core.kernels import cuda_backend
from qsim_core.kernels.launches import LaunchList
from qsim_core.kernels.plain_launches import TILE_PASS, TILE_STAGE
from qsim_core.program import ProgramBuilder
from qsim_core.testing import random_unitary
from qsim_core.types import Precision

from .conftest import Emulated
from .exercises import exercise, kernel_names, run
from .fake_driver import Launched
from .occupancy import largest_launch

#: The only loads of a state that are 64 bits wide: single amplitudes that somebody chose, in single precision. (Of the
#: second buffer of wide permutations, and of rows where qubit 0 leaves or enters, neighbours are not loaded together either.)
SINGLE_AMPLITUDES = {"qsim_gather_f32"}

#: Bytes of 32-byte sectors and of 128-byte segments per byte asked for, where a kernel's exercise does not reach 1.
GLOBAL = {
    "permute": (1.6, 2.0),  # controls on qubit 2 and on 0: every other row of four amplitudes, every other amplitude
    "permute_back": (1.4, 3.4),  # neighbouring threads take neighbouring groups, of which 13 targets leave one or two
    "wide_dense": (2.0, 2.0),  # the neighbour is in another group; arithmetic takes 32 times as long
    "initialize": (2.0, 2.0),  # a target is qubit 1: every other pair
    **{f"dense{k}{p}": (1.0, 2.0) for k in (1, 2, 3, 4) for p in ("", "_paired")},  # a control on qubit 3
    "flip_down": (1.4, 1.7),  # qubits 2 and 0: every other row of four amplitudes, every other amplitude
    "reduce_density": (1.5, 1.5),  # qubit 0 is a target: every other amplitude
    "sample": (4.0, 16.0),  # a thread sums 16 neighbours; the sectors come back from L1
    "regroup": (2.0, 2.0),
    "gather": (4.0, 16.0),  # random places
}
#: Wavefronts of shared memory per 128 bytes asked for; a lane that stores alone takes one for itself.
SHARED = {
    "tile": 1.2,  # random permutations inside a tile
    "permute": 2.1,  # a random permutation of the entries
    "sample": 4.0,  # stride 16 while cumulating, once per visited chunk
}


@dataclass
class Asked:
    """Sums over the accesses of one kernel to its state, and to shared memory."""

    widths: set[int]
    bytes: int = 0
    sectors: int = 0
    segments: int = 0
    shared_bytes: int = 0
    wavefronts: int = 0


def asked(launches: list[Launched], shared_below: int = 2**32) -> Asked:
    """``shared_below``: leave accesses of shared memory beyond this address out."""
    total = Asked(set())
    for launch in launches:
        for row in launch.traffic:
            opcode = re.sub(r"^@\S+ ", "", row.instruction).split()[0]
            if row.address in launch.state:
                vector, bits = re.search(r"(?:\.v(\d))?\.[bfu](\d+)$", opcode).groups()  # type: ignore[union-attr]
                total.widths.add(int(vector or 1) * int(bits))
                total.bytes += row.bytes
                total.sectors += 32 * row.sectors
                total.segments += 128 * row.segments
            elif row.wavefronts and row.address < shared_below:
                total.shared_bytes += row.bytes
                total.wavefronts += 128 * row.wavefronts
    return total


@pytest.fixture
def watched(native_cuda: Emulated) -> Iterator[Callable[[str], list[Launched]]]:
    """Every launch of a kernel from here on."""
    native_cuda.card.seen = []
    yield lambda name: [launch for launch in native_cuda.card.seen if launch.kernel == name]
    native_cuda.card.seen = None


@pytest.mark.parametrize(("name", "kernel", "precision"), list(kernel_names()), ids=[n for n, _, _ in kernel_names()])
def test_traffic(
    native_cuda: Emulated, watched: Callable[[str], list[Launched]], name: str, kernel: str, precision: Precision
) -> None:
    exercise(kernel, native_cuda.backend, precision)
    launches = watched(name)
    total = asked(launches)
    assert total.widths == ({64} if name in SINGLE_AMPLITUDES else {128}), "an access of the state is not 128 bits wide"
    sectors, segments = GLOBAL.get(kernel, (1.0, 1.0))
    assert total.sectors <= sectors * total.bytes
    assert total.segments <= segments * total.bytes
    assert total.wavefronts <= SHARED.get(kernel, 1.1) * total.shared_bytes
    threads, shared = largest_launch(name)
    assert {launch.threads for launch in launches} == {threads}
    assert max(launch.shared_bytes for launch in launches) <= shared


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_gates_in_tiles_meet_few_bank_conflicts(
    native_cuda: Emulated, watched: Callable[[str], list[Launched]], precision: Precision
) -> None:
    """Whatever bits the registers of a stage hold, the lanes that are served together meet different banks."""

    def build(builder: object, rng: object) -> None:
        for qubit in range(11):
            builder.rotation("X", 0.1 * qubit, (qubit,))  # type: ignore[attr-defined]
            builder.rotation("Y", 0.1 * qubit, ((3 * qubit + 1) % 11,))  # type: ignore[attr-defined]

    run(native_cuda.backend, precision, 12, build, planned=True)  # type: ignore[arg-type]
    suffix = "f32" if precision is Precision.SINGLE else "f64"
    total = asked(
        watched(f"qsim_tile_{suffix}"), shared_below=32 << 10
    )  # behind the tile are angles, read by all lanes at once
    assert total.shared_bytes >= 4 * 12 * precision.bytes_per_amplitude << 12 >> 3
    assert total.wavefronts == total.shared_bytes


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_matrices_and_angles_are_read_once_per_stage_and_tile(
    native_cuda: Emulated,
    watched: Callable[[str], list[Launched]],
    precision: Precision,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From memory, by one thread each; operations find them in shared memory."""

    def build(builder: ProgramBuilder, rng: np.random.Generator) -> None:
        for qubit in range(11):
            builder.rotation("X", 0.1 * qubit, (qubit,))
            builder.dense(random_unitary(rng, 2), (qubit, (qubit + 5) % 11))
            builder.rotation("XYX", 0.2, (0, 4, 9))

    lowered: list[LaunchList] = []
    lower = cuda_backend.lower
    monkeypatch.setattr(
        cuda_backend, "lower", lambda *rest, **options: lowered.append(lower(*rest, **options)) or lowered[-1]
    )
    run(native_cuda.backend, precision, 13, build, planned=True, batch=2)
    wanted = found = 0
    launches = watched(f"qsim_tile_{'f32' if precision is Precision.SINGLE else 'f64'}")
    for step, launch in zip(lowered[0].launches, launches, strict=True):
        whole = np.frombuffer(lowered[0].program, TILE_PASS, 1, step.offset)[0]
        stages = np.frombuffer(lowered[0].program, TILE_STAGE, whole["num_stages"], int(whole["stages"]))
        counts = stages["num_entries"] + stages["num_angles"]
        wanted += int(whole["num_items"] * counts.sum()) * precision.bytes_per_amplitude
        places = [range(start, start + count * precision.bytes_per_amplitude) for start, count in
                  zip(stages["matrices"].tolist(), stages["num_entries"].tolist(), strict=True)]  # fmt: skip
        places.append(range(int(whole["numbers"]), len(lowered[0].program)))
        found += sum(
            row.bytes for row in launch.traffic if any(row.address - launch.program in place for place in places)
        )
    assert found == wanted > 0
