"""Convolution of 2x2 maps with nine products, of every shape, against the definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import algorithm, toeplitz
from gradcli.kernels.small_map import SmallMap
from gradcli.kernels.toeplitz import Toeplitz
from tests.kernels.convolution_checks import check_forward, geometry_of, random_arguments

SHAPES = [
    ((1, 1, 2, 2), (1, 1, 3, 3)),
    ((5, 3, 2, 2), (7, 3, 3, 3)),
    ((2, 16, 2, 2), (150, 16, 3, 3)),
    ((70, 4, 2, 2), (66, 4, 3, 3)),
    ((0, 3, 2, 2), (4, 3, 3, 3)),
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 3e-6), (np.float64, 1e-14)])
@pytest.mark.parametrize(("input_shape", "weight_shape"), SHAPES)
@pytest.mark.parametrize("cuts", [{}, {"FILTERS_AT_ONCE": 2, "SUMMED_ELEMENTS": 20}])
def test_every_shape(input_shape, weight_shape, dtype, tolerance, cuts, monkeypatch):
    for name, value in cuts.items():
        monkeypatch.setattr(toeplitz, name, value)
        monkeypatch.setattr(algorithm, "PASSED_ELEMENTS", 20)
    check_forward(Toeplitz(), geometry_of(input_shape, weight_shape, padding=(1, 1), dtype=dtype), tolerance)


def test_rounding_errors_stay_small_with_many_channels():
    geometry = geometry_of((64, 512, 2, 2), (128, 512, 3, 3), padding=(1, 1), dtype=np.float32)
    images, filters, _ = random_arguments(geometry)
    out, expected = (np.empty(geometry.out_shape, dtype) for dtype in (np.float32, np.float64))
    Toeplitz().forward(geometry, images, filters, out)
    wide = geometry._replace(dtype=np.dtype(np.float64))
    SmallMap().forward(wide, images.astype(np.float64), filters.astype(np.float64), expected)
    assert np.abs(out - expected).max() <= 2e-6 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "stride", "padding", "dilation", "groups", "dtype"),
    [
        ((1, 4, 2, 2), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float16),
        ((1, 4, 2, 3), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float32),
        ((1, 4, 1, 2), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float32),
        ((1, 4, 2, 2), (4, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1, np.float32),
        ((1, 4, 2, 2), (4, 4, 3, 3), (1, 1), (2, 2), (1, 1), 1, np.float32),
        ((1, 4, 2, 2), (4, 4, 3, 3), (1, 1), (1, 2), (1, 2), 1, np.float32),
        ((1, 4, 2, 2), (4, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2, np.float32),
        ((1, 4, 2, 2), (4, 4, 1, 1), (1, 1), (1, 1), (1, 1), 1, np.float32),
    ],
)
def test_what_is_not_supported(input_shape, weight_shape, stride, padding, dilation, groups, dtype):
    geometry = geometry_of(input_shape, weight_shape, stride, padding, dilation, groups, dtype)
    assert not Toeplitz().supports(geometry)
