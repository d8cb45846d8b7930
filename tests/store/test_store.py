"""The archive: parts and commits, final arrays, what is refused, what a crash leaves behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

from memvit.engine.engine import Engine
from memvit.engine.snapshot import StreamSnapshot
from memvit.models import MODELS, create_model
from memvit.results.result import Result
from memvit.store import Archive, Provenance, Rows, SegmentWork, VideoState, fingerprint, rows_of
from memvit.store.documents import with_checksum
from memvit.store.errors import StoreError
from memvit.store.ids import video_id
from memvit.store.layout import damaged_arrays, write_video
from memvit.types import Clip, PersonBoxes
from tests.video.make import write_images

MADE_WITH = Provenance(
    "m", "abc", {"depth": 2}, {"hop_seconds": 1.0}, "full", "float32", "float32", True, 12, ("a", "b"), 1
)


def result(second: int, people: int) -> Result:
    """The result of a clip with `people` people; its random numbers depend on its second only."""
    random = np.random.default_rng(second)
    boxes = PersonBoxes(random.random((people, 4), np.float32), random.random(people, np.float32))
    scores, features = random.random((people, 2), np.float32), random.random(8, np.float32)
    box_features = random.random((people, 8), np.float32)
    times = float(second), second - 1.0, second + 1.0
    return Result("v", second, *times, boxes, scores, features=features, box_features=box_features)


def rows(first: int, count: int) -> Rows:
    results = [result(second, second % 4) for second in range(first, first + count)]
    return rows_of(results, list(range(first, first + count)), hop_seconds=1.0, stored_as=np.float32)


SNAPSHOT = StreamSnapshot(None, 5, (1.0, 2.0))


def test_committed_parts_are_read_back(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "w.zarr", mode="w")
    work = SegmentWork.open(group, "w")
    assert (work.clips, work.next_number, work.snapshot()) == (0, None, None)
    for first in (0, 4, 8):
        work.commit(rows(first, 4), replace(SNAPSHOT, next_index=first + 4), {})
    again = SegmentWork.open(zarr.open_group(tmp_path / "w.zarr"), "w")
    assert (again.clips, again.next_number, again.people) == (12, 12, sum(second % 4 for second in range(12)))
    found = again.snapshot()
    assert found is not None and found.next_index == 12
    joined = np.concatenate([part.people["boxes"] for part in again.rows()])
    assert np.array_equal(joined, rows(0, 12).people["boxes"])
    assert sorted(work.group.keys()) == ["memory-3", "part-0", "part-1", "part-2"], "older snapshots are gone"


@pytest.mark.parametrize("dies_in", ["part", "memory", "attributes"])
def test_only_a_complete_commit_counts(dies_in: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a commit is interrupted, the commit before it stays valid, and it can be made again."""
    work = SegmentWork.open(zarr.open_group(tmp_path / "w.zarr", mode="w"), "w")
    work.commit(rows(0, 4), SNAPSHOT, {})
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if dies_in == "attributes":
            patch.setattr(SegmentWork, "_write", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        else:
            save = SegmentWork._save

            def dying(self: SegmentWork, name: str, content: bytes) -> None:
                if name.startswith(dies_in):
                    save(self, name, content[: len(content) // 2])
                    raise KeyboardInterrupt
                save(self, name, content)

            patch.setattr(SegmentWork, "_save", dying)
        work.commit(rows(4, 4), SNAPSHOT, {})
    again = SegmentWork.open(zarr.open_group(tmp_path / "w.zarr"), "w")
    assert (again.clips, again.next_number) == (4, 4) and again.snapshot() is not None
    again.commit(rows(4, 4), SNAPSHOT, {})
    assert np.array_equal(list(again.rows())[1].clips["seconds"], [4, 5, 6, 7])


def test_final_arrays_do_not_depend_on_the_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards are filled across parts, so that the files are the same wherever a run was interrupted."""
    monkeypatch.setattr("memvit.store.layout.CHUNK_BYTES", 256)
    people = sum(second % 4 for second in range(1000))
    for name, size in {"one": 1000, "many": 7}.items():
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w")
        parts = [rows(first, min(size, 1000 - first)) for first in range(0, 1000, size)]
        digests = write_video(group, parts, 1000, people, ["a", "b"])
        assert damaged_arrays(group, digests, 1000, people, ["a", "b"]) == []
    files = [
        sorted(path for path in (tmp_path / f"{name}.zarr").rglob("*") if path.is_file()) for name in ("one", "many")
    ]
    assert len(files[0]) == len(files[1]) > 40
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(*files, strict=True))
    features = zarr.open_group(tmp_path / "many.zarr")["features"]
    assert isinstance(features, zarr.Array) and features.shards == (128, 8) and features.chunks == (8, 8)
    assert features.metadata.dimension_names == ("seconds", "channel")


def test_a_video_without_people_is_written(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "v.zarr", mode="w")
    results = [result(second, 0) for second in range(3)]
    part = rows_of(results, [1, 2, 3], hop_seconds=1.0, stored_as=np.float16)
    again = Rows.from_bytes(part.to_bytes())
    digests = write_video(group, [again], 3, 0, ["a", "b"])
    assert group["boxes"].shape == (0, 4) and group["features"].dtype == np.float16  # type: ignore[union-attr]
    assert damaged_arrays(group, digests, 3, 0, ["a", "b"]) == []


def test_values_beyond_float16_are_clipped() -> None:
    whole = replace(result(3, 1), features=np.array([1e6, -1e6, 0.1], np.float32))
    stored = rows_of([whole], [0], hop_seconds=1.0, stored_as=np.float16).clips["features"]
    assert np.array_equal(stored, np.array([[65504, -65504, 0.1]], np.float16))


def test_a_state_is_read_back(tmp_path: Path) -> None:
    video = tmp_path / "v.mp4"
    video.write_bytes(b"x" * 100_000)
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    state = VideoState(
        "v-1", str(video), "failed", "why", fingerprint(str(video)), 7.5, segments=((None, 4), (4, None))
    )
    archive.put(state)
    again = Archive.open(str(tmp_path / "a.zarr"))
    assert again.video("v-1") == state and again.video("v-2") is None
    assert list(again.videos()) == [state] and again.provenance == MADE_WITH


def test_incomplete_arrays_of_a_crash_are_replaced(tmp_path: Path) -> None:
    """Half an array, and a half-written file of attributes, are in the group of a video that is to be finalized."""
    archive, state = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH), VideoState("v-1", "v", "running")
    archive.put(state)
    folder = tmp_path / "a.zarr" / "videos" / "v-1"
    (folder / "zarr.0123.partial").write_text("{")
    (folder / "features" / "c").mkdir(parents=True)
    (folder / "features" / "c" / "0").write_bytes(b"half")
    part = rows(0, 5)
    digests = archive.finish(state, [part], len(part), part.num_people)
    assert damaged_arrays(archive.group("v-1"), digests, len(part), part.num_people, ["a", "b"]) == []
    assert sorted(path.name for path in folder.iterdir() if path.is_file()) == ["zarr.json"]


def test_unfinished_files_of_a_killed_process_are_removed(tmp_path: Path) -> None:
    """Zarr writes a file under a temporary name and renames it; killed in between, it leaves the temporary file."""
    out = tmp_path / "a.zarr"
    out.mkdir()
    (out / "zarr.0.partial").write_bytes(b"{")
    archive = Archive.create(str(out), MADE_WITH)
    archive.put(VideoState("v", "v.mp4", "running"))
    left = [out / "videos/zarr.1.partial", out / "videos/v/zarr.2.partial", out / "videos/v/scores/c/0.3.partial"]
    left[2].parent.mkdir(parents=True)
    for path in left:
        path.write_bytes(b"{")
    archive.put(VideoState("v", "v.mp4", "failed", "broken"))
    archive.tidy()
    assert not list(out.rglob("*.partial"))
    assert Archive.open(str(out)).video("v") == VideoState("v", "v.mp4", "failed", "broken")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("model", "other", "the model m, and this run uses other"),
        ("weights_sha256", "def", "other weights of the model m"),
        ("config", {"depth": 3}, r"another configuration of the model m \(depth 2, now 3\)"),
        ("sampling", {"hop_seconds": 2.0}, r"another sampling \(hop seconds 1.0, now 2.0\)"),
        ("boxes", "other", r"another boxes \(full, now other\)"),
        ("precision", "bfloat16", r"another precision \(float32, now bfloat16\)"),
        ("stored_as", "float16", r"another stored as \(float32, now float16\)"),
        ("remember", False, "the model m with memory, and this run is without memory"),
        ("classes", ("x",), "other names of the classes"),
    ],
)
def test_results_of_different_settings_do_not_mix(key: str, value: object, said: str, tmp_path: Path) -> None:
    Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    with pytest.raises(StoreError, match=f"it was made with {said}; name another --out") as caught:
        Archive.create(str(tmp_path / "a.zarr"), replace(MADE_WITH, **{key: value}))  # type: ignore[arg-type]
    assert "abc" not in str(caught.value).replace(str(tmp_path), "")


def test_an_archive_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    archive = Archive.create(str(tmp_path / "a.zarr"), MADE_WITH)
    content = {**archive.root.attrs["memvit"], "layout": 99}  # type: ignore[dict-item]
    archive.root.attrs["memvit"] = with_checksum(content)
    for opened in (lambda: Archive.open(archive.location), lambda: Archive.create(archive.location, MADE_WITH)):
        with pytest.raises(StoreError, match="newer version"):
            opened()


def test_video_ids_are_unique_and_free_of_credentials(tmp_path: Path) -> None:
    names = {video_id(str(tmp_path / place / "film one.mp4")) for place in ("a", "b")}
    assert len(names) == 2 and all(name.startswith("film_one-") for name in names)
    assert "secret" not in video_id("https://user:secret@host/film.mp4?token=secret")


def test_a_fingerprint_changes_with_the_content_only(tmp_path: Path) -> None:
    file = tmp_path / "v.mp4"
    file.write_bytes(bytes(range(256)) * 8000)
    before = fingerprint(str(file))
    file.touch()
    after = fingerprint(str(file))
    assert before is not None and after is not None and before.is_same(after)
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    changed = fingerprint(str(file))
    assert changed is not None and not changed.is_same(after) and fingerprint("rtsp://camera/1") is None
    folder = write_images(tmp_path / "frames", range(3))
    one = fingerprint(str(folder))
    write_images(folder, range(4))
    two = fingerprint(str(folder))
    assert one is not None and two is not None and not one.is_same(two)


def test_a_restored_snapshot_gives_identical_results() -> None:
    """After five clips, a snapshot moves to another engine as bytes; the sixth result is the same in every bit."""
    entry, random = MODELS["memvit_tiny_8x4"], np.random.default_rng(0)
    torch.manual_seed(0)
    model = create_model("memvit_tiny_8x4")
    box = PersonBoxes(np.array([[0.1, 0.2, 0.6, 0.9]], np.float32), np.ones(1, np.float32))
    clips = [
        Clip("s", index, float(index), index - 0.5, index + 0.5, random.integers(0, 255, (8, 64, 96, 3), np.uint8))
        for index in range(6)
    ]
    one = Engine(model, entry.preprocessing)
    for clip in clips[:5]:
        one.step([clip], [box])
    content = one.snapshot("s").to_bytes()
    other = Engine(model, entry.preprocessing)
    other.restore("s", StreamSnapshot.from_bytes(content))
    expected, found = one.step([clips[5]], [box])[0], other.step([clips[5]], [box])[0]
    assert np.array_equal(expected.scores, found.scores) and np.array_equal(expected.features, found.features)
    assert expected.memory_offsets_seconds == found.memory_offsets_seconds == (2.0, 4.0)
    with pytest.raises(ValueError, match="is running"):
        other.restore("s", StreamSnapshot.from_bytes(content))
    for broken in (content[:-10], content[:5], b"", b"x" * 100):
        with pytest.raises(ValueError, match="not a complete snapshot"):
            StreamSnapshot.from_bytes(broken)
