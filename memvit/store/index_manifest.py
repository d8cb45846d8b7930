"""What an index holds: its files, and which rows of them are of which video.

The list of a file's videos is an object of its own, for it may have a million lines: "ROWS DIGEST ID", in the order of
the rows. The id is empty once the video is gone. The attributes name each list with its size and checksum, and are
written last. Indexes of earlier versions have the lists in the attributes.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

from memvit.store.documents import (
    DamagedDocument,
    child_names,
    is_intact,
    read_attributes,
    remove_group,
    with_checksum,
    write_group,
)
from memvit.store.errors import StoreError, store_errors
from memvit.teaching.head import Reads

if TYPE_CHECKING:
    from memvit.store.archive import Archive

MAX_LIST_BYTES = 1 << 30
"""A longer list was not written by this program: a file has at most four million rows, and so videos."""


@dataclass
class Part:
    """A file of an index."""

    name: str
    bytes: int
    videos: list[tuple[str, str, int]] = field(default_factory=list)
    """(id, digest of the features, rows) in the order of the rows; the id is empty once the video is gone."""

    @property
    def rows(self) -> int:
        """Number of rows, also of videos that are gone."""
        return sum(rows for _, _, rows in self.videos)


@dataclass
class Manifest:
    """What an index says of itself."""

    kind: Reads
    channels: int
    trained_rows: int
    """Rows of the archive when the lists were chosen."""
    parts: list[Part] = field(default_factory=list)
    """The first has no videos: it is the empty index from which the others are made."""

    def videos(self) -> dict[str, str]:
        """The videos in the index: id → digest of the features."""
        return {video: digest for part in self.parts for video, digest, _ in part.videos if video}

    @property
    def dead_rows(self) -> int:
        """Rows of videos that are gone."""
        return sum(rows for part in self.parts for video, _, rows in part.videos if not video)

    @property
    def rows(self) -> int:
        """All rows."""
        return sum(part.rows for part in self.parts)


def read_manifest(archive: Archive, kind: Reads) -> Manifest | None:
    """Return what an index holds; None if there is none. Raises StoreError if it is damaged."""
    store, path = archive.root.store, f"index/{kind}"
    with store_errors(archive.location):
        try:
            content = read_attributes(store, path)
            if content is None:
                return None
            if not is_intact(content) or "checksum" not in content:
                raise ValueError("it does not fit its checksum")
            parts = [Part(part["name"], part["bytes"], _videos_of(store, path, part)) for part in content["parts"]]
            return Manifest(kind, content["channels"], content["trained_rows"], parts)
        except (DamagedDocument, AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(archive, error) from error


def write_manifest(archive: Archive, manifest: Manifest) -> None:
    """Write the lists, then the attributes, then remove the files that these do not name."""
    path = f"index/{manifest.kind}"
    with store_errors(archive.location):
        store = archive.root.store
        parts = [_written(store, path, part) for part in manifest.parts]
        content = {"channels": manifest.channels, "trained_rows": manifest.trained_rows, "parts": parts}
        write_group(store, path, with_checksum(content))
        named = {name for part in parts for name in (part["name"], part["list"]["name"])}
        for name in child_names(store, path):
            if name not in named:
                remove_group(store, f"{path}/{name}")


def damaged(archive: Archive, error: Exception) -> StoreError:
    """Return the error of an index that cannot be read, with what to do."""
    return StoreError(f"{archive.location}: its index is damaged ({error}); `memvit index --rebuild` makes it anew")


def _written(store: Store, path: str, part: Part) -> dict[str, Any]:
    """Write the list of a file, and return what the attributes say of the file."""
    name = f"{secrets.token_hex(8)}.videos"
    text = "".join(f"{rows} {digest} {video}\n" for video, digest, rows in part.videos).encode()
    sync(store.set(f"{path}/{name}", default_buffer_prototype().buffer.from_bytes(text)))
    of_list = {"name": name, "bytes": len(text), "checksum": _checksum(text)}
    return {"name": part.name, "bytes": part.bytes, "list": of_list}


def _videos_of(store: Store, path: str, part: dict[str, Any]) -> list[tuple[str, str, int]]:
    """Read the list of a file. Raises ValueError if it is not as it was written."""
    if "videos" in part:
        return [(video, digest, rows) for video, digest, rows in part["videos"]]
    of_list = part["list"]
    if of_list["bytes"] > MAX_LIST_BYTES:
        raise ValueError("a list of videos is too long")
    buffer = sync(store.get(f"{path}/{of_list['name']}", default_buffer_prototype()))
    if buffer is None or len(buffer) != of_list["bytes"]:
        raise ValueError(f"{of_list['name']} is missing or cut off")
    content = buffer.to_bytes()
    if _checksum(content) != of_list["checksum"]:
        raise ValueError(f"{of_list['name']} does not fit its checksum")
    lines = (line.split(" ", 2) for line in content.decode().splitlines())
    return [(video, digest, int(rows)) for rows, digest, video in lines]


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
