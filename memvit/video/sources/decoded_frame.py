"""A frame that PyAV decoded, with its place in the video."""

from __future__ import annotations

from dataclasses import dataclass

from av import VideoFrame

from memvit.types import Image
from memvit.video.convert import to_rgb, upright_size


@dataclass(frozen=True, eq=False, repr=False)
class DecodedFrame:
    """A frame as the decoder returned it, not yet converted to RGB."""

    pts_seconds: float
    index: int
    decoded: VideoFrame
    received_at: float
    container_seconds: float | None = None
    captured_unix: float | None = None

    @property
    def width(self) -> int:
        """Width in pixels of the upright image."""
        return upright_size(self.decoded)[0]

    @property
    def height(self) -> int:
        """Height in pixels of the upright image."""
        return upright_size(self.decoded)[1]

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """The upright image, as `Frame.rgb` describes it."""
        return to_rgb(self.decoded, width, height)
