"""Sampled estimates of Pauli sums: what a device would give, with shot noise.

Strings that commute qubit by qubit are measured together (Verteletskyi, Yen, Izmaylov, "Measurement optimization in the
variational quantum eigensolver using a minimum clique cover", arXiv:1907.03358): one rotation per qubit turns all of a
group into products of Z. Groups are found greedily, largest coefficients first.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from qsim_core.errors import ParameterError, UnsupportedError, expected
from qsim_core.pauli import PauliTerms
from qsim_core.program import Program, ProgramBuilder
from qsim_core.types import FloatArray

from .lowering import Params
from .observables import ObservableLike, PauliSum, as_observable
from .result import Result

if TYPE_CHECKING:
    from .compiled import CompiledCircuit

__all__ = ["Estimate", "commuting_groups", "estimate"]


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


def estimate(
    circuit: CompiledCircuit,
    params: Params,
    observable: ObservableLike,
    shots: int,
    *,
    seconds: float | None = None,
    cancel: threading.Event | None = None,
) -> Estimate:
    """Return the mean of a Pauli sum over ``shots`` measurements, shared out among its commuting groups.

    A group gets shots in proportion to Σ|coefficient|, at least 2. The standard error is √(Σ_g s_g² / shots_g) with the
    sample variances s_g² of the groups. The circuit runs once; each group adds its rotations to a copy of the state.

    Raises:
        ParameterError: for fewer than 2 shots per group.
        UnsupportedError: for an observable that is no Pauli sum, or a circuit that measures in its middle.
    """
    terms = _terms(observable)
    constant = float(terms.coefficients[(terms.x_masks | terms.z_masks) == 0].sum())
    rest = (terms.x_masks | terms.z_masks) != 0
    varying = PauliSum(PauliTerms(terms.x_masks[rest], terms.z_masks[rest], terms.coefficients[rest]))
    groups = commuting_groups(varying)
    given = _shares([float(np.abs(group.terms.coefficients).sum()) for group in groups], shots)
    options: dict[str, Any] = {"seconds": seconds, "cancel": cancel}
    state = circuit.run(params, outputs=["state"], **options).state_vector.astype(np.complex128)
    state /= np.linalg.norm(state)
    mean, variance = constant, 0.0
    for group, share in zip(groups, given, strict=True):
        program = _rotations(circuit.program.num_qubits, group.terms)
        result = circuit.simulator.run(program, shots=share, outputs=["counts"], initial_state=state, **options)
        first, second = _moments(result, group.terms)
        mean += first
        variance += max(0.0, second - first**2) / (share - 1)
    return Estimate(mean, float(np.sqrt(variance)), len(groups), sum(given))


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


def _rotations(num_qubits: int, terms: PauliTerms) -> Program:
    """Return the program that turns X and Y of the group into Z and measures all qubits."""
    x, z = (int(np.bitwise_or.reduce(masks)) for masks in (terms.x_masks, terms.z_masks))
    builder = ProgramBuilder(num_qubits, num_qubits)
    for qubit in range(num_qubits):
        if x >> qubit & 1:
            letter, angle = ("X", np.pi / 2) if z >> qubit & 1 else ("Y", -np.pi / 2)
            builder.rotation(letter, angle, [qubit])
    builder.measure(range(num_qubits), range(num_qubits))
    return builder.finish()


def _moments(result: Result, terms: PauliTerms) -> tuple[float, float]:
    """Return the mean of the group's value over the shots, and of its square."""
    words, counts = result.count_arrays()
    values: FloatArray = np.zeros(len(counts))
    for x, z, coefficient in zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients, strict=True):
        values += coefficient * (1.0 - 2.0 * (np.bitwise_count(words[:, 0] & np.uint64(x | z)) & 1))
    weights = counts / counts.sum()
    return float(weights @ values), float(weights @ values**2)
