"""SWAPs as names: from |0…0⟩ nothing is exchanged, and everything is read where it was."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Simulator
from qsim_core import testing
from qsim_core.compiler import compile_program
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.operations import OpKind, Permutation
from qsim_core.program import Program, ProgramBuilder
from qsim_core.relabelling import without_swaps
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps


def from_zero(program: Program) -> Amps:
    plan = trivial_plan(program)
    amps = np.zeros((1, 2**program.num_qubits), dtype=np.complex128)
    amps[0, 0] = 1
    for stage in plan.segments[plan.entry].stages:
        ReferenceBackend().run_stage(plan, stage, plan.coefficients(program), amps, RunControl())
    return amps


@given(seed=st.integers(0, 2**32 - 1), num_qubits=st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_the_state_is_the_same(seed: int, num_qubits: int) -> None:
    """Operations of one and two qubits among SWAPs, plain and controlled; another permutation of two qubits stays."""
    rng = np.random.default_rng(seed)
    builder, plain = ProgramBuilder(num_qubits), 0
    for _ in range(30):
        a, b, *others = rng.permutation(num_qubits).tolist()
        match rng.integers(5):
            case 0:
                controls = others[: int(rng.integers(2))]
                plain += not controls
                builder.permutation([0, 2, 1, 3], [a, b], controls, [1] * len(controls))
            case 1:
                builder.permutation([0, 1, 3, 2], [a, b])
            case 2:
                builder.rotation("X", float(rng.normal()), [a], others[:1], [0] * len(others[:1]))
            case 3:
                builder.rotation("ZY", float(rng.normal()), [a, b])
            case 4:
                builder.dense(testing.random_unitary(rng, 1), [a])
    program = builder.finish()
    named = without_swaps(program)
    assert len(named) == len(program) - plain
    assert not any(
        isinstance(op, Permutation) and not op.controls and list(op.table) == [0, 2, 1, 3] for op in named.operations()
    )
    np.testing.assert_allclose(from_zero(named), from_zero(program), atol=1e-13)


def test_what_is_measured_later_keeps_its_name() -> None:
    builder = ProgramBuilder(3, 2)
    builder.permutation([1, 0], [0])
    builder.permutation([0, 2, 1, 3], [0, 2])
    builder.measure([2], [0])
    builder.permutation([0, 2, 1, 3], [2, 1])
    builder.measure([1], [1])
    program = builder.finish()
    assert without_swaps(program).body.kind.tolist() == [
        OpKind.PERMUTATION,
        OpKind.MEASURE,
        OpKind.PERMUTATION,
        OpKind.MEASURE,
    ]
    circuit = Circuit(3, 2).x(0).swap(0, 2).measure(2, 0).swap(2, 1).measure(1, 1)
    assert Simulator(seed=1).run(circuit, shots=5).counts == {"11": 5}


def test_nothing_to_do_is_the_same_program() -> None:
    program = Circuit(3).h(0).cx(0, 1).to_program()
    assert without_swaps(program) is program


@pytest.mark.parametrize("num_qubits", [24, 28])
def test_a_fourier_transform_in_order_has_the_passes_of_one_in_reverse(num_qubits: int) -> None:
    """Counted for the target whose tiles the planner fills; a state that is given must be put in order."""
    passes = {}
    for swaps in (False, True):
        circuit = Circuit(num_qubits)
        for q in reversed(range(num_qubits)):
            circuit.h(q)
            for other in range(q):
                circuit.cp(np.pi / 2 ** (q - other), other, q)
        for q in range(num_qubits // 2 if swaps else 0):
            circuit.swap(q, num_qubits - 1 - q)
        for initial in ("zero", "given"):
            plan = compile_program(circuit.to_program(), precision="single", target="native_cpu", initial=initial)
            passes[initial, swaps] = len(plan.passes)
    if passes["given", False] > num_qubits:
        pytest.skip("the core was not built")
    assert passes["zero", True] == passes["zero", False] < passes["given", True]
