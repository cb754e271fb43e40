"""The circuits that benchmarks and planner tests share: by name, size and seed always the same.

>>> CIRCUITS["ghz"](4).num_gates
4
>>> family("grid:16")(6).num_gates == grid(6, depth=16).num_gates
True
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from qsim import Circuit
from qsim_core.errors import ParameterError, expected
from qsim_core.gates import GATES

__all__ = [
    "CIRCUITS",
    "FROM_ZERO",
    "adder",
    "bernstein_vazirani",
    "brickwork",
    "clifford_t",
    "family",
    "ghz",
    "grid",
    "grid_fsim",
    "grover",
    "hardware_efficient",
    "heisenberg",
    "hidden_shift",
    "hidden_string",
    "iqp",
    "ising",
    "qaoa",
    "qft",
    "quantum_volume",
    "random_gates",
    "random_su4",
    "su4_brickwork",
]

Edge = tuple[int, int]


def ghz(num_qubits: int) -> Circuit:
    """(|0…0⟩ + |1…1⟩)/√2 by a chain of CX."""
    circuit = Circuit(num_qubits, name="ghz").h(0)
    for q in range(num_qubits - 1):
        circuit.cx(q, q + 1)
    return circuit


def qft(num_qubits: int, swaps: bool = False) -> Circuit:
    """Quantum Fourier transform; without ``swaps`` the result has its qubits in reverse order."""
    circuit = Circuit(num_qubits, name="qft")
    for q in reversed(range(num_qubits)):
        circuit.h(q)
        for other in reversed(range(q)):
            circuit.cp(np.pi / 2 ** (q - other), other, q)
    if swaps:
        for q in range(num_qubits // 2):
            circuit.swap(q, num_qubits - 1 - q)
    return circuit


def brickwork(num_qubits: int, depth: int = 20, seed: int = 1) -> Circuit:
    """Layers of random U3 and CZ between even and odd neighbours of a line."""
    layers = [[(q, q + 1) for q in range(start, num_qubits - 1, 2)] for start in (0, 1)]
    return _layered("brickwork", num_qubits, layers, depth, seed)


def grid(num_qubits: int, depth: int = 20, rows: int | None = None, seed: int = 1) -> Circuit:
    """Layers of random U3 and CZ on a quarter of the edges of a rectangle in turn (28 qubits: 4 x 7)."""
    return _layered("grid", num_qubits, _grid_layers(num_qubits, rows), depth, seed)


def grid_fsim(num_qubits: int, depth: int = 20, rows: int | None = None, seed: int = 1) -> Circuit:
    """As :func:`grid` with fSim(π/2, π/6) in the place of CZ."""
    return _layered("grid_fsim", num_qubits, _grid_layers(num_qubits, rows), depth, seed, fsim=True)


def _layered(
    name: str, num_qubits: int, layers: Sequence[Sequence[Edge]], depth: int, seed: int, fsim: bool = False
) -> Circuit:
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name=name)
    for layer in range(depth):
        for q in range(num_qubits):
            circuit.u3(*rng.uniform(-np.pi, np.pi, 3).tolist(), q)
        for a, b in layers[layer % len(layers)]:
            if fsim:
                circuit.fsim(np.pi / 2, np.pi / 6, a, b)
            else:
                circuit.cz(a, b)
    return circuit


def _grid_layers(num_qubits: int, rows: int | None) -> list[list[Edge]]:
    """Four sets of disjoint edges: to the right and down, from even and from odd places."""
    height = rows or max(r for r in range(1, int(num_qubits**0.5) + 1) if num_qubits % r == 0)
    width = num_qubits // height
    right = [
        [(r * width + c, r * width + c + 1) for r in range(height) for c in range(s, width - 1, 2)] for s in (0, 1)
    ]
    down = [
        [(r * width + c, r * width + width + c) for r in range(s, height - 1, 2) for c in range(width)] for s in (0, 1)
    ]
    return [right[0], down[0], right[1], down[1]]


def qaoa(num_qubits: int, layers: int = 4, degree: int = 3, seed: int = 1) -> Circuit:
    """QAOA for MaxCut on a random regular graph, of one degree more where an odd number of nodes needs it."""
    rng = np.random.default_rng(seed)
    degree = min(degree + num_qubits * degree % 2, num_qubits - 1)
    edges = random_regular_graph(num_qubits, degree, seed)
    circuit = Circuit(num_qubits, name="qaoa").h(range(num_qubits))
    for gamma, beta in rng.uniform(0, np.pi, (layers, 2)).tolist():
        for a, b in edges:
            circuit.rzz(gamma, a, b)
        circuit.rx(beta, range(num_qubits))
    return circuit


def random_regular_graph(num_nodes: int, degree: int, seed: int) -> list[Edge]:
    """Return the edges of a random simple graph where every node has the same degree (pairing with repair)."""
    rng = np.random.default_rng(seed)
    while True:
        stubs = rng.permutation(np.repeat(np.arange(num_nodes), degree)).reshape(-1, 2)
        edges = {(int(min(a, b)), int(max(a, b))) for a, b in stubs if a != b}
        if len(edges) == num_nodes * degree // 2:
            return sorted(edges)


def ising(num_qubits: int, steps: int = 10, dt: float = 0.1) -> Circuit:
    """First-order Trotter steps of the transverse-field Ising chain."""
    circuit = Circuit(num_qubits, name="ising")
    for _ in range(steps):
        for q in range(num_qubits - 1):
            circuit.rzz(2 * dt, q, q + 1)
        circuit.rx(2 * dt, range(num_qubits))
    return circuit


def heisenberg(num_qubits: int, steps: int = 10, dt: float = 0.1) -> Circuit:
    """First-order Trotter steps of the Heisenberg chain Σ XX + YY + ZZ."""
    circuit = Circuit(num_qubits, name="heisenberg").x(range(0, num_qubits, 2))
    for _ in range(steps):
        for start in (0, 1):
            for q in range(start, num_qubits - 1, 2):
                circuit.rxx(2 * dt, q, q + 1).ryy(2 * dt, q, q + 1).rzz(2 * dt, q, q + 1)
    return circuit


def quantum_volume(num_qubits: int, depth: int | None = None, seed: int = 1) -> Circuit:
    """Layers of Haar-random SU(4) on random pairs; depth defaults to the number of qubits."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name="quantum_volume")
    for _ in range(num_qubits if depth is None else depth):
        order = rng.permutation(num_qubits).tolist()
        for k in range(0, num_qubits - 1, 2):
            circuit.unitary(random_su4(rng), order[k : k + 2])
    return circuit


