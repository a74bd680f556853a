"""Output sizes as PyTorch computes them, and im2col with its adjoint."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels.windows import (
    Chunk,
    col2im,
    conv_output_size,
    im2col,
    output_chunks,
    pool_output_size,
    tap_overlap,
)

#            size (H, W), kernel, stride, padding, dilation
GEOMETRIES = [
    ((5, 6), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((7, 5), (3, 2), (2, 1), (0, 1), (1, 2)),
    ((1, 1), (3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    ((6, 4), (1, 1), (2, 2), (0, 0), (1, 1)),
    ((8, 9), (2, 3), (3, 4), (2, 3), (3, 2)),
    ((2, 3), (3, 3), (2, 2), (4, 4), (1, 1)),
]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((64, 7, 2, 3, 1), 32),
        ((56, 3, 1, 1, 1), 56),
        ((7, 3, 2, 0, 2), 2),
        ((1, 1, 5, 0, 1), 1),
        ((3, 5, 1, 1, 1), 1),
    ],
)
def test_conv_output_size(arguments, expected):
    assert conv_output_size(*arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((112, 3, 2, 1, 1, False), 56),
        ((7, 2, 2, 0, 1, False), 3),
        ((7, 2, 2, 0, 1, True), 4),
        ((5, 2, 2, 1, 1, True), 3),  # a fourth window would start in the right padding
        ((6, 3, 3, 1, 1, True), 3),
        ((4, 2, 3, 1, 1, True), 2),
        ((10, 3, 2, 2, 2, True), 6),
    ],
)
def test_pool_output_size(arguments, expected):
    assert pool_output_size(*arguments) == expected


@pytest.mark.parametrize(
    ("function", "arguments", "message"),
    [
        (conv_output_size, (2, 5, 1, 1, 1), "doesn't fit an input of 2"),
        (conv_output_size, (5, 3, 0, 1, 1), "stride is 0"),
        (conv_output_size, (5, 3, 1, -1, 1), "padding is -1"),
        (conv_output_size, (5, 3, 1, 1, 0), "dilation is 0"),
        (pool_output_size, (5, 3, 1, 2), "padding is 2"),
        (pool_output_size, (5, 0, 1, 0), "kernel size is 0"),
        (pool_output_size, (2, 4, 2, 0), "doesn't fit an input of 2"),
    ],
)
def test_impossible_windows_are_refused_in_one_line(function, arguments, message):
    with pytest.raises(RuntimeError, match=message) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)


def test_tap_overlap_lists_exactly_the_reads_inside_of_the_input():
    for offset, size, outputs, stride in itertools.product(range(-5, 9), range(1, 5), range(1, 5), range(1, 4)):
        inside = [(o, o * stride + offset) for o in range(outputs) if 0 <= o * stride + offset < size]
        output_slice, element_slice = tap_overlap(offset, size, outputs, stride)
        assert list(zip(range(outputs)[output_slice], range(size)[element_slice], strict=True)) == inside


def naive_columns(images, kernel, stride, padding, dilation, groups):
    n, height, width, channels = images.shape
    out_height = conv_output_size(height, kernel[0], stride[0], padding[0], dilation[0])
    out_width = conv_output_size(width, kernel[1], stride[1], padding[1], dilation[1])
    depth = channels // groups
    columns = np.zeros((groups, n, out_height, out_width, *kernel, depth))
    for group, image, oh, ow, i, j in itertools.product(
        range(groups), range(n), range(out_height), range(out_width), range(kernel[0]), range(kernel[1])
    ):
        row = oh * stride[0] + i * dilation[0] - padding[0]
        column = ow * stride[1] + j * dilation[1] - padding[1]
        if 0 <= row < height and 0 <= column < width:
            pixel = images[image, row, column, group * depth : (group + 1) * depth]
            columns[group, image, oh, ow, i, j] = pixel
    return columns


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_im2col_matches_the_definition(size, kernel, stride, padding, dilation, groups, batch):
    images = np.random.RandomState(1).standard_normal((batch, *size, 4))
    expected = naive_columns(images, kernel, stride, padding, dilation, groups)
    depth = kernel[0] * kernel[1] * 4 // groups
    actual = im2col(images, kernel, stride, padding, dilation, groups)
    assert actual.shape == (groups, batch * expected.shape[2] * expected.shape[3], depth)
    np.testing.assert_array_equal(actual, expected.reshape(actual.shape))
    for first in range(expected.shape[2]):
        part = im2col(images, kernel, stride, padding, dilation, groups, slice(first, first + 1))
        np.testing.assert_array_equal(part, expected[:, :, first].reshape(part.shape))


@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation"), GEOMETRIES)
@pytest.mark.parametrize("groups", [1, 2])
def test_col2im_is_the_adjoint_of_im2col(size, kernel, stride, padding, dilation, groups):
    generator = np.random.RandomState(2)
    images = generator.standard_normal((2, *size, 4))
    columns = im2col(images, kernel, stride, padding, dilation, groups)
    other = generator.standard_normal(columns.shape)
    back = np.zeros_like(images)
    col2im(other, back, kernel, stride, padding, dilation)
    assert np.vdot(columns, other) == pytest.approx(np.vdot(images, back), rel=1e-12, abs=1e-12)

    out_height = conv_output_size(size[0], kernel[0], stride[0], padding[0], dilation[0])
    pieces = np.zeros_like(images)
    other_rows = other.reshape(groups, 2, out_height, -1, other.shape[2])
    for first in range(out_height):
        piece = np.ascontiguousarray(other_rows[:, :, first]).reshape(groups, -1, other.shape[2])
        col2im(piece, pieces, kernel, stride, padding, dilation, slice(first, first + 1))
    np.testing.assert_allclose(pieces, back, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("batch", "height", "bytes_per_row", "budget"),
    [(5, 4, 10, 100), (5, 4, 10, 25), (3, 4, 1000, 1), (1, 1, 1, 1), (0, 4, 10, 100), (7, 2, 0, 10)],
)
def test_chunks_cover_every_output_row_once_within_the_budget(batch, height, bytes_per_row, budget):
    covered = np.zeros((batch, height), int)
    for chunk in output_chunks(batch, height, bytes_per_row, budget):
        assert isinstance(chunk, Chunk)
        piece = covered[chunk.images, chunk.rows]
        assert piece.size > 0
        assert piece.size * bytes_per_row <= max(budget, bytes_per_row)
        piece += 1
    assert (covered == 1).all()
