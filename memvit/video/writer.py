"""Writes an H.264 file frame by frame, with the given presentation times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import av.error

from memvit.types import Image, MemvitError

TIME_BASE = Fraction(1, 90_000)


class VideoWriter:
    """Writes an MP4 of RGB frames. A file that is closed early is playable.

    Width and height are those of the first frame, without an odd last column or row, because yuv420p halves both. Times
    may be irregular but must increase; a frame whose time is not later than the last one's is left out.
    """

    def __init__(self, path: str | Path, *, frames_per_second: float = 30.0, bit_rate: int | None = None) -> None:
        self.path = Path(path)
        self._rate = Fraction(frames_per_second).limit_denominator(1001)
        self._bit_rate = bit_rate
        try:
            self.path.open("wb").close()  # FFmpeg would fail only at the first frame
            self._container = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        except OSError as error:
            raise MemvitError(f"{path}: the video cannot be written ({error.strerror or error})") from error
        self._stream: av.VideoStream | None = None
        self._last_pts = -1
        self._first_seconds: float | None = None

    def write(self, image: Image, pts_seconds: float) -> None:
        """Append a frame, (height, width, 3) uint8 RGB. The time of the first frame becomes 0.

        MemvitError if writing fails, as on a full disk. The file is closed then, and its beginning may be playable.
        """
        if self._first_seconds is None:
            self._first_seconds = pts_seconds
        pts = round((pts_seconds - self._first_seconds) / TIME_BASE)
        if pts <= self._last_pts:
            return
        self._last_pts = pts
        with self._closing_on_error():
            stream = self._stream or self._start(image)
            frame = av.VideoFrame.from_ndarray(image[: stream.height, : stream.width], format="rgb24")
            frame.pts, frame.time_base = pts, TIME_BASE
            self._container.mux(stream.encode(frame))

    def close(self) -> None:
        """Finish the file. A second call does nothing. MemvitError if writing fails."""
        with self._closing_on_error():
            if self._stream is not None:
                stream, self._stream = self._stream, None
                self._container.mux(stream.encode())
            self._container.close()

    @contextmanager
    def _closing_on_error(self) -> Iterator[None]:
        """Turn an error of writing into a MemvitError, and close the file."""
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            self._stream = None
            with suppress(av.error.FFmpegError, OSError):
                self._container.close()
            reason = error.strerror or str(error)
            raise MemvitError(f"{self.path}: writing the video failed ({reason}); make room on the disk") from error

    def _start(self, image: Image) -> av.VideoStream:
        codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
        stream = self._container.add_stream(codec, rate=self._rate)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = (size - size % 2 for size in image.shape[:2])
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = TIME_BASE
        if self._bit_rate:
            stream.bit_rate = self._bit_rate
        elif codec == "libx264":
            stream.options = {"crf": "23", "preset": "veryfast"}
        self._stream = stream
        return stream

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
