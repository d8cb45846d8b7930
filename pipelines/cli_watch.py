"""`memvit watch` and `memvit serve`: videos and streams, as they come."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import typer

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
from .terminal import INTERRUPTED, console, one_sentence

if TYPE_CHECKING:
    from memvit.live.policy import Late

_LIVE = "Live streams"
MaxAge: TypeAlias = Annotated[
    float,
    typer.Option(min=0, help="Seconds a clip may wait before the stream skips to its newest.", rich_help_panel=_LIVE),
]
KeepMemory: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0, help="A stream that was away for longer than so many seconds starts afresh.", rich_help_panel=_LIVE
    ),
]


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
    late: Annotated[
        str,
        typer.Option(
            help="What happens to clips the model has no time for: `drop` skips to the newest, `wait` makes the source "
            "wait; auto drops for live sources.",
            rich_help_panel=_LIVE,
        ),
    ] = "auto",
    max_age: MaxAge = 2.0,
    keep_memory: KeepMemory = 30.0,
    pace: Annotated[
        bool,
        typer.Option(
            "--pace", help="Play files at their own speed, over and over, like cameras.", rich_help_panel=_LIVE
        ),
    ] = False,
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
    from memvit.assemble import open_engine, open_people
    from memvit.live.policy import LivePolicy
    from memvit.live.watcher import Answered
    from memvit.results import to_json

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
            policy=LivePolicy(late=cast("Late", late), max_age_seconds=max_age, keep_memory_seconds=keep_memory),
            pace=pace,
        )
        with WatchProgress(console, options.hop_seconds) as progress:

            def on_event(stream: Any, event: Any) -> None:
                progress.update(stream, event)
                if as_json and isinstance(event, Answered):
                    sys.stdout.write(to_json(event.result, names, top_k=top_k, all_scores=all_scores) + "\n")
                    sys.stdout.flush()

            summary = watch(sources, engine, people, names, options, on_event)
    progress.report(summary)
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(1)
