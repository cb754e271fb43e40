"""for, switch, break and continue, delays, readings and readout errors: closed forms, Qiskit Aer, clear refusals."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qsim import Circuit, Parameter, Simulator, noise
from qsim_core.classical import Bits, Unary
from qsim_core.errors import InterruptedRunError, ParameterError, QsimError, QubitError, ShapeError, UnsupportedError
from qsim_core.serialization import program_from_json, program_to_json


def reference(circuit: Circuit, shots: int = 2000, **options: Any) -> Any:
    return Simulator("reference", seed=5).run(circuit, shots=shots, **options)


def geometric(jump: str) -> Circuit:
    """Up to five coins; the loop ends with the first 1. Qubits 1 to 3 count rounds that were run to their end."""
    circuit = Circuit(4, 5)
    with circuit.for_(range(5)):
        circuit.reset(0).h(0).measure(0, 0)
        with circuit.if_(0):
            getattr(circuit, jump)()
        circuit.ccx(1, 2, 3).cx(1, 2).x(1)
    return circuit.measure([1, 2, 3], [1, 2, 3])


def test_break_ends_a_loop_and_continue_a_round() -> None:
    shots = 4000
    for jump, wanted in (
        ("break_", [2.0 ** -(k + 1) for k in range(5)] + [2.0**-5]),
        ("continue_", [c / 32 for c in (1, 5, 10, 10, 5, 1)]),
    ):
        rounds = Counter((reference(geometric(jump), shots).samples[:, 1:4] @ [1, 2, 4]).tolist())
        for k, p in enumerate(wanted):
            assert rounds[k] == pytest.approx(shots * p, abs=5 * np.sqrt(shots * p * (1 - p)))


@pytest.mark.parametrize("jump", ["break_", "continue_"])
def test_jumps_survive_files(jump: str) -> None:
    circuit = geometric(jump)
    program = circuit.to_program()
    again = program_from_json(program_to_json(program))
    assert again.fingerprint == program.fingerprint
    loop = Circuit(1, 1).x(0).measure(0, 0)
    with loop.while_(0, limit=300):
        loop.h(0).measure(0, 0)
        with loop.if_(0):
            getattr(loop, jump)()
        loop.x(0)
    text = loop.to_qasm()
    assert jump.rstrip("_") + ";" in text
    assert reference(Circuit.from_qasm(text), 300).counts == reference(loop, 300).counts


def test_openqasm_loops_are_left_on_measured_bits() -> None:
    text = """OPENQASM 3.0; include "stdgates.inc"; qubit[2] q; bit[2] c;
    for int i in [0:3] { h q[0]; c[0] = measure q[0]; if (c[0]) { break; } rx(pi / 4) q[1]; }
    c[1] = measure q[1];"""
    counts, shots = reference(Circuit.from_qasm(text), 4000).counts, 4000
    ones = sum(2.0 ** -(k + 1 - (k == 4)) * np.sin(k * np.pi / 8) ** 2 for k in range(5))
    found = sum(count for bits, count in counts.items() if bits[0] == "1") / shots
    assert found == pytest.approx(ones, abs=5 * np.sqrt(ones * (1 - ones) / shots))


@pytest.mark.parametrize("inside", [0, 1, 2, 3])
def test_switch_takes_the_first_case_that_fits(inside: int) -> None:
    circuit = Circuit(4, 6)
    circuit.x([q for q in range(2) if inside >> q & 1]).measure([0, 1], [0, 1])
    with circuit.for_([1, 2]), circuit.switch([0, 1]) as number:
        with number.case(0):
            circuit.x(2)
        with number.case(1, 2):
            circuit.x(3)
            with circuit.if_(0):
                circuit.break_()
        with number.default():
            circuit.x([2, 3]).break_()
    result = reference(circuit.measure([2, 3], [4, 5]), 5)
    assert result.counts == {{0: "000000", 1: "100001", 2: "000010", 3: "110011"}[inside]: 5}


def test_a_loop_over_a_parameter() -> None:
    angle = Parameter("angle")
    circuit = Circuit(1)
    with circuit.for_([0.1, 0.2, 0.4], angle):
        circuit.ry(2 * angle, 0)
    assert Simulator("reference").run(circuit, observables="Z0").expectations[0] == pytest.approx(np.cos(1.4))
    assert circuit.delay(1e-6).delay(2.5e-7, 0).depth() == 3 and circuit.parameters == ()
    assert "delay[1000.0ns] q[0];" in circuit.to_qasm()


def test_values_read_on_the_way(simulator: Simulator) -> None:
    """After measuring one half of cos|00> + sin|11>, Z of the other half is fixed; X of it never was."""
    circuit = Circuit(2, 2).ry(1.0, 0).cx(0, 1).expectation("before", "Z0 Z1").expectation("x", "X1")
    circuit.measure(0, 0).expectation("after", "Z1 + 2*I").h(1).measure(1, 1)
    result = simulator.run(circuit, shots=3000)
    tolerance = 1e-5
    assert result.reading("before").values.tolist() == pytest.approx([1.0], abs=tolerance)
    assert result.reading("x").mean == pytest.approx(0.0, abs=tolerance)
    after = result.reading("after")
    assert sorted(after.values.tolist()) == pytest.approx([1.0, 3.0], abs=tolerance)
    assert after.mean == pytest.approx(2 + np.cos(1.0), abs=5 * after.standard_error)
    assert after.standard_error == pytest.approx(np.sin(1.0) / np.sqrt(3000), rel=0.1)
    for bit, value in ((0, 3.0), (1, 1.0)):
        chosen = result.postselect({0: bit}).reading("after")
        assert chosen.mean == pytest.approx(value, abs=tolerance) and len(chosen.per_shot) > 500
    assert np.isnan(result.postselect({0: 0}).postselect({0: 1}).reading("after").mean)
    with pytest.raises(ParameterError, match=r"label of a reading: expected \['after', 'before', 'x'\], got 'y'"):
        result.reading("y")


def test_observables_of_dynamic_circuits_have_standard_errors(simulator: Simulator) -> None:
    circuit = Circuit(2, 1).ry(1.0, 0).cx(0, 1).measure(0, 0).h(0)
    result = simulator.run(circuit, shots=2000, observables=["Z1", "X0 Z1", "X0"])
    assert result.expectations[0] == pytest.approx(np.cos(1.0), abs=5 * result.standard_errors[0])
    assert result.standard_errors[0] == pytest.approx(np.sin(1.0) / np.sqrt(2000), rel=0.1)
    np.testing.assert_allclose(result.expectations[1:], [1.0, result.expectations[0]], atol=1e-5)


def test_batches_of_dynamic_circuits(simulator: Simulator) -> None:
    circuit = Circuit(2, 2).rx(Parameter("a"), 0).measure(0, 0)
    with circuit.if_(0):
        circuit.x(1)
    compiled = simulator.compile(circuit.measure(1, 1))
    angles = np.array([0.0, 1.0, np.pi])
    results = compiled.run_batch({"a": angles}, shots=800, observables="Z1")
    for result, angle in zip(results, angles, strict=True):
        assert set(result.counts) <= {"00", "11"}
        one = np.sin(angle / 2) ** 2
        assert result.counts.get("11", 0) / 800 == pytest.approx(one, abs=0.1)
        assert result.expectations[0] == pytest.approx(1 - 2 * result.counts.get("11", 0) / 800, abs=1e-5)


def test_misread_qubits_steer_and_stay() -> None:
    """The wrong bit is acted on; the qubit is what it was: bits 1, 2 are a second, exact measurement and the flag."""
    p01, p10, shots = 0.1, 0.3, 8000
    circuit = Circuit(2, 3).h(0).measure(0, 0)
    with circuit.if_(0):
        circuit.x(1)
    noisy = noise.readout_error(circuit, [[1 - p01, p01], [p10, 1 - p10]])
    counts = reference(noisy.measure(0, 1).measure(1, 2), shots).counts
    wanted = {"000": 0.5 * (1 - p01), "101": 0.5 * p01, "010": 0.5 * p10, "111": 0.5 * (1 - p10)}
    assert set(counts) == set(wanted)
    for bits, p in wanted.items():
        assert counts[bits] == pytest.approx(shots * p, abs=5 * np.sqrt(shots * p * (1 - p)))
    program = noisy.to_program()
    assert program_from_json(program_to_json(program)).fingerprint == program.fingerprint


def test_readout_errors_against_aer() -> None:
    """Contingency test of the counts of both, p above 1e-4."""
    qiskit, aer = pytest.importorskip("qiskit"), pytest.importorskip("qiskit_aer")
    models, stats = pytest.importorskip("qiskit_aer.noise"), pytest.importorskip("scipy.stats")
    tables = {0: [[0.9, 0.1], [0.2, 0.8]], 2: [[0.75, 0.25], [0.05, 0.95]]}
    ours, theirs, model = Circuit(3), qiskit.QuantumCircuit(3, 3), models.NoiseModel()
    for qubit in range(3):
        ours.ry(0.5 + qubit, qubit)
        theirs.ry(0.5 + qubit, qubit)
        if qubit in tables:
            model.add_readout_error(models.ReadoutError(tables[qubit]), [qubit])
    ours.cx(0, 1).cx(1, 2)
    theirs.cx(0, 1)
    theirs.cx(1, 2)
    theirs.measure(range(3), range(3))
    found = reference(noise.readout_error(ours.measure_all(), tables), 8000).counts
    simulated = aer.AerSimulator(seed_simulator=3, noise_model=model).run(theirs, shots=8000).result().get_counts()
    keys = [format(k, "03b") for k in range(8)]
    assert stats.chi2_contingency([[c.get(key, 0) for key in keys] for c in (found, simulated)]).pvalue > 1e-4


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_random_control_flow_against_aer(seed: int) -> None:
    """Contingency test of the counts of both; p above 1e-6, so that 8 examples fail by chance once in 10^5 runs."""
    qiskit, aer = pytest.importorskip("qiskit"), pytest.importorskip("qiskit_aer")
    stats, shots, n = pytest.importorskip("scipy.stats"), 3000, 3
    rng = np.random.default_rng(seed)
    ours, theirs = Circuit(n, 4), qiskit.QuantumCircuit(n, 4)

    def layer() -> None:
        for qubit in range(n):
            angle = float(rng.uniform(-3, 3))
            ours.ry(angle, qubit)
            theirs.ry(angle, qubit)
        a, b = rng.permutation(n)[:2].tolist()
        ours.cx(a, b)
        theirs.cx(a, b)

    for bit in range(3):
        layer()
        qubit, other = rng.permutation(n)[:2].tolist()
        ours.measure(qubit, bit)
        theirs.measure(qubit, bit)
        match rng.integers(4):
            case 0:
                with ours.if_(bit):
                    ours.x(other)
                with ours.else_():
                    ours.reset(other)
                with theirs.if_test((theirs.clbits[bit], 1)) as otherwise:
                    theirs.x(other)
                with otherwise:
                    theirs.reset(other)
            case 1:
                with ours.while_(bit, limit=1000):
                    ours.h(qubit).measure(qubit, bit)
                with theirs.while_loop((theirs.clbits[bit], 1)):
                    theirs.h(qubit)
                    theirs.measure(qubit, bit)
            case 2:
                with ours.for_(range(3)):
                    ours.h(qubit).measure(qubit, bit)
                    with ours.if_(bit):
                        ours.break_()
                    ours.ry(0.7, other)
                with theirs.for_loop(range(3)):
                    theirs.h(qubit)
                    theirs.measure(qubit, bit)
                    with theirs.if_test((theirs.clbits[bit], 1)):
                        theirs.break_loop()
                    theirs.ry(0.7, other)
            case _:
                with ours.switch(range(bit + 1)) as number:
                    with number.case(0):
                        ours.h(other)
                    with number.default():
                        ours.ry(1.1, other)
                with theirs.if_test(qiskit_none(theirs, bit)) as otherwise:
                    theirs.h(other)
                with otherwise:
                    theirs.ry(1.1, other)
    last = int(rng.integers(n))
    ours.measure(last, 3)
    theirs.measure(last, 3)
    found = Simulator("reference", seed=seed).run(ours, shots=shots).counts
    ran = aer.AerSimulator(seed_simulator=seed % 2**31).run(theirs, shots=shots).result()
    assume(ran.success)  # Aer refuses some of them: "Failed to load circuits: unordered_map::at"
    simulated = ran.get_counts()
    keys = sorted(key for key in {*found, *simulated} if found.get(key, 0) + simulated.get(key, 0) >= 10)
    rest = [shots - sum(counts.get(key, 0) for key in keys) for counts in (found, simulated)]
    assert max(rest) < 60
    if len(keys) > 1:
        table = [[counts.get(key, 0) for key in keys] for counts in (found, simulated)]
        assert stats.chi2_contingency(table).pvalue > 1e-6


def qiskit_none(circuit: Any, bit: int) -> Any:
    """Return the expression that bits 0 to ``bit`` are all 0."""
    from qiskit.circuit.classical import expr

    some = expr.lift(circuit.clbits[0])
    for k in range(1, bit + 1):
        some = expr.logic_or(some, circuit.clbits[k])
    return expr.logic_not(some)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_loops_that_never_end_are_stopped(num_qubits: int, bit: int, limit: int) -> None:
    circuit = Circuit(num_qubits, 8).x(0).measure(0, bit)
    with circuit.while_(bit, limit=limit):
        circuit.h(num_qubits - 1).h(num_qubits - 1)
    with pytest.raises(InterruptedRunError, match=f"rounds of a while loop: expected at most {limit}, got more"):
        reference(circuit, 2)


@given(st.sets(st.integers(0, 7), min_size=1), st.sets(st.integers(0, 7), min_size=1), st.booleans())
@settings(max_examples=30, deadline=None)
def test_conditions_on_bits_never_written_are_refused(read: set[int], written: set[int], loops: bool) -> None:
    circuit = Circuit(8, 8).measure(sorted(written), sorted(written))
    with circuit.while_((sorted(read), 1), 5) if loops else circuit.if_((sorted(read), 1)):
        circuit.x(0)
    if read & written:
        reference(circuit, 2)
        return
    with pytest.raises(QubitError, match=r"at least one that is measured before it, got \["):
        reference(circuit, 2)


@given(st.integers(0, 5), st.integers(0, 5))
@settings(max_examples=20, deadline=None)
def test_registers_of_unequal_sizes_are_refused(qubits: int, clbits: int) -> None:
    circuit = Circuit(6, 6)
    if qubits == clbits:
        circuit.measure(range(qubits), range(clbits))
        return
    with pytest.raises(ShapeError, match=f"classical bits of a measurement: expected {qubits}, .*got {clbits}"):
        circuit.measure(range(qubits), range(clbits))


@given(st.floats(0.05, 1.0), st.integers(0, 2))
@settings(max_examples=15, deadline=None)
def test_channels_that_are_no_mixtures_are_refused(gamma: float, qubit: int) -> None:
    kraus = [np.diag([1, np.sqrt(1 - gamma)]), np.array([[0, np.sqrt(gamma)], [0, 0]])]
    circuit = Circuit(3).h(0).channel(kraus, qubit).measure_all()
    with pytest.raises(UnsupportedError, match="a mixture of unitaries, got Kraus matrices"):
        reference(circuit, 3)


REFUSED: list[tuple[str, type[QsimError], str]] = [
    ("Circuit(1, 1).break_()", UnsupportedError, "inside a for_ or while_ loop"),
    ("Circuit(1, 1).continue_()", UnsupportedError, "inside a for_ or while_ loop"),
    ("Circuit(1, 1).delay(-1.0)", ParameterError, "seconds, at least 0, got -1"),
    ("Circuit(2).expectation('', 'Z0')", ParameterError, "not empty"),
    ("Circuit(2).expectation('a', 'Z5')", QubitError, "0 to 1, got 5"),
    ("Circuit(2).expectation('a', np.eye(2))", UnsupportedError, "a Pauli sum, got Hermitian"),
    ("Circuit(1).expectation('a', 'Z0').expectation('a', 'X0').to_program()", ParameterError, "a new one.*got 'a'"),
    ("Circuit(1).expectation('a', 'Z0').to_qasm()", UnsupportedError, "reading of an expectation value"),
    ("noise.readout_error(Circuit(1), [[1, 0], [0.5, 0.4]])", ParameterError, "rows of probabilities"),
    ("noise.readout_error(Circuit(1), [1, 0])", ShapeError, r"\(2, 2\)"),
    ("noise.readout_error(Circuit(1), {3: np.eye(2)})", QubitError, "0 to 0, got 3|qubit"),
    ("Circuit(1, 1).switch('d').__enter__()", QubitError, "'c'.*got 'd'"),
    ("Circuit(1, 1).switch([4]).__enter__()", QubitError, "got 4"),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSED, ids=[call for call, _, _ in REFUSED])
def test_refusals(call: str, error: type[QsimError], message: str) -> None:
    with pytest.raises(error, match=message):
        eval(call, {"Circuit": Circuit, "noise": noise, "np": np})


@given(st.integers(2, 6))
@settings(max_examples=5, deadline=None)
def test_a_loop_may_take_its_limit_and_no_more(rounds: int) -> None:
    """A token is swapped along a row of qubits; it arrives in the last of ``rounds`` rounds."""
    for limit in (rounds, rounds - 1):
        circuit = Circuit(rounds + 1, 1).x(0)
        with circuit.while_(Unary("not", Bits((0,))), limit=limit):
            for qubit in range(rounds, 0, -1):
                circuit.swap(qubit, qubit - 1)
            circuit.measure(rounds, 0)
        if limit == rounds:
            assert Simulator(seed=1).run(circuit, shots=10).counts == {"1": 10}
        else:
            with pytest.raises(InterruptedRunError, match=f"at most {limit}, got more"):
                Simulator(seed=1).run(circuit, shots=10)


def test_equal_rounds_are_written_as_a_loop() -> None:
    """Break and continue of a for whose rounds are equal go out as OpenQASM and come back; of others they are refused."""
    circuit = Circuit(2, 2)
    with circuit.for_(range(4)):
        circuit.h(0).measure([0, 1], [0, 1])
        with circuit.if_(0):
            circuit.break_()
        circuit.x(1)
        with circuit.if_(1):
            circuit.continue_()
        circuit.ry(0.7, 1)
    circuit.measure(1, 1)
    text = circuit.to_qasm()
    assert "in [0:3] {" in text and text.count("break;") == text.count("continue;") == 1
    again = Circuit.from_qasm(text)
    results = [Simulator("reference", seed=3).run(c, shots=6000).counts for c in (circuit, again)]
    assert {*results[0]} == {*results[1]}
    for key, count in results[0].items():
        assert abs(count - results[1][key]) < 6 * np.sqrt(2 * count + 10), key
    angle, other = Parameter("angle"), Circuit(1, 1)
    with other.for_([0.1, 0.2], angle):
        other.rx(angle, 0).measure(0, 0)
        with other.if_(0):
            other.break_()
    with pytest.raises(UnsupportedError, match="break in OpenQASM: expected one that leaves the innermost loop"):
        other.to_qasm()
