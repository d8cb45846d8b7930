"""Compares faiss-cpu and LanceDB as an index of features: recall, time to build and to ask, memory, size on disk.

python -m tools.compare_indexes faiss --vectors 100000 --channels 768

Vectors are drawn as those of films: scenes of some seconds that drift, in 48 directions, with noise in all. Each engine
runs in a process of its own, so that its memory is its own. An answer is right if it is among the ten nearest of an
exact search.
"""

from __future__ import annotations

import argparse
import importlib
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SCENE, DIRECTIONS, QUESTIONS, TOP = 60, 48, 50, 10


def drawn(count: int, channels: int) -> np.ndarray:
    """(count, channels) float32 of length 1."""
    random = np.random.default_rng(0)
    basis = random.standard_normal((DIRECTIONS, channels)).astype(np.float32)
    vectors = np.empty((count, channels), np.float32)
    for start in range(0, count, 60 * SCENE):
        rows = min(60 * SCENE, count - start)
        scenes = np.repeat(random.standard_normal((rows // SCENE + 1, DIRECTIONS)), SCENE, axis=0)[:rows]
        places = scenes + 0.02 * np.cumsum(random.standard_normal((rows, DIRECTIONS)), axis=0)
        block = places.astype(np.float32) @ basis + 1.5 * random.standard_normal((rows, channels), np.float32)
        vectors[start : start + rows] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors


def faiss_search(vectors: np.ndarray, folder: Path, kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Build, write, read back; returns a search."""
    faiss: Any = importlib.import_module("faiss")
    count, channels = vectors.shape
    lists = max(16, int(4 * count**0.5))
    index = faiss.index_factory(channels, f"IVF{lists},{kind}", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(1).choice(count, min(count, 40 * lists, 100_000), replace=False)
    index.train(vectors[np.sort(sample)])
    index.add(vectors)
    faiss.write_index(index, str(folder / "index"))
    del index
    index = faiss.read_index(str(folder / "index"), faiss.IO_FLAG_MMAP)
    index.nprobe = 32

    def search(question: np.ndarray) -> np.ndarray:
        found: np.ndarray = index.search(question[None], 20 * TOP)[1][0]
        return found

    return search


def lance_search(vectors: np.ndarray, folder: Path, kind: str) -> Callable[[np.ndarray], np.ndarray]:
    """Build, write, read back; returns a search."""
    lancedb: Any = importlib.import_module("lancedb")
    arrow: Any = importlib.import_module("pyarrow")
    table = None
    for start in range(0, len(vectors), 50_000):
        block = vectors[start : start + 50_000]
        flat = arrow.FixedSizeListArray.from_arrays(arrow.array(block.ravel()), vectors.shape[1])
        data = arrow.table({"vector": flat, "row": np.arange(start, start + len(block))})
        if table is None:
            table = lancedb.connect(folder).create_table("features", data)
        else:
            table.add(data)
    assert table is not None
    table.create_index(metric="cosine", vector_column_name="vector", index_type=kind)
    table = lancedb.connect(folder).open_table("features")

    def search(question: np.ndarray) -> np.ndarray:
        asked = table.search(question).distance_type("cosine").nprobes(32).limit(20 * TOP)
        return asked.select(["row"]).to_arrow()["row"].to_numpy()

    return search


def main() -> None:
    """Print a line of figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=("faiss", "lance"))
    parser.add_argument("--kind", help="faiss: Flat, SQ8, PQ96 …; lance: IVF_PQ, IVF_HNSW_SQ …")
    parser.add_argument("--vectors", type=int, default=100_000)
    parser.add_argument("--channels", type=int, default=768)
    chosen = parser.parse_args()
    vectors = drawn(chosen.vectors, chosen.channels)
    random = np.random.default_rng(2)
    questions = vectors[random.choice(len(vectors), QUESTIONS, replace=False)]
    nearest = [np.argsort(-(vectors @ question))[:TOP] for question in questions]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with tempfile.TemporaryDirectory(dir=".") as folder:
        began = time.perf_counter()
        build = faiss_search if chosen.engine == "faiss" else lance_search
        search = build(vectors, Path(folder), chosen.kind or ("SQ8" if chosen.engine == "faiss" else "IVF_PQ"))
        built = time.perf_counter() - began
        search(questions[0])
        began = time.perf_counter()
        found = [search(question) for question in questions]
        asked = (time.perf_counter() - began) / QUESTIONS
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    plain = float(np.mean([len(set(one[:TOP]) & set(other)) / TOP for one, other in zip(found, nearest, strict=True)]))
    # With the exact similarities of the candidates, read from the store.
    again = [one[np.argsort(-(vectors[one] @ question))][:TOP] for one, question in zip(found, questions, strict=True)]
    ranked = float(np.mean([len(set(one) & set(other)) / TOP for one, other in zip(again, nearest, strict=True)]))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{chosen.engine} {chosen.kind} {chosen.vectors}×{chosen.channels}: built in {built:.1f} s, +{more:.0f} MB, "
        f"{size / 1e6:.0f} MB on disk, {1000 * asked:.1f} ms each, recall@10 {plain:.3f}, ranked again {ranked:.3f}"
    )


if __name__ == "__main__":
    main()
