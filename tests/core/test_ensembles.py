"""Overlaps and Gram matrices: blocks are the whole product, in both precisions."""

from __future__ import annotations

import numpy as np
import pytest

from qsim_core import ensembles, testing
from qsim_core.errors import ShapeError
from qsim_core.types import Precision


def test_blocks_are_the_whole_product(precision: Precision, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensembles, "BLOCK", 4)
    rng = np.random.default_rng(0)
    bras, kets = (testing.random_state(rng, 3, count, precision) for count in (11, 6))
    wanted = bras.astype(complex).conj() @ kets.astype(complex).T
    np.testing.assert_allclose(ensembles.overlaps(bras, kets), wanted, atol=1e-15)
    np.testing.assert_allclose(ensembles.fidelities(bras, kets), np.abs(wanted) ** 2, atol=1e-15)
    gram = ensembles.gram(bras)
    np.testing.assert_allclose(gram, np.abs(bras.astype(complex).conj() @ bras.astype(complex).T) ** 2, atol=1e-15)
    np.testing.assert_array_equal(gram, gram.T)


def test_states_of_other_registers_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(N, 2\^n\) and \(M, 2\^n\), got \(1, 2\), \(1, 4\)"):
        ensembles.overlaps(np.eye(1, 2), np.eye(1, 4))
