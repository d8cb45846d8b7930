"""`memvit watch`: videos and streams, and files of their results."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS
from pipelines.terminal import INTERRUPTED, console, one_sentence

from .option_groups import LiveOptions, ModelOptions, RecordingOptions, with_option_groups
from .options import (
    LIVE_PANEL,
    FramesPerSecond,
    HeadFiles,
    Hop,
    Limits,
    MinScore,
    RulesFile,
    Start,
    TrackRate,
)


def _positive(seconds: float | None) -> float | None:
    """Refuse 0, a negative number and NaN: nothing would be watched, or the end would never come."""
    if seconds is not None and not seconds > 0:
        raise typer.BadParameter(f"{seconds:g} is not a number of seconds greater than 0")
    return seconds


@with_option_groups
def watch_command(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…", help="Files, URLs (rtsp, http, hls …), cameras (/dev/video0) or folders of AVA frames."
        ),
    ],
    *,
    model_options: ModelOptions,
    head: HeadFiles = None,
    track_rate: TrackRate = DEFAULT_TRACK_RATE,
    hop: Hop = 1.0,
    limits: Limits = DEFAULT_LIMITS,
    until: Annotated[
        float | None,
        typer.Option(callback=_positive, help="Watch only up to this second of each source.", rich_help_panel="Time"),
    ] = None,
    frames_per_second: FramesPerSecond = 30.0,
    start: Start = 0.0,
    live_options: LiveOptions,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime",
            help="Play files at their own speed, again and again, like cameras.",
            rich_help_panel=LIVE_PANEL,
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.", rich_help_panel="Results")] = Path("watch"),
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write an MP4 with boxes and actions.", rich_help_panel="Results")
    ] = False,
    annotate_width: Annotated[
        int,
        typer.Option(
            min=64, help="Width of that MP4 in pixels; smaller videos are enlarged.", rich_help_panel="Results"
        ),
    ] = 640,
    timeline: Annotated[
        bool,
        typer.Option(
            "--timeline",
            help="Draw a PNG, time × action for each person; of a live stream, the last 21,600 clips (6 hours at a hop "
            "of 1 s).",
            rich_help_panel="Results",
        ),
    ] = False,
    min_score: MinScore = 0.3,
    ava_csv: Annotated[
        bool,
        typer.Option("--ava-csv", help="Write detections as AVA's evaluation reads them.", rich_help_panel="Results"),
    ] = False,
    ava_csv_persons: Annotated[
        bool,
        typer.Option(
            "--ava-csv-persons",
            help="The same, with the number of the person in one more column at the end.",
            rich_help_panel="Results",
        ),
    ] = False,
    top_k: Annotated[
        int, typer.Option(min=1, help="Actions for each person in the JSON Lines.", rich_help_panel="Results")
    ] = 5,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help="Write the scores of all classes instead.", rich_help_panel="Results")
    ] = False,
    rules: RulesFile = None,
    recording_options: RecordingOptions,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON Lines to standard output, too.", rich_help_panel="Results")
    ] = False,
) -> None:
    """Watch videos or streams: a JSON object for each clip; on request an annotated video, a timeline, AVA's CSV."""
    from memvit.events.rules_file import check_actions, load_rules
    from memvit.results.jsonl import to_json
    from memvit.streams.watcher import ClipResult
    from memvit.types import MemvitError
    from memvit.video.sources.location import unique_names
    from memvit.video.sources.preflight import check_sources
    from pipelines.outputs import check_folder
    from pipelines.progress import WatchProgress, print_seen
    from pipelines.watch.run import WatchOptions, open_location, watch

    with one_sentence(out):
        settings = replace(model_options.settings(), heads=tuple(head or ()))
        options = WatchOptions(
            out=out,
            hop_seconds=hop,
            track_rate=track_rate,
            top_k=top_k,
            all_scores=all_scores,
            ava_csv=ava_csv or ava_csv_persons,
            ava_csv_persons=ava_csv_persons,
            annotate=annotate,
            annotate_width=annotate_width // 2 * 2,
            timeline=timeline,
            min_score=min_score,
            until_seconds=until,
            frames_per_second=frames_per_second,
            start_seconds=start,
            limits=limits,
            policy=live_options.policy(),
            realtime=realtime,
            rules=load_rules(rules) if rules is not None else None,
            record=recording_options.options(),
        )
        if options.record is not None and rules is None:
            raise MemvitError("without rules there are no events to record; name some with --rules")
        check_folder(out)
        check_sources(sources, partial(open_location, options=options))
        settings.check_boxes(unique_names(sources))
        engine, names, people = settings.build()
        if options.rules is not None:
            check_actions(options.rules, names)
        with WatchProgress(console, options.hop_seconds) as progress:

            def on_event(stream: Any, event: Any) -> None:
                progress.update(stream, event)
                if as_json and isinstance(event, ClipResult):
                    sys.stdout.write(to_json(event.result, names, top_k=top_k, all_scores=all_scores) + "\n")
                    sys.stdout.flush()

            summary = watch(sources, engine, people, names, options, on_event, progress.tell)
    progress.report(summary)
    # With --json, standard output is for a program.
    print_seen(summary, names, console if as_json else Console(highlight=False))
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failed or summary.record_failure is not None:
        raise typer.Exit(1)
