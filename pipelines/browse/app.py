"""The routes of the archive's page. They only translate; `FilmLibrary` does the work.

All addresses are relative, so that the application can be mounted below any path.
"""

from __future__ import annotations

import mimetypes
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi import Query as QueryParameter
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field
from starlette.types import Receive, Scope, Send

import memvit
from memvit.types import MemvitError
from pipelines.web.auth import AuthMiddleware
from pipelines.web.headers import SecurityHeaders
from pipelines.web.pages import NO_CACHE, add_errors, page_file

from .film_file import FilmFile, FilmMissing
from .labels import Labelled
from .library import FilmLibrary, TooManySearches, UnknownFilm
from .pictures import SIZES, TooManyDecoders

PAGE = Path(__file__).parent / "page"
STATUS_OF: dict[type[MemvitError], int] = {
    UnknownFilm: 404,
    FilmMissing: 404,
    TooManySearches: 503,
    TooManyDecoders: 503,
    MemvitError: 400,
}
MAX_SECONDS = 1e7
MAX_LIMIT = 100
FilmId = Annotated[str, PathParameter(max_length=200)]
Seconds = Annotated[float, QueryParameter(ge=-MAX_SECONDS, le=MAX_SECONDS, allow_inf_nan=False)]
Text = Annotated[str, QueryParameter(max_length=200)]
Person = Annotated[int | None, QueryParameter(ge=0, le=2**53)]
Cursor = Annotated[str | None, QueryParameter(max_length=200)]
Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT)]
Names = Annotated[list[Annotated[str, Field(max_length=200)]] | None, QueryParameter(max_length=32)]


class MomentRequest(BaseModel):
    """A moment, or a person at a moment."""

    video: Annotated[str, Field(max_length=200)]
    seconds: Annotated[float, Field(ge=-MAX_SECONDS, le=MAX_SECONDS, allow_inf_nan=False)]
    person: Annotated[int | None, Field(ge=0, le=2**53)] = None


class LabelRequest(MomentRequest):
    """A label of a moment, or of a person at a moment; null takes it back."""

    label: bool | None = None


class SuggestRequest(BaseModel):
    """How many moments are to be named, of what, and those that were named already."""

    count: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 20
    reads: Literal["people", "clips"] | None = None
    asked: Annotated[list[MomentRequest], Field(max_length=200)] = []


class OpenFileResponse(FileResponse):
    """A file that is open already, with ranges; it is closed at the end."""

    def __init__(self, film: FilmFile, kind: str) -> None:
        super().__init__(film.path, media_type=kind, stat_result=film.status, headers=NO_CACHE)
        self._film = film

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response, as ASGI has it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._film.close()


def make_app(library: FilmLibrary) -> FastAPI:
    """The application without guards, to be mounted in one that has them."""
    app = FastAPI(title="memvit archive", version=memvit.__version__, docs_url=None, redoc_url=None)
    add_errors(app, STATUS_OF)
    _add_films(app, library)
    _add_search(app, library)
    _add_labels(app, library)
    _add_pages(app)
    return app


def make_guarded_app(library: FilmLibrary, *, token: str | None = None, is_local: bool = True) -> FastAPI:
    """The application with the same guards as the live page."""
    app = make_app(library)
    app.add_middleware(AuthMiddleware, token=token, is_local=is_local)
    app.add_middleware(SecurityHeaders)
    return app


