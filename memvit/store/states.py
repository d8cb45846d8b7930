"""The state of one video in an archive, and how it is written into the attributes of the video's group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from memvit.store.documents import is_intact, with_checksum
from memvit.store.fingerprint import Fingerprint

STATES = ("running", "done", "failed", "removed")
"""Of these, `removed` marks what a killed removal has left; an archive shows no such video."""


@dataclass(frozen=True)
class VideoState:
    """The state of one video in an archive."""

    id: str
    """Name of its group."""
    location: str
    """Path or URL as the user gave it, without credentials."""
    state: str
    """`running`, `done` or `failed`; `damaged` if the attributes of the video cannot be read."""
    reason: str = ""
    """Why it failed, or what is damaged: one sentence."""
    fingerprint: Fingerprint | None = None
    """Identifies the content of the file; None for a URL, or before the video was opened."""
    duration_seconds: float | None = None
    """Length of the video; None if it is unknown."""
    clips: int = 0
    """Number of clips that are committed."""
    people: int = 0
    """Number of rows of people, once the video is done."""
    persons: int | None = None
    """Number of different people, once the video is done; None where they have no numbers."""
    frames: int = 0
    """Number of frames in which people were looked for, where that was more often than once a clip."""
    sightings: int = 0
    """Number of boxes in these frames."""
    note: str = ""
    """What was skipped or repaired while reading."""
    segments: tuple[tuple[int | None, int | None], ...] = ((None, None),)
    """Number of the first clip, and of the one after the last, of each segment; None is the beginning or the end."""
    attempts: int = 0
    """Number of jobs, with the present one, that opened the video and then ended without progress or a reason. Jobs are
    killed for many reasons, so this never makes a video fail: from the third on it is read in a process of its own."""
    digests: dict[str, str] | None = None
    """Digest of the content of each array, and of the document that describes it (NAME/zarr.json)."""
    replaces: bool = False
    """Whether it is being processed again, while the finished result from before counts until this one is complete."""
    made_with: str = ""
    """Digest of the archive's provenance when the video was finished."""


def to_attributes(state: VideoState) -> dict[str, Any]:
    """Return the state as JSON values with a checksum, without the id, which is the name of the group."""
    content = asdict(state)
    del content["id"]
    content["segments"] = [list(segment) for segment in state.segments]
    return with_checksum(content)


def from_attributes(video_id: str, attributes: Mapping[str, Any]) -> VideoState:
    """Return the state that `to_attributes` wrote. Raises ValueError if the attributes were altered since."""
    if "state" not in attributes:
        return VideoState(video_id, "", "running")
    if not is_intact(attributes):
        raise ValueError("its attributes do not fit their checksum")
    names = {field.name for field in fields(VideoState)} - {"id"}
    content = {name: value for name, value in attributes.items() if name in names}
    stored, segments = content.pop("fingerprint", None), content.pop("segments", [[None, None]])
    try:
        state = VideoState(
            video_id,
            fingerprint=Fingerprint(**stored) if stored else None,
            segments=tuple((first, stop) for first, stop in segments),
            **content,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"its attributes do not describe a video ({error})") from error
    if not _is_plausible(state):
        raise ValueError("its attributes do not describe a video")
    return state


def _is_plausible(state: VideoState) -> bool:
    """Whether every value is of its type; attributes that an earlier version wrote have no checksum that says so."""
    texts = (state.location, state.reason, state.note, state.made_with)
    counts = (state.clips, state.people, state.frames, state.sightings, state.attempts)
    bounds = [bound for segment in state.segments for bound in segment if bound is not None]
    digests = state.digests or {}
    return (
        state.state in STATES
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(count, int) and count >= 0 for count in counts)
        and all(isinstance(bound, int) for bound in bounds)
        and isinstance(state.persons, int | None)
        and isinstance(state.duration_seconds, int | float | None)
        and isinstance(digests, dict)
        and all(isinstance(text, str) for pair in digests.items() for text in pair)
    )
