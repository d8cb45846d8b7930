"""Events that are being recorded, on disk: an event goes on after a restart, or is finished then."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memvit.events.event import Event
from memvit.types import Image

SUFFIX = ".json"


@dataclass
class OpenRecording:
    """An event whose recording is not finished."""

    event: Event
    """As it was told last."""
    at_unix: float
    """As in `Recording`."""
    ended_at: float | None = None
    """`time.monotonic()` when its end was told; None while it goes on."""
    image: Image | None = None
    """What the model saw at the best moment, for a stream whose packets cannot be decoded."""
    is_saved: bool = False
    """Whether the file holds the event as it is."""
    is_doubtful: bool = False
    """Whether an earlier run has left it, and it is not known yet whether this one tells of it again."""

    def save(self, folder: Path) -> None:
        """Write the event to a file of its own. OSError if the disk takes no more."""
        path = folder / f"{self.event.id}{SUFFIX}"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps({"at_unix": self.at_unix, "event": asdict(self.event)}))
        partial.replace(path)
        self.is_saved = True


def load_open(folder: Path) -> list[OpenRecording]:
    """The events that an earlier run has left in a folder; files that are none are left out."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            saved: dict[str, Any] = json.loads(path.read_text())
            values = dict(saved["event"])
            values["peak_box"] = None if values["peak_box"] is None else tuple(values["peak_box"])
            made = OpenRecording(Event(**values), float(saved["at_unix"]), is_saved=True)
        except (ValueError, KeyError, TypeError):
            continue
        if path.stem == made.event.id:
            found.append(made)
    return found


def forget(folder: Path, event_id: str) -> None:
    """Delete the file of an event."""
    (folder / f"{event_id}{SUFFIX}").unlink(missing_ok=True)
