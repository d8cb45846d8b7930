"""Archives of several models in one store: that of a further model is STORE/models/NAME, an archive like any other."""

from __future__ import annotations

import re

from zarr.abc.store import Store

from memvit.store.documents import child_names
from memvit.store.errors import StoreError

FOLDER = "models"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def beside(location: str, name: str) -> str:
    """Return where the archive of a further model is. Raises StoreError if the name cannot be one."""
    if NAME.fullmatch(name) is None:
        raise StoreError(f"--as {name}: a name has 1 to 64 letters, digits, - and _, and begins with a letter or digit")
    return f"{location.rstrip('/')}/{FOLDER}/{name}"


def archives_beside(store: Store) -> list[str]:
    """Return the names of the further archives in a store; the locks of their writers are beside them."""
    return [name for name in child_names(store, FOLDER) if NAME.fullmatch(name)]
