"""Open whatever the user named as data, and split it into training and validation parts."""

from __future__ import annotations

import gzip
import logging
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gradcli.data.arrays import holds_arrays, open_arrays
from gradcli.data.cifar import holds_cifar, is_cifar_file, open_cifar
from gradcli.data.dataset import Dataset, Subset
from gradcli.data.digits import open_digits
from gradcli.data.folder import open_folder
from gradcli.data.idx import holds_idx, looks_like_idx, open_idx
from gradcli.data.known_datasets import find_dataset, known_datasets
from gradcli.data.path_list import PATH_LIST_EXTENSIONS, open_path_list
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError, UsageError

logger = logging.getLogger(__name__)

BUNDLED_DATASETS: Final = {"digits": open_digits}

_GZIP_MAGIC: Final = b"\x1f\x8b"
_TAR_MAGIC: Final = slice(257, 262)
_OPENING_LENGTH: Final = 512
_MOST_NAMES: Final = 10


def open_dataset(
    spec: str, preprocessing: Preprocessing | None = None, classes: Sequence[str] | None = None
) -> Dataset:
    """The data set that `spec` names.

    That is a name that `data list` shows; a folder of class folders, of IDX files, of CIFAR's batches
    or of `.npy` files; an IDX file, an archive or file of CIFAR's batches, a `.npz` or `.npy` file; or
    a list of images in CSV. Files are told by their names and, if those say nothing, by their content.

    A known name wins over a folder of that name; write `./digits` for the folder. Without
    `preprocessing` each source uses its own default. With `classes` (a trained model's) labels
    index those, matched by name, and a class that is not among them is a DataError.
    """
    dataset = _open(spec, preprocessing)
    return dataset if classes is None else dataset.with_classes(classes)


def _open(spec: str, preprocessing: Preprocessing | None) -> Dataset:
    if not spec:  # an unset variable of a shell, which as a path would be the folder one is in
        raise DataError("no data is named (an empty text is given); expected a name, a folder or a file")
    if spec in BUNDLED_DATASETS:
        return BUNDLED_DATASETS[spec](preprocessing)
    if spec in known_datasets():
        found = find_dataset(spec)
        if found is None:
            raise DataError(f"{spec}: is not here; gradcli data fetch {spec} downloads it")
        dataset = _open_path(found, preprocessing)
        dataset.source = spec
        return dataset
    return _open_path(Path(spec), preprocessing)


def _open_path(path: Path, preprocessing: Preprocessing | None) -> Dataset:
    if os.path.isdir(path):
        return _open_folder(path, preprocessing)
    extension = path.suffix.lower()
    if extension in (".npz", ".npy"):
        return open_arrays(path, preprocessing)
    if extension in PATH_LIST_EXTENSIONS:
        return open_path_list(path, preprocessing)
    if is_cifar_file(path.name):
        return open_cifar(path, preprocessing)
    opening = _opening(path)
    if holds_idx([path.name]) or looks_like_idx(opening):
        return open_idx(path, preprocessing)
    if opening[_TAR_MAGIC] == b"ustar":
        return open_cifar(path, preprocessing)
    found = "not a known kind of data set" if os.path.exists(path) else "no such data set, folder or file"
    raise DataError(
        f"{path}: {found}; expected {', '.join(known_datasets())}, a folder with one subfolder "
        "of images per class, IDX or CIFAR files, a .npz file, or a .csv of path,label"
    )


def _open_folder(folder: Path, preprocessing: Preprocessing | None) -> Dataset:
    files: set[str] = set()
    with suppress(OSError), os.scandir(folder) as entries:  # that it can't be listed is said below
        files = {entry.name for entry in entries if entry.is_file()}
    if holds_idx(files):
        return open_idx(folder, preprocessing)
    if holds_cifar(files):
        return open_cifar(folder, preprocessing)
    if holds_arrays(files):
        return open_arrays(folder, preprocessing)
    return open_folder(folder, preprocessing)


def _opening(path: Path) -> bytes:
    """The first bytes of a file, of a gzipped one uncompressed; none if it can't be read."""
    try:
        with path.open("rb") as stream:
            opening = stream.read(_OPENING_LENGTH)
            if not opening.startswith(_GZIP_MAGIC):
                return opening
            stream.seek(0)
            with gzip.open(stream) as uncompressed:
                return uncompressed.read(_OPENING_LENGTH)
    except (OSError, EOFError, zlib.error):
        return b""


def split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """The training and validation parts of a data set.

    A data set with a validation split of its own keeps it. Otherwise `fraction` of the images (at
    least one) is drawn for validation, stratified: every class gives its share, by largest
    remainders, and keeps at least one image for training. The draw depends on the labels,
    `fraction` and `seed` alone, not on the platform or NumPy version. Both parts keep the data
    set's order. A class that has one image alone is named in a warning: nothing validates it.
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
    single = [dataset.classes[label] for label in np.flatnonzero(counts == 1)]
    if single:
        more = f" and {len(single) - _MOST_NAMES} more" if len(single) > _MOST_NAMES else ""
        logger.warning(
            "%s: classes of one image are trained on and never validated: %s%s",
            dataset.source,
            ", ".join(single[:_MOST_NAMES]),
            more,
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
