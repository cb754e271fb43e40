"""Phases of basis states: global, of one qubit, and of two."""

from __future__ import annotations

from math import pi

from .spec import GateSpec, affine, phase

__all__ = ["GPHASE", "RECORDS", "SDG", "TDG", "U1", "P", "S", "T"]

GPHASE = GateSpec(
    "gphase",
    0,
    (phase(affine(1)),),
    "Global phase: multiplies the whole state by e^(i theta).",
    params=("theta",),
    aliases=("global_phase",),
    qasm3=("gphase",),
    reference="OpenQASM 3",
)
S = GateSpec(
    "s",
    1,
    (phase(pi / 2, 0),),
    "Square root of z: diag(1, i).",
    aliases=("S", "sqrt_z"),
    qasm2=("s",),
    qasm3=("s",),
    inverse_name="sdg",
)
SDG = GateSpec(
    "sdg",
    1,
    (phase(-pi / 2, 0),),
    "Inverse of s: diag(1, -i).",
    aliases=("s_dag", "sqrt_z_dag"),
    qasm2=("sdg",),
    qasm3=("sdg",),
    inverse_name="s",
)
T = GateSpec(
    "t",
    1,
    (phase(pi / 4, 0),),
    "Square root of s: diag(1, e^(i pi/4)).",
    aliases=("T",),
    qasm2=("t",),
    qasm3=("t",),
    inverse_name="tdg",
)
TDG = GateSpec(
    "tdg",
    1,
    (phase(-pi / 4, 0),),
    "Inverse of t: diag(1, e^(-i pi/4)).",
    aliases=("t_dag",),
    qasm2=("tdg",),
    qasm3=("tdg",),
    inverse_name="t",
)
P = GateSpec(
    "p",
    1,
    (phase(affine(1), 0),),
    "Phase of |1⟩: diag(1, e^(i theta)).",
    params=("theta",),
    aliases=("phase", "phase_shift", "PhaseShift"),
    qasm2=("p",),
    qasm3=("p", "phase"),
)
U1 = GateSpec(
    "u1",
    1,
    P.body,
    "Phase of |1⟩, the older name of p: diag(1, e^(i lam)).",
    params=("lam",),
    aliases=("U1",),
    qasm2=("u1",),
    qasm3=("u1",),
    reference="qelib1.inc",
)
Z_POW = GateSpec(
    "z_pow",
    1,
    (phase(affine(pi), 0),),
    "Z^exponent = diag(1, e^(i pi exponent)).",
    params=("exponent",),
    aliases=("ZPowGate",),
    reference="Cirq ZPowGate, global_shift=0",
)
CPHASE00 = GateSpec(
    "cphase00",
    2,
    (phase(affine(1), 0, 1, values=(0, 0)),),
    "Phase e^(i theta) where both wires are 0.",
    params=("theta",),
    aliases=("CPhaseShift00",),
    reference="PennyLane CPhaseShift00",
)
CPHASE01 = GateSpec(
    "cphase01",
    2,
    (phase(affine(1), 0, 1, values=(0, 1)),),
    "Phase e^(i theta) where wire 0 is 0 and wire 1 is 1.",
    params=("theta",),
    aliases=("CPhaseShift01",),
    reference="PennyLane CPhaseShift01",
)
CPHASE10 = GateSpec(
    "cphase10",
    2,
    (phase(affine(1), 0, 1, values=(1, 0)),),
    "Phase e^(i theta) where wire 0 is 1 and wire 1 is 0.",
    params=("theta",),
    aliases=("CPhaseShift10",),
    reference="PennyLane CPhaseShift10",
)

RECORDS = (GPHASE, S, SDG, T, TDG, P, U1, Z_POW, CPHASE00, CPHASE01, CPHASE10)
