"""Shows the progress of an extraction: a bar on a terminal, otherwise a line at intervals, and a report at the end."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from memvit.store import VideoState
from pipelines.clock import clock
from pipelines.progress import LINE_EVERY_SECONDS

from .job import JobSummary

SHOWN_FAILURES = 20
"""The report lists at most so many failed videos."""
LONG_SECONDS = 120.0
"""The report lists failures only after a longer run; otherwise they are still visible on the screen."""
LABEL = "extracting"
WIDEST_BAR = 30
"""Largest width of the bar, in characters."""


class ExtractProgress:
    """Shows completed videos, hours of video per hour, remaining time and failures."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._drawn = BarColumn(bar_width=WIDEST_BAR)
        self._bar = Progress(
            TextColumn(LABEL, table_column=Column(no_wrap=True, min_width=len(LABEL))),
            self._drawn,
            TextColumn("{task.fields[text]}", table_column=Column(no_wrap=True)),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, text="opening …")
        self._last_line = time.monotonic()
        self._lengths: list[float] = []

    def __enter__(self) -> ExtractProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def update(self, summary: JobSummary, completed: VideoState | None) -> None:
        """Show the progress of the job, and a video that was just completed."""
        if completed is not None and completed.state == "failed":
            self._console.print(f"[bold red]failed:[/] {escape(completed.reason)}", soft_wrap=True)
        if completed is not None and completed.state == "done" and completed.note:
            self._console.print(f"{escape(completed.id)}: {escape(completed.note)}", soft_wrap=True)
        if completed is not None and completed.duration_seconds:
            self._lengths.append(completed.duration_seconds)
        text = self.text(summary)
        # The bar gets what the text leaves of the line, so that the text is never cut.
        self._drawn.bar_width = max(1, min(WIDEST_BAR, self._console.width - len(LABEL) - len(text) - 2))
        self._bar.update(self._task, total=summary.videos, completed=summary.completed, text=text)
        if not self._console.is_terminal and time.monotonic() - self._last_line > LINE_EVERY_SECONDS:
            self._last_line = time.monotonic()
            self._console.print(text, markup=False)

    def text(self, summary: JobSummary) -> str:
        """Return one line: completed videos, hours of video per hour, remaining time."""
        rate = summary.video_seconds / max(summary.wall_seconds, 1e-9)
        failed = f", {len(summary.failed)} failed" if summary.failed else ""
        return (
            f"{summary.completed}/{summary.videos} videos{failed}, {clock(summary.video_seconds)} at {rate:.1f}×, "
            f"{self._time_left(summary, rate)}"
        )

    def _time_left(self, summary: JobSummary, rate: float) -> str:
        """Estimate the remaining time from the mean length of the videos that were completed so far."""
        left = summary.videos - summary.completed
        if not self._lengths or rate <= 0:
            return "time left unknown"
        mean = sum(self._lengths) / len(self._lengths)
        of_open_videos = summary.video_seconds - sum(state.duration_seconds or 0 for state in summary.done.values())
        return f"{clock(max(0.0, left * mean - max(0.0, of_open_videos)) / rate)} left"

    def report(self, summary: JobSummary, out: str) -> None:
        """Print what was done, what failed, and where the archive is."""
        if summary.wall_seconds > LONG_SECONDS:
            for state in list(summary.failed.values())[:SHOWN_FAILURES]:
                self._console.print(f"failed: {state.reason}", markup=False, soft_wrap=True)
            if len(summary.failed) > SHOWN_FAILURES:
                self._console.print(
                    f"… and {len(summary.failed) - SHOWN_FAILURES} more; `memvit info {out}` lists them"
                )
        rate = summary.video_seconds / max(summary.wall_seconds, 1e-9)
        before = f", {summary.already_done} were done before" if summary.already_done else ""
        lost = f", workers died {summary.lost} times" if summary.lost else ""
        verb = "stopped" if summary.interrupted else "finished"
        self._console.print(
            f"{verb} after {clock(summary.wall_seconds)}: {len(summary.done)} videos done{before}, "
            f"{len(summary.failed)} failed{lost}; {clock(summary.video_seconds)} of video, {rate:.2f} hours an hour "
            f"(model busy {100 * summary.timings.busy:.0f} %) → {out}",
            markup=False,
            soft_wrap=True,
        )
