"""Dynamic circuits: what branching costs beside one unmeasured run, and rounds per second of small protocols.

    python -m benchmarks.bench_dynamic [--qubits 20] [--shots 100000] [--rounds 1000000]

Wall times, best of a few, dynamic and unmeasured runs interleaved.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from qsim import Circuit, Simulator, noise
from qsim.result import Result


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
    options = parser.parse_args()
    simulator = Simulator(options.backend, seed=1)
    print(simulator)
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
