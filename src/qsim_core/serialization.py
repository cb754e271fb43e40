"""Program as JSON and back, bit by bit. ``docs/program_format.md`` describes the format.

The reader takes nothing on trust: unknown keys, wrong types, numbers that are not finite and sizes beyond the limits
below are refused before anything is allocated for them; the error names the place in the document.

>>> from qsim_core.program import ProgramBuilder
>>> builder = ProgramBuilder(num_qubits=1)
>>> builder.rotation("X", 0.5, (0,))
>>> text = program_to_json(builder.finish())
>>> program_from_json(text).fingerprint == builder.finish().fingerprint
True
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterable
from importlib.resources import files
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from . import classical, validation
from .classical import Expression
from .errors import ProgramFormatError, QsimError, expected
from .operations import Angle, OpKind
from .optable import PAULI_LETTER, OpTable
from .pauli import PauliTerms
from .program import MAX_BLOCK_DEPTH, VERSION, Flow, Program, ProgramBuilder
from .types import MAX_QUBITS

__all__ = ["program_from_json", "program_schema", "program_to_dict", "program_to_json"]

FORMAT = "qsim-program"
MAX_TEXT = 2**29
MAX_OPERATIONS = 50_000_000
MAX_CLBITS = 2**24

_DTYPES = {"complex128": np.dtype("<c16"), "int64": np.dtype("<i8")}
_Array = npt.NDArray[Any]


def program_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the format, for tools that write it in any language.

    Whatever :func:`program_from_json` takes is valid; it checks more than a schema can say, such as unitarity.

    >>> program_schema()["title"]
    'qsim program, version 1'
    """
    return json.loads(files("qsim_core").joinpath("program.schema.json").read_text(encoding="utf-8"))


def program_to_json(program: Program) -> str:
    """Return the program as one JSON document."""
    return json.dumps(program_to_dict(program), allow_nan=False, separators=(",", ":"))


