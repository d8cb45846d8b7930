"""The planner: what is left to do of a video, and what it says where a video cannot be opened."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from memvit.store import Archive
from pipelines.extract.resume import Planner, ResumePolicy
from pipelines.extract.tasks import ExtractOptions
from tests.store.test_store import MADE_WITH

from .archives import small_video


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "permission denied; name another place, or change its permissions"),
        (errno.ENOENT, "there is no such file or folder; check the path"),
    ],
)
def test_an_error_of_the_system_becomes_the_reason_of_the_failure(
    number: int, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The video is removed, or loses its permissions, between the moment it is opened and that it is fingerprinted."""
    video = small_video(tmp_path / "v.mp4", seconds=1)

    def refuse(location: str) -> None:
        raise OSError(number, "raw words of the system", location)

    monkeypatch.setattr("pipelines.extract.resume.fingerprint", refuse)
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    plan = Planner(archive, [], ExtractOptions(), ResumePolicy()).plan(str(video))
    assert plan.tasks == [] and plan.state.reason == f"{video}: {sentence}"
    assert archive.video(plan.state.id) == plan.state and plan.state.state == "failed"
