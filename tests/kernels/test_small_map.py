"""What is particular to convolution on small maps; `test_algorithms` compares every map size with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import algorithm, small_map
from gradcli.kernels.small_map import SmallMap
from tests.kernels.convolution_checks import check_every_use, geometry_of


@pytest.mark.parametrize("passed_elements", [300, 3000])
def test_pieces_of_any_size(passed_elements, monkeypatch):
    monkeypatch.setattr(small_map, "COPIED_ELEMENTS", passed_elements)
    monkeypatch.setattr(algorithm, "PASSED_ELEMENTS", passed_elements)
    geometry = geometry_of((6, 4, 3, 2), (150, 4, 3, 3), padding=(1, 1), dtype=np.float32)
    check_every_use(SmallMap(), geometry, tolerance=3e-6)


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
