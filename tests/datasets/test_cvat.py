"""CVAT's export → AVA's format → training, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from memvit.datasets.ava import read_annotations
from memvit.datasets.ava_files import read_label_map
from memvit.datasets.cvat import read_cvat
from memvit.training.recipe_file import load_recipe
from memvit.types import MemvitError
from pipelines.cli.app import app
from tests.video.make import busy, write

XML = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>{name}</name><size>75</size>
    <original_size><width>160</width><height>120</height></original_size><source>{name}.mp4</source></task></meta>
  <track id="0" label="person" source="manual">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="16" ytl="12" xbr="48" ybr="60" z_order="0">
      <attribute name="wave">true</attribute><attribute name="sit">false</attribute></box>
    <box frame="50" outside="0" occluded="0" keyframe="1" xtl="48" ytl="12" xbr="80" ybr="60" z_order="0">
      <attribute name="wave">false</attribute><attribute name="sit">true</attribute></box>
    <box frame="60" outside="1" occluded="0" keyframe="1" xtl="48" ytl="12" xbr="80" ybr="60" z_order="0">
      <attribute name="wave">false</attribute><attribute name="sit">true</attribute></box>
  </track>
  <track id="1" label="person" source="manual">
    <box frame="25" outside="0" occluded="0" keyframe="1" xtl="100" ytl="10" xbr="150" ybr="110" z_order="0">
      <attribute name="mood">dance</attribute></box>
    <box frame="26" outside="1" occluded="0" keyframe="1" xtl="100" ytl="10" xbr="150" ybr="110" z_order="0"/>
  </track>
</annotations>
"""


@pytest.fixture
def annotated(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write(tmp_path / f"{name}.mp4", busy(75), rate=25)
        (tmp_path / f"{name}.xml").write_text(XML.format(name=name))
    return tmp_path


def test_end_to_end(annotated: Path) -> None:
    files = [str(annotated / f"{name}.xml") for name in ("one", "two")]
    out = annotated / "set"
    command = ["import", "cvat", *files, "--videos", str(annotated), "--out", str(out), "--val", "two"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "3 actions (dance, sit, wave)" in result.stderr
    assert (out / "train.csv").read_text().splitlines() == [
        "one,0000,0.100,0.100,0.300,0.500,3,0",
        "one,0001,0.200,0.100,0.400,0.500,3,0",
        "one,0001,0.625,0.083,0.938,0.917,1,1",
        "one,0002,0.300,0.100,0.500,0.500,2,0",
    ]
    assert read_label_map(out / "actions.pbtxt") == {1: "dance", 2: "sit", 3: "wave"}
    (video,) = read_annotations([out / "val.csv"], num_classes=3)
    assert (video.name, len(video.keyframes)) == ("two", 3)
    load_recipe(out / "recipe.yaml")
    tiny = ["model.name=memvit_tiny_8x4", "model.pretrained=false", "augment.short_side=[64,64]", "schedule.epochs=2"]
    options = [*tiny, f"run.out={out}/run", "run.batch_size=1", "run.precision=float32"]
    trained = CliRunner().invoke(app, ["train", str(out / "recipe.yaml"), *options])
    assert trained.exit_code == 0, trained.output
    model = out / "run" / "model.safetensors"
    watched = CliRunner().invoke(
        app,
        ["watch", str(annotated / "two.mp4"), "--checkpoint", str(model), "--boxes", "full", "--out", f"{out}/w"],
    )
    assert watched.exit_code == 0, watched.output
    evaluated = CliRunner().invoke(
        app, ["evaluate", f"{out}/run/recipe.yaml", "--checkpoint", str(model), "--out", f"{out}/e"]
    )
    assert evaluated.exit_code == 0, "the written recipe has the changes of the command line"
    assert "dance" in (out / "w" / "two.jsonl").read_text(), "the finished model knows its classes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotations", r"a\.xml:1: this is not valid XML"),
        ("<svg></svg>", "this is not an export of CVAT"),
        ("<annotations><version>1.1</version></annotations>", "there are no tracks in it"),
        (XML.replace('xtl="16"', 'xtl="left"'), "a box of track 0 is malformed"),
        (XML.replace("original_size", "size_of_old"), "size of the video"),
    ],
)
def test_files_that_are_no_cvat_export_are_refused_with_one_sentence(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(MemvitError, match=message):
        read_cvat(tmp_path / "a.xml")


def test_a_video_that_is_not_there(annotated: Path) -> None:
    (annotated / "one.mp4").unlink()
    command = ["import", "cvat", str(annotated / "one.xml"), "--videos", str(annotated), "--out", str(annotated / "o")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 1 and "there is no video one" in " ".join(result.stderr.split())
