"""Files, URLs and cameras, read with PyAV."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import av
from av import Packet, VideoFrame, VideoStream
from av.container import InputContainer
from av.error import BlockingIOError as TryAgainError
from av.error import EOFError as DecoderEndError
from av.error import FFmpegError, InvalidDataError
from av.stream import Discard, Disposition

from memvit.types import Image, SourceError
from memvit.video.convert import to_rgb, upright_size
from memvit.video.limits import VideoLimits
from memvit.video.sources.errors import why_not_opened, why_not_read
from memvit.video.sources.location import is_camera, is_url, redact, source_name
from memvit.video.sources.protocols import ffmpeg_options
from memvit.video.sources.source import Frame, ReadCounts, Source, SourceInfo
from memvit.video.sources.timestamps import Timeline

FALLBACK_FRAMES_PER_SECOND = 30.0
PROBED_PIXELS = 4
"""So many times the limit of a frame's pixels may be decoded while a file is opened."""
SEEK_WORTH_SECONDS = 2.0
"""Shorter ways are decoded: key frames are seldom closer."""
SEEK_MARGIN_SECONDS = 0.5
"""Containers are entered by decoding time, which is a few frames off presentation time."""
SAME_SECONDS = 1e-6
PAUSE_SECONDS = 0.005
DECLARING_FORMATS = {"mov", "matroska", "avi", "flv", "asf", "mxf"}
"""Their headers declare a duration; that of others is taken from what is there."""
MISSING_SECONDS = 1.0
"""A video that ends so much before the declared time is truncated; sound may go on a little longer."""


@dataclass(frozen=True, eq=False, repr=False)
class DecodedFrame:
    """A frame as the decoder left it."""

    pts_seconds: float
    index: int
    decoded: VideoFrame
    received_at: float

    @property
    def width(self) -> int:
        """Pixels, upright."""
        return upright_size(self.decoded)[0]

    @property
    def height(self) -> int:
        """Pixels, upright."""
        return upright_size(self.decoded)[1]

    def rgb(self, width: int | None = None, height: int | None = None) -> Image:
        """See `Frame.rgb`."""
        return to_rgb(self.decoded, width, height)


