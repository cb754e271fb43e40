"""What a run will need, from its plan alone: bytes, passes, seconds, and what to do when it does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from qsim_core.compiler import compile_program
from qsim_core.kernels import registry
from qsim_core.program import Program
from qsim_core.resources import available_memory, available_threads, format_bytes
from qsim_core.types import Precision

from ..costs import Costs, costs_of

__all__ = ["Estimate", "estimate"]


@dataclass(frozen=True)
class Estimate:
    """What a plan costs; ``memory`` names every copy in bytes."""

    num_qubits: int
    backend: str
    precision: Precision
    passes: int
    operations: int
    shots: int | None
    branching: bool
    memory: dict[str, int]
    costs: Costs
    free_bytes: int

    @property
    def bytes(self) -> int:
        """All copies together."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        """Whether that is free now."""
        return self.bytes <= self.free_bytes

    def remedies(self) -> list[str]:
        """Return what would make it fit, the cheapest for the user first."""
        if self.fits:
            return []
        rest = self.bytes - self.memory["state"]
        result = []
        if self.precision is Precision.DOUBLE:
            half = self.memory["state"] // 2 + rest
            verdict = "fits" if half <= self.free_bytes else f"still needs {format_bytes(half)}"
            single = f"--precision single halves the state: {verdict}"
            if half <= self.free_bytes:
                result.append(single)
        if self.memory["samples"] and self.bytes - self.memory["samples"] <= self.free_bytes:
            result.append(f"fewer --shots: the samples alone take {format_bytes(self.memory['samples'])}")
        by_qubits = self.memory["state"] + self.memory["scratch"]  # halves with every qubit less
        room = max(1, self.free_bytes - self.memory["samples"])
        fits = max(0, self.num_qubits - (-(-by_qubits // room) - 1).bit_length())
        result.append(f"fewer qubits: {fits} fit here in {self.precision.value} precision")
        result.append(f"a machine with {format_bytes(self.bytes)} of free memory")
        if self.precision is Precision.DOUBLE and single not in result:
            result.append(single)
        return result

    def to_json(self) -> dict[str, Any]:
        """Return the estimate as plain data."""
        return {
            "num_qubits": self.num_qubits,
            "backend": self.backend,
            "precision": self.precision.value,
            "operations": self.operations,
            "passes": self.passes,
            "shots": self.shots,
            "bytes": self.bytes,
            "memory": self.memory,
            **self.costs.to_json(),
            "free_bytes": self.free_bytes,
            "fits": self.fits,
            "remedies": self.remedies(),
        }


def estimate(
    program: Program,
    backend: str,
    precision: Precision,
    shots: int | None,
    threads: int | None = None,
    measure: bool = False,
) -> Estimate:
    """Plan a program and return its cost; nothing of the size of the state is allocated, unless to ``measure``."""
    chosen = registry.backend(backend)
    plan = compile_program(program, precision=precision, target=chosen.name)
    words = max(1, -(-program.num_clbits // 64))
    memory = {
        "state": precision.bytes_per_amplitude << program.num_qubits,
        "scratch": chosen.scratch_bytes(plan),
        "samples": 8 * words * (shots or 0),
        "plan": sum(column.nbytes for column in plan.ops.columns),
    }
    free = available_memory()
    measure = measure and sum(memory.values()) <= free
    return Estimate(
        num_qubits=program.num_qubits,
        backend=chosen.name,
        precision=precision,
        passes=len(plan.passes),
        operations=len(plan.ops),
        shots=shots,
        branching=not plan.straight_line,
        memory=memory,
        costs=costs_of(program, plan, chosen, threads or available_threads(), measure=measure),
        free_bytes=free,
    )
