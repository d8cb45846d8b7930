"""Folders of numbered images: AVA's frames, and what goes wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.types import SourceError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Frame, ReadCounts
from tests.video import make


def numbers(frames: list[Frame]) -> list[int]:
    return [make.number_of(frame.rgb()) for frame in frames]


@pytest.mark.parametrize("name", ["-5KQ66BBWC4_{:06d}.jpg", "img_{:05d}.jpg", "{:06d}.jpeg", "{}.JPG", "a_{:03d}.png"])
def test_images_in_the_order_of_their_numbers(tmp_path: Path, name: str) -> None:
    folder = make.write_images(tmp_path / "MOVIE.x", range(1, 13), name=name)
    (folder / "._img_00001.jpg").write_bytes(b"a Mac's side file")
    (folder / "notes.txt").write_text("not an image")
    with open_source(folder, start_seconds=900.0) as source:
        frames = list(source)
        assert numbers(frames) == list(range(12))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.pts_seconds for frame in frames] == pytest.approx([900 + i / 30 for i in range(12)])
    info = source.info
    assert (info.name, info.width, info.height, info.is_live) == ("MOVIE.x", 64, 48, False)
    assert (info.frames_per_second, info.duration_seconds) == (30.0, pytest.approx(0.4))
    assert source.counts == ReadCounts(frames=12)


def test_rate_and_first_number(tmp_path: Path) -> None:
    source = open_source(make.write_images(tmp_path, range(500, 505)), frames_per_second=25)
    assert [frame.pts_seconds for frame in source] == pytest.approx([0, 0.04, 0.08, 0.12, 0.16])


def test_a_gap_in_the_numbering_is_a_gap_in_time(tmp_path: Path) -> None:
    source = open_source(make.write_images(tmp_path, [1, 2, 5, 9, 10]), frames_per_second=10)
    assert [frame.pts_seconds for frame in source] == pytest.approx([0, 0.1, 0.4, 0.8, 0.9])
    assert source.counts.missing_images == 5
    assert source.info.duration_seconds == pytest.approx(1.0)
    assert str(source.counts) == "missing images: 5"


def test_sizes(tmp_path: Path) -> None:
    (frame,) = open_source(make.write_images(tmp_path, [1], width=340, height=256))
    assert frame.rgb().shape == (256, 340, 3)
    assert frame.rgb(width=170).shape == (128, 170, 3)
    assert frame.rgb(20, 10).shape == (10, 20, 3)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no image" * 50, None])
def test_a_damaged_image_is_replaced_by_the_nearest(tmp_path: Path, damage: object) -> None:
    folder = make.write_images(tmp_path, range(1, 11), width=160, height=120)
    source = open_source(folder)
    frames = list(source)
    for number in (4, 5, 6, 10):
        path = folder / f"VIDEO_{number:06d}.jpg"
        if callable(damage):
            path.write_bytes(damage(path.read_bytes()))
        else:
            path.unlink()
    assert [make.number_of(frame.rgb()) for frame in reversed(frames)] == [8, 8, 7, 6, 6, 2, 2, 2, 1, 0]
    assert numbers(frames) == [0, 1, 2, 2, 2, 6, 6, 7, 8, 8]  # whatever was decoded before
    assert source.counts.corrupt_images == 4


def test_a_damaged_first_image(tmp_path: Path) -> None:
    folder = make.write_images(tmp_path, range(1, 4))
    (folder / "VIDEO_000001.jpg").write_bytes(b"")
    source = open_source(folder)
    assert numbers(list(source)) == [1, 1, 2]
    assert source.counts.corrupt_images == 1


def test_reading_fails_after_too_many_damaged_images(tmp_path: Path) -> None:
    folder = make.write_images(tmp_path, range(1, 21))
    for number in range(5, 21):
        (folder / f"VIDEO_{number:06d}.jpg").write_bytes(b"")
    frames = list(open_source(folder, max_consecutive_corrupt=3))
    assert make.number_of(frames[5].rgb()) == 3
    with pytest.raises(SourceError, match=r"VIDEO_000012\.jpg: neither this image nor any near it"):
        frames[11].rgb()
    for path in folder.iterdir():
        path.write_bytes(b"")
    with pytest.raises(SourceError, match="extract the frames again"):
        open_source(folder)


def test_folders_that_are_no_video(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make.write_images(tmp_path / "two", [1, 2])
    make.write_images(tmp_path / "two", [1, 2], name="OTHER_{:06d}.jpg")
    make.write_images(tmp_path / "twice", [1, 2])
    make.write_images(tmp_path / "twice", [2], name="VIDEO_{:03d}.jpg")
    (tmp_path / "unnumbered").mkdir()
    (tmp_path / "unnumbered" / "cover.jpg").write_bytes(b"")
    for name, reason in {
        "empty": "no numbered images",
        "unnumbered": "no numbered images",
        "two": r"more than one video \('OTHER_', 'VIDEO_'",
        "twice": "have the same number",
    }.items():
        with pytest.raises(SourceError, match=reason) as caught:
            open_source(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
    with pytest.raises(SourceError, match="must be positive"):
        open_source(tmp_path / "two", frames_per_second=0)


def test_a_few_pictures_beside_videos_are_not_frames(tmp_path: Path) -> None:
    make.write_images(tmp_path, [1, 2, 3], name="IMG_{:04d}.jpg")
    (tmp_path / "holiday.MP4").write_bytes(b"")
    with pytest.raises(SourceError, match=r"there are videos in it \(holiday\.MP4\); name the videos themselves"):
        open_source(tmp_path)


@pytest.mark.parametrize("numbers", [[1, 1012], [7, 8, 9, 500], [*range(1, 40), 900]])
def test_pictures_with_most_numbers_missing_are_not_frames(tmp_path: Path, numbers: list[int]) -> None:
    make.write_images(tmp_path, numbers)
    with pytest.raises(SourceError, match=rf"numbered {numbers[0]} to {numbers[-1]}, so \d+ of \d+ frames are missing"):
        open_source(tmp_path)


def test_every_fifth_frame_is_a_video(tmp_path: Path) -> None:
    source = open_source(make.write_images(tmp_path, range(0, 60, 5)))
    assert [frame.pts_seconds for frame in source] == pytest.approx([number / 30 for number in range(0, 60, 5)])


def test_a_closed_folder_says_so(tmp_path: Path) -> None:
    source = open_source(make.write_images(tmp_path, [1]))
    source.close()
    with pytest.raises(SourceError, match="closed"):
        next(source)


def test_only_images_that_a_clip_uses_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from memvit.video.sources import folder as frame_folder

    decoded: list[str] = []
    original = frame_folder.decode_image
    monkeypatch.setattr(
        frame_folder, "decode_image", lambda path, *more: decoded.append(path.name) or original(path, *more)
    )
    source = open_source(make.write_images(tmp_path, range(1, 41)), start_seconds=900.0)
    sampler = ClipSampler("s", num_frames=4, frame_interval=5, hop_seconds=1.0, short_side=24)
    clips = list(sampler.clips(source))
    assert [clip.centre_seconds for clip in clips] == [900, 901]
    assert [[make.number_of(image) for image in clip.frames] for clip in clips] == [[0, 0, 0, 5], [20, 25, 30, 35]]
    assert [int(name[-7:-4]) - 1 for name in decoded] == [0, 5, 20, 25, 30, 35]
