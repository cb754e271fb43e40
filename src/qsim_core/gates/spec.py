"""What one gate is: a name for a short list of structural operations.

A :class:`GateSpec` is plain data. Its ``body`` is made of the operations of :mod:`qsim_core.operations`, with *local
wires* 0 .. num_qubits-1 in place of qubits and *parameter positions* in place of slots, so an angle is affine in the
gate's own parameters. Everything else (matrix, inverse, lowering, controlled versions, documentation) is derived.

>>> from qsim_core.gates import gate
>>> gate("crx").num_controls, gate("crx").params
(1, ('theta',))
>>> gate("s").matrix().diagonal()
array([1.+0.j, 0.+1.j])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np

from ..errors import ParameterError, ShapeError, expected
from ..operations import Angle, Dense, Diagonal, Permutation, Phase, Rotation
from ..program import ProgramBuilder
from ..types import ComplexArray
from .matrices import term_matrix

__all__ = ["GateSpec", "Term", "affine", "controlled", "dense", "permutation", "phase", "resolve", "rotation"]

#: One structural operation on local wires.
Term: TypeAlias = Rotation | Phase | Dense | Diagonal | Permutation

_Wires: TypeAlias = tuple[int, ...]
_Emit: TypeAlias = Callable[[ProgramBuilder, Sequence[Any], _Wires, _Wires, _Wires], None]


@dataclass(frozen=True, eq=False)
class GateSpec:
    """One gate of the table.

    The gate is frame⁻¹ · body · frame: the operations of ``frame`` run first, then those of ``body``, then the frame
    is undone. A control on the gate is a control on the body alone, because an idle body lets the frame cancel.

    Attributes:
        name: canonical name, as in OpenQASM 3 and Qiskit, lower case.
        num_targets: target wires; they come after the controls.
        body: structural operations on local wires 0 .. num_qubits-1; an angle's slots are parameter positions.
        doc: what it does, as a formula; one paragraph.
        params: parameter names, in order; radians unless ``doc`` says otherwise.
        num_controls: leading wires that are controls of value 1.
        base: name of the gate under the controls, "" where there are none.
        frame: operations that conjugate the body.
        aliases: other names :func:`qsim_core.gates.gate` finds it by.
        qasm2: its names in qelib1.inc or the OpenQASM 2 language.
        qasm3: its names in stdgates.inc or the OpenQASM 3 language.
        inverse_name: the gate that undoes it, "" for the gate itself.
        inverse_params: parameters of the inverse, affine in those of the gate; None negates every parameter.
        reference: where the definition comes from.
    """

    name: str
    num_targets: int
    body: tuple[Term, ...]
    doc: str
    params: tuple[str, ...] = ()
    num_controls: int = 0
    base: str = ""
    frame: tuple[Term, ...] = ()
    aliases: tuple[str, ...] = ()
    qasm2: tuple[str, ...] = ()
    qasm3: tuple[str, ...] = ()
    inverse_name: str = ""
    inverse_params: tuple[Angle, ...] | None = None
    reference: str = ""

    def __repr__(self) -> str:
        arguments = f"({', '.join(self.params)})" if self.params else ""
        return f"<gate {self.name}{arguments} on {self.num_qubits} qubits>"

    def __reduce__(self) -> tuple[Callable[[str], GateSpec], tuple[str]]:
        return _by_name, (self.name,)

    @property
    def num_params(self) -> int:
        """Number of parameters."""
        return len(self.params)

    @cached_property
    def num_qubits(self) -> int:
        """All wires, controls included."""
        return self.num_controls + self.num_targets

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Frame, body and undone frame, in the order in which they act."""
        return (*self.frame, *self.body, *(inverted(term) for term in reversed(self.frame)))

    def lower(
        self,
        builder: ProgramBuilder,
        params: Sequence[Any],
        qubits: Sequence[int],
        controls: Sequence[int] = (),
        control_values: Sequence[int] | None = None,
    ) -> None:
        """Append the gate to a program.

        Args:
            builder: receives the operations.
            params: one number or :class:`~qsim_core.operations.Angle` per parameter.
            qubits: one per wire of the gate, its own controls first.
            controls: further control qubits. The whole gate is controlled, its global phase included.
            control_values: one bit per further control; all 1 by default.

        Raises:
            ParameterError: if the number of parameters is wrong.
            ShapeError: if the number of qubits is wrong.
        """
        if len(params) != len(self.params) or len(qubits) != self.num_qubits:
            self._refuse(params, qubits)
        outer = tuple(controls)
        values = (1,) * len(outer) if control_values is None else tuple(control_values)
        wires = tuple(qubits)
        for emit in self._steps:
            emit(builder, params, wires, outer, values)

    def matrix(self, *params: float) -> ComplexArray:
        """Return the unitary on all wires, shape (2^k, 2^k); wire 0 is bit 0 of row and column index.

        Angles that are a multiple of pi/4 to the last bit give exactly rounded entries.

        >>> from qsim_core.gates import gate
        >>> gate("cx").matrix().real.astype(int)
        array([[1, 0, 0, 0],
               [0, 0, 0, 1],
               [0, 0, 1, 0],
               [0, 1, 0, 0]])
        """
        if len(params) != len(self.params):
            self._refuse(params, range(self.num_qubits))
        result = np.eye(2**self.num_qubits, dtype=np.complex128)
        for term in self.terms:
            angle = resolve(term.angle, params) if isinstance(term, Rotation | Phase) else 0.0
            result = term_matrix(term, angle, self.num_qubits) @ result
        return result

    def inverse(self, params: Sequence[Any] = ()) -> tuple[GateSpec, tuple[Any, ...]]:
        """Return the gate and the parameters that undo this one.

        Parameters may be of any type with unary minus, ``+`` and ``*`` by numbers.

        >>> from qsim_core.gates import gate
        >>> gate("u").inverse((0.1, 0.2, 0.3))
        (<gate u(theta, phi, lam) on 1 qubits>, (-0.1, -0.3, -0.2))
        """
        if len(params) != len(self.params):
            self._refuse(params, range(self.num_qubits))
        spec = _by_name(self.inverse_name) if self.inverse_name else self
        if self.inverse_params is None:
            return spec, tuple(_times(value, -1.0) for value in params)
        return spec, tuple(resolve(angle, params) for angle in self.inverse_params)

    @cached_property
    def _steps(self) -> tuple[_Emit, ...]:
        first, last = len(self.frame), len(self.frame) + len(self.body)
        return tuple(_step(term, first <= k < last, self.num_qubits) for k, term in enumerate(self.terms))

    def _refuse(self, params: Sequence[Any], qubits: Sequence[int]) -> None:
        if len(params) != len(self.params):
            allowed = f"{len(self.params)} ({', '.join(self.params) or 'none'})"
            raise ParameterError(expected(f"parameters of gate {self.name}", allowed, len(params)))
        roles = f"{self.num_qubits} ({self.num_controls} controls, then {self.num_targets} targets)"
        raise ShapeError(expected(f"qubits of gate {self.name}", roles, len(qubits)))


