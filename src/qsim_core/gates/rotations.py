"""Rotations of one qubit about an axis, and the powers of the Pauli gates."""

from __future__ import annotations

from math import pi

from .spec import GateSpec, affine, phase, rotation

__all__ = ["RECORDS", "RX", "RY", "RZ", "X_POW", "Y_POW"]

RX = GateSpec(
    "rx",
    1,
    (rotation("X", affine(1)),),
    "exp(-i theta/2 X) = [[cos theta/2, -i sin theta/2], [-i sin theta/2, cos theta/2]].",
    params=("theta",),
    aliases=("RX",),
    qasm2=("rx",),
    qasm3=("rx",),
)
RY = GateSpec(
    "ry",
    1,
    (rotation("Y", affine(1)),),
    "exp(-i theta/2 Y) = [[cos theta/2, -sin theta/2], [sin theta/2, cos theta/2]].",
    params=("theta",),
    aliases=("RY",),
    qasm2=("ry",),
    qasm3=("ry",),
)
RZ = GateSpec(
    "rz",
    1,
    (rotation("Z", affine(1)),),
    "exp(-i theta/2 Z) = diag(e^(-i theta/2), e^(i theta/2)), also in OpenQASM 2, as in Qiskit.",
    params=("theta",),
    aliases=("RZ",),
    qasm2=("rz",),
    qasm3=("rz",),
)
R = GateSpec(
    "r",
    1,
    (rotation("X", affine(1)),),
    "exp(-i theta/2 (cos phi X + sin phi Y)) = RZ(phi) RX(theta) RZ(-phi).",
    params=("theta", "phi"),
    frame=(rotation("Z", affine(0, -1)),),
    aliases=("prx",),
    inverse_params=(affine(-1), affine(0, 1)),
    reference="Qiskit RGate",
)
X_POW = GateSpec(
    "x_pow",
    1,
    (phase(affine(pi / 2)), rotation("X", affine(pi))),
    "X^exponent = e^(i pi exponent/2) RX(pi exponent), with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    aliases=("XPowGate",),
    reference="Cirq XPowGate, global_shift=0",
)
Y_POW = GateSpec(
    "y_pow",
    1,
    (phase(affine(pi / 2)), rotation("Y", affine(pi))),
    "Y^exponent = e^(i pi exponent/2) RY(pi exponent), with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    aliases=("YPowGate",),
    reference="Cirq YPowGate, global_shift=0",
)
PHASED_X_POW = GateSpec(
    "phased_x_pow",
    1,
    (phase(affine(0, pi / 2)), rotation("X", affine(0, pi))),
    "Z^phase_exponent X^exponent Z^(-phase_exponent).",
    params=("phase_exponent", "exponent"),
    frame=(rotation("Z", affine(-pi)),),
    aliases=("phased_x", "PhasedXPowGate"),
    inverse_params=(affine(1), affine(0, -1)),
    reference="Cirq PhasedXPowGate, global_shift=0",
)

RECORDS = (RX, RY, RZ, R, X_POW, Y_POW, PHASED_X_POW)
