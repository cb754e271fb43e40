"""The executor contract of the CUDA path, over the PTX that nvcc emits, with bounds, race and barrier checks."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.cuda_backend import CudaBackend
from qsim_core.planner import TileShape, native_plan, planner_available
from qsim_core.types import Precision

from . import emulated
from .test_ptx_runner import PtxModule  # skips where the runner cannot run

if emulated.nvcc() is None or not planner_available():
    pytest.skip("needs nvcc and the built core", allow_module_level=True)


class Emulated(CudaBackend):
    name = "emulated_cuda"


@pytest.fixture(scope="module")
def backend() -> Emulated:
    return Emulated(emulated.PtxDevice(PtxModule(emulated.ptx())))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_conformance(backend: Emulated, precision: Precision, reverse: bool) -> None:
    backend.device.reverse = reverse  # type: ignore[attr-defined]
    testing.assert_backend_conforms(backend, [precision], [1])


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_verbs_beyond_one_chunk(backend: Emulated, precision: Precision) -> None:
    testing.assert_verbs_like_definition(backend, 13, precision)


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
@pytest.mark.parametrize("name", ["qft", "brickwork", "grid_fsim", "ghz", "quantum_volume", "random_gates"])
def test_planned_circuits(backend: Emulated, name: str, precision: Precision) -> None:
    from benchmarks.circuits import CIRCUITS, random_gates

    circuit = random_gates(13, 120) if name == "random_gates" else CIRCUITS[name](13)
    program = circuit.to_program()
    plan = native_plan(program, precision=precision, initial="given", tile=TileShape.of_gpu(precision))
    amps = testing.random_state(np.random.default_rng(1), 13, 1, precision)
    actual = testing.run(backend, plan, program, amps)
    reference = testing.ReferenceBackend()
    wanted = testing.run(reference, plan, program, amps.astype(np.complex128))
    bound = testing.error_bound(program, precision) + testing.error_bound(program, Precision.DOUBLE)
    assert np.linalg.norm(actual - wanted) <= bound


def test_nothing_is_left_allocated(backend: Emulated) -> None:
    amps = backend.allocate(2, 5, Precision.DOUBLE)
    backend.fill_zero_state(amps)
    assert backend.norms(amps, RunControl()).tolist() == [1.0, 1.0]
    del amps
    assert backend.device.memory.in_use == 0  # type: ignore[attr-defined]
