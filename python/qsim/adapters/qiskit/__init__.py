"""qsim as a Qiskit backend: the classes that a Qiskit program imports instead of Aer's.

>>> from qiskit import QuantumCircuit
>>> from qsim.adapters.qiskit import QsimBackend
>>> bell = QuantumCircuit(2)
>>> _ = bell.h(0), bell.cx(0, 1), bell.measure_all()
>>> counts = QsimBackend(seed_simulator=7).run(bell, shots=100).result().get_counts()
>>> sorted(counts), sum(counts.values())
(['00', '11'], 100)
"""

from __future__ import annotations

from .backend import QsimBackend
from .estimator import EstimatorV2
from .sampler import SamplerV2
from .translate import translate

__all__ = ["EstimatorV2", "QsimBackend", "SamplerV2", "translate"]
