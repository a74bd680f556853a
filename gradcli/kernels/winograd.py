"""Winograd convolution F(4x4, 3x3): 3x3 filters with a quarter of the products, for some digits of accuracy.

The output is cut into tiles of 4x4 pixels. Tiles of the images and filters are taken to 36 frequencies (see
winograd_transforms), where the convolution is a product for each frequency, (T, C) times (C, O) with T the number of
tiles: 36 products instead of 144 for each tile and pair of channels. The gradients are of the same form: that of the
images is a convolution with the filters mirrored, that of the filters a sum over tiles, (O, T) times (T, C).

There are three ways to go about such products. By piece: a thread takes some tiles through all steps while they are in
the second-level cache, and keeps nothing. But each piece reads all the frequencies of the filters, or adds to all those
of their gradient, so that with more channels each step is done for all tiles before the next. Then it goes by filter: a
thread computes the frequencies of some filters and multiplies all tiles with them, or puts together the gradient of
some filters, so that their frequencies, which are the largest thing here, never leave its cache. Where there are so
many tiles that they are larger, it goes by frequency: one thread forms all products of a frequency.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.algorithm import ConvGradients, Epilogue
from gradcli.kernels.geometry import ConvGeometry
from gradcli.kernels.layout import Array, Pair
from gradcli.kernels.memory import workspace
from gradcli.kernels.pieces import (
    FEWEST_PIECES,
    Piece,
    cut_into_pieces,
    for_each_piece,
    joined_pieces,
    joins_pieces,
    sums_of_pieces,
)
from gradcli.kernels.rows import ImageRows, StoredRows
from gradcli.kernels.slices import for_each_slice
from gradcli.kernels.thin_products import SMALL_PRODUCT
from gradcli.kernels.threads import Preparation
from gradcli.kernels.winograd_filters import (
    FILTERS_AT_ONCE,
    FilterFrequencies,
    filter_frequencies,
    filter_gradient,
    mirrored_filter_frequencies,
)
from gradcli.kernels.winograd_tiles import Block, TileInverse, Window, load_block, window
from gradcli.kernels.winograd_transforms import (
    DTYPE,
    FREQUENCIES,
    FROM_OUTPUTS,
    FROM_PIXELS,
    OVERLAP,
    TILE,
)

PIECE_BYTES = 1 << 20  # of a piece's frequencies
FEWEST_TILES = 16  # of a piece: each reads all filters
LARGEST_PRODUCT_BY_PIECE = 128 * 128  # channels C * O: each piece reads the frequencies of all filters
LARGEST_SUM_BY_PIECE = 64 * 64  # the same where each piece adds to those of the filters' gradient
MOST_TILES_BY_FILTER = 5 << 20  # bytes of the frequencies of all tiles: they are read anew for each part of the filters
FREQUENCIES_AT_ONCE = 2


class Winograd:
    """3x3 convolutions in float32, without stride, dilation and groups; any padding.

    Results are within some 3e-6 of the largest value, where direct convolution is within 5e-7. An infinity turns its
    whole tile into NaNs. With `cuts_anywhere`, the size of what epilogues are passed depends on the number of threads:
    they must do the same with each value, wherever the cuts are.
    """

    name = "winograd"

    def __init__(self, cuts_anywhere: bool = False) -> None:
        self.cuts_anywhere = cuts_anywhere

    def supports(self, geometry: ConvGeometry) -> bool:
        return geometry.kernel == (3, 3) and geometry.stride == (1, 1) and geometry.plain and geometry.dtype == DTYPE

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
        plan = _plan(geometry, joins_pieces())
        convolution = _TileProducts(plan, filter_frequencies(filters), out, epilogue, self.cuts_anywhere)
        source = StoredRows(images)

        def convolve(piece: _TilePiece) -> None:
            tiles = convolution.tiles(piece)
            _transform_images(source, piece, tiles)
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
        plan = _plan(geometry, joins_pieces())
        image_gradient: Array | None = None
        convolution: _TileProducts | None = None
        if needs_images:
            image_gradient = memory.empty(geometry.image_shape, DTYPE)
            convolution = _TileProducts(plan, mirrored_filter_frequencies(filters), image_gradient)

        def load(piece: _TilePiece) -> Block:
            """Load the piece's part of `grad` and, from there, do what there is to do for the images' gradient."""
            block = load_block(grad, piece.gradients)
            if convolution is not None:
                tiles = convolution.tiles(piece)
                block.transform(FROM_PIXELS, plan.image_offset, piece.tiles, tiles)
                convolution.multiply(piece, tiles)
            return block

        filters_gradient: Array | None = None
        if not needs_filters:
            for_each_piece(load, plan.pieces)
        else:
            source = StoredRows(images)
            by_piece = geometry.channels * geometry.out_channels <= LARGEST_SUM_BY_PIECE
            frequencies = (
                _gradient_by_piece(geometry, plan, load, source)
                if by_piece
                else _gradient_at_once(geometry, plan, load, source, kept)
            )
            filters_gradient = filter_gradient(frequencies, geometry.out_channels, geometry.channels)
        if convolution is not None:
            convolution.finish()
        return ConvGradients(image_gradient, filters_gradient)


class _TilePiece(NamedTuple):
    """Some tiles of some images: rows and pixels of `piece` are rows of tiles and tiles."""

    piece: Piece
    parts: tuple[Piece, ...]  # what is multiplied, or added up, at once: that decides about rounding
    part_tiles: tuple[Pair, ...]  # first and last of each part's tiles among those of the piece
    tiles: Pair  # rows and columns of tiles in each image
    pixels: Window  # that the tiles' outputs read
    gradients: Window  # of the tiles' outputs, and of all outputs that read the tiles' images


class _Plan(NamedTuple):
    tile_count: int  # in all images
    pieces: tuple[_TilePiece, ...]
    parts: int  # of each piece
    image_offset: Pair  # of a window of gradients: where the first tile of images is read
    output_offset: Pair  # where the first tile of outputs is


@functools.lru_cache(maxsize=1024)
def _plan(geometry: ConvGeometry, joined: bool) -> _Plan:
    """Tiles that cover the outputs as well as the images: the same ones serve the convolution and both gradients.

    If `joined`, the fewest pieces that there are for any number of threads are half as many, each of two parts.
    """
    down = -(-max(geometry.height, geometry.out_height) // TILE)
    across = -(-max(geometry.width, geometry.out_width) // TILE)
    pieces = cut_into_pieces(
        geometry.batch,
        down,
        across,
        bytes_per_pixel=FREQUENCIES * max(geometry.channels, geometry.out_channels) * geometry.dtype.itemsize,
        work_per_pixel=FREQUENCIES * geometry.channels * geometry.out_channels,
        budget=PIECE_BYTES,
        fewest_pixels=FEWEST_TILES,
    )
    step = 2 if joined and len(pieces) == FEWEST_PIECES else 1
    groups = [pieces[first : first + step] for first in range(0, len(pieces), step)]
    # Image row y is read by outputs y + padding - 2 to y + padding.
    above, left = (min(0, padding - OVERLAP) for padding in geometry.padding)
    return _Plan(
        geometry.batch * down * across,
        tuple(_tile_piece(geometry, group, (down, across), (above, left)) for group in groups),
        step,
        (geometry.padding[0] - OVERLAP - above, geometry.padding[1] - OVERLAP - left),
        (-above, -left),
    )


def _tile_piece(geometry: ConvGeometry, parts: Sequence[Piece], tiles: Pair, before: Pair) -> _TilePiece:
    """Some of the `tiles` (down, across) of each image, in parts that follow one another.

    `before` is where the first row and column of gradients is that tiles of images read, if that is before 0.
    """
    piece, across = joined_pieces(parts[0], parts[-1], *tiles), tiles[1]
    padding, row, rows, columns = geometry.padding, TILE * piece.rows.start, TILE * piece.row_count, TILE * across
    return _TilePiece(
        piece,
        tuple(parts),
        tuple((part.first_pixel - piece.first_pixel, part.span.stop - piece.first_pixel) for part in parts),
        (piece.row_count, across),
        window(
            geometry.image_shape, piece.images, (row - padding[0], -padding[1]), (rows + OVERLAP, columns + OVERLAP)
        ),
        window(
            geometry.out_shape,
            piece.images,
            (row + before[0], before[1]),
            (rows + padding[0] - before[0], columns + padding[1] - before[1]),
        ),
    )


class _TileProducts:
    """A convolution from the frequencies of tiles on: times those of filters (36, P, Q), and back to pixels.

    For each piece, `tiles` says where its frequencies are to be written and `multiply` follows; then comes `finish`.
    """

    def __init__(
        self,
        plan: _Plan,
        filters: FilterFrequencies,
        out: Array,
        epilogue: Epilogue | None = None,
        cuts_anywhere: bool = False,
    ) -> None:
        """`out` is (N, H, W, Q)."""
        self._plan = plan
        self._filters = filters
        self._out = out
        self._epilogue = epilogue
        self._cuts_anywhere = cuts_anywhere
        self.all_tiles: Array | None = None  # (36, T, P), where all pieces are multiplied at once
        self._all_filters: tuple[Array, Preparation] | None = None  # (36, P, Q), where each is by itself
        channels, out_channels = filters.shape
        if channels * out_channels <= LARGEST_PRODUCT_BY_PIECE:
            self._all_filters = filters.prepared()
        else:
            self.all_tiles = memory.empty((FREQUENCIES, plan.tile_count, channels), DTYPE)

    def tiles(self, piece: _TilePiece) -> Array:
        """Where to write the frequencies (36, T', P) of a piece."""
        if self.all_tiles is not None:
            return self.all_tiles[:, piece.piece.span]
        if self._all_filters is not None:
            self._all_filters[1].help()
        return _piece_scratch("winograd.tiles", piece, self._filters.shape[0])

    def multiply(self, piece: _TilePiece, tiles: Array) -> None:
        """Do what can be done once the frequencies of a piece have been written."""
        if self._all_filters is not None:
            products = _piece_scratch("winograd.products", piece, self._filters.shape[1])
            filters, preparation = self._all_filters
            preparation.wait()
            for first, last in piece.part_tiles:
                np.matmul(tiles[:, first:last], filters, out=products[:, first:last])
            self._write(piece, products)

    def finish(self) -> None:
        """Do what is left to do when all pieces have been multiplied."""
        if self.all_tiles is not None:
            products = _products_at_once(self.all_tiles, self._filters)
            for_each_piece(lambda piece: self._write(piece, products[:, piece.piece.span]), self._plan.pieces)

    def _write(self, piece: _TilePiece, products: Array) -> None:
        """Take the products (36, T', Q) of a piece back to pixels."""
        _, height, width, channels = self._out.shape
        inverse = workspace(TileInverse, piece.piece.image_count, piece.tiles, channels, piece.part_tiles)
        inverse.write(products, self._out[piece.piece.images, self._rows(piece.piece)])
        if self._epilogue is not None:
            for part in (piece.piece,) if self._cuts_anywhere else piece.parts:
                rows = self._rows(part)
                pixels = self._out[part.images, rows]
                if pixels.size:
                    self._epilogue((part.images.start * height + rows.start) * width, pixels.reshape(-1, channels))

    def _rows(self, piece: Piece) -> slice:
        """The rows of pixels of some rows of tiles."""
        height = self._out.shape[1]
        return slice(min(TILE * piece.rows.start, height), min(TILE * piece.rows.stop, height))


def _products_at_once(tiles: Array, filters: FilterFrequencies) -> Array:
    """The products (36, T, Q) of all tiles (36, T, P) with all filters (36, P, Q)."""
    _, count, channels = tiles.shape
    out_channels = filters.shape[1]
    products = memory.empty((FREQUENCIES, count, out_channels), DTYPE)
    if tiles.nbytes > MOST_TILES_BY_FILTER:
        frequencies = filters.all()
        _for_each_frequency(lambda some: np.matmul(tiles[some], frequencies[some], out=products[some]))
    else:
        # As many filters at a time as are transformed at a time, or as BLAS multiplies without copying them.
        at_once = max(1, min(FILTERS_AT_ONCE, SMALL_PRODUCT // max(1, count)) // channels)
        for_each_slice(
            lambda some: np.matmul(tiles, filters.some(some, count), out=products[..., some]),
            out_channels,
            -(-out_channels // at_once),
        )
    return products


def _gradient_by_piece(
    geometry: ConvGeometry, plan: _Plan, load: Callable[[_TilePiece], Block], source: ImageRows
) -> Callable[[slice], Array]:
    """The gradient of the filters' frequencies, (36, O', C) for some of O; `load` loads a piece's block of grad."""

    def add(piece: _TilePiece, contributions: Array) -> None:
        block = load(piece)
        grad_tiles = _piece_scratch("winograd.products", piece, geometry.out_channels)
        block.transform(FROM_OUTPUTS, plan.output_offset, piece.tiles, grad_tiles)
        tiles = _piece_scratch("winograd.tiles", piece, geometry.channels)
        _transform_images(source, piece, tiles)
        transposed = grad_tiles.transpose(0, 2, 1)  # (36, T', O) -> (36, O, T')
        for (first, last), contribution in zip(piece.part_tiles, contributions, strict=True):
            np.matmul(transposed[:, :, first:last], tiles[:, first:last], out=contribution)

    shape = FREQUENCIES, geometry.out_channels, geometry.channels
    sums = sums_of_pieces(add, plan.pieces, (plan.parts, *shape), DTYPE).reshape(-1, *shape)
    return lambda some: sums[0, :, some] if len(sums) == 1 else np.add.reduce(sums[:, :, some])


def _gradient_at_once(
    geometry: ConvGeometry, plan: _Plan, load: Callable[[_TilePiece], Block], source: ImageRows, kept: Array | None
) -> Callable[[slice], Array]:
    """As `_gradient_by_piece`; `kept` are the frequencies (36, T, C) of the images if they are there already."""
    grad_tiles = memory.empty((FREQUENCIES, plan.tile_count, geometry.out_channels), DTYPE)
    tiles = memory.empty((FREQUENCIES, plan.tile_count, geometry.channels), DTYPE) if kept is None else kept

    def transform(piece: _TilePiece) -> None:
        block = load(piece)
        block.transform(FROM_OUTPUTS, plan.output_offset, piece.tiles, grad_tiles[:, piece.piece.span])
        if kept is None:
            _transform_images(source, piece, tiles[:, piece.piece.span])

    for_each_piece(transform, plan.pieces)
    transposed = grad_tiles.transpose(0, 2, 1)  # (36, T, O) -> (36, O, T)
    if tiles.nbytes + grad_tiles.nbytes > MOST_TILES_BY_FILTER:
        sums = memory.empty((FREQUENCIES, geometry.out_channels, geometry.channels), DTYPE)
        _for_each_frequency(lambda some: np.matmul(transposed[some], tiles[some], out=sums[some]))
        return lambda some: sums[:, some]

    def some_sums(some: slice) -> Array:
        result = memory.scratch("winograd.filters", (FREQUENCIES, some.stop - some.start, geometry.channels), DTYPE)
        return np.matmul(transposed[:, some], tiles, out=result)

    return some_sums


def _transform_images(source: ImageRows, piece: _TilePiece, out: Array) -> None:
    """Write the frequencies (36, T', C) of the pixels that a piece's tiles of outputs read."""
    load_block(source, piece.pixels).transform(FROM_PIXELS, (0, 0), piece.tiles, out)


def _for_each_frequency(task: Callable[[slice], object]) -> None:
    for_each_slice(task, FREQUENCIES, FREQUENCIES // FREQUENCIES_AT_ONCE)


def _piece_scratch(name: str, piece: _TilePiece, channels: int) -> Array:
    return memory.scratch(name, (FREQUENCIES, piece.piece.pixels, channels), DTYPE)
