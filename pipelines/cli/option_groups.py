"""Groups of options that several commands have: a command has one parameter for each group."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, cast, get_type_hints

from .options import (
    Boxes,
    BoxesThreshold,
    BoxesWeights,
    Checkpoint,
    Device,
    LabelFile,
    MaxAge,
    MemoryTimeout,
    ModelName,
    NoMemory,
    OverflowOption,
    Precision,
    RandomWeights,
    RecordAfter,
    RecordBefore,
    RecordDays,
    RecordFolder,
    RecordGigabytes,
)

if TYPE_CHECKING:
    from memvit.engine.settings import ModelSettings
    from memvit.streams.policy import LivePolicy, Overflow
    from pipelines.record.options import RecordOptions


@dataclass(frozen=True)
class ModelOptions:
    """Which model runs, how, and where people are."""

    model: ModelName = None
    checkpoint: Checkpoint = None
    random_weights: RandomWeights = False
    labels: LabelFile = None
    no_memory: NoMemory = False
    device: Device = "auto"
    precision: Precision = "auto"
    boxes: Boxes = None
    boxes_weights: BoxesWeights = None
    boxes_threshold: BoxesThreshold = None

    def settings(self) -> ModelSettings:
        """What an engine is built from."""
        from memvit.engine.settings import ModelSettings

        return ModelSettings(
            model=self.model,
            checkpoint=self.checkpoint,
            random_weights=self.random_weights,
            labels=self.labels,
            device=self.device,
            precision=self.precision,
            remember=not self.no_memory,
            boxes=self.boxes,
            boxes_weights=self.boxes_weights,
            boxes_threshold=self.boxes_threshold,
        )


@dataclass(frozen=True)
class LiveOptions:
    """What to do if a stream is late or interrupted."""

    overflow: OverflowOption = "auto"
    max_age: MaxAge = 2.0
    memory_timeout: MemoryTimeout = 30.0

    def policy(self) -> LivePolicy:
        """The policy of every stream."""
        from memvit.streams.policy import LivePolicy

        return LivePolicy(
            overflow=cast("Overflow", self.overflow),
            max_age_seconds=self.max_age,
            memory_timeout_seconds=self.memory_timeout,
        )


@dataclass(frozen=True)
class RecordingOptions:
    """Where events are recorded, how long their videos are, and how much is kept."""

    record: RecordFolder = None
    record_before: RecordBefore = None
    record_after: RecordAfter = None
    record_days: RecordDays = None
    record_gigabytes: RecordGigabytes = None

    def options(self, configured: RecordOptions | None = None) -> RecordOptions | None:
        """What the configuration says, and what the command line says instead; None records nothing. MemvitError if
        there is no folder for what is asked.
        """
        from memvit.types import MemvitError
        from pipelines.record.options import RecordOptions

        named = {
            "before_seconds": self.record_before,
            "after_seconds": self.record_after,
            "days": self.record_days,
            "gigabytes": self.record_gigabytes,
        }
        given: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        if self.record is not None:
            given["folder"] = self.record.absolute()
        if configured is not None:
            return replace(configured, **given)
        if "folder" in given:
            return RecordOptions(**given)
        if given:
            raise MemvitError("name a folder for recordings with --record; without it, nothing is recorded")
        return None


GROUPS = (ModelOptions, LiveOptions, RecordingOptions)


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let typer see an option for each field of the groups that are keyword parameters of a command."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if kind in GROUPS}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        keyword = parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[name])
        parameters += _options(groups[name]) if name in groups else [keyword]

    @wraps(command)
    def with_options(**values: Any) -> None:
        made = {
            name: kind(**{field.name: values.pop(field.name) for field in fields(kind)})
            for name, kind in groups.items()
        }
        command(**values, **made)

    signature = inspect.Signature(parameters)
    with_options.__signature__ = signature  # type: ignore[attr-defined]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return with_options


def _options(kind: type) -> list[inspect.Parameter]:
    """The fields of a group as parameters."""
    hints = get_type_hints(kind, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    return [
        inspect.Parameter(field.name, keyword, default=field.default, annotation=hints[field.name])
        for field in fields(kind)
    ]
