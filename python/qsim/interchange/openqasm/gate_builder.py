"""Gates applied: definitions expanded, modifiers worked in, operands broadcast.

A gate that is not a record of the table, or carries modifiers, is built once as a small *template* circuit on its own
wires (its qubits first, then the controls of its modifiers from the inside out) and composed wherever it is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qsim_core.errors import QsimError
from qsim_core.gates import GATES, GateSpec

from ...circuit import Circuit
from ...parameters import ParameterExpression
from . import nodes
from .errors import SourceMap, did_you_mean
from .evaluator import Evaluator
from .limits import Limits
from .scope import Scope, SubroutineEntry, UserGate, Variable
from .values import CONSTANTS, Qubits
from .walk import names_in

__all__ = ["NAMES", "GateBuilder"]

#: Records by every name they have.
NAMES: dict[str, GateSpec] = {
    **{name: spec for spec in GATES.values() for name in (*spec.aliases, *spec.qasm2, *spec.qasm3)},
    **GATES,
}
_MAX_CACHED = 4096
_MAX_MATRIX_QUBITS = 6
_REPEATED = 64

_Modifiers = tuple[tuple[str, float], ...]


class GateBuilder(Evaluator):
    """Appends gates to ``circuit``, which is the result or, inside a definition, a template."""

    def __init__(self, sources: SourceMap, limits: Limits, version: int, library: Scope) -> None:
        super().__init__(sources, limits, version)
        self.scope = self.globals = Scope(library)
        self.circuit = Circuit()
        self.depth = 0
        self._count = 0
        #: Names used in bodies; giving one a new meaning later would change what the body does.
        self.used: set[str] = set()
        self._defining = ""
        self._templates: dict[Any, Circuit] = {}

    def execute(self, statement: nodes.Statement) -> None:
        """Carry out one statement; given by the builder."""
        raise NotImplementedError

    def spend(self, operations: int, position: int) -> None:
        """Count operations before they are made."""
        self._count += operations
        if self._count > self.limits.operations:
            raise self.error(f"more than {self.limits.operations} operations (Limits.operations).", position)

    def enter(self, position: int) -> None:
        """Count one level of gates within gates, calls within calls or blocks within blocks."""
        self.depth += 1
        if self.depth > self.limits.nesting:
            raise self.error(f"nested more than {self.limits.nesting} levels deep (Limits.nesting).", position)

    # -------------------------------------------------------------------------------------------------- definitions

    def define_gate(self, node: nodes.GateDefinition) -> UserGate:
        """Check a definition and return its entry."""
        for name in node.params:
            if name in node.qubits:
                raise self.error(f"'{name}' is both a parameter and a qubit of gate '{node.name}'.", node.position)
        outside, self.scope = self.scope, Scope(self.globals, sealed=True)
        self._defining = node.name
        size = self._size(node.body or (), set(node.params), set(node.qubits))
        self._defining = ""
        self.scope = outside
        return UserGate(node, 1 + size)

    def recognised(self, entry: UserGate) -> UserGate | GateSpec:
        """Return the record of the table that a definition repeats: same name, same matrix, global phase included.

        Writers define the gates their standard library lacks (rzz, ccz, …); taken as records they keep their structure.
        Two points in general position decide it, since entries are analytic in the parameters.
        """
        spec = NAMES.get(entry.definition.name)
        if spec is None or entry.definition.body is None or entry.size > 500:
            return entry
        if (spec.num_params, spec.num_qubits) != (entry.num_params, entry.num_qubits) or spec.num_qubits > 5:
            return entry
        call = nodes.GateCall(entry.definition.name, [], [], [], entry.definition.position)
        for shift in (0.0, 0.4142135623730951):
            params = tuple(shift + 0.8284271247461903 / (k + 1) for k in range(spec.num_params))
            try:
                matrix = self._expanded(entry, params, call).to_matrix()
            except QsimError:
                return entry  # the first application says why
            if float(np.abs(matrix - spec.matrix(*params)).max()) > 1e-10:
                return entry
        return spec

    def _size(self, body: Sequence[nodes.Statement], params: set[str], qubits: set[str]) -> int:
        """Check the gates of a body and return how many they are, as far as can be told without parameters."""
        total = 0
        for node in body:
            match node:
                case nodes.GateCall():
                    total += self._call_size(node, params, qubits)
                case nodes.For():
                    inner = self._size(node.body, params | {node.name}, qubits)
                    total += inner * self._rounds(node.values)
                case nodes.If():
                    total += max(self._size(node.block, params, qubits), self._size(node.otherwise, params, qubits))
                case nodes.Block():
                    total += self._size(node.body, params, qubits)
                case nodes.Barrier():
                    self._check_operands(node.operands, qubits)
                case _:
                    raise self.error(
                        "only gates, barriers and loops over constants may stand in a gate.", node.position
                    )
        return total

    def _call_size(self, node: nodes.GateCall, params: set[str], qubits: set[str]) -> int:
        entry = self._gate(node)
        self.used.add(node.name)
        self._check_operands(node.operands, qubits)
        for param in node.params:
            for name in names_in(param):
                if name.name in params or name.name in CONSTANTS:
                    continue
                if name.name in qubits or name.name.startswith("$"):
                    raise self.error(f"'{name.name}' is a qubit, expected a number.", name.position)
                self.value(name)
        size = entry.size if isinstance(entry, UserGate) else 1
        for modifier in node.modifiers:
            if modifier.kind == "pow" and isinstance(modifier.argument, nodes.Literal):
                size *= max(1, int(min(abs(modifier.argument.value), _REPEATED)))
        return size

    def _check_operands(self, operands: Sequence[nodes.Expression], qubits: set[str]) -> None:
        seen: set[str] = set()
        for operand in operands:
            if not isinstance(operand, nodes.Name):
                raise self.error("qubits of a gate are single names and can't be indexed.", operand.position)
            if operand.name not in qubits:
                hint = did_you_mean(operand.name, qubits)
                raise self.error(f"'{operand.name}' is not a qubit of this gate.{hint}", operand.position)
            if operand.name in seen:
                raise self.error(f"qubit '{operand.name}' is used twice by one gate.", operand.position)
            seen.add(operand.name)

    def _rounds(self, values: nodes.Expression) -> int:
        if isinstance(values, nodes.BracedList):
            return len(values.items)
        if isinstance(values, nodes.RangeNode) and not list(names_in(values)):
            return len(self.range(values))
        return 1

    # --------------------------------------------------------------------------------------------------------- calls

    def _gate(self, node: nodes.GateCall) -> GateSpec | UserGate:
        """Return the gate a call names, its parameters and operands counted."""
        entry = self.scope.find(node.name)
        if not isinstance(entry, GateSpec | UserGate):
            raise self._not_a_gate(node, entry)
        given, needed = len(node.params), entry.num_params
        if given != needed:
            raise self.error(f"gate '{node.name}' takes {_wanted_params(entry)}, got {given}.", node.position)
        if isinstance(entry, UserGate) and entry.definition.body is None:
            raise self.error(f"gate '{node.name}' is opaque: it has no definition and can't be run.", node.position)
        if not any(modifier.kind.endswith("ctrl") for modifier in node.modifiers):
            self._check_operand_count(node, entry.num_qubits)
        return entry

    def _check_operand_count(self, node: nodes.GateCall, needed: int, controls: int = 0) -> None:
        if len(node.operands) != needed:
            plural = "qubit" if needed == 1 else "qubits"
            within = f" with {controls} control{'s' * (controls > 1)}" if controls else ""
            message = f"gate '{node.name}'{within} acts on {needed} {plural}, got {len(node.operands)}."
            raise self.error(message, node.position)

    def _not_a_gate(self, node: nodes.GateCall, entry: object) -> Exception:
        if isinstance(entry, SubroutineEntry):
            return self.error(f"'{node.name}' is a subroutine: write {node.name}(qubits);", node.position)
        if entry is not None:
            return self.error(f"'{node.name}' is not a gate.", node.position)
        if node.name == self._defining:
            return self.error(f"gate '{node.name}' can't use itself.", node.position)
        include = self.library_of(node.name)
        if include:
            return self.error(f"gate '{node.name}' is not defined. Add 'include \"{include}\";'.", node.position)
        names = [name for name in self.scope.known() if isinstance(self.scope.find(name), GateSpec | UserGate)]
        return self.error(f"gate '{node.name}' is not defined.{did_you_mean(node.name, names)}", node.position)

    def library_of(self, name: str) -> str:
        """Return the standard library that would define a gate, or nothing; given by the builder."""
        return ""

    def gate_call(self, node: nodes.GateCall) -> None:
        """Apply a gate, once per element of the registers it is broadcast over."""
        entry = self._gate(node)
        params = tuple(self.number(param, f"parameter of '{node.name}'") for param in node.params)
        operands = [self.qubits(operand) for operand in node.operands]
        modifiers = self._modifiers(node)
        controls = sum(int(value) for kind, value in modifiers if kind.endswith("ctrl"))
        self._check_operand_count(node, entry.num_qubits + controls, controls)
        size = entry.size if isinstance(entry, UserGate) else 1
        for wires in self._broadcast(operands, node):
            if self._count + size > self.limits.operations:
                self.spend(size, node.position)
            self._apply(entry, params, wires, modifiers, node)

    def _broadcast(self, operands: Sequence[Qubits], node: nodes.GateCall) -> list[tuple[int, ...]]:
        sizes = {len(operand.wires) for operand in operands if not operand.scalar}
        if len(sizes) > 1:
            given = ", ".join(str(len(operand.wires)) for operand in operands if not operand.scalar)
            hint = "Their elements are paired, so sizes must be equal."
            raise self.error(f"registers of different sizes in one gate: {given}. {hint}", node.position)
        count = sizes.pop() if sizes else 1
        self.spend_broadcast(count, node.position)
        columns = [operand.wires * count if operand.scalar else operand.wires for operand in operands]
        rows: list[tuple[int, ...]] = list(zip(*columns, strict=True)) if columns else [()]
        for row in rows:
            if len(set(row)) < len(row):
                self._refuse_repeated(row, node)
        return rows

    def spend_broadcast(self, count: int, position: int) -> None:
        """Refuse a broadcast that can't fit before it is spread out."""
        if self._count + count > self.limits.operations:
            self.spend(count, position)

    def _refuse_repeated(self, row: tuple[int, ...], node: nodes.GateCall) -> None:
        twice = next(wire for wire in row if row.count(wire) > 1)
        shown = f"${twice}"
        for name, wires in self.circuit.qubit_registers.items():
            if twice in wires:
                shown = f"{name}[{twice - wires.start}]"
        raise self.error(f"gate '{node.name}' uses qubit {shown} twice.", node.position)

    def _modifiers(self, node: nodes.GateCall) -> _Modifiers:
        """Return the modifiers from the inside out."""
        found: list[tuple[str, float]] = []
        for modifier in reversed(node.modifiers):
            value = 1.0
            if modifier.argument is not None and modifier.kind == "pow":
                power = self.number(modifier.argument, "exponent of 'pow'")
                if isinstance(power, ParameterExpression):
                    raise self.error("exponent of 'pow' can't depend on an input parameter.", modifier.position)
                value = power
            elif modifier.argument is not None:
                value = self.integer(modifier.argument, f"number of controls of '{modifier.kind}'")
                if not 1 <= value <= self.limits.qubits:
                    allowed = f"expected 1 to {self.limits.qubits}, got {value}"
                    raise self.error(f"number of controls of '{modifier.kind}': {allowed}.", modifier.position)
            found.append((modifier.kind, value))
        return tuple(found)

    def _apply(
        self,
        entry: GateSpec | UserGate,
        params: tuple[Any, ...],
        wires: tuple[int, ...],
        modifiers: _Modifiers,
        node: nodes.GateCall,
    ) -> None:
        if isinstance(entry, GateSpec) and not modifiers:
            self.spend(1, node.position)
            self.circuit.append(entry, wires, params)
            return
        template = self._template(entry, params, modifiers, node)
        self.spend(len(template.instructions), node.position)
        count = len(wires) - entry.num_qubits
        self.circuit.compose(template, wires[count:] + wires[:count][::-1])

    # ------------------------------------------------------------------------------------------------------ templates

    def _template(
        self, entry: GateSpec | UserGate, params: tuple[Any, ...], modifiers: _Modifiers, node: nodes.GateCall
    ) -> Circuit:
        key = (id(entry), params, modifiers)
        template = self._templates.get(key)
        if template is None:
            template = self._expanded(entry, params, node)
            for kind, value in modifiers:
                template = self._modified(template, kind, value, node)
            if len(self._templates) >= _MAX_CACHED:
                self._templates.clear()
            self._templates[key] = template
        return template

    def _expanded(self, entry: GateSpec | UserGate, params: tuple[Any, ...], node: nodes.GateCall) -> Circuit:
        template = Circuit(entry.num_qubits)
        if isinstance(entry, GateSpec):
            return template.append(entry, range(entry.num_qubits), params)
        outside = self.circuit, self.scope, self._count
        self.enter(node.position)
        self.circuit, self._count = template, 0
        self.scope = Scope(self.globals, sealed=True)
        for name, value in zip(entry.definition.params, params, strict=True):
            self.scope.names[name] = Variable(value, "angle", None, True, 0)
        for wire, name in enumerate(entry.definition.qubits):
            self.scope.names[name] = Variable(Qubits((wire,), True), "qubit", None, True, 0)
        for statement in entry.definition.body or ():
            self.execute(statement)
        self.circuit, self.scope, self._count = outside
        self.depth -= 1
        return template

    def _modified(self, template: Circuit, kind: str, value: float, node: nodes.GateCall) -> Circuit:
        match kind:
            case "inv":
                return template.inverse()
            case "ctrl" | "negctrl":
                return template.controlled(int(value), (int(kind == "ctrl"),) * int(value))
        if value.is_integer() and abs(value) * max(1, len(template.instructions)) <= _REPEATED:
            return template.power(int(value))
        if template.num_qubits <= _MAX_MATRIX_QUBITS and not template.parameters:
            matrix = template.to_matrix()
            return Circuit(template.num_qubits).unitary(_matrix_power(matrix, value), range(template.num_qubits))
        if not value.is_integer():
            what = f"at most {_MAX_MATRIX_QUBITS} qubits without input parameters"
            raise self.error(f"pow({value:g}) of '{node.name}': fractional powers need {what}.", node.position)
        if abs(value) * len(template.instructions) > self.limits.operations:
            self.spend(int(abs(value)) * len(template.instructions), node.position)
        return template.power(int(value))


def _wanted_params(entry: GateSpec | UserGate) -> str:
    """Return ``2 parameters (theta, phi)``."""
    names = entry.params if isinstance(entry, GateSpec) else entry.definition.params
    if not names:
        return "no parameters"
    shown = ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])}, …"
    return f"{len(names)} parameter{'s' * (len(names) > 1)} ({shown})"


def _matrix_power(matrix: np.ndarray[Any, np.dtype[np.complex128]], exponent: float) -> Any:
    """Return the principal power of a unitary: eigenvalues e^(i a) with -pi < a <= pi become e^(i a exponent).

    U + U† and i(U† - U) commute, so the eigenvectors of a generic combination of them diagonalise U.
    """
    adjoint = matrix.conj().T
    hermitian = (matrix + adjoint) + np.sqrt(2) * 1j * (adjoint - matrix)
    _, vectors = np.linalg.eigh(hermitian)
    angles = np.angle(np.einsum("ji,jk,ki->i", vectors.conj(), matrix, vectors))
    angles[angles < -np.pi + 1e-9] = np.pi
    return (vectors * np.exp(1j * angles * exponent)) @ vectors.conj().T
