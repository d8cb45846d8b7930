"""An archive of many videos: the state of each of them, and the results of those that are done.

ARCHIVE                       attributes: what every result was made with (`Provenance`)
  videos/ID                   attributes: location, state (running, done, failed), reason, fingerprint, length …
    seconds, features, …      the arrays of `memvit.store.layout`, once the state is done
  work/ID/SEGMENT             committed parts of a running video; removed when the video is done
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

import zarr
from zarr.core.sync import sync
from zarr.storage import MemoryStore

import memvit
from memvit.store.beside import archives_beside
from memvit.store.copying import copy_arrays, remove_arrays
from memvit.store.documents import (
    DOCUMENT,
    DamagedDocument,
    child_names,
    document_key,
    read_attributes,
    remove_group,
    with_checksum,
    write_group,
)
from memvit.store.errors import StoreError, store_errors
from memvit.store.ids import group_of, is_id
from memvit.store.layout import damaged_arrays, write_video
from memvit.store.opening import UNFINISHED, open_store, read_description
from memvit.store.parallel import in_order
from memvit.store.provenance import (
    LAYOUT,
    WITHOUT_PERSONS,
    Provenance,
    as_continued,
    check_provenance,
    layout_of,
    provenance_from,
)
from memvit.store.rows import Rows
from memvit.store.states import VideoState, from_attributes, to_attributes
from memvit.store.work import SegmentWork
from memvit.video.sources.location import is_url, redact

BESIDE = ("models", "index")
"""What else may be in the folder of an archive: those of other models, and an index."""
SMALL_ROWS = 1 << 14
"""The arrays of a video with at most so many clips and people together are built in memory, in less than 100 MB."""
"""Length of the readable part of a video's id, in characters."""