def su4_brickwork(num_qubits: int, depth: int = 8, seed: int = 1) -> Circuit:
    """Layers of Haar-random SU(4) between even and odd neighbours of a line."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name="su4_brickwork")
    for layer in range(depth):
        for q in range(layer % 2, num_qubits - 1, 2):
            circuit.unitary(random_su4(rng), [q, q + 1])
    return circuit


def random_su4(rng: np.random.Generator) -> np.ndarray:
    """Return a Haar-random matrix of determinant one, shape (4, 4)."""
    q, r = np.linalg.qr(rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4)))
    q = q * (np.diag(r) / np.abs(np.diag(r)))
    return q / np.linalg.det(q) ** 0.25  # type: ignore[no-any-return]


def hardware_efficient(num_qubits: int, layers: int = 3, full: bool = False, seed: int = 1) -> Circuit:
    """RY and RZ on every qubit, then CX along a line or between all pairs."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name="hardware_efficient")
    for layer in range(layers + 1):
        for q in range(num_qubits):
            theta, phi = rng.uniform(-np.pi, np.pi, 2).tolist()
            circuit.ry(theta, q).rz(phi, q)
        for a in range(num_qubits - 1) if layer < layers else ():
            for b in range(a + 1, num_qubits if full else a + 2):
                circuit.cx(a, b)
    return circuit


def grover(num_qubits: int, iterations: int = 2, seed: int = 1) -> Circuit:
    """Some iterations of Grover's search for a random marked number, with multi-controlled Z."""
    marked = np.random.default_rng(seed).integers(2, size=num_qubits)
    everywhere, zeros = list(range(num_qubits)), np.flatnonzero(marked == 0).tolist()
    circuit = Circuit(num_qubits, name="grover").h(everywhere)
    for _ in range(iterations):
        for flipped in (zeros, everywhere):  # the oracle, then the reflection about the mean
            if flipped is everywhere:
                circuit.h(everywhere)
            circuit.x(flipped).append("z", [num_qubits - 1], controls=everywhere[:-1]).x(flipped)
        circuit.h(everywhere)
    return circuit


def clifford_t(num_qubits: int, depth: int = 40, seed: int = 1) -> Circuit:
    """Layers of random H, S, T on every qubit, and CX between random pairs of a third of them."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name="clifford_t")
    for _ in range(depth):
        for q, name in enumerate(rng.choice(["h", "s", "t"], num_qubits).tolist()):
            circuit.append(name, [q])
        order = rng.permutation(num_qubits).tolist()
        for k in range(0, 2 * (num_qubits // 6), 2):
            circuit.cx(order[k], order[k + 1])
    return circuit


def iqp(num_qubits: int, density: float = 0.5, seed: int = 1) -> Circuit:
    """Instantaneous quantum polynomial circuit: H, random phases on qubits and pairs of them, H."""
    rng = np.random.default_rng(seed)
    circuit = Circuit(num_qubits, name="iqp").h(range(num_qubits))
    for a in range(num_qubits):
        circuit.p(rng.integers(8) * np.pi / 4, a)
        for b in range(a):
            if rng.random() < density:
                circuit.cp(rng.integers(1, 4) * np.pi / 2, b, a)
    return circuit.h(range(num_qubits))


def hidden_string(num_qubits: int, seed: int = 1) -> list[int]:
    """Return the qubits that are one in the string :func:`bernstein_vazirani` finds."""
    return np.flatnonzero(np.random.default_rng(seed).integers(2, size=num_qubits - 1)).tolist()  # type: ignore[no-any-return]


def bernstein_vazirani(num_qubits: int, seed: int = 1) -> Circuit:
    """Finds a random hidden string; the last qubit is the oracle's, and ends as |-⟩."""
    last = num_qubits - 1
    circuit = Circuit(num_qubits, name="bernstein_vazirani").x(last).h(range(num_qubits))
    for q in hidden_string(num_qubits, seed):
        circuit.cx(q, last)
    return circuit.h(range(last))


