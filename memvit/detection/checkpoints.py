"""Files of weights → detectors, and back into detectron2's layout."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from memvit.models import CheckpointError, LoadReport
from memvit.models.weights.files import as_weights, difference, read_tensors_of, tensors_in
from memvit.models.weights.header import read_header
from memvit.models.weights.layouts import recognise, to_ours

from .coco import Categories
from .layout import State, from_detectron2, to_detectron2
from .network import DetectionNetwork
from .numpy_pickle import load_numpy_pickle

THEIRS = "proposal_generator."
"""What names of a detector begin with in detectron2's layout, and in ours."""
OURS = "rpn."
COUNTER = "num_batches_tracked"
"""The one kind of value of a state dict that is no weight: how many batches a batch norm has seen."""
AUTHOR = "memvit"
OF_CLASSES = re.compile(r"(box_heads\.\d+\.(classes|deltas)|mask_head\.predictor)\.(weight|bias)")
"""Parameters whose shapes depend on the number of classes."""
DESCRIPTION = "memvit_detector"
"""What the header of a file of ours calls the description of its classes."""


def load_weights(network: DetectionNetwork, path: str | Path, *, new_classes: bool = False) -> LoadReport:
    """Fill a detector from a file: detectron2's .pkl or .pth, or a state dict of ours. A file of an image model, in any
    supported layout, fills the backbone alone.

    With `new_classes`, the layers of another number of classes stay new.

    CheckpointError if the file cannot be read, or does not fit.
    """
    path = Path(path)
    state = read_state(path)
    if any(name.startswith(THEIRS) for name in state):
        state = from_detectron2(state, network.state_dict(), network.config)
        return _load(network, state, path, "detectron2", new_classes=new_classes)
    if any(name.startswith(OURS) for name in state):
        return _load(network, state, path, "memvit", new_classes=new_classes)
    return _load_backbone(network, state, path)


def read_state(path: Path) -> State:
    """The parameters of a file under their names there; nothing of it is run. CheckpointError if it cannot be read."""
    if path.suffix == ".pkl":
        return _from_arrays(load_numpy_pickle(path), path)
    return read_tensors_of(path)


def save_detectron2(network: DetectionNetwork, path: str | Path) -> None:
    """Write the weights for detectron2: a pickle of NumPy arrays (.pkl), or else its kind of PyTorch file (.pth)."""
    path = Path(path)
    state = {name: value.detach().cpu() for name, value in to_detectron2(network.state_dict(), network.config).items()}
    temporary = path.with_name(f".{path.name}.tmp")
    if path.suffix == ".pkl":
        arrays = {name: np.ascontiguousarray(value.numpy()) for name, value in state.items()}
        with temporary.open("wb") as file:
            pickle.dump({"model": arrays, "__author__": AUTHOR}, file, protocol=4)
    else:
        torch.save({"model": {name: value.contiguous() for name, value in state.items()}}, temporary)
    temporary.replace(path)


def save_own(network: DetectionNetwork, path: Path, name: str, categories: Categories, source: str) -> None:
    """Write a detector with the names of its classes as safetensors; `source` says where it comes from."""
    from safetensors.torch import save_file

    state = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    content = {"name": name, "ids": categories.ids, "names": categories.names, "source": source}
    temporary = path.with_name(f".{path.name}.tmp")
    save_file(state, temporary, metadata={DESCRIPTION: json.dumps(content)})
    temporary.replace(path)


def read_categories(path: str | Path) -> Categories | None:
    """The classes that a file of ours names; None for other files. CheckpointError if what it says is damaged."""
    path = Path(path)
    if path.suffix != ".safetensors" or not path.is_file():
        return None
    text = read_header(path).metadata.get(DESCRIPTION)
    if text is None:
        return None
    try:
        content = json.loads(text)
        ids, names = content["ids"], content["names"]
        is_sound = len(ids) == len(names) > 0 and all(type(number) is int for number in ids)
        if not is_sound or not all(isinstance(name, str) for name in names):
            raise ValueError("ids and names do not fit")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: what it says of its classes is damaged; fetch it again") from error
    return Categories(tuple(ids), tuple(names))


def _from_arrays(content: object, path: Path) -> State:
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: a dictionary of arrays was expected, found a {type(content).__name__}")
    arrays = content.get("model", content)
    if isinstance(arrays, dict):
        if sum(value.nbytes for value in arrays.values() if isinstance(value, np.ndarray)) > path.stat().st_size:
            raise CheckpointError(f"{path}: its arrays are larger than the file; fetch it again from its publisher")
        # A copy, because the arrays lie in bytes that nothing may change.
        arrays = {
            name: torch.from_numpy(np.array(value, dtype=value.dtype.newbyteorder("="), order="C"))
            for name, value in arrays.items()
            if isinstance(value, np.ndarray)
        }
    return tensors_in(arrays, path)


def _load(
    network: DetectionNetwork, state: Mapping[str, Tensor], path: Path, layout: str, *, new_classes: bool
) -> LoadReport:
    """Fill every parameter; CheckpointError that says what is missing, too much or of another shape."""
    own = network.state_dict()
    misfits = {name for name in state.keys() & own.keys() if state[name].shape != own[name].shape}
    stayed = {name for name in misfits if new_classes and OF_CLASSES.fullmatch(name)}
    state = {name: value for name, value in state.items() if name not in stayed}
    own = {name: value for name, value in own.items() if name not in stayed}
    misfits -= stayed
    missing, unexpected = own.keys() - state.keys(), state.keys() - own.keys()
    if missing or unexpected or misfits:
        raise CheckpointError(f"{path}: {difference(own, state, missing, unexpected, misfits)}")
    weights = as_weights({name: value for name, value in state.items() if not name.endswith(COUNTER)}, own, path)
    counters = {name: value.long() for name, value in state.items() if name.endswith(COUNTER)}
    is_empty = any(value.is_meta for value in own.values())
    network.load_state_dict({**weights, **counters}, strict=not stayed, assign=is_empty)
    return LoadReport(layout, tuple(sorted(stayed)))


def _load_backbone(network: DetectionNetwork, state: Mapping[str, Tensor], path: Path) -> LoadReport:
    """Fill the backbone from an image model; all else stays new."""
    layout = recognise(state)
    if layout is None:
        raise CheckpointError(
            f"{path}: neither a detector of detectron2 or memvit nor an image model: found parameters like "
            f"{', '.join(list(state)[:3])}"
        )
    if any(value.is_meta for value in network.parameters()):
        raise ValueError("the weights of an image model need a network with weights of its own")
    own = {name: value for name, value in network.state_dict().items() if name.startswith("backbone.")}
    # The maps of stages have norms of their own, and there is no cls token: an image model's have no place here.
    left_out = ("backbone.norm.", "backbone.cls_token", "head.")
    image = {name: value for name, value in to_ours(state, layout).items() if not name.startswith(left_out)}
    image = {
        name: value.unsqueeze(2) if value.ndim == 4 and name in own and own[name].ndim == 5 else value
        for name, value in image.items()
    }
    new = {name for name in own if ".stage_norms." in name}
    misfits = {name for name in image.keys() & own.keys() if image[name].shape != own[name].shape}
    missing, unexpected = own.keys() - image.keys() - new, image.keys() - own.keys()
    if missing or unexpected or misfits:
        raise CheckpointError(f"{path}: {difference(own, image, missing, unexpected, misfits)}")
    network.load_state_dict(as_weights(image, own, path), strict=False)
    stayed = (name for name in network.state_dict() if name not in image)
    return LoadReport(f"{layout.name} image", tuple(stayed))
