"""EstimatorV2: expectation values of observables over sets of parameter values, exact or with the noise of shots."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import Clbit
from qiskit.primitives import BaseEstimatorV2, DataBin, EstimatorPubLike, PrimitiveJob, PrimitiveResult, PubResult
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import PauliList, SparsePauliOp

from qsim.observables import PauliSum
from qsim.simulator import Simulator
from qsim_core.types import FloatArray

from .errors import qiskit_errors
from .primitive import Engine, Prepared

__all__ = ["EstimatorV2"]

_Index: TypeAlias = npt.NDArray[np.int64]


class EstimatorV2(BaseEstimatorV2):
    """Expectation values. With precision 0, the default, they are exact and their standard errors 0.

    With precision ε > 0 every group of qubit-wise commuting Pauli strings is measured in ⌈1/ε²⌉ shots, so a Pauli string's
    standard error is at most ε; ``stds`` are the standard errors as seen in the shots.

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

    @property
    def seed(self) -> np.random.Generator | int | None:
        """What the random numbers come from."""
        return self._engine.seed

    def run(
        self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None
    ) -> PrimitiveJob[PrimitiveResult[PubResult]]:
        """Estimate pubs: (circuit, observables), (…, values) or (…, values, precision).

        Raises:
            ValueError, TypeError: for pubs that don't fit together.
            QiskitError: from the job's ``result``, for circuits that can't be run.
        """
        wanted = self._default_precision if precision is None else precision
        job = PrimitiveJob(self._run, [EstimatorPub.coerce(pub, wanted) for pub in pubs])
        job._submit()
        return job

    def _run(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        with qiskit_errors():
            simulator = self._engine.simulator()
            return PrimitiveResult([_estimate(pub, simulator) for pub in pubs], metadata={"version": 2})


def _estimate(pub: EstimatorPub, simulator: Simulator) -> PubResult:
    prepared = Prepared.of(pub.circuit, pub.parameter_values, simulator)
    observables, which = _distinct(pub.observables.sparse_observables_array())
    sets = np.arange(pub.parameter_values.size).reshape(pub.parameter_values.shape) % max(1, len(prepared.rows))
    row, column = np.broadcast_arrays(sets, which)
    evs, stds = np.zeros((2, len(prepared.rows), len(observables)))
    shots = math.ceil(1 / pub.precision**2) if pub.precision else None
    for rows, columns in _blocks(row, column, evs.shape):
        chosen = [observables[k] for k in columns]
        if shots is None:
            evs[np.ix_(rows, columns)] = _exact(prepared, rows, chosen)
        else:
            values, errors = _sampled(pub, rows, chosen, simulator, shots)
            evs[np.ix_(rows, columns)], stds[np.ix_(rows, columns)] = values, errors
    data = DataBin(evs=evs[row, column], stds=stds[row, column], shape=pub.shape)
    metadata = {"target_precision": pub.precision, "shots": shots, "circuit_metadata": pub.circuit.metadata}
    return PubResult(data, metadata=metadata)


def _distinct(array: npt.NDArray[np.object_]) -> tuple[list[SparsePauliOp], _Index]:
    """Return the different observables as sums of Pauli strings, and for every place the index of its own."""
    index_of: dict[bytes, int] = {}
    observables: list[SparsePauliOp] = []
    which = np.zeros(array.shape, dtype=np.int64)
    for place, observable in np.ndenumerate(array):
        pieces = (observable.coeffs, observable.bit_terms, observable.indices, observable.boundaries)
        key = b"|".join(np.asarray(piece).tobytes() for piece in pieces)
        if key not in index_of:
            index_of[key] = len(observables)
            observables.append(SparsePauliOp.from_sparse_observable(observable).simplify())
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


def _exact(prepared: Prepared, rows: _Index, observables: list[SparsePauliOp]) -> FloatArray:
    sums = [_pauli_sum(observable) for observable in observables]
    prepared.check_exact(sums)
    return prepared.run(rows, observables=sums, outputs=()).expectations


def _pauli_sum(observable: SparsePauliOp) -> PauliSum:
    return PauliSum([(letters, qubits, c.real) for letters, qubits, c in observable.to_sparse_list()])


# --- with shots ---------------------------------------------------------------------------------------------------------


def _sampled(
    pub: EstimatorPub, rows: _Index, observables: list[SparsePauliOp], simulator: Simulator, shots: int
) -> tuple[FloatArray, FloatArray]:
    """Return means and standard errors, shape (rows, observables) each: one run per group of Pauli strings."""
    weights = [dict(observable.label_iter()) for observable in observables]
    labels = PauliList(sorted(set().union(*weights)))
    means, variances = np.zeros((2, len(rows), len(observables)))
    for group in labels.group_commuting(qubit_wise=True):
        letters = {q: pauli[q].to_label() for pauli in group for q in np.flatnonzero(pauli.x | pauli.z).tolist()}
        terms = np.array([[weight.get(label, 0.0).real for weight in weights] for label in group.to_labels()])
        acts = (group.x | group.z)[:, list(letters)]
        prepared = Prepared.of(_measured(pub.circuit, letters), pub.parameter_values, simulator)
        if not letters:  # the identity
            means += terms.sum(axis=0)
            continue
        first = pub.circuit.num_clbits
        for k, result in enumerate(prepared.run(rows, shots=shots)):
            bits = result.samples[:, first : first + len(letters)]
            parity = bits.astype(np.float32) @ acts.T.astype(np.float32) % 2
            values = (1 - 2 * parity) @ terms
            means[k] += values.mean(axis=0)
            variances[k] += values.var(axis=0) / shots
    return means, np.sqrt(variances)


def _measured(circuit: QuantumCircuit, letters: Mapping[int, str]) -> QuantumCircuit:
    """Return the circuit with these qubits measured, each in the basis of its letter, into new clbits behind its own."""
    result = circuit.copy()
    clbits = [Clbit() for _ in letters]
    result.add_bits(clbits)
    for clbit, (qubit, letter) in zip(clbits, letters.items(), strict=True):
        if letter == "Y":
            result.sdg(qubit)
        if letter in "XY":
            result.h(qubit)
        result.measure(qubit, clbit)
    return result
