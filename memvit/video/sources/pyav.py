"""Reads the frames of files, URLs and cameras with PyAV."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import cast

import av
from av import Packet, VideoFrame, VideoStream
from av.error import BlockingIOError as TryAgainError
from av.error import EOFError as DecoderEndError
from av.error import FFmpegError, InvalidDataError

from memvit.types import SourceError
from memvit.video.convert import display_matrix
from memvit.video.limits import VideoLimits
from memvit.video.packets import PacketSink
from memvit.video.sources.container import (
    average_rate,
    choose_stream,
    container_start_seconds,
    declared_duration_seconds,
    open_container,
    packets_from,
    prepare_decoder,
)
from memvit.video.sources.container_clock import ContainerClock
from memvit.video.sources.decoded_frame import DecodedFrame
from memvit.video.sources.errors import why_not_read
from memvit.video.sources.location import is_camera, is_url, redact, source_name
from memvit.video.sources.source import SAME_SECONDS, Frame, ReadCounts, Source, SourceInfo
from memvit.video.sources.timestamps import AviTimestamps, Timeline

FALLBACK_FRAMES_PER_SECOND = 30.0
PROBED_PIXELS = 4
"""While a file is opened, frames of up to this many times the pixel limit may be decoded."""
SEEK_WORTH_SECONDS = 2.0
"""Start times earlier than this are reached by decoding, because key frames are seldom closer together."""
RETRY_PAUSE_SECONDS = 0.005
"""Pause before another try to read from a source that has no data yet."""
MISSING_SECONDS = 1.0
"""A video that ends this much before its declared end is truncated. Sound may last a little longer than the video."""


class StreamSource(Source):
    """The best video stream of anything that FFmpeg opens. Damaged packets are skipped and counted."""

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
        packets: PacketSink | None = None,
    ) -> None:
        """Open the location and decode its first frame. `open_source` explains the arguments and the error."""
        self.counts = ReadCounts()
        self._shown = redact(location)
        self._read_timeout_seconds = read_timeout_seconds
        self._max_consecutive_corrupt = max_consecutive_corrupt
        self._corrupt_in_a_row = 0
        self._pending: deque[DecodedFrame] = deque()
        self._last_before_start: DecodedFrame | None = None
        self._last_pts_seconds = self._end_seconds = 0.0
        self._limits, self._checked_size = limits, (0, 0)
        self._received_at = 0.0
        self._is_closed = self._is_flushed = False
        self._failure: tuple[str, str] | None = None
        """Message and kind of the error that ended reading. The error itself would keep this source alive through its
        traceback."""
        self._location, self._options = location, options
        self._packet_sink = packets
        self._timeouts_seconds = open_timeout_seconds, read_timeout_seconds
        # A URL can be read only once: frames lost by several threads at damaged data could not be fetched again.
        self._open_at(from_seconds, 1 if is_url(location) else decoder_threads)
        try:
            is_live = self._is_live
            self.info = self._describe(source_name(location), is_live)
        except BaseException:
            self.close()
            raise

    def _open_at(self, from_seconds: float, decoder_threads: int) -> None:
        """Open the location and prepare to decode the frames from a time on."""
        # To find out what the frames are, FFmpeg decodes some. Held to the limit itself, it would not tell their size.
        limits, location = self._limits, self._location
        probing = {"max_pixels": str(PROBED_PIXELS * limits.pixels)}
        self._container = open_container(location, *self._timeouts_seconds, probing | self._options)
        try:
            self._stream = choose_stream(self._container, self._shown)
            is_live = is_camera(location) or (is_url(location) and self._container.duration is None)
            self._check_header(is_live)
            pixels = self._stream.codec_context.width * self._stream.codec_context.height
            threads = 1 if is_live else limits.decoder_threads(decoder_threads, pixels)
            prepare_decoder(self._container, self._stream, is_live=is_live, threads=threads)
            self._is_live, self._has_threads = is_live, threads > 1
            self._stream.codec_context.options = {"max_pixels": str(limits.pixels)}
            self._packets: Iterator[Packet[VideoStream]] = self._container.demux(self._stream)
            self._avi_timestamps = AviTimestamps() if self._container.format.name == "avi" else None
            self._clock = ContainerClock(self._container) if is_live else None
            # The packets of an AVI have no presentation times, so they cannot be copied.
            has_times = self._packet_sink is not None and self._avi_timestamps is None
            self._packet_input = self._packet_sink.begin(self._stream) if self._packet_sink and has_times else None
            origin_seconds = container_start_seconds(self._container)
            self._timeline = Timeline(
                frame_seconds=1 / (average_rate(self._stream) or FALLBACK_FRAMES_PER_SECOND),
                origin_seconds=None if is_live or self._avi_timestamps is not None else origin_seconds,
                counts=self.counts,
            )
            self._from_seconds = 0.0 if is_live else from_seconds - SAME_SECONDS
            is_worth_seeking = not is_live and from_seconds > SEEK_WORTH_SECONDS
            if is_worth_seeking and self._avi_timestamps is None and origin_seconds is not None:
                self._packets = packets_from(self._container, self._stream, from_seconds, origin_seconds)
        except BaseException:
            self.close()
            raise

    def _reopen_with_one_thread(self) -> None:
        """Continue with one decoder thread after the frames already given, because damaged data was met.

        Several threads decode several packets at once. When one packet is damaged, good frames of the other threads
        are lost, and how many depends on the number of threads.
        """
        self._container.close()
        self._failure, self._is_flushed, self._corrupt_in_a_row = None, False, 0
        has_frames = self.counts.frames or self._pending
        self._open_at(self._last_pts_seconds + 2 * SAME_SECONDS if has_frames else self._from_seconds + SAME_SECONDS, 1)

    def __next__(self) -> Frame:
        """The next frame, as `Source` describes it."""
        if self._is_closed:
            raise SourceError(f"{self._shown}: the source is closed; open it again to read on")
        if not self._decode_until_pending():
            self._note_truncation()
            raise StopIteration
        self.counts.frames += 1
        return self._pending.popleft()

    def close(self) -> None:
        """Release the file or the connection. A second call does nothing."""
        self._is_closed = True
        self._pending.clear()
        self._container.close()

    def _describe(self, name: str, is_live: bool) -> SourceInfo:
        # Only a decoded frame tells size and rotation for certain, and that the video decodes at all.
        if not self._decode_until_pending():
            raise SourceError(
                f"{self._shown}: there is a video track, but no frame of it can be decoded "
                f"({self.counts.corrupt_packets} damaged packets); check that the file is complete and has at most "
                f"{self._limits.pixels} pixels a frame"
            )
        duration = self._container.duration
        duration_seconds = None if is_live or duration is None else duration / av.time_base
        frames_per_second = average_rate(self._stream)
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

    def _note_truncation(self) -> None:
        """Record in the counts if the video ended well before the time that its header declares."""
        declared_seconds = declared_duration_seconds(self._container, self._stream)
        if declared_seconds is not None and self._end_seconds < declared_seconds - MISSING_SECONDS:
            self.counts.ended_seconds, self.counts.declared_seconds = self._end_seconds, declared_seconds

    def _decode_until_pending(self) -> bool:
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
        if not self._pending and not self.counts.frames and self._last_before_start is not None:
            self._pending.append(self._last_before_start)  # the video is over before the time asked for
            self._last_before_start = None
        return bool(self._pending)

    def _next_packet(self) -> Packet[VideoStream] | None:
        """The next packet, an empty one at the end, or None for one that could not be read."""
        deadline = time.monotonic() + self._read_timeout_seconds
        while True:
            try:
                packet = next(self._packets)
                self._received_at = time.monotonic()
                if self._packet_input is not None:
                    self._packet_input.add(packet)
                if self._clock is not None:
                    self._clock.read(packet)
                return packet
            except StopIteration:
                self._is_flushed = True
                return None
            except TryAgainError as error:
                if time.monotonic() > deadline:
                    self._note_failure(error)
                time.sleep(RETRY_PAUSE_SECONDS)
            except InvalidDataError:
                if self._has_threads:
                    self._reopen_with_one_thread()
                    return None
                self._packets = self._container.demux(self._stream)  # the error has ended the generator
                self._count_corrupt()
                return None
            except FFmpegError as error:
                self._note_failure(error)
            if self._failure is not None:
                # An empty packet ends decoding and returns the good frames that the decoder still holds.
                return cast("Packet[VideoStream]", Packet())
            self._packets = self._container.demux(self._stream)

    def _note_failure(self, error: FFmpegError) -> None:
        why = why_not_read(error, self._shown, self._read_timeout_seconds)
        self._failure = str(why), why.kind

    def _decode(self, packet: Packet[VideoStream]) -> None:
        is_last = packet.size == 0 and packet.pts is None and packet.dts is None
        if packet.size == 0 and not is_last:  # "repeat the frame" in an AVI; the decoder would take it for the end
            return
        if self._has_threads and packet.is_corrupt:
            self._reopen_with_one_thread()
            return
        try:
            decoded = self._stream.decode(packet)
        except DecoderEndError:  # it was flushed before
            decoded = []
        except FFmpegError:
            if self._has_threads:
                self._reopen_with_one_thread()
                return
            decoded = []
            self._count_corrupt()
        else:
            if self._has_threads and any(frame.is_corrupt for frame in decoded):
                self._reopen_with_one_thread()
                return
            self.counts.corrupt_packets += packet.is_corrupt
        if decoded:
            self._corrupt_in_a_row = 0
        for frame in decoded:
            self._add_frame(frame)
        self._is_flushed |= is_last

    def _count_corrupt(self) -> None:
        self.counts.corrupt_packets += 1
        self._corrupt_in_a_row += 1

    def _add_frame(self, decoded: VideoFrame) -> None:
        """Make a decoded frame pending at its place in time, unless it has none or lies before the start time."""
        size = decoded.width, decoded.height
        if size != self._checked_size:  # the size may change from frame to frame
            self._limits.check_frame(self._shown, *size)
            self._checked_size = size
            if self._packet_input is not None:
                self._packet_input.turn(display_matrix(decoded))
        pts = decoded.pts if self._avi_timestamps is None else self._avi_timestamps.next(decoded.dts)
        time_base = decoded.time_base or self._stream.time_base
        raw_seconds = None if pts is None or time_base is None else float(pts * time_base)
        pts_seconds = self._timeline.place(raw_seconds)
        if pts_seconds is None:
            return
        captured = self._clock.unix_of(raw_seconds) if self._clock is not None else None
        if pts_seconds < self._from_seconds:
            self._last_before_start = DecodedFrame(pts_seconds, 0, decoded, self._received_at, raw_seconds, captured)
            return
        self.counts.corrupt_frames += decoded.is_corrupt
        index = self.counts.frames + len(self._pending)
        self._pending.append(DecodedFrame(pts_seconds, index, decoded, self._received_at, raw_seconds, captured))
        self._last_pts_seconds = pts_seconds
        frame_seconds = 1 / (average_rate(self._stream) or FALLBACK_FRAMES_PER_SECOND)
        # The last frame may be shown for longer than the others.
        shown_seconds = float(decoded.duration * time_base) if decoded.duration and time_base else 0.0
        self._end_seconds = pts_seconds + max(frame_seconds, shown_seconds)
