"""Videos that are too large are refused in a sentence, before memory is taken for them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from memvit.types import SourceError
from memvit.video.clips.sampler import ClipSampler
from memvit.video.limits import DEFAULT_LIMITS, VideoLimits, parse_limits
from memvit.video.sources.open import open_source

from . import make

WIDE = (1024, 16)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 times as wide as high."""
    path = tmp_path_factory.mktemp("wide") / "wide.avi"
    return make.write(path, make.counted(3, *WIDE), codec="mjpeg", pixel_format="yuvj420p")


@pytest.mark.parametrize(
    ("width", "height", "reason"),
    [
        (16_384, 1_640, None),
        (1_640, 16_384, None),
        (8192, 4352, None),
        (1, 1, None),
        (16_386, 16_386, "side of more than 16384; .* side=16386"),
        (8192, 4354, "more than 35651584 pixels; .* pixels=35667968"),
        (16_384, 16, "more than 10 times the other; .* aspect=1024"),
        (16, 161, "more than 10 times the other; .* aspect=11"),
    ],
)
def test_the_size_of_frames_is_limited(width: int, height: int, reason: str | None) -> None:
    if reason is None:
        DEFAULT_LIMITS.check_frame("a.mp4", width, height)
        return
    with pytest.raises(SourceError, match=f"^a.mp4: .*{width}×{height}.*{reason}"):
        DEFAULT_LIMITS.check_frame("a.mp4", width, height)


def test_the_limits_of_a_command_line() -> None:
    assert parse_limits("") == VideoLimits()
    assert parse_limits("aspect=20.5,pixels=9") == VideoLimits(aspect=20.5, pixels=9)
    for wrong in ("width=9", "aspect", "pixels=many", "side=0", "aspect=nan", "side=1.5"):
        with pytest.raises(ValueError, match=r"NAME=NUMBER|positive"):
            parse_limits(wrong)


def test_a_picture_of_extreme_shape_is_refused_and_may_be_allowed(wide: Path) -> None:
    with pytest.raises(
        SourceError, match=r"wide\.avi: its frames of 1024×16 pixels have a side that is more than 10 times"
    ):
        open_source(wide)
    with open_source(wide, limits=parse_limits("aspect=64")) as source:
        assert len(list(source)) == 3


def test_a_header_that_declares_too_much_is_enough(tmp_path: Path) -> None:
    """Nothing is decoded: behind the header there is nothing."""
    content = make.write(tmp_path / "a.avi", make.counted(3), codec="mjpeg", pixel_format="yuvj420p").read_bytes()
    content = content.replace(struct.pack("<II", 64, 48), struct.pack("<II", 8200, 8200))
    (tmp_path / "a.avi").write_bytes(content[: content.index(b"movi") + 4] + bytes(200))
    with pytest.raises(SourceError, match=r"8200×8200 pixels have more than"):
        open_source(tmp_path / "a.avi")


def test_a_size_that_grows_on_the_way_is_refused(tmp_path: Path) -> None:
    parts = [make.write(tmp_path / f"{n}.ts", make.counted(9, *size)) for n, size in enumerate([(64, 48), WIDE])]
    (tmp_path / "grows.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(tmp_path / "grows.ts") as source, pytest.raises(SourceError, match="1024×16"):
        list(source)


def test_too_many_pixels_on_the_way_are_never_decoded(tmp_path: Path) -> None:
    """The decoder itself is held to the limit: it would take the memory before anyone sees the frame."""
    parts = [make.write(tmp_path / f"{n}.ts", make.counted(9, *size)) for n, size in enumerate([(64, 48), (640, 480)])]
    (tmp_path / "grows.ts").write_bytes(b"".join(part.read_bytes() for part in parts))
    with open_source(tmp_path / "grows.ts", limits=VideoLimits(pixels=64 * 64)) as source:
        assert {(frame.width, frame.height) for frame in source} == {(64, 48)}
        assert source.counts.corrupt_packets


def test_a_duration_beyond_all_measure_is_refused(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mkv", make.counted(9))
    content = bytearray(path.read_bytes())
    place = content.index(b"\x44\x89\x88") + 3  # Duration, in milliseconds
    content[place : place + 8] = struct.pack(">d", 1e9)
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"declares a duration of 1000000 s, which is more than 604800"):
        open_source(path)
    open_source(path, limits=parse_limits("seconds=1e9")).close()


def test_images_of_a_folder_are_limited(tmp_path: Path) -> None:
    make.write_images(tmp_path, [1], width=1024, height=16)
    with pytest.raises(SourceError, match=r"VIDEO_000001\.jpg: its frames of 1024×16"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="can be decoded"):
        open_source(tmp_path, limits=VideoLimits(aspect=100, pixels=1000))


def test_tokens_of_a_clip_are_limited(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mp4", make.counted(3, 96, 48))
    numbers = {"num_frames": 8, "frame_interval": 4, "hop_seconds": 1.0, "short_side": 64}
    for crop, tokens in (("none", 4 * 32 * 16), ("center", 4 * 16 * 16)):
        with open_source(path) as source:
            sampler = ClipSampler("a", **numbers, crop=crop, limits=VideoLimits(tokens=tokens))  # type: ignore[arg-type]
            assert len(list(sampler.clips(source))) == 1
        with open_source(path) as source, pytest.raises(SourceError, match=f"has {tokens} tokens for the model"):
            sampler = ClipSampler("a", **numbers, crop=crop, limits=VideoLimits(tokens=tokens - 1))  # type: ignore[arg-type]
            list(sampler.clips(source))
