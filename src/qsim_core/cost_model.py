"""How long a plan will take: counted work times calibrated constants.

A backend counts what its passes do (:meth:`.Backend.profile`): bytes read and written, amplitudes loaded and stored in
cache, multiply-adds by kind, tables built. A :class:`CostModel` knows what each takes on one core, and the two limits
that cores share, memory bandwidth and the work that only one thread does::

    seconds of a group = max(one core's seconds / threads, bytes / bandwidth) + tables + operations

It is a model: memory in use by others, turbo clocks and caches shared with other programs are not in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from .errors import ParameterError, expected
from .types import Precision

__all__ = ["CostModel", "Rates", "Work", "default_model"]


@dataclass(frozen=True, slots=True)
class Work:
    """What a group of passes that run together takes, summed over all tiles.

    ``local`` are the qubits of a tile; without any, the operations sweep over the state one by one, ``tiles`` of them.
    Multiply-adds are of real numbers; two floating-point operations each.
    """

    local: tuple[int, ...]
    operations: int
    tiles: float
    #: Calls of kernels.
    steps: float
    #: Amplitudes read from the state and written back.
    moved: float
    #: Amplitudes loaded and stored in cache.
    touched: float
    #: Multiply-adds of rotations and dense matrices, of gates within vectors, of diagonals.
    rotations: float
    lanes: float
    diagonals: float
    #: Entries of tables built once, and of tables copied for single tiles.
    entries: float
    copies: float
    #: Measured; 0 where it was only counted.
    seconds: float = 0.0

    @property
    def flops(self) -> float:
        """Floating-point operations on amplitudes, a multiply-add counted as two."""
        return 2 * (self.rotations + self.lanes + self.diagonals)

    def shares(self, threads: int) -> float:
        """Return how many of so many threads have something to do."""
        return min(threads, max(1.0, self.tiles)) if self.local else float(threads)

    def bytes(self, precision: Precision) -> float:
        """Return the bytes of the state read and written."""
        return 2 * precision.bytes_per_amplitude * self.moved


@dataclass(frozen=True, slots=True)
class Rates:
    """Nanoseconds of one core, while the others work too, for one unit of each count of :class:`Work`."""

    steps: float
    moved: float
    touched: float
    rotations: float
    lanes: float
    diagonals: float
    entries: float
    copies: float
    operations: float

    def core_seconds(self, work: Work) -> float:
        """Return what one core takes, without what is done once per group."""
        names = ("steps", "moved", "touched", "rotations", "lanes", "diagonals", "copies")
        return 1e-9 * math.fsum(getattr(self, name) * getattr(work, name) for name in names)

    def once_seconds(self, work: Work) -> float:
        """Return what one thread does for all."""
        return 1e-9 * (self.entries * work.entries + self.operations * work.operations)

    def scaled(self, factors: Mapping[str, float]) -> Rates:
        """Return the rates times factors by name."""
        return replace(self, **{name: getattr(self, name) * factor for name, factor in factors.items()})


@dataclass(frozen=True, slots=True)
class CostModel:
    """The constants of one machine, instruction set and backend. ``source`` says where they come from."""

    source: str
    single: Rates
    double: Rates
    #: Bytes read and written per second by all threads together.
    bandwidth: float
    #: Seconds for the system to give a byte of new memory, and to start a run.
    fresh: float
    start: float

    def rates(self, precision: Precision) -> Rates:
        """Return the rates of a precision."""
        return self.single if precision is Precision.SINGLE else self.double

    def seconds(self, works: Sequence[Work], precision: Precision, threads: int) -> list[float]:
        """Return the time of each group on so many threads.

        >>> from qsim_core.types import Precision
        >>> work = Work((0, 1), 5, tiles=64, steps=64, moved=2**22, touched=2**24, rotations=2**25, lanes=0,
        ...             diagonals=0, entries=0, copies=0)
        >>> one, two = (default_model("avx512").seconds([work], Precision.SINGLE, t)[0] for t in (1, 2))
        >>> 1.5 < one / two <= 2
        True
        """
        rates = self.rates(precision)
        result = []
        for work in works:
            shares = work.shares(threads)
            slowest = max(rates.core_seconds(work) / shares, work.bytes(precision) / self.bandwidth * (shares > 1))
            result.append(slowest + rates.once_seconds(work))
        return result

    def run_seconds(self, works: Sequence[Work], precision: Precision, threads: int, fresh_bytes: float) -> float:
        """Return the time of a run from a built circuit with a plan at hand until its state is in memory."""
        return self.start + fresh_bytes * self.fresh + math.fsum(self.seconds(works, precision, threads))

    def to_json(self) -> dict[str, Any]:
        """Return the constants as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Any) -> CostModel:
        """Undo :meth:`to_json`.

        Raises:
            ParameterError: for anything but all constants, each a positive number that a computer could have.
        """
        numbers = {name: _number(name, _entry(data, name)) for name in ("bandwidth", "fresh", "start")}
        both = {
            name: Rates(**{field.name: _number(field.name, _entry(_entry(data, name), field.name)) for field in fields(Rates)})
            for name in ("single", "double")
        }  # fmt: skip
        return cls(str(_entry(data, "source"))[:200], both["single"], both["double"], **numbers)


