"""Recipes: frozen dataclasses with every value that decides a training run.

`memvit train RECIPE --keys` prints the text below a field as the help of its key. `recipe_file` reads recipes from
YAML; `configs/` holds the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from memvit.training.detection_recipe import DetectionAugmentation, DetectionData, DetectorChoice


@dataclass(frozen=True)
class ModelChoice:
    """Which model is trained, and which weights it starts with."""

    name: str = "mvitv2_s_16x4.k400"
    """The model's name, one that `memvit models` lists."""
    pretrained: bool = False
    """Start from the published weights of `name`."""
    checkpoint: str | None = None
    """Start from this file, in any supported layout. A head of another size is not loaded and starts untrained."""
    inflate: str | None = None
    """Start a video model from this image checkpoint (see `memvit.models.weights.inflate`)."""
    num_classes: int | None = None
    """Number of classes; null is the model's own number."""
    drop_path: float = 0.0
    """Probability that the last block is left out (stochastic depth). It grows linearly from 0 at the first block."""
    dropout: float | None = None
    """Dropout before the last layer; null is the model's own value."""
    box_attention_dropout: float = 0.0
    """Dropout of the attention probabilities among the boxes of a clip. This key and the next two are for models of
    people's actions."""
    box_qkv_dropout: float = 0.0
    """Dropout of the queries, keys and values of attention among boxes, after their projections."""
    box_dropout: float = 0.0
    """Dropout after the output projection of attention among boxes, and after both layers of the MLP behind it."""
    reads: tuple[int, ...] | None = None
    """Offsets, in clips, of the past clips to read; [] trains without memory; null is the model's own."""
    slots: int | None = None
    """Remember in so many slots, which grow with age, instead of reading clips; null is the model's own memory."""
    train_horizon: int = 64
    """With slots: how many past clips a lane remembers while training."""
    box_queries: int = 4
    """With slots: in how many ways the boxes of people without a number are pooled."""


@dataclass(frozen=True)
class Augmentation:
    """How the pixels of a training sample are changed. All frames of a video are changed in the same way."""

    area: tuple[float, float] = (0.08, 1.0)
    """Range of the part of the frame's area that a random crop covers."""
    aspect: tuple[float, float] = (0.75, 4 / 3)
    """Range of width / height of that crop, before it is resized to a square."""
    short_side: tuple[int, int] | None = None
    """Used instead of a crop by area: the shorter side is resized to a random length of this range in pixels, and a
    square of the model's size is cut out."""
    flip: float = 0.5
    """Probability of a mirror image; 0 where left and right mean something (Something-Something)."""
    rand_augment_ops: int = 0
    """Number of RandAugment operations for each sample; 0 turns RandAugment off."""
    rand_augment_magnitude: float = 7
    """Magnitude of the RandAugment operations, 0 to 10."""
    rand_augment_noise: float = 0.5
    """Standard deviation of the magnitude, which is drawn at random for every operation."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation; 0 turns it off."""
    erasing: float = 0.0
    """Probability that a random rectangle is replaced by noise."""
    mixup: float = 0.0
    """Alpha of mixup; 0 turns it off."""
    cutmix: float = 0.0
    """Alpha of cutmix; 0 turns it off. If mixup is on too, each batch uses one of the two at random."""
    label_smoothing: float = 0.0
    """Part of each target that is spread evenly over all classes."""
    repeats: int = 1
    """Number of differently augmented samples that are made from one decoded clip (repeated augmentation). All of them
    count in the batch size."""


