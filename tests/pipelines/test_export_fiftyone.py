"""`memvit export --to fiftyone`: FiftyOne's own format, in which boxes and intervals are those of the archive.

FiftyOne itself needs a database, so the documents are compared with the fields that the data set declares.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import memvit.store
from memvit.store import Archive, Library
from memvit.video.writer import VideoWriter
from pipelines.cli.app import app
from tests.store.test_find import CLASSES, create, drawn

FRAMES, RATE = 170, 2.0


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Library:
    """Four videos, of which the files of the first two are there."""
    folder = tmp_path_factory.mktemp("fiftyone")
    with VideoWriter(folder / "film.mp4", frames_per_second=RATE) as writer:
        for number in range(FRAMES):
            writer.write(np.zeros((48, 64, 3), dtype=np.uint8), number / RATE)
    (folder / "same.mp4").symlink_to(folder / "film.mp4")
    archive = create(str(folder / "a.zarr"), "people")
    for number, name in enumerate(["film.mp4", "same.mp4"]):
        state = archive.video(f"v-{number}")
        assert state is not None
        archive.put(replace(state, location=str(folder / name)))
    return memvit.store.open(archive.location)


def export(archive: Archive, *words: object) -> tuple[int, str]:
    command = ["export", archive.location, "--to", "fiftyone", *map(str, words)]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.fixture(scope="module")
def folder(archive: Library, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "data"
    media = Path(archive.location).parent
    code, output = export(archive, "--out", out, "--media", media)
    assert code == 1 and "left out: v-2: /films/v-2.mp4 is no file here" in output and "2 videos" in output, output
    return out


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / f"{name}.json").read_text())


def test_intervals_are_those_that_find_finds(folder: Path, archive: Library) -> None:
    samples = read(folder, "samples")["samples"]
    files = {sample["memvit_id"]: sample["filepath"] for sample in samples}
    assert files == {"v-0": "film.mp4", "v-1": "same.mp4"}
    assert samples[0]["metadata"]["frame_rate"] == RATE and samples[0]["metadata"]["total_frame_count"] == FRAMES
    for sample in samples:
        labels = sample["actions"]["detections"]
        found = [(label["label"], label.get("person"), label["support"], label["confidence"]) for label in labels]
        expected = []
        for name in CLASSES:
            for one in archive.find(name, video=sample["memvit_id"]):
                support = [1 + round(seconds * RATE) for seconds in (one.start_seconds, one.end_seconds)]
                expected.append((name, one.person, support, round(one.peak_score, 4)))
        assert found == expected != []


def test_boxes_are_in_the_frame_of_their_clip(folder: Path) -> None:
    frames = read(folder, "frames")["frames"]
    ids = {sample["_id"]["$oid"]: sample["memvit_id"] for sample in read(folder, "samples")["samples"]}
    found = [
        (ids[frame["_sample_id"]["$oid"]], frame["frame_number"], person.get("index", -1), person["confidence"])
        for frame in frames
        for person in frame["people"]["detections"]
    ]
    expected = []
    for seed in range(2):
        part = drawn(seed, "people")
        seconds = np.repeat(part.clips["seconds"], part.clips["people"])
        best = part.people["action_scores"].max(axis=1)
        for second, person, score in zip(seconds, part.people["person"], best, strict=True):
            expected.append((f"v-{seed}", 1 + round(float(second) * RATE), int(person), round(float(score), 4)))
    assert found == expected
    one = frames[0]["people"]["detections"][0]
    assert one["bounding_box"] == pytest.approx([0.1, 0.1, 0.4, 0.8])
    assert one["label"] == one["actions"][0] and one["scores"] == sorted(one["scores"], reverse=True)
    assert min(one["scores"]) >= 0.5


def test_every_value_is_of_a_field_that_is_declared(folder: Path) -> None:
    """Else FiftyOne shows and filters nothing of it."""
    metadata = read(folder, "metadata")
    assert metadata["media_type"] == "video" and metadata["version"] == "1.4.0" and metadata["name"] == "data"
    for documents, fields in (("samples", "sample_fields"), ("frames", "frame_fields")):
        declared = metadata[fields]
        for document in read(folder, documents)[documents]:
            check(document, declared)


def check(document: dict[str, Any], fields: list[dict[str, Any]]) -> None:
    known = {field["db_field"]: field for field in fields}
    for key in document.keys() - {"_cls", "attributes"}:
        kind, value = known[key]["ftype"].rpartition(".")[2], document[key]
        if kind == "EmbeddedDocumentField":
            assert known[key]["embedded_doc_type"].endswith(f".{value['_cls']}")
            check(value, known[key]["fields"])
        elif known[key]["fields"]:
            for item in value:
                check(item, known[key]["fields"])
        elif kind == "ObjectIdField":
            assert len(bytes.fromhex(value["$oid"])) == 12
        elif kind in ("IntField", "FloatField", "StringField"):
            assert type(value) in {"IntField": (int,), "FloatField": (float, int), "StringField": (str,)}[kind], key


def test_only_an_earlier_data_set_is_replaced(archive: Library, folder: Path, tmp_path: Path) -> None:
    before = read(folder, "samples")["samples"]
    out = folder.parent / "again"
    for _ in range(2):
        assert export(archive, "--out", out)[0] == 1
    again = read(out, "samples")["samples"]
    assert [sample["_id"] for sample in again] == [sample["_id"] for sample in before]
    assert Path(again[0]["filepath"]).is_absolute() and sorted(path.name for path in folder.parent.iterdir()) == [
        "again",
        "data",
    ]
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    code, output = export(archive, "--out", tmp_path)
    assert code == 1 and "this folder holds other files" in output and (tmp_path / "photo.jpg").exists()
