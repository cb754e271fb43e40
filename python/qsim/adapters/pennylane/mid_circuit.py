"""Mid-circuit measurements: with shots by branching over histories, exactly by walking all outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pennylane as qml
from pennylane.exceptions import DeviceError
from pennylane.ops import Conditional, MidMeasure
from pennylane.transforms.dynamic_one_shot import gather_mcm

from qsim_core import StateVector, compile_program, readout
from qsim_core.branching import run_shots
from qsim_core.random import RandomSource
from qsim_core.types import IndexArray

from .engine import Engine, Register, expanded
from .measure import measure
from .sampling import Group, group_measurements, is_shadow, values_of

__all__ = ["exact_values", "sampled_values"]

_Bits = npt.NDArray[np.int64]
_IMPOSSIBLE = 1e-14  # probability below which an outcome is rounding
_MOST_ROUNDS = 16


# --- with shots ---------------------------------------------------------------------------------------------------------


def sampled_values(
    tape: Any,
    register: Register,
    engine: Engine,
    rng: np.random.Generator,
    postselect_mode: str | None,
    *,
    one_shot: bool = False,
) -> list[tuple[Any, ...]]:
    """Return for every entry of a shot vector the values of all measurements.

    All shots run at once, one simulation per distinct history. Shots that postselection refuses are left out, or, with
    "fill-shots", run again until there are enough. With ``one_shot`` every shot is kept: the caller refuses.
    """
    processes, mcms = tape.measurements, [op for op in tape.operations if isinstance(op, MidMeasure)]
    if any(map(is_shadow, processes)):
        raise DeviceError("Classical shadows of circuits with mid-circuit measurements are not supported.")
    bins = [slice(*edges) for edges in tape.shots.bins()]
    columns: list[list[Any]] = [[None] * len(processes) for _ in bins]
    wanted = {k: op.postselect for k, op in enumerate(mcms) if op.postselect is not None and not one_shot}
    fill = postselect_mode == "fill-shots"
    outcomes = index = np.zeros(0, dtype=np.int64)
    of_outcomes = {place for place, process in enumerate(processes) if process.mv is not None}
    # One seed for all groups: their numbers are drawn by position, so shot k has the same outcomes in each of them.
    seed = int(rng.integers(2**63))
    for group in group_measurements(processes, register, of_outcomes) or [Group()]:
        outcomes, index = _shots(tape, group, register, engine, seed, wanted if fill else {})
        valid = np.ones(len(index), dtype=bool)
        for k, value in wanted.items():
            valid &= outcomes[:, k] == value
        for row, part in zip(columns, bins, strict=True):
            kept = index[part][valid[part]]
            for place, value in values_of(group, kept) if len(kept) else _nothing(group, processes):
                row[place] = value if row[place] is None else row[place] + value
    for place in of_outcomes:
        process = processes[place]
        for row, part in zip(columns, bins, strict=True):
            samples = {op: outcomes[part, k : k + 1] for k, op in enumerate(mcms)}
            if one_shot:
                row[place] = np.asarray(process.mv.concretize(samples)).reshape(-1)
            elif not valid[part].any():
                row[place] = _no_shots(process)
            else:
                row[place] = gather_mcm(process, samples, valid[part], postselect_mode=postselect_mode)
    return [tuple(row) for row in columns]


def _shots(
    tape: Any, group: Group, register: Register, engine: Engine, seed: int, wanted: dict[int, int]
) -> tuple[_Bits, IndexArray]:
    """Return outcomes (shots, measurements) and the final basis states of all shots; only those ``wanted``, if any."""
    operations = [*tape.operations, *expanded(group.operations)]
    circuit = engine.translate(operations, register.qubit_of, measure_all=True)
    program, measured = circuit.structure.program, circuit.structure.measured
    plan = compile_program(
        program,
        precision=engine.precision,
        target=engine.backend.name,
        initial="zero" if circuit.initial is None else "given",
    )
    coefficients = plan.coefficients(program, circuit.angles)
    total, done = tape.shots.total_shots, 0
    parts: list[npt.NDArray[np.uint8]] = []
    start = None
    if circuit.initial is not None:
        state = engine.allocate(1, program.num_qubits)
        engine.load(circuit, state)
        start = state.amps
    for turn in range(_MOST_ROUNDS):
        source = RandomSource(seed, turn)
        words = run_shots(plan, coefficients, engine.backend, total, source, engine.control(), start=start).words
        octets = words.astype("<u8", copy=False).view(np.uint8)
        bits = np.unpackbits(octets, axis=1, bitorder="little", count=program.num_clbits)
        for k, value in wanted.items():
            bits = bits[bits[:, k] == value]
        parts.append(bits)
        done += len(bits)
        if done >= tape.shots.total_shots:
            break
        total = min(8 * total, 2**20)
    else:
        raise DeviceError(
            'postselect_mode="fill-shots": the postselected outcomes are too improbable to fill all shots.'
        )
    whole: _Bits = np.concatenate(parts)[: tape.shots.total_shots].astype(np.int64)
    final: IndexArray = whole[:, measured:] @ (1 << np.arange(program.num_qubits, dtype=np.int64))
    return whole[:, :measured], final


def _nothing(group: Group, processes: Sequence[Any]) -> list[tuple[int, Any]]:
    return [(reading.measurement, _no_shots(processes[reading.measurement])) for reading in group.readings]


def _no_shots(process: Any) -> Any:
    """Return what PennyLane gives where postselection left no shot."""
    if isinstance(process, qml.measurements.ProbabilityMP):
        size = 2 ** len(process.wires) if process.mv is None else len(np.atleast_1d(process.eigvals()))
        return np.full(size, np.nan)
    return np.float64(np.nan)


# --- exactly ------------------------------------------------------------------------------------------------------------


def exact_values(tape: Any, register: Register, engine: Engine) -> tuple[Any, ...]:
    """Return exact values of a circuit with mid-circuit measurements: averages over all outcomes, weighed.

    Holds one state per measurement on the way to an outcome.

    Raises:
        DeviceError: for measurements that are no averages, such as states and entropies.
    """
    averages = [_Average(process, register, engine) for process in tape.measurements]
    operations = tape.operations
    start = int(_prepares(operations))
    begin = engine.translate(operations[:start], register.qubit_of)
    state = engine.allocate(1, register.num_qubits)
    engine.load(begin, state)
    total = _walk(operations, start, state, 1.0, {}, register, engine, averages)
    if total <= _IMPOSSIBLE:
        return tuple(_no_shots(process) for process in tape.measurements)
    return tuple(average.value(total) for average in averages)


def _prepares(operations: Sequence[Any]) -> bool:
    return (
        bool(operations)
        and isinstance(operations[0], qml.operation.StatePrepBase)
        and operations[0].name != "BasisState"
    )


def _walk(
    operations: Sequence[Any],
    start: int,
    state: StateVector,
    weight: float,
    outcomes: dict[Any, int],
    register: Register,
    engine: Engine,
    averages: Sequence[_Average],
) -> float:
    """Run from one operation on, with the outcomes so far; return the weight of the histories that were kept."""
    stop = next((k for k in range(start, len(operations)) if isinstance(operations[k], MidMeasure)), len(operations))
    straight: list[Any] = []
    for op in operations[start:stop]:
        if not isinstance(op, Conditional):
            straight.append(op)
        elif op.meas_val.concretize(outcomes):
            straight.append(op.base)
    if straight:
        circuit = engine.translate(straight, register.qubit_of)
        engine.apply(circuit.structure.program, state, circuit.angles)
    if stop == len(operations):
        for average in averages:
            average.add(weight, state, outcomes)
        return weight
    measurement = operations[stop]
    qubit = register.qubit_of[measurement.wires[0]]
    distribution = readout.probabilities(state, [qubit], engine.control())[0]
    possible = [bit for bit in (0, 1) if distribution[bit] > _IMPOSSIBLE and measurement.postselect in (None, bit)]
    kept = 0.0
    for bit in possible:
        branch = state
        if bit != possible[-1]:
            branch = engine.allocate(1, state.num_qubits)
            branch.amps[...] = state.amps
        probability = float(distribution[bit])
        engine.backend.collapse(branch.amps, [qubit], bit, probability)
        if measurement.reset and bit:
            engine.backend.flip_down(branch.amps, [qubit])
        now = {**outcomes, measurement: bit}
        kept += _walk(operations, stop + 1, branch, weight * probability, now, register, engine, averages)
    return kept


class _Average:
    """Σ weight · value and, for a variance, Σ weight · value² of one measurement."""

    def __init__(self, process: Any, register: Register, engine: Engine) -> None:
        averaged = (qml.measurements.ExpectationMP, qml.measurements.VarianceMP, qml.measurements.ProbabilityMP)
        if not isinstance(process, (*averaged, qml.measurements.DensityMatrixMP)):
            raise DeviceError(
                f'Measurement {process} of a circuit with mid-circuit measurements needs mcm_method="deferred".'
            )
        self.process, self.register, self.engine = process, register, engine
        self.first: Any = 0.0
        self.second: Any = 0.0

    def add(self, weight: float, state: StateVector, outcomes: dict[Any, int]) -> None:
        process = self.process
        if process.mv is not None:
            value = self._of_outcomes(outcomes)
            spread = 0.0
        elif isinstance(process, qml.measurements.VarianceMP):
            value = measure(qml.expval(process.obs), state, self.register, self.engine)[0]
            spread = measure(process, state, self.register, self.engine)[0]
        else:
            value, spread = measure(process, state, self.register, self.engine)[0], 0.0
        self.first = self.first + weight * value
        self.second = self.second + weight * (spread + value**2)

    def _of_outcomes(self, outcomes: dict[Any, int]) -> Any:
        process = self.process
        if not isinstance(process, qml.measurements.ProbabilityMP):
            return np.float64(process.mv.concretize(outcomes))
        if isinstance(process.mv, Sequence):
            place = 0
            for value in process.mv:
                place = 2 * place + int(value.concretize(outcomes))
            return np.eye(2 ** len(process.mv))[place]
        values = list(process.mv.branches.values())
        same = np.array([value == process.mv.concretize(outcomes) for value in values], dtype=float)
        return same

    def value(self, total: float) -> Any:
        mean = self.first / total
        if isinstance(self.process, qml.measurements.VarianceMP):
            return self.second / total - mean**2
        return mean / mean.sum() if isinstance(self.process, qml.measurements.ProbabilityMP) else mean
