"""What the backend accepts, as Qiskit's transpiler reads it: everything, on any qubits, without times or errors."""

from __future__ import annotations

from functools import cache
from typing import Any

from qiskit.circuit import (
    Barrier,
    BoxOp,
    BreakLoopOp,
    ContinueLoopOp,
    Delay,
    ForLoopOp,
    IfElseOp,
    Measure,
    Parameter,
    Reset,
    Store,
    SwitchCaseOp,
    WhileLoopOp,
)
from qiskit.circuit.library import (
    DiagonalGate,
    Initialize,
    MCPhaseGate,
    MCXGate,
    UnitaryGate,
    get_standard_gate_name_mapping,
)
from qiskit.transpiler import Target

from qsim_core.types import MAX_QUBITS

__all__ = ["make_target"]

#: Operations on any number of qubits, which a Target holds as classes.
_VARIADIC: dict[str, type] = {
    "barrier": Barrier,
    "unitary": UnitaryGate,
    "diagonal": DiagonalGate,
    "initialize": Initialize,
    "mcx": MCXGate,
    "mcphase": MCPhaseGate,
    "if_else": IfElseOp,
    "for_loop": ForLoopOp,
    "while_loop": WhileLoopOp,
    "switch_case": SwitchCaseOp,
    "break_loop": BreakLoopOp,
    "continue_loop": ContinueLoopOp,
    "box": BoxOp,
    "store": Store,
}


def make_target() -> Target:
    """Return a new Target of all gates and control flow, with all qubits connected."""
    target = Target("qsim state-vector simulator", num_qubits=MAX_QUBITS)
    for operation in get_standard_gate_name_mapping().values():
        target.add_instruction(operation, {None: None})
    for operation in (Measure(), Reset(), Delay(Parameter("t"))):
        if operation.name not in target.operation_names:
            target.add_instruction(operation, {None: None})
    for name, kind in (_VARIADIC | _save_instructions()).items():
        target.add_instruction(kind, name=name)
    return target


@cache
def _save_instructions() -> dict[str, Any]:
    """Return the save instructions that the backend understands, where Aer is installed."""
    try:
        from qiskit_aer import library
    except ImportError:
        return {}
    return {
        "save_statevector": library.SaveStatevector,
        "save_state": library.SaveState,
        "save_statevector_dict": library.SaveStatevectorDict,
        "save_amplitudes": library.SaveAmplitudes,
        "save_amplitudes_sq": library.SaveAmplitudesSquared,
        "save_probabilities": library.SaveProbabilities,
        "save_probabilities_dict": library.SaveProbabilitiesDict,
        "save_expval": library.SaveExpectationValue,
        "save_expval_var": library.SaveExpectationValueVariance,
        "save_density_matrix": library.SaveDensityMatrix,
        "set_statevector": library.SetStatevector,
    }
