"""What is particular to the C++ backend: instruction sets, threads, signals, forks, refusals.

The meaning of operations is walked over all backends by test_conformance.py; here a short random walk covers every
instruction set of this CPU.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim_core import _native
from qsim_core.errors import InterruptedRunError, MemoryBudgetError, UnsupportedError
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.operations import OpKind
from qsim_core.pauli import PauliTerms
from qsim_core.plan import Coefficients, Plan
from qsim_core.program import Program, ProgramBuilder
from qsim_core.random import RandomSource
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, Precision

ISAS = NativeCpuBackend.isas()
REFERENCE = ReferenceBackend()
TOLERANCE = {Precision.SINGLE: 3e-6, Precision.DOUBLE: 1e-13}
KINDS = ("rotation", "phase", "dense", "real", "diagonal", "permutation")


def random_unitary(rng: np.random.Generator, size: int, *, real: bool = False) -> np.ndarray:
    matrix = rng.normal(size=(size, size)) + (0 if real else 1j) * rng.normal(size=(size, size))
    return np.linalg.qr(matrix)[0]


def append_random(builder: ProgramBuilder, rng: np.random.Generator, kind: str) -> None:
    """Append one operation of random width on random wires."""
    n = builder.num_qubits
    wires = rng.permutation(n).tolist()
    widest = {"dense": 5, "real": 2, "phase": 0}.get(kind, n)
    width = int(rng.integers(0, min(widest, n) + 1))
    if kind == "rotation" and width == 0:
        kind = "phase"
    targets, rest = wires[:width], wires[width:]
    controls = rest[: int(rng.integers(0, 3))]
    values = rng.integers(0, 2, len(controls)).tolist()
    angle = float(rng.normal() * 3)
    match kind:
        case "rotation":
            builder.rotation("".join(rng.choice(list("XYZ"), width)), angle, targets, controls, values)
        case "phase":
            builder.phase(angle, controls, values)
        case "dense" | "real":
            builder.dense(random_unitary(rng, 2**width, real=kind == "real"), targets, controls, values)
        case "diagonal":
            builder.diagonal(np.exp(1j * rng.normal(size=2**width)), targets, controls, values)
        case "permutation":
            builder.permutation(rng.permutation(2**width), targets, controls, values)


def random_program(rng: np.random.Generator, num_qubits: int, kinds: tuple[str, ...] = KINDS) -> Program:
    builder = ProgramBuilder(num_qubits)
    for kind in kinds:
        append_random(builder, rng, kind)
    return builder.finish()


def random_amps(rng: np.random.Generator, batch: int, num_qubits: int, precision: Precision) -> Amps:
    amps = rng.normal(size=(batch, 2**num_qubits)) + 1j * rng.normal(size=(batch, 2**num_qubits))
    return (amps / np.linalg.norm(amps, axis=1, keepdims=True)).astype(precision.dtype)


def run(
    backend: NativeCpuBackend | ReferenceBackend, plan: Plan, values: Coefficients, amps: Amps, threads: int = 1
) -> Amps:
    result = amps.copy()
    for stage in plan.segments[plan.entry].stages:
        backend.run_stage(plan, stage, values, result, RunControl(threads=threads))
    return result


def run_sweeps(isa: str, plan: Plan, values: Coefficients, amps: Amps) -> Amps:
    """Run every operation as a sweep of its own over the whole state, whatever kind of pass the plan asks for."""
    result = amps.copy()
    _native.Cpu(isa).run(plan.ops.columns, 0, len(plan.ops), values.values, values.operands, result, 2, None)
    return result


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_random_programs_agree_with_the_reference(isa: str, precision: Precision) -> None:
    backend = NativeCpuBackend(isa)
    for seed in range(36):
        rng = np.random.default_rng(seed)
        num_qubits, batch = seed % 12, 1 + seed % 3
        program = random_program(rng, num_qubits, KINDS * 2)
        plan = trivial_plan(program, precision=precision)
        values = plan.coefficients(program)
        if seed % 2:  # every element its own angles
            values = Coefficients(rng.normal(size=(batch, values.values.shape[1])), values.operands)
        amps = random_amps(rng, batch, num_qubits, precision)
        expected = run(REFERENCE, plan, values, amps)
        assert abs(run(backend, plan, values, amps) - expected).max() < TOLERANCE[precision], list(program.operations())
        swept = run_sweeps(isa, plan, values, amps)
        assert abs(swept - expected).max() < TOLERANCE[precision], list(program.operations())


@pytest.mark.parametrize("isa", ISAS)
def test_wide_tables_agree_with_the_reference(isa: str) -> None:
    """Permutations and initialisations of more than one chunk: 2^12 rows and up, with and without lane qubits."""
    rng = np.random.default_rng(5)
    for targets in (range(14), rng.permutation(15)[:13].tolist(), range(3, 16), range(3, 17)):
        width, num_qubits = len(targets), 17
        vector = rng.normal(size=2**width) + 1j * rng.normal(size=2**width)
        builder = ProgramBuilder(num_qubits)
        builder.initialize(vector / np.linalg.norm(vector), list(targets))
        builder.rotation("YXY", 0.3, [0, 8, 16])
        builder.permutation(rng.permutation(2**width), list(targets))
        builder.permutation(np.roll(np.arange(2**width), 1), list(targets))  # one long cycle
        builder.diagonal(np.exp(1j * rng.normal(size=2**width)), list(targets))
        program = builder.finish()
        plan = trivial_plan(program)
        amps = random_amps(rng, 1, num_qubits, Precision.DOUBLE)
        result = run(NativeCpuBackend(isa), plan, plan.coefficients(program), amps, threads=2)
        expected = run(REFERENCE, plan, plan.coefficients(program), amps)
        assert abs(result - expected).max() < 1e-13
        assert abs(run_sweeps(isa, plan, plan.coefficients(program), amps) - expected).max() < 1e-13


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_verbs_agree_with_the_reference(isa: str, precision: Precision) -> None:
    backend, control = NativeCpuBackend(isa), RunControl(threads=2)
    tolerance = TOLERANCE[precision]
    for seed, num_qubits in enumerate((0, 1, 2, 3, 4, 7, 10, 13, 16)):
        rng = np.random.default_rng(seed)
        bra, ket = (random_amps(rng, 2, num_qubits, precision) for _ in range(2))
        qubits = rng.permutation(num_qubits)[: int(rng.integers(0, num_qubits + 1))].tolist()
        x_mask, z_mask = (int(rng.integers(0, 2**num_qubits)) for _ in range(2))

        def compare(verb: Callable[..., np.ndarray], other: Callable[..., np.ndarray], *arguments: object) -> None:
            np.testing.assert_allclose(verb(*arguments, control), other(*arguments, control), rtol=1e-6, atol=tolerance)

        compare(backend.norms, REFERENCE.norms, ket)
        compare(backend.probabilities, REFERENCE.probabilities, ket, qubits)
        compare(backend.inner_product, REFERENCE.inner_product, bra, ket)
        compare(backend.pauli_overlap, REFERENCE.pauli_overlap, bra, ket, x_mask, z_mask)
        masks = rng.integers(2**num_qubits, size=(2, 40))
        masks[0, :20] = rng.choice(masks[0, :3], 20)
        compare(backend.expectation_paulis, REFERENCE.expectation_paulis, ket, *masks)
        distribution = REFERENCE.probabilities(ket[:1], qubits, control)[0]
        outcome = int(distribution.argmax())
        ours, theirs = ket[:1].copy(), ket[:1].copy()
        backend.collapse(ours, qubits, outcome, distribution[outcome])
        REFERENCE.collapse(theirs, qubits, outcome, distribution[outcome])
        np.testing.assert_allclose(ours, theirs, atol=tolerance)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", Precision)
def test_diagonal_strings_over_several_blocks_are_a_walsh_hadamard_transform(isa: str, precision: Precision) -> None:
    rng, num_qubits = np.random.default_rng(5), 15
    amps = random_amps(rng, 1, num_qubits, precision)
    transformed = (np.abs(amps[0].astype(np.complex128)) ** 2).reshape((2,) * num_qubits)
    for axis in range(num_qubits):
        low, high = np.moveaxis(transformed, axis, 0)
        transformed = np.stack([low + high, low - high], axis=axis)
    singles = 1 << np.arange(num_qubits)
    pairs = (singles[:, None] | singles).ravel()
    for z_masks in (pairs, np.arange(2**9), rng.integers(2**num_qubits, size=300), singles[-1:], singles[:0]):
        found = NativeCpuBackend(isa).expectation_paulis(amps, np.zeros_like(z_masks), z_masks, RunControl(threads=2))
        np.testing.assert_allclose(found[0], transformed.ravel()[z_masks], rtol=0, atol=1e-12)


@pytest.mark.parametrize("isa", ISAS)
def test_strings_that_pair_regions_of_the_state(isa: str) -> None:
    """20 qubits in double precision are two regions, which blocks and strings leave and don't leave."""
    rng, size = np.random.default_rng(6), 2**20
    backend, control = NativeCpuBackend(isa), RunControl(threads=2)
    amps = random_amps(rng, 1, 20, Precision.DOUBLE)
    x_masks = np.repeat([0, 5, 1 << 12, 1 << 19 | 3, 1 << 19 | 1 << 10], 2)
    z_masks, coefficients = rng.integers(size, size=10), rng.normal(size=10)
    x_masks[-1] += 1 << 16  # a string alone with its X mask
    index, image, values = np.arange(size), np.zeros(size, dtype=np.complex128), []
    for x, z, c in zip(x_masks, z_masks, coefficients, strict=True):
        source = index ^ x
        signs = 1 - 2 * (np.bitwise_count(source & z).astype(np.int64) & 1)
        moved = amps[0, source] * signs * 1j ** (int(x & z).bit_count() % 4)
        image += c * moved
        values.append(np.vdot(amps[0], moved).real)
    np.testing.assert_allclose(backend.expectation_paulis(amps, x_masks, z_masks, control)[0], values, atol=1e-12)
    out = np.full_like(amps, np.nan)
    backend.apply_pauli_sum(amps, PauliTerms(x_masks, z_masks, coefficients), coefficients[None], out, control)
    np.testing.assert_allclose(out[0], image, rtol=0, atol=1e-12)
    nothing = np.zeros(0, dtype=np.int64)
    backend.apply_pauli_sum(amps, PauliTerms(nothing, nothing, np.zeros(0)), np.zeros((1, 0)), out, control)
    assert not out.any()


