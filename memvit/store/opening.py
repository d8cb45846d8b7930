"""Opens the store of an archive, and reads what its root says."""

from __future__ import annotations

from typing import Any

from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore

from memvit.store.documents import DOCUMENT, DamagedDocument, is_intact, read_attributes
from memvit.store.errors import StoreError
from memvit.video.sources.location import is_url

UNFINISHED = ".partial"
"""Zarr writes a file under a name that ends so, and renames it; a killed process leaves such files behind."""


def open_store(location: str, *, read_only: bool) -> Store:
    """Return the store at a local path or URL."""
    if is_url(location):
        return FsspecStore.from_url(location, read_only=read_only)
    return LocalStore(location, read_only=read_only)


def read_description(store: Store, shown: str) -> dict[str, Any] | None:
    """Return the attributes that say what made the archive; None if there is no group at all.

    Raises DamagedDocument if they cannot be read or do not fit their checksum.
    """
    attributes = read_attributes(store, "")
    if attributes is None:
        return None
    content = attributes.get("memvit")
    if not isinstance(content, dict):
        raise StoreError(f"{shown}: this Zarr store is not an archive made by `memvit extract`; name another place")
    if not is_intact(content):
        raise DamagedDocument(f"{DOCUMENT} is damaged (it does not fit its checksum)")
    return content
