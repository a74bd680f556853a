"""im2col for one piece of a convolution: what its windows read, gathered into a matrix; and col2im, its adjoint.

A product of that matrix with the filters is the convolution (Chellapilla, Puri and Simard, "High performance
convolutional neural networks for document processing", 2006). The matrix is kh * kw times as large as the images, so it
is made for one piece at a time and multiplied while it is in the cache. Windows of few values, those of a network's
first layer, share what they have in common: that takes fewer copies.

In float32 the sums over windows are cut into runs: for some 6 % of the time the gradients of a whole ResNet-18 come out
as close to the exact ones as PyTorch's or closer, where they would be up to a fifth farther away.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.matrix_product import DEEPEST_SUM, LONGEST_RUN, matmul_in_runs
from gradcli.kernels.pieces import Piece
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.thin_products import SMALL_PRODUCT, divisor_below
from gradcli.kernels.windows import Tap, window_taps


class Windows(NamedTuple):
    """Windows that slide over images (H, W, C), and how many of them there are (OH, OW).

    Tap (i, j) of window (y, x) reads pixel (y * stride + i * dilation - padding, likewise); outside of the image it
    reads zeros.
    """

    image_size: Pair
    channels: int
    size: Pair
    kernel: Pair
    stride: Pair
    padding: Pair
    dilation: Pair
    groups: int

    @property
    def depth(self) -> int:
        """Values that one window reads from one group of channels."""
        return self.kernel[0] * self.kernel[1] * (self.channels // self.groups)


def im2col(images: ImageRows, windows: Windows, piece: Piece, out: Array | None = None) -> Array:
    """The columns (groups, P', kh * kw * C / groups) of the P' windows of `piece`.

    A row for each window; in it, tap after tap, the channels of the group. They are in C-contiguous `out`, if that is
    given, else in this thread's scratch memory.
    """
    bordered = _bordered_rows(images, windows, piece)
    kernel, stride, dilation, groups = windows.kernel, windows.stride, windows.dilation, windows.groups
    channels = windows.channels // groups
    image_step, row_step, pixel_step, channel_step = bordered.strides
    # (g, n, R, OW, kh, kw, C/g), overlapping
    view: Array = np.ndarray(
        (groups, piece.image_count, piece.row_count, windows.size[1], *kernel, channels),
        bordered.dtype,
        bordered,
        0,
        (
            channel_step * channels,
            image_step,
            row_step * stride[0],
            pixel_step * stride[1],
            row_step * dilation[0],
            pixel_step * dilation[1],
            channel_step,
        ),
    )
    columns = memory.scratch("columns.columns", view.shape, view.dtype) if out is None else out.reshape(view.shape)
    np.copyto(columns, view)
    return columns.reshape(groups, piece.pixels, windows.depth)


def _bordered_rows(images: ImageRows, windows: Windows, piece: Piece) -> Array:
    """The rows (n, h, w, C) of the images that the piece's windows read, with zeros where they reach beyond."""
    height, width = windows.image_size
    reach = windows.dilation[0] * (windows.kernel[0] - 1) + 1, windows.dilation[1] * (windows.kernel[1] - 1) + 1
    left = windows.padding[1]
    bordered = memory.scratch(
        "columns.bordered",
        (
            piece.image_count,
            (piece.row_count - 1) * windows.stride[0] + reach[0],
            max((windows.size[1] - 1) * windows.stride[1] + reach[1], left + width),
            windows.channels,
        ),
        images.dtype,
    )
    top = piece.rows.start * windows.stride[0] - windows.padding[0]  # image row of the first row; may be negative
    first, last = max(0, top), min(height, top + bordered.shape[1])
    if first >= last:
        bordered.fill(0)
        return bordered
    images.write(bordered[:, first - top : last - top, left : left + width], piece.images, slice(first, last))
    # Only now: to compute its pixels, the source may have used this memory for a convolution of its own.
    for border in (
        bordered[:, : first - top],
        bordered[:, last - top :],
        bordered[:, first - top : last - top, :left],
        bordered[:, first - top : last - top, left + width :],
    ):
        if border.size:
            border.fill(0)
    return bordered


def shares_columns(windows: Windows) -> bool:
    """Whether `multiply_shared_columns` serves them: dense ones that overlap, of so few values that one sum will do."""
    plain = windows.dilation == (1, 1) and windows.groups == 1
    return plain and windows.kernel[0] > windows.stride[0] and windows.depth <= LONGEST_RUN


def multiply_shared_columns(images: ImageRows, windows: Windows, piece: Piece, matrix: Array, out: Array) -> None:
    """Fill `out` (P', M) with the product of a piece's columns (P', K) and `matrix` (K, M).

    What windows read of a row of pixels is gathered once, and not for each of the windows, one below the other, that
    read it (Cho and Brand, "MEC: Memory-efficient Convolution for Deep Neural Network", 2017).
    """
    bordered = _bordered_rows(images, windows, piece)
    count, height, _, channels = bordered.shape
    width, (depth, columns) = windows.size[1], matrix.shape
    image_step, row_step, pixel_step, item = bordered.strides
    run = windows.kernel[1] * channels
    # (n, OW, h, kw*C), overlapping: a window is kh of these rows, which lie one after the other
    view: Array = np.ndarray(
        (count, width, height, run),
        bordered.dtype,
        bordered,
        0,
        (image_step, pixel_step * windows.stride[1], row_step, item),
    )
    shared = memory.scratch("columns.columns", view.shape, view.dtype)
    np.copyto(shared, view)
    # As many windows at a time as BLAS multiplies without copying first: (n, R, OW/w, w, K), overlapping
    some = divisor_below(width, max(1, SMALL_PRODUCT // max(1, depth * columns)))
    image_step, window_step, row_step, item = shared.strides
    shape = count, piece.row_count, width // some, some
    rows: Array = np.ndarray(
        (*shape, depth),
        shared.dtype,
        shared,
        0,
        (image_step, row_step * windows.stride[0], window_step * some, window_step, item),
    )
    np.matmul(rows, matrix, out=out.reshape(*shape, columns))


def multiply_columns(columns: Array, matrices: Array, out: Array) -> None:
    """Fill `out` (g, P', M) with `columns` (g, P', K) times `matrices` (g, K, M), long float32 sums cut into runs."""
    depth = columns.shape[2]
    cut = columns.dtype == np.float32 and depth <= DEEPEST_SUM
    matmul_in_runs(columns, matrices, out, -(-depth // LONGEST_RUN) if cut else 1)


def col2im(columns: Array, images: Array, windows: Windows, piece: Piece) -> None:
    """Adds columns as `im2col` returns them back onto the pixels that they were read from, in place.

    `images` (n, H, W, C) holds the images of the piece. What falls beyond their edges is dropped.
    """
    groups = windows.groups
    channels = windows.channels // groups
    size = piece.row_count, windows.size[1]
    values = columns.reshape(groups, piece.image_count, *size, -1, channels)
    pixels = images.reshape(piece.image_count, *windows.image_size, groups, channels)
    for tap in _taps(windows, piece.rows.start, piece.row_count):
        some = pixels[tap.elements]
        # (g, n, R, OW, taps, C/g) -> (g, n, r, ow, C/g) -> (n, r, ow, g, C/g)
        np.add(some, values[:, *tap.outputs, tap.number].transpose(1, 2, 3, 0, 4), out=some)


@functools.lru_cache(maxsize=1024)
def _taps(windows: Windows, first_row: int, row_count: int) -> tuple[Tap, ...]:
    """The taps of some rows of windows."""
    # The padding as seen from the first of these rows.
    padding = windows.padding[0] - first_row * windows.stride[0], windows.padding[1]
    size = row_count, windows.size[1]
    return tuple(window_taps(windows.image_size, size, windows.kernel, windows.stride, padding, windows.dilation))
