"""Max pooling with PyTorch's meaning, its gradient, and the adjoint of that.

The largest element of a window is the largest of its rows' largest elements, so one axis is pooled after the other:
a 3 x 3 window takes three taps along each instead of nine. Along with the values goes an account of where they were
found, in a byte for ordinary windows: the winner's *position* in its window, `i * kw + j`. `max_pool2d_indices`
converts positions to PyTorch's indices.

Kernel size, stride, padding and dilation are (vertical, horizontal) pairs; results have channels-last memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece
from gradcli.kernels.windows import pool_output_size, tap_overlap

PIECE_BYTES = 1 << 19  # of results at a time: calls long enough for two threads, on arrays that the cache about holds
WORK_PER_ELEMENT = 30  # in the unit of `cut_into_pieces`: a result takes about as long as so many multiply-adds


class Pooling(NamedTuple):
    """The sizes of a max pooling, each (vertical, horizontal)."""

    size: Pair
    output_size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair


class AxisTap(NamedTuple):
    """A tap along one axis: its number, the outputs that it serves and the elements that it reads for them."""

    number: int
    outputs: slice
    elements: slice


class Account(NamedTuple):
    """Where the winners are: `positions`, to be filled, with `codes[t]` for those of tap `t`.

    `default` is the position in windows that hold nothing above -inf. `ordered` accounts for NaN too, which takes
    longer.
    """

    positions: Array
    codes: Sequence[Any]
    default: Array
    ordered: bool


def max_pool2d(
    x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Array]:
    """The maximum of each window of `x` (N, C, H, W), and its position in the window.

    Returns two arrays of shape (N, C, OH, OW): values in the dtype of `x`, and positions `i * kw + j` as
    the smallest unsigned integers that hold them. Padding never wins. Among equal values the first wins;
    a NaN wins over every number, the last one over other NaNs, as in PyTorch. Raises RuntimeError when
    the window or padding doesn't fit, or a dilated window steps over the whole input.
    """
    pooling = _pooling(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    values = memory.empty((x.shape[0], *pooling.output_size, x.shape[1]), x.dtype)
    positions = memory.empty(values.shape, np.min_scalar_type(kernel[0] * kernel[1] - 1))
    _pool(as_nhwc(x), pooling, values, positions)
    return from_nhwc(values), from_nhwc(positions)


def max_pool2d_values(x: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Array:
    """The values of `max_pool2d` without the positions, in less than half of the time."""
    pooling = _pooling(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    values = memory.empty((x.shape[0], *pooling.output_size, x.shape[1]), x.dtype)
    _pool(as_nhwc(x), pooling, values, None)
    return from_nhwc(values)


@lru_cache(maxsize=64)
def _pooling(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pooling:
    output_size = (
        pool_output_size(size[0], kernel[0], stride[0], padding[0], dilation[0], ceil_mode),
        pool_output_size(size[1], kernel[1], stride[1], padding[1], dilation[1], ceil_mode),
    )
    pooling = Pooling(size, output_size, kernel, stride, padding, dilation)
    for axis in (0, 1):
        first = _first_inside(pooling, axis)
        starts = np.arange(output_size[axis]) * stride[axis] - padding[axis]
        if np.any(first >= kernel[axis]) or np.any(starts + first * dilation[axis] >= size[axis]):
            raise RuntimeError(
                f"max pooling windows of {kernel[axis]} elements with dilation {dilation[axis]} and padding "
                f"{padding[axis]} over an input of {size[axis]} read nothing but padding; pad or dilate less"
            )
    return pooling


def _first_inside(pooling: Pooling, axis: int) -> Array:
    """Along one axis, each window's first tap that doesn't read the padding before the input."""
    starts = np.arange(pooling.output_size[axis]) * pooling.stride[axis] - pooling.padding[axis]
    return np.maximum(-(starts // pooling.dilation[axis]), 0)


def _pool(images: Array, pooling: Pooling, values: Array, positions: Array | None) -> None:
    """Fill `values` and, unless None, `positions` (N, OH, OW, C) with the pooling of `images` (N, H, W, C)."""
    n, height, width, channels = values.shape
    defaults = None if positions is None else _default_positions(pooling, positions.dtype)

    def pool(piece: Piece) -> None:
        part = piece.images, piece.rows
        if positions is None or defaults is None:
            _pool_piece(images, piece, pooling, values[part])
        else:
            _pool_piece(images, piece, pooling, values[part], positions[part], defaults[piece.rows])

    for_each_piece(
        pool, cut_into_pieces(n, height, width, channels * values.itemsize, channels * WORK_PER_ELEMENT, PIECE_BYTES)
    )


@lru_cache(maxsize=64)
def _default_positions(pooling: Pooling, dtype: np.dtype[Any]) -> Array:
    """The position (OH, OW, 1) of each window's first tap inside of the input."""
    rows, columns = _first_inside(pooling, 0), _first_inside(pooling, 1)
    return (rows[:, None] * pooling.kernel[1] + columns)[:, :, None].astype(dtype)


