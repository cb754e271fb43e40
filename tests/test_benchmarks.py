"""The benchmark harness: families, answers of adapters, and a report, on tiny circuits and without peers."""

from __future__ import annotations

import ast
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import ceilings, compare, exchange, gpu, gpu_model, machine, report, results
from benchmarks.__main__ import main
from benchmarks.circuits import CIRCUITS, bernstein_vazirani, family, grover, hidden_string
from benchmarks.peers import OURS, PEERS, environments, qsim_core
from benchmarks.peers.job import Gate, Job, dense_state, fingerprint
from benchmarks.peers.worker import Played
from click.testing import CliRunner

import qsim
from qsim import Simulator
from qsim_core.errors import ParameterError
from qsim_core.planner import planner_available


class Matrices:
    """A simulator of a few lines: whole matrices on a tensor of axes. ``wrong`` turns one amplitude's sign."""

    def __init__(self, wrong: bool = False) -> None:
        self._wrong = wrong

    def versions(self) -> dict[str, str]:
        return {"matrices": "1"}

    def settings(self, precision: str) -> list[dict[str, Any]]:
        return [{}, {"again": True}, {"unsuitable": True}]

    def build(self, job: Job, setting: dict[str, Any]) -> Matrices:
        if "unsuitable" in setting:
            raise NotImplementedError("not this circuit")
        self._job = job
        return self

    def prepare(self) -> None:
        pass

    def state(self) -> np.ndarray:
        n = self._job.num_qubits
        initial = self._job.initial
        amps = np.eye(1, 2**n, dtype=complex)[0] if initial is None else initial.astype(complex)
        index = np.arange(2**n)
        for gate in self._job.gates:
            active = np.all([index >> c & 1 == 1 for c in gate.controls], axis=0) if gate.controls else index >= 0
            row = sum((index >> t & 1) << k for k, t in enumerate(gate.targets))
            cleared = index & ~sum(1 << t for t in gate.targets)
            result = np.zeros_like(amps)
            for column in range(len(gate.matrix)):
                source = cleared | sum((column >> k & 1) << t for k, t in enumerate(gate.targets))
                result += gate.matrix[row, column] * amps[source]
            amps = np.where(active, result, amps)
        if self._wrong:
            amps[-1] += 0.01
        return amps * np.exp(0.3j)  # a global phase is nobody's business

    def amplitudes(self, state: np.ndarray) -> np.ndarray:
        return state

    def readout(self) -> float:
        weight = np.abs(self.state()) ** 2
        return float(weight[::2].sum() - weight[1::2].sum())


class InProcess:
    """A player without a process; requests and answers pass through JSON all the same."""

    def __init__(self, adapter: Any) -> None:
        self._played = Played(adapter)

    def ask(self, **request: Any) -> Any:
        try:
            return json.loads(json.dumps(self._played.answer(json.loads(json.dumps(request)))))
        except NotImplementedError as error:
            raise environments.PeerError(str(error)) from None

    def close(self) -> None:
        pass


def records(families: tuple[str, ...] = tuple(CIRCUITS), **more: Any) -> list[dict[str, Any]]:
    players = {"qsim-core": InProcess(qsim_core), "qulacs": InProcess(Matrices(**more))}
    measured = {"sweep_bytes": 1e10, "multiply_adds_single": 1e10, "multiply_adds_double": 1e10}
    said: list[str] = []
    return list(compare.compare(players, families, [6], ["double"], 1, 2, measured, say=said.append))


def test_every_family_agrees_with_matrices() -> None:
    found = records()
    assert [record["family"] for record in found] == list(CIRCUITS)
    for record in found:
        for name, entry in record["simulators"].items():
            assert entry.get("agrees"), (record["family"], name, entry)
            assert len(entry["state"]) == len(entry["readout"]) == 2
    assert len(found[0]["simulators"]["qulacs"]["tried"]) == 2


def test_a_wrong_answer_is_seen_and_reported(tmp_path: Path) -> None:
    found = records(("qft",), wrong=True)
    assert not any(record["simulators"]["qulacs"]["agrees"] for record in found)
    whole = {
        "machine": machine.describe(1), "ceilings": {}, "simulators": {"qulacs": {"matrices": "1"}}, "records": found
    }  # fmt: skip
    report.write(whole, tmp_path)
    assert "largest deviation" in (tmp_path / "report.md").read_text().split("## Answers that differ")[1]


