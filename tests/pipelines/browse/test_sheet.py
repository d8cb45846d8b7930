"""The contact sheet: one file that needs nothing else, of bounded size, in which names are texts."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipelines.browse.sheet import SheetOptions, write_sheet
from pipelines.cli.app import app

from .stores import HOSTILE


class Page(HTMLParser):
    """Collects texts, and what a page would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.loads += [value for name, value in attrs if name in ("src", "href", "data", "srcset")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_sheet_shows_films_strips_and_moments(store: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.html"
    result = CliRunner().invoke(app, ["sheet", str(store), "--out", str(out)])
    assert result.exit_code == 0 and "5 films shown, 1 without pictures" in result.output
    page = Page(out.read_text())
    assert HOSTILE in page.texts and page.tags.count("section") == 5
    assert len(page.loads) == 4 and all(load.startswith("data:image/jpeg;base64,") for load in page.loads)
    assert page.tags.count("svg") == 3 and "script" not in page.tags
    assert any(re.fullmatch(r"wave 0.8\d at 00:0[234]", text) for text in page.texts)
    assert "failed: it breaks off after 3 s" in page.texts and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "shown", "films"),
    [
        (SheetOptions(films=2), 2, 5),
        (SheetOptions(max_bytes=9_000), 1, 5),
        (SheetOptions(video="A-1", actions=("wave",), moments=1), 1, 1),
    ],
)
def test_a_sheet_is_bounded_and_says_so(
    options: SheetOptions, shown: int, films: int, store: Path, tmp_path: Path
) -> None:
    counts = write_sheet(str(store), tmp_path / "sheet.html", options)
    assert (counts.shown, counts.films) == (shown, films)
    page = Page((tmp_path / "sheet.html").read_text())
    assert page.tags.count("section") == shown
    assert any(f"{shown} of {films} films shown" in text for text in page.texts) == (shown < films)
    assert (tmp_path / "sheet.html").stat().st_size < options.max_bytes + 2_000


def test_wrong_use_gets_a_sentence(store: Path, tmp_path: Path) -> None:
    for words, said in (
        ([str(tmp_path / "none.zarr")], "there is no such archive"),
        ([str(store), "--action", "fly"], "knows no action"),
        ([str(store), "--out", str(tmp_path)], "this is a folder"),
    ):
        result = CliRunner().invoke(app, ["sheet", "--out", str(tmp_path / "s.html"), *words])
        assert result.exit_code == 1 and said in " ".join(result.output.split()), result.output
    assert not list(tmp_path.iterdir())
