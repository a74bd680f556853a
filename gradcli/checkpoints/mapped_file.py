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
