"""The features that a model's classifier sees, of the images of a data set or of image files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.dataset import Dataset
from gradcli.data.image_paths import STANDARD_INPUT, image_files, image_paths
from gradcli.data.images import is_image_file, list_images
from gradcli.data.loader import Loader
from gradcli.data.split_names import Split
from gradcli.errors import DataError, DivergedError
from gradcli.inspection.model_data import choose_split, file_preprocessing, open_for_model
from gradcli.kernels.policy import Kernels
from gradcli.models import LoadedModel
from gradcli.training.feature_cache import Features, backbone_features
from gradcli.training.passes import overflow_allowed, reason_for_non_finite

_ROWS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class ImageFeatures:
    """The features (512,) of one image; what it is called, and of a data set its split, label and class."""

    path: str
    split: str | None
    label: int | None
    class_name: str | None
    features: NDArray[np.float32]


class FeatureTable:
    """The features of all images that can be read, in order; `skipped` tells the others, and why."""

    def __init__(self, parts: Sequence[tuple[str | None, Dataset, Features]], skipped: dict[str, str]) -> None:
        self.skipped = skipped
        self._parts = parts

    @property
    def labelled(self) -> bool:
        """Whether the images have labels."""
        return self._parts[0][0] is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """(images, features of each)."""
        return (sum(len(features.kept) for _, _, features in self._parts), *self._parts[0][2].shape)

    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The rows, some at a time."""
        for _, _, features in self._parts:
            for start in range(0, len(features.kept), _ROWS_AT_ONCE):
                yield features.batch(features.kept[start : start + _ROWS_AT_ONCE])

    def columns(self) -> dict[str, NDArray[Any]]:
        """What goes with each row, by name: `path`, and of a data set `split` and `labels`, beside its `classes`."""
        columns = {"path": np.array([name for _, dataset, _, name in self._names()])}
        if self.labelled:
            splits = [[split] * len(features.kept) for split, _, features in self._parts]
            columns["split"] = np.array([name for part in splits for name in part])
            columns["labels"] = np.concatenate([features.labels[features.kept] for _, _, features in self._parts])
            columns["classes"] = np.array(self._parts[0][1].classes)
        return columns

    def records(self) -> Iterator[ImageFeatures]:
        """One record for each row."""
        rows = (row for block in self.blocks() for row in block)
        for (split, dataset, index, name), row in zip(self._names(), rows, strict=True):
            label = None if split is None else int(dataset.labels[index])
            class_name = None if label is None else dataset.classes[label]
            yield ImageFeatures(path=name, split=split, label=label, class_name=class_name, features=row)

    def _names(self) -> Iterator[tuple[str | None, Dataset, int, str]]:
        for split, dataset, features in self._parts:
            for index in features.kept.tolist():
                yield split, dataset, index, dataset.name(index)


class FeatureSource:
    """The images that a command names: the parts of a data set, or files."""

    def __init__(self, parts: Sequence[tuple[str | None, Dataset]]) -> None:
        self._parts = parts

    @classmethod
    def open(
        cls,
        specs: Sequence[str],
        loaded: LoadedModel,
        *,
        split: Split | None = None,
        image_size: int | None = None,
        separator: bytes = b"\n",
    ) -> FeatureSource:
        """One data set, or image files as `image_paths` takes them, preprocessed for the model.

        A folder with images directly in it stands for these. `split` None takes all of a data set.
        """
        if len(specs) == 1 and not _names_files(specs[0]):
            dataset = open_for_model(specs[0], loaded, image_size=image_size)
            _, parts = choose_split(dataset, loaded, split or "all")
            return cls(list(parts.items()))
        if split is not None:
            raise DataError(f"--split {split}: image files have no splits; expected a data set")
        paths = [path for chunk in image_paths(specs, separator=separator) for path in chunk]
        source = "standard input" if list(specs) == [STANDARD_INPUT] else specs[0]
        return cls([(None, image_files(source, paths, file_preprocessing(loaded, image_size)))])

    def __len__(self) -> int:
        return sum(len(dataset) for _, dataset in self._parts)

    def compute(
        self,
        loaded: LoadedModel,
        *,
        strict: bool = False,
        kernels: Kernels = "fast",
        keep: bool = True,
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> FeatureTable:
        """The features of all images, from the cache as far as they are there, as `backbone_features` says.

        `on_batch` is called with the number of images done just now. DivergedError for features that are not finite.
        """
        parts: list[tuple[str | None, Dataset, Features]] = []
        skipped: dict[str, str] = {}
        for split, dataset in self._parts:
            loader = Loader(dataset, strict=strict)
            counter = _Counter(on_batch)
            with overflow_allowed():
                features = backbone_features(loaded.model, loader, kernels=kernels, keep=keep, on_batch=counter.advance)
            parts.append((split, dataset, features))
            skipped |= loader.skipped
        table = FeatureTable(parts, skipped)
        if not all(np.isfinite(block).all() for block in table.blocks()):
            raise DivergedError(f"features are not finite: {reason_for_non_finite(loaded)}")
        return table


class _Counter:
    """Tells how many were done just now, from how many were done in all."""

    def __init__(self, on_batch: Callable[[int], None]) -> None:
        self._done = 0
        self._on_batch = on_batch

    def advance(self, done: int, total: int) -> None:
        self._on_batch(done - self._done)
        self._done = done


def _names_files(spec: str) -> bool:
    """Whether a name stands for image files rather than for a data set."""
    if spec == STANDARD_INPUT or is_image_file(os.path.basename(spec)):
        return True
    if os.path.isdir(spec):
        with suppress(DataError):
            return bool(list_images(spec))
    return False
