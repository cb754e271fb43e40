"""Rows: states of different histories at one place of a plan, and what is read from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from . import readout
from .kernels.contract import Backend, Regrouping
from .kernels.control import RunControl
from .pauli import PauliTerms
from .state import StateVector
from .types import Amps, FloatArray, IndexArray

__all__ = ["Rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Row r is the state ``amps[r]`` on the qubits ``register`` and |values[r, q]⟩ on every other qubit q.

    ``row[s]`` is the row that shot ``shots[s]`` is in.
    """

    backend: Backend
    register: tuple[int, ...]
    amps: Amps
    values: npt.NDArray[np.uint8]
    shots: IndexArray
    row: IndexArray

    @property
    def weights(self) -> IndexArray:
        """Number of shots of every row."""
        return np.bincount(self.row, minlength=len(self.amps))

    def whole(self, row: int) -> StateVector:
        """Return one row on all qubits."""
        others = [q for q in range(self.values.shape[1]) if q not in self.register]
        value = np.array([sum(int(self.values[row, q]) << k for k, q in enumerate(others))], dtype=np.int64)
        move = Regrouping.of(np.array([row]), others, value)
        return StateVector(self.backend.regroup(self.amps, move, RunControl()), self.backend)

    def expectation_pauli(self, terms: PauliTerms, control: RunControl | None = None) -> FloatArray:
        """Return ⟨H⟩ of every row, shape (rows,): Z of a qubit outside the register is a sign, X and Y are 0."""
        inside = sum(1 << q for q in self.register)
        state = StateVector(self.amps, self.backend)
        total = np.zeros(len(self.amps))
        for x_mask, z_mask, coefficient in zip(
            terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True
        ):
            if x_mask & ~inside:
                continue
            signs = [q for q in range(z_mask.bit_length()) if (z_mask & ~inside) >> q & 1]
            sign = 1.0 - 2.0 * (self.values[:, signs].sum(axis=1) & 1)
            x, z = (sum((mask >> q & 1) << k for k, q in enumerate(self.register)) for mask in (x_mask, z_mask))
            total += sign * readout.expectation_pauli(state, PauliTerms.of([(x, z, coefficient)]), control)
        return total
