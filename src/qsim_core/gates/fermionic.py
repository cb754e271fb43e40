"""Excitations of occupation numbers under the Jordan-Wigner map: real rotations of a pair of basis states.

Kets list the wires in order, wire 0 first: |0011⟩ has wires 2 and 3 in 1.
"""

from __future__ import annotations

from .spec import GateSpec, affine, phase, rotation

__all__ = ["RECORDS"]

# -(XY - YX)/2 is the Y of the pair |01⟩, |10⟩; the double excitation's generator has eight such products.
_SINGLE = (rotation("XY", affine(-0.5)), rotation("YX", affine(0.5)))
_DOUBLE = tuple(
    rotation(pauli, affine(sign / 8))
    for pauli, sign in (
        ("XXXY", -1),
        ("XXYX", -1),
        ("XYXX", 1),
        ("YXXX", 1),
        ("XYYY", -1),
        ("YXYY", -1),
        ("YYXY", 1),
        ("YYYX", 1),
    )
)

GIVENS = GateSpec(
    "givens",
    2,
    (rotation("XY", affine(-1)), rotation("YX", affine(1))),
    "[[cos theta, -sin theta], [sin theta, cos theta]] on |01⟩, |10⟩.",
    params=("theta",),
    reference="Cirq givens",
)
SINGLE_EXCITATION = GateSpec(
    "single_excitation",
    2,
    _SINGLE,
    "[[cos theta/2, -sin theta/2], [sin theta/2, cos theta/2]] on |01⟩, |10⟩.",
    params=("theta",),
    aliases=("SingleExcitation",),
    reference="PennyLane SingleExcitation",
)
SINGLE_EXCITATION_PLUS = GateSpec(
    "single_excitation_plus",
    2,
    (*_SINGLE, phase(affine(0.25)), rotation("ZZ", affine(-0.5))),
    "single_excitation(theta), and e^(i theta/2) on |00⟩ and |11⟩.",
    params=("theta",),
    aliases=("SingleExcitationPlus",),
    reference="PennyLane SingleExcitationPlus",
)
SINGLE_EXCITATION_MINUS = GateSpec(
    "single_excitation_minus",
    2,
    (*_SINGLE, phase(affine(-0.25)), rotation("ZZ", affine(0.5))),
    "single_excitation(theta), and e^(-i theta/2) on |00⟩ and |11⟩.",
    params=("theta",),
    aliases=("SingleExcitationMinus",),
    reference="PennyLane SingleExcitationMinus",
)
DOUBLE_EXCITATION = GateSpec(
    "double_excitation",
    4,
    _DOUBLE,
    "[[cos theta/2, -sin theta/2], [sin theta/2, cos theta/2]] on |0011⟩, |1100⟩: "
    "eight commuting rotations about four-letter Pauli strings.",
    params=("theta",),
    aliases=("DoubleExcitation",),
    reference="PennyLane DoubleExcitation",
)
DOUBLE_EXCITATION_PLUS = GateSpec(
    "double_excitation_plus",
    4,
    (
        *_DOUBLE,
        phase(affine(0.5)),
        phase(affine(-0.5), 0, 1, 2, 3, values=(0, 0, 1, 1)),
        phase(affine(-0.5), 0, 1, 2, 3, values=(1, 1, 0, 0)),
    ),
    "double_excitation(theta), and e^(i theta/2) on all other basis states.",
    params=("theta",),
    aliases=("DoubleExcitationPlus",),
    reference="PennyLane DoubleExcitationPlus",
)
DOUBLE_EXCITATION_MINUS = GateSpec(
    "double_excitation_minus",
    4,
    (
        *_DOUBLE,
        phase(affine(-0.5)),
        phase(affine(0.5), 0, 1, 2, 3, values=(0, 0, 1, 1)),
        phase(affine(0.5), 0, 1, 2, 3, values=(1, 1, 0, 0)),
    ),
    "double_excitation(theta), and e^(-i theta/2) on all other basis states.",
    params=("theta",),
    aliases=("DoubleExcitationMinus",),
    reference="PennyLane DoubleExcitationMinus",
)
ORBITAL_ROTATION = GateSpec(
    "orbital_rotation",
    4,
    (
        rotation("XZY", affine(-0.5), 0, 1, 2),
        rotation("YZX", affine(0.5), 0, 1, 2),
        rotation("XZY", affine(-0.5), 1, 2, 3),
        rotation("YZX", affine(0.5), 1, 2, 3),
    ),
    "Spin-adapted rotation of two spatial orbitals, wires (0, 1) and (2, 3): single excitations between wires "
    "0 and 2 and between wires 1 and 3, each with the Z of the wire between.",
    params=("theta",),
    aliases=("OrbitalRotation",),
    reference="PennyLane OrbitalRotation",
)
FERMIONIC_SWAP = GateSpec(
    "fermionic_swap",
    2,
    (
        rotation("XX", affine(0.5)),
        rotation("YY", affine(0.5)),
        phase(affine(0.5), 0),
        phase(affine(0.5), 1),
    ),
    "e^(i theta/2) [[cos theta/2, -i sin theta/2], [-i sin theta/2, cos theta/2]] on |01⟩, |10⟩; e^(i theta) on |11⟩.",
    params=("theta",),
    aliases=("FermionicSWAP",),
    reference="PennyLane FermionicSWAP",
)

RECORDS = (
    GIVENS,
    SINGLE_EXCITATION,
    SINGLE_EXCITATION_PLUS,
    SINGLE_EXCITATION_MINUS,
    DOUBLE_EXCITATION,
    DOUBLE_EXCITATION_PLUS,
    DOUBLE_EXCITATION_MINUS,
    ORBITAL_ROTATION,
    FERMIONIC_SWAP,
)
