"""`memvit extract`, `memvit info`, `memvit export`: mining archives."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from memvit.json_text import json_text
from memvit.video.limits import DEFAULT_LIMITS
from pipelines.terminal import INTERRUPTED, console, one_sentence

from .option_groups import ModelOptions, with_option_groups
from .options import (
    FramesPerSecond,
    Hop,
    Limits,
    Start,
    TrackRate,
)


@with_option_groups
def extract_command(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…", help="Videos, folders, patterns ('**/*.mp4'), URLs, or lists of them (.txt, .csv)."
        ),
    ],
    out: Annotated[str, typer.Option(help="The archive: a local path or a URL (s3://bucket/archive.zarr).")],
    *,
    model_options: ModelOptions,
    hop: Hop = 1.0,
    track_rate: TrackRate = 0.0,
    limits: Limits = DEFAULT_LIMITS,
    segment: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Cut longer videos into segments of this many seconds and process them in parallel, with the exact "
            "results of one run; 0 cuts none. By default 1800 with several workers or a batch, else 0. With memory "
            "in slots nothing is cut.",
            rich_help_panel="Time",
        ),
    ] = None,
    frames_per_second: FramesPerSecond = 30.0,
    start: Start = 0.0,
    workers: Annotated[
        int,
        typer.Option(
            min=1, help="Number of models that run in parallel; more than one needs Ray.", rich_help_panel="Machines"
        ),
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(help="A Ray cluster to join: auto, or ray://HOST:PORT.", rich_help_panel="Machines"),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Clips of different videos that a model sees at once; by default 1 on a CPU, 8 on a GPU.",
            rich_help_panel="Machines",
        ),
    ] = None,
    commit: Annotated[
        int, typer.Option(min=1, help="Clips of a video from commit to commit.", rich_help_panel="Machines")
    ] = 64,
    stored_as: Annotated[str, typer.Option(help="float32 or float16, on disk.", rich_help_panel="Archive")] = "float32",
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try videos again that failed.", rich_help_panel="Archive")
    ] = False,
    redo_changed: Annotated[
        bool,
        typer.Option("--redo-changed", help="Do videos again whose file has changed.", rich_help_panel="Archive"),
    ] = False,
    verify: Annotated[
        bool,
        typer.Option(
            "--verify", help="Read finished videos back, and do damaged ones again.", rich_help_panel="Archive"
        ),
    ] = False,
    as_name: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="NAME",
            help="Keep these results beside those of other models, as OUT/models/NAME.",
            rich_help_panel="Archive",
        ),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for another job on this archive.", rich_help_panel="Archive")
    ] = False,
    report: Annotated[
        Path | None, typer.Option(help="Write the outcome for every video as JSON.", rich_help_panel="Archive")
    ] = None,
) -> None:
    """Write features and actions of many videos into one Zarr store. Run it again after interruptions: it continues."""
    from memvit.store.beside import beside
    from memvit.video.sources.location import is_url, source_name
    from pipelines.extract.inputs import find_videos
    from pipelines.extract.progress import ExtractProgress
    from pipelines.extract.resume import ResumePolicy
    from pipelines.extract.run import extract, set_up, write_report
    from pipelines.outputs import check_file, check_folder

    with one_sentence(out):
        if not is_url(out):
            check_folder(Path(out))
        out = beside(out, as_name) if as_name is not None else out
        if report is not None:
            check_file(report, "--report")
        locations = find_videos(inputs, lambda note: console.print(f"note: {note}", markup=False, soft_wrap=True))
        settings = model_options.settings()
        settings.check_boxes([source_name(location) for location in locations])
        setup = set_up(
            settings,
            workers,
            address,
            batch=batch,
            segment_seconds=segment,
            hop_seconds=hop,
            track_rate=track_rate,
            commit_clips=commit,
            frames_per_second=frames_per_second,
            start_seconds=start,
            limits=limits,
        )
        with ExtractProgress(console) as progress:
            summary = extract(
                locations,
                out,
                setup,
                ResumePolicy(retry_failed, redo_changed, verify),
                stored_as=stored_as,
                wait=wait,
                on_wait=lambda owner: console.print(f"waiting for {owner} …", markup=False),
                on_progress=progress.update,
            )
        progress.report(summary, out)
        if report is not None:
            write_report(report, summary)
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(1)


def info_command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="An archive (path or URL) or a checkpoint.")],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read all finished videos back and compare them with their digests.")
    ] = False,
    search: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Search below this folder for videos whose file is missing.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """Say what is in an archive, what is unfinished, missing, moved or failed; or what a checkpoint is of."""
    from pipelines.info import describe_path, info_text

    with one_sentence():
        content = describe_path(path, verify=verify, search=search)
        if as_json:
            typer.echo(json_text(content, indent=1))
        else:
            Console().print(info_text(content), markup=False, highlight=False, soft_wrap=True)
    if content.get("damaged"):
        raise typer.Exit(1)
