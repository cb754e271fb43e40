"""Parameter-shift rules: derivatives from values of the same circuit at shifted angles, as a quantum computer takes them.

The expectation value of an operation exp(-i θ G) is a trigonometric polynomial in θ whose frequencies are the
differences of eigenvalues of G, so a few shifted values give its derivative exactly:

* one frequency Ω (Pauli rotations with any letters: ±1/2; controlled phases: 0 and -1):
  f' = Ω / (2 sin Ωs) · (f(θ+s) - f(θ-s)). Mitarai et al., arXiv:1803.00745; Schuld et al., arXiv:1811.11184, eq. 14.
* frequencies 1/2 and 1 (controlled rotations: eigenvalues -1/2, 0, 1/2): four values,
  f' = d₊ (f(θ+π/2) - f(θ-π/2)) - d₋ (f(θ+3π/2) - f(θ-3π/2)) with d± = (√2 ± 1) / (4√2).
  Anselmetti et al., arXiv:2104.05695, eq. 8; Wierichs et al., arXiv:2107.12390.

Shifts are of angles of single operations, not of parameters: a parameter used by many operations, or by a gate made of
several, takes the sum over them by the chain rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import pi, sqrt

import numpy as np

from .executor import execute
from .gradient import check_differentiable
from .kernels.contract import Backend
from .kernels.control import RunControl
from .operations import Phase, Rotation
from .plan import Coefficients, Plan
from .program import Program
from .state import StateVector
from .types import FloatArray

__all__ = ["parameter_shift", "shift_rule"]

#: Amplitudes of the states of shifted circuits that are run at once.
_TOGETHER = 2**18


def shift_rule(operation: Rotation | Phase) -> tuple[tuple[float, float], ...]:
    """Return (shift, factor) pairs: the derivative by the angle is Σ factor · f(angle + shift).

    >>> from qsim_core import Angle
    >>> shift_rule(Rotation("XY", Angle(), (0, 1)))[0]
    (1.5707963267948966, 0.5)
    """
    if isinstance(operation, Phase):
        return ((pi / 2, 0.5), (-pi / 2, -0.5)) if operation.controls else ()
    if not operation.controls:
        return ((pi / 2, 0.5), (-pi / 2, -0.5)) if operation.targets else ()
    if not operation.targets:  # a phase of minus half the angle
        return ((pi, 0.25), (-pi, -0.25))
    near, far = (sqrt(2) + 1) / (4 * sqrt(2)), (sqrt(2) - 1) / (4 * sqrt(2))
    return ((pi / 2, near), (-pi / 2, -near), (3 * pi / 2, -far), (-3 * pi / 2, far))


def parameter_shift(
    program: Program,
    plan: Plan,
    slots: FloatArray,
    backend: Backend,
    estimate: Callable[[StateVector], FloatArray],
    control: RunControl | None = None,
) -> FloatArray:
    """Return the derivative of ``estimate`` by the slots, shape (B, P), from runs at shifted angles.

    ``plan`` is the plan of ``program`` from |0…0⟩, ``slots`` are values of shape (B, P). What is derived is ``estimate``: it
    takes final states and gives a number for each, exact or with the noise of shots.

    Raises:
        UnsupportedError: if the program initialises, resets, branches, or measures before its end.
    """
    check_differentiable(program)
    control = control or RunControl()
    shifts = list(_shifts(program))
    angles = program.bind(slots)
    by_angle = np.zeros((len(slots), angles.shape[1]))
    together = max(1, _TOGETHER >> program.num_qubits)
    for row, values in zip(by_angle, np.broadcast_to(angles, by_angle.shape), strict=True):
        for start in range(0, len(shifts), together):
            part = shifts[start : start + together]
            shifted = np.repeat(values[None], len(part), axis=0)
            shifted[np.arange(len(part)), [column for column, _, _ in part]] += [shift for _, shift, _ in part]
            state = StateVector(backend.allocate(len(part), program.num_qubits, plan.precision), backend)
            backend.fill_zero_state(state.amps)
            execute(plan, Coefficients(shifted, program.operands), state, control)
            for (column, _, factor), value in zip(part, estimate(state), strict=True):
                row[column] += factor * value
    return program.angles.pull_back(by_angle, len(program.slots))


def _shifts(program: Program) -> Iterator[tuple[int, float, float]]:
    """Yield (column, shift, factor) of every angle that depends on a slot."""
    for row, operation in enumerate(program.operations()):
        if isinstance(operation, Rotation | Phase) and operation.angle.terms:
            for shift, factor in shift_rule(operation):
                yield int(program.body.data[row]), shift, factor
