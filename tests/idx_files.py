"""IDX files as MNIST's authors define them, for tests."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray[Any, Any]) -> bytes:
    """The content of an IDX file that holds the array."""
    code = f"{array.dtype.kind}{array.dtype.itemsize}"
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, TYPES[code], array.ndim, *array.shape)
    return head + array.astype(f">{code}").tobytes()


def write_idx(path: Path, array: np.ndarray[Any, Any]) -> Path:
    """Write an IDX file, gzipped if its name ends in `.gz`."""
    content = idx_bytes(array)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    return path


def write_mnist(folder: Path, training: int = 12, test: int = 4, suffix: str = "") -> Path:
    """A folder of four files called as MNIST's, with 5x4 images and the labels 0, 1 and 2 in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, count in (("train", training), ("t10k", test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 5, 4), dtype=np.uint8)
        write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", (np.arange(count) % 3).astype(np.uint8))
    return folder
