"""CompiledCircuit: one circuit ready to run with many sets of parameters. No numerics here."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from qsim_core import __version__, batch, ensembles, executor, validation
from qsim_core.branching import Reading, run_shots
from qsim_core.compiler import compile_program
from qsim_core.errors import ParameterError, PrecisionError, ShapeError, UnsupportedError, expected
from qsim_core.executor import Words
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.light_cone import light_cone
from qsim_core.liveness import least_amplitudes
from qsim_core.mixtures import mixture_weights
from qsim_core.plan import Coefficients, End, Plan
from qsim_core.program import Program, check_written
from qsim_core.random import RandomSource
from qsim_core.resources import check_bytes, check_memory, format_bytes
from qsim_core.rows import Rows
from qsim_core.state import StateVector
from qsim_core.types import Amps, FloatArray, IndexArray, Precision

from . import estimation
from .batch_result import BatchResult
from .circuit import Circuit
from .costs import Costs, costs_of
from .differentiation import Differentiable
from .lowering import Lowered, Params
from .observables import Observable, ObservableLike, PauliSum, as_observables, check_width, expectations
from .parameters import Parameter
from .result import Result

if TYPE_CHECKING:
    from .simulator import Simulator

__all__ = ["RUNNABLE", "CompiledCircuit", "Runnable"]

Runnable: TypeAlias = Circuit | Program

#: What ``Runnable`` is, for messages.
RUNNABLE = "a Circuit, a Program or a list of them"
_PYTHON = sys.version.split()[0]
_OUTPUTS = ("state", "samples", "counts")


class CompiledCircuit(Differentiable):
    """A circuit with its Program; plans are looked up in the cache, values bound on every run."""

    def __init__(self, circuit: Runnable, simulator: Simulator) -> None:
        if isinstance(circuit, Program):
            self.lowered = Lowered(circuit, tuple(Parameter(name) for name in circuit.slots))
        elif isinstance(circuit, Circuit):
            self.lowered = circuit.lowered()
        else:
            raise ParameterError(expected("circuit", RUNNABLE, repr(circuit)[:80]))
        self.simulator = simulator
        self._prepared: dict[str, _Prepared] = {}
        self._again: dict[bool, _Again] = {}  # from |0…0⟩ and from other states

    @property
    def program(self) -> Program:
        """The circuit as structural operations."""
        return self.lowered.program

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, in the order an array of values is read."""
        return self.lowered.parameters

    def plan(self, initial: str = "zero") -> Plan:
        """Return the plan of this circuit for its simulator."""
        return self._prepare(initial).plan

    def _prepare(self, initial: str) -> _Prepared:
        """Return what all runs from ``initial`` share."""
        found = self._prepared.get(initial)
        if found is None or found.plan.precision is not self.simulator.precision:
            found = self._prepared[initial] = _Prepared.of(self.program, self.simulator, initial)
        return found

    def _light_cone(self, observables: Sequence[Observable]) -> tuple[CompiledCircuit, list[Observable]]:
        """Return the part of the circuit that matters to observables, and them on its qubits."""
        used = {qubit for observable in observables for qubit in observable.support()}
        program, qubits = light_cone(self.program, used)
        place = {qubit: k for k, qubit in enumerate(qubits)}
        pruned = CompiledCircuit(program, self.simulator)
        pruned.lowered = replace(self.lowered, program=program)
        return pruned, [observable.relabelled(place) for observable in observables]

    def costs(self, params: Params = None, *, measure: bool = False) -> Costs:
        """Return what a run takes: passes, bytes, arithmetic and the time predicted from the machine's constants.

        The constants are those of ``qsim calibrate`` where it was called, else defaults for the processor.

        Args:
            params: values; without them parameters get values of no special meaning.
            measure: run the circuit once, and tell the time of every group of passes too.

        Raises:
            UnsupportedError: to measure a circuit that measures, resets or branches before its end.
            MemoryBudgetError: to measure what does not fit in memory.

        >>> from qsim import Circuit, compile
        >>> costs = compile(Circuit(20).h(range(20))).costs()
        >>> costs.bytes > 16 * 2**20, costs.flops > 20 * 2**20, costs.predicted_seconds > 0
        (True, True, True)
        """
        values = None if params is None and self.parameters else self.lowered.slots(params)
        if values is not None and len(values) != 1:
            raise ShapeError(expected("parameters of costs()", "one set", len(values)))
        simulator = self.simulator
        slots = None if values is None else values[0]
        return costs_of(self.program, self.plan(), simulator._backend, simulator.threads, slots, measure)

    def explain(self, params: Params = None, *, measure: bool = False) -> str:
        """Return the plan as text, with the :meth:`costs` of every group of passes that run together, and how shots run."""
        costs = self.costs(params, measure=measure)
        return "\n".join([costs.plan.explain(), *(f"  {line}" for line in (*costs.lines(), *self._rule_of_shots()))])

    def _rule_of_shots(self) -> tuple[str, ...]:
        """Return what runs the shots of a circuit that is not a straight line."""
        plan = self.plan()
        if plan.straight_line:
            return ()
        state = self.simulator.precision.bytes_per_amplitude << plan.num_qubits
        return (
            "shots run as branches: one state per distinct history, histories side by side;",
            "where they would hold more than max_states, or what is free, the rest runs as trajectories:",
            f"from the start, in batches of at most max(1, memory // {format_bytes(2 * state)}) histories",
        )

    def run(
        self,
        params: Params = None,
        *,
        shots: int | None = None,
        observables: Iterable[ObservableLike] | ObservableLike | None = None,
        outputs: Sequence[str] | None = None,
        initial_state: npt.ArrayLike | None = None,
        max_states: int | None = None,
        prune: bool = False,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> Result:
        """Run with one set of parameters.

        Args:
            params: values by name, or in the order of :attr:`parameters`.
            shots: how often to sample the classical bits; None gives the exact state only.
            observables: Pauli sums or Hermitian matrices; their exact expectation values are ``result.expectations``.
            outputs: "state" keeps the final state (the default without shots), "samples" the shots; "counts" without
                "samples" keeps how often each outcome was seen and never makes the list of shots.
            prune: leave out what cannot change the observables (their light cone), and simulate its qubits only: for
                runs of a circuit for its observables alone, without shots, states or initial states.
            initial_state: normalised amplitudes to start from instead of |0…0⟩: an array, a StateVector, or what exports
                DLPack. They are copied once, into the state of the run; :meth:`apply` runs on your memory itself.
            max_states: how many states to hold at once where a circuit measures in its middle; None: as many as its
                histories need and memory allows, at most 1 + log2(shots). It changes time, never results.
            seconds: deadline of the run; past it InterruptedRunError is raised.
            cancel: an event that stops the run when set.
            progress: called with the fraction done, 0 to 1.
        """
        if prune:
            if observables is None or shots is not None or initial_state is not None or outputs:
                allowed = "a run with observables, without shots, outputs and initial_state"
                raise ParameterError(expected("prune", allowed, "another run"))
            wanted = as_observables(observables)
            for observable in wanted:
                check_width(observable, self.program.num_qubits)
            pruned, inside = self._light_cone(wanted)
            return pruned.run(params, observables=inside, seconds=seconds, cancel=cancel, progress=progress)
        control = RunControl.within(self.simulator.threads, cancel, seconds, progress)
        results = self._run(params, shots, observables, outputs, initial_state, max_states, control)
        if len(results) != 1:
            raise ShapeError(expected("parameters of run()", "one set", f"{len(results)}", "Use run_batch()."))
        return results[0]

    def apply(
        self,
        state: StateVector,
        params: Params = None,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Run the gates in place on a state, such as the memory of an array with :meth:`StateVector.over`.

        Row b of several sets of parameters acts on row b of the state. Measurements at the end of the circuit are left
        out. The amplitudes need not be normalised. A state that was :meth:`~StateVector.reset` starts from |0…0⟩ as runs do:
        run after run in the same memory, which is the fastest way.

        Raises:
            ShapeError: for a state of another number of qubits.
            UnsupportedError: for a circuit that measures, resets or branches before its end.
            PrecisionError: for a state of another precision than the simulator's.
            StatePoisonedError: by every later use of a state whose run was interrupted.

        >>> from qsim import Circuit, StateVector, compile
        >>> memory = np.array([1, 0, 0, 0], dtype=np.complex128)
        >>> compile(Circuit(2).h(0).cx(0, 1)).apply(StateVector.over(memory))
        >>> abs(memory).round(3)
        array([0.707, 0.   , 0.   , 0.707])
        """
        simulator, from_zero = self.simulator, state.is_zero
        if params is None and seconds is None and cancel is None and progress is None:
            again = self._again.get(from_zero)
            if (
                again is not None
                and state.num_qubits == again.num_qubits
                and state.backend is again.backend
                and state.precision is again.precision is simulator.precision
                and simulator.threads == again.control.threads
            ):
                again.execution(again.coefficients, state, again.control)
                return
        program = self.program
        if state.num_qubits != program.num_qubits:
            raise ShapeError(expected("qubits of the state", f"{program.num_qubits}", state.num_qubits))
        if state.precision is not simulator.precision:
            raise PrecisionError(expected("precision of the state", simulator.precision.value, state.precision.value))
        if state.backend.name != simulator.backend:
            raise ParameterError(expected("backend of the state", simulator.backend, state.backend.name))
        prepared = self._prepare("zero" if from_zero else "given")
        control = RunControl.within(simulator.threads, cancel, seconds, progress)
        coefficients = prepared.coefficients(program, self.lowered.slots(params))
        execution = prepared.execution(state.backend)
        execution(coefficients, state, control)
        control.report(1.0)
        if not program.slots and not control.watched:
            self._again[from_zero] = _Again(
                execution, coefficients, control, state.num_qubits, state.backend, state.precision
            )

    def run_batch(
        self,
        params: Params = None,
        *,
        shots: int | None = None,
        observables: Iterable[ObservableLike] | ObservableLike | None = None,
        outputs: Sequence[str] | None = None,
        initial_state: npt.ArrayLike | None = None,
        max_states: int | None = None,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> BatchResult:
        """Run with many sets of parameters, or from many initial states; row b of everything belongs together.

        Args:
            params: an array of shape (B, P), or values of shape (B,) by name; one set serves all initial states.
            shots: of every row.
            observables: as in :meth:`run`; ``expectations`` has one column for each.
            outputs: as in :meth:`run`, but the default keeps the states only where nothing else is asked for. States
                that are not kept are never all held at once.
            initial_state: of shape (2^n,) for all, or (B, 2^n).
            max_states: as in :meth:`run`.
            seconds: deadline of the whole batch.
            cancel: an event that stops the batch when set.
            progress: called with the fraction done, 0 to 1.

        A row's numbers don't depend on the batch it is in, nor on threads; they may differ by rounding from those of
        :meth:`run`, which works on a single state in another order.

        >>> from qsim import Circuit, Parameter, compile
        >>> compiled = compile(Circuit(2).ry(Parameter("a"), 0).cx(0, 1))
        >>> compiled.run_batch(np.array([[0.0], [np.pi / 3]]), observables="Z0").expectations.round(12)
        array([[1. ],
               [0.5]])
        """
        prepared = self._prepare("zero" if initial_state is None else "given")
        plan = prepared.plan
        control = RunControl.within(self.simulator.threads, cancel, seconds, progress)
        if not plan.straight_line:
            return BatchResult.of(self._run(params, shots, observables, outputs, initial_state, max_states, control))
        started = time.perf_counter()
        simulator, program = self.simulator, self.program
        backend, precision = simulator._backend, simulator.precision
        wanted = as_observables(observables)
        counted = _counts_only(outputs)
        keep_states = _check_outputs(shots, outputs) and (outputs is not None or not wanted)
        for observable in wanted:
            check_width(observable, program.num_qubits)
        if shots is not None:
            _check_measures(plan)
        slots = self.lowered.slots(params)
        start = None if initial_state is None else validation.check_states(initial_state, program.num_qubits)
        if start is not None and len(start) > 1 and len(slots) == 1:
            slots = np.repeat(slots, len(start), axis=0)
        if start is not None and len(start) not in (1, len(slots)):
            raise ShapeError(expected("initial states", f"1 or {len(slots)}, one per set of parameters", len(start)))
        count = len(slots)
        held = count if keep_states else batch.part_rows(plan, count)
        check_memory(program.num_qubits, held, precision, prepared.scratch, memory_free=backend.memory_free)
        planned = time.perf_counter()
        run = simulator._claim_run()
        states = backend.allocate(count, program.num_qubits, precision) if keep_states else None
        sums = [observable for observable in wanted if isinstance(observable, PauliSum)]
        others = {k: observable for k, observable in enumerate(wanted) if not isinstance(observable, PauliSum)}
        values = np.empty((count, len(wanted)))
        samples: Words | None = None
        tallies: list[tuple[Words, IndexArray]] = []
        if shots is not None and not counted:
            num_words = executor.no_bits(0, program.num_clbits).shape[1]
            check_bytes(8 * count * shots * num_words, "packed samples of a batch", "Use outputs=['counts'].")
            samples = np.empty((count, shots, num_words), dtype=np.uint64)

        def visit(first: int, state: StateVector) -> None:
            for k, observable in others.items():
                values[first : first + state.batch, k] = observable.expectation(state, control)
            if shots is None:
                return
            source = RandomSource(simulator.seed, run, first)
            if samples is None:
                tallies.extend(executor.count_rows(plan, state, shots, source, control))
            else:
                samples[first : first + state.batch] = executor.sample_rows(plan, state, shots, source, control)

        found = batch.run_batch(
            program,
            plan,
            slots,
            backend,
            control,
            start=start,
            terms=[observable.terms for observable in sums],
            states=states,
            visit=visit if others or shots is not None else None,
        )
        if others:
            values[:, [k for k in range(len(wanted)) if k not in others]] = found
        else:
            values = found
        control.report(1.0)
        return BatchResult(
            program.num_qubits,
            program.num_clbits,
            shots,
            self._provenance(prepared, run, planned - started, time.perf_counter() - planned),
            values,
            samples,
            None if states is None else StateVector(states, backend),
            np.zeros_like(values),
            _tallies=tallies,
        )

    estimate = estimation.estimate

    def gram(
        self,
        params: Params,
        others: Params = None,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> npt.NDArray[np.float64]:
        """Return the quantum kernel |⟨ψ(x_i)|ψ(y_j)⟩|² of encoded inputs: N simulations and one blocked product.

        Havlíček et al., "Supervised learning with quantum-enhanced feature spaces" (arXiv:1804.11326).

        Args:
            params: inputs x, values (N, P) as in :meth:`run_batch`.
            others: inputs y, (M, P); None: the x themselves, and the result is symmetric.
            seconds: deadline of the call.
            cancel: an event that stops it when set.
            progress: called with the fraction done, 0 to 1.

        Returns:
            f64 of shape (N, M), or (N, N).

        Raises:
            MemoryBudgetError: if the N + M states don't fit in memory together.

        >>> from qsim import Circuit, Parameter, compile
        >>> encode = compile(Circuit(1).ry(Parameter("x"), 0))
        >>> encode.gram([[0.0], [np.pi / 2]]).round(12)
        array([[1. , 0.5],
               [0.5, 1. ]])
        """
        control = RunControl.within(self.simulator.threads, cancel, seconds)
        deadline = control.deadline

        def states(values: Params, start: float, share: float) -> Amps:
            tell = None if progress is None else lambda fraction: progress(start + share * fraction)
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            found = self.run_batch(values, outputs="state", seconds=left, cancel=cancel, progress=tell)
            return found.states.amps

        if others is None:
            result = ensembles.gram(states(params, 0.0, 0.5), control)
        else:
            result = ensembles.fidelities(states(params, 0.0, 0.25), states(others, 0.25, 0.25), control)
        if progress is not None:
            progress(1.0)
        return result

    def _run(
        self,
        params: Params,
        shots: int | None,
        observables: Iterable[ObservableLike] | ObservableLike | None,
        outputs: Sequence[str] | None,
        initial_state: npt.ArrayLike | None,
        max_states: int | None,
        control: RunControl,
    ) -> list[Result]:
        started = time.perf_counter()
        simulator, program = self.simulator, self.program
        backend, precision = simulator._backend, simulator.precision
        keep_state, wanted = _check_outputs(shots, outputs), as_observables(observables)
        for observable in wanted:
            check_width(observable, program.num_qubits)
        slots = self.lowered.slots(params)
        batch = len(slots)
        start = None if initial_state is None else _one_state(initial_state, program.num_qubits)
        prepared = self._prepare("zero" if start is None else "given")
        plan, coefficients = prepared.plan, prepared.coefficients(program, slots)
        if max_states is not None:
            validation.check_count("max_states", max_states, least=1)
        if not plan.straight_line:
            _check_shots(shots, keep_state)
            check_written(program)
            for channel in program.channels:
                mixture_weights(channel)
        if shots is not None and plan.straight_line:
            _check_measures(plan)
        check_memory(program.num_qubits, batch, precision, prepared.scratch, memory_free=backend.memory_free)
        planned = time.perf_counter()
        run = simulator._claim_run()
        sources = None if shots is None else [RandomSource(simulator.seed, run, b) for b in range(batch)]
        if plan.straight_line:
            counted = _counts_only(outputs)
            execution = prepared.execution(backend)
            found = _run_straight(
                execution, plan, coefficients, backend, start, shots, sources, control, wanted, counted
            )
        else:
            assert shots is not None and sources is not None
            found = [
                _run_dynamic(plan, row, backend, start, shots, source, control, wanted, keep_state, max_states)
                for row, source in zip(coefficients.rows(), sources, strict=True)
            ]
        control.report(1.0)
        provenance = self._provenance(prepared, run, planned - started, time.perf_counter() - planned)
        return [
            Result(
                program.num_qubits,
                program.num_clbits,
                shots,
                {**provenance, "branching": one.branching} if one.branching else provenance,
                one.expectations,
                one.words,
                one.state if keep_state else None,
                one.errors,
                one.tally,
                one.readings,
            )
            for one in found
        ]

    def _provenance(self, prepared: _Prepared, run: int, compile_seconds: float, run_seconds: float) -> dict[str, Any]:
        return {
            **prepared.provenance,
            "threads": self.simulator.threads,
            "seed": self.simulator.seed,
            "run": run,
            "seconds": {"compile": compile_seconds, "run": run_seconds},
        }


@dataclass(slots=True, eq=False)
class _Prepared:
    """What all runs of a circuit share that start from |0…0⟩, or that start from a given state."""

    plan: Plan
    scratch: int  # bytes beside the state
    provenance: dict[str, Any]
    fixed: Coefficients | None = None  # of a circuit without parameters
    made: tuple[Backend, executor.Execution] | None = None

    @classmethod
    def of(cls, program: Program, simulator: Simulator, initial: str) -> _Prepared:
        backend, precision = simulator._backend, simulator.precision
        plan = compile_program(program, precision=precision, target=backend.name, initial=initial)
        scratch = backend.scratch_bytes(plan)
        if not plan.straight_line:  # a row is copied where its register changes
            beside = least_amplitudes(plan.segments, plan.entry) - 2**program.num_qubits
            scratch += max(0, beside) * precision.bytes_per_amplitude
        provenance = {
            "qsim": __version__,
            "numpy": np.__version__,
            "python": _PYTHON,
            "backend": backend.name,
            "device": backend.description,
            "precision": precision.value,
            "circuit": program.fingerprint,
            "plan": {"planner": plan.planner, "passes": len(plan.passes), "ops": len(plan.ops)},
        }
        return cls(plan, scratch, provenance)

    def execution(self, backend: Backend) -> executor.Execution:
        """Return the plan, if it is a straight line, ready to run on states of a backend."""
        made = self.made  # read once: other threads may run on other backends
        if made is None or made[0] is not backend:
            made = self.made = backend, executor.Execution(self.plan, backend)
        return made[1]

    def coefficients(self, program: Program, slots: FloatArray) -> Coefficients:
        """Return the values of a run."""
        if program.slots or len(slots) != 1:
            return self.plan.coefficients(program, slots)
        if self.fixed is None:
            self.fixed = self.plan.coefficients(program)
        return self.fixed


@dataclass(slots=True, eq=False)
class _Again:
    """What :meth:`CompiledCircuit.apply` ran, with the circuit's own values, and for what it was checked."""

    execution: executor.Execution
    coefficients: Coefficients
    control: RunControl
    num_qubits: int
    backend: Backend
    precision: Precision


@dataclass(slots=True, eq=False)
class _Found:
    """What a run of one batch element gave."""

    words: Words | None
    expectations: FloatArray
    errors: FloatArray  # standard errors of the expectation values over the shots
    state: StateVector | None
    branching: dict[str, Any]
    tally: tuple[Words, IndexArray] | None = None
    readings: tuple[Reading, ...] = ()


def _run_straight(
    execution: executor.Execution,
    plan: Plan,
    coefficients: Coefficients,
    backend: Backend,
    start: Amps | None,
    shots: int | None,
    sources: Sequence[RandomSource] | None,
    control: RunControl,
    wanted: Sequence[Observable],
    counted: bool,
) -> list[_Found]:
    """Run all batch elements at once, then sample, or only count."""
    batch = coefficients.batch
    if start is None:
        state = StateVector.zero(backend, batch, plan.num_qubits, plan.precision)
    else:
        state = StateVector(backend.allocate(batch, plan.num_qubits, plan.precision), backend)
        state.amps[...] = start
    weights = execution(coefficients, state, control, shots is not None and batch == 1)
    rows = [state.row(b) for b in range(batch)] if batch > 1 else [state]
    values = expectations(wanted, state, control)
    found = []
    for b, row in enumerate(rows):
        words = tally = None
        if shots is not None and sources is not None:
            if counted:
                tally = executor.count_shots(plan, row, shots, sources[b], control, weights)
            else:
                words = executor.sample_shots(plan, row, shots, sources[b], control, weights)
        found.append(_Found(words, values[b], np.zeros(len(wanted)), row, {}, tally))
    return found


def _run_dynamic(
    plan: Plan,
    coefficients: Coefficients,
    backend: Backend,
    start: Amps | None,
    shots: int,
    source: RandomSource,
    control: RunControl,
    wanted: Sequence[Observable],
    keep_state: bool,
    max_states: int | None,
) -> _Found:
    """Run all shots of one batch element."""
    sums = np.zeros((2, len(wanted)))  # of the values over the shots, and of their squares
    kept: list[StateVector] = []
    within = RunControl(control.threads, control.cancel, control.deadline)  # progress is told by the shots done

    def read(rows: Rows) -> None:
        for k, observable in enumerate(wanted):
            values = observable.expectation_of_rows(rows, within)
            sums[:, k] += rows.weights @ values, rows.weights @ values**2
        if keep_state:
            kept.append(rows.whole(0))

    given = None if start is None else np.ascontiguousarray(start, dtype=plan.precision.dtype)
    branched = run_shots(
        plan, coefficients, backend, shots, source, control, start=given, max_states=max_states, read=read
    )
    mean, second = sums / shots
    errors = np.sqrt(np.maximum(second - mean**2, 0.0) / shots)
    state = kept[0] if kept else None
    return _Found(branched.words, mean, errors, state, branched.provenance, readings=branched.readings)


def _one_state(vector: Any, num_qubits: int) -> Amps:
    rows = validation.check_states(vector, num_qubits)
    if len(rows) != 1:
        raise ShapeError(expected("initial states of run()", "one", len(rows), "Use run_batch()."))
    return rows


def _check_outputs(shots: int | None, outputs: Sequence[str] | None) -> bool:
    """Return whether to keep the state."""
    if shots is not None:
        validation.check_shots(shots)
    if outputs is None:
        return shots is None
    names = [outputs] if isinstance(outputs, str) else list(outputs)
    for name in names:
        if name not in _OUTPUTS:
            raise ParameterError(expected("output", " or ".join(map(repr, _OUTPUTS)), repr(name)))
    for name in ("samples", "counts"):
        if name in names and shots is None:
            raise ParameterError(expected(f"output {name!r}", "a run with shots", "shots=None"))
    return "state" in names


def _counts_only(outputs: Sequence[str] | None) -> bool:
    return outputs is not None and "counts" in outputs and "samples" not in outputs


def _check_measures(plan: Plan) -> None:
    """Refuse to sample a straight line that measures nothing at its end."""
    end = plan.segments[plan.entry].end
    if not (isinstance(end, End) and end.measured):
        raise ParameterError(expected("shots", "a circuit that measures", "none", "Call measure_all() first."))


def _check_shots(shots: int | None, keep_state: bool) -> None:
    """Refuse what a circuit with measurements or branches in its middle can't give."""
    if shots is None:
        raise ParameterError(
            expected(
                "shots", "a number", "None", "The circuit has noise, or measures, resets or branches before its end."
            )
        )
    if keep_state and shots != 1:
        raise UnsupportedError(
            expected(
                "state of a circuit with mid-circuit measurements", "shots=1 (one state per shot)", f"shots={shots}"
            )
        )
