"""A trial of events: a server that is killed again and again, and a web-hook that fails.

    python tools/event_soak.py --streams 8 --seconds 120 --kills 5
    python tools/event_soak.py --streams 8 --seconds 3600 --kills 5 --away 600 --megabytes 20

The server watches files, records each event, and sends every event, with every update, to a web-hook that answers at
random with 500, with silence, or not at all, and that is away for `--away` seconds. The server is killed (SIGKILL) in
mid-stream and started again. At the end it must hold: every event that `memvit watch` tells of the same files has
reached the web-hook, as often as it was told, with one id, none confirmed twice; every event has a video and a picture
that can be decoded from the first frame to the last, unless it was deleted to make room; recordings take no more than
`--megabytes`, and nothing unfinished is left. `--seconds` is the length of each video; files are read as fast as the
model answers.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from memvit.datasets.long_cue import Scene, write_video
from tools.event_receiver import EventReceiver
from tools.recording_check import RecordingCheck

MODEL = ["--model", "memvit_tiny_8x4", "--random-weights", "--boxes", "full", "--device", "cpu"]
RULES = """\
rules:
  - {name: high, actions: [1, 2, 3, 4, 5, 6, 7, 8], start_score: 0.5, keep_score: 0.4, merge_seconds: 1}
  - {name: there, dwell_seconds: 3}
  - {name: short, actions: [75], start_score: 0.47, keep_score: 0.44, merge_seconds: 1}
"""
BEFORE_SECONDS = AFTER_SECONDS = 3.0
LONGEST_SECONDS = 20.0
"""Of a video."""
FAILURE_RATE = 0.05
PATIENCE_SECONDS = 600.0


class Server:
    """A server process."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "serve.txt"
        self._log.write_text("")
        words = ["serve", *MODEL, "--port", "0", "--config", "server.yaml", "--state", "state", "--save-every", "0.5"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], cwd=folder, stderr=log)
        wait_for(lambda: self._address() is not None)

    def _address(self) -> str | None:
        if self.process.poll() is not None:
            raise SystemExit(self._log.read_text())
        found = re.search(r"http://[\d.]+:\d+", self._log.read_text())
        return found[0] if found else None

    @property
    def address(self) -> str:
        """Where the server listens."""
        return self._address() or ""

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with urlopen(f"{self._address()}{path}", timeout=60) as answer:
            return json.load(answer)

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def usage(self) -> tuple[int, int]:
        """Resident memory in MB, and open files."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 2**20, len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def wait_for(condition: Callable[[], bool], from_seconds: float = 0.0) -> None:
    """SystemExit if it takes too long. `from_seconds`: before this time of `time.monotonic()` it cannot come true."""
    until = max(time.monotonic(), from_seconds) + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > until:
            raise SystemExit("it did not happen in time")
        time.sleep(0.1)


def key_of(event: dict[str, Any]) -> tuple[Any, ...]:
    """All of an event but its id, in which the time at which the stream was added has a part, and its links."""
    return tuple(json.dumps(event[name]) for name in sorted(event) if name not in ("id", "video", "picture"))


def prepare(folder: Path, streams: int, seconds: float, url: str, record: str) -> None:
    """Videos, rules and the server's configuration."""
    for number in range(streams):
        scene = Scene(seed=number, seconds=seconds, width=128, height=96, frames_per_second=8)
        write_video(scene, folder / f"cam-{number}.mp4")
    sources = "".join(f"  - {{source: cam-{number}.mp4, id: cam-{number}}}\n" for number in range(streams))
    sink = f"sinks:\n  - {{name: hook, webhook: '{url}', states: [new, update, end], timeout_seconds: 1}}\n"
    (folder / "rules.yaml").write_text(RULES)
    places = f"history: {{folder: history}}\nrecord: {{folder: recordings, {record}}}\n"
    (folder / "server.yaml").write_text(f"streams:\n{sources}{RULES}{sink}{places}")


