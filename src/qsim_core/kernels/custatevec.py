"""NVIDIA's cuStateVec behind the backend contract, to compare with (``pip install cuquantum-python-cu13``); never by itself.

Operations on amplitudes go to cuStateVec one by one, as a simulator on top of it would send them; memory is CuPy's, and
initialisation and everything that reads a state are the kernels of :mod:`qsim_core.kernels.cuda_backend`. Calls follow
the reference of ``cuquantum.bindings.custatevec``; they were tried on a stand-in only, not yet on a card.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import BackendUnavailableError, UnsupportedError, expected
from ..operations import OpKind
from ..optable import PAULI_CODE
from ..plan import Coefficients, Plan, Stage
from ..types import Amps, Precision
from .contract import Backend
from .control import RunControl
from .cuda_backend import CudaBackend
from .cuda_device import DeviceArray
from .cupy_cuda import CupyDevice

__all__ = ["CuStateVecBackend"]

#: A permutation becomes a matrix, because cuStateVec's own table has a direction that its reference does not state.
WIDEST_PERMUTATION = 10


class CuStateVecBackend(CudaBackend):
    """cuStateVec on CuPy's current device; tests give stand-ins for both modules."""

    name = "custatevec"

    def __init__(self, cuquantum: Any = None, device: CupyDevice | None = None) -> None:
        try:
            self._types: Any = cuquantum or importlib.import_module("cuquantum")
            self._calls: Any = (
                cuquantum.custatevec if cuquantum else importlib.import_module("cuquantum.bindings.custatevec")
            )
        except ImportError as error:
            remedy = "pip install cuquantum-python-cu13 (or -cu12)"
            raise BackendUnavailableError(expected("cuStateVec", "an installed one", error, remedy)) from None
        super().__init__(device or CupyDevice())
        self.description = f"cuStateVec {self._calls.get_version()} on {self.device.properties.name}"
        self._handle = self._calls.create()

    def __del__(self) -> None:
        if handle := getattr(self, "_handle", None):
            self._calls.destroy(handle)

    # One operation at a time, not the launches of CudaBackend.
    run_from_zero = Backend.run_from_zero
    run_adjoint = Backend.run_adjoint

    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        offsets = plan.passes.op_offset
        for number in stage.passes:
            control.poll()
            kinds = plan.ops.kind[offsets[number] : offsets[number + 1]]
            if plan.num_qubits == 0 or (kinds == OpKind.INITIALIZE).any():
                super().run_stage(plan, replace(stage, passes=range(number, number + 1)), coefficients, amps, control)
                continue
            for row in range(int(offsets[number]), int(offsets[number + 1])):
                for b in range(len(amps)):
                    self._apply(plan, row, coefficients, amps[b : b + 1], b)
        self.device.synchronize()

    def _apply(self, plan: Plan, row: int, coefficients: Coefficients, state: Amps, b: int) -> None:
        ops, kind, data = plan.ops, OpKind(int(plan.ops.kind[row])), int(plan.ops.data[row])
        targets, letters = ops.targets(row).tolist(), ops.target_tags(row).tolist()
        controls, values = ops.controls(row).tolist(), ops.control_values(row).tolist()
        if kind in (OpKind.ROTATION, OpKind.PHASE):
            rows = coefficients.values
            angle = float(rows[min(b, len(rows) - 1), data])
        if kind is OpKind.ROTATION:
            names = {code: getattr(self._calls.Pauli, letter) for letter, code in PAULI_CODE.items()}
            paulis = [names[letter] for letter in letters]
            address, dtype, n = self._state(state)
            # It applies exp(i theta P), we exp(-i angle/2 P).
            self._calls.apply_pauli_rotation(
                self._handle,
                address,
                dtype,
                n,
                -0.5 * angle,
                paulis,
                targets,
                len(targets),
                controls,
                values,
                len(controls),
            )
        elif kind is OpKind.PHASE:
            turn = np.exp(1j * angle)
            if controls:  # one of them as a target
                diagonal = [1, turn] if values[-1] else [turn, 1]
                self._matrix(state, np.diag(diagonal), [controls[-1]], controls[:-1], values[:-1])
            else:
                self._matrix(state, turn * np.eye(2), [0], [], [])
        elif kind is OpKind.DIAGONAL:
            self._diagonal(state, np.asarray(coefficients.operands[data]), targets, controls, values)
        elif kind is OpKind.DENSE:
            self._matrix(state, np.asarray(coefficients.operands[data]), targets, controls, values)
        elif kind is OpKind.PERMUTATION:
            if len(targets) > WIDEST_PERMUTATION:
                allowed = f"at most {WIDEST_PERMUTATION} targets"
                raise UnsupportedError(expected("permutation on cuStateVec", allowed, len(targets), "Use native_cuda."))
            matrix = np.zeros((2 ** len(targets),) * 2)
            matrix[np.asarray(coefficients.operands[data]), np.arange(len(matrix))] = 1
            self._matrix(state, matrix, targets, controls, values)
        else:
            raise UnsupportedError(expected("operation of a stage", "one on amplitudes", kind.name.lower()))

    def _state(self, state: Any) -> tuple[int, int, int]:
        """Return address, data type and qubits of one state."""
        single = Precision.of(state.dtype) is Precision.SINGLE
        types = self._types.cudaDataType
        return state.address, int(types.CUDA_C_32F if single else types.CUDA_C_64F), state.shape[1].bit_length() - 1

    def _workspace(self, size: int) -> tuple[DeviceArray | None, int]:
        array = self.device.array((size,), np.uint8) if size else None
        return array, 0 if array is None else array.address

    def _matrix(
        self,
        state: Amps,
        matrix: npt.NDArray[Any],
        targets: Sequence[int],
        controls: Sequence[int],
        values: Sequence[int],
    ) -> None:
        address, dtype, n = self._state(state)
        types, calls = self._types.ComputeType, self._calls
        compute = int(types.COMPUTE_32F if Precision.of(state.dtype) is Precision.SINGLE else types.COMPUTE_64F)
        host = np.ascontiguousarray(matrix, state.dtype)
        layout = int(calls.MatrixLayout.ROW)
        size = calls.apply_matrix_get_workspace_size(
            self._handle, dtype, n, host.ctypes.data, dtype, layout, 0, len(targets), len(controls), compute
        )
        held, place = self._workspace(size)
        calls.apply_matrix(
            self._handle, address, dtype, n, host.ctypes.data, dtype, layout, 0, targets, len(targets), controls, values,
            len(controls), compute, place, size,
        )  # fmt: skip
        self._after(held)

    def _diagonal(
        self,
        state: Amps,
        factors: npt.NDArray[Any],
        targets: Sequence[int],
        controls: Sequence[int],
        values: Sequence[int],
    ) -> None:
        address, dtype, n = self._state(state)
        host, stay = np.ascontiguousarray(factors, state.dtype), np.arange(len(factors), dtype=np.int64)
        places = (stay.ctypes.data, host.ctypes.data, dtype)
        size = self._calls.apply_generalized_permutation_matrix_get_workspace_size(
            self._handle, dtype, n, *places, targets, len(targets), len(controls)
        )
        held, place = self._workspace(size)
        self._calls.apply_generalized_permutation_matrix(
            self._handle,
            address,
            dtype,
            n,
            *places,
            0,
            targets,
            len(targets),
            controls,
            values,
            len(controls),
            place,
            size,
        )
        self._after(held)

    def _after(self, workspace: DeviceArray | None) -> None:
        """Keep a workspace until the card is done with it."""
        if workspace is not None:
            self.device.synchronize()
