"""Sampled estimates of Pauli sums: what a device would give, with shot noise.

Strings that commute qubit by qubit are measured together (Verteletskyi, Yen, Izmaylov, "Measurement optimization in the
variational quantum eigensolver using a minimum clique cover", arXiv:1907.03358): one rotation per qubit turns all of a
group into products of Z. Groups are found greedily, largest coefficients first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qsim_core import batch, executor
from qsim_core.compiler import compile_program
from qsim_core.errors import ParameterError, ShapeError, UnsupportedError, expected
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.plan import Plan
from qsim_core.program import Program, ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.resources import check_memory
from qsim_core.state import StateVector
from qsim_core.types import FloatArray, IndexArray

from .lowering import Params
from .observables import ObservableLike, PauliSum, as_observable

if TYPE_CHECKING:
    from .compiled import CompiledCircuit

__all__ = ["Estimate", "Group", "Groups", "commuting_groups", "estimate", "measure_groups", "shared_groups"]

#: Up to so many shots, they are looked at one by one, those of several states together, so many in all.
_FEW, _TOGETHER = 2**11, 2**18


@dataclass(frozen=True)
class Estimate:
    """A mean over shots and its standard error; how many groups of strings were measured, and with how many shots."""

    mean: float
    standard_error: float
    groups: int
    shots: int


def commuting_groups(observable: ObservableLike) -> list[PauliSum]:
    """Return sums that add up to a Pauli sum, the strings of each commuting qubit by qubit.

    Greedy colouring: strings by falling size of their coefficient, each into the first group where it fits.

    >>> commuting_groups("Z0 Z1 + 2*X0 + 0.5*Z1 + X0 X1")
    [PauliSum('2.0*X0 + 1.0*X0 X1'), PauliSum('1.0*Z0 Z1 + 0.5*Z1')]
    """
    terms = _terms(observable)
    groups: list[tuple[int, int, list[int]]] = []  # X and Z masks of the letters fixed so far, strings
    for row in np.argsort(-np.abs(terms.coefficients), kind="stable").tolist():
        x, z = int(terms.x_masks[row]), int(terms.z_masks[row])
        for k, (group_x, group_z, rows) in enumerate(groups):
            both = (x | z) & (group_x | group_z)
            if ((x ^ group_x) | (z ^ group_z)) & both == 0:
                groups[k] = (group_x | x, group_z | z, [*rows, row])
                break
        else:
            groups.append((x, z, [row]))
    return [
        PauliSum(PauliTerms(terms.x_masks[rows], terms.z_masks[rows], terms.coefficients[rows]))
        for _, _, rows in groups
    ]


@dataclass(frozen=True, eq=False)
class Group:
    """Strings that commute qubit by qubit, by their masks (S,), and their coefficients (S, K) in K sums."""

    x_masks: IndexArray
    z_masks: IndexArray
    weights: FloatArray

    @cached_property
    def basis(self) -> tuple[int, int]:
        """Masks of the qubits that any of the strings has X or Y, and Z or Y on."""
        return int(np.bitwise_or.reduce(self.x_masks)), int(np.bitwise_or.reduce(self.z_masks))

    @property
    def support(self) -> list[int]:
        """The qubits to measure."""
        used = self.basis[0] | self.basis[1]
        return [qubit for qubit in range(used.bit_length()) if used >> qubit & 1]

    def moments(self, outcomes: npt.NDArray[np.uint64], counts: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Return means and variances (…, K) of the sums' parts in this group over outcomes (…, U), bit q that of qubit q.

        ``counts`` (U,) says how often each was seen.
        """
        masks = (self.x_masks | self.z_masks).astype(np.uint64)
        values: FloatArray = np.zeros((*outcomes.shape, self.weights.shape[1]))
        for mask, weights in zip(masks, self.weights, strict=True):
            values += np.where(np.bitwise_count(outcomes & mask) & 1, -1.0, 1.0)[..., None] * weights
        times, total = np.asarray(counts, dtype=np.float64), np.sum(counts)
        mean = times @ values / total
        return mean, times @ (values - mean[..., None, :]) ** 2 / total


