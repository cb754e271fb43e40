"""One use of every kernel, compared with its definition: what the checks of emitted code share.

An exercise takes two rows or several blocks' worth of work where the kernel can, so that grids that stride meet the next
item, and reads what another thread wrote between any two barriers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from qsim_core import testing
from qsim_core.angles import Angle
from qsim_core.gradient import Adjoint
from qsim_core.kernels import launches
from qsim_core.kernels.contract import Backend, Regrouping
from qsim_core.kernels.control import RunControl
from qsim_core.pauli import PauliTerms
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import ProgramBuilder
from qsim_core.state import StateVector
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import Amps, Precision

__all__ = ["EXERCISES", "exercise", "kernel_names"]

CONTROL = RunControl()
REFERENCE = testing.ReferenceBackend()

Build = Callable[[ProgramBuilder, np.random.Generator], None]


def run(
    backend: Backend,
    precision: Precision,
    num_qubits: int,
    build: Build,
    *,
    planned: bool = False,
    batch: int = 1,
    zeros: Sequence[int] = (),
) -> None:
    """Run a program on random rows; ``zeros`` start in |0⟩.

    Where nothing is planned no qubit is local, as in a plan for another memory: every operation becomes a sweep.
    """
    rng = np.random.default_rng(2)
    builder = ProgramBuilder(num_qubits)
    build(builder, rng)
    work = builder.finish()
    if planned:
        plan = native_plan(work, precision=precision, initial="given", tile=TileShape.of_gpu(precision))
    else:
        plan = trivial_plan(work, precision=precision)
        plan = replace(plan, passes=replace(plan.passes, local=np.zeros_like(plan.passes.local)))
    amps = testing.Case("", work, tuple(zeros)).input(rng, batch, precision)
    actual = testing.run(backend, plan, work, amps)
    wanted = testing.run(REFERENCE, plan, work, amps.astype(np.complex128))
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=100 * precision.epsilon)


def same(actual: object, wanted: object, precision: Precision) -> None:
    np.testing.assert_allclose(np.asarray(actual), np.asarray(wanted), rtol=0, atol=4 * precision.epsilon)


def close(actual: object, wanted: object) -> None:
    """Sums are in double precision whatever the amplitudes are."""
    np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-13)  # type: ignore[call-overload]


def rows(num_qubits: int, precision: Precision, batch: int = 2) -> Amps:
    return testing.random_state(np.random.default_rng(1), num_qubits, batch, precision)


def tile(backend: Backend, precision: Precision) -> None:
    """Every kind of stage; the first and the last deal the tile to threads in another way than filling and emptying do."""

    def build(b: ProgramBuilder, rng: np.random.Generator) -> None:
        low = tuple(range(4 if precision is Precision.SINGLE else 3))
        b.dense(testing.random_unitary(rng, len(low)), low)
        b.rotation("XYX", 0.7, (0, 4, 9))
        b.permutation(testing.random_permutation(rng, 3), (1, 5, 8))
        b.rotation("YZX", 0.4, (2, 12, 6))
        b.diagonal(testing.random_phases(rng, 2), (3, 11))
        b.dense(testing.random_unitary(rng, len(low)), low, (10,))
        for q in range(12):  # phases that become one operation, and Z rotations likewise
            b.phase(0.2 + 0.1 * q, (q, 12))
            b.rotation("ZZ", 0.3 - 0.1 * q, (q, 12))

    run(backend, precision, 13, build, planned=True)
    tile_of_two_states(backend, precision)


def tile_of_two_states(backend: Backend, precision: Precision) -> None:
    """Slopes of rotations in registers and across the tile, of phases, and of what looks outside of it; several tiles."""
    builder = ProgramBuilder(13, slots=["a"])
    for q in range(0, 12, 2):
        builder.rotation("XYZ"[q % 3], Angle(0.1 * q, ((0, 0.5 - 0.1 * q),)), (q,), (12,))
        builder.phase(Angle(0.2, ((0, 0.3 * q),)), (q, 12))
    builder.rotation("XYXXY", Angle(0.3, ((0, 1.0),)), (0, 4, 9, 2, 7), (12,), (0,))
    builder.rotation("YZX", Angle(0.1, ((0, 2.0),)), (5, 12, 6))
    walk, slots = Adjoint(builder.finish()), np.array([[0.4], [-0.9]])
    found = []
    for where, dtype in ((backend, precision.dtype), (REFERENCE, np.complex128)):
        states = (testing.random_state(np.random.default_rng(seed), 13, 2, precision).astype(dtype) for seed in (1, 2))
        found.append(walk.pull_back(*(StateVector(where.adopt(amps), where) for amps in states), slots, CONTROL))
    np.testing.assert_allclose(*found, rtol=0, atol=1000 * precision.epsilon)


def pauli(backend: Backend, precision: Precision) -> None:
    """More X letters than a tile can hold, with and without one on qubit 0."""
    letters = "XYXXYXXXYXXXX"
    run(backend, precision, 14, lambda b, rng: b.rotation(letters, 0.7, range(13), (13,)), batch=2)
    run(backend, precision, 14, lambda b, rng: b.rotation(letters + "Z", 0.4, (*range(13, 0, -1), 0)))


def permute(backend: Backend, precision: Precision) -> None:
    targets = (9, 0, 3, 1, 5, 6, 7, 8, 4)
    run(backend, precision, 11, lambda b, rng: b.permutation(testing.random_permutation(rng, 9), targets, (2,)),
        batch=2)  # fmt: skip
    without_zero = tuple(q + 1 for q in targets)  # qubit 0 stays, or decides
    for control in ((), (0,)):
        run(backend, precision, 11,
            lambda b, rng, control=control: b.permutation(testing.random_permutation(rng, 9), without_zero, control))  # type: ignore[misc]  # fmt: skip


def permute_through_memory(backend: Backend, precision: Precision) -> None:
    for targets, controls in (((12, *range(12)), ()), (tuple(range(13, 0, -1)), ()), (tuple(range(1, 14)), (0,))):
        run(backend, precision, 14,
            lambda b, rng, t=targets, c=controls: b.permutation(testing.random_permutation(rng, 13), t, c))  # type: ignore[misc]  # fmt: skip


def wide_dense(backend: Backend, precision: Precision) -> None:
    """Qubit 0 is none of the targets, one of them, or a control."""
    for targets, controls in (((8, 1, 2, 3, 4, 5, 6), ()), ((8, 1, 2, 0, 4, 5), (6,)), ((8, 1, 2, 3, 4, 5), (0,))):
        run(backend, precision, 9,
            lambda b, rng, t=targets, c=controls: b.dense(testing.random_unitary(rng, len(t)), t, c))  # type: ignore[misc]  # fmt: skip


def initialize(backend: Backend, precision: Precision) -> None:
    for zeros in ((1, 8, 4), (8, 0, 4)):
        run(backend, precision, 10, lambda b, rng, zeros=zeros: b.initialize(testing.random_state(rng, 3)[0], zeros),  # type: ignore[misc]
            batch=2, zeros=zeros)  # fmt: skip


def dense(backend: Backend, precision: Precision, *, width: int, paired: bool) -> None:
    targets = tuple(range(9, 9 - width + paired, -1)) + (0,) * paired
    controls = (3,) if width < 5 else ()
    run(backend, precision, 10, lambda b, rng: b.dense(testing.random_unitary(rng, width), targets, controls),
        batch=2)  # fmt: skip


def marginal(backend: Backend, precision: Precision) -> None:
    host = rows(13, precision)
    card = backend.adopt(host)
    for qubits in ((0, 3, 12), (), tuple(range(5, 13)), tuple(range(12))):
        close(backend.probabilities(card, qubits, CONTROL), REFERENCE.probabilities(host, qubits, CONTROL))


def overlap(backend: Backend, precision: Precision) -> None:
    host = rows(11, precision)
    for x in (5, 4):
        masks = np.full(8, x), np.array([0, 6, 1025, 1, 2, 3, 8, 99])
        close(
            backend.expectation_paulis(backend.adopt(host), *masks, CONTROL),
            REFERENCE.expectation_paulis(host, *masks, CONTROL),
        )


def reduce_density(backend: Backend, precision: Precision) -> None:
    host = rows(12, precision)
    card = backend.adopt(host)
    for qubits in ((4, 10), (0, 10), ()):
        close(backend.reduced_density_matrix(card, qubits, CONTROL),
              REFERENCE.reduced_density_matrix(host, qubits, CONTROL))  # fmt: skip


def sample(backend: Backend, precision: Precision) -> None:
    host, uniforms = rows(13, precision, 1), np.random.default_rng(7).random((1, 500))
    np.testing.assert_array_equal(
        backend.sample(backend.adopt(host), uniforms, CONTROL), REFERENCE.sample(host, uniforms, CONTROL)
    )


def add_pauli_terms(backend: Backend, precision: Precision) -> None:
    host = rows(10, precision)
    terms = PauliTerms.of([(5, 6, 0.3), (5, 513, -0.7), (0, 9, 0.2), (640, 0, 1.1)])
    weights = np.array([[0.3, -0.7, 0.2, 1.1], [0.1, 0.2, 0.3, 0.4]])
    out, wanted = backend.adopt(np.zeros_like(host)), np.zeros_like(host)
    backend.apply_pauli_sum(backend.adopt(host), terms, weights, out, CONTROL)
    REFERENCE.apply_pauli_sum(host, terms, weights, wanted, CONTROL)
    same(out, wanted, precision)


def project(backend: Backend, precision: Precision) -> None:
    host = rows(10, precision)
    card = backend.adopt(host)
    backend.collapse(card, (9, 2), 1, 0.4)
    REFERENCE.collapse(host, (9, 2), 1, 0.4)
    same(card, host, precision)


def flip_down(backend: Backend, precision: Precision) -> None:
    host = rows(10, precision)
    host[:, np.arange(1024) >> 2 & np.arange(1024) >> 9 & np.arange(1024) & 1 == 0] = 0
    card = backend.adopt(host)
    backend.flip_down(card, (2, 9, 0))
    REFERENCE.flip_down(host, (2, 9, 0))
    same(card, host, precision)


def regroup(backend: Backend, precision: Precision) -> None:
    host = rows(10, precision, 4)
    outcomes, scales = np.array([1, 0, 1, 3]), np.array([0.5, 1.0, 2.0, 0.25])
    for leaving, entering in (((9, 1), (3,)), ((9, 0), (3,)), ((9, 1), (0,))):
        move = Regrouping(np.array([3, 0, 0, 2]), leaving, outcomes, scales, entering, np.array([0, 1, 1, 0]))
        same(backend.regroup(backend.adopt(host), move, CONTROL), REFERENCE.regroup(host, move, CONTROL), precision)


def gather(backend: Backend, precision: Precision) -> None:
    host, index = rows(11, precision), np.random.default_rng(3).integers(0, 2048, 600)
    same(backend.amplitudes(backend.adopt(host), index), host[:, index], precision)


def fill_zero_state(backend: Backend, precision: Precision) -> None:
    card = backend.allocate(3, 10, precision)
    backend.fill_zero_state(card)
    same(card, np.eye(1, 1024).repeat(3, axis=0), precision)


def slope(backend: Backend, precision: Precision) -> None:
    """Of a rotation that no tile can hold, on two elements."""
    builder = ProgramBuilder(13, slots=["a"])
    builder.rotation("XYXXYXXXYXXXZ", Angle(0.0, ((0, 1.0),)), tuple(range(13)))
    work = builder.finish()
    plan = native_plan(work, precision=precision, initial="given", tile=TileShape.of_gpu(precision).shared(2))
    ket, bra = (testing.random_state(np.random.default_rng(seed), 13, 2, precision) for seed in (1, 2))
    wanted = REFERENCE.pauli_overlap(bra, ket, 0xFFF, 0x1112, CONTROL).imag
    coefficients = plan.coefficients(work, np.array([[0.3]]))
    found = backend.run_adjoint(
        plan, coefficients, backend.adopt(ket), backend.adopt(bra), np.ones(1, np.uint8), CONTROL
    )
    close(np.ravel(found), wanted)  # type: ignore[arg-type]


def turn(backend: Backend, precision: Precision) -> None:
    host, costs = rows(10, precision), np.random.default_rng(4).normal(size=1024)
    card, angles = backend.adopt(host), np.array([0.7, -3.0])
    backend.turn(card, costs, angles, CONTROL)
    REFERENCE.turn(host, costs, angles, CONTROL)
    same(card, host, precision)


def weigh_costs(backend: Backend, precision: Precision) -> None:
    host, costs = rows(10, precision), np.random.default_rng(4).normal(size=1024)
    close(
        backend.expectation_costs(backend.adopt(host), costs, CONTROL),
        REFERENCE.expectation_costs(host, costs, CONTROL),
    )


#: By the name of the kernel, without precision. A name may be missing in one precision, never in both.
EXERCISES: dict[str, Callable[[Backend, Precision], None]] = {
    "tile": tile,
    "pauli": pauli,
    "permute": permute,
    "wide_dense": wide_dense,
    "initialize": initialize,
    "copy_out": permute_through_memory,
    "permute_back": permute_through_memory,
    **{f"dense{k}": partial(dense, width=k, paired=False) for k in range(1, 6)},
    **{f"dense{k}_paired": partial(dense, width=k, paired=True) for k in range(1, 6)},
    "marginal": marginal,
    "overlap": overlap,
    "reduce_density": reduce_density,
    "sample": sample,
    "slope": slope,
    "turn": turn,
    "weigh_costs": weigh_costs,
    "add_pauli_terms": add_pauli_terms,
    "project": project,
    "flip_down": flip_down,
    "regroup": regroup,
    "gather": gather,
    "fill_zero_state": fill_zero_state,
}


def kernel_names() -> Iterator[tuple[str, str, Precision]]:
    """Yield (name in the module, name of the exercise, precision) of all kernels."""
    for kernel in EXERCISES:
        for precision in Precision:
            if precision is Precision.SINGLE or not kernel.endswith("_paired"):
                yield f"qsim_{kernel}_{'f32' if precision is Precision.SINGLE else 'f64'}", kernel, precision


def exercise(name: str, backend: Backend, precision: Precision, blocks: int | None = None) -> None:
    """Use a kernel; ``blocks`` bounds the grids, so that a block meets several items.

    Raises:
        AssertionError: if the result is wrong.
        QsimError: if a launch breaks a rule.
    """
    before = launches.MAX_BLOCKS
    launches.MAX_BLOCKS = blocks or before
    try:
        EXERCISES[name](backend, precision)
    finally:
        launches.MAX_BLOCKS = before
