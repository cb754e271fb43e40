"""Readout: laws of what is read from a state; values are compared with NumPy in tests/api/test_result.py."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import readout
from qsim_core.errors import QubitError, ShapeError
from qsim_core.kernels import registry
from qsim_core.kernels.contract import Backend
from qsim_core.pauli import PauliTerms
from qsim_core.state import StateVector
from qsim_core.types import Precision

N = 4
STRINGS = st.tuples(st.integers(0, 2**N - 1), st.integers(0, 2**N - 1), st.floats(-2, 2))


def random_state(backend: Backend, seed: int, batch: int = 1, precision: Precision = Precision.DOUBLE) -> StateVector:
    rng = np.random.default_rng(seed)
    amps = backend.allocate(batch, N, precision)
    values = rng.normal(size=(batch, 2**N)) + 1j * rng.normal(size=(batch, 2**N))
    amps[...] = values / np.linalg.norm(values, axis=1, keepdims=True)
    return StateVector(amps, backend)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), qubits=st.permutations(range(N)), size=st.integers(0, N))
def test_laws_of_marginals_and_entropies(seed: int, qubits: list[int], size: int) -> None:
    state = random_state(registry.backend("reference"), seed, batch=2)
    kept, rest = qubits[:size], qubits[size:]
    full = readout.probabilities(state, qubits).reshape(2, 2 ** (N - size), 2**size)
    np.testing.assert_allclose(readout.probabilities(state, kept), full.sum(axis=1), atol=1e-14)
    rho = readout.reduced_density_matrix(state, kept)
    np.testing.assert_allclose(np.einsum("bii->bi", rho).real, readout.probabilities(state, kept), atol=1e-14)
    assert (np.linalg.eigvalsh(rho) > -1e-14).all()
    np.testing.assert_allclose(readout.entropy(state, kept), readout.entropy(state, rest), atol=1e-11)
    np.testing.assert_allclose(readout.purity(state, kept), readout.purity(state, rest), atol=1e-13)
    entropy = readout.entropy(state, kept)
    assert (entropy <= min(size, N - size) + 1e-12).all() and (entropy >= 0).all()
    assert (readout.purity(state, kept) >= 2.0**-size - 1e-14).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), rows=st.lists(STRINGS, min_size=1, max_size=5))
def test_sums_and_their_variances_are_those_of_matrices(seed: int, rows: list[tuple[int, int, float]]) -> None:
    state = random_state(registry.backend("reference"), seed)
    terms = PauliTerms.of(rows)
    dense = np.zeros((2**N, 2**N), dtype=complex)
    for x, z, c in rows:
        for j in range(2**N):
            dense[j ^ x, j] += c * 1j ** (x & z).bit_count() * (-1) ** (j & z).bit_count()
    psi = state.array
    np.testing.assert_allclose(dense, dense.conj().T)
    assert readout.expectation_pauli(state, terms)[0] == pytest.approx(np.vdot(psi, dense @ psi).real, abs=1e-11)
    second = np.vdot(psi, dense @ dense @ psi).real
    mean = np.vdot(psi, dense @ psi).real
    assert readout.variance_pauli(state, terms)[0] == pytest.approx(second - mean**2, abs=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), sums=st.lists(st.lists(STRINGS, max_size=4), max_size=4))
def test_several_sums_at_once_are_each_alone(seed: int, sums: list[list[tuple[int, int, float]]]) -> None:
    for name in ("reference", "auto"):
        state = random_state(registry.backend(name), seed, batch=2)
        terms = [PauliTerms.of(rows) for rows in sums]
        found = readout.expectation_paulis(state, terms)
        assert found.shape == (2, len(sums))
        for column, alone in zip(found.T, terms, strict=True):
            np.testing.assert_allclose(column, readout.expectation_pauli(state, alone), atol=1e-13)


def test_an_unnormalised_state_is_read_as_its_direction(backend: Backend, precision: Precision) -> None:
    state = random_state(backend, 3, precision=precision)
    wanted = [readout.probabilities(state), readout.expectation_pauli(state, PauliTerms.of([(1, 2, 1.0)])),
              readout.entropy(state, [0]), readout.purity(state, [1, 2]), readout.fidelity(state, state)]  # fmt: skip
    state.amps[...] *= 0.5
    found = [readout.probabilities(state), readout.expectation_pauli(state, PauliTerms.of([(1, 2, 1.0)])),
             readout.entropy(state, [0]), readout.purity(state, [1, 2]), readout.fidelity(state, state)]  # fmt: skip
    for a, b in zip(wanted, found, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 if precision is Precision.SINGLE else 1e-13)
    np.testing.assert_allclose(readout.norms(state), 0.25, rtol=1e-6)


def test_sums_are_in_double_precision(backend: Backend) -> None:
    for value in (readout.norms, readout.probabilities):
        assert value(random_state(backend, 0, precision=Precision.SINGLE)).dtype == np.float64
    assert readout.amplitudes(random_state(backend, 0, precision=Precision.SINGLE), [0]).dtype == np.complex128


def test_sums_over_many_small_amplitudes_keep_their_digits(backend: Backend) -> None:
    """Single precision amplitudes, added in double precision: one by one in single precision loses more."""
    num_qubits = 16
    rng, amps = np.random.default_rng(5), backend.allocate(1, num_qubits, Precision.SINGLE)
    amps[...] = rng.normal(size=(1, 2**num_qubits)) / 2 ** (num_qubits / 2)
    state = StateVector(amps, backend)
    exact = state.array.ravel().astype(np.complex128)
    weights = np.abs(exact) ** 2
    naive = np.cumsum(np.abs(state.array.ravel()) ** 2, dtype=np.float32)[-1]
    assert abs(naive / weights.sum() - 1) > 1e-6
    z = [1 - 2 * (np.arange(2**num_qubits) >> q & 1) for q in range(num_qubits)]
    terms = PauliTerms.of([(0, 0, 1.0), *((0, 1 << q, 0.5) for q in range(num_qubits))])
    wanted = 1 + sum(0.5 * (sign * weights).sum() / weights.sum() for sign in z)
    found = readout.expectation_pauli(state, terms)[0]
    assert abs(found - wanted) <= 1e-9 * np.abs(terms.coefficients).sum()


def test_fidelity_of_batches_and_phases(backend: Backend) -> None:
    first, second = random_state(backend, 1, 3), random_state(backend, 2, 3)
    expected = np.abs(np.einsum("bi,bi->b", first.array.conj(), second.array)) ** 2
    np.testing.assert_allclose(readout.fidelity(first, second), expected, atol=1e-13)
    second.amps[...] = 1j * first.amps
    np.testing.assert_allclose(readout.fidelity(first, second), 1, atol=1e-13)


def test_basis_states_are_written_highest_qubit_first() -> None:
    assert readout.basis_state_of("0110", 4) == 6 and readout.basis_state_of("", 0) == 0
    for wrong in ("011", "01102", "0x10"):
        with pytest.raises(ShapeError, match="4 characters 0 or 1"):
            readout.basis_state_of(wrong, 4)


def test_refusals(backend: Backend) -> None:
    state = random_state(backend, 0)
    with pytest.raises(QubitError, match=r"0 to 2\^4-1, got 16"):
        readout.amplitudes(state, [0, 16])
    with pytest.raises(QubitError, match="whole numbers"):
        readout.amplitudes(state, np.array([0.5]))  # type: ignore[arg-type]
    with pytest.raises(QubitError, match="at most 4, got 5"):
        readout.expectation_pauli(state, PauliTerms.of([(16, 0, 1.0)]))
    with pytest.raises(ShapeError, match="Hermitian"):
        readout.expectation_matrix(state, [[0, 1], [0, 0]], [0])
    with pytest.raises(QubitError, match="2 twice"):
        readout.probabilities(state, [2, 2])
