"""Drawings: every gate and block appears, nothing overlaps, wrapping loses nothing, ASCII is ASCII."""

from __future__ import annotations

import itertools
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Parameter, QsimError
from qsim.drawing import draw
from qsim.drawing.layout import MAX_INSTRUCTIONS, lay_out
from qsim_core.classical import Binary, Bits, Const
from qsim_core.errors import ParameterError, UnsupportedError
from qsim_core.gates import GATES


def text(circuit: Circuit, width: int = 200, *, ascii: bool = False) -> str:
    return str(circuit.draw(width=width, ascii=ascii))


def teleportation() -> Circuit:
    circuit = Circuit(3, 2).h(1).cx(1, 2).barrier().cx(0, 1).h(0).measure([0, 1], [0, 1])
    with circuit.if_(1):
        circuit.x(2)
    with circuit.if_(0):
        circuit.z(2)
    return circuit


def test_bell() -> None:
    drawn = text(Circuit(2).h(0).cx(0, 1).measure_all())
    assert drawn.splitlines() == [
        "q0: ─┤ H ├──●──┤ M→c0 ├───",
        "            │",
        "q1: ────────⊕──┤ M→c1 ├───",
    ]


def test_feed_forward() -> None:
    drawn = text(teleportation(), ascii=True)
    assert "[ X if c1 ]" in drawn and "[ Z if c0 ]" in drawn and ":" in drawn
    assert drawn.index("M->c0") < drawn.index("Z if c0")


def test_every_gate_of_the_table_is_drawn() -> None:
    for spec in GATES.values():
        params = [0.25] * len(spec.params)
        circuit = Circuit(max(1, spec.num_qubits)).append(spec, range(spec.num_qubits), params)
        drawn = text(circuit)
        if not spec.num_qubits:
            assert "global phase 0.25" in drawn
            continue
        cells = lay_out(circuit).columns[0].cells
        assert sorted(cells) == list(range(spec.num_qubits)), spec.name
        assert [cells[k].kind for k in range(spec.num_controls)] == ["control"] * spec.num_controls, spec.name


def test_controls_show_their_value_and_cross_other_wires() -> None:
    drawn = text(Circuit(4).h(3, controls=[0, 2], control_values=[1, 0])).splitlines()
    assert "●" in drawn[0] and "┼" in drawn[2] and "○" in drawn[4] and "┤ H ├" in drawn[6]


def test_swap_phase_and_rotation_forms() -> None:
    assert text(Circuit(2).swap(0, 1)).count("×") == 2
    assert "┤ P(π/8) ├" in text(Circuit(2).cp(math.pi / 8, 0, 1))
    assert "global phase 0.7" in text(Circuit(1).global_phase(0.3).global_phase(0.4))
    controlled = text(Circuit(2).global_phase(0.3, controls=[0, 1], control_values=[1, 0]))
    assert "●" in controlled and "P(0.3) on 0" in controlled
    letters = text(Circuit(3).pauli_rotation("ZXY", 0.5, [0, 1, 2]))
    assert all(f"R{letter}(0.5)" in letters for letter in "XYZ")


def test_targets_are_numbered_in_the_order_of_their_bits() -> None:
    drawn = text(Circuit(2).unitary(np.eye(4), [1, 0])).splitlines()
    assert "UNITARY 1" in drawn[0] and "UNITARY 0" in drawn[2]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (math.pi, "π"),
        (-math.pi / 2, "-π/2"),
        (3 * math.pi / 4, "3π/4"),
        (0.123456, "0.123"),
        (0.0, "0"),
        (1e-12, "1e-12"),
    ],
)
def test_parameters_are_rounded(value: float, shown: str) -> None:
    assert f"RX({shown})" in text(Circuit(1).rx(value, 0))


def test_expressions_keep_their_names() -> None:
    assert "RX(2*theta + 1)" in text(Circuit(1).rx(2 * Parameter("theta") + 1, 0))


def test_blocks_have_edges() -> None:
    circuit = Circuit(3, 2).h(0).measure([0, 1], [0, 1])
    with circuit.if_(("c", 2)):
        circuit.x(1).h(2)
    with circuit.else_():
        circuit.cx(1, 2)
    with circuit.while_(0):
        circuit.h(0).measure(0, 0)
    first, second = text(circuit).splitlines()[0:3:2]
    assert first.index("while c0") < first.index("end")
    assert second.index("if c==2") < second.index("X") < second.index("else") < second.index("●") < second.index("end")


def test_nothing_from_outside_stands_inside_a_block() -> None:
    circuit = Circuit(3, 1).measure(0, 0)
    with circuit.if_(0):
        circuit.x(0).x(2)
    circuit.h(1)
    columns = lay_out(circuit).columns
    edges = [k for k, column in enumerate(columns) if any(cell.kind == "edge" for cell in column.cells.values())]
    (hadamard,) = [k for k, column in enumerate(columns) if 1 in column.cells and column.cells[1].label == "H"]
    assert hadamard > edges[-1]