@pytest.mark.parametrize("precision", Precision)
def test_results_do_not_depend_on_the_number_of_threads(precision: Precision) -> None:
    backend = NativeCpuBackend()
    rng = np.random.default_rng(3)
    for num_qubits, batch in ((17, 1), (10, 7)):
        program = random_program(rng, num_qubits)
        plan = trivial_plan(program, precision=precision)
        amps = random_amps(rng, batch, num_qubits, precision)
        uniforms = rng.random(1000)
        masks = rng.integers(2**num_qubits, size=(2, 50))
        seen = set()
        for threads in (1, 2, 3, 5):
            control = RunControl(threads=threads)
            result = run(backend, plan, plan.coefficients(program), amps, threads)
            seen.add(
                (
                    result.tobytes(),
                    backend.norms(result, control).tobytes(),
                    backend.probabilities(result, [3, 1, 9], control).tobytes(),
                    backend.probabilities(result, list(range(num_qubits)), control).tobytes(),
                    backend.expectation_paulis(result, *masks, control).tobytes(),
                    backend.sample(result[:1], uniforms[None], control).tobytes(),
                    *(column.tobytes() for column in backend.sample_counts(result, 999, RandomSource(1), 0, control)),
                )
            )
        assert len(seen) == 1


@pytest.mark.parametrize("isa", ISAS)
def test_samples_never_hit_states_of_probability_zero(isa: str) -> None:
    backend = NativeCpuBackend(isa)
    for precision in Precision:
        amps = np.zeros((1, 2**16), dtype=precision.dtype)
        places = np.array([5, 40000, 40001, 65000])
        amps[0, places] = [0.5, 0.1j, 0.7, 0.2]
        uniforms = np.concatenate([np.random.default_rng(1).random(2000), [0.0, np.nextafter(1.0, 0.0)]])
        [found] = backend.sample(amps, uniforms[None], RunControl())
        np.testing.assert_array_equal(found, REFERENCE.sample(amps, uniforms[None], RunControl())[0])
        assert set(found) == set(places)
        for shots in (2000, 10**7):  # drawn one by one, and by amplitude
            _, outcomes, counts = backend.sample_counts(amps, shots, RandomSource(1), 0, RunControl())
            np.testing.assert_array_equal(outcomes, places)
            np.testing.assert_allclose(counts / shots, np.abs(amps[0, places]) ** 2 / 0.79, atol=4 / math.sqrt(shots))
        rng = np.random.default_rng(2)
        amps[0] = rng.normal(size=2**16) * (rng.random(2**16) < 0.3)  # a few of every segment, none of some
        for shots in (200_000, 5_000_000):
            _, outcomes, counts = backend.sample_counts(amps, shots, RandomSource(2), 0, RunControl(threads=2))
            weight = np.abs(amps[0].astype(np.complex128)) ** 2
            assert (weight[outcomes] > 0).all() and counts.sum() == shots
            segments = np.bincount(outcomes // 8, weights=counts, minlength=2**13)
            wanted = shots * weight.reshape(-1, 8).sum(axis=1) / weight.sum()
            assert (np.abs(segments - wanted) <= 7 * np.sqrt(wanted) + 7).all() and (segments[wanted == 0] == 0).all()


def test_the_zero_state_and_memory() -> None:
    backend = NativeCpuBackend()
    for num_qubits, batch in ((0, 1), (2, 3), (18, 2)):
        amps = backend.allocate(batch, num_qubits, Precision.SINGLE)
        backend.fill_zero_state(amps)
        assert amps.shape == (batch, 2**num_qubits)
        assert amps.dtype == np.complex64
        assert (amps[:, 0] == 1).all()
        assert np.count_nonzero(amps) == batch
    large = backend.allocate(1, 20, Precision.DOUBLE)
    assert large.ctypes.data % 2**21 == 0
    view = large[0, :5]
    del large
    view[:] = 1  # the memory lives as long as its last view
    with pytest.raises(MemoryBudgetError, match="GiB for 60 qubits"):
        backend.allocate(1, 60, Precision.DOUBLE)


def one_rotation(num_qubits: int = 3) -> tuple[Plan, Coefficients]:
    builder = ProgramBuilder(num_qubits)
    builder.rotation("X", 0.3, [0])
    builder.dense(np.eye(2), [1], [0])
    program = builder.finish()
    plan = trivial_plan(program)
    return plan, plan.coefficients(program)


def call(plan: Plan, values: Coefficients, amps: Amps, **changes: object) -> None:
    names = ("kind", "num_targets", "data", "offset", "qubits", "tags")
    columns = {name: column.copy() for name, column in zip(names, plan.ops.columns, strict=True)}
    for name, (place, value) in changes.items():  # type: ignore[misc]
        columns[name][place] = value
    _native.Cpu().run(tuple(columns.values()), 0, len(plan.ops), values.values, values.operands, amps, 1, None)


@pytest.mark.parametrize(
    ("column", "place", "value", "message"),
    [
        ("kind", 0, 9, "kind from 1 to 6"),
        ("num_targets", 0, 2, "wires within the columns"),
        ("num_targets", 0, -1, "wires within the columns"),
        ("data", 0, 7, "a coefficient from 0"),
        ("data", 1, -1, "an operand index"),
        ("offset", 2, 9, "wires within the columns"),
        ("offset", 1, -5, "wires within the columns"),
        ("qubits", 0, 3, "different qubits from 0 to 2"),
        ("qubits", 1, 0, "different qubits from 0 to 2"),
        ("tags", 0, 4, "Pauli letters"),
        ("tags", 2, 2, "control values"),
    ],
)
def test_rows_that_are_out_of_range_are_refused(column: str, place: int, value: int, message: str) -> None:
    plan, values = one_rotation()
    amps = np.ones((1, 8), dtype=np.complex128)
    call(plan, values, amps)
    with pytest.raises(ValueError, match=message):
        call(plan, values, amps, **{column: (place, value)})


def test_arrays_of_the_wrong_kind_are_refused() -> None:
    plan, values = one_rotation()
    frozen = np.ones((1, 8), dtype=np.complex128)
    frozen.flags.writeable = False
    for amps in (np.ones(8, complex), np.ones((1, 6), complex), np.ones((8, 2), complex).T, np.ones((1, 8)), frozen):
        with pytest.raises(ValueError, match="amplitudes: expected"):
            call(plan, values, amps)
    good = np.ones((3, 8), dtype=np.complex128)
    with pytest.raises(ValueError, match="coefficient values"):
        call(plan, Coefficients(np.zeros((2, 1)), values.operands), good)
    for operand in (np.eye(4, dtype=complex), np.eye(2), np.arange(4)):
        with pytest.raises(ValueError, match="expected"):
            call(plan, Coefficients(values.values, (operand,)), good)
    with pytest.raises(ValueError, match="every row number exactly once"):
        builder = ProgramBuilder(3)
        builder.permutation([1, 0], [0])
        twice = trivial_plan(builder.finish())
        call(twice, Coefficients(np.zeros((1, 0)), (np.array([1, 1]),)), good)
    for number in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match=r"numbers in \[0, 1\)"):
            _native.Cpu().sample(good[:1].copy(), np.array([0.5, number]), 1, None)
    with pytest.raises(ValueError, match="equally many for every state"):
        _native.Cpu().sample(np.ones((2, 8), dtype=np.complex128), np.full(3, 0.5), 1, None)
    for shots in (-1, 2**40 + 1):
        with pytest.raises(ValueError, match="shots: expected 0 to 1099511627776"):
            _native.Cpu().sample_counts(good[:1].copy(), shots, 0, 0, 0, 1, None)
        with pytest.raises(ValueError, match="shots: expected 0 to 1099511627776"):
            _native.multinomial(np.ones(4), 2, shots, 0, 0, 0)
    with pytest.raises(ValueError, match="rows: expected a divisor"):
        _native.multinomial(np.ones(4), 3, 1, 0, 0, 0)
    for mask in (8, -1):
        with pytest.raises(ValueError, match="bits of 3 qubits"):
            _native.Cpu().pauli_expectations(good, np.array([1, 0]), np.array([0, mask]), 1, None)
    with pytest.raises(ValueError, match="z_masks"):
        _native.Cpu().pauli_expectations(good, np.array([1, 0]), np.array([0]), 1, None)
    with pytest.raises(ValueError, match="instruction set: expected one this CPU has"):
        NativeCpuBackend("mmx")


