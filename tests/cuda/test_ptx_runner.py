"""The PTX runner itself: every opcode against its meaning, and every check against a kernel that breaks the rule."""

from __future__ import annotations

import math
import platform
import re
import shutil
import struct
from dataclasses import dataclass

import numpy as np
import pytest

if platform.machine() != "x86_64" or shutil.which("g++") is None:
    pytest.skip("the PTX runner needs g++ on x86-64", allow_module_level=True)

from tests.cuda import emulated
from tests.cuda.ptx.runner import CHECKED, Memory, PtxFault, PtxModule
from tests.cuda.ptx.translate import _HANDLERS, UnknownPtx, instructions, kernels, translate

HEADER = ".version 8.0\n.target sm_90\n.address_size 64\n"
FORMAT = {
    "u16": "H",
    "s16": "h",
    "u32": "I",
    "s32": "i",
    "b32": "I",
    "u64": "Q",
    "s64": "q",
    "b64": "Q",
    "f32": "f",
    "f64": "d",
}
F = struct.pack


def f32(value: float) -> float:
    return float(np.float32(value))


@dataclass(frozen=True)
class Case:
    """``code`` leaves its result in %d; %a, %b, %c hold ``inputs`` of the types ``types``; d's type comes first."""

    code: str
    types: str
    inputs: tuple[float, ...]
    expected: float
    setup: str = ""

    @property
    def opcode(self) -> str:
        return self.code.split("{")[0].split(".")[0].split()[0]


