"""Pixels of tiles to frequencies and back, tile by tile as the formulas have it; zeros around what is loaded."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels.rows import StoredRows
from gradcli.kernels.winograd_tiles import TileInverse, load_block, window
from gradcli.kernels.winograd_transforms import (
    FREQUENCIES,
    FROM_OUTPUTS,
    FROM_PIXELS,
    OVERLAP,
    READ,
    TILE,
    TO_OUTPUTS,
)
from tests.kernels.references import random_array

N, CHANNELS = 3, 5


def padded(images, above, below, left, right):
    return np.pad(images, ((0, 0), (above, below), (left, right), (0, 0)))


@pytest.mark.parametrize(("down", "across"), [(1, 1), (2, 3), (3, 1)])
@pytest.mark.parametrize("map", [FROM_PIXELS, FROM_OUTPUTS], ids=["pixels", "outputs"])
@pytest.mark.parametrize("first", [(0, 0), (1, 2)])
def test_frequencies_are_those_of_each_tile(down, across, map, first):
    size = map.matrix.shape[1]
    rows, columns = TILE * (down - 1) + size + first[0], TILE * (across - 1) + size + first[1] + 1
    images = random_array((N, rows - 2, columns - 3, CHANNELS), 1, np.float32)
    seen = window(images.shape, slice(0, N), (-1, -2), (rows, columns))
    out = np.full((FREQUENCIES, N * down * across, CHANNELS), np.nan, np.float32)
    load_block(StoredRows(images), seen).transform(map, first, (down, across), out)
    pixels, matrix = padded(images, 1, 1, 2, 1), map.matrix
    for number, (n, y, x) in enumerate(itertools.product(range(N), range(down), range(across))):
        top, left = first[0] + TILE * y, first[1] + TILE * x
        tile = pixels[n, top : top + size, left : left + size]
        expected = np.einsum("vi,hj,ijc->hvc", matrix, matrix, tile)
        np.testing.assert_allclose(out[:, number], expected.reshape(FREQUENCIES, CHANNELS), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 12), (7, 12), (8, 9), (5, 10)])
def test_the_way_back_drops_what_hangs_over(height, width):
    down, across = 2, 3
    frequencies = random_array((FREQUENCIES, N * down * across, CHANNELS), 2, np.float32)
    out = np.full((N, height, width, CHANNELS), np.nan, np.float32)
    count = N * down * across
    parts = (0, count // 2), (count // 2, count)
    TileInverse(N, (down, across), CHANNELS, parts).write(frequencies, out)
    tiles = frequencies.reshape(READ, READ, N, down, across, CHANNELS)
    matrix = TO_OUTPUTS.matrix
    expected = np.einsum("pv,qh,hvnyxc->nypxqc", matrix, matrix, tiles)
    expected = expected.reshape(N, TILE * down, TILE * across, CHANNELS)[:, :height, :width]
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-5)


def frequencies_of(images, first):
    """Of the one tile that begins at row and column `first` of the images."""
    out = np.empty((FREQUENCIES, len(images), CHANNELS), np.float32)
    seen = window(images.shape, slice(0, len(images)), first, (TILE + OVERLAP, TILE + OVERLAP))
    load_block(StoredRows(images), seen).transform(FROM_PIXELS, (0, 0), (1, 1), out)
    return out


def test_there_are_zeros_around_the_images_whatever_was_loaded_before():
    images = random_array((2, 4, 4, CHANNELS), 3, np.float32)
    corners = [(-1, -1), (-2, 0), (0, -2)]
    expected = {}
    for corner in corners:
        margins = -corner[0], OVERLAP + corner[0], -corner[1], OVERLAP + corner[1]
        expected[corner] = frequencies_of(padded(images, *margins), (0, 0))
    for corner in (*corners, *corners, corners[2], corners[0], corners[0]):
        np.testing.assert_array_equal(frequencies_of(images, corner), expected[corner])


def test_a_source_may_load_another_block_meanwhile():
    images = random_array((2, 4, 4, CHANNELS), 4, np.float32)
    expected = frequencies_of(images, (-1, -1))

    class Source(StoredRows):
        def write(self, target, images, rows):
            frequencies_of(np.ones((2, 9, 9, CHANNELS), np.float32), (0, 0))
            super().write(target, images, rows)

    for _ in range(2):
        out = np.empty_like(expected)
        seen = window(images.shape, slice(0, 2), (-1, -1), (TILE + OVERLAP, TILE + OVERLAP))
        load_block(Source(images), seen).transform(FROM_PIXELS, (0, 0), (1, 1), out)
        np.testing.assert_array_equal(out, expected)


def test_after_a_source_that_fails_there_are_zeros_again():
    smaller = random_array((2, 4, 4, CHANNELS), 5, np.float32)
    expected = frequencies_of(smaller, (-1, -1))

    class FailingSource(StoredRows):
        def write(self, target, images, rows):
            frequencies_of(smaller, (-1, -1))  # the block that is loaded again below
            super().write(target, images, rows)
            raise ZeroDivisionError

    ones = np.ones((2, TILE + OVERLAP, TILE + OVERLAP, CHANNELS), np.float32)
    whole = window(ones.shape, slice(0, 2), (0, 0), ones.shape[1:3])
    load_block(StoredRows(ones), whole)  # so that its memory is there
    with pytest.raises(ZeroDivisionError):
        load_block(FailingSource(ones), whole)
    np.testing.assert_array_equal(frequencies_of(smaller, (-1, -1)), expected)