def test_boundaries_are_refused() -> None:
    plan, values = one_rotation()
    amps = np.ones((1, 8), dtype=np.complex128)
    kind = plan.ops.kind.copy()
    kind[1] = OpKind.MEASURE
    with pytest.raises(UnsupportedError, match="MEASURE"):
        run(NativeCpuBackend(), replace(plan, ops=replace(plan.ops, kind=kind)), values, amps)


def test_the_control_stops_a_run() -> None:
    builder = ProgramBuilder(20)
    for _ in range(2000):
        builder.dense(random_unitary(np.random.default_rng(0), 16), [1, 5, 9, 13])
    program = builder.finish()
    plan = trivial_plan(program)
    backend = NativeCpuBackend()
    amps = backend.allocate(1, 20, Precision.DOUBLE)
    backend.fill_zero_state(amps)
    fractions: list[float] = []
    control = RunControl(threads=2, deadline=time.monotonic() + 0.3, progress=fractions.append)
    start = time.monotonic()
    with pytest.raises(InterruptedRunError, match="deadline"):
        backend.run_stage(plan, plan.segments[plan.entry].stages[0], plan.coefficients(program), amps, control)
    assert time.monotonic() - start < 3  # generous: other work may share the machine
    assert fractions == sorted(fractions)
    assert fractions
    backend.fill_zero_state(amps)
    assert backend.norms(amps, RunControl(threads=2))[0] == 1


