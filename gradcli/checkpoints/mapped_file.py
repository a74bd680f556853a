"""The bytes of a file as one array, read when they are used."""

from __future__ import annotations

import mmap
from pathlib import Path
from typing import Any

import numpy as np

from gradcli.errors import WeightsError

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def map_file(path: Path) -> Bytes:
    """The bytes of a regular file as a private map: writable, without an effect on the file.

    A page is read when it is used, and copied only if it is written to. The map lives as long as an array that
    uses it. As with every such map, a file that is cut short while its arrays are in use ends the process.

    WeightsError if the file is empty; OSError if it can't be opened.
    """
    with path.open("rb") as stream:
        try:
            return np.frombuffer(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY), np.uint8)
        except ValueError:  # what mmap says to a file without content
            raise WeightsError(f"{path}: is empty; is another program writing it?") from None


def release_pages(data: Bytes) -> None:
    """Let go of the memory that holds these bytes of a mapped file, once what is needed of them was copied.

    They stay readable: a page is read again when it is used. Nothing may have been written to them. Other arrays,
    and systems that know no such request, are left as they are.
    """
    owner: Any = data
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = getattr(owner, "obj", owner)  # frombuffer holds a memoryview of the map
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        start = data.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
        first, end = -(-start // mmap.PAGESIZE), (start + data.size) // mmap.PAGESIZE  # pages that hold nothing else
        if end > first:
            owner.madvise(mmap.MADV_DONTNEED, first * mmap.PAGESIZE, (end - first) * mmap.PAGESIZE)
