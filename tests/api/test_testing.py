"""The kit for adapters passes what is right and finds what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import qsim
from qsim.testing import Gate, assert_adapter_conforms, circuits
from qsim_core.gates import GATES


def run(num_qubits: int, gates: Sequence[Gate]) -> Any:
    """Run by matrices; the doctest of the kit runs by names."""
    circuit = qsim.Circuit(num_qubits)
    for gate in gates:
        circuit.unitary(gate.matrix, gate.qubits)
    return qsim.Simulator().run(circuit).state_vector


def mirrored(num_qubits: int, gates: Sequence[Gate]) -> Any:
    return run(num_qubits, gates).reshape((2,) * num_qubits).transpose().reshape(-1)


def test_every_gate_is_walked() -> None:
    assert {gates[-1].name for name, gates in circuits() if " on " in name} == set(GATES)


def test_what_is_right_passes() -> None:
    assert_adapter_conforms(run)
    assert_adapter_conforms(mirrored, big_endian=True)
    assert_adapter_conforms(lambda n, gates: 1j * run(n, gates), global_phase=False)


def changed(change: Callable[[Gate], Gate | None]) -> Any:
    return lambda n, gates: run(n, [new for gate in gates if (new := change(gate)) is not None])


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (mirrored, "other bit order"),
        (lambda n, gates: 1j * run(n, gates), "wrong by"),
        (lambda n, gates: run(n, gates)[:4], "4 amplitudes"),
        (lambda n, gates: run(n, gates).conj(), "wrong by"),
        (changed(lambda g: None if g.name == "ecr" else g), "^ecr"),
        (changed(lambda g: Gate(g.name, g.params, g.qubits[::-1]) if g.name == "rzx" else g), "^rzx"),
        (changed(lambda g: Gate(g.name, tuple(-p for p in g.params), g.qubits) if g.name == "cp" else g), "^cp "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(broken: Any, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_adapter_conforms(broken)
    assert np.isfinite(run(2, [])).all()
