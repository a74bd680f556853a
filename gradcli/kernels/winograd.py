"""Winograd convolution F(4x4, 3x3): 3x3 filters with a quarter of the products, for some digits of accuracy.

The output is cut into tiles of 4x4 pixels. Tiles of the images and filters are taken to 36 frequencies (see
winograd_transforms), where the convolution is a product for each frequency, (T, C) times (C, O) with T the number of
tiles: 36 products instead of 144 for each tile and pair of channels. The gradients are of the same form: that of the
images is a convolution with the filters mirrored, that of the filters a sum over tiles, (O, T) times (T, C).

There are two ways to go about such products. By piece: a thread takes some tiles through all steps while they are in
the second-level cache, and keeps nothing. But each piece reads all the frequencies of the filters, or adds to all those
of their gradient, so that with many channels it goes by frequency: each step for all tiles before the next, and one
thread forms all products of a frequency, whose filters it reads once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.pieces import Piece, cut_into_pieces, for_each_piece, sum_over_pieces
from gradcli.kernels.rows import ImageRows, StoredRows
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.winograd_transforms import (
    FILTERS,
    FREQUENCIES,
    MIRRORED_FILTERS,
    OUTPUTS,
    OVERLAP,
    PIXELS,
    TILE,
    Block,
    inverse_filters,
    inverse_tiles,
    load_block,
    transform_filters,
    transform_tiles,
)

PIECE_BYTES = 1 << 20  # of a piece's frequencies
LARGEST_PRODUCT_BY_PIECE = 128 * 128  # channels C * O: above, tiles are multiplied with filters by frequency
LARGEST_SUM_BY_PIECE = 64 * 64  # the same for sums of filters' gradients: each piece reads and writes them all
FREQUENCIES_AT_ONCE = 2
FILTERS_AT_ONCE = 1 << 13  # pairs of channels whose filters are transformed at a time, in the second-level cache


class Winograd:
    """3x3 convolutions in float32, without stride, dilation and groups; any padding.

    Results are within some 3e-6 of the largest value, where direct convolution is within 5e-7. An infinity turns its
    whole tile into NaNs.
    """

    name = "winograd"

    def supports(self, geometry: ConvGeometry) -> bool:
        return (
            geometry.kernel == (3, 3) and geometry.stride == (1, 1) and geometry.plain and geometry.dtype == np.float32
        )

    def forward(
        self,
        geometry: ConvGeometry,
        images: Array,
        filters: Array,
        out: Array,
        epilogue: Epilogue | None = None,
        keep: bool = False,
    ) -> Array | None:
        """With `keep`, returns the images' frequencies (36, T, C) if they are there as a whole.

        Where they are not, computing them again takes no longer than writing and reading them would.
        """
        plan = _plan(geometry)
        frequencies = _filter_frequencies(FILTERS, filters.transpose(1, 2, 3, 0))  # (O, i, j, C) -> (i, j, C, O)
        convolution = _TileProducts(plan, frequencies, out, epilogue)
        source = StoredRows(images)

        def convolve(piece: Piece) -> None:
            tiles = convolution.tiles(piece)
            _transform_images(geometry, source, piece, plan.tiles, tiles)
            convolution.multiply(piece, tiles)

        for_each_piece(convolve, plan.pieces)
        convolution.finish()
        return convolution.all_tiles if keep else None

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
        plan = _plan(geometry)
        source = StoredRows(images)
        image_gradient: Array | None = None
        convolution: _TileProducts | None = None
        if needs_images:
            image_gradient = memory.empty(geometry.image_shape, geometry.dtype)
            frequencies = _filter_frequencies(MIRRORED_FILTERS, filters.transpose(1, 2, 0, 3))  # -> (i, j, O, C)
            convolution = _TileProducts(plan, frequencies, image_gradient)

        def load(piece: Piece) -> Block:
            """Load the piece's part of `grad` and, from there, do what there is to do for the images' gradient."""
            block = _load_gradient(geometry, grad, piece, plan.tiles)
            if convolution is not None:
                tiles = convolution.tiles(piece)
                first = TILE * piece.rows.start + geometry.padding[0] - 2, geometry.padding[1] - 2
                transform_tiles(PIXELS, block, first, (piece.row_count, plan.tiles[1]), tiles)
                convolution.multiply(piece, tiles)
            return block

        filter_gradient: Array | None = None
        if not needs_filters:
            for_each_piece(load, plan.pieces)
        else:
            sums = memory.empty((FREQUENCIES, geometry.out_channels, geometry.channels), geometry.dtype)
            if geometry.channels * geometry.out_channels <= LARGEST_SUM_BY_PIECE:
                _sum_by_piece(geometry, plan, load, source, sums)
            else:
                _sum_by_frequency(geometry, plan, load, source, kept, sums)
            filter_gradient = _filters_from_frequencies(sums)
        if convolution is not None:
            convolution.finish()
        return ConvGradients(image_gradient, filter_gradient)


class _Plan(NamedTuple):
    tiles: Pair  # rows and columns of tiles in each image
    tile_count: int  # in all images
    pieces: tuple[Piece, ...]  # of tiles: rows and pixels of a piece are rows of tiles and tiles


@functools.lru_cache(maxsize=1024)
def _plan(geometry: ConvGeometry) -> _Plan:
    """Tiles that cover the outputs as well as the images: the same ones serve the convolution and both gradients."""
    down = -(-max(geometry.height, geometry.out_height) // TILE)
    across = -(-max(geometry.width, geometry.out_width) // TILE)
    pieces = cut_into_pieces(
        geometry.batch,
        down,
        across,
        bytes_per_pixel=FREQUENCIES * max(geometry.channels, geometry.out_channels) * geometry.dtype.itemsize,
        work_per_pixel=FREQUENCIES * geometry.channels * geometry.out_channels,
        budget=PIECE_BYTES,
    )
    return _Plan((down, across), geometry.batch * down * across, pieces)


class _TileProducts:
    """A convolution from the frequencies of tiles on: times those of filters (36, P, Q), and back to pixels.

    For each piece, `tiles` says where its frequencies are to be written and `multiply` follows; then comes `finish`.
    """

    def __init__(self, plan: _Plan, filters: Array, out: Array, epilogue: Epilogue | None = None) -> None:
        """`out` is (N, H, W, Q)."""
        self._plan = plan
        self._filters = filters
        self._out = out
        self._epilogue = epilogue
        self.all_tiles: Array | None = None  # (36, T, P), where products are formed by frequency
        _, channels, out_channels = filters.shape
        if channels * out_channels > LARGEST_PRODUCT_BY_PIECE:
            self.all_tiles = memory.empty((FREQUENCIES, plan.tile_count, channels), filters.dtype)

    def tiles(self, piece: Piece) -> Array:
        """Where to write the frequencies (36, T', P) of a piece."""
        if self.all_tiles is not None:
            return self.all_tiles[:, piece.span]
        return _piece_scratch("winograd.tiles", piece, self._filters.shape[1])

    def multiply(self, piece: Piece, tiles: Array) -> None:
        """Do what can be done once the frequencies of a piece have been written."""
        if self.all_tiles is None:
            products = _piece_scratch("winograd.products", piece, self._filters.shape[2])
            np.matmul(tiles, self._filters, out=products)
            self._write(piece, products)

    def finish(self) -> None:
        """Do what is left to do when all pieces have been multiplied."""
        tiles = self.all_tiles
        if tiles is None:
            return
        products = memory.empty((FREQUENCIES, self._plan.tile_count, self._filters.shape[2]), tiles.dtype)
        _for_each_frequency(lambda some: np.matmul(tiles[some], self._filters[some], out=products[some]))
        for_each_piece(lambda piece: self._write(piece, products[:, piece.span]), self._plan.pieces)

    def _write(self, piece: Piece, products: Array) -> None:
        """Take the products (36, T', Q) of a piece back to pixels."""
        _, height, width, channels = self._out.shape
        first, last = min(TILE * piece.rows.start, height), min(TILE * piece.rows.stop, height)
        pixels = self._out[piece.images, first:last]
        inverse_tiles(products, (piece.row_count, self._plan.tiles[1]), pixels)
        if self._epilogue is not None and pixels.size:
            self._epilogue((piece.images.start * height + first) * width, pixels.reshape(-1, channels))


def _sum_by_piece(
    geometry: ConvGeometry, plan: _Plan, load: Callable[[Piece], Block], source: ImageRows, sums: Array
) -> None:
    """Fill `sums` (36, O, C) with the frequencies of the filters' gradient; `load` gives each piece's block of grad."""

    def add(piece: Piece, contribution: Array) -> None:
        grad_tiles = _piece_scratch("winograd.products", piece, geometry.out_channels)
        _transform_gradient(load(piece), piece, plan.tiles, grad_tiles)
        tiles = _piece_scratch("winograd.tiles", piece, geometry.channels)
        _transform_images(geometry, source, piece, plan.tiles, tiles)
        np.matmul(grad_tiles.transpose(0, 2, 1), tiles, out=contribution)  # (36, O, T') @ (36, T', C)

    sum_over_pieces(add, plan.pieces, sums)


def _sum_by_frequency(
    geometry: ConvGeometry,
    plan: _Plan,
    load: Callable[[Piece], Block],
    source: ImageRows,
    kept: Array | None,
    sums: Array,
) -> None:
    """The same as `_sum_by_piece`; `kept` are the frequencies (36, T, C) of the images if they are there already."""
    grad_tiles = memory.empty((FREQUENCIES, plan.tile_count, geometry.out_channels), geometry.dtype)
    tiles = memory.empty((FREQUENCIES, plan.tile_count, geometry.channels), geometry.dtype) if kept is None else kept

    def transform(piece: Piece) -> None:
        _transform_gradient(load(piece), piece, plan.tiles, grad_tiles[:, piece.span])
        if kept is None:
            _transform_images(geometry, source, piece, plan.tiles, tiles[:, piece.span])

    for_each_piece(transform, plan.pieces)
    transposed = grad_tiles.transpose(0, 2, 1)  # (36, T, O) -> (36, O, T)
    _for_each_frequency(lambda some: np.matmul(transposed[some], tiles[some], out=sums[some]))


def _transform_images(geometry: ConvGeometry, source: ImageRows, piece: Piece, tiles: Pair, out: Array) -> None:
    """Write the frequencies (36, T', C) of the pixels that a piece's tiles of outputs read."""
    first = TILE * piece.rows.start - geometry.padding[0], -geometry.padding[1]
    extent = TILE * piece.row_count + OVERLAP, TILE * tiles[1] + OVERLAP
    block = load_block(source, geometry.image_shape, piece.images, first, extent)
    transform_tiles(PIXELS, block, first, (piece.row_count, tiles[1]), out)


def _transform_gradient(block: Block, piece: Piece, tiles: Pair, out: Array) -> None:
    """Write the frequencies (36, T', O) of the gradients of a piece's tiles of outputs."""
    transform_tiles(OUTPUTS, block, (TILE * piece.rows.start, 0), (piece.row_count, tiles[1]), out)


def _load_gradient(geometry: ConvGeometry, grad: ImageRows, piece: Piece, tiles: Pair) -> Block:
    """The outputs' gradient for a piece: its tiles of outputs, and all outputs that read its tiles of images.

    Image row y is read by outputs y + padding - 2 to y + padding.
    """
    before = [min(0, padding - 2) for padding in geometry.padding]
    first = TILE * piece.rows.start + before[0], before[1]
    extent = (
        TILE * piece.row_count + geometry.padding[0] - before[0],
        TILE * tiles[1] + geometry.padding[1] - before[1],
    )
    return load_block(grad, geometry.out_shape, piece.images, first, extent)


def _filter_frequencies(matrix: Array, filters: Array) -> Array:
    """The frequencies (36, P, Q) of filters (3, 3, P, Q) of any strides."""
    _, _, p, q = filters.shape
    result = memory.empty((FREQUENCIES, p, q), filters.dtype)
    _for_some_filters(lambda some: transform_filters(matrix, filters[:, :, some], result[:, some]), p, q)
    return result


def _filters_from_frequencies(frequencies: Array) -> Array:
    """The gradient of filters (O, 3, 3, C) from that of their frequencies (36, O, C)."""
    _, out_channels, channels = frequencies.shape
    result = memory.empty((out_channels, 3, 3, channels), frequencies.dtype)
    taps = result.transpose(1, 2, 0, 3)  # (O, i, j, C) -> (i, j, O, C)
    _for_some_filters(lambda some: inverse_filters(frequencies[:, some], taps[:, :, some]), out_channels, channels)
    return result


def _for_some_filters(task: Callable[[slice], None], p: int, q: int) -> None:
    """Share out P x Q filters in runs of P."""
    for_each_slice(task, p, min(p, p * q // FILTERS_AT_ONCE))


def _for_each_frequency(task: Callable[[slice], object]) -> None:
    for_each_slice(task, FREQUENCIES, FREQUENCIES // FREQUENCIES_AT_ONCE)


def _piece_scratch(name: str, piece: Piece, channels: int) -> Array:
    return memory.scratch(name, (FREQUENCIES, piece.pixels, channels), np.float32)
