"""Labels in CSV: what is read, and the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from memvit.teaching.moments import Moment, parse_moments, question_rows, read_moments
from memvit.types import MemvitError

TEXT = """video,seconds,person,label
film.mp4,12.5,3,1
film.mp4,13,,0
"a, b.mp4",1e1,,
film.mp4,12.5,3,0
"""


def test_the_last_label_of_a_moment_counts() -> None:
    found = parse_moments(TEXT)
    assert found.moments == (Moment("film.mp4", 12.5, 3, False, 5), Moment("film.mp4", 13.0, None, False, 3))
    assert (found.replaced, found.unanswered) == (1, 1)


def test_questions_are_labels_without_an_answer(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text(question_rows([("a, b", 1.25, 2), ("c", 3.0, None)]), "utf-8-sig")
    assert read_moments(tmp_path / "labels.csv").unanswered == 2
    answered = (
        (tmp_path / "labels.csv").read_text("utf-8-sig").replace(",2,", ",2,1").replace("c,3.000,,", "c,3.000,,0")
    )
    assert [moment.label for moment in parse_moments(answered).moments] == [True, False]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("film,soon,,1", "a number of seconds"),
        ("film,nan,,1", "a number of seconds"),
        (",1,,1", "a video"),
        ("film,1,bob,1", "person should be a number"),
        ("film,1,-1,1", "person should be a number"),
        ("film,1,,yes", "label should be 1, 0 or empty"),
    ],
)
def test_a_wrong_line_is_named(line: str, words: str) -> None:
    with pytest.raises(MemvitError, match=f"labels.csv:2: .*{words}"):
        parse_moments(f"video,seconds,person,label\n{line}\n", "labels.csv")


def test_other_files_get_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(MemvitError, match="the column person is missing"):
        parse_moments("video,seconds,label\na,1,1\n")
    (tmp_path / "film.mp4").write_bytes(b"\xff\xfe\x00\xd8" * 9)
    with pytest.raises(MemvitError, match="not a text file"):
        read_moments(tmp_path / "film.mp4")
    with pytest.raises(MemvitError, match="no such file"):
        read_moments(tmp_path / "none.csv")
