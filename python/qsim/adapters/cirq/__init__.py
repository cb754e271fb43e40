"""Cirq: the simulator :class:`QsimSimulator`, for ``cirq.Simulator``.

>>> import cirq
>>> from qsim.adapters.cirq import QsimSimulator
>>> a, b = cirq.LineQubit.range(2)
>>> bell = cirq.Circuit(cirq.H(a), cirq.CX(a, b))
>>> print(QsimSimulator().simulate(bell).dirac_notation())
0.71|00⟩ + 0.71|11⟩
"""

from .simulator import QsimSimulator

__all__ = ["QsimSimulator"]