def affine(*coefficients: float, constant: float = 0.0) -> Angle:
    """Return ``constant + coefficients · params``, coefficients by parameter position.

    >>> affine(0.5, 0, -1)
    Angle(constant=0.0, terms=((0, 0.5), (2, -1.0)))
    """
    return Angle(float(constant), tuple((k, float(c)) for k, c in enumerate(coefficients) if c))


def resolve(angle: Angle, params: Sequence[Any]) -> Any:
    """Return the value of an affine expression of ``params``: numbers, ``Angle`` or any type with -x, x·c and x+y.

    >>> resolve(affine(2, 1, constant=0.5), (1.0, 3.0))
    5.5
    """
    total: Any = angle.constant
    for position, coefficient in angle.terms:
        total = _plus(total, _times(params[position], coefficient))
    return total


def _times(value: Any, coefficient: float) -> Any:
    if coefficient == 1:
        return value
    if isinstance(value, Angle):
        return value.scaled(coefficient)
    return -value if coefficient == -1 else value * coefficient


def _plus(left: Any, right: Any) -> Any:
    if isinstance(left, float) and left == 0:
        return right
    if isinstance(left, Angle):
        return left.plus(right if isinstance(right, Angle) else Angle(right))
    return right.scaled(1.0, left) if isinstance(right, Angle) else right + left


def rotation(pauli: str, angle: Angle, *targets: int) -> Rotation:
    """Return exp(-i angle/2 P); wires 0, 1, … where none are given."""
    return Rotation(pauli, angle, targets or tuple(range(len(pauli))))


def phase(angle: Angle | float, *controls: int, values: tuple[int, ...] = ()) -> Phase:
    """Return e^(i angle) on the states whose ``controls`` have these values, all 1 where none are given."""
    fixed = angle if isinstance(angle, Angle) else Angle(angle)
    return Phase(fixed, controls, values or (1,) * len(controls))


def dense(matrix: Sequence[Sequence[complex]], *targets: int, scale: float = 1.0) -> Dense:
    """Return a constant matrix; wires 0, 1, … where none are given."""
    array = scale * np.array(matrix, dtype=np.complex128)
    array.flags.writeable = False
    return Dense(array, targets or tuple(range(len(matrix).bit_length() - 1)))


def permutation(table: Sequence[int], *targets: int) -> Permutation:
    """Return |x⟩ → |table[x]⟩; wires 0, 1, … where none are given."""
    array = np.array(table, dtype=np.int64)
    array.flags.writeable = False
    return Permutation(array, targets or tuple(range(len(table).bit_length() - 1)))


