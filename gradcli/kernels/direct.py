"""Direct convolution: im2col piece by piece, and a matrix product with each piece's columns while they are cached.

Computes any convolution. The columns of a piece take about a megabyte, the second-level cache of one core; the
product's result goes straight into the output. Where filters are larger than that, columns are, too: a product reads
and arranges all the filters, which has to be worth it.

Of the two gradients, that of the images is itself a convolution where the stride is 1: of the output's gradient, its
border widened, with the filters mirrored. The columns of that one serve the gradient of the filters as well: entry
(i, j, o) of a column is the gradient of the output that reads this pixel by mirrored tap (i, j), so columns.T @ images
are the mirrored filters' gradients. With other strides these columns would be mostly zeros. There the filters' gradient
is grad.T @ columns of the images, and the images' gradient adds the columns of its own, grad @ filters, back onto the
pixels that they were read from.
"""

from __future__ import annotations

import functools
import itertools
from typing import Any

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.columns import (
    Windows,
    col2im,
    im2col,
    multiply_columns,
    multiply_shared_columns,
    shares_columns,
)
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece, piece_of, sum_over_pieces
from gradcli.kernels.rows import ImageRows, StoredRows
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.threads import parallel

COLUMN_BYTES = 1 << 20  # of one piece's columns
PIXELS_PER_COPY = 256  # BLAS arranges transposed filters more slowly; from as many pixels on, doing that once pays
COPIED_ELEMENTS = 1 << 16  # of the filters, mirrored at a time


class Direct:
    """The general algorithm: every geometry, every dtype."""

    name = "direct"

    def supports(self, geometry: ConvGeometry) -> bool:
        return True

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> None:
        convolution = ConvolvedRows(geometry, StoredRows(images), filters)
        out_rows = out.reshape(geometry.pixels, geometry.out_channels)

        def convolve(piece: Piece) -> None:
            rows = out_rows[piece.span]
            convolution.compute(piece, rows)
            if epilogue is not None:
                epilogue(piece.first_pixel, rows)

        for_each_piece(convolve, _image_plan(geometry, COLUMN_BYTES)[1])

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
        if needs_images and _has_mirrored_form(geometry):
            return _gradients_by_mirrored_filters(geometry, grad, images, filters, needs_filters)
        if needs_images and needs_filters and _takes_whole_images(geometry):
            return _gradients_of_whole_images(geometry, grad, images, filters)
        return ConvGradients(
            _image_gradient(geometry, grad, filters) if needs_images else None,
            _filter_gradient(geometry, grad, images) if needs_filters else None,
        )


class ConvolvedRows:
    """The rows of a convolution, computed when somebody reads them: each time anew, by the thread that reads."""

    def __init__(self, geometry: ConvGeometry, images: ImageRows, filters: Array) -> None:
        self._geometry = geometry
        self._windows, _ = _image_plan(geometry, COLUMN_BYTES)
        self._images = images
        self._matrices = _filter_matrices(geometry, filters).transpose(0, 2, 1)  # (g, O/g, K) -> (g, K, O/g)
        if self._matrices.size <= geometry.pixels * PIXELS_PER_COPY:
            self._matrices = np.ascontiguousarray(self._matrices)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._geometry.dtype

    def write(self, target: Array, images: slice, rows: slice) -> None:
        """Fill C-contiguous `target` (n, r, OW, O) with the given rows of the given images."""
        size = self._geometry.out_height, self._geometry.out_width
        piece = piece_of(images.start, images.stop, rows.start, rows.stop, *size)
        self.compute(piece, target.reshape(piece.pixels, self._geometry.out_channels))

    def compute(self, piece: Piece, rows: Array) -> None:
        """Fill `rows` (P', O) with the output pixels of a piece."""
        if shares_columns(self._windows):
            multiply_shared_columns(self._images, self._windows, piece, self._matrices[0], rows)
            return
        columns = im2col(self._images, self._windows, piece)
        multiply_columns(columns, self._matrices, _by_group(rows, self._geometry.groups))


