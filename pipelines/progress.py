"""Progress of watching, for people: bars on a terminal, a line every 10 s elsewhere, and a report at the end."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from memvit.events.event import Event
from memvit.labels import Labels
from memvit.results.result import Result
from memvit.streams.events import SessionBegan, StreamLost, StreamStalled, StreamStats
from memvit.streams.group import StreamFailed, StreamOpened
from memvit.streams.watcher import ClipResult, StreamEvent
from pipelines.clock import clock
from pipelines.events import event_sentence
from pipelines.watch.run import StreamSummary, WatchSummary

LINE_EVERY_SECONDS = 10.0


def missed_note(stats: StreamStats | None) -> str:
    """How many clips are missing from a stream's results, as text; empty if none is."""
    if stats is None or not stats.missed_clips:
        return ""
    late = f", {stats.late_clips} of them dropped as late" if stats.late_clips else ""
    return f"clips missing: {stats.missed_clips}{late}"


def thinned_note(stats: StreamStats | None) -> str:
    """In how many frames people were not followed because the model did not keep up, as text; empty if in none."""
    return f"frames without detection: {stats.thinned_track_frames}" if stats and stats.thinned_track_frames else ""


def print_seen(summary: WatchSummary, labels: Labels, console: Console) -> None:
    """Print what was seen in each stream, one line for each person."""
    for stream in summary.streams:
        lines = stream.seen.lines(labels, console.width - 2)
        if lines:
            console.print(f"{stream.stream_id}:", markup=False, soft_wrap=True)
        for line in lines:
            console.print(f"  {line}", markup=False, soft_wrap=True)


class WatchProgress:
    """One bar for each stream: position in the video, clips per second, real-time factor."""

    def __init__(self, console: Console, hop_seconds: float) -> None:
        self._console, self._hop_seconds = console, hop_seconds
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.fields[position]}"),
            TextColumn("{task.fields[speed]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._began: dict[str, float] = {}
        self._last_line = time.monotonic()

    def __enter__(self) -> WatchProgress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()

    def update(self, stream: StreamSummary, event: StreamEvent) -> None:
        """Show what happened to a stream."""
        if isinstance(event, StreamOpened):
            if stream.stream_id in self._tasks:
                self._say(stream, "is back")
                return
            self._began[stream.stream_id] = time.monotonic()
            total = stream.duration_seconds
            self._tasks[stream.stream_id] = self._bars.add_task(
                escape(stream.stream_id), total=total, position=f"00:00 / {clock(total)}", speed=""
            )
        elif isinstance(event, StreamFailed):
            self._console.print(f"[bold red]failed:[/] {escape(event.reason)}", soft_wrap=True)
        elif isinstance(event, StreamLost):
            self._say(stream, f"lost: {event.reason}; next attempt in {event.retry_seconds:.0f} s")
        elif isinstance(event, StreamStalled):
            self._say(stream, f"nothing has come for {event.silent_seconds:.0f} s")
        elif isinstance(event, SessionBegan):
            self._say(stream, f"memory starts empty: {event.reason}")
        elif isinstance(event, ClipResult):
            self._show(stream, event.result)

    def tell(self, event: Event) -> None:
        """Say that an event has begun, or what it was."""
        if event.state != "update":
            self._console.print(event_sentence(event), markup=False, soft_wrap=True)

    def _say(self, stream: StreamSummary, text: str) -> None:
        self._console.print(f"[bold]{escape(stream.stream_id)}[/] {escape(text)}", soft_wrap=True)

    def _show(self, stream: StreamSummary, result: Result) -> None:
        rate = stream.clips / max(time.monotonic() - self._began[stream.stream_id], 1e-9)
        position = f"{clock(result.centre_seconds)} / {clock(stream.duration_seconds)}"
        speed = f"{rate:.2f} clips/s, {rate * self._hop_seconds:.2f}× real time"
        done = min(stream.watched_seconds, stream.duration_seconds or stream.watched_seconds)
        self._bars.update(self._tasks[stream.stream_id], completed=done, position=position, speed=speed)
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(f"{stream.stream_id}: {position}, {speed}", markup=False)

    def report(self, summary: WatchSummary) -> None:
        """Print what was watched, how fast, and where the results are."""
        for stream in summary.streams:
            if stream.clips:
                notes = [stream.note, missed_note(stream.stats), thinned_note(stream.stats)]
                note = f" ({', '.join(filter(None, notes))})" if any(notes) else ""
                self._console.print(f"{stream.stream_id}: {stream.clips} clips{note}", markup=False)
            if stream.video_failure:
                self._console.print(f"[bold red]failed:[/] {escape(stream.video_failure)}", soft_wrap=True)
            for path in stream.files:
                self._console.print(f"  {path}", markup=False, soft_wrap=True)
        if summary.events is not None:
            self._console.print(f"events: {summary.events}", markup=False, soft_wrap=True)
        if summary.recordings:
            recordings = f"recordings: {summary.recordings} in {summary.record_folder}"
            self._console.print(recordings, markup=False, soft_wrap=True)
        if summary.record_failure is not None:
            self._console.print(f"[bold red]failed:[/] {escape(summary.record_failure)}", soft_wrap=True)
        state = "stopped" if summary.interrupted else "done"
        self._console.print(
            f"{state} in {summary.wall_seconds:.1f} s, {summary.real_time_factor:.2f}× real time"
            + (f", {len(summary.failed)} of {len(summary.streams)} sources failed" if summary.failed else "")
        )