@dataclass(frozen=True, eq=False)
class Groups:
    """K sums as their constants (K,) and groups of all other strings, each of which serves all sums."""

    constants: FloatArray
    groups: Sequence[Group]


def shared_groups(observables: Sequence[PauliSum]) -> Groups:
    """Return sums in as few groups as :func:`commuting_groups` finds for all their strings together."""
    tables = [_table(observable.terms) for observable in observables]
    every = [(*string, abs(weight)) for table in tables for string, weight in table.items() if string != (0, 0)]
    constants = np.array([table.get((0, 0), 0.0) for table in tables])
    groups = []
    for group in commuting_groups(PauliSum(PauliTerms.of(every))):
        weights = [[table.get(string, 0.0) for table in tables] for string in _table(group.terms)]
        groups.append(Group(group.terms.x_masks, group.terms.z_masks, np.array(weights)))
    return Groups(constants, groups)


def _table(terms: PauliTerms) -> dict[tuple[int, int], float]:
    """Return the coefficient of every Pauli string, by its masks."""
    masks = zip(terms.x_masks.tolist(), terms.z_masks.tolist(), strict=True)
    return dict(zip(masks, terms.coefficients.tolist(), strict=True))


def measure_groups(
    circuit: CompiledCircuit,
    params: Params,
    sums: Groups,
    shots: Sequence[int],
    *,
    seconds: float | None = None,
    cancel: threading.Event | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Return the means of sums for every set of values and their squared standard errors, (B, K) each.

    Each set of values is run once. Its state is turned from the basis of one group to that of the next in place, and
    measured ``shots[g]`` times in each.

    Raises:
        UnsupportedError: for a circuit that measures, resets or branches before its end.
        MemoryBudgetError: if the states do not fit in memory.
    """
    simulator, program, plan = circuit.simulator, circuit.program, circuit.plan()
    if not plan.straight_line:
        raise UnsupportedError(expected("circuit to estimate from", "gates, and measurements at their end", "others"))
    backend, control = simulator._backend, RunControl.within(simulator.threads, cancel, seconds)
    slots = circuit.lowered.slots(params)
    means = np.tile(sums.constants, (len(slots), 1))
    errors = np.zeros_like(means)
    held, scratch = batch.part_rows(plan, len(slots)), backend.scratch_bytes(plan)
    check_memory(program.num_qubits, held, simulator.precision, scratch, memory_free=backend.memory_free)
    turns = list(_turns(program.num_qubits, sums.groups))
    precision, target = simulator.precision, simulator.backend
    plans = [compile_program(turn, precision=precision, target=target, initial="given") for turn in turns]
    runs = [simulator._claim_run() for _ in sums.groups]

    def visit(first: int, state: StateVector) -> None:
        for group, turn, measuring, number, run in zip(sums.groups, turns, plans, shots, runs, strict=True):
            executor.execute(measuring, measuring.coefficients(turn), state, control)
            source = RandomSource(simulator.seed, run, first)
            for part, outcomes, counts in _readings(measuring, state, number, source, control):
                mean, variance = group.moments(outcomes, counts)
                rows = slice(first + part.start, first + part.stop)
                means[rows] += mean
                errors[rows] += variance / max(1, number - 1)

    batch.run_batch(program, plan, slots, backend, control, visit=visit)
    return means, errors


def _readings(
    plan: Plan, state: StateVector, shots: int, source: RandomSource, control: RunControl
) -> Iterator[tuple[slice, npt.NDArray[np.uint64], npt.ArrayLike]]:
    """Yield rows of a state, outcomes and how often each: few shots of many rows, or the different ones of one row."""
    together = _TOGETHER // shots if shots <= _FEW else 0
    for first in range(0, state.batch, max(1, together)):
        numbers = replace(source, batch=source.batch + first)
        if together:
            part = slice(first, min(first + together, state.batch))
            rows = StateVector(state.amps[part], state.backend)
            yield part, executor.sample_rows(plan, rows, shots, numbers, control)[..., 0], np.ones(shots)
        else:
            words, counts = executor.count_shots(plan, state.row(first), shots, numbers, control)
            yield slice(first, first + 1), words[:, 0], counts


def _turns(num_qubits: int, groups: Sequence[Group]) -> Iterator[Program]:
    """Yield the programs that turn the basis of the group before into that of each, and measure its qubits."""
    before = 0, 0
    for group in groups:
        builder = ProgramBuilder(num_qubits, num_qubits)
        for qubit in range(num_qubits):
            (x_old, z_old), (x_new, z_new) = (((x >> qubit & 1), (z >> qubit & 1)) for x, z in (before, group.basis))
            if (x_old, x_old & z_old) == (x_new, x_new & z_new):
                continue
            for turned, y, sign in ((x_old, z_old, -1.0), (x_new, z_new, 1.0)):
                if turned:  # Y becomes Z by a turn about X, X by one about Y
                    builder.rotation("X" if y else "Y", sign * (np.pi / 2 if y else -np.pi / 2), [qubit])
        builder.measure(group.support, group.support)
        yield builder.finish()
        before = group.basis


def estimate(
    circuit: CompiledCircuit,
    params: Params = None,
    *,
    observable: ObservableLike,
    shots: int,
    seconds: float | None = None,
    cancel: threading.Event | None = None,
) -> Estimate:
    """Return a Pauli sum's mean as a device would measure it, from ``shots`` shared out among its commuting groups.

    This is :meth:`qsim.CompiledCircuit.estimate`. A group gets shots in proportion to Σ|coefficient|, at least 2. The
    standard error is √(Σ_g s_g² / shots_g) with the sample variances s_g² of the groups. The circuit runs once: see
    :func:`measure_groups`.

    Raises:
        ParameterError: for fewer than 2 shots per group.
        ShapeError: for several sets of values.
        UnsupportedError: for an observable that is no Pauli sum, or a circuit that measures in its middle.

    >>> from qsim import Circuit, Simulator
    >>> found = Simulator(seed=3).compile(Circuit(2).h(0).cx(0, 1)).estimate(observable="X0 X1 + 0.5*Z0", shots=1000)
    >>> abs(found.mean - 1) < 5 * found.standard_error, found.groups
    (True, 2)
    """
    sums = shared_groups([PauliSum(_terms(observable))])
    given = _shares([float(np.abs(group.weights).sum()) for group in sums.groups], shots)
    means, errors = measure_groups(circuit, params, sums, given, seconds=seconds, cancel=cancel)
    if len(means) != 1:
        raise ShapeError(expected("parameters of estimate()", "one set", len(means)))
    return Estimate(float(means[0, 0]), float(np.sqrt(errors[0, 0])), len(given), sum(given))


def _terms(observable: ObservableLike) -> PauliTerms:
    total = as_observable(observable)
    if not isinstance(total, PauliSum):
        raise UnsupportedError(expected("observable to measure", "a Pauli sum", type(total).__name__))
    return total.terms


def _shares(sizes: Sequence[float], shots: int) -> list[int]:
    """Return how many shots each group gets: 2, and the rest in proportion to its size."""
    if shots < 2 * len(sizes):
        raise ParameterError(expected("shots", f"at least {2 * len(sizes)}, 2 per group", shots))
    if not sizes:
        return []
    spare = shots - 2 * len(sizes)
    ends = np.rint(np.cumsum(sizes) / max(sum(sizes), 1e-300) * spare).astype(int)
    return (2 + np.diff(ends, prepend=0)).tolist()
