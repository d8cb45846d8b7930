"""Measures `find` and `similar` on an archive: time to the first answer and in all, memory; exact and with the index.

python -m tools.bench_search big.zarr [--index]

Each is asked in a process of its own, from the opening of the archive on; imports are not counted.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import memvit.store
from memvit.store import Library
from memvit.store.index import update_index


def found(library: Library) -> Iterator[Any]:
    """Intervals of one action."""
    return library.find("sit", min_score=0.6)


def alike(library: Library, *, people: bool, exact: bool) -> Iterator[Any]:
    """The ten clips or people that are most like one of the middle of the archive."""
    videos = library.video_ids()
    name = "box_features" if people else "features"
    vector = np.asarray(library.array(videos[len(videos) // 2], name)[100])
    return iter(library.similar(vector, people=people, exact=exact))


def indexed(library: Library, *, people: bool) -> Iterator[Any]:
    """Build the index."""
    archive = memvit.store.Archive.open(library.location, writable=True)
    return iter([update_index(archive, "people" if people else "clips", rebuild=True)])


def measured(name: str, location: str, options: dict[str, Any]) -> None:
    """Ask once and print a line."""

    before = resource.getrusage(resource.RUSAGE_SELF)
    began, first, count = time.perf_counter(), 0.0, 0
    asks: dict[str, Callable[..., Iterator[Any]]] = {"find": found, "similar": alike, "index": indexed}
    ask = asks[name]
    for answer in ask(memvit.store.open(location), **options):
        first = first or time.perf_counter() - began
        count += 1
        if name == "index":
            print(answer)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    more = (after.ru_maxrss - before.ru_maxrss) / 1024
    shown = " ".join(f"{key}={value}" for key, value in options.items())
    print(
        f"{name} {shown}: {count} answers, first after {first:.2f} s, all {wall:.2f} s ({cpu:.2f} s of a core), "
        f"+{more:.0f} MB",
        flush=True,
    )


def main() -> None:
    """Print all lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    parser.add_argument("--index", action="store_true", help="build the index, and ask with it")
    chosen = parser.parse_args()
    asked: list[tuple[str, dict[str, Any]]] = [("find", {})]
    asked += [("similar", {"people": people, "exact": True}) for people in (False, True)]
    if chosen.index:
        asked += [("index", {"people": False}), ("similar", {"people": False, "exact": False})]
    for name, options in asked:
        process = multiprocessing.get_context("spawn").Process(target=measured, args=(name, chosen.store, options))
        process.start()
        process.join()


if __name__ == "__main__":
    main()
