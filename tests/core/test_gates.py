"""The gate table, walked: every record against its own laws, Qiskit, Cirq, PennyLane and the OpenQASM includes."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core.errors import ParameterError, ShapeError, UnsupportedError
from qsim_core.gates import FAMILIES, GATES, QASM2_GATES, QASM3_GATES, GateSpec, gate
from qsim_core.gates.document import document
from qsim_core.gates.matrices import cis
from qsim_core.kernels.reference import operation_matrix
from qsim_core.operations import Angle, OpKind
from qsim_core.plan import Coefficients
from qsim_core.program import Program, ProgramBuilder
from qsim_core.trivial_plan import trivial_plan

Matrix = npt.NDArray[np.complex128]

#: A gate is at most ten operations of a few roundings each.
TOLERANCE = 64 * 2.0**-53
SPECIAL = (0.0, math.pi / 2, -math.pi / 2, math.pi, 2 * math.pi)
NAMES = sorted(GATES)
walk = pytest.mark.parametrize("name", NAMES)


def parameter_sets(spec: GateSpec, seed: int = 7) -> list[tuple[float, ...]]:
    """Random values, and every special value in every place beside random ones."""
    if not spec.params:
        return [()]
    rng = np.random.default_rng(seed)
    sets = [tuple(rng.uniform(-4, 4, spec.num_params).tolist()) for _ in range(3)]
    sets += [(value,) * spec.num_params for value in SPECIAL]
    for position, value in itertools.product(range(spec.num_params), SPECIAL):
        sets.append((*sets[0][:position], value, *sets[0][position + 1 :]))
    return sets


def embedded(matrix: Matrix, qubits: Sequence[int], num_qubits: int) -> Matrix:
    """The matrix on a larger register by tensor contraction, independent of the code under test."""
    k = len(qubits)
    tensor = np.eye(2**num_qubits, dtype=np.complex128).reshape((2,) * num_qubits + (-1,))
    axes = [num_qubits - 1 - q for q in reversed(qubits)]
    moved = np.tensordot(matrix.reshape((2,) * 2 * k), tensor, (range(k, 2 * k), axes))
    result: Matrix = np.moveaxis(moved, range(k), axes).reshape(2**num_qubits, -1)
    return result


def controlled_matrix(matrix: Matrix, values: Sequence[int]) -> Matrix:
    """block-diag(1, U) with the controls on wires above those of U."""
    size = len(matrix)
    start = size * sum(value << k for k, value in enumerate(values))
    result = np.eye(size << len(values), dtype=np.complex128)
    result[start : start + size, start : start + size] = matrix
    return result


def big_endian(matrix: Matrix) -> Matrix:
    """The same gate with wire 0 as the most significant bit."""
    k = len(matrix).bit_length() - 1
    order = [int(f"{index:0{k}b}"[::-1], 2) if k else 0 for index in range(len(matrix))]
    return matrix[np.ix_(order, order)]


def program_of(
    spec: GateSpec,
    params: Sequence[Any],
    qubits: Sequence[int],
    num_qubits: int,
    controls: Sequence[int] = (),
    values: Sequence[int] | None = None,
    slots: Sequence[str] = (),
) -> Program:
    builder = ProgramBuilder(num_qubits, slots=slots)
    spec.lower(builder, params, qubits, controls, values)
    return builder.finish()


def program_matrix(program: Program, slots: npt.ArrayLike = ()) -> Matrix:
    plan = trivial_plan(program)
    return operation_matrix(program.num_qubits, plan, plan.coefficients(program, slots))


def assert_close(actual: Matrix, wanted: npt.NDArray[Any]) -> None:
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=TOLERANCE)


# Laws of every record


@walk
def test_matrix_is_unitary_and_inverse_undoes_it(name: str) -> None:
    spec = gate(name)
    for params in parameter_sets(spec):
        matrix = spec.matrix(*params)
        assert matrix.shape == (2**spec.num_qubits,) * 2
        assert_close(matrix.conj().T @ matrix, np.eye(len(matrix)))
        other, others = spec.inverse(params)
        assert_close(other.matrix(*others) @ matrix, np.eye(len(matrix)))
        back, original = other.inverse(others)
        assert back is spec
        assert_close(back.matrix(*original), matrix)


@walk
def test_lowering_has_the_matrix_on_any_qubits(name: str) -> None:
    spec = gate(name)
    num_qubits = spec.num_qubits + 1
    qubits = np.random.default_rng(len(name)).permutation(num_qubits)[: spec.num_qubits].tolist()
    for params in parameter_sets(spec):
        actual = program_matrix(program_of(spec, params, qubits, num_qubits))
        assert_close(actual, embedded(spec.matrix(*params), qubits, num_qubits))


@walk
@pytest.mark.parametrize("values", [(1,), (0,), (1, 0)])
def test_controlled_lowering_is_block_diagonal(name: str, values: tuple[int, ...]) -> None:
    spec = gate(name)
    num_qubits = spec.num_qubits + len(values)
    wires = np.random.default_rng(len(name)).permutation(num_qubits).tolist()
    qubits, controls = wires[: spec.num_qubits], wires[spec.num_qubits :]
    for params in parameter_sets(spec)[:5]:
        actual = program_matrix(program_of(spec, params, qubits, num_qubits, controls, values))
        wanted = controlled_matrix(spec.matrix(*params), values)
        assert_close(actual, embedded(wanted, wires, num_qubits))


def test_control_values_are_one_by_default() -> None:
    wanted = controlled_matrix(gate("swap").matrix(), (1,))
    assert_close(program_matrix(program_of(gate("swap"), (), (0, 1), 3, (2,))), wanted)


@walk
def test_base_is_the_gate_under_the_controls(name: str) -> None:
    spec = gate(name)
    if not spec.base:
        assert spec.num_controls == 0 or name == "cu", "only cu has a parameter of its control"
        return
    base = gate(spec.base)
    assert (base.num_controls, base.params) == (0, spec.params)
    for params in parameter_sets(spec):
        wires = (*range(spec.num_controls, spec.num_qubits), *range(spec.num_controls))
        wanted = controlled_matrix(base.matrix(*params), (1,) * spec.num_controls)
        assert_close(spec.matrix(*params), embedded(wanted, wires, spec.num_qubits))


def test_cu_is_controlled_u_with_a_phase() -> None:
    angles = (0.3, 0.5, 0.7)
    wanted = controlled_matrix(np.exp(1.1j) * gate("u").matrix(*angles), (1,))
    assert_close(gate("cu").matrix(*angles, 1.1), embedded(wanted, (1, 0), 2))


@pytest.mark.parametrize("name", [name for name in NAMES if GATES[name].params])
def test_parameters_rebind_and_differentiate_without_the_name(name: str) -> None:
    """Slots in place of numbers give the same matrix, and its derivative by the shift rule on the lowered angles."""
    spec = gate(name)
    slots = np.array(parameter_sets(spec)[1])
    scale, offset = 1.5, 0.25
    angles = [Angle(offset, ((k, scale),)) for k in range(spec.num_params)]
    program = program_of(spec, angles, range(spec.num_qubits), spec.num_qubits, slots=spec.params)
    plan = trivial_plan(program)
    values = program.bind(slots)

    def matrix_at(row: int, shift: float) -> Matrix:
        shifted = values.copy()
        shifted[0, row] += shift
        return operation_matrix(spec.num_qubits, plan, Coefficients(shifted, program.operands))

    bound = scale * slots + offset
    assert_close(program_matrix(program, slots), spec.matrix(*bound))
    exact = np.zeros((spec.num_params, 2**spec.num_qubits, 2**spec.num_qubits), dtype=np.complex128)
    for kind, row in zip(program.body.kind, program.body.data, strict=True):
        if kind == OpKind.ROTATION:
            derivative = (matrix_at(row, math.pi) - matrix_at(row, -math.pi)) / 4
        elif kind == OpKind.PHASE:
            derivative = (matrix_at(row, math.pi / 2) - matrix_at(row, -math.pi / 2)) / 2
        else:
            continue
        for slot, coefficient in program.angles[int(row)].terms:
            exact[slot] += coefficient * derivative
    step = 1e-5
    for k in range(spec.num_params):
        delta = step * np.eye(spec.num_params)[k]
        estimate = (spec.matrix(*bound + scale * delta) - spec.matrix(*bound - scale * delta)) / (2 * step)
        np.testing.assert_allclose(exact[k], estimate, rtol=0, atol=1e-7)


@walk
def test_constants_are_exact_and_frozen(name: str) -> None:
    spec = gate(name)
    for term in spec.terms:
        for array in (getattr(term, field, None) for field in ("matrix", "vector", "table")):
            assert array is None or not array.flags.writeable
    if not spec.params:
        allowed = {0.0, 0.5, 1.0, math.sqrt(0.5)}
        parts = spec.matrix().view(np.float64)
        assert {abs(float(part)) for part in parts.ravel()} <= allowed


@given(st.integers(-40, 40))
@settings(deadline=None, max_examples=50)
def test_cis_is_exact_at_eighths_of_a_turn(eighths: int) -> None:
    value = cis(eighths * math.pi / 4)
    assert value**8 == pytest.approx(1, abs=1e-15)
    assert abs(value - np.exp(1j * eighths * math.pi / 4)) < 1e-14
    assert abs(value.real) in (0.0, math.sqrt(0.5), 1.0)


class Symbol:
    """What a front end's parameter may be: it has -x, x * number and x + y, and nothing else."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __neg__(self) -> Symbol:
        return Symbol(-self.value)

    def __mul__(self, factor: float) -> Symbol:
        return Symbol(self.value * factor)

    def __add__(self, other: Symbol | float) -> Symbol:
        return Symbol(self.value + (other.value if isinstance(other, Symbol) else other))


