"""Channels-last memory behind PyTorch's (N, C, H, W) shapes: the ways there and back.

Kernels take and return arrays whose *shape* is PyTorch's while their *memory* runs (N, H, W, C).
A pixel's channels then lie side by side, so a 1x1 convolution is a matrix product over rows of
channels and a batch norm is a reduction over rows. Convolution weights of shape (O, I, kh, kw) are
handled by the same functions: O stands for N and I for C.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Pair = tuple[int, int]
Shape4 = tuple[int, ...]

CHANNELS_LAST = (0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)


def as_nhwc(x: Array) -> Array:
    """`x` of shape (N, C, H, W) and any strides as a C-contiguous (N, H, W, C) array.

    A view when the memory is channels-last already, otherwise a copy.
    """
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))  # (N, C, H, W) -> (N, H, W, C)


def from_nhwc(images: Array) -> Array:
    """The (N, C, H, W) view of an (N, H, W, C) array; the inverse of `as_nhwc`."""
    return images.transpose(0, 3, 1, 2)  # (N, H, W, C) -> (N, C, H, W)


def as_rows(x: Array) -> Array:
    """`x` of shape (N, C, H, W) as (N*H*W, C): one contiguous row of channels for each pixel.

    A view when the memory is channels-last already, otherwise a copy.
    """
    n, c, h, w = x.shape
    return as_nhwc(x).reshape(n * h * w, c)


def memory_order(array: Array) -> tuple[int, ...] | None:
    """The order of axes in which the array's elements follow one another in memory; None where they don't."""
    axes = tuple(range(array.ndim))
    if array.flags.c_contiguous and array.ndim != 4:
        return axes
    if array.ndim == 4 and array.transpose(CHANNELS_LAST).flags.c_contiguous:
        return CHANNELS_LAST
    axes = tuple(sorted(axes, key=lambda axis: -array.strides[axis]))
    return axes if array.transpose(axes).flags.c_contiguous else None
