"""The packaged model with slots remembers at ages that no fixed read meets, with numbers and without."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from memvit.engine.settings import open_engine
from memvit.evaluation.long_cue import long_cue_map, write_held_out


@pytest.mark.slow
def test_the_packaged_model_remembers(tmp_path: Path) -> None:
    write_held_out(tmp_path, videos=4)
    with resources.as_file(resources.files("memvit") / "data/models/memvit_tiny_slots.safetensors") as checkpoint:
        found = {}
        for remember in (True, False):
            engine, labels = open_engine(None, checkpoint, remember=remember)
            found[remember] = long_cue_map(engine, labels, tmp_path)
    assert found[True] > 0.9 and found[False] < 0.6
