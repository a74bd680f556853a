"""Max pooling with PyTorch's meaning.

The largest element of a window is the largest of its rows' largest elements, so one axis is pooled after the other:
a 3 x 3 window takes three taps along each instead of nine. Along with the values goes an account of where they were
found, in a byte for ordinary windows: the winner's *position* in its window, `i * kw + j`. `max_pool2d_indices`
converts positions to PyTorch's indices.

What is pooled may be an expression that nobody has computed yet. The rows that a piece of the results needs are then
computed, pooled while they are in the cache, and forgotten.

Kernel size, stride, padding and dilation are (vertical, horizontal) pairs; results have channels-last memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from gradcli.deferred import DeferredArray, computed
from gradcli.kernels import memory
from gradcli.kernels.channel_expression import ChannelExpression
from gradcli.kernels.layout import Array, Pair, as_nhwc, from_nhwc
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece
from gradcli.kernels.rows import RowSource
from gradcli.kernels.windows import pool_output_size, tap_overlap

PIECE_BYTES = 1 << 19  # of results at a time: calls long enough for two threads, on arrays that the cache about holds
# In the unit of `cut_into_pieces`: a result takes as long as twice as many multiply-adds, but in many calls of NumPy,
# which had better be long.
WORK_PER_ELEMENT = 125


class Winners(NamedTuple):
    """Which elements the windows of a max pooling took: their `positions` in the windows (N, C, OH, OW).

    If what was pooled was computed only meanwhile, this is its `source`, and `values` (N, C, OH, OW) are the results.
    """

    positions: Array
    source: DeferredArray | None = None
    values: Array | None = None


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


class PiecePlan(NamedTuple):
    """How to pool a piece: the rows of the input that it reads, and the taps across and down these."""

    rows: slice
    across: list[AxisTap]
    down: list[AxisTap]


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
    x: Array | ChannelExpression, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[Array, Winners]:
    """The maximum of each window of `x` (N, C, H, W), and its position in the window.

    These are arrays of shape (N, C, OH, OW): values in the dtype of `x`, and positions `i * kw + j` as the smallest
    unsigned integers that hold them. Padding never wins. Among equal values the first wins; a NaN wins over every
    number, the last one over other NaNs, as in PyTorch. An expression that isn't computed yet stays so. Raises
    RuntimeError when the window or padding doesn't fit, or a dilated window steps over the whole input.
    """
    pooling = pooling_of(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    values = memory.empty((x.shape[0], *pooling.output_size, x.shape[1]), x.dtype)
    positions = memory.empty(values.shape, np.min_scalar_type(kernel[0] * kernel[1] - 1))
    images = _images(x)
    _pool(images, pooling, values, positions)
    result = from_nhwc(values)
    if isinstance(images, ChannelExpression):
        return result, Winners(from_nhwc(positions), images, result)
    return result, Winners(from_nhwc(positions))


def max_pool2d_values(
    x: Array | ChannelExpression, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> Array:
    """The values of `max_pool2d` without the positions, in less than half of the time."""
    pooling = pooling_of(x.shape[2:], kernel, stride, padding, dilation, ceil_mode)
    values = memory.empty((x.shape[0], *pooling.output_size, x.shape[1]), x.dtype)
    _pool(_images(x), pooling, values, None)
    return from_nhwc(values)


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


def _images(x: Array | ChannelExpression) -> Array | ChannelExpression:
    """`x` (N, C, H, W) as images (N, H, W, C): an array, or an expression that can be computed piece by piece."""
    if not isinstance(x, ChannelExpression):
        return as_nhwc(x)
    if x.is_computed or any(computed(term.images) is None for term in x.terms):
        return x.images()
    return x


@lru_cache(maxsize=64)
def pooling_of(size: Pair, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool) -> Pooling:
    """The pooling of planes of that size; RuntimeError where it is none that `max_pool2d` computes."""
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


def _pool(images: Array | ChannelExpression, pooling: Pooling, values: Array, positions: Array | None) -> None:
    """Fill `values` and, unless None, `positions` (N, OH, OW, C) with the pooling of `images` (N, H, W, C)."""
    n, height, width, channels = values.shape
    work = channels * WORK_PER_ELEMENT
    pieces = cut_into_pieces(n, height, width, channels * values.itemsize, work, PIECE_BYTES)
    for_each_piece(lambda piece: pool_piece(images, pooling, piece, values, positions), pieces)


def pool_piece(
    images: Array | RowSource, pooling: Pooling, piece: Piece, values: Array, positions: Array | None = None
) -> None:
    """Fill in a piece of the results, as `max_pool2d` has them, by the calling thread alone.

    `images` is (N, H, W, C), `values` and `positions` are (N, OH, OW, C).
    """
    part = piece.images, piece.rows
    plan = _piece_plan(pooling, piece.rows.start, piece.rows.stop)
    source = _read(images, pooling, piece.images, plan.rows, values.shape[3])
    if positions is None:
        _pool_values(source, plan, values[part])
    else:
        defaults = _default_positions(pooling, positions.dtype)[piece.rows]
        _pool_with_positions(source, plan, pooling.kernel[1], values[part], positions[part], defaults)


def _read(images: Array | RowSource, pooling: Pooling, some: slice, rows: slice, channels: int) -> Array:
    """Some rows of some images (n, r, W, C)."""
    if isinstance(images, np.ndarray):
        return images[some, rows]
    shape = some.stop - some.start, rows.stop - rows.start, pooling.size[1], channels
    source = memory.scratch("max_pooling.source", shape, images.dtype)
    images.write(source, some, rows)
    return source


@lru_cache(maxsize=64)
def _default_positions(pooling: Pooling, dtype: np.dtype[Any]) -> Array:
    """The position (OH, OW, 1) of each window's first tap inside of the input."""
    rows, columns = _first_inside(pooling, 0), _first_inside(pooling, 1)
    return (rows[:, None] * pooling.kernel[1] + columns)[:, :, None].astype(dtype)


