"""The batch engine of the C++ backend: states in vector lanes, X, CX and SWAP as relabelling, phases that wait.

The law is that it changes nothing: final states and expectation values are those of the reference running the
operations one by one, and a row has the same bits in every batch, on any number of threads.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("qsim_core._native", reason="the C++ core was not built")

from qsim_core import testing
from qsim_core.kernels.control import RunControl
from qsim_core.kernels.native_cpu import NativeCpuBackend
from qsim_core.kernels.reference import ReferenceBackend
from qsim_core.operations import Angle
from qsim_core.pauli import PauliTerms
from qsim_core.program import Program, ProgramBuilder
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, ComplexArray, FloatArray, Precision

ISAS = NativeCpuBackend.isas()
REFERENCE = ReferenceBackend()
CONTROL = RunControl()


def run_batch(
    program: Program,
    slots: FloatArray,
    start: ComplexArray | None = None,
    terms: tuple[PauliTerms, ...] = (),
    *,
    isa: str = "",
    precision: Precision = Precision.DOUBLE,
    threads: int = 1,
    keep: bool = True,
) -> tuple[Amps, FloatArray]:
    backend = NativeCpuBackend(isa or ISAS[0])
    plan = trivial_plan(program, precision=precision)
    states = np.full((len(slots), 2**program.num_qubits), np.nan, dtype=precision.dtype)
    control = RunControl(threads)
    found = backend.run_batch(program, plan, slots, start, terms, states if keep else None, control)
    assert found is not None
    return states, found


def random_terms(rng: np.random.Generator, num_qubits: int, count: int) -> PauliTerms:
    masks = rng.integers(0, 2**num_qubits, (count, 2))
    masks[rng.random(count) < 0.4, 0] = 0
    return PauliTerms.of([(int(x), int(z), float(rng.normal())) for x, z in masks])


def assert_like_reference(
    program: Program, rng: np.random.Generator, batch: int, isa: str, precision: Precision = Precision.DOUBLE
) -> None:
    slots = rng.uniform(-4, 4, (batch, len(program.slots)))
    start = testing.random_state(rng, program.num_qubits, batch).astype(np.complex128)
    sums = (random_terms(rng, program.num_qubits, 5), random_terms(rng, program.num_qubits, 1), PauliTerms.of([]))
    states, found = run_batch(program, slots, start, sums, isa=isa, precision=precision)
    wanted = testing.run(REFERENCE, trivial_plan(program), program, start, slots)
    bound = 4 * testing.error_bound(program, precision) + 40 * precision.epsilon
    np.testing.assert_allclose(states, wanted, rtol=0, atol=bound)
    for column, terms in enumerate(sums):
        each = zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True)
        value = sum(
            (c * REFERENCE.pauli_overlap(wanted, wanted, x, z, CONTROL).real for x, z, c in each), np.zeros(batch)
        )
        np.testing.assert_allclose(found[:, column], value, rtol=0, atol=2 * bound * max(1, np.abs(value).max()))


def scrambled(program: Program, rng: np.random.Generator) -> Program:
    """The program between others that leave relabellings and phases behind."""
    builder = ProgramBuilder(program.num_qubits, slots=["slot"])

    def scramble() -> None:
        for _ in range(6 if program.num_qubits > 1 else 0):
            a, b = rng.permutation(program.num_qubits)[:2].tolist()
            builder.permutation(np.array([1, 0]), (a,), (b,), (int(rng.integers(2)),))
            builder.phase(Angle(0.1, ((0, float(rng.normal())),)), (a, b), (1, int(rng.integers(2))))
            builder.rotation("Y", Angle(0.2, ((0, 0.3),)), (b,))
            builder.permutation(np.array([0, 2, 1, 3]), (a, b))

    scramble()
    builder.extend(program.operations())
    scramble()
    return builder.finish()


LEFT_TO_OTHERS = ("initialize", "dense 7", "dense 8")
CASES = [case for case in testing.cases() if not case.name.startswith(LEFT_TO_OTHERS)]


@pytest.mark.parametrize("isa", ISAS)
def test_every_operation_alone_and_between_others(isa: str) -> None:
    for number, case in enumerate(CASES):
        rng = np.random.default_rng(number)
        try:
            assert_like_reference(case.program, rng, 3, isa)
            if number % 3 == 0:
                assert_like_reference(scrambled(case.program, rng), rng, 2, isa, list(Precision)[number % 2])
        except AssertionError as error:
            raise AssertionError(f"case {case.name!r}: {error}") from None


@given(program=testing.programs(1, 7, max_operations=25, num_slots=3), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=80, deadline=None)
def test_random_programs(program: Program, seed: int) -> None:
    rng = np.random.default_rng(seed)
    assert_like_reference(
        program, rng, int(rng.integers(1, 20)), ISAS[seed % len(ISAS)], list(Precision)[seed // 7 % 2]
    )


def ansatz(num_qubits: int, layers: int) -> Program:
    builder = ProgramBuilder(num_qubits, slots=[f"p{k}" for k in range(2 * num_qubits * layers)])
    slot = iter(range(2 * num_qubits * layers))
    for _ in range(layers):
        for q in range(num_qubits):
            builder.rotation("X", Angle(0.0, ((next(slot), 1.0),)), (q,))
            builder.rotation("Z", Angle(0.1, ((next(slot), -0.5),)), (q,))
        for q in range(num_qubits - 1):
            builder.permutation(np.array([1, 0]), (q + 1,), (q,))
    return builder.finish()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("num_qubits", [1, 4, 9])
def test_a_row_has_the_same_bits_in_every_batch(num_qubits: int, precision: Precision, isa: str) -> None:
    program, rng = ansatz(num_qubits, 2), np.random.default_rng(0)
    slots = rng.uniform(-3, 3, (45, len(program.slots)))
    slots[3] *= 1e9  # beyond what the vector sine takes
    sums = (random_terms(rng, num_qubits, 4),)
    states, values = run_batch(program, slots, None, sums, isa=isa, precision=precision)
    for threads, size in ((1, 1), (2, 7), (3, 45)):
        for first in range(0, len(slots), size):
            part = slice(first, first + size)
            again = run_batch(program, slots[part], None, sums, isa=isa, precision=precision, threads=threads)
            np.testing.assert_array_equal(again[0], states[part])
            np.testing.assert_array_equal(again[1], values[part])


def test_dropping_the_states_changes_no_expectation_value() -> None:
    program, rng = ansatz(5, 2), np.random.default_rng(1)
    slots = rng.uniform(-3, 3, (9, len(program.slots)))
    for terms in ((PauliTerms.of([(0, 5, 1.0), (0, 8, 0.5)]),), (random_terms(rng, 5, 6),)):
        kept = run_batch(program, slots, None, terms)[1]
        np.testing.assert_allclose(run_batch(program, slots, None, terms, keep=False)[1], kept, atol=1e-14)


@pytest.mark.parametrize("isa", ISAS)
def test_cosines_are_right_to_the_last_bits(isa: str) -> None:
    builder = ProgramBuilder(1, slots=["angle"])
    builder.rotation("Y", Angle(0.0, ((0, 2.0),)), (0,))
    quarters = np.arange(-40, 41) * np.pi / 4
    angles = np.concatenate([quarters, np.linspace(-10, 10, 4001), [9.9e5, -9.9e5, 1.1e6, 1e300, 0.0, 1e-300]])
    states, _ = run_batch(builder.finish(), angles[:, None], isa=isa)
    np.testing.assert_allclose(states, np.stack([np.cos(angles), np.sin(angles)], axis=1), rtol=0, atol=2.3e-16)


def test_what_it_leaves_to_others() -> None:
    def runs(program: Program) -> bool:
        plan = trivial_plan(program)
        start = np.zeros((1, len(program.slots)))
        return NativeCpuBackend().run_batch(program, plan, start, None, (), None, CONTROL) is not None

    initialised = ProgramBuilder(3)
    initialised.initialize(np.array([0.6, 0.8]), (1,))
    wide = ProgramBuilder(7)
    wide.dense(testing.random_unitary(np.random.default_rng(0), 7), range(7))
    assert not runs(initialised.finish()) and not runs(wide.finish()) and not runs(ansatz(16, 1))
    assert runs(ansatz(3, 1)) and runs(ProgramBuilder(0).finish())


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("slots", np.zeros((2, 1), dtype=np.float32), "contiguous float64"),
        ("slots", np.zeros((2, 2))[:, :1], "contiguous float64"),
        ("angles", (np.zeros(1), np.zeros(1, np.int64), np.ones(1, np.int64), np.ones(1)), "slots of the parameters"),
        ("angles", (np.zeros(1), np.array([3]), np.zeros(1, np.int64), np.ones(1)), "ascending rows"),
        ("start", np.zeros((3, 4), dtype=complex), "one per row"),
        ("start", np.zeros((1, 8), dtype=complex), "initial states"),
        ("states", np.zeros((1, 4), dtype=complex), "final states"),
        ("states", np.zeros((2, 4), dtype=np.complex64), "final states"),
        ("terms", (np.array([4]), np.zeros(1, np.int64), np.ones(1), np.zeros(1, np.int64)), "masks of the register"),
        ("terms", (np.array([1]), np.zeros(1, np.int64), np.ones(1), np.array([1])), "columns of the result"),
        ("end", 2, "rows to run"),
    ],
)
def test_the_core_refuses_what_it_could_not_run(argument: str, value: object, message: str) -> None:
    builder = ProgramBuilder(2, slots=["slot"])
    builder.rotation("X", Angle(0.0, ((0, 1.0),)), (1,))
    program = builder.finish()
    angles = program.angles
    arguments = {
        "columns": trivial_plan(program).ops.columns,
        "begin": 0,
        "end": 1,
        "operands": (),
        "num_qubits": 2,
        "single": False,
        "slots": np.zeros((2, 1)),
        "angles": (angles.constant, angles.row, angles.slot, angles.coefficient),
        "start": None,
        "terms": (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, np.int64)),
        "num_columns": 1,
        "states": None,
        "threads": 1,
        "callback": None,
    }
    core = NativeCpuBackend()._cpu
    assert core.run_batch(**arguments) is not None
    with pytest.raises(ValueError, match=message):
        core.run_batch(**{**arguments, argument: value})