def _add_films(app: FastAPI, library: FilmLibrary) -> None:
    @app.get("/api/info")
    def get_info() -> dict[str, Any]:
        """The archive, its model and its actions."""
        return library.info()

    @app.get("/api/films")
    def get_films(
        text: Text = "",
        state: Literal["done", "running", "unfinished", "failed", "damaged"] | None = None,
        offset: Annotated[int, QueryParameter(ge=0, le=10**9)] = 0,
        limit: Limit = 20,
    ) -> dict[str, Any]:
        """A page of films, sorted by id, and how many there are."""
        return library.films(text, state, offset, limit)

    @app.get("/api/films/{film_id}")
    def get_film(film_id: FilmId) -> dict[str, Any]:
        """One film."""
        return library.film(film_id)

    @app.get("/api/films/{film_id}/strip")
    def get_strip(
        film_id: FilmId,
        parts: Annotated[int, QueryParameter(ge=1, le=1000)] = 240,
        rows: Annotated[int, QueryParameter(ge=1, le=32)] = 5,
        action: Names = None,
    ) -> dict[str, Any]:
        """The best scores of the actions that last longest, or of those named, in equal parts of the film."""
        return library.strip(film_id, parts, rows, action or ())

    @app.get("/api/films/{film_id}/moment")
    def get_moment(film_id: FilmId, seconds: Seconds) -> dict[str, Any]:
        """Who is where and does what at a time of a film."""
        return library.moment(film_id, seconds)

    @app.get("/api/films/{film_id}/pictures", response_class=Response)
    def get_pictures(film_id: FilmId, start: Seconds, size: Literal[*SIZES] = "small") -> Response:  # type: ignore[valid-type]
        """Frames of a film beside each other in one JPEG."""
        made = library.picture(film_id, start, SIZES[size])
        return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})

    @app.head("/api/films/{film_id}/video", include_in_schema=False)
    @app.get("/api/films/{film_id}/video", response_class=FileResponse)
    def get_video(film_id: FilmId) -> Response:
        """The file of a film, with ranges."""
        state = library.state(film_id)
        film = library.files.open(state)
        if film.descriptor is None:
            raise FilmMissing("this film is a folder of images, which a browser does not play")
        kind = mimetypes.guess_type(state.location)[0] or ""
        return OpenFileResponse(film, kind if kind.startswith("video/") else "application/octet-stream")


def _add_search(app: FastAPI, library: FilmLibrary) -> None:
    @app.get("/api/find")
    def find(
        action: Names = None,
        taught: Names = None,
        min_score: Annotated[float, QueryParameter(ge=0, le=1)] = 0.5,
        min_seconds: Annotated[float, QueryParameter(ge=0, le=MAX_SECONDS)] = 0.0,
        merge_seconds: Annotated[float, QueryParameter(ge=0, le=MAX_SECONDS)] = 0.0,
        person: Person = None,
        text: Text = "",
        after: Cursor = None,
        limit: Limit = 60,
    ) -> dict[str, Any]:
        """Intervals of actions in some more films, the best ones first; ask again with the cursor for the others."""
        query = library.query(action or (), taught or (), min_score, min_seconds, merge_seconds, person)
        return asdict(library.find(query, text, after, limit))

    @app.get("/api/similar")
    def similar(
        film: Annotated[str, QueryParameter(max_length=200)],
        seconds: Seconds,
        person: Person = None,
        people: bool = False,
        text: Text = "",
        exact: bool = False,
        after: Cursor = None,
        limit: Limit = 60,
    ) -> dict[str, Any]:
        """Moments that look like one, in some more films, as `find`; `exact` does without the index."""
        return asdict(library.similar(film, seconds, person, people, text, exact, after, limit))


def _add_labels(app: FastAPI, library: FilmLibrary) -> None:
    @app.get("/api/labels")
    def get_labels() -> dict[str, Any]:
        """Every label; null is a question that is not answered yet."""
        found = library.labels.all() if library.labels is not None else {}
        return {"labels": [{**what._asdict(), "label": label} for what, label in found.items()]}

    @app.put("/api/labels", status_code=204)
    def put_label(request: LabelRequest) -> None:
        """Give a label, or take one back."""
        labels = library.label_file()
        if request.label is not None:
            library.state(request.video)
        labels.set(Labelled(request.video, round(request.seconds, 3), request.person), request.label)

    @app.get("/api/labels.csv", response_class=Response)
    def get_label_file() -> Response:
        """The file of labels."""
        text = library.label_file().text()
        headers = {"Content-Disposition": "attachment; filename=labels.csv", "Cache-Control": "no-store"}
        return Response(text, media_type="text/csv; charset=utf-8", headers=headers)

    @app.post("/api/suggest")
    def suggest(request: SuggestRequest) -> dict[str, Any]:
        """Moments that are worth labelling next, as `memvit teach --suggest` names them."""
        asked = [Labelled(one.video, one.seconds, one.person) for one in request.asked]
        return asdict(library.suggest(request.count, request.reads, asked))


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def get_page() -> Response:
        return FileResponse(PAGE / "index.html", headers=NO_CACHE)

    @app.get("/page/{name}", include_in_schema=False)
    def get_page_file(name: str) -> Response:
        return page_file(PAGE, name)
