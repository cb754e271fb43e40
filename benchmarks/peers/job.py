"""What a simulator is asked to do, as plain data that crosses to another interpreter: needs NumPy and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["SHOTS", "Adapter", "Gate", "Job", "Running", "dense_state", "fingerprint", "read_out"]

SHOTS = 1024


class Gate(NamedTuple):
    """A gate on ``targets`` (the first is the least significant of its matrix), done where all controls are one."""

    name: str
    targets: tuple[int, ...]
    controls: tuple[int, ...]
    params: tuple[float, ...]
    matrix: npt.NDArray[np.complex128]

    def to_json(self) -> list[Any]:
        """Return plain data; the matrix as real numbers."""
        numbers = np.ascontiguousarray(self.matrix, np.complex128).view(np.float64).ravel().tolist()
        return [self.name, self.targets, self.controls, self.params, numbers]

    @classmethod
    def from_json(cls, data: list[Any]) -> Gate:
        """Undo :meth:`to_json`."""
        name, targets, controls, params, numbers = data
        size = 2 ** len(targets)
        matrix = np.array(numbers).view(np.complex128).reshape(size, size)
        return cls(name, tuple(targets), tuple(controls), tuple(params), matrix)


class Job(NamedTuple):
    """A circuit and how to run it; ``dense`` starts from :func:`dense_state`, not from |0…0⟩."""

    num_qubits: int
    gates: tuple[Gate, ...]
    precision: str
    threads: int
    dense: bool = False

    @property
    def dtype(self) -> type[np.complexfloating[Any, Any]]:
        """Of the amplitudes."""
        return np.complex64 if self.precision == "single" else np.complex128

    @property
    def initial(self) -> npt.NDArray[Any] | None:
        """The state to start from, None for |0…0⟩."""
        return dense_state(self.num_qubits, self.dtype) if self.dense else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**self._asdict(), "gates": [gate.to_json() for gate in self.gates]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Job:
        """Undo :meth:`to_json`."""
        return cls(**{**data, "gates": tuple(map(Gate.from_json, data["gates"]))})


class Running(Protocol):
    """A built circuit, ready to run again and again from its initial state."""

    def prepare(self) -> None:
        """Put the initial state where the next run starts, for simulators that run in place on it. Never timed."""

    def state(self) -> Any:
        """Run; return what holds the amplitudes in their order, qubit 0 the least significant bit of the index."""

    def amplitudes(self, state: Any) -> npt.NDArray[Any]:
        """Return what :meth:`state` returned as an array. Not timed."""

    def readout(self) -> float:
        """Run; return ⟨Z⟩ of qubit 0, and draw 1,024 shots of all qubits."""


class Adapter(Protocol):
    """A module of this package. ``settings`` are the ones its documentation offers, to be tried for the fastest."""

    def versions(self) -> dict[str, str]: ...

    def settings(self, precision: str) -> list[dict[str, Any]]: ...

    build: Callable[[Job, Mapping[str, Any]], Running]


def dense_state(num_qubits: int, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return a random state of norm one, the same for everybody.

    Rounded to single precision first, so that both precisions start from the same state but for its norm.
    """
    amps = np.random.default_rng(0).standard_normal(2 << num_qubits, dtype=np.float32).view(np.complex64).astype(dtype)
    amps /= np.sqrt(np.sum(amps.real**2 + amps.imag**2, dtype=np.float64))  # a sum in single precision drifts
    return amps


def read_out(amps: npt.NDArray[Any], rng: np.random.Generator) -> float:
    """Return ⟨Z⟩ of qubit 0 and draw shots from amplitudes, for simulators that do not do both after one run."""
    weight = amps.real**2 + amps.imag**2
    total = np.cumsum(weight, dtype=np.float64)
    np.searchsorted(total, rng.random(SHOTS) * total[-1], side="right")
    return float(weight[::2].sum(dtype=np.float64) - weight[1::2].sum(dtype=np.float64))


def fingerprint(amps: npt.NDArray[Any]) -> dict[str, Any]:
    """Return what tells states apart whatever their global phase: norm, ⟨Z⟩ of every qubit, some amplitudes.

    The amplitudes are taken at fixed random places and turned so that one fixed weighted sum of them is positive.
    """
    size = amps.size
    num_qubits = size.bit_length() - 1
    weight = (amps.real.astype(np.float64) ** 2 + amps.imag.astype(np.float64) ** 2).ravel()
    z: list[float] = []
    for _ in range(num_qubits):  # from the highest qubit on, each is summed away once it is read
        low, high = np.split(weight, 2)
        z.insert(0, float(low.sum() - high.sum()))
        weight = low + high
    rng = np.random.default_rng(1)
    places = np.unique(np.concatenate([[0, size - 1], rng.integers(size, size=254)]))
    chosen = amps.ravel()[places].astype(np.complex128)
    pivot = complex(chosen @ rng.uniform(0.5, 1.0, len(chosen)))
    turned = chosen * (abs(pivot) / pivot if abs(pivot) > 1e-12 else 1.0)
    return {"norm": float(weight[0]), "z": z, "amplitudes": turned.view(np.float64).tolist()}
