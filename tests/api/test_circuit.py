"""Circuit: what it collects, what it refuses, and its matrix against Qiskit."""

from __future__ import annotations

import copy
import inspect
import keyword
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Parameter, Simulator
from qsim.instructions import Instruction
from qsim_core.classical import Binary, Bits, Const, Unary
from qsim_core.errors import (
    NotUnitaryError,
    ParameterError,
    QsimError,
    QubitError,
    ShapeError,
    UnsupportedError,
)
from qsim_core.gates import GATES, GateSpec

X_MATRIX = np.array([[0, 1], [1, 0]])


def everything() -> Circuit:
    """A circuit with every kind of instruction and a parameter."""
    circuit = Circuit(3, 3, name="everything").h(0).cx(0, 1, controls=[2], control_values=[0]).rx(Parameter("a"), 2)
    circuit.unitary(X_MATRIX, 1).diagonal([1, 1j], 0, controls=2).permutation([1, 2, 3, 0], [2, 0])
    circuit.pauli_rotation("XZ", 2 * Parameter("b"), [0, 2]).global_phase(0.1).barrier().initialize([0, 1], [2])
    circuit.channel([np.eye(2), X_MATRIX], 0, probabilities=[0.5, 0.5]).measure(0, 1).reset(0)
    with circuit.if_(1):
        circuit.x(0)
    with circuit.else_():
        circuit.y(0)
    with circuit.while_((range(2), 3), limit=5):
        circuit.h(1).measure(1, 1)
    return circuit


# --- gates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GATES))
def test_every_gate_is_a_method_that_chains_and_has_the_gate_s_matrix(name: str) -> None:
    spec = GATES[name]
    params = [0.3 + 0.2 * k for k in range(spec.num_params)]
    circuit = Circuit(spec.num_qubits)
    assert getattr(circuit, name)(*params, *range(spec.num_qubits)) is circuit
    assert circuit[0].op is spec
    np.testing.assert_allclose(circuit.to_matrix(), spec.matrix(*params), atol=1e-14)


@pytest.mark.parametrize("spec", GATES.values(), ids=lambda spec: spec.name)
def test_aliases_append_the_same_gate(spec: GateSpec) -> None:
    for alias in spec.aliases:
        if alias.isidentifier() and not keyword.iskeyword(alias) and alias != "global_phase":
            args = [0.5] * spec.num_params + list(range(spec.num_qubits))
            assert getattr(Circuit(spec.num_qubits), alias)(*args)[0].op is spec
        assert Circuit(spec.num_qubits).append(alias, range(spec.num_qubits), [0.5] * spec.num_params)[0].op is spec


def test_one_qubit_gates_and_measure_and_reset_take_sequences() -> None:
    circuit = Circuit(4).h(range(4)).rx(0.1, [0, 2]).x(np.array([1, 3])).reset([0, 1]).measure([0, 3])
    assert circuit.count_gates() == {"h": 4, "rx": 2, "x": 2, "reset": 1, "measure": 1}
    assert [i.qubits for i in circuit if i.name == "rx"] == [(0,), (2,)]


def test_controls_are_one_wire_or_several_with_values() -> None:
    one, several = Circuit(3).x(2, controls=0), Circuit(3).x(2, controls=[0, 1], control_values=[0, 1])
    assert one[0].controls == (0,) and one.to_matrix()[0b101, 0b001] == 1
    np.testing.assert_array_equal(one.to_matrix(), Circuit(3).cx(0, 2).to_matrix())
    assert np.flatnonzero(several.to_matrix()[:, 0b010]) == [0b110]
    assert np.flatnonzero(several.to_matrix()[:, 0b011]) == [0b011]
    assert Circuit(2).x(1, controls=0, control_values=0).to_matrix()[2, 0] == 1


