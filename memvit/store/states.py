"""What an archive knows of one video, and how that is written into the attributes of the video's group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from memvit.store.documents import is_intact, with_checksum
from memvit.store.fingerprint import Fingerprint

STATES = ("running", "done", "failed")


@dataclass(frozen=True)
class VideoState:
    """What an archive knows of one video."""

    id: str
    location: str
    """As it was given; free of credentials."""
    state: str
    """running, done or failed; damaged where the archive's own description of the video cannot be read."""
    reason: str = ""
    """Why it failed, or what is damaged: one sentence."""
    fingerprint: Fingerprint | None = None
    duration_seconds: float | None = None
    clips: int = 0
    people: int = 0
    note: str = ""
    """What was skipped or mended while reading."""
    segments: tuple[tuple[int | None, int | None], ...] = ((None, None),)
    """First clip's number and the one after the last, of the parts that are worked on apart."""
    attempts: int = 0
    """Jobs that began it and ended without a word about it or any progress, the present one among them. Jobs are killed
    for many reasons, so this never makes a video fail: from the third on it is read in a process of its own."""
    digests: dict[str, str] | None = None
    """Of the content of each array, and of the document that describes it (NAME/zarr.json)."""
    replaces: bool = False
    """It is being done again, and the finished result from before stays until this one is complete."""
    made_with: str = ""
    """Digest of the archive's provenance when the video was done."""


def to_attributes(state: VideoState) -> dict[str, Any]:
    """Plain JSON values with a checksum; the id is the name of the group."""
    content = asdict(state)
    del content["id"]
    content["segments"] = [list(segment) for segment in state.segments]
    return with_checksum(content)


def from_attributes(video_id: str, attributes: Mapping[str, Any]) -> VideoState:
    """The inverse of `to_attributes`. ValueError if the attributes were altered since they were written."""
    if "state" not in attributes:
        return VideoState(video_id, "", "running")
    if not is_intact(attributes):
        raise ValueError("its attributes do not fit their checksum")
    names = {field.name for field in fields(VideoState)} - {"id"}
    content = {name: value for name, value in attributes.items() if name in names}
    mark, segments = content.pop("fingerprint", None), content.pop("segments", [[None, None]])
    try:
        state = VideoState(
            video_id,
            fingerprint=Fingerprint(**mark) if mark else None,
            segments=tuple((first, stop) for first, stop in segments),
            **content,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"its attributes do not describe a video ({error})") from error
    if not _is_plausible(state):
        raise ValueError("its attributes do not describe a video")
    return state


def _is_plausible(state: VideoState) -> bool:
    """Whether every value is of its type; earlier versions wrote no checksum."""
    texts = (state.location, state.reason, state.note, state.made_with)
    bounds = [bound for segment in state.segments for bound in segment if bound is not None]
    digests = state.digests or {}
    return (
        state.state in STATES
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(count, int) and count >= 0 for count in (state.clips, state.people, state.attempts))
        and all(isinstance(bound, int) for bound in bounds)
        and isinstance(state.duration_seconds, int | float | None)
        and isinstance(digests, dict)
        and all(isinstance(text, str) for pair in digests.items() for text in pair)
    )
