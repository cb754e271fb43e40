"""PennyLane: the device ``qsim.qubit``.

>>> import pennylane as qml
>>> from qsim.adapters.pennylane import QubitDevice
>>> @qml.qnode(QubitDevice(wires=2))
... def bell():
...     qml.Hadamard(0)
...     qml.CNOT([0, 1])
...     return qml.expval(qml.Z(0) @ qml.Z(1))
>>> round(float(bell()), 12)
1.0
"""

from .device import QubitDevice

__all__ = ["QubitDevice"]
