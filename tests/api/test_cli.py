"""The command line: what it prints, what it writes, and what it says to whoever got something wrong."""

from __future__ import annotations

import itertools
import json
import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit, Simulator
from qsim.cli import main
from qsim.cli.cost import estimate
from qsim.cli.exits import Exit, exit_code
from qsim.cli.from_program import circuit_from_program
from qsim.cli.options import number
from qsim.cli.report import bar
from qsim_core import calibration
from qsim_core.cost_model import CostModel, default_model
from qsim_core.errors import InterruptedRunError, MemoryBudgetError, ProgramFormatError
from qsim_core.program import Program, ProgramBuilder
from qsim_core.resources import format_seconds
from qsim_core.serialization import program_from_json, program_to_json
from qsim_core.testing import programs, random_state
from qsim_core.types import Precision

EXAMPLES = Path(__file__).parents[2] / "examples"
BELL = str(EXAMPLES / "bell.qasm")
TELEPORTATION = str(EXAMPLES / "teleportation.qasm")

HEAD2 = 'OPENQASM 2.0;\ninclude "qelib1.inc";\nqreg q[2];\n'
HEAD3 = 'OPENQASM 3.0;\ninclude "stdgates.inc";\n'


def call(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, list(arguments), input=stdin)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- run --------------------------------------------------------------------------------------------------------------


def test_json_is_one_object_with_everything() -> None:
    options = ["--seed", "7", "--shots", "500", "--precision", "single", "--json", "-"]
    outcome = call("run", BELL, *options, "--observable", "Z0 Z1")
    assert outcome.exit_code == 0 and outcome.stdout.count("\n") == 1
    document = json.loads(outcome.stdout)
    assert set(document["counts"]) == {"00", "11"} and sum(document["counts"].values()) == 500
    wanted = {"num_qubits": 2, "shots": 500, "seed": 7, "precision": "single"}
    assert {key: document[key] for key in wanted} == wanted
    assert document["backend"] and document["seconds"] > 0
    assert document["expectations"] == pytest.approx([1.0], abs=1e-6)
    assert document["provenance"]["observables"] == ["Z0 Z1"]


def test_command_line_and_library_give_the_same_counts() -> None:
    document = json.loads(call("run", BELL, "--seed", "11", "--json", "-").stdout)
    assert document["counts"] == Simulator(seed=11).run(Circuit.from_qasm_file(BELL), shots=1024).counts


def test_rightmost_character_is_the_first_bit() -> None:
    text = HEAD3 + "qubit[3] q; bit[3] c; x q[0]; c = measure q;"
    assert json.loads(call("run", "-", "--json", "-", stdin=text).stdout)["counts"] == {"001": 1024}


def test_report_names_where_the_numbers_come_from() -> None:
    outcome = call("run", BELL, "--seed", "5", "--backend", "reference", "--threads", "1")
    assert "1024 shots" in outcome.stdout and "█" in outcome.stdout
    assert outcome.stdout.splitlines()[-1].endswith("double precision, 1 thread, seed 5")
    assert call("run", BELL, "--quiet").stdout == ""


def test_without_measurements_amplitudes_are_shown_and_shots_measure_all() -> None:
    w_state = str(EXAMPLES / "w_state.qasm")
    shown = call("run", w_state).stdout
    assert shown.count("25.0000%") == 4 and "|0001⟩" in shown
    counts = json.loads(call("run", w_state, "--shots", "100", "--json", "-").stdout)["counts"]
    assert set(counts) <= {"0001", "0010", "0100", "1000"}
    assert json.loads(call("run", w_state, "--json", "-").stdout)["counts"] is None


def test_a_random_end_is_measured() -> None:
    text = HEAD3 + "qubit[2] q; h q[0]; cx q[0], q[1]; reset q[0];"
    counts = json.loads(call("run", "-", "--json", "-", "--seed", "1", stdin=text).stdout)["counts"]
    assert set(counts) == {"00", "10"}


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("adder", {"01110"}),
        ("bernstein_vazirani", {"1101001"}),
        ("ghz", {"0" * 20, "1" * 20}),
        ("bell", {"00", "11"}),
        ("qft", {format(256 * k, "012b") for k in range(16)}),
        ("teleportation", {"000", "001", "010", "011"}),
    ],
)
def test_examples_keep_their_promise(name: str, counts: set[str]) -> None:
    outcome = call("run", str(EXAMPLES / f"{name}.qasm"), "--seed", "1", "--shots", "500", "--json", "-")
    document = json.loads(outcome.stdout)
    assert set(document["counts"]) == counts


