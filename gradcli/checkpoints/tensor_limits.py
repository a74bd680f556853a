"""How large a tensor out of a file can be, whatever the container."""

from __future__ import annotations

from typing import Any, Final

LARGEST_RANK: Final = 64
"""NumPy's limit of dimensions."""
LARGEST_NUMBER: Final = 2**63 - 1
"""PyTorch's sizes, strides and offsets are int64, and so are NumPy's."""
ALWAYS_ALLOWED_BYTES: Final = 2**28
"""What a small file may expand to in memory, because it was compressed or repeats its elements."""


def is_whole_number(value: Any) -> bool:
    """Whether a value out of a file is an int that is not negative and fits into 64 bits."""
    return type(value) is int and 0 <= value <= LARGEST_NUMBER
