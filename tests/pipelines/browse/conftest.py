"""One archive for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from .stores import make_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that no test changes."""
    return make_store(tmp_path_factory.mktemp("browse"))