def test_grover_finds_it_with_the_probability_it_claims() -> None:
    outcome = call("run", str(EXAMPLES / "grover.qasm"), "--seed", "1", "--shots", "4000", "--json", "-")
    document = json.loads(outcome.stdout)
    angle = math.asin(32**-0.5)
    assert document["counts"]["10110"] / 4000 == pytest.approx(math.sin(9 * angle) ** 2, abs=0.01)


def test_parameters_take_arithmetic_in_pi() -> None:
    options = ["--param", "theta=0.4", "--param", "phi=-pi/8", "--observable", "X0", "--json", "-"]
    document = json.loads(call("run", str(EXAMPLES / "ansatz.qasm"), *options).stdout)
    circuit = Circuit.from_qasm_file(EXAMPLES / "ansatz.qasm").bind({"theta": 0.4, "phi": -math.pi / 8})
    assert document["expectations"] == pytest.approx(Simulator().run(circuit, observables=["X0"]).expectations)
    assert document["provenance"]["params"] == {"theta": 0.4, "phi": -math.pi / 8}


def test_statevector_is_a_plain_npy_file(here: Path) -> None:
    assert call("run", BELL, "--statevector", "state.out", "--precision", "single", "--quiet").exit_code == 0
    state = np.load(here / "state.out", allow_pickle=False)
    assert state.dtype == np.complex64 and np.allclose(state, [2**-0.5, 0, 0, 2**-0.5])


def test_several_files_give_one_line_each_and_the_first_failure_decides(here: Path) -> None:
    Path("bad.qasm").write_text(HEAD2 + "hh q[0];")
    outcome = call("run", BELL, "bad.qasm", BELL, "--seed", "1", "--json", "-")
    first, second = map(json.loads, outcome.stdout.splitlines())
    assert first["counts"] == second["counts"] and outcome.exit_code == Exit.BAD_INPUT
    assert outcome.stderr.startswith("qsim: bad.qasm:4:1:")
    ansatz = str(EXAMPLES / "ansatz.qasm")  # what it lacks does not stop the others either
    outcome = call("run", ansatz, BELL, "--seed", "1", "--json", "-")
    assert json.loads(outcome.stdout)["counts"] == first["counts"] and outcome.exit_code == Exit.USAGE
    assert f"{ansatz} has parameters without a value. Add --param theta=" in outcome.stderr
    call("run", BELL, BELL, "--seed", "1", "--json", "all.jsonl")
    assert call("show", "all.jsonl").stdout.count("1024 shots") == 2


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_plots_are_written(here: Path, suffix: str) -> None:
    pytest.importorskip("matplotlib")
    assert call("run", BELL, "--plot", f"counts.{suffix}").exit_code == 0
    assert call("run", str(EXAMPLES / "w_state.qasm"), "--plot", f"state.{suffix}").exit_code == 0
    assert (here / f"counts.{suffix}").stat().st_size > 1000 < (here / f"state.{suffix}").stat().st_size


# --- the other commands -----------------------------------------------------------------------------------------------


def test_plan_knows_before_anything_is_allocated() -> None:
    text = HEAD3 + "qubit[45] q; h q;"
    outcome = call("plan", "-", "--json", "-", stdin=text)
    costs = json.loads(outcome.stdout)
    assert outcome.exit_code == Exit.NO_MEMORY and not costs["fits"] and costs["remedies"]
    assert costs["memory"]["state"] == 16 * 2**45 and costs["bytes"] == sum(costs["memory"].values())
    groups = costs["groups"]
    assert costs["predicted_seconds"] > sum(group["predicted_seconds"] for group in groups) > 0
    assert costs["bytes_moved"] == sum(group["bytes_moved"] for group in groups) > 0
    assert "It does not fit" in call("plan", "-", stdin=text).stdout
    assert call("plan", BELL).exit_code == 0 and "It fits." in call("plan", BELL).stdout


