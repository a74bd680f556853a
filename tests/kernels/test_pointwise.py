"""1x1 convolutions as matrix products over pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import pointwise
from gradcli.kernels.pointwise import Pointwise
from tests.kernels.convolution_checks import (
    check_against_definition,
    check_epilogue,
    check_float32_error,
    check_gradients_are_computed_while_read,
    check_threads_change_nothing,
    geometry_of,
)


def pointwise_geometry(batch, channels, out_channels, height, width, stride, dtype=np.float64):
    return geometry_of(
        (batch, channels, height, width), (out_channels, channels, 1, 1), stride, (0, 0), (1, 1), 1, dtype
    )


SIZES = [
    (2, 5, 3, 4, 6, (1, 1)),
    (1, 1, 1, 1, 1, (1, 1)),
    (3, 2, 4, 1, 1, (3, 2)),
    (2, 5, 3, 4, 6, (2, 2)),
    (3, 2, 4, 7, 5, (2, 2)),
    (2, 3, 3, 8, 10, (3, 4)),  # the last rows and columns are seen by no window
    (0, 2, 3, 4, 4, (2, 2)),
]
LARGER = [(6, 48, 64, 26, 25, (1, 1)), (6, 48, 64, 53, 52, (2, 2))]


@pytest.fixture(params=[1, 1000, pointwise.PIECE_BYTES], ids=["rows", "small-pieces", "default-pieces"])
def piece_bytes(request, monkeypatch):
    monkeypatch.setattr(pointwise, "PIECE_BYTES", request.param)


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize("sizes", SIZES)
def test_results_are_those_of_the_definition(sizes):
    check_against_definition(Pointwise(), pointwise_geometry(*sizes))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 2e-2)])
@pytest.mark.parametrize("sizes", [SIZES[0], SIZES[4]])
def test_other_dtypes(sizes, dtype, tolerance):
    check_against_definition(Pointwise(), pointwise_geometry(*sizes, dtype), tolerance)


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize("sizes", LARGER)
def test_the_number_of_threads_changes_nothing(sizes):
    check_threads_change_nothing(Pointwise(), pointwise_geometry(*sizes, np.float32))


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize("sizes", LARGER)
def test_the_epilogue_gets_every_pixel_once(sizes):
    check_epilogue(Pointwise(), pointwise_geometry(*sizes, np.float32))


@pytest.mark.parametrize("sizes", LARGER)
def test_gradients_that_are_computed_while_they_are_read(sizes):
    check_gradients_are_computed_while_read(Pointwise(), pointwise_geometry(*sizes, np.float32))


@pytest.mark.parametrize("sizes", LARGER)
def test_float32_stays_close_to_float64(sizes):
    check_float32_error(Pointwise(), pointwise_geometry(*sizes, np.float32))


@pytest.mark.parametrize(
    "arguments",
    [
        ((1, 2, 4, 4), (3, 2, 1, 1), (1, 1), (0, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 1, 2), (1, 1), (0, 0), (1, 1), 1),
        ((1, 2, 4, 4), (4, 1, 1, 1), (1, 1), (0, 0), (1, 1), 2),
    ],
)
def test_other_geometries_are_not_supported(arguments):
    assert not Pointwise().supports(geometry_of(*arguments))