# --------------------------------------------------------------------------------------- a piece, axis by axis


def _pool_piece(
    images: Array,
    piece: Piece,
    pooling: Pooling,
    values: Array,
    positions: Array | None = None,
    defaults: Array | None = None,
) -> None:
    """Fill a piece of the results, `values` and `positions` (n, R, OW, C), from `images` (N, H, W, C).

    `defaults` (R, OW, 1) are the positions in windows that hold nothing above -inf.
    """
    rows, down = _rows_read(piece.rows, pooling)
    source = images[piece.images, rows]
    n, height, width, channels = source.shape
    kernel_width, out_width = pooling.kernel[1], pooling.output_size[1]
    across = _taps(pooling, 1, -pooling.padding[1], width, out_width)
    # (n, H', W, C) -> (n, H', OW, C) -> (n, R, OW, C), where H' are the rows read
    row_values = memory.scratch("max_pooling.row_values", (n, height, out_width, channels), source.dtype)
    if positions is None or defaults is None:
        _pool_along(2, source, across, row_values)
        _pool_along(1, row_values, down, values)
        return
    number = positions.dtype.type
    row_positions = memory.scratch("max_pooling.row_positions", row_values.shape, positions.dtype)
    for ordered in (False, True):
        codes = [number(j) for j in range(kernel_width)]
        _pool_along(2, source, across, row_values, Account(row_positions, codes, defaults[0] % kernel_width, ordered))
        # The winner of a window's i-th row has position i * kw + j in the window.
        codes = [row_positions[:, tap.elements] + number(tap.number * kernel_width) for tap in down]
        _pool_along(1, row_values, down, values, Account(positions, codes, defaults, ordered))
        if values.dtype.kind != "f" or not np.isnan(np.max(values)):
            break


def _rows_read(outputs: slice, pooling: Pooling) -> tuple[slice, list[AxisTap]]:
    """The rows of the input that some rows of outputs read, and the taps that lead from the ones to the others."""
    stride, count = pooling.stride[0], outputs.stop - outputs.start
    start = outputs.start * stride - pooling.padding[0]
    end = start + (count - 1) * stride + (pooling.kernel[0] - 1) * pooling.dilation[0] + 1
    rows = slice(max(0, start), min(pooling.size[0], end))
    return rows, _taps(pooling, 0, start - rows.start, rows.stop - rows.start, count)


def _taps(pooling: Pooling, axis: int, start: int, size: int, output_size: int) -> list[AxisTap]:
    """The taps of windows over `size` elements, the first of which begins at element `start`."""
    return [
        AxisTap(number, *tap_overlap(start + number * pooling.dilation[axis], size, output_size, pooling.stride[axis]))
        for number in range(pooling.kernel[axis])
    ]


def _pool_along(axis: int, source: Array, taps: list[AxisTap], best: Array, account: Account | None = None) -> None:
    """Fill `best` with the largest element of each window along `axis` of `source`, both (n, h, w, C).

    Where a tap serves all windows, its elements lead at first; those of later taps must exceed the leader to take its
    place, those of earlier ones equal it. Without such a tap, or where NaNs are told apart, -inf leads at first.
    """
    everything = slice(0, best.shape[axis])
    base = None if account and account.ordered else next((tap for tap in taps if tap.outputs == everything), None)
    if base is None:
        best.fill(-np.inf if best.dtype.kind == "f" else np.iinfo(best.dtype).min)
        leaders, challengers = best, taps
    else:
        leaders = source[_along(axis, base.elements)]
        challengers = taps[base.number + 1 :] + taps[: base.number][::-1]
    if account:
        account.positions[...] = account.default if base is None else account.codes[base.number]
    for tap in challengers:
        if leaders is not best and tap.outputs != everything:
            np.copyto(best, leaders)
            leaders = best
        outputs = _along(axis, tap.outputs)
        before, candidates = leaders[outputs], source[_along(axis, tap.elements)]
        if account and (base is None or tap.number > base.number):
            _enter_if_greater(account, tap.number, account.positions[outputs], candidates, before)
        elif account:
            _enter_unless_less(account, tap.number, account.positions[outputs], candidates, before)
        np.maximum(before, candidates, out=best[outputs])
        leaders = best
    if leaders is not best:
        np.copyto(best, leaders)


def _along(axis: int, part: slice) -> tuple[slice, ...]:
    return *(slice(None),) * axis, part


def _enter_if_greater(account: Account, tap: int, positions: Array, candidates: Array, leaders: Array) -> None:
    """Enter a tap's position where its candidates exceed the leaders, which are all from earlier taps."""
    wins = memory.scratch("max_pooling.wins", candidates.shape, np.dtype(np.bool_))
    np.greater(candidates, leaders, out=wins)
    if account.ordered:
        np.logical_or(wins, np.isnan(candidates), out=wins)
    # Codes only grow from tap to tap, so a maximum enters the new ones without a masked copy.
    entries = memory.scratch("max_pooling.entries", candidates.shape, positions.dtype)
    np.multiply(wins.view(np.uint8), account.codes[tap], out=entries)
    np.maximum(positions, entries, out=positions)


