"""The part of the API that tells what happened: events of the rules, as JSON and as CSV."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import FastAPI, HTTPException, Query
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, Response
from pydantic import BaseModel, Field

from memvit.results.wall_clock import unix_of
from pipelines.record.store import EVENT_ID, SUFFIXES, Kind

from .event_history import EventQuery
from .ids import ID_PATTERN
from .requests import Problem
from .service import Service

MAX_LIMIT = 1000
CURSOR = r"^-?[0-9.e+-]{1,32}~[0-9a-f]{16}$"
CSV_COLUMNS = (
    "id", "rule", "stream", "person", "action", "state", "start_seconds", "end_seconds", "start_time", "end_time",
    "peak_score", "mean_score", "zone",
)  # fmt: skip
Text = Annotated[str | None, Query(max_length=200)]
TimeOfDay = Annotated[
    str | None, Query(max_length=40, description="ISO 8601, in UTC unless it names a zone: 2026-05-01T12:00:00")
]
EventId = Annotated[str, PathParameter(pattern=f"^{EVENT_ID.pattern}$")]
MEDIA_TYPES: dict[Kind, str] = {"video": "video/mp4", "picture": "image/jpeg"}
ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": Problem} for code in (400, 401, 403, 413, 421)}


class DeadLetters(BaseModel):
    """Messages that will not be sent by themselves any more."""

    messages: list[dict[str, Any]]


class SentAgain(BaseModel):
    """How many messages will be sent again."""

    messages: int


class Reloaded(BaseModel):
    """What was taken over, in words."""

    detail: str


class HistoryPage(BaseModel):
    """Events, newest first."""

    events: Annotated[
        list[dict[str, Any]],
        Field(
            description="`recording` of an event tells whether its `video` and `picture` are there; null for none.",
        ),
    ]
    cursor: Annotated[str | None, Field(description="Ask with it for the events that follow; null after the last.")]


def add_history(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    @app.get("/api/history", responses=ERRORS)
    def get_history(
        stream: Annotated[str | None, Query(pattern=ID_PATTERN)] = None,
        rule: Text = None,
        action: Text = None,
        person: Annotated[int | None, Query(ge=1, le=2**53)] = None,
        from_time: Annotated[TimeOfDay, Query(alias="from")] = None,
        to_time: Annotated[TimeOfDay, Query(alias="to")] = None,
        cursor: Annotated[str | None, Query(pattern=CURSOR)] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
        format: Literal["json", "csv"] = "json",
    ) -> Any:
        """Events of the rules that began at or after `from` and before `to`, newest first, each as it was told last."""
        query = EventQuery(stream, rule, action, person, _unix(from_time), _unix(to_time))
        try:
            events, following = service.told.history.find(query, limit, cursor)
        except (ValueError, OverflowError) as error:
            raise HTTPException(400, "this cursor is not one of this server") from error
        if format == "csv":
            headers = {"Content-Disposition": "attachment; filename=events.csv"}
            return Response(_csv_text(events), media_type="text/csv; charset=utf-8", headers=headers)
        return HistoryPage(events=service.told.with_recordings(events), cursor=following)

    _add_recordings(app, service)

    @app.post("/api/reload", responses=ERRORS)
    def reload() -> Reloaded:
        """Read the server's configuration and rules again, and take them over. Streams that stay keep their memory."""
        return Reloaded(detail=service.reload())

    @app.get("/api/dead-letters", responses=ERRORS)
    def get_dead_letters() -> DeadLetters:
        """Messages to sinks that were given up, oldest first; at most 1,000."""
        deliveries = service.told.deliveries
        found = deliveries.outbox.dead_letters() if deliveries is not None else []
        return DeadLetters(messages=[asdict(letter) for letter in found])

    @app.post("/api/dead-letters/send", responses=ERRORS)
    def send_dead_letters(
        number: Annotated[int | None, Query(ge=0, le=2**53, description="Only this one; all by default.")] = None,
    ) -> SentAgain:
        """Send messages that were given up once more."""
        deliveries = service.told.deliveries
        return SentAgain(messages=deliveries.outbox.send_again(number) if deliveries is not None else 0)


def _add_recordings(app: FastAPI, service: Service) -> None:
    def file_response(event_id: str, kind: Kind) -> FileResponse:
        path = service.told.recording_file(event_id, kind)
        if path is None:
            raise HTTPException(404, f"there is no {kind} of this event: it is not ready, or was deleted to make room")
        # It may be replaced by a newer one of the same event, so a browser asks whether it has changed.
        headers = {"Cache-Control": "private, no-cache"}
        name = f"{event_id}{SUFFIXES[kind]}"
        return FileResponse(
            path, media_type=MEDIA_TYPES[kind], headers=headers, filename=name, content_disposition_type="inline"
        )

    @app.get(
        "/api/history/{event_id}/video",
        responses=_file_responses("video"),
        response_class=FileResponse,
    )
    def get_video(event_id: EventId) -> FileResponse:
        """The video of an event, as it was recorded; a part of it where the request has a `Range`."""
        return file_response(event_id, "video")

    @app.get(
        "/api/history/{event_id}/picture",
        responses=_file_responses("picture"),
        response_class=FileResponse,
    )
    def get_picture(event_id: EventId) -> FileResponse:
        """The best moment of an event, with the person's box."""
        return file_response(event_id, "picture")


def _file_responses(kind: Kind) -> dict[int | str, dict[str, Any]]:
    content: dict[str, Any] = {"content": {MEDIA_TYPES[kind]: {}}}
    return ERRORS | {404: {"model": Problem}, 200: content, 206: content, 416: {"description": "no such range"}}


def _unix(text: str | None) -> float | None:
    try:
        return None if text is None else unix_of(text)
    except (ValueError, OverflowError) as error:
        raise HTTPException(400, f"{text!r} is not a time such as 2026-05-01T12:00:00Z") from error


def _csv_text(events: list[dict[str, Any]]) -> str:
    """A line of names, and a line for each event. What a spreadsheet would take for a formula gets an apostrophe."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(CSV_COLUMNS)
    for event in events:
        writer.writerow([_cell(event.get(name)) for name in CSV_COLUMNS])
    return text.getvalue()


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and re.match(r"[=+\-@\t\r]", value) else value
