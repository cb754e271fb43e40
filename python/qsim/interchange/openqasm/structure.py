"""Structural operations as statements of the language, for what its standard library has no name for.

Version 3 writes controls as modifiers. Version 2 has none: there everything is reduced to one-qubit gates, cx and cu1
by the usual recursions, whose length grows exponentially with the number of controls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core.errors import UnsupportedError, expected
from qsim_core.gates.spec import Term, resolve
from qsim_core.operations import Dense, Diagonal, Permutation, Phase, Rotation
from qsim_core.types import ComplexArray

from ...parameters import ParameterValue
from .writing import angle_text

__all__ = ["Statements"]

_MAX_DENSE_QUBITS = 4
_MAX_DIAGONAL_QUBITS = 8
_MAX_CONTROLS_2 = 8
_NEGLIGIBLE = 1e-15

_Controls = Sequence[tuple[str, int]]


class Statements:
    """Collects statements; wires are given by the text that names them."""

    def __init__(self, version: int) -> None:
        self.version = version
        self.lines: list[str] = []

    def term(
        self, term: Term, params: Sequence[ParameterValue], wires: Sequence[str], controls: _Controls = ()
    ) -> None:
        """Write one structural operation on local wires, under further controls."""
        own = [(wires[wire], value) for wire, value in zip(term.controls, term.control_values, strict=True)]
        both = [*own, *controls]
        match term:
            case Rotation(pauli, angle, targets):
                self.rotation(pauli, resolve(angle, params), [wires[k] for k in targets], both)
            case Phase(angle):
                self.phase(resolve(angle, params), both)
            case Dense(matrix, targets):
                self.dense(matrix, [wires[k] for k in targets], both)
            case Diagonal(vector, targets):
                self.diagonal(vector, [wires[k] for k in targets], both)
            case Permutation(table, targets):
                self.permutation(table, [wires[k] for k in targets], both)

    # ------------------------------------------------------------------------------------------------- one statement

    def plain(self, name: str, wires: Sequence[str], *params: ParameterValue) -> None:
        """Write a gate without controls."""
        arguments = f"({', '.join(map(angle_text, params))})" if params else ""
        self.lines.append(f"{name}{arguments} {', '.join(wires)};")

    def modified(self, name: str, wires: Sequence[str], controls: _Controls, *params: ParameterValue) -> None:
        """Write a gate with controls as modifiers; the first control is the innermost one."""
        arguments = f"({', '.join(map(angle_text, params))})" if params else ""
        operands = [wire for wire, _ in reversed(controls)] + list(wires)
        text = f"{modifiers([value for _, value in controls])}{name}{arguments}"
        self.lines.append(f"{text} {', '.join(operands)};" if operands else f"{text};")

    # ---------------------------------------------------------------------------------------------------- operations

    def phase(self, angle: ParameterValue, controls: _Controls) -> None:
        """Write e^(i angle) on the controlled subspace; version 2 has no global phase and leaves that one out."""
        if self.version == 3:
            last = next((k for k, (_, value) in reversed(list(enumerate(controls))) if value), None)
            if last is None:
                self.modified("gphase", [], controls, angle)
            else:
                rest = [control for k, control in enumerate(controls) if k != last]
                self.modified("p", [controls[last][0]], rest, angle)
            return
        if controls:
            flipped = self._flip(controls)
            self._controlled_phase(angle, [wire for wire, _ in controls])
            self._unflip(flipped)

    def rotation(self, pauli: str, angle: ParameterValue, wires: Sequence[str], controls: _Controls) -> None:
        """Write exp(-i angle/2 P): a change of basis to ZZ…Z, its parity on the last wire, and RZ there."""
        if pauli in ("X", "Y", "Z"):
            self._single_rotation(pauli.lower(), angle, wires[0], controls)
            return
        kept = [(letter, wire) for letter, wire in zip(pauli, wires, strict=True) if letter != "I"]
        if not kept:
            self.phase(angle * -0.5, controls)
            return
        self._turn(kept, math.pi / 2)
        chain = [wire for _, wire in kept]
        for first, second in pairwise(chain):
            self.plain("cx", [first, second])
        self._single_rotation("z", angle, chain[-1], controls)
        for first, second in reversed(list(pairwise(chain))):
            self.plain("cx", [first, second])
        self._turn(kept, -math.pi / 2)

    def _turn(self, letters: Sequence[tuple[str, str]], angle: float) -> None:
        """Bring X and Y to Z, or back with the negative angle."""
        for letter, wire in letters:
            if letter == "X":
                self.plain("h", [wire])
            elif letter == "Y":
                self.plain("rx", [wire], angle)

    def _single_rotation(self, axis: str, angle: ParameterValue, wire: str, controls: _Controls) -> None:
        if self.version == 3:
            self.modified(f"r{axis}", [wire], controls, angle)
            return
        if not controls:
            self.plain(f"r{axis}", [wire], angle)
            return
        flipped = self._flip(controls)
        if axis == "x":
            self.plain("h", [wire])
        half = angle * 0.5
        turn = "ry" if axis == "y" else "rz"
        names = [name for name, _ in controls]
        self.plain(turn, [wire], half)
        self._controlled_x(names, wire)
        self.plain(turn, [wire], -half)
        self._controlled_x(names, wire)
        if axis == "x":
            self.plain("h", [wire])
        self._unflip(flipped)

    def dense(self, matrix: ComplexArray, wires: Sequence[str], controls: _Controls) -> None:
        """Write a unitary on up to 4 qubits as a product of controlled one-qubit gates."""
        if len(wires) > _MAX_DENSE_QUBITS:
            raise UnsupportedError(
                expected("qubits of a matrix written as OpenQASM", f"at most {_MAX_DENSE_QUBITS}", len(wires))
            )
        if len(wires) == 1:
            self._single(matrix, wires[0], controls)
            return
        for block, low, high in _two_level(matrix):
            bit = (low ^ high).bit_length() - 1
            others = [(wires[k], low >> k & 1) for k in range(len(wires)) if k != bit]
            self._single(block, wires[bit], [*others, *controls])

    def _single(self, matrix: npt.NDArray[np.complexfloating[Any, Any]], wire: str, controls: _Controls) -> None:
        """Write e^(i a) RZ(phi) RY(theta) RZ(lam)."""
        if np.abs(matrix - np.array([[0, 1], [1, 0]])).max() < _NEGLIGIBLE:
            self._x(wire, controls)
            return
        alpha = float(np.angle(np.linalg.det(matrix))) / 2
        special = matrix * np.exp(-1j * alpha)
        theta = 2 * math.atan2(abs(special[1, 0]), abs(special[0, 0]))
        total = 2 * float(np.angle(special[1, 1])) if abs(special[1, 1]) > 1e-12 else 0.0
        difference = 2 * float(np.angle(special[1, 0])) if abs(special[1, 0]) > 1e-12 else 0.0
        for axis, angle in (("z", (total - difference) / 2), ("y", theta), ("z", (total + difference) / 2)):
            if abs(angle) > _NEGLIGIBLE:
                self._single_rotation(axis, angle, wire, controls)
        if abs(alpha) > _NEGLIGIBLE:
            self.phase(alpha, controls)

    def diagonal(self, vector: ComplexArray, wires: Sequence[str], controls: _Controls) -> None:
        """Write one controlled phase per entry that is not 1."""
        if len(wires) > _MAX_DIAGONAL_QUBITS:
            raise UnsupportedError(
                expected("qubits of a diagonal written as OpenQASM", f"at most {_MAX_DIAGONAL_QUBITS}", len(wires))
            )
        for state, angle in enumerate(np.angle(vector)):
            if abs(angle) > _NEGLIGIBLE:
                self.phase(float(angle), [*((wire, state >> k & 1) for k, wire in enumerate(wires)), *controls])

    def permutation(self, table: npt.NDArray[np.int64], wires: Sequence[str], controls: _Controls) -> None:
        """Write a permutation: x and swap by name, others as matrices."""
        if table.tolist() == [1, 0]:
            self._x(wires[0], controls)
        elif table.tolist() == [0, 2, 1, 3] and self.version == 3:
            self.modified("swap", wires, controls)
        else:
            if len(wires) > _MAX_DENSE_QUBITS:
                raise UnsupportedError(
                    expected("qubits of a permutation written as OpenQASM", f"at most {_MAX_DENSE_QUBITS}", len(wires))
                )
            matrix = np.zeros((len(table), len(table)), dtype=np.complex128)
            matrix[table, np.arange(len(table))] = 1
            self.dense(matrix, wires, controls)

    def _x(self, wire: str, controls: _Controls) -> None:
        if self.version == 3:
            self.modified("x", [wire], controls)
            return
        flipped = self._flip(controls)
        self._controlled_x([name for name, _ in controls], wire)
        self._unflip(flipped)

    # --------------------------------------------------------------------------------------- controls in version 2

    def _flip(self, controls: _Controls) -> list[str]:
        zeros = [wire for wire, value in controls if not value]
        self._unflip(zeros)
        return zeros

    def _unflip(self, wires: Sequence[str]) -> None:
        for wire in wires:
            self.plain("x", [wire])

    def _controlled_x(self, controls: Sequence[str], wire: str) -> None:
        if len(controls) <= 2:
            self.plain(("x", "cx", "ccx")[len(controls)], [*controls, wire])
            return
        self.plain("h", [wire])
        self._controlled_phase(math.pi, [*controls, wire])
        self.plain("h", [wire])

    def _controlled_phase(self, angle: ParameterValue, wires: Sequence[str]) -> None:
        """Write the phase of |1…1⟩ by halving: c(a/2), x under the others, c(-a/2), x, and the others' own a/2."""
        if len(wires) <= 2:
            self.plain(("u1", "cu1")[len(wires) - 1], wires, angle)
            return
        if len(wires) > _MAX_CONTROLS_2 + 1:
            what = "qubits of one controlled gate in OpenQASM 2"
            raise UnsupportedError(expected(what, f"at most {_MAX_CONTROLS_2 + 1}", len(wires), "Write version 3."))
        *rest, control, wire = wires
        half = angle * 0.5
        self.plain("cu1", [control, wire], half)
        self._controlled_x(rest, control)
        self.plain("cu1", [control, wire], -half)
        self._controlled_x(rest, control)
        self._controlled_phase(half, [*rest, wire])


