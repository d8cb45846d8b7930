"""MQTT as a sink: QoS 1, and the last state of each stream and rule is retained by the broker."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from .sink import Message, SinkDown


@dataclass(frozen=True)
class MqttOptions:
    """Where the broker is, and how to log in."""

    host: str
    port: int = 1883
    prefix: str = "memvit"
    """Messages have the topic PREFIX/STREAM/RULE."""
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: str | None = None
    timeout_seconds: float = 10.0


class MqttSender:
    """A `Sender`. A message counts as sent when the broker has confirmed it. After a failure the connection is made
    anew, so that a message that waits in it is not sent besides.
    """

    def __init__(self, options: MqttOptions) -> None:
        self._options = options
        self._client: paho.Client | None = None

    def send(self, message: Message) -> None:
        """Publish a message and return once the broker has confirmed it; SinkDown if it does not."""
        try:
            client = self._connected()
            info = client.publish(topic(self._options.prefix, message), message.body, qos=1, retain=True)
            info.wait_for_publish(self._options.timeout_seconds)
            is_confirmed = info.is_published()
        except (OSError, ValueError, RuntimeError) as error:
            self.close()
            raise SinkDown(getattr(error, "strerror", None) or str(error)) from error
        if not is_confirmed:
            self.close()
            raise SinkDown("the broker did not confirm a message in time")

    def close(self) -> None:
        """Leave the broker; the next message connects again."""
        if self._client is not None:
            self._client.disconnect()
            self._client.loop_stop()
            self._client = None

    def _connected(self) -> paho.Client:
        if self._client is not None and self._client.is_connected():
            return self._client
        self.close()
        options = self._options
        client = paho.Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        client.connect_timeout = options.timeout_seconds
        if options.username is not None:
            client.username_pw_set(options.username, options.password)
        if options.tls:
            client.tls_set(ca_certs=str(options.ca_file) if options.ca_file is not None else None)
        answers: SimpleQueue[object] = SimpleQueue()
        client.on_connect = lambda client, data, flags, reason, properties: answers.put(reason)
        client.connect(options.host, options.port)
        client.loop_start()
        self._client = client
        try:
            reason = answers.get(timeout=options.timeout_seconds)
        except Empty:
            raise RuntimeError("the broker did not answer in time") from None
        if not client.is_connected():
            raise RuntimeError(f"the broker refused the connection ({reason})")
        return client


def topic(prefix: str, message: Message) -> str:
    """PREFIX/STREAM/RULE; characters that mean something in topics become underscores."""
    return "/".join([prefix, *(re.sub(r"[/+#\x00]", "_", part) for part in (message.stream_id, message.rule))])