def in_a_process(text: str) -> subprocess.Popen[str]:
    prelude = """
        import os, signal, sys, time
        import numpy as np
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits it ignored
        from qsim_core.kernels.control import RunControl
        from qsim_core.kernels.native_cpu import NativeCpuBackend
        from qsim_core.program import ProgramBuilder
        from qsim_core.trivial_plan import trivial_plan
        from qsim_core.types import Precision
        backend = NativeCpuBackend()
        amps = backend.allocate(1, 20, Precision.DOUBLE)
        backend.fill_zero_state(amps)
        builder = ProgramBuilder(20)
        for k in range(int(os.environ.get("OPS", "3"))):
            builder.rotation("XYZ", 0.3, [k % 20, (k + 1) % 20, (k + 7) % 20])
        program = builder.finish()
        plan = trivial_plan(program)
        stage = plan.segments[plan.entry].stages[0]
        def run():
            backend.run_stage(plan, stage, plan.coefficients(program), amps, RunControl(threads=2))
    """
    code = textwrap.dedent(prelude) + textwrap.dedent(text)
    environment = {**os.environ, "OPS": "200000" if "SIGINT" in text else "3"}
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_ctrl_c_stops_a_run_and_leaves_a_usable_process() -> None:
    process = in_a_process("""
        print("started", flush=True)
        try:
            run()
        except KeyboardInterrupt:  # what SIGINT becomes
            print("interrupted", time.monotonic(), flush=True)
            backend.fill_zero_state(amps)
            print(backend.norms(amps, RunControl(threads=2))[0], flush=True)
    """)
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    time.sleep(0.5)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    words = output.split()
    assert words[0] == "interrupted", errors
    assert float(words[1]) - sent < 0.5
    assert words[2] == "1.0"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_makes_its_own_threads() -> None:
    process = in_a_process("""
        run()
        expected = backend.norms(amps, RunControl(threads=2))[0]
        child = os.fork()
        if child == 0:
            run()
            found = backend.norms(amps, RunControl(threads=2))[0]
            os._exit(0 if abs(found - 1) < 1e-12 else 1)
        run()
        print(os.waitpid(child, 0)[1], abs(expected - 1) < 1e-12)
    """)
    output, errors = process.communicate(timeout=60)
    assert output.split() == ["0", "True"], errors


def test_concurrent_runs_share_the_pool() -> None:
    process = in_a_process("""
        from concurrent.futures import ThreadPoolExecutor
        states = [backend.allocate(1, 18, Precision.DOUBLE) for _ in range(4)]
        builder = ProgramBuilder(18)
        for k in range(40):
            builder.rotation("XY", 0.3, [k % 18, (k + 5) % 18])
        program = builder.finish()
        plan = trivial_plan(program)
        stage = plan.segments[plan.entry].stages[0]
        def one(state):
            backend.fill_zero_state(state)
            backend.run_stage(plan, stage, plan.coefficients(program), state, RunControl(threads=3))
            return state.tobytes()
        with ThreadPoolExecutor(4) as pool:
            print(len(set(pool.map(one, states))))
    """)
    output, errors = process.communicate(timeout=60)
    assert output.split() == ["1"], errors