def undisturbed(folder: Path) -> list[dict[str, Any]]:
    """What `memvit watch` tells of the same files."""
    words = ["watch", *sorted(path.name for path in folder.glob("*.mp4")), *MODEL, "--rules", "rules.yaml"]
    command = [sys.executable, "-m", "pipelines.cli", *words, "--out", "watch"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return [json.loads(line) for line in (folder / "watch" / "events.jsonl").read_text().splitlines()]


def run(
    folder: Path, receiver: EventReceiver, options: argparse.Namespace, rng: random.Random, clips: int
) -> RecordingCheck:
    """Start the server, kill it so many times while it reads, and wait until everything has been sent and recorded."""
    server = Server(folder)
    for number in range(options.kills):
        wanted = clips * (number + 1) / (options.kills + 1) * rng.uniform(0.9, 1.0)
        while min(progress(server)) < wanted:
            time.sleep(0.1)
        if number == 0:
            receiver.away_until = time.monotonic() + options.away
        print(f"kill {number + 1} after {min(progress(server)):.0f} s of video: {usage(server, folder)}", flush=True)
        server.kill()
        server = Server(folder)
    wait_for(lambda: all(one["state"] == "ended" for one in server.get("/api/streams")["streams"]))
    # The state of a stream is known a moment before its last events are told.
    wait_for(lambda: all(one["state"] == "end" for one in history(server)))
    while not is_outbox_empty(server):  # there may be thousands of messages
        before = len(receiver.arrivals)
        wait_for(lambda before=before: len(receiver.arrivals) > before or is_outbox_empty(server), receiver.away_until)  # type: ignore[misc]
    wait_for(lambda: not unfinished(folder))
    assert server.get("/api/dead-letters")["messages"] == []
    print(f"end: {usage(server, folder)}; {receiver.refused} requests while the receiver was away")
    check = RecordingCheck()
    for event in history(server):
        begin = event["start_seconds"] - BEFORE_SECONDS
        least_seconds = min(event["end_seconds"], begin + LONGEST_SECONDS) - max(0.0, begin)
        check.check(server.address, event, least_seconds)
    server.kill()
    return check


def history(server: Server) -> list[dict[str, Any]]:
    """All events that the server has kept."""
    found: list[dict[str, Any]] = []
    more = ""
    while True:
        page = server.get(f"/api/history?limit=1000{more}")
        found += page["events"]
        if page["cursor"] is None:
            return found
        more = f"&cursor={page['cursor']}"


def unfinished(folder: Path) -> list[Path]:
    """Files of recordings that are being written."""
    return [path for path in (folder / "recordings" / "unfinished").rglob("*") if path.is_file()]


def usage(server: Server, folder: Path) -> str:
    """Memory and open files of the server, and what recordings take on the disk."""
    megabytes, files = server.usage()
    sizes = []
    for path in (folder / "recordings").rglob("*"):
        with suppress(OSError):  # it was deleted meanwhile
            sizes.append(path.stat().st_size)
    return f"{megabytes} MB, {files} files, recordings {sum(sizes) / 1e6:.1f} MB"


def progress(server: Server) -> list[float]:
    """Seconds of each stream that were answered; infinite for one that has ended."""
    listed = server.get("/api/streams")["streams"]
    return [math.inf if one["state"] == "ended" else one["seconds"] or 0.0 for one in listed]


def is_outbox_empty(server: Server) -> bool:
    """By the metrics."""
    with urlopen(f"{server._address()}/metrics", timeout=60) as answer:
        return b'state="waiting"' not in answer.read()


def main() -> None:
    """Print what was found; exit code 1 if an event is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each video")
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--away", type=float, default=0.0, help="seconds for which the receiver is away")
    parser.add_argument("--megabytes", type=float, default=1000.0, help="room for recordings")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    receiver = EventReceiver(FAILURE_RATE, rng)
    record = (
        f"before_seconds: {BEFORE_SECONDS}, after_seconds: {AFTER_SECONDS}, max_seconds: {LONGEST_SECONDS}, "
        f"gigabytes: {options.megabytes / 1000}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, options.streams, options.seconds, receiver.url, record)
        expected = Counter(key_of(event) for event in undisturbed(folder))
        check = run(folder, receiver, options, rng, int(options.seconds))
        kept = sum(path.stat().st_size for path in (folder / "recordings").glob("????-??-??/*"))
    taken = [arrival.event for arrival in receiver.arrivals]
    found = Counter(key_of(event) for event in taken)
    repeated = sum(count - 1 for count in Counter((one["id"], one["number"]) for one in taken).values())
    ids: dict[tuple[Any, ...], set[str]] = defaultdict(set)
    for one in taken:
        ids[one["stream"], one["rule"], one["start_seconds"]].add(one["id"])
    missing, other = expected.keys() - found.keys(), found.keys() - expected.keys()
    several = sum(len(some) > 1 for some in ids.values())
    print(f"{len(expected)} told in an undisturbed run, {len(found)} received")
    print(f"missing {len(missing)}, other {len(other)}, confirmed twice {repeated}")
    print(f"{several} of {len(ids)} events have several ids")
    print(f"{check.whole} recordings whole ({check.frames} frames), {len(check.missing)} not there")
    print("\n".join(["wrong:", *check.wrong[:10]]) if check.wrong else "none wrong")
    print(f"recordings take {kept / 1e6:.1f} of {options.megabytes:g} MB; the shortest {check.shortest_seconds:.1f} s")
    is_room_used = kept > 0.8 * options.megabytes * 1e6
    bad = missing or other or several or repeated or check.wrong or (check.missing and not is_room_used)
    raise SystemExit(bool(bad or kept > options.megabytes * 1e6))


if __name__ == "__main__":
    main()
