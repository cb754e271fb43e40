"""Circuit: named gates on numbered qubits. Everything below it speaks of bits and matrices only."""

from __future__ import annotations

import functools
import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from qsim_core import validation
from qsim_core.classical import Binary, Bits, Const, Expression, Unary, bits_read
from qsim_core.errors import ParameterError, QubitError, ShapeError, UnsupportedError, expected
from qsim_core.gates import GATES, GateSpec, gate
from qsim_core.types import ComplexArray

from .instructions import (
    Assignment,
    Barrier,
    Delay,
    DiagonalGate,
    Expectation,
    IfElse,
    Initialization,
    Instruction,
    Leaving,
    Measurement,
    NoiseChannel,
    PauliRotation,
    PermutationGate,
    Resetting,
    UnitaryGate,
    WhileLoop,
    block,
)
from .lowering import Lowered, lower
from .noise import Mixture
from .observables import ObservableLike, PauliSum, as_observable
from .parameters import Parameter, ParameterValue, check_parameter
from .rewriting import clbits_of, inverted, relabelled, substituted, walk

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Circuit", "Condition", "Switch"]

#: A classical bit that must be 1, (classical bits, value), a register and a value, or an expression.
Condition: TypeAlias = int | tuple[Sequence[int], int] | tuple[str, int] | Expression
Wires: TypeAlias = int | Sequence[int] | range
_NO_WIRES: tuple[int, ...] = ()  # an empty tuple is always this one
_instruction = functools.partial(tuple.__new__, Instruction)  # of all fields; half the time of its own

_CONDITIONS = "a classical bit, (bits, value), (register name, value) or an expression"
_NOT_INVERTIBLE = (
    Measurement, Resetting, Initialization, NoiseChannel, Assignment, IfElse, WhileLoop, Expectation, Leaving
)  # fmt: skip


