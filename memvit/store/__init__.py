"""The archive: results of many videos in one Zarr v3 store, which xarray opens and an interrupted run continues."""

from .archive import Archive
from .find import Interval, Query
from .fingerprint import Fingerprint, fingerprint
from .library import Library
from .lock import writer_lock
from .provenance import Provenance
from .rows import Rows, rows_of
from .similar import Example, Moment
from .states import VideoState
from .work import SegmentWork

__all__ = [
    "Archive",
    "Example",
    "Fingerprint",
    "Interval",
    "Library",
    "Moment",
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


def open(location: str) -> Library:
    """Open an archive for reading. Raises StoreError if there is none, or if its description is damaged."""
    return Library.open(location)
