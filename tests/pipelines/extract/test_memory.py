"""What an extraction keeps in memory is bounded, however long a video, however crowded, however slow the store."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from memvit.results.result import Result
from memvit.store import Archive, Rows, VideoState
from memvit.types import Clip, PersonBoxes
from memvit.video.clips.ranges import NumberedClip
from pipelines.extract import job as jobs
from pipelines.extract.finalizer import Finalizer
from pipelines.extract.job import Job, JobSummary
from pipelines.extract.progress import ExtractProgress
from pipelines.extract.resume import ResumePolicy, VideoPlan
from pipelines.extract.segment import MAX_UNCOMMITTED_BYTES, SegmentRun, bytes_of
from pipelines.extract.tasks import ExtractOptions, ExtractTask, SegmentDone, TaskEvent, Timings
from tests.store.test_store import MADE_WITH, SNAPSHOT, rows


def test_results_of_a_long_crowded_video_are_committed_before_they_fill_memory(tmp_path: Path) -> None:
    """The video has 5,000 clips with 200 people each, and a commit is due only after a million clips."""
    committed: list[int] = []
    work: Any = SimpleNamespace(
        parts=[], warm_up={}, next_number=None, snapshot=lambda: None,
        commit=lambda found, snapshot, warm_up: committed.append(found),
    )  # fmt: skip
    engine: Any = SimpleNamespace(forget=lambda key: None, snapshot=lambda key: SNAPSHOT, reach_clips=0)
    run = SegmentRun(
        ExtractTask("v", "v.mp4", 0, None, None), work, engine, ExtractOptions(commit_clips=1_000_000), np.float32
    )
    run._rows = lambda: len(run._results)  # type: ignore[assignment,method-assign,return-value]
    run.prepare()
    people = PersonBoxes(np.zeros((200, 4), np.float32), np.zeros(200, np.float32))
    scores, of_boxes = np.zeros((200, 80), np.float32), np.zeros((200, 96), np.float32)
    clip = Clip("v", 0, 0.0, 0.0, 0.0, np.zeros((8, 12, 16, 3), np.uint8))
    highest = 0
    for second in range(5000):
        run._pending = NumberedClip(clip, second, 0, begins_video=False, begins_session=False)
        result = Result("v", second, 0.0, 0.0, 0.0, people, scores, features=scores[0], box_features=of_boxes)
        run.take(result)
        highest = max(highest, run.uncommitted_bytes)
    assert highest < MAX_UNCOMMITTED_BYTES and 5000 * bytes_of(result) > 10 * MAX_UNCOMMITTED_BYTES
    assert sum(committed) + len(run._results) == 5000 and len(committed) > 10  # type: ignore[arg-type]


class EagerPool:
    """A pool that ends every segment immediately, with its rows in memory."""

    def __init__(self) -> None:
        self._tasks: list[ExtractTask] = []

    def free(self) -> int:
        return 2 - len(self._tasks)

    def begin(self, task: ExtractTask) -> None:
        self._tasks.append(task)

    def drop(self, key: str) -> None:
        pass

    def events(self, seconds: float) -> list[TaskEvent]:
        done, self._tasks = self._tasks, []
        return [SegmentDone(task.key, "", rows(0, 2)) for task in done]

    def timings(self) -> Timings:
        return Timings()

    def close(self) -> None:
        pass


def test_a_slow_store_holds_the_workers_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows of 200 short videos wait in memory for a store that is slow."""
    waiting: list[int] = []
    put = Finalizer.put

    def counted(self: Finalizer, state: VideoState, found: Rows | None = None) -> None:
        put(self, state, found)
        waiting.append(self.pending)

    gate = threading.Semaphore(0)

    def slow(archive: Archive, state: VideoState, found: Rows | None = None) -> VideoState:
        gate.acquire(timeout=0.001)
        return VideoState(state.id, state.location, "done")

    monkeypatch.setattr(Finalizer, "put", counted)
    monkeypatch.setattr("pipelines.extract.finalizer.finalize_video", slow)
    monkeypatch.setattr(
        "pipelines.extract.resume.Planner.plan",
        lambda self, name: VideoPlan(VideoState(name, name, "running"), name, [ExtractTask(name, name, 0, None, None)]),
    )
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    names = [f"v{index}" for index in range(200)]
    summary = Job(archive, names, ExtractOptions(), EagerPool(), ResumePolicy()).run(threading.Event())
    assert len(summary.done) == 200
    assert max(waiting) <= jobs.MAX_PENDING + 2


@pytest.mark.parametrize("count", [7, 40_000])
def test_progress_fits_a_terminal_of_80_columns(count: int) -> None:
    console = Console(width=80, force_terminal=True, color_system=None, file=io.StringIO())
    progress = ExtractProgress(console)
    summary = JobSummary(videos=count, already_done=count // 2, video_seconds=7384.0, wall_seconds=95.0)
    summary.failed |= {str(index): VideoState(str(index), "v.mp4", "failed") for index in range(12)}
    progress.update(summary, VideoState("v", "v.mp4", "done", duration_seconds=600.0))
    with console.capture() as captured:
        console.print(progress._bar.get_renderable())
    (line,) = captured.get().splitlines()
    assert line.startswith("extracting ") and line.rstrip().endswith(" left") and len(line.rstrip()) <= 80, line