def hidden_shift(num_qubits: int, seed: int = 1) -> Circuit:
    """Hidden shift of a bent function, on an even number of qubits."""
    rng = np.random.default_rng(seed)
    shifted = np.flatnonzero(rng.integers(2, size=num_qubits)).tolist()
    circuit = Circuit(num_qubits, name="hidden_shift")
    for x_qubits in (shifted, []):
        circuit.h(range(num_qubits))
        circuit.x(x_qubits)
        for q in range(0, num_qubits - 1, 2):
            circuit.cz(q, q + 1)
        circuit.x(x_qubits)
    return circuit.h(range(num_qubits))


def adder(num_qubits: int) -> Circuit:
    """Ripple-carry adder a, b → a, a + b: one carry-in, k qubits a, k qubits b, one carry-out; 2k + 2 ≤ num_qubits.

    S. A. Cuccaro et al., "A new quantum ripple-carry addition circuit", arXiv:quant-ph/0410184.
    """
    k = (num_qubits - 2) // 2
    carry, a, b = 0, list(range(1, k + 1)), list(range(k + 1, 2 * k + 1))
    out = 2 * k + 1
    circuit = Circuit(num_qubits, name="adder").x(a).h(b)
    chain = [carry, *a]
    for i in range(k):
        circuit.cx(a[i], b[i]).cx(a[i], chain[i]).ccx(chain[i], b[i], a[i])
    circuit.cx(a[-1], out)
    for i in reversed(range(k)):
        circuit.ccx(chain[i], b[i], a[i]).cx(a[i], chain[i]).cx(chain[i], b[i])
    return circuit


def random_gates(num_qubits: int, num_gates: int, seed: int = 1) -> Circuit:
    """Gates drawn from the whole gate table on random qubits, some with extra controls."""
    rng = np.random.default_rng(seed)
    specs = [spec for spec in GATES.values() if spec.num_qubits <= num_qubits]
    circuit = Circuit(num_qubits, name="random_gates")
    for _ in range(num_gates):
        spec = specs[rng.integers(len(specs))]
        wires = rng.permutation(num_qubits).tolist()
        extra = int(rng.integers(min(2, num_qubits - spec.num_qubits) + 1)) if rng.random() < 0.2 else 0
        params = rng.uniform(-np.pi, np.pi, len(spec.params)).tolist()
        controls = wires[spec.num_qubits : spec.num_qubits + extra]
        circuit.append(spec, wires[: spec.num_qubits], params, controls, rng.integers(2, size=extra).tolist())
    return circuit


#: Every family that is made from a number of qubits alone.
CIRCUITS: dict[str, Callable[[int], Circuit]] = {
    "qft": qft,
    "brickwork": brickwork,
    "grid": grid,
    "grid_fsim": grid_fsim,
    "qaoa": qaoa,
    "ising": ising,
    "heisenberg": heisenberg,
    "quantum_volume": quantum_volume,
    "su4_brickwork": su4_brickwork,
    "hardware_efficient": hardware_efficient,
    "grover": grover,
    "clifford_t": clifford_t,
    "iqp": iqp,
    "ghz": ghz,
    "bernstein_vazirani": bernstein_vazirani,
    "hidden_shift": hidden_shift,
    "adder": adder,
}


def family(name: str) -> Callable[[int], Circuit]:
    """Return the maker of a family: a name of ``CIRCUITS``, or "name:depth" where the family has layers."""
    plain, colon, depth = name.partition(":")
    make = CIRCUITS.get(plain)
    if make is None:
        raise ParameterError(expected("family", ", ".join(CIRCUITS), name))
    if not colon:
        return make
    if "depth" not in inspect.signature(make).parameters or not depth.isdecimal():
        raise ParameterError(expected("family", f"{plain}, or a family with layers and their number: grid:16", name))
    return partial(make, depth=int(depth))


#: Of these a state from |0…0⟩ holds few amplitudes for long: a simulator that follows its support has less to do, so
#: they are reported apart.
FROM_ZERO = ("qft", "ghz", "bernstein_vazirani", "hidden_shift", "adder")