def controlled(spec: GateSpec, name: str, count: int = 1, *, doc: str = "", **fields: Any) -> GateSpec:
    """Return the record of ``spec`` under ``count`` more leading controls.

    The names of the inverse, where it is another gate, are given in ``fields``.
    """
    ones = (1,) * count
    body = tuple(
        replace(
            _moved(term, count),
            controls=(*range(count), *(wire + count for wire in term.controls)),
            control_values=(*ones, *term.control_values),
        )
        for term in spec.body
    )
    base = spec.base or spec.name
    total = spec.num_controls + count
    shown = f"{base}({', '.join(spec.params)})" if spec.params else base
    where = "wire 0 is 1" if total == 1 else f"wires 0 to {total - 1} are all 1"
    last = "the last wire" if spec.num_targets == 1 else f"the last {spec.num_targets} wires"
    inherited: dict[str, Any] = {
        "inverse_params": spec.inverse_params,
        "reference": spec.reference,
        "frame": tuple(_moved(term, count) for term in spec.frame),
    }
    return GateSpec(
        name,
        spec.num_targets,
        body,
        doc or f"{shown} on {last} where {where}.",
        spec.params,
        total,
        base,
        **(inherited | fields),
    )


def inverted(term: Term) -> Term:
    """Return the operation that undoes ``term``."""
    match term:
        case Rotation() | Phase():
            return replace(term, angle=term.angle.scaled(-1.0))
        case Dense():
            return replace(term, matrix=_read_only(term.matrix.conj().T.copy()))
        case Diagonal():
            return replace(term, vector=_read_only(term.vector.conj()))
        case Permutation():
            return replace(term, table=_read_only(np.argsort(term.table)))


def _read_only(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _moved(term: Term, by: int) -> Term:
    """Return ``term`` with every wire moved up."""
    controls = tuple(wire + by for wire in term.controls)
    if isinstance(term, Phase):
        return replace(term, controls=controls)
    return replace(term, targets=tuple(wire + by for wire in term.targets), controls=controls)


def _by_name(name: str) -> GateSpec:
    from .table import GATES  # the table imports this module

    return GATES[name]


def _step(term: Term, in_body: bool, num_qubits: int) -> _Emit:
    """Return the function that appends one term: what does not depend on the call is worked out here, once."""
    own_values = term.control_values
    own_controls = _selector(term.controls, num_qubits)
    wires = _selector(() if isinstance(term, Phase) else term.targets, num_qubits)
    put = _putter(term)

    def emit(builder: ProgramBuilder, params: Sequence[Any], qubits: _Wires, outer: _Wires, values: _Wires) -> None:
        put(builder, params, wires(qubits), own_controls(qubits) + outer, own_values + values)

    def emit_frame(
        builder: ProgramBuilder, params: Sequence[Any], qubits: _Wires, outer: _Wires, values: _Wires
    ) -> None:
        put(builder, params, wires(qubits), own_controls(qubits), own_values)

    return emit if in_body else emit_frame


def _putter(term: Term) -> _Emit:
    """Return the function that hands one term to the builder: builder, params, targets, controls, control values."""
    match term:
        case Phase(angle):
            value = _resolver(angle)
            return lambda builder, params, _, on, values: builder.phase(value(params), on, values)
        case Rotation(pauli, angle):
            value = _resolver(angle)
            return lambda builder, params, at, on, values: builder.rotation(pauli, value(params), at, on, values)
        case Dense(matrix):
            return lambda builder, _, at, on, values: builder.dense(matrix, at, on, values, checked=True)
        case Diagonal(vector):
            return lambda builder, _, at, on, values: builder.diagonal(vector, at, on, values, checked=True)
        case Permutation(table):
            return lambda builder, _, at, on, values: builder.permutation(table, at, on, values, checked=True)


def _resolver(angle: Angle) -> Callable[[Sequence[Any]], Any]:
    """Return ``params -> resolve(angle, params)``, without arithmetic where it is a constant or one parameter."""
    if not angle.terms:
        return lambda _: angle
    if angle.constant == 0 and len(angle.terms) == 1 and angle.terms[0][1] == 1:
        return itemgetter(angle.terms[0][0])
    return lambda params: resolve(angle, params)


def _selector(wires: _Wires, num_qubits: int) -> Callable[[_Wires], _Wires]:
    """Return ``qubits -> tuple(qubits[w] for w in wires)``."""
    if wires == tuple(range(num_qubits)):
        return lambda qubits: qubits
    if not wires:
        return lambda _: ()
    if len(wires) == 1:
        (wire,) = wires
        return lambda qubits: (qubits[wire],)
    return itemgetter(*wires)
