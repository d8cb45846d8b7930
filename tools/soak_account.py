"""Counts what became of the clips of every stream of a server, from its events."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Account:
    """What became of the clips of one stream."""

    hop_seconds: float = 1.0
    first_seconds: float | None = None
    last_seconds: float = 0.0
    clips: int = 0
    missed: int = 0
    sessions: int = 1
    out_of_order: int = 0
    latencies: list[float] = field(default_factory=list)

    def take(self, result: dict[str, Any]) -> None:
        """Count a result."""
        if self.first_seconds is None:
            self.first_seconds = self.last_seconds = result["seconds"]
        else:
            self.out_of_order += result["seconds"] <= self.last_seconds
            self.missed += result.get("missed", 0)
            self.last_seconds = result["seconds"]
        self.clips += 1
        self.latencies.append(result["latency"]["seconds"])

    @property
    def unaccounted(self) -> int:
        """Clips that have no result and were not counted as missed."""
        if self.first_seconds is None:
            return 0
        return round((self.last_seconds - self.first_seconds) / self.hop_seconds) + 1 - self.clips - self.missed


class Listener:
    """Reads the events of all streams and counts them."""

    def __init__(self, url: str) -> None:
        self.accounts: dict[tuple[str, int], Account] = {}
        self.kinds: Counter[str] = Counter()
        self._lives: Counter[str] = Counter()
        self._client = httpx.Client(base_url=url, timeout=httpx.Timeout(10, read=60))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        last = 0
        while True:
            with suppress(httpx.HTTPError):
                headers = {"Last-Event-ID": str(last)} if last else {}
                with self._client.stream("GET", "/api/events", headers=headers) as answer:
                    kind = ""
                    for line in answer.iter_lines():
                        name, _, value = line.partition(": ")
                        if name == "id":
                            last = int(value)
                        elif name == "event":
                            kind = value
                        elif name == "data":
                            self._take(kind, json.loads(value))
            time.sleep(0.5)

    def _take(self, kind: str, data: dict[str, Any]) -> None:
        self.kinds[kind] += 1
        name = data["stream"]
        if kind == "removed":
            self._lives[name] += 1
        elif kind == "result":
            self.accounts.setdefault((name, self._lives[name]), Account()).take(data)