# --------------------------------------------------------------------------------------- a piece, axis by axis


@lru_cache(maxsize=512)
def _piece_plan(pooling: Pooling, first: int, last: int) -> PiecePlan:
    """For the rows of results from `first` to before `last`."""
    stride, padding, count = pooling.stride[0], pooling.padding[0], last - first
    start = first * stride - padding
    end = start + (count - 1) * stride + (pooling.kernel[0] - 1) * pooling.dilation[0] + 1
    rows = slice(max(0, start), min(pooling.size[0], end))
    across = _taps(pooling, 1, -pooling.padding[1], pooling.size[1], pooling.output_size[1])
    return PiecePlan(rows, across, _taps(pooling, 0, start - rows.start, rows.stop - rows.start, count))


def _taps(pooling: Pooling, axis: int, start: int, size: int, output_size: int) -> list[AxisTap]:
    """The taps of windows over `size` elements, the first of which begins at element `start`."""
    return [
        AxisTap(number, *tap_overlap(start + number * pooling.dilation[axis], size, output_size, pooling.stride[axis]))
        for number in range(pooling.kernel[axis])
    ]


def _pool_values(source: Array, plan: PiecePlan, values: Array) -> None:
    """Fill a piece of the results (n, R, OW, C) from the rows of the input (n, H', W, C) that it reads."""
    row_values = _row_values(source, values)
    _pool_along(2, source, plan.across, row_values)  # (n, H', W, C) -> (n, H', OW, C)
    _pool_along(1, row_values, plan.down, values)  # (n, H', OW, C) -> (n, R, OW, C)


def _pool_with_positions(
    source: Array, plan: PiecePlan, kernel_width: int, values: Array, positions: Array, defaults: Array
) -> None:
    """As `_pool_values`, with positions; `defaults` (R, OW, 1) are for windows that hold nothing above -inf."""
    row_values = _row_values(source, values)
    number = positions.dtype.type
    row_positions = memory.scratch("max_pooling.row_positions", row_values.shape, positions.dtype)
    for ordered in (False, True):
        codes = [number(j) for j in range(kernel_width)]
        account = Account(row_positions, codes, defaults[0] % kernel_width, ordered)
        _pool_along(2, source, plan.across, row_values, account)
        # The winner of a window's i-th row has position i * kw + j in the window.
        codes = [row_positions[:, tap.elements] + number(tap.number * kernel_width) for tap in plan.down]
        _pool_along(1, row_values, plan.down, values, Account(positions, codes, defaults, ordered))
        if values.dtype.kind != "f" or not np.isnan(np.max(values, initial=0)):
            break


def _row_values(source: Array, values: Array) -> Array:
    """Working memory (n, H', OW, C) for the largest elements of the windows' rows."""
    return memory.scratch("max_pooling.row_values", (*source.shape[:2], *values.shape[2:]), source.dtype)


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
