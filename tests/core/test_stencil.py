"""Stamping: the Program of the builder, bit for bit, or none at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Parameter
from qsim.lowering import built, lower
from qsim_core.errors import ParameterError, QubitError
from qsim_core.gates import GATES, GateSpec
from qsim_core.operations import Angle, OpKind, Phase, Rotation
from qsim_core.planner import planner_available
from qsim_core.program import Program
from qsim_core.stencil import gate_stencil, stamp, wide_stencil

pytestmark = pytest.mark.skipif(not planner_available(), reason="the core was not built")


def assert_same(left: Program, right: Program) -> None:
    assert (left.num_qubits, left.num_clbits, len(left.blocks)) == (right.num_qubits, right.num_clbits, 1)
    for mine, other in zip(left.body.columns, right.body.columns, strict=True):
        assert mine.dtype == other.dtype and not mine.flags.writeable
        assert np.array_equal(mine, other)
    for name in ("constant", "row", "slot", "coefficient"):
        mine, other = getattr(left.angles, name), getattr(right.angles, name)
        assert mine.dtype == other.dtype and mine.tobytes() == other.tobytes()
    assert left.slots == right.slots
    assert len(left.operands) == len(right.operands)
    assert all(mine is other for mine, other in zip(left.operands, right.operands, strict=True))
    assert left.structure == right.structure and left.fingerprint == right.fingerprint


def refuse(_: Any) -> None:
    raise AssertionError("a plain circuit was left to the builder")


@pytest.mark.parametrize("spec", GATES.values(), ids=lambda spec: spec.name)
def test_every_gate_with_and_without_controls(spec: GateSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(len(spec.name))
    circuit = Circuit(spec.num_qubits + 3)
    for controls, values in (((), ()), ((1,), (1,)), ((0, 2), (0, 1))):
        wires = [q for q in rng.permutation(circuit.num_qubits).tolist() if q not in controls][: spec.num_qubits]
        for params in (rng.uniform(-7, 7, spec.num_params).tolist(), [0.0] * spec.num_params, [-0.0] * spec.num_params):
            circuit.append(spec, wires, params, controls, values)
        a, b = Parameter("a"), Parameter("b")
        formulas = [0.3 * a - 1.5, b, -0.0 * a + 0.1 * b, np.sin(a) + 2 * b, a - b]
        circuit.append(spec, wires, [formulas[k] for k in rng.permutation(5)[: spec.num_params]], controls, values)
        circuit.append(spec, wires, [a, *[0.7, b, b, b]][: spec.num_params], controls, values)
    expected = built(circuit.instructions, circuit.num_qubits, 0)
    monkeypatch.setattr("qsim.lowering.built", refuse)
    lowered = lower(circuit.instructions, circuit.num_qubits, 0)
    assert_same(lowered.program, expected.program)
    assert lowered.atoms == expected.atoms


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_circuit_of_everything_plain(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    circuit = Circuit(6, 4)
    unitary = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))[0]
    again = Circuit(2).unitary(unitary, [0, 1])  # one operand, used many times
    for kind in data.draw(st.lists(st.integers(0, 7), max_size=12)):
        a, b, c = rng.permutation(6)[:3].tolist()
        match kind:
            case 0:
                circuit.u(*rng.normal(size=3), a).cx(a, b)
            case 1:
                circuit.compose(again, [a, b]).unitary(unitary, [b, c], controls=[a], control_values=[0])
            case 2:
                circuit.diagonal(np.exp(1j * rng.normal(size=4)), [a, c], controls=[b])
            case 3:
                circuit.permutation(rng.permutation(8), [a, b, c])
            case 4:
                angle = rng.choice([rng.normal(), Parameter("a"), 2 * Parameter("b") - 1])
                circuit.pauli_rotation("".join(rng.choice(list("IXYZ"), 3)), angle, [a, b, c])
            case 5:
                circuit.measure([a, b], [2, 0])
            case 6:
                circuit.reset([a, c]).barrier()
            case 7:
                circuit.global_phase(rng.normal(), controls=[a])
    stamped = lower(circuit.instructions, 6, 4).program
    assert_same(stamped, built(circuit.instructions, 6, 4).program)


def test_what_is_not_plain_is_left_to_the_builder() -> None:
    looped = Circuit(2, 1).h(0).measure(0, 0)
    with looped.if_(0):
        looped.x(1)
    assert len(looped.to_program().blocks) == 2
    prepared = Circuit(1).initialize([0.6, 0.8])
    assert len(prepared.to_program()) == 1


def test_wrong_calls_are_refused_by_the_builder_in_its_words() -> None:
    circuit = Circuit(2).h(0)
    (call,) = circuit.instructions
    for wrong, error in (
        (call._replace(qubits=(2,)), QubitError),
        (call._replace(qubits=(1,), controls=(1,), control_values=(1,)), QubitError),
        (call._replace(controls=(1,), control_values=(2,)), ParameterError),
    ):
        with pytest.raises(error):
            lower([wrong], 2, 0)


def test_calls_of_the_wrong_shape_are_not_stamped() -> None:
    plain = gate_stencil(1, 1, (), (Rotation("X", Angle(0.0, ((0, 1.0),)), (0,)), Phase(Angle(0.5))), ())

    def stamped(call: Any, stencil: Any = plain) -> Program | None:
        return stamp([call], lambda _: stencil, 3, 1)

    right = (None, (0,), (0.5,), (), (), ())
    assert stamped(right) is not None and stamped(right, None) is None
    for place, wrong in ((1, (0, 1)), (1, [0]), (1, (0.0,)), (1, (-1,)), (1, (2**40,)), (2, ()), (2, (1,))):
        assert stamped((*right[:place], wrong, *right[place + 1 :])) is None
    for angle in (float("nan"), float("inf")):
        assert stamped((None, (0,), (angle,), (), (), ())) is None
    assert stamped((None, (0,), (0.5,), (1,), (), ())) is None and stamped(right[:5]) is None and stamped("x") is None
    measure = wide_stencil(OpKind.MEASURE)
    assert stamped((None, (0,), (), (), (), (0,)), measure) is not None
    for clbits in ((1,), (0, 0), ()):
        assert stamped((None, (0,), (), (), (), clbits), measure) is None
    assert stamped((None, (0, 1), (), (), (), (0, 0)), measure) is None
    for rows in ([(1, False, (1,), (1,), (), (), None, None)], [(1, False, (0,), (), (), (), None, None)]):
        from qsim_core import _native

        with pytest.raises(ValueError, match="stencil"):
            _native.Stencil(1, 0, rows)
