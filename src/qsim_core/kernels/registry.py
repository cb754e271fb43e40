"""Backends by name, loaded on first use. The only place that knows which exist and in which order "auto" tries them."""

from __future__ import annotations

import importlib
import threading
import warnings
from dataclasses import dataclass

from ..errors import BackendUnavailableError, QsimError, expected
from .contract import Backend

__all__ = ["AUTO_ORDER", "availability", "backend", "names", "register"]


@dataclass(frozen=True)
class _Entry:
    module: str
    class_name: str


_ENTRIES: dict[str, _Entry] = {
    "native_cpu": _Entry("qsim_core.kernels.native_cpu", "NativeCpuBackend"),
    "numba_cpu": _Entry("qsim_core.kernels.numba_cpu", "NumbaCpuBackend"),
    "native_cuda": _Entry("qsim_core.kernels.native_cuda", "NativeCudaBackend"),
    "cupy_cuda": _Entry("qsim_core.kernels.cupy_cuda", "CupyCudaBackend"),
    "custatevec": _Entry("qsim_core.kernels.custatevec", "CuStateVecBackend"),
    "reference": _Entry("qsim_core.kernels.reference", "ReferenceBackend"),
}
AUTO_ORDER = ("native_cpu", "numba_cpu", "reference")

_loaded: dict[str, Backend] = {}
_reasons: dict[str, str] = {}
_told: set[str] = set()  # reasons for which "auto" took a slower backend
_lock = threading.Lock()


def register(name: str, module: str, class_name: str) -> None:
    """Add a backend from outside this package; it is imported on first use."""
    _ENTRIES[name] = _Entry(module, class_name)
    _loaded.pop(name, None)
    _reasons.pop(name, None)


def names() -> tuple[str, ...]:
    """Return all known names, usable here or not."""
    return tuple(_ENTRIES)


def _load(name: str) -> Backend | None:
    """Return the backend, or None with the reason noted; a backend's module raises ImportError where it can't run."""
    with _lock:
        if name in _loaded:
            return _loaded[name]
        if name in _reasons:
            return None
        entry = _ENTRIES[name]
        try:
            loaded: Backend = getattr(importlib.import_module(entry.module), entry.class_name)()
        except Exception as error:  # a broken optional package may raise anything at import
            _reasons[name] = str(error) if isinstance(error, QsimError) else f"{type(error).__name__}: {error}"
            return None
        _loaded[name] = loaded
        return loaded


def availability(name: str) -> str | None:
    """Return None when the backend can be used here, else the reason why not."""
    return None if _load(name) is not None else _reasons[name]


def backend(name: str = "auto") -> Backend:
    """Return a backend by name; "auto" takes the first of native_cpu, numba_cpu, reference that works here.

    Warns:
        RuntimeWarning: once, if "auto" can't take native_cpu, with the reason: pip hides that no core was built.

    Raises:
        BackendUnavailableError: for an unknown name, or with the reason why this one can't be used.
    """
    if name == "auto":
        for candidate in AUTO_ORDER:
            loaded = _load(candidate)
            if loaded is not None:
                return loaded
            _tell(candidate)
    if name not in _ENTRIES:
        raise BackendUnavailableError(expected("backend", ", ".join(("auto", *_ENTRIES)), repr(name)))
    loaded = _load(name)
    if loaded is None:
        raise BackendUnavailableError(
            expected(
                "backend", f"one that works here ('auto' picks {backend('auto').name})", f"{name!r}: {_reasons[name]}"
            )
        )
    return loaded


def _tell(missing: str) -> None:
    """Warn that "auto" can't take a backend, once."""
    with _lock:
        new = missing not in _told
        _told.add(missing)
    if new:
        rest = ", ".join(AUTO_ORDER[AUTO_ORDER.index(missing) + 1 :])
        message = (
            f"backend 'auto' takes a slower one ({rest}; name it to hide this) than {missing}: {_reasons[missing]}"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=3)
