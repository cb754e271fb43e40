"""Passes and planning time of the C++ planner.

    python benchmarks/bench_planner.py [--qubits 28] [--tiles 16,6 12,4] [--long 100000]

Times are CPU time per operation, best of three; the last column is planning over the time predicted for a run on two
threads (``CompiledCircuit.costs``), both in single precision, in the default tile.
"""

from __future__ import annotations

import argparse
import time

from circuits import CIRCUITS, brickwork

from qsim import Simulator
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import Program
from qsim_core.types import Precision


def microseconds(program: Program, tile: TileShape, repeats: int = 3) -> float:
    """Return the CPU time of planning per operation."""
    best = float("inf")
    for _ in range(repeats):
        start = time.process_time()
        native_plan(program, tile=tile)
        best = min(best, time.process_time() - start)
    return best / len(program) * 1e6


def main() -> None:
    """Print one line per circuit, then one for a single tile and one for a long circuit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--qubits", type=int, default=28)
    parser.add_argument("--tiles", nargs="+", default=["16,6", "12,4"], help="tile qubits,low qubits")
    parser.add_argument("--long", type=int, default=100_000, help="operations of the long circuit")
    options = parser.parse_args()
    tiles = [TileShape(*map(int, text.split(","))) for text in options.tiles]
    simulator = Simulator(precision="single", threads=2)
    print(
        f"{'circuit':20} {'ops':>7}"
        + "".join(f"  b={t.tile_qubits:<2} c={t.low_qubits} passes, us/op" for t in tiles)
        + "  of a run"
    )
    for name, make in CIRCUITS.items():
        circuit = make(options.qubits)
        program = circuit.to_program()
        shape = TileShape.of(Precision.SINGLE, options.qubits)
        predicted = simulator.compile(circuit).costs().predicted_seconds or float("nan")
        share = microseconds(program, shape) * 1e-6 * len(program) / predicted
        cells = [f"{len(native_plan(program, tile=t).passes):15} {microseconds(program, t):7.2f}" for t in tiles]
        print(f"{name:20} {len(program):7}" + " ".join(cells) + f"{share:10.1%}")
    per_layer = len(brickwork(options.qubits, 2).to_program()) / 2
    program = brickwork(options.qubits, max(1, round(options.long / per_layer))).to_program()
    plan = native_plan(program, tile=tiles[0])
    print(f"long: {len(program)} ops, {len(plan.passes)} passes, {microseconds(program, tiles[0], 1):.2f} us/op")
    small = brickwork(12, max(1, round(options.long / 42))).to_program()
    print(f"one tile: {len(small)} ops, {microseconds(small, TileShape(16, 6)):.3f} us/op")


if __name__ == "__main__":
    main()
