"""Reading real files: times, sizes, colours, rotation, damage."""

from __future__ import annotations

import gc
import itertools
import os
import zlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from memvit.types import SourceError
from memvit.video.limits import VideoLimits
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Frame, ReadCounts, Source
from tests.video import make


def read(source: Source) -> list[Frame]:
    """Every frame, after checking what every source promises."""
    with source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert all(late.pts_seconds > early.pts_seconds for early, late in itertools.pairwise(frames))
    assert source.counts.frames == len(frames)
    return frames


def times(path: Path) -> list[float]:
    return [frame.pts_seconds for frame in read(open_source(path))]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi", "mov"])
@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_every_frame_in_order_with_its_time(tmp_path: Path, suffix: str, codec: str) -> None:
    """Both codecs reorder frames here (B-frames), MPEG-TS starts at 1.4 s, AVI stores no presentation times."""
    path = make.write(tmp_path / f"a.{suffix}", make.counted(40), codec=codec, bf="2", b="4000000")
    source = open_source(path)
    frames = read(source)
    assert [frame.pts_seconds for frame in frames] == pytest.approx([i / 30 for i in range(40)], abs=1e-3)
    assert [make.number_of(frame.rgb()) for frame in frames] == list(range(40))
    assert source.counts == ReadCounts(frames=40)
    assert str(source.counts) == ""
    info = source.info
    assert (info.name, info.width, info.height, info.is_live) == ("a", 64, 48, False)
    assert info.frames_per_second == pytest.approx(30)
    assert info.duration_seconds == pytest.approx(40 / 30, abs=0.1)


