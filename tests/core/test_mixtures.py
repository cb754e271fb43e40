"""Mixtures: the chosen unitary is applied, on any qubits, and the identity is not run at all."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import testing
from qsim_core.errors import UnsupportedError
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.mixtures import apply_choice, mixture_weights
from qsim_core.operations import Channel
from qsim_core.types import Precision


@pytest.mark.parametrize("targets", [(0,), (2,), (2, 0), (1, 2)])
def test_the_choice_is_applied(backend: Backend, precision: Precision, targets: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    unitaries = tuple(testing.random_unitary(rng, len(targets)) for _ in range(2))
    channel = Channel(unitaries, targets, (0.5, 0.5))
    start = testing.random_state(rng, 3, 1, precision)
    amps = backend.allocate(1, 3, precision)
    amps[...] = start
    apply_choice(channel, targets, 1, backend, amps, RunControl())
    axes = [2 - q for q in reversed(targets)]
    front = np.moveaxis(start[0].reshape(2, 2, 2), axes, range(len(axes)))
    moved = (unitaries[1] @ front.reshape(2 ** len(targets), -1)).reshape(front.shape)
    wanted = np.moveaxis(moved, range(len(axes)), axes).reshape(1, -1)
    np.testing.assert_allclose(amps, wanted, atol=8 * precision.epsilon)


def test_the_identity_costs_nothing() -> None:
    class Idle(ReferenceBackend):
        def run_stage(self, *_: object) -> None:
            raise AssertionError("ran")

    channel = Channel((np.eye(2, dtype=np.complex128), np.diag([1, -1]).astype(np.complex128)), (0,), (0.9, 0.1))
    amps = Idle().allocate(1, 1, Precision.DOUBLE)
    apply_choice(channel, (0,), 0, Idle(), amps, RunControl())
    with pytest.raises(AssertionError, match="ran"):
        apply_choice(channel, (0,), 1, Idle(), amps, RunControl())


def test_only_mixtures_have_weights() -> None:
    matrices = (np.eye(2, dtype=np.complex128),)
    assert mixture_weights(Channel(matrices, (0,), (1.0,))).tolist() == [1.0]
    with pytest.raises(UnsupportedError, match="Kraus matrices"):
        mixture_weights(Channel(matrices, (0,)))
