"""Mixtures of unitaries: ρ → Σ p_k U_k ρ U_k†, run as one unitary per shot, drawn with its probability."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .errors import UnsupportedError, expected
from .kernels.contract import Backend
from .kernels.control import RunControl
from .operations import Channel
from .plan import Coefficients, Plan
from .program import ProgramBuilder
from .trivial_plan import trivial_plan
from .types import Amps, FloatArray, Precision

__all__ = ["apply_choice", "identity_of", "is_identity", "mixture_weights"]


def mixture_weights(channel: Channel) -> FloatArray:
    """Return the probabilities of the unitaries of a channel.

    Raises:
        UnsupportedError: for Kraus matrices; their probabilities depend on the state, and this version does not draw them.
    """
    if channel.probabilities is None:
        remedy = "Give unitaries and their probabilities; qsim.noise has the usual ones."
        raise UnsupportedError(expected("channel", "a mixture of unitaries", "Kraus matrices", remedy))
    return np.array(channel.probabilities)


def apply_choice(
    channel: Channel, targets: tuple[int, ...], choice: int, backend: Backend, amps: Amps, control: RunControl
) -> None:
    """Apply one unitary of a mixture to ``targets`` of all rows of ``amps`` in place; the identity costs nothing."""
    if is_identity(channel, choice):
        return
    plan = _one_dense(amps.shape[1].bit_length() - 1, targets, Precision.of(amps.dtype))
    coefficients = Coefficients(np.zeros((1, 0)), (channel.matrices[choice],))
    for stage in plan.segments[plan.entry].stages:
        backend.run_stage(plan, stage, coefficients, amps, control)


@lru_cache(maxsize=1024)
def is_identity(channel: Channel, choice: int) -> bool:
    """Return True when a unitary of a mixture does nothing."""
    matrix = channel.matrices[choice]
    return np.array_equal(matrix, np.eye(len(matrix)))


@lru_cache(maxsize=1024)
def identity_of(channel: Channel) -> int | None:
    """Return which unitary of a mixture is the identity, the first if there are several; None: none is."""
    return next((k for k in range(len(channel.matrices)) if is_identity(channel, k)), None)


@lru_cache(maxsize=1024)
def _one_dense(num_qubits: int, targets: tuple[int, ...], precision: Precision) -> Plan:
    """Return the plan of any one matrix on ``targets``: its values come with the coefficients."""
    builder = ProgramBuilder(num_qubits)
    builder.dense(np.eye(2 ** len(targets)), targets)
    return trivial_plan(builder.finish(), precision=precision, initial="given")
