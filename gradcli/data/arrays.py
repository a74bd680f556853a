"""Labelled images in a `.npz` file or in `.npy` files side by side: arrays of pixels and of class indices."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcli.data.class_names import check_class_names
from gradcli.data.dataset import ArrayDataset
from gradcli.data.numpy_files import channels_last, check_finite, map_npy, npz_names, read_npy, read_npz
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

Pixels = NDArray[np.uint8] | NDArray[np.float32]


class _Pair(NamedTuple):
    """What the arrays of one split are called."""

    images: str
    labels: str


# Of several, the first pair present counts.
TRAINING_NAMES: Final = (_Pair("images", "labels"), _Pair("x", "y"), _Pair("x_train", "y_train"))
VALIDATION_NAMES: Final = (_Pair("x_val", "y_val"),)
TEST_NAMES: Final = (_Pair("x_test", "y_test"),)
CLASSES_NAME: Final = "classes"


def open_arrays(path: str | Path, preprocessing: Preprocessing | None = None) -> ArrayDataset:
    """The data set of arrays `images` and `labels` (or `x`, `y`; or `x_train`, `y_train`).

    `path` is a `.npz` file that holds them, a folder of `.npy` files called after them, or the
    `.npy` file of the images in such a folder. Pixels in `.npy` files are read when they are used.

    Images have the shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1, 3 or 4 and are pixels:
    uint8 in 0..255 or floats in 0..1, which are then preprocessed like any image. The fourth channel
    is the opacity, by which the other three are not multiplied. Labels are
    integers of shape (N,) or (N, 1) counting from 0. An array `classes` of strings names the
    classes; without it they are called "0", "1", … and every one must occur. `x_val` and `y_val`
    become the validation split, `x_test` and `y_test` the test split. Anything else is a DataError
    naming the file and the array; other arrays are passed over.
    """
    arrays = _arrays_of(Path(path))
    pair = _present_pair(arrays, TRAINING_NAMES)
    if pair is None:
        raise DataError(
            f"{path}: holds {', '.join(arrays.names)}; expected images and labels, x and y, or x_train and y_train"
        )
    pixels, labels = _read_pair(arrays, pair)
    classes = _read_classes(arrays) if CLASSES_NAME in arrays.names else _counted_classes(labels, arrays.title(pair[1]))
    _check_range(labels, classes, arrays.title(pair.labels))
    preprocessing = preprocessing or Preprocessing.for_array_images(*pixels.shape[1:3])

    def other_split(names: Sequence[_Pair]) -> ArrayDataset | None:
        present = _present_pair(arrays, names)
        if present is None:
            return None
        pixels, labels = _read_pair(arrays, present)
        _check_range(labels, classes, arrays.title(present.labels))
        return ArrayDataset(arrays.title(present.images), pixels, labels, classes, preprocessing)

    validation, test = other_split(VALIDATION_NAMES), other_split(TEST_NAMES)
    return ArrayDataset(arrays.source, pixels, labels, classes, preprocessing, validation, test)


def holds_arrays(file_names: Collection[str]) -> bool:
    """Whether a folder with these files is a data set of `.npy` files."""
    return any(f"{name}.npy" in file_names for pair in TRAINING_NAMES for name in pair)


class _Arrays(ABC):
    """Named arrays; `source` is what the user called them."""

    source: str
    names: list[str]

    @abstractmethod
    def read(self, name: str) -> NDArray[Any]: ...

    @abstractmethod
    def title(self, name: str) -> str:
        """What to call one array in a message."""


class _NpzArrays(_Arrays):
    """The arrays in a `.npz` file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.source = str(path)
        self.names = npz_names(path)

    def read(self, name: str) -> NDArray[Any]:
        return read_npz(self.path, [name])[0]

    def title(self, name: str) -> str:
        return f"{self.path}: {name}"


class _NpyFiles(_Arrays):
    """The arrays in a folder of `.npy` files."""

    def __init__(self, folder: Path, source: Path) -> None:
        self.folder = folder
        self.source = str(source)
        try:
            self.names = sorted(name.removesuffix(".npy") for name in os.listdir(folder) if name.endswith(".npy"))
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise DataError(f"{folder}: can't be listed ({reason}); expected a folder of .npy files") from error

    def read(self, name: str) -> NDArray[Any]:
        path = self.folder / f"{name}.npy"
        pairs = (*TRAINING_NAMES, *VALIDATION_NAMES, *TEST_NAMES)
        return map_npy(path) if any(name == pair.images for pair in pairs) else read_npy(path)

    def title(self, name: str) -> str:
        return str(self.folder / f"{name}.npy")


