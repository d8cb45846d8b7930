"""How large a video may be. This is checked before memory is allocated, because a small file can declare any size."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from memvit.types import SourceError

PATCH_FRAMES, PATCH_SIDE = 2, 4
"""A token of the model is made from this many frames of this many pixels squared."""
THREAD_PIXELS = 2**26
"""Pixels of all frames that the threads of one decoder hold at once: eight of 3840×2160, or one of 8192×4352."""


@dataclass(frozen=True)
class VideoLimits:
    """Upper bounds for one video. The defaults admit 8K video, panoramas, and recordings of a week."""

    side: int = 16_384
    """Pixels of the longer side of a frame."""
    pixels: int = 8192 * 4352
    """Number of pixels of a frame."""
    aspect: float = 10.0
    """Longer side of a frame / its shorter side."""
    seconds: float = 7 * 86_400.0
    """Duration in seconds that a file declares."""
    tokens: int = 2**18
    """Tokens of a clip, 2 frames × 4 × 4 pixels each, after resizing: the longer side grows with the aspect ratio."""

    def __str__(self) -> str:
        """The limits in the form that `parse_limits` reads."""
        return ",".join(f"{field.name}={getattr(self, field.name):.0f}" for field in fields(self))

    def check_frame(self, shown: str, width: int, height: int) -> None:
        """SourceError if a frame of this size is too large. `shown` names the video in the error."""
        long, short = max(width, height), max(1, min(width, height))
        size = f"{width}×{height} pixels"
        if long > self.side:
            raise self._refused(shown, f"its frames of {size} have a side of more than {self.side}", "side", long)
        if width * height > self.pixels:
            wanted = width * height
            raise self._refused(shown, f"its frames of {size} have more than {self.pixels} pixels", "pixels", wanted)
        if long > self.aspect * short:
            wanted = -(-long // short)
            reason = f"its frames of {size} have a side that is more than {self.aspect:g} times the other"
            raise self._refused(shown, reason, "aspect", wanted)

    def check_duration(self, shown: str, seconds: float) -> None:
        """SourceError if a file declares a duration beyond the limit."""
        if seconds > self.seconds:
            reason = f"it declares a duration of {seconds:.0f} s, which is more than {self.seconds:.0f}"
            raise self._refused(shown, reason, "seconds", int(seconds) + 1)

    def check_clip(self, shown: str, num_frames: int, width: int, height: int) -> None:
        """SourceError if a clip of this size has too many tokens for the model."""
        tokens = -(-num_frames // PATCH_FRAMES) * -(-width // PATCH_SIDE) * -(-height // PATCH_SIDE)
        if tokens > self.tokens:
            reason = f"a clip of {num_frames} frames of {width}×{height} pixels has {tokens} tokens for the model"
            raise self._refused(shown, f"{reason}, which is more than {self.tokens}", "tokens", tokens)

    def decoder_threads(self, threads: int, pixels: int) -> int:
        """`threads`, or fewer for large frames, because every thread holds a frame of this many pixels."""
        return max(1, min(threads, THREAD_PIXELS // max(1, pixels)))

    def _refused(self, shown: str, reason: str, name: str, wanted: int) -> SourceError:
        return SourceError(f"{shown}: {reason}; resize it, or allow it with --limits {name}={wanted}", "data")


DEFAULT_LIMITS = VideoLimits()


def parse_limits(text: str) -> VideoLimits:
    """The default limits, changed by a text such as `aspect=20,pixels=100000000`. ValueError if it is malformed."""
    kinds = {field.name: type(getattr(DEFAULT_LIMITS, field.name)) for field in fields(VideoLimits)}
    changed: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            changed[name.strip()] = kinds[name.strip()](number)
        except (KeyError, ValueError):
            raise ValueError(f"{part!r}: use NAME=NUMBER with one of {', '.join(kinds)}, separated by commas") from None
    if any(not value > 0 for value in changed.values()):
        raise ValueError(f"{text!r}: limits are positive numbers")
    return replace(DEFAULT_LIMITS, **changed)  # type: ignore[arg-type]
