"""Sampling: fair, in order, counts that agree with samples; random bits that pass the usual tests.

The tests of bits follow NIST SP 800-22 rev. 1a: frequency (2.1), runs (2.3) and serial (2.11).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import executor, resources, testing
from qsim_core.errors import MemoryBudgetError, NotUnitaryError
from qsim_core.kernels.contract import Backend
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.registry import backend as named
from qsim_core.plan import Plan
from qsim_core.program import ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, Precision

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")


def measuring(num_qubits: int, pairs: list[tuple[int, int]], num_clbits: int) -> Plan:
    builder = ProgramBuilder(num_qubits, num_clbits)
    builder.measure([q for q, _ in pairs], [c for _, c in pairs])
    return trivial_plan(builder.finish())


def state_of(amps: Amps, backend: Backend) -> StateVector:
    own = backend.allocate(1, amps.shape[1].bit_length() - 1, Precision.of(amps.dtype))
    own[...] = amps
    return StateVector(own, backend)


@pytest.mark.parametrize("num_qubits", [1, 4, 11, 13])
def test_chi_square_of_random_states(num_qubits: int, backend: Backend, precision: Precision) -> None:
    rng = np.random.default_rng(num_qubits)
    amps = testing.random_state(rng, num_qubits, 1, precision)
    amps[:, rng.random(2**num_qubits) < 0.3] = 0
    amps[:, -1] = 0.2
    weight = np.abs(amps[0].astype(np.complex128)) ** 2
    uniforms = RandomSource(num_qubits).uniforms(0, 0, 0, 200_000, threads=2)
    outcomes, counts = backend.sample_counts(amps, uniforms, RunControl(threads=2))
    assert (weight[outcomes] > 0).all()
    observed, wanted = np.zeros(len(weight)), 200_000 * weight / weight.sum()
    observed[outcomes] = counts
    parts = np.cumsum(wanted) // 20  # of about 20 expected counts each
    observed, wanted = (np.bincount(parts.astype(int), weights=w) for w in (observed, wanted))
    keep = wanted > 5
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum()
    assert stats.chi2.sf(statistic, max(1, keep.sum() - 1)) > 1e-4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), num_qubits=st.integers(1, 13), shots=st.integers(1, 3000), data=st.data())
def test_counts_are_those_of_the_samples(seed: int, num_qubits: int, shots: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    wires = data.draw(st.lists(st.integers(0, num_qubits - 1), min_size=1, max_size=num_qubits, unique=True))
    pairs = [(q, int(c)) for q, c in zip(wires, rng.permutation(70)[: len(wires)], strict=True)]
    plan, source = measuring(num_qubits, pairs, 70), RandomSource(seed)
    for name in ("reference", "auto"):
        state = state_of(testing.random_state(rng, num_qubits), named(name))
        words = executor.sample_shots(plan, state, shots, source)
        different, counts = np.unique(words[:, ::-1], axis=0, return_counts=True)
        found = executor.count_shots(plan, state, shots, source)
        np.testing.assert_array_equal(found[0], different[:, ::-1])
        np.testing.assert_array_equal(found[1], counts)
        fewer = max(1, shots // 3)  # the first shots are those of a shorter run
        np.testing.assert_array_equal(executor.sample_shots(plan, state, fewer, source), words[:fewer])


@pytest.mark.parametrize("pairs", [[(q, q) for q in range(5)], [(3, 0), (1, 66)]])
def test_rows_are_sampled_as_if_alone(pairs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    plan, source = measuring(5, pairs, 70 if len(pairs) == 2 else 5), RandomSource(9, 2, 4)
    amps = testing.random_state(np.random.default_rng(5), 5, 7)
    for name, chunk in (("reference", 2**22), ("auto", 2**22), ("auto", 150), ("auto", 10)):
        monkeypatch.setattr(executor, "SHOT_CHUNK", chunk)
        own = named(name).allocate(7, 5, Precision.DOUBLE)
        own[...] = amps
        state = StateVector(own, named(name))
        words = executor.sample_rows(plan, state, 60, source)
        for b in range(7):
            alone = executor.sample_shots(plan, state.row(b), 60, RandomSource(9, 2, 4 + b))
            np.testing.assert_array_equal(words[b], alone)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, source = measuring(13, [(q, q) for q in range(13)], 13), RandomSource(3)
    state = state_of(testing.random_state(np.random.default_rng(0), 13), named("auto"))
    whole, counted = (
        executor.sample_shots(plan, state, 10_000, source),
        executor.count_shots(plan, state, 10_000, source),
    )
    monkeypatch.setattr(executor, "SHOT_CHUNK", 999)
    np.testing.assert_array_equal(executor.sample_shots(plan, state, 10_000, source), whole)
    for one, other in zip(executor.count_shots(plan, state, 10_000, source), counted, strict=True):
        np.testing.assert_array_equal(one, other)


def test_shots_are_in_random_order() -> None:
    """The first tenth has the distribution of all, and neighbours have nothing to do with each other."""
    plan, num_shots = measuring(13, [(q, q) for q in range(13)], 13), 100_000
    state = state_of(testing.random_state(np.random.default_rng(1), 13), named("auto"))
    index = executor.sample_shots(plan, state, num_shots, RandomSource(8))[:, 0].astype(np.int64)
    table = np.array([np.bincount(part >> 8, minlength=32) for part in (index[: num_shots // 10], index)])
    assert stats.chi2_contingency(table).pvalue > 1e-4
    correlation = np.corrcoef(index[:-1], index[1:])[0, 1]
    assert abs(correlation) < 5 / math.sqrt(num_shots)


def bits_of(num_bits: int) -> npt.NDArray[np.int64]:
    """Return measured bits of a uniform state of 16 qubits, in shot order."""
    plan = measuring(16, [(q, q) for q in range(16)], 16)
    state = state_of(np.full((1, 2**16), 2.0**-8, dtype=np.complex128), named("auto"))
    words = executor.sample_shots(plan, state, num_bits // 16, RandomSource(2024))[:, :1]
    return np.unpackbits(words.view(np.uint8)[:, :2], bitorder="little").astype(np.int64)


def test_nist_frequency_runs_and_serial() -> None:
    bits = bits_of(2**20)
    n, ones = len(bits), float(bits.mean())
    frequency = math.erfc(abs(2.0 * bits.sum() - n) / math.sqrt(2 * n))
    runs = 1 + int((bits[1:] != bits[:-1]).sum())
    spread = ones * (1 - ones)
    runs_value = math.erfc(abs(runs - 2 * n * spread) / (2 * math.sqrt(2 * n) * spread))

    def psi(m: int) -> float:
        if m <= 0:
            return 0.0
        around = np.concatenate([bits, bits[: m - 1]])
        pattern = sum(around[k : k + n] << k for k in range(m))
        return float((np.bincount(pattern, minlength=2**m).astype(float) ** 2).sum() * 2**m / n - n)

    m = 8
    first = psi(m) - psi(m - 1)
    second = psi(m) - 2 * psi(m - 1) + psi(m - 2)
    serial = (special.gammaincc(2 ** (m - 2), first / 2), special.gammaincc(2 ** (m - 3), second / 2))
    for value in (frequency, runs_value, *serial):
        assert value > 1e-3, (frequency, runs_value, serial)


def test_memory_is_checked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = measuring(2, [(0, 0), (1, 1)], 2)
    state = state_of(np.eye(1, 4, dtype=np.complex128), named("auto"))
    monkeypatch.setattr(resources, "available_memory", lambda: 10**6)
    with pytest.raises(MemoryBudgetError, match=r"10000000000 packed samples: needs 74.5 GiB.*outputs=\['counts'\]"):
        executor.sample_shots(plan, state, 10**10, RandomSource(0))
    assert executor.count_shots(plan, state, 1000, RandomSource(0))[1].tolist() == [1000]


def test_nothing_is_sampled_from_nothing(backend: Backend) -> None:
    for value in (0.0, np.nan, np.inf):
        amps = backend.allocate(1, 3, Precision.DOUBLE)
        amps[...] = value
        with pytest.raises(NotUnitaryError, match="norm of a state to sample"):
            backend.sample_counts(amps, np.array([0.5]), RunControl())
