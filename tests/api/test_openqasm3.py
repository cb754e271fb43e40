"""OpenQASM 3: each construct against the circuit it stands for, messages, and round trips."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Parameter, Simulator
from qsim.interchange.openqasm import QasmError, dumps, load, loads
from qsim_core.classical import Binary, Bits, Const, Expression, Unary
from qsim_core.errors import UnsupportedError
from qsim_core.gates import QASM3_GATES

DATA = Path(__file__).parent.parent / "data"
HEAD = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'
QUBITS = f"{HEAD}qubit[3] q; "
BITS = f"{HEAD}qubit[3] q; bit[3] c;\n"


def check(text: str, expected: Circuit) -> None:
    """Same Program, angles compared to rounding."""
    ours, theirs = loads(text).to_program(), expected.to_program()
    assert ours.structure == theirs.structure
    np.testing.assert_allclose(ours.angles.constant, theirs.angles.constant, rtol=1e-14, atol=1e-15)


def q3() -> Circuit:
    return Circuit(3)


GATES = [
    ("h q; cx q[0], q[1:2];", q3().h([0, 1, 2]).cx(0, 1).cx(0, 2)),
    ("let a = q[1:2]; x a; z a[-1];", q3().x([1, 2]).z(2)),
    ("let a = q[{2, 0}]; x a[0];", q3().x(2)),
    ("let a = q[2] ++ q[0:1]; cx a[0], a[1];", q3().cx(2, 0)),
    ("x q[0:2:2]; y q[2:-1:0];", q3().x([0, 2]).y([2, 1, 0])),
    ("ctrl @ x q[0], q[1];", q3().x(1, controls=[0])),
    ("ctrl(2) @ z q[0], q[1], q[2];", q3().z(2, controls=[1, 0])),
    ("negctrl @ ctrl @ h q[0], q[1], q[2];", q3().h(2, controls=[1, 0], control_values=[1, 0])),
    ("inv @ s q[0]; inv @ rx(0.3) q[1];", q3().sdg(0).rx(-0.3, 1)),
    ("pow(3) @ t q[0]; pow(-2) @ t q[1]; pow(0) @ h q[0];", q3().t(0).t(0).t(0).tdg(1).tdg(1)),
    ("inv @ ctrl @ rz(0.5) q[2], q[0];", q3().rz(-0.5, 0, controls=[2])),
    ("gphase(pi/3); ctrl @ gphase(0.25) q[1];", q3().global_phase(math.pi / 3).global_phase(0.25, controls=[1])),
    ("gate g(a, b) s, t { rx(a - b) s; ctrl @ ry(a*b) s, t; } g(2, 0.5) q[1], q[0];",
     q3().rx(1.5, 1).ry(1.0, 0, controls=[1])),
    ("gate g(a) s { rx(a) s; t s; } inv @ g(0.5) q[0];", q3().tdg(0).rx(-0.5, 0)),
    ("gate g s, t { cx s, t; h t; } ctrl @ g q[2], q[1], q[0];",
     q3().cx(1, 0, controls=[2]).h(0, controls=[2])),
    ("gate g s { for int i in [1:3] { rz(i) s; } } g q[0];", q3().rz(1, 0).rz(2, 0).rz(3, 0)),
    ("const int n = 2; const float f = n * pi; rz(f / 3) q[n];", q3().rz(2 * math.pi / 3, 2)),
    ("int i = 7; i += 2; i *= 2; i -= 1; rz(i % 5) q[0]; rz(i / 2) q[1];", q3().rz(2, 0).rz(8, 1)),
    ("uint[8] m = 5; bool b = m > 3 && !(m == 6); if (b) x q[0]; else x q[1];", q3().x(0)),
    ("rz(2**3 - -1) q[0]; rz(-2**2) q[0]; rz(2**-1) q[0];", q3().rz(9, 0).rz(-4, 0).rz(0.5, 0)),
    ("rz(0x1F + 0b101 + 0o17 + 1_000) q[0];", q3().rz(1051, 0)),
    ("rz(arcsin(1) + log(euler) + mod(7, 4) + popcount(7) + floor(1.5) + ceiling(1.5)) q[0];",
     q3().rz(math.pi / 2 + 1 + 3 + 3 + 1 + 2, 0)),
    ("rz(sizeof(q)) q[0]; rz(τ/2) q[0]; rz(float(3)/2) q[0]; rz(int(2.7)) q[0];",
     q3().rz(3, 0).rz(math.pi, 0).rz(1.5, 0).rz(2, 0)),
    ("for int i in [0:2] { if (i == 1) continue; x q[i]; }", q3().x([0, 2])),
    ("for uint i in {2, 0} x q[i];", q3().x([2, 0])),
    ("array[float, 3] a = {0.1, 0.2, 0.3}; a[1] = 4; for float f in a { rz(f) q[0]; }",
     q3().rz(0.1, 0).rz(4, 0).rz(0.3, 0)),
    ("int i = 0; while (i < 5) { i += 1; if (i == 2) { continue; } if (i == 4) { break; } rz(i) q[0]; }",
     q3().rz(1, 0).rz(3, 0)),
    ("switch (2) { case 0, 1 { x q[0]; } case 2 { y q[0]; } default { z q[0]; } }", q3().y(0)),
    ("switch (5) { case 0 { x q[0]; } default { z q[0]; } }", q3().z(0)),
    ("def f(qubit p, angle a) { rx(a) p; } f(q[1], pi);", q3().rx(math.pi, 1)),
    ("def f(int n) -> int { if (n > 2) { return n * n; } return 0; } rz(f(3) + f(1)) q[0];", q3().rz(9, 0)),
    ("def f(qubit[2] w) { cx w[0], w[1]; } f(q[1:2]);", q3().cx(1, 2)),
    ("x q[0]; { int x1 = 2; rz(x1) q[0]; } end; x q[1];", q3().x(0).rz(2, 0)),
    ("@note this\nx q[0];\npragma some thing\n#pragma other\ny q[0]; box { z q[0]; } delay[1.5us] q; ;",
     q3().x(0).y(0).z(0)),
    ("output bit[2] o; reset q[0:1]; barrier; barrier q[0], q;", Circuit(3, 2).reset([0, 1])),
    ("uint[4] a = 5; for int i in [0:3] { if (bool(a[i])) rz(i) q[0]; }", q3().rz(0, 0).rz(2, 0)),
    ("int[8] k = -1 << 3; rz(k) q[0]; rz(1 ^ 3 | 4 & 6) q[0];", q3().rz(-8, 0).rz(6, 0)),
    ("CX q[0], q[1]; cphase(0.5) q[0], q[1]; id q[2]; phase(1) q[0];", q3().cx(0, 1).cp(0.5, 0, 1).id(2).p(1, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), GATES, ids=[text[:40] for text, _ in GATES])
def test_constructs(text: str, expected: Circuit) -> None:
    check(QUBITS + text, expected)


def _with(build: Callable[[Circuit], object]) -> Circuit:
    circuit = Circuit(3, 3)
    build(circuit)
    return circuit


def _branch(condition: object, otherwise: bool = False) -> Circuit:
    circuit = Circuit(3, 3)
    with circuit.if_(condition):  # type: ignore[arg-type]
        circuit.x(0)
    if otherwise:
        with circuit.else_():
            circuit.y(1)
    return circuit


ALL = Bits((0, 1, 2))
CONDITIONS = [
    ("c == 5", Binary("==", ALL, Const(5))),
    ("c != 1", Binary("!=", ALL, Const(1))),
    ("c", ALL),
    ("c[1]", Bits((1,))),
    ("!c[1]", Unary("not", Bits((1,)), 0)),
    ("c[0:1] < 2", Binary("<", Bits((0, 1)), Const(2))),
    ("c[{2, 0}] >= 2", Binary(">=", Bits((2, 0)), Const(2))),
    ("c[0] == true", Binary("==", Bits((0,)), Const(1))),
    ('c == "101"', Binary("==", ALL, Const(5))),
    ("c[0] && c[1] || c[2]", Binary("or", Binary("and", Bits((0,)), Bits((1,))), Bits((2,)))),
    ("(c ^ 3) > (c & 6)", Binary(">", Binary("^", ALL, Const(3)), Binary("&", ALL, Const(6)))),
    ("~c == 2", Binary("==", Unary("~", ALL, 3), Const(2))),
    ("c << 1 == 2", Binary("==", Binary("&", Binary("<<", ALL, Const(1)), Const(7)), Const(2))),
    ("uint[4](c) + 1 == 2", Binary("==", Binary("&", Binary("+", ALL, Const(1)), Const(15)), Const(2))),
    ("int(c) > 1 + 1", Binary(">", ALL, Const(2))),
    ("bool(c)", Binary("!=", ALL, Const(0))),
]


@pytest.mark.parametrize(("text", "condition"), CONDITIONS, ids=[text for text, _ in CONDITIONS])
def test_conditions_on_measured_bits(text: str, condition: object) -> None:
    check(f"{BITS}if ({text}) {{ x q[0]; }} else {{ y q[1]; }}", _branch(condition, otherwise=True))
    again = loads(dumps(_branch(condition)))
    assert again.to_program().fingerprint == _branch(condition).to_program().fingerprint


def _loop(circuit: Circuit) -> None:
    with circuit.while_(Binary("!=", ALL, Const(0))):
        circuit.h(0).measure([0, 1, 2], [0, 1, 2])


def _switch(circuit: Circuit) -> None:
    with circuit.if_(Binary("or", Binary("==", ALL, Const(1)), Binary("==", ALL, Const(2)))):
        circuit.x(0)
    with circuit.else_(), circuit.if_(Binary("==", ALL, Const(4))):
        circuit.y(0)


MEASURED = [
    ("c = measure q;", _with(lambda c: c.measure([0, 1, 2], [0, 1, 2]))),
    ("measure q -> c; c[0] = measure q[2];", _with(lambda c: c.measure([0, 1, 2], [0, 1, 2]).measure(2, 0))),
    ("c[1:2] = measure q[0:1];", _with(lambda c: c.measure([0, 1], [1, 2]))),
    ("while (c != 0) { h q[0]; c = measure q; }", _with(_loop)),
    ("switch (c) { case 1, 2 { x q[0]; } case 4 { y q[0]; } }", _with(_switch)),
    ("def f(qubit p) -> bit { return measure p; } c[2] = f(q[1]);", _with(lambda c: c.measure(1, 2))),
    ("def f(qubit p) -> bit { bit r; r = measure p; return r; } c[2] = f(q[1]);", _with(lambda c: c.measure(1, 2))),
    ("for int i in [0:1] { c[i] = measure q[i]; }", _with(lambda c: c.measure(0, 0).measure(1, 1))),
    ("def f(bit[3] b, qubit p) { if (b == 1) { x p; } } f(c, q[0]);", _branch(Binary("==", ALL, Const(1)))),
]


@pytest.mark.parametrize(("text", "expected"), MEASURED, ids=[text[:40] for text, _ in MEASURED])
def test_measurement(text: str, expected: Circuit) -> None:
    check(BITS + text, expected)
    assert loads(dumps(expected)).to_program().fingerprint == expected.to_program().fingerprint


def test_declarations_of_bits_get_registers() -> None:
    circuit = loads(QUBITS + "bit b = measure q[0]; bit[2] d = measure q[1:2]; { bit b = measure q[0]; } bit[2] z = 0;")
    assert circuit.clbit_registers == {"b": range(0, 1), "d": range(1, 3), "b_1": range(3, 4), "z": range(4, 6)}
    assert circuit.qubit_registers == {"q": range(0, 3)}


def test_physical_qubits_are_the_qubits_of_their_numbers() -> None:
    text = "h $4; cx $4, $0; rz(pi/2) $1; bit[2] c; c[0] = measure $4; measure $3 -> c[1]; ctrl @ x $2, $1; reset $0;"
    circuit = loads(HEAD + text)
    expected = Circuit(5, 2).h(4).cx(4, 0).rz(math.pi / 2, 1).measure(4, 0).measure(3, 1).x(1, controls=[2]).reset(0)
    assert circuit.to_program().fingerprint == expected.to_program().fingerprint
    assert loads(dumps(circuit)).to_program().fingerprint == circuit.to_program().fingerprint
    with pytest.raises(QasmError, match=r":39: gate 'cx' uses qubit \$1 twice"):
        loads('OPENQASM 3; include "stdgates.inc"; \n' + " " * 38 + "cx $1, $1;")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x $0; qubit q;", "'q' is a register of qubits in a file that also uses physical qubits"),
        ("x $62;", r"expected \$0 to \$61 \(Limits.qubits\)"),
        ("x $" + "9" * 6000 + ";", r"expected \$0 to \$61 \(Limits.qubits\)"),
        ("x $0[0];", "a qubit can't be indexed"),
    ],
)
def test_physical_qubits_are_bounded_and_not_mixed_with_registers(text: str, message: str) -> None:
    with pytest.raises(QasmError, match=message):
        loads(HEAD + text)


def test_dropped_outcomes_go_to_bits_of_their_own() -> None:
    """One bit for each qubit, however often it is measured: a loop takes no more of them."""
    body = "measure q; def f(qubit p) -> bit { return measure p; } for int i in [0:2] { f(q[i]); } measure q[2];"
    circuit = loads(QUBITS + "bit dropped; " + body)
    assert circuit.clbit_registers == {"dropped": range(0, 1), "dropped_1": range(1, 4)}
    expected = Circuit(3, 4).measure([0, 1, 2], [1, 2, 3]).measure(0, 1).measure(1, 2).measure(2, 3).measure(2, 3)
    assert circuit.to_program().fingerprint == expected.to_program().fingerprint
    assert loads(dumps(circuit)).to_program().fingerprint == expected.to_program().fingerprint


def test_parameter_names_that_the_language_reserves_are_changed_and_noted() -> None:
    t, t_1, pi, odd = map(Parameter, ("t", "t_1", "pi", "x[0]\nh q;"))
    text = dumps(Circuit(1).rx(t + 2 * t_1, 0).rz(pi, 0).ry(odd * t, 0))
    declared = [line for line in text.splitlines() if line.startswith("input")]
    assert declared == [
        "input float[64] t_2;  // parameter 't'",
        "input float[64] t_1;",
        "input float[64] pi_1;  // parameter 'pi'",
        "input float[64] x_0__h_q_;  // parameter 'x[0]\\nh q;'",
    ]
    renamed = map(Parameter, ("t_2", "t_1", "pi_1", "x_0__h_q_"))
    a, b, c, d = renamed
    assert [i.params[0] for i in loads(text).instructions] == [a + 2 * b, c, d * a]


def test_inputs_become_parameters() -> None:
    text = (
        f"{HEAD}input float[64] theta; input angle phi; qubit q; rx(2*theta + 1) q; rz(sin(theta*phi)/2) q; p(-phi) q;"
    )
    circuit = loads(text)
    theta, phi = Parameter("theta"), Parameter("phi")
    assert [i.params[0] for i in circuit.instructions] == [2 * theta + 1, np.sin(theta * phi) / 2, -phi]
    assert loads(dumps(circuit)).to_program().fingerprint == circuit.to_program().fingerprint


def test_the_phases_of_u_are_those_of_the_specification() -> None:
    """U(a, b, c) = e^(i a/2) u(a, b, c); the u3 of stdgates.inc has determinant 1."""
    circuit = loads(f"{HEAD}qubit[2] q; ctrl @ U(0.3, 0.2, 0.1) q[0], q[1]; u3(0.3, 0.2, 0.1) q[1];")
    body = QASM3_GATES["U"].matrix(0.3, 0.2, 0.1)
    assert np.linalg.det(body) == pytest.approx(np.exp(0.6j))
    assert np.linalg.det(QASM3_GATES["u3"].matrix(0.3, 0.2, 0.1)) == pytest.approx(1)
    expected = Circuit(2).unitary(body, [1], controls=[0]).unitary(QASM3_GATES["u3"].matrix(0.3, 0.2, 0.1), [1])
    np.testing.assert_allclose(circuit.to_matrix(), expected.to_matrix(), atol=1e-14)


@pytest.mark.parametrize(
    ("power", "gate", "expected"),
    [(0.5, "x", "sx"), (0.5, "z", "s"), (0.25, "z", "t"), (-0.5, "z", "sdg"), (101, "x", "x")],
)
def test_powers_are_principal(power: float, gate: str, expected: str) -> None:
    circuit = loads(f"{HEAD}qubit q; pow({power}) @ {gate} q;")
    np.testing.assert_allclose(circuit.to_matrix(), QASM3_GATES[expected].matrix(), atol=1e-14)


@pytest.mark.parametrize("seed", [0, 1, 11, 65, 141, 185])
def test_the_root_of_a_reflection_takes_minus_one_to_plus_i(seed: int) -> None:
    """Rounding leaves the eigenvalue -1 on either side of the branch cut (seeds from 11 on: below it)."""
    a, b = np.random.default_rng(seed).uniform(-3, 3, 2)
    gate = f"gate g s {{ rz({a}) s; ry({b}) s; z s; ry({-b}) s; rz({-a}) s; }}"
    root = loads(f"{HEAD}qubit q; {gate} pow(0.5) @ g q;").to_matrix()
    assert np.trace(root) == pytest.approx(1 + 1j)


@settings(max_examples=25, deadline=None)
@given(st.floats(-3, 3), st.integers(0, 2**32))
def test_a_power_of_a_wide_gate_composes(exponent: float, seed: int) -> None:
    a, b = np.random.default_rng(seed).uniform(-3, 3, 2)
    define = f"{HEAD}qubit[2] q; gate g s, t {{ rx({a}) s; cx s, t; ry({b}) t; }}"
    half = loads(f"{define} pow({exponent / 2!r}) @ g q[0], q[1];").to_matrix()
    whole = loads(f"{define} pow({exponent!r}) @ g q[0], q[1];").to_matrix()
    np.testing.assert_allclose(half @ half, whole, atol=1e-9)


def test_the_sample_file_survives_a_round_trip() -> None:
    circuit = load(DATA / "features3.qasm")
    assert circuit.parameters == ("theta",)
    again = loads(dumps(circuit))
    assert again.to_program().fingerprint == circuit.to_program().fingerprint


def test_names_that_the_language_reserves_are_changed() -> None:
    circuit = Circuit()
    circuit.add_qubits("gate", 1)
    circuit.add_qubits("h", 1)
    circuit.add_qubits("Größe 1", 1)
    circuit.add_clbits("c", 1)
    circuit.h([0, 1, 2]).measure([0], [0])
    again = loads(dumps(circuit))
    assert list(again.qubit_registers) == ["gate_1", "h_1", "r_Gr__e_1"]
    assert again.to_program().fingerprint == circuit.to_program().fingerprint


ASSIGNED = [
    ("c = 5;", (0, 1, 2), Const(5)),
    ("c[1] = true;", (1,), Const(1)),
    ("c[0:1] = c[1:2];", (0, 1), Bits((1, 2))),
    ("c[2] = c[0] ^ c[1];", (2,), Binary("^", Bits((0,)), Bits((1,)))),
    ("c[2] = c == 3;", (2,), Binary("==", ALL, Const(3))),
    ("c[2] = !c[2];", (2,), Unary("not", Bits((2,)), 0)),
    ("c ^= 3;", (0, 1, 2), Binary("^", ALL, Const(3))),
    ("c = ~c;", (0, 1, 2), Unary("~", ALL, 3)),
    ("c = uint[3](c + 1);", (0, 1, 2), Binary("&", Binary("+", ALL, Const(1)), Const(7))),
    ("c[0:1] = bit[2](c >> 1);", (0, 1), Binary("&", Binary(">>", ALL, Const(1)), Const(3))),
    ("let f = c[2] ++ c[0]; f = 1;", (2, 0), Const(1)),
]


@pytest.mark.parametrize(("text", "bits", "value"), ASSIGNED, ids=[text for text, _, _ in ASSIGNED])
def test_classical_bits_are_assigned(text: str, bits: tuple[int, ...], value: Expression) -> None:
    expected = Circuit(3, 3).measure([0, 1, 2], [0, 1, 2]).assign(bits, value).cx(0, 1)
    check(f"{BITS}c = measure q; {text} cx q[0], q[1];", expected)
    again, once = (Simulator(seed=3).run(c.h([0, 1, 2]), shots=20).counts for c in (loads(dumps(expected)), expected))
    assert again == once


def test_every_value_of_an_assignment_survives_a_round_trip() -> None:
    """Both circuits as truth tables: bits prepared, the assignment, what the bits are then."""
    for text, bits, value in ASSIGNED:
        for number in range(8):
            circuit = Circuit(3, 3)
            circuit.x([q for q in range(3) if number >> q & 1]).measure([0, 1, 2], [0, 1, 2]).assign(bits, value)
            with circuit.if_(0):
                circuit.x(0)
            read = loads(dumps(circuit))
            found = [Simulator(seed=1).run(c, shots=1).counts for c in (circuit, read)]
            assert found[0] == found[1], (text, number)


def test_bits_of_several_registers_are_written_as_an_alias() -> None:
    circuit = Circuit(1, 2)
    circuit.add_clbits("d", 2)
    with circuit.if_(((0, 3), 2)):
        circuit.x(0)
    assert "let bits_0 = c[0] ++ d[1];" in dumps(circuit)
    assert loads(dumps(circuit)).to_program().fingerprint == circuit.to_program().fingerprint


def test_matrices_states_and_tables_are_written_as_gates() -> None:
    rng = np.random.default_rng(7)
    matrix = np.linalg.qr(rng.normal(size=(8, 8)) + 1j * rng.normal(size=(8, 8)))[0]
    circuit = Circuit(4).unitary(matrix, [2, 0, 3], controls=[1], control_values=[0])
    circuit.diagonal(np.exp(1j * rng.normal(size=8)), [0, 1, 3]).permutation(rng.permutation(8), [1, 2, 3])
    circuit.pauli_rotation("XIYZ", 0.4, [0, 1, 2, 3], controls=[])
    np.testing.assert_allclose(loads(dumps(circuit)).to_matrix(), circuit.to_matrix(), atol=1e-9)
    for vector in (matrix[:, 0], np.eye(8)[5]):
        text = dumps(Circuit(3).initialize(vector, [0, 1, 2]))
        gates = loads(text.replace("reset q;", ""))
        np.testing.assert_allclose(gates.to_matrix()[:, 0], vector, atol=1e-9)


@pytest.mark.parametrize("controls", [[], [1]])
@pytest.mark.parametrize("version", [2, 3])
def test_a_rotation_about_the_identity_is_a_phase(version: int, controls: list[int]) -> None:
    circuit = Circuit(2).pauli_rotation("I", 0.4, [0], controls=controls).pauli_rotation("II", 0.3, [0, 1])
    theirs, ours = loads(dumps(circuit, version)).to_matrix(), circuit.to_matrix()
    factor = theirs[0, 0] / ours[0, 0] if version == 2 else 1.0  # no global phase in the language
    np.testing.assert_allclose(theirs, factor * ours, atol=1e-12)


def test_no_gate_of_the_standard_library_is_defined_again() -> None:
    """The u2 and u3 of version 2 are not those of version 3: they get other names, also where both are used."""
    circuit = Circuit(1).u2(0.3, 0.4, 0).append("qasm3_u2", [0], [0.3, 0.4]).u3(0.1, 0.2, 0.3, 0).u2(0.5, 0.6, 0)
    text = dumps(circuit)
    defined = [line.split("(")[0].split()[1] for line in text.splitlines() if line.startswith("gate ")]
    assert defined == ["u2_1", "u3_1"] and not set(defined) & QASM3_GATES.keys()
    assert loads(text).to_program().fingerprint == circuit.to_program().fingerprint


def test_programs_of_qiskit_read_the_same() -> None:
    pytest.importorskip("qiskit_qasm3_import")
    from qiskit import QuantumCircuit, qasm3
    from qiskit.circuit.library import QFTGate
    from qiskit.quantum_info import Operator

    theirs = QuantumCircuit(4)
    theirs.append(QFTGate(3), [0, 1, 3])
    theirs.rzz(0.3, 0, 1)
    theirs.ccz(0, 1, 2)
    theirs.cry(0.2, 3, 1)
    text = qasm3.dumps(theirs)
    np.testing.assert_allclose(loads(text).to_matrix(), Operator(theirs).data, atol=1e-9)
    back = qasm3.loads(dumps(loads(text)))
    np.testing.assert_allclose(Operator(back).data, Operator(theirs).data, atol=1e-9)


REFUSED = [
    ("x q", "expected ';' after the gate 'x', got the end of the file", 3, 4),
    ("foo q;", "gate 'foo' is not defined", 3, 1),
    ("foo(1);", "function 'foo' is not defined", 3, 1),
    ("x(q[0]);", "gate 'x' needs qubits", 3, 1),
    ("int i = 2.5;", "2.5 is not an integer. Write int(2.5) to round it", 3, 5),
    ("uint[3] i = 8;", "8 does not fit into uint[3]", 3, 9),
    ("const int n;", "constant 'n' needs a value", 3, 11),
    ("const int n = 1; n = 2;", "'n' is constant here", 3, 18),
    ("int n; rz(n) q[0];", "'n' has no value yet", 3, 11),
    ("n = 2;", "'n' is not defined", 3, 1),
    ("bit b; b = 2;", "2 does not fit into bit[1]", 3, 12),
    ("bit b; b = 0.5;", "classical bits can't be assigned", 3, 12),
    ("bit[2] b; bit[3] d; b = d;", "assignment of 3 bits to 2: expected equal sizes", 3, 25),
    ("bit[2] b; b = b + 1;", "a value that may not fit into 2 classical bits. Write bit[2](…)", 3, 15),
    ("bit[2] b; b += 1;", "a value that may not fit into 2 classical bits", 3, 11),
    ("int n = 1; bit b = measure q[0]; if (b) { n = 2; }", "assigning 'n' inside a block that runs only after", 3, 43),
    ("bit b; int n = b;", "a variable of type int can't hold measured bits", 3, 12),
    ("bit b; if (b) { end; }", "'end' inside a block on measured bits", 3, 17),
    ("break;", "'break' outside a loop", 3, 1),
    ("return;", "'return' outside a subroutine", 3, 1),
    ("extern f(int) -> int;", "'extern' is not supported. Write the function as 'def'", 3, 1),
    ("defcal x $0 { }", "'defcal' is not supported", 3, 1),
    ("duration d = 10ns;", "'duration' is not supported", 3, 1),
    ("complex[float] z;", "'complex' is not supported", 3, 1),
    ("input int n;", "input of type int is not supported", 3, 11),
    ("x $0;", "physical qubit '$0' in a file that also declares qubits, 'q'", 3, 3),
    ("gate g a { rz($0) a; }", "'$0' is a qubit, expected a number", 3, 15),
    ("gate g a { x $0; }", "'$0' is not a qubit of this gate", 3, 14),
    ("if (q[0]) { x q[0]; }", "expected a condition, got a qubit. Measure first", 3, 6),
    ("for int i in [0:0:2] { }", "step of a range: expected a number other than 0", 3, 15),
    ("for int i in q { }", "got a register of 3 qubits. Write for int i in [0:2]", 3, 1),
    ("let a = q[0] ++ q[0];", "alias 'a' contains the same wire twice", 3, 5),
    ("let a = 3;", "'let' names qubits or bits, got 3", 3, 5),
    ("ctrl @ x q[0];", "gate 'x' with 1 control acts on 2 qubits, got 1", 3, 8),
    ("pow @ x q[0];", "'pow' needs an exponent", 3, 1),
    ("def f(qubit p) { } f(q);", "argument 'p': expected qubit, got a register of 3 qubits", 3, 22),
    ("def f(qubit p) { x n; } int n = 1; f(q[0]);", "'n' is not visible inside a gate or subroutine", 3, 20),
    ("def f() -> int { } rz(f()) q[0];", "subroutine 'f' ends without 'return'", 3, 23),
    ("int n = 2; gate g a { rz(n) a; }", "'n' is not visible inside a gate or subroutine", 3, 26),
    ("{ gate g a { } }", "a gate definition can only stand at the top level", 3, 8),
    ("{ qubit r; }", "a qubit declaration can only stand at the top level", 3, 9),
    ("int gate = 2;", "'gate' is a word of the language", 3, 5),
    ("rz(\"01a\") q[0];", "only bit strings are values", 3, 4),
    ("a[0] == 2;", "expected '=' after what is assigned to", 3, 6),
    ("gate g a { x a; } gate x a { y a; }", "'x' is used further up", 3, 24),
    ("def f(qubit a) { x a; } gate x a { y a; }", "'x' is used further up", 3, 30),
    ("} x q;", "expected a statement, got '}'", 3, 1),
    ("if (true) { x q;", "block is not closed", 3, 11),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message", "line", "column"), REFUSED, ids=[entry[0] for entry in REFUSED])
def test_what_is_not_supported_is_refused_with_its_place(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(QasmError) as caught:
        loads(QUBITS + text)
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column + 12)


def test_noise_and_unbound_parameters_are_refused_by_the_writer() -> None:
    noisy = Circuit(1).channel([np.eye(2)], [0])
    with pytest.raises(UnsupportedError, match="channel"):
        dumps(noisy)
    free = Circuit(1).rx(Parameter("theta"), 0)
    with pytest.raises(UnsupportedError, match="theta"):
        dumps(free, 2)
