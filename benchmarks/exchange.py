"""Our circuits as plain data for other simulators.

>>> from qsim import Circuit
>>> [(g.name, g.targets, g.controls) for g in job_of(Circuit(2).h(0).cx(0, 1)).gates]
[('h', (0,), ()), ('x', (1,), (0,))]
"""

from __future__ import annotations

import numpy as np

from qsim import Circuit
from qsim.instructions import Instruction, UnitaryGate
from qsim_core.errors import UnsupportedError, expected
from qsim_core.gates import GATES, GateSpec

from .peers.job import Gate, Job

__all__ = ["gate_of", "job_of"]


def job_of(circuit: Circuit, precision: str = "double", threads: int = 1, dense: bool = False) -> Job:
    """Return a circuit of gates and unitaries as a job.

    Raises:
        UnsupportedError: for anything else than gates.
    """
    gates = tuple(map(gate_of, circuit.instructions))
    return Job(circuit.num_qubits, gates, precision, threads, dense)


def gate_of(instruction: Instruction) -> Gate:
    """Return one gate: its controls apart, X where they are zero left to the caller."""
    op, params = instruction.op, tuple(map(float, instruction.params))
    if not isinstance(op, GateSpec | UnitaryGate) or 0 in instruction.control_values:
        raise UnsupportedError(expected("circuit to compare", "gates and matrices, controls on one", instruction.name))
    if isinstance(op, UnitaryGate):
        return Gate("unitary", instruction.qubits, instruction.controls, (), np.asarray(op.matrix))
    controls = instruction.controls + instruction.qubits[: op.num_controls]
    base = GATES[op.base] if op.num_controls else op
    return Gate(base.name, instruction.qubits[op.num_controls :], controls, params, np.asarray(base.matrix(*params)))
