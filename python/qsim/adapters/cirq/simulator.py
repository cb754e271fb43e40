"""The simulator: what users of Cirq call. Whole circuits run in the engine, what only Cirq can do in Cirq."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cirq
import numpy as np

from qsim.observables import PauliSum
from qsim_core.errors import QsimError

from .engine import Engine, Start
from .records import records
from .state import QsimState, TrialResult
from .translate import NotNative, Walker

__all__ = ["QsimSimulator"]

#: Up to so many qubits a circuit of independent parts is run as one where its parts are not asked for.
_TOGETHER = 20

#: Up to so many sets of parameters, a sweep in which one is whole everywhere is resolved set by set.
_EXACTLY = 4


class QsimSimulator(cirq.Simulator):
    """State-vector simulator with all interfaces of ``cirq.Simulator``.

    Args:
        dtype: ``np.complex64`` or ``np.complex128``.
        noise: a noise model; mixtures of gates run in the engine, other channels as Cirq does it.
        seed: of all samples, as Cirq takes it.
        split_untangled_states: keep qubits that no gate joins in states of their own.
        backend: "auto", or a name of :func:`qsim_core.kernels.registry.names`.
        threads: at most so many; None takes those available.

    Raises:
        ValueError: for other dtypes, an unknown backend or a number of threads below one.

    >>> import cirq, sympy
    >>> q = cirq.LineQubit(0)
    >>> circuit = cirq.Circuit(cirq.X(q) ** sympy.Symbol("t"), cirq.measure(q, key="m"))
    >>> results = QsimSimulator(seed=1).run_sweep(circuit, [{"t": 0.0}, {"t": 1.0}], repetitions=3)
    >>> [str(result) for result in results]
    ['m=000', 'm=111']
    """

    def __init__(
        self,
        *,
        dtype: Any = np.complex64,
        noise: Any = None,
        seed: Any = None,
        split_untangled_states: bool = True,
        backend: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__(dtype=dtype, noise=noise, seed=seed, split_untangled_states=split_untangled_states)
        try:
            self._engine = Engine(backend, dtype, threads)
        except QsimError as error:
            raise ValueError(str(error)) from error

    @property
    def native_runs(self) -> int:
        """How often the engine has run since the simulator was made."""
        return self._engine.runs

    # --- samples ----------------------------------------------------------------------------------------------------

    def run_sweep_iter(self, program: Any, params: Any, repetitions: int = 1) -> Iterator[Any]:
        """Yield the samples of each set of parameters; all of them are one run where the engine takes the circuit."""
        if not program.has_measurements() or repetitions == 0:
            yield from super().run_sweep_iter(program, params, repetitions)
            return
        resolvers = list(cirq.to_resolvers(params))
        try:
            walker = self._walked(program, sorted(program.all_qubits()))
            self._check_width(walker)
            circuit, columns = walker.lowered(), self._columns(walker, resolvers)
        except NotNative:
            circuit = None
        if circuit is None:
            yield from super().run_sweep_iter(program, resolvers, repetitions)
            return
        words = self._engine.samples(circuit, columns, repetitions, self._prng)
        if not circuit.atoms:  # the same circuit again for each
            words += [self._engine.samples(circuit, {}, repetitions, self._prng)[0] for _ in resolvers[1:]]
        for resolver, part in zip(resolvers, words, strict=True):
            found = records(part, walker.measured, walker.num_clbits, self._prng)
            yield cirq.ResultDict(params=resolver, records=found)

    # --- states -----------------------------------------------------------------------------------------------------

    def simulate_sweep_iter(
        self, program: Any, params: Any, qubit_order: Any = cirq.QubitOrder.DEFAULT, initial_state: Any = None
    ) -> Iterator[Any]:
        """Yield the final state of each set of parameters; small ones of a sweep run as one batch."""
        resolvers = list(cirq.to_resolvers(params))
        try:
            qubits = cirq.QubitOrder.as_qubit_order(qubit_order).order_for(program.all_qubits())
            start = self._start(initial_state, qubits)
            walker = self._walked(program, qubits, unitary=True)
            if self._split_untangled_states and isinstance(start, int) and not walker.connected():
                raise NotNative("independent qubits have states of their own")
            circuit, columns = walker.lowered(), self._columns(walker, resolvers)
        except NotNative:
            circuit = None
        if circuit is None:
            yield from super().simulate_sweep_iter(program, resolvers, qubit_order, initial_state)
            return
        if len(resolvers) <= _EXACTLY and any((column % 1 == 0).all() for column in columns.values()):
            for resolver in resolvers:  # powers that are whole become gates without rounding
                resolved = cirq.resolve_parameters(program, resolver)
                for result in self.simulate_sweep_iter(resolved, {}, qubits, initial_state):
                    yield self._create_simulator_trial_result(resolver, {}, result._final_simulator_state)
            return
        rounds = 1 if circuit.atoms else len(resolvers)
        states = (state for _ in range(rounds) for state in self._engine.states(circuit, columns, start))
        for resolver, state in zip(resolvers, states, strict=True):
            tensor = np.asarray(state.amps).reshape((2,) * len(qubits))
            final = QsimState.holding(tensor, self._engine, qubits, self._prng)
            yield self._create_simulator_trial_result(resolver, {}, final)

    def simulate_expectation_values_sweep_iter(
        self,
        program: Any,
        observables: Any,
        params: Any,
        qubit_order: Any = cirq.QubitOrder.DEFAULT,
        initial_state: Any = None,
        permit_terminal_measurements: bool = False,
    ) -> Iterator[list[float]]:
        """Yield the exact values of the observables for each set of parameters; the states are never kept."""
        resolvers = list(cirq.to_resolvers(params))
        try:
            qubits = cirq.QubitOrder.as_qubit_order(qubit_order).order_for(program.all_qubits())
            start = self._start(initial_state, qubits)
            walker = self._walked(program, qubits, unitary=True)
            self._check_width(walker)
            listed = observables if isinstance(observables, list) else [observables]
            sums = [_pauli_sum(cirq.PauliSum.wrap(observable), walker.qubit_of) for observable in listed]
            circuit, columns = walker.lowered(), self._columns(walker, resolvers)
        except NotNative:
            circuit = None
        if circuit is None:
            yield from super().simulate_expectation_values_sweep_iter(
                program, observables, resolvers, qubit_order, initial_state, permit_terminal_measurements
            )
            return
        values = self._engine.expectations(circuit, columns, sums, start).tolist()
        yield from values if circuit.atoms else (list(values[0]) for _ in resolvers)

    def _create_simulator_trial_result(self, params: Any, measurements: Any, final_simulator_state: Any) -> TrialResult:
        return TrialResult(params, measurements, final_simulator_state)

    def _create_partial_simulation_state(self, initial_state: Any, qubits: Sequence[Any], classical_data: Any) -> Any:
        if isinstance(initial_state, cirq.StateVectorSimulationState):
            return initial_state
        shape = tuple([qubit.dimension for qubit in qubits])
        if isinstance(initial_state, int) and 0 <= initial_state < math.prod(shape):
            tensor = np.zeros(shape, dtype=self._dtype)
            tensor.reshape(-1)[initial_state] = 1
            return QsimState.holding(tensor, self._engine, qubits, self._prng, classical_data)
        return QsimState(
            self._engine,
            qubits=qubits,
            prng=self._prng,
            classical_data=classical_data,
            initial_state=initial_state,
            dtype=self._dtype,
        )

    # --- circuits ---------------------------------------------------------------------------------------------------

    def _core_iterator(
        self, circuit: Any, sim_state: Any, all_measurements_are_terminal: bool = False
    ) -> Iterator[Any]:
        """Hand the operations of a circuit, with noise, to a walker, or let Cirq's loop act on a state."""
        if not isinstance(sim_state, Walker):
            return super()._core_iterator(circuit, sim_state, all_measurements_are_terminal)
        if self.noise is cirq.NO_NOISE:
            sim_state.record(circuit.all_operations())
        else:
            for moment in self.noise.noisy_moments(circuit, sorted(circuit.all_qubits())):
                sim_state.record(cirq.flatten_to_ops(moment))
        return iter(())

    def _walked(self, program: Any, qubits: Sequence[Any], *, unitary: bool = False) -> Walker:
        """Walk over a circuit; without noise up to its first measurement and then the rest, as Cirq's own loop does."""
        walker = Walker.over(qubits, unitary=unitary)
        if unitary or self.noise is not cirq.NO_NOISE:
            self._core_iterator(program, walker)
            return walker
        first = next((k for k, moment in enumerate(program) if any(map(cirq.is_measurement, moment))), len(program))
        self._core_iterator(program[:first], walker)
        self._core_iterator(program[first:], walker)
        return walker

    def _columns(self, walker: Walker, resolvers: Sequence[Any]) -> dict[str, Any]:
        try:
            return walker.angle.columns(resolvers)
        except (TypeError, ValueError) as error:
            raise NotNative(str(error)) from error

    def _check_width(self, walker: Walker) -> None:
        """Leave wide circuits of independent parts to Cirq's loop, which needs memory for each part only."""
        if self._split_untangled_states and len(walker.qubit_of) > _TOGETHER and not walker.connected():
            raise NotNative("independent qubits have states of their own")

    def _start(self, initial_state: Any, qubits: Sequence[Any]) -> Start:
        size = 2 ** len(qubits)
        if initial_state is None:
            return 0
        if isinstance(initial_state, cirq.SimulationStateBase):
            raise NotNative("a state of Cirq's to go on with")
        if isinstance(initial_state, int):
            if not 0 <= initial_state < size:
                raise NotNative(f"basis state {initial_state}")
            return initial_state
        if not isinstance(initial_state, np.ndarray):
            return cirq.to_valid_state_vector(initial_state, qid_shape=(2,) * len(qubits), dtype=self._dtype)
        if initial_state.size != size:
            raise NotNative(f"an initial state of {initial_state.size} amplitudes")
        return initial_state


def _pauli_sum(observable: Any, qubit_of: Mapping[Any, int]) -> PauliSum:
    """Return a sum with real coefficients on qubits of the circuit."""
    rows = []
    for term in observable:
        coefficient = complex(term.coefficient)
        if coefficient.imag or not all(qubit in qubit_of for qubit in term.qubits):
            raise NotNative(f"{term!r}: a coefficient that is not real or a qubit that is not in the circuit")
        letters = "".join(str(pauli) for pauli in term.values())
        rows.append((letters, [qubit_of[qubit] for qubit in term], coefficient.real))
    return PauliSum(rows)
