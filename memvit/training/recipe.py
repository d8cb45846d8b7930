"""A recipe: everything that decides a training run, as frozen dataclasses, read from YAML and `key=value` overrides.

`configs/` holds the files. A key that does not exist, or a value of the wrong type, is refused with the nearest name;
the resolved recipe is written beside the results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from memvit.training.recipe_keys import set_values, value_of
from memvit.types import MemvitError


@dataclass(frozen=True)
class ModelChoice:
    """Which model is trained, and from what."""

    name: str = "mvitv2_s_16x4.k400"
    """A model of `memvit models`."""
    pretrained: bool = False
    """Start from the published weights of `name`."""
    checkpoint: str | None = None
    """Start from this file, in any supported layout; a head of another size stays new."""
    inflate: str | None = None
    """Start a video model from this image checkpoint (see `memvit.models.weights.inflate`)."""
    num_classes: int | None = None
    """Classes, where they are not the model's own."""
    drop_path: float = 0.0
    """Probability that a block is left out, of the last block; it grows from 0 at the first."""
    dropout: float | None = None
    """Dropout before the last layer; null is the model's own."""
    box_attention_dropout: float = 0.0
    """Dropout of the probabilities in attention among the boxes of a clip; this and the next two are for models of
    people's actions."""
    box_qkv_dropout: float = 0.0
    """Dropout of its queries, keys and values, after their projections."""
    box_dropout: float = 0.0
    """Dropout after its output projection and after both layers of the MLP behind it."""
    reads: tuple[int, ...] | None = None
    """Offsets, in clips, of the past clips to read; [] trains without memory; null is the model's own."""


@dataclass(frozen=True)
class Augmentation:
    """What happens to the pixels of a training sample; of a video, the same to all its frames."""

    area: tuple[float, float] = (0.08, 1.0)
    """Part of the frame that a random crop covers."""
    aspect: tuple[float, float] = (0.75, 4 / 3)
    """Width over height of that crop."""
    """Of that crop, width over height, before it is resized to a square."""
    short_side: tuple[int, int] | None = None
    """Instead of a crop by area: the shorter side is resized to a length of this range, and a square of the model's
    size cut out."""
    flip: float = 0.5
    """Probability of a mirror image; 0 where left and right mean something (Something-Something)."""
    rand_augment_ops: int = 0
    """Operations of RandAugment a sample; 0 turns it off."""
    rand_augment_magnitude: float = 7
    """0 to 10."""
    rand_augment_noise: float = 0.5
    """Standard deviation of the magnitude, which is drawn for every operation."""
    color_jitter: float = 0.0
    """By how much brightness, contrast and saturation change; 0 turns it off."""
    erasing: float = 0.0
    """Probability that a rectangle is erased with noise."""
    mixup: float = 0.0
    """Alpha of mixup; 0 turns it off."""
    cutmix: float = 0.0
    """Alpha of cutmix; 0 turns it off. With both, each batch draws one."""
    label_smoothing: float = 0.0
    """Part of a target that is spread over all classes."""
    repeats: int = 1
    """Differently augmented samples made of one decoded clip (repeated augmentation); they count in the batch size."""


@dataclass(frozen=True)
class ClassificationData:
    """Lists of videos, or folders of images, with a class each."""

    kind: Literal["videos", "images"] = "videos"
    """What the samples are."""
    train: str = ""
    """A list of videos (Kinetics' CSV or JSON, Something-Something's JSON, or lines `path label`), or an image folder
    with a subfolder a class."""
    val: str = ""
    """The same, to test on; by default the training data."""
    root: str | None = None
    """Folder that the videos of a list lie in; by default that of the list."""
    labels: str | None = None
    """Class names: a file (a name a line, or JSON name → id), or k400, k600, k700, ssv2; by default those of the
    model's data set."""
    sampling: Literal["dense", "uniform"] = "dense"
    """dense: consecutive frames at the model's interval (Kinetics). uniform: one frame of each of T equal segments
    (Something-Something)."""
    temporal_views: int = 1
    """Clips a video in evaluation."""
    spatial_crops: Literal[1, 3] = 1
    """Crops a clip in evaluation: the centre, or three along the longer side."""
    decode_short_side: int = 320
    """Frames are decoded to this size before a training crop is taken, where they are larger."""
    eval_crop_ratio: float = 1.0
    """Side of the evaluation crop over the short side that frames are resized to; 0.875 is 224 of 256 pixels."""


