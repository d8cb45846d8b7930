"""Measures how long an event takes: from the arrival of its clip's last frame to that of the web-hook's request.

    python tools/event_delay.py --streams 1 8 32 --seconds 30

A server with the small model watches files at their own speed, like cameras, and sends every event, with every update,
to a web-hook on this machine. The outbox is on disk.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from memvit.datasets.long_cue import Scene, write_video
from memvit.engine.settings import ModelSettings
from memvit.events.rules_file import parse_rules
from memvit.results.wall_clock import unix_of
from pipelines.serve.event_options import EventOptions
from pipelines.serve.requests import StreamRequest
from pipelines.serve.run import make_service
from pipelines.serve.server_config import SinkConfig
from pipelines.serve.sinks.sink import SinkFilter
from pipelines.serve.sources import SourceRules
from tools.event_receiver import EventReceiver

SETTLING_SECONDS = 5.0
"""Delays of the first seconds, while streams are added, are left out."""


def measure(streams: int, seconds: float, folder: Path) -> tuple[list[float], float]:
    """The delays of all events of so many streams, and the median latency of results, in seconds."""
    receiver = EventReceiver()
    sink = SinkConfig("hook", "webhook", receiver.url, SinkFilter(states=("new", "update")))
    rules = parse_rules("rules: [{name: there, dwell_seconds: 1}]")
    service = make_service(
        ModelSettings(model="memvit_tiny_8x4", random_weights=True, device="cpu", boxes="full"),
        SourceRules(folders=(folder,)),
        events=EventOptions(rules, folder / f"{streams}", 1.0, (sink,), folder / f"{streams}.sqlite"),
    )
    service.start()
    try:
        for number in range(streams):
            request = StreamRequest(source=str(folder / "street.mp4"), id=f"cam-{number}", realtime=True)
            service.add(request)
            time.sleep(1 / streams)  # cameras are not in step
        time.sleep(SETTLING_SECONDS)
        receiver.arrivals.clear()
        time.sleep(seconds)
        last = service.hub.last("cam-0")
        assert last is not None
        after_centre = last.result.end_seconds - last.result.centre_seconds
        latency = service.hub.performance("cam-0")["latency_seconds"]["p50"]
        centres = [(one.unix, unix_of(one.event["end_time"])) for one in list(receiver.arrivals)]
        return [arrived - centre - after_centre for arrived, centre in centres], latency
    finally:
        service.close()
        receiver.close()


def main() -> None:
    """Print a line for each number of streams."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--seconds", type=float, default=30.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_video(Scene(seed=1, seconds=20, width=192, height=108, frames_per_second=12), folder / "street.mp4")
        for streams in options.streams:
            delays, latency = measure(streams, options.seconds, folder)
            middle, slow = np.percentile(delays, [50, 99])
            rate = len(delays) / options.seconds
            print(
                f"{streams} streams: {rate:.1f} events/s, p50 {middle * 1000:.0f} ms, p99 {slow * 1000:.0f} ms; "
                f"results alone p50 {latency * 1000:.0f} ms"
            )


if __name__ == "__main__":
    main()
