"""What a run takes, as data and as text."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from qsim import Circuit, Parameter, Simulator
from qsim.costs import ranges
from qsim_core.errors import MemoryBudgetError, ShapeError, UnsupportedError
from qsim_core.kernels import registry

pytestmark = pytest.mark.skipif(registry.availability("native_cpu") is not None, reason="the core was not built here")


@pytest.fixture(autouse=True)
def defaults(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSIM_CACHE_DIR", str(tmp_path))


def layered(num_qubits: int) -> Circuit:
    circuit = Circuit(num_qubits).h(range(num_qubits))
    for k in range(4):
        for q in range(num_qubits - 1):
            circuit.cz(q, q + 1)
        circuit.rx(Parameter(f"a{k}"), range(num_qubits))
    return circuit


def test_sums_are_those_of_the_groups() -> None:
    costs = Simulator("native_cpu", "single", threads=2).compile(layered(18)).costs()
    data = json.loads(json.dumps(costs.to_json()))
    for name in ("bytes_moved", "flops"):
        assert data[name] == pytest.approx(sum(group[name] for group in data["groups"])) and data[name] > 0
    assert sum(group["operations"] for group in data["groups"]) == len(costs.plan.ops)
    assert data["predicted_seconds"] > sum(group["predicted_seconds"] for group in data["groups"])
    assert data["measured_seconds"] is None


def test_more_gates_and_qubits_take_longer() -> None:
    simulator = Simulator("native_cpu", threads=1)
    times = [simulator.compile(layered(n)).costs().predicted_seconds or 0.0 for n in (16, 20, 24, 40)]
    assert times[0] > 0 and all(b > 10 * a for a, b in itertools.pairwise(times))


def test_measuring_runs_it() -> None:
    compiled = Simulator("native_cpu", threads=1).compile(layered(14))
    values = np.linspace(0.1, 0.4, 4)
    costs = compiled.costs(values, measure=True)
    assert costs.measured_seconds is not None
    assert 0 < sum(work.seconds for work in costs.works) <= costs.measured_seconds
    assert "predicted  measured" in compiled.explain(values, measure=True)
    assert "predicted  local" in compiled.explain(values)


def test_explain_shows_every_group() -> None:
    text = Simulator("native_cpu", "single", threads=3).compile(layered(20)).explain()
    lines = text[text.index("predicted") :].splitlines()
    assert "3 threads" in lines[-1] and "defaults" in lines[-1] and len(lines) >= 3
    assert all(word in text for word in ("passes", "bytes", "GFLOP", "predicted", "local qubits"))


def test_values_matter_and_are_optional() -> None:
    compiled = Simulator("native_cpu").compile(layered(16))
    assert compiled.costs(np.zeros(4)).flops < compiled.costs().flops  # a rotation by nothing costs nothing
    with pytest.raises(ShapeError, match="one set"):
        compiled.costs(np.zeros((2, 4)))


def test_backends_that_do_not_count_give_bytes_only() -> None:
    costs = Simulator("reference").compile(Circuit(3).h(0).cx(0, 1)).costs()
    assert costs.predicted_seconds is None and costs.bytes == 2 * 2 * 16 * 8 and costs.flops == 0
    assert "not predicted" in costs.lines()[-1] and "GFLOP" not in costs.lines()[0]
    with pytest.raises(UnsupportedError, match="counts its work"):
        Simulator("reference").compile(Circuit(1).h(0)).costs(measure=True)


def test_what_can_not_be_measured_is_refused() -> None:
    branching = Circuit(2, 2).h(0).measure(0, 0).h(0).measure(0, 1)
    assert Simulator("native_cpu").compile(branching).costs().bytes > 0
    with pytest.raises(UnsupportedError, match="before its end"):
        Simulator("native_cpu").compile(branching).costs(measure=True)
    with pytest.raises(MemoryBudgetError):
        Simulator("native_cpu").compile(Circuit(50).h(range(50))).costs(measure=True)


@pytest.mark.parametrize(("qubits", "text"), [((), ""), ((3,), "3"), ((0, 1, 2, 9), "0-2 9"), ((1, 3, 4), "1 3-4")])
def test_ranges(qubits: tuple[int, ...], text: str) -> None:
    assert ranges(qubits) == text
