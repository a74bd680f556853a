"""What people call the splits of a data set, in the names of folders and files and in lists."""

from __future__ import annotations

from typing import Final

SPLIT_NAMES: Final = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
    "t10k": "test",  # MNIST's
}
"""The split that each spelling, in lower case, stands for."""
