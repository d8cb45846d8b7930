"""Clips whose frames have not all arrived, and the frames that several of them share."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from memvit.types import Image, PreviewFrame
from memvit.video.sources.source import SAME_SECONDS, Frame


class SharedFrame:
    """A frame that several clips may use. Each image of it is made at most once, and only when a clip uses it."""

    def __init__(
        self, frame: Frame, size: tuple[int, int], crop: str, detector_size: tuple[int, int] | None = None
    ) -> None:
        """Sizes are (width, height); `detector_size` is that of the source by default."""
        self._frame, self._size, self._crop, self._detector_size = frame, size, crop, detector_size
        self.pts_seconds = frame.pts_seconds

    @cached_property
    def image(self) -> Image:
        """The frame resized to the size of the clips, and cropped to the central square if clips are."""
        image = self._frame.rgb(*self._size)
        if self._crop == "none":
            return image
        height, width, _ = image.shape
        side = min(width, height)
        top, left = math.ceil((height - side) / 2), math.ceil((width - side) / 2)
        return np.ascontiguousarray(image[top : top + side, left : left + side])

    @cached_property
    def detector_image(self) -> Image:
        """The whole frame in the size for the detector."""
        return self._frame.rgb(*self._detector_size) if self._detector_size else self._frame.rgb()


@dataclass(eq=False)
class OpenClip:
    """A clip whose frames have not all arrived. It holds converted images only, never decoded frames."""

    number: int
    """The centre's time divided by the hop."""
    centre_seconds: float
    instants_seconds: list[float]
    """T times, ascending; the frame nearest to each becomes a frame of the clip."""
    wants_centre_image: bool
    images: list[Image] = field(default_factory=list)
    """The images chosen so far, one for each of the first instants."""
    times_seconds: list[float] = field(default_factory=list)
    """The presentation times of these images."""
    centre_image: Image | None = None
    centre_image_seconds: float | None = None
    """The presentation time of the centre image."""
    is_centre_decided: bool = False
    preview: list[PreviewFrame] = field(default_factory=list)

    @property
    def is_decided(self) -> bool:
        """Whether all frames are chosen, the centre image included."""
        return self.is_centre_decided and len(self.images) == len(self.instants_seconds)

    def take(self, previous: SharedFrame | None, current: SharedFrame, until_seconds: float) -> None:
        """Choose the frame of every instant up to `until_seconds`; each lies between the two frames or before both."""
        for instant in self.instants_seconds[len(self.images) :]:
            if instant > until_seconds + SAME_SECONDS:
                break
            frame = nearest(instant, previous, current)
            self.images.append(frame.image)
            self.times_seconds.append(frame.pts_seconds)
        if not self.is_centre_decided and self.centre_seconds <= until_seconds + SAME_SECONDS:
            self.is_centre_decided = True
            if self.wants_centre_image:
                centre = nearest(self.centre_seconds, previous, current)
                self.centre_image, self.centre_image_seconds = centre.detector_image, centre.pts_seconds


def nearest(instant_seconds: float, previous: SharedFrame | None, current: SharedFrame) -> SharedFrame:
    """The frame that is nearer to the instant, the earlier of two equally near ones."""
    if previous is None:
        return current
    before, after = instant_seconds - previous.pts_seconds, current.pts_seconds - instant_seconds
    return previous if before <= after + SAME_SECONDS else current