@walk
def test_inverse_of_symbolic_parameters(name: str) -> None:
    spec = gate(name)
    params = parameter_sets(spec)[0]
    other, numbers = spec.inverse(params)
    _, symbols = spec.inverse([Symbol(value) for value in params])
    same, angles = spec.inverse([Angle(value) for value in params])
    assert same is other
    assert [symbol.value for symbol in symbols] == list(numbers) == [angle.constant for angle in angles]


# Names


def test_names_are_unique_and_lower_case() -> None:
    names = [name for spec in GATES.values() for name in (spec.name, *spec.aliases)]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z][a-z0-9_]*", name) for name in GATES)
    assert sum(len(records) for records in FAMILIES.values()) == len(GATES)


@walk
def test_lookup_by_every_name(name: str) -> None:
    spec = GATES[name]
    assert spec.name == name and spec.doc
    assert all(gate(alias) is spec for alias in (name, *spec.aliases))
    assert pickle.loads(pickle.dumps(spec)) is spec
    assert copy.deepcopy(spec) is spec


def test_table_is_read_only() -> None:
    with pytest.raises(TypeError):
        GATES["x"] = GATES["y"]  # type: ignore[index]


@pytest.mark.parametrize(("wrong", "meant"), [("hadamrd", "hadamard"), ("CXX", "CX"), ("RXX", "rxx"), ("Swap", "swap")])
def test_unknown_name_suggests_known_ones(wrong: str, meant: str) -> None:
    with pytest.raises(UnsupportedError, match=rf"{wrong}.*Did you mean .*\b{meant}\b"):
        gate(wrong)


