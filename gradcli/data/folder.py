"""A folder of labelled images: one subfolder per class, or the same under `train/` and `val/`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import numpy as np

from gradcli.data.dataset import FileDataset
from gradcli.data.images import extension_list, is_image_file
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

TRAIN_FOLDER = "train"
VALIDATION_FOLDER = "val"


def open_folder(folder: str | Path, preprocessing: Preprocessing | None = None) -> FileDataset:
    """The data set in a folder; images are decoded batch by batch, by default as ImageNet's at 224.

    Classes are the subfolders' names in `sorted()` order and their images are found at any depth,
    as by torchvision's ImageFolder; hidden files and folders are passed over. A subfolder `train`
    that itself holds subfolders makes this a split data set: its classes are those of `train/`, and
    `val/`, if present, becomes the validation split with its classes matched by name. No classes, a
    class of the training part without images, or a validation class that training does not have is
    a DataError.
    """
    folder = Path(folder)
    preprocessing = preprocessing or Preprocessing()
    if _holds_class_folders(folder / TRAIN_FOLDER):
        training = _open_split(folder / TRAIN_FOLDER, preprocessing)
        if (folder / VALIDATION_FOLDER).is_dir():
            validation = _open_split(folder / VALIDATION_FOLDER, preprocessing, allow_empty_classes=True)
            training.validation = validation.with_classes(training.classes)
        training.source = str(folder)
        return training
    if _holds_class_folders(folder / VALIDATION_FOLDER):
        raise DataError(f"{folder}: has {VALIDATION_FOLDER}/ but no {TRAIN_FOLDER}/ of class folders; expected both")
    return _open_split(folder, preprocessing)


def _open_split(folder: Path, preprocessing: Preprocessing, allow_empty_classes: bool = False) -> FileDataset:
    """The data set of a folder whose subfolders are classes."""
    classes = _subfolders(folder)
    if not classes:
        raise DataError(f"{folder}: no class folders in it; expected one subfolder of images per class")
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        found = _images_below(folder / name)
        if not found and not allow_empty_classes:
            raise DataError(f"{folder / name}: no images in this class; expected files ending in {extension_list()}")
        paths += found
        labels += [label] * len(found)
    if not paths:
        raise DataError(f"{folder}: no images in any class; expected files ending in {extension_list()}")
    return FileDataset(str(folder), paths, np.array(labels, dtype=np.int64), classes, preprocessing)


def _subfolders(folder: Path) -> list[str]:
    """The names of a folder's subfolders in `sorted()` order, hidden ones left out."""
    try:
        return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    except OSError as error:
        _refuse_unlistable(error)


def _holds_class_folders(folder: Path) -> bool:
    """Whether a folder is a split (subfolders, no images of its own) rather than a class of that name."""
    if not folder.is_dir() or not _subfolders(folder):
        return False
    return not any(is_image_file(entry.name) for entry in folder.iterdir())


def _images_below(folder: Path) -> list[Path]:
    """The image files at any depth below a folder, in ImageFolder's order: by folder, then by name."""
    found: list[Path] = []
    for parent, _, files in sorted(os.walk(folder, onerror=_refuse_unlistable)):
        if any(part.startswith(".") for part in Path(parent).relative_to(folder).parts):
            continue
        found += [Path(parent) / name for name in sorted(files) if is_image_file(name)]
    return found


def _refuse_unlistable(error: OSError) -> NoReturn:
    reason = (error.strerror or str(error)).lower()
    raise DataError(f"{error.filename}: can't be listed ({reason}); expected a readable folder") from error
