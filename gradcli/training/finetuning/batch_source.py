"""Where a run's batches come from: images that are loaded, or features that were computed once."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from gradcli.autograd import Tensor
from gradcli.data.dataset import Dataset, Subset
from gradcli.data.loader import Loader
from gradcli.data.preprocessing import Preprocessing
from gradcli.training.feature_cache import Features, cached_features
from gradcli.training.finetuning.settings import FinetuneSettings
from gradcli.training.frozen_prefix import CutModel

if TYPE_CHECKING:
    from gradcli.models import ResNet

Positions = Sequence[NDArray[np.int64]]
"""The positions in a data set of the images of each batch."""


class Batch(NamedTuple):
    """What `predict` takes of some images of (height, width) pixels, and their labels (n,).

    Images that can't be read are left out.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    image_size: tuple[int, int]


class BatchSource(Protocol):
    """Batches of a run's training and validation data, and what makes class scores of them."""

    def training(self, batches: Positions, epoch: int, first: int = 0) -> Generator[Batch]:
        """The batches of an epoch, counted from 1, of which all positions are given, from batch `first` on."""
        ...

    def validation(self, batches: Positions) -> Generator[Batch]:
        """The batches of these positions of the validation data."""
        ...

    def predict(self, inputs: Tensor) -> Any:
        """The class scores (n, classes)."""
        ...

    @property
    def inputs(self) -> str:
        """What the inputs are, in words."""
        ...

    @property
    def skipped(self) -> dict[str, str]:
        """The images that could not be read so far, by name, and why."""
        ...


class ImageBatches:
    """Batches of images, loaded and augmented while the run computes, for the whole model.

    With `train_sizes`, the batches of training have these sides in turn, counted over all epochs.
    """

    inputs = "images"

    def __init__(
        self,
        model: ResNet,
        train: Loader,
        validation: Loader,
        views: int | None,
        train_sizes: Sequence[int] | None = None,
    ) -> None:
        self.predict: Callable[[Tensor], Any] = model
        self._train = train
        self._validation = validation
        self._views = views
        own = train.dataset.preprocessing
        self._preprocessings = None if train_sizes is None else [own.with_size(side, side) for side in train_sizes]

    def training(self, batches: Positions, epoch: int, first: int = 0) -> Generator[Batch]:
        turns = self._preprocessings
        preprocessings = None
        if turns is not None:
            before = (epoch - 1) * len(batches)  # epochs have the same number of batches
            preprocessings = [turns[(before + number) % len(turns)] for number in range(first, len(batches))]
        yield from _loaded(self._train, batches[first:], _view(epoch, self._views), preprocessings)

    def validation(self, batches: Positions) -> Generator[Batch]:
        yield from _loaded(self._validation, batches, 0)

    @property
    def skipped(self) -> dict[str, str]:
        return {**self._train.skipped, **self._validation.skipped}


class FeatureBatches:
    """Batches of features that the frozen part of the model gave, for the rest of it."""

    inputs = "output of the frozen layers"

    def __init__(
        self,
        cut: CutModel,
        train: Features,
        validation: Features,
        skipped: dict[str, str],
        image_size: tuple[int, int],
    ) -> None:
        self.predict: Callable[[Tensor], Any] = cut.rest
        self.skipped = skipped
        self._train = train
        self._validation = validation
        self._image_size = image_size

    def training(self, batches: Positions, epoch: int, first: int = 0) -> Generator[Batch]:
        yield from _taken(self._train, batches[first:], _view(epoch, self._train.views), self._image_size)

    def validation(self, batches: Positions) -> Generator[Batch]:
        yield from _taken(self._validation, batches, 0, self._image_size)


def image_batches(settings: FinetuneSettings, model: ResNet, train_data: Dataset, val_data: Dataset) -> ImageBatches:
    """Batches of the images themselves."""
    train, validation = _loaders(settings, train_data, val_data)
    return ImageBatches(model, train, validation, settings.views, settings.train_sizes)


def feature_batches(
    settings: FinetuneSettings,
    cut: CutModel,
    train_data: Dataset,
    val_data: Dataset,
    digests: Mapping[str, str],
    on_batch: Callable[[int, int], None],
) -> FeatureBatches | None:
    """Batches of features, from the cache or computed now; None where they are too many to keep.

    `digests` are those of the model's tensors, as far as they are known, as `tensor_digests` gives them. `on_batch` is
    called with the numbers of images done and to do. Errors are those of `cached_features`.
    """
    train, validation = _loaders(settings, train_data, val_data)
    size = train_data.preprocessing.size
    features_of = partial(cached_features, cut, kernels=settings.kernels, keep=settings.feature_cache, digests=digests)
    if not train.augmentation and isinstance(train_data, Subset) and isinstance(val_data, Subset):
        # Of the data set that both are parts of: whatever the split, they are found in the cache again.
        whole = Loader(train_data.dataset, strict=settings.strict)
        features = features_of(whole, on_batch=on_batch)
        if features is None:
            return None
        return FeatureBatches(
            cut, features.subset(train_data.indices), features.subset(val_data.indices), whole.skipped, size
        )
    views = settings.views or 1
    total = views * len(train_data) + len(val_data)
    trained_on = features_of(train, views=views, on_batch=lambda done, _: on_batch(done, total))
    if trained_on is None:
        return None
    before = views * len(train_data)
    validated_on = features_of(validation, on_batch=lambda done, _: on_batch(before + done, total))
    if validated_on is None:
        return None
    return FeatureBatches(cut, trained_on, validated_on, {**train.skipped, **validation.skipped}, size)


def _loaders(settings: FinetuneSettings, train_data: Dataset, val_data: Dataset) -> tuple[Loader, Loader]:
    augmentation = settings.augmentation
    train = Loader(train_data, augmentation=augmentation, seed=settings.seed, strict=settings.strict)
    return train, Loader(val_data, strict=settings.strict)


def _view(epoch: int, views: int | None) -> int:
    """The view of an epoch: those that there are take turns."""
    return epoch - 1 if views is None else (epoch - 1) % views


def _loaded(
    loader: Loader, batches: Positions, view: int, preprocessings: Sequence[Preprocessing] | None = None
) -> Generator[Batch]:
    with closing(loader.batches(batches, view, preprocessings)) as loaded:
        for batch in loaded:
            height, width = batch.images.shape[2:]
            yield Batch(batch.images, batch.labels, (height, width))


def _taken(features: Features, batches: Positions, view: int, image_size: tuple[int, int]) -> Generator[Batch]:
    readable = np.zeros(len(features), bool)
    readable[features.kept] = True
    for positions in batches:
        kept = positions[readable[positions]]
        yield Batch(features.batch(kept, view), features.labels[kept], image_size)