def program_to_dict(program: Program) -> dict[str, Any]:
    """Return the program as lists, dictionaries, strings and numbers, ready for ``json.dumps``."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "num_qubits": program.num_qubits,
        "num_clbits": program.num_clbits,
        "slots": list(program.slots),
        "operands": [_array_to_dict(operand) for operand in program.operands],
        "operations": _block_to_list(program, program.body),
    }


def _block_to_list(program: Program, table: OpTable) -> list[dict[str, Any]]:
    return [_operation_to_dict(program, table, row) for row in range(len(table))]


def _operation_to_dict(program: Program, table: OpTable, row: int) -> dict[str, Any]:
    kind, data = OpKind(int(table.kind[row])), int(table.data[row])
    item: dict[str, Any] = {"op": kind.name.lower()}
    match kind:
        case OpKind.ASSIGN:
            flow = program.flows[data]
            return item | {"clbits": list(flow.clbits), "value": classical.to_json(flow.condition)}
        case OpKind.IF | OpKind.WHILE:
            return item | _flow_to_dict(program, program.flows[data], kind)
        case OpKind.LEAVE:
            return item | {"levels": data}
        case OpKind.EXPECT:
            label, terms = program.observables[data]
            rows = zip(terms.x_masks.tolist(), terms.z_masks.tolist(), terms.coefficients.tolist(), strict=True)
            return item | {"label": label, "terms": [list(row) for row in rows]}
        case OpKind.ROTATION:
            item["pauli"] = "".join(PAULI_LETTER[code] for code in table.target_tags(row))
            item["angle"] = _angle_to_json(program.angles[data])
        case OpKind.PHASE:
            item["angle"] = _angle_to_json(program.angles[data])
        case OpKind.DENSE | OpKind.DIAGONAL | OpKind.PERMUTATION | OpKind.INITIALIZE:
            item["operand"] = data
        case OpKind.MEASURE:
            item["clbits"] = table.target_tags(row).tolist()
            if data >= 0:
                item["errors"] = [list(pair) for pair in program.readouts[data]]
        case OpKind.CHANNEL:
            channel = program.channels[data]
            item["matrices"] = [_array_to_dict(matrix) for matrix in channel.matrices]
            if channel.probabilities is not None:
                item["probabilities"] = list(channel.probabilities)
    if kind != OpKind.PHASE:
        item["targets"] = table.targets(row).tolist()
    controls, values = table.controls(row).tolist(), table.control_values(row).tolist()
    if controls:
        item["controls"] = controls
    if not all(values):
        item["control_values"] = values
    return item


def _flow_to_dict(program: Program, flow: Flow, kind: OpKind) -> dict[str, Any]:
    item = {
        "condition": classical.to_json(flow.condition),
        "block": _block_to_list(program, program.blocks[flow.block]),
    }
    if flow.otherwise >= 0:
        item["otherwise"] = _block_to_list(program, program.blocks[flow.otherwise])
    if kind == OpKind.WHILE:
        item["limit"] = flow.limit
    return item


def _angle_to_json(angle: Angle) -> float | dict[str, Any]:
    if not angle.terms:
        return float(angle.constant)
    return {"constant": float(angle.constant), "terms": [[slot, float(factor)] for slot, factor in angle.terms]}


def _array_to_dict(array: npt.NDArray[Any]) -> dict[str, Any]:
    name = "int64" if array.dtype.kind == "i" else "complex128"
    data = np.ascontiguousarray(array, dtype=_DTYPES[name]).tobytes()
    return {"dtype": name, "shape": list(array.shape), "base64": base64.b64encode(data).decode("ascii")}


def program_from_json(source: str | bytes | dict[str, Any]) -> Program:
    """Return the program described by a JSON document, given as text or already parsed.

    Raises:
        ProgramFormatError: naming the first item that is not as the format says, such as ``operations[3].targets``.
    """
    document = source if isinstance(source, dict) else _parse(source)
    fields = _fields(document, "document", _DOCUMENT)
    if fields["format"] != FORMAT:
        _refuse("format", repr(FORMAT), fields["format"])
    if fields["version"] != VERSION or type(fields["version"]) is not int:
        _refuse("version", VERSION, fields["version"], "Read it with the release that wrote it.")
    slots = _list(fields["slots"], "slots")
    for index, slot in enumerate(slots):
        if not isinstance(slot, str):
            _refuse(f"slots[{index}]", "a name", slot)
    builder = ProgramBuilder(
        _whole(fields["num_qubits"], "num_qubits", 0, MAX_QUBITS),
        _whole(fields["num_clbits"], "num_clbits", 0, MAX_CLBITS),
        slots,
    )
    operands = [_array(item, f"operands[{k}]") for k, item in enumerate(_list(fields["operands"], "operands"))]
    reader = _Reader(builder, operands)
    reader.block(fields["operations"], "operations", 0)
    program: Program = _guarded("document", builder.finish)
    return program


class _Reader:
    """Feeds a builder with operations, each checked with its path in the document."""

    def __init__(self, builder: ProgramBuilder, operands: list[_Array]) -> None:
        self.builder = builder
        self.operands = operands
        self.checked: set[tuple[str, int, int]] = set()
        self.count = 0

    def block(self, items: Any, path: str, depth: int) -> None:
        if depth > MAX_BLOCK_DEPTH:
            _refuse(path, f"at most {MAX_BLOCK_DEPTH} nested blocks", "more")
        self.count += len(_list(items, path))
        if self.count > MAX_OPERATIONS:
            _refuse(path, f"at most {MAX_OPERATIONS} operations", "more")
        for index, item in enumerate(items):
            self.operation(item, f"{path}[{index}]", depth)

    def operation(self, item: Any, path: str, depth: int) -> None:
        op = item.get("op") if isinstance(item, dict) else None
        if not isinstance(op, str) or op not in _OPERATIONS:
            given = op if isinstance(item, dict) else item
            _refuse(path + ".op", ", ".join(_OPERATIONS), given)
        fields = _fields(item, path, _OPERATIONS[op])
        if op == "assign":
            clbits = self.indices(fields["clbits"], path + ".clbits", self.builder.num_clbits)
            self.builder.assign(clbits, self.expression(fields["value"], path + ".value"))
            return
        if op in ("if", "while"):
            self.flow(op, fields, path, depth)
            return
        builder = self.builder
        targets, controls, values = self.wires(fields, path)
        match op:
            case "leave":
                levels = _whole(fields["levels"], path + ".levels", 1, MAX_BLOCK_DEPTH)
                _guarded(path + ".levels", lambda: builder.leave(levels))
            case "expect":
                self.expect(fields, path)
            case "rotation":
                pauli = fields["pauli"]
                if not isinstance(pauli, str) or not pauli or pauli.strip("XYZ") or len(pauli) != len(targets):
                    _refuse(path + ".pauli", "one letter X, Y or Z per target, at least one", pauli)
                builder.rotation(pauli, self.angle(fields["angle"], path + ".angle"), targets, controls, values)
            case "phase":
                builder.phase(self.angle(fields["angle"], path + ".angle"), controls, values)
            case "dense" | "diagonal" | "permutation":
                operand = self.operand(op, fields["operand"], len(targets), path + ".operand")
                getattr(builder, op)(operand, targets, controls, values, checked=True)
            case "initialize":
                operand = self.operand(op, fields["operand"], len(targets), path + ".operand")
                builder.initialize(operand, targets)
            case "measure":
                clbits = self.indices(fields["clbits"], path + ".clbits", builder.num_clbits)
                if len(clbits) != len(targets):
                    _refuse(path + ".clbits", f"{len(targets)}, one per target", len(clbits))
                errors = [
                    tuple(_number(p, path + ".errors") for p in _list(pair, path + ".errors"))
                    for pair in _list(fields.get("errors", []), path + ".errors")
                ]
                _guarded(
                    path + ".errors",
                    lambda: builder.measure(
                        targets, clbits, validation.check_readout(errors, len(targets)) if errors else ()
                    ),
                )
            case "reset":
                builder.reset(targets)
            case "channel":
                self.channel(fields, targets, path)

    def flow(self, op: str, fields: dict[str, Any], path: str, depth: int) -> None:
        """Read ``if`` and ``while`` with the blocks inside."""
        builder, condition = self.builder, self.expression(fields["condition"], path + ".condition")
        if depth >= MAX_BLOCK_DEPTH:
            _refuse(path, f"at most {MAX_BLOCK_DEPTH} nested blocks", "more")
        if op == "if":
            builder.begin_if(condition)
        else:
            builder.begin_while(condition, _whole(fields["limit"], path + ".limit", 1, 2**62))
        self.block(fields["block"], path + ".block", depth + 1)
        if "otherwise" in fields:
            builder.begin_else()
            self.block(fields["otherwise"], path + ".otherwise", depth + 1)
        builder.end_block()

    def expression(self, data: Any, path: str) -> Expression:
        expression: Expression = _guarded(path, lambda: classical.from_json(data))
        bits = sorted(classical.bits_read(expression))
        _guarded(path, lambda: validation.check_qubits("classical bit", bits, self.builder.num_clbits))
        return expression

    def wires(self, fields: dict[str, Any], path: str) -> tuple[list[int], list[int], list[int] | None]:
        size = self.builder.num_qubits
        targets = self.indices(fields.get("targets", []), path + ".targets", size)
        controls = self.indices(fields.get("controls", []), path + ".controls", size)
        if not set(targets).isdisjoint(controls):
            _refuse(path + ".controls", "no target among the controls", controls)
        if "control_values" not in fields:
            return targets, controls, None
        values = _list(fields["control_values"], path + ".control_values")
        if len(values) != len(controls) or any(type(value) is not int or value not in (0, 1) for value in values):
            _refuse(path + ".control_values", f"{len(controls)} numbers 0 or 1, one per control", values)
        return targets, controls, values

    def indices(self, value: Any, path: str, size: int) -> list[int]:
        wires = _list(value, path)
        for wire in wires:
            if type(wire) is not int or not 0 <= wire < size:
                _refuse(path, f"whole numbers from 0 to {size - 1}" if size else "none, there are no such wires", wire)
        if len(set(wires)) != len(wires):
            _refuse(path, "each number once", wires)
        return wires

    def angle(self, value: Any, path: str) -> Angle | float:
        if not isinstance(value, dict):
            return _number(value, path)
        fields = _fields(value, path, (("constant", "terms"), ()))
        terms = []
        for index, term in enumerate(_list(fields["terms"], path + ".terms")):
            where = f"{path}.terms[{index}]"
            if not isinstance(term, list) or len(term) != 2:
                _refuse(where, "[slot, coefficient]", term)
            terms.append((_whole(term[0], where, 0, len(self.builder.slots) - 1), _number(term[1], where)))
        return Angle(_number(fields["constant"], path + ".constant"), tuple(terms))

    def operand(self, op: str, index: Any, width: int, path: str) -> _Array:
        """Return an operand, checked once for each way it is used."""
        array = self.operands[_whole(index, path, 0, len(self.operands) - 1)]
        if (op, index, width) not in self.checked:
            _guarded(path, lambda: _CHECKS[op](array, width))
            self.checked.add((op, index, width))
        return array

    def channel(self, fields: dict[str, Any], targets: list[int], path: str) -> None:
        items = _list(fields["matrices"], path + ".matrices")
        matrices = [_array(item, f"{path}.matrices[{k}]") for k, item in enumerate(items)]
        weights = None
        if "probabilities" in fields:
            where = path + ".probabilities"
            weights = [_number(weight, where) for weight in _list(fields["probabilities"], where)]
        _guarded(path, lambda: self.builder.channel(matrices, targets, weights))

    def expect(self, fields: dict[str, Any], path: str) -> None:
        terms, most = [], 2**self.builder.num_qubits - 1
        for index, term in enumerate(_list(fields["terms"], path + ".terms")):
            where = f"{path}.terms[{index}]"
            if not isinstance(term, list) or len(term) != 3:
                _refuse(where, "[x mask, z mask, coefficient]", term)
            x_mask, z_mask = (_whole(mask, where, 0, most) for mask in term[:2])
            terms.append((x_mask, z_mask, _number(term[2], where)))
        _guarded(path + ".label", lambda: self.builder.expect(fields["label"], PauliTerms.of(terms)))


_CHECKS: dict[str, Callable[[_Array, int], Any]] = {
    "dense": validation.check_unitary,
    "diagonal": validation.check_diagonal,
    "permutation": validation.check_permutation,
    "initialize": validation.check_state,
}

_Keys = tuple[tuple[str, ...], tuple[str, ...]]
_DOCUMENT: _Keys = (("format", "version", "num_qubits", "num_clbits", "slots", "operands", "operations"), ())
_CONTROLS = ("controls", "control_values")
#: The keys each operation must have, and those it may have.
_OPERATIONS: dict[str, _Keys] = {
    "rotation": (("op", "pauli", "angle", "targets"), _CONTROLS),
    "phase": (("op", "angle"), _CONTROLS),
    "dense": (("op", "operand", "targets"), _CONTROLS),
    "diagonal": (("op", "operand", "targets"), _CONTROLS),
    "permutation": (("op", "operand", "targets"), _CONTROLS),
    "initialize": (("op", "operand", "targets"), ()),
    "measure": (("op", "targets", "clbits"), ("errors",)),
    "reset": (("op", "targets"), ()),
    "channel": (("op", "matrices", "targets"), ("probabilities",)),
    "assign": (("op", "clbits", "value"), ()),
    "if": (("op", "condition", "block"), ("otherwise",)),
    "while": (("op", "condition", "block", "limit"), ()),
    "leave": (("op", "levels"), ()),
    "expect": (("op", "label", "terms"), ()),
}


def _refuse(path: str, allowed: object, given: object, remedy: str = "") -> NoReturn:
    shown = given if isinstance(given, int | float) and abs(given) < 1e30 else _short(given)
    raise ProgramFormatError(expected(path, allowed, shown, remedy))


def _short(value: Any) -> str:
    """Return a few characters of a value that may be huge, or nested beyond what repr can follow."""
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, list | tuple):
        flat = all(isinstance(item, int | float) and abs(item) < 1e30 for item in value[:8])
        return repr(value[:8]) if flat else f"a list of {len(value)}"
    return f"an object with {len(value)} keys" if isinstance(value, dict) else type(value).__name__


def _parse(text: str | bytes) -> Any:
    if not isinstance(text, str | bytes):
        _refuse("document", "text or a dictionary", type(text).__name__)
    if len(text) > MAX_TEXT:
        _refuse("document", f"at most {MAX_TEXT} characters", len(text))
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_not_finite)
    except RecursionError:
        _refuse("document", f"at most {MAX_BLOCK_DEPTH} nested blocks", "more")
    except MemoryError:
        _refuse("document", "what fits into memory", f"{len(text)} characters")
    except ProgramFormatError:
        raise
    except ValueError as error:  # malformed JSON, bad UTF-8, an integer of thousands of digits
        raise ProgramFormatError(expected("document", "JSON", str(error)[:200])) from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        _refuse("document", "each key once per object", next(key for key in keys if keys.count(key) > 1))
    return result


def _not_finite(name: str) -> NoReturn:
    _refuse("document", "finite numbers", name)


def _fields(item: Any, path: str, keys: _Keys) -> dict[str, Any]:
    """Return an object that has all required keys and no unknown one."""
    if not isinstance(item, dict):
        _refuse(path, "an object", item)
    required, optional = keys
    for key in required:
        if key not in item:
            _refuse(path, f"a key {key!r}", _names(item))
    for key in item:
        if key not in required and key not in optional:
            _refuse(path, "the keys " + ", ".join(required + optional), key)
    return item


def _names(keys: Iterable[Any]) -> str:
    names = sorted(str(key)[:20] for key in keys)
    return ", ".join(names[:8]) or "none"


def _list(value: Any, path: str) -> list[Any]:
    if not isinstance(value, list):
        _refuse(path, "a list", value)
    return value


def _whole(value: Any, path: str, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        _refuse(path, f"a whole number from {least} to {most}" if most >= least else "none, there are none", value)
    return value


def _number(value: Any, path: str) -> float:
    if type(value) is int or type(value) is float:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    _refuse(path, "a finite number", value)


def _array(item: Any, path: str) -> _Array:
    """Return a read-only array; its size is compared with that of its text before it is decoded."""
    fields = _fields(item, path, (("dtype", "shape", "base64"), ()))
    name, shape, text = fields["dtype"], _list(fields["shape"], path + ".shape"), fields["base64"]
    if not isinstance(name, str) or name not in _DTYPES:
        _refuse(path + ".dtype", ", ".join(_DTYPES), name)
    if len(shape) not in (1, 2):
        _refuse(path + ".shape", "one or two lengths", shape)
    lengths = [_whole(length, path + ".shape", 1, 2**validation.MAX_TABLE_QUBITS) for length in shape]
    size = math.prod(lengths) * _DTYPES[name].itemsize
    if not isinstance(text, str) or len(text) != 4 * ((size + 2) // 3):
        given = f"{len(text)} characters" if isinstance(text, str) else text
        _refuse(path + ".base64", f"{4 * ((size + 2) // 3)} characters for {size} bytes", given)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        data = b""
    if len(data) != size:
        _refuse(path + ".base64", f"base64 of {size} bytes", text)
    array: _Array = np.frombuffer(data, dtype=_DTYPES[name]).astype(_DTYPES[name].newbyteorder("="), copy=False)
    array.flags.writeable = False
    return array.reshape(lengths)


def _guarded(path: str, call: Callable[[], Any]) -> Any:
    """Return ``call()``; what the builder and the checks refuse is said with the path."""
    try:
        return call()
    except QsimError as error:
        raise ProgramFormatError(f"{path}: {error}") from None
