"""Convolution with few output pixels: im2col of everything at once, and threads that share the filters.

The last layers of a network see small maps, and at batch 1 ever fewer pixels meet ever larger filters: 4 pixels and 9.4
MB of them in ResNet-18's layer4 on a 64 x 64 image. Cut by pixels, every thread would read all of the filters. Here
each takes some of them, or a part of their depth, and so the filters are read once from memory, which sets the pace
(`thin_products` tells how). The columns are small, and are kept for the gradients.

The sizes: P = N*OH*OW output pixels, O filters of depth K = kh*kw*C.
"""

from __future__ import annotations

import functools

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.low_rank import MOST_PIXELS, LowRankGradient
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.thin_products import BLOCK_ROWS, FEW_TO_READ, rows_times_matrix, rows_times_transpose
from gradcli.kernels.threads import parallel
from gradcli.kernels.windows import Tap, window_taps

PIECE_WORK = 1 << 21  # multiplications in a piece: some 50 us
MOST_PIECES = 8
READ_WORK = 8  # reading an element of the filters takes as long as that many multiplications
COLUMNS_AT_ONCE = 512  # of the filters, read by one thread: shorter rows come slower from memory
PASSED_ELEMENTS = 1 << 16  # copied, added up or passed to an epilogue by one thread at a time


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
        pixels, count = geometry.pixels, geometry.out_channels
        columns = _columns(geometry, images)
        matrix, rows = filters.reshape(count, geometry.depth), out.reshape(pixels, count)
        if pixels <= FEW_TO_READ:
            for_each_slice(
                lambda some: rows_times_transpose(columns, matrix[some], rows[:, some]),
                count,
                _pieces(geometry, count, BLOCK_ROWS),
            )
        else:
            _multiply_by_depth(geometry, columns, matrix, rows)
        if epilogue is not None:
            for_each_slice(lambda some: epilogue(some.start, rows[some]), pixels, rows.size // PASSED_ELEMENTS)
        return columns if keep and pixels <= MOST_PIXELS else None

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
        left = np.array(rows.T, order="C")  # (P, O) -> (O, P); a copy, as the gradient of the output may not stay
        filter_gradient = LowRankGradient(left, columns, geometry.filter_shape)
        if self.deferred and geometry.pixels <= MOST_PIXELS:
            return ConvGradients(image_gradient, filter_gradient)
        return ConvGradients(image_gradient, filter_gradient.filters())


def _pieces(geometry: ConvGeometry, length: int, shortest: int) -> int:
    """Into how many pieces of about `shortest` to cut an axis of that length: two or more, where the work allows it."""
    work = geometry.out_channels * geometry.depth * max(READ_WORK, geometry.pixels)
    return max(1, min(MOST_PIECES, work // PIECE_WORK, max(2, length // shortest), length))


def _multiply_by_depth(geometry: ConvGeometry, columns: Array, filters: Array, out: Array) -> None:
    """`out` (P, O) = `columns` (P, K) times the transpose of `filters` (O, K), the sums over K cut into pieces.

    A general product copies both of its operands first; cut along K, each of them is copied just once.
    """
    pixels, count, depth = geometry.pixels, geometry.out_channels, geometry.depth
    pieces = _pieces(geometry, depth, COLUMNS_AT_ONCE)
    sums = memory.empty((pieces, count, pixels), out.dtype)

    def multiply(number: int) -> None:
        some = slice(number * depth // pieces, (number + 1) * depth // pieces)
        np.matmul(filters[:, some], columns[:, some].T, out=sums[number])

    def add(some: slice) -> None:
        total = np.add.reduce(sums[:, some], axis=0, out=sums[0, some])
        np.copyto(out[:, some], total.T)  # (O', P) -> (P, O')

    parallel(multiply, pieces)
    for_each_slice(add, count, min(count, sums.size // PASSED_ELEMENTS))


@functools.lru_cache(maxsize=256)
def _taps(geometry: ConvGeometry) -> tuple[Tap, ...]:
    size, out_size = (geometry.height, geometry.width), (geometry.out_height, geometry.out_width)
    return tuple(window_taps(size, out_size, geometry.kernel, geometry.stride, geometry.padding, geometry.dilation))


def _reads_each_pixel_once(geometry: ConvGeometry) -> bool:
    return geometry.kernel == (1, 1) and geometry.stride == (1, 1) and geometry.padding == (0, 0)


def _columns(geometry: ConvGeometry, images: Array) -> Array:
    """The columns (P, K) of all images (N, H, W, C); a view where they are the pixels themselves."""
    if _reads_each_pixel_once(geometry):
        return images.reshape(geometry.pixels, geometry.depth)
    columns = memory.empty((geometry.pixels, geometry.depth), images.dtype)
    windows = columns.reshape(*geometry.out_shape[:3], -1, geometry.channels)

    def gather(some: slice) -> None:
        some_windows, some_images = windows[some], images[some]
        if geometry.padding != (0, 0):
            some_windows.fill(0)
        for tap in _taps(geometry):
            # (n, OH, OW, taps, C) -> (n, oh, ow, C)
            some_windows[(*tap.outputs, tap.number)] = some_images[tap.elements]

    for_each_slice(gather, geometry.batch, min(geometry.batch, columns.size // PASSED_ELEMENTS))
    return columns


def _image_gradient(geometry: ConvGeometry, rows: Array, filters: Array) -> Array:
    """The gradient of the images (N, H, W, C) for the gradient `rows` (P, O) of the output.

    The gradient of the columns is a product with the filters; each of its elements goes back to the pixel that it was
    read from (col2im).
    """
    depth, batch = geometry.depth, geometry.batch
    matrix = filters.reshape(geometry.out_channels, depth)
    images = memory.empty(geometry.image_shape, rows.dtype)
    direct = _reads_each_pixel_once(geometry)
    shape = geometry.pixels, depth
    columns = images.reshape(shape) if direct else memory.empty(shape, rows.dtype)
    for_each_slice(
        lambda some: rows_times_matrix(rows, matrix[:, some], columns[:, some]),
        depth,
        _pieces(geometry, depth, COLUMNS_AT_ONCE),
    )
    if direct:
        return images
    windows = columns.reshape(*geometry.out_shape[:3], -1, geometry.channels)

    def scatter(some: slice) -> None:
        some_windows, some_images = windows[some], images[some]
        some_images.fill(0)
        for tap in _taps(geometry):
            pixels = some_images[tap.elements]
            # (n, OH, OW, taps, C) -> (n, oh, ow, C)
            np.add(pixels, some_windows[(*tap.outputs, tap.number)], out=pixels)

    for_each_slice(scatter, batch, min(batch, columns.size // PASSED_ELEMENTS))
    return images