@dataclass(frozen=True)
class OptimizerConfig:
    """How parameters move."""

    kind: Literal["adamw", "sgd"] = "adamw"
    """The algorithm."""
    learning_rate: float = 1e-4
    """At the peak, for the batch size of this recipe: it is not scaled behind your back."""
    weight_decay: float = 0.05
    """Not for biases and norms, nor any other tensor of one dimension."""
    decay_positions: bool = True
    """Whether weight decay is for the cls token and the tables of relative positions, too."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW: how long it averages gradients and their squares."""
    momentum: float = 0.9
    """Of SGD."""
    clip_norm: float | None = 1.0
    """The largest norm of all gradients together; null does not clip."""


@dataclass(frozen=True)
class ScheduleConfig:
    """Linear warm-up, then half a cosine."""

    epochs: int = 200
    """How often the training data are walked through."""
    warmup_epochs: float = 30.0
    """Of these, how many the learning rate rises."""
    warmup_start: float = 1e-8
    """Learning rate of the first step."""
    end: float = 1e-6
    """Learning rate of the last step."""


@dataclass(frozen=True)
class RunConfig:
    """Where and how a run happens; nothing here but `seed`, `batch_size` and `accumulate` changes what is learned,
    beyond rounding."""

    out: str = "runs/run"
    """Folder for checkpoints, logs and the finished model."""
    seed: int = 0
    """Of everything random."""
    batch_size: int = 16
    """Samples a step, or lanes of video, of all processes together."""
    accumulate: int = 1
    """Batches a step of the optimizer."""
    loader_workers: int = 2
    """Processes that decode, a training process; 0 decodes in the training process."""
    device: str = "auto"
    """cpu, cuda or cuda:N; auto is a GPU if there is one. Several processes take a GPU each."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is autocast: parameters and optimizer stay in float32."""
    compile: bool = False
    """Compile the network with torch.compile: slower to begin, then faster."""
    activation_checkpointing: bool = False
    """Compute blocks anew in the backward pass: less memory, a third more time."""
    evaluate_every_epochs: int = 1
    """0 evaluates at the end only."""
    checkpoint_every_steps: int = 500
    """Besides the end of every epoch; 0 for the ends only."""
    keep_checkpoints: int = 2
    """How many of the newest checkpoints stay."""


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
    """A data set in AVA's format: its official files as they are, or your own."""

    videos: str | None = None
    """Folder of video files, NAME.mp4 and the like."""
    frames: str | None = None
    """Or a folder with a folder of numbered frames for each video."""
    frames_per_second: float = 30.0
    """Of extracted frames."""
    frames_start_seconds: float = 900.0
    """Time of the first extracted frame in its video."""
    frame_lists: tuple[str, ...] = ()
    """Official frame lists, where folders of frames are not named after their videos."""
    train_boxes: tuple[str, ...] = ()
    """Ground truth to train on."""
    train_predicted: tuple[str, ...] = ()
    """Detected people with scores; those without an action are people who do nothing of the list."""
    val_groundtruth: str = ""
    """Ground truth to test on."""
    val_boxes: str | None = None
    """Detected people to be judged; by default those of the ground truth."""
    val_exclusions: str | None = None
    """Keyframes that do not count in evaluation."""
    label_map: str | None = None
    """Which actions count in evaluation, by default AVA's 60."""
    labels: str | None = None
    """Names of all actions, for the finished model; by default AVA's 80, or those of the label map."""
    score_threshold: float = 0.9
    """Detected people with a lower score are left out."""
    hop_seconds: float = 1.0
    """Seconds from keyframe to keyframe."""


