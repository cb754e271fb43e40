"""What a file may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass

from qsim_core.types import MAX_QUBITS

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on a text and on what it expands to; exceeding one is a :class:`QasmError` that names the field.

    Attributes:
        file_bytes: size of the file, and of each file it includes.
        nesting: parentheses, blocks, gates within gates and subroutines within subroutines.
        qubits: sum of the sizes of all quantum registers.
        clbits: sum of the sizes of all classical registers; also the longest list of values or indices.
        operations: gates, measurements and other operations after broadcasting and inlining.
        loop_iterations: rounds of all unrolled loops together; also the longest range.
        subroutine_calls: inlined calls of ``def`` subroutines.
        integer_bits: size of integers in compile-time arithmetic.
        while_rounds: rounds after which a loop on measured bits stops with an error at run time.
    """

    file_bytes: int = 64 * 2**20
    nesting: int = 128
    qubits: int = MAX_QUBITS
    clbits: int = 65_536
    operations: int = 5_000_000
    loop_iterations: int = 25_000
    subroutine_calls: int = 50_000
    integer_bits: int = 128
    while_rounds: int = 1_000_000
