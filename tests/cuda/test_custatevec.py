"""cuStateVec as a backend to compare with, on stand-ins for it and for CuPy: the whole contract, called as its reference says."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

from qsim import Circuit, Simulator
from qsim_core import testing
from qsim_core.errors import BackendUnavailableError, UnsupportedError
from qsim_core.kernels import registry
from qsim_core.kernels.custatevec import CuStateVecBackend
from qsim_core.program import ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Precision

from .conftest import Emulated
from .fake_cuquantum import FakeCuquantum


@pytest.fixture
def custatevec(cupy_cuda: Emulated) -> tuple[CuStateVecBackend, FakeCuquantum]:
    cuquantum = FakeCuquantum(cupy_cuda.card.memory)
    return CuStateVecBackend(cuquantum, cupy_cuda.backend.device), cuquantum  # type: ignore[attr-defined]


@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
def test_conformance(custatevec: tuple[CuStateVecBackend, FakeCuquantum], precision: Precision) -> None:
    backend, cuquantum = custatevec
    testing.assert_backend_conforms(backend, [precision], [1])
    assert min(cuquantum.calls[name] for name in ("matrix", "rotation", "diagonal")) > 10


def test_the_api(
    custatevec: tuple[CuStateVecBackend, FakeCuquantum], monkeypatch: pytest.MonkeyPatch, cupy_cuda: Emulated
) -> None:
    backend, cuquantum = custatevec
    assert backend.description == "cuStateVec 10900 on Fake H100"
    monkeypatch.setitem(registry._loaded, "custatevec", backend)
    circuit = Circuit(4).h(range(4)).cp(0.3, 0, 3).rzz(0.7, 1, 2).swap(0, 2).ccx(0, 1, 3).measure_all()
    before = cupy_cuda.card.calls["launch"]
    card, host = (Simulator(name, seed=2).run(circuit, shots=100) for name in ("custatevec", "reference"))
    assert card.counts == host.counts
    assert (
        cupy_cuda.card.calls["launch"] - before < 8 <= cuquantum.calls.total()
    )  # only |0...0> and the readout are ours
    del backend, custatevec, card
    monkeypatch.undo()
    gc.collect()


def test_a_wide_permutation_is_refused(custatevec: tuple[CuStateVecBackend, FakeCuquantum]) -> None:
    backend, _ = custatevec
    builder = ProgramBuilder(11)
    builder.permutation(np.roll(np.arange(2**11), 1), tuple(range(11)))
    program = builder.finish()
    with pytest.raises(UnsupportedError, match="at most 10 targets"):
        testing.run(backend, trivial_plan(program), program, backend.zero_state(1, 11, Precision.DOUBLE))


def test_it_is_never_chosen_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "custatevec" in registry.names() and "custatevec" not in registry.AUTO_ORDER
    monkeypatch.setitem(sys.modules, "cuquantum", None)
    with pytest.raises(BackendUnavailableError, match=r"cuStateVec.*pip install cuquantum-python-cu13"):
        CuStateVecBackend()
