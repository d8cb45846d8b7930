"""Annotated pictures of a stream, drawn only while somebody looks."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from memvit.labels import Labels
from memvit.results.annotate import Annotator
from memvit.streams.watcher import ClipResult
from memvit.types import PreviewFrame

BOUNDARY = b"memvitframe"
QUALITY = 80
POLL_SECONDS = 0.05
Look = Callable[[], tuple[ClipResult, list[int]] | None]
"""The last clip that was answered, and the numbers of its people."""


class Renderer:
    """Draws clips in one thread; viewers of the same stream share the pictures."""

    def __init__(self, labels: Labels) -> None:
        self._annotator = Annotator(labels)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="paint")
        self._drawn: dict[str, tuple[ClipResult, asyncio.Future[list[tuple[float, bytes]]]]] = {}

    async def pictures(self, answered: ClipResult, numbers: list[int]) -> list[tuple[float, bytes]]:
        """(seconds of the stream, JPEG) of a clip's preview frames."""
        known = self._drawn.get(answered.stream_id)
        if known is None or known[0] is not answered:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._draw, answered, numbers)
            self._drawn[answered.stream_id] = known = answered, future
        return await asyncio.shield(known[1])

    def forget(self, stream_id: str) -> None:
        """A stream is no more."""
        self._drawn.pop(stream_id, None)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def multipart(self, look: Look, is_there: Callable[[], bool]) -> AsyncIterator[bytes]:
        """A multipart stream of JPEGs at the pace of the video, one clip behind it, until the stream is gone."""
        seen: ClipResult | None = None
        while is_there():
            found = look()
            if found is None or found[0] is seen:
                await asyncio.sleep(POLL_SECONDS)
                continue
            seen = found[0]
            pictures = await self.pictures(*found)
            began = time.monotonic()
            for seconds, jpeg in pictures:
                await asyncio.sleep(max(0.0, began + seconds - pictures[0][0] - time.monotonic()))
                yield (
                    b"--" + BOUNDARY + b"\r\nContent-Type: image/jpeg\r\nContent-Length: "
                    + str(len(jpeg)).encode() + b"\r\n\r\n" + jpeg + b"\r\n"
                )  # fmt: skip

    def _draw(self, answered: ClipResult, numbers: list[int]) -> list[tuple[float, bytes]]:
        drawn = self._annotator.pictures(answered.clip, answered.result, numbers)
        return [(picture.pts_seconds, jpeg_of(picture)) for picture in drawn]


def jpeg_of(picture: PreviewFrame) -> bytes:
    """Encoded."""
    file = io.BytesIO()
    Image.fromarray(picture.image).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
