"""Gates that exchange two qubits, wholly or in part."""

from __future__ import annotations

from math import pi, sqrt

from .spec import GateSpec, affine, dense, permutation, phase, rotation

__all__ = ["DCX", "ISWAP", "ISWAP_POW", "RECORDS", "SWAP"]

_ROOT = sqrt(0.5)

SWAP = GateSpec(
    "swap",
    2,
    (permutation((0, 2, 1, 3)),),
    "Exchanges the two qubits: |01⟩ ↔ |10⟩.",
    aliases=("SWAP",),
    qasm2=("swap",),
    qasm3=("swap",),
)
ISWAP = GateSpec(
    "iswap",
    2,
    (dense(((1, 0, 0, 0), (0, 0, 1j, 0), (0, 1j, 0, 0), (0, 0, 0, 1))),),
    "Exchanges the two qubits with a phase i: |01⟩ → i|10⟩, |10⟩ → i|01⟩; exp(i pi/4 (XX + YY)).",
    aliases=("ISWAP",),
    inverse_name="iswapdg",
)
ISWAPDG = GateSpec(
    "iswapdg",
    2,
    (dense(((1, 0, 0, 0), (0, 0, -1j, 0), (0, -1j, 0, 0), (0, 0, 0, 1))),),
    "Inverse of iswap: |01⟩ → -i|10⟩, |10⟩ → -i|01⟩.",
    aliases=("iswap_dag",),
    inverse_name="iswap",
)
SISWAP = GateSpec(
    "siswap",
    2,
    (dense(((1, 0, 0, 0), (0, _ROOT, _ROOT * 1j, 0), (0, _ROOT * 1j, _ROOT, 0), (0, 0, 0, 1))),),
    "Square root of iswap: exp(i pi/8 (XX + YY)).",
    aliases=("SISWAP", "SQISW", "sqrt_iswap"),
    inverse_name="siswapdg",
    reference="PennyLane SISWAP",
)
SISWAPDG = GateSpec(
    "siswapdg",
    2,
    (dense(((1, 0, 0, 0), (0, _ROOT, -_ROOT * 1j, 0), (0, -_ROOT * 1j, _ROOT, 0), (0, 0, 0, 1))),),
    "Inverse of siswap: exp(-i pi/8 (XX + YY)).",
    aliases=("sqrt_iswap_dag",),
    inverse_name="siswap",
)
DCX = GateSpec(
    "dcx",
    2,
    (permutation((0, 2, 3, 1)),),
    "cx from wire 0 to wire 1, then cx from wire 1 to wire 0.",
    inverse_name="dcxdg",
    reference="Qiskit DCXGate",
)
DCXDG = GateSpec(
    "dcxdg",
    2,
    (permutation((0, 3, 1, 2)),),
    "Inverse of dcx: cx from wire 1 to wire 0, then cx from wire 0 to wire 1.",
    inverse_name="dcx",
)
SWAP_POW = GateSpec(
    "swap_pow",
    2,
    (
        phase(affine(pi / 4)),
        rotation("XX", affine(pi / 2)),
        rotation("YY", affine(pi / 2)),
        rotation("ZZ", affine(pi / 2)),
    ),
    "swap^exponent = e^(i pi exponent/4) exp(-i pi exponent/4 (XX + YY + ZZ)).",
    params=("exponent",),
    aliases=("SwapPowGate",),
    reference="Cirq SwapPowGate, global_shift=0",
)
ISWAP_POW = GateSpec(
    "iswap_pow",
    2,
    (rotation("XX", affine(-pi / 2)), rotation("YY", affine(-pi / 2))),
    "iswap^exponent = exp(i pi exponent/4 (XX + YY)).",
    params=("exponent",),
    aliases=("ISwapPowGate",),
    reference="Cirq ISwapPowGate, global_shift=0",
)
PHASED_ISWAP_POW = GateSpec(
    "phased_iswap_pow",
    2,
    (rotation("XX", affine(0, -pi / 2)), rotation("YY", affine(0, -pi / 2))),
    "iswap^exponent between Z^phase_exponent on wire 0 and Z^(-phase_exponent) on wire 1, undone after.",
    params=("phase_exponent", "exponent"),
    frame=(rotation("Z", affine(pi), 0), rotation("Z", affine(-pi), 1)),
    aliases=("PhasedISwapPowGate",),
    inverse_params=(affine(1), affine(0, -1)),
    reference="Cirq PhasedISwapPowGate",
)
PSWAP = GateSpec(
    "pswap",
    2,
    (permutation((0, 2, 1, 3)), phase(affine(0.5)), rotation("ZZ", affine(1))),
    "Exchanges the two qubits with a phase: |01⟩ → e^(i theta)|10⟩, |10⟩ → e^(i theta)|01⟩.",
    params=("theta",),
    aliases=("PSWAP",),
    reference="PennyLane PSWAP",
)

RECORDS = (
    SWAP,
    ISWAP,
    ISWAPDG,
    SISWAP,
    SISWAPDG,
    DCX,
    DCXDG,
    SWAP_POW,
    ISWAP_POW,
    PHASED_ISWAP_POW,
    PSWAP,
)
