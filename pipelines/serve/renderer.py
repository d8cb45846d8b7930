"""Annotated pictures of a stream, drawn only while a client reads them."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from PIL import Image

from memvit.labels import Labels
from memvit.results.annotate import Annotator
from memvit.results.label import DEFAULT_MIN_SCORE
from memvit.results.result import Result
from memvit.streams.watcher import ClipResult
from memvit.types import Clip, PreviewFrame
from memvit.video.clips.sampler import preview_size

BOUNDARY = b"memvitframe"
JPEG_QUALITY = 80
POLL_SECONDS = 0.05
"""How often a client's stream of pictures looks for a new clip."""
MIN_WIDTH = 640
"""Smaller pictures are enlarged."""
TEXT_SCALE = 1.25
"""The page often shows pictures smaller than they are."""
Drawable: TypeAlias = Callable[[], tuple[ClipResult, Result | None] | None]
"""Gives the last clip that can be drawn, and the result after it if that is known."""
Pictures: TypeAlias = list[tuple[float, bytes]]
"""(seconds of the stream, JPEG) of each picture."""


class Renderer:
    """Draws clips in one thread; clients that read the same stream share the pictures."""

    def __init__(self, labels: Labels, min_score: float = DEFAULT_MIN_SCORE) -> None:
        self._labels, self._min_score = labels, min_score
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="render")
        # Of each stream, until `forget`: its annotator, and the pictures of its last clip.
        self._annotators: dict[str, Annotator] = {}
        self._drawn: dict[str, tuple[ClipResult, asyncio.Future[Pictures]]] = {}

    async def pictures(self, answered: ClipResult, following: Result | None = None) -> Pictures:
        """The clip's preview frames with the result drawn on them; `following` as in `Annotator.pictures`."""
        known = self._drawn.get(answered.stream_id)
        if known is None or known[0] is not answered:
            annotator = self._annotators.setdefault(
                answered.stream_id, Annotator(self._labels, min_score=self._min_score, text_scale=TEXT_SCALE)
            )
            future = asyncio.get_running_loop().run_in_executor(self._pool, self._draw, annotator, answered, following)
            self._drawn[answered.stream_id] = known = answered, future
        return await asyncio.shield(known[1])

    async def last_picture(self, answered: ClipResult) -> bytes | None:
        """The JPEG of the frame in which people were looked for last; None if the clip has no preview frames."""
        result = answered.result
        instant = result.trail[-1][0] if result.trail else result.centre_seconds
        pictures = await self.pictures(answered)
        return min(pictures, key=lambda picture: abs(picture[0] - instant))[1] if pictures else None

    def forget(self, stream_id: str) -> None:
        """Drop the pictures of a stream that was removed."""
        for kept in (self._annotators, self._drawn):
            kept.pop(stream_id, None)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def multipart(self, latest: Drawable, is_there: Callable[[], bool]) -> AsyncIterator[bytes]:
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

    def _draw(self, annotator: Annotator, answered: ClipResult, following: Result | None) -> Pictures:
        drawn = annotator.pictures(enlarged(answered.clip), answered.result, following)
        return [(picture.pts_seconds, jpeg_of(picture)) for picture in drawn]


def enlarged(clip: Clip) -> Clip:
    """The clip with preview frames that are wide enough for text."""
    if not clip.preview:
        return clip
    height, width, _ = clip.preview[0].image.shape
    size = preview_size(width, height, max(MIN_WIDTH, width // 2 * 2))
    if size == (width, height):
        return clip
    return replace(
        clip,
        preview=tuple(
            PreviewFrame(frame.pts_seconds, np.asarray(Image.fromarray(frame.image).resize(size)))
            for frame in clip.preview
        ),
    )


def jpeg_of(picture: PreviewFrame) -> bytes:
    """The picture as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture.image).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
