"""What is particular to the general convolution algorithm; `test_algorithms` compares it with the definition."""

from __future__ import annotations

import numpy as np
import pytest

from gradcli.kernels import direct
from gradcli.kernels.direct import Direct
from tests.kernels.convolution_checks import all_results, check_every_use, geometry_of, random_arguments


@pytest.mark.parametrize("column_bytes", [4000, 50_000])
@pytest.mark.parametrize(("stride", "groups"), [((1, 1), 1), ((2, 2), 1), ((1, 1), 2), ((2, 1), 2)])
def test_pieces_of_any_size(column_bytes, stride, groups, monkeypatch):
    monkeypatch.setattr(direct, "COLUMN_BYTES", column_bytes)
    geometry = geometry_of((5, 16, 18, 20), (24, 16 // groups, 3, 3), stride, (1, 1), (1, 1), groups, np.float32)
    check_every_use(Direct(), geometry, tolerance=3e-6)


def test_no_sums_over_pieces_for_an_empty_batch():
    geometry = geometry_of((0, 3, 5, 5), (4, 3, 3, 3), padding=(1, 1))
    out, image_gradient, filter_gradient = all_results(Direct(), geometry, *random_arguments(geometry))
    assert out.size == image_gradient.size == 0
    np.testing.assert_array_equal(filter_gradient, np.zeros(geometry.filter_shape))
