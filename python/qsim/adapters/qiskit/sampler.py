"""SamplerV2: samples of the classical registers of circuits, over sets of parameter values."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

import numpy as np
from qiskit.primitives import (
    BaseSamplerV2,
    BitArray,
    DataBin,
    PrimitiveJob,
    PrimitiveResult,
    SamplerPubLike,
    SamplerPubResult,
)
from qiskit.primitives.containers.sampler_pub import SamplerPub

from qsim.simulator import Simulator

from .primitive import Engine, Prepared, Primitive
from .result import register_bytes

__all__ = ["SamplerV2"]


class SamplerV2(Primitive, BaseSamplerV2):
    """Samples circuits, with measurements, resets and control flow anywhere in them.

    Args:
        default_shots: where neither ``run`` nor a pub says how many.
        seed: an int gives every call of :meth:`run` the same shots; a Generator is drawn from; None is fresh.
        precision: "double" or "single".
        threads: at most so many; None takes what the process may use.
        backend: name of the engine.

    >>> from qiskit import QuantumCircuit
    >>> bell = QuantumCircuit(2)
    >>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
    >>> result = SamplerV2(seed=7).run([bell], shots=100).result()[0]
    >>> sorted(result.data.meas.get_counts())
    ['00', '11']
    """

    def __init__(
        self,
        *,
        default_shots: int = 1024,
        seed: np.random.Generator | int | None = None,
        precision: str = "double",
        threads: int | None = None,
        backend: str = "auto",
    ) -> None:
        self._default_shots = default_shots
        self._engine = Engine(backend, precision, threads, seed)

    @property
    def default_shots(self) -> int:
        """Shots where nobody says how many."""
        return self._default_shots

    def run(
        self, pubs: Iterable[SamplerPubLike], *, shots: int | None = None
    ) -> PrimitiveJob[PrimitiveResult[SamplerPubResult]]:
        """Sample pubs: circuits, (circuit, values) or (circuit, values, shots).

        Raises:
            ValueError, TypeError: for pubs that don't fit together.
            QiskitError: from the job's ``result``, for circuits that can't be run.
        """
        coerced = [SamplerPub.coerce(pub, self._default_shots if shots is None else shots) for pub in pubs]
        if any(not pub.circuit.cregs for pub in coerced):
            warnings.warn("A circuit has no classical register, so its result is empty.", UserWarning, stacklevel=2)
        return self._job(_sample, coerced)


def _sample(pub: SamplerPub, simulator: Simulator) -> SamplerPubResult:
    circuit = pub.circuit
    prepared = Prepared.of(circuit, pub.parameter_values, simulator)
    words = np.zeros((pub.size, pub.shots, max(1, -(-prepared.compiled.program.num_clbits // 64))), dtype=np.uint64)
    if prepared.measures and len(prepared.rows):
        repeats = pub.size // len(prepared.rows)  # more than 1 only where there are no parameters
        found = prepared.run(shots=repeats * pub.shots).packed_samples
        words = np.asarray(found).reshape(words.shape)
    words = words.reshape(*pub.shape, *words.shape[1:])
    number_of = {clbit: k for k, clbit in enumerate(circuit.clbits)}
    registers = {
        register.name: BitArray(register_bytes(words, [number_of[clbit] for clbit in register]), register.size)
        for register in circuit.cregs
    }
    metadata = {"shots": pub.shots, "circuit_metadata": circuit.metadata}
    return SamplerPubResult(DataBin(**registers, shape=pub.shape), metadata=metadata)
