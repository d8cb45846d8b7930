"""The sections of a recipe that trains a detector of objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DetectorChoice:
    """Which detector is trained, and which weights it starts with."""

    name: str = "mask_rcnn_mvitv2_t.coco"
    """The detector's name, one that `memvit models '*mask_rcnn*'` lists."""
    pretrained: bool = False
    """Start from the published weights of `name`."""
    pretrained_backbone: bool = False
    """Start the backbone from the published weights of the image model that `name` was trained from."""
    checkpoint: str | None = None
    """Start from this file: a detector, or an image model, which fills the backbone. Layers for another number of
    classes are not loaded and start untrained."""
    num_classes: int | None = None
    """Number of classes; null is the detector's own number."""
    drop_path: float | None = None
    """Probability that the last block is left out (stochastic depth). It grows linearly from 0 at the first block. null
    is the published value of the backbone."""
    proposals_per_level: int = 2000
    """How many proposals of each map are compared with each other while training."""
    proposals: int = 1000
    """How many of these are kept of a picture."""
    boxes: int = 512
    """How many of the proposals of a picture the box heads learn from; a quarter of them at most stand for objects."""


@dataclass(frozen=True)
class DetectionData:
    """Pictures with objects in COCO's format. Classes are the categories in the order of their ids."""

    train: str = ""
    """File of the objects to train on, as COCO's `instances_train2017.json`. Pictures without objects are left out."""
    train_pictures: str = ""
    """Folder of the pictures of `train`."""
    val: str = ""
    """File of the objects to test on."""
    val_pictures: str = ""
    """Folder of the pictures of `val`."""
    domains: str | None = None
    """Used instead of `val` by `memvit evaluate`: COCO-O's folder, with a COCO folder for each of its six domains."""
    coco_box_ap: float | None = None
    """Box AP on COCO val, in percent, that effective robustness is relative to; null is the published one."""
    masks: bool = True
    """Learn masks, too, where the data set has them."""
    short_side: int | None = None
    """In the test, pictures are resized to this short side; null is the detector's own."""
    long_side: int | None = None
    """In the test, the long side is at most this; null is the detector's own."""


@dataclass(frozen=True)
class DetectionAugmentation:
    """How a training picture is changed, with its boxes and masks."""

    kind: Literal["multi_scale", "large_scale_jitter"] = "multi_scale"
    """multi_scale resizes pictures, some after a crop. large_scale_jitter resizes them more and cuts out or fills up a
    square; boxes are those of the masks then."""
    flip: float = 0.5
    """Probability of a mirror image."""
    short_sides: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)
    """multi_scale: the short side is resized to one of these."""
    long_side: int = 1333
    """multi_scale: the long side is at most this."""
    crop: float = 0.5
    """multi_scale: probability that a part is cut out before."""
    crop_short_sides: tuple[int, ...] = (400, 500, 600)
    """multi_scale: before that part is cut out, the short side is resized to one of these."""
    crop_sides: tuple[int, int] = (384, 600)
    """multi_scale: range of the height and of the width, in pixels, of that part."""
    side: int = 1024
    """large_scale_jitter: side of the square."""
    jitter: tuple[float, float] = (0.1, 2.0)
    """large_scale_jitter: range of the scale, relative to the picture that just fits into the square."""
