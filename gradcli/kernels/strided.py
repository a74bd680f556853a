"""The gradients of a 3x3 convolution with stride 2 and padding 1, by the parity of the image's rows and columns.

Output (y, x) reads pixels (2y + i - 1, 2x + j - 1), i, j = 0, 1, 2. So pixel (2y, 2x) is read by one output, through
tap (1, 1); pixel (2y, 2x + 1) by outputs (y, x) and (y, x + 1), through taps (1, 2) and (1, 0); pixel (2y + 1, 2x)
likewise by two, and pixel (2y + 1, 2x + 1) by four. All of them are among the four outputs (y..y+1, x..x+1): one im2col
of the output's gradient with a 2x2 window serves the four parities, which use 1, 2, 2 and 4 of its taps, and serves
both gradients. Nothing is multiplied with zeros, and nothing is added back onto overlapping windows.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.columns import multiply_columns
from gradcli.kernels.direct import Direct
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece, sum_over_pieces
from gradcli.kernels.rows import ImageRows

PIECE_BYTES = 2 << 20  # of the columns of the gradient and the pixels of one piece


class Parity(NamedTuple):
    """The pixels (2y + row, 2x + column), and how outputs read them."""

    row: int
    column: int
    taps: tuple[Pair, ...]
    first_block: int  # of the 2x2 columns: as many as there are taps, from this one on

    @property
    def blocks(self) -> slice:
        return slice(self.first_block, self.first_block + len(self.taps))


# The outputs (y + a, x + b) side by side in a column, such that every parity uses a run of them.
COLUMN_OFFSETS: tuple[Pair, ...] = ((0, 1), (0, 0), (1, 0), (1, 1))
PARITIES = (
    Parity(0, 0, taps=((1, 1),), first_block=1),
    Parity(0, 1, taps=((1, 0), (1, 2)), first_block=0),
    Parity(1, 0, taps=((2, 1), (0, 1)), first_block=1),
    Parity(1, 1, taps=((2, 0), (2, 2), (0, 2), (0, 0)), first_block=0),
)
TAPS = [tap for parity in PARITIES for tap in parity.taps]  # the order of the rearranged filters


class StridedByParity:
    """3x3 convolutions with stride 2 and padding 1 over images of even height and width; forward as `Direct`."""

    name = "strided"

    def __init__(self) -> None:
        self._direct = Direct()

    def supports(self, geometry: ConvGeometry) -> bool:
        window = geometry.kernel, geometry.stride, geometry.padding
        return (
            window == ((3, 3), (2, 2), (1, 1))
            and geometry.plain
            and geometry.height % 2 == 0
            and geometry.width % 2 == 0
        )

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> None:
        self._direct.forward(geometry, images, filters, out, epilogue, keep)

    def gradients(
        self,
        geometry: ConvGeometry,
        grad: ImageRows,
        images: Array,
        filters: Array,
        kept: None,
        needs_images: bool,
        needs_filters: bool,
    ) -> ConvGradients:
        channels, out_channels = geometry.channels, geometry.out_channels
        pieces = _pieces(geometry, PIECE_BYTES)
        matrices = _rearranged(filters) if needs_images else None  # (9, O, C)
        image_gradient = memory.empty(geometry.image_shape, geometry.dtype) if needs_images else None

        def task(piece: Piece, contribution: Array | None) -> None:
            columns = _columns(geometry, grad, piece)  # (P', 4, O)
            first_tap = 0
            for parity in PARITIES:
                taps = slice(first_tap, first_tap + len(parity.taps))
                first_tap = taps.stop
                selected = columns[:, parity.blocks].reshape(piece.pixels, -1)  # (P', taps * O), a view
                if contribution is not None:
                    target = contribution[taps].reshape(-1, channels)
                    np.matmul(selected.T, _read_pixels(geometry, images, piece, parity), out=target)
                if matrices is not None and image_gradient is not None:
                    pixels = memory.scratch("strided.gradient", (piece.pixels, channels), geometry.dtype)
                    multiply_columns(selected[None], matrices[taps].reshape(1, -1, channels), pixels[None])
                    target = _pixels_of(image_gradient, piece, parity)
                    np.copyto(target, pixels.reshape(target.shape))

        if not needs_filters:
            for_each_piece(lambda piece: task(piece, None), pieces)
            return ConvGradients(image_gradient, None)
        sums = memory.empty((len(TAPS), out_channels, channels), geometry.dtype)
        sum_over_pieces(task, pieces, sums)
        filter_gradient = memory.empty(geometry.filter_shape, geometry.dtype)
        for number, (i, j) in enumerate(TAPS):
            np.copyto(filter_gradient[:, i, j], sums[number])
        return ConvGradients(image_gradient, filter_gradient)


def _rearranged(filters: Array) -> Array:
    """Filters (O, 3, 3, C) as (9, O, C): the taps parity by parity, in the order of the columns."""
    out_channels, _, _, channels = filters.shape
    matrices = memory.empty((len(TAPS), out_channels, channels), filters.dtype)
    for number, (i, j) in enumerate(TAPS):
        np.copyto(matrices[number], filters[:, i, j])
    return matrices


def _columns(geometry: ConvGeometry, grad: ImageRows, piece: Piece) -> Array:
    """For each output of the piece the gradients of the outputs (y..y+1, x..x+1), zeros beyond: (P', 4, O)."""
    count, rows, width, channels = piece.image_count, piece.row_count, geometry.out_width, geometry.out_channels
    # One more row and column than the piece has: what the last ones' windows reach into.
    bordered = memory.scratch("strided.bordered", (count, rows + 1, width + 1, channels), geometry.dtype)
    last = min(geometry.out_height, piece.rows.stop + 1)
    grad.write(bordered[:, : last - piece.rows.start, :width], piece.images, slice(piece.rows.start, last))
    bordered[:, :, width].fill(0)
    if last == piece.rows.stop:
        bordered[:, rows].fill(0)
    columns = memory.scratch("strided.columns", (count, rows, width, 4, channels), geometry.dtype)
    for block, (below, right) in enumerate(COLUMN_OFFSETS):
        np.copyto(columns[:, :, :, block], bordered[:, below : below + rows, right : right + width])
    return columns.reshape(piece.pixels, 4, channels)


def _pixels_of(images: Array, piece: Piece, parity: Parity) -> Array:
    """The view (n, r, W/2, C) of the pixels of one parity that belong to a piece's outputs."""
    rows = slice(2 * piece.rows.start + parity.row, 2 * piece.rows.stop, 2)
    return images[piece.images, rows, parity.column :: 2]


def _read_pixels(geometry: ConvGeometry, images: Array, piece: Piece, parity: Parity) -> Array:
    """A copy (P', C) of these pixels, in this thread's scratch memory."""
    source = _pixels_of(images, piece, parity)
    pixels = memory.scratch("strided.pixels", source.shape, geometry.dtype)
    np.copyto(pixels, source)
    return pixels.reshape(piece.pixels, geometry.channels)


@functools.lru_cache(maxsize=1024)
def _pieces(geometry: ConvGeometry, budget: int) -> tuple[Piece, ...]:
    itemsize = geometry.dtype.itemsize
    filter_bytes = geometry.depth * geometry.out_channels * itemsize
    return cut_into_pieces(
        geometry.batch,
        geometry.out_height,
        geometry.out_width,
        bytes_per_pixel=4 * (geometry.out_channels + geometry.channels) * itemsize,
        work_per_pixel=geometry.depth * geometry.out_channels,
        budget=max(budget, filter_bytes),
    )
