"""Dynamic circuits: what branching costs beside one unmeasured run, and rounds per second of small protocols.

    python -m benchmarks.bench_dynamic [--qubits 20] [--shots 100000] [--rounds 1000000] [--peers 5]

Wall times, best of a few, dynamic and unmeasured runs interleaved. ``--peers SECONDS``: the same circuits on Qiskit Aer and
qsimcirq, which run every shot by itself: as many shots as they do in about so many seconds, their time per shot times the
number of shots, and a chi-square test of the answers.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np

from qsim import Circuit, Simulator, noise
from qsim.result import Result

from .dynamic_peers import PEERS, difference


def feed_forward(num_qubits: int, measurements: int = 8, *, dynamic: bool = True, reuse: bool = False) -> Circuit:
    """Return layers of rotations and CZ; after each a qubit is measured and its bit steers a rotation of another.

    A measured qubit is left alone from then on, or, with ``reuse``, takes part in all later layers. Without ``dynamic``
    the same gates, but for those that are steered, and no measurement but the last.
    """
    rng = np.random.default_rng(1)
    circuit = Circuit(num_qubits, measurements + num_qubits)
    for k in range(measurements + 1):
        first = 0 if reuse else k
        for qubit in range(first, num_qubits):
            circuit.u(*rng.uniform(0, 3, 3), qubit)
        for qubit in range(first + (k + first) % 2, num_qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
        if dynamic and k < measurements:
            circuit.measure(k, k)
            with circuit.if_(k):
                circuit.rx(0.7, (k + 1) % num_qubits)
    return circuit.measure(list(range(num_qubits)), list(range(measurements, measurements + num_qubits)))


def bb84() -> Circuit:
    """Return a round of BB84 with an eavesdropper: two random bits, three random bases, one qubit sent."""
    circuit = Circuit(2, 6)
    for bit in range(4):  # Alice's bit and basis, Eve's basis, Bob's basis
        circuit.h(0).measure(0, bit).reset(0)
    with circuit.if_(0):
        circuit.x(1)
    with circuit.if_(1):
        circuit.h(1)
    for basis, found in ((2, 4), (3, 5)):
        with circuit.if_(basis):
            circuit.h(1)
        circuit.measure(1, found)
        with circuit.if_(basis):
            circuit.h(1)
    return circuit


def teleportation() -> Circuit:
    """Return the teleportation of ry(1)|0⟩, measured where it arrives."""
    circuit = Circuit(3, 3).ry(1.0, 0).h(1).cx(1, 2).cx(0, 1).h(0).measure(0, 0).measure(1, 1)
    with circuit.if_(1):
        circuit.x(2)
    with circuit.if_(0):
        circuit.z(2)
    return circuit.measure(2, 2)


def noisy_ghz(num_qubits: int = 4) -> Circuit:
    """Return a GHZ state with depolarizing noise after every CX."""
    circuit = Circuit(num_qubits).h(0)
    for qubit in range(num_qubits - 1):
        circuit.cx(qubit, qubit + 1)
    return noise.add_noise(circuit, noise.depolarizing(0.01, 2), ["cx"]).measure_all()


def noisy_layers(num_qubits: int = 20, layers: int = 8, error: float = 1e-3) -> Circuit:
    """Return layers of rotations and CZ, each gate with depolarizing noise after it."""
    rng = np.random.default_rng(1)
    circuit = Circuit(num_qubits)
    for k in range(layers):
        for qubit in range(num_qubits):
            circuit.u(*rng.uniform(0, 3, 3), qubit)
        for qubit in range(k % 2, num_qubits - 1, 2):
            circuit.cz(qubit, qubit + 1)
    circuit = noise.add_noise(circuit, noise.depolarizing(error), ["u"])
    return noise.add_noise(circuit, noise.depolarizing(error, 2), ["cz"]).measure_all()


def beside_peers(simulator: Simulator, shots: int, num_qubits: int, seconds: float) -> None:
    """Print what all take for the same circuits, and whether their answers agree."""
    few = max(1, shots // 100)  # of noise on every gate, where nearly every shot has a history of its own
    for name, circuit, asked, bits in (
        (f"{num_qubits} qubits, 8 measured and left alone", feed_forward(num_qubits), shots, 4),
        ("BB84", bb84(), shots, 6),
        ("teleportation", teleportation(), shots, 3),
        ("GHZ of 4, noisy", noisy_ghz(), shots, 4),
        (f"GHZ of {num_qubits}, noisy", noisy_ghz(num_qubits), few, 3),
        (f"{num_qubits} qubits, 8 noisy layers", noisy_layers(num_qubits), few, 3),
    ):
        compiled = simulator.compile(circuit)
        took, result = timed(partial(compiled.run, shots=asked))
        print(f"{name}, {asked} shots: {took:.3f} s")
        ours = Counter({int(bits_read.replace(" ", ""), 2): count for bits_read, count in result.counts.items()})
        for peer, make in PEERS.items():
            try:
                run = make(circuit, simulator.threads)
                run(2)  # warm
                tried, spent = 1, 0.0
                while spent < seconds / 4 and tried < asked:
                    tried = min(asked, 4 * tried)
                    start = time.perf_counter()
                    theirs = run(tried)
                    spent = time.perf_counter() - start
                each = spent / tried
            except Exception as error:
                print(f"  {peer}: {type(error).__name__}: {str(error).splitlines()[0][:100]}")
                continue
            print(
                f"  {peer}: {each * asked:.3g} s from {tried} shots, {each * asked / took:.3g} times ours; "
                f"chi-square of {bits} bits: p = {difference(ours, theirs, bits):.2g}",
                flush=True,
            )


def timed(run: Callable[[], Result]) -> tuple[float, Result]:
    """Return the seconds a run took, and what it gave."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--qubits", type=int, default=20)
    parser.add_argument("--shots", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", type=float, metavar="SECONDS")
    options = parser.parse_args()
    simulator = Simulator(options.backend, seed=1)
    print(simulator)
    if options.peers is not None:
        beside_peers(simulator, options.shots, options.qubits, options.peers)
        return
    for reuse in (False, True):
        plain = simulator.compile(feed_forward(options.qubits, dynamic=False, reuse=reuse))
        dynamic = simulator.compile(feed_forward(options.qubits, reuse=reuse))
        once, many = [], []
        for _ in range(options.repeats):
            seconds, _ = timed(lambda plain=plain: plain.run(shots=options.shots))  # type: ignore[misc]
            once.append(seconds)
            seconds, result = timed(lambda dynamic=dynamic: dynamic.run(shots=options.shots))  # type: ignore[misc]
            many.append(seconds)
        what = "used again" if reuse else "left alone"
        print(
            f"{options.qubits} qubits, 8 of them measured and {what}, {options.shots} shots: {min(many):.3f} s, unmeasured "
            f"{min(once):.4f} s, ratio {min(many) / min(once):.1f}; {result.provenance['branching']}"
        )
    for make in (bb84, teleportation, noisy_ghz):
        compiled = simulator.compile(make())
        run = partial(compiled.run, shots=options.rounds)
        seconds, result = min((timed(run) for _ in range(options.repeats)), key=lambda pair: pair[0])
        print(f"{make.__name__}: {options.rounds / seconds:.3g} rounds/s, {result.provenance['branching']}")


if __name__ == "__main__":
    main()
