"""Losses, new sessions and ends of streams in the server's log, without credentials."""

from __future__ import annotations

import logging

from memvit.streams.events import SessionBegan, StreamLost, StreamStalled
from memvit.streams.group import StreamEnded, StreamFailed, StreamOpened

from .handle import WorkerEvent

log = logging.getLogger("memvit.serve")


def log_event(event: WorkerEvent) -> None:
    """Warnings for what an operator should see; openings and ends at level INFO; results are not logged."""
    match event:
        case StreamLost(stream_id=stream_id, reason=reason, retry_seconds=seconds):
            log.warning("stream %s is lost: %s; the next attempt follows in %.0f s", stream_id, reason, seconds)
        case StreamStalled(stream_id=stream_id, silent_seconds=seconds):
            log.warning("stream %s: nothing has come for %.0f s", stream_id, seconds)
        case SessionBegan(stream_id=stream_id, session=session, reason=reason):
            log.warning("stream %s: session %d begins without memory: %s", stream_id, session, reason)
        case StreamFailed(stream_id=stream_id, reason=reason):
            log.error("stream %s has failed: %s", stream_id, reason)
        case StreamOpened(stream_id=stream_id, info=info):
            log.info("stream %s is open, %d×%d", stream_id, info.width, info.height)
        case StreamEnded(stream_id=stream_id):
            log.info("stream %s has ended", stream_id)