def test_plan_of_a_branching_circuit_speaks_of_one_history() -> None:
    outcomes = [call("plan", TELEPORTATION, "--shots", shots, "--json", "-") for shots in ("10", "1000")]
    moved = [json.loads(outcome.stdout)["bytes_moved"] for outcome in outcomes]
    assert moved[0] == moved[1] > 0
    text = call("plan", TELEPORTATION).stdout
    assert "per measurement history" in text
    assert "history" not in call("plan", BELL).stdout


def test_plan_measures_what_it_predicts() -> None:
    shown = call("plan", BELL, "--measure", "--threads", "1")
    assert shown.exit_code == 0 and "predicted" in shown.stdout and "1 threads" in shown.stdout
    costs = json.loads(call("plan", BELL, "--measure", "--json", "-").stdout)
    assert costs["measured_seconds"] > 0 and costs["groups"][0]["local"] == [0, 1]
    assert call("plan", TELEPORTATION, "--measure").exit_code == Exit.FAILED
    other = json.loads(call("plan", BELL, "--backend", "reference", "--json", "-").stdout)
    assert other["predicted_seconds"] is None and other["bytes_moved"] > 0


def test_calibrate_keeps_shows_and_forgets(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QSIM_CACHE_DIR", str(here / "cache"))
    constants = default_model("generic").to_json()
    made = CostModel.from_json({**constants, "source": "measured for a test"})
    monkeypatch.setattr(calibration, "_fitted", lambda backend, start, precision: made.rates(precision))
    assert "kept in" in call("calibrate").stdout and (here / "cache" / "calibration.json").exists()
    shown = json.loads(call("calibrate", "--show", "--json", "-").stdout)
    assert shown["source"].startswith("measured with") and shown["single"] == constants["single"]
    assert "defaults" in call("calibrate", "--forget").stdout and "defaults" in call("calibrate", "--show").stdout
    assert call("calibrate", "--show", "--forget").exit_code == Exit.USAGE


def test_remedies_rank_what_fits_first(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Circuit(20).h(0).lowered().program
    monkeypatch.setattr("qsim.cli.cost.available_memory", lambda: 60 * 2**20)
    costs = estimate(program, "reference", Precision.DOUBLE, None)
    assert not costs.fits and costs.remedies()[0].startswith("--precision single") and "19 fit" in costs.remedies()[1]


def test_info_lists_every_backend_and_says_that_there_is_no_gpu() -> None:
    facts = json.loads(call("info", "--json", "-").stdout)
    assert {"reference", "numba_cpu", "native_cpu"} <= set(facts["backends"])
    assert facts["backends"]["reference"]["available"]
    for entry in facts["backends"].values():
        assert entry["available"] or entry["reason"]
    assert facts["cpu"]["threads"] >= 1 and facts["memory"]["largest_register"]["single"] >= 1
    assert "cpu" in call("info").stdout


def test_info_sees_another_owner_of_the_import_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = here / "qsim-0.9.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: qsim\nVersion: 0.9\n")
    monkeypatch.syspath_prepend(str(here))
    shown = call("info").stdout
    assert "WARNING" in shown and "pip uninstall qsim" in shown


def test_verify_agrees_and_sees_a_wrong_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = call("verify", "--backend", "reference")
    assert outcome.exit_code == 0 and "All agree." in outcome.stdout

    from qsim_core.kernels.reference import ReferenceBackend

    correct = ReferenceBackend.run_stage

    def wrong(self: ReferenceBackend, plan: Any, stage: Any, coefficients: Any, amps: Any, control: Any) -> None:
        correct(self, plan, stage, coefficients, amps, control)
        if amps.dtype == np.complex64:
            amps[:, -1] *= 1.001

    monkeypatch.setattr(ReferenceBackend, "run_stage", wrong)
    outcome = call("verify", "--backend", "reference", "--json", "-")
    report = json.loads(outcome.stdout)
    assert outcome.exit_code == Exit.FAILED and not report["ok"]
    assert {row["precision"] for row in report["checks"] if row["problem"]} == {"single"}


@pytest.mark.parametrize("target", ["qasm2", "qasm3", "json"])
@pytest.mark.parametrize("name", ["bell", "adder", "qft", "w_state", "grover"])
def test_convert_keeps_the_state(here: Path, name: str, target: str) -> None:
    source = EXAMPLES / f"{name}.qasm"
    outcome = call("convert", str(source), "out", "--to", target)
    if target == "qasm2" and outcome.exit_code == Exit.FAILED:
        pytest.skip(f"OpenQASM 2 can't express it: {outcome.stderr}")
    assert outcome.exit_code == 0, outcome.output
    if target == "json":
        again = circuit_from_program(program_from_json(Path("out").read_text()))
    else:
        again = Circuit.from_qasm_file("out")
    simulator = Simulator("reference")
    states = [simulator.run(c, outputs=["state"]).state_vector for c in (Circuit.from_qasm_file(source), again)]
    assert np.allclose(*states, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(programs(max_qubits=5))
def test_a_program_as_a_circuit_is_the_same_operation(program: Program) -> None:
    ours = circuit_from_program(program)
    named = dict(zip(program.slots, np.linspace(-1, 1, len(program.slots)), strict=True))
    start = random_state(np.random.default_rng(5), program.num_qubits)[0]
    simulator = Simulator("reference")
    wanted = simulator.run(program, params=named, initial_state=start).state_vector
    params = {name: value for name, value in named.items() if name in ours.parameters}
    assert np.allclose(simulator.run(ours, params=params, initial_state=start).state_vector, wanted, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(programs(max_qubits=3, dynamic=True))
def test_a_program_with_measurements_and_blocks_survives_the_way_through_a_circuit(program: Program) -> None:
    once = circuit_from_program(program)
    again = circuit_from_program(once.lowered().program)
    assert once.count_gates() == again.count_gates()
    assert str(once.draw(width=200)) == str(again.draw(width=200))


@pytest.mark.parametrize("values", list(itertools.product((0, 1), repeat=3)))
def test_phases_keep_their_control_values(values: tuple[int, ...]) -> None:
    builder = ProgramBuilder(3)
    builder.phase(0.7, (0, 1, 2), values)
    diagonal = circuit_from_program(builder.finish()).to_matrix().diagonal()
    wanted = np.ones(8, dtype=complex)
    wanted[sum(value << k for k, value in enumerate(values))] = np.exp(0.7j)
    assert np.allclose(diagonal, wanted)


def test_program_json_runs_from_standard_input() -> None:
    text = program_to_json(Circuit(2).x(1).lowered().program)
    assert json.loads(call("run", "-", "--shots", "9", "--json", "-", stdin=text).stdout)["counts"] == {"10": 9}


def test_draw_wraps_and_falls_back_to_ascii(here: Path) -> None:
    shown = call("draw", BELL, "--ascii", "--width", "60").stdout
    assert shown.isascii() and "@" in shown
    assert call("draw", BELL, "-o", "bell.txt").exit_code == 0
    assert "●" in (here / "bell.txt").read_text(encoding="utf-8")


def test_draw_writes_pictures(here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert call("draw", str(EXAMPLES / "teleportation.qasm"), "-o", "t.svg").exit_code == 0
    assert "<svg" in (here / "t.svg").read_text()


# --- what people get wrong --------------------------------------------------------------------------------------------

#: A text, exit code and what the message must say. Read each as somebody who sees qsim for the first time.
MALFORMED = [
    ("", Exit.BAD_INPUT, "expected an OpenQASM 2 or 3 circuit or a Program as JSON, got no text"),
    ("hello world", Exit.BAD_INPUT, "Is this a circuit? OpenQASM starts with 'OPENQASM 3.0;'"),
    ("import qiskit\nqc = qiskit.QuantumCircuit(2)\n", Exit.BAD_INPUT, "Is this a circuit?"),
    (HEAD2 + "hh q[0];", Exit.BAD_INPUT, "bad.txt:4:1: gate 'hh' is not defined. Did you mean 'h'?"),
    (HEAD2 + "h q[5];", Exit.BAD_INPUT, "bad.txt:4:5: index of 'q': expected 0 to 1, got 5."),
    (HEAD2 + "h q[0]", Exit.BAD_INPUT, "bad.txt:4:7: expected ';'"),
    (HEAD2 + "cx q[0], q[0];", Exit.BAD_INPUT, "bad.txt:4:1: gate 'cx' uses qubit q[0] twice."),
    (HEAD2 + "rx(1/0) q[0];", Exit.BAD_INPUT, "bad.txt:4:5: division by zero."),
    ("OPENQASM 2.0;\nqreg q[1];\nh q[0];", Exit.BAD_INPUT, "Add 'include \"qelib1.inc\";'"),
    (HEAD3 + "qubit[80] q;", Exit.BAD_INPUT, "expected 1 to 62"),
    ('OPENQASM 3.0;\ninclude "mine.inc";\n', Exit.BAD_INPUT, "Use --allow-include if you trust the file."),
    (HEAD3 + "qubit[45] q; h q;", Exit.NO_MEMORY, "45 qubits in double precision needs"),
    ('{"format": "qsim-program", "version": 1', Exit.BAD_INPUT, "bad.txt: document: expected JSON"),
    ('{"a": 1}', Exit.BAD_INPUT, "bad.txt: document: expected a key 'format', got 'a'"),
    ("[1, 2]", Exit.BAD_INPUT, "bad.txt: document"),
]


@pytest.mark.parametrize(("text", "code", "message"), MALFORMED)
def test_malformed_files(here: Path, text: str, code: Exit, message: str) -> None:
    Path("bad.txt").write_text(text, encoding="utf-8")
    outcome = call("run", "bad.txt")
    assert message in outcome.stderr and outcome.exit_code == code
    assert outcome.stdout == "" and outcome.stderr.count("\n") <= 2 and "Traceback" not in outcome.stderr


def test_bytes_that_are_no_text(here: Path) -> None:
    Path("bad.qasm").write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff")
    outcome = call("run", "bad.qasm")
    assert outcome.exit_code == Exit.BAD_INPUT and "UTF-8" in outcome.stderr
    outcome = CliRunner().invoke(main, ["run", "-"], input=b"\x89PNG\xff")
    assert outcome.exit_code == Exit.BAD_INPUT and "UTF-8" in outcome.stderr


#: Arguments, exit code and what the message must say.
MISUSED = [
    (["run"], Exit.USAGE, "Missing argument 'FILE…'"),
    (["run", "nothere.qasm"], Exit.USAGE, "'nothere.qasm' does not exist"),
    (["run", "."], Exit.USAGE, "is a directory"),
    (["frobnicate"], Exit.USAGE, "No such command 'frobnicate'"),
    (["run", BELL, "--shot", "3"], Exit.USAGE, "--shots"),
    (["run", BELL, "--shots", "0"], Exit.USAGE, "0 is not in the range x>=1"),
    (["run", BELL, "--seed", "-1"], Exit.USAGE, "-1 is not in the range"),
    (["run", BELL, "--precision", "half"], Exit.USAGE, "not one of 'double', 'single'"),
    (["run", BELL, "--backend", "magic"], Exit.USAGE, "expected auto, native_cpu, numba_cpu, "),
    (["run", BELL, "--seconds", "0"], Exit.USAGE, "0.0 is not in the range"),
    (["run", BELL, "--param", "a=1"], Exit.USAGE, "this circuit has no parameters"),
    (["run", BELL, "--param", "a"], Exit.USAGE, "expected NAME=VALUE such as theta=0.5, got 'a'"),
    (["run", BELL, "--param", "a=__import__('os')"], Exit.USAGE, "expected a finite number such as 0.5 or pi/4"),
    (["run", str(EXAMPLES / "ansatz.qasm"), "--param", "theta=1"], Exit.USAGE, "Add --param phi=…"),
    (["run", BELL, "--observable", "Q0"], Exit.USAGE, "expected terms such as '0.5*Z0 Z1'"),
    (["run", BELL, "--observable", "Z9"], Exit.USAGE, "expected qubits 0 to 1"),
    (["run", BELL, "--plot", "x.doc"], Exit.USAGE, "expected a name ending in .png or .svg or .pdf"),
    (["run", BELL, "--json", "no/such/folder.json"], Exit.USAGE, "folder 'no/such' does not exist"),
    (["run", BELL, BELL, "--statevector", "x.npy"], Exit.USAGE, "--statevector takes one FILE, got 2"),
    (["run", TELEPORTATION, "--statevector", "x.npy"], Exit.FAILED, "shots=1 (one state per shot)"),
    (["run", str(EXAMPLES / "ghz.qasm"), "--seconds", "1e-9"], Exit.FAILED, "deadline passed"),
    (["draw", BELL, "-o", "x.gif"], Exit.USAGE, "expected a name ending in .txt or .svg or .png or .pdf"),
    (["draw", BELL, "--format", "svg"], Exit.USAGE, "add -o circuit.svg"),
    (["draw", BELL, "--format", "svg", "-o", "x.png"], Exit.USAGE, "ends in .svg"),
    (["convert", TELEPORTATION, "-", "--to", "qasm2"], Exit.FAILED, "Write version 3"),
    (["show", BELL], Exit.BAD_INPUT, "expected JSON as Result.save()"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), MISUSED)
def test_misuse(here: Path, arguments: list[str], code: Exit, message: str) -> None:
    outcome = call(*arguments)
    assert message in outcome.stderr and outcome.exit_code == code
    assert outcome.stderr.count("\n") <= 2 and "Traceback" not in outcome.stderr


def test_debug_shows_the_traceback_wherever_it_is_written(here: Path) -> None:
    Path("bad.txt").write_text("hello", encoding="utf-8")
    for arguments in (["--debug", "run", "bad.txt"], ["run", "bad.txt", "--debug"]):
        assert "Traceback" in call(*arguments).stderr


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProgramFormatError(""), 3),
        (MemoryBudgetError(""), 4),
        (MemoryError(), 4),
        (InterruptedRunError(""), 1),
        (KeyboardInterrupt(), 130),
        (RuntimeError(), 1),
    ],
)
def test_exit_codes(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_interrupt_and_bugs_end_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(error: BaseException) -> Callable[..., Any]:
        def run(*_: Any, **__: Any) -> Any:
            raise error

        return run

    monkeypatch.setattr(Simulator, "run", fail(KeyboardInterrupt()))
    outcome = call("run", BELL)
    assert outcome.exit_code == 130 and outcome.stderr.strip() == "qsim: interrupted."
    monkeypatch.setattr(Simulator, "run", fail(ZeroDivisionError("oh")))
    outcome = call("run", BELL)
    assert outcome.exit_code == 1 and "internal error, ZeroDivisionError: oh" in outcome.stderr


# --- help, start-up, small parts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", sorted(main.commands))
def test_every_command_teaches_by_example(command: str) -> None:
    outcome = call(command, "--help")
    assert outcome.exit_code == 0 and (f"qsim {command}" in outcome.stdout)


def test_help_lists_commands_and_exit_codes() -> None:
    shown = call("--help").stdout
    assert all(f"  {command} " in shown for command in main.commands)
    assert "4  it does not fit in memory" in shown


def test_the_package_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["__main__.py", "--version"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_module("qsim", run_name="__main__")
    assert capsys.readouterr().out.startswith("qsim, version ")


def test_help_needs_no_heavy_import() -> None:
    heavy = ("numba", "cupy", "matplotlib", "scipy", "qiskit")
    code = f"import sys, qsim.cli; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.5", 0.5), ("-3*pi/4", -3 * math.pi / 4), ("1e-3", 1e-3), ("(1+2)*2", 6.0), ("+tau", math.tau)],
)
def test_numbers(text: str, value: float) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    "text", ["", "nan", "1/0", "1e999", "2**9", "pi()", "'a'", "True", "[1]", "(" * 150, "1" * 300]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError):
        number(text)


@given(st.floats(0, 1), st.integers(1, 60))
def test_bars_keep_their_width_and_show_what_is_there(fraction: float, width: int) -> None:
    drawn = bar(fraction, width)
    assert len(drawn) == width and (drawn.strip() != "") == (fraction > 0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(2e-6, "2 µs"), (0.5, "500 ms"), (90, "90 s"), (3600, "60 min"), (36000, "10 h"), (1e6, "11.6 days")],
)
def test_times_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