def test_b_frames_are_really_there(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mp4", make.busy(12), bf="2", b_adapt="0")
    with av.open(str(path)) as container:
        stored = [packet.pts for packet in container.demux(video=0) if packet.pts is not None]
    assert stored != sorted(stored)


@pytest.mark.parametrize(
    "rate", [Fraction(25), Fraction(60_000, 1001), Fraction(6), Fraction(1, 2)], ids=["25", "59.94", "6", "0.5"]
)
def test_frame_rates(tmp_path: Path, rate: Fraction) -> None:
    path = make.write(tmp_path / "a.mp4", make.counted(10), rate=rate)
    assert times(path) == pytest.approx([float(i / rate) for i in range(10)], abs=1e-4)
    assert open_source(path).info.frames_per_second == pytest.approx(float(rate), rel=1e-3)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_variable_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    pts = [0, 10, 43, 76, 500, 533, 4000, 4001]
    path = make.write(tmp_path / f"a.{suffix}", make.counted(8), pts=pts, time_base=Fraction(1, 1000))
    assert times(path) == pytest.approx([time / 1000 for time in pts], abs=1e-4)


@pytest.mark.parametrize("first", [-2000, 5000, 95_443_000])
def test_the_first_frame_is_at_zero(tmp_path: Path, first: int) -> None:
    pts = [first + 40 * i for i in range(10)]
    options = {"avoid_negative_ts": "disabled", "use_editlist": "0"}
    path = make.write(
        tmp_path / "a.mp4", make.counted(10), pts=pts, time_base=Fraction(1, 1000), bf="0", container_options=options
    )
    assert times(path) == pytest.approx([0.04 * i for i in range(10)], abs=1e-4)


def test_a_stream_without_times_runs_at_its_rate(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.h264", make.counted(20), container_format="h264", bf="0")
    source = open_source(path)
    frames = read(source)
    assert [make.number_of(frame.rgb()) for frame in frames] == list(range(20))
    step = 1 / (source.info.frames_per_second or 30)
    assert [frame.pts_seconds for frame in frames] == pytest.approx([i * step for i in range(20)])


def test_times_of_zero(tmp_path: Path) -> None:
    intra = make.write(tmp_path / "i.avi", make.counted(30), codec="mjpeg", pixel_format="yuvj420p")
    source = open_source(make.with_times(tmp_path / "a.mkv", intra, [40] * 30))
    frames = read(source)
    assert len(frames) == 27 and source.counts.non_monotonic_pts == 29
    assert make.number_of(frames[-1].rgb()) == 29


def test_repeated_times_are_dropped(tmp_path: Path) -> None:
    intra = make.write(tmp_path / "i.avi", make.counted(20), codec="mjpeg", pixel_format="yuvj420p")
    source = open_source(make.with_times(tmp_path / "a.mkv", intra, [100 + i // 2 * 40 for i in range(20)]))
    assert [frame.pts_seconds for frame in read(source)] == pytest.approx([0.04 * i for i in range(10)])
    assert source.counts.dropped_frames == 10
    assert str(source.counts) == "non monotonic pts: 10, dropped frames: 10"


def test_times_that_jump_back_continue(tmp_path: Path) -> None:
    intra = make.write(tmp_path / "i.avi", make.counted(20), codec="mjpeg", pixel_format="yuvj420p")
    pts = [1000 + i * 40 for i in range(10)] + [100 + i * 40 for i in range(10)]
    source = open_source(make.with_times(tmp_path / "a.mkv", intra, pts))
    frames = read(source)
    steps = np.diff([frame.pts_seconds for frame in frames])
    assert len(frames) == 20 and source.counts.non_monotonic_pts == 1
    assert np.delete(steps, 9) == pytest.approx(0.04) and 0 < steps[9] < 0.1


def test_a_recording_joined_from_two(tmp_path: Path) -> None:
    """The times of the second part begin anew in the middle of the file."""
    part = make.write(tmp_path / "a.ts", make.counted(40), g="10", bf="0").read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part + part)
    source = open_source(joined)
    frames = read(source)
    assert len(frames) == 80 and source.counts.non_monotonic_pts == 1
    assert frames[-1].pts_seconds == pytest.approx(79 / 30, abs=0.05)


QUARTERS = {
    # degrees counter-clockwise, then hflip, vflip → colours clockwise from the top left
    (0, False, False): (make.RED, make.GREEN, make.WHITE, make.BLUE),
    (90, False, False): (make.GREEN, make.WHITE, make.BLUE, make.RED),
    (180, False, False): (make.WHITE, make.BLUE, make.RED, make.GREEN),
    (270, False, False): (make.BLUE, make.RED, make.GREEN, make.WHITE),
    (0, True, False): (make.GREEN, make.RED, make.BLUE, make.WHITE),
    (0, False, True): (make.BLUE, make.WHITE, make.GREEN, make.RED),
    (90, True, False): (make.WHITE, make.GREEN, make.RED, make.BLUE),
    (270, True, False): (make.RED, make.BLUE, make.WHITE, make.GREEN),
}


@pytest.mark.parametrize("rotation", QUARTERS, ids=str)
def test_rotation(tmp_path: Path, rotation: tuple[int, bool, bool]) -> None:
    path = make.write(tmp_path / "a.mp4", [make.corners()] * 2, display_rotation=rotation, crf="5")
    source = open_source(path)
    width, height = (48, 64) if rotation[0] in (90, 270) else (64, 48)
    assert (source.info.width, source.info.height) == (width, height)
    for frame in read(source):
        assert (frame.width, frame.height) == (width, height)
        image = frame.rgb()
        assert image.shape == (height, width, 3) and image.flags.c_contiguous and image.dtype == np.uint8
        low, high = (slice(4, -4), slice(4, -4)), (height // 2, width // 2)
        quarters = image[: high[0], : high[1]], image[: high[0], high[1] :], image[high[0] :, high[1] :]
        found = [part[low].mean((0, 1)) for part in (*quarters, image[high[0] :, : high[1]])]
        assert np.abs(np.array(found) - np.array(QUARTERS[rotation])).max() < 6
        assert frame.rgb(12, 20).shape == (20, 12, 3)


COLOURS = [
    ("yuv420p", 1, 1), ("yuv420p", 5, 1), ("yuvj420p", 5, 2), ("yuvj420p", 1, 2),
    ("yuv444p", 1, 1), ("yuv420p10le", 1, 1), ("yuv420p", None, None),
]  # fmt: skip


@pytest.mark.parametrize(("pixel_format", "colorspace", "color_range"), COLOURS)
@pytest.mark.parametrize("colour", [(200, 60, 30), (16, 128, 240), (255, 255, 255), (0, 0, 0)])
def test_colours(
    tmp_path: Path, pixel_format: str, colorspace: int | None, color_range: int | None, colour: tuple[int, int, int]
) -> None:
    """BT.709 and BT.601, limited and full range, 8 and 10 bit all come back as what went in."""
    image = np.full((48, 64, 3), colour, np.uint8)
    path = make.write(
        tmp_path / "a.mp4", [image], pixel_format=pixel_format, colorspace=colorspace, color_range=color_range, crf="1"
    )
    (frame,) = read(open_source(path))
    for converted in (frame.rgb(), frame.rgb(32, 24)):
        assert np.abs(converted.mean((0, 1)) - colour).max() < 4


def test_gray(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mkv", make.counted(5), codec="ffv1", pixel_format="gray")
    images = [frame.rgb() for frame in read(open_source(path))]
    assert all((image[..., :1] == image).all() for image in images)
    assert [float(image.mean()) for image in images] == pytest.approx([16, 20, 24, 28, 32], abs=3)


@pytest.mark.parametrize(("width", "height"), [(63, 47), (2, 2), (1, 1), (5, 300)])
def test_odd_sizes(tmp_path: Path, width: int, height: int) -> None:
    path = make.write(tmp_path / "a.mkv", make.counted(3, width, height), codec="ffv1", pixel_format="yuv444p")
    frames = read(open_source(path, limits=VideoLimits(aspect=60)))
    assert [frame.rgb().shape for frame in frames] == [(height, width, 3)] * 3
    assert [make.number_of(frame.rgb()) for frame in frames] == [0, 1, 2]


def test_single_frame(tmp_path: Path) -> None:
    assert times(make.write(tmp_path / "a.mp4", make.counted(1))) == [0.0]


def test_resizing_and_closing(tmp_path: Path) -> None:
    frames = read(open_source(make.write(tmp_path / "a.mp4", [make.corners()] * 2)))
    frame = frames[0]  # the source is closed by now
    assert frame.rgb(16, 30).shape == (30, 16, 3)
    assert frame.rgb(width=32).shape == (24, 32, 3)
    assert frame.rgb(height=12).shape == (12, 16, 3)
    assert np.abs(frame.rgb(16, 12)[2, 2].astype(int) - make.RED).max() < 12
    image = frame.rgb()
    image[:] = 0  # it belongs to the caller
    assert frame.rgb().any()


def test_the_resolution_may_change_on_the_way(tmp_path: Path) -> None:
    joined = tmp_path / "joined.ts"
    parts = [make.write(tmp_path / f"{n}.ts", make.counted(10, n, 48), g="5", bf="0") for n in (64, 96)]
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    frames = read(open_source(joined))
    assert (frames[0].width, frames[-1].width) == (64, 96)
    assert frames[-1].rgb().shape == (48, 96, 3)


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_damage_in_the_middle_is_skipped(tmp_path: Path, suffix: str) -> None:
    path = make.write(tmp_path / f"a.{suffix}", make.busy(60), g="5", preset="ultrafast")
    source = open_source(make.flip_bytes(path, 0.4, 0.6, 400))
    frames = read(source)
    assert 30 <= len(frames) < 60 or source.counts.corrupt_frames
    assert source.counts.corrupt_packets + source.counts.corrupt_frames > 0
    assert "corrupt" in str(source.counts)
    assert frames[-1].pts_seconds == pytest.approx(59 / 30, abs=0.01)


@pytest.mark.parametrize("suffix", ["ts", "mkv", "avi", "mp4"])
def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path: Path, suffix: str) -> None:
    options = {"movflags": "+faststart"} if suffix == "mp4" else {}
    path = make.write(tmp_path / f"a.{suffix}", make.busy(60), g="5", bf="0", container_options=options)
    frames = read(open_source(make.cut(path, 0.5)))
    assert 20 <= len(frames) <= 35


def test_a_fragmented_mp4_that_was_cut_off(tmp_path: Path) -> None:
    options = {"movflags": "+frag_keyframe+empty_moov"}
    path = make.write(tmp_path / "a.mp4", make.busy(60), g="5", bf="0", container_options=options)
    assert 20 <= len(read(open_source(make.cut(path, 0.5)))) <= 35


@pytest.mark.parametrize("suffix", ["ts", "mkv"])
def test_a_tail_of_zeros_ends_the_video(tmp_path: Path, suffix: str) -> None:
    path = make.write(tmp_path / f"a.{suffix}", make.busy(60), g="5", bf="0")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2))
    assert 20 <= len(read(open_source(path))) <= 35


def spoil_packets(path: Path, source: Path, spoilt: range) -> Path:
    """A copy in which every frame of a range is noise."""
    with av.open(str(source)) as container, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(container.streams.video[0])
        for index, packet in enumerate(packet for packet in container.demux(video=0) if packet.size):
            if index in spoilt:
                noise = av.Packet(bytes([7]) * 40)
                noise.pts, noise.dts, noise.time_base = packet.pts, packet.dts, packet.time_base
                packet = noise
            packet.stream = stream
            copy.mux(packet)
    return path


def test_giving_up_only_when_nothing_decodes_any_more(tmp_path: Path) -> None:
    good = make.write(tmp_path / "good.avi", make.counted(60), codec="mjpeg", pixel_format="yuvj420p")
    bad = spoil_packets(tmp_path / "bad.avi", good, range(20, 40))
    source = open_source(bad, max_consecutive_corrupt=20)
    assert len(read(source)) == 40
    assert source.counts.corrupt_packets == 20
    source, seen = open_source(bad, max_consecutive_corrupt=19), 0
    with pytest.raises(SourceError, match=r"bad\.avi: nothing decodes any more after 0\.\d\d s \(20 damaged"):
        for _ in source:
            seen += 1
    assert seen == 20


def test_nothing_decodes_at_all(tmp_path: Path) -> None:
    good = make.write(tmp_path / "good.avi", make.counted(10), codec="mjpeg", pixel_format="yuvj420p")
    with pytest.raises(SourceError, match=r"no frame of it can be decoded \(10 damaged packets\)"):
        open_source(spoil_packets(tmp_path / "bad.avi", good, range(10)))


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_what_is_no_video_is_refused_in_one_sentence(tmp_path: Path) -> None:
    no_index = make.cut(make.write(tmp_path / "no_index.mp4", make.busy(9)), 0.5)
    half_an_index = make.cut(make.write(tmp_path / "half_an_index.mp4", make.counted(9)), 0.5)
    cases = {
        tmp_path / "missing.mp4": "no such file",
        write_bytes(tmp_path / "empty.mp4", b""): "the file is empty",
        write_bytes(tmp_path / "text.mp4", b"hello\n" * 99): "not a video",
        write_bytes(tmp_path / "notes.txt", b"hello\n" * 99): "a text",
        half_an_index: "no track in it",
        no_index: "index is missing",
        make.write_audio(tmp_path / "tone.m4a"): "no video in it (found: audio)",
        make.write_audio(tmp_path / "song.mp3", cover=make.corners()): "no video in it (found: audio, video)",
        Path("/dev/video98"): "no such file or device",
    }
    for path, reason in cases.items():
        with pytest.raises(SourceError) as caught:
            open_source(path)
        assert str(caught.value).startswith(f"{path}: ") and reason in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(SourceError, match="location is empty"):
        open_source("")


def test_permission_denied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated: the one who runs the tests may be allowed to read everything."""

    def refuse(*_: object, **__: object) -> None:
        raise av.error.PermissionError(13, "Permission denied", "a.mp4")

    monkeypatch.setattr(av, "open", refuse)
    with pytest.raises(SourceError, match=r"a\.mp4: permission denied; make it readable"):
        open_source(tmp_path / "a.mp4")


def test_names_that_look_like_something_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = make.write(tmp_path / "a.mp4", make.counted(3))
    for name in ("10:30.mp4", "http:a.mp4", "50%d done #1?.mp4", "-a.mp4"):
        path.rename(name)
        path = Path(name)
        assert len(read(open_source(name))) == 3


def test_a_closed_source_says_so(tmp_path: Path) -> None:
    source = open_source(make.write(tmp_path / "a.mp4", make.counted(3)))
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        next(source)


def test_nothing_stays_open(tmp_path: Path) -> None:
    path = make.write(tmp_path / "a.mp4", make.counted(3))
    empty = write_bytes(tmp_path / "tone.txt", b"no video\n" * 99)
    read(open_source(path))
    before = len(list(Path("/proc/self/fd").iterdir())) if os.path.isdir("/proc/self/fd") else 0  # noqa: PTH112
    for _ in range(20):
        read(open_source(path))
        with pytest.raises(SourceError):
            open_source(empty)
    after = len(list(Path("/proc/self/fd").iterdir())) if before else 0
    assert after <= before + 1


def test_frames_are_gone_when_nobody_holds_them(tmp_path: Path) -> None:
    """Not when garbage is collected: that is rare where torch is loaded, and each frame keeps its pixels until then."""
    path = make.write(tmp_path / "a.mp4", make.counted(30))

    def read() -> None:
        with open_source(path, decoder_threads=1) as source:
            for frame in source:
                frame.rgb(32, 24)

    read()
    gc.collect()
    gc.disable()
    try:
        read()
        assert gc.collect() < 10
    finally:
        gc.enable()


@pytest.mark.parametrize(("codec", "ending"), [("libx264", "mp4"), ("libvpx-vp9", "mkv"), ("libsvtav1", "mkv")])
def test_damage_gives_the_same_frames_with_any_number_of_threads(tmp_path: Path, codec: str, ending: str) -> None:
    """Frame threads have several packets at hand when one of them fails, and good frames would be lost with it."""
    options = {"g": "12", "svtav1-params": "lp=1"} if codec == "libsvtav1" else {"g": "12"}
    path = make.write(tmp_path / f"a.{ending}", make.busy(40, 96, 64), codec=codec, **options)
    make.flip_bytes(path, 0.3, 0.7, 30)
    seen = []
    for threads in (1, 2, 8):
        with open_source(path, decoder_threads=threads) as source:
            frames = [(frame.pts_seconds, zlib.crc32(frame.rgb().data)) for frame in source]
            seen.append((frames, str(source.counts)))
    assert seen[0][1] and seen[0] == seen[1] == seen[2]


def test_a_file_that_is_cut_off_says_so(tmp_path: Path) -> None:
    """The header declares 4 s; what follows it ends earlier."""
    path = make.write(tmp_path / "a.mkv", make.busy(40, 96, 64), rate=10, g="5")
    source = open_source(path)
    read(source)
    assert "truncated" not in str(source.counts)
    source = open_source(make.cut(path, 0.5))
    last = read(source)[-1].pts_seconds
    assert source.counts.ended_seconds == pytest.approx(last + 0.1) and 1 < last < 3
    assert f"truncated: ended at {last + 0.1:.1f} s of the declared 4.0 s" in str(source.counts)
