"""1x1 convolutions: matrix products over pixels, each a row of channels. No im2col.

With stride s the products take every s-th pixel of every s-th row; the others get no gradient.
"""

from __future__ import annotations

import functools

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array
from gradcli.kernels.matrix_product import matmul_in_runs
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece, sum_over_pieces
from gradcli.kernels.rows import ImageRows

PIECE_BYTES = 1 << 20  # of the pixels that come in and go out
MULTIPLICATIONS_PER_WORK = 2  # in the unit of `cut_into_pieces`: pieces as short as with windows gain nothing here
PIXELS_PER_RUN = 64  # of the sums that the gradient of the filters is, cut like those of other convolutions
MOST_RUNS = 4


class Pointwise:
    """1x1 convolutions of any stride, without padding and groups."""

    name = "pointwise"

    def supports(self, geometry: ConvGeometry) -> bool:
        return geometry.kernel == (1, 1) and geometry.padding == (0, 0) and geometry.groups == 1

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> None:
        matrix = filters.reshape(geometry.out_channels, geometry.channels).T
        out_rows = out.reshape(geometry.pixels, geometry.out_channels)

        def convolve(piece: Piece) -> None:
            rows = out_rows[piece.span]
            np.matmul(_seen_pixels(geometry, images, piece), matrix, out=rows)
            if epilogue is not None:
                epilogue(piece.first_pixel, rows)

        for_each_piece(convolve, _pieces(geometry, PIECE_BYTES))

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
        matrix = filters.reshape(geometry.out_channels, geometry.channels)
        pieces = _pieces(geometry, PIECE_BYTES)
        image_gradient = memory.empty(geometry.image_shape, geometry.dtype) if needs_images else None

        def task(piece: Piece, contribution: Array | None) -> None:
            shape = piece.image_count, piece.row_count, geometry.out_width, geometry.out_channels
            grad_pixels = memory.scratch("pointwise.grad", shape, geometry.dtype)
            grad.write(grad_pixels, piece.images, piece.rows)
            grad_rows = grad_pixels.reshape(piece.pixels, geometry.out_channels)
            if contribution is not None:
                runs = max(1, min(MOST_RUNS, piece.pixels // PIXELS_PER_RUN))
                matmul_in_runs(grad_rows.T, _seen_pixels(geometry, images, piece), contribution, runs)
            if image_gradient is not None:
                _write_image_gradient(geometry, grad_rows, matrix, image_gradient, piece)

        if not needs_filters:
            for_each_piece(lambda piece: task(piece, None), pieces)
            return ConvGradients(image_gradient, None)
        filter_gradient = memory.empty(matrix.shape, geometry.dtype)
        sum_over_pieces(task, pieces, filter_gradient)
        return ConvGradients(image_gradient, filter_gradient.reshape(geometry.filter_shape))


def _seen_pixels(geometry: ConvGeometry, images: Array, piece: Piece) -> Array:
    """The pixels (P', C) that the piece's outputs read: a view with stride 1, else a copy in scratch memory."""
    if geometry.stride == (1, 1):
        return images.reshape(geometry.pixels, geometry.channels)[piece.span]
    source = images[piece.images, _seen_rows(geometry, piece), _seen_columns(geometry)]
    pixels = memory.scratch("pointwise.pixels", source.shape, source.dtype)
    np.copyto(pixels, source)
    return pixels.reshape(piece.pixels, geometry.channels)


def _write_image_gradient(
    geometry: ConvGeometry, grad_rows: Array, matrix: Array, image_gradient: Array, piece: Piece
) -> None:
    """Fill the piece's part of the images' gradient (N, H, W, C) with `grad_rows` (P', O) @ `matrix` (O, C)."""
    channels = geometry.channels
    if geometry.stride == (1, 1):
        np.matmul(grad_rows, matrix, out=image_gradient.reshape(geometry.pixels, channels)[piece.span])
        return
    pixels = memory.scratch("pointwise.pixels", (piece.pixels, channels), geometry.dtype)
    np.matmul(grad_rows, matrix, out=pixels)
    rows = _seen_rows(geometry, piece)
    # Rows that no output reads belong to the output before them.
    image_gradient[piece.images, rows.start : rows.start + piece.row_count * rows.step].fill(0)
    target = image_gradient[piece.images, rows, _seen_columns(geometry)]
    np.copyto(target, pixels.reshape(target.shape))


def _seen_rows(geometry: ConvGeometry, piece: Piece) -> slice:
    stride = geometry.stride[0]
    return slice(piece.rows.start * stride, (piece.rows.stop - 1) * stride + 1, stride)


def _seen_columns(geometry: ConvGeometry) -> slice:
    return slice(0, (geometry.out_width - 1) * geometry.stride[1] + 1, geometry.stride[1])


@functools.lru_cache(maxsize=1024)
def _pieces(geometry: ConvGeometry, budget: int) -> tuple[Piece, ...]:
    return cut_into_pieces(
        geometry.batch,
        geometry.out_height,
        geometry.out_width,
        bytes_per_pixel=(geometry.channels + geometry.out_channels) * geometry.dtype.itemsize,
        work_per_pixel=geometry.channels * geometry.out_channels // MULTIPLICATIONS_PER_WORK,
        budget=budget,
    )
