"""Cirq's gate classes as gates of the table: one map from a class to what it becomes.

Cirq's powers count half turns, as the records of the table that stand for them do. A ``global_shift`` s is the global
phase e^(i pi s exponent); with s = -1/2 the powers are rotations, which have records of their own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import cirq
import numpy as np

from qsim.instructions import DiagonalGate, PauliRotation, UnitaryGate
from qsim_core import validation
from qsim_core.gates import GateSpec, gate

__all__ = ["GATES", "Handler", "Scope", "Target"]

_Bits: TypeAlias = tuple[int, ...]
#: Controls and the values they must have.
Scope: TypeAlias = tuple[_Bits, _Bits]


class Target(Protocol):
    """What a gate is written to."""

    def put(self, op: Any, wires: _Bits, scope: Scope, params: tuple[Any, ...] = ()) -> None:
        """Append an instruction."""

    def angle(self, value: Any, factor: float = 1.0) -> Any:
        """Return factor times a number or a formula."""


Handler: TypeAlias = Callable[[Target, Any, _Bits, Scope], None]
_PHASE = gate("gphase")
_PAULIS = (None, gate("x"), gate("y"), gate("z"))


def _power(name: str, whole: str = "", rotation: str = "") -> Handler:
    """A power of a gate: its record, that of the gate itself, and that of the power with a global shift of -1/2."""
    spec, one, turn = gate(name), gate(whole) if whole else None, gate(rotation) if rotation else None

    def write(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
        exponent, shift = op.exponent, op.global_shift
        if shift == -0.5 and turn is not None:
            target.put(turn, wires, scope, (target.angle(exponent, math.pi),))
            return
        if one is not None and exponent == 1:
            target.put(one, wires, scope)
        else:
            target.put(spec, wires, scope, (target.angle(exponent),))
        if shift:
            target.put(_PHASE, (), scope, (target.angle(exponent, math.pi * shift),))

    return write


def _plain(name: str, *fields: str, shifted: bool = False) -> Handler:
    """A gate whose parameters are attributes of Cirq's."""
    spec: GateSpec = gate(name)

    def write(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
        target.put(spec, wires, scope, tuple([target.angle(getattr(op, field)) for field in fields]))
        if shifted and op.global_shift:
            target.put(_PHASE, (), scope, (target.angle(op.exponent, math.pi * op.global_shift),))

    return write


def _nothing(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    """Identities and waiting leave the state alone."""


def _matrix(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    """The first qubit is the highest bit of the matrix: ours counts from the lowest."""
    target.put(UnitaryGate(validation.check_unitary(cirq.unitary(op), len(wires))), wires[::-1], scope)


def _diagonal(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    if cirq.is_parameterized(op):
        raise TypeError(f"a formula on the diagonal of {op}")
    vector = np.exp(1j * np.array(op.diag_angles_radians, dtype=np.float64))
    target.put(DiagonalGate(validation.check_diagonal(vector, len(wires))), wires[::-1], scope)


def _global_phase(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    if cirq.is_parameterized(op):
        raise TypeError(f"a formula as the coefficient of {op}")
    _phase(target, op.coefficient, scope)


def _phase(target: Target, coefficient: Any, scope: Scope) -> None:
    number = complex(coefficient)
    if abs(abs(number) - 1) > 1e-7:
        raise TypeError(f"a phase of modulus {abs(number)}")
    if number != 1:
        target.put(_PHASE, (), scope, (math.atan2(number.imag, number.real),))


def _pauli_string(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    if cirq.is_parameterized(op):
        raise TypeError(f"a formula as the coefficient of {op}")
    for wire, letter in zip(wires, op.pauli_mask.tolist(), strict=True):
        if letter:
            target.put(_PAULIS[letter], (wire,), scope)
    _phase(target, op.coefficient, scope)


def _pauli_phasor(target: Target, op: Any, wires: _Bits, scope: Scope) -> None:
    """e^(i pi n) on the -1 eigenspace, e^(i pi p) on the other: a rotation by pi (n - p) and half the sum as phase."""
    mask = op.dense_pauli_string.pauli_mask.tolist()
    if 0 in mask:  # Cirq 1.7 counts an identity as a Z here; whatever it means by the gate, its matrix says
        _matrix(target, op, wires, scope)
        return
    negative, positive = op.exponent_neg, op.exponent_pos
    word = "".join("IXYZ"[letter] for letter in mask)
    target.put(PauliRotation(word), wires, scope, (target.angle(negative - positive, math.pi),))
    target.put(_PHASE, (), scope, (target.angle(negative + positive, math.pi / 2),))


_X, _Y, _Z = _power("x_pow", "x", "rx"), _power("y_pow", "y", "ry"), _power("z_pow", "z", "rz")
#: How each class is written. Classes that are not here go by matrix or decomposition, subclasses too: they may differ.
GATES: Mapping[type, Handler] = {
    cirq.XPowGate: _X, type(cirq.X): _X, cirq.Rx: _X,
    cirq.YPowGate: _Y, type(cirq.Y): _Y, cirq.Ry: _Y,
    cirq.ZPowGate: _Z, type(cirq.Z): _Z, cirq.Rz: _Z,
    cirq.HPowGate: _power("h_pow", "h"),
    cirq.CXPowGate: _power("cx_pow", "cx"),
    cirq.CYPowGate: _power("cy_pow", "cy"),
    cirq.CZPowGate: _power("cz_pow", "cz"),
    cirq.CCXPowGate: _power("ccx_pow", "ccx"),
    cirq.CCYPowGate: _power("ccy_pow"),
    cirq.CCZPowGate: _power("ccz_pow", "ccz"),
    cirq.SwapPowGate: _power("swap_pow", "swap"),
    cirq.ISwapPowGate: _power("iswap_pow", "iswap"),
    cirq.XXPowGate: _power("xx_pow", "", "rxx"),
    cirq.YYPowGate: _power("yy_pow", "", "ryy"),
    cirq.ZZPowGate: _power("zz_pow", "", "rzz"),
    cirq.MSGate: _power("xx_pow", "", "rxx"),
    cirq.PhasedXPowGate: _plain("phased_x_pow", "phase_exponent", "exponent", shifted=True),
    cirq.PhasedXZGate: _plain("phased_xz", "x_exponent", "z_exponent", "axis_phase_exponent"),
    cirq.PhasedISwapPowGate: _plain("phased_iswap_pow", "phase_exponent", "exponent", shifted=True),
    cirq.FSimGate: _plain("fsim", "theta", "phi"),
    cirq.PhasedFSimGate: _plain("phased_fsim", "theta", "zeta", "chi", "gamma", "phi"),
    cirq.CSwapGate: _plain("cswap"),
    cirq.IdentityGate: _nothing,
    cirq.WaitGate: _nothing,
    cirq.GlobalPhaseGate: _global_phase,
    cirq.MatrixGate: _matrix,
    cirq.DiagonalGate: _diagonal,
    cirq.TwoQubitDiagonalGate: _diagonal,
    cirq.ThreeQubitDiagonalGate: _diagonal,
    cirq.DensePauliString: _pauli_string,
    cirq.MutableDensePauliString: _pauli_string,
    cirq.PauliStringPhasorGate: _pauli_phasor,
}  # fmt: skip
