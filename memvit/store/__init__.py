"""The archive: results of many videos in one Zarr v3 store, which xarray opens and an interrupted run continues."""

from .archive import Archive
from .find import Interval, Query
from .fingerprint import Fingerprint, fingerprint
from .lock import writer_lock
from .provenance import Provenance
from .rows import Rows, rows_of
from .states import VideoState
from .work import SegmentWork

__all__ = [
    "Archive",
    "Fingerprint",
    "Interval",
    "Provenance",
    "Query",
    "Rows",
    "SegmentWork",
    "VideoState",
    "fingerprint",
    "open",
    "rows_of",
    "writer_lock",
]


def open(location: str) -> Archive:
    """Open an archive for reading. Raises StoreError if there is none, or if its description is damaged."""
    return Archive.open(location)
