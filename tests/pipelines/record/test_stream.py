"""Videos and pictures of events: what they show, over reconnections, restarts and long events."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image as Picture

from memvit.types import Image
from memvit.video.sources.open import open_source
from pipelines.record.segment import RECORD, read_segment
from tests.pipelines.record.made import RATE, Recorded, feed, images, told
from tests.video import make

CODECS: dict[str, dict[str, str]] = {
    "mp4": {"codec": "libx264", "bf": "2", "g": "10"},
    "ts": {"codec": "libx264", "bf": "2", "g": "10"},
    "webm": {"codec": "libvpx-vp9", "g": "10", "cpu-used": "8", "deadline": "realtime"},
}


def frames_of(path: Path) -> list[tuple[float, Image]]:
    with open_source(path) as source:
        return [(frame.pts_seconds, frame.rgb()) for frame in source]


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Six seconds, a key frame a second."""
    folder = tmp_path_factory.mktemp("films")
    return {
        suffix: make.write(folder / f"film.{suffix}", images(6), rate=RATE, **options)  # type: ignore[arg-type]
        for suffix, options in CODECS.items()
    }


@pytest.mark.parametrize("suffix", CODECS)
def test_a_video_has_the_frames_of_the_stream_from_a_key_frame_on(
    suffix: str, films: dict[str, Path], tmp_path: Path
) -> None:
    recorded = Recorded(tmp_path)
    shown = feed(recorded.ring, films[suffix], offset_seconds=100.0)
    recorded.tell(told(102.5, 103.0))
    recorded.tell(told(102.5, 103.4, "end", peak=102.9))
    (news,) = recorded.news
    found = frames_of(recorded.file())
    # A key frame comes at 101.0; frames that the decoder needs may follow the last second.
    expected = [(seconds - 101.0, image) for seconds, image in shown if seconds + 1e-6 >= 101.0 and seconds < 104.45]
    assert len(expected) <= len(found) <= len(expected) + 2
    for (at, image), (wanted, same) in zip(found, expected, strict=False):
        assert at == pytest.approx(wanted, abs=0.002) and np.array_equal(image, same)
    assert news.before_seconds == pytest.approx(1.5, abs=0.002)
    assert news.seconds == pytest.approx(len(found) / RATE, abs=0.002)
    content = recorded.file().read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # a browser can show it before it has all of it
    with av.open(str(recorded.file())) as container:
        assert container.start_time == 0
        about = json.loads(container.metadata["comment"])
    assert about["event"]["id"] == news.event_id and about["event"]["action"] == "hand wave"
    assert news.video_bytes == len(content) and recorded.unfinished == []


