"""BatchResult: arrays of a whole batch, and the same numbers row by row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from qsim import BatchResult, Circuit, Parameter, Result, Simulator
from qsim_core.errors import UnsupportedError

VALUES = np.random.default_rng(0).uniform(-3, 3, (5, 2))


def batch(**options: object) -> BatchResult:
    circuit = Circuit(3).rx(Parameter("a"), 0).ry(Parameter("b"), 1).cx(0, 2).measure_all()
    return Simulator("reference", seed=3).compile(circuit).run_batch(VALUES, **options)  # type: ignore[arg-type]


def test_rows_are_results() -> None:
    results = batch(shots=20, observables=["Z0", "Z1"], outputs=["state", "samples"])
    assert isinstance(results, Sequence) and len(results) == 5 and len(list(results)) == 5
    assert all(isinstance(result, Result) for result in results[1:3])
    for b, result in enumerate(results):
        np.testing.assert_array_equal(result.expectations, results.expectations[b])
        np.testing.assert_array_equal(result.samples, results.samples[b])
        np.testing.assert_array_equal(result.state_vector, results.state_vectors[b])
        assert result.counts == results.counts[b]
    np.testing.assert_array_equal(results[-1].samples, results[4].samples)
    np.testing.assert_allclose(results.expectations, np.cos(VALUES), atol=1e-14)
    assert results.states.batch == 5 and results.has_states
    assert repr(results) == "BatchResult(5 × 3 qubits, shots=20, reference, double)"
    with pytest.raises(IndexError):
        results[5]


def test_counts_alone_hold_no_samples() -> None:
    """Where a circuit measures in its middle they are those of the samples, elsewhere counts drawn as such."""
    counted = batch(shots=40, outputs=["counts"])
    assert counted.packed_samples is None
    assert [sum(row.counts.values()) for row in counted] == [40] * 5
    with pytest.raises(UnsupportedError, match="a batch with shots"):
        _ = counted.samples
    middle = Circuit(2, 2).ry(Parameter("a"), 0).measure(0, 0).cx(0, 1).reset(0).measure([0, 1], [0, 1])
    compiled = [Simulator(seed=3).compile(middle) for _ in range(2)]
    values = VALUES[:, :1]
    assert (
        compiled[0].run_batch(values, shots=40, outputs=["counts"]).counts
        == compiled[1].run_batch(values, shots=40).counts
    )


def test_arrays_are_read_only_and_shaped_for_a_batch_of_one() -> None:
    circuit = Circuit(2).h(0)
    one = Simulator("reference").compile(circuit).run_batch()
    assert one.state_vectors.shape == (1, 4) and one.expectations.shape == (1, 0)
    with pytest.raises(ValueError, match="read-only"):
        one.state_vectors[0, 0] = 1


def test_what_was_not_asked_for_is_refused() -> None:
    assert batch().has_states and not batch(shots=2).has_states and not batch(observables="Z0").has_states
    with pytest.raises(UnsupportedError, match=r"a batch that keeps them.*outputs"):
        _ = batch(observables="Z0").states
    with pytest.raises(UnsupportedError, match="a batch with shots"):
        _ = batch().samples
    assert batch(observables="Z0", outputs="state").has_states