@pytest.mark.parametrize("seed", range(12))
def test_matrix_equals_qiskit_with_controls_values_and_global_phase(seed: int, random_pair: Callable[..., Any]) -> None:
    info = pytest.importorskip("qiskit.quantum_info")
    ours, theirs = random_pair(seed, 2 + seed % 4, 14)
    np.testing.assert_allclose(ours.to_matrix(), info.Operator(theirs).data, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_general_operations_equal_qiskit(seed: int) -> None:
    info = pytest.importorskip("qiskit.quantum_info")
    library = pytest.importorskip("qiskit.circuit.library")
    qiskit = pytest.importorskip("qiskit")
    rng = np.random.default_rng(seed)
    a, b, c, d = rng.permutation(4).tolist()
    matrix = info.random_unitary(4, seed=seed).data
    vector = np.exp(1j * rng.uniform(0, 6, 4))
    ours = Circuit(4).unitary(matrix, [c, a], controls=[b, d], control_values=[0, 1]).diagonal(vector, [d, b])
    ours.pauli_rotation("XYZ", 0.7, [a, d, b]).permutation([2, 0, 3, 1], [b, c])
    theirs = qiskit.QuantumCircuit(4)
    theirs.append(library.UnitaryGate(matrix).control(2, ctrl_state=0b10, annotated=False), [b, d, c, a])
    theirs.append(library.DiagonalGate(vector.tolist()), [d, b])
    pauli = info.Pauli("ZYX").to_matrix()  # the last letter is that of the first qubit
    theirs.unitary(np.cos(0.35) * np.eye(8) - 1j * np.sin(0.35) * pauli, [a, d, b])
    theirs.unitary(np.eye(4)[:, [2, 0, 3, 1]], [b, c])  # column x has its 1 in row table[x]
    np.testing.assert_allclose(ours.to_matrix(), info.Operator(theirs).data, atol=1e-12)


# --- whole circuits -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(6))
def test_algebra_of_circuits(seed: int, random_pair: Callable[..., Any]) -> None:
    circuit, _ = random_pair(seed, 3, 10)
    other, _ = random_pair(seed + 100, 3, 5)
    u, v, one = circuit.to_matrix(), other.to_matrix(), np.eye(8)
    close = {"atol": 1e-12}
    np.testing.assert_allclose(circuit.inverse().to_matrix(), u.conj().T, **close)
    np.testing.assert_allclose(circuit.copy().compose(other).to_matrix(), v @ u, **close)
    np.testing.assert_allclose(circuit.power(-3).to_matrix(), np.linalg.matrix_power(u.conj().T, 3), **close)
    np.testing.assert_allclose(circuit.repeat(2).to_matrix(), u @ u, **close)
    np.testing.assert_allclose(circuit.power(0).to_matrix(), one, **close)
    controlled = circuit.controlled(2, control_values=[0, 1]).to_matrix()
    blocks = [u if k == 0b10 else one for k in range(4)]
    for k, block in enumerate(blocks):
        np.testing.assert_allclose(controlled[8 * k : 8 * k + 8, 8 * k : 8 * k + 8], block, **close)
    relabelled = Circuit(4).compose(circuit, [3, 0, 2]).to_matrix()
    index = [sum((k >> b & 1) << q for b, q in enumerate([3, 0, 2])) for k in range(8)]
    np.testing.assert_allclose(relabelled[np.ix_(index, index)], u, **close)


def test_inverse_of_arrays_and_expressions() -> None:
    a = Parameter("a")
    circuit = Circuit(2).u(a, 0.2, a * a, 0).unitary([[0, 1j], [1, 0]], 1).permutation([1, 2, 3, 0], [1, 0])
    circuit.diagonal([1, 1j], 0).pauli_rotation("XY", np.sin(a), [0, 1]).barrier()
    product = circuit.copy().compose(circuit.inverse()).to_matrix({"a": 0.4})
    np.testing.assert_allclose(product, np.eye(4), atol=1e-14)
    assert circuit.inverse().inverse() == circuit


def test_compose_with_itself_and_of_blocks() -> None:
    twice = Circuit(1).h(0)
    assert len(twice.compose(twice)) == 2
    circuit = everything()
    wider = Circuit(5, 4).compose(circuit, [4, 2, 0], [3, 0, 1])
    test = wider[-1].op.condition
    assert test == Binary("==", Bits((3, 0)), Const(3))
    assert wider[-2].op.block[0].qubits == (4,)
    assert wider[-1].op.block[1].clbits == (0,)


def test_controlled_on_given_wires_keeps_registers() -> None:
    circuit = Circuit(name="c")
    circuit.add_qubits("data", 2)
    controlled = circuit.cx(0, 1).controlled([3])
    assert controlled.num_qubits == 4
    assert controlled.qubit_registers == {"data": range(0, 2), "control": range(2, 4)}
    assert controlled[0].controls == (3,)
    with pytest.raises(QubitError, match="twice"):
        circuit.controlled([0])
    with pytest.raises(UnsupportedError, match="got measure"):
        Circuit(1).measure(0).controlled()


def test_bind_takes_names_parameters_and_expressions() -> None:
    a, b = Parameter("a"), Parameter("b")
    circuit = Circuit(1, 1).rx(a + 2 * b, 0).ry(a * b, 0)
    with circuit.if_(0):
        circuit.rz(a, 0)
    assert circuit.parameters == ("a", "b")
    assert circuit.bind({"a": b, "b": a})[0].params == (b + 2 * a,)  # at once, not one after the other
    bound = circuit.bind({a: 1.0}).bind({"b": 0.5})
    assert bound.parameters == ()
    assert bound[0].params == (2.0,) and bound[1].params == (0.5,) and bound[2].op.block[0].params == (1.0,)
    assert circuit.parameters == ("a", "b")
    with pytest.raises(ParameterError, match="expected a, b, got c"):
        circuit.bind({"c": 1})
    with pytest.raises(ParameterError, match="got nan"):
        circuit.bind({"a": float("nan")})


def test_copies_are_independent() -> None:
    circuit = everything()
    for other in (circuit.copy(), copy.copy(circuit), copy.deepcopy(circuit), pickle.loads(pickle.dumps(circuit))):
        assert other == circuit and other.name == "everything" and other.parameters == ("a", "b")
        other.x(0)
        other.add_qubits("more", 1)
        assert other != circuit and circuit == everything()


def test_a_circuit_changed_after_lowering_is_lowered_again() -> None:
    circuit = Circuit(2).h(0)
    first = circuit.to_program()
    assert circuit.to_program() is first
    circuit.cx(0, 1)
    assert len(circuit.to_program()) == 2
    with circuit.if_(circuit.add_clbits("c", 1)[0]):
        circuit.x(0)
    assert len(circuit.to_program()) == 3 and circuit.to_program().num_clbits == 1
    circuit.compose(Circuit(2).h(1))
    assert len(circuit.to_program()) == 4
    circuit.add_qubits("more", 3)
    assert circuit.to_program().num_qubits == 5


def test_container_protocol() -> None:
    circuit = Circuit(2, name="bell").h(0).cx(0, 1)
    assert len(circuit) == 2 and [i.name for i in circuit] == ["h", "cx"]
    assert isinstance(circuit[0], Instruction) and circuit[-1].qubits == (0, 1)
    assert circuit[1:] == Circuit(2).cx(0, 1) and circuit[::-1][0].name == "cx"
    assert circuit != Circuit(2).h(0).cx(1, 0) and circuit != Circuit(3).h(0).cx(0, 1)
    assert circuit != "circuit"
    assert Circuit(1).unitary(X_MATRIX, 0) == Circuit(1).unitary(X_MATRIX, 0) != Circuit(1).unitary(np.eye(2), 0)
    assert repr(circuit) == "<Circuit(2) bell with 2 instructions>"
    with pytest.raises(TypeError):
        hash(circuit)


def test_depth_and_counts() -> None:
    assert Circuit(3).depth() == 0
    assert Circuit(3).h(0).h(1).cx(0, 1).h(2).depth() == 2
    assert Circuit(2).h(0).barrier().h(1).depth() == 2
    assert Circuit(2).h(0).barrier().h(1).num_gates == 2
    assert Circuit(1, 1).measure(0, 0).x(0).depth() == 2
    circuit = Circuit(3, 2).h(0).measure(0, 0)
    with circuit.if_(0):
        circuit.x(1)
    assert circuit.x(1).h(2).depth() == 4
    assert everything().count_gates()["x"] == 1
    assert everything().num_gates == 18


# --- registers and control flow -----------------------------------------------------------------------------------


def test_registers() -> None:
    circuit = Circuit()
    a, b = circuit.add_qubits("a", 2), circuit.add_qubits("b", 3)
    assert (a, b, circuit.num_qubits) == (range(0, 2), range(2, 5), 5)
    assert circuit.add_clbits("c", 2) == range(0, 2)
    assert circuit.measure(b).clbit_registers == {"c": range(0, 2), "c1": range(2, 5)}
    with pytest.raises(QubitError, match="'a'"):
        circuit.add_clbits("a", 1)


def test_measure_finds_a_free_register_name() -> None:
    circuit = Circuit()
    circuit.add_qubits("c", 1)
    circuit.add_clbits("c2", 0)
    assert list(circuit.measure_all().clbit_registers) == ["c2", "c1"]


@pytest.mark.parametrize(
    ("condition", "expression"),
    [
        (1, Bits((1,))),
        (np.int64(1), Bits((1,))),
        (([0, 1], 2), Binary("==", Bits((0, 1)), Const(2))),
        ((range(2), np.int64(2)), Binary("==", Bits((0, 1)), Const(2))),
        (("c", 3), Binary("==", Bits((0, 1)), Const(3))),
        (Unary("not", Bits((0,))), Unary("not", Bits((0,)))),
    ],
)
def test_conditions(condition: Any, expression: Any) -> None:
    circuit = Circuit(1, 2)
    with circuit.if_(condition):
        circuit.x(0)
    assert circuit[0].op.condition == expression


def test_an_error_inside_a_block_leaves_the_circuit_as_before() -> None:
    circuit = Circuit(1, 1)
    with pytest.raises(QubitError), circuit.if_(0):
        circuit.x(0).x(5)
    assert len(circuit) == 0
    circuit.x(0)
    assert len(circuit) == 1


def test_parameters_inside_blocks_are_found() -> None:
    circuit = Circuit(1, 1)
    with circuit.while_(0):
        circuit.rx(Parameter("inner"), 0)
    assert circuit.parameters == ("inner",)


# --- refusals -----------------------------------------------------------------------------------------------------

_C = "Circuit(3, 2)"
REFUSALS: list[tuple[str, type[QsimError], str]] = [
    ("Circuit.from_qasm('bell.qasm')", ParameterError, r"a program, got 'bell\.qasm'\. from_qasm_file\(\) reads"),
    (f"{_C}.h(3)", QubitError, r"qubit of h: expected 0 to 2, got 3"),
    (f"{_C}.h(-1)", QubitError, r"expected 0 to 2, got -1"),
    (f"{_C}.h(0.0)", QubitError, r"whole numbers, got .*0\.0"),
    (f"{_C}.h('0')", QubitError, r"whole numbers"),
    (f"{_C}.cx(1, 1)", QubitError, r"1 twice in \(1, 1\)"),
    (f"{_C}.cx(3, 1)", QubitError, r"0 to 2, got 3"),
    (f"{_C}.cx(1, 3)", QubitError, r"0 to 2, got 3"),
    (f"{_C}.cx(-1, 1)", QubitError, r"0 to 2, got -1"),
    (f"{_C}.cx(1, -1)", QubitError, r"0 to 2, got -1"),
    (f"{_C}.cx(0.0, 1)", QubitError, r"whole numbers"),
    (f"{_C}.cx(0, 1.0)", QubitError, r"whole numbers"),
    (f"{_C}.x(0, controls=[0])", QubitError, r"0 twice"),
    (f"{_C}.x(0, controls=[1, 2], control_values=[1])", ShapeError, r"expected 2, one per control, got 1"),
    (f"{_C}.x(0, controls=1, control_values=2)", ParameterError, r"0 or 1, got 2"),
    (f"{_C}.x(0, controls=1, control_values=[0.5])", QubitError, r"whole numbers"),
    (f"{_C}.rx(0.1)", ParameterError, r"arguments of rx: expected \(theta, qubit\), got 1"),
    (f"{_C}.cx(0)", ParameterError, r"\(qubit0, qubit1\)"),
    (f"{_C}.rx(float('nan'), 0)", ParameterError, r"finite number, got nan"),
    (f"{_C}.rx(float('inf'), 0)", ParameterError, r"finite number, got inf"),
    (f"{_C}.rx('0.5', 0)", ParameterError, r"a number or a Parameter, got '0.5'"),
    (f"{_C}.rx(1j, 0)", ParameterError, r"got 1j"),
    (f"{_C}.rx(np.complex64(1), 0)", ParameterError, r"a number or a Parameter, got np.complex64"),
    (f"{_C}.rx(np.array(1 + 0j), 0)", ParameterError, r"a number or a Parameter, got array"),
    (f"{_C}.rx(10**400, 0)", ParameterError, r"a number"),
    (f"{_C}.append('hadamrd', [0])", UnsupportedError, r"Did you mean"),
    (f"{_C}.append('rx', [0], [])", ParameterError, r"1 \(theta\), got 0"),
    (f"{_C}.append('cx', [0])", ShapeError, r"qubits of gate cx: expected 2, got 1"),
    (f"{_C}.unitary([[1, 0], [0, 2]], 0)", NotUnitaryError, r"unitary within .*got max .* = 3"),
    (f"{_C}.unitary([[1e200, 1e200j], [1e200, 1]], 0)", NotUnitaryError, r"finite entries"),
    (f"{_C}.unitary(np.eye(2), [0, 1])", ShapeError, r"shape \(4, 4\), got \(2, 2\)"),
    (f"{_C}.unitary([[1, 0], [0, float('nan')]], 0)", NotUnitaryError, r"finite entries, got .*nan"),
    (f"{_C}.unitary('matrix', 0)", ShapeError, r"array of numbers, got 'matrix'"),
    (f"{_C}.unitary([[1], [0, 1]], 0)", ShapeError, r"array of numbers"),
    (f"{_C}.diagonal([1, 1.1], 0)", NotUnitaryError, r"deviation of 0\.1"),
    (f"{_C}.permutation([0, 0], 0)", NotUnitaryError, r"every number from 0 to 1 once"),
    (f"{_C}.permutation([0.0, 1.0], 0)", ShapeError, r"whole numbers, got dtype float64"),
    (f"{_C}.pauli_rotation('XQ', 0.1, [0, 1])", ShapeError, r"letters of I, X, Y, Z, got 'XQ'"),
    (f"{_C}.pauli_rotation('X', 0.1, [0, 1])", ShapeError, r"2 letters"),
    (f"{_C}.initialize([1, 1], [0])", NotUnitaryError, r"norm 1\.414.*Divide it by its norm"),
    (f"{_C}.initialize([1, 0])", ShapeError, r"shape \(8,\), got \(2,\)"),
    (f"{_C}.channel([np.eye(2) / 2], 0)", NotUnitaryError, r"deviation of 0\.75"),
    (f"{_C}.channel([np.eye(2)], 0, [0.5])", ParameterError, r"sum 1, got \[0\.5\]"),
    (f"{_C}.channel([], 0)", ShapeError, r"at least one matrix"),
    (f"{_C}.measure(0, 2)", QubitError, r"classical bit of measure: expected 0 to 1, got 2"),
    (f"{_C}.measure([0, 1], [0])", ShapeError, r"2, one per qubit, got 1"),
    (f"{_C}.measure([0, 1], [0, 0])", QubitError, r"0 twice"),
    (f"{_C}.measure(1.5)", QubitError, r"whole numbers, got 1\.5"),
    (f"{_C}.if_(2).__enter__()", QubitError, r"classical bit of a condition: expected 0 to 1, got 2"),
    (f"{_C}.if_(True).__enter__()", ParameterError, r"condition: expected a classical bit"),
    (f"{_C}.if_('c').__enter__()", ParameterError, r"got 'c'"),
    (f"{_C}.if_(('d', 1)).__enter__()", QubitError, r"\['c'\], got 'd'"),
    (f"{_C}.else_().__enter__()", UnsupportedError, r"directly after an if_ block"),
    (f"{_C}.while_(0, limit=0).__enter__()", ParameterError, r"at least 1, got 0"),
    (f"{_C}.compose(Circuit(4))", QubitError, r"0 to 2, got 3"),
    (f"{_C}.compose(Circuit(2), [0])", ShapeError, r"2, one per wire, got 1"),
    (f"{_C}.measure(0).inverse()", UnsupportedError, r"gates only, got measure"),
    (f"{_C}.measure(0).to_matrix()", UnsupportedError, r"gates only"),
    (f"{_C}.power(0.5)", ParameterError, r"whole number, got 0\.5"),
    (f"{_C}.repeat(-1)", ParameterError, r"at least 0, got -1"),
    (f"{_C}.rx(Parameter('a'), 0).to_matrix()", ParameterError, r"expected a, got no value for \['a'\]"),
    (f"{_C}.rx(Parameter('a'), 0).to_matrix({{'a': [1, 2]}})", ShapeError, r"one set, got 2"),
    ("Circuit(13).to_matrix()", ShapeError, r"at most 12, got 13"),
    ("Circuit(63)", QubitError, r"0 to 62 \(64-bit indices\), got 63"),
    ("Circuit(-1)", ParameterError, r"got -1"),
    ("Circuit(2.0)", ParameterError, r"got 2\.0"),
    ("Circuit(None)", ParameterError, r"got None"),
    ("Circuit(1, -1)", ParameterError, r"classical bits.*got -1"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[call for call, _, _ in REFUSALS])
def test_refusals_name_the_value_and_what_is_allowed(call: str, error: type[QsimError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        eval(call)
    assert "expected" in str(caught.value) and "got" in str(caught.value)


def test_pickling_inside_a_block_is_refused() -> None:
    circuit = Circuit(1, 1)
    with circuit.if_(0), pytest.raises(UnsupportedError, match="open block"):
        pickle.dumps(circuit)


def test_no_gate_hides_a_method_and_all_have_documentation() -> None:
    for name, member in inspect.getmembers(Circuit, inspect.isfunction):
        if not name.startswith("_"):
            assert member.__doc__, name
    assert Circuit.rx.__doc__.startswith("Append rx(theta, qubit).")


def test_operands_are_copied_and_frozen() -> None:
    matrix = np.eye(2, dtype=complex)
    circuit = Circuit(1).unitary(matrix, 0)
    matrix[:] = X_MATRIX
    assert circuit.to_matrix()[0, 0] == 1
    assert not circuit[0].op.matrix.flags.writeable


def test_sixty_two_qubits_can_be_described() -> None:
    circuit = Circuit(62).h(61).cx(61, 0)
    assert circuit.to_program().num_qubits == 62
    assert Simulator("reference").compile(circuit).plan().num_qubits == 62
