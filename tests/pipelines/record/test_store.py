"""The folder of recordings: what is found, and what is deleted to make room or after a power cut."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from memvit.types import MemvitError
from pipelines.record.recording import Recording
from pipelines.record.store import RecordingStore, file_of, files_of

DAY = 86400.0


def put(store: RecordingStore, number: int, *, age_days: float = 0.0, size: int = 1000) -> Recording:
    """A recording with its files."""
    made = Recording(f"{number:016x}", "cam", time.time() - age_days * DAY, size, 10, 5.0, 12.0)
    video, picture = files_of(store.folder, made)
    video.parent.mkdir(exist_ok=True)
    video.write_bytes(bytes(size))
    picture.write_bytes(bytes(10))
    store.add(made)
    return made


def numbers(store: RecordingStore) -> list[int]:
    return [number for number in range(20) if store.file(f"{number:016x}", "video") is not None]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.rglob("*.*") if path.suffix in (".mp4", ".jpg")}


def test_the_oldest_go_first_when_there_is_no_room(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path, days=100, gigabytes=3.5e-6)
    for number in range(5):
        put(store, number, age_days=5 - number)
    assert numbers(store) == [2, 3, 4] and store.usage() == (3, 3030)
    assert len(files(tmp_path)) == 6 and len(list(tmp_path.glob("????-??-??"))) == 3
    store.change_limits(days=1.5, gigabytes=1)
    assert numbers(store) == [4]
    store.change_limits(days=1.5, gigabytes=0)
    assert numbers(store) == [] and not list(tmp_path.glob("????-??-??"))


def test_limits_and_recordings_survive_a_restart(tmp_path: Path) -> None:
    first = RecordingStore(tmp_path, days=100, gigabytes=1)
    made = [put(first, number, age_days=number) for number in range(4)]
    again = RecordingStore(tmp_path, days=2.5, gigabytes=1)  # the first one was killed
    assert numbers(again) == [0, 1, 2] and again.find([made[1].event_id]) == {made[1].event_id: made[1]}
    assert made[1].to_record() == {"video": True, "picture": True, "before_seconds": 5.0, "seconds": 12.0}
    first.close()
    again.close()


def test_what_a_power_cut_leaves_is_deleted(tmp_path: Path) -> None:
    first = RecordingStore(tmp_path, days=100, gigabytes=1)
    for number in range(3):
        put(first, number)
    first.close()
    file_of(tmp_path, f"{1:016x}", time.time(), "video").unlink()  # an entry without its file
    file_of(tmp_path, f"{9:016x}", time.time(), "video").write_bytes(b"a file without an entry")
    (tmp_path / "holiday.mp4").write_bytes(b"not ours")
    again = RecordingStore(tmp_path, days=100, gigabytes=1)
    assert numbers(again) == [0, 2] and again.usage()[0] == 2
    assert files(tmp_path) == {"holiday.mp4"} | {f"{number:016x}.{end}" for number in (0, 2) for end in ("mp4", "jpg")}
    again.close()


def test_names_that_are_no_ids_lead_nowhere(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path, days=1, gigabytes=1)
    for name in ("../recordings", "0" * 15, "g" * 16, f"{1:016X}".replace("1", "A"), ""):
        assert store.file(name, "video") is None
        with pytest.raises(ValueError, match="no id of an event"):
            file_of(tmp_path, name, 0.0, "video")
    store.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(MemvitError, match="recordings cannot be kept there"):
        RecordingStore(tmp_path / "file", days=1, gigabytes=1)
