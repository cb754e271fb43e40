"""Qibo's queue of gates to a Circuit: the last place where its names are read.

Qibo writes qubit 0 first, in labels of matrices and in indices of states. Its qubit q of n becomes qubit n - 1 - q
here, so that an index means the same basis state on both sides and no array is ever reordered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
from qibo import gates

from qsim import instructions as ours
from qsim.circuit import Circuit
from qsim.instructions import Instruction
from qsim_core import validation
from qsim_core.classical import Binary, Bits, Const
from qsim_core.gates import GateSpec, gate
from qsim_core.types import ComplexArray

from .errors import unsupported

__all__ = ["GATES", "Translator"]

#: Gates that are one of the table: parameters and wires (controls first) in the same order.
GATES: Mapping[type, GateSpec] = {
    getattr(gates, theirs): gate(name)
    for theirs, name in {
        "H": "h", "X": "x", "Y": "y", "Z": "z", "SX": "sx", "SXDG": "sxdg", "S": "s", "SDG": "sdg", "T": "t",
        "TDG": "tdg", "RX": "rx", "RY": "ry", "RZ": "rz", "PRX": "r", "U1q": "r", "U1": "u1", "U2": "qasm3_u2", "U3": "qasm3_u3",
        "CNOT": "cx", "CY": "cy", "CZ": "cz", "CH": "ch", "CSX": "csx", "CSXDG": "csxdg", "CRX": "crx", "CRY": "cry",
        "CRZ": "crz", "CU1": "cu1", "SWAP": "swap", "iSWAP": "iswap", "SiSWAP": "siswap", "SiSWAPDG": "siswapdg",
        "fSim": "fsim", "RXX": "rxx", "RYY": "ryy", "RZZ": "rzz", "RZX": "rzx", "TOFFOLI": "ccx",
        "CCZ": "ccz",
    }.items()
}  # fmt: skip

_NOTHING = (gates.I, gates.Align, gates.Barrier)
_CX, _MEASUREMENT = gate("cx"), ours.Measurement()
_MOST_CASES = 2**8
_MOST_CHANNEL_QUBITS = 6


class Translator:
    """Collects the instructions of a queue; with ``dynamic`` also its measurements, each qubit into a bit of its own."""

    def __init__(self, num_qubits: int, backend: Any, *, dynamic: bool = False) -> None:
        self.num_qubits = num_qubits
        self.backend = backend
        self.dynamic = dynamic
        self.here: list[Instruction] = []
        #: Classical bits of every measurement, by its result, in the order in which Qibo writes its samples.
        self.bits: dict[Any, tuple[int, ...]] = {}
        self.num_clbits = 0

    def circuit(self, queue: Iterable[Any]) -> Circuit:
        """Return the circuit of some gates."""
        self.here = []
        self.extend(queue)
        circuit = Circuit(self.num_qubits, self.num_clbits)
        circuit.instructions.extend(self.here)
        return circuit

    def extend(self, queue: Iterable[Any]) -> None:
        """Append gates; those of the table without a look at anything but their wires and numbers."""
        last, append, known, new = self.num_qubits - 1, self.here.append, GATES, tuple.__new__
        for item in queue:
            spec = known.get(type(item))
            if spec is None or item.symbolic_parameters:
                self.add(item)
                continue
            controls = item._control_qubits
            wires = tuple([last - q for q in item._target_qubits])
            params = item._parameters
            if params:
                params = tuple([p if type(p) is float else _number(item, p) for p in params])
            held: tuple[int, ...] = ()
            if controls:
                held = tuple([last - q for q in controls])
                own = spec.num_controls
                held, wires = (held[own:], held[:own] + wires) if own else (held, wires)
            append(new(Instruction, (spec, wires, params, held, (1,) * len(held), ())))

    def add(self, item: Any) -> None:
        """Append one gate of any kind."""
        if isinstance(item, gates.M):
            self.measure(item)
        elif isinstance(item, gates.FusedGate):
            self.extend(item.gates)
        elif isinstance(item, _NOTHING):
            pass
        elif item.symbolic_parameters:
            self.conditional(item)
        elif isinstance(item, gates.UnitaryChannel) and self.dynamic:
            self.channel(item)
        elif isinstance(item, gates.Channel):
            name = type(item).__name__
            allowed = "a mixture of unitaries (UnitaryChannel, PauliNoiseChannel, DepolarizingChannel)"
            unsupported(
                "channel on a state vector", allowed, name, 'Use qibo.set_backend("numpy") with density matrices.'
            )
        elif isinstance(item, gates.CallbackGate):
            unsupported("callback", "a circuit without mid-circuit measurements and channels", item.name)
        elif isinstance(item, gates.FanOut):
            first, *others = self.wires(item.qubits)
            held = self.wires(q for q in item.control_qubits if q != item.init_args[0])
            for other in others:
                if other not in held:
                    self.put(_CX, (first, other), (), held)
        else:
            controls = item.control_qubits if item.is_controlled_by else ()
            targets = item.target_qubits if controls else item.qubits
            self.put(*self.unitary(item, targets), controls=self.wires(controls))

    def wires(self, qubits: Iterable[int]) -> tuple[int, ...]:
        """Return our numbers of Qibo's qubits."""
        last = self.num_qubits - 1
        return tuple([last - qubit for qubit in qubits])

    def put(
        self, op: Any, wires: tuple[int, ...], params: tuple[float, ...] = (), controls: tuple[int, ...] = ()
    ) -> None:
        """Append one instruction."""
        self.here.append(Instruction(op, wires, params, controls, (1,) * len(controls), ()))

    def unitary(self, item: Any, targets: Sequence[int]) -> tuple[ours.UnitaryGate, tuple[int, ...]]:
        """Return a gate as a matrix with its wires: Qibo's first qubit is the highest bit of its index."""
        matrix = np.asarray(self.backend.to_numpy(item.matrix(self.backend)))
        return ours.UnitaryGate(validation.check_unitary(matrix, len(targets)), item.name), self.wires(targets)[::-1]

    def measure(self, item: Any) -> None:
        """Append a measurement; one that is not needed before the end is left to Qibo, unless the circuit is dynamic."""
        if not self.dynamic:
            return
        # The samples of a measurement that collapses are written in the order of its qubits' numbers.
        qubits = sorted(item.target_qubits) if item.collapse else item.target_qubits
        bits = tuple(range(self.num_clbits, self.num_clbits + len(qubits)))
        self.num_clbits += len(qubits)
        self.bits[item.result] = bits
        p0, p1 = item.bitflip_map
        errors = tuple((p0[q], p1[q]) for q in qubits) if not item.collapse and item.has_bitflip_noise() else ()
        op = ours.Measurement(validation.check_readout(errors, len(qubits))) if errors else _MEASUREMENT
        self.here.append(Instruction(op, self.wires(qubits), (), (), (), bits))

    def conditional(self, item: Any) -> None:
        """Append a gate whose parameters depend on outcomes: one block for every value of the bits they read."""
        symbols = sorted({s for e in item.symbolic_parameters.values() for s in e.free_symbols}, key=lambda s: s.name)
        if any(symbol.result not in self.bits for symbol in symbols):
            raise ValueError(
                f"Gate {item.name}: its parameters depend on a measurement that comes later or not at all."
            )
        if 2 ** len(symbols) > _MOST_CASES:
            unsupported(f"outcomes that gate {item.name} depends on", "at most 8", len(symbols))
        bits = Bits(tuple(self.bits[symbol.result][symbol.index] for symbol in symbols))
        outer, kept = self.here, item._parameters
        for number, values in enumerate(product((0, 1), repeat=len(symbols))):
            # The first symbol is the lowest bit of the number.
            known = dict(zip(symbols, reversed(values), strict=True))
            item._parameters = tuple(
                float(item.symbolic_parameters[k].subs(known)) if k in item.symbolic_parameters else value
                for k, value in enumerate(kept)
            )
            self.here, symbolic, item.symbolic_parameters = [], item.symbolic_parameters, {}
            try:
                self.extend([item])
            finally:
                block, self.here = tuple(self.here), outer
                item.symbolic_parameters, item._parameters = symbolic, kept
            self.here.append(Instruction(ours.IfElse(Binary("==", bits, Const(number)), block), (), (), (), (), ()))

    def channel(self, item: Any) -> None:
        """Append a mixture of unitaries, which may act on different qubits; the rest of the probability does nothing."""
        qubits = tuple(sorted({q for operator in item.gates for q in operator.qubits}))
        if len(qubits) > _MOST_CHANNEL_QUBITS:
            unsupported("qubits of a channel", f"at most {_MOST_CHANNEL_QUBITS}", len(qubits))
        weights = [float(p) for p in item.coefficients]
        matrices = [_embedded(np.asarray(g.matrix(self.backend)), g.qubits, qubits) for g in item.gates]
        rest = 1.0 - sum(weights)
        if rest > 0:
            weights, matrices = [rest, *weights], [np.eye(2 ** len(qubits), dtype=complex), *matrices]
        total = sum(weights)
        shares = tuple(weight / total for weight in weights)
        frozen = validation.check_channel(matrices, len(qubits), shares)
        self.here.append(Instruction(ours.NoiseChannel(frozen, shares), self.wires(qubits)[::-1], (), (), (), ()))


def _number(item: Any, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ValueError(f"Gate {item.name}: a parameter is a real number, not {value!r}.") from None


def _embedded(matrix: ComplexArray, own: Sequence[int], qubits: Sequence[int]) -> ComplexArray:
    """Return a matrix on some of the qubits as one on all of them; the first qubit is the highest bit."""
    others = [q for q in qubits if q not in own]
    wide: ComplexArray = np.kron(matrix, np.eye(2 ** len(others))).astype(np.complex128)
    order = [[*own, *others].index(q) for q in qubits]
    count = len(qubits)
    axes = order + [count + k for k in order]
    return wide.reshape((2,) * 2 * count).transpose(axes).reshape(2**count, 2**count)
