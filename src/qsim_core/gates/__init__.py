"""The gate table: the only place where a gate is defined.

>>> from qsim_core.gates import gate
>>> gate("Toffoli").name
'ccx'
"""

from .spec import GateSpec
from .table import FAMILIES, GATES, QASM2_GATES, QASM3_GATES, gate

__all__ = ["FAMILIES", "GATES", "QASM2_GATES", "QASM3_GATES", "GateSpec", "gate"]
