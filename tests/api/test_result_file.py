"""Result files: what is saved comes back, and whatever is not exactly such a file is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Precision, Result, Simulator
from qsim.plotting import histogram, state_plot
from qsim.result_file import _checksum, load_all, to_document
from qsim_core.errors import MemoryBudgetError, ParameterError, ProgramFormatError, UnsupportedError


def bell(precision: Precision | str = "double", **options: Any) -> Result:
    simulator = Simulator("reference", precision, seed=3)
    return simulator.run(Circuit(2).h(0).cx(0, 1).measure_all(), **({"shots": 50} | options))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "result.json"


# --- what is saved comes back -----------------------------------------------------------------------------------------


def test_counts_and_provenance(path: Path) -> None:
    result = bell(observables=["Z0 Z1", "X0"])
    assert result.save(path) == path and [p.name for p in path.parent.iterdir()] == ["result.json"]
    again = Result.load(path)
    assert again.counts == result.counts and again.provenance == result.provenance
    assert np.array_equal(again.expectations, result.expectations)
    assert (again.num_qubits, again.num_clbits, again.shots) == (2, 2, 50)
    assert repr(again) == repr(result)
    with pytest.raises(UnsupportedError):
        _ = again.state


@pytest.mark.parametrize("precision", list(Precision))
def test_state_bit_by_bit(path: Path, precision: Precision) -> None:
    result = bell(precision, outputs=["state"])
    result.save(path)
    again = Result.load(path)
    assert again.state_vector.dtype == precision.dtype
    assert again.state_vector.tobytes() == result.state_vector.tobytes()
    assert again.expectation("Z0 Z1") == pytest.approx(1)
    plain = np.load(path.with_name("result.state.npy"), allow_pickle=False)
    assert np.array_equal(plain, result.state_vector)


def test_shots_in_order(path: Path) -> None:
    result = bell()
    result.save(path, samples=True)
    again = Result.load(path)
    assert np.array_equal(again.samples, result.samples) and again.counts == result.counts


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 70), st.integers(1, 30), st.integers(0, 2**32))
def test_any_number_of_bits(tmp_path_factory: pytest.TempPathFactory, num_clbits: int, shots: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = np.zeros((shots, -(-num_clbits // 64)), dtype=np.uint64)
    for bit in range(num_clbits):
        words[:, bit // 64] |= rng.integers(0, 2, shots).astype(np.uint64) << np.uint64(bit % 64)
    result = Result(1, num_clbits, shots, bell().provenance, packed_samples=words)
    path = result.save(tmp_path_factory.mktemp("r") / "r.json", samples=True)
    again = Result.load(path)
    assert np.array_equal(again.packed_samples, words) and again.counts == result.counts


def test_several_results_in_one_file(path: Path) -> None:
    lines = [json.dumps(to_document(bell())) for _ in range(3)]
    path.write_text("\n".join(lines) + "\n")
    assert [r.counts for r in load_all(path)] == [bell().counts] * 3
    with pytest.raises(ProgramFormatError, match="load_all"):
        Result.load(path)


def test_a_backend_that_is_not_here_is_replaced_for_reading(path: Path) -> None:
    result = bell(outputs=["state"])
    result.provenance = {**result.provenance, "backend": "somewhere_else"}
    result.save(path)
    assert Result.load(path).state.backend.name == "reference"


# --- what is refused --------------------------------------------------------------------------------------------------


def _set(*keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for key in keys[:-1]:
            document = document[key]
        document[keys[-1]] = value

    return change


#: What is changed in a good document (its checksum is made good again), and what the message must name.
CHANGES = [
    (_set("format", value="qsim-program"), "format"),
    (_set("version", value=2), "Another version of qsim wrote it"),
    (_set("extra", value=1), "also 'extra'"),
    (lambda d: d.pop("counts"), "no 'counts'"),
    (_set("num_qubits", value=63), "num_qubits: expected a whole number from 0 to 62"),
    (_set("num_qubits", value=2.0), "num_qubits"),
    (_set("num_qubits", value=True), "num_qubits"),
    (_set("shots", value=51), "counts: expected 51 shots in all, got 50"),
    (_set("shots", value=None), "counts"),
    (_set("counts", value=None), "counts"),
    (_set("counts", "000", value=1), "bit strings of 2 characters"),
    (_set("counts", "0x", value=1), "bit strings of 2 characters"),
    (_set("counts", "00", value=-1), "counts['00']"),
    (_set("counts", "00", value=True), "counts['00']"),
    (_set("expectations", value=["1"]), "expectations"),
    (_set("precision", value="half"), "precision"),
    (_set("seed", value=4), "seed"),
    (_set("provenance", value=[]), "provenance"),
    (_set("provenance", "seconds", value="soon"), "provenance.seconds"),
    (_set("provenance", "threads", value="two"), "provenance.threads"),
    (_set("arrays", value=[]), "arrays"),
    (_set("arrays", "density", value={}), "arrays"),
    (_set("arrays", "state", value={}), "arrays.state"),
    (_set("arrays", "state", "file", value="../result.state.npy"), "without a directory"),
    (_set("arrays", "state", "file", value="/etc/passwd"), "without a directory"),
    (_set("arrays", "state", "file", value="other.npy"), "none named 'other.npy'"),
    (_set("arrays", "state", "dtype", value="object"), "arrays.state: expected complex128"),
    (_set("arrays", "state", "shape", value=[2, 2]), "arrays.state: expected complex128 of shape [4]"),
    (_set("arrays", "state", "sha256", value="0"), "The array was changed"),
]


@pytest.mark.parametrize(("change", "message"), CHANGES, ids=[message for _, message in CHANGES])
def test_changed_documents(path: Path, change: Callable[[dict[str, Any]], Any], message: str) -> None:
    bell(outputs=["state"]).save(path)
    document = json.loads(path.read_text())
    change(document)
    document["checksum"] = _checksum({k: v for k, v in document.items() if k != "checksum"})
    path.write_text(json.dumps(document))
    with pytest.raises(ProgramFormatError) as refusal:
        Result.load(path)
    assert message in str(refusal.value) and str(path) in str(refusal.value)


def test_every_number_is_under_the_checksum(path: Path) -> None:
    bell().save(path)
    path.write_text(path.read_text().replace('"num_clbits": 2', '"num_clbits": 3'))
    with pytest.raises(ProgramFormatError, match="changed after it was written"):
        Result.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"a":1,"a":2}',
        '{"a": NaN}',
        "[" * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        "\xff",
    ],
)
def test_no_such_document(path: Path, text: str) -> None:
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ProgramFormatError):
        Result.load(path)


def test_arrays_that_are_not_what_they_say(path: Path) -> None:
    state = path.with_name("result.state.npy")

    def attempt(content: Callable[[], None], message: str) -> None:
        bell(outputs=["state"]).save(path)
        content()
        document = json.loads(path.read_text())
        from qsim.result_file import _file_digest

        document["arrays"]["state"]["sha256"] = _file_digest(state)
        document["checksum"] = _checksum({k: v for k, v in document.items() if k != "checksum"})
        path.write_text(json.dumps(document))
        with pytest.raises(ProgramFormatError, match=message):
            Result.load(path)

    attempt(lambda: state.write_bytes(b"x" * 10), "64 bytes and a header")
    attempt(lambda: state.write_bytes(b"x" * 100), r"a \.npy file")
    attempt(lambda: np.save(state, np.zeros(8)), "complex128 of shape")
    attempt(lambda: np.save(state, np.array([{"a": 1}] * 4), allow_pickle=True), "64 bytes and a header|npy file")
    attempt(lambda: np.save(state, np.zeros(10_000, dtype=complex)), "64 bytes and a header")


def test_samples_must_add_up_to_the_counts(path: Path) -> None:
    bell().save(path, samples=True)
    beside = path.with_name("result.samples.npy")
    np.save(beside, 1 - np.load(beside)[:, :] * 0)
    document = json.loads(path.read_text())
    from qsim.result_file import _file_digest

    document["arrays"]["samples"]["sha256"] = _file_digest(beside)
    document["checksum"] = _checksum({k: v for k, v in document.items() if k != "checksum"})
    path.write_text(json.dumps(document))
    with pytest.raises(ProgramFormatError, match=r"arrays\.samples"):
        Result.load(path)


def test_a_state_that_does_not_fit_is_not_read(path: Path) -> None:
    bell(outputs=["state"]).save(path)
    document = json.loads(path.read_text())
    document["num_qubits"] = 50
    document["arrays"]["state"]["shape"] = [2**50]
    document["checksum"] = _checksum({k: v for k, v in document.items() if k != "checksum"})
    path.write_text(json.dumps(document))
    with pytest.raises(MemoryBudgetError, match="loading a result"):
        Result.load(path)


# --- largest amplitudes and plots -------------------------------------------------------------------------------------


def test_largest_amplitudes_in_order() -> None:
    circuit = Circuit(6)
    for qubit in range(6):
        circuit.ry(0.3 + 0.2 * qubit, qubit)
    result = Simulator("reference").run(circuit)
    rows = result.largest_amplitudes(10)
    order = np.argsort(-(np.abs(result.state_vector) ** 2), kind="stable")[:10]
    assert [index for index, _ in rows] == order.tolist()
    assert [value for _, value in rows] == result.state_vector[order].tolist()
    assert len(Simulator("reference").run(Circuit(6).h(0)).largest_amplitudes(10)) == 2
    even = Simulator("reference").run(Circuit(6).h(range(6)).t(range(6)).rz(0.3, 2)).largest_amplitudes(10)
    assert [index for index, _ in even] == list(range(10))


def test_histogram_shows_every_share() -> None:
    pytest.importorskip("matplotlib")
    axes = histogram({"00": 70, "11": 20, "01": 6, "10": 4}, top=2).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["00", "11", "2 others"]
    assert [text.get_text() for text in axes.texts] == ["70.0%", "20.0%", "10.0%"]


def test_state_plot_says_phases_in_words_too() -> None:
    pytest.importorskip("matplotlib")
    axes = state_plot([(0, 0.6), (3, -0.64j), (1, -math.sqrt(1 - 0.36 - 0.4096))], 2).axes[0]
    assert [text.get_text() for text in axes.texts] == ["36.0%  0°", "41.0%  −90°", "23.0%  +180°"]


def test_plot_refuses_other_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(ParameterError, match=r"\.png, \.svg or \.pdf"):
        bell().plot(tmp_path / "x.doc")
    bell().plot(tmp_path / "x.png", top=1)
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
