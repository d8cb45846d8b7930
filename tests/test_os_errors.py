"""What the operating system refuses, in a sentence."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from memvit.os_errors import sentence_of


def failure(folder: Path, what: str) -> OSError:
    (folder / "file").write_text("")
    try:
        if what == "full":
            with Path("/dev/full").open("w") as file:
                file.write("x")
        elif what == "missing":
            (folder / "none/x").open()
        elif what == "not a folder":
            (folder / "file/x").mkdir()
        elif what == "a file already":
            (folder / "file").mkdir()
        elif what == "a folder":
            folder.open()
    except OSError as error:
        return error
    raise AssertionError("nothing failed")


@pytest.mark.parametrize(
    ("what", "place", "reason"),
    [
        ("full", "out", "the disk is full; free some space"),
        ("missing", "none/x", "there is no such file or folder; check the path"),
        ("not a folder", "file/x", "a file is where a folder is needed"),
        ("a file already", "file", "a file of this name is there already"),
        ("a folder", "", "this is a folder, and a file is needed"),
    ],
)
def test_os_error_becomes_a_sentence_with_place_and_advice(tmp_path: Path, what: str, place: str, reason: str) -> None:
    sentence = sentence_of(failure(tmp_path, what), "out")
    where = "out" if what == "full" else str(tmp_path / place)
    assert sentence.startswith(f"{where}: {reason}") and "Errno" not in sentence


def test_unknown_os_error_is_its_own_text() -> None:
    assert sentence_of(OSError("the server is on fire"), "out") == "the server is on fire"
    assert sentence_of(OSError(errno.ENOSPC, "No space left on device")).startswith("the disk is full")
