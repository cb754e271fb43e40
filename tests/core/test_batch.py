"""Batches in bounded memory: parts equal the whole, and a row its run alone, on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import batch, testing
from qsim_core.compiler import compile_program
from qsim_core.errors import ParameterError
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.operations import Angle
from qsim_core.pauli import PauliTerms
from qsim_core.plan import Plan
from qsim_core.program import Program, ProgramBuilder
from qsim_core.state import StateVector
from qsim_core.types import Precision

TERMS = [PauliTerms.of([(0, 3, 1.0), (5, 1, 0.5)]), PauliTerms.of([(0, 0, 2.0)])]


def rotations(num_qubits: int, *, initialised: bool = False) -> Program:
    builder = ProgramBuilder(num_qubits, slots=["a", "b"])
    if initialised:  # no way of its own in any backend
        builder.initialize(np.array([0.6, 0.8]), (0,))
    for q in range(num_qubits):
        builder.rotation("Y", Angle(0.1 * q, ((0, 1.0), (1, 0.5))), (q,))
        builder.rotation("X", Angle(0.2, ((1, -1.0),)), (q,))
        builder.permutation(np.array([1, 0]), (q,), ((q + 1) % num_qubits,))
    return builder.finish()


def compiled(program: Program, backend: Backend, precision: Precision) -> Plan:
    return compile_program(program, precision=precision, target=backend.name, initial="zero")


@pytest.mark.parametrize("initialised", [False, True])
def test_parts_are_the_whole(
    initialised: bool, backend: Backend, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = rotations(4, initialised=initialised)
    plan, slots = compiled(program, backend, precision), np.random.default_rng(0).uniform(-3, 3, (11, 2))
    monkeypatch.setattr(batch, "PART_BYTES", 3 * precision.bytes_per_amplitude * 16)
    assert batch.part_rows(plan, 11) == 3
    seen = np.zeros((11, 16), dtype=precision.dtype)

    def visit(first: int, state: StateVector) -> None:
        assert state.batch <= 3
        seen[first : first + state.batch] = state.amps

    told: list[float] = []
    control = RunControl(threads=2, progress=told.append)
    values = batch.run_batch(program, plan, slots, backend, control, terms=TERMS, visit=visit)
    states = backend.allocate(11, 4, precision)
    again = batch.run_batch(program, plan, slots, backend, RunControl(), terms=TERMS, states=states)
    np.testing.assert_array_equal(again, values)
    np.testing.assert_array_equal(states, seen)
    assert told == sorted(told) and all(0 <= fraction <= 1 for fraction in told)
    zero = np.eye(1, 16).astype(precision.dtype)
    for row, amps in zip(slots, seen, strict=True):
        alone = testing.run(backend, plan, program, zero, row)[0]
        np.testing.assert_allclose(amps, alone, atol=40 * precision.epsilon)
    np.testing.assert_allclose(values[:, 1], 2, rtol=0, atol=1e-14)  # divided by the norms


def test_nothing_but_a_part_is_allocated(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    program = rotations(6)
    plan = compiled(program, backend, Precision.DOUBLE)
    allocated: list[int] = []
    allocate = type(backend).allocate

    def spy(self: Backend, rows: int, num_qubits: int, precision: Precision) -> object:
        allocated.append(rows)
        return allocate(self, rows, num_qubits, precision)

    monkeypatch.setattr(type(backend), "allocate", spy)
    monkeypatch.setattr(batch, "PART_BYTES", 5 * 16 * 64)
    batch.run_batch(program, plan, np.zeros((40, 2)), backend, RunControl(), terms=TERMS)
    assert max(allocated, default=0) <= 5 and len(allocated) <= 1


def test_every_row_starts_from_its_own_state(backend: Backend) -> None:
    program, rng = rotations(3), np.random.default_rng(2)
    plan = compile_program(program, precision=Precision.DOUBLE, target=backend.name, initial="given")
    slots, start = rng.normal(size=(4, 2)), testing.random_state(rng, 3, 4).astype(np.complex128)
    for begin in (start, start[:1]):
        states = backend.allocate(4, 3, Precision.DOUBLE)
        batch.run_batch(program, plan, slots, backend, RunControl(), start=begin, states=states)
        wanted = testing.run(backend, plan, program, np.broadcast_to(begin, (4, 8)).copy(), slots)
        np.testing.assert_allclose(states, wanted, atol=1e-13)


@pytest.mark.parametrize("values", [[[np.nan, 0.0]], [[0.0, np.inf]], [[1.7e308, 1.7e308]]])
def test_values_that_are_no_angles_are_refused(values: list[list[float]], backend: Backend) -> None:
    program = rotations(2)
    with pytest.raises(ParameterError, match="a finite number of radians"):
        batch.run_batch(program, compiled(program, backend, Precision.DOUBLE), np.array(values), backend, RunControl())
