"""The rules of the house: who may import whom, what importing costs, and tests that mirror the tree."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE, FACE = ROOT / "src" / "qsim_core", ROOT / "python" / "qsim"
FRAMEWORKS = {"numba", "cupy", "qiskit", "cirq", "pennylane", "qibo", "scipy", "matplotlib", "torch", "jax"}

#: Layers of the core from the bottom; a module imports lower layers only. Modules not named here must fit without cycles.
LAYERS = (
    {"errors"}, {"types", "classical"}, {"pauli"}, {"operations", "optable", "validation", "random", "resources"},
    {"angles"}, {"program"}, {"gates", "plan"}, {"trivial_plan", "serialization"}, {"kernels"}, {"state"},
    {"executor", "readout", "compiler"}, {"gradient"},
)  # fmt: skip
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}


def imports(path: Path, package: str, *, at_import: bool) -> Iterator[str]:
    """Yield absolute names of imported modules; ``at_import`` leaves out functions and ``if TYPE_CHECKING``."""
    root = CORE.parent if package == "qsim_core" else FACE.parent
    parts = path.relative_to(root).with_suffix("").parts
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)


def modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def layer_of(name: str) -> str:
    """Return "program" for "qsim_core.program.Program"."""
    return name.split(".")[1]


@pytest.mark.parametrize("path", modules(CORE), ids=lambda path: str(path.relative_to(CORE)))
def test_the_core_never_imports_the_face(path: Path) -> None:
    assert not [name for name in imports(path, "qsim_core", at_import=False) if name.split(".")[0] == "qsim"]


def core_graph() -> dict[str, set[str]]:
    known = {path.stem for path in CORE.glob("*.py")} | {path.name for path in CORE.iterdir() if path.is_dir()}
    graph: dict[str, set[str]] = {}
    for path in modules(CORE):
        here = path.relative_to(CORE).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        names = {layer_of(n) for n in imports(path, "qsim_core", at_import=True) if n.startswith("qsim_core.")}
        graph.setdefault(here, set()).update((names & known) - {here})
    return graph


def test_imports_point_downwards() -> None:
    graph = core_graph()
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError
    wrong = [
        f"{here} imports {other}"
        for here, others in graph.items()
        for other in others
        if here in RANK and other in RANK and RANK[other] >= RANK[here]
    ]
    assert not wrong
    assert graph["errors"] == set() and graph["types"] == {"errors"}


def test_only_kernels_know_how_to_compute() -> None:
    for path in modules(CORE):
        found = {name.split(".")[0] for name in imports(path, "qsim_core", at_import=False)} & {"numba", "cupy"}
        assert not found or "kernels" in path.parts, path


@pytest.mark.parametrize("path", modules(FACE), ids=lambda path: str(path.relative_to(FACE)))
def test_the_face_imports_no_framework_at_import(path: Path) -> None:
    if "adapters" in path.relative_to(FACE).parts:
        pytest.skip("an adapter imports its own framework; importing qsim does not import adapters")
    assert not {name.split(".")[0] for name in imports(path, "qsim", at_import=True)} & FRAMEWORKS


@pytest.mark.parametrize("path", modules(FACE / "adapters"), ids=lambda path: str(path.relative_to(FACE)))
def test_an_adapter_uses_public_names_and_its_own_framework_only(path: Path) -> None:
    framework = path.relative_to(FACE / "adapters").parts[0].removesuffix(".py")
    own = f"qsim.adapters.{framework}"
    for name in imports(path, "qsim", at_import=False):
        parts = name.split(".")
        if parts[0] in ("qsim", "qsim_core") and not name.startswith(own):
            assert not any(part.startswith("_") for part in parts if part != "__future__"), f"{path}: {name}"
            assert not name.startswith("qsim.adapters."), f"{path}: {name}"
        others = {"qiskit", "cirq", "pennylane", "qibo"} - {framework}
        assert parts[0] not in others, f"{path}: {name}"


def test_the_face_uses_no_kernel_but_through_the_registry() -> None:
    allowed = {"registry", "contract", "control", "reference"}
    for path in modules(FACE):
        for name in imports(path, "qsim", at_import=False):
            if name.startswith("qsim_core.kernels."):
                assert name.split(".")[2] in allowed, f"{path}: {name}"


def test_importing_qsim_loads_no_framework() -> None:
    code = f"import sys, qsim; print(sorted({FRAMEWORKS!r} & set(sys.modules)))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_public_names_exist_and_are_sorted() -> None:
    import qsim
    import qsim_core

    for module in (qsim, qsim_core):
        assert all(hasattr(module, name) for name in module.__all__)
        assert sorted(module.__all__) == module.__all__


#: Modules tested through others: plain data, or one file of a package that is tested as a whole.
TESTED_ELSEWHERE = {
    "errors", "types", "operations", "optable", "angles", "pauli", "plan",  # data; test_optable_angles, …
    "instructions", "lowering", "plotting", "testing",
}  # fmt: skip


@pytest.mark.parametrize(("source", "tests"), [(CORE, "core"), (FACE, "api")], ids=["core", "api"])
def test_tests_mirror_the_tree(source: Path, tests: str) -> None:
    have = {path.stem.removeprefix("test_") for path in (ROOT / "tests" / tests).rglob("test_*.py")}
    missing = (
        {path.stem for path in source.glob("*.py")} - have - TESTED_ELSEWHERE - {"__init__", "__main__", "version"}
    )
    assert not missing, f"no tests/{tests}/test_<module>.py for {sorted(missing)}"
