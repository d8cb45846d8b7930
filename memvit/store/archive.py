"""A store of many videos: what each of them is, how far it is, and the results of those that are done.

ARCHIVE                       attributes: what made it (`Provenance`)
  videos/ID                   attributes: location, state (running, done, failed), reason, fingerprint, length …
    seconds, features, …      the arrays of `memvit.store.layout`, once the state is done
  work/ID/SEGMENT             parts of what is running; gone when the video is done
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import zarr
from zarr.errors import ContainsArrayError, ContainsGroupError, GroupNotFoundError
from zarr.storage import MemoryStore

import memvit
from memvit.store.copying import copy_arrays, remove_arrays
from memvit.store.errors import StoreError, store_errors
from memvit.store.fingerprint import Fingerprint
from memvit.store.layout import damaged_arrays, write_video
from memvit.store.rows import Rows
from memvit.store.work import SegmentWork
from memvit.video.location import is_url, redact, source_name

LAYOUT = 1
SMALL_ROWS = 1 << 14
"""Videos with so few clips and people are built in memory: less than 100 MB."""
MAX_NAME = 80
UNFINISHED = ".partial"
"""End of the names of files that Zarr is writing; where it is killed they stay."""


@dataclass(frozen=True)
class Provenance:
    """What every result of an archive was made with; a run with anything else needs another archive."""

    model: str
    """Its name in the zoo, or what the checkpoint says."""
    weights_sha256: str
    config: dict[str, Any]
    sampling: dict[str, Any]
    """Frames of a clip, their interval, the hop in seconds, the image size."""
    boxes: str
    """Where the people come from; empty where whole clips are classified."""
    precision: str
    """That the model computes in."""
    stored_as: str
    """float32 or float16: features and scores on disk."""
    remember: bool
    receptive_field: int
    """Clips: how far back a result can depend on the past."""
    classes: tuple[str, ...]
    first_id: int


@dataclass(frozen=True)
class VideoState:
    """What an archive knows of one video."""

    id: str
    location: str
    """As it was given; free of credentials."""
    state: str
    """running, done or failed."""
    reason: str = ""
    """Why it failed: one sentence."""
    fingerprint: Fingerprint | None = None
    duration_seconds: float | None = None
    clips: int = 0
    people: int = 0
    note: str = ""
    """What was skipped or mended while reading."""
    segments: tuple[tuple[int | None, int | None], ...] = ((None, None),)
    """First clip's number and the one after the last, of the parts that are worked on apart."""
    attempts: int = 0
    """How often it was begun without getting any further."""
    digests: dict[str, str] | None = None
    """Of the content of each array."""


