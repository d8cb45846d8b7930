"""Ids of videos: none leads out of the archive, whatever is done with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from memvit.store import Archive, VideoState
from memvit.store.errors import StoreError
from memvit.store.named import named_videos
from tests.store.test_find import create, drawn, write
from tests.store.test_store import MADE_WITH


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Archive, Archive]:
    """An archive, and another one beside it with a video `theirs`."""
    folder = tmp_path_factory.mktemp("ids")
    other = Archive.create(str(folder / "other.zarr"), MADE_WITH)
    write(other, "theirs", drawn(0, "people"))
    return create(str(folder / "a.zarr"), "clips"), other


ESCAPES = [
    "../../other.zarr/videos/theirs",
    "v-0/../../../other.zarr/videos/theirs",
    "v-0/../v-1",
    "..",
    ".",
    "",
    "/",
    "v-0/seconds",
    "v-0/",
    "..\\..\\other.zarr",
    "v-0\x00",
    "zarr.json",
    "v-0.partial",
]
ACTIONS: list[Callable[[Archive, str], object]] = [
    lambda archive, name: archive.group(name),
    lambda archive, name: archive.array(name, "seconds"),
    lambda archive, name: archive.persons(name),
    lambda archive, name: archive.redo(name),
    lambda archive, name: archive.put(VideoState(name, "x.mp4", "running")),
    lambda archive, name: archive.work(name, 0),
    lambda archive, name: archive.drop_work(name),
    lambda archive, name: archive.forget(name),
    lambda archive, name: archive.half_removed(name),
    lambda archive, name: archive.object_bytes(name),
    lambda archive, name: archive.finish(VideoState(name, "x.mp4", "running"), [drawn(0, "clips")], 40, 0),
]


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ESCAPES)
def test_no_id_leads_out_of_the_archive(name: str, archives: tuple[Archive, Archive]) -> None:
    archive, _ = archives
    before = files_of(Path(archive.location).parent)
    assert archive.video(name) is None and named_videos(archive, [name]) == {}
    for act in ACTIONS:
        with pytest.raises(StoreError, match="is not the id of a video"):
            act(archive, name)
    assert files_of(Path(archive.location).parent) == before


def test_a_stray_folder_is_no_video(archives: tuple[Archive, Archive]) -> None:
    archive, _ = archives
    before = archive.video_ids()
    (Path(archive.location) / "videos/v-9.partial").mkdir()
    assert archive.video_ids() == before != []