def _gradients_by_mirrored_filters(
    geometry: ConvGeometry, grad: ImageRows, images: Array, filters: Array, needs_filters: bool
) -> ConvGradients:
    """Both gradients from the columns of the output's gradient; for stride 1."""
    windows, pieces = _mirrored_plan(geometry, COLUMN_BYTES)
    groups = geometry.groups
    matrices = _mirrored_filters(geometry, filters)  # (g, K, C/g)
    image_rows = images.reshape(-1, geometry.channels)
    image_gradient = memory.empty(geometry.image_shape, geometry.dtype)
    image_gradient_rows = image_gradient.reshape(-1, geometry.channels)

    def add_image_gradient(piece: Piece) -> Array:
        columns = im2col(grad, windows, piece)  # (g, P', K), where K runs over (kh, kw, O/g)
        multiply_columns(columns, matrices, _by_group(image_gradient_rows[piece.span], groups))
        return columns

    def add_both(piece: Piece, contribution: Array) -> None:
        columns = add_image_gradient(piece).transpose(0, 2, 1)  # (g, P', K) -> (g, K, P')
        np.matmul(columns, _by_group(image_rows[piece.span], groups), out=contribution.reshape(matrices.shape))

    if not needs_filters:
        for_each_piece(add_image_gradient, pieces)
        return ConvGradients(image_gradient, None)
    filter_gradient = memory.empty(geometry.filter_shape, geometry.dtype)
    sum_over_pieces(add_both, pieces, _mirrored_view(geometry, filter_gradient))
    return ConvGradients(image_gradient, filter_gradient)


def _gradients_of_whole_images(geometry: ConvGeometry, grad: ImageRows, images: Array, filters: Array) -> ConvGradients:
    """Both gradients, piece by piece, as `_filter_gradient` and `_image_gradient` form them."""
    windows, pieces = _image_plan(geometry, COLUMN_BYTES)
    source = StoredRows(images)
    image_gradient = memory.empty(geometry.image_shape, geometry.dtype)
    filter_gradient = memory.empty(geometry.filter_shape, geometry.dtype)

    def differentiate(piece: Piece, contribution: Array) -> None:
        grad_rows = _read_rows(geometry, grad, piece)
        _contribute(geometry, grad_rows, im2col(source, windows, piece), contribution)
        target = image_gradient[piece.images]
        target.fill(0)
        _add_columns(geometry, grad_rows, filters, windows, piece, target)

    sum_over_pieces(differentiate, pieces, filter_gradient)
    return ConvGradients(image_gradient, filter_gradient)


def _filter_gradient(geometry: ConvGeometry, grad: ImageRows, images: Array) -> Array:
    """The gradient of the filters, from the columns of the images."""
    windows, pieces = _image_plan(geometry, COLUMN_BYTES)
    source = StoredRows(images)
    result = memory.empty(geometry.filter_shape, geometry.dtype)

    def differentiate(piece: Piece, contribution: Array) -> None:
        _contribute(geometry, _read_rows(geometry, grad, piece), im2col(source, windows, piece), contribution)

    sum_over_pieces(differentiate, pieces, result)
    return result


def _contribute(geometry: ConvGeometry, grad_rows: Array, columns: Array, contribution: Array) -> None:
    """Fill `contribution` (O, kh, kw, C/g) with the product of a piece's gradient and columns (g, P', K)."""
    turned = grad_rows.transpose(0, 2, 1)  # (g, P', O/g) -> (g, O/g, P')
    np.matmul(turned, columns, out=_filter_matrices(geometry, contribution))


def _image_gradient(geometry: ConvGeometry, grad: ImageRows, filters: Array) -> Array:
    """The gradient of the images by adding columns back; one thread does all rows of an image, as they overlap."""
    windows, pieces = _image_plan(geometry, COLUMN_BYTES)
    pieces_of_images = [list(several) for _, several in itertools.groupby(pieces, lambda piece: piece.images.start)]
    result = memory.empty(geometry.image_shape, geometry.dtype)

    def differentiate(number: int) -> None:
        target = result[pieces_of_images[number][0].images]
        target.fill(0)
        for piece in pieces_of_images[number]:
            _add_columns(geometry, _read_rows(geometry, grad, piece), filters, windows, piece, target)

    parallel(differentiate, len(pieces_of_images))
    return result


def _add_columns(
    geometry: ConvGeometry, grad_rows: Array, filters: Array, windows: Windows, piece: Piece, target: Array
) -> None:
    """Add the gradient of a piece's columns onto that of its images, `target` (n, H, W, C)."""
    columns = memory.scratch("direct.columns", (geometry.groups, piece.pixels, geometry.depth), geometry.dtype)
    np.matmul(grad_rows, _filter_matrices(geometry, filters), out=columns)  # (g, P', O/g) @ (g, O/g, K)
    col2im(columns, target, windows, piece)


def _takes_whole_images(geometry: ConvGeometry) -> bool:
    """Whether no image is cut, so that what is added onto its pixels comes from one piece."""
    return all(piece.row_count == geometry.out_height for piece in _image_plan(geometry, COLUMN_BYTES)[1])