class Archive:
    """An open archive. Only one process may write states, and only one the parts of each segment."""

    def __init__(self, root: zarr.Group, location: str, provenance: Provenance, layout: int = LAYOUT) -> None:
        self.root, self.location, self.provenance = root, location, provenance
        self.has_persons = layout != WITHOUT_PERSONS
        """Whether the people of its videos have numbers; false for an archive of the first version of the layout."""
        self._is_repaired = False
        self._written: set[str] = set()

    @staticmethod
    def create(location: str, provenance: Provenance, *, repair: bool = False) -> Archive:
        """Open an archive for writing, or create it.

        With `repair`, a damaged description of the whole archive is replaced. From then on, a finished video counts as
        undamaged only if its own attributes say that it was made with this provenance.

        Raises StoreError if the location holds something else, or results that were made with another provenance.
        """
        shown = redact(location)
        if not is_url(location) and Path(location).exists() and not Path(location).is_dir():
            raise StoreError(f"{shown}: this is something else than an archive; name another place")
        with store_errors(shown):
            store = open_store(location, read_only=False)
            inside = [name for name in child_names(store, "") if not name.endswith(UNFINISHED) and name not in BESIDE]
            is_ours = "videos" in inside and set(inside) <= {"videos", "work"}
            try:
                content = read_description(store, shown)
            except DamagedDocument as error:
                if not is_ours:
                    raise StoreError(f"{shown}: this is something else than an archive; name another place") from error
                if not repair:
                    raise StoreError(f"{shown}: {error}; run this command again with --verify to repair it") from error
                content = None
            if content is None:
                if inside and not (is_ours and repair):
                    raise StoreError(f"{shown}: this folder is not empty and not an archive; name another place")
                content = {"layout": LAYOUT, "version": memvit.__version__, **provenance.plain()}
                content |= {"mended": True} if inside else {}
                write_group(store, "", {"memvit": with_checksum(content)})
            layout = layout_of(shown, content)
            provenance = as_continued(provenance, layout)
            archive = Archive(zarr.open_group(store, mode="r+"), location, provenance, layout)
            archive._is_repaired = bool(content.get("mended"))
            check_provenance(shown, content, provenance)
            if repair:
                for path in ("videos", "work"):
                    if path in inside and archive._is_damaged_group(path):
                        write_group(store, path, {})
        return archive

    @classmethod
    def open(cls, location: str, *, writable: bool = False) -> Self:
        """Open an archive that exists, for reading unless `writable`.

        Raises StoreError if there is none, or if its description is damaged.
        """
        shown = redact(location)
        if not is_url(location) and not Path(location).exists():
            raise StoreError(f"{shown}: there is no such archive; check the path")
        with store_errors(shown):
            try:
                store = open_store(location, read_only=not writable)
                content = read_description(store, shown)
                if content is None and child_names(store, "videos"):
                    raise DamagedDocument(f"{DOCUMENT} is missing")
                if content is None:
                    others = "".join(f"; name {shown}/models/{name}" for name in archives_beside(store)[:1])
                    raise StoreError(f"{shown}: this is not an archive made by `memvit extract`{others}")
                layout = layout_of(shown, content)
                mode: Literal["r", "r+"] = "r+" if writable else "r"
                archive = cls(zarr.open_group(store, mode=mode), location, provenance_from(content), layout)
            except DamagedDocument as error:
                raise StoreError(f"{shown}: {error}; `memvit extract … --verify` repairs it") from error
            except (KeyError, TypeError, ValueError) as error:
                raise StoreError(f"{shown}: this is not an archive made by `memvit extract`") from error
            archive._is_repaired = bool(content.get("mended"))
            return archive

    def video(self, video_id: str) -> VideoState | None:
        """Return the state of a video; None if it was never opened, `damaged` if its attributes cannot be read."""
        return self._state(video_id, group_of("videos", video_id)) if is_id(video_id) else None

    def redo(self, video_id: str) -> VideoState | None:
        """Return the state of a video that is being processed again while its finished result still counts.

        None if that is not so.
        """
        state = self._state(video_id, group_of("work", video_id))
        return state if state is not None and state.replaces else None

    def video_ids(self) -> list[str]:
        """Return the ids of all videos, sorted."""
        with store_errors(self.location):
            return [name for name in child_names(self.root.store, "videos") if is_id(name)]

    def videos(self) -> Iterator[VideoState]:
        """Yield the states of all videos, sorted by id."""
        yield from (state for state in in_order(self.video, self.video_ids()) if state is not None)

    def group(self, video_id: str) -> zarr.Group:
        """Return the group with the arrays of a video."""
        return self._group(group_of("videos", video_id))

    def array(self, video_id: str, name: str) -> zarr.Array[Any]:
        """Return an array of a video. Raises KeyError if it has none of this name."""
        found = self.root[f"{group_of('videos', video_id)}/{name}"]
        if not isinstance(found, zarr.Array):
            raise KeyError(f"{name} of {video_id} is a group; the archive is damaged")
        return found

    def put(self, state: VideoState) -> None:
        """Write the state of a video as one object.

        A state that `replaces` a finished result is written under work/, so that the finished one still counts.
        """
        with store_errors(self.location):
            store = self.root.store
            if state.state == "done":
                state = replace(state, made_with=self.provenance.digest)
            above = "work" if state.replaces else "videos"
            if above not in self._written:
                self._written.add(above)
                if self._is_damaged_group(above):
                    write_group(store, above, {})
            write_group(store, group_of(above, state.id), to_attributes(state))
            if state.state != "running":
                self._sweep(group_of(above, state.id), "**/*")

    def work(self, video_id: str, segment: int) -> SegmentWork:
        """Open the committed parts of a segment of a running video."""
        with store_errors(self.location):
            return SegmentWork.open(self.root, f"{group_of('work', video_id)}/{segment}")

    def forget(self, video_id: str) -> None:
        """Remove a video with its results and its parts.

        The first write marks it as removed. Killed after that, the video is not there any more, and `forget` removes
        what is left of it.
        """
        with store_errors(self.location):
            store, path = self.root.store, group_of("videos", video_id)
            write_group(store, path, to_attributes(VideoState(video_id, "", "removed")))
            remove_group(store, group_of("work", video_id))
            remove_arrays(zarr.open_group(store, path=path, mode="r+"))
            remove_group(store, path)

    def half_removed(self, video_id: str) -> bool:
        """Whether the removal of a video was killed before its end."""
        with store_errors(self.location):
            try:
                content = read_attributes(self.root.store, group_of("videos", video_id))
                return content is not None and from_attributes(video_id, content).state == "removed"
            except ValueError:  # It is damaged, which is another matter.
                return False

    def object_bytes(self, video_id: str) -> int:
        """Return how much a video takes in the store, in bytes."""
        with store_errors(self.location):
            paths = (f"{group_of(above, video_id)}/" for above in ("videos", "work"))
            return sum(sync(self.root.store.getsize_prefix(path)) for path in paths)

    def archives_beside(self) -> list[str]:
        """Return the names of the archives of other models in this store (`memvit extract --as`)."""
        with store_errors(self.location):
            return archives_beside(self.root.store)

    def finish(
        self, state: VideoState, parts: Iterable[Rows], clips: int, people: int, frames: int = 0, sightings: int = 0
    ) -> dict[str, str]:
        """Write the final arrays of a video and return their digests.

        `clips`, `people`, `frames` and `sightings` are the rows that all parts have together. Arrays of an earlier run
        are removed before.
        """
        from memvit.store.persons import Numbering, tracker_settings

        with store_errors(self.location):
            group = self._group(group_of("videos", state.id))
            remove_arrays(group)
            # The objects of a small video are sent in parallel; one after the other, an object store takes seconds.
            is_small = clips + people + sightings <= SMALL_ROWS
            target = zarr.open_group(MemoryStore(), mode="w", zarr_format=3) if is_small else group
            numbering = Numbering(tracker_settings(self.provenance.tracking)) if self.has_persons else None
            more: dict[str, Any] = {"numbering": numbering, "frames": frames, "sightings": sightings}
            digests = write_video(target, parts, clips, people, self.provenance.classes, **more)
            if is_small:
                copy_arrays(target, group)
            return digests

    def persons(self, video_id: str) -> int | None:
        """Return how many people were numbered in a finished video; None if its people have no numbers."""
        with store_errors(self.location):
            tracks = self.group(video_id).get("track")
            return tracks.shape[0] if isinstance(tracks, zarr.Array) else None

    def drop_work(self, video_id: str) -> None:
        """Remove the committed parts of a video that is done, or that is to be processed from its beginning."""
        with store_errors(self.location):
            remove_group(self.root.store, group_of("work", video_id))

    def tidy(self) -> None:
        """Remove what only a running job needs; to be called when no video is running."""
        with store_errors(self.location):
            if not child_names(self.root.store, "work"):
                remove_group(self.root.store, "work")
            self._sweep("", "*")
            self._sweep("videos", "*")

    def _sweep(self, folder: str, pattern: str) -> None:
        """Remove the unfinished files of a process that was killed; object stores never have any."""
        if not is_url(self.location):
            for path in (Path(self.location) / folder).glob(pattern + UNFINISHED):
                path.unlink(missing_ok=True)

    def damaged(self, state: VideoState) -> list[str]:
        """Return the names of what differs from what was written: arrays and documents of a finished video, parts of
        a running one.
        """
        with store_errors(self.location):
            if state.state == "damaged":
                return [DOCUMENT]
            if state.state != "done":
                return [name for path in self._work_paths(state) for name in SegmentWork.damaged(self.root, path)]
            if state.made_with != self.provenance.digest and (state.made_with or self._is_repaired):
                return ["everything (it was made with other settings than the archive's)"]
            group, classes = self.group(state.id), self.provenance.classes
            more = {"frames": state.frames, "sightings": state.sightings}
            return damaged_arrays(group, state.digests or {}, state.clips, state.people, classes, **more)

    def damaged_groups(self) -> list[str]:
        """Return the names of the documents of `videos` and `work` that are damaged or missing."""
        with store_errors(self.location):
            inside = [path for path in ("videos", "work") if child_names(self.root.store, path)]
            return [document_key(path) for path in inside if self._is_damaged_group(path)]

    def _work_paths(self, state: VideoState) -> list[str]:
        above = group_of("work", state.id)
        return [f"{above}/{name}" for name in child_names(self.root.store, above) if not name.endswith(UNFINISHED)]

    def _is_damaged_group(self, path: str) -> bool:
        try:
            return read_attributes(self.root.store, path) is None
        except DamagedDocument:
            return True

    def _state(self, video_id: str, path: str) -> VideoState | None:
        key = document_key(path)
        with store_errors(self.location):
            try:
                content = read_attributes(self.root.store, path)
                if content is None:
                    inside = child_names(self.root.store, path) if path.startswith("videos/") else []
                    is_missing = any(not name.endswith(UNFINISHED) for name in inside)
                    return _damaged(video_id, f"{key} is missing") if is_missing else None
                state = from_attributes(video_id, content)
                return state if state.state != "removed" else None
            except DamagedDocument as error:
                return _damaged(video_id, str(error))
            except ValueError as error:
                return _damaged(video_id, f"{key} is damaged ({error})")

    def _group(self, path: str) -> zarr.Group:
        found = self.root[path]
        if not isinstance(found, zarr.Group):
            raise StoreError(f"{self.location}: {path} is not a group; the archive is damaged")
        return found


def _damaged(video_id: str, reason: str) -> VideoState:
    return VideoState(video_id, "", "damaged", reason)
