"""Start the server: check its options, load the model, and print the address."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

import uvicorn
from rich.console import Console

import memvit
from memvit.engine.settings import ModelSettings, model_identity, model_name
from memvit.events.rules import Rules
from memvit.events.rules_file import check_actions
from memvit.results.label import DEFAULT_MIN_SCORE
from memvit.streams.policy import LivePolicy
from memvit.types import MemvitError
from memvit.video.clips.sampler import TRAINED_FRAMES_PER_SECOND
from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from pipelines.browse.library import FilmLibrary
from pipelines.web.auth import is_loopback
from pipelines.web.listening import check_address, listening
from pipelines.web.server import PageServer, SignalHandler, server_config

from .app import make_app
from .event_options import NO_EVENTS, EventOptions
from .handle import WorkerHandle, WorkerSettings
from .requests import ServerInfo
from .serve_options import ServeOptions
from .served_heads import ServedHeads
from .service import Service
from .sources import SourceRules
from .worker import EngineWorker
from .worker_events import EventSettings

STOP_SECONDS = 5


class _Server(PageServer):
    """Ends the events of clients first: they would keep it running."""

    def __init__(self, config: uvicorn.Config, service: Service, greeting: str, console: Console) -> None:
        super().__init__(config, greeting, console)
        self._service = service
        self._loop: asyncio.AbstractEventLoop | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first Ctrl-C or SIGTERM stops the server in order, the second at once."""
        if self.should_exit:
            os._exit(1)
        # In the event loop, not here: a signal may interrupt code that holds a lock.
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._service.hub.close)
        super().handle_exit(sig, frame)

    def handle_hang_up(self, sig: int, frame: FrameType | None) -> None:
        """SIGHUP: read the configuration again, in a thread, since a signal may interrupt code that holds a lock."""
        threading.Thread(target=self._service.reload_and_log, name="reload", daemon=True).start()

    def signal_handlers(self) -> Mapping[signal.Signals, SignalHandler]:
        """Also SIGHUP."""
        return {**super().signal_handlers(), signal.SIGHUP: self.handle_hang_up}


def make_service(
    settings: ModelSettings,
    rules: SourceRules,
    *,
    hop_seconds: float = 1.0,
    track_rate: float = DEFAULT_TRACK_RATE,
    min_score: float = DEFAULT_MIN_SCORE,
    limits: VideoLimits = DEFAULT_LIMITS,
    max_streams: int = 64,
    state: Path | None = None,
    save_every_seconds: float = 10.0,
    policy: LivePolicy | None = None,
    engines: int = 1,
    address: str | None = None,
    events: EventOptions = NO_EVENTS,
) -> Service:
    """A service with a loaded model, in this process; on Ray for several engines, or at an `address` of a cluster.

    MemvitError if the model cannot be loaded or knows no action of a rule, or Ray or the cluster cannot be used.
    """
    engine, labels, boxes = settings.build()
    if events.rules is not None:
        check_actions(events.rules, labels)
    event_settings = EventSettings(events.rules or Rules(), labels, events.record)
    worker_settings = WorkerSettings(hop_seconds, track_rate, limits, events=event_settings)
    name = model_name(settings.model, settings.checkpoint)
    identity = model_identity(engine, name)
    preprocessing = engine.preprocessing
    info = ServerInfo(
        version=memvit.__version__,
        model=f"{name} {identity.weights_sha256[:12]}",
        classes=list(labels.names),
        hop_seconds=hop_seconds,
        clip_seconds=preprocessing.num_frames * preprocessing.frame_interval / TRAINED_FRAMES_PER_SECOND,
        max_streams=max_streams,
        memory_reads=list(engine.plan.reads) if engine.plan else [],
        memory_slots=engine.plan.slots if engine.plan else 0,
        engines=engines,
        min_score=min_score,
        rules=[rule.name for rule in events.rules.rules] if events.rules is not None else [],
    )
    options = ServeOptions(
        info,
        rules,
        worker_settings,
        state=state,
        save_every_seconds=save_every_seconds,
        policy=policy or LivePolicy(),
        events=events,
        heads=ServedHeads(identity, settings.heads, engine.heads),
    )
    workers: list[WorkerHandle] = []
    if engines > 1 or address is not None:
        try:
            from .remote import remote_workers
        except ImportError as error:
            raise MemvitError(f"several engines need {error.name}: pip install 'memvit[ray]'") from error
        del engine
        workers += remote_workers(settings, worker_settings, engines, address)
    else:
        workers.append(EngineWorker(engine, boxes, worker_settings))
    return Service(workers, labels, options)


def serve(
    service: Service, host: str, port: int, token: str | None, console: Console, archive: FilmLibrary | None = None
) -> None:
    """Serve until Ctrl-C or SIGTERM, and save the streams then. MemvitError if the address cannot be used.

    `archive` is shown under /archive.
    """
    check_address(host, token)
    shown = ", archive: /archive" if archive is not None else ""
    with listening(host, port) as (listener, address):
        greeting = f"memvit serves at {address} (API: /docs, metrics: /metrics{shown}); Ctrl-C ends it"
        try:
            service.start()  # here, so that a failure ends the command with a sentence
            app = make_app(service, token=token, is_local=is_loopback(host), archive=archive)
            config = server_config(app, stop_seconds=STOP_SECONDS)
            _Server(config, service, greeting, console).run(sockets=[listener])
        finally:
            service.close()
