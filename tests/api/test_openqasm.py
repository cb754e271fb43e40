"""OpenQASM 2: meaning (compared with Qiskit), messages, writing, and the files other tools write."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit
from qsim.interchange.openqasm import Limits, QasmError, dumps, load, loads
from qsim_core.errors import ProgramFormatError, UnsupportedError
from qsim_core.gates import GATES, QASM2_GATES

qiskit = pytest.importorskip("qiskit")
from qiskit import qasm2  # noqa: E402
from qiskit.quantum_info import Operator  # noqa: E402

DATA = Path(__file__).parent.parent / "data"
HEAD = 'OPENQASM 2.0;\ninclude "qelib1.inc";\n'


def qiskit_matrix(text: str) -> np.ndarray[Any, Any]:
    """Return the unitary of a program by Qiskit, global phase included."""
    return Operator(qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)).data


def up_to_phase(matrix: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    pivot = matrix.flat[int(np.argmax(np.abs(matrix) > 0.5 / len(matrix) ** 0.5))]
    return matrix * (abs(pivot) / pivot)


# ------------------------------------------------------------------------------------------------------- meaning

_NUMBERS = st.one_of(
    st.floats(-7, 7).map(repr),
    st.integers(0, 9).map(str),
    st.sampled_from(["pi", "1.5e-1", ".5", "2.", "1E1"]),
)


def _expressions(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"{t[0]} {t[1]} {t[2]}"),
        inner.map(lambda e: f"-({e})"),
        inner.map(lambda e: f"({e})/3"),
        inner.map(lambda e: f"-{e.strip('-')}^2" if e.strip("-")[:1].isdigit() and "." not in e else f"({e})"),
        st.tuples(st.sampled_from(["sin", "cos", "exp"]), inner).map(lambda t: f"{t[0]}(cos({t[1]}))"),
        inner.map(lambda e: f"sqrt(ln(4+cos({e})))"),
    )


EXPRESSIONS = st.recursive(_NUMBERS, _expressions, max_leaves=5)


@settings(max_examples=60, deadline=None)
@given(EXPRESSIONS)
def test_expressions_agree_with_qiskit(expression: str) -> None:
    text = f"{HEAD}qreg q[1]; rz({expression}) q[0];"
    try:
        theirs = float(qasm2.loads(text).data[0].operation.params[0])
    except qasm2.QASM2ParseError:
        with pytest.raises(QasmError):
            loads(text)
        return
    assert loads(text).instructions[0].params[0] == pytest.approx(theirs, rel=1e-12, abs=1e-12)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Programs of qelib1 gates, definitions, broadcasts and barriers on two registers."""
    lines = [HEAD, "qreg a[2];", "qreg b[2];"]
    lines.append("gate mine(s,t) x,y { rx(s+t) x; cx x,y; u2(t/2,-s) y; barrier x,y; cu1(s*t) y,x; }")
    lines.append("gate outer(s) x,y { mine(s,pi/4) y,x; h x; }")
    names = [
        "h",
        "sdg",
        "rx",
        "ry",
        "rz",
        "u1",
        "u2",
        "u3",
        "cx",
        "cz",
        "ch",
        "crz",
        "cu1",
        "cu3",
        "ccx",
        "swap",
        "rzz",
    ]
    arity = {"mine": (2, 2), "outer": (1, 2)}
    arity |= {name: (QASM2_GATES[name].num_params, QASM2_GATES[name].num_qubits) for name in names}
    for _ in range(draw(st.integers(1, 8))):
        name = draw(st.sampled_from(sorted(arity)))
        num_params, num_qubits = arity[name]
        params = [repr(draw(st.floats(-4, 4))) for _ in range(num_params)]
        arguments = f"({','.join(params)})" if params else ""
        if num_qubits <= 2 and draw(st.booleans()):
            choices = [["a"], ["b"]] if num_qubits == 1 else [["a", "b"], ["b", "a"], ["a[0]", "b"], ["b", "a[1]"]]
            wires = draw(st.sampled_from(choices))
        else:
            wires = draw(st.permutations(["a[0]", "a[1]", "b[0]", "b[1]"]))[:num_qubits]
        lines.append(f"{name}{arguments} {','.join(wires)};")
    return "\n".join(lines)


