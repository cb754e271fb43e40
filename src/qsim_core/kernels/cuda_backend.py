"""What both CUDA drivers share: plans lowered to launches and played, and the verbs that read a state.

Sums are in f64 and in an order that depends on the size of the state alone, so that results repeat bit by bit on
one device. Nothing here needs a GPU to be imported.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from .. import resources
from ..errors import DeviceError, ShapeError, expected
from ..operations import OpKind
from ..pauli import PauliTerms
from ..plan import Coefficients, Plan, Stage
from ..types import Amps, ComplexArray, FloatArray, IndexArray, Precision
from .contract import Backend, Regrouping, check_sampled_norms, spread_bits
from .control import RunControl
from .cuda_device import Device, DeviceArray
from .cuda_graphs import LAUNCHES_PER_GRAPH, StageGraphs
from .launches import Adjoint, LaunchList, can_fuse, lower

__all__ = ["CudaBackend"]

#: The same numbers as in cpp/cuda/program.cuh.
CHUNK_BITS = 12
MAX_SIGNS = 8
THREADS = 256
#: Bytes a thread loads at once: amplitudes that begin elsewhere, as in a view of an array, are copied first.
ALIGNMENT = 16
#: Launches between two looks at the run control.
POLL_EVERY = LAUNCHES_PER_GRAPH
#: Blocks of a sum over the whole state, whatever the device: it fixes the order of summation.
SUM_BLOCKS = 1024
#: Costs of basis states that are copied to the device at once: 32 MiB.
COSTS_AT_A_TIME = 2**22


class CudaBackend(Backend):
    """Amplitudes on one CUDA device."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.description = device.properties.name
        self._kept_costs: dict[int, dict[int, DeviceArray]] = {}
        self.graphs = None if device.recorder is None else StageGraphs(device)

    # --- memory ----------------------------------------------------------------------------------------------------

    def allocate(self, batch: int, num_qubits: int, precision: Precision) -> Amps:
        return cast(Amps, self.device.array((batch, 2**num_qubits), precision.dtype))

    def adopt(self, amps: Any) -> Amps:
        interface = getattr(amps, "__cuda_array_interface__", None)
        if interface is None:
            return cast(Amps, self.device.array_of(np.ascontiguousarray(amps)))
        if interface.get("strides") is not None:
            raise ShapeError(expected("array on the GPU", "a contiguous one", f"strides {interface['strides']}"))
        address, _ = interface["data"]
        dtype = np.dtype(interface["typestr"])
        self.device.synchronize()  # of all streams: whoever made it may still be writing
        given = DeviceArray(self.device, address, tuple(interface["shape"]), dtype, amps)
        if address % ALIGNMENT == 0:
            return cast(Amps, given)
        copied = self.device.array(given.shape, dtype)
        self.device.copy(copied.address, address, given.nbytes)
        return cast(Amps, copied)

    def join(self, parts: Sequence[Amps]) -> Amps:
        first = parts[0]
        result = self.device.array((sum(map(len, parts)), first.shape[1]), first.dtype)
        place = result.address
        for part in parts:
            self.device.copy(place, _address(part), part.nbytes)
            place += part.nbytes
        return cast(Amps, result)

    def amplitudes(self, amps: Amps, basis_states: IndexArray) -> Amps:
        shape = (len(amps), len(basis_states))
        if not len(basis_states):
            return np.empty(shape, amps.dtype)
        fields = np.array([shape[0] * shape[1], shape[1], amps.shape[1], 4 * 8], np.uint64)
        program = np.concatenate([fields, basis_states.astype(np.uint64)])
        return self._read("gather", amps, program, _blocks(shape[0] * shape[1]), 0, shape, amps.dtype)

    def memory_free(self) -> int:
        free, properties = self.device.memory_free(), self.device.properties
        if not properties.integrated:
            return free  # of a MIG slice its own, not the card's
        # Memory shared with the host: the driver counts the host's file cache as taken, which gives way.
        return max(free, min(resources.available_memory(), properties.memory_bytes))

    # --- running ---------------------------------------------------------------------------------------------------

    def run_stage(self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl) -> None:
        work = lower(plan, stage, coefficients, len(amps))
        self._play(plan, stage, work, (_address(amps), 0), control)

    def run_from_zero(
        self, plan: Plan, stage: Stage, coefficients: Coefficients, amps: Amps, control: RunControl
    ) -> None:
        work = lower(plan, stage, coefficients, len(amps), from_zero=True)
        self._play(plan, stage, work, (_address(amps), 0), control)

    def run_adjoint(
        self,
        plan: Plan,
        coefficients: Coefficients,
        ket: Amps,
        bra: Amps,
        wanted: npt.NDArray[np.uint8],
        control: RunControl,
        to_zero: bool = False,
    ) -> FloatArray | None:
        if not can_fuse():
            return None
        [stage] = plan.segments[plan.entry].stages
        slice_bits = max(SUM_BLOCKS // len(ket), 1).bit_length() - 1
        sums = self.device.array_of(np.zeros((len(ket), 2**slice_bits, len(wanted))))
        walk = Adjoint(_address(bra), sums.address, wanted, slice_bits, to_zero)
        work = lower(plan, stage, coefficients, len(ket), walk)
        self._play(plan, stage, work, (_address(ket), _address(bra)), control)
        # The sums are Im⟨bra|P|ket⟩; G is P/2 for a rotation and minus the projector for a phase.
        scale = np.ones(len(wanted))
        scale[plan.ops.data[plan.ops.kind == OpKind.PHASE]] = -2.0
        return np.asarray(sums).sum(axis=1) * scale

    def _play(self, plan: Plan, stage: Stage, work: LaunchList, states: tuple[int, int], control: RunControl) -> None:
        """Play the launches of a stage in order, on the first state or the second, as each of them says."""
        device = self.device
        if self.graphs is not None:

            def between(share: float) -> None:
                control.poll()
                control.report(share)

            try:
                return self.graphs.play(work, states, between)
            except DeviceError as error:
                last = work.launches[-1].op
                raise DeviceError(
                    f"{error} ({_operations(plan, work.launches[0].op, last)}, {plan.num_qubits} qubits)"
                ) from None
        held = device.array_of(np.frombuffer(work.program, np.uint8))
        scratch = device.array((work.scratch_bytes,), np.uint8) if work.scratch_bytes else None
        first = 0  # of the launches not waited for yet: an error that comes late is of one of their operations
        op = stage.passes.start
        try:
            for done, step in enumerate(work.launches):
                if done % POLL_EVERY == 0:
                    device.synchronize()
                    control.poll()
                    control.report(done / len(work.launches))
                    first = step.op
                op = step.op
                target = states[step.on_second]
                arguments = (target, held.address, step.offset, 0 if scratch is None else scratch.address)
                device.launch(step.kernel, step.blocks, step.threads, step.shared_bytes, arguments)
            device.synchronize()
        except DeviceError as error:
            raise DeviceError(f"{error} ({_operations(plan, first, op)}, {plan.num_qubits} qubits)") from None

    def fill_zero_state(self, amps: Amps) -> None:
        self._project("fill_zero_state", amps, 0, 0, 1.0)

    def collapse(self, amps: Amps, qubits: Sequence[int], outcome: int, probability: float) -> None:
        values = int(spread_bits(np.array([outcome]), qubits)[0])
        self._project("project", amps, sum(1 << q for q in qubits), values, 1.0 / np.sqrt(probability))

    def _project(self, kernel: str, amps: Amps, mask: int, values: int, scale: float) -> None:
        fields = np.array([amps.size, amps.shape[1], mask, values], np.uint64)
        program = np.concatenate([fields, np.array([scale]).view(np.uint64)])
        self._launch(kernel, amps, program, _sweep_blocks(amps), 0)

    # --- reading ---------------------------------------------------------------------------------------------------

    def norms(self, amps: Amps, control: RunControl) -> FloatArray:
        return self.probabilities(amps, (), control)[:, 0]

    def probabilities(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> FloatArray:
        ordered = sorted(qubits)
        mask = sum(1 << q for q in ordered)
        result = np.empty((len(amps), 2 ** len(ordered)))
        for b in range(len(amps)):
            control.poll()
            result[b] = self._marginal(amps[b : b + 1], mask)
        # From ascending qubits to the caller's order.
        axes = [len(ordered) - 1 - ordered.index(q) for q in reversed(qubits)]
        shape = (len(amps), *(2,) * len(ordered))
        return np.ascontiguousarray(result.reshape(shape).transpose(0, *(1 + a for a in axes))).reshape(result.shape)

    def _marginal(self, amps: Amps, mask: int) -> FloatArray:
        """Return the distribution of the qubits in ``mask``, in ascending order, of one state."""
        size = amps.shape[1]
        low = (mask & 2**CHUNK_BITS - 1).bit_count()
        high = (mask >> CHUNK_BITS).bit_count()
        num_chunks = max(size >> CHUNK_BITS, 1) >> high
        slices = min(num_chunks, max(SUM_BLOCKS >> high, 1))
        fields = np.array([size, mask, num_chunks, slices, low | high << 32], np.uint64)
        # Measured qubits a small register does not have stay at zero.
        shared = 8 << CHUNK_BITS
        shape = (slices, 2 ** (low + high))
        return self._read("marginal", amps, fields, slices << high, shared, shape, np.float64).sum(axis=0)

    def inner_product(self, bra: Amps, ket: Amps, control: RunControl) -> ComplexArray:
        return self.pauli_overlap(bra, ket, 0, 0, control)

    def pauli_overlap(self, bra: Amps, ket: Amps, x_mask: int, z_mask: int, control: RunControl) -> ComplexArray:
        phase = 1j ** (int(x_mask & z_mask).bit_count() % 4)
        return phase * self._overlaps(bra, ket, x_mask, [z_mask], control)[:, 0]

    def _overlaps(self, bra: Amps, ket: Amps, x: int, signs: Sequence[int], control: RunControl) -> ComplexArray:
        """Return Σ conj(bra[i ^ x]) ket[i] (-1)^parity(i & z) for up to MAX_SIGNS masks z, shape (B, masks)."""
        result = np.empty((len(ket), len(signs)), np.complex128)
        blocks = min(_sweep_blocks(ket[:1]), SUM_BLOCKS)
        for b in range(len(ket)):
            control.poll()
            row = ket[b : b + 1]
            fields = [
                _address(bra[b : b + 1]),
                row.shape[1],
                x,
                0,
                0,
                *signs,
                *[0] * (MAX_SIGNS - len(signs)),
                len(signs),
            ]
            sums = self._read("overlap", row, np.array(fields, np.uint64), blocks, 8 * THREADS // 32,
                              (blocks, MAX_SIGNS), np.complex128)  # fmt: skip
            result[b] = sums[:, : len(signs)].sum(axis=0)
        return result

    def apply_pauli_sum(
        self, amps: Amps, terms: PauliTerms, weights: FloatArray, out: Amps, control: RunControl
    ) -> None:
        self._project("project", out, 0, 1, 1.0)  # no index has these bits: all zero
        x_masks = terms.x_masks.astype(np.int64)
        for x in np.unique(x_masks).tolist():
            group = np.flatnonzero(x_masks == x)
            for b in range(len(amps)):
                row, target = amps[b : b + 1], out[b : b + 1]
                for start in range(0, len(group), MAX_SIGNS):
                    control.poll()
                    chosen = group[start : start + MAX_SIGNS]
                    self._add_terms(
                        row, target, int(x), terms.z_masks[chosen], weights[min(b, len(weights) - 1), chosen]
                    )

    def _add_terms(self, amps: Amps, out: Amps, x: int, z_masks: IndexArray, weights: FloatArray) -> None:
        """Add Σ_k weights[k] P_k |amps⟩ to ``out``, all of one X mask."""
        factors = np.zeros(MAX_SIGNS, np.complex128)
        signs = np.zeros(MAX_SIGNS, np.uint64)
        for k, (z, weight) in enumerate(zip(z_masks.tolist(), weights.tolist(), strict=True)):
            # P|j⟩ = i^y (-1)^parity(j & z) |j ^ x⟩ is read here at the index it arrives at.
            power = (int(x) & int(z)).bit_count()
            factors[k] = weight * 1j ** (power % 4) * (-1.0) ** power
            signs[k] = z
        fields = np.array([_address(out), amps.shape[1], x], np.uint64)
        program = np.concatenate([fields, signs, factors.view(np.uint64), np.array([len(z_masks)], np.uint64)])
        self._launch("add_pauli_terms", amps, program, _sweep_blocks(amps), 0)

    def expectation_paulis(
        self, amps: Amps, x_masks: IndexArray, z_masks: IndexArray, control: RunControl
    ) -> FloatArray:
        result = np.empty((len(amps), len(x_masks)))
        for x in np.unique(x_masks).tolist():
            group = np.flatnonzero(x_masks == x)
            for start in range(0, len(group), MAX_SIGNS):
                chosen = group[start : start + MAX_SIGNS]
                signs = z_masks[chosen].tolist()
                phases = np.array([1j ** ((x & z).bit_count() % 4) for z in signs])
                result[:, chosen] = (phases * self._overlaps(amps, amps, x, signs, control)).real
        return result

    def add(self, amps: Amps, weights: ComplexArray | FloatArray, out: Amps) -> None:
        for b, weight in enumerate(np.broadcast_to(weights, len(amps)).tolist()):
            self._add_terms(amps[b : b + 1], out[b : b + 1], 0, np.zeros(1, np.int64), np.array([weight]))

    def reduced_density_matrix(self, amps: Amps, qubits: Sequence[int], control: RunControl) -> ComplexArray:
        size = 2 ** len(qubits)
        rho = np.empty((len(amps), size, size), np.complex128)
        targets = np.zeros(16, np.int32)
        targets[: len(qubits)] = qubits
        slices = max(min(SUM_BLOCKS // size**2, amps.shape[1] // size // THREADS), 1)
        slice_bits = slices.bit_length() - 1
        fields = np.array([amps.shape[1], sum(1 << q for q in qubits), len(qubits) | slice_bits << 32], np.uint64)
        program = np.concatenate([fields, targets.view(np.uint64)])
        for b in range(len(amps)):
            control.poll()
            rho[b] = self._read("reduce_density", amps[b : b + 1], program, size**2 << slice_bits, 8 * THREADS // 32,
                                (1 << slice_bits, size, size), np.complex128).sum(axis=0)  # fmt: skip
        return rho

    def _sample_row(self, amps: Amps, uniforms: FloatArray, control: RunControl) -> IndexArray:
        high = range(CHUNK_BITS, max(amps.shape[1].bit_length() - 1, CHUNK_BITS))
        weights = self._marginal(amps, sum(1 << q for q in high))
        ends = np.cumsum(weights)
        check_sampled_norms(ends[-1:])
        control.poll()
        order = np.argsort(uniforms, kind="stable")
        wanted = uniforms[order] * ends[-1]
        possible = np.flatnonzero(weights)
        place = np.searchsorted(ends[possible], wanted, side="right")
        chunk = possible[np.minimum(place, len(possible) - 1)]
        chosen, first = np.unique(chunk, return_index=True)
        visits = np.stack([chosen, first, np.append(first[1:], len(chunk))], axis=1).astype(np.uint64)
        rest = np.maximum(wanted - (ends - weights)[chunk], 0.0)  # rounding may leave it below zero
        header = 3 * 8
        padding = -header % 16
        start = header + padding
        fields = np.array([amps.shape[1], start, start + visits.nbytes], np.uint64)
        program = np.concatenate([fields, np.zeros(padding // 8, np.uint64), visits.ravel(), rest.view(np.uint64)])
        found = self._read(
            "sample", amps, program, len(visits), (8 << CHUNK_BITS) + 8 * THREADS, (len(wanted),), np.int64
        )
        result = np.empty(len(uniforms), np.int64)
        result[order] = found
        return result

    # --- moving rows -----------------------------------------------------------------------------------------------

    def regroup(self, amps: Amps, move: Regrouping, control: RunControl, out: Amps | None = None) -> Amps:
        size = amps.shape[1] >> len(move.leaving) << len(move.entering)
        if out is None:
            out = cast(Amps, self.device.array((len(move.rows), size), amps.dtype))
        header, count = 10 * 8, 8 * len(move.rows)
        leaving, entering = (sum(1 << q for q in qubits) for qubits in (move.leaving, move.entering))
        columns = [
            move.rows.astype(np.int64),
            spread_bits(move.outcomes.astype(np.int64), move.leaving),
            spread_bits(move.values.astype(np.int64), move.entering),
            move.scales.astype(np.float64).view(np.int64),
        ]
        places = [header + k * count for k in range(len(columns))]
        fields = np.array([_address(amps), out.size, size, amps.shape[1], leaving, entering, *places], np.int64)
        self._launch("regroup", out, np.concatenate([fields, *columns]).view(np.uint64), _sweep_blocks(out), 0)
        return out

    def put(self, amps: Amps, rows: IndexArray, out: Amps) -> None:
        size = amps.nbytes // max(len(amps), 1)
        for k, row in enumerate(rows.tolist()):
            self.device.copy(_address(out) + row * size, _address(amps) + k * size, size)

    def flip_down(self, amps: Amps, qubits: Sequence[int]) -> None:
        for qubit in qubits:
            self._project("flip_down", amps, 1 << qubit, 0, 1.0)

    # --- costs of basis states ---------------------------------------------------------------------------------------

    def turn(self, amps: Amps, costs: FloatArray, angles: FloatArray, control: RunControl) -> None:
        for start, part in self._costs_on_device(costs, control):
            for b, angle in enumerate(angles.tolist()):
                fields = np.array([part.size, part.address], np.uint64)
                program = np.append(fields, np.array([angle]).view(np.uint64))
                row = _neighbours(amps, b, start, part.size)
                self._launch("turn", row, program, _sweep_blocks(row), 0)

    def expectation_costs(self, amps: Amps, costs: FloatArray, control: RunControl) -> FloatArray:
        total = np.zeros(len(amps))
        for start, part in self._costs_on_device(costs, control):
            program = np.array([part.size, part.address, 0], np.uint64)
            for b in range(len(amps)):
                row = _neighbours(amps, b, start, part.size)
                blocks = min(_sweep_blocks(row), SUM_BLOCKS)
                total[b] += self._read(
                    "weigh_costs", row, program, blocks, 8 * THREADS // 32, (blocks,), np.float64
                ).sum()
        return total

    def _costs_on_device(self, costs: FloatArray, control: RunControl) -> Iterator[tuple[int, DeviceArray]]:
        """Yield (first index, copy on the device) of pieces of the costs, which together may be larger than the states.

        An array that nobody can write to stays on the device as long as it lives.
        """
        pieces = self._kept_costs.get(id(costs), {})
        if not pieces and not costs.flags.writeable and costs.flags.owndata:
            self._kept_costs[id(costs)] = pieces
            weakref.finalize(costs, self._kept_costs.pop, id(costs), None)

        def piece(start: int) -> DeviceArray:
            part = pieces.get(start)
            if part is None:
                room = self.device.memory_free() > 4 * costs.nbytes
                part = self.device.array_ahead(costs[start : start + COSTS_AT_A_TIME])
                if room and id(costs) in self._kept_costs:
                    pieces[start] = part
            return part

        starts = range(0, costs.size, COSTS_AT_A_TIME)
        ahead: DeviceArray | None = None
        for number, start in enumerate(starts):
            control.poll()
            part = piece(start) if ahead is None else ahead
            # Where copies go on beside launches the next piece is on its way while this one is used.
            early = self.device.recorder is not None and number + 1 < len(starts)
            ahead = piece(starts[number + 1]) if early else None
            yield start, part

    # --- launches of one kernel ------------------------------------------------------------------------------------

    def _launch(
        self, kernel: str, amps: Amps, program: npt.NDArray[np.uint64], blocks: int, shared_bytes: int, result: int = 0
    ) -> None:
        held = self.device.array_of(program)
        name = f"qsim_{kernel}_{'f32' if Precision.of(amps.dtype) is Precision.SINGLE else 'f64'}"
        self.device.launch(name, blocks, THREADS, shared_bytes, (_address(amps), held.address, 0, result))
        self.device.synchronize()

    def _read(
        self,
        kernel: str,
        amps: Amps,
        program: npt.NDArray[np.uint64],
        blocks: int,
        shared_bytes: int,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
    ) -> npt.NDArray[Any]:
        result = self.device.array(shape, dtype)
        self._launch(kernel, amps, program, blocks, shared_bytes, result.address)
        return np.asarray(result)


def _address(amps: Amps) -> int:
    return cast(DeviceArray, amps).address


def _neighbours(amps: Amps, row: int, first: int, count: int) -> Amps:
    """Return amplitudes [first, first + count) of one state, shape (1, count)."""
    state = cast(DeviceArray, amps[row : row + 1])
    address = state.address + first * state.dtype.itemsize
    return cast(Amps, DeviceArray(state.device, address, (1, count), state.dtype, state))


def _operations(plan: Plan, first: int, last: int) -> str:
    """Return what a message says of the operations among which one failed."""

    def one(row: int) -> str:
        wires = ", ".join(map(str, plan.ops.wires(row).tolist()))
        return f"operation {row}, {OpKind(int(plan.ops.kind[row])).name.lower()} on qubits ({wires})"

    return one(first) if first == last else f"between {one(first)} and {one(last)}"


def _blocks(items: int) -> int:
    return min(-(-items // THREADS), 2**20)


def _sweep_blocks(amps: Amps) -> int:
    """Return the blocks of a kernel whose threads take 16 bytes of amplitudes each, or less where a state is smaller."""
    return _blocks(-(-amps.nbytes // min(amps.shape[1] * amps.dtype.itemsize, 16)))
