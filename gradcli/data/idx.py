"""Labelled images in IDX files, the format of MNIST and its likes, gzipped or not.

A file starts with two zero bytes, the type of its elements and the number of its dimensions; then each dimension
follows as a big-endian 32-bit integer, and the elements in C order, big-endian.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import struct
import zlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from gzip import BadGzipFile
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from gradcli.data.dataset import ArrayDataset
from gradcli.data.known_datasets import known_class_names
from gradcli.data.preprocessing import Preprocessing
from gradcli.data.split_names import SPLIT_NAMES
from gradcli.errors import DataError

_TYPES: Final[Mapping[int, str]] = {0x08: "|u1", 0x09: "|i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC: Final = b"\x1f\x8b"
_MOST_DIMENSIONS: Final = 4
# No gzip file holds more bytes for each of its own.
_LARGEST_GZIP_RATIO: Final = 1032
# Such as train-images-idx3-ubyte.gz, t10k-labels.idx1-ubyte, emnist-letters-test-images-idx3-ubyte.
_FILE_NAME: Final = re.compile(
    rf"(?P<set>|.*[-_.])(?P<split>{'|'.join(SPLIT_NAMES)})[-_](?P<content>images|labels)[-.]idx[1-4]-(ubyte|byte|short|int)"
    r"(\.gz)?",
    re.IGNORECASE,
)


class _FileName(NamedTuple):
    """What the name of an IDX file says."""

    set: str
    """What stands before the split, such as `emnist-letters-`; mostly nothing."""
    split: str
    content: str


def open_idx(path: str | Path, preprocessing: Preprocessing | None = None) -> ArrayDataset:
    """The data set in a folder of IDX files, or that of one file of images.

    The files are called as MNIST's: `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, and the same with `t10k`
    (or `test`) for the test split and `val` for the validation split; a dot in place of the second hyphen, something
    like `emnist-letters-` in front and `.gz` behind are fine. Given a file of training images, its other splits are
    the ones beside it; given another, that split is all there is.

    Images are bytes, (N, H, W) or (N, H, W, 3). Labels are integers; each value that occurs in the training part is
    a class, in the order of the numbers. It is called by its number, or by its name where the labels are, byte for
    byte, those of a known data set. DataError names the file that is missing, damaged or of another format, and a
    label that the training part doesn't have.
    """
    path = Path(path)
    folder, wanted = (path, None) if path.is_dir() else (path.parent, _wanted(path))
    sets = _idx_files(_file_names(folder))
    if wanted is None and len(sets) > 1:
        names = ", ".join(str(folder / files[_TRAINING]) for files in sets.values() if _TRAINING in files)
        raise DataError(f"{folder}: holds {len(sets)} data sets; name the images of one: {names}")
    files = dict(sets.get(next(iter(sets), "") if wanted is None else wanted.set, {}))
    first = "train" if wanted is None else wanted.split
    if wanted is not None:
        files[first, "images"] = path.name
    pixels, labels, _ = _read_split(folder, files, first)
    values, indices = np.unique(labels, return_inverse=True)
    known = known_class_names(hashlib.sha256(labels.tobytes()).hexdigest())
    classes = [str(value) if known is None else known[value] for value in values]
    preprocessing = preprocessing or Preprocessing.for_array_images(*pixels.shape[1:3])
    dataset = ArrayDataset(str(path), pixels, indices, classes, preprocessing)

    def other_split(split: str) -> ArrayDataset | None:
        if first != "train" or (split, "images") not in files:
            return None
        pixels, labels, labels_path = _read_split(folder, files, split)
        indices = np.searchsorted(values, labels)
        unknown = np.flatnonzero(values[np.minimum(indices, len(values) - 1)] != labels)
        if unknown.size:
            raise DataError(
                f"{labels_path}: holds {labels[unknown[0]]} at position {unknown[0]}; "
                f"expected labels that the training part has, from {values[0]} to {values[-1]}"
            )
        return ArrayDataset(str(folder / files[split, "images"]), pixels, indices, classes, preprocessing)

    dataset.validation, dataset.test = other_split("validation"), other_split("test")
    return dataset


_TRAINING: Final = ("train", "images")


def holds_idx(file_names: Collection[str]) -> bool:
    """Whether a folder with these files is a data set of IDX files."""
    return any(_parsed(name) is not None for name in file_names)


def looks_like_idx(opening: bytes) -> bool:
    """Whether a file that starts with these bytes, uncompressed, is an IDX file."""
    return len(opening) >= 4 and opening[:2] == b"\0\0" and opening[2] in _TYPES and 1 <= opening[3] <= _MOST_DIMENSIONS


def read_idx(path: str | Path) -> NDArray[Any]:
    """The array in an IDX file, gzipped or not, in the machine's byte order.

    DataError if the file can't be read, is no IDX file, is damaged, or holds fewer or more bytes than its head says.
    """
    try:
        with open(path, "rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            compressed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _read_array(raw, size, path)
            import gzip

            with gzip.open(raw, "rb") as stream:
                return _read_array(cast(BinaryIO, stream), size * _LARGEST_GZIP_RATIO, path)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file; expected an IDX file") from error
    except (EOFError, zlib.error, BadGzipFile) as error:
        raise DataError(f"{path}: its gzip compression is damaged or cut short; download it again") from error
    except MemoryError as error:
        raise DataError(f"{path}: its content doesn't fit in memory") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{path}: can't be read ({reason}); expected an IDX file") from error


def _read_array(stream: BinaryIO, most_bytes: int, path: str | Path) -> NDArray[Any]:
    opening = stream.read(4)
    if not looks_like_idx(opening):
        raise DataError(f"{path}: no IDX file: it starts with the bytes {opening.hex(' ')}; expected 00 00 08 03 or so")
    dtype, dimensions = np.dtype(_TYPES[opening[2]]), opening[3]
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: cut short in its head; download it again")
    shape = struct.unpack(f">{dimensions}I", sizes)
    expected = math.prod(shape) * dtype.itemsize
    if expected > most_bytes:
        raise DataError(f"{path}: cut short: its head says {expected} bytes follow; download it again")
    content = stream.read(expected)
    if len(content) < expected:
        raise DataError(f"{path}: cut short after {len(content)} of {expected} bytes; download it again")
    if stream.read(1):
        raise DataError(f"{path}: holds more than the {expected} bytes that its head says; it is damaged")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _read_split(
    folder: Path, files: Mapping[tuple[str, str], str], split: str
) -> tuple[NDArray[np.uint8], NDArray[Any], Path]:
    """The pixels and the labels of one split, and where the labels stand."""
    for content in ("images", "labels"):
        if (split, content) not in files:
            number = 3 if content == "images" else 1
            stem = "t10k" if split == "test" else split
            raise DataError(
                f"{folder}: has no {stem}-{content}-idx{number}-ubyte or {stem}-{content}-idx{number}-ubyte.gz"
            )
    path, labels_path = folder / files[split, "images"], folder / files[split, "labels"]
    pixels = read_idx(path)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[3] != 3):
        raise DataError(
            f"{path}: holds {pixels.dtype} of shape {pixels.shape}; expected bytes of shape (N, H, W) or (N, H, W, 3)"
        )
    if 0 in pixels.shape:
        raise DataError(f"{path}: is empty, with shape {pixels.shape}; expected at least one image of one pixel")
    labels = read_idx(labels_path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(f"{labels_path}: holds {labels.dtype} of shape {labels.shape}; expected integers of shape (N,)")
    if len(labels) != len(pixels):
        raise DataError(f"{labels_path}: {len(labels)} labels for the {len(pixels)} images of {path.name}")
    return pixels, labels, labels_path


def _wanted(path: Path) -> _FileName:
    parsed = _parsed(path.name)
    if parsed is None:
        raise DataError(
            f"{path}: an IDX file whose name doesn't say what it holds; expected one such as train-images-idx3-ubyte"
        )
    if parsed.content == "labels":
        raise DataError(f"{path}: holds labels; name the file of the images, or the folder of both")
    return parsed


def _parsed(name: str) -> _FileName | None:
    match = _FILE_NAME.fullmatch(name)
    if match is None:
        return None
    return _FileName(match["set"], SPLIT_NAMES[match["split"].lower()], match["content"].lower())


def _idx_files(names: Collection[str]) -> dict[str, dict[tuple[str, str], str]]:
    """The IDX files among these names: set by set, the one of each (split, content); an unpacked one before a `.gz`."""
    sets: dict[str, dict[tuple[str, str], str]] = {}
    for name in sorted(names):
        if (parsed := _parsed(name)) is not None:
            sets.setdefault(parsed.set, {}).setdefault((parsed.split, parsed.content), name)
    return sets


def _file_names(folder: Path) -> list[str]:
    with suppress(OSError):  # reading the first file says what is wrong
        return os.listdir(folder)
    return []
