"""Launches on 36 qubits, of which a few blocks run: the first, the last and some between.

The state is 2^36 amplitudes of virtual memory (half a TiB or a whole one) of which only the rows a block should touch can
be touched: any other access is out of bounds. What the block leaves is compared with the definition, at these indices. Sums
are taken in as many parts as blocks, so that a block meets some hundred amplitudes.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from qsim_core.kernels.launches import Adjoint, LaunchList, lower
from qsim_core.planner import TileShape, native_plan
from qsim_core.program import ProgramBuilder
from qsim_core.testing import random_permutation, random_state, random_unitary
from qsim_core.trivial_plan import trivial_plan
from qsim_core.types import ComplexArray, IndexArray, Precision

from .conftest import _missing

if reason := _missing():
    pytest.skip(reason, allow_module_level=True)

from . import emulated
from .ptx.runner import Memory

NUM_QUBITS = 36
SIZE = 2**NUM_QUBITS
NORESERVE = 0x4000  # mmap.MAP_NORESERVE is younger than our oldest Python
#: Amplitudes a thread takes at a time.
PACK = {Precision.SINGLE: 2, Precision.DOUBLE: 1}
precisions = pytest.mark.parametrize("precision", list(Precision), ids=lambda p: p.value)


def spread(values: IndexArray, qubits: Sequence[int]) -> IndexArray:
    """Bit k of a value goes to qubits[k]."""
    return np.bitwise_or.reduce([(values >> k & 1) << q for k, q in enumerate(qubits)] + [values * 0])


def others(*used: Sequence[int]) -> list[int]:
    """The qubits that are not used, lowest first."""
    return [q for q in range(NUM_QUBITS) if all(q not in qubits for qubits in used)]


def union(bases: IndexArray, offsets: IndexArray) -> IndexArray:
    return np.unique(bases[:, None] | offsets)


class Window:
    """A large array in virtual memory; kernels may touch the chosen elements only."""

    def __init__(
        self, memory: Memory, size: int, dtype: np.dtype[np.generic], chosen: IndexArray, values: object
    ) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NORESERVE
        self._map = mmap.mmap(-1, size * dtype.itemsize, flags=flags)
        self.array, self.chosen = np.frombuffer(self._map, dtype), chosen
        self.array[chosen] = values
        raw = self.array.view(np.uint8)
        for run in np.split(chosen, np.flatnonzero(np.diff(chosen) != 1) + 1):
            memory.reserve(raw[int(run[0]) * dtype.itemsize : (int(run[-1]) + 1) * dtype.itemsize])
        self.address = self.array.ctypes.data

    @property
    def values(self) -> np.ndarray[tuple[int], np.dtype[np.generic]]:
        return self.array[self.chosen]


def launch(name: str, precision: Precision, grid: int, threads: int, shared: int, block: int, memory: Memory,
           arguments: tuple[int, ...]) -> None:  # fmt: skip
    kernel = f"qsim_{name}_{'f32' if precision is Precision.SINGLE else 'f64'}"
    emulated.module().launch(kernel, (grid, 1, 1), (threads, 1, 1), struct.pack("<4Q", *arguments), memory,
                             dynamic_shared=shared, blocks=[block])  # fmt: skip


def blocks_of(grid: int) -> list[int]:
    return [0, 1, grid // 2 + 3, grid - 1]


def numbers(chosen: IndexArray, precision: Precision, seed: int = 5) -> ComplexArray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=len(chosen)) + 1j * rng.normal(size=len(chosen))).astype(precision.dtype)


def uploaded(memory: Memory, program: bytes) -> int:
    address = memory.allocate(len(program))
    memory.view(address, len(program))[:] = np.frombuffer(program, np.uint8)
    return address


Lookup = Callable[[IndexArray], ComplexArray]


def check(precision: Precision, work: LaunchList, touched: Callable[[int], IndexArray],
          define: Callable[[IndexArray, Lookup], ComplexArray]) -> str:  # fmt: skip
    """Run blocks of the only launch; ``define`` gives the new amplitudes from the old ones. Return the kernel."""
    (step,) = work.launches
    for block in blocks_of(step.blocks):
        memory = Memory()
        chosen = touched(block)
        assert chosen[0] >= 0 and chosen[-1] < SIZE
        before = numbers(chosen, precision)
        window = Window(memory, SIZE, precision.dtype, chosen, before)

        def lookup(index: IndexArray, chosen: IndexArray = chosen, before: ComplexArray = before) -> ComplexArray:
            return before[np.searchsorted(chosen, index)].astype(np.complex128)

        name = step.kernel.removeprefix("qsim_")[:-4]
        launch(name, precision, step.blocks, step.threads, step.shared_bytes, block, memory,
               (window.address, uploaded(memory, work.program), step.offset, 0))  # fmt: skip
        np.testing.assert_allclose(window.values, define(chosen, lookup), rtol=0, atol=200 * precision.epsilon)
    return step.kernel


def lowered(precision: Precision, build: Callable[[ProgramBuilder], None], planned: bool = False) -> LaunchList:
    builder = ProgramBuilder(NUM_QUBITS)
    build(builder)
    work = builder.finish()
    if planned:
        plan = native_plan(work, precision=precision, initial="given", tile=TileShape.of_gpu(precision))
    else:
        plan = trivial_plan(work, precision=precision)
        plan = replace(plan, passes=replace(plan.passes, local=np.zeros_like(plan.passes.local)))
    (stage,) = plan.segments[plan.entry].stages
    return lower(plan, stage, plan.coefficients(work, ()))


def applied(matrix: ComplexArray, targets: Sequence[int], control: int, value: int) -> Callable[..., ComplexArray]:
    """The definition of a matrix on targets, where one control has a value."""

    def define(index: IndexArray, amps: Lookup) -> ComplexArray:
        rest = index & ~sum(1 << q for q in targets)
        row = np.bitwise_or.reduce([(index >> q & 1) << k for k, q in enumerate(targets)])
        active = index >> control & 1 == value
        result = amps(index)
        rest, row = rest[active], row[active]
        result[active] = sum(matrix[row, c] * amps(rest | spread(np.array([c]), targets)) for c in range(len(matrix)))
        return result

    return define


@precisions
def test_tiles(precision: Precision) -> None:
    """A matrix on the top, a middle and a low qubit, with a control and a phase outside of the tile."""
    targets, control, matrix = (35, 3, 20), 33, random_unitary(np.random.default_rng(1), 3)
    bits = TileShape.of_gpu(precision).tile_qubits
    tile = sorted([20, 35, *range(bits - 2)])
    phase = np.exp(0.7j)

    def build(b: ProgramBuilder) -> None:
        b.dense(matrix, targets, (control,))
        b.phase(0.7, (34, 35))

    def define(index: IndexArray, amps: Lookup) -> ComplexArray:
        turned = np.where(index >> 34 & index >> 35 & 1, phase, 1.0)
        return np.asarray(turned * applied(matrix, targets, control, 1)(index, amps))

    def touched(block: int) -> IndexArray:
        return union(spread(np.array([block]), others(tile)), spread(np.arange(2**bits), tile))

    assert "tile" in check(precision, lowered(precision, build, planned=True), touched, define)


@precisions
@pytest.mark.parametrize("targets", [(35, 1), (35, 0), (34, 35, 17, 9), (0, 35, 34, 33, 32)], ids=str)
def test_dense_sweeps(precision: Precision, targets: tuple[int, ...]) -> None:
    """128 threads a block, one group each; in single precision two groups side by side, or pairs inside a group."""
    control, matrix = 31, random_unitary(np.random.default_rng(1), len(targets))
    work = lowered(precision, lambda b: b.dense(matrix, targets, (control,), (0,)))
    neighbour = [0] if precision is Precision.SINGLE and 0 not in targets else []
    free = others(targets, neighbour, [control])
    inside = [*targets, *neighbour]

    def touched(block: int) -> IndexArray:
        items = np.arange(128) + 128 * block
        return union(spread(items, free), spread(np.arange(2 ** len(inside)), inside))

    assert "dense" in check(precision, work, touched, applied(matrix, targets, control, 0))


@precisions
@pytest.mark.parametrize("lowest", [0, 1])
def test_pauli_sweeps(precision: Precision, lowest: int) -> None:
    targets = [*range(lowest, lowest + 7), *range(29, 36), 20]
    letters = "XXYXXXXXYXXXXY" + "Z"
    work = lowered(precision, lambda b: b.rotation(letters, 0.6, targets))
    x = sum(1 << q for q in targets[:-1])
    z = sum(1 << q for q, letter in zip(targets, letters, strict=True) if letter in "YZ")
    pack = PACK[precision]

    def touched(block: int) -> IndexArray:
        left = spread(np.arange(256 * pack) + 256 * pack * block, others([35]))
        return np.union1d(left, left ^ x)

    def define(index: IndexArray, amps: Lookup) -> ComplexArray:
        odd = np.array([int(j & z).bit_count() & 1 for j in (index ^ x).tolist()])
        sign = 1j ** letters.count("Y") * (1 - 2 * odd)  # P|j^x> = i^y (-1)^parity((j ^ x) & z) |j>
        return np.asarray(np.cos(0.3) * amps(index) - 1j * np.sin(0.3) * sign * amps(index ^ x))

    assert "pauli" in check(precision, work, touched, define)


@precisions
@pytest.mark.parametrize("last", [0, 31], ids=["neighbours in a group", "neighbours in two groups"])
def test_groups_of_a_block(precision: Precision, last: int) -> None:
    """A permutation and a matrix that a block does through shared memory, under a control."""
    rng, control = np.random.default_rng(1), 33
    targets, table = (35, last, 8, 7, 34, 20, 21, 2, 30), random_permutation(rng, 9)
    beside = [0] if precision is Precision.SINGLE and last else []

    def touched(targets: Sequence[int], block: int) -> IndexArray:
        free, inside = others(targets, beside, [control]), [*targets, *beside]
        return np.unique(spread(np.array([block]), free) | 1 << control | spread(np.arange(2 ** len(inside)), inside))

    moved = applied(np.eye(512)[np.argsort(table)].astype(complex), targets, control, 1)
    work = lowered(precision, lambda b: b.permutation(table, targets, (control,)))
    assert "permute" in check(precision, work, lambda block: touched(targets, block), moved)
    few, matrix = targets[:7], random_unitary(rng, 7)
    work = lowered(precision, lambda b: b.dense(matrix, few, (control,)))
    name = check(precision, work, lambda block: touched(few, block), applied(matrix, few, control, 1))
    assert "wide_dense" in name


@precisions
@pytest.mark.parametrize("last", [0, 1], ids=["neighbours in a group", "neighbours in two groups"])
def test_initialisation(precision: Precision, last: int) -> None:
    vector, targets = random_state(np.random.default_rng(1), 3)[0], (35, last, 20)
    work = lowered(precision, lambda b: b.initialize(vector, targets))
    groups = 256 * (PACK[precision] if last else 1)

    def touched(block: int) -> IndexArray:
        free = np.arange(groups) + groups * block
        return union(spread(free, others(targets)), spread(np.arange(8), targets))

    def define(index: IndexArray, amps: Lookup) -> ComplexArray:
        row = (index >> 35 & 1) | (index >> last & 1) << 1 | (index >> 20 & 1) << 2
        return np.asarray(vector[row] * amps(index & ~(1 << 35 | 1 << last | 1 << 20)))

    assert "initialize" in check(precision, work, touched, define)


@precisions
def test_permutations_through_a_second_buffer(precision: Precision) -> None:
    targets, table = (35, *range(12)), random_permutation(np.random.default_rng(1), 13)
    work = lowered(precision, lambda b: b.permutation(table, targets))
    out, back = work.launches
    source_of, groups, pack = np.argsort(table), NUM_QUBITS - len(targets), PACK[precision]
    for block in blocks_of(out.blocks):
        memory, here = Memory(), np.arange(256 * pack) + 256 * pack * block
        values = numbers(here, precision)
        state = Window(memory, SIZE, precision.dtype, here, values)
        scratch = Window(memory, SIZE, precision.dtype, here, 0)
        program = uploaded(memory, work.program)
        launch(
            "copy_out",
            precision,
            out.blocks,
            out.threads,
            0,
            block,
            memory,
            (state.address, program, out.offset, scratch.address),
        )
        np.testing.assert_array_equal(scratch.values, values)
    for block in blocks_of(back.blocks):
        memory, item = Memory(), np.arange(256) + 256 * block
        base, entry = spread(item & 2**groups - 1, others(targets)), item >> groups
        if pack == 2:  # the two entries that differ in qubit 0, the target at place 1
            base, entry = np.repeat(base, 2), ((entry & ~1) << 1 | entry & 1)[:, None] | np.array([0, 2])
            entry = entry.ravel()
        to, of = base | spread(entry, targets), base | spread(source_of[entry], targets)
        values = numbers(of, precision)
        order = np.argsort(of)
        scratch = Window(memory, SIZE, precision.dtype, of[order], values[order])
        state = Window(memory, SIZE, precision.dtype, np.sort(to), 0)
        program = uploaded(memory, work.program)
        launch(
            "permute_back",
            precision,
            back.blocks,
            back.threads,
            0,
            block,
            memory,
            (state.address, program, back.offset, scratch.address),
        )
        np.testing.assert_array_equal(state.array[to], values)


# --- kernels without an operation: (fields of the program, grid) as the backend makes them ------------------------------------


def fields(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}Q", *values)


@precisions
def test_probabilities(precision: Precision) -> None:
    """A chunk per block: two measured qubits above it, three inside."""
    measured, chunk = (1, 5, 11, 20, 35), 12
    mask, slices = sum(1 << q for q in measured), 2 ** (NUM_QUBITS - chunk - 2)
    program = fields(SIZE, mask, slices, slices, 3 | 2 << 32)
    for block in blocks_of(slices * 4):
        memory, outcome, piece = Memory(), block & 3, block >> 2
        start = (
            int(spread(np.array([piece]), others(range(chunk), (20, 35)))[0]) | (outcome & 1) << 20 | outcome >> 1 << 35
        )
        index = start + np.arange(2**chunk)
        values = numbers(index, precision)
        state = Window(memory, SIZE, precision.dtype, index, values)
        row = (piece << 2 | outcome) * 8 + np.arange(8)
        result = Window(memory, slices * 32, np.dtype(np.float64), row, np.nan)
        launch("marginal", precision, slices * 4, 256, 8 << chunk, block, memory,
               (state.address, uploaded(memory, program), 0, result.address))  # fmt: skip
        low = (index >> 1 & 1) | (index >> 5 & 1) << 1 | (index >> 11 & 1) << 2
        weight = np.abs(values.astype(np.complex128)) ** 2
        np.testing.assert_allclose(result.values, np.bincount(low, weight), rtol=1e-13)


@precisions
def test_overlaps(precision: Precision) -> None:
    each = 256 * PACK[precision]
    x, z, grid = 1 << 35 | 1 << 9 | 1, 1 << 34 | 2, SIZE // each
    for block in blocks_of(grid):
        memory, index = Memory(), np.arange(each) + each * block
        other = index ^ x
        chosen = np.union1d(index, other)
        values = numbers(chosen, precision)
        state = Window(memory, SIZE, precision.dtype, chosen, values)
        result = Window(memory, grid * 8, np.dtype(np.complex128), np.array([block * 8]), np.nan)
        program = fields(state.address, SIZE, x, 0, 0, z, *[0] * 7, 1)
        launch("overlap", precision, grid, 256, 64, block, memory,
               (state.address, uploaded(memory, program), 0, result.address))  # fmt: skip
        sign = np.array([1 - 2 * (int(j & z).bit_count() & 1) for j in index.tolist()])
        bra, ket = (state.array[i].astype(np.complex128) for i in (other, index))
        np.testing.assert_allclose(result.values, [(bra.conj() * ket * sign).sum()], rtol=1e-12)


@precisions
@pytest.mark.parametrize("lowest", [0, 1])
def test_reduced_density_matrices(precision: Precision, lowest: int) -> None:
    """Of two qubits: every slice of what is traced out is one block of threads; above the diagonal and on it."""
    targets, size = (35, lowest), 4
    each = 256 * (PACK[precision] if lowest else 1)
    slices = (SIZE // size // each).bit_length() - 1
    fixed = sum(1 << q for q in targets)
    program = fields(SIZE, fixed, 2 | slices << 32) + struct.pack("<16i", *targets, *[0] * 14)
    for slice, entry in ((0, 1), (1, 5), (2 ** (slices - 1) + 3, 6), (2**slices - 1, 15)):
        memory, row, column = Memory(), entry >> 2, entry & 3
        rest = spread(np.arange(each) + each * slice, others(targets))
        left, right = (rest | int(spread(np.array([k]), targets)[0]) for k in (row, column))
        chosen = np.unique(
            np.concatenate([left, right] + [[i ^ 1 for i in left], [i ^ 1 for i in right]] * (lowest == 0))
        )
        state = Window(memory, SIZE, precision.dtype, chosen, numbers(chosen, precision))
        cells = np.unique(np.array([row * size + column, column * size + row])) + slice * size * size
        result = Window(memory, size * size << slices, np.dtype(np.complex128), cells, np.nan)
        launch("reduce_density", precision, size * size << slices, 256, 64, slice * size * size + entry, memory,
               (state.address, uploaded(memory, program), 0, result.address))  # fmt: skip
        a, b = (state.array[index].astype(np.complex128) for index in (left, right))
        wanted = (a * b.conj()).sum()
        np.testing.assert_allclose(result.array[slice * size * size + entry], wanted, rtol=1e-12)
        np.testing.assert_allclose(result.array[slice * size * size + column * size + row], wanted.conj(), rtol=1e-12)


@precisions
def test_tiles_of_two_states(precision: Precision) -> None:
    """A rotation about the top qubit, controlled from outside of the tile: both states turn, and each tile leaves its slope."""
    builder = ProgramBuilder(NUM_QUBITS)
    builder.rotation("Y", 0.6, (35,), (33,))
    work, shape = builder.finish(), TileShape.of_gpu(precision).shared(2)
    plan = native_plan(work, precision=precision, initial="given", tile=shape)
    (stage,) = plan.segments[plan.entry].stages
    tile = [*range(shape.tile_qubits - 1), 35]
    tiles_bits = NUM_QUBITS - len(tile)
    define = applied(np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]]), (35,), 33, 1)
    for block in blocks_of(2**tiles_bits):
        memory = Memory()
        index = np.sort(spread(np.array([block]), others(tile)) | spread(np.arange(2 ** len(tile)), tile))
        before = [numbers(index, precision, seed) for seed in (5, 6)]
        ket, bra = (Window(memory, SIZE, precision.dtype, index, values) for values in before)
        sums = Window(memory, 2**tiles_bits, np.dtype(np.float64), np.array([block]), np.nan)
        walk = Adjoint(bra.address, sums.address, np.ones(1, np.uint8), tiles_bits)
        lowered = lower(plan, stage, plan.coefficients(work, ()), 1, walk)
        (step,) = lowered.launches
        assert "tile" in step.kernel and step.blocks == 2**tiles_bits
        launch("tile", precision, step.blocks, step.threads, step.shared_bytes, block, memory,
               (ket.address, uploaded(memory, lowered.program), step.offset, 0))  # fmt: skip
        wide = [values.astype(np.complex128) for values in before]
        for state, values in zip((ket, bra), wide, strict=True):
            after = define(index, lambda i, values=values, index=index: values[np.searchsorted(index, i)])
            np.testing.assert_allclose(state.values, after, rtol=0, atol=200 * precision.epsilon)
        turned = applied(np.array([[0, -1j], [1j, 0]]), (35,), 33, 1)(
            index, lambda i, values=wide[0], index=index: values[np.searchsorted(index, i)]
        )
        slope = (wide[1].conj() * turned)[index >> 33 & 1 == 1].sum().imag
        np.testing.assert_allclose(sums.values, [slope], rtol=0, atol=len(index) * precision.epsilon)


@precisions
def test_slopes(precision: Precision) -> None:
    """As many slices as blocks of threads; column 1 of 3."""
    each = 256 * PACK[precision]
    x, z, control, slices = 1 << 35 | 1 << 9 | 1, 1 << 34 | 2, 1 << 33, (SIZE // each).bit_length() - 1
    for block in blocks_of(2**slices):
        memory, index = Memory(), np.arange(each) + each * block
        ket = Window(memory, SIZE, precision.dtype, index, numbers(index, precision))
        there = np.sort(index ^ x)
        bra = Window(memory, SIZE, precision.dtype, there, numbers(there, precision, 6))
        sums = Window(memory, 3 << slices, np.dtype(np.float64), np.array([3 * block + 1]), np.nan)
        program = fields(SIZE, x, z, control, 0, bra.address, sums.address, 1, 3, slices << 32, slices)
        launch("slope", precision, 2**slices, 256, 64, block, memory, (ket.address, uploaded(memory, program), 0, 0))
        sign = np.array([1 - 2 * (int(j & z).bit_count() & 1) for j in index.tolist()])
        a, b = ket.values.astype(np.complex128), bra.array[index ^ x].astype(np.complex128)
        wanted = (b.conj() * a * sign)[index & control == 0].sum().imag
        np.testing.assert_allclose(sums.values, [wanted], rtol=0, atol=1e-12)


@precisions
def test_costs(precision: Precision) -> None:
    each = 256 * PACK[precision]
    grid, angle = SIZE // each, 0.7
    program = struct.pack("<d", angle)
    for block in blocks_of(grid):
        memory, index = Memory(), np.arange(each) + each * block
        before = numbers(index, precision)
        state = Window(memory, SIZE, precision.dtype, index, before)
        costs = Window(memory, SIZE, np.dtype(np.float64), index, np.random.default_rng(7).normal(size=each))
        result = Window(memory, grid, np.dtype(np.float64), np.array([block]), np.nan)
        address = uploaded(memory, fields(SIZE, costs.address) + program)
        launch("weigh_costs", precision, grid, 256, 64, block, memory, (state.address, address, 0, result.address))
        mean = np.abs(before.astype(np.complex128)) ** 2 @ costs.values
        np.testing.assert_allclose(result.values, [mean], rtol=1e-12)
        launch("turn", precision, grid, 256, 0, block, memory, (state.address, address, 0, 0))
        turned = before * np.exp(-1j * angle * costs.values.astype(np.float64))
        np.testing.assert_allclose(state.values, turned, rtol=0, atol=8 * precision.epsilon)


@precisions
def test_samples(precision: Precision) -> None:
    """Chunks by number; the shots of a block are every 17th amplitude of its chunk."""
    for chunk in (0, 2**24 - 1):
        memory, index = Memory(), np.arange(4096) + 4096 * chunk
        values = numbers(index, precision)
        state = Window(memory, SIZE, precision.dtype, index, values)
        ends = np.cumsum(np.abs(values.astype(np.complex128)) ** 2)
        wanted = np.arange(0, 4096, 17)
        targets = ends[wanted] - 0.5 * np.abs(values[wanted].astype(np.complex128)) ** 2
        program = fields(SIZE, 32, 64, 0, chunk, 0, len(wanted), 0) + targets.tobytes()
        result = memory.allocate(8 * len(wanted))
        launch(
            "sample",
            precision,
            1,
            256,
            (8 << 12) + 2048,
            0,
            memory,
            (state.address, uploaded(memory, program), 0, result),
        )
        assert memory.view(result, 8 * len(wanted)).view(np.int64).tolist() == index[wanted].tolist()


@precisions
def test_one_item_a_thread(precision: Precision) -> None:
    """Projection, preparation, X on found qubits, chosen amplitudes, Pauli sums onto a state, other rows."""
    each = 256 * PACK[precision]
    grid = SIZE // each
    scale = struct.unpack("<Q", struct.pack("<d", 2.0))[0]
    mask, values = 1 << 35 | 4, 1 << 35
    for block in blocks_of(grid):
        index = np.arange(each) + each * block
        before = numbers(index, precision)

        def run(name: str, program: bytes, index: IndexArray, before: object, grid: int = grid, result: int = 0,
                memory: Memory | None = None, block: int = block) -> Window:  # fmt: skip
            memory = memory or Memory()
            state = Window(memory, SIZE, precision.dtype, index, before)
            launch(name, precision, grid, 256, 0, block, memory, (state.address, uploaded(memory, program), 0, result))
            return state

        after = run("project", fields(SIZE, SIZE, mask, values, scale), index, before).values
        np.testing.assert_array_equal(after, np.where(index & mask == values, 2 * before, 0))
        np.testing.assert_array_equal(run("fill_zero_state", fields(SIZE, SIZE, 0, 0, 0), index, 7).values, index == 0)

        memory = Memory()
        out = Window(memory, SIZE, precision.dtype, index, 0)
        z, x = 1 << 33, 1 << 35
        terms = fields(out.address, SIZE, x, z, *[0] * 7) + np.array([3j, *[0] * 7]).tobytes() + fields(1)
        run("add_pauli_terms", terms, index ^ x, before, memory=memory)
        np.testing.assert_array_equal(out.values, np.where(index & z, -3j, 3j).astype(precision.dtype) * before)

        memory = Memory()
        out = Window(memory, SIZE, precision.dtype, index, 0)
        moved = fields(0, SIZE, SIZE, SIZE, 0, 0, 80, 88, 96, 104, 0, 0, 0, scale)
        source = Window(memory, SIZE, precision.dtype, index, before)
        launch("regroup", precision, grid, 256, 0, block, memory,
               (out.address, uploaded(memory, fields(source.address) + moved[8:]), 0, 0))  # fmt: skip
        np.testing.assert_array_equal(out.values, 2 * before)
    for block in blocks_of(grid // 2):
        low = spread(np.arange(each) + each * block, others([35]))
        both = np.union1d(low, low | 1 << 35)
        state = run("flip_down", fields(SIZE, SIZE, 1 << 35, 0, 0), both, np.arange(len(both)), grid // 2, block=block)
        np.testing.assert_array_equal(state.values, [*range(each, 2 * each), *[0] * each])
    memory, picked = Memory(), np.array([0, 2**31, 2**32 - 1, 2**32, 2**35 + 1, SIZE - 1])
    result = memory.allocate(6 * precision.bytes_per_amplitude)
    asked = fields(6, 6, SIZE, 32, *picked.tolist())
    state = run("gather", asked, picked, numbers(picked, precision), 1, result, memory, 0)
    found = memory.view(result, 6 * precision.bytes_per_amplitude).view(precision.dtype)
    np.testing.assert_array_equal(found, state.values)
