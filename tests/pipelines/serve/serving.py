"""A service in this process, with the tiny model or a stand-in for its engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from fastapi.testclient import TestClient
from torch import nn

from memvit.boxes import open_boxes
from memvit.engine.engine import Engine
from memvit.labels import labels_for
from memvit.models import MODELS
from pipelines.serve.addresses import AddressRules
from pipelines.serve.app import make_app
from pipelines.serve.event_options import NO_EVENTS
from pipelines.serve.handle import WorkerSettings
from pipelines.serve.requests import ServerInfo
from pipelines.serve.serve_options import ServeOptions
from pipelines.serve.service import Service
from pipelines.serve.sources import SourceRules
from pipelines.serve.worker import EngineWorker
from pipelines.serve.worker_events import EventSettings


def make_service(
    tiny: nn.Module,
    folder: Path,
    *,
    model: str = "tiny",
    max_streams: int = 8,
    addresses: AddressRules | None = None,
    **options: Any,
) -> Service:
    """A service that offers the files of a folder."""
    engine = Engine(tiny, MODELS["memvit_tiny_8x4"].preprocessing)
    labels = labels_for(80, "ava")
    events = options.get("events", NO_EVENTS)
    event_settings = EventSettings(events.rules, labels, events.record) if events.rules is not None else None
    info = ServerInfo(
        version="0", model=model, classes=list(labels.names), hop_seconds=1.0, clip_seconds=1.0, engines=1,
        max_streams=max_streams, memory_reads=[2, 4],
    )  # fmt: skip
    chosen = ServeOptions(info, SourceRules(folders=(folder,), addresses=addresses or AddressRules()), **options)
    return Service([EngineWorker(engine, open_boxes("full"), WorkerSettings(events=event_settings))], labels, chosen)


def client_of(service: Service) -> TestClient:
    """A client of a service on this machine; to be entered."""
    return TestClient(make_app(service), base_url="http://127.0.0.1")


def added(client: TestClient | httpx.Client, source: object, **more: Any) -> dict[str, Any]:
    """The status of a stream that was added."""
    answer = client.post("/api/streams", json={"source": str(source), **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def state_of(client: TestClient | httpx.Client, name: str) -> dict[str, Any]:
    """The status of a stream."""
    found: dict[str, Any] = client.get(f"/api/streams/{name}").json()
    return found


def fail_with(error: Exception) -> Callable[..., Any]:
    """A function that raises."""

    def call(*arguments: Any, **options: Any) -> Any:
        raise error

    return call
