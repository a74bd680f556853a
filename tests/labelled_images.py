"""Small data sets for the tests of finetuning: images that a network can tell apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


def pixels_and_labels(
    count: int, classes: int = 3, size: int = 32
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """uint8 images (count, size, size, 3), each class brighter in another band of rows, and their labels."""
    labels = np.arange(count) % classes
    pixels = np.random.default_rng(7).integers(0, 96, (count, size, size, 3), dtype=np.uint8)
    band = size // classes
    for image, label in zip(pixels, labels, strict=True):
        image[label * band : (label + 1) * band] += 150
    return pixels, labels


def write_npz(path: Path, count: int = 20, classes: int = 3, size: int = 32) -> Path:
    """A `.npz` data set at `path`."""
    pixels, labels = pixels_and_labels(count, classes, size)
    np.savez(path, images=pixels, labels=labels)
    return path


def write_folder(path: Path, count: int = 12, classes: int = 3, size: int = 40) -> Path:
    """A folder at `path` with one subfolder of PNG files per class: class0, class1, …"""
    from PIL import Image

    pixels, labels = pixels_and_labels(count, classes, size)
    for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        folder = path / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:02d}.png")
    return path