def _enter_unless_less(account: Account, tap: int, positions: Array, candidates: Array, leaders: Array) -> None:
    """Enter a tap's position where its candidates aren't less than the leaders, which are all from later taps."""
    loses = memory.scratch("max_pooling.wins", candidates.shape, np.dtype(np.bool_))
    np.less(candidates, leaders, out=loses)
    entries = memory.scratch("max_pooling.entries", candidates.shape, positions.dtype)
    np.multiply(loses.view(np.uint8), positions.dtype.type(np.iinfo(positions.dtype).max), out=entries)
    np.bitwise_or(entries, account.codes[tap], out=entries)  # the code, or more than any
    np.minimum(positions, entries, out=positions)


# ---------------------------------------------------------------------------------------------- the way back


def max_pool2d_indices(
    positions: Array, input_width: int, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """PyTorch's `return_indices` of a max pooling: `h * W + w` of each winner in its plane, int64.

    `positions` (N, C, OH, OW) are those of `max_pool2d`; the result has their shape.
    """
    out_height, out_width = positions.shape[2:]
    i, j = np.divmod(positions.astype(np.int64), kernel[1])
    rows = np.arange(out_height)[:, None] * stride[0] - padding[0] + i * dilation[0]
    columns = np.arange(out_width) * stride[1] - padding[1] + j * dilation[1]
    indices: Array = rows * input_width + columns
    return indices


def max_pool2d_input_gradient(
    grad: Array,
    positions: Array,
    input_shape: Shape4,
    kernel: Pair,
    stride: Pair,
    padding: Pair,
    dilation: Pair,
) -> Array:
    """Gradient of `max_pool2d`: each entry of `grad` (N, C, OH, OW) added to the winner of its window.

    `positions` are those of `max_pool2d`. Returns `input_shape` (N, C, H, W).
    """
    n, channels, height, width = input_shape
    grad_images, position_images = as_nhwc(grad), as_nhwc(positions)
    images = memory.empty((n, height, width, channels), grad.dtype)
    elements = _WinnerElements(images.shape, position_images.shape, kernel, stride, padding, dilation)

    def scatter(piece: Piece) -> None:
        target = images[piece.images]
        target.fill(0)
        winners = elements.of(position_images[piece.images])
        np.add.at(target.reshape(-1), winners, grad_images[piece.images].reshape(-1))

    for_each_piece(scatter, _image_pieces(grad_images))
    return from_nhwc(images)


def max_pool2d_gather(
    values: Array, positions: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Picks from `values` (N, C, H, W) the entry at each window's winner: the adjoint of the gradient.

    `positions` (N, C, OH, OW) are those of `max_pool2d`; the result has their shape and the dtype of
    `values`. It is the gradient of `max_pool2d_input_gradient` with respect to `grad`.
    """
    images, position_images = as_nhwc(values), as_nhwc(positions)
    out = memory.empty(position_images.shape, values.dtype)
    elements = _WinnerElements(images.shape, position_images.shape, kernel, stride, padding, dilation)

    def gather(piece: Piece) -> None:
        winners = elements.of(position_images[piece.images])
        np.take(images[piece.images].reshape(-1), winners, out=out[piece.images].reshape(-1), mode="clip")

    for_each_piece(gather, _image_pieces(out))
    return from_nhwc(out)


class _WinnerElements:
    """Where the winners of some images' windows lie in the flat memory of these images."""

    def __init__(
        self, shape: Shape4, out_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
    ) -> None:
        _, height, width, channels = shape
        tap_rows, tap_columns = np.divmod(np.arange(kernel[0] * kernel[1]), kernel[1])
        self.of_taps = (tap_rows * dilation[0] * width + tap_columns * dilation[1]) * channels
        rows = np.arange(out_shape[1]) * stride[0] - padding[0]
        columns = np.arange(out_shape[2]) * stride[1] - padding[1]
        # (OH, OW, C): where windows begin, in an image's memory
        self.of_windows = (rows[:, None] * width + columns)[:, :, None] * channels + np.arange(channels)
        self.image_size = height * width * channels

    def of(self, positions: Array) -> Array:
        """For `positions` (n, OH, OW, C), the elements in C-contiguous (n, H, W, C), flat."""
        elements = memory.scratch("max_pooling.elements", positions.shape, np.dtype(np.intp))
        np.take(self.of_taps, positions, out=elements, mode="clip")
        np.add(elements, self.of_windows, out=elements)
        if len(positions) > 1:
            np.add(elements, (np.arange(len(positions)) * self.image_size)[:, None, None, None], out=elements)
        return elements.reshape(-1)


def _image_pieces(out: Array) -> tuple[Piece, ...]:
    """Runs of whole images of `out` (N, OH, OW, C): windows of one image overlap."""
    n, height, width, channels = out.shape
    elements = height * width * channels
    return cut_into_pieces(n, 1, 1, elements * out.itemsize, elements * WORK_PER_ELEMENT, PIECE_BYTES)
