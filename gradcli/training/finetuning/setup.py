"""What a finetuning run trains and on what: weights with a head for the data's classes, data, optimizer, schedule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gradcli.errors import UsageError
from gradcli.models import LoadedModel, ResNet, load_model
from gradcli.models.loading import replace_head
from gradcli.ops.random import manual_seed
from gradcli.training.batch_norms import moving_frozen_statistics, set_mode
from gradcli.training.finetuning.data import open_finetuning_data, training_batches
from gradcli.training.finetuning.locations import with_absolute_paths
from gradcli.training.finetuning.options import options_of
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.freezing import apply_freeze_rules, count_parameters, freeze_options, require_trainable
from gradcli.training.frozen_prefix import cut_model
from gradcli.training.non_finite import require_finite
from gradcli.training.optimizers import build_optimizer
from gradcli.training.schedules import build_scheduler


class Finetuning:
    """Model, data, optimizer and schedule, as the settings say; nothing has been trained or written yet.

    `settings` are those given, with absolute paths, so that the run goes on from any folder.
    """

    def __init__(self, settings: FinetuneSettings) -> None:
        self.settings = settings = with_absolute_paths(settings)
        manual_seed(settings.seed)
        self.loaded: LoadedModel = load_model(settings.weights, verify=settings.verify, needs_head=False)
        self.train_data, self.val_data = open_finetuning_data(settings, self.loaded)
        classes = self.train_data.classes
        self.num_classes = len(classes) if settings.num_classes is None else settings.num_classes
        if self.num_classes < len(classes):
            raise UsageError(
                f"--num-classes {self.num_classes}: the data has {len(classes)} classes ({', '.join(classes[:3])}, …)"
            )
        self.new_head = self.loaded.classes != classes or self.model.fc.out_features != self.num_classes
        if self.new_head:
            replace_head(self.model, self.num_classes)
        require_finite(self.loaded)
        apply_freeze_rules(self.model, settings.freeze)
        require_trainable(self.model)
        set_mode(self.model, settings.mode)
        if settings.views is not None and cut_model(self.model) is None:
            raise UsageError(
                f"--views {settings.views}: the first layers train, so their features can't be kept; leave it out"
            )
        if settings.train_sizes is not None and settings.keeps_features and cut_model(self.model) is not None:
            raise UsageError(
                f"--train-sizes {_sizes(settings.train_sizes)}: the features of the frozen layers are computed once, "
                "at one size; leave it out, or have every epoch augmented anew with --augment and without --views"
            )
        self.optimizer = build_optimizer(settings.optimizer, self.model, settings.head_lr)
        self.scheduler = build_scheduler(settings.schedule, self.optimizer, settings.epochs, self.steps_per_epoch)

    @property
    def model(self) -> ResNet:
        return self.loaded.model

    def describe(self) -> str:
        """In a line: data, weights, what trains, kernels, and how the batch norms behave."""
        height, width = self.train_data.preprocessing.size
        size, in_turn = f"{height}x{width}", self.settings.train_sizes
        if in_turn is not None:
            size = f"batches of {_sizes(in_turn)} pixels in turn and {size} in validation"
        text = (
            f"{len(self.train_data)} images to train and {len(self.val_data)} to validate, {size}, "
            f"{self.num_classes} classes; weights {self.loaded.weights}{' with a new head' if self.new_head else ''}, "
            f"{count_parameters(self.model.parameters())}, {self.settings.kernels} kernels"
        )
        moving = moving_frozen_statistics(self.model)
        if moving:
            text += f"; running statistics of {moving} frozen batch norms move in train mode, as in PyTorch"
        return text

    def config(self) -> dict[str, Any]:
        """The run's options by their long names, as a configuration file that repeats it."""
        return (
            options_of(self.settings)
            | {"num-classes": self.num_classes}
            | freeze_options(self.settings.freeze, self.model)
        )

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return math.ceil(len(training_batches(self.train_data, self.settings, 0)) / self.settings.accumulate)

    @property
    def images_per_epoch(self) -> int:
        """Images of training and validation together."""
        return len(self.train_data) + len(self.val_data)


def _sizes(sides: Sequence[int]) -> str:
    return ",".join(map(str, sides))
