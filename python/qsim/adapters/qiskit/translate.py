"""QuantumCircuit to Circuit: one walk over the circuit's data.

Qubit k of Qiskit's circuit is qubit k of ours and clbit k is clbit k: both count from the least significant bit, so no
wire is relabelled and no state reversed. Classical variables take further classical bits behind those of the circuit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy.typing as npt
from qiskit import QuantumCircuit
from qiskit.circuit import (
    AnnotatedOperation,
    Barrier,
    ControlledGate,
    ControlModifier,
    Delay,
    Gate,
    Instruction,
    InverseModifier,
    Measure,
    Parameter,
    ParameterExpression,
    PowerModifier,
    Reset,
)
from qiskit.circuit.library import DiagonalGate, Initialize, UGate, UnitaryGate, get_standard_gate_name_mapping

from qsim import instructions as ours
from qsim.circuit import Circuit
from qsim.instructions import Instruction as Ours
from qsim_core import validation
from qsim_core.classical import Const
from qsim_core.errors import UnsupportedError, expected
from qsim_core.gates import GateSpec, gate
from qsim_core.types import FloatArray

from .angles import Angles, slot_values
from .control_flow import HANDLERS as CONTROL_FLOW
from .control_flow import Loop
from .errors import qiskit_errors
from .expressions import Places, width_of

__all__ = ["Save", "Translated", "Walker", "translate"]

_Bits: TypeAlias = tuple[int, ...]

_GATES = [g for g in get_standard_gate_name_mapping().values() if isinstance(g, Gate) and not isinstance(g, Delay)]
#: Records of Qiskit's standard gates, by name and by class.
_BY_NAME: dict[str, GateSpec] = {g.name: gate(g.name) for g in _GATES}
_BY_CLASS: dict[type, GateSpec] = {g.base_class: _BY_NAME[g.name] for g in _GATES}


_PHASE, _MEASUREMENT, _RESETTING = gate("gphase"), ours.Measurement(), ours.Resetting()


@dataclass(frozen=True)
class Save:
    """One of Aer's save instructions, its qubits, and the number of the part after which it reads the state."""

    operation: Any
    qubits: _Bits
    part: int


@dataclass(frozen=True)
class Translated:
    """A circuit as circuits that run one after the other on one state, and the meaning of their parameters.

    There is one, unless the circuit saves something of its state in the middle. ``measures`` says whether classical bits
    are ever written, ``branches`` whether there is control flow. Parameters are Qiskit's, in its order;
    expressions of them that are not affine are parameters too, evaluated here.
    """

    circuits: tuple[Circuit, ...]
    parameters: tuple[Parameter, ...] = ()
    derived: tuple[ParameterExpression, ...] = ()
    names: tuple[str, ...] = ()
    saves: tuple[Save, ...] = ()
    measures: bool = False
    branches: bool = False

    @property
    def work(self) -> float:
        """Amplitudes that one shot touches at most, roughly; without bound where there is control flow."""
        return math.inf if self.branches else sum(len(c.instructions) << c.num_qubits for c in self.circuits)

    @property
    def circuit(self) -> Circuit:
        """The only circuit.

        Raises:
            UnsupportedError: if there are save instructions.
        """
        if self.saves:
            names = ", ".join(save.operation.name for save in self.saves)
            raise UnsupportedError(expected("circuit", "one without save instructions", names, "Use QsimBackend.run."))
        return self.circuits[0]

    def values(self, given: npt.ArrayLike) -> FloatArray:
        """Return values for the parameters of :attr:`circuit`, from values (B, P) in the order of :attr:`parameters`."""
        columns = slot_values(self.parameters, self.derived, given)
        place = {name: k for k, name in enumerate(self.names)}
        return columns[:, [place[name] for name in self.circuit.parameters]]


def translate(circuit: QuantumCircuit) -> Translated:
    """Return a circuit of Qiskit as a circuit of ours, global phase included.

    >>> bell = QuantumCircuit(2, global_phase=0.5)
    >>> _ = bell.h(0), bell.cx(0, 1)
    >>> print(translate(bell).circuit.draw())
    global phase 0.5
    q0: ─┤ H ├──●──
                │
    q1: ────────⊕──

    Raises:
        QiskitError: for what a state-vector simulator can't run, with the name of the instruction.
    """
    if not isinstance(circuit, QuantumCircuit):
        raise TypeError(expected("circuit", "a QuantumCircuit", repr(circuit)[:80]))
    with qiskit_errors():
        walker = Walker(circuit)
        walker.walk(circuit, walker.scope)
        return walker.finish()


@dataclass(frozen=True)
class Scope:
    """Where the wires of a circuit are, which is a block or a definition of another, and the controls on all of it."""

    qubits: Mapping[Any, int]
    places: Places
    controls: _Bits = ()
    values: _Bits = ()

    def inside(self, circuit: QuantumCircuit, qubits: _Bits, clbits: _Bits) -> Scope:
        """Return the scope of an inner circuit put on these wires."""
        places = {**self.places, **{bit: (k,) for bit, k in zip(circuit.clbits, clbits, strict=True)}}
        return replace(self, qubits=dict(zip(circuit.qubits, qubits, strict=True)), places=places)

    def under(self, controls: _Bits, values: _Bits) -> Scope:
        """Return the scope with further controls."""
        return replace(self, controls=self.controls + controls, values=self.values + values)


