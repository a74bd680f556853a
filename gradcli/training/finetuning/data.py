"""The data of a finetuning run: opened, preprocessed as fits the weights, split, and cut into batches."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.batches import batch_indices, epoch_order
from gradcli.data.dataset import Dataset
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.sources import open_dataset, split
from gradcli.errors import DataError
from gradcli.models import LoadedModel
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.preprocessing import weights_preprocessing

logger = logging.getLogger(__name__)


def open_finetuning_data(settings: FinetuneSettings, loaded: LoadedModel) -> tuple[Dataset, Dataset]:
    """The training and the validation part, under the preprocessing of the weights as far as that fits the data."""
    data = open_dataset(settings.data)
    preprocessing = weights_preprocessing(loaded)
    if preprocessing is not None:
        if loaded.classes != data.classes:
            preprocessing = own_size_if_small(preprocessing, data)
        data = data.with_preprocessing(preprocessing)
    size = settings.validation_size
    if size is not None:
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


def own_size_if_small(preprocessing: Preprocessing, data: Dataset) -> Preprocessing:
    """The preprocessing of weights for other classes, but for small images in the geometry of the data's own.

    Weights for photographs would have 8x8 digits made 28 times as large, at 49 times the work of their own 32x32, and
    would cut off their edges. Nor do features of 64x64 drawings tell digits apart that are spread to that size: 86 %
    were right then, 98 % at 32x32.
    """
    own = data.preprocessing
    if own.resize is None and max(own.size) < max(preprocessing.size):
        return replace(preprocessing, size=own.size, resize=None)
    return preprocessing


def training_batches(data: Dataset, settings: FinetuneSettings, epoch: int) -> list[NDArray[np.int64]]:
    """The positions of each batch of an epoch, in an order that depends on the seed and the epoch alone."""
    # A last batch of one image would leave batch norm one value per channel on a 1x1 map: it joins the one before.
    order = epoch_order(len(data), settings.seed, epoch)
    return batch_indices(order, settings.batch_size, merge_single=True)


def validation_batches(data: Dataset, settings: FinetuneSettings) -> list[NDArray[np.int64]]:
    """The positions of each batch of the validation data, in their order."""
    return batch_indices(np.arange(len(data)), settings.batch_size)


def balanced_class_weights(labels: NDArray[np.int64], num_classes: int) -> NDArray[np.float32]:
    """For each class the number of images over that of classes and of its own images, 1 for one without images.

    Every class then weighs as much as any other, and the images weigh 1 on average.
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = counts > 0
    weights = np.ones(num_classes)
    weights[present] = len(labels) / (np.count_nonzero(present) * counts[present])
    return weights.astype(np.float32)


def data_fingerprint(train: Dataset, validation: Dataset) -> str:
    """What tells the data of a run from other data, or from the same after a change: 128 hexadecimal digits."""
    return train.fingerprint() + validation.fingerprint()


def describe_data(train: Dataset, validation: Dataset) -> dict[str, Any]:
    """The source, and how many images of each class are in either part."""
    counts = [np.bincount(part.labels, minlength=len(train.classes)).tolist() for part in (train, validation)]
    return {
        "source": train.source,
        "classes": {
            name: {"train": in_train, "validation": in_validation}
            for name, in_train, in_validation in zip(train.classes, *counts, strict=True)
        },
    }
