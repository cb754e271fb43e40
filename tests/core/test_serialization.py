"""Programs survive JSON bit by bit; whatever else is in a document is refused, with its place."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim_core import classical, serialization, testing
from qsim_core.errors import ProgramFormatError
from qsim_core.operations import Angle
from qsim_core.pauli import PauliTerms
from qsim_core.program import MAX_BLOCK_DEPTH, VERSION, Program, ProgramBuilder
from qsim_core.serialization import program_from_json, program_to_dict, program_to_json

FORMAT_PAGE = Path(__file__).parents[2] / "docs" / "program_format.md"


def assert_identical(first: Program, second: Program) -> None:
    assert first.fingerprint == second.fingerprint and first.structure == second.structure
    assert (first.num_qubits, first.num_clbits, first.slots) == (second.num_qubits, second.num_clbits, second.slots)
    assert first.flows == second.flows and len(first.blocks) == len(second.blocks)
    assert [operand.tobytes() for operand in first.operands] == [operand.tobytes() for operand in second.operands]
    for one, other in zip(first.blocks, second.blocks, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(one.columns, other.columns, strict=True))


@given(testing.programs(0, 5, dynamic=True))
@settings(max_examples=80, deadline=None)
def test_round_trip(program: Program) -> None:
    assert_identical(program_from_json(program_to_json(program)), program)
    assert_identical(program_from_json(program_to_json(program).encode()), program)
    assert_identical(program_from_json(program_to_dict(program)), program)


def test_round_trip_of_awkward_numbers() -> None:
    builder = ProgramBuilder(1, slots=["x", "", "θ"])
    for angle in (0.1, -0.0, 5e-324, 1.7976931348623157e308, 2 / 3):
        builder.phase(Angle(angle, ((2, -angle), (0, 1.0))))
    builder.dense(np.array([[1, 1], [1, -1]], dtype=np.complex64) / np.float32(2**0.5), (0,))
    program = builder.finish()
    assert_identical(program_from_json(program_to_json(program)), program)


def test_operands_are_written_once() -> None:
    builder = ProgramBuilder(3)
    swap = np.array([0, 2, 1, 3])
    swap.flags.writeable = False
    for targets in ((0, 1), (1, 2), (0, 2)):
        builder.permutation(swap, targets, checked=True)
    program = builder.finish()
    assert len(program_to_dict(program)["operands"]) == 1
    assert_identical(program_from_json(program_to_json(program)), program)


def test_empty_alternative_survives() -> None:
    builder = ProgramBuilder(1, 1)
    builder.begin_if(testing.Bits((0,)))
    builder.begin_else()
    builder.end_block()
    program = builder.finish()
    assert_identical(program_from_json(program_to_json(program)), program)


def test_the_example_of_the_documentation() -> None:
    text = re.search(r"```json\n(.*?)```", FORMAT_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert text is not None
    program = program_from_json(text[1])
    assert (program.num_qubits, program.num_clbits, program.slots) == (3, 2, ("theta",))
    assert len(program) == 6 and program.operands[0].tolist() == [0, 2, 1, 3]
    assert json.loads(program_to_json(program)) == json.loads(text[1])


def test_the_documentation_lists_every_operation() -> None:
    page = FORMAT_PAGE.read_text(encoding="utf-8")
    for op, (required, optional) in serialization._OPERATIONS.items():
        assert f"| `{op}`" in page
        assert all(f"`{key}`" in page for key in required + optional)


# --- the JSON Schema ------------------------------------------------------------------------------------------------


@cache
def validator() -> Any:
    jsonschema = pytest.importorskip("jsonschema")
    schema = serialization.program_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_has_every_operation_with_its_keys() -> None:
    schema = serialization.program_schema()
    assert [ref["$ref"].split("/")[-1] for ref in schema["$defs"]["operation"]["oneOf"]] == [*serialization._OPERATIONS]
    for op, (required, optional) in serialization._OPERATIONS.items():
        rule = schema["$defs"][op]
        assert set(rule["required"]) == set(required) and set(rule["properties"]) == {*required, *optional}
        assert rule["properties"]["op"] == {"const": op} and rule["additionalProperties"] is False
    binary = schema["$defs"]["expression"]["oneOf"][3]["prefixItems"][0]["enum"]
    assert set(binary) == set(classical._BINARY) and schema["properties"]["version"]["const"] == VERSION


@given(testing.programs(0, 5, dynamic=True))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_valid(program: Program) -> None:
    validator().validate(json.loads(program_to_json(program)))


def test_the_rarer_operations_are_valid_too() -> None:
    builder = ProgramBuilder(2, 2)
    builder.measure((0, 1), (1, 0), ((0.1, 0.2), (0.0, 0.3)))
    builder.expect("energy", PauliTerms.of([(1, 2, 0.5)]))
    builder.begin_while(testing.Bits((0,)), 3)
    builder.leave(1)
    builder.end_block()
    program = builder.finish()
    validator().validate(json.loads(program_to_json(program)))
    assert_identical(program_from_json(program_to_json(program)), program)


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything inside a document."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield (*path, key)
        yield from _places(item, (*path, key))


@given(testing.programs(1, 4, dynamic=True), st.data())
@settings(max_examples=60, deadline=None)
def test_whatever_the_reader_takes_is_valid(program: Program, data: st.DataObject) -> None:
    """Documents with one item replaced or left out: what the schema refuses, the reader refuses."""
    changed = json.loads(program_to_json(program))
    *path, last = data.draw(st.sampled_from(sorted(_places(changed), key=repr)))
    inner = changed
    for key in path:
        inner = inner[key]
    junk = data.draw(st.sampled_from([None, -1, 0, 1, 0.5, "", "X", "const", [], [0], {}, True, 2**70, "gone"]))
    if junk == "gone":
        del inner[last]
    else:
        inner[last] = junk
    if not validator().is_valid(changed):
        with pytest.raises(ProgramFormatError):
            program_from_json(changed)


# --- hostile input --------------------------------------------------------------------------------------------------


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "format": "qsim-program", "version": 1, "num_qubits": 3, "num_clbits": 2, "slots": ["a"],
        "operands": [
            {"dtype": "int64", "shape": [2], "base64": "AQAAAAAAAAAAAAAAAAAAAA=="},
            {"dtype": "complex128", "shape": [1, 1], "base64": "AAAAAAAA8D8AAAAAAAAAAA=="},
        ],
        "operations": [],
    }  # fmt: skip
    return base | changes


ROTATION = {"op": "rotation", "pauli": "X", "angle": 0.5, "targets": [0]}
FLIP = {"op": "permutation", "operand": 0, "targets": [0]}
LOOP = {"op": "while", "condition": ["bits", 0], "block": [], "limit": 3}
KRAUS = {"op": "channel", "targets": [], "matrices": [document()["operands"][1]]}

BAD_OPERATIONS: dict[str, tuple[Any, str]] = {
    "assigned bit": ({"op": "assign", "clbits": [2], "value": ["const", 1]}, "operations[0].clbits"),
    "assigned value": ({"op": "assign", "clbits": [0], "value": ["bits", 9]}, "operations[0].value"),
    "not an object": (3, "operations[0].op"),
    "no op": ({}, "operations[0].op"),
    "unknown op": ({"op": "hadamard", "targets": [0]}, "operations[0].op"),
    "op not text": ({"op": ["phase"]}, "operations[0].op"),
    "unknown key": (ROTATION | {"label": "x"}, "operations[0]"),
    "missing key": ({"op": "rotation", "pauli": "X", "angle": 0.5}, "operations[0]"),
    "targets of a phase": ({"op": "phase", "angle": 1, "targets": [0]}, "operations[0]"),
    "controls of a reset": ({"op": "reset", "targets": [0], "controls": [1]}, "operations[0]"),
    "targets not a list": (ROTATION | {"targets": 0}, "operations[0].targets"),
    "target out of range": (ROTATION | {"targets": [3]}, "operations[0].targets"),
    "target negative": (ROTATION | {"targets": [-1]}, "operations[0].targets"),
    "target fractional": (ROTATION | {"targets": [0.0]}, "operations[0].targets"),
    "target boolean": (ROTATION | {"targets": [True]}, "operations[0].targets"),
    "target huge": (ROTATION | {"targets": [10**400]}, "operations[0].targets"),
    "target twice": (ROTATION | {"pauli": "XX", "targets": [0, 0]}, "operations[0].targets"),
    "control is a target": (ROTATION | {"controls": [0]}, "operations[0].controls"),
    "control value": (ROTATION | {"controls": [1], "control_values": [2]}, "operations[0].control_values"),
    "control values": (ROTATION | {"controls": [1], "control_values": [1, 1]}, "operations[0].control_values"),
    "control value boolean": (ROTATION | {"controls": [1], "control_values": [True]}, "operations[0].control_values"),
    "values without controls": (ROTATION | {"control_values": [0]}, "operations[0].control_values"),
    "letter I": (ROTATION | {"pauli": "I"}, "operations[0].pauli"),
    "letters": (ROTATION | {"pauli": "XX"}, "operations[0].pauli"),
    "no letters": (ROTATION | {"pauli": "", "targets": []}, "operations[0].pauli"),
    "angle text": (ROTATION | {"angle": "pi"}, "operations[0].angle"),
    "angle null": (ROTATION | {"angle": None}, "operations[0].angle"),
    "angle boolean": (ROTATION | {"angle": True}, "operations[0].angle"),
    "angle NaN": (ROTATION | {"angle": float("nan")}, "operations[0].angle"),
    "angle infinite": (ROTATION | {"angle": float("inf")}, "operations[0].angle"),
    "angle huge": (ROTATION | {"angle": 10**400}, "operations[0].angle"),
    "angle keys": (ROTATION | {"angle": {"constant": 0}}, "operations[0].angle"),
    "term shape": (ROTATION | {"angle": {"constant": 0, "terms": [[0]]}}, "operations[0].angle.terms[0]"),
    "term slot": (ROTATION | {"angle": {"constant": 0, "terms": [[0, 1], [1, 1]]}}, "operations[0].angle.terms[1]"),
    "operand index": (FLIP | {"operand": 2}, "operations[0].operand"),
    "operand negative": (FLIP | {"operand": -1}, "operations[0].operand"),
    "operand width": (FLIP | {"targets": [0, 1]}, "operations[0].operand"),
    "operand of another kind": (FLIP | {"op": "dense"}, "operations[0].operand"),
    "table of complex numbers": (FLIP | {"operand": 1}, "operations[0].operand"),
    "bits": ({"op": "measure", "targets": [0], "clbits": [2]}, "operations[0].clbits"),
    "number of bits": ({"op": "measure", "targets": [0], "clbits": [0, 1]}, "operations[0].clbits"),
    "bit twice": ({"op": "measure", "targets": [0, 1], "clbits": [0, 0]}, "operations[0].clbits"),
    "condition": (LOOP | {"condition": ["spam"]}, "operations[0].condition"),
    "bit of a condition": (LOOP | {"condition": ["bits", 7]}, "operations[0].condition"),
    "limit": (LOOP | {"limit": 0}, "operations[0].limit"),
    "limit huge": (LOOP | {"limit": 10**400}, "operations[0].limit"),
    "block": (LOOP | {"block": {}}, "operations[0].block"),
    "in a block": (LOOP | {"block": [FLIP, ROTATION | {"targets": [9]}]}, "operations[0].block[1].targets"),
    "no matrices": (KRAUS | {"matrices": []}, "operations[0]"),
    "probabilities": (KRAUS | {"probabilities": [0.5]}, "operations[0]"),
    "probability text": (KRAUS | {"probabilities": ["1"]}, "operations[0].probabilities"),
    "matrix of a channel": (KRAUS | {"matrices": [{}]}, "operations[0].matrices[0]"),
}


@pytest.mark.parametrize("name", BAD_OPERATIONS)
def test_bad_operation_is_named(name: str) -> None:
    item, path = BAD_OPERATIONS[name]
    with pytest.raises(ProgramFormatError, match=re.escape(path) + r"\W.*expected"):
        program_from_json(document(operations=[item]))


ARRAY = document()["operands"][0]
BAD_DOCUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "format": ({"format": "qasm"}, "format"),
    "version": ({"version": 2}, "version"),
    "version boolean": ({"version": True}, "version"),
    "key": ({"comment": ""}, "document"),
    "qubits": ({"num_qubits": 63}, "num_qubits"),
    "qubits fractional": ({"num_qubits": 1.0}, "num_qubits"),
    "bits": ({"num_clbits": 10**9}, "num_clbits"),
    "slots": ({"slots": "ab"}, "slots"),
    "slot": ({"slots": ["a", 1]}, "slots[1]"),
    "operations": ({"operations": None}, "operations"),
    "operands": ({"operands": {}}, "operands"),
    "dtype": ({"operands": [ARRAY | {"dtype": "object"}]}, "operands[0].dtype"),
    "shape": ({"operands": [ARRAY | {"shape": []}]}, "operands[0].shape"),
    "length zero": ({"operands": [ARRAY | {"shape": [0]}]}, "operands[0].shape"),
    "length huge": ({"operands": [ARRAY | {"shape": [2**26, 2**26]}]}, "operands[0].base64"),
    "length beyond": ({"operands": [ARRAY | {"shape": [2**60]}]}, "operands[0].shape"),
    "text length": ({"operands": [ARRAY | {"base64": "AQ=="}]}, "operands[0].base64"),
    "text": ({"operands": [ARRAY | {"base64": "?" * 24}]}, "operands[0].base64"),
    "text not text": ({"operands": [ARRAY | {"base64": 5}]}, "operands[0].base64"),
}


@pytest.mark.parametrize("name", BAD_DOCUMENTS)
def test_bad_document_is_named(name: str) -> None:
    changes, path = BAD_DOCUMENTS[name]
    with pytest.raises(ProgramFormatError, match=re.escape(path) + r"\W.*expected|" + re.escape(path) + ": expected"):
        program_from_json(document(**changes))


BAD_TEXTS = {
    "empty": "",
    "not JSON": "{",
    "a list": "[]",
    "a number": "3",
    "NaN": '{"format": NaN}',
    "key twice": '{"format": "qsim-program", "format": "qsim-program"}',
    "deep lists": "[" * 200_000,
    "deep objects": '{"a":' * 200_000,
    "long number": "9" * 10_000,
    "bad UTF-8": b"\xff\xfe\xfa",
    "overflowing float": json.dumps(document(operations=[ROTATION])).replace("0.5", "1e999"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_bad_text(name: str) -> None:
    with pytest.raises(ProgramFormatError, match="expected"):
        program_from_json(BAD_TEXTS[name])  # type: ignore[arg-type]


def nested(depth: int) -> dict[str, Any]:
    block: list[Any] = []
    for _ in range(depth):
        block = [{"op": "if", "condition": ["const", 1], "block": block}]
    return document(operations=block)


def test_nesting_is_limited() -> None:
    deepest = program_from_json(nested(MAX_BLOCK_DEPTH))
    assert_identical(program_from_json(program_to_json(deepest)), deepest)
    for depth in (MAX_BLOCK_DEPTH + 1, 100_000):
        with pytest.raises(ProgramFormatError, match="nested"):
            program_from_json(nested(depth))


def test_deep_conditions_and_foreign_objects() -> None:
    condition: Any = ["const", 1]
    for _ in range(100_000):
        condition = ["not", condition, 0]
    for item in (LOOP | {"condition": condition}, {"op": condition}, ROTATION | {"angle": condition}, object()):
        with pytest.raises(ProgramFormatError):
            program_from_json(document(operations=[item]))
    with pytest.raises(ProgramFormatError):
        program_from_json(12)  # type: ignore[arg-type]


def test_sizes_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serialization, "MAX_OPERATIONS", 3)
    program_from_json(document(operations=[ROTATION] * 3))
    for operations in ([ROTATION] * 4, [LOOP | {"block": [ROTATION] * 3}]):
        with pytest.raises(ProgramFormatError, match="operations"):
            program_from_json(document(operations=operations))
    monkeypatch.setattr(serialization, "MAX_TEXT", 10)
    with pytest.raises(ProgramFormatError, match="at most 10 characters"):
        program_from_json(json.dumps(document()))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 70) | st.floats() | st.sampled_from(["", "X", "phase", "if", "int64"]),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["op", "targets", "angle", "block", "terms", "shape"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(program=testing.programs(1, 3, dynamic=True, max_operations=4), data=st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_document_is_read_or_refused(program: Program, data: st.DataObject) -> None:
    """Put anything anywhere: the reader returns a Program or raises ProgramFormatError, nothing else."""
    changed = json.loads(program_to_json(program))
    places: list[Callable[[Any], None]] = []

    def walk(node: Any) -> None:
        for key in list(node) if isinstance(node, dict) else range(len(node)):
            places.append(lambda value, node=node, key=key: node.__setitem__(key, value))  # type: ignore[misc]
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk(changed)
    data.draw(st.sampled_from(places))(data.draw(JSON_VALUES))
    try:
        again = program_from_json(changed)
    except ProgramFormatError:
        return
    assert_identical(program_from_json(program_to_json(again)), again)