def _arrays_of(path: Path) -> _Arrays:
    if path.is_dir():
        return _NpyFiles(path, path)
    if path.suffix.lower() != ".npy":
        return _NpzArrays(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file; expected a .npy file of images")
    for pair in TRAINING_NAMES:
        if path.stem == pair.images:
            arrays = _NpyFiles(path.parent, path)
            if pair.labels not in arrays.names:
                raise DataError(f"{path}: has no labels; expected them beside it in {pair.labels}.npy")
            return arrays
    images = ", ".join(f"{pair.images}.npy with {pair.labels}.npy" for pair in TRAINING_NAMES)
    raise DataError(f"{path}: images alone are no data set; expected {images} beside it, or a .npz file of both")


def _present_pair(arrays: _Arrays, pairs: Sequence[_Pair]) -> _Pair | None:
    """The first pair of which both are there; half a pair is a DataError."""
    for pair in pairs:
        present = [name for name in pair if name in arrays.names]
        if len(present) == 2:
            return pair
        if present:
            (missing,) = set(pair) - set(present)
            raise DataError(f"{arrays.source}: has {present[0]} but no {missing}; expected both")
    return None


def _read_pair(arrays: _Arrays, pair: _Pair) -> tuple[Pixels, NDArray[np.int64]]:
    """Read and check one array of images, channels last, and its labels."""
    pixels = _checked_pixels(arrays.read(pair.images), arrays.title(pair.images))
    labels = _checked_labels(arrays.read(pair.labels), arrays.title(pair.labels))
    if len(pixels) != len(labels):
        raise DataError(
            f"{arrays.source}: {len(pixels)} {pair.images} but {len(labels)} {pair.labels}; "
            "expected one label per image"
        )
    return pixels, labels


def _checked_pixels(images: NDArray[Any], source: str) -> Pixels:
    """Images as uint8 or float32 with the channels last; DataError if they are no pixels."""
    pixels = channels_last(images, source)
    if 0 in pixels.shape:
        raise DataError(f"{source} is empty, with shape {images.shape}; expected at least one image of one pixel")
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype.kind != "f":
        raise DataError(f"{source} has dtype {pixels.dtype}; expected uint8 pixels in 0..255 or floats in 0..1")
    check_finite(pixels, source)
    low, high = pixels.min(), pixels.max()
    if low < 0 or high > 1:
        raise DataError(f"{source} ranges from {low:g} to {high:g}; expected floats in 0..1 or uint8 in 0..255")
    return pixels.astype(np.float32)


def _checked_labels(labels: NDArray[Any], source: str) -> NDArray[np.int64]:
    """Labels as int64 of shape (N,); DataError if they are no class indices."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]  # (N, 1) -> (N,)
    if labels.ndim != 1:
        raise DataError(f"{source} has shape {labels.shape}; expected (N,), one class index per image")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{source} has dtype {labels.dtype}; expected integer class indices")
    if labels.size and int(labels.max()) > np.iinfo(np.int64).max:
        raise DataError(f"{source} holds {labels.max()}; expected class indices counting from 0")
    return labels.astype(np.int64)


def _read_classes(arrays: _Arrays) -> list[str]:
    """The class names the arrays give."""
    classes = arrays.read(CLASSES_NAME)
    title = arrays.title(CLASSES_NAME)
    if classes.ndim != 1 or classes.dtype.kind != "U" or not len(classes):
        raise DataError(
            f"{title} has dtype {classes.dtype} and shape {classes.shape}; expected a one-dimensional array of strings"
        )
    names = [str(name) for name in classes]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{title} holds {repeated!r} twice; expected every name once")
    check_class_names(names, title)
    return names


def _counted_classes(labels: NDArray[np.int64], source: str) -> list[str]:
    """The classes "0" to the largest label, every one of which has to occur.

    A gap mostly means labels that count from 1 or that are category numbers, which would train a
    head with outputs that no image has.
    """
    occurring = np.unique(labels)
    if occurring[0] < 0:
        position = int(np.flatnonzero(labels < 0)[0])
        raise DataError(f"{source} holds {labels[position]} at position {position}; expected class indices from 0")
    if not np.array_equal(occurring, np.arange(len(occurring))):
        missing = int(np.flatnonzero(occurring != np.arange(len(occurring)))[0])
        raise DataError(
            f"{source} goes up to {occurring[-1]} but never holds {missing}; "
            f"expected class indices from 0 without gaps, or an array {CLASSES_NAME} that names every class"
        )
    return [str(label) for label in range(len(occurring))]


def _check_range(labels: NDArray[np.int64], classes: Sequence[str], source: str) -> None:
    """DataError with the first label that indexes no class."""
    outside = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if outside.size:
        raise DataError(
            f"{source} holds {labels[outside[0]]} at position {outside[0]}; "
            f"expected class indices from 0 to {len(classes) - 1}"
        )
