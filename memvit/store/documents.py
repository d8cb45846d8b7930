"""Reads and writes the JSON documents (`zarr.json`) that describe groups, any of which may be missing or damaged.

Zarr itself opens a group through its document, and fails with many kinds of exceptions where that is damaged. Here a
damaged document raises one exception that names its file, and writing one does not read what was there before.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from zarr.abc.store import Store
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

DOCUMENT = "zarr.json"
CHECKSUM = "checksum"
MAX_BYTES = 1 << 24
"""A document of more bytes was not written by this program, and is not parsed."""


class DamagedDocument(ValueError):
    """A document of an archive is not as it was written; the message names its file."""


def document_key(path: str) -> str:
    """Return the key of a group's or array's document in its store."""
    return f"{path}/{DOCUMENT}".lstrip("/")


def read_document(store: Store, path: str) -> dict[str, Any] | None:
    """Return the document of a group or array; None if there is none. Raises DamagedDocument if it is not JSON."""
    key = document_key(path)
    buffer = sync(store.get(key, default_buffer_prototype()))
    if buffer is None:
        return None
    try:
        if len(buffer) > MAX_BYTES:
            raise ValueError("it is too long")
        content = json.loads(buffer.to_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        return content
    except (ValueError, RecursionError) as error:
        raise DamagedDocument(f"{key} is damaged ({error})") from error


def read_attributes(store: Store, path: str) -> dict[str, Any] | None:
    """Return the attributes of a group; None if there is no group.

    Raises DamagedDocument if the document does not describe a group.
    """
    content = read_document(store, path)
    if content is None:
        return None
    attributes = content.get("attributes", {})
    if content.get("node_type") != "group" or content.get("zarr_format") != 3 or not isinstance(attributes, dict):
        raise DamagedDocument(f"{document_key(path)} is damaged (it does not describe a Zarr group)")
    return attributes


def write_group(store: Store, path: str, attributes: Mapping[str, Any]) -> None:
    """Write the document of a group as one object, and replace the one before."""
    content = {"attributes": dict(attributes), "zarr_format": 3, "node_type": "group"}
    data = json.dumps(content, indent=2).encode()
    sync(store.set(document_key(path), default_buffer_prototype().buffer.from_bytes(data)))


def document_digest(store: Store, path: str) -> str:
    """Return a digest of the bytes of a document; empty if there is none."""
    buffer = sync(store.get(document_key(path), default_buffer_prototype()))
    return "" if buffer is None else hashlib.blake2b(buffer.to_bytes(), digest_size=16).hexdigest()


def with_checksum(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content with its checksum under the key CHECKSUM."""
    return {**content, CHECKSUM: _checksum(content)}


def is_intact(content: Mapping[str, Any]) -> bool:
    """Whether content fits its checksum; content without one is accepted, because earlier versions wrote none."""
    return CHECKSUM not in content or content[CHECKSUM] == _checksum(content)


def _checksum(content: Mapping[str, Any]) -> str:
    checked = {key: value for key, value in content.items() if key != CHECKSUM}
    return hashlib.blake2b(json.dumps(checked, sort_keys=True).encode(), digest_size=16).hexdigest()


def child_names(store: Store, path: str) -> list[str]:
    """Return the sorted names of everything in a group but its document; empty if there is no such group."""

    async def listed() -> list[str]:
        return [name async for name in store.list_dir(path)]

    try:
        return sorted(name for name in sync(listed()) if name != DOCUMENT)
    except (FileNotFoundError, NotADirectoryError):
        return []


def remove_group(store: Store, path: str) -> None:
    """Delete a group with everything in it; does nothing if there is none."""
    try:
        sync(store.delete_dir(path))
    except (FileNotFoundError, ValueError):  # A local store raises ValueError where the path is a file.
        sync(store.delete(path))
