"""`memvit serve`: a server that watches streams, with a web page and an API."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS
from pipelines.terminal import console, one_sentence

from .option_groups import LiveOptions, ModelOptions, RecordingOptions, with_option_groups
from .options import (
    LIVE_PANEL,
    SERVER,
    HeadFiles,
    Hop,
    Host,
    Limits,
    MinScore,
    Port,
    RulesFile,
    Token,
    TrackRate,
)


@with_option_groups
def serve_command(
    sources: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE…", help="Streams to watch from the start.")
    ] = None,
    *,
    model_options: ModelOptions,
    head: HeadFiles = None,
    track_rate: TrackRate = DEFAULT_TRACK_RATE,
    hop: Hop = 1.0,
    min_score: MinScore = 0.3,
    limits: Limits = DEFAULT_LIMITS,
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime",
            help="Play the files among SOURCE at their own speed, again and again.",
            rich_help_panel=LIVE_PANEL,
        ),
    ] = False,
    live_options: LiveOptions,
    max_streams: Annotated[
        int, typer.Option(min=1, help="Largest number of streams.", rich_help_panel=LIVE_PANEL)
    ] = 64,
    engines: Annotated[
        int,
        typer.Option(min=1, help="Models to spread the streams over, on Ray if more than one.", rich_help_panel=SERVER),
    ] = 1,
    address: Annotated[
        str | None,
        typer.Option(help="A running Ray cluster to put the engines on; `auto` finds it.", rich_help_panel=SERVER),
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    token: Token = None,
    allow_scheme: Annotated[
        list[str] | None,
        typer.Option(
            help="Kinds of addresses that clients may name; by default rtsp, rtsps, http, https. Repeat for several.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    allow_folder: Annotated[
        list[Path] | None,
        typer.Option(help="A folder whose files clients may name. Repeat for several.", rich_help_panel=SERVER),
    ] = None,
    allow_cameras: Annotated[
        bool, typer.Option("--allow-cameras", help="Let clients name /dev/video0 …", rich_help_panel=SERVER)
    ] = False,
    deny_address: Annotated[
        list[str] | None,
        typer.Option(
            help="A network (10.0.0.0/8), `private` or `loopback` that the sources of clients may not lead to, besides "
            "link-local addresses and the metadata services of clouds. Repeat for several.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    allow_address: Annotated[
        list[str] | None,
        typer.Option(
            help="A network or address that the sources of clients may lead to, though it is denied otherwise. Repeat "
            "for several.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    rules: RulesFile = None,
    history: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps events over a restart; the last 10,000 are kept in memory without one.",
            rich_help_panel="Events",
        ),
    ] = None,
    history_days: Annotated[
        float | None,
        typer.Option(min=0, help="Days after which events are deleted there; 30.", rich_help_panel="Events"),
    ] = None,
    recording_options: RecordingOptions,
    config: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file of streams, rules, zones, sinks, history and recordings; see docs/events.md.",
            rich_help_panel="Events",
        ),
    ] = None,
    archive: Annotated[
        str | None,
        typer.Option(
            metavar="STORE",
            help="An archive to show under /archive, as `memvit browse` does.",
            rich_help_panel=SERVER,
        ),
    ] = None,
    archive_labels: Annotated[
        Path | None,
        typer.Option(help="A CSV file for labels that are given there.", rich_help_panel=SERVER),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the streams and their memory over a restart.", rich_help_panel=SERVER),
    ] = None,
    save_every: Annotated[
        float,
        typer.Option(min=0.1, help="Seconds from one saving of a stream to the next.", rich_help_panel=SERVER),
    ] = 10.0,
) -> None:
    """Watch live streams, added and removed at any time: a web page, and an API with results, pictures and metrics."""
    from memvit.types import MemvitError

    with one_sentence():
        try:
            from pipelines.browse.library import BrowseOptions, FilmLibrary
            from pipelines.serve.addresses import address_rules
            from pipelines.serve.event_options import EventOptions, event_options
            from pipelines.serve.reloading import Reloader
            from pipelines.serve.run import make_service, serve
            from pipelines.serve.server_config import ServerConfig, load_config
            from pipelines.serve.sources import DEFAULT_SCHEMES, SourceRules
            from pipelines.serve.zones import zone_file
            from pipelines.web.listening import check_address
        except ImportError as error:
            raise MemvitError(f"serving needs {error.name}: pip install 'memvit[serve]'") from error
        check_address(host, token)

        def read() -> tuple[ServerConfig, EventOptions]:
            found = load_config(config) if config is not None else ServerConfig()
            record = recording_options.options(found.record)
            return found, event_options(found, rules, history, history_days, state, record)

        configuration, events = read()
        if events.record is not None and events.rules is None and config is None:
            raise MemvitError("without rules there are no events to record; name some with --rules")
        shown = archive or configuration.archive
        if archive_labels is not None and shown is None:
            raise MemvitError("--archive-labels goes with --archive")
        heads = (*configuration.heads, *(head or ()))
        labels = archive_labels or configuration.archive_labels
        library = FilmLibrary(BrowseOptions(shown, labels, heads, all_heads_fit=False)) if shown is not None else None
        settings = replace(model_options.settings(), heads=heads)
        source_rules = SourceRules(
            schemes=tuple(allow_scheme) if allow_scheme else DEFAULT_SCHEMES,
            folders=tuple(allow_folder or ()),
            cameras=allow_cameras,
            addresses=address_rules(deny_address or (), allow_address or ()),
        )
        service = make_service(
            settings,
            source_rules,
            hop_seconds=hop,
            track_rate=track_rate,
            min_score=min_score,
            limits=limits,
            max_streams=max_streams,
            state=state,
            save_every_seconds=save_every,
            policy=live_options.policy(),
            engines=engines,
            address=address,
            events=events,
        )
        if config is not None or rules is not None:
            service.reload = Reloader(service, configuration, read)
            service.zone_file = zone_file(rules, config, service.reload)
        service.add_initial_streams(sources or (), realtime=realtime, configured=configuration.streams)
        serve(service, host, port, token, console, library)