def test_the_picture_shows_the_best_moment_with_the_box(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    shown = feed(recorded.ring, films["mp4"])
    recorded.tell(told(2.0, 3.0, "end", peak=2.72))
    with Picture.open(recorded.file(suffix=".jpg")) as picture:
        drawn = np.asarray(picture.convert("RGB")).astype(int)
        assert json.loads(picture.info["comment"])["recording"]["stream_id"] == "cam"
    errors = [np.abs(drawn[44:, :20] - image[44:, :20]).mean() for _, image in shown]  # outside box and label
    assert shown[int(np.argmin(errors))][0] == pytest.approx(2.7)
    side = drawn[47, 30:66]  # the lower side of the box, which has one colour
    assert np.ptp(side, axis=0).max() < 90 < np.ptp(drawn[52, 30:66], axis=0).max()


def test_a_turned_video_stays_turned(tmp_path: Path) -> None:
    path = make.write(tmp_path / "film.mp4", images(3), rate=RATE, display_rotation=(90.0, False, False), g="10")
    recorded = Recorded(tmp_path / "out")
    shown = feed(recorded.ring, path)
    recorded.tell(told(1.0, 1.5, "end"))
    found = frames_of(recorded.file())
    assert found[0][1].shape == shown[0][1].shape == (96, 64, 3) and np.array_equal(found[0][1], shown[0][1])
    with Picture.open(recorded.file(suffix=".jpg")) as picture:
        assert picture.size == (64, 96)


def test_what_browsers_do_not_play_has_a_picture_only(tmp_path: Path) -> None:
    path = make.write(tmp_path / "film.mkv", images(3), codec="mjpeg", pixel_format="yuvj420p", rate=RATE)
    recorded = Recorded(tmp_path / "out")
    feed(recorded.ring, path)
    recorded.tell(told(1.0, 1.5, "end"))
    (news,) = recorded.news
    assert (news.video_bytes, news.seconds) == (0, 0.0) and news.picture_bytes > 0
    assert not list(recorded.options.folder.rglob("*.mp4"))


def test_without_packets_the_picture_is_what_the_model_saw(tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    recorded.tell(told(1.0, 1.5), np.full((48, 64, 3), 90, np.uint8))
    recorded.tell(told(1.0, 1.5, "end"))
    assert recorded.news == []  # packets may still come
    recorded.over()
    assert recorded.news[0].picture_bytes > 0 and recorded.news[0].video_bytes == 0


def test_events_overlap_and_an_earlier_one_may_be_told_later(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(4.0, 4.2, number=1))
    recorded.tell(told(1.2, 4.2, number=2))  # it had to be long enough first
    assert len(recorded.unfinished) >= 4  # two events, and the packets of both once
    recorded.tell(told(1.2, 4.4, "end", number=2))
    recorded.tell(told(4.0, 4.4, "end", number=1))
    later, earlier = sorted(recorded.news, key=lambda one: one.event_id)
    assert (later.before_seconds, earlier.before_seconds) == pytest.approx((1.0, 1.2), abs=0.002)
    assert (later.seconds, earlier.seconds) == pytest.approx((2.5, 5.5), abs=0.15)
    assert recorded.unfinished == [] and len(frames_of(recorded.file(2))) >= 54


def test_what_was_deleted_is_written_again_for_an_event_that_began_earlier(
    films: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.record.stream.SEGMENT_SECONDS", 1.0)
    recorded = Recorded(tmp_path)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(1.0, 1.2, number=1))
    recorded.tell(told(4.5, 4.6, number=2))
    recorded.tell(told(1.0, 1.2, "end", number=1))
    assert len(recorded.news) == 1  # and the packets of its time are deleted
    recorded.tell(told(2.5, 4.6, number=3))
    recorded.tell(told(2.5, 4.6, "end", number=3))
    assert recorded.news[1].before_seconds == pytest.approx(1.5, abs=0.002)
    times = [at for at, _ in frames_of(recorded.file(3))]
    assert np.allclose(np.diff(times), 1 / RATE, atol=0.002) and times[-1] >= 4.59


def test_a_long_event_is_recorded_up_to_the_limit(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path, max_seconds=3.0)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(1.0, 5.0))
    (news,) = recorded.news
    assert news.seconds == pytest.approx(3.0, abs=0.25) and recorded.unfinished == []
    recorded.tell(told(1.0, 5.5, "update"))
    recorded.tell(told(1.0, 5.5, "end"))
    assert len(recorded.news) == 1


def test_a_gap_keeps_its_length_and_other_parameters_are_left_out(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(4.0, 5.0))
    feed(recorded.ring, films["mp4"], offset_seconds=10.0)  # the connection was lost for four seconds
    recorded.tell(told(4.0, 12.0, "end"))
    times = [at for at, _ in frames_of(recorded.file())]
    assert np.diff(times).max() == pytest.approx(4.1, abs=0.01) and np.diff(times).min() > 0.05
    assert times[-1] == pytest.approx(10.0, abs=0.25)

    other = Recorded(tmp_path / "other")
    feed(other.ring, films["mp4"])
    other.tell(told(4.0, 5.0))
    feed(other.ring, make.write(tmp_path / "larger.mp4", images(2, 128, 96), rate=RATE), offset_seconds=6.0)
    other.tell(told(4.0, 6.5, "end"))
    assert {image.shape for _, image in frames_of(other.file())} == {(64, 96, 3)}
    assert other.news[0].seconds == pytest.approx(3.0, abs=0.01)


def test_an_event_goes_on_after_a_kill_in_the_middle(films: dict[str, Path], tmp_path: Path) -> None:
    """The second run reads a part of the file again; what the first had written last was cut off."""
    first = Recorded(tmp_path)
    half = make.write(tmp_path / "half.ts", images(6)[:35], rate=RATE, **CODECS["ts"])  # type: ignore[arg-type]
    feed(first.ring, half)
    first.tell(told(2.0, 3.0))
    (segment,) = (tmp_path / "unfinished" / "cam").glob("*.packets")
    segment.write_bytes(segment.read_bytes()[:-100])
    second = Recorded(tmp_path)
    second.stream.adopt([told(2.0, 3.0).id], second.news.append)
    assert second.news == []
    shown = feed(second.ring, films["ts"])
    second.ring._packets = type(second.ring._packets)(p for p in second.ring._packets if (p.seconds or 0) > 2.95)
    second.tell(told(2.0, 4.0, "end"))
    found = frames_of(second.file())
    times = np.array([at for at, _ in found])
    assert second.news[0].before_seconds == pytest.approx(1.0, abs=0.002)
    assert np.allclose(np.diff(times), 1 / RATE, atol=0.002) and times[-1] >= 3.99
    assert np.array_equal(found[-1][1], shown[10 + len(found) - 1][1]) and second.unfinished == []


def test_an_event_that_does_not_go_on_is_finished_at_the_next_start(films: dict[str, Path], tmp_path: Path) -> None:
    first = Recorded(tmp_path)
    feed(first.ring, films["mp4"])
    first.tell(told(2.0, 3.0))
    second = Recorded(tmp_path)
    second.stream.adopt([], second.news.append)
    assert second.news[0].seconds > 3 and second.unfinished == [] and len(frames_of(second.file())) > 30
    # After a restart from an older state it is told once more, and the video is there already.
    before = second.file().read_bytes()
    second.tell(told(2.0, 3.0, "update"))
    second.tell(told(2.0, 3.0, "end"))
    assert second.file().read_bytes() == before and len(second.news) == 1


def test_the_end_of_the_server_finishes_what_is_there(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(4.0, 5.0))
    recorded.stream.close(recorded.news.append)
    assert recorded.news[0].seconds == pytest.approx(3.0, abs=0.01)
    again = Recorded(tmp_path)
    again.stream.adopt([told(4.0, 5.0).id], again.news.append)  # the state was saved, and the event goes on
    feed(again.ring, films["mp4"], offset_seconds=6.0)
    again.tell(told(4.0, 8.0, "end"))
    assert again.news[0].seconds == pytest.approx(6.0, abs=0.25) and again.unfinished == []


def test_damaged_files_of_packets_are_read_as_far_as_they_are_whole(films: dict[str, Path], tmp_path: Path) -> None:
    recorded = Recorded(tmp_path)
    feed(recorded.ring, films["mp4"])
    recorded.tell(told(2.0, 3.0))
    (path,) = (tmp_path / "unfinished" / "cam").glob("*.packets")
    content, whole = path.read_bytes(), read_segment(path)
    assert whole is not None and whole.format.time_base != Fraction(0)
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        found = read_segment(path)
        assert found is None or found.packets == whole.packets[: len(found.packets)]
    first = whole.packets[0].place - RECORD.size
    path.write_bytes(content[:first] + RECORD.pack(0, 0, 0, 0.0, True, 2**32 - 1) + content[first:])
    assert read_segment(path) is None  # a size that no file has