class Archive:
    """An open store. One process at a time may write the states; each segment's work has a writer of its own."""

    def __init__(self, root: zarr.Group, location: str, provenance: Provenance) -> None:
        self.root, self.location, self.provenance = root, location, provenance

    @staticmethod
    def create(location: str, provenance: Provenance) -> Archive:
        """Open an archive for writing, or begin it. StoreError if it holds something else, or other results."""
        shown = redact(location)
        inside = [path.name for path in Path(location).iterdir()] if Path(location).is_dir() else []
        if "zarr.json" not in inside and not all(name.endswith(UNFINISHED) for name in inside):
            raise StoreError(f"{shown}: this folder is not empty and not an archive; name another place")
        with store_errors(shown):
            try:
                root = zarr.open_group(location, mode="a", zarr_format=3)
            except (ContainsArrayError, ContainsGroupError, ValueError, NotADirectoryError, FileExistsError) as error:
                raise StoreError(f"{shown}: this is something else than an archive; name another place") from error
            archive = Archive(root, location, provenance)
            if "memvit" not in root.attrs:
                if next(iter(root.keys()), None) is not None:
                    raise StoreError(f"{shown}: this Zarr store was not made by memvit; name another place")
                root.attrs["memvit"] = {"layout": LAYOUT, "version": memvit.__version__, **_plain(asdict(provenance))}
            archive._check_provenance()
        return archive

    @staticmethod
    def open(location: str) -> Archive:
        """Open an archive for reading. StoreError if there is none."""
        shown = redact(location)
        if not is_url(location) and not Path(location).exists():
            raise StoreError(f"{shown}: there is no such archive; check the path")
        with store_errors(shown):
            try:
                root = zarr.open_group(location, mode="r")
                content: dict[str, Any] = dict(root.attrs["memvit"])  # type: ignore[arg-type]
                layout = content.pop("layout")
                content.pop("version")
                if layout != LAYOUT:
                    raise StoreError(f"{shown}: it was made by a newer version of memvit; update memvit")
                content["classes"] = tuple(content["classes"])
                return Archive(root, location, Provenance(**content))
            except (GroupNotFoundError, FileNotFoundError, KeyError, TypeError, ValueError) as error:
                raise StoreError(f"{shown}: this is not an archive made by `memvit extract`") from error

    def video(self, video_id: str) -> VideoState | None:
        """What is known of a video; None if it was never begun."""
        try:
            group = self.root[f"videos/{video_id}"]
        except KeyError:
            return None
        return _state(video_id, dict(group.attrs))

    def videos(self) -> Iterator[VideoState]:
        """All videos that were ever begun, by id."""
        if "videos" not in self.root:
            return
        for name, group in sorted(self._group("videos").groups()):
            yield _state(name, dict(group.attrs))

    def group(self, video_id: str) -> zarr.Group:
        """The arrays of a video."""
        return self._group(f"videos/{video_id}")

    def put(self, state: VideoState) -> None:
        """Write what is known of a video, in one go."""
        with store_errors(self.location):
            group = self.root.require_group(f"videos/{state.id}")
            content = {**_plain(asdict(state)), "fingerprint": state.fingerprint and asdict(state.fingerprint)}
            del content["id"]
            group.attrs.put(content)
            if state.state != "running":
                self._sweep(f"videos/{state.id}", "**/*")

    def work(self, video_id: str, segment: int) -> SegmentWork:
        """What is done of a segment of a running video."""
        with store_errors(self.location):
            return SegmentWork.open(self.root, f"work/{video_id}/{segment}")

    def forget(self, video_id: str) -> None:
        """Remove everything that is known of a video."""
        with store_errors(self.location):
            for path in (f"work/{video_id}", f"videos/{video_id}"):
                if path in self.root:
                    del self.root[path]

    def finish(self, state: VideoState, parts: Iterable[Rows], clips: int, people: int) -> dict[str, str]:
        """Write the arrays of a video, anew if a run died while doing so; returns their digests."""
        with store_errors(self.location):
            group = self._group(f"videos/{state.id}")
            remove_arrays(group)
            if clips + people > SMALL_ROWS:
                return write_video(group, parts, clips, people, self.provenance.classes)
            # All objects of a small video are sent at once: one by one, a round trip each, takes seconds far away.
            built = zarr.open_group(MemoryStore(), mode="w", zarr_format=3)
            digests = write_video(built, parts, clips, people, self.provenance.classes)
            copy_arrays(built, group)
            return digests

    def drop_work(self, video_id: str) -> None:
        """Remove the parts of a video that is done."""
        with store_errors(self.location):
            if f"work/{video_id}" in self.root:
                del self.root[f"work/{video_id}"]

    def tidy(self) -> None:
        """Remove what only a job at work needs; call it when nothing is running."""
        with store_errors(self.location):
            if "work" in self.root and next(iter(self._group("work").keys()), None) is None:
                del self.root["work"]
            self._sweep("", "*")
            self._sweep("videos", "*")

    def _sweep(self, folder: str, pattern: str) -> None:
        """Remove what an earlier run was writing when it was killed; object stores keep nothing unfinished."""
        if not is_url(self.location):
            for path in (Path(self.location) / folder).glob(pattern + UNFINISHED):
                path.unlink(missing_ok=True)

    def damaged(self, state: VideoState) -> list[str]:
        """Names of the arrays of a finished video that are not as they were written."""
        return damaged_arrays(self.group(state.id), state.digests or {})

    def _group(self, path: str) -> zarr.Group:
        found = self.root[path]
        if not isinstance(found, zarr.Group):
            raise StoreError(f"{self.location}: {path} is not a group; the archive is damaged")
        return found

    def _check_provenance(self) -> None:
        found = dict(self.root.attrs["memvit"])  # type: ignore[arg-type]
        if found.get("layout") != LAYOUT:
            raise StoreError(f"{self.location}: it was made by a newer version of memvit; update memvit")
        wanted = _plain(asdict(self.provenance))
        differing = [key for key in wanted if found.get(key) != wanted[key]]
        if differing:
            key = differing[0]
            raise StoreError(
                f"{self.location}: it was made with another {key.replace('_', ' ')} ({_brief(found.get(key))}, now "
                f"{_brief(wanted[key])}); name another --out for this run"
            )


def video_id(location: str) -> str:
    """A name for a video that no other location shares, and that people recognise."""
    whole = location if is_url(location) else str(Path(location).absolute())
    stem = re.sub(r"[^\w.-]+", "_", source_name(location))[:MAX_NAME]
    return f"{stem}-{hashlib.sha256(whole.encode()).hexdigest()[:8]}"


def _state(video_id: str, content: dict[str, Any]) -> VideoState:
    if "state" not in content:
        return VideoState(video_id, "", "running")
    mark = content.pop("fingerprint", None)
    segments: Sequence[Sequence[int | None]] = content.pop("segments")
    return VideoState(
        id=video_id,
        fingerprint=Fingerprint(**mark) if mark else None,
        segments=tuple((first, stop) for first, stop in segments),
        **content,
    )


def _plain(content: dict[str, Any]) -> dict[str, Any]:
    """As JSON gives it back."""
    return {key: _as_json(value) for key, value in content.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    return [_as_json(item) for item in value] if isinstance(value, list | tuple) else value


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
