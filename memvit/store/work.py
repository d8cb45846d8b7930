"""The committed parts of a segment that is being processed.

A part is a single object with the columns of some consecutive clips. A commit writes the part, then the memory
snapshot, then the attributes, which name both and are replaced as a whole. Objects that the attributes do not name are
ignored. A part that cannot be read back as it was written is dropped with all parts after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.core.sync import sync

from memvit.store.documents import (
    DamagedDocument,
    document_key,
    is_intact,
    read_attributes,
    remove_group,
    with_checksum,
    write_group,
)
from memvit.store.errors import store_errors
from memvit.store.rows import Rows, checksum_of

if TYPE_CHECKING:
    from memvit.engine.snapshot import StreamSnapshot


@dataclass
class SegmentWork:
    """The committed parts of a segment. Only one writer at a time is allowed."""

    parent: zarr.Group
    path: str
    """Path of its group in `parent`; the group exists from the first commit on."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Of each part: `clips`, `people`, `checksum`, and `memory_checksum` of the memory snapshot after it."""
    next_number: int | None = None
    """Number of the clip after the last committed one; None before the first commit."""
    warm_up: dict[int, int] = field(default_factory=dict)
    """Number → CRC-32 of the frames, of the warm-up clips before the segment; the segment before must have the same."""
    is_finished: bool = False
    """Whether all clips of the segment are committed."""

    @staticmethod
    def open(parent: zarr.Group, path: str) -> SegmentWork:
        """Read what was committed so far. A damaged part is dropped with all parts after it."""
        work = SegmentWork(parent, path)
        try:
            work._load_attributes(read_attributes(parent.store, path) or {})
        except (DamagedDocument, AttributeError, KeyError, TypeError, ValueError):
            remove_group(parent.store, path)
            return SegmentWork(parent, path)
        for index in range(len(work.parts)):
            if work._read(index) is None:
                work._truncate(index)
                break
        return work

    @staticmethod
    def damaged(parent: zarr.Group, path: str) -> list[str]:
        """Return the names of what differs from what was written: document, parts, memory snapshot. Changes nothing."""
        work = SegmentWork(parent, path)
        try:
            work._load_attributes(read_attributes(parent.store, path) or {})
        except (DamagedDocument, AttributeError, KeyError, TypeError, ValueError):
            return [document_key(path)]
        found = [f"{path}/part-{index}" for index in range(len(work.parts)) if work._read(index) is None]
        if work.parts and not work.is_finished and work.snapshot() is None:
            found.append(f"{path}/memory-{len(work.parts)}")
        return found

    def _load_attributes(self, attributes: dict[str, Any]) -> None:
        """Set the fields from the attributes.

        Altered attributes raise ValueError, or AttributeError, KeyError or TypeError where they have no checksum.
        """
        if not is_intact(attributes):
            raise ValueError("the attributes do not fit their checksum")
        self.parts, self.next_number = list(attributes.get("parts", [])), attributes.get("next_number")
        self.warm_up = {int(number): int(crc) for number, crc in attributes.get("warm_up", [])}
        self.is_finished = bool(attributes.get("finished", False))
        if not all(part["clips"] + part["people"] >= 0 and part["checksum"] for part in self.parts):
            raise ValueError("a part has no rows")

    @cached_property
    def group(self) -> zarr.Group:
        """The Zarr group with the parts; created if it does not exist."""
        return self.parent.require_group(self.path)

    @property
    def clips(self) -> int:
        """Number of committed clips."""
        return sum(part["clips"] for part in self.parts)

    @property
    def people(self) -> int:
        """Number of committed rows of people."""
        return sum(part["people"] for part in self.parts)

    @property
    def frames(self) -> int:
        """Number of committed frames in which people were looked for between keyframes."""
        return sum(part.get("frames", 0) for part in self.parts)

    @property
    def sightings(self) -> int:
        """Number of committed boxes in these frames."""
        return sum(part.get("sightings", 0) for part in self.parts)

    def rows(self) -> Iterator[Rows]:
        """Yield the committed parts in order. Raises ValueError if one cannot be read any more."""
        for index in range(len(self.parts)):
            found = self._read(index)
            if found is None:
                raise ValueError(f"part {index} of {self.path} cannot be read back")
            yield found

    def last_checksums(self) -> dict[int, int]:
        """Return the number → CRC-32 of the frames, of the clips of the last part; empty without a part."""
        last = self._read(len(self.parts) - 1) if self.parts else None
        if last is None:
            return {}
        return dict(zip(last.clips["number"].tolist(), last.clips["frames_crc32"].tolist(), strict=True))

    def snapshot(self) -> StreamSnapshot | None:
        """Return the memory of the stream after the last committed clip; None if it is missing or damaged."""
        from memvit.engine.snapshot import StreamSnapshot

        content = self._load(f"memory-{len(self.parts)}")
        if not self.parts or content is None:
            return None
        if self.parts[-1].get("memory_checksum") not in (None, checksum_of(content)):
            return None
        try:
            return StreamSnapshot.from_bytes(content)
        except ValueError:
            return None

    def commit(self, rows: Rows, snapshot: StreamSnapshot, warm_up: dict[int, int]) -> None:
        """Commit further clips. Raises StoreError if writing fails; earlier commits are not affected by that."""
        index = len(self.parts)
        content = rows.to_bytes()
        with store_errors(self.parent.store):
            self._save(f"part-{index}", content)
            memory = snapshot.to_bytes()
            self._save(f"memory-{index + 1}", memory)
            part = {
                "clips": len(rows),
                "people": rows.num_people,
                "frames": rows.num_frames,
                "sightings": rows.num_sightings,
                "checksum": checksum_of(content),
                "memory_checksum": checksum_of(memory),
            }
            self._write([*self.parts, part], int(rows.clips["number"][-1]) + 1, warm_up, finished=False)
            self._delete(f"memory-{index}")

    def finish(self) -> None:
        """Record that all clips of the segment are committed."""
        with store_errors(self.parent.store):
            self._write(self.parts, self.next_number, self.warm_up, finished=True)

    def clear(self) -> None:
        """Drop all parts."""
        if self.parts or self.is_finished:
            self._truncate(0)

    def _truncate(self, index: int) -> None:
        """Keep only the first `index` parts."""
        with store_errors(self.parent.store):
            last = self._read(index - 1) if index else None
            next_number = int(last.clips["number"][-1]) + 1 if last is not None else None
            self._write(self.parts[:index], next_number, {}, finished=False)

    def _write(
        self, parts: list[dict[str, Any]], next_number: int | None, warm_up: dict[int, int], *, finished: bool
    ) -> None:
        pairs = [[number, crc] for number, crc in sorted(warm_up.items())]
        content = {"parts": parts, "next_number": next_number, "warm_up": pairs, "finished": finished}
        write_group(self.parent.store, self.path, with_checksum(content))
        self.parts, self.next_number, self.warm_up, self.is_finished = parts, next_number, warm_up, finished

    def _read(self, index: int) -> Rows | None:
        content = self._load(f"part-{index}")
        if content is None or checksum_of(content) != self.parts[index]["checksum"]:
            return None
        return Rows.from_bytes(content)

    def _save(self, name: str, content: bytes) -> None:
        data = np.frombuffer(content, dtype=np.uint8)
        array = self.group.create_array(
            name, shape=data.shape, chunks=data.shape, dtype=data.dtype, compressors=None, filters=None, overwrite=True
        )
        array[:] = data

    def _load(self, name: str) -> bytes | None:
        try:
            found = self.parent[f"{self.path}/{name}"]
            if not isinstance(found, zarr.Array):
                return None
            # A damaged document may declare any size; the array is only read if this is the size of its object.
            object_bytes = sync(found.store.getsize(f"{self.path}/{name}/c/0"))
            return np.asarray(found[:]).tobytes() if found.nbytes == object_bytes else None
        except Exception:  # A damaged array leads to exceptions of many types; its part is computed again.
            return None

    def _delete(self, name: str) -> None:
        remove_group(self.parent.store, f"{self.path}/{name}")
