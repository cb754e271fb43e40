"""QAOA on a precomputed cost vector: a layer is a diagonal over the whole register and a rotation of every qubit.

Farhi, Goldstone and Gutmann, "A quantum approximate optimization algorithm" (arXiv:1411.4028):

    |γ, β⟩ = Π_l exp(-i β_l Σ_q X_q) exp(-i γ_l C) |+…+⟩

With C as a vector of 2^n numbers a layer costs the same for any number of terms and of any order, and ⟨C⟩ is a dot
product.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from qsim_core import validation
from qsim_core.batch import PART_BYTES
from qsim_core.compiler import compile_program
from qsim_core.errors import ParameterError, ShapeError, expected
from qsim_core.executor import execute
from qsim_core.kernels.control import RunControl
from qsim_core.operations import Angle
from qsim_core.program import ProgramBuilder
from qsim_core.resources import check_memory
from qsim_core.state import StateVector
from qsim_core.types import FloatArray, Precision

from .observables import ObservableLike, PauliSum, as_observable
from .simulator import Simulator

__all__ = ["Qaoa", "cost_vector"]


def cost_vector(observable: ObservableLike, num_qubits: int) -> FloatArray:
    """Return the 2^n values of a sum of Pauli strings of Z only, one per basis state.

    >>> cost_vector("0.5*Z0 Z1 + Z0", 2)
    array([ 1.5, -1.5,  0.5, -0.5])

    Raises:
        ParameterError: if a term has an X or Y, or is beyond the register.
    """
    given = as_observable(observable)
    if not isinstance(given, PauliSum) or given.terms.x_masks.any() or given.num_qubits > num_qubits:
        raise ParameterError(
            expected("cost", f"a Pauli sum of Z on at most {num_qubits} qubits", repr(observable)[:80])
        )
    check_memory(num_qubits, 2, Precision.SINGLE, what="cost vector")
    costs = np.zeros(2**num_qubits)
    np.add.at(costs, given.terms.z_masks, given.terms.coefficients)
    for qubit in range(num_qubits):  # Σ_z c_z (-1)^parity(i & z) for all i at once
        halves = costs.reshape(-1, 2, 2**qubit)
        total = halves.sum(axis=1)
        halves[:, 1] = halves[:, 0] - halves[:, 1]
        halves[:, 0] = total
    return costs


class Qaoa:
    """Energies and states of QAOA circuits with one cost function.

    Args:
        costs: 2^n real numbers, one per basis state (see :func:`cost_vector`).
        simulator: backend, precision and threads; None: the default ones.

    >>> edge = Qaoa(cost_vector("Z0 Z1", 2))
    >>> edge.energies([[np.pi / 4]], [[-np.pi / 8]]).round(12)
    array([-1.])
    """

    def __init__(self, costs: npt.ArrayLike, simulator: Simulator | None = None) -> None:
        array = np.array(costs, dtype=np.float64)
        if array.ndim != 1 or array.size == 0 or array.size & (array.size - 1):
            raise ShapeError(expected("costs", "2^n numbers", f"shape {array.shape}"))
        validation.check_angles(array)
        array.flags.writeable = False
        self.costs = array
        self.num_qubits = array.size.bit_length() - 1
        self.simulator = Simulator() if simulator is None else simulator
        builder = ProgramBuilder(self.num_qubits, slots=["beta"])
        for qubit in range(self.num_qubits):
            builder.rotation("X", Angle(0.0, ((0, 2.0),)), (qubit,))
        self._mixer = builder.finish()

    def energies(
        self,
        gammas: npt.ArrayLike,
        betas: npt.ArrayLike,
        *,
        seconds: float | None = None,
        cancel: threading.Event | None = None,
        progress: Callable[[float], None] | None = None,
    ) -> FloatArray:
        """Return ⟨C⟩ for every row of angles (B, layers), shape (B,); states are held a few at a time.

        Args:
            gammas: angles of the cost layers, radians.
            betas: angles of the mixer layers, radians.
            seconds: deadline of the call.
            cancel: an event that stops it when set.
            progress: called with the fraction done, 0 to 1.
        """
        control = RunControl.within(self.simulator.threads, cancel, seconds, progress)
        rows = _angles(gammas, betas)
        result = np.empty(len(rows[0]))
        for part, state in self._parts(*rows, control):
            result[part] = state.backend.expectation_costs(state.amps, self.costs, RunControl(control.threads))
        return result

    def state(self, gammas: npt.ArrayLike, betas: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the amplitudes for one row of angles (layers,), shape (2^n,)."""
        rows = _angles(gammas, betas)
        if len(rows[0]) != 1:
            raise ShapeError(expected("rows of angles", "one", len(rows[0])))
        ((_, state),) = self._parts(*rows, RunControl(self.simulator.threads))
        return state.array

    def _parts(self, gammas: FloatArray, betas: FloatArray, control: RunControl) -> Iterator[tuple[slice, StateVector]]:
        backend, precision = self.simulator._backend, self.simulator.precision
        plan = compile_program(self._mixer, precision=precision, target=backend.name, initial="given")
        batch, layers = gammas.shape
        size = max(1, min(batch, PART_BYTES // (precision.bytes_per_amplitude << self.num_qubits)))
        scratch = backend.scratch_bytes(plan)
        check_memory(self.num_qubits, size, precision, scratch, what="QAOA", memory_free=backend.memory_free)
        quiet = RunControl(control.threads, control.cancel, control.deadline)  # progress is told per part
        for first in range(0, batch, size):
            part = slice(first, min(first + size, batch))
            state = StateVector(backend.allocate(part.stop - first, self.num_qubits, precision), backend)
            state.amps.fill(2.0 ** (-self.num_qubits / 2))
            for layer in range(layers):
                control.poll()
                backend.turn(state.amps, self.costs, np.ascontiguousarray(gammas[part, layer]), quiet)
                angles = np.ascontiguousarray(betas[part, layer, None])
                execute(plan, plan.coefficients(self._mixer, angles), state, quiet)
            yield part, state
            control.report(part.stop / batch)


def _angles(gammas: npt.ArrayLike, betas: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    rows = tuple(np.atleast_2d(np.asarray(values, dtype=np.float64)) for values in (gammas, betas))
    if rows[0].shape != rows[1].shape or rows[0].ndim != 2:
        raise ShapeError(
            expected("gammas and betas", "the same shape (B, layers)", f"{rows[0].shape}, {rows[1].shape}")
        )
    for values in rows:
        validation.check_angles(values)
    return rows[0], rows[1]
