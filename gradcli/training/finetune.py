"""Finetuning: a head for the data's classes on loaded weights, trained for some epochs."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np

from gradcli import __version__
from gradcli.autograd import Tensor, no_grad
from gradcli.data.batches import batch_indices, epoch_order
from gradcli.data.dataset import Dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset, split
from gradcli.errors import DataError, DivergedError, UsageError
from gradcli.kernels.policy import Kernels, using_kernels
from gradcli.models import DEFAULT_WEIGHTS, LoadedModel, ResNet, load_model
from gradcli.models.loading import replace_head, state_arrays
from gradcli.models.weights_metadata import metadata_entries
from gradcli.nn.functional import cross_entropy
from gradcli.ops.random import manual_seed
from gradcli.training.batch_norms import moving_frozen_statistics, set_mode, small_batches_explained
from gradcli.training.freezing import (
    FreezeRule,
    apply_freeze_rules,
    count_parameters,
    freeze_options,
    frozen_names,
    require_trainable,
)
from gradcli.training.passes import overflow_allowed
from gradcli.training.run_folder import RunFolder
from gradcli.training.step import SGDSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """What a run is made of; the fields are the options of the same names, `verify` the opposite of `--no-verify`.

    `image_size` None keeps the data's own. `validation_split` is used for data without a validation part.
    """

    data: str
    weights: str = DEFAULT_WEIGHTS
    verify: bool = True
    num_classes: int | None = None
    epochs: int = 10
    batch_size: int = 32
    image_size: int | None = None
    validation_split: float = 0.2
    label_smoothing: float = 0.0
    mode: Literal["train", "eval"] | None = None
    freeze: Sequence[FreezeRule] = ()
    optimizer: SGDSettings = field(default_factory=SGDSettings)
    seed: int = 0
    kernels: Kernels = "fast"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What an epoch came to: mean losses, shares of images classified right, seconds."""

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    lr: float
    seconds: float
    kernels: Kernels


class _StopRequestedError(Exception):
    """Ends an epoch early because the caller asked for it."""