def test_a_phase_without_wires_in_a_block_is_no_obstacle() -> None:
    circuit = Circuit(1, 1).measure(0, 0)
    with circuit.if_(0):
        circuit.global_phase(0.5)
    assert "M→c" in text(circuit.h(0))


def test_registers_and_wide_names() -> None:
    circuit = Circuit()
    circuit.add_qubits("ancilla", 1)
    circuit.add_qubits("data", 2)
    circuit.add_qubits("r2", 2)
    assert [line.split(":")[0].strip() for line in text(circuit.x(4)).splitlines()[::2]] == [
        *("ancilla", "data0", "data1", "r2_0", "r2_1")
    ]
    assert str(Circuit().draw()) == "(no qubits)"


@pytest.mark.parametrize("width", [40, 80, 120])
def test_twenty_qubits_wrap(width: int) -> None:
    circuit = Circuit(20).h(range(20))
    for k in range(19):
        circuit.cx(k, k + 1)
    drawn = text(circuit.measure_all(), width)
    assert max(map(len, drawn.splitlines())) <= width
    assert drawn.count("⊕") == 19 and drawn.count("●") == 19 and drawn.count("┤ H ├") == 20 and drawn.count("M→") == 20
    blocks = drawn.split("\n\n" + "q0:")
    assert all(len(re.findall(r"^q?\d*:", block, re.MULTILINE)) >= 19 for block in blocks)


def test_width_is_checked_and_long_circuits_are_cut() -> None:
    with pytest.raises(ParameterError, match="at least 30"):
        Circuit(1).draw(width=3)
    drawn = text(Circuit(1).h(0).repeat(MAX_INSTRUCTIONS + 7))
    assert drawn.endswith("… and 7 more instructions, not drawn")


gates = st.sampled_from(
    [spec for spec in GATES.values() if 0 < spec.num_qubits <= 4],
)


@st.composite
def circuits(draw_: st.DrawFn) -> Circuit:
    circuit = Circuit(5, 2)
    for _ in range(draw_(st.integers(0, 12))):
        spec = draw_(gates)
        wires = draw_(st.permutations(range(5)))
        controls = wires[spec.num_qubits : spec.num_qubits + draw_(st.integers(0, 5 - spec.num_qubits))]
        circuit.append(spec, wires[: spec.num_qubits], [0.5] * len(spec.params), controls)
    return circuit


@settings(max_examples=60, deadline=None)
@given(circuits(), st.integers(40, 160), st.booleans())
def test_lines_are_even_and_order_is_kept(circuit: Circuit, width: int, ascii: bool) -> None:
    drawn = text(circuit, width, ascii=ascii)
    assert not ascii or drawn.isascii()
    for block in re.split(r"\n\n(?=q0:)", drawn):
        wires = [line for line in block.splitlines() if re.match(r"q\d", line)]
        assert len(wires) == 5 and len(set(map(len, wires))) == 1
    columns = lay_out(circuit).columns
    assert sum(len(column.cells) for column in columns) == sum(len(i.wires) for i in circuit.instructions)
    for column in columns:  # no two vertical lines of a column share a wire
        spans = sorted(column.links)
        assert all(a[1] < b[0] for a, b in itertools.pairwise(spans))


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf", "txt"])
def test_pictures_are_written(tmp_path: Path, suffix: str) -> None:
    if suffix != "txt":
        pytest.importorskip("matplotlib")
    path = tmp_path / f"teleportation.{suffix}"
    teleportation().swap(0, 2).global_phase(0.1).h(0, controls=[1], control_values=[0]).draw(path)
    assert path.stat().st_size > 100


def test_pictures_refuse_other_names_and_endless_circuits(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=r"\.txt, \.svg"):
        draw(Circuit(1), tmp_path / "x.gif")
    pytest.importorskip("matplotlib")
    with pytest.raises(UnsupportedError, match="rows"):
        draw(Circuit(1).h(0).repeat(4000), tmp_path / "x.png")


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(QsimError, match="pip install matplotlib"):
        Circuit(1).h(0).draw(tmp_path / "x.svg")


def test_classical_steps_are_drawn() -> None:
    """Assignments as boxes on the first wire, jumps by their names."""
    circuit = Circuit(1, 3).measure(0, 0).assign([1, 2], Binary("+", Bits((0,)), Const(1)))
    with circuit.while_(0, limit=5):
        circuit.measure(0, 0)
        with circuit.if_(1):
            circuit.continue_()
        with circuit.if_(2):
            circuit.break_()
        circuit.x(0)
    text = str(circuit.draw(width=400))
    places = [
        text.index(part) for part in ("c1,c2=c0+1", "while c0", "round", "continue if c1", "break if c2", "X", "end")
    ]
    assert places == sorted(places)
    rounds = Circuit(1, 1)
    with rounds.for_(range(2)):
        rounds.measure(0, 0)
        with rounds.if_(0):
            rounds.break_()
    text = str(rounds.draw(width=400)).lower()
    assert text.count("round") == text.count("break if c") == 2 and "leave" not in text
