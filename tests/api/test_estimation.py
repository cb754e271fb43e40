"""Sampled estimates: unbiased, with the error they say; groups commute qubit by qubit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Hermitian, Parameter, PauliSum, Simulator
from qsim.estimation import commuting_groups, shared_groups
from qsim_core import batch
from qsim_core.errors import ParameterError, ShapeError, UnsupportedError

TERMS = st.lists(
    st.tuples(st.text("IXYZ", min_size=4, max_size=4), st.floats(-2, 2).filter(bool)), min_size=1, max_size=12
)


def circuit() -> Circuit:
    result = Circuit(4)
    for qubit in range(4):
        result.ry(0.4 * qubit + 0.3, qubit).rz(0.7, qubit)
    return result.cx(0, 1).cx(2, 3).cx(1, 2).rx(0.5, 2)


@settings(max_examples=40, deadline=None)
@given(terms=TERMS)
def test_groups_commute_qubit_by_qubit_and_add_up(terms: list[tuple[str, float]]) -> None:
    total = PauliSum([(letters, range(4), c) for letters, c in terms])
    groups = commuting_groups(total)
    for group in groups:
        rows = list(zip(group.terms.x_masks.tolist(), group.terms.z_masks.tolist(), strict=True))
        for (x1, z1), (x2, z2) in itertools.combinations(rows, 2):
            for q in range(4):
                letters = {(x1 >> q & 1, z1 >> q & 1), (x2 >> q & 1, z2 >> q & 1)} - {(0, 0)}
                assert len(letters) <= 1
    assert sum(groups, PauliSum([])) == total
    assert len(groups) <= len(total)


def test_estimates_have_the_mean_and_the_error_they_say() -> None:
    simulator, total = Simulator(seed=5), PauliSum("X0 X1 + 0.5*Z0 Y2 - 0.3*Z3 + 2 + Y3 Z2 X1 - 1.5*Z0 Z1")
    compiled = simulator.compile(circuit())
    exact = simulator.run(circuit()).expectation(total)
    found = [compiled.estimate(observable=total, shots=400) for _ in range(60)]
    pulls = np.array([(one.mean - exact) / one.standard_error for one in found])
    assert abs(pulls.mean()) < 4 / np.sqrt(60) and 0.7 < pulls.std() < 1.35
    assert all(one.groups == 2 and one.shots == 400 for one in found)


def test_a_certain_value_has_no_error() -> None:
    found = (
        Simulator(seed=1)
        .compile(Circuit(2).h(0).cx(0, 1).measure_all())
        .estimate(observable="X0 X1 + Z0 Z1 - Y0 Y1 + 1", shots=600)
    )
    assert found.mean == pytest.approx(4, abs=1e-12) and found.standard_error == 0 and found.groups == 3
    assert Simulator().compile(Circuit(1)).estimate(observable="2*I", shots=1).mean == 2


def test_groups_follow_each_other_on_one_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stabilisers of a state are certain, and every qubit is turned from each letter to each other."""
    runs = []
    original = batch.run_batch
    monkeypatch.setattr(batch, "run_batch", lambda *args, **options: runs.append(1) or original(*args, **options))
    prepared = Circuit(4).h(0).cx(0, 1).h(2).s(2).h(3).sdg(3).cz(2, 3)
    # Bell pair: XX, ZZ, -YY; Y2 and -Y3 become Y2 Z3 and -Z2 Y3, their product is -X2 X3
    strings = ["X0 X1 Y2 Z3", "Z0 Z1 - Z2 Y3", "-Y0 Y1 Y2 Z3", "-Z0 Z1 X2 X3", "X0 X1 - Y0 Y1", "3"]
    found = Simulator(seed=2).compile(prepared).estimate(observable=" + ".join(strings).replace("+ -", "- "), shots=500)
    assert found.mean == pytest.approx(10, abs=1e-12) and found.standard_error == 0 and found.groups >= 4
    assert len(runs) == 1


@settings(max_examples=25, deadline=None)
@given(terms=st.lists(TERMS, min_size=1, max_size=3))
def test_moments_of_all_outcomes_are_those_of_the_state(terms: list[list[tuple[str, float]]]) -> None:
    """Outcomes weighted by their probabilities give the exact mean of every sum, and the variance of its diagonal."""
    sums = [PauliSum([(letters, range(4), c) for letters, c in rows]) for rows in terms]
    found = shared_groups(sums)
    assert np.allclose(found.constants, [dict(_strings(one)).get((0, 0), 0.0) for one in sums])
    total = [sum(dict(_strings(one)).values()) for one in sums]
    weights = np.array([group.weights.sum(axis=0) for group in found.groups]).reshape(-1, len(sums))
    assert np.allclose(found.constants + weights.sum(axis=0), total)
    outcomes, counts = np.arange(16, dtype=np.uint64), np.arange(1, 17)
    for group in found.groups:
        signs = np.array([[(-1) ** (int(m) & k).bit_count() for m in group.x_masks | group.z_masks] for k in range(16)])
        values = signs @ group.weights
        mean, variance = group.moments(outcomes, counts)
        assert np.allclose(mean, np.average(values, axis=0, weights=counts))
        assert np.allclose(variance, np.average((values - mean) ** 2, axis=0, weights=counts))


def _strings(total: PauliSum) -> list[tuple[tuple[int, int], float]]:
    terms = total.terms
    masks = zip(terms.x_masks.tolist(), terms.z_masks.tolist(), strict=True)
    return list(zip(masks, terms.coefficients.tolist(), strict=True))


def test_shots_depend_on_the_seed_alone() -> None:
    def means(seed: int, threads: int) -> list[float]:
        compiled = Simulator(seed=seed, threads=threads).compile(circuit())
        return [compiled.estimate(observable="X0 + Y1 Z2 + Z0", shots=300).mean for _ in range(3)]

    assert means(4, 1) == means(4, 2) and len(set(means(4, 1))) == 3 and means(4, 1) != means(5, 1)


def test_refusals() -> None:
    compiled = Simulator().compile(circuit())
    with pytest.raises(ParameterError, match="at least 4, 2 per group"):
        compiled.estimate(observable="X0 + Z0", shots=3)
    with pytest.raises(UnsupportedError, match="a Pauli sum, got Hermitian"):
        compiled.estimate(observable=Hermitian(np.eye(2), (0,)), shots=10)
    turned = Simulator().compile(Circuit(1).ry(Parameter("a"), 0))
    with pytest.raises(ShapeError, match="one set, got 2"):
        turned.estimate([[0.1], [0.2]], observable="X0", shots=10)
    with pytest.raises(UnsupportedError, match="at their end"):
        Simulator().compile(Circuit(1, 1).measure(0, 0).h(0)).estimate(observable="X0", shots=10)
