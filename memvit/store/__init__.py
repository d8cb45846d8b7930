"""The archive: results of many videos in one Zarr v3 store, which xarray opens and an interrupted run continues."""

from .archive import Archive
from .fingerprint import Fingerprint, fingerprint
from .lock import writer_lock
from .provenance import Provenance
from .rows import Rows, rows_of
from .states import VideoState
from .work import SegmentWork

__all__ = [
    "Archive",
    "Fingerprint",
    "Provenance",
    "Rows",
    "SegmentWork",
    "VideoState",
    "fingerprint",
    "rows_of",
    "writer_lock",
]
