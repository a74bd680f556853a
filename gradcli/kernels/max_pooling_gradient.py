"""The gradient of max pooling, and the adjoint of that.

Each entry of the gradient is added to the element that won the window. The elements' places in memory follow from the
winners' positions, and NumPy's `add.at` adds to hundreds of millions of places a second while they are in the cache:
so the result is made block by block, each in full before the next.

Often ReLU comes before the pooling, and its gradient asks where its result is positive. A winner is positive exactly
if its window's value is, and all others get zero anyway. So the windows can be asked, which are fewer than the
elements, and the ReLU's result need not be there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.channel_expression import ChannelExpression, PieceTask, Term
from gradcli.kernels.elementwise import mask_block
from gradcli.kernels.layout import Array, Pair, Shape4, as_nhwc, from_nhwc
from gradcli.kernels.max_pooling import Winners
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece

BLOCK_BYTES = 1 << 20  # of gradients at a time: calls long enough for two threads, on arrays that the cache about holds
WORK_PER_ELEMENT = 8  # in the unit of `cut_into_pieces`: an element takes about as long as so many multiply-adds


class Windows(NamedTuple):
    """The windows over images of `height` x `width` pixels and so many channels, each pair (vertical, horizontal)."""

    height: int
    width: int
    channels: int
    output_size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair

    def touching(self, rows: slice) -> slice:
        """The rows of windows that have an element in these rows of the images."""
        reach = (self.kernel[0] - 1) * self.dilation[0]
        first = max(0, -((reach - self.padding[0] - rows.start) // self.stride[0]))
        last = min(self.output_size[0], (rows.stop - 1 + self.padding[0]) // self.stride[0] + 1)
        return slice(first, max(first, last))

    def touched(self, windows: slice) -> slice:
        """The rows of the images from the first to the last that these rows of windows have elements in."""
        start = windows.start * self.stride[0] - self.padding[0]
        end = (windows.stop - 1) * self.stride[0] - self.padding[0] + (self.kernel[0] - 1) * self.dilation[0] + 1
        return slice(max(0, start), min(self.height, end))


def max_pool2d_input_gradient(
    grad: Array, winners: Winners, input_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> MaxPoolGradient:
    """Gradient of `max_pool2d`: each entry of `grad` (N, C, OH, OW) added to the winner of its window.

    `winners` are what `max_pool2d` returned. Returns `input_shape` (N, C, H, W), computed when needed.
    """
    positions = as_nhwc(winners.positions)
    _, channels, height, width = input_shape
    windows = Windows(height, width, channels, positions.shape[1:3], kernel, stride, padding, dilation)
    return MaxPoolGradient(_Scatter(as_nhwc(grad), positions, windows), winners)


def max_pool2d_gather(
    values: Array, positions: Array, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> Array:
    """Picks from `values` (N, C, H, W) the entry at each window's winner: the adjoint of the gradient.

    `positions` (N, C, OH, OW) are those of `max_pool2d`; the result has their shape and the dtype of
    `values`. It is the gradient of `max_pool2d_input_gradient` with respect to `grad`.
    """
    images, position_images = as_nhwc(values), as_nhwc(positions)
    n, height, width, channels = images.shape
    windows = Windows(height, width, channels, position_images.shape[1:3], kernel, stride, padding, dilation)
    out = memory.empty(position_images.shape, values.dtype)

    def gather(piece: Piece) -> None:
        winners = _elements(position_images[piece.images], windows, 0, slice(0, height))
        np.take(images[piece.images].reshape(-1), winners, out=out[piece.images].reshape(-1), mode="clip")

    elements = height * width * channels
    pieces = cut_into_pieces(n, 1, 1, elements * images.itemsize, elements * WORK_PER_ELEMENT, BLOCK_BYTES)
    for_each_piece(gather, pieces)
    return from_nhwc(out)


class MaxPoolGradient(ChannelExpression):
    """The gradient of a max pooling's input (N, C, H, W): zeros, and what is scattered over them."""

    def __init__(self, scatter: _Scatter, winners: Winners) -> None:
        n, windows, dtype = len(scatter.grad), scatter.windows, scatter.grad.dtype
        shape = n, windows.height, windows.width, windows.channels
        super().__init__(dtype, [Term(np.broadcast_to(dtype.type(0), shape))])
        self._scatter: _Scatter | None = scatter
        self._winners: Winners | None = winners

    def masked(self, mask: Array | ChannelExpression) -> ChannelExpression:
        """As for any expression. A mask that was pooled without being stored isn't computed for this either."""
        scatter, winners = self._scatter, self._winners
        if scatter is None or winners is None or winners.values is None:
            return super().masked(mask)
        if mask is not winners.source or winners.source.is_computed:
            return super().masked(mask)
        return MaxPoolGradient(scatter._replace(values=as_nhwc(winners.values)), winners)

    def write(self, target: Array, images: slice, rows: slice) -> None:
        if self._scatter is None:
            super().write(target, images, rows)
        else:
            self._scatter.fill(target, images, rows)

    def compute(self, task: PieceTask | None = None) -> Array:
        scatter = self._scatter
        if scatter is None:
            return super().compute(task)
        n, channels, height, width = self.shape
        images = memory.empty((n, height, width, channels), self.dtype)
        rows = images.reshape(-1, channels)

        def fill(piece: Piece) -> None:
            scatter.fill(images[piece.images, piece.rows], piece.images, piece.rows)
            if task is not None:
                task(piece.first_pixel, rows[piece.span])

        work = channels * WORK_PER_ELEMENT
        for_each_piece(fill, cut_into_pieces(n, height, width, channels * self.dtype.itemsize, work, BLOCK_BYTES))
        self._keep(from_nhwc(images))
        return rows

    def _linear(self) -> tuple[tuple[Term, ...], Array | None]:
        return (Term(self.images()),), None

    def _as_mask(self) -> ChannelExpression:
        self.array()
        return self

    def _keep(self, array: Array) -> None:
        super()._keep(array)
        self._scatter = self._winners = None


