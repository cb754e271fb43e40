"""What shots take: from a state that is there, on top of the run that makes it, and beside peers.

    python -m benchmarks.bench_shots [--qubits 24] [--precision double] [--shots 1000000] [--repeats 9] [--peers]

Calls take turns in an order drawn anew every time, medians are printed. *On top of a run*: a run with shots less the run of the
same circuit without, of the same turn. The peak of memory is that of a call, beside the state. Peers draw from a state of their
own: Qulacs and Lightning from one that is given; Aer simulates, and tells what its shots took; qsimcirq simulates, and its run
without shots is taken off.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import numpy as np

from qsim import Circuit, Simulator
from qsim_core import executor
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.registry import backend
from qsim_core.program import ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import ComplexArray, Precision

Calls = dict[str, Callable[[], object]]


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of one call; what it returns is dropped afterwards."""
    start = time.perf_counter()
    found = call()
    taken = time.perf_counter() - start
    del found
    return taken


def turns(calls: Calls, repeats: int, warm: int = 1) -> dict[str, list[float]]:
    """Return the seconds of every call in every turn, in an order of its own each time."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + warm):
        for name in np.random.default_rng(turn).permutation(list(calls)).tolist():
            times[name].append(seconds_of(calls[name]))
    return {name: found[warm:] for name, found in times.items()}


def memory(name: str) -> int:
    """Return a number of bytes of /proc/self/status, such as VmRSS."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))


def from_a_state(options: argparse.Namespace) -> None:
    """Print what shots of a random state take, beside one read of it."""
    core, n, precision = backend("auto"), options.qubits, Precision.of(options.precision)
    amps, rng = core.allocate(1, n, precision), np.random.default_rng(0)
    for part in np.array_split(amps[0], 64):
        part.real, part.imag = rng.normal(size=(2, len(part)))
    amps /= np.linalg.norm(amps)
    state = StateVector(amps, core)
    builder = ProgramBuilder(n, n)
    builder.measure(range(n), range(n))
    plan, control, source = trivial_plan(builder.finish()), RunControl(threads=options.threads), RandomSource(1)
    draws: Calls = {
        "in shot order": lambda: executor.sample_shots(plan, state, options.shots, source, control),
        "counts only": lambda: executor.count_shots(plan, state, options.shots, source, control),
    }
    others: Calls = {"one read of the state (norm)": lambda: core.norms(state.amps, control)}
    if options.shots <= executor.SHOT_CHUNK:
        others["numbers alone"] = lambda: source.uniforms(0, 0, 0, options.shots, options.threads)
    print(f"{options.shots} shots of {n} qubits, {precision.value}, {options.threads} threads, {core.description}")
    for name, found in turns(others | draws, options.repeats).items():
        print(f"  {name}: {statistics.median(found) * 1e3:.1f} ms")
    for name in draws:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as marks:
            marks.write("5")  # forget the peak
        before = memory("VmRSS")
        draws[name]()
        print(f"  {name}: {(memory('VmHWM') - before) / 2**20:.0f} MiB at the peak")


def on_top(options: argparse.Namespace) -> None:
    """Print runs of a circuit with shots less the run without."""
    rng, circuit = np.random.default_rng(0), Circuit(options.qubits)
    for layer in range(2):
        for q in range(options.qubits):
            circuit.u(*rng.uniform(0, 3, 3).tolist(), q)
        for q in range(layer % 2, options.qubits - 1, 2):
            circuit.cz(q, q + 1)
    simulator = Simulator(precision=options.precision, threads=options.threads, seed=1)
    compiled = simulator.compile(circuit.measure_all())
    calls: Calls = {"without": lambda: compiled.run(outputs=["state"])}
    for name, outputs in (("in shot order", ["samples"]), ("counts only", ["counts"])):
        calls[name] = lambda outputs=outputs: compiled.run(shots=options.shots, outputs=outputs)  # type: ignore[misc]
    times = turns(calls, options.repeats)
    print(f"on top of a run of {statistics.median(times['without']) * 1e3:.1f} ms (two layers of U and CZ)")
    for name in ("in shot order", "counts only"):
        more = [a - b for a, b in zip(times[name], times["without"], strict=True)]
        print(f"  {name}: {statistics.median(more) * 1e3:.1f} ms")


def peers(amps: ComplexArray, shots: int, threads: int) -> Iterator[tuple[str, float]]:
    """Yield name and seconds of every peer installed."""
    n = len(amps).bit_length() - 1
    try:
        import qulacs

        state = qulacs.QuantumState(n)
        state.load(amps)
        yield "Qulacs", min(seconds_of(lambda: state.sampling(shots)) for _ in range(2))
    except ImportError:
        pass
    try:
        import pennylane as qml

        device = qml.device("lightning.qubit", wires=n)
        device._statevector = device.LightningStateVector(n, np.complex128)
        device._statevector._apply_state_vector(amps, range(n))
        core = device.LightningMeasurements(device._statevector)._measurement_lightning
        yield "Lightning", min(seconds_of(lambda: core.generate_samples(range(n), shots)) for _ in range(2))
    except (ImportError, AttributeError) as error:
        print(f"# Lightning left out: {error}")
    try:
        from qiskit import QuantumCircuit
        from qiskit_aer import AerSimulator

        circuit = QuantumCircuit(n)
        circuit.h(range(n))
        circuit.measure_all()
        job = AerSimulator(method="statevector", max_parallel_threads=threads).run(circuit, shots=shots)
        yield "Aer", job.result().results[0].metadata["sample_measure_time"]
    except ImportError:
        pass
    try:
        import cirq
        import qsimcirq

        qubits = cirq.LineQubit.range(n)
        gates = cirq.Circuit(cirq.H.on_each(*qubits))
        simulator = qsimcirq.QSimSimulator(qsimcirq.QSimOptions(cpu_threads=threads))
        without = min(
            seconds_of(lambda: simulator.simulate_expectation_values(gates, [cirq.Z(qubits[0])])) for _ in range(2)
        )
        whole = seconds_of(lambda: simulator.run(gates + cirq.measure(*qubits, key="m"), repetitions=shots))
        yield "qsimcirq", whole - without
    except ImportError:
        pass


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, default=24)
    parser.add_argument("--precision", choices=("single", "double"), default="double")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shots", type=int, default=10**6)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--peers", action="store_true")
    options = parser.parse_args()
    if options.peers:
        rng = np.random.default_rng(0)
        amps = rng.normal(size=(2, 2**options.qubits)).T.copy().view(np.complex128)[:, 0]
        amps /= np.linalg.norm(amps)
        for name, seconds in peers(amps, options.shots, options.threads):
            print(f"  {name}: {seconds * 1e3:.0f} ms", flush=True)
        return
    from_a_state(options)
    on_top(options)


if __name__ == "__main__":
    main()
