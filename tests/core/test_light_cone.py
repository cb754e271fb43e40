"""Light cones: what is left out does not matter, what is kept is small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import readout, testing
from qsim_core.errors import UnsupportedError
from qsim_core.kernels.registry import backend
from qsim_core.light_cone import light_cone
from qsim_core.pauli import PauliTerms
from qsim_core.program import Program, ProgramBuilder
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan


def final(program: Program, slots: list[float]) -> StateVector:
    reference = backend("reference")
    start = np.eye(1, 2**program.num_qubits, dtype=np.complex128)
    return StateVector(testing.run(reference, trivial_plan(program), program, start, slots), reference)


@settings(max_examples=40, deadline=None)
@given(program=testing.programs(2, 6, max_operations=8), data=st.data())
def test_an_observable_is_the_same_in_its_light_cone(program: Program, data: st.DataObject) -> None:
    qubits = data.draw(st.lists(st.integers(0, program.num_qubits - 1), min_size=1, max_size=2, unique=True))
    letters = [data.draw(st.sampled_from("XYZ")) for _ in qubits]
    part, wires = light_cone(program, qubits)
    assert set(qubits) <= set(wires) and len(part) <= len(program)

    def value(circuit: Program, places: list[int]) -> float:
        x = sum(1 << q for q, letter in zip(places, letters, strict=True) if letter in "XY")
        z = sum(1 << q for q, letter in zip(places, letters, strict=True) if letter in "YZ")
        return float(readout.expectation_pauli(final(circuit, [0.3, -1.1]), PauliTerms.of([(x, z, 1.0)]))[0])

    inside = value(part, [wires.index(q) for q in qubits])
    assert inside == pytest.approx(value(program, qubits), abs=1e-12)


def test_a_brickwork_has_a_cone() -> None:
    builder = ProgramBuilder(20, 20)
    for layer in range(3):
        for qubit in range(layer % 2, 19, 2):
            builder.rotation("XX", 0.3, [qubit, qubit + 1])
    builder.measure(range(20), range(20))
    part, wires = light_cone(builder.finish(), [10])
    assert wires == tuple(range(8, 14)) and len(part) == 1 + 2 + 3


def test_what_measures_before_its_end_has_none() -> None:
    builder = ProgramBuilder(2, 1)
    builder.measure([0], [0])
    builder.reset([0])
    with pytest.raises(UnsupportedError, match="straight-line"):
        light_cone(builder.finish(), [1])