def _entry(data: Any, name: str) -> Any:
    if not isinstance(data, dict) or name not in data:
        raise ParameterError(expected("constants of a cost model", f"an entry {name!r}", type(data).__name__))
    return data[name]


def _number(name: str, value: Any) -> float:
    number = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 1e-15 <= number <= 1e15:
        raise ParameterError(expected(f"constant {name!r}", "a positive number", repr(value)[:40]))
    return number


#: Measured on two cores of an AMD EPYC 9004 (Zen 4), single and double precision: AVX-512 with both at work; the others,
#: forced, with one at work, and a quarter added to their arithmetic.
#: steps, moved, touched, rotations, lanes, diagonals, entries, copies, operations.
_MEASURED = {
    "avx512": (
        Rates(110, 0.8, 0.13, 0.021, 0.028, 0.042, 5, 0.9, 105),
        Rates(110, 1.7, 0.25, 0.042, 0.043, 0.074, 5, 1.6, 105),
    ),
    "avx2": (
        Rates(100, 0.9, 0.145, 0.028, 0.043, 0.043, 5, 1.2, 110),
        Rates(110, 1.8, 0.31, 0.057, 0.082, 0.082, 5.5, 2.4, 110),
    ),
    "generic": (
        Rates(85, 0.9, 0.16, 0.115, 0.1, 0.125, 7, 2, 100),
        Rates(85, 1.8, 0.35, 0.23, 0.2, 0.245, 7, 4.1, 100),
    ),
}
_BANDWIDTH, _FRESH, _START = 40e9, 6e-11, 6e-6
#: Time of arithmetic and of memory beside the machine above, by a word in the processor's name: clocks, vector units and memory
#: channels of data sheets, nothing measured.
_FAMILIES = (
    ("Ryzen", 0.75, 0.8),
    ("Threadripper", 0.8, 0.7),
    ("Xeon", 0.8, 1.1),
    ("Core", 0.8, 0.8),
    ("Apple", 0.45, 0.4),
    ("arm", 0.5, 0.5),
    ("aarch64", 0.6, 0.9),
    ("Neoverse", 0.6, 0.9),
)
_ARITHMETIC = ("touched", "rotations", "lanes", "diagonals")


def default_model(isa: str, cpu: str = "") -> CostModel:
    """Return constants for an instruction set and a processor's name, good to a factor of two or so: nobody has to calibrate."""
    single, double = _MEASURED.get(isa, _MEASURED["generic"])
    family, arithmetic, memory = next((f for f in _FAMILIES if f[0] in cpu), ("", 1.0, 1.0))
    factors = {**dict.fromkeys(_ARITHMETIC, arithmetic), "moved": memory}
    source = f"defaults for {isa or 'any CPU'}{' and ' if family else ''}{family}"
    return CostModel(source, single.scaled(factors), double.scaled(factors), _BANDWIDTH / memory, _FRESH, _START)
