"""What the tests of every convolution algorithm share: a naive reference in float64, and checks against it."""

from __future__ import annotations

import itertools

import numpy as np

from gradcli.kernels import threads
from gradcli.kernels.geometry import conv_geometry
from gradcli.kernels.rows import StoredRows


def geometry_of(input_shape, weight_shape, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1, dtype=np.float64):
    return conv_geometry(input_shape, weight_shape, stride, padding, dilation, groups, np.dtype(dtype))


def random_arguments(geometry, seed=0):
    """Images (N, H, W, C), filters (O, kh, kw, C/g) and a gradient of the output (N, OH, OW, O)."""
    generator = np.random.RandomState(seed)
    shapes = geometry.image_shape, geometry.filter_shape, geometry.out_shape
    return [generator.standard_normal(shape).astype(geometry.dtype) for shape in shapes]


def naive_results(geometry, images, filters, grad):
    """The convolution and its two gradients by the definition, window by window, in float64."""
    images, filters, grad = (array.astype(np.float64) for array in (images, filters, grad))
    (top, left), (down, right), (below, beside) = geometry.padding, geometry.stride, geometry.dilation
    padded = np.pad(images, ((0, 0), (top, top), (left, left), (0, 0)))
    out, padded_gradient, filter_gradient = np.zeros(geometry.out_shape), np.zeros_like(padded), np.zeros_like(filters)
    channels, out_channels = geometry.channels // geometry.groups, geometry.out_channels // geometry.groups
    for group, y, x, i, j in itertools.product(
        *map(range, (geometry.groups, geometry.out_height, geometry.out_width, *geometry.kernel))
    ):
        seen = slice(group * channels, (group + 1) * channels)
        made = slice(group * out_channels, (group + 1) * out_channels)
        pixel = slice(None), y * down + i * below, x * right + j * beside, seen
        out[:, y, x, made] += padded[pixel] @ filters[made, i, j].T
        padded_gradient[pixel] += grad[:, y, x, made] @ filters[made, i, j]
        filter_gradient[made, i, j] += grad[:, y, x, made].T @ padded[pixel]
    height, width = geometry.height, geometry.width
    return out, padded_gradient[:, top : top + height, left : left + width], filter_gradient


def all_results(algorithm, geometry, images, filters, grad, epilogue=None):
    """Output, gradient of the images and gradient of the filters, as an algorithm computes them."""
    out = np.full(geometry.out_shape, np.nan, geometry.dtype)
    kept = algorithm.forward(geometry, images, filters, out, epilogue, keep=True)
    gradients = algorithm.gradients(geometry, StoredRows(grad), images, filters, kept, True, True)
    return out, gradients.images, np.asarray(gradients.filters)


def check_against_definition(algorithm, geometry, tolerance=1e-12):
    """All three results, and each gradient when it is the only one asked for, are those of the definition."""
    assert algorithm.supports(geometry)
    images, filters, grad = random_arguments(geometry)
    expected = naive_results(geometry, images, filters, grad)
    actual = all_results(algorithm, geometry, images, filters, grad)
    only_images = algorithm.gradients(geometry, StoredRows(grad), images, filters, None, True, False)
    only_filters = algorithm.gradients(geometry, StoredRows(grad), images, filters, None, False, True)
    assert only_images.filters is None
    assert only_filters.images is None
    for computed, correct in zip(
        (*actual, only_images.images, np.asarray(only_filters.filters)), (*expected, *expected[1:]), strict=True
    ):
        assert computed.dtype == geometry.dtype
        assert computed.shape == correct.shape
        scale = np.abs(correct).max(initial=1.0)
        np.testing.assert_allclose(computed, correct, rtol=tolerance, atol=tolerance * scale)


def check_threads_change_nothing(algorithm, geometry):
    """One thread and three give the same bits."""
    arguments = random_arguments(geometry)
    before = threads.get_num_threads()
    try:
        results = []
        for count in (1, 3):
            threads.set_num_threads(count)
            results.append(all_results(algorithm, geometry, *arguments))
    finally:
        threads.set_num_threads(before)
    for alone, shared in zip(*results, strict=True):
        np.testing.assert_array_equal(alone, shared)


def check_epilogue(algorithm, geometry):
    """The epilogue gets every output pixel once, and what it changes stays changed."""
    images, filters, _ = random_arguments(geometry)
    plain, out = np.empty(geometry.out_shape, geometry.dtype), np.empty(geometry.out_shape, geometry.dtype)
    algorithm.forward(geometry, images, filters, plain)
    calls = []

    def epilogue(first_pixel, rows):
        calls.append((first_pixel, len(rows)))
        np.testing.assert_array_equal(rows, plain.reshape(-1, geometry.out_channels)[first_pixel:][: len(rows)])
        rows += 1

    algorithm.forward(geometry, images, filters, out, epilogue)
    np.testing.assert_array_equal(out, plain + 1)
    covered = [pixel for first, count in sorted(calls) for pixel in range(first, first + count)]
    assert covered == list(range(geometry.pixels))


def check_float32_error(algorithm, geometry, limit=2e-6):
    """Largest difference from float64 relative to the largest value."""
    arguments = random_arguments(geometry)
    expected = naive_results(geometry, *arguments)
    for computed, correct in zip(all_results(algorithm, geometry, *arguments), expected, strict=True):
        assert np.abs(computed - correct).max() <= limit * np.abs(correct).max()


def check_gradients_are_computed_while_read(algorithm, geometry):
    """A gradient that is computed row by row gives the same as a stored one, and no row beyond its edges is read."""
    images, filters, grad = random_arguments(geometry)
    half = grad / 2

    class Doubled(StoredRows):
        def write(self, target, some_images, rows):
            assert 0 <= some_images.start < some_images.stop <= geometry.batch
            assert 0 <= rows.start < rows.stop <= geometry.out_height
            np.multiply(half[some_images, rows], 2, out=target)

        def images(self):
            return grad

    stored = algorithm.gradients(geometry, StoredRows(grad), images, filters, None, True, True)
    computed = algorithm.gradients(geometry, Doubled(half), images, filters, None, True, True)
    np.testing.assert_array_equal(computed.images, stored.images)
    np.testing.assert_array_equal(np.asarray(computed.filters), np.asarray(stored.filters))
