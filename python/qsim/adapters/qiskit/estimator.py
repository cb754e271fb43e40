"""EstimatorV2: expectation values of observables over sets of parameter values, exact or with the noise of shots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from qiskit.primitives import BaseEstimatorV2, DataBin, EstimatorPubLike, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparsePauliOp

from qsim.estimation import measure_groups, shared_groups
from qsim.observables import PauliSum
from qsim.simulator import Simulator
from qsim_core.types import FloatArray

from .primitive import Engine, Prepared, Primitive

__all__ = ["EstimatorV2"]

_Index: TypeAlias = npt.NDArray[np.int64]


class EstimatorV2(Primitive, BaseEstimatorV2):
    """Expectation values. With precision 0, the default, they are exact and their standard errors 0.

    With precision ε > 0 every group of qubit-wise commuting Pauli strings is measured in ⌈1/ε²⌉ shots, so a Pauli string's
    standard error is at most ε; ``stds`` are the standard errors as seen in the shots. A circuit of gates is simulated once
    for all groups, one with measurements, whose outcomes belong to the shots, once for each.

    Args:
        default_precision: where neither ``run`` nor a pub says it.
        seed: an int gives every call of :meth:`run` the same shots; a Generator is drawn from; None is fresh.
        precision: of amplitudes, "double" or "single".
        threads: at most so many; None takes what the process may use.
        backend: name of the engine.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> EstimatorV2().run([(bell, ["XX", "ZI"])]).result()[0].data.evs.round(12).tolist()
    [1.0, 0.0]
    """

    def __init__(
        self,
        *,
        default_precision: float = 0.0,
        seed: np.random.Generator | int | None = None,
        precision: str = "double",
        threads: int | None = None,
        backend: str = "auto",
    ) -> None:
        self._default_precision = default_precision
        self._engine = Engine(backend, precision, threads, seed)

    @property
    def default_precision(self) -> float:
        """Standard error aimed at where nobody says it."""
        return self._default_precision

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Estimate pubs: (circuit, observables), (…, values) or (…, values, precision).

        Raises:
            ValueError, TypeError: for pubs that don't fit together.
            QiskitError: from the job's ``result``, for circuits that can't be run.
        """
        wanted = self._default_precision if precision is None else precision
        return self._job(_estimate, [EstimatorPub.coerce(pub, wanted) for pub in pubs])


def _estimate(pub: EstimatorPub, simulator: Simulator) -> PubResult:
    prepared = Prepared.of(pub.circuit, pub.parameter_values, simulator)
    sums, which = _distinct(pub.observables.sparse_observables_array())
    sets = np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape) % max(1, len(prepared.rows))
    row, column = np.broadcast_arrays(sets, which)
    evs, stds = np.zeros((2, len(prepared.rows), len(sums)))
    shots = math.ceil(1 / pub.precision**2) if pub.precision else None
    for rows, columns in _blocks(row, column, evs.shape):
        chosen = [sums[k] for k in columns]
        if shots is None:
            prepared.check_exact(chosen)
            evs[np.ix_(rows, columns)] = prepared.run(rows, observables=chosen, outputs=()).expectations
        else:
            values, errors = _sampled(prepared, rows, chosen, shots)
            evs[np.ix_(rows, columns)], stds[np.ix_(rows, columns)] = values, errors
    data = DataBin(evs=evs[row, column], stds=stds[row, column], shape=pub.shape)
    metadata = {"target_precision": pub.precision, "shots": shots, "circuit_metadata": pub.circuit.metadata}
    return PubResult(data, metadata=metadata)


def _distinct(array: npt.NDArray[np.object_]) -> tuple[list[PauliSum], _Index]:
    """Return the different observables as sums of Pauli strings, and for every place the index of its own."""
    index_of: dict[bytes, int] = {}
    observables: list[PauliSum] = []
    which = np.zeros(array.shape, dtype=np.int64)
    for place, observable in np.ndenumerate(array):
        pieces = (observable.coeffs, observable.bit_terms, observable.indices, observable.boundaries)
        key = b"|".join(np.asarray(piece).tobytes() for piece in pieces)
        if key not in index_of:
            index_of[key] = len(observables)
            observables.append(_pauli_sum(SparsePauliOp.from_sparse_observable(observable).simplify()))
        which[place] = index_of[key]
    return observables, which


def _blocks(row: _Index, column: _Index, shape: tuple[int, int]) -> Iterator[tuple[_Index, _Index]]:
    """Yield (rows, columns) that together are the pairs asked for: rows that ask for the same columns go together."""
    wanted = np.zeros(shape, dtype=bool)
    wanted[row, column] = True
    patterns, pattern_of = np.unique(wanted, axis=0, return_inverse=True)
    for k, pattern in enumerate(patterns):
        if pattern.any():
            yield np.flatnonzero(pattern_of.ravel() == k), np.flatnonzero(pattern)


def _pauli_sum(observable: SparsePauliOp) -> PauliSum:
    return PauliSum([(letters, qubits, c.real) for letters, qubits, c in observable.to_sparse_list()])


def _sampled(
    prepared: Prepared, rows: _Index, observables: list[PauliSum], shots: int
) -> tuple[FloatArray, FloatArray]:
    """Return means and standard errors, shape (rows, observables) each; every group of strings gets all the shots."""
    sums = shared_groups(observables)
    if prepared.is_unitary:
        means, errors = measure_groups(prepared.compiled, prepared.rows[rows], sums, [shots] * len(sums.groups))
        return means, np.sqrt(errors)
    means = np.tile(sums.constants, (len(rows), 1))
    errors = np.zeros_like(means)
    for group in sums.groups:
        for k, (outcomes, counts) in enumerate(prepared.measured(group, rows, shots)):
            mean, variance = group.moments(outcomes, counts)
            means[k] += mean
            errors[k] += variance / max(1, shots - 1)
    return means, np.sqrt(errors)
