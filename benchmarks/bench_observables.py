"""Pauli sums beside peers, on one random state.

    python -m benchmarks.bench_observables [--qubits 20] [--precision double] [--threads 2] [--repeats 3]

Peers that are installed (Qulacs, PennyLane-Lightning, Aer) evaluate ``--peer-terms`` strings of each sum on their own
copy of the state, interleaved with ours; their time for a sum of more strings is that, scaled. Families:

* local: Σ Z_i + Σ Z_i Z_{i+1}; qubo: all Z_i and Z_i Z_j;
* molecule: a random two-body Hamiltonian of n spin orbitals, Jordan-Wigner, spin and particle number conserved;
* random 100, random 10000: strings drawn from all 4^n.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from qsim_core import readout
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.registry import backend
from qsim_core.pauli import PauliTerms
from qsim_core.state import StateVector
from qsim_core.types import Precision

Rows = list[tuple[int, int, float]]
Evaluate = Callable[[Rows], float]


def local(n: int) -> Rows:
    """Return Σ Z_i + Σ Z_i Z_{i+1}."""
    return [(0, 1 << q, 0.5) for q in range(n)] + [(0, 3 << q, 1.0) for q in range(n - 1)]


def qubo(n: int) -> Rows:
    """Return all Z_i and Z_i Z_j with random coefficients."""
    rng = np.random.default_rng(1)
    masks = [1 << q for q in range(n)] + [1 << a | 1 << b for a, b in itertools.combinations(range(n), 2)]
    return [(0, mask, float(rng.normal())) for mask in masks]


def molecule(n: int) -> Rows:
    """Return Σ h_pq a†_p a_q + Σ g_pqrs a†_p a†_q a_r a_s with random real symmetric h and g, spins alternating."""
    rng = np.random.default_rng(2)
    total: dict[tuple[int, int], complex] = {}

    def times(
        left: dict[tuple[int, int], complex], right: dict[tuple[int, int], complex]
    ) -> dict[tuple[int, int], complex]:
        result: dict[tuple[int, int], complex] = {}
        for (x1, z1), a in left.items():  # products of X^x Z^z, without the i of Y
            for (x2, z2), b in right.items():
                sign = -1 if (z1 & x2).bit_count() % 2 else 1
                key = (x1 ^ x2, z1 ^ z2)
                result[key] = result.get(key, 0) + sign * a * b
        return result

    def ladder(q: int, dagger: bool) -> dict[tuple[int, int], complex]:
        string = (1 << q) - 1  # a = (X + iY)/2 with the Z string, and iY = ZX = -XZ
        return {(1 << q, string): 0.5, (1 << q, string | 1 << q): 0.5 if dagger else -0.5}

    def add(operators: list[tuple[int, bool]], coefficient: float) -> None:
        product: dict[tuple[int, int], complex] = {(0, 0): coefficient}
        for q, dagger in operators:
            product = times(product, ladder(q, dagger))
        for key, value in product.items():
            total[key] = total.get(key, 0) + value

    for p, q in itertools.product(range(n), repeat=2):
        if p <= q and (p - q) % 2 == 0:
            h = float(rng.normal())
            add([(p, True), (q, False)], h)
            add([(q, True), (p, False)], h)
    for p, q in itertools.combinations(range(n), 2):
        for r, s in itertools.combinations(range(n), 2):
            if (p, q) <= (r, s) and sorted((p % 2, q % 2)) == sorted((r % 2, s % 2)):
                g = float(rng.normal())
                add([(p, True), (q, True), (s, False), (r, False)], g)
                add([(r, True), (s, True), (q, False), (p, False)], g)
    rows: Rows = []
    for (x, z), value in total.items():
        real = value / 1j ** ((x & z).bit_count() % 4)  # W = i^(number of Y) X^x Z^z
        if abs(real) > 1e-12:
            rows.append((x, z, float(real.real)))
    return rows


def scattered(n: int, count: int) -> Rows:
    """Return strings drawn from all 4^n."""
    rng = np.random.default_rng(3)
    return [
        (int(x), int(z), float(c))
        for x, z, c in zip(*rng.integers(2**n, size=(2, count)), rng.normal(size=count), strict=True)
    ]


def letters_of(x: int, z: int) -> list[tuple[str, int]]:
    """Return the letters of a string with their qubits."""
    return [("IXZY"[(x >> q & 1) | (z >> q & 1) << 1], q) for q in range((x | z).bit_length()) if (x | z) >> q & 1]


def peers(amps: np.ndarray, threads: int) -> Iterator[tuple[str, Evaluate]]:
    """Yield name and evaluation of every peer installed, each with its own copy of the state."""
    n = amps.shape[1].bit_length() - 1
    try:
        import qulacs

        state = qulacs.QuantumState(n)
        state.load(amps[0].astype(np.complex128))

        def by_qulacs(rows: Rows) -> float:
            total = qulacs.Observable(n)
            for x, z, c in rows:
                total.add_operator(c, " ".join(f"{letter} {q}" for letter, q in letters_of(x, z)))
            return float(total.get_expectation_value(state).real)

        yield "qulacs", by_qulacs
    except ImportError:
        pass
    try:
        import pennylane as qml

        device = qml.device("lightning.qubit", wires=n, c_dtype=amps.dtype.type)
        # wire 0 is the highest bit there
        device._statevector = device.LightningStateVector(n, amps.dtype.type)
        device._statevector._apply_state_vector(amps[0].copy(), range(n))
        measure = device.LightningMeasurements(device._statevector)

        def by_lightning(rows: Rows) -> float:
            words = [qml.pauli.PauliWord({n - 1 - q: letter for letter, q in letters_of(x, z)}) for x, z, _ in rows]
            sentence = qml.pauli.PauliSentence(dict(zip(words, (c for _, _, c in rows), strict=True)))
            return float(measure.expval(qml.expval(sentence.operation(wire_order=range(n)))))

        yield "lightning", by_lightning
    except (ImportError, AttributeError, TypeError) as error:
        print(f"# lightning left out: {error}")
    try:
        from qiskit import QuantumCircuit
        from qiskit.quantum_info import Pauli
        from qiskit_aer import AerSimulator

        simulator = AerSimulator(
            method="statevector",
            precision="double" if amps.dtype == np.complex128 else "single",
            max_parallel_threads=threads,
        )
        empty = QuantumCircuit(n)
        empty.set_statevector(amps[0].astype(np.complex128))

        def by_aer(rows: Rows) -> float:
            circuit = empty.copy()
            for k, (x, z, _) in enumerate(rows):
                pauli = Pauli("".join(letter for letter, _ in reversed(letters_of(x, z))) or "I")
                circuit.save_expectation_value(pauli, [q for _, q in letters_of(x, z)] or [0], label=str(k))
            data = simulator.run(circuit).result().data()
            return float(sum(c * data[str(k)] for k, (_, _, c) in enumerate(rows)))

        yield "aer", by_aer
    except ImportError:
        pass


def timed(run: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def pauli_sums(state: StateVector, families: dict[str, Rows], options: argparse.Namespace) -> None:
    """Print a line per family."""
    control = RunControl(threads=options.threads)
    others = [] if options.no_peers else list(peers(np.asarray(state.amps), options.threads))
    norm = min(timed(lambda: state.backend.norms(state.amps, control)) for _ in range(3))
    print(f"one read of the state (norm): {norm * 1e3:.2f} ms")
    for name, rows in families.items():
        terms = PauliTerms.of(rows)
        few = rows[:: max(1, len(rows) // options.peer_terms)][: options.peer_terms]
        ours: list[float] = []
        theirs: dict[str, list[float]] = {peer: [] for peer, _ in others}
        base = {peer: min(timed(partial(e, few[:1])) for _ in range(2)) for peer, e in others}
        for repeat in range(options.repeats):
            ours.append(timed(partial(readout.expectation_pauli, state, terms, control)))
            for peer, evaluate in others if repeat < 2 else ():
                used = timed(partial(evaluate, few))
                theirs[peer].append((used - base[peer]) / max(1, len(few) - 1) * len(rows))
        mean = statistics.median(ours)
        text = ", ".join(f"{peer} {min(t) * 1e3:.3g} ms = {min(t) / mean:.1f}x" for peer, t in theirs.items() if t)
        masks = len({x for x, _, _ in rows})
        print(f"{name:12s} {len(rows):6d} terms {masks:5d} X masks: {mean * 1e3:9.2f} ms  {text}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, default=20)
    parser.add_argument("--precision", choices=("single", "double"), default="double")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer-terms", type=int, default=8)
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--families", nargs="*")
    options = parser.parse_args()
    core, n, precision = backend("auto"), options.qubits, Precision.of(options.precision)
    amps = core.allocate(1, n, precision)
    rng = np.random.default_rng(0)
    amps[0].real, amps[0].imag = rng.normal(size=(2, 2**n))
    amps /= np.linalg.norm(amps)
    state = StateVector(amps, core)
    print(f"{n} qubits, {precision.value}, {options.threads} threads, {core.description}")
    makers: dict[str, Callable[[], Rows]] = {
        "local": lambda: local(n),
        "qubo": lambda: qubo(n),
        "molecule": lambda: molecule(n),
        "random 100": lambda: scattered(n, 100),
        "random 10000": lambda: scattered(n, 10_000),
    }
    pauli_sums(state, {k: make() for k, make in makers.items() if k in (options.families or makers)}, options)


if __name__ == "__main__":
    main()