def test_unknown_name_far_from_all_points_to_the_page() -> None:
    with pytest.raises(UnsupportedError, match=r"docs/gates\.md"):
        gate("!!!!")


def test_refuses_wrong_counts() -> None:
    builder = ProgramBuilder(3)
    with pytest.raises(ParameterError, match=r"gate rx: expected 1 \(theta\), got 0"):
        gate("rx").lower(builder, (), (0,))
    with pytest.raises(ShapeError, match=r"gate cx: expected 2 \(1 controls, then 1 targets\), got 1"):
        gate("cx").lower(builder, (), (0,))
    with pytest.raises(ParameterError):
        gate("u").matrix(0.1)
    with pytest.raises(ParameterError):
        gate("h").inverse((0.1,))


# Other people's gates


def test_qiskit_standard_gates_are_equal() -> None:
    library = pytest.importorskip("qiskit.circuit.library.standard_gates")
    not_gates = {"delay", "reset", "measure"}
    extra = {"c3x": library.C3XGate(), "c4x": library.C4XGate()}
    gates = library.get_standard_gate_name_mapping() | extra
    for name in sorted(gates.keys() - not_gates):
        spec = gate(name)
        for params in parameter_sets(spec):
            instruction = gates[name].base_class(*params)
            assert instruction.num_qubits == spec.num_qubits
            assert_close(spec.matrix(*params), instruction.to_matrix())


