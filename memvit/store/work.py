"""What is done of a segment that is not finished: parts that are written once, and a commit that makes them count.

A part is a single object, the columns of some consecutive clips. A commit is: write the part, write the memory
snapshot, then one attribute write (which replaces a small file as a whole) that names both. What the attributes do not
name is not there; a part that cannot be read back as it was written ends the segment before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from zarr.core.sync import sync

from memvit.engine.snapshot import StreamSnapshot
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


@dataclass
class SegmentWork:
    """The committed part of a segment. One writer at a time; the same clips always make the same parts."""

    parent: zarr.Group
    path: str
    """Of its group in the parent, which is there from the first commit on."""
    parts: list[dict[str, Any]] = field(default_factory=list)
    """Of each: `clips`, `people`, `checksum`, and `memory_checksum` of the memory after it."""
    next_number: int | None = None
    """Number of the clip after the last committed one; None before the first."""
    warm_up: dict[int, int] = field(default_factory=dict)
    """Clips before the segment that were only read: number → CRC-32 of the frames, to compare with whoever has them."""
    is_finished: bool = False

    @staticmethod
    def open(parent: zarr.Group, path: str) -> SegmentWork:
        """What was committed so far. Parts that are damaged, and those after them, are forgotten."""
        work = SegmentWork(parent, path)
        try:
            work._recall(read_attributes(parent.store, path) or {})
        except (DamagedDocument, AttributeError, KeyError, TypeError, ValueError):
            remove_group(parent.store, path)
            return SegmentWork(parent, path)
        for index in range(len(work.parts)):
            if work._read(index) is None:
                work._cut(index)
                break
        return work

    @staticmethod
    def damaged(parent: zarr.Group, path: str) -> list[str]:
        """Names of what is not as it was written: the document, parts, or the memory; changes nothing."""
        work = SegmentWork(parent, path)
        try:
            work._recall(read_attributes(parent.store, path) or {})
        except (DamagedDocument, AttributeError, KeyError, TypeError, ValueError):
            return [document_key(path)]
        found = [f"{path}/part-{index}" for index in range(len(work.parts)) if work._read(index) is None]
        if work.parts and not work.is_finished and work.snapshot() is None:
            found.append(f"{path}/memory-{len(work.parts)}")
        return found

    def _recall(self, attributes: dict[str, Any]) -> None:
        """Take over what was written. ValueError, or what else altered content leads to, if it was altered since."""
        if not is_intact(attributes):
            raise ValueError("the attributes do not fit their checksum")
        self.parts, self.next_number = list(attributes.get("parts", [])), attributes.get("next_number")
        self.warm_up = {int(number): int(crc) for number, crc in attributes.get("warm_up", [])}
        self.is_finished = bool(attributes.get("finished", False))
        if not all(part["clips"] + part["people"] >= 0 and part["checksum"] for part in self.parts):
            raise ValueError("a part has no rows")

    @cached_property
    def group(self) -> zarr.Group:
        """Where the parts are."""
        return self.parent.require_group(self.path)

    @property
    def clips(self) -> int:
        """Committed clips."""
        return sum(part["clips"] for part in self.parts)

    @property
    def people(self) -> int:
        """Committed rows of people."""
        return sum(part["people"] for part in self.parts)

    def rows(self) -> Iterator[Rows]:
        """The committed parts, in order. ValueError if one has become unreadable."""
        for index in range(len(self.parts)):
            found = self._read(index)
            if found is None:
                raise ValueError(f"part {index} of {self.path} cannot be read back")
            yield found

    def last_checksums(self) -> dict[int, int]:
        """Number → CRC-32 of the frames, of the clips of the last part."""
        last = self._read(len(self.parts) - 1) if self.parts else None
        if last is None:
            return {}
        return dict(zip(last.clips["number"].tolist(), last.clips["frames_crc32"].tolist(), strict=True))

    def snapshot(self) -> StreamSnapshot | None:
        """The stream's memory after the last committed clip; None if it is not there, or damaged."""
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
        """Add clips for good. MemvitError if the store takes no more; then nothing committed before is lost."""
        index = len(self.parts)
        content = rows.to_bytes()
        with store_errors(self.parent.store):
            self._save(f"part-{index}", content)
            memory = snapshot.to_bytes()
            self._save(f"memory-{index + 1}", memory)
            part = {
                "clips": len(rows),
                "people": rows.num_people,
                "checksum": checksum_of(content),
                "memory_checksum": checksum_of(memory),
            }
            self._write([*self.parts, part], int(rows.clips["number"][-1]) + 1, warm_up, finished=False)
            self._delete(f"memory-{index}")

    def finish(self) -> None:
        """Say that the segment is complete."""
        with store_errors(self.parent.store):
            self._write(self.parts, self.next_number, self.warm_up, finished=True)

    def clear(self) -> None:
        """Forget all of it."""
        if self.parts or self.is_finished:
            self._cut(0)

    def _cut(self, index: int) -> None:
        kept = self.parts[:index]
        with store_errors(self.parent.store):
            last = self._read(index - 1) if index else None
            next_number = int(last.clips["number"][-1]) + 1 if last is not None else None
            self._write(kept, next_number, {}, finished=False)

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
            # Its document may be damaged and declare any size: no more is read than the object holds.
            held = sync(found.store.getsize(f"{self.path}/{name}/c/0"))
            return np.asarray(found[:]).tobytes() if found.nbytes == held else None
        except Exception:  # whatever a damaged array leads to: its part is done again
            return None

    def _delete(self, name: str) -> None:
        remove_group(self.parent.store, f"{self.path}/{name}")
