"""Random circuits of Qiskit: asymmetric in their qubits, so that a wrong bit order can't pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from qiskit import ClassicalRegister, QuantumCircuit, QuantumRegister
from qiskit.circuit import Gate, Parameter
from qiskit.circuit.classical import expr, types
from qiskit.circuit.library import RYGate, UnitaryGate, get_standard_gate_name_mapping
from qiskit.quantum_info import random_unitary

#: Every gate of Qiskit's standard library, by name.
STANDARD = {name: g for name, g in get_standard_gate_name_mapping().items() if isinstance(g, Gate) and name != "delay"}


def standard_gate(name: str, params: Sequence[Any]) -> Gate:
    """Return a gate of the library with its first parameters."""
    gate = STANDARD[name]
    return gate.base_class(*params[: len(gate.params)])


@st.composite
def unitary_circuits(
    draw: Any, num_qubits: int = 4, size: int = 12, parameters: Sequence[Parameter] = ()
) -> QuantumCircuit:
    """Return a circuit that begins with another rotation on every qubit, then has gates of all kinds."""
    angle = st.floats(-4, 4, allow_nan=False).map(lambda x: round(x, 3))
    circuit = QuantumCircuit(num_qubits, global_phase=draw(angle))
    for qubit in range(num_qubits):
        circuit.ry(0.3 + 0.5 * qubit, qubit)
    value = st.one_of(angle, *([_expressions(parameters)] if parameters else []))
    for parameter in parameters:
        circuit.rx(parameter, draw(st.integers(0, num_qubits - 1)))
    for _ in range(draw(st.integers(0, size))):
        kind = draw(st.sampled_from(["standard", "standard", "standard", "controlled", "unitary", "definition"]))
        qubits = draw(st.permutations(range(num_qubits)))
        if kind == "unitary":
            width, seed = draw(st.integers(1, 2)), draw(st.integers(0, 99))
            circuit.append(UnitaryGate(random_unitary(2**width, seed=seed)), qubits[:width])
        elif kind == "controlled":
            gate = RYGate(draw(value)).control(2, ctrl_state=draw(st.integers(0, 3)), annotated=draw(st.booleans()))
            circuit.append(gate, qubits[:3])
        elif kind == "definition":
            inner = QuantumCircuit(2, global_phase=draw(angle), name="own")
            inner.rz(draw(value), 1)
            inner.cx(1, 0)
            gate = inner.to_gate()
            if draw(st.booleans()) and not inner.parameters:
                gate = gate.control(1, ctrl_state=draw(st.integers(0, 1)), annotated=draw(st.booleans()))
            circuit.append(gate, qubits[: gate.num_qubits])
        else:
            name = draw(st.sampled_from(sorted(n for n, g in STANDARD.items() if g.num_qubits <= num_qubits)))
            params = [draw(value) for _ in STANDARD[name].params]
            circuit.append(standard_gate(name, params), qubits[: STANDARD[name].num_qubits])
    return circuit


@st.composite
def _expressions(draw: Any, parameters: Sequence[Parameter]) -> Any:
    a, b = draw(st.sampled_from(parameters)), draw(st.sampled_from(parameters))
    return draw(st.sampled_from([a, 2 * a + 1, a - b / 3, -b, a * b, (a * b).sin() + a]))


@st.composite
def dynamic_circuits(draw: Any) -> QuantumCircuit:
    """Return a circuit on three qubits and registers of 2, 1, 2 and 2 bits, with measurements and control flow.

    The last register is stored to and loops are left early: what Aer
    0.18 does right, so no variables, no arithmetic, and no stores inside branches.
    """
    sizes = {"a": 2, "b": 1, "c": 2, "n": 2}
    circuit = QuantumCircuit(QuantumRegister(3, "q"), *(ClassicalRegister(size, name) for name, size in sizes.items()))
    for qubit in range(3):
        circuit.ry(0.4 + 0.7 * qubit, qubit)
    _fill(draw, circuit, depth=0)
    circuit.measure([0, 1, 2], [0, 2, 4])
    return circuit


def _fill(draw: Any, circuit: QuantumCircuit, depth: int, *, loop: bool = False) -> None:
    a, b, c, register = circuit.cregs
    n = expr.lift(register)
    kinds = ["gate", "gate", "measure", "measure", "reset"]
    if depth == 0:
        kinds += ["store", "store bit", "while"]
    if depth < 2:
        kinds += ["if", "if_else", "if_expr", "for", "switch"]
    kinds += ["break", "continue"] * loop
    for _ in range(draw(st.integers(1, 4 if depth == 0 else 2))):
        qubit = draw(st.integers(0, 2))
        match draw(st.sampled_from(kinds)):
            case "gate":
                circuit.ry(draw(st.sampled_from([0.6, 1.1, 1.9])), qubit)
                circuit.cx(qubit, (qubit + draw(st.integers(1, 2))) % 3)
            case "measure":
                circuit.measure(qubit, draw(st.integers(0, 4)))
            case "reset":
                circuit.reset(qubit)
            case "store":
                values = [expr.bit_xor(n, a), expr.bit_not(n), expr.bit_or(c, n), expr.lift(2, types.Uint(2))]
                circuit.store(n, draw(st.sampled_from(values)))
            case "store bit":
                values = [expr.equal(n, 2), expr.logic_not(b[0]), expr.less(a, n)]
                circuit.store(b[0], draw(st.sampled_from(values)))
            case "while":
                circuit.store(n, 2)
                with circuit.while_loop(expr.greater(n, 0)):
                    circuit.store(n, expr.bit_and(expr.bit_not(n), 1))  # 2, 1, 0
                    circuit.rx(0.4, qubit)
                    circuit.measure(qubit, 1)
                    with circuit.if_test((circuit.clbits[1], 1)):
                        circuit.continue_loop() if draw(st.booleans()) else circuit.break_loop()
                    circuit.ry(0.5, (qubit + 1) % 3)
            case "break":
                with circuit.if_test(expr.less(n, 2)):
                    circuit.break_loop()
            case "continue":
                with circuit.if_test((circuit.clbits[0], 1)):
                    circuit.continue_loop()
            case "if":
                with circuit.if_test((draw(st.sampled_from([a, c])), draw(st.integers(0, 3)))):
                    _fill(draw, circuit, depth + 1, loop=loop)
            case "if_else":
                with circuit.if_test((circuit.clbits[draw(st.integers(0, 4))], draw(st.integers(0, 1)))) as otherwise:
                    _fill(draw, circuit, depth + 1, loop=loop)
                with otherwise:
                    _fill(draw, circuit, depth + 1, loop=loop)
            case "if_expr":
                tests = [
                    expr.less(a, c),
                    expr.less(n, a),
                    expr.logic_or(expr.equal(a, 1), expr.logic_not(b[0])),
                    expr.equal(expr.bit_xor(a, c), 3),
                    expr.greater_equal(expr.bit_not(c), 2),
                    expr.logic_and(expr.bit_xor(b[0], a[1]), expr.not_equal(c, a)),
                ]
                with circuit.if_test(draw(st.sampled_from(tests))):
                    _fill(draw, circuit, depth + 1, loop=loop)
            case "for":
                theta = Parameter(f"theta{draw(st.integers(0, 10**9))}")
                with circuit.for_loop(draw(st.sampled_from([range(3), (1, 4)])), theta):
                    circuit.rx(0.3 * theta, qubit)
                    _fill(draw, circuit, depth + 1, loop=True)
            case "switch":
                with circuit.switch(draw(st.sampled_from([a, c]))) as case:
                    with case(1, 2):
                        _fill(draw, circuit, depth + 1, loop=loop)
                    with case(case.DEFAULT):
                        circuit.x(qubit)


def distance(first: dict[str, int], second: dict[str, int]) -> float:
    """Return the chi-square statistic of two samples, over the square root of twice its degrees of freedom, centred."""
    keys = sorted(first.keys() | second.keys())
    x, y = (np.array([counts.get(key, 0) for key in keys], dtype=float) for counts in (first, second))
    if len(keys) < 2:
        return 0.0
    statistic = float(((np.sqrt(y.sum() / x.sum()) * x - np.sqrt(x.sum() / y.sum()) * y) ** 2 / (x + y)).sum())
    freedom = len(keys) - 1
    return (statistic - freedom) / np.sqrt(2 * freedom)
