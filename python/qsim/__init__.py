"""qsim: a state-vector simulator of quantum circuits that other tools target as an open backend.

>>> import qsim
>>> bell = qsim.Circuit(2).h(0).cx(0, 1).measure_all()
>>> sorted(qsim.Simulator(seed=1).run(bell, shots=1000).counts)
['00', '11']
"""

from __future__ import annotations

from typing import Any

from qsim_core import Precision, Program, StateVector, __version__
from qsim_core.errors import QsimError

from .batch_result import BatchResult
from .circuit import Circuit
from .compiled import CompiledCircuit
from .observables import Hermitian, PauliSum
from .parameters import Parameter
from .qaoa import Qaoa, cost_vector
from .result import Result
from .simulator import Simulator, compile

__all__ = [
    "BatchResult",
    "Circuit",
    "CompiledCircuit",
    "Hermitian",
    "Parameter",
    "PauliSum",
    "Precision",
    "Program",
    "Qaoa",
    "QsimError",
    "Result",
    "Simulator",
    "StateVector",
    "__version__",
    "compile",
    "cost_vector",
]


def __getattr__(name: str) -> Any:
    """Return what Qibo looks for in the package that ``qibo.set_backend("qsim")`` names; nothing else is lazy."""
    if name == "MetaBackend":
        from .adapters.qibo import MetaBackend

        return MetaBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
