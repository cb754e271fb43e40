"""As much of ``cuquantum`` as the comparison backend calls, on a fake card's memory; stricter than it is about arguments.

What a call does is written from cuStateVec's reference, in index arithmetic of its own: targets[0] is the lowest bit of a
matrix index, a Pauli rotation is exp(i theta P), a generalised permutation matrix a diagonal times a permutation.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Sequence
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
from tests.cuda.ptx.runner import Memory

__all__ = ["FakeCuquantum"]


class cudaDataType(IntEnum):
    CUDA_C_32F = 4
    CUDA_C_64F = 5


class ComputeType(IntEnum):
    COMPUTE_32F = 4
    COMPUTE_64F = 16


class MatrixLayout(IntEnum):
    COL = 0
    ROW = 1


class Pauli(IntEnum):
    I = 0  # noqa: E741
    X = 1
    Y = 2
    Z = 3


_PAULIS = {
    Pauli.I: np.eye(2),
    Pauli.X: np.array([[0, 1], [1, 0]]),
    Pauli.Y: np.array([[0, -1j], [1j, 0]]),
    Pauli.Z: np.diag([1, -1]),
}
_DTYPES = {4: np.dtype(np.complex64), 5: np.dtype(np.complex128)}
HANDLE = 0x5A
WORKSPACE = 512


class FakeCuquantum:
    """Stands where the module ``cuquantum`` would, with ``cuquantum.bindings.custatevec`` as ``custatevec``."""

    cudaDataType, ComputeType = cudaDataType, ComputeType

    def __init__(self, memory: Memory) -> None:
        self._memory, self.calls, self.handles = memory, Counter[str](), 0
        self.custatevec = SimpleNamespace(
            MatrixLayout=MatrixLayout, Pauli=Pauli, create=self._create, destroy=self._destroy, get_version=lambda: 10900,
            apply_matrix=self._apply_matrix, apply_matrix_get_workspace_size=self._matrix_size,
            apply_pauli_rotation=self._rotate,
            apply_generalized_permutation_matrix=self._permute,
            apply_generalized_permutation_matrix_get_workspace_size=self._permute_size,
        )  # fmt: skip

    def _create(self) -> int:
        self.handles += 1
        return HANDLE

    def _destroy(self, handle: int) -> None:
        self.handles -= 1

    def _apply(self, name: str, handle: int, sv: int, kind: int, n: int, matrix: Any, targets: Sequence[int],
               n_targets: int, controls: Sequence[int], values: Sequence[int], n_controls: int) -> None:  # fmt: skip
        self.calls[name] += 1
        wires = [*targets, *controls]
        assert handle == HANDLE and n >= 1 and len(targets) == n_targets and len(controls) == len(values) == n_controls
        assert all(type(q) is int and 0 <= q < n for q in wires) and len(set(wires)) == len(wires)
        dtype = _DTYPES[kind]
        amps = self._memory.view(sv, dtype.itemsize << n).view(dtype)
        index = np.arange(2**n)
        active = np.all([index >> c & 1 == v for c, v in zip(controls, values, strict=True)] + [index >= 0], axis=0)
        row = sum((index >> t & 1) << k for k, t in enumerate(targets))
        rest = index & ~sum(1 << t for t in targets)
        new = np.zeros(2**n, complex)
        for column in range(2**n_targets):
            new += matrix[row, column] * amps[rest | sum((column >> k & 1) << t for k, t in enumerate(targets))]
        amps[active] = new[active]

    def _matrix_size(self, handle: int, kind: int, n: int, matrix: int, matrix_kind: int, layout: int, adjoint: int,
                     n_targets: int, n_controls: int, compute: int) -> int:  # fmt: skip
        assert handle == HANDLE and matrix_kind == kind and compute == {4: 4, 5: 16}[kind]
        return WORKSPACE if n_targets > 3 else 0

    def _apply_matrix(self, handle: int, sv: int, kind: int, n: int, matrix: int, matrix_kind: int, layout: int,
                      adjoint: int, targets: Any, n_targets: int, controls: Any, values: Any, n_controls: int,
                      compute: int, workspace: int, size: int) -> None:  # fmt: skip
        needed = self._matrix_size(
            handle, kind, n, matrix, matrix_kind, layout, adjoint, n_targets, n_controls, compute
        )
        assert layout == MatrixLayout.ROW and adjoint == 0 and size >= needed
        if size:
            self._memory.view(workspace, size)
        host = _host(matrix, _DTYPES[kind], 4**n_targets).reshape(2**n_targets, -1)
        self._apply("matrix", handle, sv, kind, n, host, targets, n_targets, controls, values, n_controls)

    def _rotate(self, handle: int, sv: int, kind: int, n: int, theta: float, paulis: Any, targets: Any, n_targets: int,
                controls: Any, values: Any, n_controls: int) -> None:  # fmt: skip
        assert isinstance(theta, float)
        string = np.eye(1)
        for letter in paulis:
            string = np.kron(_PAULIS[Pauli(letter)], string)
        matrix = np.cos(theta) * np.eye(len(string)) + 1j * np.sin(theta) * string
        self._apply("rotation", handle, sv, kind, n, matrix, targets, n_targets, controls, values, n_controls)

    def _permute_size(self, handle: int, kind: int, n: int, permutation: int, diagonals: int, diagonals_kind: int,
                      targets: Any, n_targets: int, n_controls: int) -> int:  # fmt: skip
        assert handle == HANDLE and diagonals_kind == kind
        return WORKSPACE if n_targets > 1 else 0

    def _permute(self, handle: int, sv: int, kind: int, n: int, permutation: int, diagonals: int, diagonals_kind: int,
                 adjoint: int, targets: Any, n_targets: int, controls: Any, values: Any, n_controls: int, workspace: int,
                 size: int) -> None:  # fmt: skip
        assert size >= self._permute_size(
            handle, kind, n, permutation, diagonals, diagonals_kind, targets, n_targets, 0
        )
        if size:
            self._memory.view(workspace, size)
        assert _host(permutation, np.dtype(np.int64), 2**n_targets).tolist() == list(range(2**n_targets))
        matrix = np.diag(_host(diagonals, _DTYPES[kind], 2**n_targets))
        self._apply("diagonal", handle, sv, kind, n, matrix, targets, n_targets, controls, values, n_controls)


def _host(address: int, dtype: np.dtype[Any], count: int) -> np.ndarray[Any, Any]:
    raw = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
    return np.frombuffer(raw, dtype).copy()
