"""Declarations and assignments: registers, variables, aliases, gates, and classical bits that receive measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from qsim_core import validation
from qsim_core.gates import QASM2_GATES, QASM3_GATES, GateSpec

from ...parameters import Parameter
from . import nodes
from .errors import SourceMap
from .gate_builder import GateBuilder
from .limits import Limits
from .scope import Entry, Scope, SubroutineEntry, Variable
from .values import Bits, Measured, Qubits, RunTime, Value, binary, describe_value, num_bits, run_time
from .walk import statements_in

__all__ = ["LIBRARIES", "Declarations"]

#: The standard libraries, which are built in: name in ``include`` to gates.
LIBRARIES = {"qelib1.inc": QASM2_GATES, "stdgates.inc": QASM3_GATES}
_BUILT_IN = {2: ("U", "CX"), 3: ("U", "gphase")}
_PHYSICAL = ""
_DROPPED = "dropped"


class Declarations(GateBuilder):
    """Knows what every name stands for, and where values may change."""

    def __init__(self, sources: SourceMap, limits: Limits, version: int) -> None:
        table = QASM2_GATES if version == 2 else QASM3_GATES
        self.library = Scope()
        super().__init__(sources, limits, version, self.library)
        #: What the fast path may use without looking names up: gates of the table and registers of the top level.
        #: Physical qubits are the register without a name.
        self.plain_gates: dict[str, tuple[GateSpec, int, int]] = {}
        self.qubit_registers: dict[str, tuple[int, ...]] = {}
        self.bit_registers: dict[str, tuple[int, ...]] = {}
        self._dropped: dict[int, int] = {}  # the bit that takes the unwanted outcomes of a qubit
        self._add_gates({name: _entry(table, name) for name in _BUILT_IN[version]})
        self._level = 0  # run-time blocks around the statement
        #: The subroutine that runs: its scope, the variable it returns, and the bits that are to receive it.
        self._result: tuple[Scope, str, Bits] | None = None

    def include_library(self, name: str) -> None:
        """Make the gates of a standard library known; names the file defines itself win."""
        self._add_gates(LIBRARIES[name])

    def _add_gates(self, gates: Mapping[str, GateSpec]) -> None:
        self.library.names.update(gates)
        for name, spec in gates.items():
            if name not in self.globals.names:
                self.plain_gates[name] = (spec, spec.num_params, spec.num_qubits)

    def library_of(self, name: str) -> str:
        """Return the standard library of this version that defines a gate."""
        library = "qelib1.inc" if self.version == 2 else "stdgates.inc"
        return library if name in LIBRARIES[library] else ""

    def call(self, node: nodes.Call, target: Bits | None = None) -> Value:
        """Call a subroutine whose result goes to ``target``; the builder overrides this."""
        return super().call(node)

    # ------------------------------------------------------------------------------------------------- declarations

    def _declare(self, name: str, entry: Entry, position: int) -> None:
        if name in self.scope.names:
            raise self.error(f"'{name}' is already declared.", position)
        if self.scope is self.globals and name in self.used and name in self.library.names:
            what = f"'{name}' is used further up as a gate of the standard library and can't change its meaning"
            raise self.error(f"{what}. Move the definition up, or choose another name.", position)
        self.scope.names[name] = entry
        if self.scope is not self.globals:
            return
        self.plain_gates.pop(name, None)
        match entry:
            case GateSpec():
                self.plain_gates[name] = (entry, entry.num_params, entry.num_qubits)
            case Variable(Qubits(wires, False)):
                self.qubit_registers[name] = wires
            case Variable(Bits(places, False)):
                self.bit_registers[name] = places

    def _global_only(self, what: str, position: int) -> None:
        if self.scope is not self.globals:
            raise self.error(f"{what} can only stand at the top level of a file.", position)

    def _gate_definition(self, node: nodes.GateDefinition) -> None:
        self._global_only("a gate definition", node.position)
        if self.version == 2 and node.name in _BUILT_IN[2]:
            raise self.error(f"gate '{node.name}' is built into the language.", node.position)
        self._declare(node.name, self.recognised(self.define_gate(node)), node.position)

    def _subroutine(self, node: nodes.Subroutine) -> None:
        self._global_only("a subroutine definition", node.position)
        self.used.update(inner.name for inner in statements_in(node.body) if isinstance(inner, nodes.GateCall))
        self._declare(node.name, SubroutineEntry(node), node.position)

    def _width(self, kind: nodes.Type, limit: int, field: str) -> int | None:
        if kind.width is None:
            return None
        width = self.integer(kind.width, f"size of {kind.kind}")
        if not 1 <= width <= limit:
            given = f"{width}" if width.bit_length() < 128 else "more"
            what = f"size of {kind.kind}: expected 1 to {limit} ({field}), got {given}."
            raise self.error(what, kind.width.position)
        return width

    def _declaration(self, node: nodes.Declaration) -> None:
        kind = node.type.kind
        if node.storage == "input":
            self._input(node)
        elif node.storage == "output" and kind != "bit":
            raise self.error(f"output of type {kind} is not supported; outputs are bit registers.", node.position)
        elif kind == "qubit":
            self._declare_qubits(node)
        elif kind == "bit" and node.storage != "const":
            self._declare_bits(node)
        elif kind == "array":
            self._declare_array(node)
        else:
            self._declare_scalar(node)

    def _input(self, node: nodes.Declaration) -> None:
        self._global_only("an input", node.position)
        if node.type.kind not in ("float", "angle"):
            raise self.error(f"input of type {node.type.kind} is not supported; float and angle are.", node.position)
        self._declare(node.name, Variable(Parameter(node.name), node.type.kind, None, True, 0), node.position)

    def _declare_qubits(self, node: nodes.Declaration) -> None:
        self._global_only("a qubit declaration", node.position)
        if node.value is not None:
            raise self.error("qubits can't be given a value.", node.position)
        if _PHYSICAL in self.qubit_registers:
            what = f"'{node.name}' is a register of qubits in a file that also uses physical qubits"
            raise self.error(f"{what}. Use either registers or $0, $1, …", node.position)
        size = self._width(node.type, self.limits.qubits, "Limits.qubits")
        total = self.circuit.num_qubits + (size or 1)
        if total > self.limits.qubits:
            raise self.error(
                f"{total} qubits in all registers: at most {self.limits.qubits} (Limits.qubits).", node.position
            )
        self._check_free(node)
        wires = Qubits(tuple(self.circuit.add_qubits(node.name, size or 1)), size is None)
        self._declare(node.name, Variable(wires, "qubit", size, True, self._level), node.position)

    def physical(self, node: nodes.Name) -> Qubits:
        """Return ``$k`` as qubit k; the first use of a number makes all qubits up to it exist."""
        known = self.qubit_registers.get(_PHYSICAL, ())
        if self.circuit.qubit_registers:
            register = next(iter(self.circuit.qubit_registers))
            what = f"physical qubit '{node.name[:40]}' in a file that also declares qubits, '{register}'"
            raise self.error(f"{what}. Use either registers or physical qubits.", node.position)
        limit = self.limits.qubits
        wire = int(node.name[1:]) if len(node.name) < 10 else limit
        if wire >= limit:
            what = f"physical qubit '{node.name[:40]}'"
            raise self.error(f"{what}: expected $0 to ${limit - 1} (Limits.qubits).", node.position)
        if wire >= len(known):
            self.circuit.num_qubits = validation.check_num_qubits(wire + 1)
            self.qubit_registers[_PHYSICAL] = tuple(range(wire + 1))
        return Qubits((wire,), True)

    def _check_free(self, node: nodes.Declaration) -> None:
        if node.name in self.scope.names:
            raise self.error(f"'{node.name}' is already declared.", node.position)

    def _declare_bits(self, node: nodes.Declaration) -> None:
        self._check_free(node)
        size = self._width(node.type, self.limits.clbits, "Limits.clbits")
        result = self._result
        aliased = result and result[0] is self.scope and result[1] == node.name and len(result[2].bits) == (size or 1)
        if result and aliased:
            bits = Bits(result[2].bits, size is None)
        else:
            bits = Bits(tuple(self._new_clbits(node.name, size or 1, node.position)), size is None)
        self._declare(node.name, Variable(bits, "bit", size, False, self._level), node.position)
        if node.value is not None:
            self._assign_bits(bits, node.value, fresh=not aliased and self._level == 0)

    def _new_clbits(self, wish: str, size: int, position: int) -> range:
        total = self.circuit.num_clbits + size
        if total > self.limits.clbits:
            limit = self.limits.clbits
            raise self.error(f"{total} classical bits in all registers: at most {limit} (Limits.clbits).", position)
        name, number = wish, 0
        taken = self.circuit.qubit_registers.keys() | self.circuit.clbit_registers.keys()
        while name in taken:  # a declaration in a block that runs, or is inlined, more than once
            number += 1
            name = f"{wish}_{number}"
        return self.circuit.add_clbits(name, size)

    def _declare_array(self, node: nodes.Declaration) -> None:
        element = node.type.element
        assert element is not None
        size = self._width(node.type, self.limits.clbits, "Limits.clbits")
        if element.kind in ("qubit", "bit", "array"):
            raise self.error(f"arrays of {element.kind} are not supported.", node.position)
        width = self._width(element, self.limits.integer_bits, "Limits.integer_bits")
        values: tuple[Value, ...] | None = None
        if node.value is not None:
            given = self.value(node.value)
            if not isinstance(given, tuple) or len(given) != size:
                raise self.error(f"array '{node.name}': expected {size} values, got {_count(given)}.", node.position)
            values = tuple(self.convert(item, element.kind, width, node.position) for item in given)
        elif node.storage == "const":
            raise self.error(f"constant '{node.name}' needs a value.", node.position)
        constant = node.storage == "const"
        entry = Variable(values, "array", width, constant, self._level, element.kind)
        self._declare(node.name, entry, node.position)

    def _declare_scalar(self, node: nodes.Declaration) -> None:
        kind = node.type.kind
        width = self._width(node.type, self.limits.integer_bits, "Limits.integer_bits")
        value: Value | None = None
        if node.value is not None:
            value = self.convert(self.value(node.value), kind, width, node.position)
        elif node.storage == "const":
            raise self.error(f"constant '{node.name}' needs a value.", node.position)
        constant = node.storage == "const"
        if constant and (isinstance(value, Bits | RunTime) or not isinstance(value, bool | int | float)):
            given = describe_value(value) if value is not None else "no value"
            raise self.error(f"constant '{node.name}' depends on {given}.", node.position)
        self._declare(node.name, Variable(value, kind, width, constant, self._level), node.position)

    def _alias(self, node: nodes.Alias) -> None:
        value = self.value(node.value)
        if not isinstance(value, Qubits | Bits):
            raise self.error(f"'let' names qubits or bits, got {describe_value(value)}.", node.position)
        wires = value.wires if isinstance(value, Qubits) else value.bits
        if len(set(wires)) < len(wires):
            raise self.error(f"alias '{node.name}' contains the same wire twice.", node.position)
        kind = "qubit" if isinstance(value, Qubits) else "bit"
        self._declare(
            node.name, Variable(value, kind, len(wires), isinstance(value, Qubits), self._level), node.position
        )

    # -------------------------------------------------------------------------------------------------- assignments

    def _assign(self, node: nodes.Assign) -> None:
        root = node.target
        while isinstance(root, nodes.Index):
            root = root.operand
        assert isinstance(root, nodes.Name)
        entry = self.scope.find(root.name)
        if not isinstance(entry, Variable) or entry.type == "qubit":
            self.value(root)  # an undefined name is said to be so
            raise self.error(f"'{root.name}' can't be assigned to.", root.position)
        if entry.constant:
            raise self.error(f"'{root.name}' is constant here and can't be assigned to.", root.position)
        if entry.type == "bit":
            bits = self.bits(node.target)
            if node.op:
                self._set_bits(bits, self._compound(node, lambda: bits), node.position)
            else:
                self._assign_bits(bits, node.value)
            return
        if entry.level < self._level:
            why = "inside a block that runs only after a measurement is not supported"
            hint = "What depends on measurements can only be kept in bits."
            raise self.error(f"assigning '{root.name}' {why}. {hint}", node.position)
        if entry.type == "array":
            self._assign_element(entry, node)
            return
        if node.target is not root:
            raise self.error(f"assigning to a part of '{root.name}' is not supported.", node.position)
        value = self._compound(node, lambda: self.value(root))
        entry.value = self.convert(value, entry.type, entry.width, node.position)

    def _compound(self, node: nodes.Assign, current: Callable[[], Value]) -> Value:
        value = self.value(node.value)
        if not node.op:
            return value
        if node.op == "**":
            raise self.error("'**=' is not supported. Write x = x ** y;", node.position)
        return binary(node.op, current(), value, self.limits.integer_bits, False)

    def _assign_element(self, entry: Variable, node: nodes.Assign) -> None:
        target = node.target
        if not isinstance(target, nodes.Index) or not isinstance(entry.value, tuple):
            raise self.error("assign to one element of an array that has values: a[i] = value;", node.position)
        place = self.integer(target.item, "index")
        if not isinstance(target.operand, nodes.Name) or not -len(entry.value) <= place < len(entry.value):
            raise self.error(f"index: expected 0 to {len(entry.value) - 1}, got {place}.", target.position)
        self.spend(len(entry.value), node.position)
        value = self.convert(
            self._compound(node, lambda: self.value(target)), entry.element, entry.width, node.position
        )
        items = list(entry.value)
        items[place] = value
        entry.value = tuple(items)

    def _assign_bits(self, target: Bits, node: nodes.Expression, fresh: bool = False) -> None:
        """Carry out ``target = value``: of a measurement, of the call of a subroutine that returns bits, or of an expression."""
        called = isinstance(node, nodes.Call) and isinstance(self.scope.find(node.name), SubroutineEntry)
        value = self.call(node, target) if called and isinstance(node, nodes.Call) else self.value(node)
        if isinstance(value, Measured):
            self._measure(value.qubits, target, node.position)
        elif (isinstance(value, Bits) and value.bits == target.bits) or (
            fresh and value == 0 and isinstance(value, int)
        ):
            pass  # the subroutine wrote into the target; classical bits start at 0
        else:
            self._set_bits(target, value, node.position)

    def _set_bits(self, target: Bits, value: Value, position: int) -> None:
        """Carry out the assignment of a number, or an expression of bits, that fits into the bits."""
        size = len(target.bits)
        if isinstance(value, Bits) and len(value.bits) != size:
            raise self.error(f"assignment of {len(value.bits)} bits to {size}: expected equal sizes.", position)
        if not isinstance(value, Bits | RunTime | int):
            raise self.error(f"classical bits can't be assigned {describe_value(value)}.", position)
        if isinstance(value, int):
            self.convert(int(value), "bit", size, position)
        expression = run_time(value).expression
        needed = num_bits(expression)
        if needed is None or needed > size:
            remedy = f"Write bit[{size}](…) for its lowest bits."
            raise self.error(f"a value that may not fit into {size} classical bits. {remedy}", position)
        self.circuit.assign(target.bits, expression)

    def measure_and_drop(self, qubits: Qubits, position: int) -> None:
        """Measure into bits the file has no name for, one for each qubit however often it is measured."""
        missing = [wire for wire in dict.fromkeys(qubits.wires) if wire not in self._dropped]
        if missing:
            self._dropped.update(zip(missing, self._new_clbits(_DROPPED, len(missing), position), strict=True))
        self._measure(qubits, Bits(tuple(self._dropped[wire] for wire in qubits.wires), qubits.scalar), position)

    def _measure(self, qubits: Qubits, bits: Bits, position: int) -> None:
        if len(qubits.wires) != len(bits.bits) or (qubits.scalar and not bits.scalar and len(bits.bits) != 1):
            sizes = f"{len(qubits.wires)} qubits into {len(bits.bits)} bits"
            raise self.error(f"measurement of {sizes}: expected equal sizes.", position)
        self.spend(len(qubits.wires), position)
        self.circuit.measure(qubits.wires, bits.bits)


def _entry(table: Mapping[str, GateSpec], name: str) -> GateSpec:
    """Return a gate of the language itself; CX is cx under its older name."""
    return table[name] if name in table else table[name.lower()]


def _count(value: Value) -> str:
    return str(len(value)) if isinstance(value, tuple) else describe_value(value)
