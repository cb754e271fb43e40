"""The compiled core; see cpp/bindings. Everything here is checked there, and nothing here is public."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, final

import numpy as np
import numpy.typing as npt

from .types import Amps, ComplexArray, FloatArray, IndexArray

Callback: TypeAlias = Callable[[float], None] | None

def isas() -> list[str]: ...
def uniforms(
    seed: int, stream: int, site: int, visit: int, first: int, result: FloatArray, threads: int, rows: int = 1
) -> None: ...
def multinomial(weights: FloatArray, rows: int, shots: int, seed: int, stream: int, site: int) -> IndexArray: ...
def allocate(batch: int, num_qubits: int, single: bool, zero_state: bool = False) -> Amps: ...
def partition(
    columns: tuple[npt.NDArray[Any], ...],
    slices: IndexArray,
    operand_classes: npt.NDArray[np.uint8],
    *,
    num_qubits: int,
    tile_qubits: int,
    low_qubits: int,
    wished_low_qubits: int,
    dense_targets: int,
    permutation_targets: int,
) -> tuple[IndexArray, npt.NDArray[np.uint8], npt.NDArray[np.uint64], IndexArray, IndexArray]: ...
def stamp(
    calls: list[Any],
    stencil_of: Callable[[Any], Stencil | None],
    angle_of: Callable[[Any], tuple[float, tuple[tuple[int, float], ...]] | None],
    num_slots: int,
    num_qubits: int,
    num_clbits: int,
) -> tuple[tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...], tuple[npt.NDArray[Any], ...]] | None: ...
def parities(
    columns: tuple[npt.NDArray[Any], ...],
    values: FloatArray,
    operands: tuple[npt.NDArray[np.generic], ...],
    num_qubits: int,
) -> list[tuple[int, bool]]: ...

@final
class Stencil:
    def __init__(self, num_wires: int, num_params: int, rows: Sequence[tuple[Any, ...]]) -> None: ...

@final
class AngleMap:
    def __init__(self, columns: tuple[FloatArray, IndexArray, IndexArray, FloatArray], num_slots: int) -> None: ...
    def __call__(self, slots: FloatArray) -> FloatArray | None: ...

@final
class KeptPasses:
    def __init__(
        self,
        cpu: Cpu,
        columns: tuple[npt.NDArray[Any], ...],
        passes: tuple[npt.NDArray[Any], ...],
        first: int,
        last: int,
        tile_qubits: int,
    ) -> None: ...
    def run(
        self,
        values: FloatArray,
        operands: tuple[npt.NDArray[np.generic], ...],
        threads: int,
        callback: Callback | None,
        amps: Amps,
        from_zero: bool,
        weigh: bool,
    ) -> FloatArray | None: ...

@final
class Cpu:
    def __init__(self, isa: str = "") -> None: ...
    @property
    def isa(self) -> str: ...
    @property
    def vector_bytes(self) -> int: ...
    def run(
        self,
        columns: tuple[npt.NDArray[Any], ...],
        begin: int,
        end: int,
        values: FloatArray,
        operands: tuple[npt.NDArray[np.generic], ...],
        amps: Amps,
        threads: int,
        callback: Callback,
    ) -> None: ...
    def run_passes(
        self,
        columns: tuple[npt.NDArray[Any], ...],
        passes: tuple[npt.NDArray[Any], ...],
        first: int,
        last: int,
        values: FloatArray,
        operands: tuple[npt.NDArray[np.generic], ...],
        amps: Amps,
        threads: int,
        tile_qubits: int,
        callback: Callback,
        from_zero: bool = False,
        source: Amps | None = None,
        move: tuple[int, int, IndexArray, IndexArray, IndexArray, FloatArray] | tuple[()] = (),
        read: Sequence[int] = (),
    ) -> FloatArray | None: ...
    def profile_passes(
        self,
        columns: tuple[npt.NDArray[Any], ...],
        passes: tuple[npt.NDArray[Any], ...],
        first: int,
        last: int,
        values: FloatArray,
        operands: tuple[npt.NDArray[np.generic], ...],
        num_qubits: int,
        single: bool,
        state: Amps | None,
        threads: int,
        tile_qubits: int,
        callback: Callback,
        from_zero: bool,
    ) -> list[tuple[Any, ...]]: ...
    def run_adjoint(
        self,
        columns: tuple[npt.NDArray[Any], ...],
        passes: tuple[npt.NDArray[Any], ...],
        first: int,
        last: int,
        values: FloatArray,
        operands: tuple[npt.NDArray[np.generic], ...],
        ket: Amps,
        bra: Amps,
        wanted: npt.NDArray[np.uint8],
        threads: int,
        tile_qubits: int,
        callback: Callback,
        to_zero: bool = False,
    ) -> FloatArray | None: ...
    def apply_pauli_sum(
        self,
        amps: Amps,
        x_masks: IndexArray,
        z_masks: IndexArray,
        coefficients: FloatArray,
        out: Amps,
        threads: int,
        callback: Callback,
    ) -> None: ...
    def run_batch(
        self,
        columns: tuple[npt.NDArray[Any], ...],
        begin: int,
        end: int,
        operands: tuple[npt.NDArray[np.generic], ...],
        num_qubits: int,
        single: bool,
        slots: FloatArray,
        angles: tuple[npt.NDArray[Any], ...],
        start: ComplexArray | None,
        terms: tuple[npt.NDArray[Any], ...],
        num_columns: int,
        states: Amps | None,
        threads: int,
        callback: Callback,
    ) -> FloatArray | None: ...
    def turn(self, amps: Amps, costs: FloatArray, angles: FloatArray, threads: int, callback: Callback) -> None: ...
    def fill_zero_state(self, amps: Amps, threads: int) -> None: ...
    def norms(self, amps: Amps, threads: int, callback: Callback) -> FloatArray: ...
    def pauli_overlap(
        self, bra: Amps, ket: Amps, x_mask: int, z_mask: int, threads: int, callback: Callback
    ) -> ComplexArray: ...
    def pauli_expectations(
        self, amps: Amps, x_masks: IndexArray, z_masks: IndexArray, threads: int, callback: Callback
    ) -> FloatArray: ...
    def probabilities(self, amps: Amps, qubits: Sequence[int], threads: int, callback: Callback) -> FloatArray: ...
    def collapse(self, amps: Amps, mask: int, value: int, scale: float, threads: int) -> None: ...
    def regroup(
        self,
        amps: Amps,
        move: tuple[int, int, IndexArray, IndexArray, IndexArray, FloatArray],
        result: Amps,
        threads: int,
        callback: Callback,
    ) -> None: ...
    def sample_counts(
        self,
        amps: Amps,
        shots: int,
        seed: int,
        stream: int,
        site: int,
        threads: int,
        callback: Callback,
        weights: FloatArray | None = None,
    ) -> tuple[IndexArray, IndexArray, IndexArray, FloatArray]: ...
    def sample(
        self, amps: Amps, uniforms: FloatArray, threads: int, callback: Callback, weights: FloatArray | None = None
    ) -> tuple[IndexArray, FloatArray]: ...

def cuda_lower(
    columns: tuple[Any, ...],
    local: npt.NDArray[np.uint64],
    op_offset: npt.NDArray[np.int64],
    first: int,
    last: int,
    values: npt.NDArray[np.float64],
    operands: tuple[Any, ...],
    *,
    batch: int,
    num_qubits: int,
    single: bool,
    max_blocks: int,
    wanted: npt.NDArray[np.uint8] | None = None,
    second: int = 0,
    slopes: int = 0,
    max_slice_bits: int = 0,
    from_zero: bool = False,
    to_zero: bool = False,
) -> tuple[list[tuple[str, int, int, int, int, int, int]], bytes, int]: ...

@final
class CudaDriver:
    def __init__(self, source: str | Mapping[str, int], device: int = 0) -> None: ...
    def name(self) -> str: ...
    def attribute(self, which: int) -> int: ...
    def total_memory(self) -> int: ...
    def free_memory(self) -> int: ...
    def driver_version(self) -> int: ...
    def load(self, image: bytes) -> None: ...
    def allocate(self, size: int) -> int: ...
    def free(self, address: int) -> None: ...
    def upload(self, target: int, source: npt.NDArray[Any]) -> None: ...
    def download(self, target: npt.NDArray[Any], source: int) -> None: ...
    def copy(self, target: int, source: int, size: int) -> None: ...
    def launch(self, work: tuple[str, int, int, int, Sequence[int]]) -> None: ...
    def synchronize(self) -> None: ...
    def use_streams(self) -> None: ...
    def upload_beside(self, target: int, source: npt.NDArray[Any], fresh: bool) -> None: ...
    def record(self, work: Sequence[tuple[str, int, int, int, Sequence[int]]]) -> int: ...
    def replay(self, graph: int) -> None: ...
    def forget(self, graph: int) -> None: ...
