"""Convolution of few pixels: any geometry without groups, and filter gradients that may be left as factors."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import few_pixels
from gradcli.kernels.few_pixels import FewPixels
from gradcli.kernels.low_rank import MOST_PIXELS, LowRankGradient
from gradcli.kernels.rows import StoredRows
from tests.kernels.convolution_checks import (
    check_against_definition,
    check_epilogue,
    check_float32_error,
    check_gradients_are_computed_while_read,
    check_threads_change_nothing,
    geometry_of,
    naive_results,
    random_arguments,
)

#     input shape, weight shape, stride, padding, dilation
GEOMETRIES = [
    ((1, 2, 1, 1), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1)),
    ((1, 5, 2, 2), (11, 5, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((3, 4, 7, 5), (17, 4, 3, 3), (2, 2), (1, 1), (1, 1)),
    ((2, 5, 4, 4), (16, 5, 1, 1), (1, 1), (0, 0), (1, 1)),
    ((2, 5, 5, 4), (3, 5, 1, 1), (2, 2), (0, 0), (1, 1)),
    ((2, 5, 3, 3), (9, 5, 1, 1), (1, 1), (2, 1), (1, 1)),  # 1x1 with padding
    ((2, 3, 9, 8), (4, 3, 7, 7), (2, 2), (3, 3), (1, 1)),
    ((2, 3, 9, 10), (2, 3, 3, 2), (2, 3), (2, 0), (2, 3)),
    ((2, 3, 4, 5), (10, 3, 2, 3), (1, 1), (4, 3), (1, 1)),  # padding beyond the window
    ((1, 2, 3, 3), (2, 2, 2, 2), (3, 3), (6, 5), (1, 1)),  # windows that see nothing but padding
    ((1, 2, 7, 8), (2, 2, 1, 2), (4, 5), (0, 0), (1, 1)),  # pixels that no window sees
]
# Large enough for several pieces, and for every kind of product: 1, 4, 16, 32, 33 and 200 pixels.
LARGER = [
    ((1, 67, 1, 1), (520, 67, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 128, 2, 2), (131, 128, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 128, 8, 8), (136, 128, 3, 3), (2, 2), (1, 1), (1, 1)),
    ((4, 96, 3, 5), (96, 96, 3, 3), (2, 1), (1, 0), (1, 1)),
    ((11, 64, 3, 1), (80, 64, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((8, 70, 5, 5), (72, 70, 3, 3), (1, 1), (1, 1), (1, 1)),
    ((1, 256, 4, 4), (512, 256, 1, 1), (1, 1), (0, 0), (1, 1)),
]


@pytest.fixture(params=["default-pieces", "small-pieces"])
def piece_sizes(request, monkeypatch):
    if request.param == "small-pieces":
        for constant in ("PIECE_WORK", "COLUMNS_AT_ONCE", "PASSED_ELEMENTS"):
            monkeypatch.setattr(few_pixels, constant, 7)


@pytest.mark.usefixtures("piece_sizes")
@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_results_are_those_of_the_definition(arguments):
    check_against_definition(FewPixels(), geometry_of(*arguments))


@pytest.mark.parametrize("arguments", LARGER)
def test_results_of_several_pieces_are_those_of_the_definition(arguments):
    check_against_definition(FewPixels(), geometry_of(*arguments))


@pytest.mark.parametrize("arguments", LARGER)
def test_float32_stays_close_to_float64(arguments):
    check_float32_error(FewPixels(), geometry_of(*arguments, dtype=np.float32))


@pytest.mark.parametrize("arguments", LARGER)
def test_the_number_of_threads_changes_nothing(arguments):
    check_threads_change_nothing(FewPixels(), geometry_of(*arguments, dtype=np.float32))


@pytest.mark.usefixtures("piece_sizes")
@pytest.mark.parametrize("arguments", [*GEOMETRIES, LARGER[-1]])
def test_the_epilogue_gets_every_pixel_once(arguments):
    check_epilogue(FewPixels(), geometry_of(*arguments, dtype=np.float32))


def test_gradients_that_are_computed_while_they_are_read():
    check_gradients_are_computed_while_read(FewPixels(), geometry_of(*LARGER[2], dtype=np.float32))


@pytest.mark.parametrize("arguments", LARGER)
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
    grad.fill(np.nan)  # the gradient of the output may be gone by then
    np.testing.assert_array_equal(deferred.filters(), at_once)


def test_what_was_kept_gives_the_gradient_of_the_images_before():
    geometry = geometry_of(*GEOMETRIES[3])
    images, filters, grad = random_arguments(geometry)
    expected = naive_results(geometry, images, filters, grad)[2]
    kept = FewPixels().forward(geometry, images, filters, np.empty(geometry.out_shape), keep=True)
    found = FewPixels().gradients(geometry, StoredRows(grad), images, filters, kept, False, True).filters
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert FewPixels().forward(geometry, images, filters, np.empty(geometry.out_shape)) is None


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
