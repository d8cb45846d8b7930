"""An index of the features of an archive, with faiss, for archives that are too large to be read for every question.

index/KIND                   attributes: the files of the index (`memvit.store.index_manifest`)
  index/KIND/NAME.faiss      a faiss index (IVF, one byte a number) of the videos that one run has added
  index/KIND/NAME.videos     which rows of it are of which video

KIND is `clips` or `people`. The attributes are written last, as one object, so a kill leaves the index as it was; files
that they do not name are removed by the next run. The index only chooses videos: what is said of their moments is
computed from the stored features. So a removed video is never an answer, and one that was changed is searched as it is.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from memvit.store.errors import StoreError, store_errors
from memvit.store.index_manifest import Manifest, Part, damaged, read_manifest, write_manifest
from memvit.store.similar import blocks
from memvit.store.videos import damage_of
from memvit.teaching.head import Reads
from memvit.video.sources.location import is_url

if TYPE_CHECKING:
    from memvit.store.archive import Archive

FILE_ROWS = 4_000_000
"""A file has about so many rows at most; it is built in memory, a byte a number."""
TRAIN_ROWS = 100_000
"""At most so many rows are read to choose the lists of the index."""
ROWS_PER_LIST = 40
"""The lists are trained with at least so many rows each."""
LISTS_READ = 32
"""So many lists are read for a question."""
DEAD_SHARE = 0.2
"""The index is built anew if more of its rows than this are of videos that were removed or changed."""
GROWTH = 4.0
"""It is built anew if the archive has grown by this factor since its lists were chosen."""


@dataclass(frozen=True)
class Updated:
    """What a run has done."""

    rebuilt: bool
    added: int
    """Videos."""
    gone: int
    """Videos that were removed, or changed and so added again."""
    rows: int
    """Rows of the whole index."""
    bytes: int
    """Of all files."""


def update_index(
    archive: Archive,
    kind: Reads,
    *,
    rebuild: bool = False,
    on_video: Callable[[int, int], None] = lambda done, all: None,
) -> Updated:
    """Bring the index of an archive up to date: add new videos, drop those that are gone.

    Hold the writer lock. `on_video` is called with the numbers of videos that are done and of all. Raises StoreError
    if faiss is missing, or if features cannot be read.
    """
    faiss = _faiss()
    if kind == "people" and not archive.provenance.boxes:
        raise StoreError(f"{archive.location}: its model classifies whole clips, not people; index --reads clips")
    array = _array_of(kind)
    digests: dict[str, str] = {}
    counts: dict[str, int] = {}
    for state in archive.videos():
        if state.state == "done" and array in (state.digests or {}):
            digests[state.id] = (state.digests or {})[array]
            counts[state.id] = state.clips if kind == "clips" else state.people
    total = sum(counts.values())
    if not total:
        raise StoreError(f"{archive.location}: there are no features of {kind} to index")
    before = None if rebuild else read_manifest(archive, kind)
    gone = _mark_gone(before, digests) if before is not None else 0
    base: Any = None
    if before is not None and before.dead_rows <= DEAD_SHARE * before.rows and total <= GROWTH * before.trained_rows:
        manifest = before
        known = manifest.videos()
        new = [video for video in sorted(counts) if video not in known]
        if new:
            base = _read(archive, manifest, manifest.parts[0], faiss)
    else:
        channels = int(archive.array(min(counts), array).shape[1])
        manifest, new = Manifest(kind, channels, total), sorted(counts)
        base = _trained(archive, sorted(counts), array, total, faiss)
        manifest.parts.append(_write(archive, kind, base, [], faiss))
    done = len(counts) - len(new)
    for group in _groups(new, counts):
        index = faiss.clone_index(base)
        for video in group:
            for block in _features(archive, video, array):
                index.add(_directions(block))
            done += 1
            on_video(done, len(counts))
        entries = [(video, digests[video], counts[video]) for video in group]
        if index.ntotal != sum(rows for *_, rows in entries):
            raise StoreError(f"{archive.location}: features are not as many as the videos say; see `info --verify`")
        manifest.parts.append(_write(archive, kind, index, entries, faiss))
    write_manifest(archive, manifest)
    size = sum(part.bytes for part in manifest.parts)
    return Updated(manifest is not before, len(new), gone, manifest.rows - manifest.dead_rows, size)


def _mark_gone(manifest: Manifest, digests: dict[str, str]) -> int:
    gone = 0
    for part in manifest.parts:
        for place, (video, digest, rows) in enumerate(part.videos):
            if video and digests.get(video) != digest:
                part.videos[place] = ("", digest, rows)
                gone += 1
    return gone


class IndexSearch:
    """An index that is open for questions."""

    def __init__(self, archive: Archive, manifest: Manifest) -> None:
        """Raises StoreError if faiss is missing, or if a file is damaged."""
        faiss = _faiss()
        self._parts = [(part, _read(archive, manifest, part, faiss)) for part in manifest.parts if part.videos]
        self._owners = [
            np.repeat(np.arange(len(part.videos)), [row[2] for row in part.videos]) for part, _ in self._parts
        ]
        for _, index in self._parts:
            index.nprobe = LISTS_READ
        self.manifest = manifest

    def videos(self, direction: NDArray[np.float32], count: int) -> list[str]:
        """Return the ids of at most `count` videos that have the most similar rows, best first.

        `direction` (C,) has length 1.
        """
        wanted, rows = 16 * count, max((index.ntotal for _, index in self._parts), default=0)
        while True:
            best: dict[str, float] = {}
            for (part, index), owners in zip(self._parts, self._owners, strict=True):
                scores, places = index.search(direction[None], min(wanted, max(index.ntotal, 1)))
                for score, place in zip(scores[0].tolist(), places[0].tolist(), strict=True):
                    video = part.videos[int(owners[place])][0] if place >= 0 else ""
                    if video and score > best.get(video, -2.0):
                        best[video] = score
            if len(best) >= count or wanted >= min(rows, 1 << 14):
                return sorted(best, key=lambda video: -best[video])[:count]
            wanted *= 4


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise StoreError("the index needs faiss: pip install 'memvit[index]'; --exact searches without it") from error
    return faiss


def _array_of(kind: Reads) -> str:
    return "features" if kind == "clips" else "box_features"


def _directions(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.ascontiguousarray(rows / np.maximum(lengths, 1e-30), dtype=np.float32)


def _features(archive: Archive, video: str, array: str) -> Iterator[NDArray[np.float32]]:
    try:
        with store_errors(archive.location):
            yield from blocks(archive.array(video, array))
    except StoreError:
        raise
    except Exception as error:  # A damaged document or chunk leads to exceptions of many types.
        raise StoreError(f"{archive.location}: {damage_of(video)}") from error


def _trained(archive: Archive, ids: list[str], array: str, total: int, faiss: Any) -> Any:
    """Return an empty index whose lists were chosen from rows of videos that were drawn."""
    lists = int(max(1, min(4 * total**0.5, min(total, TRAIN_ROWS) / ROWS_PER_LIST)))
    wanted, sample, rows = min(total, TRAIN_ROWS), [], 0
    random = np.random.default_rng(0)
    share = max(1, total // wanted)
    for place in random.permutation(len(ids)).tolist():
        for block in _features(archive, ids[place], array):
            sample.append(_directions(block[:: max(1, share // 4)]))
            rows += len(sample[-1])
        if rows >= wanted:
            break
    vectors = np.concatenate(sample)[:wanted]
    index = faiss.index_factory(vectors.shape[1], f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = 1  # Small archives have few rows; that is no reason for a warning.
    index.train(vectors)
    return index


def _groups(videos: list[str], counts: dict[str, int]) -> Iterator[list[str]]:
    """Yield the videos of each file."""
    group: list[str] = []
    rows = 0
    for video in videos:
        if group and rows + counts[video] > FILE_ROWS:
            yield group
            group, rows = [], 0
        group.append(video)
        rows += counts[video]
    if group:
        yield group


def _write(archive: Archive, kind: Reads, index: Any, entries: list[tuple[str, str, int]], faiss: Any) -> Part:
    name = f"{secrets.token_hex(8)}.faiss"
    with store_errors(archive.location):
        if is_url(archive.location):
            content = faiss.serialize_index(index).tobytes()
            buffer = default_buffer_prototype().buffer.from_bytes(content)
            sync(archive.root.store.set(f"index/{kind}/{name}", buffer))
            return Part(name, len(content), entries)
        path = Path(archive.location) / "index" / kind / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            faiss.write_index(index, str(path))
        except RuntimeError as error:
            raise StoreError(f"{path}: the index cannot be written; is the disk full?") from error
        return Part(name, path.stat().st_size, entries)


def _read(archive: Archive, manifest: Manifest, part: Part, faiss: Any) -> Any:
    """Return the index in a file. That of a local archive stays on disk; only the lists that are read take memory."""
    with store_errors(archive.location):
        try:
            if is_url(archive.location):
                key = f"index/{manifest.kind}/{part.name}"
                content = sync(archive.root.store.get(key, default_buffer_prototype()))
                if content is None or len(content) != part.bytes:
                    raise ValueError(f"{part.name} is missing or cut off")
                index = faiss.deserialize_index(np.frombuffer(content.to_bytes(), dtype=np.uint8))
            else:
                path = Path(archive.location) / "index" / manifest.kind / part.name
                if not path.exists() or path.stat().st_size != part.bytes:
                    raise ValueError(f"{part.name} is missing or cut off")
                flags = faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY if part.videos else 0
                index = faiss.read_index(str(path), flags)
            if index.ntotal != part.rows or index.d != manifest.channels:
                raise ValueError(f"{part.name} has another size")
        except (RuntimeError, ValueError) as error:
            raise damaged(archive, error) from error
    return index
