"""PTX to C++: every entry of a module becomes one function that ``runtime.hpp`` runs, thread by thread.

Registers become local variables that hold bits, branches become goto, memory goes through checked accesses. An opcode
that is not in the tables below is an error, never skipped. Written from NVIDIA's "Parallel Thread Execution ISA"; the
meaning of each opcode has a test of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache, lru_cache

__all__ = ["Entry", "UnknownPtx", "instructions", "kernels", "translate"]


class UnknownPtx(Exception):
    """PTX this runner does not know; it never guesses."""


@dataclass
class Entry:
    """A kernel: its parameters as (name, offset, bytes), shared memory, and statements."""

    name: str
    params: dict[str, int]
    param_bytes: int
    max_threads: int
    statements: list[str]
    static_shared: int = 0
    texts: list[str] = field(default_factory=list)


_WIDTH = {"pred": 1, "b8": 8, "u8": 8, "s8": 8, "b16": 16, "u16": 16, "s16": 16, "b32": 32, "u32": 32, "s32": 32,
          "f32": 32, "b64": 64, "u64": 64, "s64": 64, "f64": 64}  # fmt: skip
_SPECIAL = {
    **{f"%tid.{a}": f"t.tid[{k}]" for k, a in enumerate("xyz")},
    **{f"%ctaid.{a}": f"t.block->index[{k}]" for k, a in enumerate("xyz")},
    **{f"%ntid.{a}": f"t.block->launch->block[{k}]" for k, a in enumerate("xyz")},
    **{f"%nctaid.{a}": f"t.block->launch->grid[{k}]" for k, a in enumerate("xyz")},
    "%laneid": "(t.linear % warp_size)",
    "%warpid": "(t.linear / warp_size)",
}


def container(width: int) -> str:
    return "bool" if width == 1 else f"u{width}"


def instructions(body: list[str]) -> list[str]:
    """Return the statements that are instructions."""
    return [s for s in body if not s.endswith(":") and not s.startswith(".") and s not in "{}"]


# --- reading -------------------------------------------------------------------------------------------------------------


def _statements(text: str) -> list[str]:
    """Cut a function body into statements, labels ("name:") and scope braces."""
    result: list[str] = []
    here = ""
    depth = 0
    for character in text:
        if character == "{" and not here.strip():
            result.append("{")
        elif character == "}" and not here.strip():
            result.append("}")
        elif character == ";" and depth == 0:
            result.append(" ".join(here.split()))
            here = ""
        elif character == ":" and re.fullmatch(r"\s*[\w$]+", here):
            result.append(here.strip() + ":")
            here = ""
        else:
            depth += (character == "{") - (character == "}")
            here += character
    return result


def _closing(text: str, start: int) -> int:
    depth = 0
    for place in range(start, len(text)):
        depth += (text[place] == "{") - (text[place] == "}")
        if depth == 0:
            return place
    raise UnknownPtx("a brace is not closed")


def _array(declaration: str) -> tuple[str, int, int] | None:
    """Return (name, alignment, bytes) of an array declaration; bytes is -1 for name[]."""
    match = re.search(r"\.align (\d+) \.(\w+) ([\w$]+)(?:\[(\d*)\])?", declaration)
    if not match:
        match = re.search(r"()\.(\w+) ([\w$]+)(?:\[(\d*)\])?$", declaration)
    if not match or match.group(2) not in _WIDTH:
        return None
    align, kind, name, count = match.groups()
    size = _WIDTH[kind] // 8
    return name, int(align or size), -1 if count == "" else size * int(count or 1)


@cache
def _scalar_bytes(declaration: str) -> int:
    """Return the bytes of the one value a declaration without brackets holds."""
    match = re.search(r"\.([busf]\d+) [\w$]+$", declaration)
    if not match:
        raise UnknownPtx(f"declaration: {declaration}")
    return _WIDTH[match.group(1)] // 8


@lru_cache(4)
def _parse(ptx: str) -> tuple[list[Entry], dict[str, str], list[str]]:
    """Return the entries, the module's symbols as C++ expressions, and C++ definitions of its constant arrays."""
    text = re.sub(r"/\*.*?\*/", " ", ptx, flags=re.S)
    text = re.sub(r"//[^\n]*", "", text)
    text = re.sub(r"^\s*\.(version|target|address_size|file|loc)\b[^\n]*", "", text, flags=re.M)
    text = re.sub(r"\.section[^{]*\{[^}]*\}", "", text)
    entries, symbols, definitions = [], {}, []
    module_shared: list[tuple[str, int, int]] = []
    place = 0
    while match := re.compile(r"\S").search(text, place):
        place = match.start()
        brace, end = text.find("{", place), text.find(";", place)
        if end >= 0 and (brace < 0 or end < brace):
            declaration = " ".join(text[place:end].split())
            place = end + 1
            declared, _, value = declaration.partition(" = ")
            array = _array(declared)
            if ".shared" in declaration and array:
                module_shared.append(array)
            elif value and array and re.match(r"(\.visible |\.weak )?\.(const|global)", declared):
                name, align, size = array
                kind = f"u{8 * _scalar_bytes(declared)}"
                definitions.append(f"alignas({align}) static {kind} {_name(name)} = {_literal(value, kind)};")
                symbols[name] = f"reinterpret_cast<u64>(&{_name(name)})"
            elif declaration:
                raise UnknownPtx(f"declaration: {declaration}")
            continue
        header = " ".join(text[place:brace].split())
        stop = _closing(text, brace)
        body = text[brace + 1 : stop]
        place = stop + 1
        if "=" in header:
            array = _array(header.split("=")[0].strip())
            if array is None or not re.match(r"(\.visible |\.weak )?\.(const|global)", header):
                raise UnknownPtx(f"declaration: {header}")
            kind = re.search(r"\.([busf]\d+) [\w$]+\[", header)
            name, align, size = array
            assert kind is not None
            values = [_literal(v.strip(), kind.group(1)) for v in body.split(",")]
            width = _WIDTH[kind.group(1)]
            definitions.append(
                f"alignas({align}) static u{width} {_name(name)}[{size * 8 // width}] = {{{', '.join(values)}}};"
            )
            symbols[name] = f"reinterpret_cast<u64>({_name(name)})"
            place = text.find(";", place) + 1
            continue
        found = re.search(r"\.entry ([\w$]+) ?\((.*?)\)(.*)", header)
        if not found:
            raise UnknownPtx(f"function: {header}")
        params, offset = {}, 0
        for declaration in filter(None, (p.strip() for p in found.group(2).split(","))):
            # What a pointer leads to, as newer front ends say it, is not the parameter's own alignment.
            array = _array(re.sub(r" \.ptr(?: \.\w+)?? \.align \d+", "", declaration))
            if array is None:
                raise UnknownPtx(f"parameter: {declaration}")
            name, align, size = array
            offset = -(-offset // align) * align
            params[name] = offset
            offset += size
        limit = re.search(r"\.(?:max|req)ntid (\d+)(?:, (\d+))?(?:, (\d+))?", found.group(3))
        threads = 0
        if limit:
            threads = int(limit.group(1)) * int(limit.group(2) or 1) * int(limit.group(3) or 1)
        entries.append(Entry(found.group(1), params, offset, threads, _statements(body)))
    _lay_out_shared(entries, module_shared, symbols)
    return entries, symbols, definitions


def _lay_out_shared(entries: list[Entry], module: list[tuple[str, int, int]], symbols: dict[str, str]) -> None:
    """Place shared arrays: those of the module first, each entry's own next, the dynamic one last."""
    offset = 0
    dynamic = []
    for name, align, size in module:
        if size < 0:
            dynamic.append(name)
            continue
        offset = -(-offset // align) * align
        symbols[name] = f"u32{{{offset}}}"
        offset += size
    for entry in entries:
        here = offset
        for statement in entry.statements:
            if statement.startswith(".shared"):
                array = _array(statement)
                if array is None:
                    raise UnknownPtx(statement)
                name, align, size = array
                here = -(-here // align) * align
                symbols[f"{entry.name}/{name}"] = f"u32{{{here}}}"
                here += size
        entry.static_shared = -(-here // 16) * 16
    for name in dynamic:
        for entry in entries:
            symbols[f"{entry.name}/{name}"] = f"u32{{{entry.static_shared}}}"


# --- writing -------------------------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    return re.sub(r"\W", "_", text.lstrip("%")) + "_"


def _literal(text: str, kind: str) -> str:
    """Return the bits of a constant as an unsigned C++ literal."""
    width = _WIDTH[kind]
    if match := re.fullmatch(r"0[fF]([0-9a-fA-F]{8})", text):
        return f"0x{match.group(1)}u"
    if match := re.fullmatch(r"0[dD]([0-9a-fA-F]{16})", text):
        return f"0x{match.group(1)}ull"
    value = int(text.rstrip("U"), 0)
    return f"0x{value & (1 << width) - 1:x}" + ("ull" if width == 64 else "u")


class _Writer:
    """Translates the statements of one entry."""

    def __init__(self, entry: Entry, symbols: dict[str, str]) -> None:
        self.entry, self.symbols = entry, symbols
        self.registers: dict[str, int] = {}  # prefix -> width
        self.lines: list[str] = []
        self.here = 0

    # operands

    def width(self, register: str) -> int:
        name = register if register in self.registers else register.rstrip("0123456789")
        if name not in self.registers:
            raise UnknownPtx(f"register {register}")
        return self.registers[name]

    def read(self, operand: str, kind: str) -> str:
        """Return a C++ expression of type ``kind`` (as s32, f64, b32, pred)."""
        width = _WIDTH[kind]
        if operand in _SPECIAL:
            value = f"static_cast<u{width}>({_SPECIAL[operand]})"
        elif operand.startswith("%"):
            inner = self.width(operand)
            if kind == "pred":
                return _name(operand)
            value = f"static_cast<u{width}>({_name(operand)})" if inner != width else _name(operand)
        elif symbol := self.symbol(operand):
            value = f"static_cast<u{width}>({symbol})"
        elif kind == "pred":
            return "true" if int(operand, 0) else "false"
        else:
            value = f"u{width}{{{_literal(operand, kind)}}}"
        return value if kind[0] in "bu" else f"bits<{kind}>({value})"

    def symbol(self, name: str) -> str | None:
        return self.symbols.get(f"{self.entry.name}/{name}") or self.symbols.get(name)

    def write(self, operand: str, value: str, kind: str) -> str:
        """Return a statement that stores ``value``, of type ``kind``, in a register."""
        if operand == "_":
            return f"(void)({value});"
        inner = self.width(operand)
        if kind == "pred":
            return f"{_name(operand)} = {value};"
        if kind[0] == "f":
            return f"{_name(operand)} = bits<u{_WIDTH[kind]}>(static_cast<{kind}>({value}));"
        wide = f"s{inner}" if kind[0] == "s" else f"u{inner}"
        return f"{_name(operand)} = static_cast<u{inner}>(static_cast<{wide}>(static_cast<{kind.replace('b', 'u')}>({value})));"

    def address(self, operand: str) -> str:
        match = re.fullmatch(r"\[([%\w$]+)\s*(?:\+\s*(-?\w+))?\]", operand)
        if not match:
            raise UnknownPtx(f"address {operand}")
        base, offset = match.groups()
        if base.startswith("%"):
            start = f"u64{{{_name(base)}}}"
        elif found := self.symbol(base):
            start = f"u64{{{found}}}"
        else:
            start = f"u64{{{_literal(base, 'u64')}}}"
        return f"({start} + static_cast<u64>(s64{{{int(offset or '0', 0)}}}))"

    # statements

    def translate(self) -> str:
        self.entry.texts.clear()
        body: list[str] = []
        for statement in self.entry.statements:
            if statement in "{}":
                body.append(statement)
            elif statement.endswith(":"):
                body.append(f"{_name(statement[:-1])}:;")
            elif statement.startswith(".reg"):
                body.append(self.declare(statement))
            elif statement.startswith((".shared", ".pragma", ".loc")):
                continue
            elif statement.startswith("."):
                raise UnknownPtx(statement)
            else:
                body.append(self.instruction(statement))
                self.entry.texts.append(statement)
                self.here += 1
        inner = "\n  ".join(body)
        return f"static void {_name(self.entry.name)}(Thread& t) {{\n  {inner}\n  return;\n}}"

    def declare(self, statement: str) -> str:
        match = re.fullmatch(r"\.reg \.(\w+) (.*)", statement)
        if not match or match.group(1) not in _WIDTH:
            raise UnknownPtx(statement)
        width, names = _WIDTH[match.group(1)], []
        for item in match.group(2).split(","):
            ranged = re.fullmatch(r"\s*(%\w+)<(\d+)>\s*", item)
            if ranged:
                self.registers[ranged.group(1)] = width
                names += [_name(f"{ranged.group(1)}{k}") for k in range(int(ranged.group(2)))]
            else:
                self.registers[item.strip()] = width
                names.append(_name(item.strip()))
        return f"{container(width)} {', '.join(names)};"

    def instruction(self, statement: str) -> str:
        guard = ""
        if match := re.match(r"@(!?)(%\w+)\s+(.*)", statement):
            guard = f"if ({match.group(1)}{_name(match.group(2))}) "
            statement = match.group(3)
        opcode, _, rest = statement.partition(" ")
        parts = opcode.split(".")
        handler = _HANDLERS.get(parts[0])
        if handler is None:
            raise UnknownPtx(statement)
        try:
            return f"{guard}{{ {handler(self, parts[1:], _operands(rest))} }}"
        except (KeyError, ValueError, IndexError) as error:
            raise UnknownPtx(f"{statement} ({error!r})") from error


def _operands(text: str) -> list[str]:
    """Split at commas outside braces and brackets."""
    result, depth, here = [], 0, ""
    for character in text:
        depth += (character in "{[") - (character in "}]")
        if character == "," and depth == 0:
            result.append(here.strip())
            here = ""
        else:
            here += character
    return [*result, here.strip()] if here.strip() else result


def _vector(operand: str) -> list[str]:
    return [part.strip() for part in operand.strip("{}").split(",")] if operand.startswith("{") else [operand]


_Handler = Callable[[_Writer, list[str], list[str]], str]
_HANDLERS: dict[str, _Handler] = {}


def _opcode(*names: str) -> Callable[[_Handler], _Handler]:
    def register(handler: _Handler) -> _Handler:
        _HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def _only(modifiers: list[str], *allowed: str) -> None:
    """Refuse modifiers this runner does not know the meaning of."""
    for modifier in modifiers:
        if modifier not in allowed:
            raise UnknownPtx(f"modifier .{modifier}")


_ROUND = ("rn", "rz", "ftz", "approx", "full")


def _arithmetic(name: str) -> _Handler:
    symbol = {"add": "+", "sub": "-", "and": "&", "or": "|", "xor": "^", "rem": "%", "div": "/", "mul": "*"}.get(name)

    def handler(w: _Writer, mods: list[str], ops: list[str]) -> str:
        *modifiers, kind = mods
        mode = [m for m in modifiers if m in ("lo", "hi", "wide")]
        _only([m for m in modifiers if m not in mode], "rn", "ftz" if kind == "f32" else "rn")
        if kind not in _WIDTH:
            raise UnknownPtx(f"type .{kind}")
        if name == "mul" and kind[0] != "f":
            return w.write(ops[0], _product(w, mode[0], kind, ops[1], ops[2]), _widened(mode[0], kind))
        a, b = w.read(ops[1], kind), w.read(ops[2], kind)
        if kind == "pred":
            return w.write(ops[0], f"({a} {symbol} {b}) != 0", kind)
        if name in ("min", "max"):
            value = f"std::f{name}({a}, {b})" if kind[0] == "f" else f"std::{name}({a}, {b})"
        elif kind[0] == "s" and name in ("add", "sub"):  # wraps around, as C++ only does without a sign
            unsigned = "u" + kind[1:]
            value = f"static_cast<{unsigned}>({w.read(ops[1], unsigned)} {symbol} {w.read(ops[2], unsigned)})"
            return w.write(ops[0], value, unsigned)
        elif name in ("div", "rem") and kind[0] != "f":
            value = f"({b} == 0 ? static_cast<{kind}>(-1) : static_cast<{kind}>({a} {symbol} {b}))"
        else:
            value = f"{a} {symbol} {b}"
        return w.write(ops[0], value, kind)

    return handler


for _one in ("add", "sub", "mul", "div", "rem", "min", "max", "and", "or", "xor"):
    _HANDLERS[_one] = _arithmetic(_one)


def _widened(mode: str, kind: str) -> str:
    return f"{kind[0]}{2 * int(kind[1:])}" if mode == "wide" else kind


def _product(w: _Writer, mode: str, kind: str, a: str, b: str) -> str:
    width = int(kind[1:])
    wide = f"{kind[0]}{2 * width}" if width < 64 else ("__int128" if kind[0] == "s" else "unsigned __int128")
    if mode == "lo":
        return f"static_cast<u{width}>(u{width}{{{w.read(a, f'u{width}')}}} * {w.read(b, f'u{width}')})"
    whole = f"static_cast<{wide}>({w.read(a, kind)}) * static_cast<{wide}>({w.read(b, kind)})"
    return whole if mode == "wide" else f"static_cast<{kind}>(({whole}) >> {width})"


@_opcode("mad")
def _mad(w: _Writer, mods: list[str], ops: list[str]) -> str:
    mode, kind = mods
    result = _widened(mode, kind)
    unsigned = "u" + result[1:]
    product = f"static_cast<{unsigned}>({_product(w, mode, kind, ops[1], ops[2])})"
    value = f"static_cast<{unsigned}>({product} + {w.read(ops[3], unsigned)})"
    return w.write(ops[0], value, unsigned)


@_opcode("fma")
def _fma(w: _Writer, mods: list[str], ops: list[str]) -> str:
    *modifiers, kind = mods
    _only(modifiers, "rn")
    if kind not in ("f32", "f64"):
        raise UnknownPtx(f"type .{kind}")
    return w.write(ops[0], f"std::fma({', '.join(w.read(o, kind) for o in ops[1:4])})", kind)


def _one_operand(name: str) -> _Handler:
    def handler(w: _Writer, mods: list[str], ops: list[str]) -> str:
        *modifiers, kind = mods
        _only(modifiers, "rn", "approx", "ftz")
        if name == "not" and kind == "pred":
            return w.write(ops[0], f"!{w.read(ops[1], kind)}", kind)
        a = w.read(ops[1], kind)
        unsigned = "u" + kind[1:]
        match name:
            case "neg":
                if kind[0] == "f":
                    return w.write(ops[0], f"-{a}", kind)
                return w.write(ops[0], f"static_cast<{unsigned}>(0 - {w.read(ops[1], unsigned)})", unsigned)
            case "abs":
                return w.write(ops[0], f"std::abs({a})", kind)
            case "not":
                return w.write(ops[0], f"~{a}", kind)
            case "popc":
                return w.write(ops[0], f"static_cast<u32>(__builtin_popcountll({a}))", "u32")
            case "clz":
                width = int(kind[1:])
                value = f"({a} == 0 ? {width}u : static_cast<u32>(__builtin_clzll({a})) - {64 - width}u)"
                return w.write(ops[0], value, "u32")
            case "brev":
                return w.write(ops[0], f"reverse_bits({a})", kind)
            case "bfind":
                if kind[0] == "s":
                    raise UnknownPtx("bfind of a signed number")
                return w.write(ops[0], f"find_leading({a}, {int(kind[1:])})", "u32")
        if name in ("rcp", "rsqrt"):
            return w.write(ops[0], f"{kind}{{1}} / {a if name == 'rcp' else f'std::sqrt({a})'}", kind)
        function = {"sqrt": "sqrt", "ex2": "exp2", "lg2": "log2", "sin": "sin", "cos": "cos"}[name]
        return w.write(ops[0], f"std::{function}({a})", kind)

    return handler


for _one in ("neg", "abs", "not", "sqrt", "rcp", "rsqrt", "ex2", "lg2", "sin", "cos", "popc", "clz", "brev", "bfind"):
    _HANDLERS[_one] = _one_operand(_one)


def _shifted(function: str) -> _Handler:
    def handler(w: _Writer, mods: list[str], ops: list[str]) -> str:
        (kind,) = mods
        return w.write(ops[0], f"{function}({w.read(ops[1], kind)}, {w.read(ops[2], 'u32')})", kind)

    return handler


_HANDLERS["shl"], _HANDLERS["shr"] = _shifted("shift_left"), _shifted("shift_right")


@_opcode("shf")
def _funnel(w: _Writer, mods: list[str], ops: list[str]) -> str:
    side, mode, kind = mods
    _only([kind], "b32")
    amount = w.read(ops[3], "u32")
    amount = f"({amount} & 31)" if mode == "wrap" else f"std::min({amount}, 32u)"
    name = {"l": "funnel_left", "r": "funnel_right"}[side]
    if mode == "clamp" and side == "l":
        raise UnknownPtx("shf.l.clamp")
    return w.write(ops[0], f"{name}({w.read(ops[1], 'u32')}, {w.read(ops[2], 'u32')}, {amount})", "u32")


@_opcode("prmt")
def _prmt(w: _Writer, mods: list[str], ops: list[str]) -> str:
    _only(mods, "b32")
    return w.write(ops[0], f"permute_bytes({', '.join(w.read(o, 'u32') for o in ops[1:4])})", "u32")


@_opcode("lop3")
def _lop3(w: _Writer, mods: list[str], ops: list[str]) -> str:
    _only(mods, "b32")
    return w.write(ops[0], f"lop3<u32>({', '.join(w.read(o, 'u32') for o in ops[1:5])})", "u32")


@_opcode("bfe")
def _bfe(w: _Writer, mods: list[str], ops: list[str]) -> str:
    (kind,) = mods
    _only(mods, "u32", "u64")
    start, length = (f"({w.read(o, 'u32')} & 255)" for o in ops[2:4])
    mask = f"(shift_left({kind}{{1}}, {length}) - 1)"
    return w.write(ops[0], f"shift_right({w.read(ops[1], kind)}, {start}) & {mask}", kind)


@_opcode("bfi")
def _bfi(w: _Writer, mods: list[str], ops: list[str]) -> str:
    kind = {"b32": "u32", "b64": "u64"}[mods[0]]
    start, length = (f"({w.read(o, 'u32')} & 255)" for o in ops[3:5])
    mask = f"shift_left<{kind}>(shift_left<{kind}>(1, {length}) - 1, {start})"
    value = f"(shift_left({w.read(ops[1], kind)}, {start}) & {mask}) | ({w.read(ops[2], kind)} & ~{mask})"
    return w.write(ops[0], value, kind)


_COMPARE = {
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "lo": "<",
    "ls": "<=",
    "hi": ">",
    "hs": ">=",
}


def _comparison(w: _Writer, name: str, kind: str, a: str, b: str) -> str:
    left, right = w.read(a, kind), w.read(b, kind)
    if name in _COMPARE:
        # C++ compares NaN as PTX does, but for "not equal", which is ordered in PTX.
        ordered = f" && {left} == {left} && {right} == {right}" if kind[0] == "f" and name == "ne" else ""
        return f"({left} {_COMPARE[name]} {right}{ordered})"
    if kind[0] == "f" and name in ("equ", "neu", "ltu", "leu", "gtu", "geu"):
        return f"!({left} == {left} && {right} == {right}) || ({left} {_COMPARE[name[:2]]} {right})"
    if kind[0] == "f" and name in ("num", "nan"):
        return f"({left} == {left} && {right} == {right}) == {'true' if name == 'num' else 'false'}"
    raise UnknownPtx(f"comparison .{name}")


@_opcode("setp")
def _setp(w: _Writer, mods: list[str], ops: list[str]) -> str:
    name, *middle, kind = mods
    middle = [m for m in middle if m != "ftz"]
    results = ops[0].split("|")
    truth = _comparison(w, name, kind, ops[1], ops[2])
    lines = []
    for result, value in zip(results, (truth, f"!({truth})"), strict=False):
        if middle:
            symbol = {"and": "&&", "or": "||", "xor": "!="}[middle[0]]
            predicate = ops[3]
            other = f"!{_name(predicate[1:])}" if predicate.startswith("!") else _name(predicate)
            value = f"({value}) {symbol} {other}"
        lines.append(w.write(result, value, "pred"))
    return " ".join(lines)


@_opcode("selp")
def _selp(w: _Writer, mods: list[str], ops: list[str]) -> str:
    kind = mods[0].replace("f", "b")
    return w.write(ops[0], f"{w.read(ops[3], 'pred')} ? {w.read(ops[1], kind)} : {w.read(ops[2], kind)}", kind)


@_opcode("mov")
def _mov(w: _Writer, mods: list[str], ops: list[str]) -> str:
    kind = mods[0]
    if kind == "pred":
        return w.write(ops[0], w.read(ops[1], kind), kind)
    plain = kind.replace("f", "b").replace("s", "u")
    width = _WIDTH[kind]
    if ops[0].startswith("{"):
        parts = _vector(ops[0])
        each = width // len(parts)
        whole = w.read(ops[1], plain)
        lines = [w.write(p, f"{whole} >> {k * each}", f"u{each}") for k, p in enumerate(parts)]
        return " ".join(lines)
    if ops[1].startswith("{"):
        parts = _vector(ops[1])
        each = width // len(parts)
        terms = [f"u{width}{{{w.read(p, f'u{each}')}}} << {k * each}" for k, p in enumerate(parts)]
        return w.write(ops[0], " | ".join(f"static_cast<u{width}>({t})" for t in terms), plain)
    return w.write(ops[0], w.read(ops[1], plain), plain)


@_opcode("cvta")
def _cvta(w: _Writer, mods: list[str], ops: list[str]) -> str:
    to, space = mods[0] == "to", next(m for m in mods if m in ("global", "shared", "const"))
    value = w.read(ops[1], "u64")
    if space == "shared":
        value = f"{value} - shared_window" if to else f"{value} + shared_window"
    return w.write(ops[0], value, "u64")


@_opcode("cvt")
def _cvt(w: _Writer, mods: list[str], ops: list[str]) -> str:
    *modifiers, to, kind = mods
    _only(modifiers, "rn", "rzi", "rni", "ftz")
    value = w.read(ops[1], kind)
    if kind[0] == "f" and to[0] != "f":
        value = f"saturated<{to}>({'std::nearbyint' if 'rni' in modifiers else 'std::trunc'}({value}))"
    elif kind[0] == "f" and ("rzi" in modifiers or "rni" in modifiers):
        value = f"{'std::trunc' if 'rzi' in modifiers else 'std::nearbyint'}({value})"
    return w.write(ops[0], f"static_cast<{to}>({value})", to)


def _space(mods: list[str]) -> str | None:
    found = [m for m in mods if m in ("global", "shared", "param", "const", "local")]
    return found[0] if found else None


_LOAD_HINTS = ("global", "shared", "nc", "volatile", "relaxed", "weak", "gpu", "cta", "sys", "L1::no_allocate",
               "L2::128B", "L2::256B", "cs", "ca", "cg", "lu", "cv", "wb", "wt", "v2", "v4", "v8")  # fmt: skip


def _place(w: _Writer, mods: list[str], operand: str, access: str, count: int, size: int) -> str:
    """Return statements that leave the host address in ``p``."""
    space = _space(mods)
    if space == "local":
        raise UnknownPtx("local memory: the kernel keeps arrays on the stack")
    lines = [f"u64 a = {w.address(operand)};"]
    if space is None:
        lines.append("const Space s = space_of(a);")
    else:
        lines.append(f"constexpr Space s = Space::{space};")
    lines.append(f"u8* p = reach(t, s, a, {count * size}, {count * size}, Access::{access}, {w.here});")
    return " ".join(lines)


@_opcode("ld", "ldu")
def _ld(w: _Writer, mods: list[str], ops: list[str]) -> str:
    *modifiers, kind = mods
    parts, size = _vector(ops[0]), _WIDTH[kind] // 8
    raw = kind.replace("f", "u").replace("b", "u")
    if _space(modifiers) in ("param", "const"):
        if _space(modifiers) == "param":
            match = re.fullmatch(r"\[([\w$]+)(?:\+(\d+))?\]", ops[1])
            if not match:
                raise UnknownPtx(f"parameter address {ops[1]}")
            start = f"t.block->launch->params + {w.entry.params[match.group(1)] + int(match.group(2) or 0)}"
        else:
            start = f"reinterpret_cast<const u8*>({w.address(ops[1])})"
        loads = [w.write(r, f"load<{raw}>({start} + {k * size})", raw) for k, r in enumerate(parts)]
        return " ".join(loads)
    _only(modifiers, *_LOAD_HINTS)
    loads = [w.write(r, f"load<{raw}>(p + {k * size})", raw) for k, r in enumerate(parts)]
    return f"{_place(w, modifiers, ops[1], 'read', len(parts), size)} {' '.join(loads)}"


@_opcode("st")
def _st(w: _Writer, mods: list[str], ops: list[str]) -> str:
    *modifiers, kind = mods
    _only(modifiers, *_LOAD_HINTS)
    parts, size = _vector(ops[1]), _WIDTH[kind] // 8
    raw = f"u{_WIDTH[kind]}"
    stores = [f"store<{raw}>(p + {k * size}, {w.read(r, raw)});" for k, r in enumerate(parts)]
    return f"{_place(w, modifiers, ops[0], 'write', len(parts), size)} {' '.join(stores)}"


def _atomic(returns: bool) -> _Handler:
    def handler(w: _Writer, mods: list[str], ops: list[str]) -> str:
        *modifiers, kind = mods
        _only(modifiers, "global", "shared", "relaxed", "gpu", "cta", "sys", "add", "min", "max", "and", "or", "xor",
              "exch", "cas")  # fmt: skip
        (name,) = [m for m in modifiers if m in ("add", "min", "max", "and", "or", "xor", "exch", "cas")]
        target, address, *values = ops if returns else ["_", *ops]
        c_type = kind.replace("b", "u")
        a = w.read(values[0], c_type)
        change = {
            "add": f"static_cast<{c_type}>(x + {a})", "min": f"std::min<{c_type}>(x, {a})",
            "max": f"std::max<{c_type}>(x, {a})", "exch": a,
            "and": f"x & {a}", "or": f"x | {a}", "xor": f"x ^ {a}",
        }.get(name)  # fmt: skip
        if name == "cas":
            change = f"x == {a} ? {w.read(values[1], c_type)} : x"
        space = _space(modifiers)
        where = "space_of(a)" if space is None else f"Space::{space}"
        # The order matters: space_of takes the window off the address.
        result = f"atomic<{c_type}>(t, s, a, {w.here}, [&]({c_type} x) -> {c_type} {{ return {change}; }})"
        return f"u64 a = {w.address(address)}; const Space s = {where}; {w.write(target, result, kind)}"

    return handler


_HANDLERS["atom"], _HANDLERS["red"] = _atomic(True), _atomic(False)


@_opcode("bar", "barrier")
def _bar(w: _Writer, mods: list[str], ops: list[str]) -> str:
    if mods == ["warp", "sync"]:
        return f"warp_operation(t, Warp::sync, 0, 0, 0, {w.read(ops[0], 'u32')}, {w.here});"
    if [m for m in mods if m != "cta"] not in (["sync"], ["sync", "aligned"]) or ops != ["0"]:
        raise UnknownPtx(f"barrier {mods} {ops}")
    return f"barrier(t, {w.here});"


@_opcode("shfl")
def _shfl(w: _Writer, mods: list[str], ops: list[str]) -> str:
    sync, mode, kind = mods
    _only([sync, kind], "sync", "b32")
    target, *predicate = ops[0].split("|")
    a, b, c, mask = (w.read(o, "u32") for o in ops[1:5])
    line = w.write(target, f"warp_operation(t, Warp::{mode}, {a}, {b}, {c}, {mask}, {w.here})", "u32")
    return " ".join([line, *(w.write(p, "t.predicate", "pred") for p in predicate)])


@_opcode("vote")
def _vote(w: _Writer, mods: list[str], ops: list[str]) -> str:
    sync, mode, kind = mods
    _only([sync], "sync")
    result = f"warp_operation(t, Warp::vote_{mode}, {w.read(ops[1], 'pred')}, 0, 0, {w.read(ops[2], 'u32')}, {w.here})"
    return w.write(ops[0], f"{result} != 0" if kind == "pred" else result, kind)


@_opcode("membar", "fence")
def _fence(w: _Writer, mods: list[str], ops: list[str]) -> str:
    return ";"  # threads run one at a time: memory is always consistent


@_opcode("prefetch", "prefetchu")
def _prefetch(w: _Writer, mods: list[str], ops: list[str]) -> str:
    return ";"


@_opcode("bra")
def _bra(w: _Writer, mods: list[str], ops: list[str]) -> str:
    _only(mods, "uni")
    return f"goto {_name(ops[0])};"


@_opcode("ret", "exit")
def _ret(w: _Writer, mods: list[str], ops: list[str]) -> str:
    _only(mods, "uni")
    return "return;"


@_opcode("trap")
def _trap(w: _Writer, mods: list[str], ops: list[str]) -> str:
    return f'fail(t, {w.here}, "trap");'


def kernels(ptx: str) -> dict[str, Entry]:
    """Return what a PTX module declares of its kernels, by name."""
    return {entry.name: entry for entry in _parse(ptx)[0]}


def translate(ptx: str, only: Collection[str] = ()) -> str:
    """Return the C++ text of a PTX module, or of some of its kernels.

    It exports ``ptx_entries`` (a null-terminated array of ``ptx::Entry``), ``ptx_launch`` and ``ptx_forget``.

    Raises:
        UnknownPtx: for anything this runner does not know.
    """
    entries, symbols, definitions = _parse(ptx)
    parts = ['#include "runtime.hpp"', "using namespace ptx;", *definitions]
    rows = []
    for entry in entries:
        if only and entry.name not in only:
            continue
        writer = _Writer(entry, symbols)
        parts.append(writer.translate())
        texts = ", ".join('"' + t.replace("\\", "\\\\").replace('"', '\\"') + '"' for t in entry.texts) or '""'
        name = _name(entry.name)
        parts.append(f"static const char* const {name}texts[] = {{{texts}}};")
        rows.append(
            f'{{"{entry.name}", {name}, {entry.static_shared}, {entry.max_threads}, {entry.param_bytes}, '
            f"{len(entry.texts)}, {name}texts}}"
        )
    parts.append(f'extern "C" const Entry ptx_entries[] = {{{", ".join([*rows, "{}"])}}};')
    parts.append('extern "C" int ptx_launch(const Entry* e, const Launch* l) { return run_launch(*e, *l); }')
    parts.append('extern "C" void ptx_forget(u64 base) { forget(base); }')
    return "\n".join(parts) + "\n"