class _Scatter(NamedTuple):
    """`grad` (N, OH, OW, C) on its way to the winners at `positions`; if `values` are given, to positive ones only."""

    grad: Array
    positions: Array
    windows: Windows
    values: Array | None = None

    def fill(self, target: Array, images: slice, rows: slice) -> None:
        """Fill `target` (n, r, W, C), of any strides, with some rows of some images."""
        touching = self.windows.touching(rows)
        some = images, touching
        touched = self.windows.touched(touching)
        touched = slice(min(rows.start, touched.start), max(rows.stop, touched.stop))
        # Windows at the edge reach into rows that belong to another piece: those are dropped again.
        direct = touched == rows and target.flags.c_contiguous
        shape = len(target), touched.stop - touched.start, *target.shape[2:]
        block = target if direct else memory.scratch("max_pooling.block", shape, target.dtype)
        block.fill(0)
        grad = self.grad[some]
        if self.values is not None:
            passed = memory.scratch("max_pooling.passed", grad.shape, grad.dtype)
            mask_block(grad, self.values[some], passed)
            grad = passed
        elements = _elements(self.positions[some], self.windows, touching.start, touched)
        np.add.at(block.reshape(-1), elements, grad.reshape(-1))
        if not direct:
            np.copyto(target, block[:, rows.start - touched.start : rows.stop - touched.start])


def _elements(positions: Array, windows: Windows, first_window: int, rows: slice) -> Array:
    """Where winners lie in the flat memory of C-contiguous images (n, r, W, C) that hold only some rows.

    `positions` (n, R, OW, C) are those of the rows of windows from `first_window` on. The result has n * R * OW * C
    elements and lives in working memory.
    """
    n, count = positions.shape[:2]
    of_taps, of_columns = _places(windows)
    row_size = windows.width * windows.channels
    window_rows = (first_window + np.arange(count)) * windows.stride[0] - windows.padding[0] - rows.start
    image_rows = np.arange(n) * (rows.stop - rows.start)
    of_rows = (image_rows[:, None] + window_rows).reshape(-1, 1) * row_size  # (n * R, 1)
    elements = memory.scratch("max_pooling.elements", (n * count, of_columns.size), np.dtype(np.intp))
    np.take(of_taps, positions.reshape(elements.shape), out=elements, mode="clip")
    np.add(elements, of_columns, out=elements)
    np.add(elements, of_rows, out=elements)
    return elements.reshape(-1)


@lru_cache(maxsize=16)
def _places(windows: Windows) -> tuple[Array, Array]:
    """How many elements behind the beginning of its window a tap lies, and each window behind that of its row.

    The first (kh * kw,), the second (OW * C,), each channel being counted as a window of its own.
    """
    i, j = np.divmod(np.arange(windows.kernel[0] * windows.kernel[1]), windows.kernel[1])
    columns = np.arange(windows.output_size[1]) * windows.stride[1] - windows.padding[1]
    of_taps = (i * windows.dilation[0] * windows.width + j * windows.dilation[1]) * windows.channels
    of_columns = columns[:, None] * windows.channels + np.arange(windows.channels)
    return of_taps, of_columns.reshape(-1)
