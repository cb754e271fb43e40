"""Derivatives of a compiled circuit: adjoint, exact; or by parameter shift, as from shots. No numerics here."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from qsim_core import executor, gradient, readout, validation
from qsim_core.errors import ParameterError, ShapeError, UnsupportedError, expected
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.plan import Plan
from qsim_core.program import Program
from qsim_core.random import RandomSource
from qsim_core.resources import check_memory
from qsim_core.state import StateVector
from qsim_core.types import FloatArray, Precision

from .lowering import Lowered, Params, chain_rule, is_batch
from .observables import Observable, ObservableLike, PauliSum, as_observable, as_observables, check_width

if TYPE_CHECKING:
    from .simulator import Simulator

__all__ = ["Differentiable"]


class Differentiable:
    """What a compiled circuit knows of its derivatives.

    All but :meth:`parameter_shift` walk backwards once over the final state and a second one of its size (adjoint
    differentiation, arXiv:2009.02823): all parameters for about the time of three runs, exact up to rounding, whatever
    way a parameter reaches its gates. Measurements at the end of the circuit are left out. Everywhere, parameters are in
    the order of ``parameters``; a batch of them, (B, P), gives a first axis of length B; ``seconds`` and ``cancel`` are
    those of :meth:`~qsim.CompiledCircuit.run`.
    """

    lowered: Lowered
    simulator: Simulator

    if TYPE_CHECKING:

        @property
        def program(self) -> Program: ...

        def plan(self, initial: str = "zero") -> Plan: ...

    def gradient(
        self,
        params: Params,
        observable: ObservableLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FloatArray:
        """Return ∂⟨H⟩/∂parameter, shape (P,), or (B, P) for a batch.

        Raises:
            UnsupportedError: if the circuit measures in its middle, resets, initialises or branches.
            MemoryBudgetError: before anything is allocated, if two states (three for a matrix) don't fit.

        >>> from qsim import Circuit, Parameter, compile
        >>> compile(Circuit(1).ry(Parameter("a"), 0), seed=0).gradient([0.0], "X0 + Z0")
        array([1.])
        """
        return self.vjp(params, [observable], np.ones(1), seconds=seconds, cancel=cancel)

    def value_and_gradient(
        self,
        params: Params,
        observable: ObservableLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        """Return ⟨H⟩, shape () or (B,), and its gradient, shape (P,) or (B, P), from one run forth and back.

        >>> from qsim import Circuit, Parameter, compile
        >>> value, slope = compile(Circuit(1).rx(Parameter("a"), 0), seed=0).value_and_gradient([0.0], "Z0 + Y0")
        >>> float(value), slope
        (1.0, array([-1.]))
        """
        walk = _Walk(self, params, [observable], seconds, cancel)
        bra = gradient.apply_observables(walk.state, walk.terms, np.ones((1, 1)), walk.control)
        values = walk.values(bra)
        slopes = walk.back(walk.state, bra)
        return (values, slopes) if is_batch(params) else (values[0], slopes[0])

    def jacobian(
        self,
        params: Params,
        observables: Iterable[ObservableLike] | ObservableLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FloatArray:
        """Return ∂⟨H_k⟩/∂parameter, shape (K, P) or (B, K, P): one run, then one walk back per observable.

        Needs a third state. For sums of rows of a Jacobian use :meth:`vjp`, one walk for all.
        """
        walk = _Walk(self, params, observables, seconds, cancel, states=3)
        rows = []
        for term in walk.terms:
            bra = gradient.apply_observables(walk.state, [term], np.ones((1, 1)), walk.control)
            rows.append(walk.back(walk.state.copy(), bra))
        jacobian = np.stack(rows, axis=1) if rows else np.zeros((walk.state.batch, 0, len(self.lowered.parameters)))
        return jacobian if is_batch(params) else jacobian[0]

    def vjp(
        self,
        params: Params,
        observables: Iterable[ObservableLike] | ObservableLike,
        cotangents: npt.ArrayLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FloatArray:
        """Return Σ_k cotangents[k] ∂⟨H_k⟩/∂parameter, shape (P,) or (B, P), from one walk whatever their number.

        The cotangents are real, of shape (K,), or (B, K) for other ones in every row of a batch.

        >>> from qsim import Circuit, Parameter, compile
        >>> rotated = compile(Circuit(1).rx(Parameter("a"), 0), seed=0)
        >>> rotated.vjp([np.pi / 2], ["Z0", "Y0"], [2.0, 1.0]).round(12)
        array([-2.])
        """
        wanted = as_observables(observables)
        weights = _real_rows("cotangents", cotangents, len(wanted))
        walk = _Walk(self, params, wanted, seconds, cancel)
        if len(weights) not in (1, walk.state.batch):
            raise ShapeError(expected("rows of cotangents", f"1 or {walk.state.batch}", len(weights)))
        bra = gradient.apply_observables(walk.state, walk.terms, weights, walk.control)
        slopes = walk.back(walk.state, bra)
        return slopes if is_batch(params) else slopes[0]

    def state_vjp(
        self,
        params: Params,
        cotangent: npt.ArrayLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FloatArray:
        """Return ∂ Re⟨v|ψ⟩/∂parameter for the final state ψ and any vector v, shape (P,) or (B, P).

        With v = 2 ∂L/∂ψ* it is the gradient of a real function L of the state vector; frameworks differ in this factor
        and in conjugation, see their own definitions.

        The cotangent v has shape (2^n,), or (B, 2^n) for another one in every row of a batch.

        >>> from qsim import Circuit, Parameter, compile
        >>> compile(Circuit(1).rx(Parameter("a"), 0), seed=0).state_vjp([0.0], [0, 1j])
        array([-0.5])
        """
        walk = _Walk(self, params, [], seconds, cancel)
        vectors = np.atleast_2d(np.asarray(cotangent))
        batch, size = walk.state.batch, len(walk.state)
        if vectors.ndim != 2 or vectors.shape[1] != size or len(vectors) not in (1, batch):
            raise ShapeError(expected("cotangent", f"shape ({size},) or ({batch}, {size})", np.shape(cotangent)))
        if vectors.dtype.kind not in "biufc" or not np.isfinite(vectors).all():
            raise ParameterError(expected("cotangent", "finite numbers", vectors.dtype))
        bra = walk.state.copy()
        bra.amps[...] = 0.5 * vectors
        slopes = walk.back(walk.state, bra)
        return slopes if is_batch(params) else slopes[0]

    def parameter_shift(
        self,
        params: Params,
        observable: ObservableLike,
        *,
        shots: int | None = None,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
    ) -> FloatArray:
        """Return ∂⟨H⟩/∂parameter, shape (P,) or (B, P), from runs at shifted angles, as a quantum computer would.

        Exact without ``shots``. With them, every value is estimated: each Pauli string (or matrix) is measured ``shots``
        times on each of the two or four shifted circuits per parametrised operation; the mean is that of the exact gradient,
        the standard error falls with 1/√shots. The seed of the simulator fixes the numbers drawn. Rules and their
        sources: :mod:`qsim_core.parameter_shift`.

        >>> from qsim import Circuit, Parameter, compile
        >>> turned = compile(Circuit(2).ry(0.3, 0).crx(Parameter("a"), 0, 1), seed=0)
        >>> np.allclose(turned.parameter_shift([0.4], "Y1"), turned.gradient([0.4], "Y1"))
        True
        """
        from qsim_core import parameter_shift, shot_noise

        chosen = as_observable(observable)
        if shots is not None:
            validation.check_shots(shots)
            if not isinstance(chosen, PauliSum) and validation.is_sparse(chosen.matrix):
                raise UnsupportedError(expected("observable of shots", "a Pauli sum or an array", "a sparse matrix"))
        check_width(chosen, self.program.num_qubits)
        slots = self.lowered.slots(params)
        simulator, plan = self.simulator, self.plan()
        check_memory(self.program.num_qubits, 1, simulator.precision, what="parameter shift")
        control = RunControl.within(simulator.threads, cancel, seconds)
        source = RandomSource(simulator.seed, simulator._claim_run())
        generator = source.generator()

        def value(state: StateVector) -> FloatArray:
            if shots is None:
                return chosen.expectation(state, control)
            return shot_noise.estimate(state, _term(chosen), shots, generator, control)

        by_slot = parameter_shift.parameter_shift(self.program, plan, slots, simulator._backend, value, control)
        slopes = chain_rule(self.lowered, params, by_slot)
        return slopes if is_batch(params) else slopes[0]


class _Walk:
    """One run forth; ``back`` is the way back. Everything is checked before memory is taken."""

    def __init__(
        self,
        compiled: Differentiable,
        params: Params,
        observables: Iterable[ObservableLike] | ObservableLike,
        seconds: float | None,
        cancel: threading.Event | None,
        states: int = 2,
    ) -> None:
        wanted = as_observables(observables)
        self._compiled, self._params = compiled, params
        program, simulator = compiled.program, compiled.simulator
        self._adjoint = gradient.adjoint_of(program)
        for observable in wanted:
            check_width(observable, program.num_qubits)
        self.terms = [_term(observable) for observable in wanted]
        self.slots = compiled.lowered.slots(params)
        self.control = RunControl.within(simulator.threads, cancel, seconds)
        plan, backend, batch = compiled.plan(), simulator._backend, len(self.slots)
        states = max(states, 2 + any(isinstance(term, gradient.MatrixTerm) for term in self.terms))
        scratch = backend.scratch_bytes(plan)
        if any(isinstance(term, gradient.MatrixTerm) and validation.is_sparse(term.matrix) for term in self.terms):
            scratch += readout.SPARSE_COPIES * (Precision.DOUBLE.bytes_per_amplitude << program.num_qubits)
        check_memory(program.num_qubits, states * batch, simulator.precision, scratch, "gradient", backend.memory_free)
        self.state = StateVector.zero(backend, batch, program.num_qubits, simulator.precision)
        executor.execute(plan, plan.coefficients(program, self.slots), self.state, self.control)

    def values(self, bra: StateVector) -> FloatArray:
        """Return ⟨ψ|bra⟩ / ⟨ψ|ψ⟩, shape (B,)."""
        backend, amps = self.state.backend, self.state.amps
        return backend.inner_product(amps, bra.amps, self.control).real / backend.norms(amps, self.control)

    def back(self, ket: StateVector, bra: StateVector) -> FloatArray:
        """Return derivatives by named parameters, (B, P); both states are used up."""
        by_slot = self._adjoint.pull_back(ket, bra, self.slots, self.control, from_zero=True)
        return chain_rule(self._compiled.lowered, self._params, by_slot)


def _term(observable: Observable) -> PauliTerms | gradient.MatrixTerm:
    if isinstance(observable, PauliSum):
        return observable.terms
    return gradient.MatrixTerm(observable.matrix, observable.qubits)


def _real_rows(what: str, values: npt.ArrayLike, width: int) -> FloatArray:
    rows = np.atleast_2d(np.asarray(values))
    if rows.dtype.kind not in "biuf" or not np.isfinite(rows).all():
        raise ParameterError(expected(what, "finite real numbers", repr(values)[:80]))
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ShapeError(expected(what, f"shape ({width},) or (B, {width})", np.shape(values)))
    return np.ascontiguousarray(rows, dtype=np.float64)
