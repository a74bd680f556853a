"""The data set interface, and the data sets backed by an array, by image files, and by part of another."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcli.data.images import load_images
from gradcli.data.preprocessing import Preprocessing, preprocess_arrays
from gradcli.errors import DataError

Indices = Sequence[int] | NDArray[np.int64]


class Dataset(ABC):
    """Labelled images, loaded and preprocessed on request.

    `source` is what the user called the data, for messages. `classes` are the class names in the
    order of their indices and `labels` (int64, one per image) index them. `validation` is the
    source's own validation split where it has one, with the same classes; `len`, `labels` and
    `images` are then those of the training split alone.
    """

    def __init__(
        self,
        source: str,
        classes: Sequence[str],
        labels: NDArray[Any],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
    ) -> None:
        self.source = source
        self.classes = list(classes)
        self.labels = labels.astype(np.int64)
        self.preprocessing = preprocessing
        self.validation = validation

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def images(self, indices: Indices) -> NDArray[np.float32]:
        """The preprocessed images at these positions, of shape (n, 3, H, W)."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What to call one image in output: its path, or the source and its position."""

    def with_preprocessing(self, preprocessing: Preprocessing) -> Self:
        """The same data, its validation split included, under another preprocessing."""
        changed = copy.copy(self)
        changed.preprocessing = preprocessing
        if self.validation is not None:
            changed.validation = self.validation.with_preprocessing(preprocessing)
        return changed

    def with_classes(self, classes: Sequence[str]) -> Self:
        """The same data with labels that index `classes`, matched by name.

        A class of the data that is not among `classes` is a DataError: its images would have no
        label. Classes the data does not have are fine.
        """
        position = {name: index for index, name in enumerate(classes)}
        unknown = [name for name in self.classes if name not in position]
        if unknown:
            raise DataError(
                f"{self.source}: class {unknown[0]!r} is unknown; "
                f"expected only the classes {_abbreviated(list(classes))}"
            )
        changed = copy.copy(self)
        mapping = np.array([position[name] for name in self.classes], dtype=np.int64)
        changed.labels = mapping[self.labels]
        changed.classes = list(classes)
        if self.validation is not None:
            changed.validation = self.validation.with_classes(classes)
        return changed


class ArrayDataset(Dataset):
    """Images held in memory: (N, H, W) or (N, H, W, 3), uint8 in 0..255 or float32 in 0..1."""

    def __init__(
        self,
        source: str,
        pixels: NDArray[np.uint8] | NDArray[np.float32],
        labels: NDArray[Any],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
    ) -> None:
        super().__init__(source, classes, labels, preprocessing, validation)
        self.pixels = pixels

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """Resize and normalise the images at these positions."""
        return preprocess_arrays(self.pixels[np.asarray(indices, dtype=np.int64)], self.preprocessing)

    def name(self, index: int) -> str:
        """The source and the image's position, as in `digits[12]`."""
        return f"{self.source}[{index}]"


class FileDataset(Dataset):
    """Images in files, each decoded when a batch asks for it."""

    def __init__(
        self,
        source: str,
        paths: Sequence[Path],
        labels: NDArray[Any],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
    ) -> None:
        super().__init__(source, classes, labels, preprocessing, validation)
        self.paths = list(paths)

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """Decode, resize and normalise the images at these positions."""
        return load_images([self.paths[index] for index in indices], self.preprocessing)

    def name(self, index: int) -> str:
        """The image's path."""
        return str(self.paths[index])


class Subset(Dataset):
    """The images of another data set at some positions, in that order; without a validation split."""

    def __init__(self, dataset: Dataset, indices: NDArray[np.int64]) -> None:
        super().__init__(dataset.source, dataset.classes, dataset.labels[indices], dataset.preprocessing)
        self.dataset = dataset
        self.indices = indices

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """The underlying data set's images at these positions of the subset."""
        return self.dataset.images(self.indices[np.asarray(indices, dtype=np.int64)])

    def name(self, index: int) -> str:
        """The name the underlying data set gives the image."""
        return self.dataset.name(int(self.indices[index]))

    def with_preprocessing(self, preprocessing: Preprocessing) -> Self:
        """The same subset of the data set under another preprocessing."""
        changed = super().with_preprocessing(preprocessing)
        changed.dataset = self.dataset.with_preprocessing(preprocessing)
        return changed


def _abbreviated(names: list[str], limit: int = 10) -> str:
    """The names in one line; past `limit`, how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
