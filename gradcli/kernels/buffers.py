"""How many elements NumPy takes at a time where a call can't run through its arrays from end to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

SHORT_BUFFER = 1024  # elements; NumPy's own choice is 8192


@contextmanager
def short_buffers() -> Iterator[None]:
    """Calls in this block, on this thread, work in steps that fit into the first-level cache.

    Operands that are converted, broadcast or strided pass through buffers. With NumPy's own size, those of three
    operands exceed that cache: a sum or maximum of strided images takes twice as long as with these.
    """
    before = np.setbufsize(SHORT_BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)
