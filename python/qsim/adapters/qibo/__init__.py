"""Qibo: the backend ``qsim``.

>>> import qibo
>>> qibo.set_backend("qsim")
>>> bell = qibo.Circuit(2)
>>> bell.add([qibo.gates.H(0), qibo.gates.CNOT(0, 1), qibo.gates.M(0, 1)])
>>> sorted(bell(nshots=100).frequencies())
['00', '11']
"""

from .backend import MetaBackend, QsimBackend

__all__ = ["MetaBackend", "QsimBackend"]
