"""Winograd's frequencies of filters, and the way back for their gradient.

Frequencies are four times as large as the filters. With many channels, writing and reading them takes longer than
computing them, so that they are also to be had for some filters at a time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.slices import for_each_slice, slices
from gradcli.kernels.threads import Preparation, Task, parallel
from gradcli.kernels.winograd_transforms import (
    DTYPE,
    FREQUENCIES,
    FROM_FILTERS,
    FROM_MIRRORED_FILTERS,
    READ,
    TO_FILTERS,
    Map,
    by_line,
)

FILTERS_AT_ONCE = 1 << 13  # pairs of channels whose filters are transformed at a time, in the second-level cache


class FilterFrequencies:
    """The frequencies (36, P, Q) of filters (3, 3, P, Q) of any strides: all of them, or some at a time."""

    def __init__(self, map: Map, filters: Array) -> None:
        self.shape: tuple[int, int] = filters.shape[2:]
        self._map = map
        self._filters = filters

    def all(self) -> Array:
        """The frequencies (36, P, Q), computed by all threads."""
        result = memory.empty((FREQUENCIES, *self.shape), DTYPE)
        parallel(*self._parts(result))
        return result

    def prepared(self) -> tuple[Array, Preparation]:
        """As `all`, but computed by the pieces of a kernel that are to read them."""
        result = memory.empty((FREQUENCIES, *self.shape), DTYPE)
        return result, Preparation(*self._parts(result))

    def some(self, part: slice) -> Array:
        """Those (36, P, Q') of a part of Q, in this thread's scratch memory."""
        result = memory.scratch("winograd.filters", (FREQUENCIES, self.shape[0], part.stop - part.start), DTYPE)
        _transform(self._map, self._filters[..., part], result)
        return result

    def _parts(self, result: Array) -> tuple[Task, int]:
        """A task that fills in one part of all frequencies, and the number of parts."""
        p, q = self.shape
        parts = slices(p, _part_count(p, q))

        def transform(number: int) -> None:
            some = parts[number]
            _transform(self._map, self._filters[:, :, some], result[:, some])

        return transform, len(parts)


def filter_frequencies(filters: Array) -> FilterFrequencies:
    """The frequencies (36, C, O) of filters (O, 3, 3, C), for the convolution."""
    return FilterFrequencies(FROM_FILTERS, filters.transpose(1, 2, 3, 0))  # (O, i, j, C) -> (i, j, C, O)


def mirrored_filter_frequencies(filters: Array) -> FilterFrequencies:
    """The frequencies (36, O, C) of filters (O, 3, 3, C) mirrored, for the gradient of the images."""
    return FilterFrequencies(FROM_MIRRORED_FILTERS, filters.transpose(1, 2, 0, 3))  # (O, i, j, C) -> (i, j, O, C)


def filter_gradient(frequencies: Callable[[slice], Array], out_channels: int, channels: int) -> Array:
    """The gradient of filters (O, 3, 3, C) from that of their frequencies.

    `frequencies` is called by several threads, each for a part of O, and returns (36, O', C).
    """
    result = memory.empty((out_channels, 3, 3, channels), DTYPE)
    taps = result.transpose(1, 2, 0, 3)  # (O, i, j, C) -> (i, j, O, C)
    for_each_slice(
        lambda some: _inverse(frequencies(some), taps[:, :, some]), out_channels, _part_count(out_channels, channels)
    )
    return result


def _part_count(p: int, q: int) -> int:
    """Into how many runs of P to cut P x Q filters."""
    return min(p, p * q // FILTERS_AT_ONCE)


def _transform(map: Map, filters: Array, out: Array) -> None:
    """Take filters (3, 3, P, Q), of any strides, to frequencies: matrix (6, 3) times filter times its transpose.

    `out` is (36, P, Q), contiguous in P and Q.
    """
    _, _, p, q = filters.shape
    taps = memory.scratch("winograd.apart", (3, 3 * p * q), DTYPE)
    np.copyto(taps.reshape(filters.shape), filters)
    vertical = memory.scratch("winograd.vertical", (READ, 3 * p * q), DTYPE)
    np.matmul(map.matrix, taps, out=vertical)
    np.matmul(map.matrix, vertical.reshape(READ, 3, p * q), out=by_line(out))  # (v, j, P*Q) -> (v, h, P*Q)


def _inverse(frequencies: Array, out: Array) -> None:
    """The transpose of `_transform` with FROM_FILTERS: from (36, P, Q) to `out` (3, 3, P, Q), of any strides."""
    _, p, q = frequencies.shape
    horizontal = memory.scratch("winograd.vertical", (READ, 3, p * q), DTYPE)
    np.matmul(TO_FILTERS.matrix, by_line(frequencies), out=horizontal)  # (v, h, P*Q) -> (v, j, P*Q)
    taps = memory.scratch("winograd.apart", (3, 3 * p * q), DTYPE)
    np.matmul(TO_FILTERS.matrix, horizontal.reshape(READ, 3 * p * q), out=taps)
    np.copyto(out, taps.reshape(out.shape))
