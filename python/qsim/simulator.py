"""Simulator: a backend, a precision, threads and a seed; what circuits are run with."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any, overload

from qsim_core import validation
from qsim_core.errors import ParameterError, expected
from qsim_core.kernels import registry
from qsim_core.program import Program
from qsim_core.random import RandomSource, fresh_seed
from qsim_core.resources import available_threads
from qsim_core.types import Precision

from .circuit import Circuit
from .compiled import RUNNABLE, CompiledCircuit, Runnable
from .result import Result

__all__ = ["Simulator", "compile"]


class Simulator:
    """Runs circuits on a backend.

    Args:
        backend: "auto", or a name of :func:`qsim_core.kernels.registry.names`.
        precision: "double" (complex128) or "single" (complex64); every result names it.
        threads: at most so many; None takes what affinity, container limits and QSIM_NUM_THREADS allow.
        seed: of all shots; None draws a fresh one, found in ``result.provenance["seed"]``. The k-th run of a simulator
            uses run index k, so that repeated runs differ and a repeated script does not.

    Safe to use from several threads at once, and picklable.

    >>> result = Simulator(seed=1).run(Circuit(2).h(0).cx(0, 1).measure_all(), shots=100)
    >>> sorted(result.counts), sum(result.counts.values())
    (['00', '11'], 100)
    """

    def __init__(
        self,
        backend: str = "auto",
        precision: Precision | str = "double",
        threads: int | None = None,
        seed: int | None = None,
    ) -> None:
        self._backend = registry.backend(backend)
        self.precision = Precision.of(precision)
        self.threads = available_threads() if threads is None else validation.check_count("threads", threads, least=1)
        self.seed = RandomSource(fresh_seed() if seed is None else seed).seed
        self._next_run = 0
        self._lock = threading.Lock()

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._backend.name

    @overload
    def run(self, circuits: Runnable, **options: Any) -> Result: ...
    @overload
    def run(self, circuits: Sequence[Runnable], **options: Any) -> list[Result]: ...

    def run(self, circuits: Runnable | Sequence[Runnable], **options: Any) -> Result | list[Result]:
        """Run one circuit, or each of a list.

        Args:
            circuits: a Circuit, a Program, or a list of them.
            **options: see :meth:`CompiledCircuit.run`.

        Raises:
            MemoryBudgetError: before anything is allocated, if the run does not fit.
            ParameterError: for missing or unknown parameters.
            UnsupportedError: for what this version does not do; never silently ignored.
        """
        if isinstance(circuits, Circuit | Program):
            return CompiledCircuit(circuits, self).run(**options)
        if isinstance(circuits, str) or not isinstance(circuits, Iterable):
            raise ParameterError(expected("circuit", RUNNABLE, repr(circuits)[:80]))
        return [CompiledCircuit(circuit, self).run(**options) for circuit in circuits]

    def compile(self, circuit: Runnable) -> CompiledCircuit:
        """Return the circuit ready to run many times with other parameters."""
        return CompiledCircuit(circuit, self)

    def _claim_run(self) -> int:
        with self._lock:
            self._next_run += 1
            return self._next_run - 1

    def __getstate__(self) -> dict[str, Any]:
        names = ("precision", "threads", "seed", "_next_run")
        return {"backend": self.backend, **{name: getattr(self, name) for name in names}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._backend = registry.backend(state.pop("backend"))
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Simulator({self.backend!r}, {self.precision.value!r}, threads={self.threads}, seed={self.seed})"


def compile(circuit: Runnable, **options: Any) -> CompiledCircuit:
    """Return a circuit ready to run many times; options are those of :class:`Simulator`.

    >>> import math
    >>> from qsim import Parameter
    >>> rotated = compile(Circuit(1).rx(Parameter("a"), 0), seed=0)
    >>> rotated.run([math.pi / 3], observables="Z0").expectations.round(12)
    array([0.5])
    """
    return CompiledCircuit(circuit, Simulator(**options))
