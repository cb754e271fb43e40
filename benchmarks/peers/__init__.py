"""The simulators to measure beside, each in an environment of its own and played by one adapter file.

Nothing of this package but :mod:`.qsim_core` imports qsim: the rest runs where only a peer is installed.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["ISAS", "OURS", "PEERS", "Peer", "peer_of"]


class Peer(NamedTuple):
    """A simulator: its adapter in this package, what to install, and in which precisions it runs."""

    adapter: str
    requirements: tuple[str, ...]
    module: str  # says, where there is no environment of its own, whether this interpreter can play it
    precisions: tuple[str, ...] = ("single", "double")
    gpu: bool = False


#: Ourselves, played like any other, by the interpreter that runs the benchmark.
OURS = Peer("qsim_core", (), "qsim")

#: Pinned: a figure in a report belongs to a version.
PEERS: dict[str, Peer] = {
    "qsimcirq": Peer("qsimcirq", ("qsimcirq==0.22.1",), "qsimcirq", ("single",)),
    "qiskit-aer": Peer("aer", ("qiskit==2.6.2", "qiskit-aer==0.18.2"), "qiskit_aer"),
    "lightning": Peer("lightning", ("pennylane==0.45.1", "pennylane-lightning==0.45.0"), "pennylane_lightning"),
    "lightning-kokkos": Peer(
        "lightning_kokkos", ("pennylane==0.45.1", "pennylane-lightning-kokkos==0.45.0"), "pennylane_lightning_kokkos"
    ),
    "qulacs": Peer("qulacs", ("qulacs==0.6.14",), "qulacs", ("double",)),
    "qibojit": Peer("qibojit", ("qibo==0.3.6", "qibojit==0.1.17"), "qibojit"),
    # Compiled for NumPy 1. QuEST 4 has no package.
    "quest": Peer("quest", ("pyquest==0.0.1", "numpy==1.26.4"), "pyquest", ("double",)),
    "qiskit-aer-gpu": Peer("aer_gpu", ("qiskit==1.4.5", "qiskit-aer-gpu==0.15.1"), "", gpu=True),
    "lightning-gpu": Peer("lightning_gpu", ("pennylane==0.45.1", "pennylane-lightning-gpu==0.45.0"), "", gpu=True),
}

#: Instruction sets that can be forced, and on whom: ``name@isa`` is a player of its own.
ISAS = {"avx512": ("qsim-core", "qsimcirq"), "avx2": ("qsim-core", "qsimcirq"), "generic": ("qsim-core", "qsimcirq")}


def peer_of(name: str) -> Peer:
    """Return the peer of a player's name."""
    return PEERS.get(name.partition("@")[0], OURS)
