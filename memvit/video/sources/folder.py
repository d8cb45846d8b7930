"""Reads a folder of numbered images as a video. AVA's frames, and those of many other data sets, are stored so."""

from __future__ import annotations

import bisect
import itertools
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from av import CodecContext, Packet, VideoFrame
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from memvit.types import Image, SourceError
from memvit.video.convert import to_rgb, upright_size, wanted_size
from memvit.video.limits import VideoLimits
from memvit.video.sources.location import VIDEO_SUFFIXES, source_name
from memvit.video.sources.source import SAME_SECONDS, Frame, ReadCounts, Source, SourceInfo

_NUMBERED = re.compile(r"(?!\.)(?P<prefix>.*?)(?P<number>\d+)\.(?P<kind>jpe?g|png)", re.IGNORECASE)
MIN_EVEN_IMAGES = 10
"""At least this many evenly numbered images (for example every fifth frame) count as frames of a video. Fewer may be
unrelated pictures."""
BYTES_PER_PIXEL = 8
"""Size of a pixel in the largest uncompressed image: four channels of 16 bits."""
_CODECS = {"jpg": "mjpeg", "jpeg": "mjpeg", "png": "png"}


@dataclass(frozen=True)
class NumberedImage:
    """One file of the folder."""

    number: int
    path: Path


class ImageFrame:
    """A frame that is read and decoded when its pixels are first asked for."""

    def __init__(self, folder: FrameFolder, index: int, pts_seconds: float) -> None:
        self._folder, self._decoded = folder, None if index else folder.first_decoded
        self.index, self.pts_seconds, self.received_at = index, pts_seconds, time.monotonic()
        self.container_seconds = self.captured_unix = None

    @property
    def width(self) -> int:
        """Width in pixels of the first image. All images of a folder come from one video."""
        return self._folder.info.width

    @property
    def height(self) -> int:
        """Height in pixels of the first image."""
        return self._folder.info.height

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """The upright image, as `Frame.rgb` describes it. SourceError if neither it nor any image near it decodes."""
        if self._decoded is None:
            self._decoded = self._folder.decode_nearest(self.index)
        return to_rgb(self._decoded, *wanted_size((self.width, self.height), width, height))


class FrameFolder(Source):
    """Images in the order of the number at the end of their names, at a fixed rate.

    A frame's time follows from its number, so a gap in the numbering is a gap in time. An image that cannot be decoded
    is replaced by the nearest one that can, the earlier of two equally near ones. Which one that is does not depend on
    what was decoded before.
    """

    def __init__(
        self,
        folder: Path,
        *,
        from_seconds: float,
        frames_per_second: float,
        start_seconds: float,
        max_consecutive_corrupt: int,
        limits: VideoLimits,
    ) -> None:
        """List the images and decode the first. `open_source` explains the arguments and the error."""
        if frames_per_second <= 0:
            raise SourceError(f"{folder}: the frame rate of a folder must be positive, not {frames_per_second:g}")
        self.counts = ReadCounts()
        self._folder, self._start_seconds = folder, start_seconds
        self._frames_per_second = frames_per_second
        self._max_consecutive_corrupt, self._limits = max_consecutive_corrupt, limits
        self._images = list_images(folder)
        first, last = self._images[0].number, self._images[-1].number
        self.counts.missing_images = last - first + 1 - len(self._images)
        self._next_index = bisect.bisect_left(
            self._images, from_seconds - SAME_SECONDS, key=self._pts_seconds, hi=len(self._images) - 1
        )
        self._is_closed = False
        self.first_decoded = self.decode_nearest(0)
        width, height = upright_size(self.first_decoded)
        self.info = SourceInfo(
            name=source_name(folder),
            width=width,
            height=height,
            frames_per_second=frames_per_second,
            duration_seconds=(last - first + 1) / frames_per_second,
            total_frames=last - first + 1,
            is_live=False,
        )

    def __next__(self) -> Frame:
        """The next frame, as `Source` describes it."""
        if self._is_closed:
            raise SourceError(f"{self._folder}: the source is closed; open it again to read on")
        if self._next_index == len(self._images):
            raise StopIteration
        index = self._next_index
        self._next_index += 1
        self.counts.frames += 1
        return ImageFrame(self, index, self._pts_seconds(self._images[index]))

    def _pts_seconds(self, image: NumberedImage) -> float:
        return self._start_seconds + (image.number - self._images[0].number) / self._frames_per_second

    def close(self) -> None:
        """End reading. A second call does nothing."""
        self._is_closed = True

    def decode_nearest(self, index: int) -> VideoFrame:
        """The decoded image of an index, or the nearest one that decodes. SourceError if none does within reach."""
        for tried, candidate in enumerate(_outward(index, len(self._images))):
            if tried > self._max_consecutive_corrupt:
                break
            path = self._images[candidate].path
            decoded = decode_image(path, self._limits)
            if decoded is not None:
                self._limits.check_frame(str(path), decoded.width, decoded.height)
                return decoded
            self.counts.corrupt_images += tried == 0
        raise SourceError(
            f"{self._images[index].path}: neither this image nor any near it can be decoded; extract the frames again"
        )


