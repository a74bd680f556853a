"""What is particular to convolution of few pixels: filter gradients may be left as factors.

`test_algorithms` compares both forms with the definition.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels.few_pixels import FewPixels, _plan
from gradcli.kernels.low_rank import MOST_PIXELS, LowRankGradient
from gradcli.kernels.rows import StoredRows
from tests.kernels.convolution_checks import geometry_of, random_arguments

# Of 1, 4, 16, 49, 32, 33 and 200 pixels, and a 1x1 kernel, whose columns are the images themselves.
GEOMETRIES = [
    ((1, 67, 1, 1), (520, 67, 3, 3), (1, 1), (1, 1)),
    ((1, 256, 2, 2), (515, 256, 3, 3), (1, 1), (1, 1)),
    ((1, 128, 8, 8), (136, 128, 3, 3), (2, 2), (1, 1)),
    ((1, 96, 7, 7), (264, 96, 3, 3), (1, 1), (1, 1)),
    ((4, 96, 3, 5), (96, 96, 3, 3), (2, 1), (1, 0)),
    ((11, 64, 3, 1), (80, 64, 3, 3), (1, 1), (1, 1)),
    ((8, 70, 5, 5), (72, 70, 3, 3), (1, 1), (1, 1)),
    ((1, 256, 4, 4), (512, 256, 1, 1), (1, 1), (0, 0)),
]


@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_a_deferred_filter_gradient_is_low_rank_and_forms_the_same(arguments):
    geometry = geometry_of(*arguments, dtype=np.float32)
    images, filters, grad = random_arguments(geometry)
    out = np.empty(geometry.out_shape, np.float32)
    kept = FewPixels().forward(geometry, images, filters, out, keep=True)
    assert (kept is not None) == (geometry.pixels <= MOST_PIXELS)
    at_once = FewPixels().gradients(geometry, StoredRows(grad), images, filters, kept, False, True).filters
    deferred = (
        FewPixels(deferred=True).gradients(geometry, StoredRows(grad), images, filters, kept, False, True).filters
    )
    if geometry.pixels > MOST_PIXELS:
        np.testing.assert_array_equal(deferred, at_once)
        return
    assert isinstance(deferred, LowRankGradient)
    grad.fill(np.nan)  # the gradient of the output may be gone by then, and the images may have changed
    images.fill(np.nan)
    np.testing.assert_array_equal(deferred.filters(), at_once)


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "stride", "padding", "live"),
    [
        ((1, 96, 7, 7), (264, 96, 3, 3), (1, 1), (1, 1), (slice(7, 49), slice(None), slice(0, 42))),
        ((1, 96, 14, 14), (264, 96, 3, 3), (2, 2), (1, 1), (slice(7, 49), slice(None), slice(None))),
        ((1, 96, 9, 7), (264, 96, 3, 3), (1, 1), (0, 1), (slice(None),)),  # no padding above and below
        ((2, 96, 7, 7), (264, 96, 3, 3), (1, 1), (1, 1), (slice(None),)),  # two images
        ((1, 96, 5, 5), (264, 96, 3, 3), (1, 1), (1, 1), (slice(None),)),  # few pixels
        ((1, 8, 7, 7), (8, 8, 3, 3), (1, 1), (1, 1), (slice(None),)),  # little to do
    ],
)
def test_rows_of_taps_beyond_an_image_are_left_out(input_shape, weight_shape, stride, padding, live):
    plan = _plan(geometry_of(input_shape, weight_shape, stride, padding, dtype=np.float32))
    assert plan.live == live


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "groups", "dtype"),
    [
        ((1, 4, 2, 2), (4, 2, 3, 3), 2, np.float32),
        ((1, 4, 2, 2), (4, 4, 3, 3), 1, np.float16),
        ((0, 4, 2, 2), (4, 4, 3, 3), 1, np.float32),
    ],
)
def test_what_is_not_supported(input_shape, weight_shape, groups, dtype):
    assert not FewPixels().supports(geometry_of(input_shape, weight_shape, (1, 1), (1, 1), (1, 1), groups, dtype))
