"""What is particular to Winograd convolution: three ways to share the work, what is kept, digits lost to many channels.

`test_algorithms` compares these ways with the definition.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import threads, winograd
from gradcli.kernels.pieces import FEWEST_PIECES
from gradcli.kernels.rows import StoredRows
from gradcli.kernels.winograd import Winograd
from gradcli.kernels.winograd_transforms import FROM_FILTERS, FROM_PIXELS, TO_OUTPUTS
from tests.kernels.convolution_checks import all_results, geometry_of, naive_results, random_arguments


def three_by_three(shape, out_channels, padding=(1, 1)):
    n, height, width, channels = shape
    return geometry_of((n, channels, height, width), (out_channels, channels, 3, 3), padding=padding, dtype=np.float32)


@pytest.fixture(params=["by piece", "by filter", "by frequency"])
def way(request, monkeypatch):
    """Which way the work is shared."""
    for constant in ("LARGEST_PRODUCT_BY_PIECE", "LARGEST_SUM_BY_PIECE"):
        monkeypatch.setattr(winograd, constant, 1 << 30 if request.param == "by piece" else 0)
    monkeypatch.setattr(winograd, "MOST_TILES_BY_FILTER", 1 << 30 if request.param == "by filter" else -1)
    return request.param


@pytest.mark.parametrize(("shape", "channels"), [((4, 16, 16), 64), ((2, 9, 8), 128), ((3, 4, 4), 256)])
def test_many_channels_lose_few_digits(shape, channels, way):
    geometry = three_by_three((*shape, channels), channels)
    arguments = random_arguments(geometry)
    for computed, correct in zip(
        all_results(Winograd(), geometry, *arguments), naive_results(geometry, *arguments), strict=True
    ):
        assert np.linalg.norm(computed - correct) < 3e-6 * np.linalg.norm(correct)


def test_frequencies_of_tiles_are_kept_where_they_are_there_as_a_whole(way):
    geometry = three_by_three((2, 10, 9, 4), 3)
    images, filters, _ = random_arguments(geometry)
    out = np.empty(geometry.out_shape, np.float32)
    kept = Winograd().forward(geometry, images, filters, out, keep=True)
    assert (kept is not None) == (way != "by piece")


@pytest.mark.parametrize(
    ("shape", "out_channels"),
    [
        ((1, 56, 56, 61), 63),
        ((1, 44, 61, 64), 64),
        ((2, 37, 44, 64), 96),
        ((4, 28, 28, 64), 64),
        ((1, 29, 29, 160), 128),
    ],
)
def test_fewer_pieces_for_few_threads_have_the_same_bits(shape, out_channels, monkeypatch):
    geometry = three_by_three(shape, out_channels)
    images, filters, grad = random_arguments(geometry)

    def results(count):
        monkeypatch.setattr(threads, "_thread_count", count)
        out, sums = np.empty(geometry.out_shape, np.float32), {}

        def add_up(first, rows):
            sums[first, len(rows)] = rows.sum(axis=0)

        kept = Winograd().forward(geometry, images, filters, out, add_up, keep=True)
        firsts, lengths = zip(*sorted(sums), strict=True)
        assert firsts == (0, *itertools.accumulate(lengths[:-1]))
        assert sum(lengths) == geometry.pixels
        gradients = Winograd().gradients(geometry, StoredRows(grad), images, filters, kept, True, True)
        return out, *(sums[key] for key in sorted(sums)), gradients.images, gradients.filters

    expected = results(4)
    assert len(winograd._plan(geometry, joined=False).pieces) == 2 * len(winograd._plan(geometry, joined=True).pieces)
    for count in (1, 2, 3):
        for computed, same in zip(results(count), expected, strict=True):
            np.testing.assert_array_equal(computed, same)


def test_epilogues_that_do_not_mind_where_cuts_are_are_passed_larger_pieces(monkeypatch):
    geometry = three_by_three((1, 56, 56, 64), 64)
    images, filters, _ = random_arguments(geometry)

    def convolved(algorithm, count):
        monkeypatch.setattr(threads, "_thread_count", count)
        out, seen = np.empty(geometry.out_shape, np.float32), []

        def negate(first, rows):
            seen.append((first, len(rows)))
            np.negative(rows, out=rows)

        algorithm.forward(geometry, images, filters, out, negate)
        firsts, lengths = zip(*sorted(seen), strict=True)
        assert firsts == (0, *itertools.accumulate(lengths[:-1]))
        assert sum(lengths) == geometry.pixels
        return len(seen), out

    pieces, expected = convolved(Winograd(), 2)
    assert pieces == FEWEST_PIECES
    for count, seen in ((1, 2), (2, 2), (3, 4)):
        pieces, out = convolved(Winograd(cuts_anywhere=True), count)
        assert pieces == seen
        np.testing.assert_array_equal(out, expected)


def test_the_gradient_of_the_output_is_read_by_rows_and_never_asked_for_as_a_whole(way):
    geometry = three_by_three((2, 11, 6, 3), 4, (1, 2))
    images, filters, grad = random_arguments(geometry)

    class RowsAlone(StoredRows):
        def images(self):
            raise AssertionError("the gradient is asked for as a whole")

    gradients = Winograd().gradients(geometry, RowsAlone(grad), images, filters, None, True, True)
    assert gradients.images.shape == geometry.image_shape
    assert gradients.filters.shape == geometry.filter_shape


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
        {"dtype": np.float64},
    ],
)
def test_other_convolutions_are_not_supported(other):
    supported = {"input_shape": (2, 4, 8, 8), "weight_shape": (4, 4, 3, 3), "padding": (1, 1), "dtype": np.float32}
    assert Winograd().supports(geometry_of(**supported))
    assert not Winograd().supports(geometry_of(**supported | other))


def test_transforms_of_a_line_give_its_correlation():
    generator = np.random.RandomState(5)
    line, taps = generator.standard_normal(6), generator.standard_normal(3)
    outputs = TO_OUTPUTS.matrix @ ((FROM_FILTERS.matrix @ taps) * (FROM_PIXELS.matrix @ line))
    np.testing.assert_allclose(outputs, np.correlate(line, taps, "valid"), atol=1e-6)