def test_dense_input_is_the_same_for_everybody() -> None:
    job = exchange.job_of(CIRCUITS["qft"](5), "single", dense=True)
    ours, theirs = qsim_core.build(job, {}), Matrices().build(job, {})
    ours.prepare()
    assert compare.difference(fingerprint(ours.state()), fingerprint(theirs.state())) < 1e-5
    assert np.linalg.norm(dense_state(5, np.complex64)) == pytest.approx(1, abs=1e-6)


def test_every_run_starts_from_the_initial_state() -> None:
    # We run in place on it: what is timed must find it back before every run.
    job = exchange.job_of(CIRCUITS["qft"](5), "double", dense=True)
    played = Played(qsim_core)
    played.answer({"do": "build", "key": "best", "job": json.loads(json.dumps(job.to_json())), "setting": {}})
    answers = []
    for what in ("state", "readout"):  # an answer is that of the last run for a state, else of another run
        played.answer({"do": "time", "key": "best", "what": what})
        answers.append(played.answer({"do": "answer", "key": "best"}))
    assert compare.difference(*answers) < 1e-14
    running = qsim_core.build(job, {})
    assert abs(running.readout() - answers[0]["z"][0]) < 1e-12


def test_a_fingerprint_tells_qubits_apart() -> None:
    amps = dense_state(4, np.complex128)
    found = fingerprint(amps)
    for q in range(4):
        signs = 1 - 2 * (np.arange(16) >> q & 1)
        assert found["z"][q] == pytest.approx(np.abs(amps) ** 2 @ signs)
    assert found["norm"] == pytest.approx(1)


def test_settings_of_an_earlier_report_are_kept() -> None:
    tuned = compare.settings_of(records(("ghz",)))
    assert tuned["ghz", 6, "double", "qulacs"] in ({}, {"again": True})
    players = {"qsim-core": InProcess(qsim_core), "qulacs": InProcess(Matrices())}
    asked = {("ghz", 6, "double", "qulacs"): {"again": True}}
    [record] = compare.compare(players, ["ghz"], [6], ["double"], 1, 1, {}, tuned=asked, say=lambda _: None)
    assert [one["setting"] for one in record["simulators"]["qulacs"]["tried"]] == [{"again": True}]


def test_settings_of_a_smaller_size_serve_where_there_are_no_others() -> None:
    players = {"qsim-core": InProcess(qsim_core), "qulacs": InProcess(Matrices())}
    asked = {("ghz", n, "double", "qulacs"): {"again": n} for n in (3, 5, 7)}
    [record] = compare.compare(players, ["ghz"], [6], ["double"], 1, 1, {}, tuned=asked, say=lambda _: None)
    assert record["simulators"]["qulacs"]["setting"] == {"again": 5}


def test_what_spends_its_budget_runs_once() -> None:
    players = {"qsim-core": InProcess(qsim_core), "qulacs": InProcess(Matrices())}
    [record] = compare.compare(players, ["ghz"], [6], ["double"], 1, 3, {}, budget=0, say=lambda _: None)
    for entry in record["simulators"].values():
        assert entry["agrees"] and entry["state"] == [entry["cold"]] and entry["readout"] == []
        assert len(entry["tried"]) == 1


def test_a_simulator_that_no_setting_suits_is_reported() -> None:
    players = {"qsim-core": InProcess(qsim_core), "qulacs": InProcess(Matrices())}
    asked = {("ghz", 6, "double", "qulacs"): {"unsuitable": True}}
    [record] = compare.compare(players, ["ghz"], [6], ["double"], 1, 1, {}, tuned=asked, say=lambda _: None)
    assert record["simulators"]["qulacs"] == {"error": "not this circuit"}


def test_instruction_sets_stand_beside_their_own() -> None:
    entries = ("qsim-core", "qsim-core@avx2", "qsimcirq", "qsimcirq@avx2", "qsimcirq@generic")
    assert [compare.beside(name, entries) for name in entries] == ["qsim-core"] * 3 + ["qsim-core@avx2", "qsim-core"]


