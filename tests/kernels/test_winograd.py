"""Winograd convolution against the definition in float64: both ways to share the work, awkward sizes and paddings."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from gradcli.kernels import winograd
from gradcli.kernels.geometry import conv_geometry
from gradcli.kernels.rows import StoredRows
from gradcli.kernels.threads import get_num_threads, set_num_threads
from gradcli.kernels.winograd import Winograd
from gradcli.kernels.winograd_transforms import FILTERS, FROM_OUTPUTS, PIXELS

# (N, H, W, C), O, padding
CASES = [
    pytest.param((2, 8, 8, 4), 6, (1, 1), id="whole-tiles"),
    pytest.param((3, 7, 10, 5), 3, (1, 1), id="cut-tiles"),
    pytest.param((1, 1, 1, 3), 2, (1, 1), id="one-pixel"),
    pytest.param((1, 2, 9, 1), 1, (1, 1), id="one-channel"),
    pytest.param((2, 3, 3, 2), 4, (0, 0), id="one-output"),
    pytest.param((2, 9, 13, 3), 2, (0, 0), id="no-padding"),
    pytest.param((2, 33, 5, 2), 3, (0, 1), id="fewer-output-tiles"),
    pytest.param((2, 5, 8, 3), 4, (2, 2), id="full-padding"),
    pytest.param((1, 4, 3, 2), 3, (5, 6), id="outputs-of-padding-alone"),
    pytest.param((2, 6, 6, 3), 2, (3, 0), id="paddings-differ"),
    pytest.param((1, 20, 18, 3), 4, (1, 1), id="one-image"),
    pytest.param((0, 8, 8, 3), 4, (1, 1), id="no-image"),
]


@pytest.fixture(params=["large pieces", "small pieces", "by frequency"])
def way(request, monkeypatch):
    """Which way the work is shared; small pieces cut through images."""
    if request.param != "large pieces":
        monkeypatch.setattr(winograd, "PIECE_BYTES", 1)
    if request.param == "by frequency":
        monkeypatch.setattr(winograd, "LARGEST_PRODUCT_BY_PIECE", 0)
        monkeypatch.setattr(winograd, "LARGEST_SUM_BY_PIECE", 0)
    winograd._plan.cache_clear()
    yield request.param
    winograd._plan.cache_clear()


@pytest.fixture
def any_thread_count():
    before = get_num_threads()
    yield
    set_num_threads(before)


def geometry_of(shape, out_channels, padding, **other):
    n, height, width, channels = shape
    arguments = {
        "input_shape": (n, channels, height, width),
        "weight_shape": (out_channels, channels, 3, 3),
        "stride": (1, 1),
        "padding": padding,
        "dilation": (1, 1),
        "groups": 1,
        "dtype": np.dtype(np.float32),
    }
    return conv_geometry(**arguments | other)


def random_case(shape, out_channels, padding):
    """A geometry and random images, filters and gradient of the output."""
    geometry = geometry_of(shape, out_channels, padding)
    generator = np.random.RandomState(3)
    shapes = geometry.image_shape, geometry.filter_shape, geometry.out_shape
    return geometry, *(generator.standard_normal(shape).astype(np.float32) for shape in shapes)


def convolve(geometry, images, filters, epilogue=None, keep=False):
    out = np.full(geometry.out_shape, np.nan, np.float32)
    return out, Winograd().forward(geometry, images, filters, out, epilogue, keep)


def differentiate(geometry, images, filters, grad, kept=None, needs_images=True, needs_filters=True):
    rows = grad if hasattr(grad, "write") else StoredRows(grad)
    return Winograd().gradients(geometry, rows, images, filters, kept, needs_images, needs_filters)


def by_definition(images, filters, grad, padding):
    """Output and both gradients, summed tap by tap in float64."""
    (top, left), (n, height, width, channels) = padding, images.shape
    padded = np.zeros((n, height + 2 * top, width + 2 * left, channels))
    padded[:, top : top + height, left : left + width] = images
    filters, grad = filters.astype(np.float64), grad.astype(np.float64)
    out, padded_gradient, filter_gradient = np.zeros(grad.shape), np.zeros(padded.shape), np.zeros(filters.shape)
    _, out_height, out_width, _ = grad.shape
    for i, j in product(range(3), range(3)):
        read = np.s_[:, i : i + out_height, j : j + out_width]
        out += padded[read] @ filters[:, i, j].T
        padded_gradient[read] += grad @ filters[:, i, j]
        filter_gradient[:, i, j] = np.tensordot(grad, padded[read], ((0, 1, 2), (0, 1, 2)))
    return out, padded_gradient[:, top : top + height, left : left + width], filter_gradient


def assert_close(actual, expected, tolerance=3e-6):
    assert actual.shape == expected.shape
    assert actual.dtype == np.float32
    assert actual.flags.c_contiguous
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max(initial=0))


@pytest.mark.parametrize(("shape", "out_channels", "padding"), CASES)
def test_convolution_and_gradients_agree_with_the_definition(shape, out_channels, padding, way):
    geometry, images, filters, grad = random_case(shape, out_channels, padding)
    expected = by_definition(images, filters, grad, padding)
    out, kept = convolve(geometry, images, filters, keep=True)
    gradients = differentiate(geometry, images, filters, grad, kept)
    assert_close(out, expected[0])
    assert_close(gradients.images, expected[1])
    assert_close(gradients.filters, expected[2])


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((4, 16, 16), 64), ((2, 9, 8), 128), ((3, 4, 4), 256)],
)
def test_many_channels_lose_few_digits(shape, channels):
    geometry, images, filters, grad = random_case((*shape, channels), channels, (1, 1))
    expected = by_definition(images, filters, grad, (1, 1))
    out, kept = convolve(geometry, images, filters, keep=True)
    assert_close(out, expected[0], 5e-6)
    for actual, exact in zip(differentiate(geometry, images, filters, grad, kept), expected[1:], strict=True):
        assert np.linalg.norm(actual - exact) < 3e-6 * np.linalg.norm(exact)


def test_only_gradients_asked_for_and_the_same_ones(way):
    geometry, images, filters, grad = random_case((2, 10, 9, 4), 3, (1, 1))
    both = differentiate(geometry, images, filters, grad)
    only_images = differentiate(geometry, images, filters, grad, needs_filters=False)
    only_filters = differentiate(geometry, images, filters, grad, needs_images=False)
    assert only_images.filters is None
    assert only_filters.images is None
    np.testing.assert_array_equal(only_images.images, both.images)
    np.testing.assert_array_equal(only_filters.filters, both.filters)


def test_what_forward_keeps_changes_no_gradient(way):
    geometry, images, filters, grad = random_case((2, 10, 9, 4), 3, (1, 1))
    _, kept = convolve(geometry, images, filters, keep=True)
    assert (kept is not None) == (way == "by frequency")
    with_kept = differentiate(geometry, images, filters, grad, kept)
    without = differentiate(geometry, images, filters, grad)
    np.testing.assert_array_equal(with_kept.images, without.images)
    np.testing.assert_array_equal(with_kept.filters, without.filters)


@pytest.mark.usefixtures("any_thread_count")
def test_thread_count_changes_no_bit(way):
    geometry, images, filters, grad = random_case((3, 17, 14, 16), 24, (1, 1))
    results = []
    for threads in (1, 3):
        set_num_threads(threads)
        results.append((convolve(geometry, images, filters)[0], *differentiate(geometry, images, filters, grad)))
    for one, three in zip(*results, strict=True):
        np.testing.assert_array_equal(one, three)


@pytest.mark.parametrize(("shape", "out_channels", "padding"), CASES)
def test_epilogue_gets_every_finished_pixel_once(shape, out_channels, padding, way):
    geometry, images, filters, _ = random_case(shape, out_channels, padding)
    plain, _ = convolve(geometry, images, filters)
    seen = np.zeros(geometry.pixels, int)
    copies = np.zeros((geometry.pixels, out_channels), np.float32)

    def epilogue(first, rows):
        seen[first : first + len(rows)] += 1
        copies[first : first + len(rows)] = rows
        rows *= 2

    doubled, _ = convolve(geometry, images, filters, epilogue)
    assert (seen == 1).all()
    np.testing.assert_array_equal(copies, plain.reshape(copies.shape))
    np.testing.assert_array_equal(doubled, 2 * plain)


def test_gradient_of_the_output_is_read_by_rows(way):
    geometry, images, filters, grad = random_case((2, 11, 6, 3), 4, (1, 2))

    class HalvedWhileRead:
        dtype = np.dtype(np.float32)

        def write(self, target, images, rows):
            np.multiply(grad[images, rows], 0.5, out=target)

        def images(self):
            raise AssertionError("the gradient is asked for as a whole")

    by_rows = differentiate(geometry, images, filters, HalvedWhileRead())
    stored = differentiate(geometry, images, filters, grad * np.float32(0.5))
    np.testing.assert_array_equal(by_rows.images, stored.images)
    np.testing.assert_array_equal(by_rows.filters, stored.filters)


@pytest.mark.parametrize(
    "other",
    [
        {"weight_shape": (4, 4, 1, 1)},
        {"weight_shape": (4, 4, 5, 5)},
        {"weight_shape": (4, 4, 3, 1)},
        {"stride": (2, 2)},
        {"stride": (1, 2)},
        {"dilation": (2, 1)},
        {"groups": 2, "weight_shape": (4, 2, 3, 3)},
        {"dtype": np.dtype(np.float64)},
    ],
)
def test_other_convolutions_are_not_supported(other):
    assert Winograd().supports(geometry_of((2, 8, 8, 4), 4, (1, 1)))
    assert not Winograd().supports(geometry_of((2, 8, 8, 4), 4, (1, 1), **other))


def test_transforms_of_a_line_give_its_correlation():
    generator = np.random.RandomState(5)
    line, taps = generator.standard_normal(6), generator.standard_normal(3)
    outputs = FROM_OUTPUTS @ ((FILTERS @ taps) * (PIXELS @ line))
    np.testing.assert_allclose(outputs, np.correlate(line, taps, "valid"), atol=1e-6)
