"""The linear maps around Winograd's F(4x4, 3x3): tiles, filters and products, to and from 6x6 frequencies.

A tile of 4x4 outputs reads 6x6 pixels. Both filter (3x3) and outputs (4x4) are looked at as polynomials of degree 2
and 3 in each direction: their product has degree 5 and is known from its values at six points, so that a tile takes
36 products for each pair of channels instead of 144. One direction at a time, the maps are small matrices from Lavin
and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): with images d, filter g, outputs y,

    y = A^T [(G g G^T) * (B^T d B)] A

and transposed for the gradients. Lavin and Gray evaluate at 0, 1, -1, 2, -2 and infinity, which saves multiplications
where transforms are written out as additions. Here transforms are matrix products, which take any points, and those
below lose the fewest digits: a quarter of the largest error and half of the mean one.

Each map is applied to the rows of a tile first and then to its columns, as products of a matrix with at most 6x6
numbers and rows that are as long as can be: whole image rows, then all tiles and channels side by side. Applying both
at once, as a 36x36 matrix, takes three times as long. Frequencies are numbered column first: 6 * horizontal + vertical.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.kernels.layout import Array, Pair, Shape4
from gradcli.kernels.memory import scratch
from gradcli.kernels.rows import ImageRows

TILE = 4  # outputs of a tile in one direction
OVERLAP = 2  # pixels that neighbouring tiles both read
READ = TILE + OVERLAP  # pixels that a tile reads, and frequencies, in one direction
FREQUENCIES = READ * READ

POINTS = (0.0, 2 / 3, -2 / 3, 3 / 2, -3 / 2)  # and infinity


def _matrices() -> tuple[Array, Array, Array]:
    """B^T (6, 6), G (6, 3) and A (6, 4) for POINTS, by Toom and Cook's construction."""
    points = np.array(POINTS)
    others = [np.delete(points, number) for number in range(len(points))]
    # Row i of B^T: the coefficients, lowest first, of the polynomial that vanishes at all other points.
    pixels = np.zeros((READ, READ))
    for number, roots in enumerate(others):
        pixels[number, : READ - 1] = np.poly(roots)[::-1]
    pixels[-1] = np.poly(points)[::-1]
    # The point at infinity takes the highest coefficient.
    outputs = np.vstack([np.vander(points, TILE, increasing=True), np.eye(TILE)[-1]])
    filters = np.vstack([np.vander(points, 3, increasing=True), np.eye(3)[-1]])
    filters[:-1] /= [[np.prod(point - roots)] for point, roots in zip(points, others, strict=True)]
    single = [np.ascontiguousarray(matrix, np.float32) for matrix in (pixels, filters, outputs)]
    return single[0], single[1], single[2]


PIXELS, FILTERS, OUTPUTS = _matrices()
MIRRORED_FILTERS = np.ascontiguousarray(FILTERS[:, ::-1])
FROM_OUTPUTS = np.ascontiguousarray(OUTPUTS.T)
FROM_FILTERS = np.ascontiguousarray(FILTERS.T)


class Block(NamedTuple):
    """Rows and columns of some images with zeros around them, (n, rows, columns, C), contiguous."""

    pixels: Array
    images: slice
    top: int  # the image row of the block's first row; negative where it begins with zeros
    left: int


def load_block(source: ImageRows, shape: Shape4, images: slice, first: Pair, extent: Pair) -> Block:
    """The rows and columns first..first+extent of `images` from `source`, whose images are of `shape` (N, H, W, C).

    In this thread's scratch memory, valid until the next block is loaded.
    """
    _, height, width, channels = shape
    block = scratch("winograd.block", (images.stop - images.start, *extent, channels), source.dtype)
    (top, left), (bottom, right) = first, (first[0] + extent[0], first[1] + extent[1])
    rows = slice(max(top, 0), max(0, min(bottom, height)))
    columns = slice(max(left, 0), max(0, min(right, width)))
    if rows.start >= rows.stop or columns.start >= columns.stop:
        block.fill(0)
        return Block(block, images, top, left)
    inside = block[:, rows.start - top : rows.stop - top]
    block[:, : rows.start - top] = 0
    block[:, rows.stop - top :] = 0
    inside[:, :, : columns.start - left] = 0
    inside[:, :, columns.stop - left :] = 0
    inside = inside[:, :, columns.start - left : columns.stop - left]
    if columns.stop - columns.start == width:
        source.write(inside, images, rows)
    else:  # padding that takes pixels away: the gradient of a convolution padded by more than 2
        whole = scratch("winograd.rows", (inside.shape[0], inside.shape[1], width, channels), source.dtype)
        source.write(whole, images, rows)
        np.copyto(inside, whole[:, :, columns])
    return Block(block, images, top, left)


