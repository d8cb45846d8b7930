"""Measures the archive's page on a large archive: time to the first answers and to all, and memory of the server.

python -m tools.make_store drawn.zarr --videos 5000 --clips 300 --people 1 --film film.mp4
python -m tools.bench_browse drawn.zarr
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

ACTION = "answer phone"


def resident_megabytes(process: int, field: str = "VmRSS") -> int:
    """Memory of a process; `VmHWM` is the most that it has had."""
    (line,) = [line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(field)]
    return int(line.split()[1]) >> 10


def searched(client: httpx.Client, kind: str, parameters: dict[str, Any]) -> str:
    """Ask for a whole search as the page does, and say how long its pieces took."""
    began, first, longest, count, after = time.perf_counter(), 0.0, 0.0, 0, None
    while True:
        asked = time.perf_counter()
        more: dict[str, Any] = {} if after is None else {"after": after}
        piece = client.get(f"/api/{kind}", params={**parameters, **more, "limit": 60}).raise_for_status().json()
        now = time.perf_counter()
        first, longest, count = first or now - began, max(longest, now - asked), count + 1
        after = piece["cursor"]
        if after is None:
            whole = f"all {now - began:.2f} s in {count} pieces, the longest {longest:.2f} s"
            chosen = " (chosen by the index)" if piece["by_index"] else ""
            return f"first {first:.2f} s, {whole}, {piece['films']} films{chosen}"


def main() -> None:
    """Start `memvit browse` and ask it what its page asks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("store")
    store = parser.parse_args().store
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "output.txt"
        words = ("browse", store, "--port", "0", "--labels", f"{folder}/labels.csv")
        with output.open("wb") as file:
            process = subprocess.Popen([sys.executable, "-m", "pipelines.cli", *words], stdout=file, stderr=file)
        try:
            began = time.perf_counter()
            while not (found := re.search(r"http://[\d.:]+\d", output.read_text())):
                assert process.poll() is None, output.read_text()
                time.sleep(0.02)
            print(f"started in {time.perf_counter() - began:.1f} s, {resident_megabytes(process.pid)} MB")
            with httpx.Client(base_url=found[0], timeout=300) as client:
                measure(client)
            most = resident_megabytes(process.pid, "VmHWM")
            print(f"memory at the end {resident_megabytes(process.pid)} MB, at most {most} MB")
        finally:
            process.terminate()
            process.wait()


def measure(client: httpx.Client) -> None:
    """Print how long each kind of question takes."""

    def timed(words: str, path: str, **parameters: Any) -> Any:
        began = time.perf_counter()
        answer = client.get(path, params=parameters).raise_for_status()
        print(f"{words}: {time.perf_counter() - began:.2f} s")
        return answer.json() if answer.headers["content-type"] == "application/json" else None

    timed("what the page asks first", "/api/info")
    films = timed("first page of films", "/api/films", limit=20)
    timed("page in the middle", "/api/films", limit=20, offset=films["count"] // 2)
    timed("films by a part of their name", "/api/films", limit=20, text="0123")
    timed("films of a state, first time", "/api/films", limit=20, state="failed")
    timed("films of a state, again", "/api/films", limit=20, state="failed")
    film = films["films"][0]["id"]
    timed("strip", f"/api/films/{film}/strip")
    timed("pictures", f"/api/films/{film}/pictures", start=20)
    print(f"find: {searched(client, 'find', {'action': ACTION})}")
    print(f"find again: {searched(client, 'find', {'action': ACTION, 'min_seconds': 5})}")
    moment = {"film": film, "seconds": 20}
    print(f"similar: {searched(client, 'similar', moment)}")
    print(f"similar, people: {searched(client, 'similar', moment | {'people': True, 'person': 1})}")
    print(f"similar, exact: {searched(client, 'similar', moment | {'exact': True})}")
    began = time.perf_counter()
    client.post("/api/suggest", json={"count": 20}).raise_for_status()
    print(f"what to label: {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
