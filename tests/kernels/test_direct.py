"""The general convolution algorithm: any geometry, any floating dtype, any cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import direct
from gradcli.kernels.direct import Direct
from tests.kernels.convolution_checks import (
    all_results,
    check_against_definition,
    check_epilogue,
    check_float32_error,
    check_gradients_are_computed_while_read,
    check_threads_change_nothing,
    geometry_of,
    random_arguments,
)

#     input shape, weight shape, stride, padding, dilation, groups
GEOMETRIES = [
    ((2, 3, 5, 6), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 9, 8), (4, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((3, 4, 7, 5), (6, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 5, 4, 4), (3, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((2, 5, 5, 4), (3, 5, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ((2, 5, 3, 3), (3, 5, 1, 1), (1, 1), (2, 1), (1, 1), 1),  # 1x1 with padding
    ((1, 2, 1, 1), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 1, 1, 1), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((0, 3, 5, 5), (4, 3, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((2, 3, 9, 10), (2, 3, 3, 2), (2, 3), (2, 0), (2, 3), 1),
    ((1, 2, 8, 9), (3, 2, 3, 3), (1, 1), (2, 2), (2, 2), 1),
    ((2, 3, 4, 5), (2, 3, 2, 3), (1, 1), (4, 3), (1, 1), 1),  # padding beyond the window
    ((1, 2, 3, 3), (2, 2, 2, 2), (3, 3), (6, 5), (1, 1), 1),  # windows that see nothing but padding
    ((1, 2, 7, 8), (2, 2, 1, 2), (4, 5), (0, 0), (1, 1), 1),  # pixels that no window sees
    ((2, 4, 6, 5), (6, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2),
    ((2, 4, 6, 5), (8, 1, 3, 3), (2, 1), (1, 0), (1, 2), 4),
    ((3, 6, 3, 4), (6, 2, 1, 1), (1, 1), (0, 0), (1, 1), 3),
    ((2, 5, 6, 6), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
]
LARGER = [
    ((5, 16, 18, 20), (24, 16, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((5, 16, 18, 21), (24, 16, 3, 3), (2, 2), (1, 1), (1, 1), 1),
    ((3, 3, 40, 40), (32, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((5, 16, 18, 20), (24, 8, 3, 3), (1, 1), (1, 1), (1, 1), 2),
]


@pytest.fixture(params=[1, 4000, direct.COLUMN_BYTES], ids=["rows", "small-pieces", "default-pieces"])
def column_bytes(request, monkeypatch):
    monkeypatch.setattr(direct, "COLUMN_BYTES", request.param)


@pytest.mark.usefixtures("column_bytes")
@pytest.mark.parametrize("arguments", GEOMETRIES)
def test_results_are_those_of_the_definition(arguments):
    check_against_definition(Direct(), geometry_of(*arguments))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 2e-2)])
@pytest.mark.parametrize("arguments", [GEOMETRIES[0], GEOMETRIES[2], GEOMETRIES[15]])
def test_other_dtypes(arguments, dtype, tolerance):
    check_against_definition(Direct(), geometry_of(*arguments, dtype=dtype), tolerance)


@pytest.mark.usefixtures("column_bytes")
@pytest.mark.parametrize("arguments", LARGER)
def test_the_number_of_threads_changes_nothing(arguments):
    check_threads_change_nothing(Direct(), geometry_of(*arguments, dtype=np.float32))


@pytest.mark.usefixtures("column_bytes")
@pytest.mark.parametrize("arguments", LARGER)
def test_the_epilogue_gets_every_pixel_once(arguments):
    check_epilogue(Direct(), geometry_of(*arguments, dtype=np.float32))


@pytest.mark.parametrize("arguments", LARGER)
def test_gradients_that_are_computed_while_they_are_read(arguments):
    check_gradients_are_computed_while_read(Direct(), geometry_of(*arguments, dtype=np.float32))


@pytest.mark.parametrize("arguments", LARGER)
def test_float32_stays_close_to_float64(arguments):
    check_float32_error(Direct(), geometry_of(*arguments, dtype=np.float32))


def test_no_sums_over_pieces_for_an_empty_batch():
    geometry = geometry_of(*GEOMETRIES[8])
    out, image_gradient, filter_gradient = all_results(Direct(), geometry, *random_arguments(geometry))
    assert out.size == image_gradient.size == 0
    np.testing.assert_array_equal(filter_gradient, np.zeros(geometry.filter_shape))
