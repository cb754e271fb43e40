"""Noise as mixtures of unitaries: ρ → Σ p_k U_k ρ U_k†. Every shot draws its own unitaries; no density matrix is needed.

>>> from qsim import Circuit, Simulator, noise
>>> circuit = Circuit(1).x(0).channel(noise.bit_flip(0.1), 0).measure(0)
>>> zeros = Simulator(seed=1).run(circuit, shots=1000).counts["0"]
>>> 70 < zeros < 130
True
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from qsim_core import validation
from qsim_core.errors import ParameterError, ShapeError, expected
from qsim_core.kernels.reference import PAULI_MATRICES
from qsim_core.types import ComplexArray

from .instructions import IfElse, Instruction, Measurement, NoiseChannel, WhileLoop

if TYPE_CHECKING:
    from .circuit import Circuit

__all__ = [
    "Mixture",
    "add_noise",
    "bit_flip",
    "bit_phase_flip",
    "depolarizing",
    "pauli_mixture",
    "phase_flip",
    "readout_error",
]


class Mixture(NamedTuple):
    """Unitary matrices, each of shape (2^m, 2^m), and their probabilities: what ``Circuit.channel`` takes."""

    matrices: tuple[ComplexArray, ...]
    probabilities: tuple[float, ...]

    @property
    def num_qubits(self) -> int:
        """Qubits it acts on."""
        return len(self.matrices[0]).bit_length() - 1


def pauli_mixture(probabilities: Mapping[str, float]) -> Mixture:
    """Return the mixture of Pauli strings with these probabilities; what is left to 1 is the identity.

    Letter k of a string (I, X, Y or Z) acts on the k-th qubit that the channel is given; all strings are equally long.

    >>> pauli_mixture({"XI": 0.1, "ZZ": 0.25}).probabilities
    (0.65, 0.1, 0.25)
    """
    if not probabilities:
        raise ParameterError(expected("Pauli mixture", "at least one Pauli string", "none"))
    weights: dict[str, float] = {}
    width = len(next(iter(probabilities)))
    for letters, probability in probabilities.items():
        if not letters or set(letters) - set("IXYZ"):
            raise ParameterError(expected("Pauli string", "letters I, X, Y, Z", repr(letters)))
        if len(letters) != width:
            raise ShapeError(expected("Pauli string", f"{width} letters, as the first", repr(letters)))
        weights[letters] = _probability(f"probability of {letters}", probability)
    identity = "I" * width
    rest = 1.0 - sum(weights.values())
    if rest < -1e-12:
        raise ParameterError(expected("sum of the probabilities of a mixture", "at most 1", 1.0 - rest))
    rest += weights.pop(identity, 0.0)
    return Mixture(tuple(map(_pauli_string, (identity, *weights))), (max(rest, 0.0), *weights.values()))


def bit_flip(p: float) -> Mixture:
    """Return ρ → (1-p) ρ + p XρX.

    >>> bit_flip(0.25).probabilities
    (0.75, 0.25)
    """
    return pauli_mixture({"X": p})


def phase_flip(p: float) -> Mixture:
    """Return ρ → (1-p) ρ + p ZρZ; p = 1/2 leaves no coherence."""
    return pauli_mixture({"Z": p})


def bit_phase_flip(p: float) -> Mixture:
    """Return ρ → (1-p) ρ + p YρY."""
    return pauli_mixture({"Y": p})


def depolarizing(p: float, num_qubits: int = 1) -> Mixture:
    """Return ρ → (1-p) ρ + p 1/2^m on m qubits: with probability p the qubits are forgotten.

    Every Pauli string but the identity is drawn with probability p/4^m, and every correlator is multiplied by 1-p.
    """
    _probability("depolarizing probability", p)
    if not 1 <= validation.check_count("num_qubits", num_qubits, least=1) <= 4:
        raise ParameterError(expected("qubits of a depolarizing channel", "1 to 4", num_qubits))
    strings = ["".join(letters) for letters in itertools.product("IXYZ", repeat=num_qubits)]
    return pauli_mixture(dict.fromkeys(strings[1:], p / 4**num_qubits))


def add_noise(circuit: Circuit, mixture: Mixture, gates: Collection[str]) -> Circuit:
    """Return the circuit with a channel after every instruction of the given names, blocks included.

    It acts on all wires of the instruction, controls first, or on each of them if it is a one-qubit channel.

    >>> from qsim import Circuit
    >>> add_noise(Circuit(2).h(0).cx(0, 1), depolarizing(0.01, 2), ["cx"]).count_gates()
    Counter({'h': 1, 'cx': 1, 'channel': 1})

    Raises:
        ShapeError: for an instruction on another number of qubits.
    """
    if isinstance(gates, str):
        raise ParameterError(expected("gates to add noise to", 'a list of names such as ["cx"]', repr(gates)))
    result = circuit.copy()
    result.instructions[:] = _noisy(circuit.instructions, mixture, frozenset(gates))
    return result


def readout_error(
    circuit: Circuit, confusion: npt.ArrayLike | Mapping[int, npt.ArrayLike], qubits: Collection[int] | None = None
) -> Circuit:
    """Return the circuit with measurements that are misread, blocks included.

    Args:
        circuit: is not changed.
        confusion: a matrix of shape (2, 2), entry [is, read] the probability to read ``read`` where the qubit is ``is``;
            or one for every qubit in a mapping.
        qubits: with one matrix, the qubits it holds for; None: all.

    The state collapses on what the qubit is; classical bits, and all that conditions on them, see what was read.

    >>> from qsim import Circuit, Simulator
    >>> noisy = readout_error(Circuit(1).x(0).measure(0), [[1.0, 0.0], [0.25, 0.75]])
    >>> 200 < Simulator(seed=1).run(noisy, shots=1000).counts["0"] < 300
    True

    Raises:
        ParameterError, ShapeError, QubitError: for a matrix whose rows are no distributions, or a qubit out of range.
    """
    if isinstance(confusion, Mapping):
        if qubits is not None:
            raise ParameterError(expected("qubits", "those of the mapping", list(qubits)))
        chosen = {qubit: _confusion(matrix) for qubit, matrix in confusion.items()}
    else:
        pair = _confusion(confusion)
        chosen = dict.fromkeys(range(circuit.num_qubits) if qubits is None else qubits, pair)
    validation.check_qubits("qubit of a readout error", list(chosen), circuit.num_qubits)
    result = circuit.copy()
    result.instructions[:] = _misread(circuit.instructions, chosen)
    return result


def _misread(instructions: Iterable[Instruction], chosen: Mapping[int, tuple[float, float]]) -> list[Instruction]:
    result: list[Instruction] = []
    for instruction in instructions:
        op = instruction.op
        if isinstance(op, Measurement) and any(qubit in chosen for qubit in instruction.qubits):
            before = op.errors or ((0.0, 0.0),) * len(instruction.qubits)
            pairs = zip(instruction.qubits, before, strict=True)
            op = Measurement(tuple(chosen.get(qubit, errors) for qubit, errors in pairs))
        elif isinstance(op, IfElse):
            op = replace(op, block=tuple(_misread(op.block, chosen)), otherwise=tuple(_misread(op.otherwise, chosen)))
        elif isinstance(op, WhileLoop):
            op = replace(op, block=tuple(_misread(op.block, chosen)))
        result.append(instruction._replace(op=op))
    return result


def _confusion(matrix: npt.ArrayLike) -> tuple[float, float]:
    """Return P(read 1 | is 0) and P(read 0 | is 1)."""
    try:
        table = np.asarray(matrix, dtype=np.float64)
    except (TypeError, ValueError):
        raise ParameterError(expected("confusion matrix", "four probabilities", repr(matrix)[:80])) from None
    if table.shape != (2, 2):
        raise ShapeError(expected("confusion matrix", "shape (2, 2)", table.shape))
    if not ((table >= 0) & (table <= 1)).all() or not np.allclose(table.sum(axis=1), 1, atol=1e-9):
        raise ParameterError(expected("confusion matrix", "rows of probabilities that sum to 1", table.tolist()))
    return float(table[0, 1]), float(table[1, 0])


def _noisy(instructions: Iterable[Instruction], mixture: Mixture, gates: frozenset[str]) -> list[Instruction]:
    channel = NoiseChannel(mixture.matrices, mixture.probabilities)
    result: list[Instruction] = []
    for instruction in instructions:
        op = instruction.op
        if isinstance(op, IfElse):
            then, otherwise = (tuple(_noisy(block, mixture, gates)) for block in (op.block, op.otherwise))
            op = replace(op, block=then, otherwise=otherwise)
        elif isinstance(op, WhileLoop):
            op = WhileLoop(op.condition, tuple(_noisy(op.block, mixture, gates)), op.limit)
        result.append(instruction._replace(op=op))
        if instruction.name not in gates:
            continue
        wires = instruction.controls + instruction.qubits
        if mixture.num_qubits not in (1, len(wires)):
            allowed = f"one on {mixture.num_qubits} qubits, as the channel"
            raise ShapeError(expected(f"instruction {instruction.name}", allowed, f"{len(wires)} qubits"))
        places = [(wire,) for wire in wires] if mixture.num_qubits == 1 else [wires]
        result += [Instruction(channel, place, (), (), (), ()) for place in places]
    return result


def _probability(what: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ParameterError(expected(what, "a number from 0 to 1", repr(value)))
    return float(value)


def _pauli_string(letters: str) -> ComplexArray:
    """Return P_(m-1) ⊗ … ⊗ P_0: letter k is bit k of the index."""
    matrix: ComplexArray = np.eye(1, dtype=np.complex128)
    for letter in letters:
        matrix = np.kron(PAULI_MATRICES[letter], matrix).astype(np.complex128)
    matrix.flags.writeable = False
    return matrix