def test_results_are_put_together(tmp_path: Path) -> None:
    one, two = records(("ghz", "qft")), records(("ghz",))
    del two[0]["simulators"]["qulacs"]
    machine = {"cpu": "a", "threads": 1, "commit": "c"}
    several = [{"machine": machine, "ceilings": {}, "simulators": {}, "records": r} for r in (one, two)]
    whole = results.merge([results.load(results.save(r, tmp_path)) for r in several])
    assert [record["family"] for record in whole["records"]] == ["ghz", "qft"]
    assert whole["records"][0]["simulators"]["qsim-core"] == two[0]["simulators"]["qsim-core"]
    assert whole["records"][0]["simulators"]["qulacs"] == one[0]["simulators"]["qulacs"]
    assert whole["machine"]["commit"] == "c"
    assert results.done(two, {"double": ["qsim-core"]}) == {("ghz", 6, "double", False)}
    assert not results.done(two, {"double": ["qsim-core", "qulacs"]})
    several[0]["machine"] = {**machine, "threads": 2}
    with pytest.raises(ParameterError, match="number of threads"):
        results.merge(several)


def test_families_from_zero_stand_apart(tmp_path: Path) -> None:
    found = records(("ghz", "brickwork"))
    assert [record["tracked"] for record in found] == [True, False]
    report.write({"machine": {}, "ceilings": {}, "simulators": {}, "records": found}, tmp_path)
    text = (tmp_path / "report.md").read_text().split("## Times\n")[1]
    assert text.index("| brickwork") < text.index("in use for long") < text.index("| ghz")


def test_an_instruction_set_can_be_forced() -> None:
    process = environments.start("qsim-core@generic", 1)
    try:
        assert process.ask(do="versions")["instruction set"].startswith("generic")
    finally:
        process.close()


def test_gates_survive_json() -> None:
    for gate in exchange.job_of(CIRCUITS["quantum_volume"](4)).gates:
        again = Gate.from_json(json.loads(json.dumps(gate.to_json())))
        assert (again.name, again.targets, again.controls) == (gate.name, gate.targets, gate.controls)
        np.testing.assert_array_equal(again.matrix, gate.matrix)


def test_algorithms_find_what_they_look_for() -> None:
    amps = qsim.Simulator().run(bernstein_vazirani(6)).state_vector
    string = sum(1 << q for q in hidden_string(6))
    assert np.abs(amps[[string, string + 32]]) == pytest.approx(np.sqrt([0.5, 0.5]))
    marked = np.random.default_rng(1).integers(2, size=4)
    weight = np.abs(qsim.Simulator().run(grover(4, iterations=3)).state_vector) ** 2
    assert weight.argmax() == sum(1 << q for q in np.flatnonzero(marked).tolist()) and weight.max() > 0.9


def test_families_of_another_depth_keep_their_settings() -> None:
    deep, shallow = family("grid:16")(6), family("grid")(6)
    assert deep.num_gates / 16 == shallow.num_gates / 20
    for wrong in ("grid:", "grid:x", "ghz:3", "nothing"):
        with pytest.raises(ParameterError):
            family(wrong)
    [record] = records(("grid:3",))
    assert record["family"] == "grid:3" and record["gates"] == family("grid:3")(6).num_gates
    assert set(compare.settings_of([record])) == {("grid", 6, "double", name) for name in record["simulators"]}
    outcome = CliRunner().invoke(main, ["circuits", "--family", "ghz:3", "--peer", "none"])
    assert outcome.exit_code == 2 and "grid:16" in outcome.output


