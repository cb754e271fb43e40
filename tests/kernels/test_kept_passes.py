"""Tile programs that stay from run to run: whatever was run before, the bits are those of a first run."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim import Circuit, Parameter
from qsim_core import testing
from qsim_core.errors import InterruptedRunError
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.plan import Coefficients, Plan
from qsim_core.planner import native_plan
from qsim_core.program import Program
from qsim_core.types import Amps, Precision

#: Smaller than a tile can be; one tile; several passes, kept and, in 20 qubits, too many bytes to keep.
SIZES = (2, 9, 17, 20)


def circuit_of(num_qubits: int, seed: int = 0, *, depth: int = 3) -> Circuit:
    """Layers of parametrised rotations, a matrix, and couplings from one end of the register to the other."""
    rng, circuit = np.random.default_rng(seed), Circuit(num_qubits)
    for layer in range(depth):
        for q in range(num_qubits):
            circuit.u(Parameter(f"a{layer}_{q}"), 0.3, Parameter(f"b{layer}_{q}"), q)
            circuit.rzz(0.7, q, (q + 1 + layer) % num_qubits) if num_qubits > 2 else circuit.cz(0, 1)
        circuit.unitary(testing.random_unitary(rng, 2), [0, num_qubits - 1])
    return circuit


def run(
    backend: NativeCpuBackend, plan: Plan, values: Coefficients, amps: Amps | None = None, threads: int = 1
) -> Amps:
    """Run from |0…0⟩, or from a copy of ``amps``."""
    [stage] = plan.segments[plan.entry].stages
    control = RunControl(threads=threads)
    if amps is None:
        state = backend.zero_state(1, plan.num_qubits, plan.precision)
        backend.run_from_zero(plan, stage, values, state, control)
    else:
        state = amps.copy()
        backend.run_stage(plan, stage, values, state, control)
    return state


def values_of(plan: Plan, program: Program, seed: int) -> Coefficients:
    return plan.coefficients(program, np.random.default_rng(seed).uniform(-np.pi, np.pi, len(program.slots)))


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("num_qubits", SIZES)
def test_every_run_gives_the_bits_of_a_first_one(num_qubits: int, precision: Precision) -> None:
    """Other values, another start, other threads, other matrices in between: none of them is seen later."""
    programs = [circuit_of(num_qubits, seed).to_program() for seed in (0, 1)]
    plan = native_plan(programs[0], precision=precision, initial="given")
    rng, backend = np.random.default_rng(num_qubits), NativeCpuBackend()
    random = testing.random_state(rng, num_qubits).reshape(1, -1).astype(precision.dtype)
    for program, seed, amps, threads in (
        (0, 0, None, 1), (0, 0, None, 2), (0, 1, None, 1), (0, 0, None, 1), (1, 0, None, 1), (1, 0, random, 1),
        (1, 0, random, 2), (0, 0, random, 1), (0, 0, None, 2), (0, 0, None, 1),
    ):  # fmt: skip
        values = values_of(plan, programs[program], seed)
        found = run(backend, plan, values, amps, threads)
        np.testing.assert_array_equal(found, run(NativeCpuBackend(), plan, values, amps))


@settings(max_examples=10, deadline=None)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=6), st.integers(3, 8))
def test_values_of_any_run_are_its_own(seeds: list[int], num_qubits: int) -> None:
    program = circuit_of(num_qubits, depth=2).to_program()
    plan, backend = native_plan(program), NativeCpuBackend()
    for seed in seeds:
        values = values_of(plan, program, seed)
        np.testing.assert_array_equal(run(backend, plan, values), run(NativeCpuBackend(), plan, values))


def test_numbers_changed_in_place_are_seen() -> None:
    """What was bound is told by the numbers themselves, not by the arrays they lie in."""
    program = circuit_of(5).to_program()
    plan, backend = native_plan(program), NativeCpuBackend()
    values = values_of(plan, program, 0)
    before = run(backend, plan, values)
    values.values[:] += 1.0
    after = run(backend, plan, values)
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_array_equal(after, run(NativeCpuBackend(), plan, values))


def test_threads_run_one_plan_at_once() -> None:
    program = circuit_of(10).to_program()
    plan, backend = native_plan(program), NativeCpuBackend()
    many = [values_of(plan, program, seed) for seed in range(4)]
    wanted = [run(NativeCpuBackend(), plan, values) for values in many]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: run(backend, plan, many[k % 4]), range(100)))
    for k, state in enumerate(found):
        np.testing.assert_array_equal(state, wanted[k % 4])


def test_an_interrupted_run_leaves_nothing_behind() -> None:
    program = circuit_of(12).to_program()
    plan, backend, cancel = native_plan(program), NativeCpuBackend(), threading.Event()
    values, others = (values_of(plan, program, seed) for seed in (0, 1))
    run(backend, plan, values)
    cancel.set()
    [stage] = plan.segments[plan.entry].stages
    with pytest.raises(InterruptedRunError):
        backend.run_from_zero(plan, stage, others, backend.zero_state(1, 12, plan.precision), RunControl(cancel=cancel))
    for again in (others, values):
        np.testing.assert_array_equal(run(backend, plan, again), run(NativeCpuBackend(), plan, again))


def test_other_sizes_are_refused() -> None:
    """What rows were checked against is known; numbers that don't fit it are checked again, and refused."""
    program = circuit_of(4).to_program()
    plan, backend = native_plan(program), NativeCpuBackend()
    values = values_of(plan, program, 0)
    run(backend, plan, values)
    [stage] = plan.segments[plan.entry].stages
    short = Coefficients(values.values[:, :-1].copy(), values.operands)
    small = Coefficients(values.values, tuple(operand[:2] for operand in values.operands))
    for wrong, num_qubits in ((short, 4), (small, 4), (values, 3)):
        with pytest.raises(ValueError, match="row"):
            backend.run_stage(plan, stage, wrong, backend.zero_state(1, num_qubits, plan.precision), RunControl())
