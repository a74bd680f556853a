"""Finetuning: a head for the data's classes on loaded weights, trained for some epochs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Self

from gradcli.errors import RunFolderError, UsageError
from gradcli.models import LoadedModel, ResNet, load_model
from gradcli.models.loading import replace_head
from gradcli.models.weights_source import weights_file
from gradcli.ops.random import manual_seed
from gradcli.training.batch_norms import moving_frozen_statistics, set_mode
from gradcli.training.finetune_data import open_finetuning_data, training_batches
from gradcli.training.finetune_options import options_of, require_same_options, settings_of
from gradcli.training.finetune_run import FinetuneRun
from gradcli.training.finetune_settings import FinetuneSettings
from gradcli.training.freezing import apply_freeze_rules, count_parameters, freeze_options, require_trainable
from gradcli.training.frozen_prefix import cut_model
from gradcli.training.non_finite import require_finite
from gradcli.training.optimizers import build_optimizer
from gradcli.training.records import EpochProgress, EpochRecord
from gradcli.training.run_folder import CONFIG_FILE, RunFolder
from gradcli.training.run_state import RunState, load_run_state
from gradcli.training.schedules import build_scheduler

__all__ = ["EpochRecord", "FinetuneSettings", "Finetuning"]


class Finetuning:
    """A run that is ready to start, or to go on: model, data and optimizer are there, nothing has been written yet.

    `stopped` is the epoch in which the run ended early because it was asked to.
    """

    def __init__(self, settings: FinetuneSettings) -> None:
        self.settings = settings
        self.stopped: int | None = None
        self._resumed: tuple[RunFolder, RunState | None] | None = None
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
        self.optimizer = build_optimizer(settings.optimizer, self.model, settings.head_lr)
        self.scheduler = build_scheduler(settings.schedule, self.optimizer, settings.epochs, self.steps_per_epoch)

    @classmethod
    def resume(cls, folder: RunFolder) -> Self:
        """The run of an `existing` folder, to go on where its last checkpoint was made, or at its start without one.

        RunFolderError if it is finished or its checkpoint can't be used, UsageError if its configuration can't; `run`
        finds out whether data and weights are still the same. The folder is released after an error.
        """
        try:
            summary = folder.summary()
            if summary is not None and summary.get("status") == "finished":
                raise RunFolderError(f"{folder.path}: the run is finished; there is nothing to resume")
            receipt = None if summary is None else summary.get("frozen")
            if isinstance(receipt, dict) and receipt.get("moved"):
                # The checkpoint is of training on top of what moved; from it the receipt would hold again.
                raise RunFolderError(f"{folder.path}: a tensor moved in this run although frozen; start it anew")
            source = str(folder.path / CONFIG_FILE)
            finetuning = cls(settings_of(folder.config(), source))
            state = load_run_state(folder.state_file)
            if state is not None:
                require_same_options(finetuning.config(), state.options, source)
            finetuning._resumed = folder, state
        except BaseException:
            folder.release()
            raise
        return finetuning

    @property
    def model(self) -> ResNet:
        return self.loaded.model

    def describe(self) -> str:
        """In a line: data, weights, what trains, kernels, and how the batch norms behave."""
        height, width = self.train_data.preprocessing.size
        text = (
            f"{len(self.train_data)} images to train and {len(self.val_data)} to validate, {height}x{width}, "
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

    @property
    def epochs_done(self) -> int:
        """How many epochs the checkpoint has that the run goes on from."""
        state = None if self._resumed is None else self._resumed[1]
        return 0 if state is None else len(state.records)

    def run(
        self,
        folder: RunFolder,
        config: Mapping[str, Any],
        on_batch: Callable[[EpochProgress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
        on_features: Callable[[int, int], None] = lambda done, total: None,
    ) -> Iterator[EpochRecord]:
        """Train; after each epoch its record is written into `folder` and given out.

        `config` is written first, unless the run is resumed. `on_batch` is called after each batch, and before,
        where frozen layers' features are computed once, `on_features` with the numbers of images done and to do. After
        any step, `should_stop` may end the run: what it goes on from is written, and `stopped` is set. Raises
        DivergedError for a loss, gradient or validation loss that is not finite, CheckError for a frozen tensor that
        moved, DataError and WeightsError for data and weights that are not those that a resumed run began with. What
        the epochs before came to is then in the folder; a run that comes to nothing leaves none.
        """
        state = None
        if self._resumed is not None and self._resumed[0] is folder:
            state = self._resumed[1]
        else:
            if folder.replaces(weights_file(self.settings.weights)):
                raise UsageError(
                    f"--weights {self.settings.weights}: lies in {folder.path}, which --force replaces; "
                    "name another folder with --run"
                )
            folder.create(config)
        try:
            run = FinetuneRun(self, folder, on_batch, should_stop, on_features)
            yield from run.records(state)
            self.stopped = run.stopped
        finally:
            folder.remove_unless_saved()
