"""What a server offers, and its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from memvit.streams.policy import LivePolicy

from .event_options import NO_EVENTS, EventOptions
from .handle import WorkerSettings
from .requests import ServerInfo
from .served_heads import ServedHeads
from .sources import SourceRules


@dataclass(frozen=True)
class ServeOptions:
    """What the server offers, and its limits."""

    info: ServerInfo
    rules: SourceRules = field(default_factory=SourceRules)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    top_k: int = 5
    state: Path | None = None
    """Folder in which the streams are saved; None saves nothing."""
    save_every_seconds: float = 10.0
    """Seconds between two savings of a stream: after a kill it goes on with a memory that is at most so old."""
    policy: LivePolicy = field(default_factory=LivePolicy)
    """Policy of the streams whose request says nothing else."""
    events: EventOptions = NO_EVENTS
    heads: ServedHeads | None = None
