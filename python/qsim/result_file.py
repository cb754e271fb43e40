"""A Result as a file: a JSON document, with arrays as ``.npy`` files beside it. ``docs/result_format.md`` describes it.

Nothing is pickled. The reader takes nothing on trust: sizes are checked before they are read, names of arrays can't
leave the directory, and checksums cover every number.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from qsim_core.errors import ProgramFormatError, expected
from qsim_core.kernels import registry
from qsim_core.resources import check_memory
from qsim_core.state import StateVector
from qsim_core.types import MAX_QUBITS, Precision

from .result import Result

__all__ = ["FORMAT", "VERSION", "load", "load_all", "save", "to_document"]

FORMAT = "qsim-result"
VERSION = 1
MAX_TEXT = 2**28
MAX_CLBITS = 2**24
MAX_SHOTS = 2**62
_NPY_HEADER = 4096

_KEYS = (
    *("format", "version", "num_qubits", "num_clbits", "shots", "seed", "backend", "device", "precision", "seconds"),
    *("counts", "expectations", "provenance", "arrays", "checksum"),
)
_FILE_NAME = re.compile(r"[^/\\:\x00]{1,251}\.npy")
_Json = dict[str, Any]


def to_document(result: Result, arrays: Mapping[str, _Json] | None = None) -> _Json:
    """Return the result as what ``json.dumps`` takes, checksum included; arrays by reference only."""
    p = result.provenance
    document = {
        "format": FORMAT,
        "version": VERSION,
        "num_qubits": result.num_qubits,
        "num_clbits": result.num_clbits,
        "shots": result.shots,
        "seed": p["seed"],
        "backend": p["backend"],
        "device": p["device"],
        "precision": p["precision"],
        "seconds": sum(p["seconds"].values()),
        "counts": None if result.shots is None else result.counts,
        "expectations": [float(value) for value in result.expectations],
        "provenance": json.loads(json.dumps(dict(p), allow_nan=False, default=str)),
        "arrays": dict(arrays or {}),
    }
    return document | {"checksum": _checksum(document)}


def save(result: Result, path: str | Path, *, samples: bool = False) -> Path:
    """Write a result and return the path of its JSON document.

    The state, where the result keeps one, goes to ``<stem>.state.npy`` beside it; with ``samples=True`` the shots in
    their order go to ``<stem>.samples.npy`` too (counts are always in the document).
    """
    path = Path(path)
    wanted: dict[str, npt.NDArray[Any]] = {}
    if result.has_state:
        wanted["state"] = result.state_vector
    if samples:
        wanted["samples"] = result.samples
    arrays = {}
    for name, array in wanted.items():
        beside = path.with_name(f"{path.stem}.{name}.npy")
        with beside.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        arrays[name] = {
            "file": beside.name,
            "dtype": array.dtype.name,
            "shape": list(array.shape),
            "sha256": _file_digest(beside),
        }
    document = to_document(result, arrays)
    path.write_text(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2) + "\n", encoding="utf-8")
    return path


def load(path: str | Path) -> Result:
    """Read a result.

    Raises:
        ProgramFormatError: for anything that is not exactly such a file, with the key that is wrong.
        MemoryBudgetError: if its state does not fit in memory.
    """
    results = load_all(path)
    if len(results) != 1:
        raise ProgramFormatError(expected(str(path), "one result", f"{len(results)}", "load_all() reads several."))
    return results[0]


def load_all(path: str | Path) -> list[Result]:
    """Read a file of one result, or of several, one per line (JSON Lines)."""
    path = Path(path)
    size = path.stat().st_size
    if size > MAX_TEXT:
        raise ProgramFormatError(expected(str(path), f"at most {MAX_TEXT // 2**20} MiB", f"{size // 2**20} MiB"))
    text = path.read_bytes()
    lines = text.splitlines()
    several = len(lines) > 1 and lines[0].rstrip().endswith(b"}") and lines[0].startswith(b"{")
    try:
        return [_from_document(_parse(part), path.parent) for part in (lines if several else [text])]
    except ProgramFormatError as error:
        raise ProgramFormatError(f"{path}: {error}") from None


def _from_document(document: Any, directory: Path) -> Result:
    if not isinstance(document, dict):
        _refuse("result", "a JSON object", type(document).__name__)
    if document.get("format") != FORMAT:
        _refuse("format", repr(FORMAT), repr(document.get("format"))[:60])
    if document.get("version") != VERSION:
        _refuse("version", VERSION, repr(document.get("version")), "Another version of qsim wrote it.")
    missing, unknown = [k for k in _KEYS if k not in document], [k for k in document if k not in _KEYS]
    if missing or unknown:
        _refuse("keys", ", ".join(_KEYS), f"{'no' if missing else 'also'} {(missing or unknown)[0]!r}")
    body = {key: value for key, value in document.items() if key != "checksum"}
    if document["checksum"] != _checksum(body):
        _refuse("checksum", _checksum(body), repr(document["checksum"]), "The file was changed after it was written.")
    num_qubits = _whole(document, "num_qubits", MAX_QUBITS)
    num_clbits = _whole(document, "num_clbits", MAX_CLBITS)
    shots = None if document["shots"] is None else _whole(document, "shots", MAX_SHOTS)
    provenance = _provenance(document)
    counts = _counts(document["counts"], num_clbits, shots)
    expectations = document["expectations"]
    if not isinstance(expectations, list) or not all(_is_number(value) for value in expectations):
        _refuse("expectations", "a list of finite numbers", repr(expectations)[:60])
    arrays = document["arrays"]
    if not isinstance(arrays, dict) or set(arrays) - {"state", "samples"}:
        _refuse("arrays", "an object with 'state', 'samples' or none", repr(arrays)[:60])
    result = Result(num_qubits, num_clbits, shots, provenance, np.array(expectations, dtype=np.float64))
    if counts is not None:
        result.__dict__["counts"] = counts  # fills the cached property: the order of the shots need not be known
    if "samples" in arrays:
        result.packed_samples = _read_samples(arrays["samples"], directory, num_clbits, shots, counts)
    if "state" in arrays:
        result._state = _read_state(arrays["state"], directory, num_qubits, provenance)
    return result


def _provenance(document: _Json) -> _Json:
    """Return the provenance once it agrees with the keys that repeat it for readers in a hurry."""
    provenance = document["provenance"]
    if not isinstance(provenance, dict):
        _refuse("provenance", "an object", repr(provenance)[:60])
    seconds = provenance.get("seconds")
    if not isinstance(seconds, dict) or not all(_is_number(value) for value in seconds.values()):
        _refuse("provenance.seconds", "an object of numbers", repr(seconds)[:60])
    for key in ("seed", "backend", "device", "precision"):
        if key not in provenance or provenance[key] != document[key]:
            _refuse(key, f"{provenance.get(key)!r} as in provenance", repr(document[key])[:60])
    if provenance["precision"] not in ("single", "double"):
        _refuse("precision", "'single' or 'double'", repr(provenance["precision"]))
    if not isinstance(provenance.get("threads"), int):
        _refuse("provenance.threads", "a whole number", repr(provenance.get("threads")))
    return provenance


def _counts(counts: Any, num_clbits: int, shots: int | None) -> dict[str, int] | None:
    if (counts is None) != (shots is None):
        _refuse("counts", "an object where there are shots, else null", repr(counts)[:60])
    if counts is None:
        return None
    if not isinstance(counts, dict):
        _refuse("counts", "an object", repr(counts)[:60])
    for key, count in counts.items():
        if len(key) != num_clbits or key.strip("01"):
            _refuse("counts", f"bit strings of {num_clbits} characters 0 or 1", repr(key)[:80])
        if type(count) is not int or count < 1:
            _refuse(f"counts[{key!r}]", "a positive whole number", repr(count))
    if sum(counts.values()) != shots:
        _refuse("counts", f"{shots} shots in all", sum(counts.values()))
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _read_state(item: Any, directory: Path, num_qubits: int, provenance: _Json) -> StateVector:
    precision = Precision.of(provenance["precision"])
    check_memory(num_qubits, 1, precision, what="loading a result")
    array = _read_array("state", item, directory, precision.dtype, (2**num_qubits,))
    name = provenance["backend"]
    known = isinstance(name, str) and name in registry.names() and registry.availability(name) is None
    backend = registry.backend(name if known else "reference")
    amps = backend.allocate(1, num_qubits, precision)
    amps[0] = array
    return StateVector(amps, backend)


def _read_samples(
    item: Any, directory: Path, num_clbits: int, shots: int | None, counts: dict[str, int] | None
) -> npt.NDArray[np.uint64]:
    if shots is None:
        _refuse("arrays.samples", "none without shots", "one")
    bits = _read_array("samples", item, directory, np.dtype(np.uint8), (shots, num_clbits))
    if len(bits) and bits.max(initial=0) > 1:
        _refuse("arrays.samples", "bits 0 and 1", int(bits.max()))
    octets = np.zeros((shots, 8 * max(1, -(-num_clbits // 64))), dtype=np.uint8)
    packed = np.packbits(bits, axis=1, bitorder="little")
    octets[:, : packed.shape[1]] = packed
    words = octets.view("<u8").astype(np.uint64, copy=False)
    if Result(0, num_clbits, shots, {}, packed_samples=words).counts != counts:
        _refuse("arrays.samples", "shots that add up to the counts", "others")
    return words


def _read_array(
    name: str, item: Any, directory: Path, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """Map an array into memory once its file name, size, dtype, shape and checksum are as they must be."""
    where = f"arrays.{name}"
    if not isinstance(item, dict) or set(item) != {"file", "dtype", "shape", "sha256"}:
        _refuse(where, "an object of file, dtype, shape, sha256", repr(item)[:60])
    if not isinstance(item["file"], str) or not _FILE_NAME.fullmatch(item["file"]):
        _refuse(f"{where}.file", "a file name without a directory", repr(item["file"])[:80])
    if item["dtype"] != dtype.name or item["shape"] != list(shape):
        _refuse(where, f"{dtype.name} of shape {list(shape)}", f"{item['dtype']!r} of shape {item['shape']!r}"[:80])
    path = directory / item["file"]
    wanted = math.prod(shape) * dtype.itemsize
    try:
        size = path.stat().st_size
    except OSError:
        _refuse(f"{where}.file", "a file beside the document", f"none named {item['file']!r}")
    if not wanted <= size <= wanted + _NPY_HEADER:
        _refuse(f"{where}.file", f"{wanted} bytes and a header", f"{size} bytes")
    if _file_digest(path) != item["sha256"]:
        _refuse(f"{where}.sha256", _file_digest(path), repr(item["sha256"])[:80], "The array was changed.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        _refuse(f"{where}.file", "a .npy file", str(error))
    if array.dtype != dtype or array.shape != shape:
        _refuse(f"{where}.file", f"{dtype.name} of shape {shape}", f"{array.dtype.name} of shape {array.shape}")
    return np.asarray(array)


def _checksum(document: Mapping[str, Any]) -> str:
    canonical = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode("utf-8", errors="surrogatepass")).hexdigest()


def _file_digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text, parse_constant=_not_finite, object_pairs_hook=_unique)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        where = f"line {error.lineno} column {error.colno}" if isinstance(error, json.JSONDecodeError) else "its bytes"
        raise ProgramFormatError(
            expected("result", "JSON as Result.save() and `qsim run --json` write it", f"something else at {where}")
        ) from None
    except RecursionError:
        raise ProgramFormatError(expected("result file", "a JSON document", "one nested too deep")) from None
    except ValueError as error:  # integers of thousands of digits
        if isinstance(error, ProgramFormatError):
            raise
        raise ProgramFormatError(expected("result file", "a JSON document", str(error))) from None


def _unique(pairs: list[tuple[str, Any]]) -> _Json:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ProgramFormatError(expected("keys of a JSON object", "each once", "one repeated"))
    return result


def _not_finite(name: str) -> NoReturn:
    raise ProgramFormatError(expected("number", "a finite one", name))


def _whole(document: _Json, key: str, most: int) -> int:
    value = document[key]
    if type(value) is not int or not 0 <= value <= most:
        _refuse(key, f"a whole number from 0 to {most}", repr(value)[:60])
    return value


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _refuse(what: str, allowed: object, given: object, remedy: str = "") -> NoReturn:
    raise ProgramFormatError(expected(what, allowed, given, remedy))
