"""`memvit detect`: results, pictures, and what cannot be read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pycocotools.coco import COCO
from typer.testing import CliRunner

from memvit.datasets.pictures import read_picture
from memvit.detection import Detections
from memvit.detection.masks import PackedMasks
from memvit.labels import labels_for
from memvit.results.colours import person_colour
from pipelines.cli.app import app
from pipelines.detect.draw import draw_detections
from pipelines.detect.pictures import find_pictures
from tests.golden.fill_detection import image

SMALL = ("--model", "mask_rcnn_mvitv2_tiny", "--short-side", "64", "--device", "cpu")
TINY = (*SMALL, "--random-weights", "--min-score", "0")


def save(path: Path, height: int = 48, width: int = 64, **options: Any) -> Path:
    Image.fromarray(image(path.name, height, width).transpose(1, 2, 0)).save(path, **options)
    return path


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["detect", *map(str, words)], env={"COLUMNS": "80", "TERM": "dumb"})
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


def read(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def test_a_folder_becomes_results_and_pictures(tmp_path: Path) -> None:
    save(tmp_path / "000000000139.png")
    save(tmp_path / "000000000285.png", 70, 50)
    out = tmp_path / "out"
    code, said = run(tmp_path, *TINY, "--annotate", "--out", out)
    assert code == 0 and "200 objects in 2 pictures" in said
    rows = read(out / "detections.json")
    assert {row["image_id"] for row in rows} == {139, 285}
    assert {tuple(row["segmentation"]["size"]) for row in rows if row["image_id"] == 285} == {(70, 50)}
    assert read(out / "images.json")[1] == {"id": 285, "file_name": "000000000285.png", "width": 50, "height": 70}
    with Image.open(out / "000000000285.jpg") as drawn:
        assert drawn.size == (50, 70)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_results_are_as_coco_reads_them(tmp_path: Path) -> None:
    save(tmp_path / "7.png")
    run(tmp_path, *TINY, "--out", tmp_path / "out")
    categories = [{"id": number, "name": str(number)} for number in range(1, 91)]
    truth = {"images": read(tmp_path / "out" / "images.json"), "annotations": [], "categories": categories, "info": {}}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    loaded = COCO(str(tmp_path / "truth.json")).loadRes(str(tmp_path / "out" / "detections.json"))
    assert len(loaded.anns) == 100 and loaded.annToMask(loaded.anns[1]).shape == (48, 64)


def test_boxes_alone(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    assert run(tmp_path / "a.png", *TINY, "--no-masks", "--annotate", "--out", tmp_path / "out")[0] == 0
    assert all("segmentation" not in row for row in read(tmp_path / "out" / "detections.json"))


def test_a_broken_picture_stops_no_other(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"no picture")
    cut = save(tmp_path / "2.jpg").read_bytes()
    (tmp_path / "2.jpg").write_bytes(cut[: len(cut) // 2])
    save(tmp_path / "3.jpg")
    code, said = run(tmp_path, *TINY, "--out", tmp_path / "out")
    said = said.replace("\n", "")
    assert code == 1 and "1.jpg: this is not a picture" in said and "2.jpg: this picture cannot be read" in said
    assert {row["image_id"] for row in read(tmp_path / "out" / "detections.json")} == {3}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nowhere.jpg"], "nowhere.jpg: there is no such picture or folder"),
        (["empty"], "empty: there are no pictures in this folder"),
        (["a.png", "--model", "mask_rcnn_mvitv2_tin"], "did you mean mask_rcnn_mvitv2_tiny?"),
        (["a.png", "--model", "mask_rcnn_mvitv2_tiny"], "has no published weights"),
        (["a.png", "--checkpoint", "a.png"], "a.png: this is not a PyTorch checkpoint"),
        (["a.png", "--random-weights", "--precision", "int8"], "float32 or bfloat16"),
        (["a.png", "--random-weights", "--out", "a.png"], "a.png: results go into a folder"),
    ],
)
def test_wrong_input_gets_a_sentence(
    words: Iterable[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    code, said = run(*words)
    assert code == 1 and sentence in said.replace("\n", "") and "Traceback" not in said


def test_numbers_are_names_where_all_names_are_numbers(tmp_path: Path) -> None:
    paths = [save(tmp_path / name) for name in ("12.png", "5.png", "street.png")]
    assert [picture.image_id for picture in find_pictures(paths[:2])] == [12, 5]
    assert [picture.image_id for picture in find_pictures(paths)] == [1, 2, 3]
    assert [picture.path.name for picture in find_pictures([tmp_path, paths[0]])] == ["12.png", "5.png", "street.png"]


def test_a_picture_is_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    save(tmp_path / "turned.jpg", 30, 40, exif=exif)
    assert read_picture(tmp_path / "turned.jpg").shape == (40, 30, 3)


def test_masks_boxes_and_names_are_drawn() -> None:
    mask = np.zeros((60, 40), bool)
    mask[20:] = True
    masks = PackedMasks((200, 300), ((50, 80, 90, 140),), (np.packbits(mask),))
    found = Detections(torch.tensor([[50.0, 80, 90, 140]]), torch.tensor([0.9]), torch.tensor([2]), masks)
    black = np.zeros((200, 300, 3), np.uint8)
    drawn = draw_detections(black, found, labels_for(80, "coco"))
    colour = np.array(person_colour(3))
    assert (drawn[80, 50:90] == colour).all()
    assert (np.abs(drawn[120, 70] - 0.45 * colour) < 1).all()
    assert not drawn[95, 70].any() and not drawn[150, 150].any()
    assert (drawn[62:79, 50:70] == colour).any()
    assert not black.any()
