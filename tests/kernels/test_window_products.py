"""What is particular to window products: filter gradients may be left as factors, a pair for each tap.

`test_algorithms` compares both forms with the definition.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import threads
from gradcli.kernels.low_rank import MOST_PIXELS, LowRankGradient
from gradcli.kernels.rows import StoredRows
from gradcli.kernels.window_products import WindowProducts, _plan
from tests.kernels.convolution_checks import geometry_of, naive_results, random_arguments
from tests.kernels.references import relative_error

# As in a network, with numbers of channels that have no divisors, with taps that meet no pixel, and with many pixels.
GEOMETRIES = [
    ((4, 64, 2, 2), (64, 64, 3, 3), (1, 1), (1, 1)),
    ((5, 67, 3, 3), (131, 67, 3, 3), (1, 1), (1, 1)),
    ((4, 64, 1, 2), (72, 64, 3, 3), (1, 1), (1, 1)),
    ((4, 64, 4, 4), (64, 64, 3, 3), (2, 2), (1, 1)),
    ((11, 64, 4, 4), (64, 64, 3, 3), (1, 1), (1, 1)),
]


@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_a_deferred_filter_gradient_is_low_rank_and_forms_the_same(arguments):
    geometry = geometry_of(*arguments, dtype=np.float32)
    images, filters, grad = random_arguments(geometry)
    *_, expected = naive_results(geometry, images, filters, grad)
    at_once = WindowProducts().gradients(geometry, StoredRows(grad), images, filters, None, False, True).filters
    assert relative_error(at_once, expected) < 1e-6
    deferred = (
        WindowProducts(deferred=True).gradients(geometry, StoredRows(grad), images, filters, None, False, True).filters
    )
    if geometry.pixels > MOST_PIXELS:
        np.testing.assert_array_equal(deferred, at_once)
        return
    assert isinstance(deferred, LowRankGradient)
    grad.fill(np.nan)  # the gradient of the output may be gone by then, and the images may have changed
    images.fill(np.nan)
    np.testing.assert_array_equal(deferred.filters(), at_once)


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "dilation", "groups", "dtype"),
    [
        ((4, 4, 2, 2), (4, 2, 3, 3), (1, 1), 2, np.float32),
        ((4, 4, 4, 4), (4, 4, 3, 3), (2, 1), 1, np.float32),
        ((4, 4, 2, 2), (4, 4, 3, 3), (1, 1), 1, np.float16),
        ((0, 4, 2, 2), (4, 4, 3, 3), (1, 1), 1, np.float32),
    ],
)
def test_what_is_not_supported(input_shape, weight_shape, dilation, groups, dtype):
    geometry = geometry_of(input_shape, weight_shape, (1, 1), (1, 1), dilation, groups, dtype)
    assert not WindowProducts().supports(geometry)


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "pieces"),
    [((8, 96, 2, 2), (512, 96, 3, 3), 2), ((5, 64, 3, 3), (576, 64, 3, 3), 2), ((8, 96, 2, 2), (520, 96, 3, 3), 4)],
)
def test_fewer_pieces_for_few_threads_have_the_same_bits(input_shape, weight_shape, pieces, monkeypatch):
    geometry = geometry_of(input_shape, weight_shape, padding=(1, 1), dtype=np.float32)
    assert len(_plan(geometry, joined=False).outputs) == 4
    assert len(_plan(geometry, joined=True).outputs) == pieces
    images, filters, _ = random_arguments(geometry)

    def convolved(count):
        monkeypatch.setattr(threads, "_thread_count", count)
        out = np.empty(geometry.out_shape, np.float32)
        WindowProducts().forward(geometry, images, filters, out)
        return out

    expected = convolved(4)
    for count in (1, 2, 3):
        np.testing.assert_array_equal(convolved(count), expected)
