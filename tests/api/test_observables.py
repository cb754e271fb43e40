"""Observables: text, mappings and triples mean the same matrix; arithmetic; expectation and variance against dense ones."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Hermitian, PauliSum, Simulator
from qsim.observables import as_observable
from qsim_core.errors import ParameterError, QsimError, QubitError, ShapeError
from qsim_core.types import ComplexArray

Dense = Callable[[int, str, list[int]], ComplexArray]


def matrix(total: PauliSum, num_qubits: int, dense_pauli: Dense) -> ComplexArray:
    result = np.zeros((2**num_qubits,) * 2, dtype=np.complex128)
    terms = total.terms
    for x, z, c in zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True):
        letters = "".join("IXZY"[(x >> q & 1) | (z >> q & 1) << 1] for q in range(num_qubits))
        result += c * dense_pauli(num_qubits, letters, list(range(num_qubits)))
    return result


@pytest.mark.parametrize(
    "same",
    [
        ["0.5*Z0 Z1 - X2", "-X2 + 0.5 Z1*Z0", {"IZZ": 0.5, "XII": -1}, [("ZZ", [0, 1], 0.5), ("X", (2,), -1)]],
        ["ZIX", "X0 Z2", "1.0*Z2@X0", {"X0 Z2": 1}, [("XIZ", range(3), 1)]],
        ["2 + 3*Y1", "3Y1 + 2*I", {"I": 2, "YI": 3}],
        ["1e-3*X0", ".001 X0", {"X": np.float32(0.001).astype(float) * 0 + 0.001}],
        ["X0 + X0", "2*X0", {"2*X0": 1}],
    ],
)
def test_ways_to_write_one_sum(same: list[Any]) -> None:
    first, *others = [PauliSum(text) for text in same]
    for other in others:
        assert other == first and hash(other) == hash(first)
    assert PauliSum(str(first)) == first
    assert eval(repr(first)) == first
    assert pickle.loads(pickle.dumps(first)) == first


def test_the_first_letter_is_the_highest_qubit() -> None:
    state = Circuit(2).x(0)
    result = Simulator("reference").run(state)
    assert result.expectation("IZ") == result.expectation("Z0") == -1
    assert result.expectation("ZI") == result.expectation("Z1") == 1


def test_arithmetic_is_that_of_matrices(dense_pauli: Dense) -> None:
    a, b = PauliSum("0.5*X0 Y1 - Z2"), PauliSum("2*Z2 + 3")
    m, n = matrix(a, 3, dense_pauli), matrix(b, 3, dense_pauli)
    for ours, theirs in [
        (a + b, m + n), (a - b, m - n), (-a, -m), (2 * a, 2 * m), (a * 0.5, m / 2), (a / 4, m / 4),
        (a + 1, m + np.eye(8)), (1 - a, np.eye(8) - m), (sum([a, b]), m + n),
    ]:  # fmt: skip
        np.testing.assert_allclose(matrix(ours, 3, dense_pauli), theirs)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 999),
    terms=st.lists(st.tuples(st.text("IXYZ", min_size=3, max_size=3), st.floats(-2, 2)), min_size=1, max_size=5),
)
def test_expectation_and_variance_equal_dense_matrices(
    seed: int, terms: list[tuple[str, float]], dense_pauli: Dense, random_state: Callable[[int, int], ComplexArray]
) -> None:
    total, psi = PauliSum([(letters, range(3), c) for letters, c in terms]), random_state(seed, 3)
    dense = matrix(total, 3, dense_pauli)
    result = Simulator("reference").run(Circuit(3), initial_state=psi)
    mean = np.vdot(psi, dense @ psi).real
    assert result.expectation(total) == pytest.approx(mean, abs=1e-12)
    assert result.variance(total) == pytest.approx(np.vdot(psi, dense @ dense @ psi).real - mean**2, abs=1e-11)


def test_hermitian_matrices_on_any_qubits(
    simulator: Simulator, tolerance: float, random_state: Callable[[int, int], ComplexArray]
) -> None:
    rng = np.random.default_rng(3)
    m = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    m = m + m.conj().T
    psi = random_state(1, 3)
    tensor = psi.reshape(2, 2, 2)  # axes of qubits 2, 1, 0
    block = tensor.transpose(2, 0, 1).reshape(4, 2)  # row index: qubit 0 is bit 1, qubit 2 is bit 0
    mean = np.einsum("ik,ij,jk->", block.conj(), m, block).real
    square = np.einsum("ik,ij,jk->", block.conj(), m @ m, block).real
    result = simulator.run(Circuit(3), initial_state=psi, observables=[Hermitian(m, (2, 0))], outputs="state")
    assert result.expectations[0] == pytest.approx(mean, abs=10 * tolerance)
    assert result.variance(Hermitian(m.tolist(), [2, 0])) == pytest.approx(square - mean**2, abs=100 * tolerance)


def test_a_matrix_is_on_the_lowest_qubits() -> None:
    z = np.diag([1.0, -1.0])
    assert Simulator("reference").run(Circuit(2).x(0), observables=z).expectations == pytest.approx([-1])
    assert Simulator("reference").run(Circuit(2).x(0), observables=[z, "Z1"]).expectations.tolist() == [-1, 1]


REFUSALS: list[tuple[Any, type[QsimError], str]] = [
    ("", ParameterError, r"text such as"),
    ("Q0", ParameterError, r"got 'Q0', at character 1"),
    ("Z0 + ", ParameterError, r"at character"),
    ("Z0 0.5*Z1", ParameterError, r"joined by \+ or -"),
    ("Z0 X", ParameterError, r"a qubit number after every letter, or after none"),
    ("Z0 Z0", QubitError, r"0 twice"),
    ("Z62", QubitError, r"0 to 61, got 62"),
    ("1e999*Z0", ParameterError, r"finite real number, got inf"),
    ({"Z0": float("nan")}, ParameterError, r"finite real number, got nan"),
    ({"Z0": 1j}, ParameterError, r"finite real number, got 1j"),
    ([("ZZ", [0], 1.0)], ParameterError, r"1 letters of I, X, Y, Z, got 'ZZ'"),
    ([("Z", [0.5], 1.0)], QubitError, r"whole number, got 0\.5"),
    ([("Z", [0])], ParameterError, r"\(letters, qubits, coefficient\) triples"),
    (3, ParameterError, r"triples, got 3"),
]


@pytest.mark.parametrize(("value", "error", "message"), REFUSALS, ids=[str(value) for value, _, _ in REFUSALS])
def test_refused_sums(value: Any, error: type[QsimError], message: str) -> None:
    with pytest.raises(error, match=message):
        PauliSum(value)


def test_refused_matrices() -> None:
    with pytest.raises(ShapeError, match=r"Hermitian matrix, got max .* = 1"):
        Hermitian(np.array([[0, 1], [0, 0]]), (0,))
    with pytest.raises(ShapeError, match=r"shape \(4, 4\), got \(2, 2\)"):
        Hermitian(np.eye(2), (0, 1))
    with pytest.raises(ParameterError, match=r"finite entries, got .*nan"):
        Hermitian(np.array([[np.nan, 0], [0, 0]]), (0,))
    with pytest.raises(QubitError, match="1 twice"):
        Hermitian(np.eye(4), (1, 1))
    for value in (3, None, np.zeros(4), object()):
        with pytest.raises(ParameterError, match="a PauliSum, its text"):
            as_observable(value)  # type: ignore[arg-type]


def test_an_observable_that_does_not_fit_is_refused_before_the_run() -> None:
    circuit, ticks = Circuit(2).h(0), list[float]()
    for observable in ("Z2", Hermitian(np.eye(2), (5,))):
        with pytest.raises(QubitError, match="at most 2, those of the circuit"):
            Simulator("reference").run(circuit, observables=observable, progress=ticks.append)
    assert not ticks


def test_arithmetic_with_other_things_is_refused() -> None:
    for operation in (lambda h: h + "Z0", lambda h: h * h, lambda h: h - None, lambda h: h / "2"):
        with pytest.raises(TypeError):
            operation(PauliSum("Z0"))
    with pytest.raises(ParameterError, match="other than 0"):
        PauliSum("Z0") / 0
    with pytest.raises(ParameterError, match="finite"):
        PauliSum("Z0") * float("inf")


@pytest.mark.parametrize("text", ["2*", "2* ", "Z0 + 2*", "2 * + Z0", "Z0 *", "*Z0", "Z0 ** Z1", "Z0 + ", "3 4"])
def test_half_terms_are_refused(text: str) -> None:
    with pytest.raises(ParameterError, match="Pauli s"):
        PauliSum(text)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 31), st.integers(0, 31), st.floats(-2, 2)), max_size=8))
def test_sums_from_masks_and_from_bits(rows: list[tuple[int, int, float]]) -> None:
    x, z, c = (np.array(column) for column in zip(*rows, strict=True)) if rows else (np.zeros(0, int),) * 3
    wanted = PauliSum([("".join("IXZY"[(a >> q & 1) | (b >> q & 1) << 1] for q in range(5)), range(5), v)
                       for a, b, v in rows])  # fmt: skip
    masks = PauliSum.from_masks(x, z, c)
    bits = [(m[:, None] >> np.arange(5)) & 1 for m in (x, z)]
    for found in (masks, PauliSum.from_symplectic(*bits, c)):
        np.testing.assert_array_equal(found.terms.x_masks, wanted.terms.x_masks)
        np.testing.assert_array_equal(found.terms.z_masks, wanted.terms.z_masks)
        np.testing.assert_allclose(found.terms.coefficients, wanted.terms.coefficients, atol=1e-14)


def test_arrays_that_are_no_sum() -> None:
    for x, z, c in (
        ([1], [0, 1], [1.0]),
        ([0.5], [1], [1.0]),
        ([-1], [1], [1.0]),
        ([1], [1], [1j]),
        ([1], [1], [np.nan]),
    ):
        with pytest.raises(QsimError):
            PauliSum.from_masks(x, z, c)
    with pytest.raises(ParameterError, match="0 and 1"):
        PauliSum.from_symplectic([[2]], [[0]], [1.0])


@pytest.mark.parametrize("qubits", [(2, 0), (0, 1, 2, 3), (3,)])
def test_sparse_matrices_are_their_dense_ones(
    simulator: Simulator, tolerance: float, qubits: tuple[int, ...], random_state: Callable[[int, int], ComplexArray]
) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(5)
    size = 2 ** len(qubits)
    dense = rng.normal(size=(size, size)) * (rng.random((size, size)) < 0.5) + 1j * rng.normal(size=(size, size))
    dense = dense + dense.conj().T
    result = simulator.run(Circuit(4), initial_state=random_state(1, 4))
    wanted = Hermitian(dense, qubits)
    for kind in (sparse.csr_matrix, sparse.coo_array, sparse.csc_array):
        found = Hermitian(kind(dense), qubits)
        assert result.expectation(found) == pytest.approx(result.expectation(wanted), abs=20 * tolerance)
        assert result.variance(found) == pytest.approx(result.variance(wanted), abs=200 * tolerance)


def test_sparse_matrices_that_do_not_fit() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ShapeError, match="Hermitian"):
        Hermitian(sparse.csr_array(np.array([[0, 1], [0, 0]])), (0,))
    with pytest.raises(ShapeError, match=r"shape \(4, 4\)"):
        Hermitian(sparse.csr_array(np.eye(2)), (0, 1))
    with pytest.raises(ShapeError, match=r"scipy\.sparse"):
        Hermitian(np.eye(2), range(13))  # type: ignore[arg-type]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99))
def test_pruned_runs_have_the_same_values(seed: int) -> None:
    rng = np.random.default_rng(seed)
    circuit = Circuit(7)
    for _ in range(6):
        a, b = rng.permutation(7)[:2].tolist()
        circuit.ry(rng.normal(), a).cx(a, b).rz(rng.normal(), b)
    wanted = ["X0 Z3", Hermitian(np.array([[0, 1j], [-1j, 0]]), (5,)), "Z2 + 0.5"]
    compiled = Simulator("reference").compile(circuit)
    whole, pruned = (compiled.run(observables=wanted, prune=prune).expectations for prune in (False, True))
    np.testing.assert_allclose(pruned, whole, atol=1e-13)
    with pytest.raises(ParameterError, match="prune"):
        compiled.run(prune=True)
