"""Circuits by others: every MQT Bench circuit that exports to OpenQASM 2, through ``qsim run``, against Qiskit."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from qsim.cli import main
from qsim_core.kernels import registry
from qsim_core.types import Precision

bench = pytest.importorskip("mqt.bench")
qiskit = pytest.importorskip("qiskit")

#: 1 - fidelity allowed, by precision.
BOUND = {"double": 1e-12, "single": 1e-6}
#: At least this many circuits must be built at each size, so that a broken import can't pass unnoticed.
LEAST = {5: 21, 10: 25}


@functools.cache
def _circuits(num_qubits: int) -> dict[str, tuple[str, np.ndarray]]:
    """OpenQASM 2 text and Qiskit's state of each target-independent benchmark that exists at this size."""
    from mqt.bench.benchmarks import get_available_benchmark_names
    from qiskit import qasm2
    from qiskit.quantum_info import Statevector

    found = {}
    for name in get_available_benchmark_names():
        if name == "shor":  # 18 qubits at least, and 20 s to build
            continue
        try:
            circuit = bench.get_benchmark(name, level=bench.BenchmarkLevel.INDEP, circuit_size=num_qubits)
            text = qasm2.dumps(circuit)
        except (ValueError, TypeError, qasm2.QASM2ExportError):  # no such size, or not expressible in OpenQASM 2
            continue
        unmeasured = circuit.copy_empty_like()
        for instruction in circuit.data:
            if instruction.operation.name not in ("measure", "barrier"):
                unmeasured.append(instruction)
        found[name] = (text, Statevector(unmeasured).data)
    return found


@pytest.mark.parametrize("num_qubits", LEAST)
def test_everything_is_built(num_qubits: int) -> None:
    assert len(_circuits(num_qubits)) >= LEAST[num_qubits]


@pytest.mark.parametrize("precision", BOUND)
@pytest.mark.parametrize("backend", registry.names())
@pytest.mark.parametrize("num_qubits", LEAST)
def test_run_agrees_with_qiskit(num_qubits: int, backend: str, precision: str, tmp_path: Path) -> None:
    reason = registry.availability(backend)
    if reason:
        pytest.skip(f"{backend}: {reason}")
    for name, (text, expected) in _circuits(num_qubits).items():
        source, state = tmp_path / f"{name}.qasm", tmp_path / f"{name}.npy"
        source.write_text(text)
        options = ["--backend", backend, "--precision", precision, "--seed", "1", "--shots", "64"]
        outcome = CliRunner().invoke(main, ["run", str(source), *options, "--statevector", str(state), "--json", "-"])
        assert outcome.exit_code == 0, f"{name}: {outcome.output}"
        report = json.loads(outcome.stdout)
        assert (report["backend"], report["precision"], report["num_qubits"]) == (
            backend,
            precision,
            len(expected).bit_length() - 1,
        )
        assert sum(report["counts"].values()) == 64
        ours = np.load(state).astype(np.complex128)
        norm = np.vdot(ours, ours).real
        fidelity = abs(np.vdot(expected, ours)) ** 2 / norm
        assert 1 - fidelity <= BOUND[precision], name
        # A gate's rounded coefficients change the norm by at most 4 units of round-off, always the same way at worst.
        gates = report["provenance"]["plan"]["ops"]
        assert abs(norm - 1) <= 4 * gates * Precision.of(precision).epsilon + 1e-12, name