@settings(max_examples=40, deadline=None)
@given(programs())
def test_programs_agree_with_qiskit(text: str) -> None:
    np.testing.assert_allclose(loads(text).to_matrix(), qiskit_matrix(text), atol=1e-10)


@settings(max_examples=25, deadline=None)
@given(programs())
def test_writing_and_reading_again_gives_the_same_program(text: str) -> None:
    circuit = loads(text)
    for version in (2, 3):
        again = loads(dumps(circuit, version))
        assert again.to_program().fingerprint == circuit.to_program().fingerprint
        assert again.qubit_registers == circuit.qubit_registers


@pytest.mark.parametrize("name", sorted(QASM2_GATES))
def test_every_qelib1_gate_reads_under_its_name(name: str) -> None:
    spec = QASM2_GATES[name]
    params = [0.3 + 0.2 * k for k in range(spec.num_params)]
    arguments = f"({','.join(map(repr, params))})" if params else ""
    wires = ",".join(f"q[{k}]" for k in range(spec.num_qubits))
    circuit = loads(f"{HEAD}qreg q[6];{name}{arguments} {wires};")
    assert circuit.instructions[0].op is spec
    assert circuit.instructions[0].params == tuple(params)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", sorted(name for name, spec in GATES.items() if spec.num_qubits <= 4))
def test_every_gate_is_written_and_read_again(name: str, version: int) -> None:
    spec = GATES[name]
    circuit = Circuit(spec.num_qubits + 1)
    params = [0.7 - 0.4 * k for k in range(spec.num_params)]
    wires = list(range(spec.num_qubits))[::-1]
    circuit.append(spec, wires, params)
    circuit.append(spec, wires, params, controls=[spec.num_qubits], control_values=[0])
    again = loads(dumps(circuit, version))
    ours, theirs = circuit.to_matrix(), again.to_matrix()
    if version == 2:  # no global phase in the language
        ours, theirs = up_to_phase(ours), up_to_phase(theirs)
    else:
        assert again.to_program().fingerprint == circuit.to_program().fingerprint
    np.testing.assert_allclose(theirs, ours, atol=1e-10)


def test_version_2_text_means_the_same_to_qiskit() -> None:
    circuit = Circuit(4).h(0).rzz(0.3, 0, 1).rx(0.4, 3, controls=[0, 1, 2], control_values=[1, 0, 1])
    circuit.pauli_rotation("XYZ", 0.7, [0, 1, 3]).ccz(0, 1, 2).iswap(1, 2)
    circuit.unitary(np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0], [2, 0])
    circuit.diagonal(np.exp(1j * np.arange(4)), [1, 3]).permutation([1, 2, 3, 0], [0, 3])
    theirs = Operator(qasm2.loads(dumps(circuit, 2))).data
    np.testing.assert_allclose(up_to_phase(theirs), up_to_phase(circuit.to_matrix()), atol=1e-9)


# ---------------------------------------------------------------------------------------------- files of others


def test_files_written_by_qiskit() -> None:
    from qiskit import QuantumCircuit
    from qiskit.circuit.library import MCPhaseGate, QFTGate, RXXGate, UnitaryGate

    theirs = QuantumCircuit(5)
    theirs.h(0)
    theirs.append(QFTGate(4), [0, 1, 2, 3])
    theirs.append(MCPhaseGate(0.3, 3), [0, 1, 2, 4])
    theirs.mcx([0, 1, 2, 3], 4)
    theirs.rccx(0, 1, 2)
    theirs.append(RXXGate(0.4).control(1), [0, 1, 2])
    theirs.append(UnitaryGate(np.linalg.qr(np.random.default_rng(1).normal(size=(4, 4)))[0]), [1, 3])
    theirs.ecr(0, 1)
    theirs.iswap(2, 3)
    theirs.rzx(0.2, 0, 4)
    ours = loads(qasm2.dumps(theirs))
    np.testing.assert_allclose(up_to_phase(ours.to_matrix()), up_to_phase(Operator(theirs).data), atol=1e-8)


