"""Convolution with few output pixels: large filters, and columns (im2col) that are kept for the gradients.

The last layers of a network see small maps, and at batch 1 ever fewer pixels meet ever larger filters: 4 pixels and 9.4
MB of them in ResNet-18's layer4 on a 64 x 64 image. Cut by pixels, every thread would read all of the filters. So up to
some tens of pixels each thread takes some of the filters, or of their depth, and they are read once from memory, which
sets the pace (`thin_products` tells how). What is left then, from gathering the columns to the epilogue, takes the
calling thread less time than sharing it would. Of a single image, a row of taps is multiplied only with pixels that it
meets on the image: on a 7x7 map the first and the last of three with 42 of 49. With more pixels the multiplications set
the pace, and a thread does everything for its own pixels while they are in the cache.

The sizes: P = N*OH*OW output pixels, O filters of depth K = kh*kw*C.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.columns import Windows, im2col
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.low_rank import MOST_PIXELS, low_rank_gradient
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece
from gradcli.kernels.rows import ImageRows, StoredRows
from gradcli.kernels.slices import for_each_slice, slices
from gradcli.kernels.thin_products import BLOCK_ROWS, EVERYTHING, rows_times_matrix, rows_times_transpose
from gradcli.kernels.threads import parallel
from gradcli.kernels.windows import Tap, tap_overlap, window_taps

SLICE_WORK = 1 << 21  # multiplications in a piece of the pixels or a slice of the depth: some 50 us
# The same in a slice of the filters, some 150 us: with less, in as many calls of NumPy, two threads keep each other
# waiting for Python longer than they help each other.
FILTERS_WORK = 6 << 20
MOST_SLICES = 4
MOST_PIXELS_BY_FILTER = 64  # with more, threads share the pixels
READ_WORK = 8  # reading an element of the filters takes as long as that many multiplications with it
COLUMNS_AT_ONCE = 512  # of the filters, read by one thread: shorter rows come slower from memory
FEWEST_LIVE_PIXELS = 32  # with fewer, reading the filters takes longer than the multiplications that it would save
PIECE_PIXELS = 64  # where they are shared: with fewer, arranging the filters for BLAS takes too large a part


class FewPixels:
    """Any kernel, stride, padding and dilation, without groups, in float32 or float64; images that aren't empty.

    Best up to some hundred output pixels; memory for the columns grows with P*K. With `deferred`, the gradient of the
    filters comes as a `LowRankGradient` where there are few enough pixels.
    """

    name = "few-pixels"

    def __init__(self, deferred: bool = False) -> None:
        self.deferred = deferred

    def supports(self, geometry: ConvGeometry) -> bool:
        return geometry.groups == 1 and geometry.dtype in (np.float32, np.float64) and 0 not in geometry.image_shape

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> Array | None:
        plan = _plan(geometry)
        matrix = filters.reshape(geometry.out_channels, geometry.depth)
        rows = out.reshape(geometry.pixels, geometry.out_channels)
        columns = _empty_columns(geometry, images)

        def convolve(piece: Piece) -> None:
            _gather(plan, images, columns, piece)
            rows_times_transpose(columns[piece.span], matrix, rows[piece.span])
            if epilogue is not None:
                epilogue(piece.first_pixel, rows[piece.span])

        if len(plan.pixel_pieces) > 1 or plan.filter_slices == 1:
            for_each_piece(convolve, plan.pixel_pieces)
        else:
            _gather(plan, images, columns, plan.pixel_pieces[0])
            for_each_slice(
                lambda some: rows_times_transpose(columns, matrix[some], rows[:, some], plan.live),
                geometry.out_channels,
                plan.filter_slices,
            )
            if epilogue is not None:
                parallel(lambda _: epilogue(0, rows), 1)
        return columns if keep and geometry.pixels <= MOST_PIXELS else None

    def gradients(
        self,
        geometry: ConvGeometry,
        grad: ImageRows,
        images: Array,
        filters: Array,
        kept: Array | None,
        needs_images: bool,
        needs_filters: bool,
    ) -> ConvGradients:
        rows = grad.images().reshape(geometry.pixels, geometry.out_channels)
        image_gradient = _image_gradient(geometry, rows, filters) if needs_images else None
        if not needs_filters:
            return ConvGradients(image_gradient, None)
        columns = _columns(geometry, images) if kept is None else kept
        if self.deferred and np.may_share_memory(columns, images):
            columns = columns.copy()  # a deferred gradient's factors are its own
        left = rows.copy().T  # (P, O) -> (O, P); a copy, as the gradient of the output may not stay
        live = _plan(geometry).live
        factors = [
            (left[:, pixels], columns[pixels, depth])
            for pixels, depth in zip(live, slices(geometry.depth, len(live)), strict=True)
        ]
        return ConvGradients(image_gradient, low_rank_gradient(factors, geometry, self.deferred))


class _Plan(NamedTuple):
    """What follows from the geometry alone.

    The threads share pieces of the pixels and slices of the images, or, where everything is in one of these, slices of
    the filters and of their depth.
    """

    windows: Windows
    reads_pixels_once: bool  # then the columns are the pixels of the images
    pixel_pieces: tuple[Piece, ...]
    filter_slices: int
    image_slices: int  # for the gradient of the images: windows of one image may overlap
    live: tuple[slice, ...]  # pixels, of each row of taps or of all: in the other columns of these there are zeros
    column_blocks: tuple[tuple[slice, slice], ...]  # pixels and depths that together are all but those
    taps: tuple[Tap, ...]


@functools.lru_cache(maxsize=1024)
def _plan(geometry: ConvGeometry) -> _Plan:
    size, out_size = (geometry.height, geometry.width), (geometry.out_height, geometry.out_width)
    kernel, stride, padding, dilation = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    live = _live_pixels(geometry)
    count = 1
    if geometry.pixels > MOST_PIXELS_BY_FILTER:
        count = max(1, min(_work(geometry) // SLICE_WORK, max(2, geometry.pixels // PIECE_PIXELS)))
    return _Plan(
        Windows(size, geometry.channels, out_size, kernel, stride, padding, dilation, groups=1),
        (kernel, stride, padding) == ((1, 1), (1, 1), (0, 0)),
        _pieces(geometry, count),
        _slices(geometry, geometry.out_channels, BLOCK_ROWS, FILTERS_WORK),
        min(count, geometry.batch),
        live,
        tuple(_column_blocks(geometry, live)),
        tuple(window_taps(size, out_size, kernel, stride, padding, dilation)),
    )


def _live_pixels(geometry: ConvGeometry) -> tuple[slice, ...]:
    """The output pixels that each row of taps meets on the image, or all at once where that takes no longer.

    Those of several images don't follow one another, and what takes but one piece is not worth three products.
    """
    if geometry.batch > 1 or geometry.pixels < FEWEST_LIVE_PIXELS or _work(geometry) < 2 * FILTERS_WORK:
        return (EVERYTHING,)
    (stride, _), (padding, _), (dilation, _) = geometry.stride, geometry.padding, geometry.dilation
    width, everything = geometry.out_width, slice(0, geometry.pixels)
    met = [
        tap_overlap(tap * dilation - padding, geometry.height, geometry.out_height, stride)[0]
        for tap in range(geometry.kernel[0])
    ]
    live = [slice(rows.start * width, rows.stop * width) for rows in met]
    if all(pixels == everything for pixels in live):
        return (EVERYTHING,)
    return tuple(EVERYTHING if pixels == everything else pixels for pixels in live)


def _column_blocks(geometry: ConvGeometry, live: tuple[slice, ...]) -> Iterator[tuple[slice, slice]]:
    """Live pixels, and slices of the depth that they have in common."""
    count = -(-_slices(geometry, geometry.depth, COLUMNS_AT_ONCE, SLICE_WORK) // len(live))
    for pixels, depth in zip(live, slices(geometry.depth, len(live)), strict=True):
        for some in slices(depth.stop - depth.start, count):
            yield pixels, slice(depth.start + some.start, depth.start + some.stop)


def _pieces(geometry: ConvGeometry, count: int) -> tuple[Piece, ...]:
    """All pixels in about so many pieces."""
    budget = -(-geometry.pixels // count)
    return cut_into_pieces(geometry.batch, geometry.out_height, geometry.out_width, 1, 0, budget)


def _slices(geometry: ConvGeometry, length: int, shortest: int, work: int) -> int:
    """Into how many slices to cut an axis of that length: two, or four of at least `shortest`, with `work` in each."""
    count = min(MOST_SLICES, _work(geometry) // work, max(2, length // shortest), length)
    return max(1, count - count % 2)


def _work(geometry: ConvGeometry) -> int:
    """Multiplications, and as many as take the time that reading the filters takes."""
    return geometry.out_channels * geometry.depth * (READ_WORK + geometry.pixels)


def _empty_columns(geometry: ConvGeometry, images: Array) -> Array:
    """Memory for the columns (P, K) of all images (N, H, W, C); a view of these where both are the same."""
    shape = geometry.pixels, geometry.depth
    return images.reshape(shape) if _plan(geometry).reads_pixels_once else memory.empty(shape, images.dtype)


def _gather(plan: _Plan, images: Array, columns: Array, piece: Piece) -> None:
    """Fill in the columns of a piece, unless they are its pixels already."""
    if not plan.reads_pixels_once:
        im2col(StoredRows(images), plan.windows, piece, columns[piece.span])


def _columns(geometry: ConvGeometry, images: Array) -> Array:
    """The columns (P, K) of all images (N, H, W, C)."""
    plan, columns = _plan(geometry), _empty_columns(geometry, images)
    for piece in plan.pixel_pieces:
        _gather(plan, images, columns, piece)  # two threads would take longer
    return columns


def _image_gradient(geometry: ConvGeometry, rows: Array, filters: Array) -> Array:
    """The gradient of the images (N, H, W, C) for the gradient `rows` (P, O) of the output.

    The gradient of the columns is a product with the filters; each of its elements goes back to the pixel that it was
    read from (col2im).
    """
    plan = _plan(geometry)
    matrix = filters.reshape(geometry.out_channels, geometry.depth)
    images = memory.empty(geometry.image_shape, rows.dtype)

    def differentiate(some: slice) -> None:
        some_rows = rows.reshape(geometry.batch, -1, geometry.out_channels)[some].reshape(-1, geometry.out_channels)
        columns = _scratch_columns(geometry, images[some])
        rows_times_matrix(some_rows, matrix, columns)
        _scatter(geometry, columns, images[some])

    if plan.image_slices > 1 or len(plan.column_blocks) == 1:
        for_each_slice(differentiate, geometry.batch, plan.image_slices)
    else:
        columns = _scratch_columns(geometry, images)

        def multiply(number: int) -> None:
            pixels, depth = plan.column_blocks[number]
            rows_times_matrix(rows[pixels], matrix[:, depth], columns[pixels, depth])

        parallel(multiply, len(plan.column_blocks))
        _scatter(geometry, columns, images)
    return images


def _scratch_columns(geometry: ConvGeometry, images: Array) -> Array:
    """Working memory for the columns (P', K) of some images; these themselves where both are the same."""
    shape = len(images) * geometry.out_height * geometry.out_width, geometry.depth
    if _plan(geometry).reads_pixels_once:
        return images.reshape(shape)
    return memory.scratch("few_pixels.columns", shape, images.dtype)


def _scatter(geometry: ConvGeometry, columns: Array, images: Array) -> None:
    """Add the columns (P', K) of some images onto the pixels (n, H, W, C) that they were read from."""
    plan = _plan(geometry)
    if plan.reads_pixels_once:
        return
    windows = columns.reshape(len(images), *plan.windows.size, -1, geometry.channels)
    images.fill(0)
    for tap in plan.taps:
        pixels = images[tap.elements]
        # (n, OH, OW, taps, C) -> (n, oh, ow, C)
        np.add(pixels, windows[(*tap.outputs, tap.number)], out=pixels)
