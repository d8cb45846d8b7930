"""Makes the video and the picture of an event from what is on disk."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from memvit.video.limits import VideoLimits

from .cut import cut, seconds_of
from .mp4 import BROWSER_CODECS, write_mp4
from .picture import frame_at, write_picture
from .recording import Recording
from .segment import Segment
from .store import DAYS, SUFFIXES, UNFINISHED, file_of
from .unfinished import OpenRecording


def recorded_before(folder: Path, event_id: str) -> bool:
    """Whether there is a recording of an event."""
    return any(next(folder.glob(f"{DAYS}/{event_id}{suffix}"), None) is not None for suffix in SUFFIXES.values())


def finish(
    folder: Path,
    recording: OpenRecording,
    segments: Sequence[Segment],
    span: tuple[float, float],
    limits: VideoLimits,
) -> Recording | None:
    """Put the files of an event into their places; `span` is from when to when its video lasts. None if there is
    nothing to show. OSError if the disk takes no more.
    """
    event = recording.event
    pieces = cut(segments, *span)
    is_video = bool(pieces) and pieces[0].segment.format.codec in BROWSER_CODECS
    before = max(0.0, event.start_seconds - pieces[0].first_seconds) if is_video else 0.0
    seconds = seconds_of(pieces) if is_video else 0.0
    made = Recording(event.id, event.stream_id, recording.at_unix, 0, 0, before, seconds)
    about = {"event": event.to_record(), "recording": asdict(made)}
    sizes = {"video": 0, "picture": 0}
    image = frame_at(pieces, event.peak_seconds, limits)
    image = image if image is not None else recording.image
    if is_video:
        path = folder / UNFINISHED / f"{event.id}{SUFFIXES['video']}"
        write_mp4(path, pieces, f"{event.rule} · {event.stream_id}", about)
        sizes["video"] = _put(path, file_of(folder, event.id, recording.at_unix, "video"))
    if image is not None:
        path = folder / UNFINISHED / f"{event.id}{SUFFIXES['picture']}"
        write_picture(path, image, event, about)
        sizes["picture"] = _put(path, file_of(folder, event.id, recording.at_unix, "picture"))
    if not any(sizes.values()):
        return None
    return Recording(event.id, event.stream_id, recording.at_unix, sizes["video"], sizes["picture"], before, seconds)


def _put(path: Path, place: Path) -> int:
    """Move a finished file to its place; returns its size."""
    size = path.stat().st_size
    for _ in range(2):
        place.parent.mkdir(exist_ok=True, mode=0o700)
        with suppress(FileNotFoundError):  # the day's last recording was deleted at this moment, and its folder
            path.replace(place)
            break
    return size