@dataclass(frozen=True)
class ActionAugmentation:
    """What happens to a training clip. Crop and flip are drawn once a video, so that memory is not torn."""

    short_side: tuple[int, int] = (256, 320)
    """Pixels that the shorter side of a frame is resized to, before the crop: a random length of this range."""
    crop: int | None = None
    """Side of the square crop; None is the model's, 0 keeps the whole frame. Where the frames of videos differ in size,
    all are padded with black, right and below, to the largest."""
    flip: float = 0.5
    """Probability of a mirror image."""
    color_jitter: float = 0.0
    """Drawn for each clip."""
    color_noise: float = 0.0
    """The same: standard deviation of a colour that is added to all pixels, along the principal components of colours
    in photographs."""
    perturb_frames: bool = False
    """Move every frame by a random number of frames (of 30 a second), up to half the frame interval."""
    once: Literal["video", "clip"] = "video"
    """clip draws crop and flip anew for each clip, as the reference does."""


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


Recipe: TypeAlias = ClassificationRecipe | ActionRecipe
RECIPES: dict[str, type[ClassificationRecipe] | type[ActionRecipe]] = {
    "classification": ClassificationRecipe,
    "actions": ActionRecipe,
}


AT_LEAST_ONE = ("run.batch_size", "run.accumulate", "schedule.epochs")


def load_recipe(path: str | Path, overrides: list[str] | None = None) -> Recipe:
    """A YAML file with `key=value` overrides applied, for example `run.out=runs/7` or `optimizer.learning_rate=2e-4`.

    MemvitError if the file cannot be read, or a key or value does not fit.
    """
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    try:
        content = OmegaConf.load(path)
    except OSError as error:
        raise MemvitError(f"{path}: the recipe cannot be read ({error.strerror}); see configs/ for recipes") from error
    except YAMLError as error:
        raise MemvitError(f"{path}: this is not valid YAML ({' '.join(str(error).split())})") from error
    task = content.get("task") if isinstance(content, DictConfig) else None
    if task not in RECIPES:
        raise MemvitError(f"{path}: `task:` must be one of {', '.join(RECIPES)}, found {task!r}")
    merged = OmegaConf.structured(RECIPES[task])
    _unlock(merged)
    set_values(merged, content, RECIPES, f"{path}: ")
    for override in overrides or []:
        if "=" not in override:
            raise MemvitError(f"{override}: an override is key=value, for example run.out=runs/7")
        try:
            change = OmegaConf.from_dotlist([override])
        except (OmegaConfBaseException, YAMLError) as error:
            raise MemvitError(f"{override}: the value is not valid YAML; a list is written [1,2]") from error
        set_values(merged, change, RECIPES)
    try:
        recipe = OmegaConf.to_object(merged)
    except OmegaConfBaseException as error:
        raise MemvitError(f"{path}: {getattr(error, 'full_key', '')}: {str(error).splitlines()[0]}") from error
    assert isinstance(recipe, RECIPES[task])
    for name in AT_LEAST_ONE:
        if value_of(recipe, name) < 1:
            raise MemvitError(f"{name}={value_of(recipe, name)}: this must be at least 1")
    return recipe


def recipe_yaml(recipe: Recipe) -> str:
    """The whole recipe, defaults included; `load_recipe` reads it back to an equal one."""
    from omegaconf import OmegaConf

    return OmegaConf.to_yaml(OmegaConf.structured(recipe))


def _unlock(node: Any) -> None:
    """OmegaConf takes frozen dataclasses for read-only, though only the objects made of them are."""
    from omegaconf import DictConfig, OmegaConf

    OmegaConf.set_readonly(node, None)
    for key in node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _unlock(child)
