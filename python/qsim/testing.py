"""A kit for whoever writes an adapter: circuits that a wrong bit order, sign or global phase can't pass.

(For backends the kit is :mod:`qsim_core.testing`.)

>>> import qsim
>>> def run_circuit(num_qubits, gates):
...     circuit = qsim.Circuit(num_qubits)
...     for gate in gates:
...         circuit.append(gate.name, gate.qubits, gate.params)
...     return qsim.Simulator().run(circuit).state_vector
>>> assert_adapter_conforms(run_circuit)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from qsim_core.gates import GATES, GateSpec
from qsim_core.types import ComplexArray

__all__ = ["Gate", "RunCircuit", "assert_adapter_conforms", "circuits", "definition"]


@dataclass(frozen=True)
class Gate:
    """One gate of the table on numbered qubits, as plain data.

    Attributes:
        name: of the table (``docs/gates.md``), for frameworks that have the gate under a name of their own.
        params: in radians, unless the table says otherwise.
        qubits: its controls first.
    """

    name: str
    params: tuple[float, ...]
    qubits: tuple[int, ...]

    @cached_property
    def matrix(self) -> ComplexArray:
        """For frameworks that don't: shape (2^k, 2^k), ``qubits[0]`` is bit 0 of the indices."""
        return GATES[self.name].matrix(*self.params)


#: Runs gates one after the other from |0…0⟩ through an adapter; returns the amplitudes as the framework gives them.
RunCircuit: TypeAlias = Callable[[int, Sequence[Gate]], Any]


def circuits(num_qubits: int = 5, seed: int = 1, count: int = 10) -> Iterator[tuple[str, tuple[Gate, ...]]]:
    """Yield named circuits: every gate of the table on wires in any order, then random ones.

    Each begins with another rotation on every qubit, so that no two qubits are alike.
    """
    rng = np.random.default_rng(seed)

    def gate(spec: GateSpec) -> Gate:
        angles = rng.uniform(-3, 3, spec.num_params).round(3)
        return Gate(spec.name, tuple(angles.tolist()), tuple(rng.permutation(num_qubits)[: spec.num_qubits].tolist()))

    start = [Gate("ry", (round(0.3 + 0.5 * q, 3),), (q,)) for q in range(num_qubits)]
    known = [spec for spec in GATES.values() if spec.num_qubits <= num_qubits]
    for spec in known:
        one = gate(spec)
        yield f"{one.name} on {one.qubits}", (*start, one)
    for k in range(count):
        chosen = rng.choice(len(known), size=12)
        yield f"random circuit {k}", (*start, *(gate(known[i]) for i in chosen))


def definition(num_qubits: int, gates: Sequence[Gate]) -> ComplexArray:
    """Return the amplitudes by definition: one matrix after the other, in NumPy; qubit q is bit q of the index."""
    state = np.zeros((2,) * num_qubits, dtype=np.complex128)
    state[(0,) * num_qubits] = 1
    for gate in gates:
        width = len(gate.qubits)
        axes = [num_qubits - 1 - q for q in reversed(gate.qubits)]  # the highest bit of the matrix comes first
        tensor = gate.matrix.reshape((2,) * 2 * width)
        state = np.moveaxis(np.tensordot(tensor, state, (range(width, 2 * width), axes)), range(width), axes)
    return state.reshape(-1)


def assert_adapter_conforms(
    run_circuit: RunCircuit,
    *,
    big_endian: bool = False,
    global_phase: bool = True,
    num_qubits: int = 5,
    seed: int = 1,
    tolerance: float = 1e-10,
) -> None:
    """Walk :func:`circuits` through an adapter and compare the states with their definition.

    Args:
        run_circuit: see :data:`RunCircuit`.
        big_endian: whether the framework's qubit 0 is the highest bit of an index (PennyLane, Cirq, Qibo).
        global_phase: whether the framework defines it; without, states are compared up to one.
        num_qubits: of every circuit, at least 5 for all gates of the table.
        seed: of wires and angles.
        tolerance: largest deviation of an amplitude.

    Raises:
        AssertionError: naming the first circuit that differs, and whether its state is right in the other bit order.
    """
    for name, gates in circuits(num_qubits, seed):
        wanted = definition(num_qubits, gates)
        mirrored = wanted.reshape((2,) * num_qubits).transpose().reshape(-1)
        if big_endian:
            wanted, mirrored = mirrored, wanted
        found = np.asarray(run_circuit(num_qubits, gates)).reshape(-1)
        assert found.shape == wanted.shape, f"{name}: {found.size} amplitudes, expected {wanted.size}"
        if _deviation(found, wanted, global_phase) > tolerance:
            hint = (
                " It is right in the other bit order." if _deviation(found, mirrored, global_phase) <= tolerance else ""
            )
            deviation = _deviation(found, wanted, global_phase)
            raise AssertionError(f"{name}: an amplitude is wrong by {deviation:.3g}.{hint}")


def _deviation(found: ComplexArray, wanted: ComplexArray, global_phase: bool) -> float:
    if not global_phase:
        overlap = np.vdot(wanted, found)
        found = found * (np.conj(overlap) / abs(overlap) if overlap else 1)
    return float(np.abs(found - wanted).max())
