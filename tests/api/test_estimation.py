"""Sampled estimates: unbiased, with the error they say; groups commute qubit by qubit."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Hermitian, PauliSum, Simulator
from qsim.estimation import commuting_groups
from qsim_core.errors import ParameterError, UnsupportedError

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


def test_refusals() -> None:
    compiled = Simulator().compile(circuit())
    with pytest.raises(ParameterError, match="at least 4, 2 per group"):
        compiled.estimate(observable="X0 + Z0", shots=3)
    with pytest.raises(UnsupportedError, match="a Pauli sum, got Hermitian"):
        compiled.estimate(observable=Hermitian(np.eye(2), (0,)), shots=10)
