"""What a finetuning run is made of, checked when it is put together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from gradcli.data.preprocessing import LARGEST_SIDE
from gradcli.errors import UsageError
from gradcli.kernels.policy import Kernels
from gradcli.models import DEFAULT_WEIGHTS
from gradcli.training.finetuning.augmentation_settings import AugmentationSettings
from gradcli.training.finetuning.gradient_log import LogInterval
from gradcli.training.freezing import FreezeRule
from gradcli.training.optimizers import OptimizerSettings, SGDSettings
from gradcli.training.schedules import ScheduleSettings

ClassWeights = Literal["none", "balanced"]

_INTERVAL = re.compile(r"(?P<number>\d+(\.\d+)?) *(?P<unit>s|m|h|steps?|)")
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class CheckpointInterval(NamedTuple):
    """How many optimizer steps, or seconds, lie between two checkpoints; one of them is None."""

    steps: int | None
    seconds: float | None

    @classmethod
    def parse(cls, text: str) -> CheckpointInterval:
        """Read `90s`, `5m` or `1h`, or a number of optimizer steps, `500` or `500 steps`; UsageError for else."""
        match = _INTERVAL.fullmatch(text.strip())
        number = float(match["number"]) if match else 0.0
        if match and number > 0:
            if match["unit"] in _SECONDS:
                return cls(None, number * _SECONDS[match["unit"]])
            if number == int(number):
                return cls(int(number), None)
        raise UsageError(f"--checkpoint-every {text}: expected a time such as 60s or 5m, or a number of steps above 0")


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(AugmentationSettings):
    """What a run is made of; the fields are the options of the same names, `verify` the opposite of `--no-verify`.

    `image_size` None keeps the data's own, or takes the largest of `train_sizes`, pixels of each side, which batches of
    training have in turn. `validation_split` is used for data without a validation part. `class_weights` "balanced"
    weighs each class by the inverse of its share of the training images. Gradients of `accumulate` batches make one
    step, of the loss averaged over all their images. With `views`, each image comes in so many augmented copies, in
    turn by epoch, and in as many as there are epochs without. After `patience` epochs in which neither the validation
    loss nor the validation accuracy got better than ever before, the run ends. With `ema`, a running average of the
    weights by this decay is what is validated and written. `log_grads` is `epoch` or a number of steps.
    UsageError for values that make no run.
    """

    data: str
    weights: str = DEFAULT_WEIGHTS
    verify: bool = True
    num_classes: int | None = None
    epochs: int = 10
    batch_size: int = 32
    image_size: int | None = None
    train_sizes: tuple[int, ...] | None = None
    validation_split: float = 0.2
    label_smoothing: float = 0.0
    class_weights: ClassWeights = "none"
    mode: Literal["train", "eval"] | None = None
    freeze: Sequence[FreezeRule] = ()
    optimizer: OptimizerSettings = field(default_factory=SGDSettings)
    head_lr: float | None = None
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    accumulate: int = 1
    clip_norm: float | None = None
    views: int | None = None
    patience: int | None = None
    ema: float | None = None
    seed: int = 0
    kernels: Kernels = "fast"
    strict: bool = False
    checkpoint_every: str = "60s"
    log_grads: str | None = None
    feature_cache: bool = True

    def __post_init__(self) -> None:
        fraction = self.validation_split
        if not 0 < fraction < 1:
            raise UsageError(f"--validation-split {fraction:g}: expected a share above 0 and below 1")
        for name in ("epochs", "batch_size", "accumulate", "views", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} {value}: expected 1 or more")
        for name, value, zero in (("head-lr", self.head_lr, True), ("clip-norm", self.clip_norm, False)):
            if value is not None and not (math.isfinite(value) and (value > 0 or (zero and value == 0))):
                raise UsageError(f"--{name} {value:g}: expected a finite number {'of at least' if zero else 'above'} 0")
        if self.train_sizes is not None and not all(8 <= side <= LARGEST_SIDE for side in self.train_sizes or (0,)):
            given = ",".join(map(str, self.train_sizes))
            raise UsageError(f"--train-sizes {given}: expected sides of 8 to {LARGEST_SIDE} pixels, such as 64,32")
        if not 0 <= self.label_smoothing <= 1:
            raise UsageError(f"--label-smoothing {self.label_smoothing:g}: expected a share from 0 to 1")
        if self.ema is not None and not 0 < self.ema < 1:
            raise UsageError(f"--ema {self.ema:g}: expected a decay above 0 and below 1, such as 0.98")
        if self.seed < 0:
            raise UsageError(
                f"--seed {self.seed}: expected 0 or more, for the order of the images and their augmentation"
            )
        augmentation = self.augmentation  # refuses what is none
        if self.views is not None and not augmentation:
            raise UsageError(f"--views {self.views}: without --augment all views of an image are the same; add it")
        self.checkpoint_interval  # noqa: B018 - to refuse a wrong one now
        self.log_interval  # noqa: B018

    @property
    def validation_size(self) -> int | None:
        """Pixels of each side of the images that are validated on, and of those weights are for; None: the data's."""
        return max(self.train_sizes) if self.image_size is None and self.train_sizes is not None else self.image_size

    @property
    def keeps_features(self) -> bool:
        """Whether what frozen layers give is kept where it can be: images come again as they were."""
        return self.views is not None or not self.augmentation

    @property
    def checkpoint_interval(self) -> CheckpointInterval:
        """`checkpoint_every` in steps or seconds."""
        return CheckpointInterval.parse(self.checkpoint_every)

    @property
    def log_interval(self) -> LogInterval | None:
        """How often gradients are logged; None: never."""
        return None if self.log_grads is None else LogInterval.parse(self.log_grads)
