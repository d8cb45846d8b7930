"""A contact sheet of an archive: one HTML file with films, their actions over time and their best moments.

Everything is in the file, pictures too, so that it needs no server and no network; it has no scripts.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from memvit.results.colours import GROUND, score_colour, to_hex
from memvit.store import Archive, VideoState
from memvit.store.find import columns_of
from memvit.store.lock import writer_of
from memvit.types import MemvitError
from memvit.video.sources.location import redact, source_name
from pipelines.clock import clock
from pipelines.find import counted

from .film_file import FilmFiles, FilmMissing, film_name
from .library import shown_state
from .pictures import SIZES, frames_of, to_jpeg
from .strips import Strip, StripRow, strip_of

PARTS = 200
ROW_HEIGHT = 12
STEPS = 20
"""Scores are drawn in so many steps, so that equal neighbours are one rectangle."""
STYLE = (Path(__file__).parent / "sheet.css").read_text(encoding="utf-8")
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class SheetOptions:
    """What is on a contact sheet."""

    films: int = 100
    """Largest number of films."""
    moments: int = 4
    """Pictures of each film."""
    rows: int = 5
    """Actions of each film."""
    actions: tuple[str, ...] = ()
    """Actions that are shown; those that last longest by default."""
    video: str = ""
    """A part of the names of the films that are shown."""
    max_bytes: int = 20 << 20
    """The file is at most about so large."""


@dataclass
class SheetCounts:
    """What became of the films."""

    shown: int = 0
    films: int = 0
    """All that fit the options."""
    without_pictures: int = 0
    bytes: int = 0

    def sentence(self) -> str:
        """For people."""
        shown = (
            f"{self.shown} of {counted(self.films, 'film')}" if self.shown < self.films else counted(self.shown, "film")
        )
        missing = f", {self.without_pictures} without pictures" if self.without_pictures else ""
        return f"{shown} shown{missing}"


def write_sheet(store: str, out: Path, options: SheetOptions) -> SheetCounts:
    """Write a sheet; a file that is there is replaced as a whole. MemvitError if that is impossible."""
    archive = Archive.open(store)
    columns = columns_of(archive.provenance, options.actions) if options.actions else None
    wanted = options.video.casefold()
    ids = [film_id for film_id in archive.video_ids() if wanted in film_id.casefold()]
    counts = SheetCounts(films=len(ids))
    name = source_name(store.rstrip("/"))
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            counts.bytes += file.write(_head(name, archive))
            for part in _films(archive, ids, columns, options, counts):
                counts.bytes += file.write(part)
            file.write(f"</main><footer>{escape(counts.sentence())}.{_more(counts)}</footer></body></html>\n")
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)
    return counts


def _films(
    archive: Archive, ids: Sequence[str], columns: Sequence[int] | None, options: SheetOptions, counts: SheetCounts
) -> Iterator[str]:
    files = FilmFiles()
    for film_id in ids:
        if counts.shown >= options.films:
            return
        state = archive.video(film_id)
        if state is None:
            continue
        part = _film(archive, state, columns, options, files, counts)
        if counts.bytes + len(part) > options.max_bytes:
            return
        counts.shown += 1
        yield part


def _film(
    archive: Archive,
    state: VideoState,
    columns: Sequence[int] | None,
    options: SheetOptions,
    files: FilmFiles,
    counts: SheetCounts,
) -> str:
    facts = [] if state.duration_seconds is None else [clock(state.duration_seconds)]
    facts += [] if not state.persons else [f"{state.persons} {'person' if state.persons == 1 else 'people'}"]
    title = f'<h2 title="{escape(redact(state.location))}"><bdi>{escape(film_name(state))}</bdi></h2>'
    if state.state != "done":
        words = shown_state(state, writer_of(archive.location))
        about = f"{words}: {state.reason}" if state.reason else words
        return f'<section>{title}<p class="problem">{escape(about)}</p></section>\n'
    try:
        strip = strip_of(archive, state, parts=PARTS, rows=options.rows, columns=columns)
    except MemvitError:
        raise
    except Exception:  # A damaged array leads to exceptions of many types.
        return f'<section>{title}<p class="problem">damaged in the archive</p></section>\n'
    pictures, problem = _pictures(state, strip, options, files)
    if problem:
        counts.without_pictures += 1
        pictures = f'<p class="problem">{escape(problem)}</p>'
    about = f'<p class="facts">{escape(" · ".join(facts))}</p>'
    return f"<section>{title}{about}{_strip(strip)}{pictures}</section>\n"


def _pictures(state: VideoState, strip: Strip, options: SheetOptions, files: FilmFiles) -> tuple[str, str]:
    """The best moments as figures, or why there are none."""
    figures = []
    try:
        for row, seconds in _best_moments(strip, options.moments):
            start = max(0.0, seconds)
            jpeg = b64encode(to_jpeg(frames_of(files, state, start, SIZES["thumb"]))).decode()
            words = f"{row.action} {row.scores.max():.2f} at {clock(seconds)}"
            figures.append(
                f'<figure><img src="data:image/jpeg;base64,{jpeg}" alt="{escape(words)}">'
                f"<figcaption>{escape(words)}</figcaption></figure>"
            )
    except FilmMissing as error:
        return "", str(error)
    return f'<div class="moments">{"".join(figures)}</div>', ""


def _best_moments(strip: Strip, count: int) -> list[tuple[StripRow, float]]:
    """The best moment of each action, in the order of time; the highest scores first, where there are too many."""
    best = sorted(strip.rows, key=lambda row: -float(row.scores.max()))[:count]
    return sorted(((row, strip.seconds_of(row.peak_part)) for row in best), key=lambda pair: pair[1])


def _strip(strip: Strip) -> str:
    if not strip.rows:
        return '<p class="facts">No action reaches a score of 0.3.</p>'
    rows = "".join(f"<li>{escape(row.action)}</li>" for row in strip.rows)
    step = ROW_HEIGHT + 3
    height = len(strip.rows) * step - 3
    drawn = "".join(_rects(row, place * step) for place, row in enumerate(strip.rows))
    end = clock(strip.start_seconds + strip.parts * strip.part_seconds)
    return (
        f'<div class="strip"><ul>{rows}</ul><svg viewBox="0 0 {strip.parts} {height}" height="{height}" '
        f'preserveAspectRatio="none" role="img" aria-label="actions from 0:00 to {end}">{drawn}</svg></div>'
    )


def _rects(row: StripRow, top: int) -> str:
    """Neighbouring parts with about the same score are one rectangle."""
    levels = [round(float(score) * STEPS) for score in row.scores]
    found = [f'<rect y="{top}" width="{len(levels)}" height="{ROW_HEIGHT}" fill="{to_hex(GROUND)}"/>']
    begin = 0
    for place in range(1, len(levels) + 1):
        if place == len(levels) or levels[place] != levels[begin]:
            if levels[begin] > 0:
                colour = to_hex(score_colour(levels[begin] / STEPS))
                found.append(
                    f'<rect x="{begin}" y="{top}" width="{place - begin}" height="{ROW_HEIGHT}" fill="{colour}"/>'
                )
            begin = place
    return "".join(found)


def _head(name: str, archive: Archive) -> str:
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{escape(name)}</title><style>{STYLE}</style></head>\n"
        f"<body><header><h1><bdi>{escape(name)}</bdi></h1><p>{escape(archive.provenance.model)}</p></header><main>\n"
    )


def _more(counts: SheetCounts) -> str:
    return " memvit sheet shows more with --films and --max-megabytes." if counts.shown < counts.films else ""
