"""Shift rules: every kind of operation with an angle, against its analytic derivative."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import Angle, Program, ProgramBuilder, readout
from qsim_core.errors import UnsupportedError
from qsim_core.gradient import adjoint_gradient
from qsim_core.kernels import registry
from qsim_core.operations import Phase, Rotation
from qsim_core.parameter_shift import parameter_shift, shift_rule
from qsim_core.pauli import PauliTerms
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import FloatArray

SLOT = Angle(0.0, ((0, 1.0),))
OPERATIONS = [
    Rotation("X", SLOT, (0,)),
    Rotation("YZX", SLOT, (0, 2, 1)),
    Rotation("Y", SLOT, (1,), (0,), (1,)),
    Rotation("XZ", SLOT, (1, 2), (0,), (0,)),
    Rotation("", SLOT, (), (2, 1), (1, 0)),
    Phase(SLOT, (0,), (1,)),
    Phase(SLOT, (0, 2), (0, 1)),
    Rotation("", SLOT, ()),
    Phase(SLOT),
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_rules_differentiate_every_function_an_operation_can_give(operation: Rotation | Phase) -> None:
    """⟨H⟩ as a function of the angle has the frequencies of differences of eigenvalues: the rule must be exact on them."""
    half = isinstance(operation, Rotation)
    eigenvalues = {0.0} if operation.controls else set()
    if half:
        eigenvalues |= {0.5, -0.5} if operation.targets else {0.5}
    else:
        eigenvalues |= {-1.0}
    for frequency in {a - b for a in eigenvalues for b in eigenvalues}:
        for phase in (0.0, 0.9):
            slope = sum(factor * np.cos(frequency * (0.4 + shift) + phase) for shift, factor in shift_rule(operation))
            assert slope == pytest.approx(-frequency * np.sin(frequency * 0.4 + phase), abs=1e-14)


def program_of(*operations: Rotation | Phase) -> Program:
    builder = ProgramBuilder(3, 0, ("a", "b"))
    for qubit in range(3):
        builder.rotation("Y", 0.5 + qubit, (qubit,))
        builder.rotation("X", 0.3 - qubit, (qubit,))
    for operation in operations:
        builder.add(operation)
    builder.rotation("XX", Angle(0.1, ((0, -0.7), (1, 2.0))), (0, 2))
    return builder.finish()


TERMS = PauliTerms.of([(1, 3, 0.6), (4, 4, -1.0), (0, 7, 0.3)])


def both(program: Program, slots: FloatArray) -> tuple[FloatArray, FloatArray]:
    backend, plan = registry.backend("reference"), trivial_plan(program)
    shifted = parameter_shift(program, plan, slots, backend, lambda state: readout.expectation_pauli(state, TERMS))
    state = StateVector(backend.allocate(len(slots), 3, plan.precision), backend)
    backend.fill_zero_state(state.amps)
    from qsim_core.executor import execute

    execute(plan, plan.coefficients(program, slots), state)
    return shifted, adjoint_gradient(program, state, TERMS, slots)


@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_shifts_equal_the_adjoint_way(operation: Rotation | Phase) -> None:
    shifted, adjoint = both(program_of(operation, operation), np.array([[0.4, 1.2], [-2.0, 0.3]]))
    np.testing.assert_allclose(shifted, adjoint, atol=1e-12)


def test_other_circuits_are_refused() -> None:
    builder = ProgramBuilder(1, 0, ("a",))
    builder.initialize([1, 0], (0,))
    program = builder.finish()
    with pytest.raises(UnsupportedError, match="initialize"):
        both(program, np.zeros((1, 1)))