def cirq_gates(cirq: Any) -> dict[str, Callable[..., Any]]:
    power_of = {
        "x_pow": cirq.XPowGate,
        "y_pow": cirq.YPowGate,
        "z_pow": cirq.ZPowGate,
        "h_pow": cirq.HPowGate,
        "swap_pow": cirq.SwapPowGate,
        "iswap_pow": cirq.ISwapPowGate,
        "xx_pow": cirq.XXPowGate,
        "yy_pow": cirq.YYPowGate,
        "zz_pow": cirq.ZZPowGate,
        "cx_pow": cirq.CXPowGate,
        "cz_pow": cirq.CZPowGate,
        "ccx_pow": cirq.CCXPowGate,
        "ccz_pow": cirq.CCZPowGate,
    }
    fixed = {
        "id": cirq.I,
        "x": cirq.X,
        "y": cirq.Y,
        "z": cirq.Z,
        "h": cirq.H,
        "s": cirq.S,
        "sdg": cirq.S**-1,
        "t": cirq.T,
        "tdg": cirq.T**-1,
        "sx": cirq.X**0.5,
        "sxdg": cirq.X**-0.5,
        "cx": cirq.CX,
        "cz": cirq.CZ,
        "swap": cirq.SWAP,
        "iswap": cirq.ISWAP,
        "iswapdg": cirq.ISWAP_INV,
        "siswap": cirq.SQRT_ISWAP,
        "siswapdg": cirq.SQRT_ISWAP_INV,
        "ccx": cirq.CCX,
        "ccz": cirq.CCZ,
        "cswap": cirq.CSWAP,
    }
    return {
        **{name: lambda t, kind=kind: kind(exponent=t) for name, kind in power_of.items()},
        **{name: lambda instance=instance: instance for name, instance in fixed.items()},
        "cy_pow": lambda t: cirq.ControlledGate(cirq.Y**t),
        "ccy_pow": lambda t: cirq.ControlledGate(cirq.Y**t, 2),
        "phased_x_pow": lambda p, t: cirq.PhasedXPowGate(phase_exponent=p, exponent=t),
        "phased_xz": lambda x, z, a: cirq.PhasedXZGate(x_exponent=x, z_exponent=z, axis_phase_exponent=a),
        "phased_iswap_pow": lambda p, t: cirq.PhasedISwapPowGate(phase_exponent=p, exponent=t),
        "fsim": cirq.FSimGate,
        "phased_fsim": cirq.PhasedFSimGate,
        "givens": cirq.givens,
        "ms": cirq.ms,
        "gphase": lambda a: cirq.GlobalPhaseGate(np.exp(1j * a)),
        "rx": cirq.rx,
        "ry": cirq.ry,
        "rz": cirq.rz,
        "p": lambda a: cirq.ZPowGate(exponent=a / math.pi),
        "cp": cirq.cphase,
    }


