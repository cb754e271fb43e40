"""What names mean: nested scopes of variables, registers, gates and subroutines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from qsim_core.gates import GateSpec

from . import nodes
from .values import Value

__all__ = ["Entry", "Scope", "SubroutineEntry", "UserGate", "Variable"]


@dataclass(slots=True)
class Variable:
    """A named value; ``level`` is the number of run-time blocks around its declaration."""

    value: Value | None
    type: str
    width: int | None
    constant: bool
    level: int
    element: str = ""


@dataclass(slots=True)
class UserGate:
    """A gate defined in the file. ``size`` estimates its expansion: 1 plus the sizes of the gates in its body."""

    definition: nodes.GateDefinition
    size: int

    @property
    def num_params(self) -> int:
        return len(self.definition.params)

    @property
    def num_qubits(self) -> int:
        return len(self.definition.qubits)


@dataclass(slots=True)
class SubroutineEntry:
    """A ``def`` of the file."""

    definition: nodes.Subroutine


Entry: TypeAlias = Variable | UserGate | SubroutineEntry | GateSpec


class Scope:
    """Names of one block; ``sealed`` scopes (gates, subroutines) see only constants and callables further out."""

    __slots__ = ("names", "parent", "sealed")

    def __init__(self, parent: Scope | None = None, sealed: bool = False) -> None:
        self.names: dict[str, Entry] = {}
        self.parent = parent
        self.sealed = sealed

    def find(self, name: str) -> Entry | None:
        """Return the innermost meaning of a name that is visible here."""
        scope: Scope | None = self
        constants_only = False
        while scope is not None:
            entry = scope.names.get(name)
            if entry is not None:
                hidden = constants_only and isinstance(entry, Variable) and not entry.constant
                return None if hidden else entry
            constants_only = constants_only or scope.sealed
            scope = scope.parent
        return None

    def hidden(self, name: str) -> bool:
        """Whether the name exists but is not visible from inside a gate or subroutine."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names:
                return True
            scope = scope.parent
        return False

    def known(self) -> Iterator[str]:
        """Yield every name in sight, for suggestions."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.names
            scope = scope.parent