def modifiers(values: Sequence[int]) -> str:
    """Return ``ctrl @`` and ``negctrl @`` for control values given from the inside out.

    >>> modifiers([1, 1, 0])
    'negctrl @ ctrl(2) @ '
    """
    text = ""
    position = 0
    while position < len(values):
        value, count = values[position], 1
        while values[position + count : position + count + 1] == [value]:
            count += 1
        word = "ctrl" if value else "negctrl"
        text = f"{word} @ {text}" if count == 1 else f"{word}({count}) @ {text}"
        position += count
    return text


def _two_level(matrix: ComplexArray) -> list[tuple[npt.NDArray[np.complex128], int, int]]:
    """Return 2×2 blocks on pairs of states that differ in one bit, in the order in which they act.

    Givens rotations along the Gray code clear the columns one after another; a diagonal of phases remains.
    """
    size = len(matrix)
    gray = [k ^ k >> 1 for k in range(size)]
    work = np.array(matrix, dtype=np.complex128)
    found: list[tuple[npt.NDArray[np.complex128], int, int]] = []

    def apply(block: npt.NDArray[np.complex128], first: int, second: int) -> None:
        """Multiply rows ``first`` and ``second`` by a block and remember its inverse, rows in rising order."""
        work[[first, second]] = block @ work[[first, second]]
        inverse = block.conj().T
        found.append((inverse if first < second else inverse[::-1, ::-1], min(first, second), max(first, second)))

    for column, pivot in enumerate(gray[:-1]):
        for row in range(size - 1, column, -1):
            upper, lower = gray[row - 1], gray[row]
            a, b = work[upper, pivot], work[lower, pivot]
            norm = math.hypot(abs(a), abs(b))
            if abs(b) > 1e-14:
                apply(np.array([[a.conjugate(), b.conjugate()], [-b, a]], dtype=np.complex128) / norm, upper, lower)
    for state in range(0, size, 2):
        phases = np.array([work[state, state], work[state + 1, state + 1]])
        if np.abs(phases - 1).max() > 1e-14:
            apply(np.diag(phases.conj() / np.abs(phases)), state, state + 1)
    return found[::-1]
