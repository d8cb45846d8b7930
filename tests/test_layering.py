"""The rules of the house: what may import what, what is exported, and how long a file may grow."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def python_files(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Absolute names of everything a file imports."""
    names: set[str] = set()
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            names.add(".".join(part for part in (base, node.module) if part))
    return names


def test_imports_point_one_way() -> None:
    for path in python_files("memvit"):
        upward = {name for name in imported(path) if name.split(".")[0] in {"pipelines", "tools", "tests", "ray"}}
        assert not upward, f"{path} imports {upward}"
    for path in python_files("pipelines"):
        assert not {name for name in imported(path) if name.split(".")[0] in {"tools", "tests"}}, path


def test_models_import_torch_and_models_only() -> None:
    allowed = {"torch", "torchvision", "safetensors"} | set(sys.stdlib_module_names)
    for path in python_files("memvit/models"):
        for name in imported(path):
            known = allowed | ({"onnxscript"} if path.name == "onnx_program.py" else set())
            assert name.startswith("memvit.models") or name.split(".")[0] in known, f"{path} imports {name}"


@pytest.mark.parametrize(
    "module", ["memvit", "memvit.models", "memvit.engine", "memvit.video.clips.sampler", "memvit.boxes"]
)
def test_importing_is_light(module: str) -> None:
    heavy = ("ray", "zarr", "av", "matplotlib", "typer")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["memvit", "pipelines.cli", "pipelines.extract.reading"])
def test_torch_is_imported_by_those_who_compute(module: str) -> None:
    """`memvit --help` answers at once, and a decode actor is a small process."""
    code = f"import sys, {module}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("module", ["memvit", "memvit.models", "memvit.boxes", "memvit.store"])
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
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                assert "weights_only=True" in ast.unparse(node), f"{path}:{node.lineno}"
