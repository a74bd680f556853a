"""im2col of pieces against the definition, and its adjoint."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import columns as columns_module
from gradcli.kernels.columns import (
    Windows,
    col2im,
    im2col,
    multiply_columns,
    multiply_shared_columns,
    shares_columns,
)
from gradcli.kernels.matrix_product import DEEPEST_SUM, LONGEST_RUN
from gradcli.kernels.pieces import cut_into_pieces
from gradcli.kernels.rows import StoredRows
from gradcli.kernels.windows import conv_output_size

#    size (H, W), kernel, stride, padding, dilation
GEOMETRIES = [
    ((5, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((7, 5), (3, 2), (2, 1), (0, 1), (1, 2)),
    ((1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    ((6, 4), (1, 1), (2, 2), (0, 0), (1, 1)),
    ((8, 9), (2, 3), (3, 4), (2, 3), (3, 2)),
    ((2, 3), (3, 3), (2, 2), (4, 4), (1, 1)),
]
CHANNELS = 4


def windows_and_pieces(batch, size, kernel, stride, padding, dilation, groups, budget):
    output_size = tuple(conv_output_size(*along) for along in zip(size, kernel, stride, padding, dilation, strict=True))
    windows = Windows(size, CHANNELS, output_size, kernel, stride, padding, dilation, groups)
    return windows, cut_into_pieces(batch, *output_size, bytes_per_pixel=1, work_per_pixel=1, budget=budget)


def naive_columns(images, windows):
    depth = CHANNELS // windows.groups
    columns = np.zeros((windows.groups, len(images), *windows.size, *windows.kernel, depth))
    for group, image, y, x, i, j in itertools.product(*map(range, columns.shape[:-1])):
        row = y * windows.stride[0] + i * windows.dilation[0] - windows.padding[0]
        column = x * windows.stride[1] + j * windows.dilation[1] - windows.padding[1]
        if 0 <= row < windows.image_size[0] and 0 <= column < windows.image_size[1]:
            columns[group, image, y, x, i, j] = images[image, row, column, group * depth : (group + 1) * depth]
    return columns


SHARED = [
    *(geometry for geometry in GEOMETRIES if geometry[1][0] > geometry[2][0] and geometry[4] == (1, 1)),
    ((9, 12), (5, 3), (2, 2), (2, 1), (1, 1)),
    ((12, 7), (3, 5), (1, 3), (1, 2), (1, 1)),
    ((3, 64), (3, 3), (1, 1), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("arguments", SHARED)
@pytest.mark.parametrize("budget", [1, 7, 1 << 20])
@pytest.mark.parametrize("small_product", [1, 3000, 1 << 20])
def test_products_of_shared_columns_are_those_of_columns(arguments, budget, small_product, monkeypatch):
    monkeypatch.setattr(columns_module, "SMALL_PRODUCT", small_product)
    random = np.random.RandomState(1)
    images = random.standard_normal((3, *arguments[0], CHANNELS))
    windows, pieces = windows_and_pieces(3, *arguments, 1, budget)
    assert shares_columns(windows)
    matrix = random.standard_normal((windows.depth, 5))
    for piece in pieces:
        out = np.full((piece.pixels, 5), np.nan)
        multiply_shared_columns(StoredRows(images), windows, piece, matrix, out)
        expected = im2col(StoredRows(images), windows, piece)[0] @ matrix
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "other",
    [{"groups": 2}, {"dilation": (1, 2)}, {"stride": (3, 1)}, {"channels": 17}],
    ids=["groups", "dilation", "no-overlap", "long-sums"],
)
def test_other_windows_share_no_columns(other):
    windows = Windows((9, 9), CHANNELS, (5, 5), (3, 3), (1, 1), (1, 1), (1, 1), 1)
    assert shares_columns(windows)
    assert not shares_columns(windows._replace(**other))


@pytest.mark.parametrize("arguments", GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_im2col_matches_the_definition(arguments, groups, budget):
    images = np.random.RandomState(1).standard_normal((3, *arguments[0], CHANNELS))
    windows, pieces = windows_and_pieces(3, *arguments, groups, budget)
    expected = naive_columns(images, windows)
    for piece in pieces:
        actual = im2col(StoredRows(images), windows, piece)
        assert actual.shape == (groups, piece.pixels, windows.depth)
        assert actual.flags.c_contiguous
        np.testing.assert_array_equal(actual, expected[:, piece.images, piece.rows].reshape(actual.shape))


@pytest.mark.parametrize("arguments", GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("budget", [1, 1 << 20])
def test_col2im_is_the_adjoint_of_im2col(arguments, groups, budget):
    generator = np.random.RandomState(2)
    images = generator.standard_normal((3, *arguments[0], CHANNELS))
    windows, pieces = windows_and_pieces(3, *arguments, groups, budget)
    back, product = np.zeros_like(images), 0.0
    for piece in pieces:
        columns = im2col(StoredRows(images), windows, piece)
        other = generator.standard_normal(columns.shape)
        product += np.vdot(columns, other)
        col2im(other, back[piece.images], windows, piece)
    assert np.vdot(images, back) == pytest.approx(product, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("depth", [1, LONGEST_RUN, LONGEST_RUN + 1, 5 * LONGEST_RUN, DEEPEST_SUM, DEEPEST_SUM + 1])
def test_long_sums_in_runs_are_the_same_sums(depth, dtype):
    generator = np.random.RandomState(3)
    columns = generator.randint(-1, 2, (2, 5, depth)).astype(dtype)  # sums that every dtype holds exactly
    matrices = generator.randint(-1, 2, (2, depth, 3)).astype(dtype)
    rows = np.full((5, 2, 3), np.nan, dtype)
    multiply_columns(columns, matrices, rows.transpose(1, 0, 2))
    np.testing.assert_array_equal(rows.transpose(1, 0, 2), columns.astype(int) @ matrices.astype(int))


def test_rows_beyond_the_edges_are_not_read():
    images = np.ones((1, 3, 3, CHANNELS))
    windows, pieces = windows_and_pieces(1, (3, 3), (1, 1), (1, 1), (2, 2), (1, 1), 1, budget=1)

    class Watched(StoredRows):
        def write(self, target, some_images, rows):
            assert 0 <= rows.start < rows.stop <= 3
            super().write(target, some_images, rows)

    sums = [im2col(Watched(images), windows, piece).sum() for piece in pieces]
    assert sums == [0, 0, 12, 12, 12, 0, 0]