def test_command_writes_a_report_without_peers(tmp_path: Path) -> None:
    arguments = [
        "circuits",
        "--family",
        "ghz",
        "-n",
        "3",
        "-n",
        "4",
        "--repeat",
        "1",
        "--threads",
        "1",
        "--peer",
        "none",
    ]
    outcome = CliRunner().invoke(main, [*arguments, "--ceiling-megabytes", "0", "-o", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["machine"]["cpu"] and len(found["records"]) == 4
    text = (tmp_path / "report.html").read_text()
    assert text.count("<img") == 6 and "ghz" in text
    more = ["--ceiling-megabytes", "0", "-o", str(tmp_path), "--resume", "--stop-after", "0.001"]
    resumed = CliRunner().invoke(main, [*arguments, "-n", "5", "-n", "6", *more])
    assert resumed.exit_code == 0 and resumed.output.count("ghz  ") == 1, resumed.output
    assert len(json.loads((tmp_path / "results.json").read_text())["records"]) == 5
    again = CliRunner().invoke(main, ["report", str(tmp_path / "results.json"), "-o", str(tmp_path / "again")])
    assert again.exit_code == 0
    assert (tmp_path / "again" / "report.md").read_text() == (tmp_path / "report.md").read_text()


@pytest.mark.slow  # compiles three loops
def test_ceilings_are_rates() -> None:
    measured = ceilings.measure(1, megabytes=1, repeat=1, rounds=2)
    assert all(rate > 0 for rate in measured.values())


def test_fractions_of_the_ceilings() -> None:
    parts = ceilings.fractions({"sweep_bytes": 1e9, "multiply_adds_double": 1e9}, 20, "double", 4, 0.1)
    assert parts["of_one_sweep"] == pytest.approx(2 * 16 * 2**20 / 1e9 / 0.1)
    assert parts["of_arithmetic_floor"] == pytest.approx(2.5 * 4 * 2**20 / 1e9 / 0.1)


def test_peers_are_pinned_and_have_an_adapter_with_the_same_names() -> None:
    folder = Path(environments.__file__).parent
    for peer in (OURS, *PEERS.values()):
        assert all("==" in requirement for requirement in peer.requirements)
        tree = ast.parse((folder / f"{peer.adapter}.py").read_text())
        names = next(n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__")
        assert {"build", "settings", "versions"} <= set(ast.literal_eval(names.value))


def test_a_peer_that_is_not_installed_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSIM_BENCHMARK_CACHE", str(tmp_path))
    with pytest.raises(environments.PeerError, match="peers install lightning-gpu"):
        environments.start("lightning-gpu", 1)


def test_every_other_benchmark_is_listed() -> None:
    outcome = CliRunner().invoke(main, ["--list"])
    for path in Path(report.__file__).parent.glob("bench_*.py"):
        assert f"benchmarks.{path.stem}" in outcome.output


def test_fused_groups_are_counted_in_order() -> None:
    chain = qsim.Circuit(6)
    for q in range(5):
        chain.cx(q, q + 1)
    assert gpu_model.fused_groups(chain, 6) == 1
    assert gpu_model.fused_groups(chain, 3) == 3  # 01 12, 23 34, 45
    apart = qsim.Circuit(4).cx(0, 1).cx(2, 3).cx(0, 1)
    assert gpu_model.fused_groups(apart, 2) == 2
    back = qsim.Circuit(4).cx(0, 1).cx(1, 2).cx(2, 3).cx(0, 1)
    assert gpu_model.fused_groups(back, 2) == 4


@pytest.mark.skipif(not planner_available(), reason="needs the built core")
def test_without_a_gpu_the_command_says_so_and_prints_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_model, "CIRCUITS", {"ghz": CIRCUITS["ghz"]})
    monkeypatch.setattr(gpu_model.markdown, "__defaults__", (("ghz",), (28, 33)))
    monkeypatch.setattr(gpu, "available", dict)
    outcome = CliRunner().invoke(main, ["gpu"])
    assert outcome.exit_code == 0, outcome.output
    assert "No GPU can be used here" in outcome.output and "| ghz | 28 |" in outcome.output
    rows = list(gpu_model.rows(("ghz",), (28, 33)))
    too_big = {(row.num_qubits, row.precision.value) for row in rows if row.seconds["H100 SXM"] is None}
    assert too_big == {(33, "double")}  # 64 GiB fit, 128 do not
    for row in rows:
        assert row.bytes == row.sweeps * 2 * row.precision.bytes_per_amplitude << row.num_qubits
        assert row.sweeps < row.fused + 1 < row.one_gate


@pytest.mark.parametrize("peer", ["Aer", "qsimcirq"])
def test_dynamic_circuits_mean_the_same_to_peers(peer: str) -> None:
    """The circuits timed beside peers, small: answers follow one distribution; qsimcirq has no conditions."""
    pytest.importorskip({"Aer": "qiskit_aer", "qsimcirq": "qsimcirq"}[peer])
    pytest.importorskip("scipy")
    from benchmarks.bench_dynamic import bb84, feed_forward, noisy_ghz, noisy_layers, teleportation
    from benchmarks.dynamic_peers import PEERS, difference

    steered = [feed_forward(5, 3), bb84(), teleportation()] if peer == "Aer" else []
    for circuit in (*steered, noisy_ghz(3), noisy_layers(3, 2, 0.1)):
        found = Simulator(seed=2).run(circuit, shots=4000).counts
        ours = Counter({int(bits.replace(" ", ""), 2): count for bits, count in found.items()})
        assert difference(ours, PEERS[peer](circuit, 1)(4000), min(6, circuit.num_clbits)) > 1e-6
    wrong = Counter({number ^ 4: count for number, count in ours.items()})
    assert difference(ours, wrong, 3) < 1e-6
