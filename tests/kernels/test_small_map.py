"""3x3 convolution on small maps: every map size, and pieces of channels."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from gradcli.kernels import small_map
from gradcli.kernels.small_map import LARGEST_SIDE, SmallMap
from tests.kernels.convolution_checks import (
    check_against_definition,
    check_epilogue,
    check_float32_error,
    check_gradients_are_computed_while_read,
    check_threads_change_nothing,
    geometry_of,
)

SIDES = range(1, LARGEST_SIDE + 1)
#         input shape, filters: large enough for several pieces
LARGER = [((5, 140, 2, 2), 130), ((1, 256, 1, 1), 200), ((9, 66, 3, 4), 192), ((3, 70, 1, 2), 513)]


def three_by_three(input_shape, filters, dtype=np.float64):
    return geometry_of(input_shape, (filters, input_shape[1], 3, 3), (1, 1), (1, 1), dtype=dtype)


@pytest.mark.parametrize(("height", "width", "batch"), list(itertools.product(SIDES, SIDES, (1, 3))))
def test_every_map_size_gives_the_results_of_the_definition(height, width, batch, monkeypatch):
    monkeypatch.setattr(small_map, "NARROWEST", 2)
    monkeypatch.setattr(small_map, "PASSED_ELEMENTS", 20)
    check_against_definition(SmallMap(), three_by_three((batch, 5, height, width), 9))


@pytest.mark.parametrize(("input_shape", "filters"), LARGER)
def test_several_pieces(input_shape, filters):
    geometry = three_by_three(input_shape, filters, np.float32)
    check_float32_error(SmallMap(), geometry)
    check_threads_change_nothing(SmallMap(), geometry)
    check_gradients_are_computed_while_read(SmallMap(), geometry)


@pytest.mark.parametrize("passed_elements", [300, small_map.PASSED_ELEMENTS])
def test_the_epilogue_gets_every_pixel_once(passed_elements, monkeypatch):
    monkeypatch.setattr(small_map, "PASSED_ELEMENTS", passed_elements)
    check_epilogue(SmallMap(), three_by_three((6, 4, 3, 2), 70, np.float32))


@pytest.mark.parametrize(
    ("input_shape", "weight_shape", "stride", "padding", "dilation", "groups", "dtype"),
    [
        ((1, 4, 2, 2), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float16),
        ((1, 4, 5, 2), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float32),
        ((1, 4, 3, 3), (4, 4, 3, 3), (1, 1), (0, 0), (1, 1), 1, np.float32),
        ((1, 4, 2, 2), (4, 4, 3, 3), (2, 2), (1, 1), (1, 1), 1, np.float32),
        ((1, 4, 4, 4), (4, 4, 3, 3), (1, 1), (1, 1), (2, 2), 1, np.float32),
        ((1, 4, 2, 2), (4, 2, 3, 3), (1, 1), (1, 1), (1, 1), 2, np.float32),
        ((1, 4, 2, 2), (4, 4, 1, 1), (1, 1), (1, 1), (1, 1), 1, np.float32),
        ((0, 4, 2, 2), (4, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1, np.float32),
    ],
)
def test_what_is_not_supported(input_shape, weight_shape, stride, padding, dilation, groups, dtype):
    geometry = geometry_of(input_shape, weight_shape, stride, padding, dilation, groups, dtype)
    assert not SmallMap().supports(geometry)
