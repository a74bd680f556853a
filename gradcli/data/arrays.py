"""Labelled images in a `.npz` file: arrays of pixels and of class indices."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradcli.data.dataset import ArrayDataset
from gradcli.data.numpy_files import channels_last, check_finite, npz_names, read_npz
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

# Names a file may use, pair by pair; the first pair present counts.
TRAINING_NAMES = (("images", "labels"), ("x", "y"), ("x_train", "y_train"))
VALIDATION_NAMES = (("x_val", "y_val"), ("x_test", "y_test"))
CLASSES_NAME = "classes"


def open_arrays(path: str | Path, preprocessing: Preprocessing | None = None) -> ArrayDataset:
    """The data set in a `.npz` file with `images` and `labels` (or `x`, `y`; or `x_train`, `y_train`).

    Images have the shape (N, H, W), (N, H, W, C) or (N, C, H, W) with C 1 or 3 and are pixels:
    uint8 in 0..255 or floats in 0..1, which are then preprocessed like any image. Labels are
    integers of shape (N,) or (N, 1) counting from 0. An array `classes` of strings names the
    classes; without it they are called "0", "1", … and every one must occur. `x_val` and `y_val`
    (or `x_test` and `y_test`) become the validation split. Anything else is a DataError naming the
    file and the array.
    """
    names = npz_names(path)
    pair = _present_pair(path, names, TRAINING_NAMES)
    if pair is None:
        raise DataError(
            f"{path}: holds {', '.join(names)}; expected images and labels, x and y, or x_train and y_train"
        )
    pixels, labels = _read_pair(path, pair)
    classes = _read_classes(path) if CLASSES_NAME in names else _counted_classes(labels, f"{path}: {pair[1]}")
    _check_range(labels, classes, f"{path}: {pair[1]}")
    preprocessing = preprocessing or Preprocessing.for_array_images(*pixels.shape[1:3])
    dataset = ArrayDataset(str(path), pixels, labels, classes, preprocessing)
    validation_pair = _present_pair(path, names, VALIDATION_NAMES)
    if validation_pair is not None:
        pixels, labels = _read_pair(path, validation_pair)
        _check_range(labels, classes, f"{path}: {validation_pair[1]}")
        source = f"{path}: {validation_pair[0]}"
        dataset.validation = ArrayDataset(source, pixels, labels, classes, preprocessing)
    return dataset


def _present_pair(path: str | Path, names: Sequence[str], pairs: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    """The first pair of which the file has both; half a pair is a DataError."""
    for images, labels in pairs:
        if images in names and labels in names:
            return images, labels
        if images in names or labels in names:
            present, missing = (images, labels) if images in names else (labels, images)
            raise DataError(f"{path}: has {present} but no {missing}; expected both")
    return None


def _read_pair(
    path: str | Path, pair: tuple[str, str]
) -> tuple[NDArray[np.uint8] | NDArray[np.float32], NDArray[np.int64]]:
    """Read and check one array of images, channels last, and its labels."""
    images, labels = read_npz(path, pair)
    pixels = _checked_pixels(images, f"{path}: {pair[0]}")
    classes = _checked_labels(labels, f"{path}: {pair[1]}")
    if len(pixels) != len(classes):
        raise DataError(f"{path}: {len(pixels)} {pair[0]} but {len(classes)} {pair[1]}; expected one label per image")
    return pixels, classes


def _checked_pixels(images: NDArray[Any], source: str) -> NDArray[np.uint8] | NDArray[np.float32]:
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


def _read_classes(path: str | Path) -> list[str]:
    """The class names a file gives."""
    (classes,) = read_npz(path, [CLASSES_NAME])
    if classes.ndim != 1 or classes.dtype.kind != "U" or not len(classes):
        raise DataError(
            f"{path}: {CLASSES_NAME} has dtype {classes.dtype} and shape {classes.shape}; "
            "expected a one-dimensional array of strings"
        )
    names = [str(name) for name in classes]
    if len(set(names)) < len(names):
        repeated = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{path}: {CLASSES_NAME} holds {repeated!r} twice; expected every name once")
    return names


def _counted_classes(labels: NDArray[np.int64], source: str) -> list[str]:
    """The classes "0" to the largest label, every one of which has to occur.

    A gap mostly means labels that count from 1 or that are category numbers, which would train a
    head with outputs that no image has.
    """
    occurring = np.unique(labels)
    if occurring[0] >= 0 and not np.array_equal(occurring, np.arange(len(occurring))):
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
