"""QsimBackend: runs Qibo's circuits whole, and everything else as its NumPy backend does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
from qibo import gates
from qibo.backends import NumpyBackend
from qibo.config import raise_error
from qibo.result import MeasurementOutcomes, QuantumState

import qsim_core
from qsim.observables import PauliSum
from qsim.simulator import Simulator
from qsim_core import StateVector
from qsim_core.errors import expected
from qsim_core.kernels import registry
from qsim_core.kernels.control import RunControl
from qsim_core.readout import expectation_pauli
from qsim_core.resources import available_threads, check_memory
from qsim_core.types import Amps, Precision
from qsim_core.validation import check_count

from .errors import qibo_errors, unsupported
from .result import Distribution, StateResult
from .translate import Translator

__all__ = ["MetaBackend", "QsimBackend"]


class QsimBackend(NumpyBackend):
    """The simulator as a backend of Qibo.

    States are arrays of NumPy. Shots follow NumPy's global generator, as in Qibo's own backends: ``backend.set_seed``
    or ``numpy.random.seed`` fixes them.

    Args:
        engine: name of the engine; "auto" takes the fastest on the CPU.
        dtype: "complex128" or "complex64".
        threads: at most so many; None takes what the process may use.

    Raises:
        ValueError: for a dtype that is not complex.
        RuntimeError: for an engine that can't be used here.
    """

    def __init__(self, engine: str = "auto", dtype: str = "complex128", threads: int | None = None) -> None:
        super().__init__()
        self.name = "qsim"
        # Qibo reads ``platform`` as the library whose arrays these are, and picks helpers (of Clifford circuits) by it.
        self.platform = "numpy"
        self.versions["qsim"] = qsim_core.__version__
        with qibo_errors():
            self.engine_name = registry.backend(engine).name
        self.set_dtype(dtype)
        self.set_threads(available_threads() if threads is None else threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.engine_name, self.dtype, self.nthreads)

    def __repr__(self) -> str:
        return f"qsim ({self.engine_name})"

    def set_dtype(self, dtype: str) -> None:
        """Set the precision: "complex128" or "complex64"."""
        name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
        if name not in ("complex128", "complex64"):
            raise_error(ValueError, expected("dtype", "'complex128' or 'complex64'", repr(dtype)))
        super().set_dtype(name)

    def set_threads(self, nthreads: int) -> None:
        """Set how many threads a run may use."""
        if isinstance(nthreads, bool) or not isinstance(nthreads, int) or nthreads < 1:
            raise_error(ValueError, expected("threads", "a whole number, at least 1", repr(nthreads)))
        self.nthreads = nthreads

    # --- circuits -----------------------------------------------------------------------------------------------

    def execute_circuit(self, circuit: Any, initial_state: Any = None, nshots: int = 1000) -> Any:
        """Run a circuit from |0…0⟩, from a state vector, or after another circuit.

        Raises:
            NotImplementedError: for density matrices, channels that are no mixtures of unitaries, and callbacks in
                circuits that are run once for every shot.
        """
        self._check(circuit)
        if isinstance(initial_state, type(circuit)):
            self._check(initial_state)
            return self.execute_circuit(initial_state + circuit, None, nshots)
        self._validate_nqubits(circuit.nqubits)
        if initial_state is not None and tuple(np.shape(initial_state)) != (2**circuit.nqubits,):
            shape = np.shape(initial_state)
            raise_error(ValueError, expected("initial state", f"shape {(2**circuit.nqubits,)}", f"shape {shape}"))
        with qibo_errors():
            if circuit.measurements:
                check_count("shots", nshots, least=1)
            if circuit.repeated_execution:
                result = self._run_dynamic(circuit, initial_state, nshots)
            else:
                result = self._run_straight(circuit, initial_state, nshots)
        circuit._final_state = result
        return result

    def execute_circuits(
        self,
        circuits: Sequence[Any],
        initial_states: Any = None,
        nshots: int | None = None,
        processes: int | None = None,
    ) -> list[Any]:
        """Run circuits one after the other, each with all threads."""
        states = [None] * len(circuits) if initial_states is None else initial_states
        shots = 1000 if nshots is None else nshots
        return [self.execute_circuit(*pair, shots) for pair in zip(circuits, states, strict=True)]

    def execute_circuit_repeated(self, circuit: Any, nshots: int, initial_state: Any = None) -> Any:
        """Run a circuit with measurements in its middle, or with noise: all its shots at once."""
        return self.execute_circuit(circuit, initial_state, nshots)

    def _check(self, circuit: Any) -> None:
        if circuit.density_matrix:
            remedy = "Leave density_matrix out: noise is sampled. Or use qibo.set_backend('numpy')."
            unsupported("circuit", "a state vector", "density_matrix=True", remedy)
        if circuit.accelerators:
            unsupported(
                "accelerators", "none", circuit.accelerators, "Choose a device: set_backend('qsim', platform=…)."
            )

    def _simulator(self) -> Simulator:
        """Return what runs a circuit; its seed comes from NumPy's global generator, as all of Qibo's randomness."""
        return Simulator(self.engine_name, Precision.of(self.dtype), self.nthreads, self._seed())

    @staticmethod
    def _seed() -> int:
        return int(np.random.randint(2**63 - 1))

    def _run_straight(self, circuit: Any, initial_state: Any, nshots: int) -> Any:
        state = self._allocate(circuit.nqubits, initial_state)
        translator, simulator = Translator(circuit.nqubits, self), self._simulator()
        parts: Any = [(False, circuit.queue)]
        if any(issubclass(kind, gates.CallbackGate) for kind in set(map(type, circuit.queue))):
            parts = groupby(circuit.queue, lambda item: isinstance(item, gates.CallbackGate))
        for is_callback, queue in parts:
            if is_callback:
                for item in queue:
                    item.apply(self, np.asarray(state), circuit.nqubits)
            else:
                simulator.compile(translator.circuit(queue)).apply(state)
        if not circuit.measurements:
            return QuantumState(state.amps[0] if isinstance(state.amps, np.ndarray) else np.asarray(state), self)
        qubits = translator.wires(q for item in circuit.measurements for q in item.target_qubits)
        return StateResult(state, circuit.measurements, self, nshots, Distribution(state, qubits, self.nthreads))

    def _allocate(self, num_qubits: int, initial_state: Any) -> StateVector:
        backend, precision = registry.backend(self.engine_name), Precision.of(self.dtype)
        check_memory(num_qubits, 1, precision)
        state = StateVector(backend.allocate(1, num_qubits, precision), backend)
        if initial_state is None:
            backend.fill_zero_state(state.amps)
        else:
            state.amps[0] = initial_state
        return state

    def _run_dynamic(self, circuit: Any, initial_state: Any, nshots: int) -> Any:
        if not circuit.measurements:
            remedy = "Add gates.M on the qubits to read at the end."
            problem = "collapsing measurements or noise only"
            raise_error(RuntimeError, expected("circuit run shot by shot", "a measurement at its end", problem, remedy))
        translator = Translator(circuit.nqubits, self, dynamic=True)
        compiled = self._simulator().compile(translator.circuit(circuit.queue))
        found = compiled.run(shots=nshots, initial_state=initial_state)
        samples = found.samples
        for item in circuit.queue:
            if isinstance(item, gates.M) and item.collapse:
                item.result.reset()
                item.result.register_samples(samples[:, translator.bits[item.result]].astype(np.int64))
        columns = [bit for item in circuit.measurements for bit in translator.bits[item.result]]
        result = MeasurementOutcomes(
            circuit.measurements, backend=self, samples=samples[:, columns].astype(np.int64), nshots=nshots
        )
        rows, counts = np.unique(samples[:, columns], axis=0, return_counts=True)
        words = ("".join(map(str, row)) for row in rows.tolist())
        result._repeated_execution_frequencies = Counter(dict(zip(words, counts.tolist(), strict=True)))
        return result

    # --- reading states -----------------------------------------------------------------------------------------

    def calculate_probabilities(self, state: Any, qubits: Any, nqubits: int, density_matrix: bool = False) -> Any:
        """Return the distribution of qubits; the first is the highest bit of an outcome."""
        found = None if density_matrix else self._as_state(state)
        if found is None:
            return super().calculate_probabilities(state, qubits, nqubits, density_matrix)
        wires = Translator(nqubits, self).wires(qubits)
        return np.asarray(Distribution(found, wires, self.nthreads), dtype=np.abs(state[:1]).dtype)

    def sample_shots(self, probabilities: Any, nshots: int) -> Any:
        """Return outcomes of shots."""
        if isinstance(probabilities, Distribution):
            return probabilities.shots(nshots, self._seed())
        return super().sample_shots(probabilities, nshots)

    def sample_frequencies(self, probabilities: Any, nshots: int) -> Any:
        """Return how often each outcome is seen."""
        if isinstance(probabilities, Distribution):
            return probabilities.counts(nshots, self._seed())
        return super().sample_frequencies(probabilities, nshots)

    def exp_value_observable_symbolic(
        self, circuit: Any, terms: Any, term_qubits: Any, term_coefficients: Any, nqubits: int
    ) -> Any:
        """Return the exact expectation value of a sum of Pauli strings: one pass for strings that flip the same qubits."""
        result = circuit._final_state if circuit._final_state is not None else self.execute_circuit(circuit)
        state = self._as_state(result.state())
        if state is None or nqubits != circuit.nqubits:
            return super().exp_value_observable_symbolic(circuit, terms, term_qubits, term_coefficients, nqubits)
        wires = Translator(nqubits, self).wires
        rows = [
            (letters, wires(qubits), float(np.real(coefficient)))
            for letters, qubits, coefficient in zip(terms, term_qubits, term_coefficients, strict=True)
        ]
        with qibo_errors():
            return expectation_pauli(state, PauliSum(rows).terms, RunControl(self.nthreads))[0]

    def _as_state(self, amplitudes: Amps) -> StateVector | None:
        """Return an array of Qibo's as a state on the engine, without a copy; None for what is not one."""
        fits = isinstance(amplitudes, np.ndarray) and amplitudes.dtype in (np.complex64, np.complex128)
        if not fits or amplitudes.ndim != 1 or not amplitudes.flags.c_contiguous or amplitudes.size < 2:
            return None
        backend = registry.backend(self.engine_name)
        return StateVector(amplitudes[None], backend) if backend.name in registry.AUTO_ORDER else None


class MetaBackend:
    """What Qibo looks for in the package that ``qibo.set_backend`` names."""

    @staticmethod
    def load(platform: str | None = None, dtype: str = "complex128", threads: int | None = None) -> QsimBackend:
        """Return the backend; ``platform`` is the engine it runs on, one of :meth:`list_available`."""
        return QsimBackend("auto" if platform is None else platform, dtype, threads)

    @staticmethod
    def list_available() -> dict[str, bool]:
        """Return which engines can be used here."""
        return {name: registry.availability(name) is None for name in registry.names()}