def test_cirq_gates_are_equal() -> None:
    cirq = pytest.importorskip("cirq")
    table = cirq_gates(cirq)
    assert {name for name in NAMES if GATES[name].reference.startswith("Cirq")} <= table.keys()
    for name, make in table.items():
        spec = gate(name)
        for params in parameter_sets(spec):
            wanted = cirq.unitary(make(*params))
            np.testing.assert_allclose(big_endian(spec.matrix(*params)), wanted, rtol=0, atol=2e-14, err_msg=name)


def test_cirq_global_shift_is_a_global_phase() -> None:
    cirq = pytest.importorskip("cirq")
    exponent, shift = 0.3, -0.5
    wanted = cirq.unitary(cirq.XPowGate(exponent=exponent, global_shift=shift))
    phase = np.exp(1j * math.pi * shift * exponent)
    np.testing.assert_allclose(phase * gate("x_pow").matrix(exponent), wanted, rtol=0, atol=1e-14)


# fmt: off
PENNYLANE = (
    "Identity", "PauliX", "PauliY", "PauliZ", "Hadamard", "SX", "CNOT", "CZ", "CY", "CH", "SWAP", "ISWAP", "SISWAP",
    "SQISW", "ECR", "CSWAP", "Toffoli", "CCZ", "GlobalPhase", "RX", "RY", "RZ", "Rot", "PhaseShift", "U1", "U2",
    "U3", "ControlledPhaseShift", "CPhaseShift00", "CPhaseShift01", "CPhaseShift10", "CRX", "CRY", "CRZ", "CRot",
    "IsingXX", "IsingYY", "IsingZZ", "IsingXY", "PSWAP", "SingleExcitation", "SingleExcitationPlus",
    "SingleExcitationMinus", "DoubleExcitation", "DoubleExcitationPlus", "DoubleExcitationMinus", "OrbitalRotation",
    "FermionicSWAP",
)
# fmt: on


def test_pennylane_operations_are_equal() -> None:
    qml = pytest.importorskip("pennylane")
    covered = set()
    for name in PENNYLANE:
        operation = getattr(qml, name)
        spec = gate("gphase" if name == "GlobalPhase" else name)  # PennyLane's has the opposite sign
        covered.add(spec.name)
        for params in parameter_sets(spec):
            instance = operation(*params, wires=range(spec.num_qubits))
            ours = spec.matrix(*(-value for value in params)) if name == "GlobalPhase" else spec.matrix(*params)
            np.testing.assert_allclose(big_endian(ours), qml.matrix(instance), rtol=0, atol=1e-14, err_msg=name)
    assert {name for name in NAMES if GATES[name].reference.startswith("PennyLane")} <= covered


# OpenQASM


def include_file(name: str) -> str:
    qiskit = pytest.importorskip("qiskit")
    return (Path(qiskit.__file__).parent / "qasm" / "libs" / name).read_text(encoding="utf-8")


def test_openqasm2_names_are_complete_and_equal() -> None:
    qasm2 = pytest.importorskip("qiskit.qasm2")
    operator = pytest.importorskip("qiskit.quantum_info").Operator
    declared = set(re.findall(r"^gate (\w+)", include_file("qelib1.inc"), re.M))
    assert set(QASM2_GATES) == declared | {"U", "CX"}
    for name, spec in QASM2_GATES.items():
        for params in parameter_sets(spec)[:4]:
            shown = ["2"] if name == "u0" else [repr(value) for value in params]  # u0 counts whole pulses
            arguments = f"({', '.join(shown)})" if params else ""
            wires = ", ".join(f"q[{k}]" for k in range(spec.num_qubits))
            text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[{spec.num_qubits}]; {name}{arguments} {wires};'
            circuit = qasm2.loads(text, custom_instructions=qasm2.LEGACY_CUSTOM_INSTRUCTIONS)
            assert_close(spec.matrix(*params), operator(circuit).data)


