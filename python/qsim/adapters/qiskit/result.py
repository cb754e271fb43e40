"""Results in Qiskit's form: counts and memory as hexadecimal numbers, and the header that it prints them by."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.result.models import ExperimentResult, ExperimentResultData

from qsim.result import Result
from qsim_core.executor import Words

__all__ = ["bits_from", "experiment_result", "register_bytes"]


def experiment_result(
    circuit: QuantumCircuit, result: Result | None, *, shots: int, memory: bool, saved: dict[str, Any], **fields: Any
) -> ExperimentResult:
    """Return what Qiskit's Result holds for one circuit; ``result`` is None where it measures nothing."""
    data: dict[str, Any] = dict(saved)
    if result is not None and result.shots is not None:
        data["counts"] = _counts(result, circuit.num_clbits)
        if memory and result.packed_samples is not None:
            data["memory"] = _hexadecimal(result.packed_samples, circuit.num_clbits)
    header = {
        "name": circuit.name,
        "metadata": circuit.metadata or {},
        "n_qubits": circuit.num_qubits,
        "memory_slots": circuit.num_clbits,
        "qreg_sizes": [[register.name, register.size] for register in circuit.qregs],
        "creg_sizes": [[register.name, register.size] for register in circuit.cregs],
        "global_phase": circuit.global_phase,
    }
    return ExperimentResult(shots, True, ExperimentResultData(**data), status="DONE", header=header, **fields)


def _counts(result: Result, num_clbits: int) -> dict[str, int]:
    """Return counts by hexadecimal number, without the bits of classical variables."""
    words, numbers = result.count_arrays()
    counts: dict[str, int] = {}
    for key, count in zip(_hexadecimal(words, num_clbits), numbers.tolist(), strict=True):
        counts[key] = counts.get(key, 0) + count
    return counts


def _hexadecimal(words: Words, num_clbits: int) -> list[str]:
    """Return every row of words as a hexadecimal number."""
    if words.shape[1] == 1:
        return list(map(hex, (words[:, 0] & np.uint64((1 << num_clbits) - 1)).tolist()))
    return [hex(int.from_bytes(row, "big")) for row in register_bytes(words, range(num_clbits))]


def register_bytes(words: Words, clbits: Any) -> npt.NDArray[np.uint8]:
    """Return some classical bits of every shot as big-endian bytes, shape (…, shots, bytes), as a BitArray holds them.

    ``clbits[0]`` is the least significant bit of the last byte.
    """
    clbits = tuple(clbits)
    columns = [_byte(words, clbits[start : start + 8]) for start in range(0, len(clbits), 8)]
    return np.stack(columns[::-1], axis=-1) if columns else np.zeros((*words.shape[:-1], 0), dtype=np.uint8)


def _byte(words: Words, clbits: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Return up to 8 classical bits as one number, with one shift where they stand together in a word."""
    word, first = divmod(clbits[0], 64)
    together = clbits == tuple(range(clbits[0], clbits[0] + len(clbits))) and first + len(clbits) <= 64
    if together:
        return ((words[..., word] >> np.uint64(first)) & np.uint64((1 << len(clbits)) - 1)).astype(np.uint8)
    total = np.zeros(words.shape[:-1], dtype=np.uint8)
    for k, clbit in enumerate(clbits):
        total |= ((words[..., clbit // 64] >> np.uint64(clbit % 64)) & np.uint64(1)).astype(np.uint8) << np.uint8(k)
    return total


def bits_from(words: Words, first: int) -> npt.NDArray[np.uint64]:
    """Return 64 classical bits of every shot, or what there is of them, as one number; ``first`` is its bit 0."""
    word, shift = divmod(first, 64)
    found: npt.NDArray[np.uint64] = words[:, word] >> np.uint64(shift)
    if shift and word + 1 < words.shape[1]:
        found |= words[:, word + 1] << np.uint64(64 - shift)
    return found
