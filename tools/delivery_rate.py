"""Measures how many messages a second go from the outbox to a web-hook on this machine.

    python tools/delivery_rate.py --messages 4000 --streams 8 --failures 0 0.05

The messages wait in the outbox when the server starts, as after a receiver was away. Of the given share of requests,
a quarter each is answered with 500, with 503, not at all (the time limit is 1 s), or by hanging up.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from memvit.events.event import Event
from pipelines.serve.server_config import SinkConfig
from pipelines.serve.sinks.deliveries import Deliveries
from pipelines.serve.sinks.sink import SinkFilter
from tools.event_receiver import EventReceiver


def event_of(number: int, stream: int) -> Event:
    """An event like those of a camera."""
    return Event(
        f"{number:016x}", "waving", f"cam-{stream}", 3, "hand wave", "new", float(number), number + 1.0, 1.777e9, None,
        0.9, 0.8, None, 1, float(number), (0.2, 0.1, 0.4, 0.9),
    )  # fmt: skip


def measure(messages: int, streams: int, failure_rate: float, folder: Path) -> tuple[float, int]:
    """Messages a second, and how many were out of order or confirmed twice."""
    receiver = EventReceiver(failure_rate, random.Random(0))
    sink = SinkConfig("hook", "webhook", receiver.url, SinkFilter(), timeout_seconds=1.0)
    deliveries = Deliveries(folder / f"{failure_rate}.sqlite", [sink], lambda sink, outcome: None)
    try:
        deliveries.add([event_of(number, number % streams) for number in range(messages)])
        began = time.monotonic()
        deliveries.start()
        while len(receiver.arrivals) < messages:
            time.sleep(0.01)
        seconds = time.monotonic() - began
    finally:
        deliveries.close()
        receiver.close()
    ids = [arrival.event["id"] for arrival in receiver.arrivals]
    wrong = sum(count - 1 for count in Counter(ids).values())
    for stream in range(streams):
        own = [one.event["start_seconds"] for one in receiver.arrivals if one.event["stream"] == f"cam-{stream}"]
        wrong += own != sorted(own)
    return messages / seconds, wrong


def main() -> None:
    """Print a line for each share of failures; exit code 1 if the order was wrong, or a message came twice."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=4000)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--failures", type=float, nargs="+", default=[0.0, 0.05])
    options = parser.parse_args()
    is_wrong = False
    with tempfile.TemporaryDirectory() as name:
        for rate in options.failures:
            per_second, wrong = measure(options.messages, options.streams, rate, Path(name))
            print(f"{rate:.0%} of requests fail: {per_second:.0f} messages/s, {wrong} wrong", flush=True)
            is_wrong = is_wrong or wrong > 0
    raise SystemExit(is_wrong)


if __name__ == "__main__":
    main()
