"""`memvit watch` and `memvit serve`: videos and streams, as they come."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import typer
from rich.console import Console

from memvit.video.limits import DEFAULT_LIMITS
from pipelines.terminal import INTERRUPTED, console, one_sentence

from .options import (
    Boxes,
    BoxesThreshold,
    BoxesWeights,
    Checkpoint,
    Device,
    FramesPerSecond,
    Hop,
    LabelFile,
    Limits,
    ModelName,
    NoMemory,
    Precision,
    RandomWeights,
    Start,
)

if TYPE_CHECKING:
    from memvit.streams.policy import Overflow

_LIVE, _SERVER = "Live streams", "Server"


def _positive(seconds: float | None) -> float | None:
    """Refuse 0, a negative number and NaN: nothing would be watched, or the end would never come."""
    if seconds is not None and not seconds > 0:
        raise typer.BadParameter(f"{seconds:g} is not a number of seconds greater than 0")
    return seconds


OverflowOption: TypeAlias = Annotated[
    str,
    typer.Option(
        help="What to do when clips come faster than the model answers: `drop` skips to the newest clip, `wait` "
        "makes the source wait; `auto` drops for live sources and waits for files.",
        rich_help_panel=_LIVE,
    ),
]
MaxAge: TypeAlias = Annotated[
    float,
    typer.Option(min=0, help="Seconds a clip may wait before the stream skips to its newest.", rich_help_panel=_LIVE),
]
MemoryTimeout: TypeAlias = Annotated[
    float,
    typer.Option(
        min=0,
        help="Memory is kept over an interruption of at most this many seconds; after a longer one it starts empty.",
        rich_help_panel=_LIVE,
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
    precision: Precision = "auto",
    boxes: Boxes = None,
    boxes_weights: BoxesWeights = None,
    boxes_threshold: BoxesThreshold = None,
    hop: Hop = 1.0,
    limits: Limits = DEFAULT_LIMITS,
    until: Annotated[
        float | None,
        typer.Option(callback=_positive, help="Watch only up to this second of each source.", rich_help_panel="Time"),
    ] = None,
    frames_per_second: FramesPerSecond = 30.0,
    start: Start = 0.0,
    overflow: OverflowOption = "auto",
    max_age: MaxAge = 2.0,
    memory_timeout: MemoryTimeout = 30.0,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime", help="Play files at their own speed, again and again, like cameras.", rich_help_panel=_LIVE
        ),
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder for the results.", rich_help_panel="Results")] = Path("watch"),
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Write an MP4 with boxes and actions.", rich_help_panel="Results")
    ] = False,
    annotate_width: Annotated[
        int, typer.Option(min=64, help="Width of that MP4 in pixels.", rich_help_panel="Results")
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
    ava_csv: Annotated[
        bool,
        typer.Option("--ava-csv", help="Write detections as AVA's evaluation reads them.", rich_help_panel="Results"),
    ] = False,
    top_k: Annotated[
        int, typer.Option(min=1, help="Actions for each person in the JSON Lines.", rich_help_panel="Results")
    ] = 5,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", help="Write the scores of all classes instead.", rich_help_panel="Results")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the JSON Lines to standard output, too.", rich_help_panel="Results")
    ] = False,
) -> None:
    """Watch videos or streams: a JSON object for each clip; on request an annotated video, a timeline, AVA's CSV."""
    from memvit.engine.settings import ModelSettings
    from memvit.results.jsonl import to_json
    from memvit.streams.policy import LivePolicy
    from memvit.streams.watcher import ClipResult
    from memvit.video.sources.location import unique_names
    from memvit.video.sources.preflight import check_sources
    from pipelines.outputs import check_folder
    from pipelines.progress import WatchProgress, print_seen
    from pipelines.watch.run import WatchOptions, open_location, watch

    with one_sentence(out):
        settings = ModelSettings(
            model,
            checkpoint,
            random_weights,
            labels,
            device,
            precision,
            not no_memory,
            boxes,
            boxes_weights,
            boxes_threshold,
        )
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
            limits=limits,
            policy=LivePolicy(
                overflow=cast("Overflow", overflow), max_age_seconds=max_age, memory_timeout_seconds=memory_timeout
            ),
            realtime=realtime,
        )
        check_folder(out)
        check_sources(sources, partial(open_location, options=options))
        settings.check_boxes(unique_names(sources))
        engine, names, people = settings.build()
        with WatchProgress(console, options.hop_seconds) as progress:

            def on_event(stream: Any, event: Any) -> None:
                progress.update(stream, event)
                if as_json and isinstance(event, ClipResult):
                    sys.stdout.write(to_json(event.result, names, top_k=top_k, all_scores=all_scores) + "\n")
                    sys.stdout.flush()

            summary = watch(sources, engine, people, names, options, on_event)
    progress.report(summary)
    # With --json, standard output is for a program.
    print_seen(summary, names, console if as_json else Console(highlight=False))
    if summary.interrupted:
        raise typer.Exit(INTERRUPTED)
    if summary.failed:
        raise typer.Exit(1)


