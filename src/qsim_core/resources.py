"""What this process may use: memory and cores as the container sees them, checked before anything is allocated."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from functools import lru_cache

from .errors import MemoryBudgetError, ParameterError
from .types import Precision

__all__ = [
    "available_memory",
    "available_threads",
    "check_bytes",
    "check_memory",
    "cpu_model",
    "format_bytes",
    "format_seconds",
    "largest_register",
]

_YEAR = 365.25 * 86400
#: Times below the first number are told in the second one's unit.
_UNITS = (
    (1e-3, 1e-6, "µs"),
    (1, 1e-3, "ms"),
    (600, 1, "s"),
    (7200, 60, "min"),
    (172800, 3600, "h"),
    (2 * _YEAR, 86400, "days"),
)
_CGROUP = "/sys/fs/cgroup"
_OWN_CGROUPS = "/proc/self/cgroup"
#: A run that needs no more is not held up by asking the system, which takes longer than the run.
UNASKED_BYTES = 2**20
#: Kept free for the interpreter and the rest of the machine.
RESERVE_BYTES = 64 * 2**20


def available_memory() -> int:
    """Return the bytes that can be allocated now: the least of free memory, cgroup limits and address-space limit.

    The limits are those of this process's control group, as a batch system or container sets them, and of all above it. The
    file cache it could drop counts as free, as in the memory of the machine.
    """
    limits = [_meminfo_available()]
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        for folder in _cgroups("memory", limit):
            maximum = _read_number(f"{folder}/{limit}")
            if maximum is not None and maximum < 2**60:
                left = maximum - (_read_number(f"{folder}/{used}") or 0)
                if left < min(limits):
                    left += _statistic(f"{folder}/memory.stat", cache)
                limits.append(left)
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            limits.append(soft - _virtual_size())
    except ImportError:  # Windows
        pass
    return max(0, min(limits) - RESERVE_BYTES)


def available_threads() -> int:
    """Return the number of threads to use: QSIM_NUM_THREADS or OMP_NUM_THREADS if set, at most the cores we may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _cgroups("cpu", "cpu.max"):
        try:
            quota, period = _read(f"{folder}/cpu.max").split()[:2]
            if quota != "max":
                cores = min(cores, max(1, round(int(quota) / int(period))))
        except (OSError, ValueError):
            pass
    for variable in ("QSIM_NUM_THREADS", "OMP_NUM_THREADS"):
        value = os.environ.get(variable, "").split(",")[0]
        if value:
            if not value.isdigit() or int(value) < 1:
                raise ParameterError(f"{variable}: expected a positive whole number, got {value!r}.")
            return min(int(value), 1024) if variable == "QSIM_NUM_THREADS" else min(int(value), cores)
    return cores


@lru_cache(maxsize=1)
def cpu_model() -> str:
    """Return the processor's name as the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def check_memory(
    num_qubits: int,
    batch: int,
    precision: Precision,
    scratch: int = 0,
    what: str = "run",
    memory_free: Callable[[], int] | None = None,
) -> int:
    """Return the bytes a run needs: ``batch`` states of ``num_qubits`` qubits and its scratch.

    ``memory_free`` tells what is free where the states will live; default: this machine's memory.

    Raises:
        MemoryBudgetError: if they are more than what is free, with the remedies that would fit.
    """
    state = (batch * precision.bytes_per_amplitude) << num_qubits
    needed = state + scratch
    if needed <= UNASKED_BYTES:
        return needed
    free = (memory_free or available_memory)()
    if needed <= free:
        return needed
    remedies = []
    if precision is Precision.DOUBLE and (state >> 1) + scratch <= free:
        remedies.append("precision='single' fits")
    if batch > 1 and state // batch + scratch <= free:
        remedies.append(f"batches of {max(1, (free - scratch) // (state // batch))} fit")
    fits = largest_register(precision, free)
    remedies.append(f"{fits} qubits fit in {precision.value} precision here")
    copies = f"{batch} states" if batch > 1 else "a state"
    message = (
        f"{what}: {copies} of {num_qubits} qubits in {precision.value} precision needs {format_bytes(needed)}, "
        f"{format_bytes(free)} are free. {'; '.join(remedies)}."
    )
    raise MemoryBudgetError(message)


def check_bytes(needed: int, what: str, remedy: str) -> None:
    """Refuse what does not fit in the free memory.

    Raises:
        MemoryBudgetError: naming the bytes needed, the bytes free and the remedy.
    """
    if needed <= UNASKED_BYTES:
        return
    free = available_memory()
    if needed > free:
        raise MemoryBudgetError(f"{what}: needs {format_bytes(needed)}, {format_bytes(free)} are free. {remedy}")


def largest_register(precision: Precision, free: int | None = None) -> int:
    """Return the most qubits whose state fits in the free memory."""
    amplitudes = (available_memory() if free is None else free) // precision.bytes_per_amplitude
    return max(0, amplitudes.bit_length() - 1)


def format_bytes(count: int) -> str:
    """Return bytes in binary units.

    >>> format_bytes(3 * 2**30)
    '3.0 GiB'
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
    power = min(max(count.bit_length() - 1, 0) // 10, len(units) - 1)
    return f"{count / 1024**power:.1f} {units[power]}" if power else f"{count} B"


def format_seconds(seconds: float) -> str:
    """Return a time in the unit one would say it in.

    >>> format_seconds(0.0123), format_seconds(75)
    ('12.3 ms', '75 s')
    """
    for below, unit, name in _UNITS:
        if seconds < below:
            return f"{seconds / unit:.3g} {name}"
    return f"{seconds / _YEAR:.3g} years"


@lru_cache
def _cgroups(controller: str, file: str) -> tuple[str, ...]:
    """Return the folders with this file of the control groups this process is in, version 2 and 1, and of all above them."""
    paths = {"": "", controller: ""}  # by controller, none being version 2: what a container sees is at the top
    try:
        for line in _read(_OWN_CGROUPS).splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update((name, path) for name in controllers.split(",") if name in paths and ".." not in path)
    except (OSError, ValueError):
        pass
    folders = []
    for name, path in paths.items():
        parts = [part for part in (str(_CGROUP), name, *path.split("/")) if part]
        first = 2 if name else 1
        folders += ["/".join(parts[:end]) for end in range(first, len(parts) + 1)]
    return tuple(folder for folder in folders if os.path.exists(f"{folder}/{file}"))


def _statistic(path: str, name: str) -> int:
    """Return a number of a file of names and numbers, 0 where it has none."""
    try:
        return next((int(line.split()[1]) for line in _read(path).splitlines() if line.startswith(f"{name} ")), 0)
    except (OSError, ValueError):
        return 0


def _meminfo_available() -> int:
    try:
        for line in _read("/proc/meminfo").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30  # no way to ask: assume a laptop


def _read(path: str) -> str:
    """Return a short file of the system; a file object would take longer than all the rest."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 2**16).decode("ascii", "replace")
    finally:
        os.close(file)


def _read_number(path: str) -> int | None:
    try:
        text = _read(path).strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _virtual_size() -> int:
    try:
        return int(_read("/proc/self/statm").split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0
