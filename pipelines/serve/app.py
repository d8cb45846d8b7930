"""The HTTP side: streams in and out, events, pictures, metrics. Routes are thin; the service does the work."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import FastAPI, Header, HTTPException, Request, WebSocket, WebSocketDisconnect
from fastapi import Path as PathParameter
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.types import Receive, Scope, Send

import memvit

from .auth import AuthMiddleware
from .headers import SecurityHeaders
from .hub import Event, Subscriber
from .ids import ID_PATTERN
from .renderer import BOUNDARY, Renderer
from .requests import Problem, ServerInfo, StreamList, StreamRequest, StreamStatus
from .service import Service, StateNotSaved, StreamExists, TooBusy, TooManyStreams, UnknownStream
from .sources import SourceRefused
from .worker import EngineDown

PAGE = Path(__file__).parent / "page"
DOCS_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
"""Of Swagger UI (Apache-2.0), which the package fastapi-offline brings: nothing comes from another server."""
KEEP_ALIVE_SECONDS = 15.0
MAX_VIEWERS = 64
STATUS_OF = {
    UnknownStream: 404,
    StreamExists: 409,
    SourceRefused: 403,
    TooManyStreams: 503,
    TooBusy: 503,
    EngineDown: 503,
    StateNotSaved: 503,
}
Name = Annotated[str, PathParameter(pattern=ID_PATTERN)]


Answers: TypeAlias = dict[int | str, dict[str, Any]]


def problems(*codes: int, stream_of: str | None = None) -> Answers:
    """For the documentation: which errors a route answers with, and what kind of stream where there is no JSON."""
    found: Answers = {code: {"model": Problem} for code in (*codes, 401, 403, 413, 421)}
    return found | ({200: {"content": {stream_of: {}}}} if stream_of else {})


class HeldResponse(StreamingResponse):
    """A response without end that holds a place, which is given back even if not one byte of it was sent."""

    def __init__(
        self, content: AsyncIterator[str] | AsyncIterator[bytes], kind: str, leave: Callable[[], None]
    ) -> None:
        super().__init__(content, media_type=kind, headers={"Cache-Control": "no-store"})
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


def make_app(service: Service, *, token: str | None = None, is_local: bool = True) -> FastAPI:
    """The application around a service, which it starts and closes."""
    painter = Renderer(service.labels)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(service.start)
        yield
        painter.close()
        await run_in_threadpool(service.close)

    app = FastAPI(
        title="memvit",
        version=memvit.__version__,
        summary="What people do in live streams, from a model that remembers.",
        lifespan=lifespan,
        docs_url=None,  # of this package's own files, see `_add_pages`
        redoc_url=None,
    )
    for error, code in STATUS_OF.items():
        app.add_exception_handler(error, _answer_with(code))
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_middleware(AuthMiddleware, token=token, is_local=is_local)
    app.add_middleware(SecurityHeaders)
    _add_streams(app, service, painter)
    _add_events(app, service)
    _add_pictures(app, service, painter)
    _add_figures(app, service)
    _add_pages(app)
    return app


def _answer_with(code: int) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(request: Request, error: Exception) -> Response:
        return JSONResponse({"detail": str(error)}, code)

    return answer


async def _answer_invalid(request: Request, error: Exception) -> Response:
    """What is wrong and where, without repeating what was sent: not all of it can be written as JSON."""
    assert isinstance(error, RequestValidationError)
    parts = [{"loc": part["loc"], "msg": part["msg"], "type": part["type"]} for part in error.errors()]
    return JSONResponse({"detail": parts}, 422)


def _add_streams(app: FastAPI, service: Service, painter: Renderer) -> None:
    @app.get("/api/streams", responses=problems())
    def list_streams() -> StreamList:
        """All streams and how they are."""
        found = []
        for stream_id in service.stream_ids:
            try:
                found.append(service.status(stream_id))
            except UnknownStream:  # removed meanwhile
                continue
        return StreamList(streams=found)

    @app.post("/api/streams", status_code=201, responses=problems(400, 409, 503))
    def add_stream(request: StreamRequest) -> StreamStatus:
        """Watch another stream. It is there at once; whether it can be opened, its state and events tell."""
        return service.status(service.add(request))

    @app.get("/api/streams/{stream_id}", responses=problems(404))
    def get_stream(stream_id: Name) -> StreamStatus:
        """How a stream is."""
        return service.status(stream_id)

    @app.delete("/api/streams/{stream_id}", status_code=204, responses=problems(404, 503))
    def remove_stream(stream_id: Name) -> None:
        """Stop watching a stream and forget what was seen."""
        service.remove(stream_id)
        painter.forget(stream_id)

    @app.get("/api/info", responses=problems())
    def get_info() -> ServerInfo:
        """What is being served."""
        return service.options.info


def _add_events(app: FastAPI, service: Service) -> None:
    def listen(stream_id: str | None, after: int | None = None) -> Subscriber:
        if service.board.viewers >= MAX_VIEWERS:
            raise HTTPException(503, f"{MAX_VIEWERS} viewers are the most")
        if stream_id is not None:
            service.status(stream_id)
        return service.board.listen(stream_id, after)

    async def server_sent(stream_id: str | None, last_event_id: str | None) -> StreamingResponse:
        after = int(last_event_id) if re.fullmatch("[0-9]{1,18}", last_event_id or "") and last_event_id else None
        viewer = listen(stream_id, after)

        async def lines() -> AsyncIterator[str]:
            yield "retry: 2000\n\n"
            async for event in viewer.events(KEEP_ALIVE_SECONDS):
                yield _server_sent(event) if event is not None else ": still here\n\n"
                if event is not None and event.kind == "removed" and stream_id is not None:
                    return

        return HeldResponse(lines(), "text/event-stream", lambda: service.board.leave(viewer))

    @app.get("/api/events", responses=problems(503, stream_of="text/event-stream"), response_class=StreamingResponse)
    async def all_events(last_event_id: Annotated[str | None, Header(max_length=64)] = None) -> StreamingResponse:
        """Server-sent events of all streams: `result`, `opened`, `stalled`, `lost`, `session`, `ended`, `failed`,
        `removed`; the data is JSON with the name of the `stream`. `Last-Event-ID` goes on where a connection broke.
        """
        return await server_sent(None, last_event_id)

    @app.get(
        "/api/streams/{stream_id}/events",
        responses=problems(404, 503, stream_of="text/event-stream"),
        response_class=StreamingResponse,
    )
    async def stream_events(
        stream_id: Name, last_event_id: Annotated[str | None, Header(max_length=64)] = None
    ) -> StreamingResponse:
        """Server-sent events of one stream, as `/api/events`; they end when it is removed."""
        return await server_sent(stream_id, last_event_id)

    async def over_socket(socket: WebSocket, stream_id: str | None) -> None:
        await socket.accept()
        try:
            viewer = listen(stream_id)
            try:
                async for event in viewer.events(KEEP_ALIVE_SECONDS):
                    if event is None:
                        await socket.send_text('{"event": "alive"}')
                        continue
                    await socket.send_text(f'{{"event": "{event.kind}", "data": {event.data}}}')
                    if event.kind == "removed" and stream_id is not None:
                        break
                await socket.close()
            finally:
                service.board.leave(viewer)
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


def _server_sent(event: Event) -> str:
    return f"id: {event.number}\nevent: {event.kind}\ndata: {event.data}\n\n"


def _add_pictures(app: FastAPI, service: Service, painter: Renderer) -> None:
    watching = {"viewers": 0}

    @app.get(
        "/api/streams/{stream_id}/video",
        responses=problems(404, 503, stream_of="multipart/x-mixed-replace"),
        response_class=StreamingResponse,
    )
    async def stream_video(stream_id: Name) -> StreamingResponse:
        """The stream with boxes and actions drawn on it, as motion JPEG, about one clip late."""
        service.status(stream_id)
        if watching["viewers"] >= MAX_VIEWERS:
            raise HTTPException(503, f"{MAX_VIEWERS} viewers are the most")

        watching["viewers"] += 1

        def leave() -> None:
            watching["viewers"] -= 1

        async def parts() -> AsyncIterator[bytes]:
            with service.looking(stream_id) as is_there:
                async for part in painter.multipart(lambda: service.board.last(stream_id), is_there):
                    yield part

        return HeldResponse(parts(), f"multipart/x-mixed-replace; boundary={BOUNDARY.decode()}", leave)


def _add_figures(app: FastAPI, service: Service) -> None:
    @app.get("/metrics", response_class=PlainTextResponse, responses=problems())
    def get_metrics() -> Response:
        """For Prometheus."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/health", responses=problems(503))
    async def get_health() -> dict[str, str]:
        """Whether the server lives; 503 once an engine hangs or has ended: restart the server then."""
        if not service.is_well:
            raise HTTPException(503, service.trouble)
        return {"status": "well"}

    @app.get("/ready", responses=problems(503))
    async def get_ready() -> dict[str, str]:
        """Whether new streams are welcome."""
        if not service.is_ready:
            raise HTTPException(503, "the server is not ready: it starts or ends, or cannot save streams; see its log")
        return {"status": "ready"}


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def get_page() -> FileResponse:
        return FileResponse(PAGE / "index.html", headers={"Cache-Control": "no-cache"})

    @app.get("/page/{name}", include_in_schema=False)
    def get_page_file(name: str) -> FileResponse:
        if name not in {path.name for path in PAGE.iterdir()}:
            raise HTTPException(404, "there is no such file")
        return FileResponse(PAGE / name, headers={"Cache-Control": "no-cache"})

    @app.get("/docs", include_in_schema=False)
    def get_docs() -> FileResponse:
        return FileResponse(PAGE / "docs.html", headers={"Cache-Control": "no-cache"})

    @app.get("/docs/{name}", include_in_schema=False)
    def get_docs_file(name: str) -> FileResponse:
        if name not in DOCS_FILES:
            raise HTTPException(404, "there is no such file")
        return FileResponse(Path(str(files("fastapi_offline"))) / "static" / name)
