"""Two-qubit interactions: rotations about products of Pauli letters and what is made of them."""

from __future__ import annotations

from math import pi, sqrt

from .spec import GateSpec, affine, dense, phase, rotation

__all__ = ["ECR", "FSIM", "RECORDS", "RXX", "RYY", "RZX", "RZZ"]

RXX = GateSpec(
    "rxx",
    2,
    (rotation("XX", affine(1)),),
    "exp(-i theta/2 X⊗X).",
    params=("theta",),
    aliases=("ising_xx", "IsingXX"),
    qasm2=("rxx",),
)
RYY = GateSpec(
    "ryy",
    2,
    (rotation("YY", affine(1)),),
    "exp(-i theta/2 Y⊗Y).",
    params=("theta",),
    aliases=("ising_yy", "IsingYY"),
)
RZZ = GateSpec(
    "rzz",
    2,
    (rotation("ZZ", affine(1)),),
    "exp(-i theta/2 Z⊗Z), also in OpenQASM 2, as in Qiskit.",
    params=("theta",),
    aliases=("ising_zz", "IsingZZ"),
    qasm2=("rzz",),
)
RZX = GateSpec(
    "rzx",
    2,
    (rotation("ZX", affine(1)),),
    "exp(-i theta/2 Z⊗X), Z on wire 0 and X on wire 1.",
    params=("theta",),
    reference="Qiskit RZXGate",
)
ISING_XY = GateSpec(
    "ising_xy",
    2,
    (rotation("XX", affine(-0.5)), rotation("YY", affine(-0.5))),
    "exp(i theta/4 (XX + YY)): [[cos theta/2, i sin theta/2], [i sin theta/2, cos theta/2]] on |01⟩, |10⟩.",
    params=("theta",),
    aliases=("IsingXY",),
    reference="PennyLane IsingXY",
)
MS = GateSpec(
    "ms",
    2,
    (rotation("XX", affine(2)),),
    "Mølmer-Sørensen gate exp(-i theta X⊗X).",
    params=("theta",),
    aliases=("MSGate",),
    reference="Cirq ms",
)
XX_POW = GateSpec(
    "xx_pow",
    2,
    (phase(affine(pi / 2)), rotation("XX", affine(pi))),
    "(X⊗X)^exponent, with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    aliases=("XXPowGate",),
    reference="Cirq XXPowGate, global_shift=0",
)
YY_POW = GateSpec(
    "yy_pow",
    2,
    (phase(affine(pi / 2)), rotation("YY", affine(pi))),
    "(Y⊗Y)^exponent, with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    aliases=("YYPowGate",),
    reference="Cirq YYPowGate, global_shift=0",
)
ZZ_POW = GateSpec(
    "zz_pow",
    2,
    (phase(affine(pi / 2)), rotation("ZZ", affine(pi))),
    "(Z⊗Z)^exponent, with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    aliases=("ZZPowGate",),
    reference="Cirq ZZPowGate, global_shift=0",
)
XX_PLUS_YY = GateSpec(
    "xx_plus_yy",
    2,
    (rotation("XX", affine(0.5)), rotation("YY", affine(0.5))),
    "RZ(-beta) exp(-i theta/4 (XX + YY)) RZ(beta), RZ on wire 0: mixes |01⟩ and |10⟩.",
    params=("theta", "beta"),
    frame=(rotation("Z", affine(0, 1), 0),),
    inverse_params=(affine(-1), affine(0, 1)),
    reference="Qiskit XXPlusYYGate",
)
XX_MINUS_YY = GateSpec(
    "xx_minus_yy",
    2,
    (rotation("XX", affine(0.5)), rotation("YY", affine(-0.5))),
    "RZ(beta) exp(-i theta/4 (XX - YY)) RZ(-beta), RZ on wire 1: mixes |00⟩ and |11⟩.",
    params=("theta", "beta"),
    frame=(rotation("Z", affine(0, -1), 1),),
    inverse_params=(affine(-1), affine(0, 1)),
    reference="Qiskit XXMinusYYGate",
)
FSIM = GateSpec(
    "fsim",
    2,
    (rotation("XX", affine(1)), rotation("YY", affine(1)), phase(affine(0, -1), 0, 1)),
    "Fermionic simulation: [[cos theta, -i sin theta], [-i sin theta, cos theta]] on |01⟩, |10⟩; e^(-i phi) on |11⟩.",
    params=("theta", "phi"),
    aliases=("FSimGate",),
    reference="Cirq FSimGate",
)
PHASED_FSIM = GateSpec(
    "phased_fsim",
    2,
    (
        rotation("Z", affine(0, 0.5, 0.5), 0),
        rotation("Z", affine(0, -0.5, -0.5), 1),
        rotation("XX", affine(1)),
        rotation("YY", affine(1)),
        rotation("Z", affine(0, 0.5, -0.5), 0),
        rotation("Z", affine(0, -0.5, 0.5), 1),
        phase(affine(0, 0, 0, -1), 0),
        phase(affine(0, 0, 0, -1), 1),
        phase(affine(0, 0, 0, 0, -1), 0, 1),
    ),
    "fsim with all its phases. On the states (wire 0, wire 1) = (0, 1) and (1, 0): "
    "[[e^(-i (gamma+zeta)) cos theta, -i e^(-i (gamma-chi)) sin theta], "
    "[-i e^(-i (gamma+chi)) sin theta, e^(-i (gamma-zeta)) cos theta]]; e^(-i (2 gamma+phi)) on |11⟩.",
    params=("theta", "zeta", "chi", "gamma", "phi"),
    aliases=("PhasedFSimGate",),
    inverse_params=(affine(-1), affine(0, -1), affine(0, 0, 1), affine(0, 0, 0, -1), affine(0, 0, 0, 0, -1)),
    reference="Cirq PhasedFSimGate",
)
ECR = GateSpec(
    "ecr",
    2,
    (dense(((0, 1, 0, 1j), (1, 0, -1j, 0), (0, 1j, 0, 1), (-1j, 0, 1, 0)), scale=sqrt(0.5)),),
    "Echoed cross-resonance: (X - Y⊗X)/sqrt(2), X and Y on wire 0, the second X on wire 1.",
    aliases=("ECR",),
    reference="Qiskit ECRGate",
)

RECORDS = (
    RXX,
    RYY,
    RZZ,
    RZX,
    ISING_XY,
    MS,
    XX_POW,
    YY_POW,
    ZZ_POW,
    XX_PLUS_YY,
    XX_MINUS_YY,
    FSIM,
    PHASED_FSIM,
    ECR,
)