@dataclass(frozen=True)
class ClassificationData:
    """Lists of videos, or folders of images, with a class each."""

    kind: Literal["videos", "images"] = "videos"
    """Whether the samples are videos or images."""
    train: str = ""
    """A list of videos (Kinetics' CSV or JSON, Something-Something's JSON, or lines `path label`), or an image folder
    with a subfolder a class."""
    val: str = ""
    """The test data, in the same form; by default the training data."""
    root: str | None = None
    """Folder that contains the videos of a list; by default the folder of the list."""
    labels: str | None = None
    """Class names: a file (a name a line, or JSON name → id), or k400, k600, k700, ssv2; by default those of the
    model's data set."""
    sampling: Literal["dense", "uniform"] = "dense"
    """dense: consecutive frames at the model's interval (Kinetics). uniform: one frame of each of T equal segments
    (Something-Something)."""
    temporal_views: int = 1
    """Number of clips of each video in evaluation."""
    spatial_crops: Literal[1, 3] = 1
    """Number of crops of each clip in evaluation: the centre, or three along the longer side."""
    decode_short_side: int = 320
    """Frames with a longer short side are reduced to this many pixels before a training crop is taken."""
    eval_crop_ratio: float = 1.0
    """Side of the evaluation crop / the short side that frames are resized to. 0.875 is 224 of 256 pixels."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How the optimizer changes parameters."""

    kind: Literal["adamw", "sgd"] = "adamw"
    """The algorithm: AdamW, or SGD with Nesterov momentum."""
    learning_rate: float = 1e-4
    """Learning rate at the end of warm-up. It is used as given and not scaled with the batch size."""
    weight_decay: float = 0.05
    """Weight decay of all tensors but norms and biases."""
    decay_biases: bool = False
    """Whether weight decay also applies to biases, but not to those of norms."""
    decay_positions: bool = True
    """Whether weight decay also applies to the cls token and the tables of relative positions."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay rates of AdamW's running means of gradients and of their squares."""
    momentum: float = 0.9
    """Momentum of SGD."""
    clip_norm: float | None = 1.0
    """If the norm of all gradients together is larger than this, they are scaled down to it; null turns this off."""


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate changes: linear warm-up, then half a cosine or steps."""

    kind: Literal["cosine", "steps"] = "cosine"
    """cosine falls to `end` along half a cosine; steps falls to a tenth at each of `steps`."""
    steps: tuple[float, ...] = ()
    """Parts of the run, 0 to 1, after which the learning rate falls to a tenth."""
    epochs: int = 200
    """Number of passes over the training data."""
    warmup_epochs: float = 30.0
    """Number of epochs, at the beginning, in which the learning rate rises."""
    warmup_start: float = 1e-8
    """Learning rate of the first step."""
    end: float = 1e-6
    """Learning rate at the end of the last epoch."""


@dataclass(frozen=True)
class RunConfig:
    """Where and how training runs. Only `seed`, `batch_size` and `accumulate` change what is learned, apart from
    rounding."""

    out: str = "runs/run"
    """Folder for checkpoints, logs and the finished model."""
    seed: int = 0
    """Seed of all random choices."""
    batch_size: int = 16
    """Samples in a batch, or lanes of video, over all processes together."""
    accumulate: int = 1
    """Batches whose gradients are added up for one step of the optimizer."""
    loader_workers: int = 2
    """Number of decoding processes for each training process; 0 decodes in the training process itself."""
    device: str = "auto"
    """cpu, cuda or cuda:N; auto is a GPU if there is one. Each of several training processes uses a GPU of its own."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 turns autocast on; parameters and optimizer stay in float32."""
    compile: bool = False
    """Compile the network with torch.compile: the first steps are slower, later ones faster."""
    activation_checkpointing: bool = False
    """Compute blocks again in the backward pass: this needs less memory and a third more time."""
    evaluate_every_epochs: int = 1
    """Evaluate after every so many epochs; 0 evaluates at the end of training only."""
    checkpoint_every_steps: int = 500
    """Write a checkpoint after every so many steps, and at the end of every epoch; 0 writes them at epoch ends only."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints are kept on disk."""


@dataclass(frozen=True)
class ClassificationRecipe:
    """Train a classifier of images or single clips."""

    task: Literal["classification"] = "classification"
    """What is trained."""
    model: ModelChoice = field(default_factory=ModelChoice)
    data: ClassificationData = field(default_factory=ClassificationData)
    augment: Augmentation = field(default_factory=Augmentation)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)