class Walker:
    """Appends the instructions of circuits to a list; blocks and definitions are circuits too."""

    def __init__(self, circuit: QuantumCircuit) -> None:
        self.name, self.num_qubits, self.num_clbits = circuit.name, circuit.num_qubits, circuit.num_clbits
        #: Where instructions go: a whole circuit, or inside :meth:`block` the body of a block.
        self.here: list[Ours] = []
        self.parts = [self.here]
        self.angles = Angles(circuit.parameters)
        self.saves: list[Save] = []
        self.measures = self.branches = False
        self.loops: list[Loop] = []
        self.depth = self.rounds = 0
        self.scope = Scope(
            {qubit: k for k, qubit in enumerate(circuit.qubits)},
            {clbit: (k,) for k, clbit in enumerate(circuit.clbits)},
        )

    def finish(self) -> Translated:
        """Return what was collected."""
        circuits = []
        if (
            self.branches and self.num_clbits
        ):  # Qiskit's bits are 0 from the start; qsim refuses to read what nobody wrote
            zero = Ours(ours.Assignment(Const(0)), (), clbits=tuple(range(self.num_clbits)))
            self.parts[-1].insert(0, zero)
        for part in self.parts:
            circuit = Circuit(self.num_qubits, self.num_clbits, self.name)
            circuit.instructions.extend(part)
            circuits.append(circuit)
        angles = self.angles
        return Translated(
            tuple(circuits),
            angles.parameters,
            tuple(angles.derived),
            angles.names,
            tuple(self.saves),
            self.measures,
            self.branches,
        )

    def put(self, op: Any, wires: _Bits, scope: Scope, params: tuple[Any, ...] = (), clbits: _Bits = ()) -> None:
        """Append one instruction, controlled as its scope is."""
        self.here.append(Ours(op, wires, params, scope.controls, scope.values, clbits))

    @contextmanager
    def block(self) -> Iterator[list[Ours]]:
        """Collect what is appended inside as the body of a block."""
        outer, self.here = self.here, []
        self.depth += 1
        yield self.here
        self.depth -= 1
        self.here = outer

    def walk(self, circuit: QuantumCircuit, scope: Scope) -> None:
        """Append all instructions of a circuit; standard gates by name, without making Qiskit build a gate object."""
        scope = self.enter(circuit, scope)
        qubits, places, controls, values = scope.qubits, scope.places, scope.controls, scope.values
        known, angles, new = _BY_NAME, self.angles, tuple.__new__
        for item in circuit._data:
            wires = tuple([qubits[qubit] for qubit in item.qubits])
            spec = known.get(item.name) if item.is_standard_gate() else None
            if spec is None:
                self.add(item.operation, wires, tuple([places[clbit][0] for clbit in item.clbits]), scope)
                continue
            if self.saves:
                self.change_state()
            params = item.params
            if params:
                params = [p if type(p) is float and p - p == 0 else angles(p) for p in params]
            self.here.append(new(Ours, (spec, wires, tuple(params), controls, values, ())))

    def enter(self, circuit: QuantumCircuit, scope: Scope) -> Scope:
        """Append the global phase of a circuit and give its variables their classical bits."""
        phase = circuit.global_phase
        if isinstance(phase, ParameterExpression) or phase != 0:
            self.put(_PHASE, (), scope, (self.angles(phase),))
        if circuit.num_input_vars:
            names = ", ".join(variable.name for variable in circuit.iter_input_vars())
            raise UnsupportedError(expected("input variables", "none", names, "Write their values into the circuit."))
        if not circuit.num_declared_vars:
            return scope
        variables = dict(scope.places)
        for variable in circuit.iter_declared_vars():
            variables[variable] = self.new_bits(width_of(variable.type))
        return replace(scope, places=variables)

    def add(self, op: Any, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
        """Append an operation of any kind."""
        if op.name.startswith(("save_", "set_")) and hasattr(op, "_subtype"):
            self.save(op, wires, scope)
            return
        handler = _HANDLERS.get(type(op)) or _inherited(type(op))
        if scope.controls and handler in _NOT_UNITARY:
            raise UnsupportedError(expected("operation under a control", "a gate", op.name))
        if self.saves and handler not in _STATE_KEPT:
            self.change_state()
        handler(self, op, wires, clbits, scope)

    def new_bits(self, count: int) -> _Bits:
        """Return the numbers of further classical bits."""
        self.num_clbits += count
        return tuple(range(self.num_clbits - count, self.num_clbits))

    def save(self, op: Any, wires: _Bits, scope: Scope) -> None:
        """Note an instruction that reads the state."""
        if self.depth:
            raise UnsupportedError(expected("place of a save instruction", "outside control flow", op.name))
        if self.measures:
            remedy = "Save before the measurements at the end."
            raise UnsupportedError(expected("place of a save instruction", "before any measurement", op.name, remedy))
        self.saves.append(Save(op, wires, len(self.parts) - 1))

    def change_state(self) -> None:
        """Begin another part where a save instruction has to see the state as it is."""
        if self.saves[-1].part < len(self.parts) - 1:
            return
        if self.measures:
            name = self.saves[-1].operation.name
            allowed = "one that goes on with gates or measures, not both"
            raise UnsupportedError(expected(f"circuit with {name}", allowed, "a measurement in its middle"))
        self.here = []
        self.parts.append(self.here)


def _standard(walker: Walker, op: Gate, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    """Append a gate object: of the table by its class, else by definition or matrix."""
    spec = _BY_CLASS.get(op.base_class)
    if spec is None:
        _by_definition(walker, op, wires, clbits, scope)
    else:
        walker.put(spec, wires, scope, tuple(map(walker.angles, op.params)))


def _controlled(walker: Walker, op: ControlledGate, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    count = op.num_ctrl_qubits
    if op.base_class in _BY_CLASS and op.ctrl_state == 2**count - 1:
        _standard(walker, op, wires, clbits, scope)
        return
    base = op.base_gate
    if op.num_qubits != count + base.num_qubits:  # with ancillas, whose state matters
        _by_definition(walker, op, wires, clbits, scope)
        return
    inner = scope.under(wires[:count], _values(op.ctrl_state, count))
    if base.base_class is UGate and len(op.params) == 4:  # cu: the fourth is a phase that u does not know
        walker.put(_PHASE, (), inner, (walker.angles(op.params[3]),))
        base = UGate(*op.params[:3])
    walker.add(base, wires[count:], (), inner)


def _annotated(walker: Walker, op: AnnotatedOperation, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    base = op.base_op
    for modifier in reversed(op.modifiers):
        if isinstance(modifier, ControlModifier):
            count = modifier.num_ctrl_qubits
            scope = scope.under(wires[:count], _values(modifier.ctrl_state, count))
            wires = wires[count:]
    for modifier in op.modifiers:
        if isinstance(modifier, InverseModifier):
            base = base.inverse()
        elif isinstance(modifier, PowerModifier):
            base = base.power(modifier.power)
    walker.add(base, wires, clbits, scope)


def _values(state: int | None, count: int) -> _Bits:
    """Return the values of controls from Qiskit's number, whose bit k belongs to control k; None is all ones."""
    return tuple(1 if state is None else state >> k & 1 for k in range(count))


def _by_definition(walker: Walker, op: Any, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    definition = getattr(op, "definition", None)
    if definition is None and not isinstance(op, Instruction) and hasattr(op, "to_instruction"):
        definition = op.to_instruction().definition
    if definition is not None:
        walker.walk(definition, scope.inside(definition, wires, clbits))
        return
    if not hasattr(op, "to_matrix") or clbits or not (isinstance(op, Gate) or hasattr(op, "__array__")):
        raise UnsupportedError(expected("instruction", "one with a definition or a matrix", repr(op.name)))
    walker.put(ours.UnitaryGate(validation.check_unitary(op.to_matrix(), len(wires)), op.name), wires, scope)


def _unitary(walker: Walker, op: UnitaryGate, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    walker.put(ours.UnitaryGate(validation.check_unitary(op.params[0], len(wires)), op.name), wires, scope)


def _diagonal(walker: Walker, op: DiagonalGate, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    walker.put(ours.DiagonalGate(validation.check_diagonal(op.params, len(wires))), wires, scope)


def _initialize(walker: Walker, op: Initialize, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    if len(op.params) != 2 ** len(wires) or isinstance(op.params[0], str):  # a label or a number
        _by_definition(walker, op, wires, clbits, scope)
    else:
        walker.put(ours.Initialization(validation.check_state(op.params, len(wires))), wires, scope)


def _measure(walker: Walker, op: Measure, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    walker.measures = True
    walker.put(_MEASUREMENT, wires, scope, clbits=clbits)


def _reset(walker: Walker, op: Reset, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    walker.put(_RESETTING, wires, scope)


def _nothing(walker: Walker, op: Any, wires: _Bits, clbits: _Bits, scope: Scope) -> None:
    """Barriers and delays leave the state alone."""


_Handler: TypeAlias = Callable[[Walker, Any, _Bits, _Bits, Any], None]
#: What to do with an operation, by class; the first class in its method resolution order that is here counts.
_HANDLERS: dict[type, _Handler] = {
    Barrier: _nothing,
    Delay: _nothing,
    Measure: _measure,
    Reset: _reset,
    Initialize: _initialize,
    UnitaryGate: _unitary,
    DiagonalGate: _diagonal,
    ControlledGate: _controlled,
    AnnotatedOperation: _annotated,
    Gate: _standard,
    **CONTROL_FLOW,
}


def _inherited(kind: type) -> _Handler:
    """Return what to do with a class of operations met for the first time, and remember it."""
    found = next((_HANDLERS[base] for base in kind.__mro__ if base in _HANDLERS), _by_definition)
    _HANDLERS[kind] = found
    return found


_NOT_UNITARY = {_measure, _reset, _initialize, *CONTROL_FLOW.values()}
_STATE_KEPT = {_nothing, _measure}
