"""Annotated pictures of a stream, drawn only while a client reads them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeAlias

from PIL import Image

from memvit.labels import Labels
from memvit.results.annotate import Annotator
from memvit.streams.watcher import ClipResult
from memvit.types import PreviewFrame

BOUNDARY = b"memvitframe"
JPEG_QUALITY = 80
POLL_SECONDS = 0.05
"""How often a client's stream of pictures looks for a new clip."""
LatestResult: TypeAlias = Callable[[], tuple[ClipResult, list[int]] | None]
"""Gives the last answered clip, and the numbers of its people."""


class Renderer:
    """Draws clips in one thread; clients that read the same stream share the pictures."""

    def __init__(self, labels: Labels) -> None:
        self._annotator = Annotator(labels)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="render")
        # The pictures of the last clip of each stream: one entry for each, until `forget`.
        self._drawn: dict[str, tuple[ClipResult, asyncio.Future[list[tuple[float, bytes]]]]] = {}

    async def pictures(self, answered: ClipResult, numbers: list[int]) -> list[tuple[float, bytes]]:
        """(seconds of the stream, JPEG) of a clip's preview frames."""
        known = self._drawn.get(answered.stream_id)
        if known is None or known[0] is not answered:
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._draw, answered, numbers)
            self._drawn[answered.stream_id] = known = answered, future
        return await asyncio.shield(known[1])

    def forget(self, stream_id: str) -> None:
        """Drop the pictures of a stream that was removed."""
        self._drawn.pop(stream_id, None)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def multipart(self, latest: LatestResult, is_there: Callable[[], bool]) -> AsyncIterator[bytes]:
        """A multipart stream of JPEGs at the speed of the video, one clip behind it, until the stream is removed."""
        seen: ClipResult | None = None
        while is_there():
            found = latest()
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
    """The picture as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture.image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
