"""Standard input as a stream of bytes, refused where nothing can come from it."""

from __future__ import annotations

import sys
from typing import BinaryIO

from gradcli.errors import DataError

STANDARD_INPUT_NAME = "standard input"
"""What messages call it."""


def open_standard_input(expected: str) -> BinaryIO:
    """Standard input; DataError, which says what was `expected`, where it is closed or a terminal."""
    if sys.stdin is None:
        raise DataError(f"{STANDARD_INPUT_NAME} is closed; expected {expected}")
    if sys.stdin.isatty():
        raise DataError(f"{STANDARD_INPUT_NAME}: a terminal; expected {expected} piped or redirected into it")
    return sys.stdin.buffer
