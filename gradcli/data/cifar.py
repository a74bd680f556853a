"""CIFAR-10 and CIFAR-100 as their authors publish them: binary or pickled batches, in a folder or in a tar archive.

A batch holds rows of 3072 bytes: the red, the green and the blue plane of a 32x32 image. In a binary one each row
follows its label (CIFAR-100: the coarse, then the fine label, which is the one taken). A pickled one is a dictionary
with `data`, a NumPy array, and a list of labels; it is read without running anything.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gradcli.data.class_names import check_class_names
from gradcli.data.dataset import ArrayDataset
from gradcli.data.pickled_batches import read_pickled_batch, read_pickled_names
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

SIDE: Final = 32
_ROW: Final = 3 * SIDE * SIDE
# The largest published one is CIFAR-100's training part: 50,000 rows and their file names.
_LARGEST_FILE: Final = 2**28


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """One of the forms that are published."""

    training: tuple[str, ...]
    test: str
    names: str
    """The file with the names of the classes."""
    classes: int
    label_bytes: int | None = None
    """In binary batches, how many bytes of labels stand before a row; the last one counts."""
    labels_key: str = ""
    """In pickled batches, the key of the labels."""
    names_key: str = ""

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.training, self.test, self.names)


_LAYOUTS: Final = (
    _Layout(
        training=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
        test="test_batch.bin",
        names="batches.meta.txt",
        classes=10,
        label_bytes=1,
    ),
    _Layout(
        training=tuple(f"data_batch_{number}" for number in range(1, 6)),
        test="test_batch",
        names="batches.meta",
        classes=10,
        labels_key="labels",
        names_key="label_names",
    ),
    _Layout(training=("train.bin",), test="test.bin", names="fine_label_names.txt", classes=100, label_bytes=2),
    _Layout(
        training=("train",),
        test="test",
        names="meta",
        classes=100,
        labels_key="fine_labels",
        names_key="fine_label_names",
    ),
)
_FILE_NAMES: Final = frozenset(name for layout in _LAYOUTS for name in layout.files)


class _File(NamedTuple):
    """The content of a file, and what to call it in a message."""

    source: str
    content: bytes


class _Batch(NamedTuple):
    """Pixels (N, 32, 32, 3) and labels (N,)."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]