class OpenQasm3:
    """Just enough of the language to read stdgates.inc literally: gate bodies, and the modifiers inv, pow and ctrl."""

    def __init__(self, text: str) -> None:
        text = re.sub(r"//.*", "", text)
        self.gates: dict[str, tuple[list[str], list[str], list[str]]] = {}
        for name, params, wires, body in re.findall(r"gate (\w+)(?:\(([^)]*)\))? ([\w, ]+)\{([^}]*)\}", text):
            statements = [line.strip() for line in body.split(";") if line.strip()]
            self.gates[name] = (
                params.replace(" ", "").split(",") if params else [],
                wires.replace(" ", "").split(","),
                statements,
            )

    def matrix(self, name: str, params: Sequence[float]) -> Matrix:
        if name == "gphase":
            return np.array([[np.exp(1j * params[0])]], dtype=np.complex128)
        if name == "U":
            theta, phi, lam = params
            turn = np.exp(1j * theta)
            rows = [
                [1 + turn, -1j * np.exp(1j * lam) * (1 - turn)],
                [1j * np.exp(1j * phi) * (1 - turn), np.exp(1j * (phi + lam)) * (1 + turn)],
            ]
            return np.array(rows, dtype=np.complex128) / 2
        names, wires, body = self.gates[name]
        scope = dict(zip(names, params, strict=True)) | {"π": math.pi}
        result = np.eye(2 ** len(wires), dtype=np.complex128)
        for statement in body:
            *modifiers, call = [part.strip() for part in statement.split("@")]
            match = re.fullmatch(r"(\w+)(?:\((.*?)\))?\s*([\w, ]*)", call)
            assert match, statement
            inner, arguments, on = match.groups()
            values = [float(eval(text, {}, scope)) for text in arguments.split(",")] if arguments else []
            block = self.matrix(inner, values)
            for modifier in reversed(modifiers):
                block = self.modified(modifier, block)
            qubits = [wires.index(wire) for wire in on.replace(" ", "").split(",")] if on.strip() else []
            qubits = qubits[: len(block).bit_length() - 1]
            result = embedded(block, qubits, len(wires)) @ result
        return result

    @staticmethod
    def modified(modifier: str, block: Matrix) -> Matrix:
        if modifier == "inv":
            return block.conj().T
        if modifier == "ctrl":  # the control is a new wire 0
            k = len(block).bit_length() - 1
            return embedded(controlled_matrix(block, (1,)), (*range(1, k + 1), 0), k + 1)
        exponent = float(modifier.removeprefix("pow(").removesuffix(")"))
        values, vectors = np.linalg.eig(block)
        angles = np.angle(values)
        angles[angles < -math.pi + 1e-9] += 2 * math.pi  # the principal branch takes -1 to +i
        root: Matrix = (vectors * np.exp(1j * exponent * angles)) @ np.linalg.inv(vectors)
        return root


def test_openqasm3_names_are_complete_and_equal() -> None:
    language = OpenQasm3(include_file("stdgates.inc"))
    assert set(QASM3_GATES) == language.gates.keys() | {"U", "gphase"}
    # With the present U the text makes CX a controlled i·X; it is there for OpenQASM 2, where it is cx.
    for name in QASM3_GATES.keys() - {"CX"}:
        spec = QASM3_GATES[name]
        for params in parameter_sets(spec):
            np.testing.assert_allclose(
                spec.matrix(*params), language.matrix(name, params), rtol=0, atol=1e-13, err_msg=name
            )
    assert QASM3_GATES["CX"] is gate("cx")


# Documentation and imports


def test_page_is_fresh() -> None:
    page = Path(__file__).parents[2] / "docs" / "gates.md"
    assert page.read_text(encoding="utf-8") == document(), "run: python -m qsim_core.gates.document"


def test_table_imports_no_framework() -> None:
    code = (
        "import sys, qsim_core.gates; "
        "print({'qiskit', 'cirq', 'pennylane', 'scipy', 'sympy', 'difflib'} & sys.modules.keys())"
    )
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "set()"
