"""Sampling: fair, in order, counts that agree with samples; random bits that pass the usual tests.

The tests of bits follow NIST SP 800-22 rev. 1a: frequency (2.1), runs (2.3) and serial (2.11).
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Simulator
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


def state_of(amps: Amps, backend: Backend, batch: int = 1) -> StateVector:
    own = backend.allocate(batch, amps.shape[1].bit_length() - 1, Precision.of(amps.dtype))
    own[...] = amps
    return StateVector(own, backend)


@pytest.mark.parametrize("num_qubits", [1, 4, 11, 13])
def test_chi_square_of_random_states(num_qubits: int, backend: Backend, precision: Precision) -> None:
    rng = np.random.default_rng(num_qubits)
    amps = testing.random_state(rng, num_qubits, 1, precision)
    amps[:, rng.random(2**num_qubits) < 0.3] = 0
    amps[:, -1] = 0.2
    weight = np.abs(amps[0].astype(np.complex128)) ** 2
    _, outcomes, counts = backend.sample_counts(amps, 200_000, RandomSource(num_qubits), 0, RunControl(threads=2))
    assert (weight[outcomes] > 0).all()
    observed, wanted = np.zeros(len(weight)), 200_000 * weight / weight.sum()
    observed[outcomes] = counts
    parts = np.cumsum(wanted) // 20  # of about 20 expected counts each
    observed, wanted = (np.bincount(parts.astype(int), weights=w) for w in (observed, wanted))
    keep = wanted > 5
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum()
    assert stats.chi2.sf(statistic, max(1, keep.sum() - 1)) > 1e-4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), num_qubits=st.integers(1, 14), shots=st.integers(1, 3000), data=st.data())
def test_samples_and_counts_of_some_qubits(seed: int, num_qubits: int, shots: int, data: st.DataObject) -> None:
    """Both have the law of the measured qubits, counts are in order and complete, the first shots are a shorter run's."""
    rng = np.random.default_rng(seed)
    wires = data.draw(st.lists(st.integers(0, num_qubits - 1), min_size=1, max_size=num_qubits, unique=True))
    pairs = [(q, int(c)) for q, c in zip(wires, rng.permutation(70)[: len(wires)], strict=True)]
    plan, source = measuring(num_qubits, pairs, 70), RandomSource(seed)
    amps = testing.random_state(rng, num_qubits)
    amps[:, rng.random(2**num_qubits) < 0.3] = 0
    amps[:, 0] += 0.1
    law: Counter[tuple[int, ...]] = Counter()
    for index in np.flatnonzero(amps[0]):
        low = sum(int(index >> q & 1) << c for q, c in pairs if c < 64)
        high = sum(int(index >> q & 1) << (c - 64) for q, c in pairs if c >= 64)
        law[low, high] += abs(amps[0, index]) ** 2
    norm = sum(law.values())
    for name in ("reference", "auto"):
        state = state_of(amps, named(name))
        words = executor.sample_shots(plan, state, shots, source)
        fewer = max(1, shots // 3)
        np.testing.assert_array_equal(executor.sample_shots(plan, state, fewer, source), words[:fewer])
        seen, counts = executor.count_shots(plan, state, shots, source)
        assert counts.sum() == shots and (counts > 0).all()
        rows = [tuple(row) for row in seen.tolist()]
        assert [row[::-1] for row in rows] == sorted({row[::-1] for row in rows})
        for found in (Counter(dict(zip(rows, counts.tolist(), strict=True))), Counter(map(tuple, words.tolist()))):
            assert set(found) <= set(law)
            for value, weight in law.items():
                expected = shots * weight / norm
                assert abs(found[value] - expected) <= 7 * math.sqrt(expected) + 7


@pytest.mark.parametrize("num_qubits, shots", [(2, 6), (2, 40), (1, 10), (1, 1000)])
def test_counts_are_multinomial(num_qubits: int, shots: int, backend: Backend) -> None:
    """All counts together, of many rows: those of independent shots, drawn one by one or by amplitude."""
    amps = np.sqrt(np.array([[0.5, 0.2, 0.3, 0.0][: 2**num_qubits]]))
    weights = amps[0] ** 2 / (amps**2).sum()
    rows = 20_000 if backend.name == "native_cpu" else 500
    many = backend.allocate(rows, num_qubits, Precision.DOUBLE)
    many[...] = amps
    starts, outcomes, counts = backend.sample_counts(many, shots, RandomSource(5), 0, RunControl(threads=2))
    table = np.zeros((rows, 2**num_qubits), dtype=np.int64)
    table[np.repeat(np.arange(rows), np.diff(starts)), outcomes] = counts
    assert (table.sum(axis=1) == shots).all() and (table[:, weights == 0] == 0).all()
    different, observed = np.unique(table, axis=0, return_counts=True)
    wanted = rows * stats.multinomial.pmf(different, shots, weights)
    keep = wanted > 5
    rest = observed[~keep].sum(), rows - wanted[keep].sum()  # all others together
    statistic = ((observed - wanted)[keep] ** 2 / wanted[keep]).sum() + (rest[0] - rest[1]) ** 2 / max(rest[1], 1.0)
    assert stats.chi2.sf(statistic, keep.sum()) > 1e-4


@pytest.mark.parametrize("shots", [20, 3_000, 100_000, 10**12])
def test_parts_of_a_large_state_are_multinomial(shots: int) -> None:
    """Blocks and groups of them: the counts of parts have the variances and covariances of independent shots."""
    rows, num_qubits, parts = 300, 13, 16
    one = testing.random_state(np.random.default_rng(3), num_qubits)[0] * np.linspace(1, 2, 2**num_qubits)
    backend = named("auto")
    amps = backend.allocate(rows, num_qubits, Precision.DOUBLE)
    amps[...] = one
    starts, outcomes, counts = backend.sample_counts(amps, shots, RandomSource(11), 4, RunControl(threads=2))
    row = np.repeat(np.arange(rows), np.diff(starts))
    assert (np.bincount(row, weights=counts.astype(float)) == shots).all()
    share = (np.abs(one) ** 2).reshape(parts, -1).sum(axis=1)
    share /= share.sum()
    table = np.zeros((rows, parts))
    np.add.at(table, (row, outcomes * parts // 2**num_qubits), counts)
    expected = shots * share
    statistic = ((table - expected) ** 2 / expected).sum()
    assert 1e-4 < stats.chi2.sf(statistic, rows * (parts - 1)) < 1 - 1e-4


def test_a_part_of_the_circuit_measured_by_many_shots_takes_no_longer() -> None:
    """10^12 shots of five qubits: one draw for each outcome."""
    plan = measuring(14, [(q, q) for q in range(3, 8)], 14)
    state = state_of(testing.random_state(np.random.default_rng(7), 14), named("auto"))
    words, counts = executor.count_shots(plan, state, 10**12, RandomSource(1))
    law = named("auto").probabilities(state.amps, [3, 4, 5, 6, 7], RunControl())[0]
    assert counts.sum() == 10**12
    np.testing.assert_allclose(counts / 1e12, law, atol=1e-5)
    assert (words[:, 0] >> np.uint64(3)).tolist() == list(range(32))


def test_counts_do_not_depend_on_threads_nor_on_other_rows() -> None:
    backend, rng = named("auto"), np.random.default_rng(0)
    for num_qubits, batch in ((5, 9), (14, 3), (18, 2)):
        amps = backend.allocate(batch, num_qubits, Precision.SINGLE)
        amps[...] = testing.random_state(rng, num_qubits, batch)
        source, site = RandomSource(3, 1, 7), 2
        found = [backend.sample_counts(amps, 50_000, source, site, RunControl(threads=t)) for t in (1, 3)]
        for one, other in zip(*found, strict=True):
            np.testing.assert_array_equal(one, other)
        starts, outcomes, counts = found[0]
        for b in range(batch):
            alone = backend.sample_counts(amps[b : b + 1], 50_000, RandomSource(3, 1, 7 + b), site, RunControl())
            np.testing.assert_array_equal(alone[1], outcomes[starts[b] : starts[b + 1]])
            np.testing.assert_array_equal(alone[2], counts[starts[b] : starts[b + 1]])


def test_counts_without_a_verb_of_their_own_are_those_of_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, source = named("reference"), RandomSource(2, 0, 3)
    amps = testing.random_state(np.random.default_rng(6), 13, 2)
    monkeypatch.setattr("qsim_core.kernels.contract.SHOT_CHUNK", 300)
    starts, outcomes, counts = backend.sample_counts(amps, 1000, source, 5, RunControl())
    for b in range(2):
        drawn = backend.sample(amps[b : b + 1], RandomSource(2, 0, 3 + b).uniforms(5, 0, 0, 1000)[None], RunControl())
        different, often = np.unique(drawn, return_counts=True)
        np.testing.assert_array_equal(outcomes[starts[b] : starts[b + 1]], different)
        np.testing.assert_array_equal(counts[starts[b] : starts[b + 1]], often)


@pytest.mark.parametrize("few", [True, False])
def test_counts_of_rows_are_those_of_rows_alone(few: bool) -> None:
    pairs = [(3, 0), (1, 66)] if few else [(q, q) for q in range(13)]
    plan, source = measuring(13, pairs, 70 if few else 13), RandomSource(9, 2, 4)
    state = state_of(testing.random_state(np.random.default_rng(5), 13, 7), named("auto"), 7)
    found = executor.count_rows(plan, state, 500, source)
    for b, (words, counts) in enumerate(found):
        alone = executor.count_shots(plan, state.row(b), 500, RandomSource(9, 2, 4 + b))
        np.testing.assert_array_equal(alone[0], words)
        np.testing.assert_array_equal(alone[1], counts)


@pytest.mark.parametrize("pairs", [[(q, q) for q in range(5)], [(3, 0), (1, 66)], [(q, q) for q in range(13)]])
def test_rows_are_sampled_as_if_alone(pairs: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch) -> None:
    width = max(5, len(pairs))
    plan, source = measuring(width, pairs, 70 if len(pairs) == 2 else width), RandomSource(9, 2, 4)
    amps = testing.random_state(np.random.default_rng(5), width, 7)
    for name, chunk in (("reference", 2**22), ("auto", 2**22), ("auto", 150), ("auto", 10)):
        monkeypatch.setattr(executor, "SHOT_CHUNK", chunk)
        own = named(name).allocate(7, width, Precision.DOUBLE)
        own[...] = amps
        state = StateVector(own, named(name))
        words = executor.sample_rows(plan, state, 60, source)
        for b in range(7):
            alone = executor.sample_shots(plan, state.row(b), 60, RandomSource(9, 2, 4 + b))
            np.testing.assert_array_equal(words[b], alone)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plan, source = measuring(13, [(q, q) for q in range(13)], 13), RandomSource(3)
    state = state_of(testing.random_state(np.random.default_rng(0), 13), named("auto"))
    whole = executor.sample_shots(plan, state, 10_000, source)
    monkeypatch.setattr(executor, "SHOT_CHUNK", 999)
    np.testing.assert_array_equal(executor.sample_shots(plan, state, 10_000, source), whole)


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


#: Prints the bytes beside the state that samples took at their peak less the result, and those of counts.
PEAKS = """
import numpy as np
from qsim_core import executor
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.registry import backend
from qsim_core.program import ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan

def kibibytes(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith(name))

builder = ProgramBuilder(14, 14)
builder.measure(range(14), range(14))
plan, control, source = trivial_plan(builder.finish()), RunControl(threads=2), RandomSource(1)
state = StateVector(np.full((1, 2**14), 2.0**-7, dtype=np.complex128), backend("auto"))
for draw in (executor.count_shots, executor.sample_shots):
    draw(plan, state, 1000, source, control)
before = kibibytes("VmRSS")
counts = executor.count_shots(plan, state, 10**8, source, control)[1]
print((kibibytes("VmHWM") - before) / 1024)
words = executor.sample_shots(plan, state, 9 * 10**6, source, control)
print((kibibytes("VmHWM") - before) / 1024 - words.nbytes / 2**20)
assert counts.sum() == 10**8 and len(words) == 9 * 10**6
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_many_shots_take_the_bytes_that_are_stated() -> None:
    """Counts of 10^8 shots 16 bytes for each outcome; packed samples the result and 113 MiB, whatever their number."""
    done = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    counts, samples = (float(line) for line in done.stdout.split())
    python = 4.0  # what the interpreter takes meanwhile
    assert counts < 2 * 16 * 2**14 / 2**20 + python
    assert 60 < samples < 113 + python


@pytest.mark.parametrize("seed", range(3))
def test_chi_square_of_circuits(seed: int) -> None:
    """Samples of a run, the first of them and its counts have the law that the reference gives the circuit."""
    num_qubits = 13
    rng, circuit = np.random.default_rng(seed), Circuit(num_qubits)
    for _ in range(2):
        for q in range(num_qubits):
            circuit.u(*rng.uniform(0, 3, 3).tolist(), q)
        for a, b in rng.permutation(num_qubits)[: num_qubits // 2 * 2].reshape(-1, 2).tolist():
            circuit.cx(a, b)
    law = Simulator("reference").run(circuit).probabilities
    compiled = Simulator(seed=seed).compile(circuit.measure_all())
    index = compiled.run(shots=200_000).packed_samples
    assert index is not None
    words, counts = compiled.run(shots=200_000, outputs=["counts"]).count_arrays()
    order = rng.permutation(len(law))  # neighbours in a part have nothing to do with each other
    for places, often in ((index[:, 0], None), (index[:20_000, 0], None), (words[:, 0], counts)):
        seen = np.bincount(places.astype(np.int64), often, len(law))
        parts = np.array_split(order, 300)
        observed, wanted = (np.array([one[part].sum() for part in parts]) for one in (seen, law * seen.sum()))
        statistic = ((observed - wanted) ** 2 / wanted).sum()
        assert stats.chi2.sf(statistic, len(parts) - 1) > 1e-4


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
            backend.sample_counts(amps, 1, RandomSource(0), 0, RunControl())
        with pytest.raises(NotUnitaryError, match="norm of a state to sample"):
            backend.sample(amps, np.array([[0.5]]), RunControl())
