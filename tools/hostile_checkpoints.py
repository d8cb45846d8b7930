"""The files of `fuzz_checkpoints.py`: one good checkpoint, and what can be done to it."""

from __future__ import annotations

import collections
import json
import os
import pickle
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from memvit.models import CheckpointMetadata, MeMViT, create_model, model_entry, save_safetensors

NAME = "memvit_tiny_8x4"
Json = dict[str, Any]
STRANGE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**6,
    10**9,
    10**30,
    1.5,
    "x",
    [],
    {},
    [[]],
    [None],
    [10**9] * 3,
    float("nan"),
)


@dataclass(frozen=True)
class Case:
    """A file, and whether loading it would be a fault."""

    group: str
    name: str
    path: Path
    must_be_refused: bool


class Called:
    """Pickled as a call."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        """What pickle writes."""
        return self.call


def make_cases(folder: Path, seed: int, count: int, *, bomb_bytes: int) -> list[Case]:
    """At least `count` files in `folder`, the same for the same seed."""
    rng = random.Random(seed)
    torch.manual_seed(seed)
    model = create_model(NAME, num_classes=3)
    assert isinstance(model, MeMViT)
    good = folder / "good.safetensors"
    save_safetensors(
        good, model, CheckpointMetadata(NAME, model.config, model_entry(NAME).preprocessing, ("a", "b", "c"), 1, {})
    )
    state = {name: value.detach().clone() for name, value in model.state_dict().items()}
    length = int.from_bytes(good.read_bytes()[:8], "little")
    header: Json = json.loads(good.read_bytes()[8 : 8 + length])
    data = good.read_bytes()[8 + length :]
    cases = [Case("good", "good", good, False)]

    def add(group: str, name: str, content: bytes, suffix: str = ".safetensors", *, refused: bool = True) -> None:
        path = folder / f"{len(cases):04d}{suffix}"
        path.write_bytes(content)
        cases.append(Case(group, name, path, refused))

    for name, text in _descriptions(header["__metadata__"]["memvit"]):
        add("description", name, _file({**header, "__metadata__": {"memvit": text}}, data))
    for name, changed in _tensor_states(state):
        add("tensors", name, save(changed, metadata=header["__metadata__"]))
    for name, broken in _headers(header):
        add("header", name, broken if isinstance(broken, bytes) else _file(broken, data))
    for name, content in _pickles(state):
        path = folder / f"{len(cases):04d}.pth"
        for legacy in (False, True):
            torch.save(content, path, _use_new_zipfile_serialization=not legacy)
            add("pickle", f"{name}, {'legacy' if legacy else 'zip'}", path.read_bytes(), ".pth")
    add("pickle", "plain pickle of a call", pickle.dumps(Called(print, "x")), ".pth")
    add("pickle", "a page", b"<html>404</html>", ".pth")
    add("pickle", "nothing", b"", ".pth")
    for name in ("data/0", "data.pkl", "other"):
        path = folder / f"{len(cases):04d}.pth"
        _bomb(path, state, name, bomb_bytes)
        cases.append(Case("zip bomb", f"{name} of {bomb_bytes / 1e9:g} GB", path, True))
    torch.save(state, folder / "state.pth")
    plain, whole = (folder / "state.pth").read_bytes(), good.read_bytes()
    while len(cases) < count:
        content, suffix = rng.choice(((whole, ".safetensors"), (plain, ".pth")))
        if rng.random() < 0.4:
            add("truncated", "cut", content[: rng.randrange(len(content))], suffix)
        else:
            # Most flips are wanted where the structure is: at the beginning, and in a zip's directory at the end.
            places = (rng.randrange(6000), rng.randrange(len(content)), len(content) - 1 - rng.randrange(6000))
            flipped = bytearray(content)
            for place in rng.choices(places, k=rng.randint(1, 3)):
                flipped[place] ^= 1 << rng.randrange(8)
            add("bit flips", "flips", bytes(flipped), suffix, refused=False)
    return cases


def _file(header: Json, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def _descriptions(text: str) -> Iterator[tuple[str, str]]:
    content: Json = json.loads(text)
    yield from (("null", "null"), ("a list", "[]"), ("nested lists", "[" * 100_000), ("cut", text[:300]))
    yield "nested objects", '{"source": ' * 900 + "{}" + "}" * 900
    yield "long number", text.replace('"depth": 4', '"depth": ' + "9" * 5000)
    for place in ("depth", "embed_dim", "heads", "frames", "crop", "stage_starts", "kv_stride", "memory", "head"):
        for value in random.Random(place).sample(STRANGE, 5):
            if not (place == "memory" and value is None):
                yield (
                    f"config.{place} {value!r:.20}",
                    json.dumps({**content, "config": {**content["config"], place: value}}),
                )
    for value in (10**6, 10**9):
        yield f"depth {value}", json.dumps({**content, "config": {**content["config"], "depth": value}})
    for key in ("name", "config", "preprocessing", "classes", "first_id", "sha256"):
        yield f"{key} strange", json.dumps({**content, key: {"x": 1}})
        yield f"without {key}", json.dumps({name: value for name, value in content.items() if name != key})


def _tensor_states(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    for name in list(state)[::25]:
        rest = {key: value for key, value in state.items() if key != name}
        yield f"without {name}", rest
        yield f"{name} misshapen", {**rest, name: torch.zeros(2, 3)}
        yield f"{name} integer", {**rest, name: state[name].int()}
        yield f"{name} NaN", {**rest, name: torch.full_like(state[name], float("nan"))}
    yield "further tensor", {**state, "backbone.blocks.99.norm1.weight": torch.zeros(3)}


def _headers(header: Json) -> Iterator[tuple[str, Json | bytes]]:
    first, second = [name for name in header if name != "__metadata__"][:2]
    entry = header[first]
    begin, end = entry["data_offsets"]
    for name, value in {
        "overlapping": {**entry, "data_offsets": header[second]["data_offsets"]},
        "beyond the end": {**entry, "data_offsets": [begin + 10**9, end + 10**9]},
        "backwards": {**entry, "data_offsets": [end, begin]},
        "negative": {**entry, "data_offsets": [-4, 0]},
        "huge shape": {**entry, "shape": [2**62, 4]},
        "shape of texts": {**entry, "shape": ["x"]},
        "nothing": None,
        "unknown type": {**entry, "dtype": "F31"},
        "type of another size": {**entry, "dtype": "F64"},
        "without type": {"shape": entry["shape"], "data_offsets": [begin, end]},
    }.items():
        yield f"tensor {name}", {**header, first: value}
    yield "metadata a number", {**header, "__metadata__": 7}
    yield "list", (2).to_bytes(8, "little") + b"[]"
    yield "nested", (100_000).to_bytes(8, "little") + b"[" * 100_000
    yield "longer than the file", (2**40).to_bytes(8, "little") + b"{}"
    yield "no text", (4).to_bytes(8, "little") + b"\xff\xfe\xfd\xfc"


def _pickles(state: dict[str, torch.Tensor]) -> Iterator[tuple[str, object]]:
    yield "os.system", {"model": Called(os.system, "true")}
    yield "bytearray", {"model": {**state, "x": Called(bytearray, 4 * 10**9)}}
    yield "Counter", {"model": {**state, "x": Called(collections.Counter, "ab")}}
    yield "large tensor by call", {"model": {**state, "x": Called(torch.Tensor, 10**5, 10**5)}}
    yield "numbers", [1, 2, 3]
    yield "unknown names", {f"x{place}": torch.zeros(1) for place in range(5)}
    yield "integers", {name: value.long() for name, value in state.items()}
    yield "one missing", dict(list(state.items())[1:])
    yield "infinite", {name: value / 0 for name, value in state.items()}
    yield "keys of numbers", dict(enumerate(state.values()))


def _bomb(path: Path, state: dict[str, torch.Tensor], inflated: str, size: int) -> None:
    """A zip of PyTorch's form, one part of which unpacks to `size` zeros."""
    plain = path.with_suffix(".tmp")
    torch.save(state, plain)
    chunk = bytes(2**24)
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for entry in source.infolist():
            if not entry.filename.endswith(f"/{inflated}"):
                target.writestr(entry.filename, source.read(entry))
        root = source.infolist()[0].filename.partition("/")[0]
        with target.open(_deflated(f"{root}/{inflated}"), "w", force_zip64=True) as part:
            for begun in range(0, size, len(chunk)):
                part.write(chunk[: size - begun])
    with zipfile.ZipFile(path) as made:
        assert sum(entry.file_size for entry in made.infolist()) >= size
    plain.unlink()


def _deflated(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info
