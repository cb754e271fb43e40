"""QsimBackend: ``run`` circuits, and everything Qiskit does with a BackendV2."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.exceptions import QiskitError
from qiskit.providers import BackendV2, Options
from qiskit.result import Result
from qiskit.result.models import ExperimentResult
from qiskit.transpiler import Target

import qsim_core
from qsim import result as ours
from qsim.simulator import Simulator
from qsim_core.errors import expected
from qsim_core.random import fresh_seed
from qsim_core.resources import available_threads

from .errors import qiskit_errors
from .job import QsimJob
from .result import experiment_result
from .saves import read_saves
from .target import make_target
from .translate import Translated, translate

__all__ = ["QsimBackend"]

#: Amplitudes to touch, in all shots, up to which a job costs less than to hand it to another thread.
_AT_ONCE = 2**22


class QsimBackend(BackendV2):
    """The simulator as a backend.

    Options, given here, to :meth:`set_options` or to :meth:`run`:

    * ``shots``: of every circuit that measures (1024);
    * ``memory``: whether results keep every shot in order (False);
    * ``seed_simulator``: of the shots; None draws a fresh one for every run;
    * ``precision``: "double" or "single";
    * ``threads``: at most so many; None takes what the process may use;
    * ``backend``: name of the engine, "auto" takes the fastest.

    Raises:
        QiskitError: for an option that does not exist or has a wrong value.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(name="qsim", description="qsim state-vector simulator", backend_version=qsim_core.__version__)
        self._target: Target | None = None
        self._available: int | None = None
        self.set_options(**options)

    @property
    def target(self) -> Target:
        """All gates and control flow on all qubits."""
        if self._target is None:
            self._target = make_target()
        return self._target

    @property
    def max_circuits(self) -> None:
        """There is no limit on the circuits of a run."""
        return None

    @classmethod
    def _default_options(cls) -> Options:
        return Options(shots=1024, memory=False, seed_simulator=None, precision="double", threads=None, backend="auto")

    def set_options(self, **fields: Any) -> None:
        """Change options for all runs to come."""
        self._options.update_options(**self._checked(fields))

    def run(self, run_input: QuantumCircuit | Iterable[QuantumCircuit], **options: Any) -> QsimJob:
        """Run circuits whose parameters are all bound; return the job.

        Circuits need no transpiling: gates without a native form are unrolled by their definitions.

        Raises:
            QiskitError: for what can't be run, before anything is.
        """
        chosen = {**self._options.__dict__, **self._checked(options)}
        circuits = [run_input] if isinstance(run_input, QuantumCircuit) else list(run_input)
        for circuit in circuits:
            if not isinstance(circuit, QuantumCircuit):
                raise QiskitError(expected("circuit to run", "a QuantumCircuit", repr(circuit)[:80]))
            if circuit.parameters:
                names = ", ".join(parameter.name for parameter in circuit.parameters)
                remedy = "Use assign_parameters(), SamplerV2 or EstimatorV2."
                raise QiskitError(expected(f"circuit {circuit.name}", "all parameters bound", f"free {names}", remedy))
        translated = [translate(circuit) for circuit in circuits]
        seed = fresh_seed() if chosen["seed_simulator"] is None else chosen["seed_simulator"]
        with qiskit_errors():
            threads = self._threads if chosen["threads"] is None else chosen["threads"]
            simulator = Simulator(chosen["backend"], chosen["precision"], threads, seed)

        def work(job_id: str, stop: threading.Event) -> Result:
            started = time.perf_counter()
            with qiskit_errors():
                results = [
                    _run_one(circuit, programs, simulator, chosen["shots"], chosen["memory"], stop)
                    for circuit, programs in zip(circuits, translated, strict=True)
                ]
            return Result(
                results=results,
                backend_name=self.name,
                backend_version=qsim_core.__version__,
                job_id=job_id,
                success=True,
                date=datetime.datetime.now().isoformat(),
                status="COMPLETED",
                time_taken=time.perf_counter() - started,
            )

        job = QsimJob(self, work)
        job.submit(at_once=chosen["shots"] * sum(circuit.work for circuit in translated) <= _AT_ONCE)
        return job

    @property
    def _threads(self) -> int:
        """Threads the process may use; the system is asked once."""
        if self._available is None:
            self._available = available_threads()
        return self._available

    def _checked(self, options: dict[str, Any]) -> dict[str, Any]:
        """Return options after a check of their names and values; the engine checks precision, threads and backend."""
        known = self._options.__dict__  # all of them, whatever was set
        for name, value in options.items():
            if name not in known:
                raise QiskitError(expected("option", ", ".join(known), repr(name)))
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if name == "shots" and not (whole and value > 0):
                raise QiskitError(expected("shots", "a whole number, at least 1", repr(value)))
            if name == "seed_simulator" and value is not None and not (whole and 0 <= value < 2**64):
                raise QiskitError(expected("seed_simulator", "None or a whole number from 0 to 2^64-1", repr(value)))
            if name == "memory" and not isinstance(value, bool | np.bool_):
                raise QiskitError(expected("memory", "True or False", repr(value)))
        return options

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_target": None, "_available": None}  # found again where they are wanted

    def __repr__(self) -> str:
        return f"QsimBackend(precision={self._options.precision!r})"


def _run_one(
    circuit: QuantumCircuit,
    translated: Translated,
    simulator: Simulator,
    shots: int,
    memory: bool,
    stop: threading.Event,
) -> ExperimentResult:
    """Run the parts of one circuit on one state and read what it saves between them."""
    started = time.perf_counter()
    saved: dict[str, Any] = {}
    result: ours.Result | None = None
    readings = ["samples" if memory else "counts"]
    for k, part in enumerate(translated.circuits):
        saves = [save for save in translated.saves if save.part == k]
        compiled = simulator.compile(part)
        last = k == len(translated.circuits) - 1
        sampled = (last and translated.measures) or not compiled.plan().straight_line
        result = compiled.run(
            shots=shots if sampled else None,
            outputs=(["state"] if saves or not last else []) + (readings if sampled else []),
            initial_state=None if result is None else result.state_vector,
            cancel=stop,
        )
        saved |= read_saves(saves, result)
    assert result is not None
    return experiment_result(
        circuit,
        result if translated.measures else None,
        shots=shots,
        memory=memory,
        saved=saved,
        seed=simulator.seed,
        time_taken=time.perf_counter() - started,
        metadata={"method": "statevector", **result.provenance},
    )
