"""`memvit info` of an archive: what is going on now, and no more words than a person wants."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.store import Archive, VideoState, writer_lock
from memvit.store.documents import with_checksum
from memvit.types import MemvitError
from pipelines.cluster import Cluster
from pipelines.info import describe_path, info_text
from tests.store.test_store import MADE_WITH

CHECKPOINT = "memvit/data/models/memvit_tiny_long_cue.safetensors"


def test_state_of_a_begun_video_depends_on_a_job(tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    Archive.create(path, MADE_WITH).put(VideoState("v-1", "v.mp4", "running", clips=3))
    text = info_text(describe_path(path))
    assert "unfinished 1 videos; nothing runs now" in text and "running" not in text
    with writer_lock(path):
        content = describe_path(path)
        text = info_text(content)
    assert "running    1 videos" in text and content["videos"][0]["state"] == "running" and "unfinished" not in text


@pytest.mark.parametrize(
    ("layout", "said"), [(2, "7 rows of people, 3 persons"), (1, "7 rows of people without numbers (from an earlier")]
)
def test_info_says_how_many_people_have_numbers(layout: int, said: str, tmp_path: Path) -> None:
    path = str(tmp_path / "a.zarr")
    archive = Archive.create(path, MADE_WITH)
    persons = 3 if layout == 2 else None
    archive.put(VideoState("v-1", "v.mp4", "done", clips=3, people=7, persons=persons, duration_seconds=3.0))
    archive.root.attrs["memvit"] = with_checksum({**archive.root.attrs["memvit"], "layout": layout})  # type: ignore[dict-item]
    content = describe_path(path)
    assert said in info_text(content)
    assert content["persons_numbered"] == (layout == 2) and content["videos"][0]["persons"] == persons


def test_info_names_a_stored_recipe_without_printing_it() -> None:
    text = info_text(describe_path(str(Path(__file__).parents[2] / CHECKPOINT)))
    assert "recipe: see --json" in text and max(map(len, text.splitlines())) < 160


def test_ray_that_does_not_start_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(**options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ray.init", fails)
    with pytest.raises(MemvitError, match=r"several workers need Ray, which does not start here .*No space left"):
        Cluster.join(None)
