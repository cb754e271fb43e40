"""Instructions to other instructions: each undoes another, and blocks are treated as what stands in them."""

from __future__ import annotations

import numpy as np

from qsim import Circuit, Parameter
from qsim.rewriting import clbits_of, inverted, relabelled, substituted, walk
from qsim_core.classical import Binary, Bits, Const, Unary

A, B = Parameter("a"), Parameter("b")


def everything() -> Circuit:
    """Every kind of instruction, some in blocks within blocks."""
    c = Circuit(3, 3).rx(A, 0).crz(2 * A - B, 1, 2).u(0.1, A * B, 0.3, 2, controls=[0], control_values=[0])
    c.unitary([[0, 1j], [1, 0]], 1).diagonal([1, 1j], 0).permutation([1, 2, 3, 0], [2, 0]).barrier([1])
    c.pauli_rotation("XY", B, [0, 2]).initialize([0.6, 0.8j], 1).measure([0, 1], [2, 0]).reset(2)
    c.expectation("here", "Z0 - 0.5*X2").assign([1, 2], Binary("+", Bits((0, 1)), Unary("~", Bits((2,)), 1)))
    with c.if_(Binary("==", Bits((0, 2)), Const(1))):
        c.ry(A, 1)
        with c.while_(1, limit=5):
            c.h(0).measure(0, 1)
            with c.if_(2):
                c.break_()
    with c.else_():
        c.rz(B, 0)
    return c


def test_relabelling_there_and_back_is_nothing() -> None:
    qubits, clbits = [2, 0, 1], [1, 2, 0]
    back = [qubits.index(k) for k in range(3)], [clbits.index(k) for k in range(3)]
    for instruction in everything():
        moved = relabelled(instruction, qubits, clbits)
        assert relabelled(moved, *back) == instruction
        assert {qubits[q] for q in instruction.wires} == set(moved.wires)
        assert {clbits[c] for c in clbits_of(instruction)} == clbits_of(moved)


def test_inverting_twice_is_nothing() -> None:
    for instruction in everything()[:8]:
        twice = inverted(inverted(instruction))
        assert (twice.op, twice.wires) == (instruction.op, instruction.wires)
        for one, other in zip(twice.params, instruction.params, strict=True):
            assert substituted(twice._replace(params=(one,)), {"a": 0.3, "b": 0.4}).params == (
                substituted(instruction._replace(params=(other,)), {"a": 0.3, "b": 0.4}).params
            )


def test_substitution_reaches_into_blocks() -> None:
    values = {"a": 0.25, "b": -1.5}
    filled = [substituted(instruction, values) for instruction in everything()]
    assert all(isinstance(value, float) for instruction in walk(filled) for value in instruction.params)
    assert [i.params for i in walk(filled) if i.name in ("ry", "rz", "crz")] == [(2.0,), (0.25,), (-1.5,)]
    renamed = [substituted(instruction, {"a": B, "b": A}) for instruction in everything()]
    assert [substituted(instruction, {"a": B, "b": A}) for instruction in renamed] == everything().instructions


def test_walking_sees_blocks_in_order() -> None:
    names = [instruction.name for instruction in walk(everything())]
    assert names[-9:] == ["if", "ry", "while", "block", "h", "measure", "if", "leave", "rz"]
    assert clbits_of(everything()[-1]) == {0, 1, 2}


def test_operands_of_an_inverse_cannot_be_written() -> None:
    op = inverted(Circuit(1).unitary(np.eye(2), 0)[0]).op
    assert not op.matrix.flags.writeable and op.name == "unitary_dg"