class StreamSource(Source):
    """The best video stream of anything FFmpeg opens. Damaged packets are skipped and counted."""

    def __init__(
        self,
        location: str,
        *,
        from_seconds: float = 0.0,
        open_timeout_seconds: float,
        read_timeout_seconds: float,
        max_consecutive_corrupt: int,
        decoder_threads: int,
        limits: VideoLimits,
        options: dict[str, str],
    ) -> None:
        """See `open_source`."""
        self.counts = ReadCounts()
        self._shown = redact(location)
        self._read_timeout_seconds = read_timeout_seconds
        self._max_consecutive_corrupt = max_consecutive_corrupt
        self._corrupt_in_a_row = 0
        self._pending: deque[DecodedFrame] = deque()
        self._last_left_out: DecodedFrame | None = None
        self._last_pts_seconds = self._end_seconds = 0.0
        self._limits, self._checked_size = limits, (0, 0)
        self._last_dts: int | None = None
        self._received_at = 0.0
        self._is_closed = self._is_flushed = False
        self._failure: tuple[str, str] | None = None
        """Sentence and kind; not the error itself, which would hold this source through its traceback."""
        self._location, self._options = location, options
        self._timeouts_seconds = open_timeout_seconds, read_timeout_seconds
        # A URL is read once: what is lost when several threads meet damage cannot be fetched again.
        self._enter(from_seconds, 1 if is_url(location) else decoder_threads)
        try:
            is_live = self._is_live
            self.info = self._describe(source_name(location), is_live)
        except BaseException:
            self.close()
            raise

    def _enter(self, from_seconds: float, decoder_threads: int) -> None:
        """Open the location, ready to decode from a time on."""
        # FFmpeg decodes frames to find out what they are. Held to the limit itself, it would not tell their size.
        limits, location = self._limits, self._location
        probing = {"max_pixels": str(PROBED_PIXELS * limits.pixels)}
        self._container = _open_container(location, *self._timeouts_seconds, probing | self._options)
        try:
            self._stream = _choose_stream(self._container, self._shown)
            is_live = is_camera(location) or (is_url(location) and self._container.duration is None)
            self._check_header(is_live)
            pixels = self._stream.codec_context.width * self._stream.codec_context.height
            threads = 1 if is_live else limits.decoder_threads(decoder_threads, pixels)
            _prepare_decoder(self._container, self._stream, is_live, threads)
            self._is_live, self._has_threads = is_live, threads > 1
            self._stream.codec_context.options = {"max_pixels": str(limits.pixels)}
            self._packets: Iterator[Packet[VideoStream]] = self._container.demux(self._stream)
            self._stores_no_pts = self._container.format.name == "avi"
            self._timeline = Timeline(
                frame_seconds=1 / (_frames_per_second(self._stream) or FALLBACK_FRAMES_PER_SECOND),
                origin_seconds=None if is_live or self._stores_no_pts else self._start_seconds(),
                counts=self.counts,
            )
            self._from_seconds = 0.0 if is_live else from_seconds - SAME_SECONDS
            if not is_live and from_seconds > SEEK_WORTH_SECONDS:
                self._seek(from_seconds)
        except BaseException:
            self.close()
            raise

    def _begin_again(self) -> None:
        """Go on with one thread after the frames that were given: the first damage was met.

        Threads decode several packets at once. When one is damaged, good frames of the others are lost, more or fewer
        of them with every number of threads.
        """
        self._container.close()
        self._last_dts, self._failure, self._is_flushed, self._corrupt_in_a_row = None, None, False, 0
        begun = self.counts.frames or self._pending
        self._enter(self._last_pts_seconds + 2 * SAME_SECONDS if begun else self._from_seconds + SAME_SECONDS, 1)

    def __next__(self) -> Frame:
        """See `Source`."""
        if self._is_closed:
            raise SourceError(f"{self._shown}: the source is closed; open it again to read on")
        if not self._fill():
            self._note_end()
            raise StopIteration
        self.counts.frames += 1
        return self._pending.popleft()

    def _seek(self, seconds: float) -> None:
        """Enter at a key frame at or before `seconds`; where the file cannot, stay at its start."""
        origin_seconds = self._start_seconds()
        if self._stores_no_pts or origin_seconds is None:
            return
        try:
            self._container.seek(int((seconds + origin_seconds - SEEK_MARGIN_SECONDS) * av.time_base), backward=True)
            first = next((packet for packet in self._container.demux(self._stream) if packet.pts is not None), None)
            time_base = self._stream.time_base
            if first is not None and first.pts is not None and time_base is not None and first.is_keyframe:
                is_early_enough = float(first.pts * time_base) - origin_seconds <= seconds
                if is_early_enough:
                    self._packets = itertools.chain([first], self._container.demux(self._stream))
                    return
        except FFmpegError:
            pass
        self._container.seek(self._container.start_time or 0, backward=True)
        self._packets = self._container.demux(self._stream)

    def close(self) -> None:
        """See `Source`."""
        self._is_closed = True
        self._pending.clear()
        self._container.close()

    def _describe(self, name: str, is_live: bool) -> SourceInfo:
        # Only a decoded frame tells size and rotation for certain, and that the video decodes at all.
        if not self._fill():
            raise SourceError(
                f"{self._shown}: there is a video track, but no frame of it can be decoded "
                f"({self.counts.corrupt_packets} damaged packets); check that the file is complete and has at most "
                f"{self._limits.pixels} pixels a frame"
            )
        duration = self._container.duration
        duration_seconds = None if is_live or duration is None else duration / av.time_base
        frames_per_second = _frames_per_second(self._stream)
        total_frames = self._stream.frames or None
        if total_frames is None and duration_seconds is not None and frames_per_second is not None:
            total_frames = max(1, round(duration_seconds * frames_per_second))
        return SourceInfo(
            name=name,
            width=self._pending[0].width,
            height=self._pending[0].height,
            frames_per_second=frames_per_second,
            duration_seconds=duration_seconds,
            total_frames=None if is_live else total_frames,
            is_live=is_live,
        )

    def _check_header(self, is_live: bool) -> None:
        """SourceError if the container declares more than the limits allow."""
        self._limits.check_frame(self._shown, self._stream.codec_context.width, self._stream.codec_context.height)
        if self._container.duration is not None and not is_live:
            self._limits.check_duration(self._shown, self._container.duration / av.time_base)

    def _note_end(self) -> None:
        """Say so in the counts if the video ends well before the time that its header declares."""
        declared = [duration for duration in (self._container.duration,) if duration is not None]
        seconds = [duration / av.time_base for duration in declared]
        if self._stream.duration is not None and self._stream.time_base is not None:
            seconds.append(float(self._stream.duration * self._stream.time_base))
        formats = set(self._container.format.name.split(","))
        if seconds and formats & DECLARING_FORMATS and self._end_seconds < min(seconds) - MISSING_SECONDS:
            self.counts.ended_seconds, self.counts.declared_seconds = self._end_seconds, min(seconds)

    def _start_seconds(self) -> float | None:
        """What a player shows as 0."""
        start = cast("int | None", self._container.start_time)  # None for streams without any time
        return None if start is None else start / av.time_base

    def _fill(self) -> bool:
        """Decode until a frame is pending; False at the end of the stream. Raises SourceError if it broke off."""
        while not self._pending and not self._is_flushed:
            packet = self._next_packet()
            if packet is not None:
                self._decode(packet)
            if self._corrupt_in_a_row > self._max_consecutive_corrupt:
                raise SourceError(
                    f"{self._shown}: nothing decodes any more after {self._last_pts_seconds:.2f} s "
                    f"({self._corrupt_in_a_row} damaged packets in a row); repair or record it again"
                )
        if self._failure is not None and not self._pending:
            raise SourceError(*self._failure)
        if not self._pending and not self.counts.frames and self._last_left_out is not None:
            self._pending.append(self._last_left_out)  # the video is over before the time asked for
            self._last_left_out = None
        return bool(self._pending)

    def _next_packet(self) -> Packet[VideoStream] | None:
        """The next packet, an empty one at the end; None for one that could not be read."""
        give_up = time.monotonic() + self._read_timeout_seconds
        while True:
            try:
                packet = next(self._packets)
                self._received_at = time.monotonic()
                return packet
            except StopIteration:
                self._is_flushed = True
                return None
            except TryAgainError as error:
                if time.monotonic() > give_up:
                    self._note_failure(error)
                time.sleep(PAUSE_SECONDS)
            except InvalidDataError:
                if self._has_threads:
                    self._begin_again()
                    return None
                self._packets = self._container.demux(self._stream)  # an error has ended the generator
                self._count_corrupt()
                return None
            except FFmpegError as error:
                self._note_failure(error)
            if self._failure is not None:
                return cast("Packet[VideoStream]", Packet())  # the end: what the decoder holds back is still good
            self._packets = self._container.demux(self._stream)

    def _note_failure(self, error: FFmpegError) -> None:
        why = why_not_read(error, self._shown, self._read_timeout_seconds)
        self._failure = str(why), why.kind

    def _decode(self, packet: Packet[VideoStream]) -> None:
        is_last = packet.size == 0 and packet.pts is None and packet.dts is None
        if packet.size == 0 and not is_last:  # "repeat the frame" in an AVI; the decoder would take it for the end
            return
        if self._has_threads and packet.is_corrupt:
            self._begin_again()
            return
        try:
            decoded = self._stream.decode(packet)
        except DecoderEndError:  # it was flushed before
            decoded = []
        except FFmpegError:
            if self._has_threads:
                self._begin_again()
                return
            decoded = []
            self._count_corrupt()
        else:
            if self._has_threads and any(frame.is_corrupt for frame in decoded):
                self._begin_again()
                return
            self.counts.corrupt_packets += packet.is_corrupt
        if decoded:
            self._corrupt_in_a_row = 0
        for frame in decoded:
            self._append(frame)
        self._is_flushed |= is_last

    def _count_corrupt(self) -> None:
        self.counts.corrupt_packets += 1
        self._corrupt_in_a_row += 1

    def _append(self, decoded: VideoFrame) -> None:
        size = decoded.width, decoded.height
        if size != self._checked_size:  # it may change from frame to frame
            self._limits.check_frame(self._shown, *size)
            self._checked_size = size
        pts = self._next_avi_pts(decoded) if self._stores_no_pts else decoded.pts
        time_base = decoded.time_base or self._stream.time_base
        raw_seconds = None if pts is None or time_base is None else float(pts * time_base)
        pts_seconds = self._timeline.place(raw_seconds)
        if pts_seconds is None:
            return
        if pts_seconds < self._from_seconds:
            self._last_left_out = DecodedFrame(pts_seconds, 0, decoded, self._received_at)
            return
        self.counts.corrupt_frames += decoded.is_corrupt
        index = self.counts.frames + len(self._pending)
        self._pending.append(DecodedFrame(pts_seconds, index, decoded, self._received_at))
        self._last_pts_seconds = pts_seconds
        frame_seconds = 1 / (_frames_per_second(self._stream) or FALLBACK_FRAMES_PER_SECOND)
        # The last picture may be shown for longer than the others.
        held_seconds = float(decoded.duration * time_base) if decoded.duration and time_base else 0.0
        self._end_seconds = pts_seconds + max(frame_seconds, held_seconds)

    def _next_avi_pts(self, decoded: VideoFrame) -> int | None:
        """An AVI stores decoding times only, in frames; FFmpeg's guess of the others is out of order with B-frames.

        But frames leave the decoder in the order of presentation, and so do the decoding times that come with them;
        the last few, which the decoder held back, come without.
        """
        dts = decoded.dts
        if dts is None and self._last_dts is not None:
            dts = self._last_dts + 1
        self._last_dts = dts
        return dts


