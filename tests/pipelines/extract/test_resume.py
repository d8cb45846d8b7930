"""The planner: what is left to do of a video, and what it says where a video cannot be opened."""

from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from memvit.models import model_entry
from memvit.store import Archive
from pipelines.extract.resume import Planner, ResumePolicy
from pipelines.extract.tasks import ExtractOptions
from tests.store.test_store import MADE_WITH

from .archives import small_video


def test_a_field_that_was_added_to_configurations_does_not_end_older_archives() -> None:
    """If this fails, a configuration has a new field: name it in ADDED_FIELDS, with a default that changes nothing."""
    config = model_entry("memvit_tiny_8x4").config
    first = (
        "frames crop embed_dim heads depth stage_starts patch_kernel patch_stride pool_kernel kv_stride pool_first "
        "cls_token dim_mul_in_attention rel_pos_temporal non_square mlp_ratio drop_path init_std memory head"
    )
    assert set(config.plain()) == set(first.split())
    assert replace(config, stage_norms=True).plain() == {**config.plain(), "stage_norms": True}


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
