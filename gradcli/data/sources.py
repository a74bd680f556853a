"""Open whatever the user named as data, and split it into training and validation parts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradcli.data.arrays import open_arrays
from gradcli.data.dataset import Dataset, Subset
from gradcli.data.digits import open_digits
from gradcli.data.folder import open_folder
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, UsageError

KNOWN_DATASETS = {"digits": open_digits}
_EXPECTED = f"{', '.join(KNOWN_DATASETS)}, a folder with one subfolder of images per class, or a .npz file"


def open_dataset(
    spec: str, preprocessing: Preprocessing | None = None, classes: Sequence[str] | None = None
) -> Dataset:
    """The data set that `spec` names: a known name, a folder of class folders, or a `.npz` file.

    A known name wins over a folder of that name; write `./digits` for the folder. Without
    `preprocessing` each source uses its own default. With `classes` (a trained model's) labels
    index those, matched by name, and a class that is not among them is a DataError.
    """
    dataset = _open(spec, preprocessing)
    return dataset if classes is None else dataset.with_classes(classes)


def _open(spec: str, preprocessing: Preprocessing | None) -> Dataset:
    if spec in KNOWN_DATASETS:
        return KNOWN_DATASETS[spec](preprocessing)
    path = Path(spec)
    if os.path.isdir(spec):
        return open_folder(path, preprocessing)
    if path.suffix.lower() == ".npz":
        return open_arrays(path, preprocessing)
    found = "not a known kind of data set" if os.path.exists(spec) else "no such data set, folder or file"
    raise DataError(f"{spec}: {found}; expected {_EXPECTED}")


def split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """The training and validation parts of a data set.

    A data set with a validation split of its own keeps it. Otherwise `fraction` of the images (at
    least one) is drawn for validation, stratified: every class gives its share, by largest
    remainders, and keeps at least one image for training. The draw depends on the labels,
    `fraction` and `seed` alone, not on the platform or NumPy version. Both parts keep the data
    set's order.
    """
    if dataset.validation is not None:
        return dataset, dataset.validation
    if not 0 < fraction < 1:
        raise UsageError(f"validation fraction {fraction:g}: expected a number above 0 and below 1")
    counts = np.bincount(dataset.labels, minlength=len(dataset.classes))
    drawn = _stratified_counts(counts, fraction)
    if not drawn.any():
        raise DataError(
            f"{dataset.source}: no class has two images, so none can be set aside for validation; "
            "expected more images, or a validation split"
        )
    keys = _random_keys(len(dataset), seed)
    in_validation = np.zeros(len(dataset), dtype=bool)
    for label, count in enumerate(drawn):
        members = np.flatnonzero(dataset.labels == label)
        in_validation[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return Subset(dataset, np.flatnonzero(~in_validation)), Subset(dataset, np.flatnonzero(in_validation))


def _stratified_counts(counts: NDArray[np.int64], fraction: float) -> NDArray[np.int64]:
    """How many images each class gives, summing to the fraction of all as far as each class keeps one."""
    available = np.maximum(counts - 1, 0)
    share = counts * fraction
    drawn: NDArray[np.int64] = np.minimum(np.floor(share).astype(np.int64), available)
    missing = max(1, round(float(counts.sum() * fraction))) - int(drawn.sum())
    for label in np.argsort(drawn - share, kind="stable"):  # largest remainder first
        if missing > 0 and drawn[label] < available[label]:
            drawn[label] += 1
            missing -= 1
    return drawn


def _random_keys(count: int, seed: int) -> NDArray[np.uint64]:
    """One raw 64-bit number per image; the spawn key keeps them apart from the epochs' orders."""
    keys = np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))).random_raw(count)
    return np.asarray(keys, dtype=np.uint64)
