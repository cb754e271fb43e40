"""Controlled gates that have a name of their own, and the Toffoli gates up to relative phases."""

from __future__ import annotations

from math import pi

from .euler import ROT, U3, U
from .hadamard import H
from .pauli import SX, SXDG, X, Y, Z
from .phase import SDG, TDG, U1, Z_POW, P, S, T
from .rotations import RX, RY, RZ, X_POW, Y_POW
from .spec import GateSpec, affine, controlled, phase
from .swap import SWAP

__all__ = ["CX", "RECORDS"]

CX = controlled(X, "cx", aliases=("CX", "CNOT", "cnot"), qasm2=("cx", "CX"), qasm3=("cx", "CX"))

CU = GateSpec(
    "cu",
    1,
    (phase(affine(0, 0, 0, 1), 0), *controlled(U, "").body),
    "e^(i gamma) u(theta, phi, lam) on the last wire where wire 0 is 1.",
    params=(*U.params, "gamma"),
    num_controls=1,
    qasm2=("cu",),
    qasm3=("cu",),
    inverse_params=(affine(-1), affine(0, 0, -1), affine(0, -1), affine(0, 0, 0, -1)),
    reference="Qiskit CUGate",
)

RCCX = GateSpec(
    "rccx",
    3,
    (phase(pi, 0, 1, 2, values=(1, 0, 1)), *controlled(Y, "", 2).body),
    "ccx up to relative phases: y on wire 2 where wires 0 and 1 are 1, z on wire 2 where wire 0 is 1 and wire 1 is 0.",
    qasm2=("rccx",),
    reference="Qiskit RCCXGate; Maslov, arXiv:1508.03273",
)
_RC3X = (phase(pi, 0, 1, 2, 3, values=(1, 1, 0, 1)), *controlled(Y, "", 3).body)
RC3X = GateSpec(
    "rc3x",
    4,
    (phase(pi / 2, 0, 1), *_RC3X),
    "c3x up to relative phases: where wires 0 and 1 are 1, i y on wire 3 if wire 2 is 1, else i z.",
    aliases=("rcccx",),
    qasm2=("rc3x",),
    inverse_name="rc3xdg",
    reference="Qiskit RC3XGate; Maslov, arXiv:1508.03273",
)
RC3XDG = GateSpec(
    "rc3xdg",
    4,
    (phase(-pi / 2, 0, 1), *_RC3X),
    "Inverse of rc3x.",
    aliases=("rcccx_dg",),
    inverse_name="rc3x",
)

RECORDS = (
    CX,
    controlled(Y, "cy", aliases=("CY",), qasm2=("cy",), qasm3=("cy",)),
    controlled(Z, "cz", aliases=("CZ",), qasm2=("cz",), qasm3=("cz",)),
    controlled(H, "ch", aliases=("CH",), qasm2=("ch",), qasm3=("ch",)),
    controlled(SX, "csx", qasm2=("csx",), inverse_name="csxdg"),
    controlled(SXDG, "csxdg", inverse_name="csx"),
    controlled(S, "cs", inverse_name="csdg"),
    controlled(SDG, "csdg", inverse_name="cs"),
    controlled(T, "ct", inverse_name="ctdg"),
    controlled(TDG, "ctdg", inverse_name="ct"),
    controlled(
        P,
        "cp",
        aliases=("cphase", "CPhase", "ControlledPhaseShift"),
        qasm2=("cp",),
        qasm3=("cp", "cphase"),
    ),
    controlled(U1, "cu1", qasm2=("cu1",)),
    controlled(RX, "crx", aliases=("CRX",), qasm2=("crx",), qasm3=("crx",)),
    controlled(RY, "cry", aliases=("CRY",), qasm2=("cry",), qasm3=("cry",)),
    controlled(RZ, "crz", aliases=("CRZ",), qasm2=("crz",), qasm3=("crz",)),
    controlled(ROT, "crot", aliases=("CRot",)),
    CU,
    controlled(U3, "cu3", qasm2=("cu3",)),
    controlled(X_POW, "cx_pow", aliases=("CXPowGate", "CNotPowGate")),
    controlled(Y_POW, "cy_pow", aliases=("CYPowGate",)),
    controlled(Z_POW, "cz_pow", aliases=("CZPowGate",)),
    controlled(SWAP, "cswap", aliases=("CSWAP", "fredkin", "CSwapGate"), qasm2=("cswap",), qasm3=("cswap",)),
    controlled(X, "ccx", 2, aliases=("CCX", "Toffoli", "toffoli"), qasm2=("ccx",), qasm3=("ccx",)),
    controlled(Y, "ccy", 2),
    controlled(Z, "ccz", 2, aliases=("CCZ",)),
    controlled(X_POW, "ccx_pow", 2, aliases=("CCXPowGate", "CCNotPowGate")),
    controlled(Y_POW, "ccy_pow", 2, aliases=("CCYPowGate",)),
    controlled(Z_POW, "ccz_pow", 2, aliases=("CCZPowGate",)),
    controlled(X, "c3x", 3, aliases=("cccx",), qasm2=("c3x",)),
    controlled(Z, "c3z", 3, aliases=("cccz",)),
    controlled(SX, "c3sx", 3, aliases=("c3sqrtx",), qasm2=("c3sqrtx",), inverse_name="c3sxdg"),
    controlled(SXDG, "c3sxdg", 3, inverse_name="c3sx"),
    controlled(X, "c4x", 4, aliases=("ccccx",), qasm2=("c4x",)),
    RCCX,
    RC3X,
    RC3XDG,
)
