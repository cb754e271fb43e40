"""The Hadamard gate and its powers."""

from __future__ import annotations

from math import pi, sqrt

from ..operations import Angle
from .spec import GateSpec, affine, dense, phase, rotation

__all__ = ["H_POW", "RECORDS", "H"]

H = GateSpec(
    "h",
    1,
    (dense(((1, 1), (1, -1)), scale=sqrt(0.5)),),
    "Hadamard: 1/sqrt(2) [[1, 1], [1, -1]].",
    aliases=("H", "Hadamard", "hadamard"),
    qasm2=("h",),
    qasm3=("h",),
)
H_POW = GateSpec(
    "h_pow",
    1,
    (phase(affine(pi), 0),),
    "H^exponent = RY(pi/4) Z^exponent RY(-pi/4), with eigenvalues 1 and e^(i pi exponent).",
    params=("exponent",),
    frame=(rotation("Y", Angle(-pi / 4)),),
    aliases=("HPowGate",),
    reference="Cirq HPowGate, global_shift=0",
)

RECORDS = (H, H_POW)
