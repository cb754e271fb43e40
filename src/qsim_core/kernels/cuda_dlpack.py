"""Memory on a card as DLPack capsules, without a copy (the C structures of dlpack.h before version 1)."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CUDA", "capsule"]

#: DLPack's number for memory of a CUDA device.
CUDA = 2
_COMPLEX = 5
_NAME = b"dltensor"


class _Tensor(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class _Managed(ctypes.Structure):
    _fields_ = [("tensor", _Tensor), ("context", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


_held: dict[int, tuple[Any, ...]] = {}


def _release(place: int) -> None:
    _held.pop(place, None)


def _dropped(capsule: int) -> None:
    """Release a capsule that nobody took: whoever takes one renames it."""
    if _is_valid(capsule, _NAME):
        _held.pop(_pointer(capsule, _NAME), None)


_new = ctypes.pythonapi.PyCapsule_New
_new.restype, _new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_is_valid = ctypes.pythonapi.PyCapsule_IsValid
_is_valid.restype, _is_valid.argtypes = ctypes.c_int, [ctypes.c_void_p, ctypes.c_char_p]
_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_char_p]


_callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_deleter, _destructor = _callback(_release), _callback(_dropped)  # live as long as the module


def capsule(owner: object, address: int, shape: tuple[int, ...], dtype: npt.DTypeLike, device: tuple[int, int]) -> Any:
    """Return a capsule of contiguous complex numbers; ``owner`` lives until its consumer is done."""
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    kind = np.dtype(dtype)
    assert kind.kind == "c"
    places = ctypes.cast(sizes, ctypes.c_void_p).value
    tensor = _Tensor(address, *device, len(shape), _COMPLEX, 8 * kind.itemsize, 1, places, None, 0)
    managed = _Managed(tensor, None, ctypes.cast(_deleter, ctypes.c_void_p).value)
    place = ctypes.addressof(managed)
    _held[place] = (managed, sizes, owner)
    return _new(place, _NAME, ctypes.cast(_destructor, ctypes.c_void_p).value)
