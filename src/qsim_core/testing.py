"""A kit for whoever writes a backend or a front end: Hypothesis strategies, and the check that a backend conforms.

>>> from qsim_core.kernels.registry import backend
>>> assert_backend_conforms(backend("reference"))

Hypothesis is imported by the strategies only.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .classical import Binary, Bits, Const, Unary
from .kernels.contract import Backend, Regrouping
from .kernels.control import RunControl
from .kernels.reference import ReferenceBackend
from .operations import (
    Angle,
    Assign,
    Channel,
    Dense,
    Diagonal,
    If,
    Initialize,
    Measure,
    Operation,
    OpKind,
    Permutation,
    Phase,
    Reset,
    Rotation,
    While,
)
from .plan import Plan
from .program import Program, ProgramBuilder
from .random import RandomSource
from .trivial_plan import trivial_plan
from .types import Amps, ComplexArray, Precision

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn, SearchStrategy

__all__ = [
    "Case",
    "assert_backend_conforms",
    "assert_runs_like_reference",
    "assert_verbs_like_definition",
    "cases",
    "error_bound",
    "operations",
    "programs",
    "random_permutation",
    "random_state",
    "random_unitary",
    "run",
    "states",
]


def random_unitary(rng: np.random.Generator, num_qubits: int) -> ComplexArray:
    """Return a unitary matrix of shape (2^n, 2^n)."""
    size = 2**num_qubits
    return np.linalg.qr(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))).Q


def random_phases(rng: np.random.Generator, num_qubits: int) -> ComplexArray:
    """Return 2^n numbers of modulus one."""
    return np.exp(2j * np.pi * rng.random(2**num_qubits))


def random_permutation(rng: np.random.Generator, num_qubits: int) -> npt.NDArray[np.int64]:
    """Return a permutation of 0..2^n-1."""
    return rng.permutation(2**num_qubits).astype(np.int64)


def random_state(
    rng: np.random.Generator, num_qubits: int, batch: int = 1, precision: Precision = Precision.DOUBLE
) -> Amps:
    """Return normalised amplitudes of shape (batch, 2^n), in the given precision."""
    shape = (batch, 2**num_qubits)
    state = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    return (state / np.linalg.norm(state, axis=1, keepdims=True)).astype(precision.dtype)


def run(
    backend: Backend, plan: Plan, program: Program, amps: Amps, slots: npt.ArrayLike = (), threads: int = 1
) -> Amps:
    """Return ``amps`` after the straight-line operations of a program; ``amps`` stays as it is."""
    precision = Precision.of(amps.dtype)
    state = backend.allocate(len(amps), program.num_qubits, precision)
    state[...] = amps
    coefficients = plan.coefficients(program, slots)
    for stage in plan.segments[plan.entry].stages:
        backend.run_stage(plan, stage, coefficients, state, RunControl(threads=threads))
    return np.asarray(state)


def error_bound(program: Program, precision: Precision) -> float:
    """Return a bound on the 2-norm of the rounding error of running ``program`` on a normalised state.

    An operation turns m amplitudes into m others by sums of m products whose coefficients are rounded too, so each is
    wrong by at most (m + 4) ε times the 2-norm of the m, with some four ε for complex products. Squared and added up
    over the state that is (m + 4) √m ε. Operations are unitary: the errors of several add up and do not grow.
    A rotation mixes m = 2 amplitudes; phases, diagonals and permutations have m = 1.
    """
    table = program.body
    width = np.where(table.kind == OpKind.DENSE, table.num_targets, 0) + (table.kind == OpKind.ROTATION)
    size = 2.0**width
    return float(precision.epsilon * (4 + ((size + 4) * np.sqrt(size)).sum()))


def assert_runs_like_reference(
    backend: Backend,
    program: Program,
    *,
    amps: Amps,
    slots: npt.ArrayLike = (),
    threads: int = 1,
) -> Amps:
    """Run a straight-line program on ``amps`` and compare with the reference in double precision; return the result.

    Raises:
        AssertionError: if any batch element differs by more than :func:`error_bound`.
    """
    precision = Precision.of(amps.dtype)
    plan = trivial_plan(program, precision=precision)
    actual = run(backend, plan, program, amps, slots, threads)
    wanted = run(ReferenceBackend(), plan, program, amps.astype(np.complex128), slots)
    bound = error_bound(program, precision) + error_bound(program, Precision.DOUBLE)
    distance = np.linalg.norm(actual - wanted, axis=1).max() / np.linalg.norm(wanted, axis=1).max()
    if not distance <= bound:
        raise AssertionError(
            f"{backend.name}, {precision.value}, {threads} threads: differs from the reference by {distance:.3g}, "
            f"allowed {bound:.3g}, on {list(program.operations())}"
        )
    return actual


@dataclass(frozen=True)
class Case:
    """One small program with one symbolic slot, named for what it tries."""

    name: str
    program: Program
    #: Qubits that must be |0⟩ before the program runs (those it initialises).
    zeros: tuple[int, ...] = ()

    def input(self, rng: np.random.Generator, batch: int, precision: Precision) -> Amps:
        """Return a random state the program may run on."""
        amps = random_state(rng, self.program.num_qubits, batch, precision)
        for qubit in self.zeros:
            amps[:, np.arange(amps.shape[1]) >> qubit & 1 == 1] = 0
        return amps


def _case(name: str, num_qubits: int, build: Callable[[ProgramBuilder], None], zeros: Sequence[int] = ()) -> Case:
    builder = ProgramBuilder(num_qubits, slots=["slot"])
    build(builder)
    return Case(name, builder.finish(), tuple(zeros))


#: Controls low, high, in the middle, open and several at once, beside targets of every kind.
_CONTROLS: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...] = (
    ((), ()), ((0,), (1,)), ((0,), (0,)), ((7,), (1,)), ((7, 0), (0, 1)), ((2, 5, 7), (1, 0, 0)),
)  # fmt: skip


def cases(seed: int = 1) -> Iterator[Case]:
    """Yield every kind of operation in every position that matters, on up to 12 qubits."""
    rng = np.random.default_rng(seed)
    angle = Angle(0.3, ((0, 0.7),))
    yield _case("no operation", 2, lambda b: None)
    for n in (0, 1, 3):
        yield _case(f"global phase on {n} qubits", n, lambda b: b.phase(angle))
    for controls, values in _CONTROLS:
        free = [q for q in (6, 1, 4, 3, 2, 5) if q not in controls]
        mark = f"controls {controls} {values}"
        yield _case(f"phase {mark}", 8, lambda b, c=controls, v=values: b.phase(angle, c, v))  # type: ignore[misc]
        for width in (1, 2, 3):
            for letters in itertools.islice(itertools.product("XYZ", repeat=width), 0, None, 2 if width == 3 else 1):
                pauli = "".join(letters)
                wires = (tuple(free[:width]), controls, values)
                yield _case(f"rotation {pauli} {mark}", 8, lambda b, p=pauli, w=wires: b.rotation(p, angle, *w))  # type: ignore[misc]
            yield from _operand_cases(rng, 8, tuple(free[:width]), controls, values)
    for n in (1, 2, 5, 8, 12):
        for pauli in ("".join(rng.choice(list("XYZ"), n)), "X" * n, "Y" * n, "Z" * n):
            order = tuple(rng.permutation(n).tolist())
            yield _case(f"rotation {pauli} on all", n, lambda b, p=pauli, t=order: b.rotation(p, angle, t))  # type: ignore[misc]
    for width in range(1, 7):
        shuffled = tuple(rng.permutation(9)[:width].tolist())
        for targets in (tuple(range(width)), tuple(range(8, 8 - width, -1)), shuffled):
            yield from _operand_cases(rng, 9, targets, (), ())
    for width in (7, 8):
        targets = tuple(rng.permutation(9)[:width].tolist())
        matrix = random_unitary(rng, width)
        yield _case(f"dense {width}", 9, lambda b, m=matrix, t=targets: b.dense(m, t))  # type: ignore[misc]
    for width in (8, 10):
        targets = tuple(rng.permutation(11)[:width].tolist())
        control = next(q for q in range(11) if q not in targets)
        yield from _operand_cases(rng, 11, targets, (control,), (0,), dense=False)
    for width in (0, 1, 2, 3, 5):
        vector = random_state(rng, width)[0]
        targets = tuple(rng.permutation(6)[:width].tolist())
        yield _case(f"initialize {targets}", 6, lambda b, v=vector, t=targets: b.initialize(v, t), targets)  # type: ignore[misc]


def _operand_cases(
    rng: np.random.Generator,
    num_qubits: int,
    targets: tuple[int, ...],
    controls: tuple[int, ...],
    values: tuple[int, ...],
    *,
    dense: bool = True,
) -> Iterator[Case]:
    """Dense, diagonal and permutation on the same wires."""
    width = len(targets)
    mark = f"{targets} controls {controls} {values}"
    wires = (targets, controls, values)
    if dense:
        matrix = random_unitary(rng, width)
        yield _case(f"dense {mark}", num_qubits, lambda b: b.dense(matrix, *wires))
    vector, table = random_phases(rng, width), random_permutation(rng, width)
    yield _case(f"diagonal {mark}", num_qubits, lambda b: b.diagonal(vector, *wires))
    yield _case(f"permutation {mark}", num_qubits, lambda b: b.permutation(table, *wires))
    cycle = np.roll(np.arange(2**width), 1)
    yield _case(f"increment {mark}", num_qubits, lambda b: b.permutation(cycle, *wires))


def assert_backend_conforms(
    backend: Backend,
    precisions: Sequence[Precision] = tuple(Precision),
    threads: Sequence[int] = (1, 2),
    seed: int = 1,
) -> None:
    """Compare a backend with the reference: every kind of operation, batches, and all verbs.

    Raises:
        AssertionError: naming the case, the precision, the threads and the deviation.
    """
    for precision, count in itertools.product(precisions, threads):
        for case in cases(seed):
            rng = np.random.default_rng(seed)
            for batch, rows in ((1, 1), (3, 1), (3, 3)):
                amps = case.input(rng, batch, precision)
                slots = rng.normal(size=(rows, 1))
                try:
                    assert_runs_like_reference(backend, case.program, amps=amps, slots=slots, threads=count)
                except AssertionError as error:
                    raise AssertionError(f"case {case.name!r}, batch {batch}: {error}") from None
        for num_qubits in (1, 4, 9):
            assert_verbs_like_definition(backend, num_qubits, precision, count, seed)


def assert_verbs_like_definition(
    backend: Backend, num_qubits: int, precision: Precision, threads: int = 1, seed: int = 1
) -> None:
    """Compare norms, probabilities, overlaps, density matrices, collapse, regrouping and samples with their definitions.

    The definitions are written out here in double precision. Sums are in f64 in every precision, so the deviations
    allowed do not depend on it.
    """
    rng = np.random.default_rng(seed)
    control = RunControl(threads=threads)
    size = 2**num_qubits
    bra, ket = backend.allocate(2, num_qubits, precision), backend.allocate(2, num_qubits, precision)
    bra[...] = random_state(rng, num_qubits, 2, precision)
    ket[...] = 1.5 * random_state(rng, num_qubits, 2, precision)  # verbs take unnormalised states
    left, right = np.asarray(bra).astype(np.complex128), np.asarray(ket).astype(np.complex128)
    weight = np.abs(right) ** 2
    place = f"{backend.name}, {precision.value}, {threads} threads, {num_qubits} qubits"

    def close(verb: str, actual: Any, wanted: Any) -> None:
        np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-13, err_msg=f"{verb}: {place}")

    zero = backend.allocate(2, num_qubits, precision)
    backend.fill_zero_state(zero)
    close("fill_zero_state", zero, np.eye(1, size).repeat(2, axis=0))
    close("norms", backend.norms(ket, control), weight.sum(axis=1))
    close("inner_product", backend.inner_product(bra, ket, control), (left.conj() * right).sum(axis=1))
    index = np.arange(size)
    for count in {0, 1, num_qubits // 2, num_qubits}:
        qubits = tuple(rng.permutation(num_qubits)[:count].tolist())
        outcome = sum(((index >> q & 1) << k for k, q in enumerate(qubits)), np.zeros(size, dtype=np.int64))
        one_hot = np.eye(2**count)[outcome]
        close(f"probabilities {qubits}", backend.probabilities(ket, qubits, control), weight @ one_hot)
        if count <= 4:
            rest = index & ~sum(1 << q for q in qubits)
            same_rest = rest[:, None] == rest
            rho = [one_hot.T @ (np.outer(row, row.conj()) * same_rest) @ one_hot for row in right]
            close(f"reduced_density_matrix {qubits}", backend.reduced_density_matrix(ket, qubits, control), rho)
        chosen = int(outcome[rng.integers(size)])
        norm = float(weight[0][outcome == chosen].sum())
        state = backend.allocate(1, num_qubits, precision)
        state[...] = ket[:1]
        backend.collapse(state, qubits, chosen, norm)
        wanted = np.where(outcome == chosen, right[0], 0) / np.sqrt(norm)
        np.testing.assert_allclose(state[0], wanted, rtol=0, atol=4 * precision.epsilon, err_msg=f"collapse: {place}")
        entering = tuple(rng.permutation(num_qubits - count + 2)[:2].tolist())
        rows, chosen_rows = rng.integers(0, 2, 5), rng.integers(0, 2**count, 5)
        values, scales = rng.integers(0, 4, 5), rng.uniform(1, 2, 5)
        move = Regrouping(rows, qubits, chosen_rows, scales, entering, values)
        grown = np.arange(2 ** (num_qubits - count + 2))
        entered = (grown >> entering[0] & 1) + 2 * (grown >> entering[1] & 1)
        moved = np.zeros((5, len(grown)), dtype=np.complex128)
        for k in range(5):
            moved[k, entered == values[k]] = scales[k] * right[rows[k], outcome == chosen_rows[k]]
        found = np.asarray(backend.regroup(ket, move, control))
        name = f"regroup {qubits} {entering}: {place}"
        np.testing.assert_allclose(found, moved, rtol=0, atol=8 * precision.epsilon, err_msg=name)
    for _ in range(4):
        x_mask, z_mask = (int(mask) for mask in rng.integers(size, size=2))
        sign = 1 - 2 * (np.bitwise_count(index & z_mask).astype(np.int64) & 1)
        image = np.empty_like(right)
        image[:, index ^ x_mask] = right * sign * 1j ** ((x_mask & z_mask).bit_count() % 4)
        overlap = (left.conj() * image).sum(axis=1)
        close("pauli_overlap", backend.pauli_overlap(bra, ket, x_mask, z_mask, control), overlap)
    # Many strings at once: few X masks with many Z masks, diagonal ones, ones that repeat, odd and even numbers of Y.
    x_masks, z_masks = rng.integers(size, size=(2, 60))
    x_masks[:30] = rng.choice(x_masks[:3], size=30)
    x_masks[30:40], z_masks[50:] = 0, z_masks[40:50]
    wanted = np.empty((2, 60))
    for s, (x_mask, z_mask) in enumerate(zip(x_masks.tolist(), z_masks.tolist(), strict=True)):
        sign = 1 - 2 * (np.bitwise_count(index & z_mask).astype(np.int64) & 1)
        products = right[:, index ^ x_mask].conj() * right * sign * 1j ** ((x_mask & z_mask).bit_count() % 4)
        wanted[:, s] = products.sum(axis=1).real
    close("expectation_paulis", backend.expectation_paulis(ket, x_masks, z_masks, control), wanted)
    _assert_samples(backend, ket, control, rng, place)


def _assert_samples(backend: Backend, ket: Amps, control: RunControl, rng: np.random.Generator, place: str) -> None:
    """Holes of probability zero, at both ends and inside, are never drawn; the rest is, in its order."""
    size = ket.shape[1]
    uniforms = np.concatenate([rng.random(200), [0.0, np.nextafter(1.0, 0.0)]])
    rng.shuffle(uniforms)
    for holes in ([0], [size - 1], range(0, size, 2), range(1, size)):
        state = backend.allocate(1, size.bit_length() - 1, Precision.of(ket.dtype))
        state[...] = ket[:1]
        state[:, list(holes)] = 0
        [drawn] = backend.sample(state, uniforms[None], control)
        weight = np.abs(np.asarray(state[0]).astype(np.complex128)) ** 2
        assert (weight[drawn] > 0).all(), f"sample: a state of probability zero was drawn: {place}"
        below, above = np.cumsum(weight) - weight, np.cumsum(weight)
        point = uniforms * above[-1]
        inside = (below[drawn] - 1e-12 <= point) & (point <= above[drawn] + 1e-12)
        assert inside.all(), f"sample: not the inverse of the cumulative distribution: {place}"
        starts, outcomes, counts = backend.sample_counts(state, 10_000, RandomSource(1), 0, control)
        assert starts.tolist() == [0, len(outcomes)] and counts.sum() == 10_000 and (counts > 0).all()
        assert (np.diff(outcomes) > 0).all(), f"sample_counts: basis states out of order: {place}"
        assert (weight[outcomes] > 0).all(), f"sample_counts: a state of probability zero was seen: {place}"
        p = weight / above[-1]
        found = np.zeros(size)
        found[outcomes] = counts / 10_000
        assert (np.abs(found - p) <= 8 * np.sqrt(p / 10_000) + 1e-3).all(), f"sample_counts: another law: {place}"


def states(num_qubits: int, batch: int = 1, precision: Precision = Precision.DOUBLE) -> SearchStrategy[Amps]:
    """Strategy for normalised amplitudes of shape (batch, 2^n), some of them sparse."""
    from hypothesis import strategies as st

    def build(seed: int, sparse: bool) -> Amps:
        rng = np.random.default_rng(seed)
        amps = random_state(rng, num_qubits, batch, precision)
        if sparse:
            amps[:, rng.random(amps.shape[1]) < 0.5] = 0
            amps[:, rng.integers(amps.shape[1])] = 1
            amps /= np.linalg.norm(amps, axis=1, keepdims=True)
        return amps

    return st.builds(build, st.integers(0, 2**32 - 1), st.booleans())


def operations(num_qubits: int, *, num_slots: int = 0, max_targets: int = 4) -> SearchStrategy[Operation]:
    """Strategy for one unitary operation of any kind on any wires; angles use slots 0 to ``num_slots`` - 1."""
    from hypothesis import strategies as st

    @st.composite
    def build(draw: DrawFn) -> Operation:
        kinds = ["phase", "rotation", "dense", "diagonal", "permutation"] if num_qubits else ["phase"]
        kind = draw(st.sampled_from(kinds))
        wires = tuple(draw(st.permutations(range(num_qubits))))
        most = {"phase": 0, "rotation": num_qubits}.get(kind, min(max_targets, num_qubits))
        width = draw(st.integers(min(1, most), most))
        held = draw(st.integers(0, min(3, num_qubits - width)))
        targets, controls = wires[:width], wires[width : width + held]
        values = tuple(draw(st.integers(0, 1)) for _ in controls)
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        if kind in ("phase", "rotation"):
            constant = draw(st.floats(-7, 7))
            slots = draw(st.lists(st.integers(0, num_slots - 1), max_size=2, unique=True)) if num_slots else []
            angle = Angle(constant, tuple((slot, draw(st.floats(-2, 2))) for slot in slots))
            if kind == "phase":
                return Phase(angle, controls, values)
            letters = "".join(draw(st.lists(st.sampled_from("XYZ"), min_size=width, max_size=width)))
            return Rotation(letters, angle, targets, controls, values)
        if kind == "dense":
            return Dense(random_unitary(rng, width), targets, controls, values)
        if kind == "diagonal":
            return Diagonal(random_phases(rng, width), targets, controls, values)
        return Permutation(random_permutation(rng, width), targets, controls, values)

    return build()


def programs(
    min_qubits: int = 1,
    max_qubits: int = 6,
    *,
    max_operations: int = 12,
    num_slots: int = 2,
    dynamic: bool = False,
) -> SearchStrategy[Program]:
    """Strategy for programs; ``dynamic`` adds measurements, resets, channels, initialisations and control flow.

    Loops count their rounds down in no way, so dynamic programs are for writing, reading and planning, not for running.
    """
    from hypothesis import strategies as st

    @st.composite
    def extra(draw: DrawFn, num_qubits: int, depth: int) -> Operation:
        width = draw(st.integers(1, min(3, num_qubits)))
        targets = tuple(draw(st.permutations(range(num_qubits)))[:width])
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        kinds = ["measure", "reset", "initialize", "kraus", "mixture", "assign"] + ["if", "while"] * (depth < 2)
        kind = draw(st.sampled_from(kinds))
        match kind:
            case "measure":
                return Measure(targets, tuple(draw(st.permutations(range(4)))[:width]))
            case "reset":
                return Reset(targets)
            case "initialize":
                return Initialize(random_state(rng, width)[0].astype(np.complex128), targets)
            case "kraus":
                upper, lower = np.split(random_unitary(rng, width + 1)[:, : 2**width], 2)
                return Channel((upper, lower), targets)
            case "mixture":
                return Channel((random_unitary(rng, width), random_unitary(rng, width)), targets, (0.25, 0.75))
            case "assign":
                value = Binary("*", Bits((draw(st.integers(0, 3)), 1)), Const(draw(st.integers(-3, 3))))
                return Assign(tuple(draw(st.permutations(range(4)))[:width]), value)
        block = tuple(draw(st.lists(any_operation(num_qubits, depth + 1), max_size=3)))
        condition = Binary("==", Bits((draw(st.integers(0, 3)), 1)), Unary("not", Const(draw(st.integers(-3, 3)))))
        if kind == "while":
            return While(condition, block, draw(st.integers(1, 5)))
        return If(condition, block, tuple(draw(st.lists(any_operation(num_qubits, depth + 1), max_size=2))))

    def any_operation(num_qubits: int, depth: int) -> SearchStrategy[Operation]:
        unitary = operations(num_qubits, num_slots=num_slots)
        return st.one_of(unitary, extra(num_qubits, depth)) if dynamic and num_qubits else unitary

    @st.composite
    def build(draw: DrawFn) -> Program:
        num_qubits = draw(st.integers(min_qubits, max_qubits))
        builder = ProgramBuilder(num_qubits, 4 if dynamic else 0, [f"slot{k}" for k in range(num_slots)])
        builder.extend(draw(st.lists(any_operation(num_qubits, 0), max_size=max_operations)))
        return builder.finish()

    return build()
