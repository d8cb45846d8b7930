"""Small pictures of films, made when they are asked for: several frames side by side in one JPEG, which a page moves.

A JPEG shows what every browser can draw, whatever codec the film has. The number of decoders, of requests that wait
for one, and of bytes that are kept is bounded.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from PIL import Image

from memvit.store import VideoState
from memvit.types import Image as Pixels
from memvit.types import MemvitError, SourceError
from memvit.video.sources.open import open_source
from memvit.video.sources.source import Source

from .film_file import FilmFiles, FilmMissing

QUALITY = 78
MAX_SIDE = 4
"""A picture is at most so many times as high as it is wide; a longer one is cut."""


@dataclass(frozen=True)
class PictureSize:
    """How many frames, how wide each, and how far apart."""

    frames: int
    width: int
    """In pixels, of one frame."""
    step_seconds: float = 0.4


SIZES = {
    "small": PictureSize(8, 192),
    "large": PictureSize(8, 480),
    "one": PictureSize(1, 720),
    "thumb": PictureSize(1, 192),
}


class TooManyDecoders(MemvitError):
    """So many pictures are being made that this one has to be asked for again."""


class PictureMaker:
    """Makes pictures, a few at a time, and keeps the last ones."""

    def __init__(self, files: FilmFiles, *, decoders: int = 2, waiting: int = 12, cache_bytes: int = 64 << 20) -> None:
        self.files = files
        self._decoders = threading.Semaphore(decoders)
        self._places = threading.Semaphore(decoders + waiting)
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._cache_bytes, self._bytes = cache_bytes, 0

    def picture(self, state: VideoState, start_seconds: float, size: PictureSize) -> bytes:
        """A JPEG of `size.frames` frames beside each other, the first one at a time of the film.

        FilmMissing if the film cannot be opened, TooManyDecoders if others wait already.
        """
        key = (state.id, state.fingerprint, round(start_seconds, 1), size)
        with self._lock:
            kept = self._cache.get(key)
            if kept is not None:
                self._cache.move_to_end(key)
                return kept
        if not self._places.acquire(blocking=False):
            raise TooManyDecoders("many pictures are being made; ask again in a second")
        try:
            with self._decoders:
                made = to_jpeg(frames_of(self.files, state, max(0.0, start_seconds), size))
        finally:
            self._places.release()
        self._keep(key, made)
        return made

    def _keep(self, key: tuple[object, ...], made: bytes) -> None:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = made
                self._bytes += len(made)
            while self._bytes > self._cache_bytes:
                _, oldest = self._cache.popitem(last=False)
                self._bytes -= len(oldest)


def frames_of(files: FilmFiles, state: VideoState, start_seconds: float, size: PictureSize) -> list[Pixels]:
    """Decode frames of a film; where it ends earlier, the last one is repeated. FilmMissing if that is impossible."""
    with files.opened(state) as film:
        try:
            source = open_source(film.path, from_seconds=start_seconds, decoder_threads=1)
            with source:
                return _take(source, start_seconds, size)
        except SourceError as error:
            # The location would be that of the open file, which tells nobody anything.
            reason = str(error).removeprefix(film.path).removeprefix(":").strip()
            raise FilmMissing(f"this film cannot be decoded: {reason}") from error


def _take(source: Source, start_seconds: float, size: PictureSize) -> list[Pixels]:
    found: list[Pixels] = []
    last: Pixels | None = None
    try:
        for frame in source:
            if frame.pts_seconds >= start_seconds + len(found) * size.step_seconds - 1e-3 or last is None:
                found.append(last := _fitted(frame.rgb(width=size.width), size.width))
            if len(found) == size.frames:
                return found
    except SourceError:
        if last is None:
            raise
    if last is None:
        raise SourceError("there is no frame at this time", "data")
    return found + [last] * (size.frames - len(found))


def _fitted(pixels: Pixels, width: int) -> Pixels:
    return pixels[: MAX_SIDE * width]


def to_jpeg(frames: list[Pixels]) -> bytes:
    """Frames beside each other, as a JPEG. A frame of another height than the first is cut or filled with black."""
    height, width = frames[0].shape[:2]
    whole = np.zeros((height, width * len(frames), 3), np.uint8)
    for place, frame in enumerate(frames):
        part = frame[:height, :width]
        whole[: part.shape[0], place * width : place * width + part.shape[1]] = part
    file = io.BytesIO()
    Image.fromarray(whole).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
