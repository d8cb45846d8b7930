"""Every command and every Python example of README.md and docs/ exists and parses."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from torchvision.models import get_model_weights

import memvit
from memvit.engine.settings import DEFAULT_BOXES, DEFAULT_MODEL
from memvit.models import MODELS
from pipelines.cli.app import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:memvit|make|python) [^`]+)`")
SEPARATORS = {"|", "||", "&&", ";", ">", "&"}
PLACEHOLDERS = {"…", "..."}


def commands_of(text: str) -> list[tuple[list[str], bool]]:
    """Command lines as words, and whether they stand whole in a block of code."""
    blocks = "\n".join(body for language, body in FENCE.findall(text) if language in ("", "bash", "sh"))
    lines = [(line, True) for line in blocks.replace("\\\n", " ").splitlines()]
    lines += [(code.replace("\n", " "), False) for code in INLINE.findall(FENCE.sub("", text))]
    found = []
    for line, is_whole in lines:
        words: list[str] = []
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        for word in [*lexer, ";"]:
            if word not in SEPARATORS:
                words.append(word)
                continue
            if words:
                found.append((words, is_whole))
            words = []
    return found


def python_of(text: str) -> list[str]:
    return [body for language, body in FENCE.findall(text) if language == "python"]


def problem_of(words: list[str], is_whole: bool) -> str | None:
    """Why a command line cannot be run, if so."""
    if words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        unknown = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"no target {unknown}" if unknown else None
    if words[0] in ("python", "python3"):
        if words[1:2] == ["-m"]:
            module = words[2]
            return None if importlib.util.find_spec(module) else f"no module {module}"
        files = [word for word in words[1:] if word.endswith(".py") and not (ROOT / word).is_file()]
        return f"no file {files}" if files else None
    if words[0] != "memvit":
        return None
    command: Any = typer.main.get_command(app)
    rest = words[1:]
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        if rest[0] not in command.commands:
            return None if rest[0] in PLACEHOLDERS else f"no command {rest[0]}"
        command = command.commands[rest.pop(0)]
    known = {name for param in command.params for name in param.opts + param.secondary_opts} | {"--help"}
    unknown = [word for word in rest if word.startswith("--") and word.split("=")[0] not in known]
    if unknown:
        return f"no option {unknown}"
    if is_whole and not PLACEHOLDERS & set(rest) and "--help" not in rest:
        try:
            command.make_context("memvit", list(rest))
        except Exception as error:
            return repr(error)
    return None


def problems_of_python(source: str) -> list[str]:
    """Names of memvit that do not exist, and keywords that a function does not take."""
    problems = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("memvit", "pipelines")):
            module = importlib.import_module(str(node.module))
            problems += [f"{node.module}.{name.name}" for name in node.names if not hasattr(module, name.name)]
        elif isinstance(node, ast.Attribute):
            try:
                resolved(ast.unparse(node))
            except AttributeError as error:
                problems.append(str(error))
        elif isinstance(node, ast.Call) and ast.unparse(node.func).startswith("memvit."):
            function = resolved(ast.unparse(node.func))
            taken = inspect.signature(function).parameters if callable(function) else {}
            problems += [f"{ast.unparse(node.func)}({key.arg}=…)" for key in node.keywords if key.arg not in taken]
    return problems


def resolved(dotted: str) -> object:
    """What a dotted name of memvit stands for; None for other names. AttributeError if there is no such thing."""
    names = dotted.split(".")
    if names[0] != "memvit" or not all(name.isidentifier() for name in names):
        return None
    found: object = importlib.import_module("memvit")
    for place, name in enumerate(names[1:], 1):
        module = ".".join(names[: place + 1])
        if inspect.ismodule(found) and not hasattr(found, name) and importlib.util.find_spec(module):
            importlib.import_module(module)
        found = getattr(found, name)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_and_parse(page: Path) -> None:
    found = [(words, problem_of(words, is_whole)) for words, is_whole in commands_of(page.read_text())]
    assert [f"{' '.join(words)}: {problem}" for words, problem in found if problem] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_compiles_and_names_exist(page: Path) -> None:
    assert [problem for source in python_of(page.read_text()) for problem in problems_of_python(source)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    local = [target for target in targets if target and "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []


def test_sizes_of_the_smallest_models_are_up_to_date() -> None:
    """The page is written by tools/model_table.py; counting all models takes too long here."""
    page = (ROOT / "docs/sizes.md").read_text()
    for name in ("memvit_tiny_8x4", "mvitv2_tiny_8x4"):
        parameters = sum(value.numel() for value in memvit.create_model(name).parameters())
        assert f"| `{name}` | {parameters:,} |" in page


def test_files_to_fetch_by_hand_are_those_that_are_downloaded() -> None:
    page = (ROOT / "docs/models.md").read_text()
    weights = MODELS[DEFAULT_MODEL].weights
    assert weights is not None
    for url in (weights.url, get_model_weights(DEFAULT_BOXES).DEFAULT.url):
        assert f"| {url} |" in page and f" {str(url).rsplit('/', 1)[1]}" in page


def test_the_checks_see_mistakes() -> None:
    lines = [
        "memvit watch a.mp4 --colour red   # note",
        "memvit models && memvit wacth x",
        "memvit export a",
        "make tea",
    ]
    text = "\n".join(["```", *lines, "```", "and `memvit watch --lat 3`"])
    problems = [problem_of(words, is_whole) for words, is_whole in commands_of(text)]
    assert problems[:4] == ["no option ['--colour']", None, "no command wacth", "MissingParameter('')"]
    assert problems[4:] == ["no target ['tea']", "no option ['--lat']"]
    wrong = "import memvit\nmemvit.wacth('a')\nfor x in memvit.watch('a', hop=1): pass\nfrom memvit.types import Klip\n"
    with pytest.raises(AttributeError):
        problems_of_python(wrong)
    assert problems_of_python(wrong.replace("memvit.wacth", "str")) == ["memvit.types.Klip", "memvit.watch(hop=…)"]