class Circuit:
    """A list of instructions on ``num_qubits`` qubits and ``num_clbits`` classical bits.

    Qubit 0 is the least significant bit of a basis-state index. Every gate of the table
    (:data:`qsim_core.gates.GATES`, listed in ``docs/gates.md``) is a method: parameters first, then qubits, and it returns
    the circuit, so calls chain. One-qubit gates take a sequence of qubits too.

    >>> bell = Circuit(2).h(0).cx(0, 1)
    >>> bell.depth(), dict(bell.count_gates())
    (2, {'h': 1, 'cx': 1})
    >>> Circuit(3).rx(0.5, [0, 2]).u(0.1, 0.2, 0.3, 1, controls=[0]).num_gates
    3

    Raises:
        QubitError: for a wire out of range or used twice by one instruction.
        ParameterError: for a parameter that is not finite or of the wrong count.
    """

    def __init__(self, num_qubits: int = 0, num_clbits: int = 0, name: str = "") -> None:
        self.name = name
        self.num_qubits = 0
        self.num_clbits = 0
        self.qubit_registers: dict[str, range] = {}
        self.clbit_registers: dict[str, range] = {}
        self.instructions: list[Instruction] = []
        self._blocks: list[list[Instruction]] = [self.instructions]
        self._loops: list[_OpenLoop] = []
        self._lowered: Lowered | None = None
        if validation.check_num_qubits(num_qubits):
            self.add_qubits("q", num_qubits)
        if validation.check_count("number of classical bits", num_clbits):
            self.add_clbits("c", num_clbits)

    # --- registers ----------------------------------------------------------------------------------------------

    def add_qubits(self, name: str, size: int) -> range:
        """Append a named register of qubits and return their numbers."""
        start, size = self.num_qubits, validation.check_count(f"size of register {name!r}", size)
        self._check_new_register(name)
        self.num_qubits = validation.check_num_qubits(start + size)
        self.qubit_registers[name] = range(start, start + size)
        self._lowered = None
        return self.qubit_registers[name]

    def add_clbits(self, name: str, size: int) -> range:
        """Append a named register of classical bits and return their numbers."""
        start, size = self.num_clbits, validation.check_count(f"size of register {name!r}", size)
        self._check_new_register(name)
        self.num_clbits = start + size
        self.clbit_registers[name] = range(start, start + size)
        self._lowered = None
        return self.clbit_registers[name]

    def _check_new_register(self, name: str) -> None:
        if name in self.qubit_registers or name in self.clbit_registers:
            raise QubitError(expected("register name", "a new one", repr(name)))

    # --- gates --------------------------------------------------------------------------------------------------

    if TYPE_CHECKING:  # the methods made from the gate table below

        def __getattr__(self, name: str) -> Callable[..., Circuit]: ...

    def append(
        self,
        gate_: GateSpec | str,
        qubits: Sequence[int],
        params: Sequence[ParameterValue] = (),
        controls: Wires = (),
        control_values: Wires | None = None,
    ) -> Circuit:
        """Append a gate of the table by record or name; ``qubits`` are its own controls first, then its targets."""
        spec = gate(gate_) if isinstance(gate_, str) else gate_
        if len(qubits) != spec.num_qubits:
            raise ShapeError(expected(f"qubits of gate {spec.name}", str(spec.num_qubits), f"{len(qubits)}: {qubits}"))
        if len(params) != len(spec.params):
            names = f"{len(spec.params)} ({', '.join(spec.params)})" if spec.params else "none"
            raise ParameterError(expected(f"parameters of gate {spec.name}", names, f"{len(params)}: {tuple(params)}"))
        return self._add(spec, qubits, tuple(map(check_parameter, params)), controls, control_values)

    def unitary(
        self,
        matrix: npt.ArrayLike,
        qubits: Wires,
        controls: Wires = (),
        control_values: Wires | None = None,
        *,
        name: str = "unitary",
    ) -> Circuit:
        """Append a unitary matrix of shape (2^k, 2^k), k up to 12; ``qubits[0]`` is bit 0 of its index."""
        wires = _wires(qubits)
        return self._add(
            UnitaryGate(validation.check_unitary(matrix, len(wires)), name), wires, (), controls, control_values
        )

    def diagonal(
        self,
        vector: npt.ArrayLike,
        qubits: Wires,
        controls: Wires = (),
        control_values: Wires | None = None,
    ) -> Circuit:
        """Append a diagonal unitary given by 2^k entries of modulus one."""
        wires = _wires(qubits)
        return self._add(
            DiagonalGate(validation.check_diagonal(vector, len(wires))), wires, (), controls, control_values
        )

    def permutation(
        self,
        table: npt.ArrayLike,
        qubits: Wires,
        controls: Wires = (),
        control_values: Wires | None = None,
    ) -> Circuit:
        """Append |x⟩ → |table[x]⟩, a reversible classical function on up to 26 qubits.

        >>> add_one = Circuit(3).permutation([1, 2, 3, 4, 5, 6, 7, 0], [0, 1, 2])
        """
        wires = _wires(qubits)
        op = PermutationGate(validation.check_permutation(table, len(wires)))
        return self._add(op, wires, (), controls, control_values)

    def pauli_rotation(
        self,
        pauli: str,
        angle: ParameterValue,
        qubits: Wires,
        controls: Wires = (),
        control_values: Wires | None = None,
    ) -> Circuit:
        """Append exp(-i angle/2 P), letter k of the string on ``qubits[k]``.

        >>> zz = Circuit(4).pauli_rotation("ZXY", 0.3, [0, 2, 3])
        """
        wires = _wires(qubits)
        if len(pauli) != len(wires) or pauli.strip("IXYZ"):
            raise ShapeError(expected("Pauli string", f"{len(wires)} letters of I, X, Y, Z", repr(pauli)))
        return self._add(PauliRotation(pauli), wires, (check_parameter(angle),), controls, control_values)

    def global_phase(self, angle: ParameterValue, controls: Wires = (), control_values: Wires | None = None) -> Circuit:
        """Multiply the state by e^(i angle), under controls the controlled subspace."""
        return self.append("gphase", (), (angle,), controls, control_values)

    def initialize(self, vector: npt.ArrayLike, qubits: Wires | None = None) -> Circuit:
        """Reset the qubits (default: all) and prepare a normalised state vector of length 2^k on them."""
        wires = tuple(range(self.num_qubits)) if qubits is None else _wires(qubits)
        return self._add(Initialization(validation.check_state(vector, len(wires))), wires)

    def channel(
        self,
        matrices: Sequence[npt.ArrayLike] | Mixture,
        qubits: Wires,
        probabilities: Sequence[float] | None = None,
    ) -> Circuit:
        """Append a noise channel: a mixture of :mod:`qsim.noise`, unitaries with their probabilities, or Kraus matrices.

        Kraus matrices can be written down and converted, but not run yet.
        """
        if isinstance(matrices, Mixture):
            if probabilities is not None:
                raise ParameterError(expected("probabilities", "those of the mixture", list(probabilities)))
            matrices, probabilities = matrices
        wires = _wires(qubits)
        frozen = validation.check_channel(matrices, len(wires), probabilities)
        return self._add(NoiseChannel(frozen, None if probabilities is None else tuple(probabilities)), wires)

    def barrier(self, qubits: Wires | None = None) -> Circuit:
        """Append a barrier on the qubits (default: all): no effect on the state."""
        return self._add(Barrier(), tuple(range(self.num_qubits)) if qubits is None else _wires(qubits))

    # --- measurement and control flow ---------------------------------------------------------------------------

    def measure(self, qubits: Wires, clbits: Wires | None = None) -> Circuit:
        """Measure ``qubits[k]`` into ``clbits[k]`` (default: the classical bit of the same number, added if missing)."""
        wires = _wires(qubits)
        bits = wires if clbits is None else _wires(clbits)
        if len(bits) != len(wires):
            raise ShapeError(expected("classical bits of a measurement", f"{len(wires)}, one per qubit", len(bits)))
        if clbits is None and wires and max(wires) >= self.num_clbits:
            validation.check_qubits("qubit of measure", wires, self.num_qubits)
            taken = self.qubit_registers.keys() | self.clbit_registers.keys()
            name = next(name for k in count() if (name := f"c{k or ''}") not in taken)
            self.add_clbits(name, max(wires) + 1 - self.num_clbits)
        validation.check_qubits("classical bit of measure", bits, self.num_clbits)
        return self._add(Measurement(), wires, clbits=bits)

    def measure_all(self) -> Circuit:
        """Measure every qubit into the classical bit of the same number."""
        return self.measure(range(self.num_qubits))

    def reset(self, qubits: Wires) -> Circuit:
        """Bring the qubits to |0⟩."""
        return self._add(Resetting(), _wires(qubits))

    def assign(self, clbits: Wires, value: int | Expression) -> Circuit:
        """Set classical bits to the lowest bits of a number or an expression of bits, least significant into ``clbits[0]``.

        >>> count = Circuit(0, 2).assign([0, 1], Binary("+", Bits((0, 1)), Const(1)))
        """
        wires = _wires(clbits)
        if isinstance(value, bool | int | np.integer):
            value = Const(int(value))
        if not isinstance(value, Const | Bits | Unary | Binary):
            raise ParameterError(expected("value to assign", "a whole number or an expression of bits", repr(value)))
        every = ("classical bit of assign", wires), ("classical bit of a value", sorted(bits_read(value)))
        for what, bits in every:
            validation.check_qubits(what, bits, self.num_clbits)
        return self._add(Assignment(value), (), clbits=wires)

    @contextmanager
    def if_(self, condition: Condition) -> Iterator[Circuit]:
        """Collect the instructions of the ``with`` block to run where the condition holds.

        >>> c = Circuit(2, 2).h(0).measure(0, 0)
        >>> with c.if_(0):
        ...     _ = c.x(1)
        """
        test = self._condition(condition)
        with self._collect() as then:
            yield self
        self._add_block(IfElse(test, tuple(then)))

    @contextmanager
    def else_(self) -> Iterator[Circuit]:
        """Collect the alternative of the ``if_`` block directly before."""
        here = self._blocks[-1]
        if not here or type(here[-1].op) is not IfElse or here[-1].op.otherwise:
            raise UnsupportedError(expected("else_", "directly after an if_ block without one", "another place"))
        with self._collect() as otherwise:
            yield self
        previous = here.pop().op
        self._add_block(IfElse(previous.condition, previous.block, tuple(otherwise)))

    @contextmanager
    def while_(self, condition: Condition, limit: int = 1_000_000) -> Iterator[Circuit]:
        """Collect the instructions to repeat while the condition holds; more than ``limit`` rounds is an error."""
        test = self._condition(condition)
        validation.check_count("loop limit", limit, least=1)
        with self._loop() as loop, self._collect() as body:
            yield self
        self._add_block(WhileLoop(test, (block(body),) if loop.jumps else tuple(body), limit))

    @contextmanager
    def for_(self, values: Iterable[ParameterValue], parameter: Parameter | str | None = None) -> Iterator[Circuit]:
        """Collect the instructions to repeat once for each value, which ``parameter`` takes in turn.

        The rounds are written out: the circuit has them one after another.

        >>> c = Circuit(1)
        >>> angle = Parameter("angle")
        >>> with c.for_([0.1, 0.2, 0.3], angle):
        ...     _ = c.rx(2 * angle, 0)
        >>> [instruction.params for instruction in c]
        [(0.2,), (0.4,), (0.6,)]
        """
        rounds = [check_parameter(value) for value in values]
        with self._loop() as loop, self._collect() as body:
            yield self
        name = parameter.name if isinstance(parameter, Parameter) else parameter
        self._add_rounds(
            loop, [body if name is None else [substituted(inner, {name: value}) for inner in body] for value in rounds]
        )

    @contextmanager
    def unrolled_loop(self) -> Iterator[Callable[[], AbstractContextManager[object]]]:
        """Yield what collects one round of a loop that the caller unrolls; ``break_`` and ``continue_`` work inside.

        >>> c = Circuit(1, 1).h(0).measure(0, 0)
        >>> with c.unrolled_loop() as one_round:
        ...     for angle in (0.1, 0.2):
        ...         with one_round():
        ...             with c.if_(0):
        ...                 _ = c.break_()
        ...             _ = c.rx(angle, 0)
        """
        rounds: list[list[Instruction]] = []

        @contextmanager
        def one_round() -> Iterator[None]:
            with self._collect() as body:
                rounds.append(body)
                yield

        with self._loop() as loop:
            yield one_round
        self._add_rounds(loop, rounds)

    def _add_rounds(self, loop: _OpenLoop, rounds: list[list[Instruction]]) -> None:
        """Append rounds one after another: as blocks, if they are left early."""
        if loop.jumps:
            self._extend([block(map(block, rounds))])
        else:
            self._extend(instruction for one in rounds for instruction in one)

    def break_(self) -> Circuit:
        """Append the end of the innermost ``for_`` or ``while_`` loop; usually inside an ``if_``."""
        return self._jump("break_", 1)

    def continue_(self) -> Circuit:
        """Append the end of this round of the innermost ``for_`` or ``while_`` loop; usually inside an ``if_``."""
        return self._jump("continue_", 0)

    @contextmanager
    def switch(self, value: str | Sequence[int] | Expression) -> Iterator[Switch]:
        """Choose one of several blocks by the number in a register, in classical bits, or of an expression.

        >>> c = Circuit(3, 2).h(range(2)).measure([0, 1], [0, 1])
        >>> with c.switch("c") as number:
        ...     with number.case(1, 2):
        ...         _ = c.x(2)
        ...     with number.default():
        ...         _ = c.h(2)
        """
        yield (chooser := Switch(self, self._number(value)))
        chooser.close()

    def delay(self, seconds: float, qubits: Wires | None = None) -> Circuit:
        """Append a time to wait, in seconds, on the qubits (default: all). It has no effect on the state."""
        time = check_parameter(seconds)
        if not isinstance(time, float) or time < 0:
            raise ParameterError(expected("delay", "a number of seconds, at least 0", repr(seconds)))
        return self._add(Delay(seconds=time), tuple(range(self.num_qubits)) if qubits is None else _wires(qubits))

    def expectation(self, label: str, observable: ObservableLike) -> Circuit:
        """Read an expectation value of the state as it is here, given the outcomes so far; nothing is disturbed.

        ``result.reading(label)`` has its average over the shots, its standard error, and its value in every state.

        >>> from qsim import Simulator
        >>> c = Circuit(2, 1).h(0).cx(0, 1).measure(0, 0).expectation("after", "Z1")
        >>> Simulator(seed=1).run(c, shots=100).reading("after").values.tolist()
        [1.0, -1.0]
        """
        read = as_observable(observable)
        if not isinstance(read, PauliSum):
            raise UnsupportedError(expected("observable read inside a circuit", "a Pauli sum", type(read).__name__))
        if not isinstance(label, str) or not label:
            raise ParameterError(expected("label of an expectation value", "text, not empty", repr(label)))
        mask = int(np.bitwise_or.reduce(read.terms.x_masks | read.terms.z_masks, initial=0))
        return self._add(Expectation(label, read), tuple(q for q in range(mask.bit_length()) if mask >> q & 1))

    @contextmanager
    def _loop(self) -> Iterator[_OpenLoop]:
        self._loops.append(_OpenLoop(len(self._blocks)))
        try:
            yield self._loops[-1]
        finally:
            self._loops.pop()

    def _jump(self, what: str, more: int) -> Circuit:
        if not self._loops:
            raise UnsupportedError(expected(what, "inside a for_ or while_ loop", "outside of one"))
        self._loops[-1].jumps = True
        return self._add(Leaving(len(self._blocks) - self._loops[-1].depth + more), tuple(range(self.num_qubits)))

    def _number(self, value: str | Sequence[int] | Expression) -> Expression:
        """Return the expression of a register, of bits, or as given."""
        match value:
            case Const() | Bits() | Unary() | Binary():
                number: Expression = value
            case str():
                if value not in self.clbit_registers:
                    raise QubitError(expected("classical register", sorted(self.clbit_registers), repr(value)))
                number = Bits(tuple(self.clbit_registers[value]))
            case Sequence():
                number = Bits(_wires([*value]))
            case _:
                allowed = "a register name, classical bits or an expression"
                raise ParameterError(expected("value of switch", allowed, repr(value)))
        validation.check_qubits("classical bit of switch", sorted(bits_read(number)), self.num_clbits)
        return number

    @contextmanager
    def _collect(self) -> Iterator[list[Instruction]]:
        block: list[Instruction] = []
        self._blocks.append(block)
        try:
            yield block
        finally:
            self._blocks.pop()

    def _add_block(self, op: IfElse | WhileLoop) -> None:
        self._blocks[-1].append(Instruction(op, ()))
        self._lowered = None

    def _condition(self, condition: Condition) -> Expression:
        match condition:
            case bool():
                raise ParameterError(expected("condition", _CONDITIONS, condition))
            case int() | np.integer():
                expression: Expression = Bits((int(condition),))
            case (str(name), int() | np.integer() as value):
                if name not in self.clbit_registers:
                    raise QubitError(expected("classical register", sorted(self.clbit_registers), repr(name)))
                expression = Binary("==", Bits(tuple(self.clbit_registers[name])), Const(int(value)))
            case (Sequence() as bits, int() | np.integer() as value):
                expression = Binary("==", Bits(_wires(bits)), Const(int(value)))
            case Const() | Bits() | Unary() | Binary():
                expression = condition
            case _:
                raise ParameterError(expected("condition", _CONDITIONS, repr(condition)))
        validation.check_qubits("classical bit of a condition", sorted(bits_read(expression)), self.num_clbits)
        return expression

    # --- whole circuits -----------------------------------------------------------------------------------------

    def compose(self, other: Circuit, qubits: Wires | None = None, clbits: Wires | None = None) -> Circuit:
        """Append the instructions of another circuit, its wire k on ``qubits[k]`` (default: k)."""
        to_qubit = tuple(range(other.num_qubits)) if qubits is None else _wires(qubits)
        to_clbit = tuple(range(other.num_clbits)) if clbits is None else _wires(clbits)
        for what, wires, size, available in (
            ("qubits", to_qubit, other.num_qubits, self.num_qubits),
            ("classical bits", to_clbit, other.num_clbits, self.num_clbits),
        ):
            if len(wires) != size:
                raise ShapeError(expected(f"{what} to compose on", f"{size}, one per wire", len(wires)))
            validation.check_qubits(f"{what} to compose on", wires, available)
        self._extend(relabelled(instruction, to_qubit, to_clbit) for instruction in other.instructions)
        return self

    def inverse(self) -> Circuit:
        """Return the inverse circuit.

        Raises:
            UnsupportedError: if the circuit measures, resets, initialises or branches.
        """
        return self._derived(map(inverted, reversed(self.instructions)))

    def controlled(self, controls: int | Sequence[int] = 1, control_values: Sequence[int] | None = None) -> Circuit:
        """Return the circuit with every gate controlled, global phases included.

        ``controls`` is a number of new qubits, appended after the others, or the qubits to use, which this circuit
        must not touch.
        """
        if isinstance(controls, Iterable):
            wires = _wires(controls)
        else:
            wires = tuple(range(self.num_qubits, self.num_qubits + validation.check_count("controls", controls)))
        values = (1,) * len(wires) if control_values is None else tuple(control_values)
        validation.check_control_values(wires, values)
        result = self._derived(())
        if (missing := max(wires, default=-1) + 1 - self.num_qubits) > 0:
            taken = self.qubit_registers.keys() | self.clbit_registers.keys()
            result.add_qubits(next(name for k in count() if (name := f"control{k or ''}") not in taken), missing)
        for instruction in self.instructions:
            if isinstance(instruction.op, _NOT_INVERTIBLE):
                raise UnsupportedError(expected("controlled circuit", "gates only", instruction.name))
            extra = ((), ()) if isinstance(instruction.op, Barrier) else (wires, values)
            result._add(
                instruction.op,
                instruction.qubits,
                instruction.params,
                instruction.controls + extra[0],
                instruction.control_values + extra[1],
            )
        return result

    def power(self, exponent: int) -> Circuit:
        """Return the circuit repeated ``exponent`` times; a negative exponent repeats the inverse."""
        if isinstance(exponent, bool) or not isinstance(exponent, int | np.integer):
            raise ParameterError(expected("exponent of a circuit", "a whole number", repr(exponent)))
        return self.repeat(exponent) if exponent >= 0 else self.inverse().repeat(-exponent)

    def repeat(self, times: int) -> Circuit:
        """Return the circuit repeated ``times`` times."""
        return self._derived(self.instructions * validation.check_count("repetitions", times))

    def copy(self) -> Circuit:
        """Return an independent copy."""
        return self._derived(self.instructions)

    def bind(self, params: Mapping[Any, ParameterValue]) -> Circuit:
        """Return the circuit with parameters, given by name or Parameter, replaced by numbers or other expressions."""
        values = {getattr(key, "name", key): check_parameter(value) for key, value in params.items()}
        unknown = [name for name in values if name not in self.parameters]
        if unknown:
            raise ParameterError(expected("parameter name", ", ".join(self.parameters) or "none", unknown[0]))
        return self._derived(substituted(instruction, values) for instruction in self.instructions)

    def _derived(self, instructions: Iterable[Instruction]) -> Circuit:
        result = Circuit(name=self.name)
        result.num_qubits, result.num_clbits = self.num_qubits, self.num_clbits
        result.qubit_registers, result.clbit_registers = dict(self.qubit_registers), dict(self.clbit_registers)
        result.instructions.extend(instructions)
        return result

    def _extend(self, instructions: Iterable[Instruction]) -> None:
        self._blocks[-1].extend(list(instructions))  # they may come from this very list
        self._lowered = None

    # --- facts --------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the free parameters, in the order of their first appearance."""
        return self.lowered().parameters

    def count_gates(self) -> Counter[str]:
        """Return how often each instruction occurs by name, barriers left out, blocks included."""
        return Counter(instruction.name for instruction in walk(self.instructions) if instruction.name != "barrier")

    @property
    def num_gates(self) -> int:
        """Number of instructions without barriers, blocks included."""
        return sum(self.count_gates().values())

    def depth(self) -> int:
        """Return the longest chain of instructions that share a wire; measurements count, barriers only order."""
        level: dict[tuple[str, int], int] = {}
        for instruction in self.instructions:
            wires = [("q", qubit) for qubit in instruction.wires] + [("c", bit) for bit in clbits_of(instruction)]
            top = max((level.get(wire, 0) for wire in wires), default=0)
            top += not isinstance(instruction.op, Barrier)
            level.update(dict.fromkeys(wires, top))
        return max(level.values(), default=0)

    def __len__(self) -> int:
        return len(self.instructions)

    def __iter__(self) -> Iterator[Instruction]:
        return iter(self.instructions)

    @overload
    def __getitem__(self, index: int) -> Instruction: ...
    @overload
    def __getitem__(self, index: slice) -> Circuit: ...

    def __getitem__(self, index: int | slice) -> Instruction | Circuit:
        """Return one instruction, or for a slice a circuit of those instructions."""
        return self._derived(self.instructions[index]) if isinstance(index, slice) else self.instructions[index]

    def __eq__(self, other: object) -> bool:
        """Same wires and the same instructions in the same order; names of circuit and registers don't matter."""
        if not isinstance(other, Circuit):
            return NotImplemented
        sizes = self.num_qubits == other.num_qubits and self.num_clbits == other.num_clbits
        return sizes and self.instructions == other.instructions

    __hash__ = None  # type: ignore[assignment]  # a circuit can change

    def __copy__(self) -> Circuit:
        return self.copy()

    def __repr__(self) -> str:
        title = f"Circuit({self.num_qubits}" + (f", {self.num_clbits}" if self.num_clbits else "") + ")"
        return f"<{title} {self.name + ' ' if self.name else ''}with {len(self)} instructions>"

    # --- down and out -------------------------------------------------------------------------------------------

    def lowered(self) -> Lowered:
        """Return the Program of this circuit with what is needed to bind its named parameters; cached until it changes."""
        if self._lowered is None:
            self._lowered = lower(self.instructions, self.num_qubits, self.num_clbits)
        return self._lowered

    def to_program(self) -> Any:
        """Return the :class:`qsim_core.Program`: structural operations, no gate names."""
        return self.lowered().program

    def to_matrix(self, params: Mapping[str, float] | None = None) -> ComplexArray:
        """Return the 2^n × 2^n unitary of a circuit of gates on at most 12 qubits, global phase included."""
        from qsim_core.kernels.reference import operation_matrix
        from qsim_core.trivial_plan import trivial_plan

        if self.num_qubits > 12:
            raise ShapeError(expected("qubits of a circuit matrix", "at most 12", self.num_qubits))
        lowered = self.lowered()
        plan = trivial_plan(lowered.program, initial="given", defer=False)
        if not plan.straight_line:
            raise UnsupportedError(expected("circuit matrix", "gates only", "a measurement, reset or branch"))
        slots = lowered.slots(params)
        if len(slots) != 1:
            raise ShapeError(expected("parameters of a circuit matrix", "one set", len(slots)))
        return operation_matrix(self.num_qubits, plan, plan.coefficients(lowered.program, slots))

    @classmethod
    def from_qasm(cls, text: str) -> Circuit:
        """Read OpenQASM 2 or 3 source text."""
        from .interchange import openqasm

        if text.endswith(".qasm") and "\n" not in text:
            raise ParameterError(expected("OpenQASM text", "a program", repr(text), "from_qasm_file() reads files."))
        return openqasm.loads(text)

    @classmethod
    def from_qasm_file(cls, path: str | Path) -> Circuit:
        """Read an OpenQASM 2 or 3 file."""
        from .interchange import openqasm

        return openqasm.load(path)

    def to_qasm(self, version: int = 3) -> str:
        """Return OpenQASM source text of version 2 or 3."""
        from .interchange import openqasm

        return openqasm.dumps(self, version=version)

    def draw(self, path: str | Path | None = None, *, width: int | None = None, ascii: bool = False) -> Any:
        """Return a drawing as text, or write it to ``path`` (.txt, .svg, .png, .pdf) and return what was written.

        ``width`` is the line length to wrap text at (default: the terminal's); pictures need matplotlib.

        >>> Circuit(2).h(0).cx(0, 1).draw()
        q0: ─┤ H ├──●──
                    │
        q1: ────────⊕──
        """
        from .drawing import draw

        return draw(self, path, width=width, ascii=ascii)

    def __getstate__(self) -> dict[str, Any]:
        if len(self._blocks) > 1:
            raise UnsupportedError(expected("pickling a circuit", "outside its with blocks", "an open block"))
        state = dict(self.__dict__)
        del state["_blocks"], state["_lowered"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._blocks, self._lowered = [self.instructions], None

    def _add(
        self,
        op: Any,
        qubits: Wires,
        params: tuple[ParameterValue, ...] = (),
        controls: Wires = _NO_WIRES,
        control_values: Wires | None = None,
        clbits: tuple[int, ...] = (),
    ) -> Circuit:
        """Check the wires and append one instruction: the only way an instruction gets in from outside."""
        wires = every = _wires(qubits)
        extra, values = _NO_WIRES, _NO_WIRES
        if controls is not _NO_WIRES or control_values is not None:
            extra = _wires(controls)
            every = wires + extra
            values = (1,) * len(extra) if control_values is None else _wires(control_values)
        right = 0 <= every[0] < self.num_qubits if len(every) == 1 else not every
        if not right and (min(every) < 0 or max(every) >= self.num_qubits or len(set(every)) < len(every)):
            validation.check_qubits(f"qubit of {op.name}", every, self.num_qubits)
        if control_values is not None:
            validation.check_control_values(extra, values)
        self._blocks[-1].append(_instruction((op, wires, params, extra, values, clbits)))
        self._lowered = None
        return self


@dataclass(slots=True)
class _OpenLoop:
    """A ``for_`` or ``while_`` that is being written: how many blocks are open around its body, whether it is left early."""

    depth: int
    jumps: bool = False


class Switch:
    """The cases of :meth:`Circuit.switch`, in order; the first that fits is run."""

    def __init__(self, circuit: Circuit, value: Expression) -> None:
        self._circuit, self._value = circuit, value
        self._cases: list[tuple[Expression | None, list[Instruction]]] = []

    @contextmanager
    def case(self, *numbers: int) -> Iterator[None]:
        """Collect what to run where the value is one of these numbers."""
        if not numbers:
            raise ParameterError(expected("case", "at least one number", "none"))
        tests = [Binary("==", self._value, Const(_whole_number(number))) for number in numbers]
        with self._collected(functools.reduce(lambda left, right: Binary("or", left, right), tests)):
            yield

    @contextmanager
    def default(self) -> Iterator[None]:
        """Collect what to run where no case fits."""
        with self._collected(None):
            yield

    @contextmanager
    def _collected(self, test: Expression | None) -> Iterator[None]:
        if self._cases and self._cases[-1][0] is None:
            raise UnsupportedError(expected("case", "before the default", "after it"))
        if test is None and not self._cases:
            raise UnsupportedError(expected("default", "after a case", "before any"))
        # Each case will be in the else of the one before: what leaves blocks from inside has to count those arms.
        with ExitStack() as stack:
            for _ in range(len(self._cases) - (test is None)):
                stack.enter_context(self._circuit._collect())
            self._cases.append((test, stack.enter_context(self._circuit._collect())))
            yield

    def close(self) -> None:
        """Write the cases as ``if`` and ``else``, each in the ``else`` of the one before."""
        rest: tuple[Instruction, ...] = ()
        for test, body in reversed(self._cases):
            rest = tuple(body) if test is None else (Instruction(IfElse(test, tuple(body), rest), ()),)
        self._circuit._extend(rest)


def _whole_number(number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise ParameterError(expected("number of a case", "a whole number", repr(number)))
    return int(number)


def _wires(qubits: Wires) -> tuple[int, ...]:
    if type(qubits) is int:  # most calls, and asking for an Iterable takes longer than all the rest
        return (qubits,)
    try:
        many: Any = qubits if type(qubits) is tuple or isinstance(qubits, Iterable) else (qubits,)
        return tuple(map(operator.index, many))
    except TypeError:
        raise QubitError(expected("wires", "whole numbers", repr(qubits))) from None


def _plain_wire(wires: tuple[Any, ...], num_qubits: int) -> bool:
    (a,) = wires
    return type(a) is int and 0 <= a < num_qubits


def _plain_pair(wires: tuple[Any, ...], num_qubits: int) -> bool:
    a, b = wires
    return type(a) is int and type(b) is int and 0 <= a < num_qubits and 0 <= b < num_qubits and a != b


def _never_plain(wires: tuple[Any, ...], num_qubits: int) -> bool:
    return False


#: Whether wires are nothing but right, by their number: what is not goes through ``Circuit._add``, which says why.
_PLAIN = {1: _plain_wire, 2: _plain_pair}


def _gate_method(spec: GateSpec) -> Callable[..., Circuit]:
    num_params, num_qubits = len(spec.params), spec.num_qubits
    arguments = ", ".join((*spec.params, *(f"qubit{k}" if num_qubits > 1 else "qubit" for k in range(num_qubits))))
    plain = _PLAIN.get(num_qubits, _never_plain)

    def method(self: Circuit, *args: Any, controls: Wires = _NO_WIRES, control_values: Wires | None = None) -> Circuit:
        if len(args) != num_params + num_qubits:
            raise ParameterError(expected(f"arguments of {spec.name}", f"({arguments})", f"{len(args)}: {args}"))
        params, wires = args[:num_params], args[num_params:]
        for value in params:
            if type(value) is not float or value - value != 0.0:
                params = tuple(map(check_parameter, params))
                break
        if controls is _NO_WIRES and control_values is None and plain(wires, self.num_qubits):
            self._blocks[-1].append(_instruction((spec, wires, params, _NO_WIRES, _NO_WIRES, ())))
            self._lowered = None
            return self
        if num_qubits == 1 and type(wires[0]) is not int and isinstance(wires[0], Iterable):
            for qubit in wires[0]:
                self._add(spec, (qubit,), params, controls, control_values)
            return self
        return self._add(spec, wires, params, controls, control_values)

    method.__name__ = spec.name
    method.__qualname__ = f"Circuit.{spec.name}"
    method.__doc__ = f"Append {spec.name}({arguments}). {spec.doc}"
    return method


for _spec in GATES.values():
    for _name in (_spec.name, *_spec.aliases):
        if _name.isidentifier() and not hasattr(Circuit, _name):
            setattr(Circuit, _name, _gate_method(_spec))
