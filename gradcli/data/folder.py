"""A folder of labelled images: one subfolder per class, or the same under `train/`, `val/` and `test/`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from gradcli.data.class_names import check_class_names
from gradcli.data.dataset import FileDataset
from gradcli.data.images import extension_list, is_image_file
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.split_names import SPLIT_NAMES
from gradcli.errors import DataError

_VALIDATION: Final = "validation"
_TEST: Final = "test"


def open_folder(folder: str | Path, preprocessing: Preprocessing | None = None) -> FileDataset:
    """The data set in a folder; images are decoded batch by batch, by default as ImageNet's at 224.

    Classes are the subfolders' names in `sorted()` order and their images are found at any depth,
    as by torchvision's ImageFolder; hidden files and folders are passed over, and no file is looked
    into. A subfolder `train` that itself holds subfolders makes this a split data set: its classes
    are those of `train/`, and `val/` and `test/`, where present, become the other splits with their
    classes matched by name. Other spellings are `training`; `valid`, `validation`; `testing`.

    DataError for: no classes, a class of the training part without images, a validation or test
    class that training does not have, two spellings of one split, and what `check_class_names`
    refuses.
    """
    folder = Path(folder)
    preprocessing = preprocessing or Preprocessing()
    splits = _split_folders(folder)
    if "train" not in splits:
        if splits:
            found = next(iter(splits.values()))
            raise DataError(
                f"{folder}: has {found}/ but no train/ of class folders; expected both, or name {folder / found}"
            )
        return _open_split(folder, preprocessing)
    dataset = _open_split(folder / splits["train"], preprocessing)
    if _VALIDATION in splits:
        validation = _open_split(folder / splits[_VALIDATION], preprocessing, allow_empty_classes=True)
        dataset.validation = validation.with_classes(dataset.classes)
    if _TEST in splits:
        test = _open_split(folder / splits[_TEST], preprocessing, allow_empty_classes=True)
        dataset.test = test.with_classes(dataset.classes)
    dataset.source = str(folder)
    return dataset


def _open_split(folder: Path, preprocessing: Preprocessing, allow_empty_classes: bool = False) -> FileDataset:
    """The data set of a folder whose subfolders are classes."""
    classes = sorted(_subfolders(folder))
    if not classes:
        raise DataError(f"{folder}: no class folders in it; expected one subfolder of images per class")
    check_class_names(classes, str(folder))
    files: list[str] = []
    counts = []
    for name in classes:
        found = _images_below(folder / name)
        if not found and not allow_empty_classes:
            raise DataError(f"{folder / name}: no images in this class; expected files ending in {extension_list()}")
        files += [os.path.join(name, file) for file in found]
        counts.append(len(found))
    if not files:
        raise DataError(f"{folder}: no images in any class; expected files ending in {extension_list()}")
    return FileDataset(str(folder), folder, files, np.repeat(np.arange(len(classes)), counts), classes, preprocessing)


def _split_folders(folder: Path) -> Mapping[str, str]:
    """The subfolders that are splits of the data, by the split's name; none where they are classes like any other.

    A split holds subfolders and no images of its own. Besides `train`, a folder counts as a split
    where there is a `train`, or where it is all there is: a class may well be called `test`.
    """
    names = _subfolders(folder)
    found: dict[str, str] = {}
    for name in sorted(names):
        split = SPLIT_NAMES.get(name.lower())
        if split is None or (split == "train" and not _holds_class_folders(folder / name)):
            continue
        if split in found:
            raise DataError(f"{folder}: has both {found[split]}/ and {name}/; expected one folder for that split")
        found[split] = name
    if "train" in found or (len(found) == len(names) and all(_holds_class_folders(folder / name) for name in names)):
        return found
    return {}


def _subfolders(folder: Path) -> list[str]:
    """The names of a folder's subfolders, hidden ones left out."""
    return [name for name, is_folder in _listing(folder) if is_folder]


def _holds_class_folders(folder: Path) -> bool:
    """Whether a folder is a split (subfolders, no images of its own) rather than a class of that name."""
    entries = _listing(folder)
    return any(is_folder for _, is_folder in entries) and not any(
        is_image_file(name) for name, is_folder in entries if not is_folder
    )


def _images_below(folder: Path) -> list[str]:
    """The image files at any depth below a folder, relative to it, in ImageFolder's order: by folder, then by name."""
    files: dict[str, list[str]] = {}
    to_list = [""]
    while to_list:
        below = to_list.pop()
        entries = _listing(folder / below, follow_links=False)
        to_list += [os.path.join(below, name) for name, is_folder in entries if is_folder]
        files[below] = sorted(name for name, is_folder in entries if not is_folder and is_image_file(name))
    return [os.path.join(below, name) for below in sorted(files) for name in files[below]]


def _listing(folder: Path, follow_links: bool = True) -> list[tuple[str, bool]]:
    """The entries of a folder that aren't hidden, and whether each is a folder.

    The system tells that with the name: no file is asked about by itself, unless it is a link.
    """
    try:
        with os.scandir(folder) as entries:
            return [
                (entry.name, entry.is_dir(follow_symlinks=follow_links))
                for entry in entries
                if not entry.name.startswith(".")
            ]
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{folder}: can't be listed ({reason}); expected a readable folder") from error
