"""Watches videos: sources → clips → boxes → engine → files, until all have ended or the user stops the program."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.events.event import Event
from memvit.events.rules import Rules
from memvit.labels import Labels
from memvit.os_errors import sentence_of
from memvit.results.annotate import AnnotatedVideoWriter, Notes
from memvit.results.ava_csv import AvaCsvWriter
from memvit.results.jsonl import JsonLinesWriter
from memvit.results.label import DEFAULT_MIN_SCORE
from memvit.results.result import Result
from memvit.streams.events import StreamStats
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened
from memvit.streams.policy import LivePolicy
from memvit.streams.watcher import ClipResult, StreamEvent, Watcher
from memvit.types import Clip, MemvitError
from memvit.video.clips.track_frames import DEFAULT_TRACK_RATE
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits
from memvit.video.packets import PacketSink
from memvit.video.sources.location import is_camera, is_retried_at_first, is_url, redact, unique_names
from memvit.video.sources.open import DECODER_THREADS, open_source
from memvit.video.sources.realtime import RealtimeSource
from memvit.video.sources.source import Source
from pipelines.record.options import RecordOptions
from pipelines.stopping import stop_requested

from .event_file import EventFile, check_names
from .recorded_events import RecordedEvents
from .seen import Seen

LIVE_TIMELINE_CLIPS = 21_600
"""A live stream may never end, so its timeline shows the last clips only: 6 hours at a hop of 1 s."""


@dataclass(frozen=True)
class WatchOptions:
    """What to watch of a stream, and what to write of it: one file of each kind, named after the stream."""

    out: Path
    hop_seconds: float = 1.0
    track_rate: float = DEFAULT_TRACK_RATE
    """Detections a second between keyframes."""
    top_k: int = 5
    all_scores: bool = False
    ava_csv: bool = False
    ava_csv_persons: bool = False
    annotate: bool = False
    annotate_width: int = 640
    timeline: bool = False
    notes: Notes | None = None
    """What else is known of people, to be shown in the annotated video."""
    min_score: float = DEFAULT_MIN_SCORE
    """Actions with a lower score are left out of the annotated video and the timeline."""
    until_seconds: float | None = None
    """Watch each stream only up to this time of its own."""
    frames_per_second: float = 30.0
    """Frame rate of a folder of frames."""
    start_seconds: float = 0.0
    """Presentation time of a folder's first frame."""
    policy: LivePolicy = field(default_factory=LivePolicy)
    limits: VideoLimits = DEFAULT_LIMITS
    realtime: bool = False
    """Play files at their own speed, again and again, as if they were cameras."""
    rules: Rules | None = None
    """Rules of events, which are written to one file for all streams."""
    record: RecordOptions | None = None
    """How these events are recorded; None records nothing."""


@dataclass
class StreamSummary:
    """What was done for one stream."""

    stream_id: str
    location: str
    """The source's location without credentials."""
    clips: int = 0
    watched_seconds: float = 0.0
    duration_seconds: float | None = None
    failure: str | None = None
    note: str = ""
    """What was skipped or corrected while reading, as text for people."""
    video_failure: str | None = None
    """Why its annotated video ends early; the results are complete."""
    stats: StreamStats | None = None
    files: list[Path] = field(default_factory=list)
    seen: Seen = field(default_factory=Seen)
    """What each person did, and when."""


@dataclass(frozen=True)
class WatchSummary:
    """What was done for all streams."""

    streams: tuple[StreamSummary, ...]
    wall_seconds: float
    interrupted: bool
    events: Path | None = None
    """The file of events, if there are rules."""
    recordings: int = 0
    """How many events were recorded."""
    record_folder: Path | None = None
    record_failure: str | None = None
    """Why not all of them were."""

    @property
    def failed(self) -> list[StreamSummary]:
        """Streams that could not be watched to their end, or whose annotated video could not be written."""
        return [stream for stream in self.streams if stream.failure or stream.video_failure]

    @property
    def real_time_factor(self) -> float:
        """Seconds of video watched per second of wall time."""
        return sum(stream.watched_seconds for stream in self.streams) / max(self.wall_seconds, 1e-9)


class StreamFiles:
    """The files of one stream. Each result is on disk as soon as it is written; `close` finishes the files."""

    def __init__(self, summary: StreamSummary, labels: Labels, options: WatchOptions, *, is_live: bool = False) -> None:
        self._summary, self._labels, self._options = summary, labels, options
        self._timeline: deque[Result] = deque(maxlen=LIVE_TIMELINE_CLIPS if is_live else None)
        self._stack = ExitStack()
        enter = self._stack.enter_context
        path = self._path(".jsonl")
        self._json = enter(
            JsonLinesWriter(path, labels, top_k=options.top_k, all_scores=options.all_scores, with_latency=is_live)
        )
        self._csv = (
            enter(AvaCsvWriter(self._path(".csv"), labels, with_persons=options.ava_csv_persons))
            if options.ava_csv
            else None
        )
        self._video = (
            AnnotatedVideoWriter(self._path(".mp4"), labels=labels, min_score=options.min_score, notes=options.notes)
            if options.annotate
            else None
        )

    def write(self, clip: Clip, result: Result) -> None:
        """Write one result to every file."""
        self._json.write(result)
        if self._csv:
            self._csv.write(result)
        if self._video:
            self._to_video(partial(self._video.write, clip, result))
        if self._options.timeline:
            self._timeline.append(replace(result, features=None, box_features=None))  # they are not drawn

    def close(self) -> None:
        """Finish the files and draw the timeline."""
        self._stack.close()
        if self._video:
            self._to_video(self._video.close)
        results = list(self._timeline)
        self._timeline.clear()
        if results:
            from memvit.results.timeline import draw_timeline

            path, title = self._path(".png"), self._summary.stream_id
            draw_timeline(results, self._labels, path, title=title, min_score=self._options.min_score)

    def _to_video(self, action: Callable[[], None]) -> None:
        """If the annotated video cannot be written, it ends early and the other files go on."""
        try:
            action()
        except MemvitError as error:
            self._video, self._summary.video_failure = None, str(error)

    def _path(self, suffix: str) -> Path:
        path = self._options.out / f"{self._summary.stream_id}{suffix}"
        self._summary.files.append(path)
        return path