@functools.lru_cache(maxsize=1024)
def _image_plan(geometry: ConvGeometry, budget: int) -> tuple[Windows, tuple[Piece, ...]]:
    """The windows over the images, and pieces of them whose columns take about `budget` bytes."""
    windows = Windows(
        image_size=(geometry.height, geometry.width),
        channels=geometry.channels,
        size=(geometry.out_height, geometry.out_width),
        kernel=geometry.kernel,
        stride=geometry.stride,
        padding=geometry.padding,
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    return windows, _cut(geometry, windows, geometry.out_channels, budget)


@functools.lru_cache(maxsize=1024)
def _mirrored_plan(geometry: ConvGeometry, budget: int) -> tuple[Windows, tuple[Piece, ...]]:
    """The windows over the output's gradient, one for each pixel of the images, and pieces of them."""
    windows = Windows(
        image_size=(geometry.out_height, geometry.out_width),
        channels=geometry.out_channels,
        size=(geometry.height, geometry.width),
        kernel=geometry.kernel,
        stride=(1, 1),
        padding=_mirrored_padding(geometry),
        dilation=geometry.dilation,
        groups=geometry.groups,
    )
    return windows, _cut(geometry, windows, geometry.channels, budget)


def _cut(geometry: ConvGeometry, windows: Windows, out_channels: int, budget: int) -> tuple[Piece, ...]:
    itemsize = geometry.dtype.itemsize
    filter_bytes = windows.depth * out_channels * itemsize
    pixel_bytes = windows.depth * windows.groups * itemsize
    image_bytes = windows.size[0] * windows.size[1] * pixel_bytes
    budget = max(budget, filter_bytes)
    if 0 < image_bytes < budget:
        budget -= budget % image_bytes  # whole images, that pieces are equal
    return cut_into_pieces(
        geometry.batch,
        *windows.size,
        bytes_per_pixel=pixel_bytes,
        work_per_pixel=windows.depth * out_channels,
        budget=budget,
    )


def _mirrored_padding(geometry: ConvGeometry) -> Pair:
    """How far beyond its edges the output's gradient is read to form the images' one."""
    return (
        geometry.dilation[0] * (geometry.kernel[0] - 1) - geometry.padding[0],
        geometry.dilation[1] * (geometry.kernel[1] - 1) - geometry.padding[1],
    )


def _has_mirrored_form(geometry: ConvGeometry) -> bool:
    """Whether the images' gradient is a convolution of the output's: not with strides, nor with too much padding."""
    return geometry.stride == (1, 1) and min(_mirrored_padding(geometry)) >= 0


def _mirrored_view(geometry: ConvGeometry, filters: Array) -> Array:
    """Filters (O, kh, kw, C/g), seen as (g, kh, kw, O/g, C/g) with the taps in reverse."""
    groups = geometry.groups
    grouped = filters.reshape(groups, geometry.out_channels // groups, *filters.shape[1:])
    return grouped[:, :, ::-1, ::-1].transpose(0, 2, 3, 1, 4)  # (g, O/g, kh, kw, C/g) -> (g, kh, kw, O/g, C/g)


def _mirrored_filters(geometry: ConvGeometry, filters: Array) -> Array:
    """The matrices (g, kh*kw*O/g, C/g) that columns of the output's gradient are multiplied with."""
    source = _mirrored_view(geometry, filters)
    mirrored = memory.empty(source.shape, source.dtype)
    count = min(source.shape[3], source.size // COPIED_ELEMENTS)
    for_each_slice(lambda some: np.copyto(mirrored[:, :, :, some], source[:, :, :, some]), source.shape[3], count)
    return mirrored.reshape(geometry.groups, -1, source.shape[4])


def _filter_matrices(geometry: ConvGeometry, filters: Array) -> Array:
    """Filters (O, kh, kw, C/g) as matrices (g, O/g, K): a row for each filter."""
    return filters.reshape(geometry.groups, geometry.out_channels // geometry.groups, geometry.depth)


def _by_group(rows: Array, groups: int) -> Array:
    """Rows of channels (P, C) as (g, P, C/g)."""
    pixels, channels = rows.shape
    return rows.reshape(pixels, groups, channels // groups).transpose(1, 0, 2)  # (P, g, C/g) -> (g, P, C/g)


def _read_rows(geometry: ConvGeometry, images: ImageRows, piece: Piece) -> Array:
    """The pixels of a piece of the output's gradient by group (g, P', O/g), read into this thread's scratch memory."""
    shape = piece.image_count, piece.row_count, geometry.out_width, geometry.out_channels
    rows = memory.scratch("direct.rows", shape, images.dtype)
    images.write(rows, piece.images, piece.rows)
    return _by_group(rows.reshape(piece.pixels, geometry.out_channels), geometry.groups)
