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
)

FILTERS_AT_ONCE = 1 << 13  # pairs of channels whose filters are transformed at a time, in the second-level cache
# BLAS multiplies with frequencies more slowly where they are in the order of the filters, but those need not be copied.
MOST_ROWS_IN_THEIR_ORDER = 32  # of a product: with more, the copy pays


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

    def some(self, part: slice, rows: int) -> Array:
        """Those (36, P, Q') of a part of Q, for a product with so many rows, in this thread's scratch memory."""
        filters = self._filters[..., part]
        _, _, p, q = filters.shape
        if rows <= MOST_ROWS_IN_THEIR_ORDER and filters.strides[2] == DTYPE.itemsize:  # that of forward: (Q, 3, 3, P)
            result = memory.scratch("winograd.filters", (FREQUENCIES, q, p), DTYPE)
            _transform_in_their_order(self._map, filters.transpose(3, 0, 1, 2), result)
            return result.transpose(0, 2, 1)  # (36, Q', P) -> (36, P, Q')
        result = memory.scratch("winograd.filters", (FREQUENCIES, p, q), DTYPE)
        _transform(self._map, filters, result)
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
    np.matmul(map.matrix, vertical.reshape(READ, 3, p * q), out=_by_line(out))  # (v, j, P*Q) -> (v, h, P*Q)


def _transform_in_their_order(map: Map, filters: Array, out: Array) -> None:
    """As `_transform`, of C-contiguous filters (Q, 3, 3, P) to `out` (36, Q, P), C-contiguous: nothing is copied."""
    q, _, _, p = filters.shape
    vertical = memory.scratch("winograd.vertical", (q, READ, 3 * p), DTYPE)
    np.matmul(map.matrix, filters.reshape(q, 3, 3 * p), out=vertical)  # (i, j*P) -> (v, j*P), for each of Q
    # (j, P) -> (h, P), for each of Q and v
    by_filter = out.reshape(READ, READ, q, p).transpose(2, 1, 0, 3)  # (h, v, Q, P) -> (Q, v, h, P)
    np.matmul(map.matrix, vertical.reshape(q, READ, 3, p), out=by_filter)


def _inverse(frequencies: Array, out: Array) -> None:
    """The transpose of `_transform` with FROM_FILTERS: from (36, P, Q) to `out` (3, 3, P, Q), of any strides."""
    _, p, q = frequencies.shape
    horizontal = memory.scratch("winograd.vertical", (READ, 3, p * q), DTYPE)
    np.matmul(TO_FILTERS.matrix, _by_line(frequencies), out=horizontal)  # (v, h, P*Q) -> (v, j, P*Q)
    taps = memory.scratch("winograd.apart", (3, 3 * p * q), DTYPE)
    np.matmul(TO_FILTERS.matrix, horizontal.reshape(READ, 3 * p * q), out=taps)
    np.copyto(out, taps.reshape(out.shape))


def _by_line(frequencies: Array) -> Array:
    """Frequencies (36, P, Q), contiguous in P and Q, as the view (6 vertical, 6 horizontal, P*Q)."""
    # (h * v, P, Q) -> (h, v, P*Q) -> (v, h, P*Q)
    return frequencies.reshape(READ, READ, frequencies.shape[1] * frequencies.shape[2]).transpose(1, 0, 2)