class Finetuning:
    """A run that is ready to start: model, data and optimizer are there, nothing has been written yet.

    `stopped` is the epoch in which the run ended early because it was asked to.
    """

    def __init__(self, settings: FinetuneSettings) -> None:
        fraction = settings.validation_split
        if not 0 < fraction < 1:
            raise UsageError(f"--validation-split {fraction:g}: expected a share above 0 and below 1")
        self.settings = settings
        self.stopped: int | None = None
        manual_seed(settings.seed)
        self.loaded: LoadedModel = load_model(settings.weights, verify=settings.verify, needs_head=False)
        self.train_data, self.val_data = _open_data(settings, self.loaded)
        classes = self.train_data.classes
        self.num_classes = len(classes) if settings.num_classes is None else settings.num_classes
        if self.num_classes < len(classes):
            raise UsageError(
                f"--num-classes {self.num_classes}: the data has {len(classes)} classes ({', '.join(classes[:3])}, …)"
            )
        self.new_head = self.loaded.classes != classes or self.model.fc.out_features != self.num_classes
        if self.new_head:
            replace_head(self.model, self.num_classes)
        apply_freeze_rules(self.model, settings.freeze)
        require_trainable(self.model)
        set_mode(self.model, settings.mode)
        self.optimizer = settings.optimizer.optimizer(self.model)

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
        options = {
            name: value
            for name, value in asdict(self.settings).items()
            if name not in ("freeze", "optimizer", "num_classes", "verify")
        }
        options |= {
            "num_classes": self.num_classes,
            "no_verify": not self.settings.verify,
            **asdict(self.settings.optimizer),
        }
        return {name.replace("_", "-"): value for name, value in options.items()} | freeze_options(
            self.settings.freeze, self.model
        )

    @property
    def batches_per_epoch(self) -> int:
        """Batches of training and validation together."""
        size = self.settings.batch_size
        return len(_training_batches(self.train_data, self.settings, 0)) + math.ceil(len(self.val_data) / size)

    def run(
        self,
        folder: RunFolder,
        config: Mapping[str, Any],
        on_batch: Callable[[float], None] = lambda loss: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Iterator[EpochRecord]:
        """Train; after each epoch weights and record are written into `folder`, and the record is given out.

        `config` is written first. `on_batch` is called with each batch's loss. After any batch, `should_stop` may end
        the run: the weights as they are then are written, and `stopped` is set. Raises DivergedError for a loss,
        gradient or validation loss that is not finite; the folder then keeps the epochs before. A run that fails
        before its first weights leaves no folder.
        """
        try:
            folder.create(config)
            for epoch in range(1, self.settings.epochs + 1):
                try:
                    record = self._epoch(epoch, on_batch, should_stop)
                except _StopRequestedError:
                    self.stopped = epoch
                    folder.save_weights(state_arrays(self.model), self._metadata())
                    return
                folder.save_weights(state_arrays(self.model), self._metadata())
                folder.add_metrics(asdict(record))
                yield record
        except BaseException:
            folder.remove_unless_weights()
            raise

    @overflow_allowed()
    def _epoch(self, epoch: int, on_batch: Callable[[float], None], should_stop: Callable[[], bool]) -> EpochRecord:
        start = time.perf_counter()

        def after_batch(loss: float) -> None:
            on_batch(loss)
            if should_stop():
                raise _StopRequestedError

        set_mode(self.model, self.settings.mode)
        with using_kernels(self.settings.kernels):
            train_loss, train_accuracy = self._train(epoch, after_batch)
            val_loss, val_accuracy = self._validate(after_batch)
        if not math.isfinite(val_loss):
            raise DivergedError(f"the validation loss is {val_loss} after epoch {epoch}{self._advice()}")
        return EpochRecord(
            epoch=epoch,
            train_loss=train_loss,
            train_accuracy=train_accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            lr=self.settings.optimizer.lr,
            seconds=time.perf_counter() - start,
            kernels=self.settings.kernels,
        )

    def _train(self, epoch: int, after_batch: Callable[[float], None]) -> tuple[float, float]:
        tally = _Tally()
        for number, indices in enumerate(_training_batches(self.train_data, self.settings, epoch), start=1):
            images, labels = self.train_data.images(indices), self.train_data.labels[indices]
            self.optimizer.zero_grad()
            with small_batches_explained(images.shape, "take --batch-size above 1, or --image-size above 32"):
                prediction = self.model(Tensor(images))
            loss = cross_entropy(prediction, Tensor(labels), label_smoothing=self.settings.label_smoothing)
            place = f"in epoch {epoch}, batch {number}{self._advice()}"
            if not math.isfinite(loss.item()):
                raise DivergedError(f"the loss is {loss.item()} {place}")
            loss.backward()
            for name, parameter in self.model.named_parameters():
                if parameter.grad is not None and not np.isfinite(parameter.grad.array).all():
                    raise DivergedError(f"the gradient of {name} is not finite {place}")
            self.optimizer.step()
            tally.add(loss.item(), prediction.array, labels)
            after_batch(loss.item())
        return tally.means()

    def _advice(self) -> str:
        return f", at learning rate {self.settings.optimizer.lr:g}; try a smaller --lr"

    @no_grad()
    def _validate(self, after_batch: Callable[[float], None]) -> tuple[float, float]:
        tally = _Tally()
        self.model.eval()
        everything = np.arange(len(self.val_data))
        for indices in batch_indices(everything, self.settings.batch_size):
            labels = self.val_data.labels[indices]
            prediction = self.model(Tensor(self.val_data.images(indices)))
            loss = cross_entropy(prediction, Tensor(labels)).item()
            tally.add(loss, prediction.array, labels)
            after_batch(loss)
        return tally.means()

    def _metadata(self) -> dict[str, str]:
        entries = metadata_entries(
            frozen=frozen_names(self.model),
            classes=self.train_data.classes if self.num_classes == len(self.train_data.classes) else None,
            preprocessing=self.train_data.preprocessing.to_dict(),
        )
        return {**entries, "gradcli.kernels": self.settings.kernels, "gradcli.version": __version__}


class _Tally:
    """Losses and hits, weighted by the size of their batches."""

    def __init__(self) -> None:
        self.loss = 0.0
        self.hits = 0
        self.images = 0

    def add(self, loss: float, prediction: np.ndarray[Any, Any], labels: np.ndarray[Any, Any]) -> None:
        self.loss += loss * len(labels)
        self.hits += int((prediction.argmax(axis=1) == labels).sum())
        self.images += len(labels)

    def means(self) -> tuple[float, float]:
        return self.loss / self.images, self.hits / self.images


def _open_data(settings: FinetuneSettings, loaded: LoadedModel) -> tuple[Dataset, Dataset]:
    data = open_dataset(settings.data)
    preprocessing = None
    if loaded.preprocessing is not None:
        preprocessing = Preprocessing.from_dict(loaded.preprocessing, loaded.weights)
        preprocessing = _without_enlarging(preprocessing, data.preprocessing)
        data = data.with_preprocessing(preprocessing)
    if settings.image_size is not None:
        size = settings.image_size
        data = data.with_preprocessing(data.preprocessing.with_size(size, size))
    elif preprocessing is not None:
        height, width = data.preprocessing.size
        reason = f"as for {loaded.weights}"
        if preprocessing.to_dict() != loaded.preprocessing:
            reason = f"since they are small, and normalised {reason}"
        logger.info("images are resized to %dx%d %s; --image-size changes that", height, width, reason)
    if len(data.classes) < 2:
        raise DataError(f"{settings.data}: one class only ({data.classes[0]}); expected at least two to tell apart")
    if len(data) < 2:
        raise DataError(f"{settings.data}: {len(data)} image; expected at least two, one to train and one to validate")
    return split(data, settings.validation_split, settings.seed)


def _without_enlarging(preprocessing: Preprocessing, own: Preprocessing) -> Preprocessing:
    """The weights' preprocessing, but for small images in the geometry of the data's own.

    Weights for photographs would have 8x8 digits made 28 times as large, at 49 times the work of their own 32x32, and
    would cut off their edges.
    """
    if own.resize is None and preprocessing.resize is not None and max(own.size) < max(preprocessing.size):
        return replace(preprocessing, size=own.size, resize=None)
    return preprocessing


def _training_batches(data: Dataset, settings: FinetuneSettings, epoch: int) -> list[np.ndarray[Any, Any]]:
    # A last batch of one image would leave batch norm one value per channel on a 1x1 map: it joins the one before.
    order = epoch_order(len(data), settings.seed, epoch)
    return batch_indices(order, settings.batch_size, merge_single=True)
