"""Tables of an archive: people without numbers, in every format."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet

from pipelines.export.tables import export
from pipelines.export.writers import ParquetTable
from tests.store.test_find import create, drawn


def test_numbers_may_be_missing_in_the_first_block_of_a_parquet_file(tmp_path: Path) -> None:
    """The types of the columns are those of the first block, in which nobody has a number."""
    with ParquetTable(tmp_path / "a.parquet") as table:
        for number in (None, 3):
            table.write([{"video": "v", "person": number}])
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet")["person"].to_pylist() == [None, 3]


def test_a_box_that_is_no_person_has_no_number(tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "people")
    rows, videos = export(archive.location, tmp_path / "p.jsonl", "jsonl", "people", 0.0)
    found = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    persons = [number for seed in range(4) for number in drawn(seed, "people").people["person"].tolist()]
    assert (rows, videos) == (len(persons), 4)
    assert [row["person"] for row in found] == [number if number >= 0 else None for number in persons]


def test_an_archive_of_whole_clips_has_no_people(tmp_path: Path) -> None:
    archive = create(str(tmp_path / "a.zarr"), "clips")
    for table in ("people", "tracks"):
        assert export(archive.location, tmp_path / "p.csv", "csv", table, 0.0) == (0, 4)
    rows, _ = export(archive.location, tmp_path / "a.csv", "csv", "actions", 0.0)
    assert rows == 4 * 40 * 3