@pytest.mark.parametrize("name", ["ghz", "qft", "grover", "qaoa", "qpeexact", "wstate", "dj"])
def test_files_of_mqt_bench(name: str) -> None:
    bench = pytest.importorskip("mqt.bench")
    theirs = bench.get_benchmark(name, bench.BenchmarkLevel.INDEP, 4)
    if theirs.num_parameters:
        theirs = theirs.assign_parameters(np.linspace(0.1, 1, theirs.num_parameters))
    ours = loads(qasm2.dumps(theirs))
    theirs.remove_final_measurements()
    gates = Circuit(ours.num_qubits)
    for instruction in ours.instructions:
        if instruction.name not in ("measure", "barrier"):
            gates._add(*instruction[:5])
    np.testing.assert_allclose(up_to_phase(gates.to_matrix()), up_to_phase(Operator(theirs).data), atol=1e-8)


def test_sample_files() -> None:
    adder = load(DATA / "adder2.qasm")
    assert list(adder.qubit_registers) == ["cin", "a", "b", "cout"]
    assert adder.clbit_registers == {"ans": range(3)}
    teleport = load(DATA / "teleport2.qasm")
    assert [instruction.name for instruction in teleport.instructions[-2:]] == ["if", "if"]


# ------------------------------------------------------------------------------------------------------- details


def test_a_definition_in_the_file_is_used_as_defined() -> None:
    circuit = loads("OPENQASM 2.0; gate h a { U(0,0,pi) a; } qreg q[1]; h q[0];")
    np.testing.assert_allclose(circuit.to_matrix(), np.diag([1, -1]), atol=1e-15)
    shadowed = loads(f"{HEAD}gate rzz(t) a,b {{ cx a,b; u1(t) b; cx a,b; }} qreg q[2]; rzz(1) q[0],q[1];")
    np.testing.assert_allclose(shadowed.to_matrix().diagonal(), np.exp([0, 1j, 1j, 0]), atol=1e-15)


def test_a_definition_that_repeats_the_table_is_recognised() -> None:
    text = f"{HEAD}gate rzz(t) a,b {{ cx a,b; rz(t) b; cx a,b; }} qreg q[2]; rzz(1) q[0],q[1];"
    assert [i.op for i in loads(text).instructions] == [GATES["rzz"]]


def test_measurement_conditions_and_reset() -> None:
    circuit = loads(f"{HEAD}qreg q[2]; creg c[2]; reset q; measure q -> c; if(c==2) measure q[0] -> c[1];")
    assert [instruction.name for instruction in circuit.instructions] == ["reset", "measure", "if"]
    again = loads(dumps(circuit, 2))
    assert again.to_program().fingerprint == circuit.to_program().fingerprint


def test_unused_opaque_gates_are_allowed() -> None:
    assert len(loads(f"{HEAD}opaque magic(a) x,y; qreg q[1]; h q;")) == 1


def test_fast_path_and_parser_agree() -> None:
    body = "h q[0];cx q[0],q[1];rz(pi/3) q[2];u3(0.1,-pi/2,2*pi/4) q[1];ccx q[0],q[1],q[2];measure q[1] -> c[2];"
    fast = loads(f"{HEAD}qreg q[3]; creg c[3];\n{body * 3}")
    slow = loads(f"{HEAD}qreg q[3]; creg c[3];\n{body.replace('[', '/**/[') * 3}")
    assert fast.to_program().fingerprint == slow.to_program().fingerprint
    assert len(fast) == 18


# ------------------------------------------------------------------------------------------------------ refusals

