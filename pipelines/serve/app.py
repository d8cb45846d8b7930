"""The HTTP API: streams, events, pictures and metrics. The routes only translate; the service does the work."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeAlias

from fastapi import FastAPI, Header, HTTPException, WebSocket, WebSocketDisconnect
from fastapi import Path as PathParameter
from fastapi.responses import PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

import memvit
from memvit.events.zone_text import ZoneInUse
from memvit.types import MemvitError
from pipelines.browse.app import make_app as make_archive_app
from pipelines.browse.library import FilmLibrary
from pipelines.web.auth import AuthMiddleware
from pipelines.web.headers import SecurityHeaders
from pipelines.web.pages import add_errors

from .errors import (
    StateNotSaved,
    StreamExists,
    TooBusy,
    TooManyStreams,
    UnknownStream,
    UnknownZone,
    ZonesNotSaved,
)
from .handle import EngineDown
from .history_api import add_history
from .hub import PublishedEvent, Subscriber
from .ids import ID_PATTERN
from .pages import add_pages
from .renderer import BOUNDARY, Renderer
from .requests import Problem, ServerInfo, StreamList, StreamRequest, StreamStatus
from .service import Service
from .sources import SourceRefused
from .zones_api import add_zones

KEEP_ALIVE_SECONDS = 15.0
MAX_VIEWERS = 64
"""Bound of the clients that read events at a time, and of those that read pictures."""
VIEWERS_FULL = f"at most {MAX_VIEWERS} clients may read this at a time; try again when one has left"
NOT_READY = "the server is not ready: it is starting or stopping, or it cannot save streams; see its log"
STATUS_OF: dict[type[MemvitError], int] = {
    MemvitError: 400,
    UnknownStream: 404,
    StreamExists: 409,
    SourceRefused: 403,
    TooManyStreams: 503,
    TooBusy: 503,
    EngineDown: 503,
    StateNotSaved: 503,
    UnknownZone: 404,
    ZoneInUse: 409,
    ZonesNotSaved: 409,
}
StreamIdPath = Annotated[str, PathParameter(pattern=ID_PATTERN)]


Responses: TypeAlias = dict[int | str, dict[str, Any]]


def error_responses(*codes: int, stream_of: str | None = None) -> Responses:
    """The errors of a route, and the content type of an endless answer, for the OpenAPI schema."""
    responses: Responses = {code: {"model": Problem} for code in (*codes, 401, 403, 413, 421)}
    return responses | ({200: {"content": {stream_of: {}}}} if stream_of else {})


class EndlessResponse(StreamingResponse):
    """A response without end that calls `on_end` when it ends, even if the client left before the first byte."""

    def __init__(
        self, content: AsyncIterator[str] | AsyncIterator[bytes], kind: str, on_end: Callable[[], None]
    ) -> None:
        super().__init__(content, media_type=kind, headers={"Cache-Control": "no-store"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, as ASGI has it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def make_app(
    service: Service, *, token: str | None = None, is_local: bool = True, archive: FilmLibrary | None = None
) -> FastAPI:
    """The application of a service; it starts and closes the service. `archive` is shown under /archive."""
    renderer = Renderer(service.labels, service.options.info.min_score)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        yield
        renderer.close()
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="memvit",
        version=memvit.__version__,
        summary="What people do in live streams, from a model that remembers.",
        lifespan=lifespan,
        docs_url=None,  # served from files of packages, see `add_pages`
        redoc_url=None,
    )
    add_errors(app, STATUS_OF)
    app.add_middleware(AuthMiddleware, token=token, is_local=is_local)
    app.add_middleware(SecurityHeaders)
    _add_streams(app, service, renderer, has_archive=archive is not None)
    _add_events(app, service)
    _add_pictures(app, service, renderer)
    add_history(app, service)
    add_zones(app, service)
    _add_health(app, service)
    add_pages(app)
    if archive is not None:
        app.mount("/archive", make_archive_app(archive))
    return app


def _add_streams(app: FastAPI, service: Service, renderer: Renderer, *, has_archive: bool) -> None:
    @app.get("/api/streams", responses=error_responses())
    def list_streams() -> StreamList:
        """The status of every stream."""
        found = []
        for stream_id in service.stream_ids:
            try:
                found.append(service.status(stream_id))
            except UnknownStream:  # removed meanwhile
                continue
        return StreamList(streams=found)

    @app.post("/api/streams", status_code=201, responses=error_responses(400, 409, 503))
    def add_stream(request: StreamRequest) -> StreamStatus:
        """Watch another stream. Whether its source can be opened is told by its state and events."""
        return service.status(service.add(request))

    @app.get("/api/streams/{stream_id}", responses=error_responses(404))
    def get_stream(stream_id: StreamIdPath) -> StreamStatus:
        """The status of a stream."""
        return service.status(stream_id)

    @app.delete("/api/streams/{stream_id}", status_code=204, responses=error_responses(404, 503))
    def remove_stream(stream_id: StreamIdPath) -> None:
        """Stop watching a stream, and delete its memory."""
        service.remove(stream_id)
        renderer.forget(stream_id)

    @app.get("/api/info", responses=error_responses())
    def get_info() -> ServerInfo:
        """The model, and settings of the server."""
        more = {"recording": service.told.recording_status, "archive": has_archive}
        return service.options.info.model_copy(update=more)


def _add_events(app: FastAPI, service: Service) -> None:
    def subscribe(stream_id: str | None, after: int | None = None) -> Subscriber:
        if service.hub.subscriber_count >= MAX_VIEWERS:
            raise HTTPException(503, VIEWERS_FULL)
        if stream_id is not None:
            service.status(stream_id)
        return service.hub.subscribe(stream_id, after)

    async def server_sent(stream_id: str | None, last_event_id: str | None) -> StreamingResponse:
        after = int(last_event_id) if re.fullmatch("[0-9]{1,18}", last_event_id or "") and last_event_id else None
        subscriber = subscribe(stream_id, after)

        async def lines() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for event in subscriber.events(KEEP_ALIVE_SECONDS):
                yield _server_sent(event) if event is not None else ": still here\n\n"
                if event is not None and event.kind == "removed" and stream_id is not None:
                    return

        return EndlessResponse(lines(), "text/event-stream", lambda: service.hub.unsubscribe(subscriber))

    @app.get(
        "/api/events", responses=error_responses(503, stream_of="text/event-stream"), response_class=StreamingResponse
    )
    async def all_events(last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> StreamingResponse:
        """Server-sent events of all streams: `result`, `event` (of a rule), `recording` (of an event with this `id`,
        once it is ready), `opened`, `stalled`, `lost`, `session`, `ended`, `failed`, `removed`; the data is JSON with
        the id of the `stream`. `Last-Event-ID` continues after a broken connection.
        """
        return await server_sent(None, last_event_id)

    @app.get(
        "/api/streams/{stream_id}/events",
        responses=error_responses(404, 503, stream_of="text/event-stream"),
        response_class=StreamingResponse,
    )
    async def stream_events(
        stream_id: StreamIdPath, last_event_id: Annotated[str | None, Header(max_length=64)] = None
    ) -> StreamingResponse:
        """Server-sent events of one stream, as `/api/events`; they end when the stream is removed."""
        return await server_sent(stream_id, last_event_id)

    async def over_socket(socket: WebSocket, stream_id: str | None) -> None:
        await socket.accept()
        try:
            subscriber = subscribe(stream_id)
            try:
                async for event in subscriber.events(KEEP_ALIVE_SECONDS):
                    if event is None:
                        await socket.send_text('{"event": "alive"}')
                        continue
                    await socket.send_text(f'{{"event": "{event.kind}", "data": {event.data}}}')
                    if event.kind == "removed" and stream_id is not None:
                        break
                await socket.close()
            finally:
                service.hub.unsubscribe(subscriber)
        except UnknownStream as error:
            await socket.close(1008, str(error)[:100])
        except HTTPException as error:
            await socket.close(1013, error.detail[:100])
        except (WebSocketDisconnect, RuntimeError):
            return

    @app.websocket("/api/ws")
    async def all_over_socket(socket: WebSocket) -> None:
        """The events of all streams."""
        await over_socket(socket, None)

    @app.websocket("/api/streams/{stream_id}/ws")
    async def stream_over_socket(socket: WebSocket, stream_id: str) -> None:
        """The events of one stream."""
        await over_socket(socket, stream_id)


def _server_sent(event: PublishedEvent) -> str:
    return f"id: {event.number}\nevent: {event.kind}\ndata: {event.data}\n\n"


def _add_pictures(app: FastAPI, service: Service, renderer: Renderer) -> None:
    viewers = 0

    @app.get(
        "/api/streams/{stream_id}/video",
        responses=error_responses(404, 503, stream_of="multipart/x-mixed-replace"),
        response_class=StreamingResponse,
    )
    async def stream_video(stream_id: StreamIdPath) -> StreamingResponse:
        """The stream with boxes and actions drawn on it, as motion JPEG, about one clip late."""
        service.status(stream_id)
        nonlocal viewers
        if viewers >= MAX_VIEWERS:
            raise HTTPException(503, VIEWERS_FULL)

        viewers += 1

        def on_end() -> None:
            nonlocal viewers
            viewers -= 1

        async def parts() -> AsyncIterator[bytes]:
            with service.previewing(stream_id) as is_there:
                async for part in renderer.multipart(lambda: service.hub.drawable(stream_id), is_there):
                    yield part

        return EndlessResponse(parts(), f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}", on_end)

    @app.get(
        "/api/streams/{stream_id}/picture",
        responses=error_responses(404) | {200: {"content": {"image/jpeg": {}}}},
        response_class=Response,
    )
    async def last_picture(stream_id: StreamIdPath) -> Response:
        """The last clip's frame with boxes and actions, as a JPEG; also of a stream that has ended."""
        service.status(stream_id)
        last = service.hub.last(stream_id)
        picture = await renderer.last_picture(last) if last is not None else None
        if picture is None:
            raise HTTPException(404, f"there is no picture of {stream_id} yet")
        return Response(picture, media_type="image/jpeg", headers={"Cache-Control": "no-store"})


def _add_health(app: FastAPI, service: Service) -> None:
    @app.get("/metrics", response_class=PlainTextResponse, responses=error_responses())
    def get_metrics() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/health", responses=error_responses(503))
    async def get_health() -> dict[str, str]:
        """Whether the engines run; 503 once one hangs or has ended: start the server again then."""
        if not service.is_healthy:
            raise HTTPException(503, service.failure)
        return {"status": "well"}

    @app.get("/ready", responses=error_responses(503))
    async def get_ready() -> dict[str, str]:
        """Whether streams can be added."""
        if not service.is_ready:
            raise HTTPException(503, NOT_READY)
        return {"status": "ready"}