def serve_command(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE…", help="Streams to watch from the start.")
    ] = None,
    model: ModelName = None,
    checkpoint: Checkpoint = None,
    random_weights: RandomWeights = False,
    labels: LabelFile = None,
    no_memory: NoMemory = False,
    device: Device = "auto",
    precision: Precision = "auto",
    boxes: Boxes = None,
    boxes_weights: BoxesWeights = None,
    boxes_threshold: BoxesThreshold = None,
    hop: Hop = 1.0,
    limits: Limits = DEFAULT_LIMITS,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime",
            help="Play the files among SOURCE at their own speed, again and again.",
            rich_help_panel=_LIVE,
        ),
    ] = False,
    overflow: OverflowOption = "auto",
    max_age: MaxAge = 2.0,
    memory_timeout: MemoryTimeout = 30.0,
    max_streams: Annotated[int, typer.Option(min=1, help="Largest number of streams.", rich_help_panel=_LIVE)] = 64,
    engines: Annotated[
        int,
        typer.Option(
            min=1, help="Models to spread the streams over, on Ray if more than one.", rich_help_panel=_SERVER
        ),
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster to put the engines on; `auto` finds it.", rich_help_panel=_SERVER),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen at.", rich_help_panel=_SERVER)] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.", rich_help_panel=_SERVER)] = 8000,
    token: Annotated[
        str | None,
        typer.Option(
            envvar="MEMVIT_TOKEN",
            help="Secret that clients must send; needed for any address but this machine's own. "
            "Better set by the variable.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    allow_scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="Kinds of addresses that clients may name; by default rtsp, rtsps, http, https. Repeat for several.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    allow_folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder whose files clients may name. Repeat for several.", rich_help_panel=_SERVER),
    ] = None,
    allow_cameras: Annotated[
        bool, typer.Option("--allow-cameras", help="Let clients name /dev/video0 …", rich_help_panel=_SERVER)
    ] = False,
    deny_address: Annotated[
        list[str] | None,
        typer.Option(
            help="A network (10.0.0.0/8), `private` or `loopback` that the sources of clients may not lead to, besides "
            "link-local addresses and the metadata services of clouds. Repeat for several.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(
            help="A network or address that the sources of clients may lead to, though it is denied otherwise. Repeat "
            "for several.",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the streams and their memory over a restart.", rich_help_panel=_SERVER),
    ] = None,
    save_every: Annotated[
        float, typer.Option(min=0.1, help="Seconds from one saving of a stream to the next.", rich_help_panel=_SERVER)
    ] = 10.0,
) -> None:
    """Watch live streams, added and removed at any time: a web page, and an API with results, pictures and metrics."""
    from memvit.engine.settings import ModelSettings
    from memvit.streams.policy import LivePolicy
    from memvit.types import MemvitError

    with one_sentence():
        try:
            from pipelines.serve.addresses import address_rules
            from pipelines.serve.run import check_address, make_service, serve
            from pipelines.serve.sources import DEFAULT_SCHEMES, SourceRules
        except ImportError as error:
            raise MemvitError(f"serving needs {error.name}: pip install 'memvit[serve]'") from error
        check_address(host, token)
        settings = ModelSettings(
            model,
            checkpoint,
            random_weights,
            labels,
            device,
            precision,
            not no_memory,
            boxes,
            boxes_weights,
            boxes_threshold,
        )
        rules = SourceRules(
            schemes=tuple(allow_scheme) if allow_scheme else DEFAULT_SCHEMES,
            folders=tuple(allow_folder or ()),
            cameras=allow_cameras,
            addresses=address_rules(deny_address or (), allow_address or ()),
        )
        service = make_service(
            settings,
            rules,
            hop_seconds=hop,
            limits=limits,
            max_streams=max_streams,
            state=state,
            save_every_seconds=save_every,
            policy=LivePolicy(
                overflow=cast("Overflow", overflow), max_age_seconds=max_age, memory_timeout_seconds=memory_timeout
            ),
            engines=engines,
            address=address,
        )
        service.add_initial_streams(sources or (), realtime=realtime)
        serve(service, host, port, token, console)
