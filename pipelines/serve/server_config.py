"""The server's configuration in one YAML file: streams, zones, rules, sinks and history, each mistake with its line."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from memvit.events.event import EventState
from memvit.events.rules import Rules
from memvit.events.rules_file import RulesReader, read_rules_text
from memvit.types import MemvitError
from pipelines.record.options import RecordOptions

from .ids import is_id
from .sinks.delivery import RetryPolicy
from .sinks.sink import SinkFilter

SECTIONS = ("streams", "heads", "rules", "zones", "sinks", "history", "record", "archive")
COMMON_KEYS = ("name", "rules", "streams", "states", "timeout_seconds", "give_up_seconds")
KIND_KEYS = {
    "webhook": ("secret_env",),
    "mqtt": ("topic", "tls", "ca_file", "username", "password_env"),
    "file": (),
}
"""Kinds of sinks; each is named by a key that says where it is, and has keys of its own."""
RECORD_KEYS = {
    "before_seconds": 0.0,
    "after_seconds": 0.0,
    "max_seconds": 1.0,
    "days": 0.0,
    "gigabytes": 0.0,
    "buffer_seconds": 1.0,
    "buffer_megabytes": 1.0,
}
"""Keys of `record` besides its folder, and the smallest value of each."""
STATES = ("new", "update", "end")


@dataclass(frozen=True)
class StreamConfig:
    """A stream to watch from the start."""

    source: str
    id: str | None = None
    realtime: bool = False


@dataclass(frozen=True)
class SinkConfig:
    """Where events are sent to."""

    name: str
    kind: str
    """webhook, mqtt or file."""
    target: str
    """An address, HOST or HOST:PORT of a broker, or a path."""
    wanted: SinkFilter = field(default_factory=SinkFilter)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    timeout_seconds: float = 10.0
    secret: str | None = None
    """The web-hook's secret, or the broker's password; it stands in a variable, never in the file."""
    topic: str = "memvit"
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None

    def __repr__(self) -> str:
        return f"SinkConfig({self.name}, {self.kind})"  # addresses may hold secrets


@dataclass(frozen=True)
class ServerConfig:
    """All of the file; what it does not name is None or empty."""

    streams: tuple[StreamConfig, ...] = ()
    rules: Rules | None = None
    sinks: tuple[SinkConfig, ...] = ()
    history: Path | None = None
    history_days: float | None = None
    heads: tuple[Path, ...] = ()
    """Files of taught actions."""
    record: RecordOptions | None = None
    archive: str | None = None
    """An archive that is shown under /archive: a path or a URL."""
    archive_labels: Path | None = None


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> ServerConfig:
    """Read a file. MemvitError with the line if something in it is wrong, or a variable that it names is not set."""
    return parse_config(read_rules_text(path, "the configuration"), str(path), environment)


def parse_config(text: str, where: str, environment: Mapping[str, str] = os.environ) -> ServerConfig:
    """The configuration from the text of a file; `where` names it in errors."""
    return _ConfigReader(where, environment).config(text)


class _ConfigReader(RulesReader):
    """Reads the sections that `RulesReader` does not know."""

    def __init__(self, where: str, environment: Mapping[str, str]) -> None:
        super().__init__(where)
        self._environment = environment

    def config(self, text: str) -> ServerConfig:
        """The whole document."""
        root = self.compose(text)
        if root is None:
            raise MemvitError(f"{self._where}: there is nothing in it; the sections are {', '.join(SECTIONS)}")
        top = self.mapping(root, SECTIONS, "the file")
        history = self.mapping(top["history"], ("folder", "days"), "history") if "history" in top else {}
        return ServerConfig(
            tuple(self._stream(node) for node in self.values(top.get("streams"))),
            self.rules(top) if top.keys() & {"rules", "zones"} else None,
            self._sinks(top),
            Path(self.text(history["folder"], "folder")) if "folder" in history else None,
            self.number(history["days"], "days", 0, math.inf) if "days" in history else None,
            tuple(Path(self.text(node, "head")) for node in self.values(top.get("heads"))),
            self._record(top["record"]) if "record" in top else None,
            *(self._archive(top["archive"]) if "archive" in top else ()),
        )

    def _archive(self, node: Any) -> tuple[str, Path | None]:
        if node.id == "scalar":
            return self.text(node, "archive"), None
        content = self.mapping(node, ("store", "labels"), "archive")
        if "store" not in content:
            self.fail(node, "the archive has no `store`")
        labels = Path(self.text(content["labels"], "labels")) if "labels" in content else None
        return self.text(content["store"], "store"), labels

    def _record(self, node: Any) -> RecordOptions:
        content = self.mapping(node, ("folder", *RECORD_KEYS), "record")
        if "folder" not in content:
            self.fail(node, "record needs a `folder`")
        values: dict[str, Any] = {
            key: self.number(content[key], key, least, math.inf) for key, least in RECORD_KEYS.items() if key in content
        }
        return RecordOptions(Path(self.text(content["folder"], "folder")).absolute(), **values)

    def _stream(self, node: Any) -> StreamConfig:
        if node.id == "scalar":
            return StreamConfig(self.text(node, "a stream"))
        content = self.mapping(node, ("source", "id", "realtime"), "a stream")
        if "source" not in content:
            self.fail(node, "this stream has no `source`")
        name = self.text(content["id"], "id") if "id" in content else None
        if name is not None and not is_id(name):
            self.fail(content["id"], "an id has 1 to 64 letters, digits, _ . - and begins with a letter or digit")
        realtime = self.flag(content["realtime"], "realtime") if "realtime" in content else False
        return StreamConfig(self.text(content["source"], "source"), name, realtime)

    def _sinks(self, top: dict[str, Any]) -> tuple[SinkConfig, ...]:
        found: dict[str, SinkConfig] = {}
        for node in self.values(top.get("sinks")):
            sink = self._sink(node)
            if sink.name in found:
                self.fail(node, f"there are two sinks with the name {sink.name}; give each its own")
            found[sink.name] = sink
        return tuple(found.values())

    def _sink(self, node: Any) -> SinkConfig:
        every_key = (*COMMON_KEYS, *KIND_KEYS, *(key for keys in KIND_KEYS.values() for key in keys))
        content = self.mapping(node, every_key, "a sink")
        kinds = [kind for kind in KIND_KEYS if kind in content]
        if "name" not in content or len(kinds) != 1:
            self.fail(node, f"a sink needs a `name`, and one of {', '.join(KIND_KEYS)}")
        (kind,) = kinds
        for key in content.keys() - {*COMMON_KEYS, kind, *KIND_KEYS[kind]}:
            self.fail(content[key], f"a sink of kind {kind} has no key `{key}`")
        name = self.text(content["name"], "name")
        states = self.texts(content.get("states")) or SinkFilter().states
        if unknown := set(states) - set(STATES):
            self.fail(content["states"], f"{unknown.pop()} is no state; the states are {', '.join(STATES)}")
        retry = RetryPolicy()
        if "give_up_seconds" in content:
            retry = RetryPolicy(give_up_seconds=self.number(content["give_up_seconds"], "give_up_seconds", 0, math.inf))
        secret_key = "secret_env" if kind == "webhook" else "password_env"
        timeout = content.get("timeout_seconds")
        return SinkConfig(
            name,
            kind,
            self._target(kind, content[kind]),
            SinkFilter(
                self.texts(content.get("rules")),
                self.texts(content.get("streams")),
                cast("tuple[EventState, ...]", tuple(states)),
            ),
            retry,
            10.0 if timeout is None else self.number(timeout, "timeout_seconds", 0.1, 600),
            self._variable(content.get(secret_key), secret_key),
            self.text(content["topic"], "topic") if "topic" in content else "memvit",
            self.flag(content["tls"], "tls") if "tls" in content else False,
            Path(self.text(content["ca_file"], "ca_file")) if "ca_file" in content else None,
            self.text(content["username"], "username") if "username" in content else None,
        )

    def _target(self, kind: str, node: Any) -> str:
        target = self.text(node, kind)
        if kind == "webhook":
            try:
                parts = urlsplit(target)
                is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            except ValueError:
                is_good = False
            if not is_good:
                self.fail(node, "webhook must be an address that begins with http:// or https://")
        elif kind == "mqtt":
            host, _, port = target.partition(":")
            if not host or "/" in target or (port and not (port.isdigit() and 0 < int(port) < 65536)):
                self.fail(node, "mqtt must be HOST or HOST:PORT")
        return target

    def _variable(self, node: Any, key: str) -> str | None:
        if node is None:
            return None
        name = self.text(node, key)
        if not self._environment.get(name):
            self.fail(node, f"the variable {name} is not set")
        return self._environment[name]
