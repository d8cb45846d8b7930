"""A part of the corpus of `tools/fuzz_videos.py`: no traceback, no hang, little memory, the same clips in both."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.fuzz_corpus import good_videos, mutated_videos
from tools.fuzz_oddities import odd_videos
from tools.fuzz_videos import COMMANDS, MAX_MEMORY_MIB, Outcome, different, table
from tools.fuzz_worker import Built, outcome, tiny_model

CONTAINERS = {"libx264": ("mp4", "ts"), "libvpx-vp9": ("webm",)}
ODD = {
    "mjpeg_16384x16.avi": "refused",
    "mjpeg_16x16384.avi": "refused",
    "grows_to_16384x16.mkv": "failed",
    "list_ffconcat.mp4": "refused",
    "fifo.mp4": "refused",
    "endless.mp4": "refused",
    "vp9_16000x16000.webm": "refused",
    "link.mp4": "done",
}
LIKE_OTHERS = ("mjpeg_16x16384.avi", "fifo.mp4", "vp9_16000x16000.webm", "link.mp4")
"""Nearly the same is tried by another file here, or by tests of sources."""


@pytest.fixture(scope="module")
def settings() -> Built:
    return tiny_model()


def seen(path: Path, settings: Built) -> list[Outcome]:
    return [Outcome(path.name, command, **outcome(path, command, settings)) for command in COMMANDS]


@pytest.mark.parametrize("count", [4, pytest.param(12, marks=pytest.mark.slow)])
def test_damaged_videos_give_sentences_and_the_same_clips(count: int, settings: Built, tmp_path: Path) -> None:
    good = good_videos(tmp_path / "good", CONTAINERS)
    paths = mutated_videos(tmp_path / "damaged", good, seed=1, count=count)
    found = [outcome for path in paths for outcome in seen(path, settings)]
    assert not any(outcome.is_bad for outcome in found) and not different(found), table(found)
    assert len({outcome.state for outcome in found}) > 1


@pytest.mark.parametrize(
    ("name", "state"),
    [pytest.param(*item, marks=pytest.mark.slow if item[0] in LIKE_OTHERS else ()) for item in ODD.items()],
)
def test_odd_files_give_a_sentence(settings: Built, tmp_path: Path, name: str, state: str) -> None:
    (path,) = odd_videos(tmp_path, only=name)
    found = seen(path, settings)
    assert not any(outcome.is_bad for outcome in found), table(found)
    assert max(outcome.memory_mib for outcome in found) < 300
    assert found[1].state == state and (state == "done" or found[1].about)
    assert not different(found), table(found)


def test_what_must_not_be_is_found() -> None:
    found = [
        Outcome("a.mp4", "watch", "done", clips=2),
        Outcome("a.mp4", "extract", "done", clips=3),
        Outcome("b.mp4", "watch", "refused", about="too large"),
        Outcome("b.mp4", "extract", "traceback", about="KeyError"),
        Outcome("c.mp4", "watch", "done", clips=2, memory_mib=MAX_MEMORY_MIB + 1),
        Outcome("c.mp4", "extract", "done", clips=2),
    ]
    assert [(outcome.file, outcome.command) for outcome in found if outcome.is_bad] == [
        ("b.mp4", "extract"),
        ("c.mp4", "watch"),
    ]
    assert set(different(found)) == {"a.mp4"}
    assert "KeyError" in table(found)
