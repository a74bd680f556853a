"""3x3 convolutions with stride 2 by the parity of the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import strided
from gradcli.kernels.strided import StridedByParity
from tests.kernels.convolution_checks import (
    check_against_definition,
    check_epilogue,
    check_float32_error,
    check_gradients_are_computed_while_read,
    check_threads_change_nothing,
    geometry_of,
)


def strided_geometry(batch, channels, out_channels, height, width, dtype=np.float64):
    return geometry_of(
        (batch, channels, height, width), (out_channels, channels, 3, 3), (2, 2), (1, 1), (1, 1), 1, dtype
    )


SIZES = [(2, 3, 4, 6, 8), (1, 1, 1, 2, 2), (3, 5, 2, 2, 10), (1, 2, 3, 12, 2), (0, 2, 3, 4, 4), (7, 4, 8, 4, 4)]
LARGER = (5, 16, 32, 28, 24)


@pytest.fixture(params=[1, 4000, strided.PIECE_BYTES], ids=["rows", "small-pieces", "default-pieces"])
def piece_bytes(request, monkeypatch):
    monkeypatch.setattr(strided, "PIECE_BYTES", request.param)


@pytest.mark.usefixtures("piece_bytes")
@pytest.mark.parametrize("sizes", SIZES)
def test_results_are_those_of_the_definition(sizes):
    check_against_definition(StridedByParity(), strided_geometry(*sizes))


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-5), (np.float16, 2e-2)])
def test_other_dtypes(dtype, tolerance):
    check_against_definition(StridedByParity(), strided_geometry(*SIZES[0], dtype), tolerance)


@pytest.mark.usefixtures("piece_bytes")
def test_the_number_of_threads_changes_nothing():
    check_threads_change_nothing(StridedByParity(), strided_geometry(*LARGER, np.float32))


def test_the_epilogue_gets_every_pixel_once():
    check_epilogue(StridedByParity(), strided_geometry(*LARGER, np.float32))


@pytest.mark.usefixtures("piece_bytes")
def test_gradients_that_are_computed_while_they_are_read():
    check_gradients_are_computed_while_read(StridedByParity(), strided_geometry(*LARGER, np.float32))


def test_float32_stays_close_to_float64():
    check_float32_error(StridedByParity(), strided_geometry(*LARGER, np.float32))


@pytest.mark.parametrize(
    "arguments",
    [
        ((1, 2, 5, 4), (3, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
        ((1, 2, 4, 5), (3, 2, 3, 3), (2, 2), (1, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (2, 2), (0, 0), (1, 1), 1),
        ((1, 2, 4, 4), (3, 2, 3, 3), (2, 2), (1, 1), (1, 2), 1),
        ((1, 2, 4, 4), (4, 1, 3, 3), (2, 2), (1, 1), (1, 1), 2),
        ((1, 2, 4, 4), (3, 2, 1, 1), (2, 2), (0, 0), (1, 1), 1),
    ],
)
def test_other_geometries_are_not_supported(arguments):
    assert not StridedByParity().supports(geometry_of(*arguments))
