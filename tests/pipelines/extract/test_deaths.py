"""Which deaths count against a video: those of a process that worked on it while the job lived, never the job's own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from memvit.store import Archive
from pipelines.extract.apart import ProcessDied, in_own_process
from pipelines.extract.resume import MAX_ATTEMPTS, Planner, ResumePolicy
from pipelines.extract.tasks import ExtractOptions

from .archives import arguments, run, small_video

POISON = """
import memvit.video.sources.open as source, os, pipelines.extract.apart, sys
opened = source.open_source
def open_source(location, **more):
    if "POISON" in str(location) and (sys.argv[0] == "-c"):
        os.kill(os.getpid(), 9)
    return opened(location, **more)
source.open_source = open_source
"""


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for index, name in enumerate(("good", "poison")):
        small_video(folder / f"{name}.mp4", seed=index, seconds=4)
    return folder


def killed_jobs(archive: Archive, folder: Path, times: int) -> None:
    """What that many jobs leave that were killed soon after they had planned all videos."""
    for _ in range(times):
        planner = Planner(archive, [], ExtractOptions(), ResumePolicy())
        assert all(planner.plan(str(path)).tasks for path in sorted(folder.iterdir()))


def test_kills_of_the_whole_job_cost_no_video(videos: Path, tiny_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.zarr"
    words = arguments(tiny_file, out, videos)
    assert run(*words, "--commit", 1)[0] == 0
    archive = Archive.open(str(out))
    archive = Archive.create(str(out), archive.provenance)
    for state in list(archive.videos()):
        archive.forget(state.id)
    killed_jobs(archive, videos, 8)
    code, output = run(*words)
    assert code == 0 and "2 videos done, 0 failed" in output, output
    assert {state.attempts for state in archive.videos()} == {0}


def test_a_video_that_kills_whoever_reads_it_is_given_up(
    videos: Path, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Jobs died with it at hand, so it is opened in processes of their own; real ones, that really are killed."""
    out = tmp_path / "a.zarr"
    words = arguments(tiny_file, out, videos)
    (tmp_path / "sitecustomize.py").write_text(POISON.replace("POISON", "poison.mp4"))
    assert run(*arguments(tiny_file, out, videos / "good.mp4"))[0] == 0
    archive = Archive.create(str(out), Archive.open(str(out)).provenance)
    for state in list(archive.videos()):
        archive.forget(state.id)
    killed_jobs(archive, videos, 2)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, output = run(*words)
    assert code == 1 and "1 videos done, 1 failed" in output, output
    assert f"poison.mp4: what opened it died {MAX_ATTEMPTS} times (killed by SIGKILL)" in output, output


@pytest.mark.parametrize(
    ("make", "items", "raised"),
    [
        (partial(iter, [0, 1]), [0, 1], None),
        (partial(map, int, ["0", "broken"]), [0], ValueError),
        (partial(map, os._exit, [3]), [], ProcessDied),
    ],
)
def test_another_process_gives_its_items_and_its_end(
    make: Callable[[], Iterator[int]], items: list[int], raised: type[Exception] | None
) -> None:
    found: list[int] = []
    with pytest.raises(raised, match=r"exit code 3|broken") if raised else nullcontext():
        for item in in_own_process(make):
            found.append(item)
    assert found == items
