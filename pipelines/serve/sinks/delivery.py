"""Sends the messages of one sink from the outbox, in order per stream, again and again until they are confirmed."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .outbox import Outbox
from .sink import Message, MessageFailed, MessageRefused, Sender, SinkDown

log = logging.getLogger("memvit.serve")
LONGEST_WAIT_SECONDS = 60.0
"""The wall clock may be set, so nobody waits longer for a time that it will show."""


@dataclass(frozen=True)
class RetryPolicy:
    """When a message is sent again, and when it is given up."""

    first_seconds: float = 1.0
    """Until the second attempt; each further pause is twice as long, varied at random by up to a fifth."""
    longest_seconds: float = 60.0
    give_up_seconds: float = 86400.0
    """A message that the receiver answers but does not take becomes a dead letter after this time; one that cannot
    reach the receiver waits without end."""

    def pause(self, attempts: int, rng: random.Random) -> float:
        """Seconds after so many attempts."""
        pause = min(self.longest_seconds, self.first_seconds * 2.0 ** min(attempts, 30))
        return pause * rng.uniform(0.8, 1.2)


class Delivery:
    """A thread for one sink: a receiver that hangs delays no other sink."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        sender: Sender,
        policy: RetryPolicy,
        on_outcome: Callable[[str, str], None] = lambda sink, outcome: None,
    ) -> None:
        """`on_outcome(sink, outcome)` counts attempts: sent, failed, refused."""
        self.name, self._outbox, self._sender, self._policy = name, outbox, sender, policy
        self._on_outcome = on_outcome
        self._rng = random.Random()
        self._down_attempts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)

    def start(self) -> None:
        """Start to send."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 15.0) -> None:
        """End after the message at hand; what was not confirmed stays in the outbox."""
        self._stopping.set()
        self._outbox.wake()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                version = self._outbox.version
                message, next_unix = self._outbox.next(self.name, time.time())
                if message is None:
                    self._outbox.wait(version, min(LONGEST_WAIT_SECONDS, max(0.0, next_unix - time.time())))
                else:
                    self._send(message)
            except OSError as error:  # the outbox cannot be read or written
                log.warning("sink %s: the outbox cannot be used (%s); tried again", self.name, error)
                self._stopping.wait(self._policy.first_seconds)
        self._sender.close()

    def _send(self, message: Message) -> None:
        try:
            self._sender.send(message)
        except SinkDown as error:
            self._sink_is_down(str(error))
        except MessageFailed as error:
            self._on_outcome(self.name, "failed")
            if self._outbox.age_seconds(message) > self._policy.give_up_seconds:
                self._bury(message, str(error))
            else:
                pause = self._policy.pause(message.attempts, self._rng)
                self._outbox.failed(message, str(error), time.time() + pause)
        except MessageRefused as error:
            self._on_outcome(self.name, "refused")
            self._bury(message, str(error))
        else:
            self._on_outcome(self.name, "sent")
            self._outbox.sent(self.name, message)
            if self._down_attempts:
                log.warning("sink %s takes messages again", self.name)
            self._down_attempts = 0

    def _sink_is_down(self, reason: str) -> None:
        self._on_outcome(self.name, "failed")
        if not self._down_attempts:
            log.warning("sink %s takes no messages: %s; they wait in the outbox", self.name, reason)
        self._sender.close()
        self._stopping.wait(self._policy.pause(self._down_attempts, self._rng))
        self._down_attempts += 1

    def _bury(self, message: Message, reason: str) -> None:
        log.warning("sink %s: message %s is a dead letter: %s", self.name, message.key, reason)
        self._outbox.bury(message, reason)
