"""Fixtures of all tests: every backend in every precision (skipped with its reason where it can't run), and oracles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qsim import Circuit, Simulator
from qsim_core.gates import gate
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.types import ComplexArray, Precision

#: Gates that Qiskit has under the same name, with the same wires and parameters.
SHARED_GATES = [
    "x",
    "y",
    "z",
    "h",
    "s",
    "sdg",
    "t",
    "tdg",
    "sx",
    "sxdg",
    "rx",
    "ry",
    "rz",
    "p",
    "u",
    "cx",
    "cy",
    "cz",
    "ch",
    "cp",
    "crx",
    "cry",
    "crz",
    "cu",
    "csx",
    "swap",
    "iswap",
    "ccx",
    "ccz",
    "cswap",
    "rxx",
    "ryy",
    "rzz",
    "ecr",
    "dcx",
    "rccx",
    "r",
]


def available(name: str) -> Backend:
    """Return a backend, or skip the test and say why it can't run here."""
    reason = registry.availability(name)
    if reason is not None:
        pytest.skip(f"backend {name}: {reason}")
    return registry.backend(name)


@pytest.fixture(params=registry.names())
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every backend that can be used here."""
    return available(request.param)


@pytest.fixture(params=list(Precision), ids=lambda precision: precision.value)
def precision(request: pytest.FixtureRequest) -> Precision:
    """Both precisions."""
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
def simulator(backend: Backend, precision: Precision) -> Simulator:
    """Every backend in both precisions, seed 7."""
    return Simulator(backend.name, precision, seed=7)


@pytest.fixture
def tolerance(precision: Precision) -> float:
    """Largest error of an amplitude of the short circuits of these tests."""
    return 2e-6 if precision is Precision.SINGLE else 1e-12


@pytest.fixture(scope="session")
def random_pair() -> Callable[..., tuple[Circuit, Any]]:
    """``random_pair(seed, num_qubits, num_gates)``: the same random circuit for qsim and for Qiskit."""
    qiskit = pytest.importorskip("qiskit")
    library = pytest.importorskip("qiskit.circuit.library")
    classes = {k: v for k, v in library.get_standard_gate_name_mapping().items() if k in SHARED_GATES}

    def build(seed: int, num_qubits: int, num_gates: int) -> tuple[Circuit, Any]:
        rng = np.random.default_rng(seed)
        ours, theirs = Circuit(num_qubits), qiskit.QuantumCircuit(num_qubits)
        for _ in range(num_gates):
            spec = gate(str(rng.choice(SHARED_GATES)))
            if spec.num_qubits > num_qubits:
                continue
            wires = rng.permutation(num_qubits).tolist()
            qubits, rest = wires[: spec.num_qubits], wires[spec.num_qubits :]
            params = rng.uniform(-6, 6, spec.num_params).tolist()
            controls = rest[: int(rng.integers(0, 3)) if rng.random() < 0.4 else 0]
            values = rng.integers(0, 2, len(controls)).tolist()
            ours.append(spec, qubits, params, controls, values)
            other = classes[spec.name].base_class(*params)
            if controls:
                other = other.control(
                    len(controls), ctrl_state=sum(v << k for k, v in enumerate(values)), annotated=False
                )
            theirs.append(other, controls + qubits)
            if rng.random() < 0.1:
                angle = float(rng.uniform(-3, 3))
                ours.global_phase(angle)
                theirs.global_phase += angle
        return ours, theirs

    return build


@pytest.fixture(scope="session")
def random_state() -> Callable[[int, int], ComplexArray]:
    """``random_state(seed, num_qubits)``: a normalised state, uniform on the sphere."""

    def build(seed: int, num_qubits: int) -> ComplexArray:
        rng = np.random.default_rng(seed)
        state = rng.normal(size=2**num_qubits) + 1j * rng.normal(size=2**num_qubits)
        return state / np.linalg.norm(state)  # type: ignore[no-any-return]

    return build


@pytest.fixture(scope="session")
def dense_pauli() -> Callable[[int, str, list[int]], ComplexArray]:
    """``dense_pauli(num_qubits, letters, qubits)``: a Pauli string as a matrix, by Kronecker products."""
    single = {
        "I": np.eye(2),
        "X": np.array([[0, 1], [1, 0]]),
        "Y": np.array([[0, -1j], [1j, 0]]),
        "Z": np.diag([1, -1]),
    }

    def build(num_qubits: int, letters: str, qubits: list[int]) -> ComplexArray:
        by_qubit = dict(zip(qubits, letters, strict=True))
        result = np.eye(1, dtype=np.complex128)
        for qubit in range(num_qubits):
            result = np.kron(single[by_qubit.get(qubit, "I")], result)
        return result

    return build
