"""Winograd's frequencies of filters, the way back for their gradient, and frequencies that are used again.

Frequencies are four times as large as the filters, and with many channels and few pixels the transform takes longer
than the convolution. In training the filters change with every step. In passes that nobody differentiates they are
mostly the same as in the pass before, and so are their frequencies.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array
from gradcli.kernels.slices import for_each_slice
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
COMPARED_ELEMENTS = 1 << 17  # by one thread: some 100 us


def filter_frequencies(filters: Array) -> Array:
    """The frequencies (36, C, O) of filters (O, 3, 3, C), for the convolution."""
    return _frequencies(FROM_FILTERS, filters.transpose(1, 2, 3, 0))  # (O, i, j, C) -> (i, j, C, O)


def mirrored_filter_frequencies(filters: Array) -> Array:
    """The frequencies (36, O, C) of filters (O, 3, 3, C) mirrored, for the gradient of the images."""
    return _frequencies(FROM_MIRRORED_FILTERS, filters.transpose(1, 2, 0, 3))  # (O, i, j, C) -> (i, j, O, C)


def filter_gradient(sums: Array) -> Array:
    """The gradient of filters (O, 3, 3, C) from partial sums (R, 36, O, C) of that of their frequencies."""
    _, _, out_channels, channels = sums.shape
    result = memory.empty((out_channels, 3, 3, channels), DTYPE)
    taps = result.transpose(1, 2, 0, 3)  # (O, i, j, C) -> (i, j, O, C)

    def invert(some: slice) -> None:
        partial = sums[:, :, some]
        _inverse(partial[0] if len(sums) == 1 else np.add.reduce(partial), taps[:, :, some])

    _for_some_filters(invert, out_channels, channels)
    return result


class _Remembered(NamedTuple):
    owner: weakref.ref[Array]  # whose memory the filters are; when it goes, so does this
    filters: Array  # a copy
    frequencies: Array


_remembered: dict[tuple[int, tuple[int, ...]], _Remembered] = {}  # by address and shape of the filters


def kept_filter_frequencies(filters: Array) -> Array:
    """As `filter_frequencies`, not to be changed: those of the call before if the filters are still the very same.

    They are compared number by number, as anyone may write into them. That takes a tenth of the transform.
    """
    key = filters.ctypes.data, filters.shape
    remembered = _remembered.get(key)
    if remembered is not None and _same_bits(remembered.filters, filters):
        return remembered.frequencies
    frequencies = filter_frequencies(filters)
    owner = filters
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    copy = memory.empty(filters.shape, DTYPE)
    np.copyto(copy, filters)
    _remembered[key] = _Remembered(weakref.ref(owner, lambda _: _remembered.pop(key, None)), copy, frequencies)
    return frequencies


def _same_bits(first: Array, second: Array) -> bool:
    """Whether float32 numbers are the same, bit for bit: NaN is the same as itself then, and 0 is not -0."""
    kind = np.int64 if first.size % 2 == 0 else np.int32  # in pairs it takes less time
    bits, others = first.reshape(-1).view(kind), second.reshape(-1).view(kind)
    same = []
    for_each_slice(
        lambda some: same.append(np.array_equal(bits[some], others[some])), len(bits), len(bits) // COMPARED_ELEMENTS
    )
    return all(same)


def _frequencies(map: Map, filters: Array) -> Array:
    """The frequencies (36, P, Q) of filters (3, 3, P, Q) of any strides."""
    _, _, p, q = filters.shape
    result = memory.empty((FREQUENCIES, p, q), DTYPE)
    _for_some_filters(lambda some: _transform(map, filters[:, :, some], result[:, some]), p, q)
    return result


def _for_some_filters(task: Callable[[slice], None], p: int, q: int) -> None:
    """Share out P x Q filters in runs of P."""
    for_each_slice(task, p, min(p, p * q // FILTERS_AT_ONCE))


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
