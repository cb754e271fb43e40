"""Adjoint gradient, below names: every operation with an angle, controls of any number and value, inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import Angle, Program, ProgramBuilder, executor, readout
from qsim_core.errors import QubitError, UnsupportedError
from qsim_core.gradient import adjoint_gradient, inverse_program
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.pauli import PauliTerms
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import FloatArray, Precision

N = 4
TERMS = PauliTerms.of([(0b0011, 0b0110, 0.7), (0, 0b1001, -1.1), (0b1000, 0b1000, 0.4), (0, 0, 2.0)])


def run(program: Program, slots: FloatArray, backend: Backend, precision: Precision = Precision.DOUBLE) -> StateVector:
    plan = trivial_plan(program, precision=precision)
    state = StateVector(backend.allocate(len(slots), program.num_qubits, precision), backend)
    backend.fill_zero_state(state.amps)
    executor.execute(plan, plan.coefficients(program, slots), state)
    return state


def random_program(seed: int, num_qubits: int = N, length: int = 12) -> Program:
    """Rotations and phases of two slots with random letters, controls and values, between constant operations."""
    rng = np.random.default_rng(seed)
    builder = ProgramBuilder(num_qubits, 0, ("a", "b"))
    for qubit in range(num_qubits):
        builder.rotation("Y", 0.4 + qubit, (qubit,))
    for _ in range(length):
        wires = rng.permutation(num_qubits).tolist()
        width, on = int(rng.integers(1, 3)), int(rng.integers(0, 3))
        targets, controls = wires[:width], wires[width : width + on]
        values = rng.integers(0, 2, on).tolist()
        angle = Angle(float(rng.normal()), ((0, float(rng.normal())), (1, float(rng.normal()))))
        match rng.integers(0, 5):
            case 0:
                builder.phase(angle, controls, values)
            case 1:
                matrix = np.linalg.qr(rng.normal(size=(2**width,) * 2) + 1j * rng.normal(size=(2**width,) * 2))[0]
                builder.dense(matrix, targets, controls, values)
            case 2:
                builder.permutation(rng.permutation(2**width), targets, controls, values)
                builder.diagonal(np.exp(1j * rng.normal(size=2**width)), targets, controls, values)
            case _:
                builder.rotation("".join(rng.choice(list("XYZ"), width)), angle, targets, controls, values)
    return builder.finish()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999))
def test_gradient_equals_finite_differences(seed: int) -> None:
    backend, program = registry.backend("reference"), random_program(seed)
    slots, h = np.array([[0.3, -0.8], [1.2, 2.0]]), 1e-5
    found = adjoint_gradient(program, run(program, slots, backend), TERMS, slots)
    for k in range(2):
        up, down = (readout.expectation_pauli(run(program, slots + s * np.eye(2)[k], backend), TERMS) for s in (h, -h))
        np.testing.assert_allclose(found[:, k], (up - down) / (2 * h), atol=1e-8)


@pytest.mark.parametrize("seed", range(3))
def test_every_backend_has_the_same_gradient(seed: int, backend: Backend, precision: Precision) -> None:
    program, slots = random_program(seed), np.array([[0.3, -0.8]])
    reference = registry.backend("reference")
    wanted = adjoint_gradient(program, run(program, slots, reference), TERMS, slots)
    found = adjoint_gradient(program, run(program, slots, backend, precision), TERMS, slots)
    np.testing.assert_allclose(found, wanted, atol=1e-4 if precision is Precision.SINGLE else 1e-11)


def test_many_controls() -> None:
    """More than six controls take another way: a projected copy."""
    backend = registry.backend("reference")
    builder = ProgramBuilder(8, 0, ("a",))
    for qubit in range(8):
        builder.rotation("Y", 1.0 + 0.3 * qubit, (qubit,))
    values = (1, 0, 1, 1, 0, 1, 1)
    builder.rotation("X", Angle(0.2, ((0, 1.5),)), (7,), tuple(range(7)), values)
    builder.phase(Angle(0.0, ((0, 1.0),)), tuple(range(1, 8)), values)
    builder.rotation("X", 0.7, (3,))
    program, terms, slots, h = builder.finish(), PauliTerms.of([(128, 0, 1.0), (8, 136, 0.5)]), np.array([[0.9]]), 1e-5
    found = adjoint_gradient(program, run(program, slots, backend), terms, slots)
    up, down = (readout.expectation_pauli(run(program, slots + s, backend), terms)[0] for s in (h, -h))
    assert abs(found[0, 0]) > 1e-4
    assert found[0, 0] == pytest.approx((up - down) / (2 * h), abs=1e-9)


def test_the_state_is_left_unchanged(backend: Backend) -> None:
    program, slots = random_program(1), np.array([[0.3, -0.8]])
    state = run(program, slots, backend)
    before = state.array.copy()
    adjoint_gradient(program, state, TERMS, slots)
    np.testing.assert_array_equal(state.array, before)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 9999))
def test_the_inverse_program_undoes(seed: int) -> None:
    backend, program, slots = registry.backend("reference"), random_program(seed), np.array([[0.3, -0.8]])
    state, inverse = run(program, slots, backend), inverse_program(program)
    plan = trivial_plan(inverse, initial="given")
    executor.execute(plan, plan.coefficients(inverse, slots), state)
    np.testing.assert_allclose(state.array, np.eye(2**N)[0], atol=1e-12)


def test_refusals() -> None:
    backend = registry.backend("reference")
    builder = ProgramBuilder(1, 1)
    builder.rotation("X", 0.1, (0,))
    program = builder.finish()
    state = run(program, np.zeros((1, 0)), backend)
    with pytest.raises(QubitError, match="at most 1, got 2"):
        adjoint_gradient(program, state, PauliTerms.of([(2, 0, 1.0)]), np.zeros((1, 0)))
    builder.initialize([1, 0], (0,))
    with pytest.raises(UnsupportedError, match="gates, then measurements, got one with initialize"):
        adjoint_gradient(builder.finish(), state, PauliTerms.of([(0, 1, 1.0)]), np.zeros((1, 0)))
    builder.measure((0,), (0,))
    with pytest.raises(UnsupportedError, match="a unitary one"):
        inverse_program(builder.finish())
