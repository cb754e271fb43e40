"""Arbitrary one-qubit gates by Euler angles. The flavours differ by a phase or by the order of their parameters."""

from __future__ import annotations

from math import pi

from ..operations import Angle
from .spec import GateSpec, affine, phase, rotation

__all__ = ["QASM3_U", "RECORDS", "ROT", "U2", "U3", "U"]

_U_INVERSE = (affine(-1), affine(0, 0, -1), affine(0, -1))
_U2_INVERSE = (affine(0, -1, constant=-pi), affine(-1, constant=pi))

U = GateSpec(
    "u",
    1,
    (phase(affine(0, 0, 1), 0), rotation("Y", affine(1)), phase(affine(0, 1), 0)),
    "P(phi) RY(theta) P(lam) = [[cos theta/2, -e^(i lam) sin theta/2], "
    "[e^(i phi) sin theta/2, e^(i (phi+lam)) cos theta/2]].",
    params=("theta", "phi", "lam"),
    qasm2=("u", "U"),
    inverse_params=_U_INVERSE,
    reference="Qiskit UGate",
)
U2 = GateSpec(
    "u2",
    1,
    (phase(affine(0, 1), 0), rotation("Y", Angle(pi / 2)), phase(affine(1), 0)),
    "u(pi/2, phi, lam) = 1/sqrt(2) [[1, -e^(i lam)], [e^(i phi), e^(i (phi+lam))]].",
    params=("phi", "lam"),
    aliases=("U2",),
    qasm2=("u2",),
    inverse_params=_U2_INVERSE,
    reference="Qiskit U2Gate",
)
U3 = GateSpec(
    "u3",
    1,
    U.body,
    "The older name of u: P(phi) RY(theta) P(lam).",
    params=U.params,
    aliases=("U3",),
    qasm2=("u3",),
    inverse_params=_U_INVERSE,
    reference="Qiskit U3Gate",
)
QASM3_U = GateSpec(
    "qasm3_u",
    1,
    (phase(affine(0.5)), *U.body),
    "The built-in U of OpenQASM 3: e^(i theta/2) u(theta, phi, lam), which has period 2 pi in all its parameters.",
    params=U.params,
    qasm3=("U",),
    inverse_params=_U_INVERSE,
    reference="OpenQASM 3 specification, built-in gates",
)
QASM3_U2 = GateSpec(
    "qasm3_u2",
    1,
    (rotation("Z", affine(0, 1)), rotation("Y", Angle(pi / 2)), rotation("Z", affine(1))),
    "The u2 of OpenQASM 3: RZ(phi) RY(pi/2) RZ(lam).",
    params=U2.params,
    qasm3=("u2",),
    inverse_params=_U2_INVERSE,
    reference="stdgates.inc",
)
QASM3_U3 = GateSpec(
    "qasm3_u3",
    1,
    (rotation("Z", affine(0, 0, 1)), rotation("Y", affine(1)), rotation("Z", affine(0, 1))),
    "The u3 of OpenQASM 3: RZ(phi) RY(theta) RZ(lam).",
    params=U.params,
    qasm3=("u3",),
    inverse_params=_U_INVERSE,
    reference="stdgates.inc",
)
ROT = GateSpec(
    "rot",
    1,
    (rotation("Z", affine(1)), rotation("Y", affine(0, 1)), rotation("Z", affine(0, 0, 1))),
    "RZ(omega) RY(theta) RZ(phi).",
    params=("phi", "theta", "omega"),
    aliases=("Rot",),
    inverse_params=(affine(0, 0, -1), affine(0, -1), affine(-1)),
    reference="PennyLane Rot",
)
PHASED_XZ = GateSpec(
    "phased_xz",
    1,
    (
        phase(affine(0, 0, -pi), 0),
        phase(affine(pi / 2)),
        rotation("X", affine(pi)),
        phase(affine(0, pi, pi), 0),
    ),
    "Z^z_exponent Z^axis_phase_exponent X^x_exponent Z^(-axis_phase_exponent).",
    params=("x_exponent", "z_exponent", "axis_phase_exponent"),
    aliases=("PhasedXZGate",),
    inverse_params=(affine(-1), affine(0, -1), affine(0, 1, 1)),
    reference="Cirq PhasedXZGate",
)

RECORDS = (U, U2, U3, QASM3_U, QASM3_U2, QASM3_U3, ROT, PHASED_XZ)