def _open_container(
    location: str, open_timeout_seconds: float, read_timeout_seconds: float, options: dict[str, str]
) -> InputContainer:
    # "file:" keeps FFmpeg from reading a colon in a file's name as a protocol.
    target = location if is_url(location) or is_camera(location) else f"file:{Path(location)}"
    defaults = {"rtsp_transport": "tcp"} if location.lower().startswith("rtsp") else {}
    began = time.monotonic()
    try:
        return av.open(
            target,
            "r",
            format="v4l2" if is_camera(location) else None,
            options=defaults | ffmpeg_options(location) | options,
            timeout=(open_timeout_seconds, read_timeout_seconds),
            metadata_errors="replace",
        )
    except (FFmpegError, ValueError) as error:
        why = why_not_opened(error, location, time.monotonic() - began, open_timeout_seconds)
        words = str(why), why.kind
    # Outside of the handler: FFmpeg's error carries the location with its password.
    raise SourceError(*words)


def _choose_stream(container: InputContainer, shown: str) -> VideoStream:
    """The stream FFmpeg finds best, but never a cover picture. Raises SourceError if there is no video."""
    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    if not len(container.streams):
        raise SourceError(f"{shown}: there is no track in it; check that the file is complete")
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams}))
        raise SourceError(f"{shown}: there is no video in it (found: {kinds}); name a file or stream with video")
    best = container.streams.best("video")
    stream = next((stream for stream in streams if best is not None and stream.index == best.index), streams[0])
    if getattr(stream, "codec_context", None) is None:
        raise SourceError(f"{shown}: FFmpeg has no decoder for this video; convert it, for example to H.264")
    return stream


def _prepare_decoder(container: InputContainer, stream: VideoStream, is_live: bool, threads: int) -> None:
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    # Frame threads decode a file faster, and hold back as many frames as there are threads: not for live video, of
    # which there are many streams besides.
    stream.codec_context.thread_type = "SLICE" if is_live else "AUTO"
    stream.codec_context.thread_count = 1 if is_live else threads


def _frames_per_second(stream: VideoStream) -> float | None:
    """The average rate, or None if the header has none or an absurd one."""
    for rate in (stream.average_rate, stream.guessed_rate):
        if rate and 0.01 <= rate <= 1000:
            return float(rate)
    return None
