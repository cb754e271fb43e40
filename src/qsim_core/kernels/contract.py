"""What every backend must do, and what all of them can do because they do it.

A backend has to allocate amplitudes and to run the passes of a stage on them. All other verbs have a generic
implementation here, in NumPy and in chunks, so that a new backend is complete on its first day; it overrides them
where it can be faster. Faster is allowed, different is not: ``tests/kernels/test_conformance.py`` compares every
backend with :mod:`qsim_core.kernels.reference`.

Amplitudes are an array ``amps`` of shape (B, 2^n): batch, then basis state, qubit q at bit q of the index.
Sums are in f64 whatever the precision.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .. import resources
from ..cost_model import Work
from ..errors import NotUnitaryError, expected
from ..pauli import PauliTerms
from ..plan import Coefficients, Plan, Stage
from ..program import Program
from ..random import RandomSource
from ..types import Amps, ComplexArray, FloatArray, IndexArray, Precision
from .control import RunControl

__all__ = ["CHUNK", "SHOT_CHUNK", "Backend", "Regrouping", "StageRun"]

#: Amplitudes a generic verb touches at a time: its scratch stays below 12 MiB whatever the state.
CHUNK = 2**17
#: Runs a stage on amplitudes, with the values of this time: see :meth:`Backend.repeated`.
StageRun: TypeAlias = Callable[[Coefficients, Amps, RunControl, bool, bool], FloatArray | None]
#: Shots that are drawn together: their numbers, what they give and what sorts them are 28 bytes each, 113 MiB.
SHOT_CHUNK = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class Regrouping:
    """Row i of the result is scales[i] · ⟨outcomes[i]| row ``rows[i]``, on the other qubits, ⊗ |values[i]⟩.

    ``leaving`` are qubits of the source, ``entering`` qubits as the result numbers them; leaving[0] is bit 0 of an outcome.
    """

    rows: IndexArray
    leaving: tuple[int, ...]
    outcomes: IndexArray
    scales: FloatArray
    entering: tuple[int, ...]
    values: IndexArray

    @property
    def in_place(self) -> bool:
        """Whether amplitudes stay where they are: of one row, with qubits that leave and come back as they were found."""
        if len(self.rows) > 1 or {*self.leaving} != {*self.entering}:
            return False
        found = spread_bits(self.outcomes, self.leaving), spread_bits(self.values, self.entering)
        return bool((found[0] == found[1]).all())

    @classmethod
    def of(cls, rows: IndexArray, entering: Sequence[int] = (), values: IndexArray | None = None) -> Regrouping:
        """Return the move where nothing leaves: rows, with qubits that enter."""
        nothing = np.zeros(len(rows), dtype=np.int64)
        return cls(rows, (), nothing, np.ones(len(rows)), tuple(entering), nothing if values is None else values)


class Backend(abc.ABC):
    """Amplitudes in, amplitudes out. Stateless: several threads may use one at once, each on its own ``amps``."""

    #: Name in the registry, in ``Simulator(backend=…)`` and in every Result.
    name: str
    #: What it runs on, such as "avx512" or "NumPy 2.4".
    description: str = ""

    @abc.abstractmethod
    def allocate(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        """Return uninitialised amplitudes of shape (batch, 2^num_qubits) that own their memory."""

    @abc.abstractmethod
    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        """Run the passes of a stage on ``amps`` in place, row b of the coefficients on batch element b.

        A coefficient array with one row serves the whole batch. Polls ``control``; when it stops the run, ``amps`` is
        left half-way and the caller poisons the state.

        Raises:
            InterruptedRunError, KeyboardInterrupt: from ``control``.
        """

    def run_between(
        self,
        plan: Plan,
        stage: Stage,
        coefficients: Coefficients,
        amps: Amps,
        control: RunControl,
        *,
        move: Regrouping | None = None,
        out: Amps | None = None,
        read: Sequence[int] = (),
    ) -> tuple[Amps, FloatArray | None]:
        """Run a stage between two measurements: :meth:`moved`, :meth:`run_stage`, :meth:`probabilities` of ``read``.

        A backend that overrides it moves amplitudes while the first pass loads them, and weighs outcomes while those of the
        last pass are in cache: two reads and a write of the state less. ``amps`` keeps its values unless ``move`` is None
        or ``out`` is ``amps``, which it may be where the move is :attr:`Regrouping.in_place`.

        Returns:
            The amplitudes after the stage; and the distribution of ``read``, None for no qubits.
        """
        if move is not None:
            amps = self.moved(amps, move, control, out)
        self.run_stage(plan, stage, coefficients, amps, control)
        return amps, self.probabilities(amps, read, control) if read else None

    def profile(
        self,
        plan: Plan,
        stage: Stage,
        coefficients: Coefficients,
        amps: Amps | None,
        control: RunControl,
        *,
        from_zero: bool = False,
    ) -> list[Work] | None:
        """Return what the passes of a stage take on one state, in the groups that run together.

        With ``amps`` of shape (1, 2^n) they run on them, and each group is timed; with None they are only counted, which
        needs no memory of the size of a state. ``from_zero``: the state is |0…0⟩. None from a backend that can't tell.
        """
        return None

    def run_batch(
        self,
        program: Program,
        plan: Plan,
        slots: FloatArray,
        start: Amps | None,
        terms: Sequence[PauliTerms],
        states: Amps | None,
        control: RunControl,
    ) -> FloatArray | None:
        """Run a straight-line plan for every row of ``slots``, from values to numbers in one call, where that is faster.

        Args:
            program: what is run; its angles are bound to ``slots``.
            plan: of this program.
            slots: checked values (B, P) of ``program``, contiguous.
            start: initial states, (1, 2^n) or (B, 2^n); None: |0…0⟩.
            terms: sums of Pauli strings.
            states: (B, 2^n), receives the final states; None: they are not wanted, and not all held at once.
            control: threads, deadline, progress.

        Returns:
            Σ coefficient · ⟨ψ|P|ψ⟩ for every row and sum, shape (B, K); None, with nothing done, from a backend that
            has no such way for this plan: then :func:`qsim_core.batch.run_batch` runs it in parts.
        """
        return None

    def turn(self, amps: Amps, costs: FloatArray, angles: FloatArray, control: RunControl) -> None:
        """Multiply amplitude i of batch element b by e^(-i angles[b] costs[i]): a diagonal over the whole register."""
        for start, stop in _chunks(amps.shape[1]):
            control.poll()
            for row, angle in zip(amps, angles, strict=True):
                row[start:stop] *= np.exp(-1j * angle * costs[start:stop])

    def expectation_costs(self, amps: Amps, costs: FloatArray, control: RunControl) -> FloatArray:
        """Return Σ_i costs[i] |a_i|² of every batch element, shape (B,)."""
        total = np.zeros(len(amps))
        for start, stop in _chunks(amps.shape[1]):
            control.poll()
            for b, row in enumerate(amps):
                total[b] += _weights(row[start:stop]) @ costs[start:stop]
        return total

    def run_from_zero(
        self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl
    ) -> None:
        """Run a stage like :meth:`run_stage` on ``amps`` that are |0…0⟩; what would act on zeros only may be left out."""
        self.run_stage(plan, stage, coefficients, amps, control)

    def repeated(self, plan: Plan, stage: Stage) -> StageRun:
        """Return what runs a stage again and again: ``run(coefficients, amps, control, from_zero, to_sample)``.

        With ``from_zero`` the amplitudes are certainly those of |0…0⟩. With ``to_sample`` a backend that overrides it sums
        |a|² by parts of the states, shape (B, parts), while the amplitudes of the last pass are in cache, and returns these
        ``weights`` for :meth:`sample` and :meth:`sample_counts`: a read of the state less. What is drawn is the same, number
        for number. None: nothing was summed.
        """

        def run(
            coefficients: Coefficients, amps: Amps, control: RunControl, from_zero: bool, to_sample: bool
        ) -> FloatArray | None:
            way = self.run_from_zero if from_zero else self.run_stage
            way(plan, stage, coefficients, amps, control)
            return None

        return run

    # --- where amplitudes live -------------------------------------------------------------------------------------

    def adopt(self, amps: Any) -> Amps:
        """Return amplitudes this backend can work on: those given where it can, else a copy. Shape and dtype stay."""
        return np.ascontiguousarray(amps)

    def join(self, parts: Sequence[Amps]) -> Amps:
        """Return states of one size, shape (B_1 + B_2 + …, 2^n), in memory of their own."""
        return np.concatenate(parts)

    def amplitudes(self, amps: Amps, basis_states: IndexArray) -> Amps:
        """Return the amplitudes of chosen basis states as a NumPy array, shape (B, len(basis_states))."""
        return amps[:, basis_states]

    def memory_free(self) -> int:
        """Return the bytes that can be allocated now where amplitudes live."""
        return resources.available_memory()

    def scratch_bytes(self, plan: Plan) -> int:
        """Return the bytes needed beside the amplitudes to run this plan."""
        return 0

    def zero_state(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        """Return new amplitudes, every batch element |0…0⟩."""
        amps = self.allocate(batch, num_qubits, precision)
        self.fill_zero_state(amps)
        return amps

    def fill_zero_state(self, amps: Amps) -> None:
        """Set every batch element to |0…0⟩."""
        amps.fill(0)
        amps[:, 0] = 1

    def norms(self, amps: Amps, control: RunControl) -> FloatArray:
        """Return Σ|a|² of every batch element, shape (B,)."""
        total = np.zeros(len(amps))
        for start, stop in _chunks(amps.shape[1]):
            control.poll()
            part = amps[:, start:stop]
            total += np.einsum("bi,bi->b", part.real, part.real, dtype=np.float64)
            total += np.einsum("bi,bi->b", part.imag, part.imag, dtype=np.float64)
        return total

    def probabilities(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> FloatArray:
        """Return the distribution of measuring ``qubits``, shape (B, 2^m); qubits[0] is bit 0 of the outcome."""
        result = np.zeros((len(amps), 2 ** len(qubits)))
        for start, stop in _chunks(amps.shape[1]):
            control.poll()
            outcome = gather_bits(np.arange(start, stop), qubits)
            for row, part in zip(result, amps[:, start:stop], strict=True):
                weight = part.real.astype(np.float64) ** 2 + part.imag.astype(np.float64) ** 2
                row += np.bincount(outcome, weights=weight, minlength=result.shape[1])
        return result

    def inner_product(self, bra: Amps, ket: Amps, control: RunControl) -> ComplexArray:
        """Return ⟨bra|ket⟩ for every batch element, shape (B,)."""
        total = np.zeros(len(ket), dtype=np.complex128)
        for start, stop in _chunks(ket.shape[1]):
            control.poll()
            total += np.einsum("bi,bi->b", bra[:, start:stop].conj(), ket[:, start:stop], dtype=np.complex128)
        return total

    def pauli_overlap(self, bra: Amps, ket: Amps, x_mask: int, z_mask: int, control: RunControl) -> ComplexArray:
        """Return ⟨bra|P|ket⟩, shape (B,), for the Pauli string with X on ``x_mask``, Z on ``z_mask``, Y on both.

        P|j⟩ = i^(number of Y) (-1)^parity(j & z_mask) |j ^ x_mask⟩.
        """
        total = np.zeros(len(ket), dtype=np.complex128)
        for start, stop in _chunks(ket.shape[1]):
            control.poll()
            index = np.arange(start, stop)
            sign = 1.0 - 2.0 * parity(index & z_mask)
            left, right = bra[:, index ^ x_mask].conj(), ket[:, start:stop]
            total += np.einsum("bi,bi,i->b", left, right, sign, dtype=np.complex128)
        return total * 1j ** (int(x_mask & z_mask).bit_count() % 4)

    def expectation_paulis(
        self, amps: Amps, x_masks: IndexArray, z_masks: IndexArray, control: RunControl
    ) -> FloatArray:
        """Return ⟨P_s⟩ of every batch element for strings s = 0, 1, … given by int64 masks, shape (B, len(x_masks)).

        A backend that overrides this shares reads among strings: those with one X mask need the same products.
        """
        result = np.empty((len(amps), len(x_masks)))
        for s, (x_mask, z_mask) in enumerate(zip(x_masks.tolist(), z_masks.tolist(), strict=True)):
            result[:, s] = self.pauli_overlap(amps, amps, x_mask, z_mask, control).real
        return result

    def apply_pauli_sum(
        self, amps: Amps, terms: PauliTerms, weights: FloatArray, out: Amps, control: RunControl
    ) -> None:
        """Write Σ_k weights[b, k] P_k applied to each state into ``out``, an array like ``amps`` and not ``amps``.

        ``terms`` names the strings; its own coefficients are not used. One row of weights serves every state.
        """
        out[...] = 0
        for start, stop in _chunks(amps.shape[1]):
            control.poll()
            index = np.arange(start, stop)
            for x, z, weight in zip(terms.x_masks.tolist(), terms.z_masks.tolist(), weights.T, strict=True):
                phase = weight * 1j ** ((x & z).bit_count() % 4)
                moved = phase[:, None] * ((1.0 - 2.0 * parity(index & z)) * amps[:, start:stop])
                out[:, index ^ x] += moved.astype(out.dtype)

    def run_adjoint(
        self,
        plan: Plan,
        coefficients: Coefficients,
        ket: Amps,
        bra: Amps,
        wanted: npt.NDArray[np.uint8],
        control: RunControl,
        to_zero: bool = False,
    ) -> FloatArray | None:
        """Undo a circuit on two states and return slopes on the way, (B, C); None where the backend can't, states kept.

        ``plan`` is that of the inverse circuit. The operation whose value is in column c undoes exp(-i angle G); slope c
        is 2 Im ⟨bra|G|ket⟩ before it does, for wanted columns. What is left in both states is not defined. ``to_zero``: the
        whole plan would bring the ket to |0…0⟩.
        """
        return None

    def reduced_density_matrix(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> ComplexArray:
        """Return ρ of the given qubits, the rest traced out, shape (B, 2^m, 2^m)."""
        size = 2 ** len(qubits)
        columns = spread_bits(np.arange(size), qubits)
        rho = np.zeros((len(amps), size, size), dtype=np.complex128)
        num_qubits = amps.shape[1].bit_length() - 1
        others = [q for q in range(num_qubits) if q not in set(qubits)]
        for start, stop in _chunks(2 ** len(others), max(1, CHUNK // size)):
            control.poll()
            base = spread_bits(np.arange(start, stop), others)
            for b in range(len(amps)):
                block = amps[b, base[:, None] | columns].astype(np.complex128)
                rho[b] += block.T @ block.conj()
        return rho

    def collapse(self, amps: Amps, qubits: Sequence[int], outcome: int, probability: float) -> None:
        """Project a single batch element (amps of shape (1, 2^n)) on an outcome of ``qubits`` and renormalise."""
        scale = amps.real.dtype.type(1.0 / np.sqrt(probability))
        wanted = int(spread_bits(np.array([outcome]), qubits)[0])
        mask = sum(1 << qubit for qubit in qubits)
        for start, stop in _chunks(amps.shape[1]):
            amps[:, start:stop] *= np.where(np.arange(start, stop) & mask == wanted, scale, 0)

    def flip_down(self, amps: Amps, qubits: Sequence[int]) -> None:
        """Move each of ``qubits``, found in |1⟩, to |0⟩: amplitudes with its bit 0 are zero, so the halves are exchanged."""
        for qubit in qubits:
            halves = amps.reshape(-1, 2, 2**qubit)
            halves[:, 0], halves[:, 1] = halves[:, 1], 0

    def add(self, amps: Amps, weights: ComplexArray | FloatArray, out: Amps) -> None:
        """Add weights[b] times each state to ``out``, an array like ``amps`` and not ``amps``."""
        out += weights[:, None].astype(out.dtype) * amps

    def put(self, amps: Amps, rows: IndexArray, out: Amps) -> None:
        """Write the states ``amps`` over the rows ``rows`` of ``out``."""
        out[rows] = amps

    def regroup(self, amps: Amps, move: Regrouping, control: RunControl, out: Amps | None = None) -> Amps:
        """Return amplitudes of other rows on other qubits; ``amps`` keeps its values.

        ``out`` is memory of the right shape and dtype that a backend may use for them, whatever it holds.
        """
        num_qubits = amps.shape[1].bit_length() - 1
        grown = num_qubits - len(move.leaving) + len(move.entering)
        result = self.allocate(len(move.rows), grown, Precision.of(amps.dtype)) if out is None else out
        if move.entering:
            result.fill(0)
        scales = move.scales.astype(result.real.dtype)
        for place in _equal(move.outcomes, move.values):
            control.poll()
            outcome, value = int(move.outcomes[place[0]]), int(move.values[place[0]])
            part = _where(amps, num_qubits, move.leaving, outcome)[_rows(move.rows[place])]
            target = _where(result, grown, move.entering, value)
            scale = scales[place].reshape(-1, *[1] * (part.ndim - 1))
            target[_rows(place)] = (part * scale).reshape(len(place), *target.shape[1:])
        return result

    def moved(self, amps: Amps, move: Regrouping, control: RunControl, out: Amps | None = None) -> Amps:
        """Return what :meth:`regroup` gives; where ``out`` is ``amps``, for a move that is ``in_place``, in the same memory."""
        if out is not amps:
            return self.regroup(amps, move, control, out)
        self.collapse(amps, move.leaving, int(move.outcomes[0]), float(move.scales[0]) ** -2)
        return amps

    def sample(
        self, amps: Amps, uniforms: FloatArray, control: RunControl, weights: FloatArray | None = None
    ) -> IndexArray:
        """Return one basis-state index per uniform number in [0, 1), by inverting the cumulative distribution.

        ``amps`` has shape (B, 2^n) and need not be exactly normalised; ``uniforms`` has shape (B, S), S numbers for each
        state, and so has the result. A basis state of probability zero is never returned. ``weights``: what
        :meth:`repeated` left for these amplitudes.

        Raises:
            NotUnitaryError: if a norm is zero or not finite.
        """
        rows = range(len(amps))
        return np.stack([self._sample_row(amps[b : b + 1], uniforms[b], control) for b in rows])

    def _sample_row(self, amps: Amps, uniforms: FloatArray, control: RunControl) -> IndexArray:
        """Sample a single state, shape (1, 2^n), for numbers of shape (S,)."""
        order = np.argsort(uniforms, kind="stable")
        sizes = list(_chunks(amps.shape[1]))
        weights = [float(_weights(amps[0, start:stop]).sum()) for start, stop in sizes]
        ends = np.cumsum(weights)
        check_sampled_norms(ends[-1:])
        wanted = uniforms[order] * ends[-1]
        result = np.empty(len(uniforms), dtype=np.int64)
        first = 0
        for (start, stop), end, weight in zip(sizes, ends, weights, strict=True):
            control.poll()
            last = len(wanted) if end >= ends[-1] else int(np.searchsorted(wanted, end, side="left"))
            if last > first and weight > 0:
                cumulative = np.cumsum(_weights(amps[0, start:stop]))
                rest = np.maximum(wanted[first:last] - (end - weight), 0)  # rounding may leave it below zero
                place = np.searchsorted(cumulative, rest, side="right")
                heaviest = int(np.searchsorted(cumulative, cumulative[-1], side="left"))
                result[order[first:last]] = start + np.minimum(place, heaviest)
                first = last
        return result

    def sample_counts(
        self,
        amps: Amps,
        num_shots: int,
        source: RandomSource,
        site: int,
        control: RunControl,
        weights: FloatArray | None = None,
    ) -> tuple[IndexArray, IndexArray, IndexArray]:
        """Return how often each basis state is seen in ``num_shots`` shots of every state of ``amps``, shape (B, 2^n).

        Three columns: the first entry of every state and the end, shape (B + 1,); the basis states seen, ascending for
        each state; how often, together the number of shots. Counts have the multinomial distribution of independent
        shots, and a basis state of probability zero is never seen. Which ones come up is a function of the state and of
        ``source``, whose batch element b is that of row b; backends may draw them in different ways. ``weights`` as for
        :meth:`sample`.

        Raises:
            NotUnitaryError: if a norm is zero or not finite.
        """
        rows = []
        for b in range(len(amps)):
            own, found = replace(source, batch=source.batch + b), []
            for first in range(0, num_shots, SHOT_CHUNK):
                numbers = own.uniforms(site, 0, first, min(SHOT_CHUNK, num_shots - first), control.threads)
                drawn = self.sample(amps[b : b + 1], numbers[None], control)
                found.append(np.unique(drawn, return_counts=True))
            outcomes, place = np.unique(np.concatenate([column[0] for column in found]), return_inverse=True)
            counts = np.zeros(len(outcomes), dtype=np.int64)
            np.add.at(counts, place, np.concatenate([column[1] for column in found]))
            rows.append((outcomes, counts))
        starts = np.cumsum([0, *(len(outcomes) for outcomes, _ in rows)])
        return starts, np.concatenate([row[0] for row in rows]), np.concatenate([row[1] for row in rows])


def check_sampled_norms(norms: FloatArray) -> None:
    """Refuse to sample states of which one has a squared norm that is zero or not finite."""
    wrong = norms[~((norms > 0) & (norms < np.inf))]
    if len(wrong):
        raise NotUnitaryError(expected("norm of a state to sample", "a positive number", wrong[0]))


def _where(amps: Amps, num_qubits: int, qubits: Sequence[int], value: int) -> Amps:
    """Return the view of the amplitudes whose ``qubits`` read ``value``: one axis for rows, one for each gap between them."""
    above, shape = num_qubits, [len(amps)]
    index: list[Any] = [slice(None)]
    for qubit, k in sorted(((qubit, k) for k, qubit in enumerate(qubits)), reverse=True):
        shape += [2 ** (above - 1 - qubit), 2]
        index += [slice(None), slice(value >> k & 1, (value >> k & 1) + 1)]
        above = qubit
    view: Amps = amps.reshape(*shape, 2**above)[(*index, ...)]
    return view


def _equal(outcomes: IndexArray, values: IndexArray) -> list[IndexArray]:
    """Return where outcome and value are the same, for every pair there is."""
    order = np.lexsort([values, outcomes])
    changes = (np.diff(outcomes[order]) != 0) | (np.diff(values[order]) != 0)
    return np.split(order, np.flatnonzero(changes) + 1) if len(order) else []


def _rows(rows: IndexArray) -> slice | IndexArray:
    """Return consecutive rows as a slice, which copies nothing."""
    first, last = int(rows[0]), int(rows[-1])
    consecutive = last - first == len(rows) - 1 and bool((np.diff(rows) == 1).all())
    return slice(first, last + 1) if consecutive else rows


def _chunks(size: int, chunk: int = CHUNK) -> Iterator[tuple[int, int]]:
    for start in range(0, size, chunk):
        yield start, min(start + chunk, size)


def _weights(part: Amps) -> FloatArray:
    return part.real.astype(np.float64) ** 2 + part.imag.astype(np.float64) ** 2


def parity(values: IndexArray) -> IndexArray:
    """Return 0 or 1 per value: the number of set bits modulo two."""
    return np.bitwise_count(values).astype(np.int64) & 1


def gather_bits(index: IndexArray, qubits: Sequence[int]) -> IndexArray:
    """Return Σ_k bit qubits[k] of index · 2^k.

    >>> gather_bits(np.array([0b100, 0b101]), (2, 0)).tolist()
    [1, 3]
    """
    result = np.zeros_like(index)
    for k, qubit in enumerate(qubits):
        result |= (index >> qubit & 1) << k
    return result


def spread_bits(value: npt.NDArray[np.int64], qubits: Sequence[int]) -> IndexArray:
    """Inverse of :func:`gather_bits` with zeros on all other qubits."""
    result = np.zeros_like(value)
    for k, qubit in enumerate(qubits):
        result |= (value >> k & 1) << qubit
    return result
