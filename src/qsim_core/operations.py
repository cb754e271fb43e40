"""The structural operations a Program is made of: bits, angles and matrices, no gate names.

Conventions, the same in every executor:

* ``targets[0]`` is bit 0 of the row and column index of a matrix, and of the index of a vector or table.
* Letter k of a Pauli string acts on ``targets[k]``.
* An operation acts where every ``controls[j]`` has the value ``control_values[j]``, and is the identity elsewhere.
* ``Phase`` has no targets: it multiplies the controlled subspace by e^(i angle); with no controls it is the global phase.
* Angles are in radians.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .classical import Expression
from .pauli import PauliTerms
from .types import ComplexArray

__all__ = [
    "Angle",
    "Assign",
    "Channel",
    "Dense",
    "Diagonal",
    "Expect",
    "If",
    "Initialize",
    "Leave",
    "Measure",
    "OpKind",
    "Operation",
    "Permutation",
    "Phase",
    "Reset",
    "Rotation",
    "While",
]


class OpKind(enum.IntEnum):
    """Number of each operation in packed form (:class:`qsim_core.optable.OpTable`) and in C++. Never renumbered."""

    ROTATION = 1
    PHASE = 2
    DENSE = 3
    DIAGONAL = 4
    PERMUTATION = 5
    INITIALIZE = 6
    MEASURE = 7
    RESET = 8
    CHANNEL = 9
    IF = 10
    WHILE = 11
    ASSIGN = 12
    LEAVE = 13
    EXPECT = 14


@dataclass(frozen=True, slots=True)
class Angle:
    """An affine expression of parameter slots: ``constant + Σ coefficient · slot``, in radians.

    >>> Angle(0.5, ((0, 2.0),)).value([3.0])
    6.5
    """

    constant: float = 0.0
    terms: tuple[tuple[int, float], ...] = ()

    def value(self, slots: npt.ArrayLike = ()) -> float:
        """Return the angle for the given slot values."""
        values = np.asarray(slots, dtype=np.float64)
        return self.constant + sum(coefficient * float(values[slot]) for slot, coefficient in self.terms)

    def scaled(self, factor: float, offset: float = 0.0) -> Angle:
        """Return ``factor · self + offset``."""
        terms = tuple((slot, factor * coefficient) for slot, coefficient in self.terms)
        return Angle(factor * self.constant + offset, terms)

    def plus(self, other: Angle) -> Angle:
        """Return ``self + other``, one term per slot."""
        merged: dict[int, float] = {}
        for slot, coefficient in self.terms + other.terms:
            merged[slot] = merged.get(slot, 0.0) + coefficient
        return Angle(self.constant + other.constant, tuple(merged.items()))


@dataclass(frozen=True, slots=True)
class Rotation:
    """exp(-i angle/2 P) for a Pauli string P such as ``"XZ"``; letters X, Y, Z."""

    pauli: str
    angle: Angle
    targets: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Phase:
    """Multiply the amplitudes whose controls have their control values by e^(i angle)."""

    angle: Angle
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Dense:
    """A unitary matrix of shape (2^k, 2^k) on k targets."""

    matrix: ComplexArray
    targets: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Diagonal:
    """A diagonal unitary given by its 2^k entries of modulus one."""

    vector: ComplexArray
    targets: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Permutation:
    """|x⟩ → |table[x]⟩ for a permutation of the 2^k basis states of the targets."""

    table: npt.NDArray[np.int64]
    targets: tuple[int, ...]
    controls: tuple[int, ...] = ()
    control_values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Initialize:
    """Reset the targets and prepare them in a normalised state vector of length 2^k."""

    vector: ComplexArray
    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure ``targets[k]`` in the computational basis into ``clbits[k]``.

    ``errors[k]``, if there are any, are P(read 1 | is 0) and P(read 0 | is 1) of target k: the state collapses on what is,
    the bit holds what is read.
    """

    targets: tuple[int, ...]
    clbits: tuple[int, ...]
    errors: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Reset:
    """Bring the targets to |0⟩ by measuring them and flipping those found in |1⟩."""

    targets: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Channel:
    """A noise channel: Kraus matrices, or, with ``probabilities``, a mixture of unitaries."""

    matrices: tuple[ComplexArray, ...]
    targets: tuple[int, ...]
    probabilities: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Assign:
    """Set ``clbits`` to the lowest bits of ``value``; ``clbits[0]`` to the least significant."""

    clbits: tuple[int, ...]
    value: Expression


@dataclass(frozen=True, slots=True)
class If:
    """Run ``block`` where the condition is not zero, else ``otherwise``."""

    condition: Expression
    block: tuple[Operation, ...]
    otherwise: tuple[Operation, ...] = ()


@dataclass(frozen=True, slots=True)
class While:
    """Run ``block`` as long as the condition is not zero; more than ``limit`` rounds is an error."""

    condition: Expression
    block: tuple[Operation, ...]
    limit: int = 1_000_000


@dataclass(frozen=True, slots=True)
class Leave:
    """Go on after the ``levels``-th enclosing block, 1 being the innermost: the arm of an ``If`` or the body of a ``While``.

    Leaving the body of a ``While`` ends the loop. ``If(Const(1), block)`` is a block and nothing else.
    """

    levels: int


@dataclass(frozen=True, slots=True, eq=False)
class Expect:
    """Read the expectation value of an observable of the state as it is here, under a label; the state is not changed."""

    label: str
    terms: PauliTerms


Operation: TypeAlias = (
    Rotation
    | Phase
    | Dense
    | Diagonal
    | Permutation
    | Initialize
    | Measure
    | Reset
    | Channel
    | Assign
    | If
    | While
    | Leave
    | Expect
)
