"""The table of all gates and the ways to look one up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..errors import UnsupportedError, expected
from . import euler, fermionic, hadamard, interaction, multi, pauli, phase, rotations, swap
from .spec import GateSpec

__all__ = ["FAMILIES", "GATES", "QASM2_GATES", "QASM3_GATES", "gate"]

#: Records by family, in the order of the documentation.
FAMILIES: Mapping[str, tuple[GateSpec, ...]] = MappingProxyType(
    {
        module.__name__.rpartition(".")[2]: module.RECORDS
        for module in (pauli, hadamard, phase, rotations, euler, swap, interaction, fermionic, multi)
    }
)


def _index(pairs: Iterable[tuple[str, GateSpec]]) -> Mapping[str, GateSpec]:
    """Return a read-only mapping; a name given twice is a mistake in a record."""
    table: dict[str, GateSpec] = {}
    for name, spec in pairs:
        if table.setdefault(name, spec) is not spec:
            raise ValueError(f"gate name {name!r}: expected one record, got {table[name].name} and {spec.name}.")
    return MappingProxyType(table)


_RECORDS = tuple(spec for records in FAMILIES.values() for spec in records)

#: Every gate by its canonical name.
GATES = _index((spec.name, spec) for spec in _RECORDS)

#: Every gate by canonical name and aliases.
_NAMES = _index((name, spec) for spec in _RECORDS for name in (spec.name, *spec.aliases))

#: Names of the OpenQASM 2 language and qelib1.inc, with Qiskit's phases (``u3`` has a real top left entry, ``rz`` and
#: ``rzz`` have determinant 1).
QASM2_GATES = _index((name, spec) for spec in _RECORDS for name in spec.qasm2)

#: Names of the OpenQASM 3 language and stdgates.inc, with the phases of the specification.
QASM3_GATES = _index((name, spec) for spec in _RECORDS for name in spec.qasm3)


def gate(name: str) -> GateSpec:
    """Return a gate by its canonical name or an alias; upper and lower case differ.

    >>> gate("cx") is gate("CNOT")
    True

    Raises:
        UnsupportedError: for an unknown name, with the closest known ones.
    """
    spec = _NAMES.get(name)
    if spec is None:
        import difflib  # only a wrong name pays for it

        wanted = str(name)
        recased = [known for known in _NAMES if known.lower() == wanted.lower()]
        close = recased or difflib.get_close_matches(wanted, _NAMES, n=3)
        remedy = f"Did you mean {', '.join(close)}?" if close else "docs/gates.md lists all of them."
        raise UnsupportedError(expected("gate", "a name or alias of the gate table", repr(name), remedy))
    return spec
