"""Cirq's own tests of its simulator, the file in its wheel, run with our class in the place of ``cirq.Simulator``."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

cirq = pytest.importorskip("cirq")

from qsim.adapters.cirq import QsimSimulator  # noqa: E402
from qsim.adapters.cirq.engine import Engine  # noqa: E402

SOURCE = Path(importlib.util.find_spec("cirq").origin).parent / "sim" / "sparse_simulator_test.py"  # type: ignore[union-attr, arg-type]

#: Tests that do not pass, each with its reason. Reviewed: none may be added without one.
MISSES: dict[str, str] = {}

_ERROR, _QUDITS, _EMPTY = "raises before anything runs", "has a qudit", "has no gate on a qubit"
#: Tests in which the engine need not run, each with its reason. In all others the call counter must count.
WITHOUT_ENGINE: dict[str, str] = {
    "test_invalid_dtype": _ERROR,
    "test_invalid_run_no_unitary": _ERROR,
    "test_compute_amplitudes_bad_input": _ERROR,
    "test_run_empty_circuit": _ERROR,
    "test_run_no_measurements": _ERROR,
    "test_run_no_results": _ERROR,
    "test_run_sweep_parameters_not_resolved": _ERROR,
    "test_simulate_sweep_parameters_not_resolved": _ERROR,
    "test_sample_from_amplitudes_nonunitary_fails": _ERROR,
    "test_run_measure_at_end_no_repetitions": "asks for no repetitions",
    "test_run_measurement_not_terminal_no_repetitions": "asks for no repetitions",
    "test_run_reset": _QUDITS,
    "test_simulate_qudits": _QUDITS,
    "test_simulate_qudit_mixtures": _QUDITS,
    "test_simulate_mixtures": _EMPTY,  # a bit flip and a measurement, one history: drawn by Cirq
    "test_simulate_measurement_inversions": _EMPTY,
    "test_simulate_moment_steps_empty_circuit": _EMPTY,
    "test_simulate_no_circuit": _EMPTY,
    "test_pure_state_creation": _EMPTY,
    "test_simulator_step_state_mixin": "builds a state of Cirq's own by hand",
    "test_sparse_simulator_repr": "builds a state of Cirq's own by hand",
    "test_does_not_modify_initial_state": "its gate is not unitary: Cirq applies it",
}


class _Cirq:
    """The module ``cirq`` with another simulator."""

    Simulator = QsimSimulator

    def __getattr__(self, name: str) -> Any:
        return getattr(cirq, name)


def _load() -> dict[str, Any]:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if not (isinstance(node, ast.Import) and node.names[0].name == "cirq")]
    namespace: dict[str, Any] = {"cirq": _Cirq(), "__name__": __name__}
    exec(compile(tree, str(SOURCE), "exec"), namespace)
    return {name: value for name, value in namespace.items() if name.startswith("test_")}


TESTS = _load()
NUM_TESTS = 79
globals().update(TESTS)


@pytest.fixture(autouse=True)
def _count(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Note how often the engine runs in a test, and expect the misses."""
    name = request.node.originalname
    if name in MISSES:
        request.applymarker(pytest.mark.xfail(reason=MISSES[name], strict=True))
    before = Engine.total_runs
    yield
    if name in TESTS and name not in WITHOUT_ENGINE and name not in MISSES:
        assert Engine.total_runs > before, "the engine did not run"


def test_the_file_is_the_one_reviewed() -> None:
    """Cirq 1.7 has 79 functions, 195 cases with their parameters; of a later version at least as many."""
    assert len(TESTS) >= NUM_TESTS
    assert set(WITHOUT_ENGINE) | set(MISSES) <= set(TESTS)
