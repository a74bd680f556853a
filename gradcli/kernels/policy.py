"""Which kernels may be chosen: only those that compute directly, or also those that trade digits for time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, get_args

Kernels = Literal["exact", "fast"]
"""`exact`: every product is formed as the definition has it. `fast`: Winograd convolution is allowed, whose gradients
agree with the exact ones to about 1e-4 of their norm, and passes without gradients may be computed in other steps."""

KERNELS: tuple[Kernels, ...] = get_args(Kernels)

_kernels: Kernels = "exact"


def get_kernels() -> Kernels:
    """The kernels in use; at first `exact`."""
    return _kernels


def set_kernels(kernels: Kernels) -> None:
    """Use `exact` or `fast` kernels from here on, in the whole process; ValueError for any other name."""
    global _kernels
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {', '.join(KERNELS)}, but got {kernels!r}")
    _kernels = kernels


@contextlib.contextmanager
def using_kernels(kernels: Kernels) -> Iterator[None]:
    """Use `kernels` within the block, and afterwards those from before."""
    before = get_kernels()
    set_kernels(kernels)
    try:
        yield
    finally:
        set_kernels(before)
