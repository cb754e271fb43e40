"""The identity, the Pauli gates and their square roots."""

from __future__ import annotations

from math import pi

from .spec import GateSpec, dense, permutation, phase

__all__ = ["ID", "RECORDS", "SX", "SXDG", "X", "Y", "Z"]

ID = GateSpec("id", 1, (), "Identity.", aliases=("i", "I", "Identity"), qasm2=("id",), qasm3=("id",))
X = GateSpec(
    "x",
    1,
    (permutation((1, 0)),),
    "Bit flip: |0⟩ ↔ |1⟩; [[0, 1], [1, 0]].",
    aliases=("X", "PauliX"),
    qasm2=("x",),
    qasm3=("x",),
)
Y = GateSpec(
    "y",
    1,
    (dense(((0, -1j), (1j, 0))),),
    "Bit and phase flip: [[0, -i], [i, 0]].",
    aliases=("Y", "PauliY"),
    qasm2=("y",),
    qasm3=("y",),
)
Z = GateSpec(
    "z",
    1,
    (phase(pi, 0),),
    "Phase flip: diag(1, -1).",
    aliases=("Z", "PauliZ"),
    qasm2=("z",),
    qasm3=("z",),
)
SX = GateSpec(
    "sx",
    1,
    (dense(((1 + 1j, 1 - 1j), (1 - 1j, 1 + 1j)), scale=0.5),),
    "Square root of x: 1/2 [[1+i, 1-i], [1-i, 1+i]].",
    aliases=("SX", "sqrt_x"),
    qasm2=("sx",),
    qasm3=("sx",),
    inverse_name="sxdg",
)
SXDG = GateSpec(
    "sxdg",
    1,
    (dense(((1 - 1j, 1 + 1j), (1 + 1j, 1 - 1j)), scale=0.5),),
    "Inverse of sx: 1/2 [[1-i, 1+i], [1+i, 1-i]].",
    aliases=("sx_dag", "sqrt_x_dag"),
    qasm2=("sxdg",),
    inverse_name="sx",
)
U0 = GateSpec(
    "u0",
    1,
    (),
    "Identity that lasts gamma pulses; the parameter has no effect on the state.",
    params=("gamma",),
    qasm2=("u0",),
    reference="qelib1.inc",
)

RECORDS = (ID, X, Y, Z, SX, SXDG, U0)
