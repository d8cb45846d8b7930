"""What clients send and get, as the API's documentation shows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from .ids import ID_PATTERN

StreamId = Annotated[str, Field(pattern=ID_PATTERN)]


class StreamRequest(BaseModel):
    """A stream to watch. `late`, `keep_memory_seconds` and `pace` are earlier names of fields, which are accepted."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[str, Field(min_length=1, max_length=2048, description="A URL, or a file of an offered folder.")]
    id: Annotated[
        StreamId | None, Field(description="Names the stream in paths and events; made from the source by default.")
    ] = None
    overflow: Annotated[
        Literal["auto", "drop", "wait"] | None,
        Field(
            validation_alias=AliasChoices("overflow", "late"),
            description="What to do when clips come faster than the model answers: `drop` skips to the newest clip, "
            "`wait` makes the source wait; `auto` drops for live sources and waits for files. The server's own setting "
            "by default, as for the next two.",
        ),
    ] = None
    max_age_seconds: Annotated[
        float | None,
        Field(
            ge=0,
            le=3600,
            allow_inf_nan=False,
            description="Seconds a clip may wait before the stream skips to its newest.",
        ),
    ] = None
    memory_timeout_seconds: Annotated[
        float | None,
        Field(
            ge=0,
            le=86400,
            allow_inf_nan=False,
            validation_alias=AliasChoices("memory_timeout_seconds", "keep_memory_seconds"),
            description="Memory is kept over an interruption of at most so many seconds.",
        ),
    ] = None
    realtime: Annotated[
        bool,
        Field(
            validation_alias=AliasChoices("realtime", "pace"),
            description="Play a file at its own speed, again and again, like a camera.",
        ),
    ] = False


class LatencySummary(BaseModel):
    """Seconds from the arrival of a clip's last frame to its result, over the last 60 seconds; parts are medians."""

    p50: float
    p99: float
    decode: float
    queue: float
    boxes: float
    model: float


class StreamStatus(BaseModel):
    """The state of a stream, and numbers about it."""

    id: str
    name: Annotated[str, Field(description="Short name of the source; the id is made from it where none was given.")]
    source: Annotated[str, Field(description="The source without credentials.")]
    state: Literal["connecting", "live", "stalled", "waiting", "ended", "failed", "stopped"]
    is_live: bool
    width: int | None
    height: int | None
    session: int
    last_failure: str | None
    stats: Annotated[dict[str, int], Field(description="Counts since the stream was added; they never decrease.")]
    condition: str
    seconds: Annotated[float | None, Field(description="Centre of the last clip, in seconds of the stream.")]
    memory_reach_seconds: float
    latency_seconds: LatencySummary | None
    has_picture: Annotated[bool, Field(description="Whether its `picture` can be read, also after its end.")] = False
    real_time_factor: Annotated[
        float, Field(description="Seconds of video answered per second, over the last 30 seconds.")
    ]


class StreamList(BaseModel):
    """All streams."""

    streams: list[StreamStatus]


class RecordingStatus(BaseModel):
    """Whether events are recorded at present."""

    is_recording: bool
    reason: Annotated[str | None, Field(description="Why not.")]


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
    memory_slots: Annotated[int, Field(description="In how many slots all clips before are remembered, or 0.")] = 0
    rules: Annotated[list[str], Field(description="Names of the rules of events.")] = []
    archive: Annotated[bool, Field(description="Whether an archive is shown under /archive.")] = False
    min_score: Annotated[float, Field(description="Actions with a lower score are not shown.")] = 0.3
    recording: Annotated[RecordingStatus | None, Field(description="Null where events are not recorded.")] = None


class Problem(BaseModel):
    """Why a request was not carried out."""

    detail: str | list[Any]
