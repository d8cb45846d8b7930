"""Deaths that count against a video: those of a process that read it while the job was alive, not those of the job."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from memvit.store import Archive, Provenance
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


@pytest.fixture(scope="module")
def made_with(videos: Path, tiny_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Provenance:
    """The provenance of archives that the command in these tests writes."""
    out = tmp_path_factory.mktemp("out") / "a.zarr"
    assert run(*arguments(tiny_file, out, videos / "good.mp4"))[0] == 0
    return Archive.open(str(out)).provenance


def plan_in_killed_jobs(archive: Archive, folder: Path, times: int) -> None:
    """Leave the archive as after so many jobs that were killed soon after they had planned all videos."""
    for _ in range(times):
        planner = Planner(archive, [], ExtractOptions(), ResumePolicy())
        assert all(planner.plan(str(path)).tasks for path in sorted(folder.iterdir()))


def test_deaths_of_the_whole_job_never_make_a_video_fail(
    videos: Path, made_with: Provenance, tiny_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a.zarr"
    archive = Archive.create(str(out), made_with)
    plan_in_killed_jobs(archive, videos, 8)
    code, output = run(*arguments(tiny_file, out, videos))
    assert code == 0 and "2 videos done, 0 failed" in output, output
    assert {state.attempts for state in archive.videos()} == {0}


def test_a_video_that_kills_every_process_that_opens_it_fails(
    videos: Path, made_with: Provenance, tiny_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two jobs died while it was open, so it is opened in processes of its own, which SIGKILL really kills."""
    out = tmp_path / "a.zarr"
    (tmp_path / "sitecustomize.py").write_text(POISON.replace("POISON", "poison.mp4"))
    archive = Archive.create(str(out), made_with)
    plan_in_killed_jobs(archive, videos, 2)
    monkeypatch.syspath_prepend(str(tmp_path))
    code, output = run(*arguments(tiny_file, out, videos))
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
def test_another_process_passes_on_its_items_and_its_exception(
    make: Callable[[], Iterator[int]], items: list[int], raised: type[Exception] | None
) -> None:
    found: list[int] = []
    with pytest.raises(raised, match=r"exit code 3|broken") if raised else nullcontext():
        for item in in_own_process(make):
            found.append(item)
    assert found == items
