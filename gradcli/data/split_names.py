"""The splits of a data set, and what people call them in the names of folders and files and in lists."""

from __future__ import annotations

from typing import Final, Literal

Split = Literal["train", "validation", "test", "all"]
"""A split of a data set, or all of them."""

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