def open_cifar(path: str | Path, preprocessing: Preprocessing | None = None) -> ArrayDataset:
    """The data set in a folder of batches, in a tar archive of it (gzipped or not), or in one file of batches.

    A folder or an archive needs every training batch; the test batch, where there is one, becomes the test split. One
    file is a data set by itself. The classes are called as the file of names beside the batches calls them, else by
    their numbers. Images are resized straight to 32x32 by default, which leaves them as they are. DataError names the
    file and what is missing, damaged or of another format in it.
    """
    path = Path(path)
    if path.name in _FILE_NAMES and not path.is_dir():
        return _open_file(path, preprocessing)
    files = dict(_folder_files(path) if path.is_dir() else _archive_files(path))
    layout = _layout_of(path, files)
    classes = _class_names(layout, files.get(layout.names))
    batches = [_read_batch(layout, files.pop(name)) for name in layout.training]
    pixels = np.concatenate([batch.pixels for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    preprocessing = preprocessing or Preprocessing.for_array_images(SIDE, SIDE)
    dataset = ArrayDataset(str(path), pixels, labels, classes, preprocessing)
    if layout.test in files:
        file = files[layout.test]
        dataset.test = ArrayDataset(file.source, *_read_batch(layout, file), classes, preprocessing)
    return dataset


def _open_file(path: Path, preprocessing: Preprocessing | None) -> ArrayDataset:
    """The data set of one file of batches."""
    layout = next(layout for layout in _LAYOUTS if path.name in layout.files)
    if path.name == layout.names:
        raise DataError(f"{path}: holds the names of classes; name a file of batches, or the folder of all")
    names = path.parent / layout.names
    classes = _class_names(layout, _read_file(names) if names.is_file() else None)
    batch = _read_batch(layout, _read_file(path))
    return ArrayDataset(str(path), *batch, classes, preprocessing or Preprocessing.for_array_images(SIDE, SIDE))


def is_cifar_file(name: str) -> bool:
    """Whether a file of this name is one of those that CIFAR-10 and CIFAR-100 are published in."""
    return name in _FILE_NAMES


def holds_cifar(file_names: Collection[str]) -> bool:
    """Whether a folder with these files is one of batches."""
    return any(layout.training[0] in file_names for layout in _LAYOUTS)


def _layout_of(path: Path, files: Collection[str]) -> _Layout:
    """The form that is published with these files; DataError if a training batch of it is missing."""
    for layout in _LAYOUTS:
        missing = [name for name in layout.training if name not in files]
        if not missing:
            return layout
        if len(missing) < len(layout.training):
            raise DataError(f"{path}: has no {missing[0]}; expected all of {', '.join(layout.training)}")
    raise DataError(f"{path}: no batches of CIFAR in it; expected data_batch_1 to data_batch_5, with .bin or without")


def _folder_files(folder: Path) -> Iterator[tuple[str, _File]]:
    for name in sorted(_FILE_NAMES):
        if (folder / name).is_file():
            yield name, _read_file(folder / name)


def _read_file(path: Path) -> _File:
    try:
        with path.open("rb") as stream:
            if os.fstat(stream.fileno()).st_size > _LARGEST_FILE:
                raise DataError(f"{path}: is larger than any file of CIFAR; expected at most {_LARGEST_FILE:,} bytes")
            return _File(str(path), stream.read())
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected a file of CIFAR") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: can't be read ({reason}); expected a file of CIFAR") from error


def _archive_files(path: Path) -> Iterator[tuple[str, _File]]:
    """The files of CIFAR in a tar archive, by their names without folders; nothing is unpacked."""
    import tarfile

    try:
        with tarfile.open(path, "r|*") as archive:
            for member in archive:
                name = member.name.rsplit("/", 1)[-1]
                if name not in _FILE_NAMES or member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    continue
                stream = archive.extractfile(member)
                if member.size > _LARGEST_FILE or stream is None:
                    raise DataError(f"{path}: its {name} is larger than any file of CIFAR: {member.size:,} bytes")
                content = stream.read()
                if len(content) < member.size:
                    raise DataError(f"{path}: cut short in {name}; download it again")
                yield name, _File(f"{path}: {name}", content)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected an archive of CIFAR") from error
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: damaged, cut short or no tar archive ({error}); download it again") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: can't be read ({reason}); expected an archive of CIFAR") from error


def _read_batch(layout: _Layout, file: _File) -> _Batch:
    source = file.source
    if layout.label_bytes is not None:
        rows, labels = _split_binary(file, layout.label_bytes)
    else:
        rows, labels = read_pickled_batch(file.content, layout.labels_key, source)
    if rows.shape[1] != _ROW or not len(rows):
        raise DataError(f"{source}: holds an array of shape {rows.shape}; expected rows of {_ROW} bytes")
    if len(labels) != len(rows):
        raise DataError(f"{source}: {len(labels)} labels for {len(rows)} images; expected one each")
    outside = np.flatnonzero((labels < 0) | (labels >= layout.classes))
    if outside.size:
        raise DataError(
            f"{source}: holds the label {labels[outside[0]]} at position {outside[0]}; "
            f"expected 0 to {layout.classes - 1}"
        )
    planes = rows.reshape(-1, 3, SIDE, SIDE)
    return _Batch(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)  # (N, 3, H, W) -> (N, H, W, 3)


def _split_binary(file: _File, label_bytes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    length, size = label_bytes + _ROW, len(file.content)
    if not size or size % length:
        raise DataError(f"{file.source}: {size} bytes; expected a multiple of {length}, a label and an image each time")
    records = np.frombuffer(file.content, np.uint8).reshape(-1, length)
    return records[:, label_bytes:], records[:, label_bytes - 1].astype(np.int64)


def _class_names(layout: _Layout, file: _File | None) -> list[str]:
    if file is None:
        return [str(label) for label in range(layout.classes)]
    if layout.label_bytes is None:
        names = read_pickled_names(file.content, layout.names_key, file.source)
    else:
        names = file.content.decode("utf-8", "replace").split()
    if len(names) != layout.classes or len(set(names)) < len(names):
        raise DataError(f"{file.source}: names {len(set(names))} classes; expected {layout.classes} names")
    check_class_names(names, file.source)
    return names
