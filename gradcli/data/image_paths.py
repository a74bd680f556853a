"""Image files as commands name them: paths, folders of images, and lists on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import numpy as np

from gradcli.data.dataset import FileDataset
from gradcli.data.images import list_images
from gradcli.data.preprocessing import Preprocessing
from gradcli.errors import DataError

STANDARD_INPUT: Final = "-"

_BYTES_AT_ONCE: Final = 65_536


def image_paths(specs: Sequence[str], *, separator: bytes = b"\n") -> Iterator[list[str]]:
    """The image files that the specs name, in their order, some at a time.

    A folder stands for the images directly in it, sorted by name; one without any is a DataError, at once. `-` is a
    list on standard input, one path behind each `separator`, of which those are given out that are there: whoever
    writes the list may wait for an answer before going on. A list that ends without any is a DataError too. Whether
    the files exist is not looked at.
    """
    listed: list[list[str] | None] = []  # None stands for standard input
    for spec in specs:
        if spec == STANDARD_INPUT:
            listed.append(None)
            continue
        paths = [str(path) for path in list_images(spec)] if os.path.isdir(spec) else [spec]
        if listed and listed[-1] is not None:
            listed[-1] += paths
        else:
            listed.append(paths)
    return _chunks(listed, separator)


def read_paths(stream: BinaryIO, separator: bytes = b"\n") -> Iterator[list[str]]:
    """The paths in a stream, as they come: `separator` stands between two, and empty ones don't count.

    Where it is a line's end, that may be one of Windows.
    """
    carriage_return = b"\r" if separator == b"\n" else b""
    rest = b""
    while content := _read_some(stream):
        *complete, rest = (rest + content).split(separator)
        complete = [path.removesuffix(carriage_return) for path in complete]
        if paths := [os.fsdecode(path) for path in complete if path]:
            yield paths
    if rest := rest.removesuffix(carriage_return):
        yield [os.fsdecode(rest)]


def image_files(source: str, paths: Sequence[str], preprocessing: Preprocessing) -> FileDataset:
    """Image files without labels as a data set, which calls each by its path; `source` is what to call them all."""
    return FileDataset(source, "", paths, np.zeros(len(paths), np.int64), ["unlabelled"], preprocessing)


def _chunks(listed: Sequence[list[str] | None], separator: bytes) -> Iterator[list[str]]:
    for paths in listed:
        if paths is not None:
            yield paths
        elif sys.stdin is None:
            raise DataError("standard input is closed; expected a list of image files")
        else:
            chunks = read_paths(sys.stdin.buffer, separator)
            if (first := next(chunks, None)) is None:
                ending = "line" if separator == b"\n" else "null byte"
                raise DataError(f"standard input: names no image files; expected a path for each {ending}")
            yield first
            yield from chunks


def _read_some(stream: BinaryIO) -> bytes:
    """What is there, at least one byte unless the stream is at its end."""
    content: bytes = stream.read1(_BYTES_AT_ONCE)  # type: ignore[attr-defined]
    return content
