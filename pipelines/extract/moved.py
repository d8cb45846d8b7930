"""Which video of an archive a file is: also one whose file has moved since it was extracted."""

from __future__ import annotations

from collections import defaultdict

from memvit.store import Archive, VideoState, fingerprint
from memvit.store.ids import video_id
from memvit.store.relocate import Move, is_missing, note_move
from memvit.video.sources.location import is_url, redact


class KnownVideos:
    """The videos of an archive, by place and content. Reads them all when a file comes that is not known by its id."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._by_location: dict[str, str] | None = None
        """Location → id, of videos whose id is not that of their location."""
        self._by_content: dict[tuple[int, str], list[VideoState]] = defaultdict(list)

    def id_of(self, location: str) -> tuple[str, str]:
        """Return the id of a file's video, and where its file was before, if it has moved; otherwise "".

        A file is a moved one if its content is that of a video whose own file is missing. Its new place is written.
        """
        identity = video_id(location)
        state = self._archive.video(identity)
        if is_url(location) or (state is not None and state.location in ("", redact(location))):
            return identity, ""  # Of a damaged one, the location is not known.
        if self._by_location is None:
            self._by_location = self._read()
        if location in self._by_location:
            return self._by_location[location], ""
        moved = self._moved(location)
        if moved is not None:
            note_move(self._archive, moved)
            self._by_location[location] = moved.state.id
            return moved.state.id, moved.state.location
        number = 0
        while self._archive.video(video_id(location, number)) is not None:
            number += 1
        identity = video_id(location, number)
        if number:
            self._by_location[location] = identity
        if self._archive.half_removed(identity):
            self._archive.forget(identity)
        return identity, ""

    def _read(self) -> dict[str, str]:
        found = {}
        for state in self._archive.videos():
            if state.location and not is_url(state.location) and state.id != video_id(state.location):
                found[state.location] = state.id
            if state.fingerprint is not None:
                self._by_content[state.fingerprint.size, state.fingerprint.digest].append(state)
        return found

    def _moved(self, location: str) -> Move | None:
        if not self._by_content:
            return None
        try:
            content = fingerprint(location)
        except OSError:
            return None  # Opening it will say why.
        alike = self._by_content.get((content.size, content.digest), []) if content is not None else []
        for state in alike:
            if is_missing(state):
                alike.remove(state)
                return Move(state, location)
        return None
