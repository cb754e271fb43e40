"""The core of qsim: Program, Plan, backends, state and readout. Knows bits and matrices; imports nothing of ``qsim``.

>>> builder = ProgramBuilder(num_qubits=1)
>>> builder.rotation("X", 3.141592653589793, (0,))
>>> compile_program(builder.finish()).straight_line
True
"""

from __future__ import annotations

from .compiler import compile_program
from .executor import execute
from .operations import (
    Angle,
    Channel,
    Dense,
    Diagonal,
    If,
    Initialize,
    Measure,
    Permutation,
    Phase,
    Reset,
    Rotation,
    While,
)
from .plan import Coefficients, Plan
from .program import Program, ProgramBuilder
from .state import StateVector
from .trivial_plan import trivial_plan
from .types import Precision

__version__ = "0.1.0"

__all__ = [
    "Angle",
    "Channel",
    "Coefficients",
    "Dense",
    "Diagonal",
    "If",
    "Initialize",
    "Measure",
    "Permutation",
    "Phase",
    "Plan",
    "Precision",
    "Program",
    "ProgramBuilder",
    "Reset",
    "Rotation",
    "StateVector",
    "While",
    "__version__",
    "compile_program",
    "execute",
    "trivial_plan",
]
