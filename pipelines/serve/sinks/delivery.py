"""Sends the messages of one sink from the outbox, in order per stream, again and again until they are confirmed.

Several streams are sent beside each other. While the receiver is away, one thread tries from time to time.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .outbox import Outbox
from .sink import Message, MessageFailed, MessageRefused, Sender, SinkDown

log = logging.getLogger("memvit.serve")
LONGEST_WAIT_SECONDS = 60.0
"""The wall clock may be set, so nobody waits longer for a time that it will show."""
DOWN_AFTER = 2
"""So many requests in a row that reach nobody: the receiver is away, and not only one request was lost."""


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
    """Threads for one sink: a receiver that hangs delays no other sink."""

    def __init__(
        self,
        name: str,
        outbox: Outbox,
        senders: Sequence[Sender],
        policy: RetryPolicy,
        on_outcome: Callable[[str, str], None] = lambda sink, outcome: None,
    ) -> None:
        """Each sender has a thread. `on_outcome(sink, outcome)` counts attempts: sent, failed, refused."""
        self.name, self._outbox, self._policy = name, outbox, policy
        self._on_outcome = on_outcome
        self._rng = random.Random()
        self._lock = threading.Lock()
        """Held while what follows is read or changed."""
        self._sending: set[str] = set()
        """Streams of which a message is under way."""
        self._held_until: dict[str, float] = {}
        """Streams whose last message reached nobody, and the `time.monotonic()` until which they wait."""
        self._lost = 0
        """Requests in a row that reached nobody."""
        self._down_until = 0.0
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(sender,), name=f"sink {name}", daemon=True) for sender in senders
        ]

    def start(self) -> None:
        """Start to send."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_seconds: float = 15.0) -> None:
        """End after the messages at hand; what was not confirmed stays in the outbox."""
        until = time.monotonic() + timeout_seconds
        self._stopping.set()
        self._outbox.wake()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.0, until - time.monotonic()))

    def _run(self, sender: Sender) -> None:
        while not self._stopping.is_set():
            try:
                version = self._outbox.version
                message, seconds = self._take()
                if message is None:
                    self._outbox.wait(version, min(LONGEST_WAIT_SECONDS, max(0.0, seconds)))
                    continue
                try:
                    self._send(sender, message)
                finally:
                    with self._lock:
                        self._sending.discard(message.stream_id)
            except OSError as error:  # the outbox cannot be read or written
                log.warning("sink %s: the outbox cannot be used (%s); tried again", self.name, error)
                self._stopping.wait(self._policy.first_seconds)
        sender.close()

    def _take(self) -> tuple[Message | None, float]:
        """The next message, whose stream counts as being sent from now on, or how many seconds to wait."""
        with self._lock:
            now = time.monotonic()
            if self._is_down and self._sending:
                return None, LONGEST_WAIT_SECONDS  # whoever tries tells the others
            if self._is_down and now < self._down_until:
                return None, self._down_until - now
            self._held_until = {stream: until for stream, until in self._held_until.items() if until > now}
            without = self._sending | self._held_until.keys()
            message, next_unix = self._outbox.next(self.name, time.time(), without)
            if message is not None:
                self._sending.add(message.stream_id)
            held = min(self._held_until.values(), default=float("inf"))
            return message, min(next_unix - time.time(), held - now)

    @property
    def _is_down(self) -> bool:
        return self._lost >= DOWN_AFTER

    def _send(self, sender: Sender, message: Message) -> None:
        try:
            sender.send(message)
        except SinkDown as error:
            sender.close()
            self._on_outcome(self.name, "failed")
            self._note_lost(message, str(error))
            return
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
        self._note_answered()

    def _note_lost(self, message: Message, reason: str) -> None:
        """A request reached nobody: its stream waits, and all do once it is the receiver that is away."""
        with self._lock:
            until = time.monotonic() + self._policy.pause(self._lost, self._rng)
            self._lost += 1
            if self._is_down:
                self._down_until = until
                self._held_until.clear()
            else:
                self._held_until[message.stream_id] = until
            is_new = self._lost == DOWN_AFTER
        if is_new:
            log.warning("sink %s takes no messages: %s; they wait in the outbox", self.name, reason)

    def _note_answered(self) -> None:
        with self._lock:
            was_down, self._lost = self._is_down, 0
        if was_down:
            log.warning("sink %s takes messages again", self.name)
            self._outbox.wake()

    def _bury(self, message: Message, reason: str) -> None:
        log.warning("sink %s: message %s is a dead letter: %s", self.name, message.key, reason)
        self._outbox.bury(message, reason)