def transform_tiles(matrix: Array, block: Block, first: Pair, tiles: Pair, out: Array) -> None:
    """Take tiles (s, s) to frequencies: matrix (6, s) times tile times its transpose, each channel by itself.

    The tiles of one image are `tiles` (rows, columns), TILE pixels apart; the first begins at image row and column
    `first` inside of `block`. `out` is (36, n * tiles, C), whose rows of tiles and channels are contiguous.
    """
    pixels = block.pixels
    n, rows, columns, channels = pixels.shape
    size = matrix.shape[1]
    down, across = tiles
    width = TILE * (across - 1) + size
    # Rows: tiles overlap where size > TILE, so that this is a view of the block.
    item = pixels.itemsize
    row_step = columns * channels * item
    start = ((first[0] - block.top) * columns + first[1] - block.left) * channels * item
    tile_rows: Array = np.ndarray(
        (n, down, size, width * channels),
        pixels.dtype,
        pixels,
        start,
        (rows * row_step, TILE * row_step, row_step, item),
    )
    vertical = scratch("winograd.vertical", (n, down, READ, width * channels), pixels.dtype)
    np.matmul(matrix, tile_rows, out=vertical)
    # Columns: first the overlapping tiles apart, (n, down, v, 4 * across + s', C) -> (s, v, n, down, across, C)
    line = width * channels * item
    view: Array = np.ndarray(
        (size, READ, n, down, across, channels),
        pixels.dtype,
        vertical,
        0,
        (channels * item, line, down * READ * line, READ * line, TILE * channels * item, item),
    )
    apart = scratch("winograd.apart", view.shape, pixels.dtype)
    np.copyto(apart, view)
    lines = apart.reshape(size, READ, -1).transpose(1, 0, 2)  # (s, v, T*C) -> (v, s, T*C)
    np.matmul(matrix, lines, out=_as_lines(out).transpose(1, 0, 2))  # (h, v, T*C) -> (v, h, T*C)


def inverse_tiles(products: Array, tiles: Pair, out: Array) -> None:
    """Take frequencies (36, n * tiles, C) to pixels: FROM_OUTPUTS (4, 6) times tile times its transpose.

    The pixels go to `out` (n, H, W, C), from its first row on; rows and columns that tiles have beyond it are dropped.
    """
    n, height, width, channels = out.shape
    down, across = tiles
    horizontal = scratch("winograd.apart", (READ, TILE, products.shape[1] * channels), products.dtype)
    np.matmul(FROM_OUTPUTS, _as_lines(products).transpose(1, 0, 2), out=horizontal)  # (v, h, T*C) -> (v, q, T*C)
    together = scratch("winograd.vertical", (n, down, READ, across, TILE, channels), products.dtype)
    # (v, q, n, down, across, C) -> (n, down, v, across, q, C)
    np.copyto(together, horizontal.reshape(READ, TILE, n, down, across, channels).transpose(2, 3, 0, 4, 1, 5))
    # Now (n, down, 6, 4 * across * C) and columns in order: the last product writes whole pixel rows.
    lines = together.reshape(n, down, READ, across * TILE * channels)[..., : width * channels]
    whole, rest = divmod(height, TILE)
    whole_tiles = out[:, : whole * TILE].reshape(n, whole, TILE, width * channels)
    np.matmul(FROM_OUTPUTS, lines[:, :whole], out=whole_tiles)
    if rest:
        cut_tiles = out[:, whole * TILE :].reshape(n, rest, width * channels)
        np.matmul(FROM_OUTPUTS[:rest], lines[:, whole], out=cut_tiles)


def _as_lines(frequencies: Array) -> Array:
    """(36, T, C), contiguous in T and C, as (6, 6, T*C): a view."""
    return frequencies.reshape(READ, READ, frequencies.shape[1] * frequencies.shape[2])


def transform_filters(matrix: Array, filters: Array, out: Array) -> None:
    """Take filters (3, 3, P, Q), of any strides, to frequencies: matrix (6, 3) times filter times its transpose.

    `out` is (36, P, Q), contiguous in P and Q.
    """
    _, _, p, q = filters.shape
    taps = scratch("winograd.apart", (3, 3 * p * q), filters.dtype)
    np.copyto(taps.reshape(filters.shape), filters)
    vertical = scratch("winograd.vertical", (READ, 3 * p * q), filters.dtype)
    np.matmul(matrix, taps, out=vertical)
    columns = vertical.reshape(READ, 3, p * q)
    np.matmul(matrix, columns, out=_as_lines(out).transpose(1, 0, 2))  # (h, v, P*Q) -> (v, h, P*Q)


def inverse_filters(frequencies: Array, out: Array) -> None:
    """The transpose of `transform_filters` with FILTERS: from (36, P, Q) to `out` (3, 3, P, Q), of any strides."""
    _, p, q = frequencies.shape
    horizontal = scratch("winograd.vertical", (READ, 3, p * q), frequencies.dtype)
    np.matmul(FROM_FILTERS, _as_lines(frequencies).transpose(1, 0, 2), out=horizontal)  # (v, h, P*Q) -> (v, j, P*Q)
    taps = scratch("winograd.apart", (3, 3 * p * q), frequencies.dtype)
    np.matmul(FROM_FILTERS, horizontal.reshape(READ, 3 * p * q), out=taps)
    np.copyto(out, taps.reshape(out.shape))
