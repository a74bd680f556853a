"""What poolings read in the same way: the stride that a kernel size stands for, and the planes to be pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gradcli.ops.dims import IntPair, pair


def stride_of(stride: int | Sequence[int] | None, kernel: IntPair) -> IntPair:
    """The stride, or the kernel's size where None or an empty list is given."""
    return kernel if stride is None or stride in ((), []) else pair(stride, "stride")


def check_planes(operation: str, input: Any) -> None:
    """RuntimeError unless input is (N, C, H, W) or (C, H, W) with at least one channel."""
    if input.ndim not in (3, 4) or input.shape[-3] == 0:
        raise RuntimeError(
            f"{operation}: expected 3D or 4D input with at least one channel, but got shape {list(input.shape)}"
        )