def list_images(folder: Path) -> list[NumberedImage]:
    """The numbered images of a folder, ordered by number.

    Raises SourceError if there are none, if they belong to two videos, or if they do not look like a video's frames.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder}: the folder cannot be read ({error.strerror}); check its permissions") from error
    videos = [path.name for path in entries if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos:
        raise SourceError(
            f"{folder}: a folder is read as the frames of one video, but there are videos in it ({videos[0]}"
            f"{', …' if len(videos) > 1 else ''}); name the videos themselves, for example {folder / videos[0]}"
        )
    found = [(path, match) for path in entries if (match := _NUMBERED.fullmatch(path.name))]
    if not found:
        raise SourceError(
            f"{folder}: there are no numbered images in this folder; frames are named like VIDEO_000001.jpg"
        )
    prefixes = sorted({match["prefix"] for _, match in found})
    if len(prefixes) > 1:
        raise SourceError(
            f"{folder}: there are images of more than one video ({prefixes[0]!r}, {prefixes[1]!r} …); "
            "keep one folder a video"
        )
    images = sorted((NumberedImage(int(match["number"]), path) for path, match in found), key=lambda item: item.number)
    for image, following in itertools.pairwise(images):
        if image.number == following.number:
            raise SourceError(
                f"{folder}: {image.path.name} and {following.path.name} have the same number; remove one of them"
            )
    _check_gaps(folder, [image.number for image in images])
    return images


def _check_gaps(folder: Path, numbers: Sequence[int]) -> None:
    """SourceError if most numbers are missing, unless there are many images and they are evenly numbered."""
    count, whole = len(numbers), numbers[-1] - numbers[0] + 1
    steps = {following - number for number, following in itertools.pairwise(numbers)}
    is_even = count >= MIN_EVEN_IMAGES and len(steps) == 1
    if whole > 2 * count and not is_even:
        raise SourceError(
            f"{folder}: these {count} images are numbered {numbers[0]} to {numbers[-1]}, so {whole - count} of {whole} "
            "frames are missing; if they are frames of a video, extract them again, else name a video"
        )


def decode_image(path: Path, limits: VideoLimits) -> VideoFrame | None:
    """Decode a JPEG or PNG; None if it is damaged, missing, or has more pixels than allowed."""
    context = CodecContext.create(_CODECS[path.suffix[1:].lower()], "r")
    assert isinstance(context, VideoCodecContext)
    context.thread_type = "NONE"  # starting threads would cost more than one image gains
    # Without "explode" FFmpeg accepts half an image as a whole one.
    context.options = {"err_detect": "explode", "max_pixels": str(limits.pixels)}
    try:
        if path.stat().st_size > BYTES_PER_PIXEL * limits.pixels:
            return None
        frames = context.decode(Packet(path.read_bytes()))
    except (FFmpegError, OSError):
        return None
    return frames[0] if frames else None


def _outward(index: int, count: int) -> Iterator[int]:
    """`index`, then its neighbours within 0..count-1 by distance, the earlier one first."""
    yield index
    for distance in range(1, count):
        yield from (near for near in (index - distance, index + distance) if 0 <= near < count)
