"""Each barrier of a kernel is left out in turn: the checks must see it, or it stands in the list of redundant ones.

Not yet here: the tile kernel (one of its barriers in double precision is not seen), permutations and small matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.errors import QsimError
from qsim_core.kernels import launches
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import ProgramBuilder
from qsim_core.types import Precision

from .conftest import Emulated

KERNELS = ("wide_dense", "dense5", "marginal", "overlap", "reduce_density", "sample")
#: Barriers that may be left out, by kernel and place among its barriers, and why they stay.
REDUNDANT = {
    ("marginal", 2): "a thread reads back the places it wrote itself, as long as both loops deal them out alike",
    (
        "overlap",
        0,
    ): "before the first sum of a block nobody reads its shared memory; before the next ones somebody does",
    ("reduce_density", 0): "as in overlap",
}


def program(num_qubits: int, build: Callable[[ProgramBuilder, np.random.Generator], object]) -> object:
    builder = ProgramBuilder(num_qubits)
    build(builder, np.random.default_rng(2))
    return builder.finish()


def run(backend: Backend, precision: Precision, work: object, num_qubits: int) -> None:
    plan = native_plan(work, precision=precision, initial="given", tile=TileShape.of_gpu(precision))  # type: ignore[arg-type]
    amps = testing.random_state(np.random.default_rng(1), num_qubits, 1, precision)
    actual = testing.run(backend, plan, work, amps)  # type: ignore[arg-type]
    wanted = testing.run(testing.ReferenceBackend(), plan, work, amps.astype(np.complex128))  # type: ignore[arg-type]
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=100 * precision.epsilon)


def exercise(kernel: str, backend: Backend, precision: Precision) -> None:
    """Use a kernel and compare with its definition; two items per block where a block may take several."""
    rng = np.random.default_rng(7)
    if kernel == "wide_dense":
        matrix = testing.random_unitary(rng, 7)
        run(backend, precision, program(9, lambda b, r: b.dense(matrix, (8, 1, 2, 3, 4, 5, 6))), 9)
    elif kernel.startswith("dense"):
        width = int(kernel.removeprefix("dense"))
        matrix = testing.random_unitary(rng, width)
        # Without a tile that could take it.
        plan = native_plan(work := program(10, lambda b, r: b.dense(matrix, tuple(range(9, 9 - width, -1)))),
                           precision=precision, initial="given", tile=TileShape(10, 1, 0, 0))  # type: ignore[arg-type]  # fmt: skip
        amps = testing.random_state(rng, 10, 1, precision)
        actual = testing.run(backend, plan, work, amps)  # type: ignore[arg-type]
        wanted = testing.run(testing.ReferenceBackend(), plan, work, amps.astype(np.complex128))  # type: ignore[arg-type]
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=100 * precision.epsilon)
    else:
        host = testing.random_state(rng, 13, 1, precision)
        card, reference, control = backend.adopt(host), testing.ReferenceBackend(), RunControl()
        if kernel == "marginal":
            for qubits in ((0, 3, 12), (), tuple(range(5, 13))):
                wanted = reference.probabilities(host, qubits, control)
                np.testing.assert_allclose(backend.probabilities(card, qubits, control), wanted, rtol=0, atol=1e-13)
        elif kernel == "overlap":
            masks = np.full(8, 5), np.array([0, 6, 4097, 1, 2, 3, 8, 99])
            wanted = reference.expectation_paulis(host, *masks, control)
            np.testing.assert_allclose(backend.expectation_paulis(card, *masks, control), wanted, rtol=0, atol=1e-13)
        elif kernel == "reduce_density":
            rho = reference.reduced_density_matrix(host, (4, 12), control)
            np.testing.assert_allclose(backend.reduced_density_matrix(card, (4, 12), control), rho, rtol=0, atol=1e-13)
        else:
            uniforms = rng.random(500)
            np.testing.assert_array_equal(
                backend.sample(card, uniforms, control), reference.sample(host, uniforms, control)
            )


@pytest.fixture
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(launches, "MAX_BLOCKS", 1)
    yield


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_missing_barrier_is_seen(native_cuda: Emulated, kernel: str, precision: Precision) -> None:
    from . import emulated

    module, suffix = emulated.module(), "f32" if precision is Precision.SINGLE else "f64"
    name = f"qsim_{kernel}_{suffix}"
    before = native_cuda.card.launched[name]
    exercise(kernel, native_cuda.backend, precision)
    assert native_cuda.card.launched[name] > before, "the exercise does not use this kernel"
    unseen = []
    for place, instruction in enumerate(module.barriers(name)):
        seen = False
        for reverse in (False, True):
            native_cuda.card.reverse = reverse
            module.skipped[name] = instruction
            try:
                exercise(kernel, native_cuda.backend, precision)
            except (QsimError, AssertionError):
                seen = True
            finally:
                module.skipped.clear()
                native_cuda.card.reverse = False
        if not seen:
            unseen.append(place)
    assert unseen == [place for key, place in REDUNDANT if key == kernel]
