"""Class names: those that come along, and a user's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from memvit.labels import AVA_EVALUATED_IDS, Labels, check_labels, labels_for, read_labels
from memvit.models import MODELS
from memvit.types import MemvitError


@pytest.mark.parametrize(
    ("dataset", "count", "some"),
    [
        ("k400", 400, {0: "abseiling", 399: "zumba"}),
        ("k600", 600, {0: "abseiling", 599: "zumba"}),
        ("k700", 700, {0: "abseiling", 699: "zumba"}),
        ("ssv2", 174, {0: "Approaching something with your camera"}),
        ("ava", 80, {11: "stand", 79: "watch (a person)", 13: "walk"}),
    ],
)
def test_public_lists(dataset: str, count: int, some: dict[int, str]) -> None:
    labels = labels_for(count, dataset)
    assert len(labels) == len(set(labels.names)) == count
    assert {index: labels.names[index] for index in some} == some
    assert labels.first_id == (1 if dataset == "ava" else 0)


def test_every_model_has_as_many_names_as_classes() -> None:
    for name, entry in MODELS.items():
        assert len(labels_for(entry.head.num_classes, entry.dataset)) == entry.head.num_classes, name


def test_another_number_of_classes_gets_numbers_for_names() -> None:
    assert labels_for(3, "ava") == Labels(("class 1", "class 2", "class 3"), 1)
    assert labels_for(2, "mine").names == ("class 0", "class 1")


def test_evaluated_ava_actions_have_their_official_names() -> None:
    expected = json.loads((Path(__file__).parent / "golden/ava_eval/expected.json").read_text())["AP@0.5IOU"]
    labels = labels_for(80, "ava")
    assert {labels.names[number - 1] for number in AVA_EVALUATED_IDS} == set(expected)


@pytest.mark.parametrize(
    ("name", "text", "names", "first_id"),
    [
        ("plain.txt", "run\nsit\n", ("run", "sit"), 0),
        ("list.json", '["run", "sit"]', ("run", "sit"), 0),
        ("ids.json", '{"sit": 1, "run": "0"}', ("run", "sit"), 0),
        (
            "2018.pbtxt",
            'item {\n  name: "run"\n  id: 1\n}\nitem {\n  name: "sit"\n  id: 3\n}\n',
            ("run", "class 2", "sit"),
            1,
        ),
        ("2019.pbtxt", 'label { name: "run" label_id: 1 }\nlabel { name: "sit" label_id: 2 }', ("run", "sit"), 1),
    ],
)
def test_class_names_are_read_from_every_format(
    name: str, text: str, names: tuple[str, ...], first_id: int, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_labels(path) == Labels(names, first_id)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("gap.txt", "run\n\nsit\n", "gap.txt:2: an empty line"),
        ("empty.txt", "", "no class names"),
        ("broken.json", "[1,", "broken.json:1: this is not valid JSON"),
        ("number.json", "5", "a list of names"),
        ("half.pbtxt", 'item {\n name: "run" id: 1\n}\nitem {\n name: "sit"\n}\n', "half.pbtxt:4: an entry needs"),
    ],
)
def test_malformed_class_names_are_refused_with_one_sentence(
    name: str, text: str, sentence: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(MemvitError, match=sentence):
        read_labels(path)


def test_wrong_number_of_names_or_path_is_refused_with_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match=r"mine\.txt: 2 class names, but the model has 80 classes"):
        check_labels(Labels(("a", "b")), 80, "mine.txt")
    with pytest.raises(MemvitError, match="cannot be read"):
        read_labels(tmp_path / "missing.txt")
