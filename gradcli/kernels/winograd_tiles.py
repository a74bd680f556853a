"""Tiles of images on their way to Winograd's frequencies and back, a piece of the batch at a time.

The maps of winograd_transforms are applied to the rows of a tile first and then to its columns, as products of a matrix
with at most 6x6 numbers. Rows are as long as can be: whole image rows. Columns are one small product for each row of
each tile, of all its channels, read and written where they lie: a copy that puts tiles side by side, for the sake of
fewer and longer products, takes longer than that saves. Applying both at once, as a 36x36 matrix, takes three times as
long.

A piece is a few such products, of some ten microseconds each. So the views that they work on are made once for each
thread and shape, and kept as workspaces.
"""

from __future__ import annotations

import threading
from typing import NamedTuple

import numpy as np

from gradcli.kernels import memory
from gradcli.kernels.layout import Array, Pair, Shape4
from gradcli.kernels.memory import workspace
from gradcli.kernels.rows import ImageRows
from gradcli.kernels.winograd_transforms import DTYPE, READ, TILE, TO_OUTPUTS, Map


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


class _Thread(threading.local):
    """All blocks of a thread share their memory: the zeros of the last one are still there."""

    last_loaded: Block | None = None


_thread = _Thread()


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
        try:
            self._read(source, window)
            # Only now: to compute its pixels, the source may have loaded another block, for a convolution of its own.
            if _thread.last_loaded is not self:
                for border in self._borders:
                    border.fill(0)
                _thread.last_loaded = self
        except BaseException:
            _thread.last_loaded = None  # this one's pixels may be where another has its zeros
            raise

    def _read(self, source: ImageRows, window: Window) -> None:
        inside = self._inside
        if inside.shape[2] == window.width:
            source.write(inside, window.images, window.rows)
        elif inside.size:  # padding that takes pixels away: the gradient of a convolution padded by more than 2
            lines = memory.scratch("winograd.pixels", (*inside.shape[:2], window.width, inside.shape[3]), DTYPE)
            source.write(lines, window.images, window.rows)
            np.copyto(inside, lines[:, :, window.columns])

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
        self._vertical = memory.scratch("winograd.lines", (n, down, READ, line), DTYPE)
        # Columns: the overlapping tiles of a line, (n, down, v, 4 * across + s', C) -> (n, down, v, across, s, C)
        self._columns: Array = np.ndarray(
            (n, down, READ, across, size, channels),
            DTYPE,
            self._vertical,
            0,
            (*self._vertical.strides[:3], TILE * channels * item, channels * item, item),
        )

    def write(self, out: Array) -> None:
        n, down, _, across, _, channels = self._columns.shape
        np.matmul(self._matrix, self._rows, out=self._vertical)
        tiles = out.reshape(READ, READ, n, down, across, channels)
        # (h, v, n, down, across, C) -> (n, down, v, across, h, C)
        np.matmul(self._matrix, self._columns, out=tiles.transpose(2, 3, 1, 4, 0, 5))


class TileInverse:
    """Takes frequencies of n images' tiles to pixels: A^T (4, 6) times frequencies times A.

    Tiles are multiplied in parts, given by their first and last ones, on which BLAS's rounding may depend. Use it as a
    `workspace`.
    """

    def __init__(self, n: int, tiles: Pair, channels: int, parts: tuple[Pair, ...]) -> None:
        down, across = tiles
        vertical = memory.scratch("winograd.lines", (READ, TILE, n, down, across, channels), DTYPE)
        self._parts = [
            (first, last, vertical.reshape(READ, TILE, -1)[:, :, first * channels : last * channels])
            for first, last in parts
        ]
        self._columns = vertical.transpose(2, 3, 1, 4, 0, 5)  # (h, p, n, down, across, C) -> (n, down, p, across, h, C)
        self._shape = n, TILE * down, TILE * across, channels
        self._by_tile = n, down, TILE, across, TILE, channels

    def write(self, products: Array, out: Array) -> None:
        """Fill `out` (n, H, W, C) from `products` (36, n * tiles, C), contiguous but for its first axis.

        Rows and columns that tiles have beyond `out` are dropped.
        """
        for first, last, vertical in self._parts:
            # (h, v, T'*C) -> (h, p, T'*C)
            np.matmul(TO_OUTPUTS.matrix, products[:, first:last].reshape(READ, READ, -1), out=vertical)
        whole = out if out.shape == self._shape else memory.scratch("winograd.pixels", self._shape, DTYPE)
        # (n, down, p, across, h, C) -> (n, down, p, across, q, C)
        np.matmul(TO_OUTPUTS.matrix, self._columns, out=whole.reshape(self._by_tile))
        if whole is not out:
            np.copyto(out, whole[:, : out.shape[1], : out.shape[2]])
