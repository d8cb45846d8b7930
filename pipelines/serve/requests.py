"""What clients send and get, as the API's documentation shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .ids import ID_PATTERN

StreamId = Annotated[str, Field(pattern=ID_PATTERN)]


class StreamRequest(BaseModel):
    """A stream to watch."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(min_length=1, max_length=2048, description="A URL, or a file of an offered folder.")]
    id: Annotated[StreamId | None, Field(description="Its name from now on; made from the source by default.")] = None
    late: Annotated[
        Literal["auto", "drop", "wait"] | None,
        Field(
            description="Clips the model has no time for: dropped, or the source waits; auto drops for live ones. "
            "The server's own setting by default, as for the next two."
        ),
    ] = None
    max_age_seconds: Annotated[
        float | None,
        Field(ge=0, le=3600, allow_inf_nan=False, description="How long a clip may wait before it is late."),
    ] = None
    keep_memory_seconds: Annotated[
        float | None,
        Field(ge=0, le=86400, allow_inf_nan=False, description="After a longer gap the stream's memory begins empty."),
    ] = None
    pace: Annotated[bool, Field(description="Play a file at its own speed, over and over, like a camera.")] = False


class LatencyFigures(BaseModel):
    """Seconds from the arrival of a clip's last frame to its result, over the last results; parts are medians."""

    p50: float
    p99: float
    decode: float
    queue: float
    boxes: float
    model: float


class StreamStatus(BaseModel):
    """How a stream is."""

    id: str
    name: Annotated[str, Field(description="What the source is called; the id is made of it where none was given.")]
    source: Annotated[str, Field(description="Free of credentials.")]
    state: Literal["connecting", "live", "stalled", "waiting", "ended", "failed", "stopped"]
    is_live: bool
    width: int | None
    height: int | None
    session: int
    last_failure: str | None
    stats: Annotated[dict[str, int], Field(description="What has happened so far; every number only grows.")]
    condition: str
    seconds: Annotated[float | None, Field(description="Centre of the last clip, in seconds of the stream.")]
    memory_reach_seconds: float
    latency_seconds: LatencyFigures | None
    real_time_factor: Annotated[float, Field(description="Seconds of video answered a second, lately.")]


class StreamList(BaseModel):
    """All streams."""

    streams: list[StreamStatus]


class ServerInfo(BaseModel):
    """What is being served."""

    version: str
    model: str
    classes: list[str]
    hop_seconds: float
    clip_seconds: float
    max_streams: int
    engines: int
    memory_reads: Annotated[list[int], Field(description="How many clips back the memory is read.")]


class Problem(BaseModel):
    """Why a request was not carried out."""

    detail: str | list[Any]
