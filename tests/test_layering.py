"""The rules of the house: what may import what, what is exported, and how long a file may grow."""

from __future__ import annotations

import ast
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

ROOMS: dict[str, set[str]] = {
    "types": set(),
    "os_errors": {"types"},
    "json_text": set(),
    "labels": {"types"},
    "models": set(),
    "runtime": {"types", "labels", "models"},
    "video": {"types"},
    "detection": {"types", "labels", "models", "runtime"},
    # A detector is a network too: its weights are read as safely as those of the models.
    "boxes": {"types", "video", "models", "detection"},
    "tracking": {"types", "video"},
    "results": {"types", "os_errors", "json_text", "labels", "video", "boxes"},
    "events": {"types", "os_errors", "labels", "boxes", "results"},
    # A head is a small file with a header as that of weights.
    "teaching": {"types", "os_errors", "models"},
    "engine": {"types", "labels", "models", "runtime", "video", "boxes", "tracking", "results", "teaching"},
    "streams": {"types", "runtime", "video", "boxes", "results", "engine"},
    "store": {"types", "os_errors", "labels", "video", "tracking", "results", "engine", "teaching", "__version__"},
    "datasets": {"types", "labels", "models", "video", "detection"},
    "evaluation": {
        "types",
        "labels",
        "models",
        "runtime",
        "video",
        "boxes",
        "results",
        "engine",
        "datasets",
        "detection",
    },
    "training": {
        "types",
        "json_text",
        "labels",
        "models",
        "runtime",
        "video",
        "boxes",
        "datasets",
        "evaluation",
        "detection",
    },
    "api": {"types", "models", "runtime", "video", "results", "engine", "streams"},
    "__init__": {"models", "engine", "api"},
}
"""What each room of the library may import of the others, inside functions too."""


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


@cache
def syntax_tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in python_files("memvit", "pipelines")}


def import_nodes(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that is executed, at the top or inside a function; not those that only type checkers read."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for statement in child.orelse:
                yield from import_nodes(statement)
        else:
            yield from import_nodes(child)


def imported(path: Path) -> set[str]:
    """Absolute names of everything a file imports: modules, or names of a module or package."""
    names: set[str] = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in import_nodes(syntax_tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        else:
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (base, node.module) if part)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def imported_modules(path: Path) -> set[str]:
    """The modules of this project that a file imports, other than itself."""
    found = {name if name in MODULES else name.rpartition(".")[0] for name in imported(path)}
    return (found & MODULES.keys()) - {module_name(path)}


def room(name: str) -> str:
    """`memvit.video.clips` is in `video`; what `memvit` itself defines is in `__init__`."""
    return name.split(".")[1] if "." in name else "__init__"


@pytest.mark.parametrize("path", python_files("memvit"), ids=module_name)
def test_library_imports_point_one_way(path: Path) -> None:
    here = room(module_name(path))
    assert here in ROOMS, f"give the new room {here} a line in ROOMS"
    names = imported(path)
    outside = {name for name in names if name.split(".")[0] in {"pipelines", "tools", "tests", "ray"}}
    assert not outside, f"{path} imports {outside}"
    others = {name for name in names if name.startswith("memvit.") and room(name) not in ROOMS[here] | {here}}
    assert not others, f"{path} imports {others}"


def test_rooms_have_an_order() -> None:
    known = ROOMS | {"__version__": set()}
    assert {name for allowed in ROOMS.values() for name in allowed} <= known.keys()
    TopologicalSorter(known).prepare()


def test_pipelines_import_no_tools_and_no_tests() -> None:
    for path in python_files("pipelines"):
        assert not {name for name in imported(path) if name.split(".")[0] in {"tools", "tests"}}, path


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions count: they only hide a cycle."""
    try:
        TopologicalSorter({name: imported_modules(path) for name, path in MODULES.items()}).prepare()
    except CycleError as error:
        pytest.fail(" is imported by ".join(error.args[1]))


def test_models_import_torch_and_models_only() -> None:
    allowed = {"torch", "torchvision", "safetensors"} | set(sys.stdlib_module_names)
    for path in python_files("memvit/models"):
        for name in imported(path):
            assert name.startswith("memvit.models") or name.split(".")[0] in allowed, f"{path} imports {name}"


def test_networks_know_nothing_of_devices_and_modes() -> None:
    forbidden = re.compile(r"device\.type|is_grad_enabled|is_compiling|mkldnn|get_num_threads")
    weights = ROOT / "memvit/models/weights"
    for path in python_files("memvit/models"):
        found = forbidden.search(path.read_text())
        assert found is None or path.is_relative_to(weights), f"{path}: {found} belongs to memvit.runtime"


WITHOUT_TORCH = ["memvit", "pipelines.cli", "pipelines.extract.reading", "memvit.store", "memvit.teaching"]
"""`memvit --help` and questions to an archive answer at once, and a decode actor is a small process."""
WITHOUT_VIDEO = ["memvit", "pipelines.cli", "memvit.store", "memvit.teaching"]
"""Of these, those that load neither ray nor what decodes and computes."""
LIGHT = ["memvit", "memvit.models", "memvit.engine", "memvit.video.clips.sampler", "memvit.boxes"]
OPTIONAL = ["ray", "zarr", "av", "matplotlib", "typer"]

IMPORTER = f"""
import importlib, json, os, sys
def report(kind, module):
    importlib.import_module(module)
    print(json.dumps([kind, module, list(sys.modules)]), flush=True)
for module in {WITHOUT_TORCH}:
    child = os.fork()
    if child == 0:
        report("without torch", module)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, module
for module in {LIGHT}:
    report("light", module)
"""
"""Forks a child for each of `WITHOUT_TORCH`; `LIGHT` are imported one after the other, for torch takes seconds."""


@pytest.fixture(scope="module")
def loaded() -> dict[tuple[str, str], set[str]]:
    """The modules that are loaded once those of `WITHOUT_TORCH` and `LIGHT` have been imported."""
    done = subprocess.run([sys.executable, "-c", IMPORTER], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return {(kind, module): set(names) for kind, module, names in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("module", LIGHT)
def test_importing_is_light(module: str, loaded: dict[tuple[str, str], set[str]]) -> None:
    assert not loaded["light", module] & set(OPTIONAL)


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_torch_is_imported_by_those_who_compute(module: str, loaded: dict[tuple[str, str], set[str]]) -> None:
    assert "torch" not in loaded["without torch", module]


@pytest.mark.parametrize("module", WITHOUT_VIDEO)
def test_archives_are_opened_by_small_programs(module: str, loaded: dict[tuple[str, str], set[str]]) -> None:
    assert not loaded["without torch", module] & {"ray", "av", "torchvision", "scipy"}


@pytest.mark.parametrize(
    "module", ["memvit", "memvit.models", "memvit.boxes", "memvit.store", "memvit.detection", "memvit.teaching"]
)
def test_exports_exist(module: str) -> None:
    found = importlib.import_module(module)
    assert len(found.__all__) == len(set(found.__all__)) > 0
    assert all(hasattr(found, name) for name in found.__all__)


def test_files_have_one_subject() -> None:
    long = {str(path): count for path in python_files("memvit", "pipelines", "tools") if (count := lines(path)) > 350}
    assert not long


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_checkpoints_are_loaded_safely() -> None:
    for path in python_files("memvit", "pipelines", "tools"):
        for node in ast.walk(syntax_tree(path)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), f"{path}:{node.lineno}"