def watch(
    locations: Sequence[str],
    engine: Engine,
    boxes: BoxSource | None,
    labels: Labels,
    options: WatchOptions,
    on_event: Callable[[StreamSummary, StreamEvent], None] = lambda summary, event: None,
    on_told: Callable[[Event], None] = lambda event: None,
) -> WatchSummary:
    """Watch all locations at once and write their results; a stream that fails stops no other.

    Ctrl-C or SIGTERM ends it after the clips at hand, with every file finished. `on_event` sees each stream's progress,
    `on_told` every event of the rules. MemvitError if the file of events cannot be written.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    summaries = {
        stream_id: StreamSummary(stream_id, redact(location))
        for stream_id, location in zip(unique_names(locations), locations, strict=True)
    }
    preview_width = options.annotate_width if options.annotate else None
    watcher = Watcher(
        engine,
        boxes,
        hop_seconds=options.hop_seconds,
        track_rate=options.track_rate,
        preview_width=preview_width,
        limits=options.limits,
    )
    files: dict[str, StreamFiles] = {}
    with ExitStack() as stack, stop_requested() as stopping:
        stack.callback(watcher.close)
        is_live = options.realtime or any(is_url(location) or is_camera(location) for location in locations)
        if is_live:
            watcher.warm_up()
        event_file, recorded = None, None
        if options.rules is not None:
            check_names(list(summaries))
            if options.record is not None:
                recorded = RecordedEvents(options.record, options.rules, options.hop_seconds, options.limits)
                stack.callback(recorded.close)
            tell = recorded.telling(on_told) if recorded is not None else on_told
            event_file = EventFile(
                options.out, options.rules, labels, options.hop_seconds, is_live=is_live, on_told=tell
            )
            stack.callback(event_file.close)
        for stream_id, location in zip(summaries, locations, strict=True):
            packets = recorded.recorder.add(stream_id) if recorded is not None else None
            threads = max(1, DECODER_THREADS // len(locations))
            reader = watcher.add(
                stream_id,
                location,
                policy=options.policy,
                connect=partial(open_location, location, options, threads, packets),
                retry_initial=is_retried_at_first(location),
                until_seconds=options.until_seconds,
                packets=packets,
            )
            summaries[stream_id].stats = reader.stats
        for event in watcher.events(stopping):
            shown: StreamEvent = event
            summary = summaries[shown.stream_id]
            if isinstance(shown, StreamOpened) and shown.stream_id not in files:
                summary.duration_seconds = shown.info.duration_seconds
                try:
                    files[shown.stream_id] = StreamFiles(summary, labels, options, is_live=shown.info.is_live)
                    stack.callback(files[shown.stream_id].close)
                except MemvitError as error:
                    watcher.remove(shown.stream_id)
                    shown = StreamFailed(shown.stream_id, str(error))
            elif isinstance(shown, ClipResult) and (failure := _write(shown, summary, files[shown.stream_id], options)):
                watcher.remove(shown.stream_id)
                shown = failure
            if isinstance(shown, StreamEnded | StreamFailed):
                shown = _finish(shown, summary, files.get(shown.stream_id))
            on_event(summary, shown)
            if event_file is not None:
                event_file.add(shown)
            if recorded is not None:
                recorded.add(shown)
        interrupted = stopping.is_set()
    path = event_file.path if event_file is not None else None
    summary_of = WatchSummary(tuple(summaries.values()), time.perf_counter() - began, interrupted, path)
    if recorded is None:
        return summary_of
    return replace(
        summary_of, recordings=recorded.count, record_folder=recorded.folder, record_failure=recorded.failure
    )


def open_location(location: str, options: WatchOptions, threads: int = 1, packets: PacketSink | None = None) -> Source:
    """Open a source as `watch` does; `packets` gets its packets."""
    open_again = partial(
        open_source,
        location,
        decoder_threads=threads,
        limits=options.limits,
        frames_per_second=options.frames_per_second,
        start_seconds=options.start_seconds,
        open_timeout_seconds=options.policy.open_timeout_seconds,
        read_timeout_seconds=options.policy.read_timeout_seconds,
        packets=packets,
    )
    source = open_again()
    return source if not options.realtime or source.info.is_live else RealtimeSource(source, open_again)


def _write(
    clip_result: ClipResult, summary: StreamSummary, files: StreamFiles, options: WatchOptions
) -> StreamFailed | None:
    """Write a result. If a file cannot be written, its stream has failed; the others go on."""
    try:
        files.write(clip_result.clip, clip_result.result)
    except MemvitError as error:
        return StreamFailed(summary.stream_id, str(error))
    summary.seen.add(clip_result.result)
    summary.clips += 1
    summary.watched_seconds += options.hop_seconds
    return None


def _finish(
    event: StreamEnded | StreamFailed, summary: StreamSummary, files: StreamFiles | None
) -> StreamEnded | StreamFailed:
    """Close the files of a stream and note how it ended. The event is replaced if the files could not be finished."""
    if files is not None:
        try:
            files.close()
        except OSError as error:
            event = StreamFailed(summary.stream_id, sentence_of(error, summary.files[-1]))
    if isinstance(event, StreamFailed):
        summary.failure = event.reason
    else:
        summary.note = str(event.counts)
    return event
