"""Checks the recordings of a server: each video is decoded from the first frame to the last, and each picture read."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.request import urlopen

import av
from PIL import Image


@dataclass
class RecordingCheck:
    """What was found."""

    whole: int = 0
    """Events with a video and a picture that can be decoded."""
    missing: list[str] = field(default_factory=list)
    """Ids of events without."""
    wrong: list[str] = field(default_factory=list)
    """What is wrong with the others."""
    shortest_seconds: float = float("inf")
    frames: int = 0

    def check(self, address: str, event: dict[str, Any], least_seconds: float) -> None:
        """Read the recording of an event as a client does. `least_seconds`: how long its video must be."""
        recording = event["recording"]
        if recording is None or not (recording["video"] and recording["picture"]):
            self.missing.append(event["id"])
            return
        try:
            with urlopen(f"{address}/api/history/{event['id']}/picture", timeout=60) as answer:
                Image.open(io.BytesIO(answer.read())).load()
            with urlopen(f"{address}/api/history/{event['id']}/video", timeout=60) as answer:
                times = times_of(answer.read())
        except (OSError, ValueError, av.error.FFmpegError) as error:
            self.wrong.append(f"{event['id']}: {error}")
            return
        self.frames += len(times)
        self.shortest_seconds = min(self.shortest_seconds, recording["seconds"])
        if times[0] != 0 or any(after <= before for before, after in pairwise(times)):
            self.wrong.append(f"{event['id']}: its times do not begin at 0, or do not increase")
        elif recording["seconds"] < least_seconds - 0.5:
            self.wrong.append(f"{event['id']}: it lasts {recording['seconds']} s and not {least_seconds:.1f} s")
        else:
            self.whole += 1


def times_of(content: bytes) -> list[float]:
    """The times of all frames of a video. ValueError if there are none, or one is damaged."""
    with av.open(io.BytesIO(content), "r") as container:
        stream = container.streams.video[0]
        frames = list(container.decode(stream))
    if not frames or any(frame.is_corrupt for frame in frames):
        raise ValueError("it has no frames, or damaged ones")
    return [float(frame.time or 0.0) for frame in frames]