@dataclass(frozen=True)
class ActionData:
    """A data set in AVA's format: the official files, or your own in the same format."""

    videos: str | None = None
    """Folder of video files such as NAME.mp4."""
    frames: str | None = None
    """Used instead of `videos`: a folder that contains a folder of numbered frames for each video."""
    frames_per_second: float = 30.0
    """Rate of extracted frames."""
    frames_start_seconds: float = 900.0
    """Time in its video of the first extracted frame, in seconds."""
    frame_lists: tuple[str, ...] = ()
    """Official frame lists, needed if the folders of frames are not named after their videos."""
    train_boxes: tuple[str, ...] = ()
    """Files with the ground truth to train on."""
    train_predicted: tuple[str, ...] = ()
    """Files of detected people with scores. A person without an action counts as doing none of the actions."""
    val_groundtruth: str = ""
    """File with the ground truth to test on."""
    val_boxes: str | None = None
    """File of detected people whose actions are predicted in the test; by default the people of the ground truth."""
    val_exclusions: str | None = None
    """File of keyframes that do not count in evaluation."""
    label_map: str | None = None
    """File of the actions that count in evaluation; by default AVA's 60."""
    labels: str | None = None
    """File of the names of all actions, for the finished model; by default AVA's 80, or those of the label map."""
    score_threshold: float = 0.9
    """Detected people with a lower score are left out."""
    hop_seconds: float = 1.0
    """Seconds between two keyframes."""


@dataclass(frozen=True)
class ActionAugmentation:
    """How a training clip is changed. Crop and flip are chosen once for a video, so that its memory fits its clips."""

    short_side: tuple[int, int] = (256, 320)
    """The shorter side of a frame is resized to a random length of this range in pixels, before the crop."""
    crop: int | None = None
    """Side in pixels of the square crop; null is the model's own, 0 keeps the whole frame. If the frames of videos
    differ in size, all are padded with black, right and below, to the largest."""
    flip: float = 0.5
    """Probability of a mirror image."""
    color_jitter: float = 0.0
    """Largest relative change of brightness, contrast and saturation, chosen for each clip; 0 turns it off."""
    color_noise: float = 0.0
    """Standard deviation of a colour that is added to all pixels of a clip, along the principal components of the
    colours of photographs; 0 turns it off."""
    perturb_frames: bool = False
    """Move every frame in time by a random number of frames (30 per second), up to half the frame interval."""
    once: Literal["video", "clip"] = "video"
    """video chooses crop and flip once for each video; clip chooses them for each clip, as the reference does."""
    without_numbers: float = 0.0
    """Probability that the people of a video have no numbers. This key and the next two are for memory in slots, which
    learns from them what trackers do."""
    lost_numbers: float = 0.0
    """Probability, for each person and clip, that the person has a new number from then on."""
    swapped_numbers: float = 0.0
    """Probability, for each clip, that two people have each other's number from then on."""
    pauses: float = 0.0
    """With slots: probability that a video has a pause after its first seconds, in which its newest clips are
    remembered again and again. What was shown before must then outweigh the clips of minutes, at no cost."""
    longest_pause: int = 512
    """The longest pause in clips; short and long ones are equally frequent for each factor of 2. A pause and the rest
    of a video should fit into `model.train_horizon`."""


@dataclass(frozen=True)
class ActionRecipe:
    """Train a model of people's actions, sequentially, with memory."""

    task: Literal["actions"] = "actions"
    """What is trained."""
    model: ModelChoice = field(default_factory=lambda: ModelChoice("memvit_16_16x4.ava_k400"))
    data: ActionData = field(default_factory=ActionData)
    augment: ActionAugmentation = field(default_factory=ActionAugmentation)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)


@dataclass(frozen=True)
class DetectionRecipe:
    """Train a detector of objects and their masks."""

    task: Literal["detection"] = "detection"
    """What is trained."""
    model: DetectorChoice = field(default_factory=DetectorChoice)
    data: DetectionData = field(default_factory=DetectionData)
    augment: DetectionAugmentation = field(default_factory=DetectionAugmentation)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    run: RunConfig = field(default_factory=RunConfig)


Recipe: TypeAlias = ClassificationRecipe | ActionRecipe | DetectionRecipe
RECIPES: dict[str, type[Recipe]] = {
    "classification": ClassificationRecipe,
    "actions": ActionRecipe,
    "detection": DetectionRecipe,
}
