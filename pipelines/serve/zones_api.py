"""The part of the API for zones: which there are, and those that are drawn on the page."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI
from fastapi import Path as PathParameter
from fastapi.responses import Response
from pydantic import BaseModel, Field

from memvit.events.rules import Zone
from memvit.events.rules_file import MAX_CORNERS
from memvit.events.zone_text import rules_in

from .errors import UnknownZone
from .requests import Problem
from .service import Service

MAX_NAME = 64
MAX_PATTERNS = 64
ERRORS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem} for code in (400, 401, 403, 404, 409, 413, 421, 503)
}
Side = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
NamePath = Annotated[str, PathParameter(max_length=200)]
NewNamePath = Annotated[
    str,
    PathParameter(
        max_length=MAX_NAME,
        pattern=r"^[^\s/]([^/\x00-\x1f\x7f]*[^\s/])?$",
        description="1 to 64 characters, without a slash, and without spaces at its ends.",
    ),
]


class ZoneRequest(BaseModel):
    """A part of the picture of some streams."""

    polygon: Annotated[
        list[tuple[Side, Side]],
        Field(min_length=3, max_length=MAX_CORNERS, description="Corners [x, y] in 0..1 of the upright frame."),
    ]
    streams: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=200)]],
        Field(max_length=MAX_PATTERNS, description="Shell patterns of ids of streams; all streams if there are none."),
    ] = []


class ZoneStatus(ZoneRequest):
    """A zone, and what it is about."""

    name: str
    rules: Annotated[list[str], Field(description="The rules that need it.")]
    on_streams: Annotated[list[str], Field(description="The ids of the present streams that have it.")]


class ZoneList(BaseModel):
    """All zones."""

    zones: list[ZoneStatus]
    problem: Annotated[str | None, Field(description="Why zones cannot be saved; null if they can be.")]


def add_zones(app: FastAPI, service: Service) -> None:
    """Add the routes to an application."""

    def status_of(zone: Zone) -> ZoneStatus:
        rules = service.options.events.rules
        return ZoneStatus(
            name=zone.name,
            polygon=list(zone.polygon),
            streams=list(zone.streams),
            rules=rules_in(rules, zone.name) if rules is not None else [],
            on_streams=[name for name in service.stream_ids if zone.applies_to(name)],
        )

    def zones() -> dict[str, Zone]:
        rules = service.options.events.rules
        return {zone.name: zone for zone in rules.zones} if rules is not None else {}

    @app.get("/api/zones", responses=ERRORS)
    def get_zones() -> ZoneList:
        """All zones, in the order of their file."""
        return ZoneList(zones=[status_of(zone) for zone in zones().values()], problem=service.zone_file.problem)

    @app.get("/api/zones/{name:path}", responses=ERRORS)
    def get_zone(name: NamePath) -> ZoneStatus:
        """A zone."""
        if name not in zones():
            raise UnknownZone(f"there is no zone {name}")
        return status_of(zones()[name])

    @app.put("/api/zones/{name:path}", responses=ERRORS | {201: {"model": ZoneStatus}})
    def put_zone(name: NewNamePath, request: ZoneRequest, response: Response) -> ZoneStatus:
        """Save a zone, new or changed, in the file of the rules, and use it from the next clip on. Streams keep their
        memory, and the events of a zone that is changed go on.
        """
        is_new = name not in zones()
        zone = service.zone_file.put(Zone(name, tuple(request.polygon), tuple(request.streams)))
        response.status_code = 201 if is_new else 200
        return status_of(zone)

    @app.delete("/api/zones/{name:path}", status_code=204, responses=ERRORS)
    def delete_zone(name: NamePath) -> None:
        """Delete a zone that no rule needs."""
        service.zone_file.remove(name)
