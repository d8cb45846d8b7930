"""What the documentation says exists: commands, options, files, names; and its Python examples run."""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.util
import inspect
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import typer
from torchvision.models import get_model_weights

import memvit
from memvit.engine.settings import DEFAULT_BOXES, DEFAULT_MODEL
from memvit.models import MODELS
from memvit.runtime.export import program
from memvit.training.recipe import RECIPES
from memvit.training.recipe_file import load_recipe
from memvit.training.recipe_keys import keys_of
from memvit.types import MemvitError
from memvit.video.limits import DEFAULT_LIMITS
from pipelines.cli.app import app
from tests.pipelines.extract.archives import arguments, run, small_video
from tests.test_layering import ROOMS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:memvit|make|python) [^`]+)`")
FILE = re.compile(
    r"(?<![\w/.])((?:memvit|pipelines|tests|tools|configs|docs|\.ci)/[\w./-]*|(?:README|CONTRIBUTING|CHANGELOG)\.md|Makefile)"
)
DOTTED = re.compile(r"^(memvit(?:\.\w+)+)(?:\(.*\))?$")
CLASS = re.compile(r"^([A-Z]\w+)(?:\.\w+)*$")
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
    if words[1:2] in (["train"], ["evaluate"]) and rest and (ROOT / rest[0]).is_file():
        try:
            load_recipe(ROOT / rest[0], [word for word in rest[1:] if re.match(r"[\w.]+=", word)])
        except MemvitError as error:
            return str(error)
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


def code_of(text: str) -> list[str]:
    """Everything in backticks within the text, without blocks of code."""
    return [code.replace("\n", " ") for code in re.findall(r"`([^`]+)`", FENCE.sub("", text))]


def missing_files(text: str) -> list[str]:
    """Files and folders of this repository that a text names and that do not exist; a test may lack its suffix."""
    names = {name for code in code_of(text) for name in FILE.findall(code)}
    return sorted(name for name in names if not any((ROOT / f"{name}{suffix}").exists() for suffix in ("", ".py")))


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_exist(page: Path) -> None:
    assert missing_files(page.read_text()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_in_the_text_exist(page: Path) -> None:
    names = [match[1] for code in code_of(page.read_text()) if (match := DOTTED.match(code))]
    assert [name for name in names if resolved(name) is None] == []


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/models.md"])
def test_classes_and_constants_in_the_text_exist(page: str) -> None:
    files = [path for name in ("memvit", "pipelines", "tests") for path in (ROOT / name).rglob("*.py")]
    code = "\n".join(path.read_text() for path in files)
    words = {
        match[1] for code in code_of((ROOT / page).read_text()) if (match := CLASS.match(code)) and not FILE.match(code)
    }
    named = {word for word in words if not re.search(rf"^(?:class )?{word}\b", code, re.MULTILINE)}
    assert len(words) > 2 and named <= {"NOTE", "ValueError", "OMP_NUM_THREADS", "TORCH_HOME"}


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_keys_of_recipes_exist(page: Path) -> None:
    keys = {name for recipe in RECIPES.values() for name in keys_of(recipe)}
    sections = {name.split(".")[0] for name in keys if "." in name}
    pattern = re.compile(rf"(?<![\w./])(?:{'|'.join(sorted(sections))})\.(?!safetensors|out/)\w+")
    named = {name for code in code_of(page.read_text()) for name in pattern.findall(code)}
    assert sorted(named - keys) == []


def test_the_map_of_the_repository_is_complete() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    layout = text[text.index("## Layout") : text.index("## Directions")]
    named = set(FILE.findall(layout))
    folders = {path.parent for name in ("memvit", "pipelines", "tools") for path in (ROOT / name).rglob("*.py")}
    top_files = {path for path in (ROOT / "memvit").glob("*.py") if path.name != "__init__.py"}
    there = {f"{folder.relative_to(ROOT)}/" for folder in folders} | {str(path.relative_to(ROOT)) for path in top_files}
    assert sorted(there - named) == []


def test_directions_of_imports_are_those_that_are_checked() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rows = re.findall(r"^\| `memvit/(\w+)` \| (.+) \|$", text[text.index("## Directions") :], re.MULTILINE)
    described = {room: set(re.findall(r"`memvit/(\w+)`", allowed)) for room, allowed in rows}
    rooms = {path.name for path in (ROOT / "memvit").iterdir() if (path / "__init__.py").is_file()}
    assert described == {room: ROOMS[room] & rooms for room in rooms}


def stub_of_watch(video: Path) -> Callable[..., Any]:
    """`memvit.watch` for whatever address and model, with a small video and the small model instead."""
    watch = memvit.watch

    def watched(source: str, model: str | None = None) -> Any:
        return watch(video, "memvit_tiny_8x4", random_weights=True, boxes="full")

    return watched


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_video(tmp_path_factory.mktemp("video") / "street.mp4", seconds=2)


TINY_MODELS = {"memvit_16_16x4.ava_k400": "memvit_tiny_8x4", "mvitv2_s_16x4.k400": "mvitv2_tiny_8x4"}
SMALLER = {**TINY_MODELS, ", pretrained=True": "", "height=224, width=298": "height=64, width=64"}


def run_python(source: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **names: Any) -> dict[str, Any]:
    """Run a block of a page in a folder, with the smallest models instead of large ones, and these names given."""
    for large, small in SMALLER.items():
        source = source.replace(large, small)
    monkeypatch.chdir(folder)
    found: dict[str, Any] = {"memvit": memvit, "torch": torch, **names}
    with contextlib.redirect_stdout(None):
        exec(compile(source, "an example of the documentation", "exec"), found)
    return found


def block_of(page: str, containing: str) -> str:
    (found,) = [block for block in python_of((ROOT / page).read_text()) if containing in block]
    return found


@pytest.mark.parametrize("page", ["README.md", "docs/live.md"])
def test_watching_in_python_runs(page: str, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memvit, "watch", stub_of_watch(video), raising=False)
    found = run_python(block_of(page, "memvit.watch("), video.parent, monkeypatch)
    assert found["result"].centre_seconds == 1 and len(found["actions"]) == 3


def test_a_loaded_model_carries_memory_as_the_readme_shows(
    tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = memvit.load
    monkeypatch.setattr(memvit, "load", lambda name: load(name, checkpoint=tiny_file), raising=False)
    clips = [(torch.randn(1, 3, 8, 64, 64), torch.tensor([[4.0, 4, 40, 60]])) for _ in range(3)]
    found = run_python(block_of("README.md", "memvit.load("), tmp_path, monkeypatch, clips=clips)
    assert found["logits"].shape == (1, 80) and found["memory"].ages.tolist() == [3]
    assert (tmp_path / "camera-7.pt").is_file()


def test_examples_of_models_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, as a reader would run them."""
    page, create = "docs/models.md", memvit.create_model
    with monkeypatch.context() as patch:
        patch.setattr(memvit, "create_model", lambda name, checkpoint: create(name), raising=False)
        clip = torch.randn(1, 3, 8, 64, 64)
        found = run_python(block_of(page, "a detector's FPN"), tmp_path, patch, clip=clip)
        assert found["logits"].shape == (1, 400) and len(found["maps"]) == 4
    model = create("memvit_tiny_8x4")
    clips, boxes = torch.randn(1, 3, 8, 64, 64), [torch.tensor([[4.0, 4, 40, 60]])]
    given = {"model": model, "clips": clips, "boxes": boxes, "path": tmp_path / "memory.pt"}
    memories = {name: model(clips, boxes, None)[1] for name in ("memory", "memory_a", "memory_b")}
    found = run_python(block_of(page, "Memory.stack"), tmp_path, monkeypatch, **given, **memories)
    assert found["memory"].batch_size == 2 and found["memory_a"].batch_size == 1
    found = run_python(block_of(page, "for_device"), tmp_path, monkeypatch, clips=clips, boxes=boxes)
    assert found["output"].memory.ages.tolist() == [2]


def test_the_example_of_export_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is the subject of tests/runtime/export, and takes long."""
    signature = inspect.signature(program.export_step)

    def make_step(*words: Any, **options: Any) -> program.ExportableStep:
        given = signature.bind(*words, **options).arguments
        return program.ExportableStep(given["model"], given["height"], given["width"])

    monkeypatch.setattr(program, "export_step", make_step)
    found = run_python(block_of("docs/models.md", "export_step"), tmp_path, monkeypatch)
    logits = found["step"](found["clips"], found["boxes"], found["valid_mask"], found["past"])[0]
    assert logits.shape == (2, 80)


def test_the_example_of_an_archive_runs(
    video: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(*arguments(tiny_file, tmp_path / "films.zarr", video))[0] == 0
    found = run_python(block_of("docs/archive.md", "open_zarr"), tmp_path, monkeypatch)
    assert found["features"].ndim == 2 and len(found["standing"]) == len(found["when"]) > 0


def test_the_line_of_results_has_the_keys_of_the_page_and_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/results.md").read_text()
    (line,) = [body for language, body in FENCE.findall(text) if language == "json"]
    assert [key for key in json.loads(line) if f"`{key}`" not in text and f"`{key}." not in text] == []
    (tmp_path / "watch").mkdir()
    (tmp_path / "watch/street.jsonl").write_text(line)
    found = run_python(block_of("docs/results.md", "json.loads"), tmp_path, monkeypatch)
    assert found["person"]["actions"][0]["name"] == "walk"


def test_limits_of_videos_are_those_of_the_page() -> None:
    page = (ROOT / "docs/videos.md").read_text()
    for name, value in vars(DEFAULT_LIMITS).items():
        assert f"| `{name}` | {value:.0f} |" in page


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
    assert "run.batch_size" in str(problem_of(["memvit", "train", "configs/motion.yaml", "run.batchsize=2"], True))
    wrong = "import memvit\nmemvit.wacth('a')\nfor x in memvit.watch('a', hop=1): pass\nfrom memvit.types import Klip\n"
    with pytest.raises(AttributeError):
        problems_of_python(wrong)
    assert missing_files("`memvit/api.py`, `tests/test_docs`, `tests/test_nothing.py` and `docs/nowhere/`") == [
        "docs/nowhere/",
        "tests/test_nothing.py",
    ]
    assert problems_of_python(wrong.replace("memvit.wacth", "str")) == ["memvit.types.Klip", "memvit.watch(hop=…)"]