BIG, NEG = 0xFFFF_FFFF_0000_0001, -7
#: Pairs to compare: less, equal, greater, and what tells numbers with a sign from others, or NaN from all.
NUMBERS = {
    "s": ((NEG, 3), (3, 3), (4, 3), (5, NEG)),
    "u": ((3, 60_000), (3, 3), (60_000, 3), (0, 0)),
    "b": ((3, 60_000), (3, 3), (60_000, 3), (0, 0)),
    "f": ((-1.5, 2.0), (2.0, 2.0), (2.0, -1.5), (math.nan, 1.0)),
}
COMPARISONS = (
    ("eq", "b32 b64", (0, 1, 0, 1)), ("eq", "s16 s64", (0, 1, 0, 0)), ("ne", "s64", (1, 0, 1, 1)),
    ("lt", "u16 u64", (1, 0, 0, 0)), ("lt", "f64", (1, 0, 0, 0)), ("le", "u64", (1, 1, 0, 1)),
    ("gt", "s32", (0, 0, 1, 1)), ("gt", "u32 u64", (0, 0, 1, 0)), ("gt", "f64", (0, 0, 1, 0)),
    ("ge", "s32", (0, 1, 1, 1)), ("ge", "u32 u64", (0, 1, 1, 1)), ("ge", "f64", (0, 1, 1, 0)),
    ("geu", "f64", (0, 1, 1, 1)),
)  # fmt: skip
CASES = [
    Case("add.s32 %d, %a, %b", "s32 s32 s32", (2**31 - 1, 1), -(2**31)),
    Case("add.s64 %d, %a, -8", "s64 s64", (5,), -3),
    Case("add.rn.f64 %d, %a, %b", "f64 f64 f64", (0.1, 0.2), 0.1 + 0.2),
    Case("add.f32 %d, %a, 0f3F800000", "f32 f32", (2.5,), 3.5),
    Case("sub.s32 %d, %a, %b", "s32 s32 s32", (-(2**31), 1), 2**31 - 1),
    Case("sub.f64 %d, %a, 0d3FF0000000000000", "f64 f64", (2.5,), 1.5),
    Case("mul.lo.s32 %d, %a, %b", "s32 s32 s32", (NEG, 100_000_000), -700_000_000),
    Case("mul.lo.s64 %d, %a, %b", "s64 s64 s64", (NEG, 3), -21),
    Case("mul.hi.u32 %d, %a, %b", "u32 u32 u32", (2**31, 6), 3),
    Case("mul.hi.s64 %d, %a, %b", "s64 s64 s64", (-(2**62), 8), -2),
    Case("mul.wide.s32 %d, %a, %b", "s64 s32 s32", (-(2**30), 8), -(2**33)),
    Case("mul.wide.u32 %d, %a, %b", "u64 u32 u32", (2**31, 8), 2**34),
    Case("mul.wide.u16 %d, %a, %b", "u32 u16 u16", (60_000, 60_000), 3_600_000_000),
    Case("mul.f32 %d, %a, %b", "f32 f32 f32", (1.1, 3.0), f32(np.float32(1.1) * np.float32(3.0))),
    Case("mad.lo.s32 %d, %a, %b, %c", "s32 s32 s32 s32", (3, -4, 5), -7),
    Case("mad.wide.s32 %d, %a, %b, %c", "s64 s32 s32 s64", (2**30, 4, -1), 2**32 - 1),
    Case("mad.lo.s64 %d, %a, %b, %c", "s64 s64 s64 s64", (2**40, 4, -1), 2**42 - 1),
    Case("fma.rn.f32 %d, %a, %b, %c", "f32 f32 f32 f32", (1 + 2**-12, 1 + 2**-12, -1.0), 2**-11 + 2**-24),
    Case("fma.rn.f64 %d, %a, %b, %c", "f64 f64 f64 f64", (1 + 2**-30, 1 + 2**-30, -1.0), 2**-29 + 2**-60),
    Case("div.rn.f64 %d, %a, %b", "f64 f64 f64", (1.0, 3.0), 1 / 3),
    Case("div.s32 %d, %a, %b", "s32 s32 s32", (NEG, 2), -3),
    Case("div.u64 %d, %a, %b", "u64 u64 u64", (BIG, 10), BIG // 10),
    Case("rem.s32 %d, %a, %b", "s32 s32 s32", (NEG, 4), -3),
    Case("rem.u32 %d, %a, %b", "u32 u32 u32", (17, 5), 2),
    Case("min.s32 %d, %a, %b", "s32 s32 s32", (NEG, 4), NEG),
    Case("min.u32 %d, %a, %b", "u32 u32 u32", (2**32 - 1, 4), 4),
    Case("max.s64 %d, %a, %b", "s64 s64 s64", (NEG, 4), 4),
    Case("max.f64 %d, %a, %b", "f64 f64 f64", (math.nan, 4.0), 4.0),
    Case("and.b32 %d, %a, %b", "b32 b32 b32", (0b1100, 0b1010), 0b1000),
    Case("or.b64 %d, %a, %b", "b64 b64 b64", (0b1100, 0b1010), 0b1110),
    Case("xor.b32 %d, %a, %b", "b32 b32 b32", (0b1100, 0b1010), 0b0110),
    Case("not.b64 %d, %a", "b64 b64", (0,), 2**64 - 1),
    Case("neg.s32 %d, %a", "s32 s32", (NEG,), 7),
    Case("neg.f64 %d, %a", "f64 f64", (0.5,), -0.5),
    Case("abs.f32 %d, %a", "f32 f32", (-0.5,), 0.5),
    Case("abs.s32 %d, %a", "s32 s32", (NEG,), 7),
    Case("sqrt.rn.f64 %d, %a", "f64 f64", (2.0,), math.sqrt(2)),
    Case("rcp.rn.f64 %d, %a", "f64 f64", (3.0,), 1 / 3),
    Case("rsqrt.approx.f32 %d, %a", "f32 f32", (4.0,), 0.5),
    Case("ex2.approx.f32 %d, %a", "f32 f32", (3.0,), 8.0),
    Case("lg2.approx.f32 %d, %a", "f32 f32", (8.0,), 3.0),
    Case("sin.approx.f32 %d, %a", "f32 f32", (0.0,), 0.0),
    Case("cos.approx.f32 %d, %a", "f32 f32", (0.0,), 1.0),
    Case("popc.b64 %d, %a", "u32 b64", (BIG,), 33),
    Case("clz.b32 %d, %a", "u32 b32", (1,), 31),
    Case("clz.b64 %d, %a", "u32 b64", (0,), 64),
    Case("brev.b32 %d, %a", "b32 b32", (1,), 2**31),
    Case("bfind.u32 %d, %a", "u32 u32", (0b1010,), 3),
    Case("bfind.u64 %d, %a", "u32 u64", (0,), 2**32 - 1),
    Case("shl.b32 %d, %a, %b", "b32 b32 u32", (3, 31), 2**31),
    Case("shl.b64 %d, %a, %b", "b64 b64 u32", (1, 36), 2**36),
    Case("shl.b32 %d, %a, %b", "b32 b32 u32", (3, 32), 0),
    Case("shr.s32 %d, %a, %b", "s32 s32 u32", (-8, 1), -4),
    Case("shr.s64 %d, %a, %b", "s64 s64 u32", (-8, 70), -1),
    Case("shr.u64 %d, %a, %b", "u64 u64 u32", (BIG, 32), 0xFFFF_FFFF),
    Case("shf.l.wrap.b32 %d, %a, %b, %c", "b32 b32 b32 u32", (0x8000_0000, 1, 1), 3),
    Case("shf.r.wrap.b32 %d, %a, %b, %c", "b32 b32 b32 u32", (2, 1, 1), 0x8000_0001),
    Case("shf.r.clamp.b32 %d, %a, %b, %c", "b32 b32 b32 u32", (2, 9, 40), 9),
    Case("prmt.b32 %d, %a, %b, %c", "b32 b32 b32 b32", (0x03020100, 0x87060504, 0xF701), 0xFF870001),
    Case("lop3.b32 %d, %a, %b, %c, 0xEA", "b32 b32 b32 b32", (0b1100, 0b1010, 1), 0b1001),
    Case("bfe.u32 %d, %a, %b, %c", "u32 u32 u32 u32", (0b110100, 2, 3), 0b101),
    Case("bfe.u64 %d, %a, %b, %c", "u64 u64 u32 u32", (BIG, 32, 32), 0xFFFF_FFFF),
    Case("bfi.b32 %d, %a, %b, 4, 2", "b32 b32 b32", (0b11, 0), 0b110000),
    Case("bfi.b64 %d, %a, %b, 0, 32", "b64 b64 b64", (5, BIG), 0xFFFF_FFFF_0000_0005),
    Case("setp.lt.s32 %p0, %a, %b; selp.b32 %d, 1, 2, %p0", "b32 s32 s32", (NEG, 3), 1),
    Case("setp.lt.u32 %p0, %a, %b; selp.b32 %d, 1, 2, %p0", "b32 s32 s32", (NEG, 3), 2),
    Case("setp.ne.f64 %p0, %a, %b; selp.b32 %d, 1, 2, %p0", "b32 f64 f64", (math.nan, 3.0), 2),
    Case("setp.neu.f64 %p0, %a, %b; selp.b32 %d, 1, 2, %p0", "b32 f64 f64", (math.nan, 3.0), 1),
    Case("setp.nan.f32 %p0, %a, %a; selp.b32 %d, 1, 2, %p0", "b32 f32", (math.nan,), 1),
    Case("setp.ge.s64 %p0|%p1, %a, %b; selp.b32 %d, 1, 2, %p1", "b32 s64 s64", (NEG, 3), 1),
    Case("setp.eq.and.b32 %p1, %a, %b, %p0; selp.b32 %d, 1, 2, %p1", "b32 b32 b32", (3, 3), 2, "setp.ne.s32 %p0, 1, 1;"),
    Case("setp.eq.and.b32 %p1, %a, %b, !%p0; selp.b32 %d, 1, 2, %p1", "b32 b32 b32", (3, 3), 1, "setp.ne.s32 %p0, 1, 1;"),
    Case("selp.f64 %d, %a, %b, %p0", "f64 f64 f64", (1.5, 2.5), 2.5, "setp.ne.s32 %p0, 1, 1;"),
    Case("not.pred %p1, %p0; selp.b32 %d, 1, 2, %p1", "b32", (), 1, "setp.ne.s32 %p0, 1, 1;"),
    Case("or.pred %p1, %p0, %p2; selp.b32 %d, 1, 2, %p1", "b32", (), 1, "setp.ne.s32 %p0, 1, 1; setp.eq.s32 %p2, 1, 1;"),
    Case("selp.u64 %d, %a, %b, %p0", "u64 u64 u64", (BIG, 7), 7, "setp.ne.s32 %p0, 1, 1;"),
    Case("and.pred %p1, %p0, %p0; selp.b32 %d, 1, 2, %p1", "b32", (), 2, "setp.ne.s32 %p0, 1, 1;"),
    Case("mov.b64 {%r8, %r9}, %a; mov.b64 %d, {%r9, %r8}", "b64 b64", (1 + (2 << 32),), 2 + (1 << 32)),
    Case("mov.f64 %d, %a", "f64 f64", (1.25,), 1.25),
    Case("mov.pred %p1, %p0; selp.b32 %d, 1, 2, %p1", "b32", (), 2, "setp.ne.s32 %p0, 1, 1;"),
    Case("mov.u32 %d, %ntid.x", "u32", (), 1),
    Case("cvt.s64.s32 %d, %a", "s64 s32", (NEG,), NEG),
    Case("cvt.u64.u32 %d, %a", "u64 u32", (2**32 - 1,), 2**32 - 1),
    Case("cvt.u32.u64 %d, %a", "u32 u64", (BIG,), 1),
    Case("cvt.u16.u32 %d, %a", "u32 u32", (0x12345,), 0x2345),
    Case("cvt.s32.s16 %d, %a", "s32 s16", (NEG,), NEG),
    Case("cvt.rn.f32.f64 %d, %a", "f32 f64", (0.1,), f32(0.1)),
    Case("cvt.f64.f32 %d, %a", "f64 f32", (0.1,), f32(0.1)),
    Case("cvt.rn.f64.s32 %d, %a", "f64 s32", (NEG,), -7.0),
    Case("cvt.rn.f64.u64 %d, %a", "f64 u64", (BIG,), float(BIG)),
    Case("cvt.rzi.s32.f64 %d, %a", "s32 f64", (-2.9,), -2),
    Case("cvt.rzi.s32.f64 %d, %a", "s32 f64", (1e20,), 2**31 - 1),
    Case("cvt.rzi.s64.f64 %d, %a", "s64 f64", (-(2.0**40) - 0.9,), -(2**40)),
    Case("cvt.rzi.s64.f64 %d, %a", "s64 f64", (-1e20,), -(2**63)),
    # NaN gives 0 where no type has 64 bits, otherwise the highest bit alone.
    Case("cvt.rzi.s32.f32 %d, %a", "s32 f32", (math.nan,), 0),
    Case("cvt.rzi.u32.f32 %d, %a", "u32 f32", (math.nan,), 0),
    Case("cvt.rzi.s32.f64 %d, %a", "s32 f64", (math.nan,), -(2**31)),
    Case("cvt.rzi.u32.f64 %d, %a", "u32 f64", (math.nan,), 2**31),
    Case("cvt.rni.s64.f32 %d, %a", "s64 f32", (math.nan,), -(2**63)),
    Case("cvt.rzi.u64.f64 %d, %a", "u64 f64", (math.nan,), 2**63),
    Case("cvt.rzi.s64.f64 %d, %a", "s64 f64", (math.nan,), -(2**63)),
    Case("cvt.rni.f64.f64 %d, %a", "f64 f64", (2.5,), 2.0),
    Case("@%p0 bra $skip; mov.u32 %d, 1; bra.uni $end; $skip: mov.u32 %d, 2; $end:", "u32", (), 2, "setp.eq.s32 %p0, 1, 1;"),
    Case("@!%p0 bra $skip; mov.u32 %d, 1; bra.uni $end; $skip: mov.u32 %d, 2; $end:", "u32", (), 1, "setp.eq.s32 %p0, 1, 1;"),
    Case("add.f64 %d, %a, %b", "f64 f64 f64", (0.1, 0.2), 0.1 + 0.2),
    Case("sub.f32 %d, %a, %b", "f32 f32 f32", (0.5, 2.0), -1.5),
    Case("sub.s16 %d, %a, %b", "s16 s16 s16", (-(2**15), 1), 2**15 - 1),
    Case("sub.s64 %d, %a, %b", "s64 s64 s64", (-(2**63), 1), 2**63 - 1),
    Case("mul.f64 %d, %a, %b", "f64 f64 f64", (1.1, 3.0), 1.1 * 3.0),
    Case("div.u16 %d, %a, %b", "u16 u16 u16", (60_000, 7), 8571),
    Case("div.u32 %d, %a, %b", "u32 u32 u32", (2**32 - 1, 7), (2**32 - 1) // 7),
    Case("rem.u64 %d, %a, %b", "u64 u64 u64", (BIG, 10), BIG % 10),
    Case("max.s32 %d, %a, %b", "s32 s32 s32", (NEG, 4), 4),
    Case("max.u64 %d, %a, %b", "u64 u64 u64", (2**64 - 1, 4), 2**64 - 1),
    Case("max.u32 %d, %a, %b", "u32 u32 u32", (2**32 - 1, 4), 2**32 - 1),
    Case("and.b16 %d, %a, %b", "u16 u16 u16", (0xF00F, 0x0FFF), 0x000F),
    Case("and.b64 %d, %a, %b", "b64 b64 b64", (BIG, 2**63 + 1), 2**63 + 1),
    Case("or.b32 %d, %a, %b", "b32 b32 b32", (0b1100, 0b1010), 0b1110),
    Case("xor.b64 %d, %a, %b", "b64 b64 b64", (BIG, 1), BIG - 1),
    Case("not.b32 %d, %a", "b32 b32", (0,), 2**32 - 1),
    Case("neg.f32 %d, %a", "f32 f32", (0.5,), -0.5),
    Case("neg.s64 %d, %a", "s64 s64", (NEG,), 7),
    Case("popc.b32 %d, %a", "u32 b32", (0xF00F,), 8),
    Case("shr.u32 %d, %a, %b", "u32 u32 u32", (2**31, 31), 1),
    Case("mov.b32 %d, %a", "b32 b32", (7,), 7),
    Case("mov.f32 %d, %a", "f32 f32", (1.25,), 1.25),
    Case("cvt.u32.u16 %d, %a", "u32 u16", (60_000,), 60_000),
    Case("selp.f32 %d, %a, %b, %p0", "f32 f32 f32", (1.5, 2.5), 1.5, "setp.eq.s32 %p0, 1, 1;"),
    Case("selp.u32 %d, %a, %b, %p0", "u32 u32 u32", (1, 2), 2, "setp.ne.s32 %p0, 1, 1;"),
    Case("selp.b64 %d, %a, %b, %p0", "b64 b64 b64", (BIG, 2), BIG, "setp.eq.s32 %p0, 1, 1;"),
    Case("xor.pred %p1, %p0, %p0; selp.b32 %d, 1, 2, %p1", "b32", (), 2, "setp.eq.s32 %p0, 1, 1;"),
    *(
        Case(f"setp.{name}.{kind} %p0, %a, %b; selp.b32 %d, 1, 0, %p0", f"b32 {kind} {kind}", pair, result)
        for name, kinds, outcomes in COMPARISONS
        for kind in kinds.split()
        for pair, result in zip(NUMBERS[kind[0]], outcomes, strict=True)
    ),
    Case("atom.global.add.u32 %d, [%rd1+96], 5; ld.global.u32 %d, [%rd1+96]", "u32", (), 5),
    Case("red.global.add.f64 [%rd1+96], %a; ld.global.f64 %d, [%rd1+96]", "f64 f64", (0.5,), 0.5),
    Case("red.global.max.u32 [%rd1+96], 7; ld.global.u32 %d, [%rd1+96]", "u32", (), 7),
    Case("atom.cas.b64 %d, [%rd1+96], 0, 9; ld.global.u64 %d, [%rd1+96]", "u64", (), 9),
    Case("mov.u64 %rd5, buffer; cvta.shared.u64 %rd5, %rd5; st.u64 [%rd5], %a; ld.shared.u64 %d, [buffer]",
         "u64 u64", (BIG,), BIG),
    Case("cvta.to.global.u64 %rd6, %rd1; ld.global.nc.u32 %d, [%rd6+96]", "u32", (), 0),
    Case("st.shared.v2.u32 [buffer+8], {%a, %b}; ld.shared.u64 %d, [buffer+8]", "u64 u32 u32", (1, 2), 1 + (2 << 32)),
    Case("shfl.sync.bfly.b32 %d|%p0, %a, 1, 31, 1", "u32 u32", (7,), None),
    Case("vote.sync.ballot.b32 %d, %p0, 1", "u32", (), 1, "setp.eq.s32 %p0, 1, 1;"),
    Case("vote.sync.any.pred %p1, %p0, 1; selp.b32 %d, 1, 2, %p1", "b32", (), 2, "setp.ne.s32 %p0, 1, 1;"),
    Case("bar.warp.sync 1; mov.u32 %d, 3", "u32", (), 3),
    Case("bar.sync 0; mov.u32 %d, 3", "u32", (), 3),
    Case("barrier.sync 0; mov.u32 %d, 3", "u32", (), 3),
    Case("membar.gl; mov.u32 %d, 3", "u32", (), 3),
    Case("fence.acq_rel.gpu; mov.u32 %d, 3", "u32", (), 3),
    Case("prefetch.global.L2 [%rd1]; mov.u32 %d, 3", "u32", (), 3),
    Case("prefetchu.L1 [%rd1]; mov.u32 %d, 3", "u32", (), 3),
    Case("ldu.global.u32 %d, [%rd1+96]", "u32", (), 0),
]  # fmt: skip
CASES = [case for case in CASES if case.expected is not None]
#: Loads and stores of every width, in every space.
MOVES = [
    (space, vector, kind)
    for space in ("", ".global", ".shared")
    for vector in ("", ".v2", ".v4")
    for kind in ("u32", "u64", "f32", "f64")
    if (vector, kind[1:]) != (".v4", "64")
]
#: Met in every kernel of this file, or in a test of their own below.
ELSEWHERE = {"ld", "st", "ret", "exit", "shfl", "trap"}


def entry(index: int, case: Case) -> str:
    kinds = case.types.split()
    width = {kind: "b" + kind[1:] for kind in FORMAT}
    declare = "".join(f".reg .{width[kind]} %{name};\n" for name, kind in zip("dabc", kinds, strict=False))
    load = "".join(
        f"ld.global.{kind} %{name}, [%rd1+{8 * k}];\n"
        for k, (name, kind) in enumerate(zip("abc", kinds[1:], strict=False))
    )
    code = case.code if case.code.endswith(":") else case.code + ";"
    return f""".visible .entry case{index}(.param .u64 p0) .maxntid 1 {{
.reg .pred %p<4>; .reg .b32 %r<12>; .reg .b64 %rd<12>;
{declare} .shared .align 16 .b8 buffer[64];
ld.param.u64 %rd1, [p0]; {load} {case.setup} {code}
st.global.{kinds[0]} [%rd1+64], %d; ret; }}
"""


@pytest.fixture(scope="module")
def opcodes() -> PtxModule:
    return PtxModule(HEADER + "".join(entry(k, case) for k, case in enumerate(CASES)), "-O0")


@pytest.mark.parametrize("index", range(len(CASES)), ids=[case.code for case in CASES])
def test_an_opcode_means_what_the_isa_says(opcodes: PtxModule, index: int) -> None:
    case, memory = CASES[index], Memory()
    address = memory.allocate(128)
    view = memory.view(address, 128)
    view[:] = 0
    kinds = case.types.split()
    for k, (kind, value) in enumerate(zip(kinds[1:], case.inputs, strict=True)):
        view[8 * k : 8 * k + struct.calcsize(FORMAT[kind])] = np.frombuffer(F(FORMAT[kind], value), np.uint8)
    opcodes.launch(f"case{index}", (1, 1, 1), (1, 1, 1), F("Q", address), memory)
    size = struct.calcsize(FORMAT[kinds[0]])
    (found,) = struct.unpack(FORMAT[kinds[0]], view[64 : 64 + size].tobytes())
    assert found == case.expected


def test_every_known_opcode_has_a_case() -> None:
    inside = {word.split(".")[0] for case in CASES for word in case.code.replace(";", " ").split()}
    assert set(_HANDLERS) - inside == ELSEWHERE - inside


def mnemonics(text: str) -> set[str]:
    """Return all opcodes with their modifiers."""
    return set(re.findall(r"(?<![\w%$.])[a-z]\w*(?:\.[\w:]+)+|\bret\b", text))


@pytest.mark.parametrize("arch", ["compute_80", "compute_90", "compute_100", "compute_120"])
def test_every_opcode_the_kernels_use_has_a_case(arch: str) -> None:
    """Modifiers and types included: what nvcc emits for our kernels is what is tested here, one by one."""
    if emulated.nvcc() is None:
        pytest.skip("needs nvcc: pip install qsim-core[test-cuda]")
    tested = mnemonics(" ".join(f"{case.setup} {case.code}" for case in CASES))
    tested |= {f"{name}{''.join(move[:2])}.{move[2]}" for name in ("ld", "st") for move in MOVES}
    tested |= {"ld.param.u64", "shfl.sync.bfly.b32", "ret"}
    used = {o for e in kernels(emulated.ptx(arch)).values() for s in instructions(e.statements) for o in mnemonics(s)}
    assert len(used) > 60
    assert used <= tested, used - tested


@pytest.fixture(scope="module")
def moves() -> PtxModule:
    texts = []
    for k, (space, vector, kind) in enumerate(MOVES):
        width, count = int(kind[1:]), int(vector[2:] or 1)
        first = "{" + ", ".join(f"%v{n}" for n in range(count)) + "}" if vector else "%v0"
        second = first.replace("%v", "%w")
        room = "mov.u64 %rd2, buffer; cvta.shared.u64 %rd2, %rd2;" if not space else "mov.u64 %rd2, buffer;"
        there, back = ("%rd2", "%rd2") if space != ".global" else ("%rd1+64", "%rd1+64")
        texts.append(f""".visible .entry move{k}(.param .u64 p0) .maxntid 1 {{
.reg .b{width} %v<4>; .reg .b{width} %w<4>; .reg .b64 %rd<4>; .shared .align 16 .b8 buffer[64];
ld.param.u64 %rd1, [p0]; {room} ld.global{vector}.{kind} {first}, [%rd1];
st{space}{vector}.{kind} [{there}], {first}; ld{space}{vector}.{kind} {second}, [{back}];
st.global{vector}.{kind} [%rd1+32], {second}; ret; }}
""")
    return PtxModule(HEADER + "".join(texts), "-O0")


@pytest.mark.parametrize("index", range(len(MOVES)), ids=["".join(move) for move in MOVES])
def test_loads_and_stores(moves: PtxModule, index: int) -> None:
    _, vector, kind = MOVES[index]
    size = int(vector[2:] or 1) * int(kind[1:]) // 8
    memory = Memory()
    view = memory.view(address := memory.allocate(128), 128)
    view[:] = np.arange(128)
    moves.launch(f"move{index}", (1, 1, 1), (1, 1, 1), F("Q", address), memory)
    assert view[32:64].tolist() == [*range(size), *range(32 + size, 64)]


@pytest.mark.parametrize(
    "code",
    ["tex.2d.v4.f32 {%r1, %r2, %r3, %r4}, [x, {%r1, %r2}]", "add.sat.s32 %r1, %r2, %r3", "fma.rz.f32 %r1, %r2, %r3, %r4",
     "ld.local.u32 %r1, [%rd1]", "bar.sync 1, 64", "call foo", "cvt.sat.f32.f32 %r1, %r2", "setp.xx.s32 %p0, %r1, %r2"],
)  # fmt: skip
def test_what_it_does_not_know_is_an_error(code: str) -> None:
    with pytest.raises(UnknownPtx):
        translate(
            HEADER + f".visible .entry k() {{ .reg .pred %p<2>; .reg .b32 %r<9>; .reg .b64 %rd<3>; {code}; ret; }}"
        )


# --- shuffles ------------------------------------------------------------------------------------------------------------

LAST = {"up": 0, "down": 31, "bfly": 31, "idx": 31}
SHUFFLES = [(mode, argument, segment) for mode in LAST for argument in (0, 1, 5, 16, 31) for segment in (32, 8)]


@pytest.fixture(scope="module")
def shuffles() -> PtxModule:
    kernels = [
        f""".visible .entry k{k}(.param .u64 p0) .maxntid 32 {{
.reg .pred %p<2>; .reg .b32 %r<5>; .reg .b64 %rd<4>;
ld.param.u64 %rd1, [p0]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 8; add.s64 %rd3, %rd1, %rd2;
shfl.sync.{mode}.b32 %r2|%p1, %r1, {argument}, {LAST[mode] | (32 - segment) << 8}, -1; selp.b32 %r3, 1, 0, %p1;
st.global.v2.u32 [%rd3], {{%r2, %r3}}; ret; }}
"""
        for k, (mode, argument, segment) in enumerate(SHUFFLES)
    ]
    return PtxModule(HEADER + "".join(kernels), "-O0")


@pytest.mark.parametrize("index", range(len(SHUFFLES)), ids=[f"{m}-{a}-{s}" for m, a, s in SHUFFLES])
def test_shuffles(shuffles: PtxModule, index: int) -> None:
    mode, argument, segment = SHUFFLES[index]
    memory = Memory()
    address = memory.allocate(256)
    shuffles.launch(f"k{index}", (1, 1, 1), (32, 1, 1), F("Q", address), memory)
    found = memory.view(address, 256).view(np.uint32).reshape(32, 2)
    for lane in range(32):
        first = lane // segment * segment
        wanted = {"up": lane - argument, "down": lane + argument, "bfly": lane ^ argument,
                  "idx": first + argument % segment}[mode]  # fmt: skip
        inside = first <= wanted if mode == "up" else wanted < first + segment
        assert found[lane].tolist() == [wanted if inside else lane, int(inside)]


# --- checks --------------------------------------------------------------------------------------------------------------

FAULTS = {
    "global memory out of bounds": "st.global.u32 [%rd1+1024], %r1;",
    "misaligned global": "st.global.v2.u32 [%rd1+4], {%r1, %r1};",
    "shared memory out of bounds": "st.shared.u32 [buffer+256], %r1;",
    "misaligned shared": "ld.shared.u64 %rd4, [buffer+4];",
    "nobody wrote": "ld.shared.u32 %r2, [buffer+16];",
    "race with a write": "st.shared.u32 [buffer], %r1;",
    "race with a write ": "st.global.u32 [%rd1], %r1;",
    "race with a [rw]": "st.shared.u32 [%r3], %r1; bar.sync 0; add.s32 %r1, %r1, 1; and.b32 %r1, %r1, 63; shl.b32 %r1, %r1, 2;"
    "add.s32 %r1, %r1, %r2; ld.shared.u32 %r4, [%r1]; st.shared.u32 [%r3], %r4;",
    "barrier after threads have ended": "setp.gt.u32 %p1, %r1, 9; @%p1 ret; bar.sync 0;",
    "different barriers": "setp.gt.u32 %p1, %r1, 9; @%p1 bra $b; bar.sync 0; ret; $b: bar.sync 0;",
    "names a lane that has ended": "setp.gt.u32 %p1, %r1, 9; @%p1 ret; shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;",
    "not all lanes of the mask": "setp.gt.u32 %p1, %r1, 9; @%p1 bra $c; shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1; $c: bar.sync 0;",
    "not in its own warp mask": "shfl.sync.bfly.b32 %r2, %r1, 1, 31, 7;",
    "reads a lane outside its mask": "setp.gt.u32 %p1, %r1, 1; @%p1 ret; shfl.sync.idx.b32 %r2, %r1, 5, 31, 3;",
    "trap": "trap;",
}  # fmt: skip


@pytest.fixture(scope="module")
def faults() -> PtxModule:
    kernels = [
        f""".visible .entry fault{k}(.param .u64 p0) .maxntid 64 {{
.reg .pred %p<3>; .reg .b32 %r<6>; .reg .b64 %rd<6>; .shared .align 16 .b8 buffer[256];
ld.param.u64 %rd1, [p0]; mov.u32 %r1, %tid.x; mov.u32 %r2, buffer; shl.b32 %r3, %r1, 2; add.s32 %r3, %r3, %r2;
{code} exit; }}
"""
        for k, code in enumerate(FAULTS.values())
    ]
    return PtxModule(HEADER + "".join(kernels), "-O0")


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("index", range(len(FAULTS)), ids=list(FAULTS))
def test_a_fault_is_reported(faults: PtxModule, index: int, reverse: bool) -> None:
    memory = Memory()
    address = memory.allocate(1024)
    with pytest.raises(PtxFault, match=list(FAULTS)[index].strip()):
        faults.launch(f"fault{index}", (1, 1, 1), (64, 1, 1), F("Q", address), memory, reverse=reverse)


def test_launches_are_checked(faults: PtxModule) -> None:
    memory = Memory()
    for name, threads, params, message in [
        ("nothing", 64, F("Q", 0), "no kernel nothing"),
        ("fault0", 65, F("Q", 0), "the kernel allows 64"),
        ("fault0", 64, F("I", 0), "8 bytes of parameters, got 4"),
    ]:
        with pytest.raises(PtxFault, match=message):
            faults.launch(name, (1, 1, 1), (threads, 1, 1), params, memory)
    with pytest.raises(PtxFault, match="not allocated"):
        memory.free(12345)


CROSS_BLOCK = (
    HEADER
    + """.visible .entry k(.param .u64 p0) .maxntid 32 {
.reg .b32 %r<4>; .reg .b64 %rd<5>;
ld.param.u64 %rd1, [p0]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
INSTRUCTION ret; }"""
)


@pytest.mark.parametrize(
    ("instruction", "fault"),
    [
        ("st.global.u32 [%rd3], %r1;", True),
        ("red.global.add.u32 [%rd3], %r1;", False),
        ("ld.global.u32 %r2, [%rd3];", False),
    ],
)
def test_two_blocks_may_not_share_a_word_they_write(instruction: str, fault: bool) -> None:
    module, memory = PtxModule(CROSS_BLOCK.replace("INSTRUCTION", instruction), "-O0"), Memory()
    address = memory.allocate(128)
    if fault:
        with pytest.raises(PtxFault, match="race with a write: block 1"):
            module.launch("k", (2, 1, 1), (32, 1, 1), F("Q", address), memory)
    for _ in range(2):  # one block after the other, in launches of their own, is no race
        module.launch("k", (1, 1, 1), (32, 1, 1), F("Q", address), memory, checks=CHECKED)


def test_traffic_counts_sectors_and_bank_conflicts() -> None:
    strided = """.visible .entry k(.param .u64 p0) .maxntid 32 {
.reg .b32 %r<6>; .reg .b64 %rd<5>; .shared .align 16 .b8 buffer[4096];
ld.param.u64 %rd1, [p0]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, STRIDE; add.s64 %rd3, %rd1, %rd2;
mov.u32 %r2, buffer; mad.lo.s32 %r3, %r1, STRIDE, %r2; ld.global.u32 %r4, [%rd3]; st.shared.u32 [%r3], %r4; ret; }"""
    for stride, sectors, wavefronts in [(4, 4, 1), (8, 8, 2), (128, 32, 32)]:
        module, memory = PtxModule(HEADER + strided.replace("STRIDE", str(stride)), "-O0"), Memory()
        address = memory.allocate(4096)
        load, store = module.launch("k", (1, 1, 1), (32, 1, 1), F("Q", address), memory, traffic=True)
        assert (load.requests, load.sectors, load.bytes) == (1, sectors, 128)
        assert (store.requests, store.wavefronts, store.bytes) == (1, wavefronts, 128)


def test_constants_of_a_module() -> None:
    text = """.weak .global .align 4 .u32 twelve = 12;
.const .align 8 .b64 table[2] = {7, 9};
.visible .entry k(.param .u64 p0) .maxntid 1 {
.reg .b32 %r<3>; .reg .b64 %rd<6>;
ld.param.u64 %rd1, [p0]; ld.const.u64 %rd2, [table+8]; mov.u64 %rd3, twelve; ld.global.u32 %r1, [%rd3];
cvt.u64.u32 %rd4, %r1; add.s64 %rd5, %rd2, %rd4; st.global.u64 [%rd1], %rd5; ret; }"""
    module, memory = PtxModule(HEADER + text, "-O0"), Memory()
    address = memory.allocate(8)
    module.launch("k", (1, 1, 1), (1, 1, 1), F("Q", address), memory, checks=0)
    assert memory.view(address, 8).view(np.uint64).tolist() == [21]
