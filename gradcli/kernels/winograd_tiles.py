"""Tiles of images on their way to Winograd's frequencies and back, a piece of the batch at a time.

The maps of winograd_transforms are applied to the rows of a tile first and then to its columns, as products of a matrix
with at most 6x6 numbers and rows that are as long as can be: whole image rows, then all tiles and channels side by
side. Applying both at once, as a 36x36 matrix, takes three times as long.

A piece is a few such products and copies, of some ten microseconds each. So the views that they work on are made once
for each thread and shape, and kept as workspaces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array, Pair, Shape4
from gradcli.kernels.memory import workspace
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.winograd_transforms import DTYPE, READ, TILE, TO_OUTPUTS, Map, by_line


class Window(NamedTuple):
    """Some rows and columns of some images, where there are zeros beyond the images' edges."""

    images: slice
    rows: slice  # those that there are
    columns: slice
    width: int  # of the images
    shape: Shape4  # (n, rows, columns, C), with the zeros
    margins: tuple[int, int, int, int]  # of zeros: above, below, left, right


def window(shape: Shape4, images: slice, first: Pair, extent: Pair) -> Window:
    """The rows and columns first..first+extent of `images`, out of images of `shape` (N, H, W, C)."""
    _, height, width, channels = shape
    above, rows, below = _inside(first[0], extent[0], height)
    left, columns, right = _inside(first[1], extent[1], width)
    return Window(
        images, rows, columns, width, (images.stop - images.start, *extent, channels), (above, below, left, right)
    )


def _inside(first: int, extent: int, size: int) -> tuple[int, slice, int]:
    """What of first..first+extent is before 0, in 0..size, and beyond."""
    last = first + extent
    inside = slice(min(max(first, 0), size), max(0, min(last, size)))
    if inside.stop <= inside.start:
        return extent, slice(0, 0), 0
    return inside.start - first, inside, last - inside.stop


def load_block(source: ImageRows, window: Window) -> Block:
    """The pixels of a window in a block of this thread's memory; valid until the thread loads another."""
    block = workspace(Block, window.shape, window.margins)
    block.load(source, window)
    return block


class Block:
    """Pixels (n, rows, columns, C): what is inside of the images, and around it zeros. Made by `load_block`."""

    def __init__(self, shape: Shape4, margins: tuple[int, int, int, int]) -> None:
        self._pixels = pixels = memory.scratch("winograd.block", shape, DTYPE)
        self._transforms: dict[tuple[Map, Pair, Pair], _TileTransform] = {}
        above, below, left, right = margins
        _, rows, columns, _ = shape
        lines = pixels[:, above : rows - below]
        self._inside = lines[:, :, left : columns - right]
        borders = pixels[:, :above], pixels[:, rows - below :], lines[:, :, :left], lines[:, :, columns - right :]
        self._borders = [border for border in borders if border.size]

    def load(self, source: ImageRows, window: Window) -> None:
        """Take over a window's pixels."""
        inside = self._inside
        if inside.shape[2] == window.width:
            source.write(inside, window.images, window.rows)
        elif inside.size:  # padding that takes pixels away: the gradient of a convolution padded by more than 2
            lines = memory.scratch("winograd.lines", (*inside.shape[:2], window.width, inside.shape[3]), DTYPE)
            source.write(lines, window.images, window.rows)
            np.copyto(inside, lines[:, :, window.columns])
        # Only now: to compute its pixels, the source may have used this memory for a convolution of its own.
        for border in self._borders:
            border.fill(0)

    def transform(self, map: Map, first: Pair, tiles: Pair, out: Array) -> None:
        """Take tiles (s, s) to frequencies: matrix (6, s) times tile times its transpose, each channel by itself.

        The tiles of one image are `tiles` (down, across), TILE pixels apart; the first begins at row and column `first`
        of the block. `out` is (36, n * tiles, C), contiguous but for its first axis.
        """
        key = map, first, tiles
        transform = self._transforms.get(key)
        if transform is None:
            transform = self._transforms[key] = _TileTransform(map, self._pixels, first, tiles)
        transform.write(out)


class _TileTransform:
    """The views that `Block.transform` works on."""

    def __init__(self, map: Map, pixels: Array, first: Pair, tiles: Pair) -> None:
        n, rows, columns, channels = pixels.shape
        down, across = tiles
        size = map.matrix.shape[1]
        line = (TILE * (across - 1) + size) * channels
        item = DTYPE.itemsize
        # Rows: tiles overlap where size > TILE, so that this is a view of the block.
        row_step = columns * channels * item
        self._matrix = map.matrix
        self._rows: Array = np.ndarray(
            (n, down, size, line),
            DTYPE,
            pixels,
            (first[0] * columns + first[1]) * channels * item,
            (rows * row_step, TILE * row_step, row_step, item),
        )
        self._vertical = memory.scratch("winograd.vertical", (n, down, READ, line), DTYPE)
        # Columns: first the overlapping tiles apart, (n, down, v, 4 * across + s', C) -> (s, v, n, down, across, C)
        line_step = line * item
        self._overlapping: Array = np.ndarray(
            (size, READ, n, down, across, channels),
            DTYPE,
            self._vertical,
            0,
            (channels * item, line_step, down * READ * line_step, READ * line_step, TILE * channels * item, item),
        )
        self._apart = memory.scratch("winograd.apart", self._overlapping.shape, DTYPE)
        self._columns = self._apart.reshape(size, READ, -1).transpose(1, 0, 2)  # (s, v, T*C) -> (v, s, T*C)

    def write(self, out: Array) -> None:
        np.matmul(self._matrix, self._rows, out=self._vertical)
        np.copyto(self._apart, self._overlapping)
        np.matmul(self._matrix, self._columns, out=by_line(out))  # (v, s, T*C) -> (v, h, T*C)


class TileInverse:
    """Takes frequencies of n images' tiles to pixels: A^T (4, 6) times frequencies times A.

    Use it as a `workspace`.
    """

    def __init__(self, n: int, tiles: Pair, channels: int) -> None:
        down, across = tiles
        self._horizontal = memory.scratch("winograd.apart", (READ, TILE, n * down * across * channels), DTYPE)
        together = memory.scratch("winograd.vertical", (n, down, READ, across, TILE, channels), DTYPE)
        # (v, q, n, down, across, C) -> (n, down, v, across, q, C)
        self._tiles = self._horizontal.reshape(READ, TILE, n, down, across, channels).transpose(2, 3, 0, 4, 1, 5)
        self._together = together
        # Now (n, down, 6, 4 * across * C) and columns in order: the last product writes whole pixel rows.
        self._lines = together.reshape(n, down, READ, across * TILE * channels)

    def write(self, products: Array, out: Array) -> None:
        """Fill `out` (n, H, W, C) from `products` (36, n * tiles, C), contiguous but for its first axis.

        Rows and columns that tiles have beyond `out` are dropped.
        """
        n, height, width, channels = out.shape
        np.matmul(TO_OUTPUTS.matrix, by_line(products), out=self._horizontal)  # (v, h, T*C) -> (v, q, T*C)
        np.copyto(self._together, self._tiles)
        lines = self._lines[..., : width * channels]
        whole, rest = divmod(height, TILE)
        whole_tiles = out[:, : whole * TILE].reshape(n, whole, TILE, width * channels)
        np.matmul(TO_OUTPUTS.matrix, lines[:, :whole], out=whole_tiles)
        if rest:
            cut_tiles = out[:, whole * TILE :].reshape(n, rest, width * channels)
            np.matmul(TO_OUTPUTS.matrix[:rest], lines[:, whole], out=cut_tiles)
