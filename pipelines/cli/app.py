"""`memvit …`: one small function for each command, which reads its options and calls a pipeline.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (what was written by then is finished and valid).
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

import memvit
from memvit.json_text import json_text
from pipelines.terminal import console, one_sentence

from .archive import extract_command, info_command
from .browse import browse_command, sheet_command
from .coco_map import coco_map_command
from .detect import detect_command
from .evaluate_events import evaluate_events_command
from .events import events_command
from .export import export_command
from .find import find_command, list_command, similar_command
from .keeping import index_command, merge_command, relocate_command, remove_command
from .options import CommandWithRenamedOptions, PlainHelpCommand
from .serve import serve_command
from .teach import teach_command
from .training import ava_map_command, evaluate_command, train_command
from .watch import watch_command

app = typer.Typer(
    help="Long and live video: what people do, second by second, from a model that remembers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def show_version(wanted: bool) -> None:
    """Print the version and exit."""
    if wanted:
        typer.echo(f"memvit {memvit.__version__}")
        raise typer.Exit


import_app = typer.Typer(help="Turn annotations of other tools into data sets.", no_args_is_help=True)
app.add_typer(import_app, name="import")


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")] = False,
) -> None:
    """Options of every command."""
    handler = RichHandler(console=console, show_time=False, show_path=False)
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(message)s", handlers=[handler])


app.command("watch", cls=CommandWithRenamedOptions)(watch_command)
app.command("serve", cls=CommandWithRenamedOptions)(serve_command)


@app.command("models")
def models_command(
    pattern: Annotated[
        str, typer.Argument(metavar="[NAME]", help="One model, for its details, or a shell pattern such as 'memvit*'.")
    ] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the models: what they read, how large they are, what their authors report; with a NAME, all of one model."""
    from pipelines.listing import model_rows, model_tables, model_text

    with one_sentence():
        rows = model_rows(pattern)
    if as_json:
        typer.echo(json_text(rows, indent=1))
    else:
        output = Console(highlight=False)
        if len(rows) == 1:
            output.print(model_text(rows[0]), markup=False, soft_wrap=True)
            return
        for table in model_tables(rows):
            output.print(table, "")
        output.print("accuracy as published; one model in detail: memvit models NAME", markup=False)


app.command("detect")(detect_command)
app.command("events")(events_command)
app.command("evaluate-events")(evaluate_events_command)
app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("ava-map")(ava_map_command)
app.command("coco-map")(coco_map_command)
app.command("extract")(extract_command)
app.command("info")(info_command)
app.command("find")(find_command)
app.command("similar")(similar_command)
app.command("list")(list_command)
app.command("teach")(teach_command)
app.command("browse")(browse_command)
app.command("sheet")(sheet_command)
app.command("remove")(remove_command)
app.command("relocate")(relocate_command)
app.command("merge")(merge_command)
app.command("index")(index_command)
app.command("export", cls=CommandWithRenamedOptions)(export_command)


@import_app.command("cvat")
def import_cvat_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.xml…", help="Exports in the format CVAT for video 1.1.")],
    videos: Annotated[Path, typer.Option(help="Folder of the annotated videos.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    val: Annotated[list[str] | None, typer.Option(help="A video to hold out; may be given several times.")] = None,
) -> None:
    """Turn annotations made with CVAT into a data set in AVA's format, with a recipe to train on it."""
    from pipelines.import_cvat import import_cvat

    with one_sentence():
        done = import_cvat(files, videos, out, val or [])
    console.print(
        f"{done.keyframes} keyframes, {len(done.actions)} actions ({', '.join(done.actions)}), {len(done.train)} "
        f"videos to train on and {len(done.val)} to test; next: memvit train {done.recipe}",
        markup=False,
        soft_wrap=True,
    )


@app.command("convert")
def convert_command(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A checkpoint in any supported layout.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write; .safetensors or .pth.")],
    model: Annotated[str, typer.Option(help="The model that the checkpoint is of, from `memvit models`.")],
    to: Annotated[str, typer.Option(help="official, timm, torchvision or memvit.")] = "official",
    num_classes: Annotated[
        int | None, typer.Option(min=1, help="Number of classes, if it is not the model's own.")
    ] = None,
) -> None:
    """Rewrite a checkpoint in another code base's layout; every value stays as it is."""
    from pipelines.convert import convert

    with one_sentence():
        console.print(convert(source, target, model, to, num_classes), markup=False, soft_wrap=True)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the video and its results.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=10, help="Length of the video.")] = 24.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another video.")] = 0,
) -> None:
    """Make a small video that needs memory, watch it with and without, and leave results, pictures and both mAPs."""
    from pipelines.demo import run_demo
    from pipelines.outputs import check_folder

    with one_sentence(out):
        check_folder(out)
        code = run_demo(out, seconds, seed, console)
    raise typer.Exit(code)


for registered in (*app.registered_commands, *import_app.registered_commands):
    if registered.cls is None or not issubclass(registered.cls, PlainHelpCommand):
        registered.cls = PlainHelpCommand


def main() -> None:
    """Entry point of the `memvit` command."""
    app()


if __name__ == "__main__":
    main()
