"""A long trial of `memvit serve` with streams that start, stop, break, freeze and come back.

    python -m tools.soak --minutes 30 --out soak.json [--rtsp-python /usr/bin/python3]

A real server process; streams of three kinds: MPEG-TS over HTTP from a server of this tool, which hangs up, falls
silent, refuses and sends noise by a seeded plan; RTSP (tools/rtsp_server.py, where GStreamer is installed), killed
and started again; and files played over and over. Streams are added and removed all the time. At the end it must hold:

* every clip of every stream is accounted for: answered, or counted as missed by the next one;
* every stream that should be there is live again once its source is;
* memory, threads and files of the server are where they were after the first quarter.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from memvit.datasets.long_cue import Scene, write_video
from tools.soak_account import Listener
from tools.soak_server import FaultyServer

VIDEO_SECONDS = 120
SAMPLE_SECONDS = 5.0


def sample(pid: int) -> dict[str, float]:
    """Memory in MB, threads and open files of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    memory = re.search(r"VmRSS:\s+(\d+)", status)
    threads = re.search(r"Threads:\s+(\d+)", status)
    assert memory and threads
    return {
        "rss_mb": int(memory[1]) / 1024,
        "threads": int(threads[1]),
        "files": sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
    }


def start_server(scratch: Path, port: int) -> subprocess.Popen[bytes]:
    """`memvit serve` with the small model, untrained."""
    log = (scratch / "serve.log").open("wb")
    words = ["serve", "--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full", "--port", str(port)]
    words += ["--allow-folder", str(scratch), "--state", str(scratch / "state")]
    return subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], stdout=log, stderr=log)


def main() -> None:
    """Run, check, print, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--http", type=int, default=8, help="streams over HTTP")
    parser.add_argument("--rtsp", type=int, default=3, help="streams over RTSP")
    parser.add_argument("--rtsp-python", help="a Python that has GStreamer; without, no RTSP")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), options)
    print(json.dumps({key: value for key, value in found.items() if key != "samples"}, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    if found["unaccounted_clips"] or found["out_of_order"] or found["not_live_at_the_end"]:
        sys.exit(1)


def run(scratch: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Run the trial and return its summary."""
    rng = random.Random(options.seed)
    write_video(Scene(seed=0, seconds=20, width=160, height=120, frames_per_second=10), scratch / "file.mp4")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=size=160x120:rate=10:duration={VIDEO_SECONDS}",
         "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "10", "-f", "mpegts",
         str(scratch / "a.ts")],
        check=True,
    )  # fmt: skip
    faulty = FaultyServer((scratch / "a.ts").read_bytes(), VIDEO_SECONDS, rng)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = start_server(scratch, port)
    url = f"http://127.0.0.1:{port}"
    client = httpx.Client(base_url=url, timeout=30)
    while True:
        with suppress(httpx.TransportError):
            if client.get("/ready").status_code == 200:
                break
        time.sleep(0.2)
    listener = Listener(url)
    rtsp = start_rtsp(options)
    sources = {f"http-{number}": f"http://127.0.0.1:{faulty.port}/{number}.ts" for number in range(options.http)}
    if rtsp is not None:
        sources |= {f"rtsp-{number}": f"rtsp://127.0.0.1:8554/{number}" for number in range(options.rtsp)}
    sources |= {f"file-{number}": str(scratch / "file.mp4") for number in range(2)}
    for name, source in sources.items():
        add(client, name, source)
    samples: list[dict[str, float]] = []
    changes: Counter[str] = Counter()
    end = time.monotonic() + options.minutes * 60
    next_change = next_rtsp = time.monotonic() + 20
    while time.monotonic() < end - 90:
        time.sleep(SAMPLE_SECONDS)
        samples.append(sample(server.pid))
        if time.monotonic() > next_change:  # a stream is removed and added again
            name = rng.choice(list(sources))
            client.delete(f"/api/streams/{name}")
            time.sleep(rng.uniform(0, 2))
            add(client, name, sources[name])
            changes["removed and added"] += 1
            next_change = time.monotonic() + rng.uniform(5, 25)
        if rtsp is not None and time.monotonic() > next_rtsp + 60:
            rtsp.kill()
            rtsp.wait()
            time.sleep(rng.uniform(1, 20))
            rtsp = start_rtsp(options)
            changes["RTSP server killed"] += 1
            next_rtsp = time.monotonic()
    faulty.is_faultless.set()
    while time.monotonic() < end:
        time.sleep(SAMPLE_SECONDS)
        samples.append(sample(server.pid))
    streams = client.get("/api/streams").json()["streams"]
    server.terminate()
    code = server.wait(30)
    if rtsp is not None:
        rtsp.kill()
    return summary(samples, listener, streams, sources) | {
        "minutes": options.minutes,
        "faults": dict(faulty.faults),
        "changes": dict(changes),
        "exit_code": code,
        "log": (scratch / "serve.log").read_text().splitlines()[1:][-20:],
    }


def start_rtsp(options: argparse.Namespace) -> subprocess.Popen[bytes] | None:
    """Start the RTSP server; None without a Python that has GStreamer."""
    if not options.rtsp_python:
        return None
    script = Path(__file__).with_name("rtsp_server.py")
    return subprocess.Popen(
        [options.rtsp_python, str(script), "--streams", str(options.rtsp)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def add(client: httpx.Client, name: str, source: str) -> None:
    """Add a stream; files are played over and over."""
    body = {"id": name, "source": source, "realtime": name.startswith("file"), "memory_timeout_seconds": 15}
    client.post("/api/streams", json=body).raise_for_status()


def summary(
    samples: list[dict[str, float]], listener: Listener, streams: list[dict[str, Any]], sources: dict[str, str]
) -> dict[str, Any]:
    """The counts of all streams, and the resources of the server over time."""
    accounts = list(listener.accounts.values())
    latencies = sorted(seconds for account in accounts for seconds in account.latencies)
    quarter = len(samples) // 4

    def middle(name: str, part: list[dict[str, float]]) -> float:
        return round(statistics.median(row[name] for row in part), 1)

    return {
        "streams": len(sources),
        "lives": len(accounts),
        "clips": sum(account.clips for account in accounts),
        "missed": sum(account.missed for account in accounts),
        "unaccounted_clips": sum(abs(account.unaccounted) for account in accounts),
        "out_of_order": sum(account.out_of_order for account in accounts),
        "not_live_at_the_end": sorted(
            set(sources) - {stream["id"] for stream in streams if stream["state"] in ("live", "stalled")}
        ),
        "latency_seconds": {
            "p50": latencies[len(latencies) // 2],
            "p99": latencies[len(latencies) * 99 // 100],
            "max": latencies[-1],
        },
        "events": dict(listener.kinds),
        "stats": dict(sum((Counter(stream["stats"]) for stream in streams), Counter())),
        **{
            name: {
                "second_quarter": middle(name, samples[quarter : 2 * quarter]),
                "last_quarter": middle(name, samples[3 * quarter :]),
            }
            for name in ("rss_mb", "threads", "files")
        },
        "samples": samples,
    }


if __name__ == "__main__":
    main()
