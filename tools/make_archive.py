"""Write videos to try extraction on: real ones of many codecs, sizes and frame rates, and two that are damaged.

python -m tools.make_archive data/archive [--videos 42] [--seconds 10] [--long 300]
"""

from __future__ import annotations

import argparse
from fractions import Fraction
from pathlib import Path

import av

from memvit.datasets.long_cue import Scene, render

CODECS = {
    "h264": ("libx264", ".mp4"),
    "h265": ("libx265", ".mp4"),
    "vp9": ("libvpx-vp9", ".webm"),
    "mpeg4": ("mpeg4", ".avi"),
}
SIZES = ((320, 240), (640, 360), (240, 426), (848, 480), (1280, 720))
RATES = (Fraction(24000, 1001), Fraction(25), Fraction(30), Fraction(60000, 1001), Fraction(12))
BROKEN = 2
"""Number of damaged videos."""


def write(path: Path, codec: str, scene: Scene, rate: Fraction, *, variable: bool) -> None:
    """Encode a scene; with a variable rate, two of three frames are left out in every other second."""
    with av.open(str(path), "w") as container:
        options = {"preset": "ultrafast", "x265-params": "log-level=none"} if codec.startswith("libx") else {}
        options |= {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx-vp9" else {}
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = scene.width, scene.height, "yuv420p"
        stream.bit_rate = 1_000_000
        for index in range(round(scene.seconds * rate)):
            if variable and int(index / rate) % 2 and index % 3:
                continue
            frame = av.VideoFrame.from_ndarray(render(scene, float(index / rate)), "rgb24")
            frame.pts, frame.time_base = index, 1 / rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def main() -> None:
    """Write the videos."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--videos", type=int, default=42, help="number of videos; two of them are damaged")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--long", type=float, default=0.0, help="length of one more, long video in seconds; 0 for none")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for index in range(options.videos - BROKEN):
        name, (codec, suffix) = list(CODECS.items())[index % len(CODECS)]
        (width, height), rate = SIZES[index % len(SIZES)], RATES[index // 2 % len(RATES)]
        variable = index % 8 in (1, 6)
        scene = Scene(seed=index, seconds=options.seconds, width=width, height=height, frames_per_second=float(rate))
        path = (
            options.folder
            / f"{index:02d}-{name}-{width}x{height}-{float(rate):.0f}{'-vfr' if variable else ''}{suffix}"
        )
        write(path, codec, scene, rate, variable=variable and suffix != ".avi")
    if options.long:
        scene = Scene(seed=999, seconds=options.long, width=320, height=240, frames_per_second=25)
        write(options.folder / "long-h264-320x240-25.mp4", "libx264", scene, Fraction(25), variable=False)
    whole = sorted(options.folder.glob("00-*"))[0].read_bytes()
    (options.folder / "broken-header.mp4").write_bytes(b"\0" * 64 + whole[64:4096])
    (options.folder / "broken-no-index.mp4").write_bytes(whole[: len(whole) // 2])


if __name__ == "__main__":
    main()
