"""The kernels as text and as machine code: what the package carries, or what NVRTC makes of the text here.

The text is ``cpp/cuda/entries.cuh`` with what it includes. A build that found nvcc carries machine code; otherwise
NVRTC, from a toolkit or from NVIDIA's wheels, compiles the text once per architecture, and the result is kept on disk.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .. import __version__
from ..errors import BackendUnavailableError, expected

__all__ = ["check_version", "compile_with_nvrtc", "images_for", "source_text", "stamp"]

_INSTALLED = Path(__file__).parent / "cuda"
_BUILD_INFO = Path(__file__).parents[1] / "_build_info.json"
_SOURCE_TREE = Path(__file__).parents[3] / "cpp" / "cuda"
_INCLUDE = re.compile(r'^#include "(\w+\.cuh)"\n', re.M)
#: What the kernels are written in.
OPTIONS = ("--std=c++17",)
_AGAIN = "Install qsim-core again, so that core and kernels are built from the same files."


def _folder() -> Path:
    return _INSTALLED if (_INSTALLED / "entries.cuh").exists() else _SOURCE_TREE


def stamp() -> str:
    """Return what tells this text of the kernels from others: core, text and machine code of one build have the same."""
    digest = hashlib.sha256()
    for path in sorted(_folder().glob("*.cuh")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def check_version() -> None:
    """Compare the text the core was built beside with the kernels' text that is here.

    Raises:
        BackendUnavailableError: if they differ, as after an update without a build.
    """
    try:
        built = json.loads(_BUILD_INFO.read_text(encoding="utf-8")).get("cuda")
    except OSError:
        return  # nothing to compare: a core put in place by hand
    here = stamp()
    if built not in (None, here):
        raise BackendUnavailableError(expected("CUDA kernels", f"version {built}, the core's", here, _AGAIN))


def _carried() -> bytes | None:
    """Return the machine code the build left in the package: behind a line with the stamp of its text."""
    try:
        head, _, code = (_INSTALLED / "kernels.fatbin").read_bytes().partition(b"\n")
    except OSError:
        return None
    here = stamp()
    if head != b"qsim " + here.encode():
        given = head[:32].decode(errors="replace")
        raise BackendUnavailableError(expected("CUDA machine code", f"of 'qsim {here}'", repr(given), _AGAIN))
    return code


def source_text() -> str:
    """Return the text of all kernels in one piece, as NVRTC takes it.

    Raises:
        BackendUnavailableError: if it is not there, or not of the core's version.
    """
    check_version()
    seen: set[str] = set()

    def read(name: str) -> str:
        if name in seen:
            return ""
        seen.add(name)
        text = (_folder() / name).read_text(encoding="utf-8").replace("#pragma once\n", "")
        return _INCLUDE.sub(lambda match: read(match.group(1)), text)

    try:
        return read("entries.cuh")
    except OSError as error:
        remedy = "Reinstall qsim-core"
        raise BackendUnavailableError(expected("CUDA kernel text", "files of this package", error, remedy)) from None


def images_for(capability: tuple[int, int]) -> Iterator[bytes]:
    """Yield code for a device of this compute capability, to be tried in turn.

    First what the build left in the package (machine code of several cards and PTX); a driver older than the toolkit of
    that build refuses it. Then what NVRTC makes of the text here.

    Raises:
        BackendUnavailableError: if core, text and machine code are not of one version; from NVRTC, if it is missing or
            refuses the text.
    """
    check_version()
    carried = _carried()
    if carried is not None:
        yield carried
    major, minor = capability
    yield compile_with_nvrtc(f"sm_{major}{minor}")


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "qsim" / "cuda"


def compile_with_nvrtc(architecture: str, text: str | None = None) -> bytes:
    """Return PTX (for compute_XY) or a cubin (for sm_XY) of the kernels, from the cache on disk where there is one.

    Raises:
        BackendUnavailableError: if NVRTC is missing, or with its log if it refuses the text.
    """
    text = source_text() if text is None else text
    nvrtc = _nvrtc()
    version = (ctypes.c_int * 2)()
    nvrtc.nvrtcVersion(ctypes.byref(version, 0), ctypes.byref(version, 4))
    key = f"{__version__} {version[0]}.{version[1]} {architecture} {OPTIONS}\n{text}"
    kept = _cache() / f"{hashlib.sha256(key.encode()).hexdigest()[:32]}.image"
    if kept.exists():
        return kept.read_bytes()
    image = _compile(nvrtc, text, architecture)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_bytes(image)
        partial.replace(kept)
    except OSError:
        pass  # a home directory that can't be written costs time, nothing else
    return image


def _compile(nvrtc: ctypes.CDLL, text: str, architecture: str) -> bytes:
    program = ctypes.c_void_p()

    def check(code: int) -> None:
        if code:
            size = ctypes.c_size_t()
            nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value + 1)
            nvrtc.nvrtcGetProgramLog(program, log)
            said = log.value.decode(errors="replace").strip()[:2000]
            raise BackendUnavailableError(expected("CUDA kernels", "text NVRTC compiles", f"error {code}: {said}"))

    check(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"qsim.cu", 0, None, None))
    try:
        options = [option.encode() for option in (*OPTIONS, f"--gpu-architecture={architecture}")]
        check(nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options)))
        kind = "CUBIN" if architecture.startswith("sm_") else "PTX"
        size = ctypes.c_size_t()
        check(getattr(nvrtc, f"nvrtcGet{kind}Size")(program, ctypes.byref(size)))
        image = ctypes.create_string_buffer(size.value)
        check(getattr(nvrtc, f"nvrtcGet{kind}")(program, image))
        return image.raw
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def _nvrtc() -> ctypes.CDLL:
    """Load NVRTC: of the CUDA wheels in this environment, or where the system's loader finds it."""
    tried = []
    for candidate in _nvrtc_candidates():
        try:
            # It opens its second half by name alone, which the loader finds once it is loaded.
            for part in Path(candidate).parent.glob("libnvrtc-builtins.so.*") if "/" in candidate else ():
                ctypes.CDLL(str(part))
            return ctypes.CDLL(candidate)
        except OSError as error:
            tried.append(str(error))
    remedy = "pip install qsim-core[cuda13] (or [cuda12]), or install the CUDA toolkit"
    raise BackendUnavailableError(expected("NVRTC", "its library", tried[-1] if tried else "none", remedy))


def _nvrtc_candidates() -> Iterator[str]:
    spec = importlib.util.find_spec("nvidia")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for pattern in ("cu13/lib/libnvrtc.so.13", "cuda_nvrtc/lib/libnvrtc.so.12"):
            yield from (str(path) for path in Path(folder).glob(pattern))
    yield from ("libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so")
