"""The data set interface, and the data sets backed by an array, by image files, and by part of another."""

from __future__ import annotations

import copy
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from gradcli.data.images import decode_image, load_images
from gradcli.data.preprocessing import Preprocessing, preprocess_arrays
from gradcli.errors import DataError

if TYPE_CHECKING:
    from hashlib import _Hash

    from PIL.Image import Image

Indices = Sequence[int] | NDArray[np.int64]


class Dataset(ABC):
    """Labelled images, loaded and preprocessed on request.

    `source` is what the user called the data, for messages. `classes` are the class names in the
    order of their indices and `labels` (int64, one per image) index them. `validation` and `test`
    are the source's own other splits where it has them, with the same classes; `len`, `labels` and
    `images` are then those of the training split alone.
    """

    def __init__(
        self,
        source: str,
        classes: Sequence[str],
        labels: NDArray[Any],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
        test: Dataset | None = None,
    ) -> None:
        self.source = source
        self.classes = list(classes)
        self.labels = labels.astype(np.int64)
        self.preprocessing = preprocessing
        self.validation = validation
        self.test = test

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def images(self, indices: Indices) -> NDArray[np.float32]:
        """The preprocessed images at these positions, transparent ones over white, of shape (n, 3, H, W)."""

    @abstractmethod
    def image(self, index: int) -> Image:
        """One image as a Pillow image of mode RGB, L or RGBA, upright, as it is before any preprocessing."""

    @abstractmethod
    def name(self, index: int) -> str:
        """What to call one image in output: its path, or the source and its position."""

    def splits(self) -> dict[str, Dataset]:
        """The splits by name: `train`, which is this data set, then `validation` and `test` if it has them."""
        splits = {"train": self, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def fingerprint(self) -> str:
        """64 hexadecimal digits that change with the images, their order, their labels and the names of the classes.

        The pixels of arrays are read for it; files count as the same while their names below the
        data's folder, sizes and times of change are. Preprocessing and the other splits don't count.
        """
        digest = hashlib.sha256()
        for text in (type(self).__name__, *self.classes):
            _add_text(digest, text)
        digest.update(self.labels.tobytes())
        self._add_content(digest)
        return digest.hexdigest()

    @abstractmethod
    def _add_content(self, digest: _Hash) -> None:
        """Put what tells the images apart into the digest."""

    def with_preprocessing(self, preprocessing: Preprocessing) -> Self:
        """The same data, its other splits included, under another preprocessing."""
        changed = copy.copy(self)
        changed.preprocessing = preprocessing
        if self.validation is not None:
            changed.validation = self.validation.with_preprocessing(preprocessing)
        if self.test is not None:
            changed.test = self.test.with_preprocessing(preprocessing)
        return changed

    def with_classes(self, classes: Sequence[str]) -> Self:
        """The same data with labels that index `classes`, matched by name.

        A class of the data that is not among `classes` is a DataError: its images would have no
        label. Classes the data does not have are fine.
        """
        position = {name: index for index, name in enumerate(classes)}
        unknown = [name for name in self.classes if name not in position]
        if unknown:
            by_case = {name.casefold(): name for name in classes}
            meant = by_case.get(unknown[0].casefold())
            raise DataError(
                f"{self.source}: class {unknown[0]!r} is unknown; "
                + (f"expected it to be spelled {meant!r}" if meant else f"expected only the classes {_some(classes)}")
            )
        changed = copy.copy(self)
        mapping = np.array([position[name] for name in self.classes], dtype=np.int64)
        changed.labels = mapping[self.labels]
        changed.classes = list(classes)
        if self.validation is not None:
            changed.validation = self.validation.with_classes(classes)
        if self.test is not None:
            changed.test = self.test.with_classes(classes)
        return changed


class ArrayDataset(Dataset):
    """Images held in memory: (N, H, W), (N, H, W, 3) or (N, H, W, 4), uint8 in 0..255 or float32 in 0..1."""

    def __init__(
        self,
        source: str,
        pixels: NDArray[np.uint8] | NDArray[np.float32],
        labels: NDArray[Any],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
        test: Dataset | None = None,
    ) -> None:
        super().__init__(source, classes, labels, preprocessing, validation, test)
        self.pixels = pixels

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """Resize and normalise the images at these positions."""
        return preprocess_arrays(self.pixels[np.asarray(indices, dtype=np.int64)], self.preprocessing)

    def image(self, index: int) -> Image:
        """The pixels as a Pillow image; floats are rounded to 8 bits."""
        from PIL import Image

        pixels = self.pixels[index]
        if pixels.dtype != np.uint8:
            pixels = np.rint(pixels * 255).astype(np.uint8)
        return Image.fromarray(np.ascontiguousarray(pixels))

    def name(self, index: int) -> str:
        """The source and the image's position, as in `digits[12]`."""
        return f"{self.source}[{index}]"

    def _add_content(self, digest: _Hash) -> None:
        _add_text(digest, f"{self.pixels.dtype.str} {self.pixels.shape}")
        for image in self.pixels:  # one by one: pixels of a file or in another layout are not copied as a whole
            digest.update(np.ascontiguousarray(image).data)


class FileDataset(Dataset):
    """Images in files, each decoded when a batch asks for it.

    `files` are paths relative to `folder`, or absolute ones.
    """

    def __init__(
        self,
        source: str,
        folder: str | Path,
        files: Sequence[str],
        labels: NDArray[Any],
        classes: Sequence[str],
        preprocessing: Preprocessing,
        validation: Dataset | None = None,
        test: Dataset | None = None,
    ) -> None:
        super().__init__(source, classes, labels, preprocessing, validation, test)
        self.folder = os.fspath(folder)
        self.files = list(files)

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """Decode, resize and normalise the images at these positions."""
        return load_images([self.name(index) for index in indices], self.preprocessing)

    def image(self, index: int) -> Image:
        """Decode the file; DataError names one that can't be decoded."""
        return decode_image(self.name(index), keep_transparency=True)

    def name(self, index: int) -> str:
        """The image's path."""
        return os.path.join(self.folder, self.files[index])

    def _add_content(self, digest: _Hash) -> None:
        for index, file in enumerate(self.files):
            _add_text(digest, file)
            try:
                status = os.stat(self.name(index))
            except (OSError, ValueError):
                _add_text(digest, "missing")  # decoding it says what is wrong
            else:
                _add_text(digest, f"{status.st_size} {status.st_mtime_ns}")


class Subset(Dataset):
    """The images of another data set at some positions, in that order; without splits of its own."""

    def __init__(self, dataset: Dataset, indices: NDArray[np.int64]) -> None:
        super().__init__(dataset.source, dataset.classes, dataset.labels[indices], dataset.preprocessing)
        self.dataset = dataset
        self.indices = indices

    def images(self, indices: Indices) -> NDArray[np.float32]:
        """The underlying data set's images at these positions of the subset."""
        return self.dataset.images(self.indices[np.asarray(indices, dtype=np.int64)])

    def image(self, index: int) -> Image:
        """The underlying data set's image at this position of the subset."""
        return self.dataset.image(int(self.indices[index]))

    def name(self, index: int) -> str:
        """The name the underlying data set gives the image."""
        return self.dataset.name(int(self.indices[index]))

    def _add_content(self, digest: _Hash) -> None:
        digest.update(self.indices.astype(np.int64).tobytes())
        _add_text(digest, self.dataset.fingerprint())

    def with_preprocessing(self, preprocessing: Preprocessing) -> Self:
        """The same subset of the data set under another preprocessing."""
        changed = super().with_preprocessing(preprocessing)
        changed.dataset = self.dataset.with_preprocessing(preprocessing)
        return changed


def _add_text(digest: _Hash, text: str) -> None:
    """Put text into a digest so that no two sequences of texts are the same bytes."""
    content = os.fsencode(text)  # a file's name need not be UTF-8
    digest.update(len(content).to_bytes(8, "little"))
    digest.update(content)


def _some(names: Sequence[str], limit: int = 10) -> str:
    """The names in one line; past `limit`, how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
