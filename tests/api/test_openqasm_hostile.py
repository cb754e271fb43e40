"""Texts made to break a reader: each is refused or read, quickly, and nothing but QasmError comes out."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qsim import Circuit
from qsim.interchange.openqasm import Limits, QasmError, load, loads

DATA = Path(__file__).parent.parent / "data"
TWO = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[2]; creg c[2];'
THREE = 'OPENQASM 3; include "stdgates.inc"; qubit[2] q; bit[2] c;'

#: Generous: the claim is "no hang", on a busy machine.
SECONDS = 2.0


def doubling(word: str, levels: int) -> str:
    lines = [word.format(name="a0", body="")]
    lines += [word.format(name=f"a{k}", body=f"a{k - 1} p; a{k - 1} p;") for k in range(1, levels)]
    return "".join(lines)


def doubling_subroutines(levels: int) -> str:
    lines = ["def a0(qubit p) { }"]
    lines += [f"def a{k}(qubit p) {{ a{k - 1}(p); a{k - 1}(p); }}" for k in range(1, levels)]
    return "".join(lines) + f"a{levels - 1}(q[0]);"


HOSTILE = {
    "parentheses": TWO + "rz(" + "(" * 100_000 + "1" + ")" * 100_000 + ") q[0];",
    "minus signs": TWO + "rz(" + "-" * 100_000 + "1) q[0];",
    "powers": TWO + "rz(" + "2^" * 100_000 + "1) q[0];",
    "functions": TWO + "rz(" + "sin(" * 100_000 + "1" + ")" * 100_000 + ") q[0];",
    "blocks": THREE + "{" * 100_000,
    "ifs": THREE + "if (c[0]) { " * 200 + "x q[0];" + "}" * 200,
    "flat ifs": THREE + "if (true) " * 100_000 + "x q[0];",
    "else ifs": THREE + "if (c == 0) { } else " * 5_000 + "x q[0];",
    "switch": THREE + "switch (c) {" + "".join(f"case {k} {{ }}" for k in range(5_000)) + "}",
    "indices": THREE + "x q" + "[0]" * 100_000 + ";",
    "modifiers": THREE + "inv @ " * 100_000 + "x q[0];",
    "controls": THREE + "ctrl(1000000000) @ x q[0], q[1];",
    "register": "OPENQASM 2.0; qreg q[999999999999999999999999999999];",
    "register of bits": "OPENQASM 2.0; creg c[2000000000];",
    "many registers": "OPENQASM 2.0;" + "".join(f"qreg r{k}[2];" for k in range(5_000)),
    "gates": TWO + doubling("gate {name} p {{ {body} }}", 60) + "a59 q[0];",
    "gates that do something": TWO + doubling("gate {name} p {{ x p; {body} }}", 60) + "a59 q[0];",
    "gates, unused": TWO + doubling("gate {name} p {{ x p; {body} }}", 3_000),
    "gates, a long chain": TWO
    + "gate a0 p { x p; }"
    + "".join(f"gate a{k} p {{ a{k - 1} p; }}" for k in range(1, 3_000))
    + "a2999 q[0];",
    "subroutines": THREE + doubling_subroutines(60),
    "recursion": THREE + "def f(qubit p) { f(p); } f(q[0]);",
    "loop": THREE + "for int i in [0:1000000000000000000] { x q[0]; }",
    "nested loops": THREE + "for int i in [0:9999] { for int j in [0:9999] { } }",
    "endless loop": THREE + "while (true) { }",
    "endless loop with a variable": THREE + "int i = 0; while (i >= 0) { i = 1; }",
    "power": THREE + "pow(1000000000000) @ h q[0];",
    "power of a wide gate": THREE + "pow(2) @ " * 60 + "x q[0];",
    "power in gates": THREE
    + "gate a0(t) p { pow(t) @ h p; }"
    + "".join(f"gate a{k}(t) p {{ pow(t) @ a{k - 1}(t) p; }}" for k in range(1, 40))
    + "a39(1000) q[0];",
    "integer": THREE + "const int n = " + "9" * 100_000 + ";",
    "integer power": THREE + "const int n = 9 ** 9 ** 9 ** 9;",
    "integer products": THREE + "int n = 3; for int i in [0:1000] { n = n * n; }",
    "integer shift": THREE + "const int n = 1 << 1000000000000;",
    "integer doubling": THREE + "int n = 1; while (n > 0) { n <<= 1; }",
    "index": TWO + "h q[" + "9" * 300 + "];",
    "exponent": TWO + "rz(1e" + "9" * 300 + ") q[0];",
    "infinite": TWO + "rz(1e308*1e308) q[0];",
    "not a number": TWO + "rz(1e308*1e308-1e308*1e308) q[0];",
    "infinite by name": TWO + "rz(inf) q[0]; rz(nan) q[0];",
    "condition": TWO + "if(c==" + "9" * 10_000 + ") x q[0];",
    "condition of many bits": THREE + "if (" + " && ".join(["c[0]"] * 50_000) + ") { x q[0]; }",
    "condition that is deep": THREE + "if (" + "+".join(["c"] * 10_000) + " == 1) { x q[0]; }",
    "shift of a register": THREE + "if (c << 100000 == 1) { x q[0]; }",
    "parameters": THREE.replace("qubit", "input float t; qubit", 1)
    + "float x = t; for int i in [0:100] { x = x * x; } rz(x) q[0];",
    "nested parameters": THREE.replace("qubit", "input float t; qubit", 1)
    + "float x = t; for int i in [0:100000] { x = sin(x); } rz(x) q[0];",
    "comment": TWO + "/*" * 100_000,
    "string": 'OPENQASM 2.0; include "' + "a" * 100_000,
    "name": TWO + "h" * 1_000_000 + " q[0];",
    "spaces": TWO + " " * 3_000_000 + "h q[0]",
    "semicolons": TWO + ";" * 100_000,
    "header": "OPENQASM " * 100_000,
    "NUL": TWO + "\0" * 1000,
    "NUL in include": 'OPENQASM 2.0; include "a\0b";',
    "surrogates": TWO + "\ud800",
    "braces": TWO + "gate g a " + "{" * 100_000,
    "device": 'OPENQASM 3; include "/dev/zero";',
    "range": THREE + "let a = q[0:1:1000000000000];",
    "index set": THREE + "let a = q[{" + "0," * 300_000 + "0}];",
    "concatenation": THREE + "let a = " + " ++ ".join(["q"] * 5_000) + ";",
    "aliases": THREE + "let a0 = c ++ c;" + "".join(f"let a{k} = a{k - 1} ++ a{k - 1};" for k in range(1, 60)),
    "bits in a loop": THREE + "for int i in [0:999999] { bit[1000] b; }",
    "array": THREE + "array[int, 1000000000] a;",
    "array in a loop": THREE + "array[int, 3] a = {1, 2, 3}; for int i in [0:999999] { a[0] = i; a[9] = 1; }",
    "gate on too many qubits": TWO + "gate g " + ",".join(f"a{k}" for k in range(5_000)) + " { } g q[0];",
    "repeated definitions": TWO + "".join(f"gate g{k} a {{ x a; }} g{k} q[0];" for k in range(2_000)) + "h r;",
}
READ = {"semicolons", "gates, unused", "power", "power of a wide gate", "power in gates"}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_texts_end_quickly(name: str) -> None:
    started = time.process_time()
    if name in READ:
        loads(HOSTILE[name])
    else:
        with pytest.raises(QasmError) as caught:
            loads(HOSTILE[name])
        assert len(str(caught.value)) < 500
    assert time.process_time() - started < SECONDS


@pytest.mark.parametrize(
    ("data", "place"),
    [
        (b"OPENQASM 2.0;\nqreg \xff[1];", (2, 6)),
        (b"\xfe\xff\x00O", (1, 1)),
        (bytes(range(256)) * 100, (13, 118)),
    ],
)
def test_files_that_are_not_utf_8(tmp_path: Path, data: bytes, place: tuple[int, int]) -> None:
    (tmp_path / "bad.qasm").write_bytes(data)
    with pytest.raises(QasmError, match="is not UTF-8") as caught:
        load(tmp_path / "bad.qasm")
    assert (caught.value.line, caught.value.column) == place or data[0] == 0


def test_a_folder_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.qasm"):
        with pytest.raises(QasmError, match="can't be read"):
            load(path)


def test_size_and_operations_are_limited() -> None:
    with pytest.raises(QasmError, match=r"Limits\.file_bytes"):
        loads(TWO + " " * 1000, limits=Limits(file_bytes=1000))
    with pytest.raises(QasmError, match=r"Limits\.operations"):
        loads(TWO + "h q[0];" * 20, limits=Limits(operations=10))
    with pytest.raises(QasmError, match=r"Limits\.loop_iterations"):
        loads(THREE + "for int i in [0:10] { }", limits=Limits(loop_iterations=10))
    with pytest.raises(QasmError, match=r"Limits\.nesting"):
        loads(TWO + "rz(((1))) q[0];", limits=Limits(nesting=3))


def test_nesting_below_the_limit_is_read() -> None:
    assert len(loads(TWO + "rz(" + "(" * 100 + "1" + ")" * 100 + ") q[0];")) == 1
    chain = "gate a0 p { x p; }" + "".join(f"gate a{k} p {{ a{k - 1} p; }}" for k in range(1, 100))
    assert len(loads(TWO + chain + "a99 q[0];")) == 1
    assert len(loads(TWO + "rz(" + "1+" * 50_000 + "1) q[0];")) == 1


_SEEDS = [(DATA / name).read_text() for name in ("adder2.qasm", "teleport2.qasm", "features3.qasm")]
_SNIPPETS = ["(", ")", "[", "]", "{", "}", ";", ",", "-", "@", ":", "++", '"', "q", "c", "0", "9" * 30, "1e999", "->",
             "==", "ctrl @ ", "inv @ ", "pow(-3) @ ", "gate ", "def ", "if (c==1) ", "for int i in [0:3] ", "measure q",
             "let z = ", "\0", "π", "$0", "/*", "//", "end;", "return c;", "break;", "input float w;"]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(_SEEDS), st.integers(0, 2**32), st.integers(1, 6))
def test_mutated_programs_raise_nothing_but_qasm_errors(text: str, seed: int, mutations: int) -> None:
    rng = random.Random(seed)
    for _ in range(mutations):
        place = rng.randrange(len(text))
        length = rng.choice([0, 0, 1, 1, 3, 20])
        piece = rng.choice(_SNIPPETS) if rng.random() < 0.7 else text[rng.randrange(len(text)) :][: rng.randrange(30)]
        text = text[:place] + piece + text[place + length :]
    try:
        circuit = loads(text)
    except QasmError:
        return
    assert isinstance(circuit, Circuit)
    circuit.to_program()


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    for head in ("", TWO, THREE):
        with contextlib.suppress(QasmError):
            loads(head + text)