_R = "qreg q[2]; creg c[2];"
MALFORMED = [
    ("OPENQASM 9.0;", "version of OpenQASM", 1, 10),
    (f"{HEAD}qreg q[1];\n  hh q[0];", "gate 'hh' is not defined. Did you mean 'h'?", 4, 3),
    ("OPENQASM 2.0;\nqreg q[1];\nh q[0];", "Add 'include \"qelib1.inc\";'", 3, 1),
    (f"{HEAD}{_R} h q[2];", "index of 'q': expected 0 to 1, got 2", 3, 27),
    (f"{HEAD}{_R} h r[0];", "'r' is not defined. Defined here: q, c.", 3, 25),
    (f"{HEAD}{_R} cx q[0],q[0];", "gate 'cx' uses qubit q[0] twice", 3, 23),
    (f"{HEAD}{_R} cx q[0];", "gate 'cx' acts on 2 qubits, got 1", 3, 23),
    (f"{HEAD}{_R} rz q[0];", "gate 'rz' takes 1 parameter (theta), got 0", 3, 23),
    (f"{HEAD}{_R} rz(1,2) q[0];", "gate 'rz' takes 1 parameter (theta), got 2", 3, 23),
    (f"{HEAD}{_R} h(1) q[0];", "gate 'h' takes no parameters, got 1", 3, 23),
    (f"{HEAD}{_R} rz(1/0) q[0];", "division by zero", 3, 27),
    (f"{HEAD}{_R} ry(1.0/0) q[0];", "division by zero", 3, 29),
    (f"{HEAD}{_R} rz(exp(1000)) q[0];", "exp(1000) is not a finite real number", 3, 26),
    (f"{HEAD}{_R} rz(1e999) q[0];", "expected a finite number, got inf", 3, 26),
    (f"{HEAD}{_R} rz(1e308*10) q[0];", "number is inf", 3, 31),
    (f"{HEAD}{_R} rz(ln(-1)) q[0];", "ln(-1) is not a finite real number", 3, 26),
    (f"{HEAD}{_R} rz((-1)^0.5) q[0];", "is not a finite real number", 3, 30),
    (f"{HEAD}{_R} rz(x) q[0];", "'x' is a gate or subroutine, expected a value", 3, 26),
    (f"{HEAD}{_R} rz(pj) q[0];", "'pj' is not defined. Defined here: q, c.", 3, 26),
    (f"{HEAD}{_R} rz(q) q[0];", "expected a number, got a register of 2 qubits", 3, 26),
    (f"{HEAD}{_R} h c[0];", "expected qubits, got a bit", 3, 26),
    (f"{HEAD}{_R} h q[0]", "expected ';' after the gate 'h', got the end of the file", 3, 29),
    (f"{HEAD}{_R} h q[-1];", "index", 3, 27),
    (f"{HEAD}{_R} h q[0.5];", "index: expected an integer, got 0.5", 3, 27),
    (f"{HEAD}qreg q[2]; qreg q[3];", "'q' is already declared", 3, 17),
    (f"{HEAD}qreg q[0];", "size of qubit: expected 1 to 62", 3, 8),
    (f"{HEAD}qreg q[99999999];", "size of qubit: expected 1 to 62 (Limits.qubits)", 3, 8),
    (f"{HEAD}qreg q[40]; qreg r[40];", "80 qubits in all registers", 3, 18),
    (
        f"{HEAD}qreg a[2]; qreg b[3]; cx a,b;",
        "registers of different sizes in one gate: 2, 3. Their elements are paired",
        3,
        23,
    ),
    (f"{HEAD}{_R} measure q -> c[0];", "measurement of 2 qubits into 1 bits", 3, 23),
    (f"{HEAD}{_R} measure q[0] c[0];", "expected '->'", 3, 36),
    (f"{HEAD}gate g a {{ h b; }}", "'b' is not a qubit of this gate", 3, 14),
    (f"{HEAD}gate g a {{ hh a; }}", "gate 'hh' is not defined", 3, 12),
    (f"{HEAD}gate g a {{ g a; }}", "gate 'g' can't use itself", 3, 12),
    (f"{HEAD}gate g(t) a {{ rz(u) a; }}", "'u' is a gate or subroutine", 3, 18),
    (f"{HEAD}gate g a {{ h a[0]; }}", "can't be indexed", 3, 15),
    (f"{HEAD}gate g a,a {{ }}", "name 'a' is used twice", 3, 10),
    (f"{HEAD}gate g a {{ h a;", "body of the gate is not closed", 3, 10),
    (f"{HEAD}gate g a {{ measure a -> c; }}", "only gates, barriers", 3, 12),
    (f"{HEAD}gate g a {{}} gate g a {{}}", "'g' is already declared", 3, 18),
    (f"{HEAD}opaque m a; qreg q[1]; m q[0];", "gate 'm' is opaque", 3, 24),
    (f"{HEAD}{_R} if(c=1) x q[0];", "got an assignment. Compare with '=='", 3, 27),
    (f"{HEAD}{_R} if(d==1) x q[0];", "'d' is not defined", 3, 26),
    (f"{HEAD}{_R} @h q[0];", "expected a statement, got '@'", 3, 23),
    (f"{HEAD}{_R} h q[0]; \x00", "character '\\x00' has no place", 3, 31),
    (f"{HEAD}{_R} h q[0]; /* open", "comment is not closed", 3, 31),
    ('OPENQASM 2.0;\ninclude "qelib1.inc;', "string is not closed", 2, 9),
    ('OPENQASM 2.0;\ninclude "/etc/passwd";', "including '/etc/passwd' is not allowed", 2, 9),
    ('OPENQASM 2.0;\ninclude "qelib.inc";', "Did you mean 'qelib1.inc'?", 2, 9),
    (f"{HEAD}{_R} h q[0]; OPENQASM 2.0;", "must be the first statement", 3, 31),
    (f"{HEAD}{_R} rz(3x) q[0];", "number '3x' is not well formed. Write 3*x", 3, 26),
    (f"{HEAD}{_R} h $0;", "physical qubit '$0' belongs to OpenQASM 3", 3, 25),
    (f"{HEAD}qubit[2] q;", "'qubit' is not a statement of OpenQASM 2. It belongs to OpenQASM 3", 3, 1),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), MALFORMED)
