"""Runs one straight-line plan for many sets of values, with memory that does not grow with their number.

Where the backend has a way of its own (:meth:`~qsim_core.kernels.contract.Backend.run_batch`: small registers, one
state per vector lane) the whole batch is one call. Elsewhere, and where final states are looked at on the way, rows are
run in parts of :data:`PART_BYTES`. What a row gives depends on its values only, never on the batch it came in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from .executor import execute
from .kernels.contract import Backend
from .kernels.control import RunControl
from .pauli import PauliTerms
from .plan import Plan
from .program import Program
from .readout import expectation_paulis
from .state import StateVector
from .types import Amps, FloatArray

__all__ = ["PART_BYTES", "part_rows", "run_batch"]

#: Amplitudes of the states held at once where they are not asked for.
PART_BYTES = 64 * 2**20
_NORM = PauliTerms.of([(0, 0, 1.0)])


def part_rows(plan: Plan, batch: int) -> int:
    """Return how many rows of a batch are run at a time."""
    return max(1, min(batch, PART_BYTES // (plan.precision.bytes_per_amplitude << plan.num_qubits)))


def run_batch(
    program: Program,
    plan: Plan,
    slots: FloatArray,
    backend: Backend,
    control: RunControl,
    *,
    start: Amps | None = None,
    terms: Sequence[PauliTerms] = (),
    states: Amps | None = None,
    visit: Callable[[int, StateVector], None] | None = None,
) -> FloatArray:
    """Run every row of ``slots`` (B, P) and return the expectation values of ``terms``, shape (B, K).

    Args:
        program: what is run; its angles are bound to ``slots``.
        plan: of this program, straight-line.
        slots: values (B, P).
        backend: what runs it.
        control: threads, deadline, progress.
        start: initial states, (1, 2^n) or (B, 2^n); None: |0…0⟩.
        terms: sums of Pauli strings.
        states: receives the final states, (B, 2^n); None: they are dropped.
        visit: called with the number of its first row and a state vector of several rows, for every part.
    """
    values = program.check_slots(slots)
    batch = len(values)
    if visit is None:
        whole = _native(program, plan, values, backend, start, terms, states, control)
        if whole is not None:
            return whole
    rows = part_rows(plan, batch)
    own = backend.allocate(rows, plan.num_qubits, plan.precision) if states is None else states[:0]
    result = np.empty((batch, len(terms)))
    for first in range(0, batch, rows):
        control.poll()
        part = slice(first, min(first + rows, batch))
        amps = own[: part.stop - first] if states is None else states[part]
        begin = start if start is None or len(start) == 1 else start[part]
        within = replace(control, progress=_share(control, first / batch, (part.stop - first) / batch))
        found = _native(program, plan, values[part], backend, begin, terms, amps, within)
        state = StateVector(amps, backend)
        if found is None:
            if begin is None:
                backend.fill_zero_state(amps)
            else:
                amps[...] = begin
            execute(plan, plan.coefficients(program, values[part]), state, within)
            found = expectation_paulis(state, terms, within)
        result[part] = found
        if visit is not None:
            visit(first, state)
    return result


def _native(
    program: Program,
    plan: Plan,
    values: FloatArray,
    backend: Backend,
    start: Amps | None,
    terms: Sequence[PauliTerms],
    states: Amps | None,
    control: RunControl,
) -> FloatArray | None:
    """Return what the backend's own way gives, divided by the norms."""
    wanted = [*terms, _NORM] if terms else []
    sums = backend.run_batch(program, plan, values, start, wanted, states, control)
    if sums is None or not terms:
        return sums
    values, norms = sums[:, :-1], sums[:, -1:]
    if len(terms) > len(sums):
        return values / norms
    result = np.empty_like(values)  # a column at a time: few long loops instead of many short ones
    for k in range(len(terms)):
        np.divide(values[:, k], norms[:, 0], out=result[:, k])
    return result


def _share(control: RunControl, start: float, share: float) -> Callable[[float], None] | None:
    """Return a progress callback for a part of the run."""
    tell = control.progress
    return None if tell is None else lambda fraction: tell(start + share * fraction)
