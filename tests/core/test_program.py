"""ProgramBuilder accepts what the contract allows, refuses the rest by name, and digests structure and values apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings

from qsim_core import testing
from qsim_core.classical import Bits, Const
from qsim_core.errors import NotUnitaryError, ParameterError, ProgramFormatError, QsimError, QubitError, ShapeError
from qsim_core.operations import Angle, Dense, If, Measure, Phase, Rotation, While
from qsim_core.program import MAX_BLOCK_DEPTH, Program, ProgramBuilder, operand_classes

X = np.array([[0, 1], [1, 0]])
Build = Callable[[ProgramBuilder], object]


def built(build: Build, num_qubits: int = 4, num_clbits: int = 3, slots: tuple[str, ...] = ("a", "b")) -> Program:
    builder = ProgramBuilder(num_qubits, num_clbits, slots)
    build(builder)
    return builder.finish()


@given(program=testing.programs(0, 5, dynamic=True))
@settings(max_examples=60, deadline=None)
def test_operations_rebuild_their_program(program: Program) -> None:
    builder = ProgramBuilder(program.num_qubits, program.num_clbits, program.slots)
    builder.extend(program.operations())
    again = builder.finish()
    assert again.fingerprint == program.fingerprint and again.structure == program.structure
    assert len(again) == len(program) == len(list(program.operations()))


REFUSED: dict[str, tuple[Build, type[QsimError]]] = {
    "qubit too high": (lambda b: b.rotation("X", 0.1, (4,)), QubitError),
    "qubit negative": (lambda b: b.rotation("X", 0.1, (-1,)), QubitError),
    "qubit a fraction": (lambda b: b.rotation("X", 0.1, (1.5,)), QubitError),
    "qubit a string": (lambda b: b.rotation("X", 0.1, ("1",)), QubitError),
    "qubit huge": (lambda b: b.rotation("X", 0.1, (2**40,)), QubitError),
    "target twice": (lambda b: b.dense(np.eye(4), (1, 1)), QubitError),
    "control is a target": (lambda b: b.dense(X, (1,), (1,)), QubitError),
    "control twice": (lambda b: b.phase(0.1, (1, 1)), QubitError),
    "control value 2": (lambda b: b.phase(0.1, (1,), (2,)), ParameterError),
    "control values too few": (lambda b: b.phase(0.1, (1, 2), (1,)), ShapeError),
    "bit too high": (lambda b: b.measure((0,), (3,)), QubitError),
    "bit twice": (lambda b: b.measure((0, 1), (2, 2)), QubitError),
    "bits too few": (lambda b: b.measure((0, 1), (2,)), ShapeError),
    "condition reads no such bit": (lambda b: b.add(If(Bits((5,)), ())), QubitError),
    "Pauli letter": (lambda b: b.rotation("W", 0.1, (0,)), ParameterError),
    "Pauli length": (lambda b: b.rotation("XX", 0.1, (0,)), ShapeError),
    "angle NaN": (lambda b: b.phase(float("nan")), ParameterError),
    "angle infinite": (lambda b: b.phase(Angle(float("inf"))), ParameterError),
    "angle a word": (lambda b: b.phase("pi"), ParameterError),  # type: ignore[arg-type]
    "angle huge": (lambda b: b.phase(10**400), ParameterError),
    "coefficient NaN": (lambda b: b.phase(Angle(0, ((0, float("nan")),))), ParameterError),
    "slot unknown": (lambda b: b.phase(Angle(0, ((2, 1.0),))), ParameterError),
    "matrix not unitary": (lambda b: b.dense([[1, 0], [0, 2]], (0,)), NotUnitaryError),
    "matrix shape": (lambda b: b.dense(np.eye(2), (0, 1)), ShapeError),
    "matrix of words": (lambda b: b.dense([["1", "0"], ["0", "1"]], (0,)), ShapeError),
    "matrix NaN": (lambda b: b.dense([[np.nan, 0], [0, 1]], (0,)), NotUnitaryError),
    "matrix too wide": (lambda b: b.dense(np.eye(2), tuple(range(13))), ShapeError),
    "diagonal modulus": (lambda b: b.diagonal([1, 0.5], (0,)), NotUnitaryError),
    "table not a permutation": (lambda b: b.permutation([0, 0], (0,)), NotUnitaryError),
    "table out of range": (lambda b: b.permutation([0, 7], (0,)), NotUnitaryError),
    "table of fractions": (lambda b: b.permutation([0.0, 1.0], (0,)), ShapeError),
    "table ragged": (lambda b: b.permutation([[0], [1, 2]], (0,)), ShapeError),
    "vector not normalised": (lambda b: b.initialize([1, 1], (0,)), NotUnitaryError),
    "Kraus sum": (lambda b: b.channel([0.5 * np.eye(2)], (0,)), NotUnitaryError),
    "mixture sum": (lambda b: b.channel([X, X], (0,), [0.5, 0.6]), ParameterError),
    "no Kraus matrix": (lambda b: b.channel([], (0,)), ShapeError),
    "else without if": (lambda b: b.begin_else(), ProgramFormatError),
    "end without begin": (lambda b: b.end_block(), ProgramFormatError),
    "open block": (lambda b: b.begin_if(Const(1)), ProgramFormatError),
    "loop limit": (lambda b: b.add(While(Const(1), (), 0)), ParameterError),
    "assigned bit": (lambda b: b.assign((0, 99), Const(1)), QubitError),
    "assigned twice": (lambda b: b.assign((0, 0), Const(1)), QubitError),
    "bit of a value": (lambda b: b.assign((0,), Bits((99,))), QubitError),
    "in a block": (lambda b: b.add(If(Const(1), (Phase(Angle(1.0), (9,)),))), QubitError),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    build, error = REFUSED[name]
    with pytest.raises(error, match="expected"):
        built(build)


def test_the_first_offender_is_named() -> None:
    def build(builder: ProgramBuilder) -> None:
        builder.phase(0.1, (0, 1))
        builder.rotation("XY", 0.1, (2, 9))
        builder.rotation("XY", 0.1, (8, 9))

    with pytest.raises(QubitError, match=r"operation 1 \(rotation\): expected 0 to 3, got 9"):
        built(build)


def test_else_belongs_to_one_if() -> None:
    builder = ProgramBuilder(1, 1)
    builder.begin_if(Bits((0,)))
    builder.begin_else()
    with pytest.raises(ProgramFormatError):
        builder.begin_else()
    builder.begin_while(Bits((0,)))
    with pytest.raises(ProgramFormatError):
        builder.begin_else()


def test_blocks_nest_to_a_limit() -> None:
    builder = ProgramBuilder(1)
    for _ in range(MAX_BLOCK_DEPTH):
        builder.begin_if(Const(1))
    with pytest.raises(ProgramFormatError, match="nested"):
        builder.begin_if(Const(1))


def test_identity_letters_are_dropped() -> None:
    program = built(lambda b: (b.rotation("IXI", 0.5, (2, 0, 1), (3,), (0,)), b.rotation("II", 0.5, (0, 1), (3,))))
    assert list(program.operations()) == [Rotation("X", Angle(0.5), (0,), (3,), (0,)), Phase(Angle(-0.25), (3,), (1,))]


def test_operands_are_frozen_copies_stored_once() -> None:
    matrix = np.eye(2, dtype=np.complex128)
    program = built(lambda b: b.dense(matrix, (0,)))
    matrix[0, 0] = 5
    assert program.operands[0][0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        program.operands[0][0, 0] = 2  # type: ignore[assignment]
    shared = built(lambda b: [b.add(Dense(program.operands[0], (q,))) for q in range(3)])  # type: ignore[arg-type]
    assert len(shared.operands) == 1


def test_single_precision_operands_stay_acceptable() -> None:
    """What was rounded to single precision once is taken again, in a copy or from a file, as complex128."""
    matrix = np.array([[1, 1], [1, -1]], dtype=np.complex64) / np.float32(np.sqrt(2))
    program = built(lambda b: b.dense(matrix, (0,)))
    assert program.operands[0].dtype == np.complex128
    assert built(lambda b: b.extend(program.operations())).fingerprint == program.fingerprint
    with pytest.raises(NotUnitaryError):
        built(lambda b: b.dense(np.array([[1, 1], [1, -1]]) * 0.707107, (0,)))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint64, np.int32])
def test_tables_of_any_integer_type(dtype: type) -> None:
    program = built(lambda b: b.permutation(np.array([1, 0], dtype=dtype), (0,)))
    assert program.operands[0].tolist() == [1, 0]


def test_no_qubits() -> None:
    program = built(lambda b: b.phase(0.3), num_qubits=0)
    assert len(program) == 1


BASE: Build = lambda b: b.rotation("XY", 0.3, (0, 1), (2,), (1,))  # noqa: E731
SAME_STRUCTURE: dict[str, tuple[Build, Build]] = {
    "angle": (BASE, lambda b: b.rotation("XY", 0.4, (0, 1), (2,), (1,))),
    "symbol": (BASE, lambda b: b.rotation("XY", Angle(0.4, ((1, 2.0),)), (0, 1), (2,), (1,))),
    "matrix of a class": (
        lambda b: b.dense(testing.random_unitary(np.random.default_rng(1), 1), (0,)),
        lambda b: b.dense(testing.random_unitary(np.random.default_rng(2), 1), (0,)),
    ),
    "diagonal": (lambda b: b.diagonal([1, 1j], (0,)), lambda b: b.diagonal([1, -1], (0,))),
}
OTHER_STRUCTURE: dict[str, tuple[Build, Build]] = {
    "letter": (BASE, lambda b: b.rotation("XZ", 0.3, (0, 1), (2,), (1,))),
    "order of targets": (BASE, lambda b: b.rotation("XY", 0.3, (1, 0), (2,), (1,))),
    "control": (BASE, lambda b: b.rotation("XY", 0.3, (0, 1), (3,), (1,))),
    "control value": (BASE, lambda b: b.rotation("XY", 0.3, (0, 1), (2,), (0,))),
    "no control": (BASE, lambda b: b.rotation("XY", 0.3, (0, 1))),
    "control or target": (lambda b: b.phase(0.1, (0,)), lambda b: b.rotation("Z", 0.1, (0,))),
    "kind": (lambda b: b.dense(np.diag([1, 1j]), (0,)), lambda b: b.diagonal([1, 1j], (0,))),
    "class of a matrix": (lambda b: b.dense(X, (0,)), lambda b: b.dense(np.eye(2), (0,))),
    "table": (lambda b: b.permutation([0, 2, 1, 3], (0, 1)), lambda b: b.permutation([0, 1, 3, 2], (0, 1))),
    "one more": (BASE, lambda b: (BASE(b), b.phase(0.1))),
    "bit": (lambda b: b.measure((0,), (0,)), lambda b: b.measure((0,), (1,))),
    "condition": (lambda b: b.add(If(Const(1), ())), lambda b: b.add(If(Const(2), ()))),
    "block": (lambda b: b.add(If(Const(1), (Measure((0,), (0,)),))), lambda b: b.add(If(Const(1), ()))),
    "assigned bits": (lambda b: b.assign((0, 1), Const(1)), lambda b: b.assign((1, 0), Const(1))),
    "assigned value": (lambda b: b.assign((0,), Const(1)), lambda b: b.assign((0,), Const(0))),
    "loop limit": (lambda b: b.add(While(Const(1), (), 3)), lambda b: b.add(While(Const(1), (), 4))),
    "kind of channel": (
        lambda b: b.channel([np.eye(2), X], (0,), [0.5, 0.5]),
        lambda b: b.channel([np.sqrt(0.5) * np.eye(2), np.sqrt(0.5) * X], (0,)),
    ),
}


@pytest.mark.parametrize("name", SAME_STRUCTURE)
def test_same_structure_other_fingerprint(name: str) -> None:
    first, second = (built(build) for build in SAME_STRUCTURE[name])
    assert first.structure == second.structure
    assert first.fingerprint != second.fingerprint


@pytest.mark.parametrize("name", OTHER_STRUCTURE)
def test_other_structure(name: str) -> None:
    first, second = (built(build) for build in OTHER_STRUCTURE[name])
    assert first.structure != second.structure
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == built(OTHER_STRUCTURE[name][0]).fingerprint


@pytest.mark.parametrize(
    ("operand", "name"),
    [
        (np.ones(2), "vector"),
        (np.eye(2), "diagonal"),
        (X, "permutation"),
        (np.array([[1, 1], [1, -1]]) / np.sqrt(2), "real"),
        (np.array([[1, 1j], [1j, 1]]) / np.sqrt(2), "general"),
    ],
)
def test_operand_classes(operand: np.ndarray, name: str) -> None:
    assert operand_classes([operand]) == [name]


def test_bind() -> None:
    program = built(lambda b: (b.phase(Angle(0.5, ((0, 2.0), (1, -1.0)))), b.phase(0.25)))
    assert program.bind([1.0, 3.0]).tolist() == [[-0.5, 0.25]]
    assert program.bind([[1, 3], [0, 0]]).tolist() == [[-0.5, 0.25], [0.5, 0.25]]
    for bad in ([], [1.0], [[1.0]], [[[1.0, 2.0]]]):
        with pytest.raises(ParameterError, match=r"2 \(a, b\)"):
            program.bind(bad)
    with pytest.raises(ParameterError, match="finite"):
        program.bind([np.inf, 0])
    assert built(lambda b: b.phase(0.25), slots=()).bind().tolist() == [[0.25]]