def test_malformed_programs_are_refused_with_their_place(text: str, message: str, line: int, column: int) -> None:
    with pytest.raises(QasmError) as caught:
        loads(text, filename="file.qasm")
    assert message in str(caught.value)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert str(caught.value).startswith(f"file.qasm:{line}:{column}: ")
    assert isinstance(caught.value, ProgramFormatError)


def test_includes_are_read_only_when_asked_for_and_only_from_below(tmp_path: Path) -> None:
    (tmp_path / "more.inc").write_text("gate flip a { x a; }\n")
    main = tmp_path / "main.qasm"
    main.write_text(f'{HEAD}include "more.inc";\nqreg q[1]; flip q[0];')
    with pytest.raises(QasmError, match="not allowed"):
        load(main)
    assert load(main, allow_include=True).instructions[0].name == "x"
    for outside in ("../main.qasm", str(main), "missing.inc"):
        main.write_text(f'OPENQASM 2.0; include "{outside}";')
        with pytest.raises(QasmError, match=r"main\.qasm:1:23"):
            load(main, allow_include=True)
    main.write_text('OPENQASM 2.0; include "main.qasm";')
    with pytest.raises(QasmError, match="deep"):
        load(main, allow_include=True)


def test_errors_in_included_files_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.inc").write_text("\ngate flip a { y a }\n")
    main = tmp_path / "main.qasm"
    main.write_text(f'{HEAD}include "bad.inc";')
    with pytest.raises(QasmError, match=r"bad\.inc:2:19"):
        load(main, allow_include=True)


def test_limits_can_be_raised() -> None:
    text = "OPENQASM 2.0; creg c[70000];"
    with pytest.raises(QasmError, match=r"Limits\.clbits"):
        loads(text)
    assert loads(text, limits=Limits(clbits=100_000)).num_clbits == 70_000


def test_what_version_2_cannot_say_is_refused() -> None:
    circuit = Circuit(1, 2).h(0).measure(0, 0)
    with circuit.while_(0):
        circuit.h(0).measure(0, 0)
    with pytest.raises(UnsupportedError, match="Write version 3"):
        dumps(circuit, 2)
    wide = Circuit(9).unitary(np.eye(32), range(5))
    for version in (2, 3):
        with pytest.raises(UnsupportedError, match="at most 4"):
            dumps(wide, version)


def test_numbers_survive_exactly() -> None:
    angles = [math.pi / 3, -7 * math.pi / 16, 1e-300, 0.1, math.nextafter(math.pi / 2, 2), 1e22, -0.0]
    circuit = Circuit(1)
    for angle in angles:
        circuit.rz(angle, 0)
    assert [i.params[0] for i in loads(dumps(circuit)).instructions] == angles
