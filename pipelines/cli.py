"""`memvit …`: one small function a command; each reads its options and calls a pipeline.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (what was written by then is finished and valid).
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler

import memvit

from .cli_archive import export_command, extract_command, info_command
from .cli_options import (
    Boxes,
    BoxesThreshold,
    BoxesWeights,
    Checkpoint,
    Device,
    Dtype,
    FramesPerSecond,
    Hop,
    LabelFile,
    ModelName,
    NoMemory,
    RandomWeights,
    Start,
)
from .cli_training import ava_map_command, evaluate_command, train_command
from .terminal import INTERRUPTED, console, one_sentence

app = typer.Typer(
    help="Long and live video: what people do, second by second, from a model that remembers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
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


@app.command("watch")
def watch_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…", help="Files, URLs (rtsp, http, hls …), cameras (/dev/video0) or folders of AVA frames."
        ),
    ],
    model: ModelName = None,
    checkpoint: Checkpoint = None,
    random_weights: RandomWeights = False,
    labels: LabelFile = None,
    no_memory: NoMemory = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    boxes: Boxes = None,
    boxes_weights: BoxesWeights = None,
    boxes_threshold: BoxesThreshold = None,
    hop: Hop = 1.0,
    until: Annotated[
        float | None, typer.Option(min=0, help="Watch only up to this second.", rich_help_panel="Time")
    ] = None,
    frames_per_second: FramesPerSecond = 30.0,
    start: Start = 0.0,
    out: Annotated[Path, typer.Option(help="Folder for the results.", rich_help_panel="Results")] = Path("watch"),
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write an MP4 with boxes and actions.", rich_help_panel="Results")
    ] = False,
    annotate_width: Annotated[int, typer.Option(min=64, help="Its width in pixels.", rich_help_panel="Results")] = 640,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Draw a PNG, time × action, a row a person.", rich_help_panel="Results")
    ] = False,
    ava_csv: Annotated[
        bool,
        typer.Option("--ava-csv", help="Write detections as AVA's evaluation reads them.", rich_help_panel="Results"),
    ] = False,
    top_k: Annotated[
        int, typer.Option(min=1, help="Actions a person in the JSON Lines.", rich_help_panel="Results")
    ] = 5,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help="Write every class instead.", rich_help_panel="Results")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON Lines to standard output, too.", rich_help_panel="Results")
    ] = False,
) -> None:
    """Watch videos or streams: one JSON object a clip, and on request an annotated video, a timeline, AVA's CSV."""
    from memvit.results import to_json

    from .assemble import open_engine, open_people
    from .progress import WatchProgress
    from .watch import WatchOptions, watch

    with one_sentence():
        engine, names = open_engine(
            model,
            checkpoint,
            random_weights=random_weights,
            labels=labels,
            device=device,
            dtype=dtype,
            remember=not no_memory,
        )
        people = open_people(engine, boxes, weights=boxes_weights, score_threshold=boxes_threshold)
        options = WatchOptions(
            out=out,
            hop_seconds=hop,
            top_k=top_k,
            all_scores=all_scores,
            ava_csv=ava_csv,
            annotate=annotate,
            annotate_width=annotate_width // 2 * 2,
            timeline=timeline,
            until_seconds=until,
            frames_per_second=frames_per_second,
            start_seconds=start,
        )
        with WatchProgress(console, options.hop_seconds) as progress:

            def on_event(stream: Any, event: Any) -> None:
                progress.update(stream, event)
                if as_json and hasattr(event, "scores"):
                    sys.stdout.write(to_json(event, names, top_k=top_k, all_scores=all_scores) + "\n")
                    sys.stdout.flush()

            summary = watch(sources, engine, people, names, options, on_event)
    progress.report(summary)
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(1)


@app.command("models")
def models_command(
    pattern: Annotated[str, typer.Argument(help="A shell pattern, for example 'memvit*'.")] = "*",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the models: what they read, how large they are, what their authors report, where their weights come from."""
    from .listing import model_rows, model_table

    with one_sentence():
        rows = model_rows(pattern)
        if not rows:
            raise ValueError(f"no model matches {pattern!r}; `memvit models` lists all")
    if as_json:
        typer.echo(json.dumps(rows, indent=1))
    else:
        Console().print(model_table(rows))


app.command("train")(train_command)
app.command("evaluate")(evaluate_command)
app.command("ava-map")(ava_map_command)
app.command("extract")(extract_command)
app.command("info")(info_command)
app.command("export")(export_command)


@import_app.command("cvat")
def import_cvat_command(
    files: Annotated[list[Path], typer.Argument(metavar="FILE.xml…", help="Exports in the format CVAT for video 1.1.")],
    videos: Annotated[Path, typer.Option(help="Folder of the annotated videos.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set.")],
    val: Annotated[list[str] | None, typer.Option(help="A video to hold out; may be given several times.")] = None,
) -> None:
    """Turn annotations made with CVAT into a data set in AVA's format, with a recipe to train on it."""
    from .import_cvat import import_cvat

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
    num_classes: Annotated[int | None, typer.Option(min=1, help="Where it is not the model's own.")] = None,
) -> None:
    """Rewrite a checkpoint in another code base's layout; every value stays as it is."""
    from .convert import convert

    with one_sentence():
        console.print(convert(source, target, model, to, num_classes), markup=False, soft_wrap=True)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option(help="Folder for the video and its results.")] = Path("demo"),
    seconds: Annotated[float, typer.Option(min=10, help="Length of the video.")] = 24.0,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes another video.")] = 0,
) -> None:
    """Make a small video that needs memory, watch it with and without, and leave results, pictures and both mAPs."""
    from .demo import run_demo

    with one_sentence():
        code = run_demo(out, seconds, seed, console)
    raise typer.Exit(code)


def main() -> None:
    """Entry point of the `memvit` command."""
    app()


if __name__ == "__main__":
    main()
