"""Backward walks of two states on the card: slopes of every kind of operation, in one launch per pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Parameter
from qsim_core import testing
from qsim_core.angles import Angle
from qsim_core.compiler import compile_program
from qsim_core.executor import execute
from qsim_core.gradient import Adjoint
from qsim_core.kernels import cuda_backend
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.launches import LaunchList
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.operations import OpKind
from qsim_core.plan import Plan
from qsim_core.program import Program, ProgramBuilder
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, FloatArray, Precision

from .conftest import Emulated

precisions = pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)


def walk(backend: Backend, program: Program, ket: Amps, bra: Amps, slots: FloatArray) -> FloatArray:
    states = (StateVector(backend.adopt(amps.copy()), backend) for amps in (ket, bra))
    return Adjoint(program).pull_back(*states, slots, RunControl())


def assert_walks_like_reference(backend: Backend, program: Program, precision: Precision, batch: int = 1) -> None:
    rng = np.random.default_rng(7)
    ket, bra = (testing.random_state(rng, program.num_qubits, batch, precision) for _ in range(2))
    slots = rng.normal(size=(batch, len(program.slots)))
    actual = walk(backend, program, ket, bra, slots)
    wanted = walk(ReferenceBackend(), program, ket.astype(np.complex128), bra.astype(np.complex128), slots)
    bound = 8 * len(program) * testing.error_bound(program, precision)
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=bound, err_msg=str(list(program.operations())[:3]))


@precisions
def test_every_kind_of_operation(native_cuda: Emulated, precision: Precision) -> None:
    """Eight cases a walk, between rotations that do not commute with them, so that their slopes and their turns are seen."""
    native_cuda.card.reverse = False
    before = native_cuda.card.memory.in_use
    sizes: dict[int, list[Program]] = {}
    for case in testing.cases():
        if case.program.num_qubits > 0 and not (case.program.body.kind == OpKind.INITIALIZE).any():
            sizes.setdefault(case.program.num_qubits, []).append(case.program)
    for n, programs in sizes.items():
        for first in range(0, len(programs), 8):
            builder = ProgramBuilder(n, slots=["slot"])
            for q in range(n):
                builder.rotation("XYZ"[q % 3], Angle(0.2 * q, ((0, 0.3 + 0.1 * q),)), (q,))
            for k, program in enumerate(programs[first : first + 8]):
                for operation in program.operations():
                    builder.add(operation)
                builder.rotation("YZX"[k % 3], Angle(0.1 * k, ((0, 0.5 - 0.1 * k),)), ((5 * k + 1) % n,))
            assert_walks_like_reference(native_cuda.backend, builder.finish(), precision, batch=2)
    assert native_cuda.card.memory.in_use == before


@precisions
def test_several_tiles_and_what_reaches_beyond_them(native_cuda: Emulated, precision: Precision) -> None:
    builder = ProgramBuilder(13, slots=["a", "b"])
    rng = np.random.default_rng(2)
    for q in range(13):
        builder.rotation("Y", Angle(0.1, ((0, 1.0 + q),)), (q,))
    builder.rotation("XYZXYXYXYXYXY", Angle(0.0, ((1, 1.0),)), tuple(range(13)))  # flips more than a tile holds
    builder.rotation("YXYXYXYXYXYY", Angle(0.3, ((1, 0.5),)), tuple(range(12, 0, -1)), (0,), (0,))
    builder.dense(testing.random_unitary(rng, 4), (12, 3, 0, 7))
    builder.permutation(testing.random_permutation(rng, 10), tuple(rng.permutation(13)[:10].tolist()))
    for q in range(12):
        builder.phase(Angle(0.2, ((1, 0.1 * q),)), (q, 12))
    for batch in (1, 3):
        assert_walks_like_reference(native_cuda.backend, builder.finish(), precision, batch)


@precisions
def test_tiles_that_the_ket_has_left(
    native_cuda: Emulated, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back to |0...0> through a GHZ state: fewer tiles than the register has, and the same slopes; forwards likewise."""
    n, theta = 14, Parameter("theta")
    circuit = Circuit(n).h(0).rz(theta, 0)
    for q in range(n - 1):
        circuit.cx(q, q + 1)
    circuit.rz(0.3 * theta, n - 1).rx(0.5 * theta, range(n))
    program, slots = circuit.to_program(), np.array([[0.4], [-0.9]])
    lowered: list[tuple[bool, int]] = []
    lower = cuda_backend.lower

    def noted(plan: Plan, *rest: Any, **options: Any) -> LaunchList:
        work = lower(plan, *rest, **options)
        lowered.append((plan.num_qubits == n, sum(step.blocks for step in work.launches)))
        return work

    monkeypatch.setattr(cuda_backend, "lower", noted)
    plan = compile_program(program, precision=precision, target="native_cuda")
    ket = StateVector.zero(native_cuda.backend, 2, n, precision)
    execute(plan, plan.coefficients(program, slots), ket)
    wanted = StateVector.zero(ReferenceBackend(), 2, n, Precision.DOUBLE)
    execute(trivial_plan(program), trivial_plan(program).coefficients(program, slots), wanted)
    np.testing.assert_allclose(np.asarray(ket.amps), wanted.amps, rtol=0, atol=100 * precision.epsilon)
    forwards = lowered.pop()[1]
    bra = testing.random_state(np.random.default_rng(1), n, 2, precision)
    found, blocks = [], []
    for to_zero in (False, True):
        states = (
            StateVector(native_cuda.backend.adopt(np.asarray(a).copy()), native_cuda.backend) for a in (ket.amps, bra)
        )
        found.append(Adjoint(program).pull_back(*states, slots, RunControl(), to_zero))
        blocks.append(lowered.pop()[1])
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e4 * precision.epsilon)
    mine = walk(ReferenceBackend(), program, wanted.amps, bra.astype(np.complex128), slots)
    np.testing.assert_allclose(found[1], mine, rtol=0, atol=1e4 * precision.epsilon)
    assert blocks[1] < blocks[0]
    whole = sum(step.blocks for s in plan.segments[plan.entry].stages
                for step in lower(plan, s, plan.coefficients(program, slots), 2).launches)  # fmt: skip
    assert forwards < whole


def test_more_slopes_than_one_launch_sums(native_cuda: Emulated) -> None:
    builder = ProgramBuilder(2, slots=["a"])
    for k in range(600):
        builder.rotation("XY"[k % 2], Angle(0.01 * k, ((0, 1.0),)), (0,))
    assert_walks_like_reference(native_cuda.backend, builder.finish(), Precision.DOUBLE)


@precisions
def test_a_pass_is_one_launch(cuda: Emulated, precision: Precision) -> None:
    """A layered circuit on one tile: both states are read and written once for all of its operations."""
    theta = Parameter("theta")
    circuit = Circuit(8)
    for _ in range(3):
        circuit.ry(theta, range(8)).rz(2 * theta, range(8))
        for q in range(7):
            circuit.cx(q, q + 1)
    launched: list[str] = []
    device = cuda.backend.device  # type: ignore[attr-defined]
    original = type(device).launch
    program = circuit.to_program()
    rng = np.random.default_rng(0)
    ket, bra = (testing.random_state(rng, 8, 1, precision) for _ in range(2))

    def launch(self: object, kernel: str, *rest: object) -> None:
        launched.append(kernel)
        original(self, kernel, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(device), "launch", launch)
        walk(cuda.backend, program, ket, bra, np.array([[0.4]]))
    assert launched == [f"qsim_tile_{'f32' if precision is Precision.SINGLE else 'f64'}"]
