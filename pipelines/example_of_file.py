"""Takes an example for a search from a file that is not in the archive, with the archive's own model."""

from __future__ import annotations

from dataclasses import replace

from memvit.boxes import BoxSource
from memvit.engine.engine import Engine
from memvit.engine.settings import ModelSettings
from memvit.results.result import Result
from memvit.store import Archive, Example, Provenance
from memvit.store.persons import tracker_settings
from memvit.store.provenance import difference_of
from memvit.store.similar import choose_person
from memvit.types import MemvitError
from memvit.video.sources.location import source_name
from pipelines.extract.extractor import read_settings
from pipelines.extract.people import ClipPeople, people_for
from pipelines.extract.reading import ClipRead
from pipelines.extract.run import provenance_of
from pipelines.extract.segment import appearance_of
from pipelines.extract.tasks import ClipRange, ExtractOptions

STREAM = "example"
MUST_AGREE = ("model", "weights_sha256", "config", "sampling", "precision", "remember")
"""Fields of the provenance on which features depend."""


def example_of_file(
    archive: Archive, location: str, seconds: float, settings: ModelSettings, *, people: bool, person: int | None
) -> Example:
    """Return the clip or person at a time of a file or URL.

    MemvitError if there is no such moment, or if `settings` describe another model than the archive's.
    """
    result = _result_at(archive, location, seconds, _as_archive(settings, archive.provenance, people=people))
    if not people:
        assert result.features is not None
        return Example(result.features)
    if result.boxes is None or result.box_features is None:
        raise MemvitError(f"{archive.location}: its model classifies whole clips, not people; search without --people")
    numbers = range(1, len(result.boxes) + 1) if result.boxes.persons is None else result.boxes.persons.tolist()
    place = choose_person(list(numbers), person, f"{location} at {result.centre_seconds:g} s, by descending score")
    return Example(result.box_features[place])


def _as_archive(settings: ModelSettings, made_with: Provenance, *, people: bool) -> ModelSettings:
    """Take from the archive what the user did not say: model, precision, boxes."""
    spec, _, threshold = made_with.boxes.partition(" from ")
    boxes = settings.boxes
    if boxes is None and spec.split(" ")[0].endswith(".csv"):
        if people:
            raise MemvitError("the boxes of this archive are from a file; name those of the example with --boxes")
        boxes = "full"  # The features of whole clips do not depend on boxes.
    elif boxes is None:
        boxes = spec or None
        settings = replace(settings, boxes_threshold=float(threshold) if threshold else settings.boxes_threshold)
    return replace(
        settings,
        model=made_with.model if settings.model is None and settings.checkpoint is None else settings.model,
        precision=made_with.precision if settings.precision == "auto" else settings.precision,
        remember=made_with.remember,
        boxes=boxes,
    )


def _result_at(archive: Archive, location: str, seconds: float, settings: ModelSettings) -> Result:
    """Return what the model says of the clip at a time, after all clips on which that depends."""
    engine, names, boxes = settings.build()
    made_with = archive.provenance
    sampling = made_with.sampling
    options = ExtractOptions(
        hop_seconds=float(sampling["hop_seconds"]),
        frames_per_second=float(sampling.get("frames_per_second", 30.0)),
        start_seconds=float(sampling.get("start_seconds", 0.0)),
    )
    now = provenance_of(engine, names, boxes, settings, options, made_with.stored_as)
    difference = difference_of(made_with.plain(), now, MUST_AGREE)
    if difference is not None:
        raise MemvitError(
            f"{archive.location}: it was made with {difference}; name the model of the archive with --model and "
            "--checkpoint"
        )
    number = round(seconds / options.hop_seconds)
    clips = ClipRange(None if engine.reach_clips is None else number - engine.reach_clips, number + 1)
    people = people_for(engine, tracker_settings(made_with.tracking))
    last: tuple[int, Result] | None = None
    index = 0
    for event in read_settings(engine.preprocessing, boxes, options).events(STREAM, location, clips):
        if isinstance(event, ClipRead):
            if event.numbered.begins_session:
                engine.forget(STREAM)
                index = 0
                if people is not None:
                    people.begin_session()
            last = event.numbered.number, _step(engine, boxes, people, event, location, index)
            index += 1
    if last is None or last[0] != number:
        raise MemvitError(f"{location}: there is no clip at {seconds:g} s; name a time within the video")
    return last[1]


def _step(
    engine: Engine, boxes: BoxSource | None, people: ClipPeople | None, event: ClipRead, location: str, index: int
) -> Result:
    clip = replace(event.numbered.clip, stream_id=source_name(location))
    found = boxes.boxes([clip]) if boxes is not None else None
    if people is not None and found is not None and found[0].persons is None:
        found = [people.numbered(clip.centre_seconds, found[0], appearance_of(clip, found[0]))]
    return engine.step([replace(clip, stream_id=STREAM, index=index)], found)[0]
